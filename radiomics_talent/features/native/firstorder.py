"""First-order statistics of a lesion's values: a few passes, and a sort of the few values that quantiles lie among."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.texture_settings import TextureSettings

_EPSILON = float(np.spacing(1))
_QUANTILES = (0.1, 0.25, 0.75, 0.9)
_BINS = 2048
_NARROWEST = 1e-300
"""A range below it is not divided into bins: the division would overflow."""


def firstorder_features(
    values: NDArray[Any],
    grey: GreyLevels,
    voxel_volume_mm3: float,
    settings: TextureSettings,
    wanted: Collection[str],
) -> dict[str, float]:
    """Return first-order features of a lesion (PyRadiomics' ``firstorder``).

    Parameters
    ----------
    values : ndarray
        1-D: the lesion's values in array order, of any real type. PyRadiomics computes on them as float64, and
        leaves NaN out (but not of Entropy and Uniformity).
    grey : GreyLevels
        The same lesion discretised: its levels are the histogram of Entropy and Uniformity.
    voxel_volume_mm3 : float
        What TotalEnergy is scaled by.
    settings : TextureSettings
        `voxel_array_shift` is added before squaring.
    wanted : collection of str
        Feature names; StandardDeviation, which PyRadiomics calls deprecated, among them if wanted.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. A lesion of one value has Skewness and Kurtosis 0.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    levels = np.ascontiguousarray(grey.levels_zyx, dtype=np.int32).reshape(-1)
    n = values.size
    # NumPy's own sum: where the mean is large and the spread small, its rounding shows in the moments.
    mean = float(values.sum()) / n
    square, cube, fourth, absolute, energy, smallest, largest, counts = _sums(
        values, levels, mean, float(settings.voxel_array_shift), grey.highest
    )
    variance = square / n
    low, lower, upper, high, median = _quantiles(values, smallest, largest)
    spread = variance or 1.0  # PyRadiomics' way with a lesion of one value
    probability = counts[grey.present] / counts.sum()
    features = {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": energy,
        "Entropy": -float(np.sum(probability * np.log2(probability + _EPSILON))),
        "InterquartileRange": upper - lower,
        "Kurtosis": _standardised(fourth / n, spread, 2),
        "Maximum": largest,
        "Mean": mean,
        "MeanAbsoluteDeviation": absolute / n,
        "Median": median,
        "Minimum": smallest,
        "Range": largest - smallest,
        "RobustMeanAbsoluteDeviation": _robust_mean_absolute_deviation(values, low, high),
        "RootMeanSquared": math.sqrt(energy / n),
        "Skewness": _standardised(cube / n, spread, 1.5),
        "StandardDeviation": math.sqrt(variance),
        "TotalEnergy": energy * voxel_volume_mm3,
        "Uniformity": float(np.sum(probability**2)),
        "Variance": variance,
    }
    return {name: features[name] for name in wanted}


def _standardised(moment: float, variance: float, power: float) -> float:
    with np.errstate(all="ignore"):  # the power of a minute or huge variance is 0 or infinite, as in PyRadiomics
        return float(np.float64(moment) / np.float64(variance) ** power)


def _quantiles(
    values: NDArray[np.float64], smallest: float, largest: float
) -> tuple[float, float, float, float, float]:
    """Return the 10th, 25th, 75th and 90th percentile and the median, as NumPy has them.

    A fine histogram tells which bins the ranks fall into: only their values are sorted.
    """
    n = values.size
    below = [math.floor((n - 1) * q) for q in _QUANTILES]
    ranks = np.array([*below, *(min(b + 1, n - 1) for b in below), (n - 1) // 2, n // 2])
    scale = _BINS / (largest - smallest) if largest - smallest > _NARROWEST else 0.0
    counts = _histogram(values, smallest, scale)
    of_rank = np.searchsorted(np.cumsum(counts), ranks, side="right")
    chosen = np.zeros(counts.size, np.bool_)
    chosen[of_rank] = True
    picked = np.sort(_picked(values, smallest, scale, chosen, int(counts[chosen].sum())))
    passed_over = np.cumsum(np.where(chosen, 0, counts))
    at = picked[ranks - passed_over[of_rank]].tolist()
    low, lower, upper, high = (_between(at[i], at[i + 4], (n - 1) * q - below[i]) for i, q in enumerate(_QUANTILES))
    return low, lower, upper, high, (at[8] + at[9]) / 2


def _between(a: float, b: float, t: float) -> float:
    """Interpolate as NumPy's percentile does, in its order of operations."""
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t


def _robust_mean_absolute_deviation(values: NDArray[np.float64], low: float, high: float) -> float:
    kept = (values >= low) & (values <= high)
    n = int(np.count_nonzero(kept))
    if not n:  # two values far apart: none lies between their percentiles
        return math.nan
    mean = float(np.where(kept, values, 0.0).sum()) / n
    return _absolute_deviation(values, low, high, mean) / n


@kernel
def _sums(
    values: NDArray[np.float64], levels: NDArray[np.int32], mean: float, shift: float, highest: int
) -> tuple[float, float, float, float, float, float, float, NDArray[np.int64]]:
    """Return sums of deviations to the powers 2, 3, 4, of their size, of (value + shift)², range, voxels a level."""
    counts = np.zeros(highest + 1, np.int64)
    for i in range(levels.size):
        counts[levels[i]] += 1
    counts[0] = 0
    square = cube = fourth = absolute = energy = 0.0
    smallest = largest = values[0]
    block = 512  # sums of sums: the rounding of a long sum stays small
    for start in range(0, values.size, block):
        s2 = s3 = s4 = s1 = e = 0.0
        for i in range(start, min(start + block, values.size)):
            deviation = values[i] - mean
            d2 = deviation * deviation
            s2 += d2
            s3 += d2 * deviation
            s4 += d2 * d2
            s1 += abs(deviation)
            e += (values[i] + shift) * (values[i] + shift)
            smallest = min(smallest, values[i])
            largest = max(largest, values[i])
        square += s2
        cube += s3
        fourth += s4
        absolute += s1
        energy += e
    return square, cube, fourth, absolute, energy, smallest, largest, counts


@kernel
def _histogram(values: NDArray[np.float64], smallest: float, scale: float) -> NDArray[np.int64]:
    """Count values in bins that ascend with them; the largest has the last bin."""
    counts = np.zeros(_BINS + 1, np.int64)
    for i in range(values.size):
        counts[min(int((values[i] - smallest) * scale), _BINS)] += 1
    return counts


@kernel
def _picked(
    values: NDArray[np.float64], smallest: float, scale: float, chosen: NDArray[np.bool_], n: int
) -> NDArray[np.float64]:
    """Return the values in the bins chosen, of the same bins as `_histogram`."""
    picked = np.empty(n, np.float64)
    k = 0
    for i in range(values.size):
        if chosen[min(int((values[i] - smallest) * scale), _BINS)]:
            picked[k] = values[i]
            k += 1
    return picked


@kernel
def _absolute_deviation(values: NDArray[np.float64], low: float, high: float, mean: float) -> float:
    """Return the sum of distances from `mean` of the values from `low` to `high`."""
    total = 0.0
    block = 512
    for start in range(0, values.size, block):
        part = 0.0
        for i in range(start, min(start + block, values.size)):
            if low <= values[i] <= high:
                part += abs(values[i] - mean)
        total += part
    return total
