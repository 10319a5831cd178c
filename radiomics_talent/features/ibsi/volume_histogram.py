"""Intensity-volume histogram (IBSI P88C): which share of the lesion is at least as intense as each level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class VolumeHistogram:
    """The histogram of a lesion.

    Attributes
    ----------
    values : ndarray of float64
        (n,), ascending: each voxel's intensity, or the centre of its bin, or its level.
    lowest, highest, step : float
        The levels that there may be: from `lowest` to `highest` in steps of `step`.
    """

    values: NDArray[np.float64]
    lowest: float
    highest: float
    step: float


def ivh_features(histogram: VolumeHistogram, wanted: Collection[str]) -> dict[str, float]:
    """Compute features of an intensity-volume histogram.

    Parameters
    ----------
    histogram : VolumeHistogram
        The histogram.
    wanted : collection of str
        Names of class ``ivh``.

    Returns
    -------
    dict of str to float
        In the order of `wanted`; intensities in the unit of the histogram. Of a lesion of one intensity the area under
        the curve is NaN; where there can be no other level, every voxel is at least as intense as any share of the
        range. Where more than x % of the lesion have the highest level, the intensity at x % volume is the level above
        it, which no voxel has.
    """
    return {name: float(_FEATURES[name](histogram)) for name in wanted}


def _volume(h: VolumeHistogram, share: float) -> float:
    """BC2M: the largest volume fraction of which (i - lowest) / (highest - lowest) is at least x %."""
    steps = math.ceil(round(share * (h.highest - h.lowest) / h.step, 9))
    below = np.searchsorted(h.values, h.lowest + steps * h.step - 1e-9 * h.step)
    return float(1 - below / h.values.size)


def _intensity(h: VolumeHistogram, share: float) -> float:
    """GBPN: the lowest intensity that at most x % of the volume have or exceed."""
    allowed = math.floor(round(share * h.values.size, 9))
    # All but `allowed` voxels are to lie below the level: it is the one above that of the most intense of these.
    steps = math.floor((h.values[-1 - allowed] - h.lowest) / h.step + 1e-9) + 1
    return float(h.lowest + steps * h.step)


def _area(h: VolumeHistogram) -> float:
    """9CMM: the area under the volume fraction as a function of the intensity fraction, by trapezoids."""
    if h.highest <= h.lowest or h.values[0] == h.values[-1]:
        return math.nan
    n = round((h.highest - h.lowest) / h.step) + 1
    level = np.clip(np.floor((h.values - h.lowest) / h.step + 1e-9).astype(np.int64), 0, n - 1)
    counts = np.bincount(level, minlength=n)
    share = counts[::-1].cumsum()[::-1] / level.size
    return float(np.trapezoid(share, np.linspace(0, 1, n)))


_FEATURES: dict[str, Callable[[VolumeHistogram], float]] = {
    "VolumeFraction10": lambda h: _volume(h, 0.1),
    "VolumeFraction90": lambda h: _volume(h, 0.9),
    "IntensityAtVolume10": lambda h: _intensity(h, 0.1),
    "IntensityAtVolume90": lambda h: _intensity(h, 0.9),
    # DDTU
    "VolumeFractionDifference": lambda h: _volume(h, 0.1) - _volume(h, 0.9),
    # CNV2
    "IntensityDifference": lambda h: _intensity(h, 0.1) - _intensity(h, 0.9),
    "AreaUnderCurve": _area,
}
