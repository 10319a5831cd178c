"""First-order statistics of moving neighbourhoods, summed in the order that NumPy sums PyRadiomics' in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native.level_sizes import Window
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.texture_settings import TextureSettings

_EPSILON = float(np.spacing(1))
_GAPS = np.array([301, 132, 57, 23, 10, 4, 1])

_LOW, _HIGH, _ENERGY, _ENTROPY, _QUARTILES, _KURTOSIS, _MAXIMUM, _ABSOLUTE, _MEAN, _MEDIAN = range(10)
_MINIMUM, _RANGE, _ROBUST, _SQUARED, _SKEWNESS, _DEVIATION, _TOTAL, _UNIFORMITY, _VARIANCE = range(10, 19)
_COLUMNS = {
    "10Percentile": _LOW,
    "90Percentile": _HIGH,
    "Energy": _ENERGY,
    "Entropy": _ENTROPY,
    "InterquartileRange": _QUARTILES,
    "Kurtosis": _KURTOSIS,
    "Maximum": _MAXIMUM,
    "MeanAbsoluteDeviation": _ABSOLUTE,
    "Mean": _MEAN,
    "Median": _MEDIAN,
    "Minimum": _MINIMUM,
    "Range": _RANGE,
    "RobustMeanAbsoluteDeviation": _ROBUST,
    "RootMeanSquared": _SQUARED,
    "Skewness": _SKEWNESS,
    "StandardDeviation": _DEVIATION,
    "TotalEnergy": _TOTAL,
    "Uniformity": _UNIFORMITY,
    "Variance": _VARIANCE,
}


def firstorder_maps(
    values_zyx: NDArray[Any],
    grey: GreyLevels,
    centres_zyx: NDArray[np.intp],
    radius: int,
    voxel_volume_mm3: float,
    settings: TextureSettings,
    wanted: Collection[str],
) -> dict[str, NDArray[np.float64]]:
    """Return first-order features of the neighbourhood of each centre (PyRadiomics' ``voxelBased``).

    Parameters
    ----------
    values_zyx : ndarray
        (z, y, x), of any real type.
    grey : GreyLevels
        The image discretised as float64, which PyRadiomics does for these maps; voxels of level 0 belong to no
        neighbourhood.
    centres_zyx : ndarray of intp
        (n, 3), inside the lesion.
    radius : int
        Infinity norm; in 2D within the slice of the centre.
    voxel_volume_mm3, settings, wanted
        As for `firstorder_features`.

    Returns
    -------
    dict of str to ndarray of float64
        (n,) each, in the order of `wanted`.

    Raises
    ------
    ExtractionError
        The lesion is one voxel wide in every direction looked in.
    """
    window = Window.around(radius, settings)
    values = window.bordered(np.ascontiguousarray(values_zyx, dtype=np.float64))
    levels = window.bordered(grey.levels_zyx)
    offsets = _offsets(grey.levels_zyx, window)
    cells = (offsets[:, 0] * levels.shape[1] + offsets[:, 1]) * levels.shape[2] + offsets[:, 2]
    centres = np.ravel_multi_index(tuple((centres_zyx + window.radius_zyx).T), levels.shape)
    plan = np.array(_summing_plan(len(cells)), dtype=np.int64)
    shift = float(settings.voxel_array_shift)
    features = _around(values.reshape(-1), levels.reshape(-1), centres, cells, plan, shift, grey.highest)
    features[:, _TOTAL] = features[:, _ENERGY] * voxel_volume_mm3
    return {name: features[:, _COLUMNS[name]] for name in wanted}


def _offsets(levels_zyx: NDArray[np.int32], window: Window) -> NDArray[np.int64]:
    """Return PyRadiomics' offsets, the centre last: none reaches farther than the lesion is wide."""
    wide = [np.ptp(np.flatnonzero(levels_zyx.any(axis=tuple({0, 1, 2} - {axis})))) for axis in range(3)]
    reach = [min(r, int(w)) for r, w in zip(window.radius_zyx, wide, strict=True)]
    steps = [np.arange(r, -r - 1, -1) for r in reach]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    if len(offsets) == 1:
        raise ExtractionError("the lesion is one voxel wide in every direction that a neighbourhood extends in")
    is_centre = ~offsets.any(axis=1)
    return np.concatenate([offsets[~is_centre], offsets[is_centre]])


def _summing_plan(n: int) -> list[int]:
    """Return NumPy's order of summing `n` terms: sizes of blocks, and 0 where the last two sums are added."""
    if n <= 128:
        return [n]
    half = n // 2 - n // 2 % 8
    return [*_summing_plan(half), *_summing_plan(n - half), 0]


@kernel
def _around(
    values: NDArray[np.float64],
    levels: NDArray[np.int32],
    centres: NDArray[np.int64],
    cells: NDArray[np.int64],
    plan: NDArray[np.int64],
    shift: float,
    highest: int,
) -> NDArray[np.float64]:
    out = np.empty((centres.size, 19))
    ends = np.zeros(highest + 1, np.int64)
    summed = np.empty(cells.size)
    partial = np.empty(plan.size)
    sample, ordered = np.empty(cells.size), np.empty(cells.size)
    of_sample = np.empty(cells.size, np.int32)
    for c in range(centres.size):
        n = 0
        for k in range(cells.size):
            at = centres[c] + cells[k]
            summed[k] = 0.0
            if levels[at] > 0:
                summed[k] = values[at]
                sample[n] = values[at]
                of_sample[n] = levels[at]
                n += 1
        mean = _pairwise_sum(summed, plan, partial) / n
        row = out[c]
        _moments(sample, n, mean, shift, row)
        fullest = _by_level(sample, of_sample, n, ends, ordered, row)
        _quantiles(ordered, n, fullest, row)
        # What NumPy sums here has zeros in place of what is missing or beyond the percentiles.
        kept = 0
        for k in range(cells.size):
            present = levels[centres[c] + cells[k]] > 0
            if present and row[_LOW] <= summed[k] <= row[_HIGH]:
                kept += 1
            else:
                summed[k] = 0.0
        robust_mean = _pairwise_sum(summed, plan, partial) / kept
        total = 0.0
        for k in range(n):
            if row[_LOW] <= sample[k] <= row[_HIGH]:
                total += abs(sample[k] - robust_mean)
        row[_ROBUST] = total / kept
    return out


@kernel
def _moments(sample: NDArray[np.float64], n: int, mean: float, shift: float, row: NDArray[np.float64]) -> None:
    """Write what sums over the neighbourhood give; a flat one has Skewness and Kurtosis 0."""
    square = cube = fourth = absolute = energy = 0.0
    for k in range(n):
        deviation = sample[k] - mean
        square += deviation * deviation
        cube += deviation * deviation * deviation
        fourth += (deviation * deviation) * (deviation * deviation)
        absolute += abs(deviation)
        energy += (sample[k] + shift) * (sample[k] + shift)
    variance = square / n
    spread = variance if variance != 0 else 1.0
    row[_MEAN] = mean
    row[_VARIANCE] = variance
    row[_DEVIATION] = math.sqrt(variance)
    row[_SKEWNESS] = cube / n / spread**1.5
    row[_KURTOSIS] = fourth / n / (spread * spread)
    row[_ABSOLUTE] = absolute / n
    row[_ENERGY] = energy
    row[_SQUARED] = math.sqrt(energy / n)


@kernel
def _by_level(
    sample: NDArray[np.float64],
    of_sample: NDArray[np.int32],
    n: int,
    ends: NDArray[np.int64],
    ordered: NDArray[np.float64],
    row: NDArray[np.float64],
) -> int:
    """Put the sample in order of its levels, write Entropy and Uniformity, and return the size of the fullest level.

    `ends` is zero before and after.
    """
    lowest, highest = of_sample[:n].min(), of_sample[:n].max()
    for k in range(n):
        ends[of_sample[k]] += 1
    entropy = uniformity = 0.0
    fullest = begin = 0
    for level in range(lowest, highest + 1):
        count = ends[level]
        if count:
            p = count / n
            entropy -= p * math.log2(p + _EPSILON)
            uniformity += p * p
            fullest = max(fullest, count)
        ends[level] = begin
        begin += count
    for k in range(n):
        ordered[ends[of_sample[k]]] = sample[k]
        ends[of_sample[k]] += 1
    ends[lowest : highest + 1] = 0
    row[_ENTROPY] = entropy
    row[_UNIFORMITY] = uniformity
    return fullest


@kernel
def _quantiles(sample: NDArray[np.float64], n: int, fullest: int, row: NDArray[np.float64]) -> None:
    """Sort what is in order but for `fullest` neighbours (Shell's sort), and write what ranks give, as NumPy does."""
    for gap in _GAPS:
        if gap > 1 and gap * 4 > fullest:
            continue
        for k in range(gap, n):
            value = sample[k]
            at = k
            while at >= gap and sample[at - gap] > value:
                sample[at] = sample[at - gap]
                at -= gap
            sample[at] = value
    row[_MINIMUM], row[_MAXIMUM] = sample[0], sample[n - 1]
    row[_RANGE] = sample[n - 1] - sample[0]
    row[_LOW], row[_HIGH] = _quantile(sample, n, 0.1), _quantile(sample, n, 0.9)
    row[_QUARTILES] = _quantile(sample, n, 0.75) - _quantile(sample, n, 0.25)
    row[_MEDIAN] = (sample[(n - 1) // 2] + sample[n // 2]) / 2


@kernel
def _quantile(ordered: NDArray[np.float64], n: int, q: float) -> float:
    below = int((n - 1) * q)
    t = (n - 1) * q - below
    a, b = ordered[below], ordered[min(below + 1, n - 1)]
    return float(b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t)


@kernel
def _pairwise_sum(terms: NDArray[np.float64], plan: NDArray[np.int64], partial: NDArray[np.float64]) -> float:
    """Sum as NumPy does, to the bit, by a plan of blocks."""
    first = n_partial = 0
    for n in plan:
        if n == 0:
            n_partial -= 1
            partial[n_partial - 1] += partial[n_partial]
        else:
            partial[n_partial] = _block_sum(terms[first : first + n])
            n_partial += 1
            first += n
    return float(partial[0])


@kernel
def _block_sum(block: NDArray[np.float64]) -> float:
    """Sum a block as NumPy does: eight sums side by side, then what is left over."""
    n_rows = block.size // 8
    total = 0.0
    if n_rows:
        s0, s1, s2, s3, s4, s5, s6, s7 = block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7]
        for k in range(8, 8 * n_rows, 8):
            s0 += block[k]
            s1 += block[k + 1]
            s2 += block[k + 2]
            s3 += block[k + 3]
            s4 += block[k + 4]
            s5 += block[k + 5]
            s6 += block[k + 6]
            s7 += block[k + 7]
        total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for k in range(8 * n_rows, block.size):
        total += block[k]
    return total
