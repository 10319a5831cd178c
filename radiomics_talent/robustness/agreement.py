"""How well repeated measurements of the same lesions agree, for many features at once: ICC, CCC, within-lesion CV.

Sums of squares follow the two-way layout lesions x versions. With MSB, MSW, MSJ, MSE the mean squares between lesions,
within lesions, between versions and of the residual, n lesions and k versions:

- ICC(1,1) = (MSB - MSW) / (MSB + (k - 1) MSW): one-way random effects;
- ICC(2,1) = (MSB - MSE) / (MSB + (k - 1) MSE + k (MSJ - MSE) / n): two-way random effects, absolute agreement;
- ICC(3,1) = (MSB - MSE) / (MSB + (k - 1) MSE): two-way mixed effects, consistency.

References
----------
Shrout PE, Fleiss JL. Intraclass correlations: uses in assessing rater reliability. Psychol Bull 1979;86:420-428.
McGraw KO, Wong SP. Forming inferences about some intraclass correlation coefficients. Psychol Methods 1996;1:30-46.
Lin LI. A concordance correlation coefficient to evaluate reproducibility. Biometrics 1989;45:255-268.
Barnhart HX, Haber M, Song J. Overall concordance correlation coefficient for evaluating agreement among multiple
observers. Biometrics 2002;58:1020-1027.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import fdtri

from radiomics_talent.errors import ConfigError, TableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Remark = Literal["", "few_lesions", "infinite", "constant", "constant_in_version"]
"""Why an ICC is not defined. `constant_in_version`: versions differ, lesions within a version do not; ICC(3,1) alone is
not defined then."""
ROUNDING = 1e-12
"""A spread up to this share of the largest absolute value is rounding, not variance."""


@dataclass(frozen=True, slots=True, eq=False)
class Coefficient:
    """A coefficient of each feature with its confidence interval.

    Attributes
    ----------
    value, lower, upper : ndarray of float64
        (feature,); NaN where not defined.
    """

    value: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Agreement of the versions of lesions; every array is (feature,).

    Attributes
    ----------
    n_versions : int
        Measurements of each lesion.
    n_lesions : ndarray of int64
        Lesions without NaN.
    icc_1_1, icc_2_1, icc_3_1 : Coefficient
        Intraclass correlation of a single measurement.
    ccc : ndarray of float64
        Overall concordance correlation coefficient, from moments divided by n; Lin's where there are two versions.
    cv : ndarray of float64
        Within-lesion coefficient of variation: the root mean square, over lesions, of the standard deviation (divisor
        k - 1) over the absolute mean. NaN where the mean of a lesion is 0.
    remark : ndarray of str
        `Remark`.
    """

    n_versions: int
    n_lesions: NDArray[np.int64]
    icc_1_1: Coefficient
    icc_2_1: Coefficient
    icc_3_1: Coefficient
    ccc: Floats
    cv: Floats
    remark: NDArray[np.str_]


def agreement(values: Floats, confidence: float = 0.95) -> Agreement:
    """Return how well the versions of lesions agree.

    A lesion that lacks a feature in any version is left out for that feature. Where nothing varies beyond rounding
    the coefficients are NaN, never 1; where lesions differ and their versions do not, they are exactly 1.

    Parameters
    ----------
    values : ndarray of float64
        (lesion, version, feature).
    confidence : float
        Of the intervals, between 0 and 1. They are from F distributions; that of ICC(2,1) has Satterthwaite's
        degrees of freedom (McGraw and Wong 1996, table 7), an approximation that may miss its own estimate where
        lesions are few and the coefficient is about 0 or less.

    Raises
    ------
    TableError
        There are fewer than two versions.
    ConfigError
        `confidence` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence:g}, expected more than 0 and less than 1")
    if values.ndim != 3 or values.shape[1] < 2:
        raise TableError(
            f"values have the shape {values.shape}, expected (lesion, version, feature) with two or more versions: "
            "one measurement has nothing to agree with"
        )
    if not len(values):
        values = np.full((1, *values.shape[1:]), np.nan)
    complete: NDArray[np.bool_] = np.logical_not(np.isnan(values).any(axis=1))
    used = complete[:, np.newaxis, :]
    infinite = (np.isinf(values) & used).any(axis=(0, 1))
    # A power of two scales without rounding; squares then neither overflow nor vanish.
    usable = np.where(used & ~infinite, values, 0.0)
    largest = np.abs(usable).max(axis=(0, 1), initial=0.0)
    scaled = np.ldexp(usable, -np.frexp(largest)[1])
    n = complete.sum(axis=0)
    spread = _spread(scaled, used)
    rounding = ROUNDING * np.abs(scaled).max(axis=(0, 1), initial=0.0)
    remark = np.full(n.shape, "", dtype=f"U{len('constant_in_version')}")
    remark[spread.within_versions <= rounding] = "constant_in_version"
    remark[spread.over_all <= rounding] = "constant"
    remark[infinite] = "infinite"
    remark[n < 2] = "few_lesions"
    levels, deviations = _lesion_means(scaled, complete)
    with np.errstate(divide="ignore", invalid="ignore"):
        ms = _MeanSquares.of(levels, deviations, complete)
        icc = (_icc_1_1(ms, confidence), _icc_2_1(ms, confidence), _icc_3_1(ms, confidence))
        ccc = _ccc(ms)
        cv = _within_lesion_cv(scaled, deviations, complete)
    cv[infinite | (n == 0)] = np.nan
    defined = np.isin(remark, ("", "constant_in_version"))
    return Agreement(
        n_versions=values.shape[1],
        n_lesions=n.astype(np.int64),
        icc_1_1=_where(defined, icc[0]),
        icc_2_1=_where(defined, icc[1]),
        icc_3_1=_where(remark == "", icc[2]),
        ccc=np.where(defined, ccc, np.nan),
        cv=cv,
        remark=remark,
    )


@dataclass(frozen=True, slots=True)
class _Spread:
    """Largest minus smallest value: of all, and of the version in which they lie farthest apart."""

    over_all: Floats
    within_versions: Floats


def _spread(scaled: Floats, used: NDArray[np.bool_]) -> _Spread:
    high = np.where(used, scaled, -np.inf).max(axis=0)
    low = np.where(used, scaled, np.inf).min(axis=0)
    some = used.any(axis=0)
    high, low = np.where(some, high, 0.0), np.where(some, low, 0.0)
    return _Spread(high.max(axis=0) - low.min(axis=0), (high - low).max(axis=0))


def _lesion_means(scaled: Floats, complete: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the mean of each lesion less the first value of one lesion, and what versions deviate from the mean.

    Differences of neighbouring numbers are exact, so a large offset costs no digits; equal versions deviate by 0.
    """
    first = scaled[:, :1, :]
    deviations = scaled - first
    shift = deviations.mean(axis=1, keepdims=True)
    deviations -= shift
    origin = np.take_along_axis(first[:, 0], complete.argmax(axis=0)[np.newaxis], axis=0)
    return first[:, 0] - origin + shift[:, 0], deviations


@dataclass(frozen=True, slots=True)
class _MeanSquares:
    n: Floats
    k: int
    between: Floats
    within: Floats
    versions: Floats
    residual: Floats

    @classmethod
    def of(cls, levels: Floats, deviations: Floats, complete: NDArray[np.bool_]) -> _MeanSquares:
        n, k = complete.sum(axis=0).astype(np.float64), deviations.shape[1]
        centred = np.where(complete, levels - np.where(complete, levels, 0.0).sum(axis=0) / n, 0.0)
        # Lesions that are left out are 0 in every version: they add nothing to a sum of deviations.
        effect = deviations.sum(axis=0) / n
        residual = deviations - effect * complete[:, np.newaxis, :]
        return cls(
            n=n,
            k=k,
            between=k * np.einsum("if,if->f", centred, centred) / (n - 1),
            within=np.einsum("ijf,ijf->f", deviations, deviations) / (n * (k - 1)),
            versions=n * np.einsum("jf,jf->f", effect, effect) / (k - 1),
            residual=np.einsum("ijf,ijf->f", residual, residual) / ((n - 1) * (k - 1)),
        )


def _icc_1_1(ms: _MeanSquares, confidence: float) -> Coefficient:
    return _ratio(ms, ms.within, ms.n * (ms.k - 1), confidence)


def _icc_3_1(ms: _MeanSquares, confidence: float) -> Coefficient:
    return _ratio(ms, ms.residual, (ms.n - 1) * (ms.k - 1), confidence)


def _ratio(ms: _MeanSquares, error: Floats, df_error: Floats, confidence: float) -> Coefficient:
    """Return the coefficient for MSB over one error term; its limits for MSB times a quantile of the inverse of F."""

    def at(quantile: Floats | float) -> Floats:
        between = ms.between * quantile
        ratio: Floats = (between - error) / (between + (ms.k - 1) * error)
        return ratio

    low, high = _tails(confidence)
    return Coefficient(at(1.0), at(fdtri(df_error, ms.n - 1, low)), at(fdtri(df_error, ms.n - 1, high)))


def _icc_2_1(ms: _MeanSquares, confidence: float) -> Coefficient:
    n, k = ms.n, ms.k

    def at(quantile: Floats | float) -> Floats:
        between = n * ms.between * quantile
        ratio: Floats = (between - n * ms.residual) / (between + k * ms.versions + (k * n - k - n) * ms.residual)
        return ratio

    value = at(1.0)
    of_versions = k * value * ms.versions
    of_residual = (n * (1 + (k - 1) * value) - k * value) * ms.residual
    df = (k - 1) * (of_versions + of_residual) ** 2 / (of_versions**2 + of_residual**2 / (n - 1))
    # Without residual, and as it vanishes, those of the versions remain.
    df = np.where(np.isnan(df), k - 1, df)
    low, high = _tails(confidence)
    return Coefficient(value, at(fdtri(df, n - 1, low)), at(fdtri(df, n - 1, high)))


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


def _ccc(ms: _MeanSquares) -> Floats:
    """Return Barnhart's overall CCC, whose moments are sums of squares of the two-way layout over n."""
    k = ms.k
    between, residual = (ms.n - 1) * ms.between, (ms.n - 1) * (k - 1) * ms.residual
    versions = (k - 1) * ms.versions
    ccc: Floats = ((k - 1) * between - residual) / ((k - 1) * (between + residual) + k * versions)
    return ccc


def _within_lesion_cv(scaled: Floats, deviations: Floats, complete: NDArray[np.bool_]) -> Floats:
    k = scaled.shape[1]
    mean = np.abs(scaled.mean(axis=1))
    is_zero = mean <= ROUNDING * np.abs(scaled).max(axis=1)
    squared = np.einsum("ijf,ijf->if", deviations, deviations) / (k - 1) / mean**2
    squared = np.where(is_zero, np.nan, squared)
    cv: Floats = np.sqrt(np.where(complete, squared, 0.0).sum(axis=0) / complete.sum(axis=0))
    return cv


def _where(defined: NDArray[np.bool_], of: Coefficient) -> Coefficient:
    return Coefficient(*(np.where(defined, one, np.nan) for one in (of.value, of.lower, of.upper)))
