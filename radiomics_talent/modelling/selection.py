"""Feature filters and selectors as scikit-learn transformers: each learns from the rows that it is fitted on alone."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import l1_min_c
from sklearn.utils.validation import check_is_fitted, validate_data

from radiomics_talent.modelling.metrics import placements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PENALTIES = 20
_PENALTY_RANGE = 1e2  # as glmnet has it for more features than rows


class _Selector(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """What the selectors share: a mask of kept columns, and never fewer than one column."""

    kept_: NDArray[np.bool_]

    def _checked(self, X: Any, y: Any) -> tuple[Floats, NDArray[Any]]:  # noqa: N803
        X = validate_data(self, X, dtype=np.float64)  # noqa: N806
        return X, np.asarray(y)

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self, "kept_")
        return self.kept_


class FeatureFilter(_Selector):
    """Remove features that are near-constant, not reproducible, or correlated with a better one.

    Parameters
    ----------
    near_constant : float
        A feature goes when fewer than this share of rows differ from its commonest value.
    min_icc : float, optional
        A feature goes when its ICC is lower, or not known.
    max_correlation : float, optional
        Of two features with a higher absolute Spearman correlation one goes: the one with the lower ICC, or
        without ICC the one with the higher mean absolute correlation with all others.
    icc : sequence of float, optional
        Intraclass correlation coefficient of each column; NaN where not known.
    """

    def __init__(
        self,
        near_constant: float = 0.05,
        min_icc: float | None = None,
        max_correlation: float | None = 0.95,
        icc: Sequence[float] | None = None,
    ) -> None:
        self.near_constant = near_constant
        self.min_icc = min_icc
        self.max_correlation = max_correlation
        self.icc = icc

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Learn which columns stay.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Complete features.
        y : ignored
            Present for scikit-learn.
        """
        X, _ = self._checked(X, y)  # noqa: N806
        kept = ~near_constant(X, self.near_constant)
        icc = None if self.icc is None else np.asarray(self.icc, dtype=np.float64)
        if self.min_icc is not None and icc is not None:
            kept &= icc >= self.min_icc
        if not kept.any():
            kept[int(np.argmax(X.std(axis=0)))] = True
        if self.max_correlation is not None and kept.sum() > 1:
            columns = np.flatnonzero(kept)
            quality = None if icc is None else icc[columns]
            kept[columns] = decorrelated(X[:, columns], self.max_correlation, quality)
        self.kept_ = kept
        return self


class TopFeatures(_Selector):
    """Keep the `k` features that are most related to the outcome one by one.

    Parameters
    ----------
    k : int
        Features to keep.
    redundancy : bool
        Take redundancy with the features already taken into account (mRMR).
    """

    def __init__(self, k: int = 10, redundancy: bool = False) -> None:
        self.k = k
        self.redundancy = redundancy

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Learn which columns stay.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Complete features.
        y : array-like
            Response, or structured survival outcome.
        """
        X, y = self._checked(X, y)  # noqa: N806
        k = min(self.k, X.shape[1])
        score = relevance(X, y)
        kept = np.zeros(X.shape[1], dtype=bool)
        # argsort of the negative is stable: among equals the first column stays.
        kept[mrmr(X, score, k) if self.redundancy else np.argsort(-score, kind="stable")[:k]] = True
        self.kept_ = kept
        return self


class LassoSelector(_Selector):
    """Keep the features with a coefficient in an L1-penalised logistic model.

    Parameters
    ----------
    strength : float, optional
        Inverse penalty C. Without it the penalty is chosen by cross-validated AUC: the strongest one within one
        standard error of the best (Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 7.10.1).
    folds : int
        Folds of that cross-validation.
    seed : int
        Seed of its folds.

    Notes
    -----
    Where the penalty leaves no feature, the one feature that enters first is kept.
    """

    def __init__(self, strength: float | None = None, folds: int = 3, seed: int = 0) -> None:
        self.strength = strength
        self.folds = folds
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Learn which columns stay.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Complete, scaled features.
        y : array-like of int
            Response.
        """
        X, y = self._checked(X, y)  # noqa: N806
        first = l1_min_c(X, y, loss="log")
        strength = self.strength or self._one_standard_error(X, y, first)
        kept = _lasso(X, y, strength).coef_[0] != 0
        if not kept.any():
            kept[int(np.argmax(relevance(X, y)))] = True
        self.kept_ = kept
        return self

    def _one_standard_error(self, X: Floats, y: NDArray[Any], first: float) -> float:  # noqa: N803
        strengths = first * np.geomspace(1.0, _PENALTY_RANGE, _PENALTIES)
        folds = min(self.folds, int(np.bincount(y).min()))
        if folds < 2:
            return float(strengths[0])
        splits = StratifiedKFold(folds, shuffle=True, random_state=self.seed).split(X, y)
        auc = np.array([[_auc(_lasso(X[a], y[a], c), X[b], y[b]) for c in strengths] for a, b in splits])
        mean, error = auc.mean(axis=0), auc.std(axis=0, ddof=1) / np.sqrt(folds)
        best = int(np.argmax(mean))
        return float(strengths[np.flatnonzero(mean >= mean[best] - error[best])[0]])


def near_constant(X: Floats, share: float) -> NDArray[np.bool_]:  # noqa: N803
    """Return the columns in which fewer than `share` of the rows differ from the commonest value."""
    n = len(X)
    run = max(2, int(np.floor(n * (1 - share))) + 1)
    ordered = np.sort(X, axis=0)
    result = ordered[0] == ordered[-1]
    if run <= n:
        result |= (ordered[: n - run + 1] == ordered[run - 1 :]).any(axis=0)
    return np.asarray(result)


def decorrelated(X: Floats, limit: float, quality: Floats | None) -> NDArray[np.bool_]:  # noqa: N803
    """Return the columns to keep so that no two have an absolute Spearman correlation above `limit`.

    Parameters
    ----------
    X : ndarray of float64, shape (n_rows, n_features)
        No constant columns.
    limit : float
        Largest correlation.
    quality : ndarray of float64, shape (n_features,), optional
        The higher stays (ICC; NaN counts as lowest); without it, the lower mean absolute correlation.
    """
    ranks = stats.rankdata(X, axis=0)
    ranks -= ranks.mean(axis=0)
    ranks /= np.sqrt((ranks**2).sum(axis=0))
    correlation = np.abs(ranks.T @ ranks)
    if quality is None:
        # Rounded: sums in another order must not change which of two equal columns stays.
        quality = -np.round(correlation.mean(axis=0), 10)
    order = np.argsort(-np.nan_to_num(quality, nan=-np.inf), kind="stable")
    close = correlation > limit + 1e-12
    kept = np.ones(X.shape[1], dtype=bool)
    for column in order:
        if kept[column]:
            kept &= ~close[column]
            kept[column] = True
    return kept


def relevance(X: Floats, y: NDArray[Any]) -> Floats:  # noqa: N803
    """Return how strongly each column is related to the outcome: F statistic, or Cox score statistic for survival."""
    if y.dtype.names:
        return cox_score_statistic(X, y)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")  # constant columns: their F is not a number and counts as 0
        score, _ = f_classif(X, y)
    return np.asarray(np.nan_to_num(score, nan=0.0, posinf=1e300), dtype=np.float64)


def cox_score_statistic(X: Floats, y: NDArray[Any]) -> Floats:  # noqa: N803
    """Return the score test statistic of a Cox model with one column at a time (Breslow ties), chi-squared of 1 df."""
    order = np.argsort(-y["time"], kind="stable")
    x, event, time = X[order], y["event"][order], y["time"][order]
    x = x - x.mean(axis=0)
    # Those at risk at a time are all with that time or a later one: up to the last row of a tie.
    last = np.searchsorted(-time, -time, side="right") - 1
    at_risk = (last + 1.0)[:, None]
    mean = np.cumsum(x, axis=0)[last] / at_risk
    variance = np.cumsum(x**2, axis=0)[last] / at_risk - mean**2
    score, information = (x - mean)[event].sum(axis=0), variance[event].sum(axis=0)
    return np.asarray(np.divide(score**2, information, out=np.zeros_like(score), where=information > 1e-12))


def mrmr(X: Floats, score: Floats, k: int) -> NDArray[np.intp]:  # noqa: N803
    """Return `k` columns, each the one with the largest relevance less its mean redundancy with those before.

    Minimum redundancy, maximum relevance (Peng 2005) as a difference of mutual informations, which are
    estimated from correlations, I = -log(1 - rho²) / 2 (as in R's mRMRe, De Jay 2013).

    Parameters
    ----------
    X : ndarray of float64, shape (n_rows, n_features)
        Features.
    score : ndarray of float64, shape (n_features,)
        F or chi-squared statistics, as `relevance` gives them.
    k : int
        Columns to take, at most n_features.
    """
    n = len(X)
    relevant = _information(score / (score + max(n - 2, 1)))
    centred = X - X.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    centred = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)
    taken = [int(np.argmax(relevant))]
    redundancy = np.zeros(X.shape[1])
    while len(taken) < k:
        redundancy += _information((centred.T @ centred[:, taken[-1]]) ** 2)
        gain = relevant - redundancy / len(taken)
        gain[taken] = -np.inf
        taken.append(int(np.argmax(gain)))
    return np.array(taken)


def _information(squared_correlation: Floats) -> Floats:
    return np.asarray(-0.5 * np.log1p(-np.minimum(squared_correlation, 1 - 1e-12)), dtype=np.float64)


def _lasso(X: Floats, y: NDArray[Any], strength: float) -> LogisticRegression:  # noqa: N803
    # liblinear penalises the intercept too; the scaling makes that negligible.
    model = LogisticRegression(
        solver="liblinear", l1_ratio=1, C=strength, intercept_scaling=10.0, random_state=0, max_iter=500
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at the weak end of the path
        return model.fit(X, y)


def _auc(model: LogisticRegression, X: Floats, y: NDArray[Any]) -> float:  # noqa: N803
    return float(placements(y, model.decision_function(X)[None]).mean())
