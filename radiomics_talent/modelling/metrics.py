"""Figures of merit of a binary response, on out-of-fold scores of several repeats, with bootstrap by patient.

Every metric is a function of case weights: ones give the value, the counts of a bootstrap sample give one
replicate, and a matrix of counts gives all replicates at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.95
"""Level of every interval."""
_CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval (percentiles of the bootstrap); NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "not defined"
        if np.isnan(self.low) or np.isnan(self.high):
            return f"{self.value:.3f} (interval not defined)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Difference of two AUCs on the same patients.

    Attributes
    ----------
    difference : float
        First minus second.
    low, high : float
        95 % interval.
    p_value : float
        Two-sided, for no difference.
    """

    difference: float
    low: float
    high: float
    p_value: float


def response_metrics(
    y: NDArray[np.int64], probability: Floats, predicted: NDArray[np.bool_], weights: Floats
) -> dict[str, Floats]:
    """Return every metric for every row of case weights, averaged over repeats.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        1 for response.
    probability : ndarray of float64, shape (n_repeats, n)
        Out-of-fold probability of response.
    predicted : ndarray of bool, shape (n_repeats, n)
        Class at the threshold of the fold.
    weights : ndarray of float64, shape (n_samples, n)
        Case weights; ones for the plain value.

    Returns
    -------
    dict of str to ndarray of float64, shape (n_samples,)
        auc, average_precision, brier, balanced_accuracy, sensitivity, specificity, ppv, npv, calibration_slope,
        calibration_intercept. NaN where a sample has one class only.
    """
    repeats = [_counts(y, hit, weights) for hit in predicted]
    rates = {name: np.mean([r[name] for r in repeats], axis=0) for name in repeats[0]}
    lines = [calibration_line(y, p, weights) for p in probability]
    return {
        "auc": weighted_auc(placements(y, probability), y, weights),
        "average_precision": np.mean([_average_precision(y, p, weights) for p in probability], axis=0),
        "brier": np.mean([weights @ (p - y) ** 2 / weights.sum(axis=1) for p in probability], axis=0),
        **rates,
        "calibration_slope": np.mean([slope for slope, _ in lines], axis=0),
        "calibration_intercept": np.mean([intercept for _, intercept in lines], axis=0),
    }


def bootstrap_counts(patients: NDArray[np.str_], n_samples: int, rng: np.random.Generator) -> Floats:
    """Return how often each row is in each bootstrap sample of patients, shape (n_samples, n_rows).

    A patient's rows stay together: patients are drawn with replacement, not rows.
    """
    names, row_of = np.unique(patients, return_inverse=True)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_samples)
    return np.asarray(draws[:, row_of], dtype=np.float64)


def estimates(
    metric: Callable[[Floats], Mapping[str, Floats]], patients: NDArray[np.str_], n_samples: int, seed: int
) -> dict[str, Estimate]:
    """Return each metric with its bootstrap interval.

    Parameters
    ----------
    metric : callable
        Case weights of shape (n_samples, n_rows) to values of shape (n_samples,), by name.
    patients : ndarray of str, shape (n_rows,)
        Patient of each row.
    n_samples : int
        Bootstrap samples.
    seed : int
        The only source of chance.
    """
    points = metric(np.ones((1, len(patients))))
    replicates = metric(bootstrap_counts(patients, n_samples, np.random.default_rng(seed)))
    return {name: Estimate(float(points[name][0]), *_interval(replicates[name])) for name in points}


def placements(y: NDArray[np.int64], scores: Floats) -> Floats:
    """Return for each pair of a responder and a non-responder how often the responder scores higher (ties a half).

    Shape (n_responders, n_non_responders), averaged over the repeats of `scores` (n_repeats, n). Its mean is the
    AUC (Mann-Whitney), its row and column means are DeLong's structural components.
    """
    total = np.zeros((int((y == 1).sum()), int((y == 0).sum())))
    for score in scores:
        difference = score[y == 1][:, None] - score[y == 0][None, :]
        total += (difference > 0) + 0.5 * (difference == 0)
    return total / len(scores)


def weighted_auc(pairs: Floats, y: NDArray[np.int64], weights: Floats) -> Floats:
    """Return the area under the ROC curve for every row of case weights, from `placements`."""
    up, down = weights[:, y == 1], weights[:, y == 0]
    return _ratio(((up @ pairs) * down).sum(axis=1), up.sum(axis=1) * down.sum(axis=1))


def delong_interval(y: NDArray[np.int64], scores: Floats) -> Estimate:
    """Return the AUC with DeLong's interval on the logit scale (DeLong 1988; Pepe 2003 for the logit).

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        1 for response; at least two of each.
    scores : ndarray of float64, shape (n_repeats, n)
        Out-of-fold scores; placements are averaged over the repeats.
    """
    pairs = placements(y, scores)
    auc = float(pairs.mean())
    error = float(np.sqrt(_delong_covariance([pairs])[0, 0]))
    if not 0 < auc < 1 or error == 0:
        return Estimate(auc, float("nan"), float("nan"))  # without a misplaced pair there is no variance to go by
    half = stats.norm.ppf(0.5 + LEVEL / 2) * error / (auc * (1 - auc))
    low, high = (1 / (1 + np.exp(-(np.log(auc / (1 - auc)) + s * half))) for s in (-1, 1))
    return Estimate(auc, float(low), float(high))


def delong_test(y: NDArray[np.int64], first: Floats, second: Floats) -> Comparison:
    """Compare two AUCs on the same patients (DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837).

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        1 for response.
    first, second : ndarray of float64, shape (n_repeats, n)
        Out-of-fold scores of two models.
    """
    pairs = [placements(y, first), placements(y, second)]
    covariance = _delong_covariance(pairs)
    areas = [float(p.mean()) for p in pairs]
    difference = areas[0] - areas[1]
    if difference != 0 and not all(0 < a < 1 for a in areas):
        # An AUC of 0 or 1 has no variance by DeLong: the p value would be absurdly small.
        return Comparison(difference, float("nan"), float("nan"), float("nan"))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance <= 1e-18:  # the two order every pair alike
        return Comparison(difference, difference, difference, 1.0 if difference == 0 else 0.0)
    error = float(np.sqrt(variance))
    half = float(stats.norm.ppf(0.5 + LEVEL / 2)) * error
    p_value = float(2 * stats.norm.sf(abs(difference) / error))
    return Comparison(difference, difference - half, difference + half, p_value)


def calibration_line(y: NDArray[np.int64], probability: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return calibration slope and intercept for every row of case weights (Cox 1958; Van Calster 2019).

    The slope is that of a logistic regression of the response on the logit of its probability (1 is ideal, below 1
    overfitted); the intercept is calibration in the large, with the slope held at 1 (0 is ideal).
    """
    p = np.clip(probability, _CLIP, 1 - _CLIP)
    logit = np.log(p / (1 - p))
    both = _logistic_fit(y, np.stack([np.ones_like(logit), logit]), np.zeros_like(logit), weights)
    large = _logistic_fit(y, np.ones((1, len(logit))), logit, weights)
    constant = np.ptp(logit) < 1e-12
    slope = np.full(len(weights), np.nan) if constant else both[:, 1]
    return slope, large[:, 0]


def youden_threshold(y: NDArray[np.int64], score: Floats) -> float:
    """Return the score above which sensitivity + specificity is largest (Youden 1950).

    The cut lies half way between the two scores that it separates, so that neither class gains by a tie; of
    equally good cuts the one nearest to the middle of the scores is taken.
    """
    levels = np.unique(score)
    if len(levels) == 1:
        return float(levels[0])
    cuts = (levels[1:] + levels[:-1]) / 2
    above = score[None, :] >= cuts[:, None]
    youden = above[:, y == 1].mean(axis=1) - above[:, y == 0].mean(axis=1)
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - np.median(score)))]])


def net_benefit(y: NDArray[np.int64], probability: Floats, thresholds: Floats) -> Floats:
    """Return the net benefit at each threshold probability (Vickers and Elkin 2006), averaged over repeats.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        1 for response.
    probability : ndarray of float64, shape (n_repeats, n)
        Out-of-fold probability.
    thresholds : ndarray of float64, shape (n_thresholds,)
        Between 0 and 1, exclusive.
    """
    treated = probability[:, None, :] >= thresholds[None, :, None]
    true = (treated & (y == 1)).mean(axis=(0, 2))
    false = (treated & (y == 0)).mean(axis=(0, 2))
    return np.asarray(true - false * thresholds / (1 - thresholds), dtype=np.float64)


def _counts(y: NDArray[np.int64], hit: NDArray[np.bool_], weights: Floats) -> dict[str, Floats]:
    tp, fn, fp, tn = (
        weights @ mask.astype(np.float64) for mask in (hit & (y == 1), ~hit & (y == 1), hit & (y == 0), ~hit & (y == 0))
    )
    sensitivity, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    return {
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
    }


def _average_precision(y: NDArray[np.int64], score: Floats, weights: Floats) -> Floats:
    """Return the area under the precision-recall curve as steps (scikit-learn's average precision)."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    w = weights[:, order]
    true = np.cumsum(w * y[order], axis=1)[:, last_of_tie]
    all_above = np.cumsum(w, axis=1)[:, last_of_tie]
    precision = np.divide(true, all_above, out=np.zeros_like(true), where=all_above > 0)
    gain = np.diff(true, axis=1, prepend=0.0)
    return _ratio((gain * precision).sum(axis=1), true[:, -1])


def _logistic_fit(y: NDArray[np.int64], design: Floats, offset: Floats, weights: Floats) -> Floats:
    """Fit a logistic regression of one or two terms for every row of weights at once, by Newton's method.

    Terms that a sample separates perfectly have no finite fit: their row is NaN.
    """
    n_terms = len(design)
    beta = np.zeros((len(weights), n_terms))
    step = np.zeros_like(beta)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(50):
            mean = 1 / (1 + np.exp(-(beta @ design + offset)))
            gradient = (weights * (y - mean)) @ design.T
            hessian = np.einsum("bn,in,jn->bij", weights * mean * (1 - mean), design, design)
            singular = np.abs(np.linalg.det(hessian)) < 1e-10
            hessian[singular] = np.eye(n_terms)
            step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
            step[singular] = 0.0
            beta += np.clip(step, -5, 5)
            beta[singular] = np.nan
            if np.nanmax(np.abs(step), initial=0.0) < 1e-10:
                break
    beta[(np.abs(step) > 1e-6).any(axis=1)] = np.nan
    return beta


def _delong_covariance(pairs: list[Floats]) -> Floats:
    rows = np.stack([p.mean(axis=1) for p in pairs])
    columns = np.stack([p.mean(axis=0) for p in pairs])
    if min(rows.shape[1], columns.shape[1]) < 2:
        return np.full((len(pairs), len(pairs)), np.nan)
    return np.asarray(
        np.atleast_2d(np.cov(rows)) / rows.shape[1] + np.atleast_2d(np.cov(columns)) / columns.shape[1],
        dtype=np.float64,
    )


def _interval(replicates: Floats) -> tuple[float, float]:
    known = replicates[~np.isnan(replicates)]
    if len(known) < len(replicates) / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
