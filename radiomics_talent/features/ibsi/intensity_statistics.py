"""Intensity-based statistics (IBSI UHIW): of the intensities in the intensity mask, as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.ibsi.measured_once import MeasuredOnce

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

_SHORT = 2**15


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
    return statistics_of(sorted_intensities(lesion), wanted)


@once_a_lesion
def sorted_intensities(lesion: IbsiLesion) -> NDArray[np.float64]:
    """Return the intensities in the intensity mask, ascending."""
    values = lesion.inside_zyx[lesion.intensity_zyx]
    if np.abs(values).max() < _SHORT and (values == np.rint(values)).all():
        # HU are whole numbers: sorted as such they take a tenth of the time.
        return np.sort(values.astype(np.int16), kind="stable").astype(np.float64)
    return np.sort(values)


def statistics_of(ascending: NDArray[np.float64], wanted: Collection[str]) -> dict[str, float]:
    """Compute statistics of numbers: intensities, or grey levels.

    Parameters
    ----------
    ascending : ndarray of float64
        (n,), sorted, n at least 1.
    wanted : collection of str
        Names of `STATISTICS`.
    """
    x = Sample(ascending)
    return {name: float(STATISTICS[name](x)) for name in wanted}


class Sample:
    """Numbers in ascending order, with what several statistics of them share."""

    def __init__(self, ascending: NDArray[np.float64]) -> None:
        self.values = ascending
        self.mean = float(ascending.mean())
        self.from_mean = ascending - self.mean
        self.is_flat = bool(ascending[0] == ascending[-1])

    def percentile(self, percent: float) -> float:
        """Return a percentile; between two values that straddle it, interpolated."""
        place = percent / 100 * (self.values.size - 1)
        below = int(place)
        above = min(below + 1, self.values.size - 1)
        low, high = float(self.values[below]), float(self.values[above])
        return low + (high - low) * (place - below)

    @MeasuredOnce
    def variance(self) -> float:
        """Second central moment."""
        return float(np.mean(np.square(self.from_mean)))

    def standardised(self, power: int, flat: float) -> float:
        """Return a central moment over that power of the standard deviation; of equal values, `flat`."""
        if self.is_flat:  # their variance may be rounding
            return flat
        squared = np.square(self.from_mean)
        moment = np.mean(squared * (self.from_mean if power == 3 else squared))
        return float(moment / self.variance ** (power / 2))


def _robust(x: Sample) -> float:
    low, high = x.percentile(10), x.percentile(90)
    inner = x.values[np.searchsorted(x.values, low) : np.searchsorted(x.values, high, side="right")]
    return float(np.abs(inner - inner.mean()).mean()) if inner.size else math.nan


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _quartile_dispersion(x: Sample) -> float:
    low, high = x.percentile(25), x.percentile(75)
    return _ratio(high - low, high + low)


STATISTICS: dict[str, Callable[[Sample], float]] = {
    # Q4LE, X6K6: sum x / n
    "Mean": lambda x: x.mean,
    # ECT3, CH89: sum (x - mean)² / n
    "Variance": lambda x: x.variance,
    # KE2A, 88K1: third central moment over the variance's 3/2 power; 0 of a flat lesion
    "Skewness": lambda x: x.standardised(3, 0.0),
    # IPH6, C3I7: fourth central moment over the squared variance, less 3; 0 of a flat lesion
    "ExcessKurtosis": lambda x: x.standardised(4, 3.0) - 3.0,
    # Y12H, WIFQ
    "Median": lambda x: x.percentile(50),
    # 1GSF, 1PR8
    "Minimum": lambda x: x.values[0],
    # QG58, GPMT
    "10Percentile": lambda x: x.percentile(10),
    # 8DWT, OZ0C
    "90Percentile": lambda x: x.percentile(90),
    # 84IY, 3NCY
    "Maximum": lambda x: x.values[-1],
    # SALO, WR0O: P75 - P25
    "InterquartileRange": lambda x: x.percentile(75) - x.percentile(25),
    # 2OJQ, 5Z3W
    "Range": lambda x: x.values[-1] - x.values[0],
    # 4FUA, D2ZX: sum |x - mean| / n
    "MeanAbsoluteDeviation": lambda x: float(np.abs(x.from_mean).mean()),
    # 1128, WRZB: the same of the x from P10 to P90, about their own mean; not defined where there are none (of two)
    "RobustMeanAbsoluteDeviation": _robust,
    # N72L, 4RNL: sum |x - median| / n
    "MedianAbsoluteDeviation": lambda x: float(np.abs(x.values - x.percentile(50)).mean()),
    # 7TET, CWYJ: standard deviation over the mean; not defined where the mean is 0
    "CoefficientOfVariation": lambda x: _ratio(math.sqrt(x.variance), x.mean),
    # 9S40, SLWD: (P75 - P25) / (P75 + P25); not defined where the sum is 0
    "QuartileCoefficientOfDispersion": _quartile_dispersion,
    # N8CA: sum x²
    "Energy": lambda x: float(np.square(x.values).sum()),
    # 5ZWQ: root of sum x² / n
    "RootMeanSquared": lambda x: math.sqrt(float(np.square(x.values).mean())),
}
"""Each feature with its codes in the families of intensities and of the histogram (the last two have only the former).
"""
