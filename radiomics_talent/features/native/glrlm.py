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

_BIT_NUMBER = np.zeros(37, np.uint8)
"""The number of a bit by its value modulo 37: powers of two all differ there."""
_BIT_NUMBER[[(1 << n) % 37 for n in range(16)]] = np.arange(16)


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
    _refuse_many(grey.highest)
    offsets = of.unit_offsets(grey.levels_zyx.shape, settings)
    padded = of.bordered(grey.levels_zyx)
    at_least = _runs_of_at_least(padded, offsets, grey.highest, max(grey.levels_zyx.shape))
    merged = settings.weighting_norm is not None
    features = of.matrix_features(LevelSizes(*_entries(at_least, _weights(offsets, spacing_xyz, settings), merged)))
    means = _mean_of_defined(features)
    _settle_no_runs(len(features), means)
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


def run_matrices(levels_zyx: NDArray[np.int32], offsets: NDArray[np.int64], merged: bool) -> LevelSizes:
    """Count the runs along each direction, or along all together.

    PyRadiomics leaves a direction out in which no line meets two voxels of the lesion; here its runs, all of length
    1, count as others do.

    Parameters
    ----------
    levels_zyx : ndarray of int32
        (z, y, x): grey levels; 0 outside of the lesion, which has one voxel at least.
    offsets : ndarray of int64
        (n, 3) in (z, y, x), from `level_sizes.unit_offsets`.
    merged : bool
        One matrix in all, or one for each direction.

    Returns
    -------
    LevelSizes
        Levels and lengths.

    Raises
    ------
    ExtractionError
        There are more than 65535 levels.
    """
    voxels = np.bincount(levels_zyx.reshape(-1))
    highest = len(voxels) - 1
    _refuse_many(highest)
    at_least = _runs_of_at_least(of.bordered(levels_zyx), offsets, highest, max(levels_zyx.shape))
    left_out = ~at_least.any(axis=(0, 2))
    at_least[1:, left_out, 1] = voxels[1:, None]
    return LevelSizes(*_entries(at_least, np.ones(len(offsets)), merged))


def _refuse_many(highest: int) -> None:
    if highest > _HIGHEST:
        raise ExtractionError(f"{highest} grey levels are too many for runs (at most {_HIGHEST}); raise binWidth")


def _weights(
    offsets: NDArray[np.int64], spacing_xyz: tuple[float, ...], settings: TextureSettings
) -> NDArray[np.float64]:
    """Return the length of each direction's step in the norm chosen, and 1 without one."""
    steps = np.abs(offsets) * np.array(spacing_xyz[::-1])
    lengths: dict[str | None, NDArray[np.float64]] = {
        "infinity": steps.max(axis=1),
        "euclidean": np.sqrt((steps**2).sum(axis=1)),
        "manhattan": steps.sum(axis=1),
    }
    return lengths.get(settings.weighting_norm, np.ones(len(offsets)))


def _settle_no_runs(n_matrices: int, means: NDArray[np.float64]) -> None:
    """Write the zeros that PyRadiomics has for sums over no run length, where one matrix is all there is."""
    if n_matrices == 1 and np.isnan(means).all():
        means[..., [of.ENTROPY, of.SIZE_VARIANCE]] = 0.0


def _mean_of_defined(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average (..., directions, features) over the directions that have runs."""
    has_runs = ~np.isnan(features[..., :1])
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(has_runs, features, 0.0).sum(axis=-2) / has_runs.sum(axis=-2)
    return means


@kernel
def _runs_of_at_least(
    padded: NDArray[np.int32], offsets: NDArray[np.int64], highest: int, longest: int
) -> NDArray[np.int32]:
    """Count runs by level, direction and least length: each voxel adds the run that it is the last of so far.

    A direction in which no line meets two voxels of the lesion keeps no run.
    """
    _, ny, nx = padded.shape
    levels = padded.reshape(-1)
    inside = np.flatnonzero(levels).astype(np.uint32)  # unsigned: an index that cannot be negative is looked up at once
    of_inside = levels[inside].astype(np.uint32)
    n_directions = offsets.shape[0]
    counts = np.zeros((highest + 1, n_directions, longest + 2), np.int32)
    flat_counts = counts.reshape(-1)
    width = np.uint32(n_directions * (longest + 2))
    one, half, low = np.uint32(1), np.uint32(16), np.uint32(0xFFFF)
    state = np.zeros(levels.size, np.uint32)  # level and length so far, 16 bits each: one look tells both
    for d in range(n_directions):
        back = np.uint32((offsets[d, 0] * ny + offsets[d, 1]) * nx + offsets[d, 2])
        neighbours = np.uint32(0)
        of_direction = flat_counts[d * (longest + 2) :]
        for k in range(inside.size):
            level, voxel = of_inside[k], inside[k]
            before = state[np.uint32(voxel - back)]
            neighbours |= before
            length = (before & low) + one if before >> half == level else one
            state[voxel] = level << half | length
            of_direction[level * width + length] += 1
        if neighbours == 0 and not _meets_two(padded, offsets[d]):
            counts[:, d] = 0
    return counts


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
    n_levels, n_directions, _ = at_least.shape
    room = np.count_nonzero(at_least)
    pairs, counts = np.empty((2, room), np.int32), np.empty(room)
    starts = np.zeros((1 if merged else n_directions) + 1, np.int64)
    rows = np.arange(1, n_levels).astype(np.int32)
    n = 0
    for m in range(starts.size - 1):
        n = _write_matrix(at_least, rows, m, n_directions if merged else m + 1, weights, pairs, counts, n)
        starts[m + 1] = n
    return pairs[0, :n], pairs[1, :n], counts[:n], starts


@kernel
def _write_matrix(
    at_least: NDArray[np.int32],
    rows: NDArray[np.int32],
    first: int,
    last: int,
    weights: NDArray[np.float64],
    pairs: NDArray[np.int32],
    counts: NDArray[np.float64],
    n: int,
) -> int:
    """Write some levels' rows, summed over directions from `first` to `last`, after entry `n`; return where they end.

    Runs of one length are those of at least it, less those of at least the next. They fade out with the length.
    """
    for level in rows:
        for length in range(1, at_least.shape[2] - 1):
            count = 0.0
            longer = False
            for d in range(first, last):
                beyond = at_least[level, d, length + 1]
                count += weights[d] * (at_least[level, d, length] - beyond)
                longer |= beyond > 0
            if count > 0:
                pairs[0, n], pairs[1, n], counts[n] = level, length, count
                n += 1
            if not longer:
                break
    return n


def run_maps(
    grey: GreyLevels,
    centres_zyx: NDArray[np.intp],
    radius: int,
    spacing_xyz: tuple[float, ...],
    settings: TextureSettings,
    wanted: Collection[str],
) -> dict[str, NDArray[np.float64]]:
    """Return GLRLM features of the neighbourhood of each centre (PyRadiomics' ``voxelBased``).

    Parameters
    ----------
    grey : GreyLevels
        The image discretised; voxels of level 0 belong to no neighbourhood.
    centres_zyx : ndarray of intp
        (n, 3).
    radius : int
        Infinity norm; in 2D within the slice of the centre.
    spacing_xyz, settings, wanted
        As for `run_features`.

    Returns
    -------
    dict of str to ndarray of float64
        (n,) each, in the order of `wanted`; NaN where no line meets two voxels.

    Raises
    ------
    ExtractionError
        The image is one voxel wide in every direction looked in.
    """
    offsets = of.unit_offsets(grey.levels_zyx.shape, settings)
    weights = _weights(offsets, spacing_xyz, settings)
    merged = settings.weighting_norm is not None
    window = of.Window.around(radius, settings)
    padded = window.bordered(grey.levels_zyx)
    levels = padded.reshape(-1)
    steps = of.flat_steps(offsets, padded.shape)
    equal = of.equal_neighbours(levels, steps)
    both = of.equal_neighbours((levels > 0).astype(np.int32), steps)
    cells, steps = window.cells(padded.shape, offsets), of.flat_steps(offsets, window.shape)
    at_least = np.zeros((grey.highest + 1, len(offsets), max(window.shape) + 2), np.int32)
    found = []
    for batch in of.batches(len(centres_zyx), cells.shape[1] * len(offsets)):
        corners = window.corners(centres_zyx[batch], padded.shape)
        runs = _runs_around(levels, np.stack([equal, both]), corners, cells, steps, weights, merged, at_least)
        features = of.matrix_features(LevelSizes(*runs))
        found.append(_mean_of_defined(features.reshape(len(corners), -1, of.N_FEATURES)))
    means = np.concatenate(found)
    _settle_no_runs(1 if merged else len(offsets), means)
    return {name: means[:, _COLUMNS[name]] for name in wanted}


@kernel
def _runs_around(
    levels: NDArray[np.int32],
    neighbours: NDArray[np.int16],
    corners: NDArray[np.int64],
    cells: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.float64],
    merged: bool,
    at_least: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]:
    """Return the entries of the matrices of each window: one a direction, or their weighted sum.

    `neighbours` has the bits of those of the same level, and of those in the lesion. `at_least` is zero before and
    after.
    """
    n_directions, n_cells = steps.size, cells.shape[1]
    window = np.empty(n_cells, np.int32)
    so_far = np.empty((n_directions, n_cells), np.int16)
    present = np.empty(n_cells, np.int32)
    of_window = np.empty(n_directions)
    room = corners.size * n_directions * n_cells
    pairs, counts = np.empty((2, room), np.int32), np.empty(room)
    n_matrices = 1 if merged else n_directions
    starts = np.zeros(corners.size * n_matrices + 1, np.int64)
    n = 0
    for c in range(corners.size):
        met = np.int64(0)
        for k in range(n_cells):
            window[k] = levels[corners[c] + cells[0, k]]
            met |= neighbours[1, corners[c] + cells[0, k]] & cells[1, k]
        for d in range(n_directions):
            has_runs = (met >> d) & 1 or _line_meets_two(window, cells, steps, d)
            of_window[d] = weights[d] if has_runs else 0.0
        rows = present[: _scan(window, neighbours[0], corners[c], cells, steps, so_far, at_least, present)]
        for m in range(n_matrices):
            last = n_directions if merged else m + 1
            n = _write_matrix(at_least, rows, m, last, of_window, pairs, counts, n)
            starts[c * n_matrices + m + 1] = n
        for level in rows:
            at_least[level] = 0
    return pairs[0, :n], pairs[1, :n], counts[:n], starts


@kernel
def _scan(
    window: NDArray[np.int32],
    equal: NDArray[np.int16],
    corner: int,
    cells: NDArray[np.int64],
    steps: NDArray[np.int64],
    so_far: NDArray[np.int16],
    at_least: NDArray[np.int32],
    present: NDArray[np.int32],
) -> int:
    """Count a window's runs as `_runs_of_at_least` does, list the levels that are present, and return how many."""
    n_present = 0
    so_far[:] = 1
    for k in range(window.size):
        level = window[k]
        if level == 0:
            continue
        if at_least[level, 0, 0] == 0:
            present[n_present] = level
            n_present += 1
        at_least[level, 0, 0] += 1  # no run has length 0: room for the level's voxels
        goes_on = equal[corner + cells[0, k]] & cells[1, k]
        while goes_on:
            d = _BIT_NUMBER[(goes_on & -goes_on) % 37]
            goes_on &= goes_on - 1
            length = so_far[d, k - steps[d]] + 1
            so_far[d, k] = length
            at_least[level, d, length] += 1
            at_least[level, d, 1] -= 1
    for level in present[:n_present]:
        at_least[level, :, 1] += at_least[level, 0, 0]  # what goes on with no run begins one
    return n_present


@kernel
def _line_meets_two(window: NDArray[np.int32], cells: NDArray[np.int64], steps: NDArray[np.int64], d: int) -> bool:
    """Tell whether a line of the window along a direction meets two voxels of the lesion."""
    for k in range(window.size):
        at = k
        while window[k] > 0 and (cells[1, at] >> d) & 1:
            at -= steps[d]
            if window[at] > 0:
                return True
    return False
