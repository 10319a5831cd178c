"""Bland and Altman's analysis of two measurements of each lesion, for all features at once.

Source: Bland JM, Altman DG. Measuring agreement in method comparison studies. Stat Methods Med Res 1999;8:135-160.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIMIT_SD = 1.96
"""Limits of agreement lie this many standard deviations from the bias: 95 % of normally distributed differences."""
COLUMNS = (
    "feature", "n_pairs", "mean", "bias", "bias_lower", "bias_upper", "sd", "lower_limit", "lower_limit_lower",
    "lower_limit_upper", "upper_limit", "upper_limit_lower", "upper_limit_upper", "outside", "slope", "slope_p",
    "repeatability", "remark",
)  # fmt: skip
"""Of `bland_altman`."""
_FEWEST = 3
_CONFIDENCE = 0.95
_ROUNDING = 1e-12


def bland_altman(values_a: NDArray[np.float64], values_b: NDArray[np.float64], features: Sequence[str]) -> pd.DataFrame:
    """Analyse the differences B - A of every feature.

    Parameters
    ----------
    values_a, values_b : ndarray of float64
        (pair, feature), in the features' own units. A pair that is not finite in A or B is left out of that feature.
    features : sequence of str
        Names.

    Returns
    -------
    DataFrame
        One row a feature, `COLUMNS`: pairs used; mean of all measurements; bias (mean difference) and its 95 %
        interval; standard deviation of the differences (n - 1); limits of agreement, bias ± 1.96 SD, each with its
        95 % interval from t and the standard error SD sqrt(1/n + 1.96²/(2 (n - 1))); share of the pairs outside the
        limits; slope of the least-squares line of difference on mean of a pair, and the p value that it is 0
        (proportional bias; not corrected for the number of features); coefficient of repeatability, 1.96 sqrt(2) times
        the within-lesion standard deviation, sqrt(sum of squared differences / 2n), which holds the bias, too. What is
        not defined is NaN, and `remark` says why.
    """
    used = np.isfinite(values_a) & np.isfinite(values_b)
    n = used.sum(axis=0)
    a, b, exponent = _in_units_of_the_largest(np.where(used, values_a, 0.0), np.where(used, values_b, 0.0))
    with np.errstate(all="ignore"):  # too few pairs and constant features: NaN, with a remark
        difference, middle = b - a, (a + b) / 2
        bias, mean = (np.where(n, x.sum(axis=0) / n, np.nan) for x in (difference, middle))
        off, along = (np.where(used, x - m, 0.0) for x, m in ((difference, bias), (middle, mean)))
        sd = np.sqrt((off**2).sum(axis=0) / np.where(n > 1, n - 1, np.nan))
        sd = np.where(sd <= _ROUNDING, 0.0, sd)
        t = stats.t.ppf(0.5 + _CONFIDENCE / 2, np.where(n > 1, n - 1, np.nan))
        margin_of_bias = t * sd / np.sqrt(n)
        margin_of_limit = t * sd * np.sqrt(1 / n + LIMIT_SD**2 / (2 * (n - 1)))
        # Differences that are all the same are all on the limits, but for rounding.
        outside = np.where(sd == 0, 0.0, (used & (np.abs(off) > LIMIT_SD * sd)).sum(axis=0) / n)
        slope, p_value = _slope(off, along, n)
        repeatability = LIMIT_SD * np.sqrt((difference**2).sum(axis=0) / n)
        low, high = bias - LIMIT_SD * sd, bias + LIMIT_SD * sd
        in_units = (
            mean, bias, bias - margin_of_bias, bias + margin_of_bias, sd, low, low - margin_of_limit,
            low + margin_of_limit, high, high - margin_of_limit, high + margin_of_limit,
        )  # fmt: skip
        own = [np.ldexp(x, exponent) for x in (*in_units, repeatability)]
    columns = (list(features), n, *own[:-1], outside, slope, p_value, own[-1])
    frame = pd.DataFrame(dict(zip(COLUMNS, columns, strict=False)))
    frame.loc[n < _FEWEST, list(COLUMNS[2:-1])] = np.nan
    frame["remark"] = [_remark(k, len(values_a), s, g) for k, s, g in zip(n, sd, slope, strict=True)]
    return frame


def _in_units_of_the_largest(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Return both divided by a power of two that brings each feature below 1, and its exponent.

    The division is exact, and squares of a feature of 1e200 have a place in a float.
    """
    exponent = np.frexp(np.maximum(np.abs(a), np.abs(b)).max(axis=0, initial=0.0))[1]
    return np.ldexp(a, -exponent), np.ldexp(b, -exponent), exponent


def _slope(
    off: NDArray[np.float64], along: NDArray[np.float64], n: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope of centred differences on centred means, and its p value from t with n - 2 degrees of freedom."""
    varies = np.abs(along).max(axis=0, initial=0.0) > _ROUNDING
    spread = np.where(varies, (along**2).sum(axis=0), np.nan)
    slope = (along * off).sum(axis=0) / spread
    df = np.where(n > 2, n - 2, np.nan)
    error = np.sqrt(((off - slope * along) ** 2).sum(axis=0) / df / spread)
    p_value = 2 * stats.t.sf(np.abs(slope / error), df)
    # Without differences but those of rounding, the test is about rounding.
    return slope, np.where(np.abs(off).max(axis=0, initial=0.0) > _ROUNDING, p_value, np.nan)


def _remark(n_used: int, n_pairs: int, sd: float, slope: float) -> str:
    if n_used < _FEWEST:
        return f"pairs with finite values: {n_used}; not analysed"
    said = [f"left out for lack of finite values: {n_pairs - n_used}"] if n_used < n_pairs else []
    if np.isnan(slope):
        said.append("constant: no slope")
    elif sd == 0:
        said.append("the same difference in every pair")
    return "; ".join(said)
