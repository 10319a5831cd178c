"""Intensity-based statistics (IBSI UHIW): of the intensities in the intensity mask, as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion


def statistics_features(lesion: IbsiLesion, wanted: Collection[str]) -> dict[str, float]:
    """Compute statistics of a lesion's intensities.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    wanted : collection of str
        Names of class ``firstorder``, of `STATISTICS`.

    Returns
    -------
    dict of str to float
        In the order of `wanted`, in HU where the feature has a unit; of a flat lesion see `STATISTICS`.
    """
    values = lesion.image_zyx[lesion.box.slices_zyx][lesion.intensity_zyx]
    return statistics_of(values, wanted)


def statistics_of(values: NDArray[np.float64], wanted: Collection[str]) -> dict[str, float]:
    """Compute statistics of numbers: intensities, or grey levels.

    Parameters
    ----------
    values : ndarray of float64
        (n,), n at least 1.
    wanted : collection of str
        Names of `STATISTICS`.
    """
    return {name: float(STATISTICS[name](values)) for name in wanted}


def _central(x: NDArray[np.float64], power: int) -> float:
    return float(np.mean((x - x.mean()) ** power))


def _standardised(x: NDArray[np.float64], power: int, flat: float) -> float:
    variance = _central(x, 2)
    # A float image of one value has a variance of rounding.
    return flat if x.min() == x.max() else _central(x, power) / variance ** (power / 2)


def _between(x: NDArray[np.float64], low: float, high: float) -> float:
    lower, upper = np.percentile(x, [low, high])
    return float(upper - lower)


def _robust(x: NDArray[np.float64]) -> float:
    low, high = np.percentile(x, [10, 90])
    inner = x[(x >= low) & (x <= high)]
    return float(np.abs(inner - inner.mean()).mean())


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _quartile_dispersion(x: NDArray[np.float64]) -> float:
    low, high = np.percentile(x, [25, 75])
    return _ratio(float(high - low), float(high + low))


STATISTICS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    # Q4LE, X6K6: sum x / n
    "Mean": lambda x: float(x.mean()),
    # ECT3, CH89: sum (x - mean)² / n
    "Variance": lambda x: _central(x, 2),
    # KE2A, 88K1: third central moment over the variance's 3/2 power; 0 of a flat lesion
    "Skewness": lambda x: _standardised(x, 3, 0.0),
    # IPH6, C3I7: fourth central moment over the squared variance, less 3; 0 of a flat lesion
    "ExcessKurtosis": lambda x: _standardised(x, 4, 3.0) - 3.0,
    # Y12H, WIFQ
    "Median": lambda x: float(np.median(x)),
    # 1GSF, 1PR8
    "Minimum": lambda x: float(x.min()),
    # QG58, GPMT: between two values that straddle it the percentile is interpolated
    "10Percentile": lambda x: float(np.percentile(x, 10)),
    # 8DWT, OZ0C
    "90Percentile": lambda x: float(np.percentile(x, 90)),
    # 84IY, 3NCY
    "Maximum": lambda x: float(x.max()),
    # SALO, WR0O: P75 - P25
    "InterquartileRange": lambda x: _between(x, 25, 75),
    # 2OJQ, 5Z3W
    "Range": lambda x: float(x.max() - x.min()),
    # 4FUA, D2ZX: sum |x - mean| / n
    "MeanAbsoluteDeviation": lambda x: float(np.abs(x - x.mean()).mean()),
    # 1128, WRZB: the same of the x from P10 to P90, about their own mean
    "RobustMeanAbsoluteDeviation": _robust,
    # N72L, 4RNL: sum |x - median| / n
    "MedianAbsoluteDeviation": lambda x: float(np.abs(x - np.median(x)).mean()),
    # 7TET, CWYJ: standard deviation over the mean; not defined where the mean is 0
    "CoefficientOfVariation": lambda x: _ratio(math.sqrt(_central(x, 2)), float(x.mean())),
    # 9S40, SLWD: (P75 - P25) / (P75 + P25); not defined where the sum is 0
    "QuartileCoefficientOfDispersion": _quartile_dispersion,
    # N8CA: sum x²
    "Energy": lambda x: float((x * x).sum()),
    # 5ZWQ: root of sum x² / n
    "RootMeanSquared": lambda x: math.sqrt(float((x * x).mean())),
}
"""Each feature with its codes in the families of intensities and of the histogram (the last two have only the former).
"""
