"""Grey level run length matrix (GLRLM; IBSI family TP0I): runs of one level along each direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native import level_sizes as of
from radiomics_talent.features.native.level_sizes import LevelSizes
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.texture_settings import TextureSettings

_COLUMNS = {
    "GrayLevelNonUniformity": of.LEVEL_NON_UNIFORMITY,
    "GrayLevelNonUniformityNormalized": of.LEVEL_NON_UNIFORMITY_NORMALISED,
    "GrayLevelVariance": of.LEVEL_VARIANCE,
    "HighGrayLevelRunEmphasis": of.HIGH,
    "LongRunEmphasis": of.LARGE,
    "LongRunHighGrayLevelEmphasis": of.LARGE_HIGH,
    "LongRunLowGrayLevelEmphasis": of.LARGE_LOW,
    "LowGrayLevelRunEmphasis": of.LOW,
    "RunEntropy": of.ENTROPY,
    "RunLengthNonUniformity": of.SIZE_NON_UNIFORMITY,
    "RunLengthNonUniformityNormalized": of.SIZE_NON_UNIFORMITY_NORMALISED,
    "RunPercentage": of.PERCENTAGE,
    "RunVariance": of.SIZE_VARIANCE,
    "ShortRunEmphasis": of.SMALL,
    "ShortRunHighGrayLevelEmphasis": of.SMALL_HIGH,
    "ShortRunLowGrayLevelEmphasis": of.SMALL_LOW,
}

_HIGHEST = 0xFFFF
"""The highest level that a voxel's state has room for."""


def run_features(
    grey: GreyLevels, spacing_xyz: tuple[float, ...], settings: TextureSettings, wanted: Collection[str]
) -> dict[str, float]:
    """Return GLRLM features of a lesion (PyRadiomics' ``glrlm``).

    Parameters
    ----------
    grey : GreyLevels
        The lesion discretised.
    spacing_xyz : tuple of float
        Voxel spacing in mm, for `weighting_norm`.
    settings : TextureSettings
        Directions in 3D or 2D; a norm merges their matrices, weighted by length, and without one their features
        are averaged.
    wanted : collection of str
        Feature names.

    Returns
    -------
    dict of str to float
        In the order of `wanted`; NaN where no line of any direction meets two voxels of the lesion.

    Raises
    ------
    ExtractionError
        The image is one voxel wide in every direction looked in, or has more than 65535 levels.
    """
    if grey.highest > _HIGHEST:
        raise ExtractionError(f"{grey.highest} grey levels are too many for runs (at most {_HIGHEST}); raise binWidth")
    offsets = of.unit_offsets(grey.levels_zyx.shape, settings)
    padded = of.bordered(grey.levels_zyx)
    at_least = _runs_of_at_least(padded, offsets, grey.highest, max(grey.levels_zyx.shape))
    merged = settings.weighting_norm is not None
    features = of.matrix_features(LevelSizes(*_entries(at_least, _weights(offsets, spacing_xyz, settings), merged)))
    means = _mean_of_defined(features[None])[0]
    _settle_no_runs(features, means)
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


def _weights(
    offsets: NDArray[np.int64], spacing_xyz: tuple[float, ...], settings: TextureSettings
) -> NDArray[np.float64]:
    """Return the length of each direction's step in the norm chosen."""
    steps = np.abs(offsets) * np.array(spacing_xyz[::-1])
    lengths: dict[str | None, NDArray[np.float64]] = {
        "infinity": steps.max(axis=1),
        "euclidean": np.sqrt((steps**2).sum(axis=1)),
        "manhattan": steps.sum(axis=1),
    }
    return lengths.get(settings.weighting_norm, np.ones(len(offsets)))


def _settle_no_runs(features: NDArray[np.float64], means: NDArray[np.float64]) -> None:
    """Write the zeros that PyRadiomics has for sums over no run length, where one matrix is all there is."""
    if len(features) == 1 and np.isnan(features).all():
        means[..., [of.ENTROPY, of.SIZE_VARIANCE]] = 0.0


def _mean_of_defined(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average (n, directions, features) over the directions that have runs."""
    has_runs = ~np.isnan(features[:, :, :1])
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(has_runs, features, 0.0).sum(axis=1) / has_runs.sum(axis=1)
    return means


@kernel
def _runs_of_at_least(
    padded: NDArray[np.int32], offsets: NDArray[np.int64], highest: int, longest: int
) -> NDArray[np.int32]:
    """Count runs by direction, level and least length: each voxel adds the run that it is the last of so far.

    A direction in which no line meets two voxels of the lesion keeps no run.
    """
    _, ny, nx = padded.shape
    levels = padded.reshape(-1)
    inside = np.flatnonzero(levels).astype(np.uint32)  # unsigned: an index that cannot be negative is looked up at once
    of_inside = levels[inside].astype(np.uint32)
    counts = np.zeros((offsets.shape[0], (highest + 1) * (longest + 2)), np.int32)
    width, one, half, low = np.uint32(longest + 2), np.uint32(1), np.uint32(16), np.uint32(0xFFFF)
    state = np.zeros(levels.size, np.uint32)  # level and length so far, 16 bits each: one look tells both
    for d in range(offsets.shape[0]):
        back = np.uint32((offsets[d, 0] * ny + offsets[d, 1]) * nx + offsets[d, 2])
        neighbours = np.uint32(0)
        of_direction = counts[d]
        for k in range(inside.size):
            level, voxel = of_inside[k], inside[k]
            before = state[np.uint32(voxel - back)]
            neighbours |= before
            length = (before & low) + one if before >> half == level else one
            state[voxel] = level << half | length
            of_direction[level * width + length] += 1
        if neighbours == 0 and not _meets_two(padded, offsets[d]):
            of_direction[:] = 0
    return counts.reshape(offsets.shape[0], highest + 1, longest + 2)


@kernel
def _meets_two(padded: NDArray[np.int32], offset: NDArray[np.int64]) -> bool:
    """Tell whether a line along the offset meets two voxels of the lesion, however far apart."""
    nz, ny, nx = padded.shape
    met = np.zeros(padded.shape, np.bool_)
    for z in range(1, nz - 1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                before = met[z - offset[0], y - offset[1], x - offset[2]]
                if before and padded[z, y, x] > 0:
                    return True
                met[z, y, x] = before or padded[z, y, x] > 0
    return False


@kernel
def _entries(
    at_least: NDArray[np.int32], weights: NDArray[np.float64], merged: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]:
    """Return the entries of each direction's matrix, or of their weighted sum."""
    n_directions, n_levels, n_lengths = at_least.shape
    n_matrices = 1 if merged else n_directions
    starts = np.zeros(n_matrices + 1, np.int64)
    room = 0
    for d in range(n_directions):
        for level in range(1, n_levels):
            length = 1
            while at_least[d, level, length] > 0:
                length += 1
            room += length - 1
    levels, lengths, counts = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.float64)
    k = 0
    for m in range(n_matrices):
        for level in range(1, n_levels):
            for length in range(1, n_lengths - 1):
                count = 0.0
                some = False
                for d in range(0 if merged else m, n_directions if merged else m + 1):
                    some |= at_least[d, level, length] > 0
                    runs = at_least[d, level, length] - at_least[d, level, length + 1]
                    count += weights[d] * runs if merged else runs
                if not some:
                    break
                if count > 0:
                    levels[k], lengths[k], counts[k] = level, length, count
                    k += 1
        starts[m + 1] = k
    return levels[:k], lengths[:k], counts[:k], starts
