"""Figures of merit of a survival model on out-of-fold risks, as functions of case weights (see `metrics`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sksurv.compare import compare_survival
from sksurv.metrics import cumulative_dynamic_auc
from sksurv.nonparametric import CensoringDistributionEstimator

from radiomics_talent.modelling.metrics import Estimate, bootstrap_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_N_TIMES = 50
_AUC_SAMPLES = 200


def survival_metrics(
    y: NDArray[Any], risk: Floats, survival: Floats, times: Floats, weights: Floats
) -> dict[str, Floats]:
    """Return Harrell's C-index and the integrated Brier score for every row of case weights.

    Parameters
    ----------
    y : structured ndarray (event, time), shape (n,)
        Outcome.
    risk : ndarray of float64, shape (n_repeats, n)
        Out-of-fold risk; higher is worse.
    survival : ndarray of float64, shape (n_repeats, n, n_times)
        Out-of-fold probability of no event until each time.
    times : ndarray of float64, shape (n_times,)
        Days, as `evaluation_times` gives them.
    weights : ndarray of float64, shape (n_samples, n)
        Case weights.
    """
    concordant, comparable = concordance_pairs(y, risk)
    return {
        "c_index": _quadratic(weights, concordant) / np.maximum(_quadratic(weights, comparable), 1e-300),
        "integrated_brier": weights @ brier_contributions(y, survival, times) / weights.sum(axis=1),
    }


def concordance_pairs(y: NDArray[Any], risk: Floats) -> tuple[Floats, Floats]:
    """Return which ordered pairs are concordant (ties in risk a half, averaged over repeats) and which comparable.

    A pair (i, j) is comparable when i had the event and j was still without it after i's time, or was censored at
    that very time (Harrell 1996).
    """
    time, event = y["time"], y["event"]
    later = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & ~event[None, :])
    comparable = (event[:, None] & later).astype(np.float64)
    np.fill_diagonal(comparable, 0.0)
    agree = np.zeros_like(comparable)
    for r in risk:
        difference = r[:, None] - r[None, :]
        agree += (difference > 0) + 0.5 * (np.abs(difference) <= 1e-8)
    return comparable * agree / len(risk), comparable


def evaluation_times(y: NDArray[Any]) -> Floats:
    """Return the times of the integrated Brier score: between the 10th and the 90th percentile of event times."""
    events = y["time"][y["event"]]
    low, high = np.quantile(events, [0.1, 0.9])
    # Scores that weigh by censoring are only defined before the last time that anybody was under observation.
    high = min(high, np.nextafter(y["time"].max(), 0))
    return np.linspace(low, high, _N_TIMES) if high > low else np.array([low])


def brier_contributions(y: NDArray[Any], survival: Floats, times: Floats) -> Floats:
    """Return each case's part of the integrated Brier score (Graf 1999), averaged over repeats, shape (n,).

    Weighted by the inverse probability of censoring in the whole sample; integrated by the trapezium rule and
    divided by the length of the range.
    """
    censoring = CensoringDistributionEstimator().fit(y)
    at_times = censoring.predict_proba(times)
    # After the last time of the score the weight may be infinite; such events count as alive throughout.
    at_event = np.where(y["event"] & (y["time"] <= times[-1]), censoring.predict_ipcw(y), 0.0)
    died = (y["time"][:, None] <= times[None, :]) & y["event"][:, None]
    alive = y["time"][:, None] > times[None, :]
    ipcw = np.divide(1.0, at_times, out=np.zeros_like(at_times), where=at_times > 0)
    parts = np.mean([s**2 * died * at_event[:, None] + (1 - s) ** 2 * alive * ipcw[None, :] for s in survival], axis=0)
    if len(times) == 1:
        return np.asarray(parts[:, 0], dtype=np.float64)
    return np.asarray(np.trapezoid(parts, times, axis=1) / (times[-1] - times[0]), dtype=np.float64)


def time_dependent_auc(
    y: NDArray[Any], risk: Floats, horizons: Sequence[float], patients: NDArray[np.str_], seed: int
) -> dict[float, Estimate]:
    """Return the cumulative/dynamic AUC (Uno 2007) at each horizon that lies within follow-up.

    The interval comes from 200 bootstrap samples of patients.
    """
    usable = [h for h in horizons if _within_follow_up(y, h)]
    if not usable:
        return {}
    points = np.mean([_auc_at(y, r, usable) for r in risk], axis=0)
    rng = np.random.default_rng(seed)
    replicates = []
    for counts in bootstrap_counts(patients, _AUC_SAMPLES, rng):
        rows = np.repeat(np.arange(len(y)), counts.astype(np.int64))
        replicates.append(np.mean([_auc_at(y[rows], r[rows], usable) for r in risk], axis=0))
    low, high = np.nanquantile(replicates, [0.025, 0.975], axis=0)
    return {h: Estimate(*map(float, v)) for h, *v in zip(usable, points, low, high, strict=True)}


def log_rank(y: NDArray[Any], groups: NDArray[Any]) -> float:
    """Return the p value of the log-rank test between groups; NaN when there is one group only."""
    if len(np.unique(groups)) < 2:
        return float("nan")
    return float(compare_survival(y, groups)[1])


def _auc_at(y: NDArray[Any], risk: Floats, horizons: Sequence[float]) -> Floats:
    result = np.full(len(horizons), np.nan)
    known = [i for i, h in enumerate(horizons) if _within_follow_up(y, h)]
    if known and y["event"].any():
        try:
            values, _ = cumulative_dynamic_auc(y, y, risk, [horizons[i] for i in known])
        except ValueError:  # a sample in which censoring leaves nobody at the horizon
            return result
        result[known] = values
    return result


def _within_follow_up(y: NDArray[Any], horizon: float) -> bool:
    had_event = (y["time"] <= horizon) & y["event"]
    return bool(y["time"].min() <= horizon < y["time"].max() and had_event.any() and (y["time"] > horizon).any())


def _quadratic(weights: Floats, matrix: Floats) -> Floats:
    return np.asarray(((weights @ matrix) * weights).sum(axis=1), dtype=np.float64)
