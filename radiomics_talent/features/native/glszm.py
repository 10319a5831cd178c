"""Grey level size zone matrix (GLSZM; IBSI family 9SAK): connected voxels of one level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    "HighGrayLevelZoneEmphasis": of.HIGH,
    "LargeAreaEmphasis": of.LARGE,
    "LargeAreaHighGrayLevelEmphasis": of.LARGE_HIGH,
    "LargeAreaLowGrayLevelEmphasis": of.LARGE_LOW,
    "LowGrayLevelZoneEmphasis": of.LOW,
    "SizeZoneNonUniformity": of.SIZE_NON_UNIFORMITY,
    "SizeZoneNonUniformityNormalized": of.SIZE_NON_UNIFORMITY_NORMALISED,
    "SmallAreaEmphasis": of.SMALL,
    "SmallAreaHighGrayLevelEmphasis": of.SMALL_HIGH,
    "SmallAreaLowGrayLevelEmphasis": of.SMALL_LOW,
    "ZoneEntropy": of.ENTROPY,
    "ZonePercentage": of.PERCENTAGE,
    "ZoneVariance": of.SIZE_VARIANCE,
}

_SMALL = 64
"""Zones below this size are counted in a table, larger ones one by one: they are few."""

_BIT_NUMBER = np.zeros(37, np.uint8)
"""The number of a bit by its value modulo 37: powers of two all differ there."""
_BIT_NUMBER[[(1 << n) % 37 for n in range(16)]] = np.arange(16)


def zone_features(grey: GreyLevels, settings: TextureSettings, wanted: Collection[str]) -> dict[str, float]:
    """Return GLSZM features of a lesion (PyRadiomics' ``glszm``): zones of 26-connected voxels, 8-connected in 2D.

    Parameters
    ----------
    grey : GreyLevels
        The lesion discretised.
    settings : TextureSettings
        3D or 2D.
    wanted : collection of str
        Feature names.

    Returns
    -------
    dict of str to float
        In the order of `wanted`.

    Raises
    ------
    ExtractionError
        The image is one voxel wide in every direction looked in.
    """
    offsets = of.unit_offsets(grey.levels_zyx.shape, settings)
    padded = of.bordered(grey.levels_zyx)
    steps = of.flat_steps(offsets, padded.shape)
    equal = of.equal_neighbours(padded.reshape(-1), steps)
    table, large = _zones(padded.reshape(-1), equal, steps.astype(np.uint32), _not_adjacent(offsets), grey.highest)
    levels, sizes = np.nonzero(table)
    counts = table[levels, sizes]
    if len(large):
        pairs, how_often = np.unique(large, return_counts=True)
        levels = np.concatenate([levels, pairs >> 32])
        sizes = np.concatenate([sizes, pairs & 0xFFFFFFFF])
        counts = np.concatenate([counts, how_often])
    entries = LevelSizes(
        levels.astype(np.int32), sizes.astype(np.int32), counts.astype(np.float64), np.array([0, len(levels)])
    )
    features = of.matrix_features(entries)[0]
    return {name: float(features[_COLUMNS[name]]) for name in wanted}


def zones_of_voxels(
    padded: NDArray[np.int32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the zones of a lesion, in array order of their first voxels, and which one each voxel belongs to.

    Parameters
    ----------
    padded : ndarray of int32
        (z, y, x): grey levels, 0 outside of the lesion, from `level_sizes.bordered`.
    offsets : ndarray of int64
        From `level_sizes.unit_offsets`: to the neighbours that a zone holds together by.

    Returns
    -------
    first, size : ndarray of int64
        (zones,): index of a zone's first voxel in the flat array, and its number of voxels.
    zone : ndarray of int64
        (voxels of the lesion,): the number of each voxel's zone.
    """
    steps = of.flat_steps(offsets, padded.shape)
    equal = of.equal_neighbours(padded.reshape(-1), steps)
    return _numbered_zones(padded.reshape(-1), equal, steps.astype(np.uint32), _not_adjacent(offsets))


def _not_adjacent(offsets: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return for each offset the bits of those after it in the list that are no neighbours of it."""
    apart = np.abs(offsets[:, None] - offsets).max(axis=2) > 1
    return np.asarray((np.triu(apart) << np.arange(len(offsets))).sum(axis=1), dtype=np.int16)


@kernel
def _numbered_zones(
    levels: NDArray[np.int32], equal: NDArray[np.int16], steps: NDArray[np.uint32], not_adjacent: NDArray[np.int16]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each zone's first voxel and size, and the zone of each voxel; roots settle as in `_zones`."""
    inside = np.flatnonzero(levels).astype(np.uint32)
    root = np.zeros(levels.size, np.uint32)
    _unite(root, equal, steps, not_adjacent)
    number = np.zeros(levels.size, np.int32)
    first, size = np.empty(inside.size, np.int64), np.zeros(inside.size, np.int64)
    zone = np.empty(inside.size, np.int64)
    n = 0
    for k in range(inside.size):
        voxel = inside[k]
        own = root[root[voxel]]
        root[voxel] = own
        if own == voxel:
            number[voxel], first[n] = n, voxel
            n += 1
        zone[k] = number[own]
        size[zone[k]] += 1
    return first[:n].copy(), size[:n].copy(), zone


@kernel
def _zones(
    levels: NDArray[np.int32],
    equal: NDArray[np.int16],
    steps: NDArray[np.uint32],
    not_adjacent: NDArray[np.int16],
    highest: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return zones by level and size below `_SMALL`, and the others as level << 32 | size.

    Union-find in array order: a voxel's root always comes before it, so one more pass settles every root.
    """
    inside = np.flatnonzero(levels).astype(np.uint32)
    root = np.zeros(levels.size, np.uint32)
    _unite(root, equal, steps, not_adjacent)
    size = np.zeros(levels.size, np.int32)
    for k in range(inside.size):
        voxel = inside[k]
        own = root[root[voxel]]
        root[voxel] = own
        size[own] += 1
    table = np.zeros((highest + 1, _SMALL), np.int64)
    large = np.empty(inside.size // _SMALL + 1, np.int64)
    n_large = 0
    for k in range(inside.size):
        level, n = levels[inside[k]], size[inside[k]]
        if n < _SMALL:
            table[level, n] += 1  # what is no root has size 0
        else:
            large[n_large] = np.int64(level) << 32 | n
            n_large += 1
    table[:, 0] = 0
    return table, large[:n_large]


@kernel
def _unite(
    root: NDArray[np.uint32], equal: NDArray[np.int16], steps: NDArray[np.uint32], not_adjacent: NDArray[np.int16]
) -> None:
    """Unite every voxel with the zones of its neighbours before it, of which `equal` has the bits."""
    for voxel in range(equal.size):
        own = np.uint32(voxel)
        left = equal[voxel]
        while left:
            d = _BIT_NUMBER[(left & -left) % 37]
            left &= not_adjacent[d]  # neighbours that touch this one are united with it already
            found = _root(root, np.uint32(voxel - steps[d]))
            if own < found:
                root[found] = own
            elif found < own:
                root[own] = found
                own = found
        root[voxel] = own


@kernel
def _root(root: NDArray[np.uint32], voxel: np.uint32) -> np.uint32:
    """Follow a voxel to its root, halving the way for the next one."""
    while root[voxel] != voxel:
        root[voxel] = root[root[voxel]]
        voxel = root[voxel]
    return voxel


def zone_maps(
    grey: GreyLevels,
    centres_zyx: NDArray[np.intp],
    radius: int,
    settings: TextureSettings,
    wanted: Collection[str],
) -> dict[str, NDArray[np.float64]]:
    """Return GLSZM features of the neighbourhood of each centre (PyRadiomics' ``voxelBased``).

    Parameters
    ----------
    grey : GreyLevels
        The image discretised; voxels of level 0 belong to no neighbourhood.
    centres_zyx : ndarray of intp
        (n, 3), inside the lesion.
    radius : int
        Infinity norm; in 2D within the slice of the centre.
    settings, wanted
        As for `zone_features`.

    Returns
    -------
    dict of str to ndarray of float64
        (n,) each, in the order of `wanted`.

    Raises
    ------
    ExtractionError
        The image is one voxel wide in every direction looked in.
    """
    offsets = of.unit_offsets(grey.levels_zyx.shape, settings)
    window = of.Window.around(radius, settings)
    padded = window.bordered(grey.levels_zyx)
    levels = padded.reshape(-1)
    equal = of.equal_neighbours(levels, of.flat_steps(offsets, padded.shape))
    cells = window.cells(padded.shape, offsets)
    steps = of.flat_steps(offsets, window.shape).astype(np.uint32)
    found = []
    for batch in of.batches(len(centres_zyx), cells.shape[1]):
        corners = window.corners(centres_zyx[batch], padded.shape)
        zones = _zones_around(levels, equal, corners, cells, steps, _not_adjacent(offsets), grey.highest)
        found.append(of.matrix_features(LevelSizes(*zones)))
    features = np.concatenate(found)
    return {name: features[:, _COLUMNS[name]] for name in wanted}


@kernel
def _zones_around(
    levels: NDArray[np.int32],
    equal: NDArray[np.int16],
    corners: NDArray[np.int64],
    cells: NDArray[np.int64],
    steps: NDArray[np.uint32],
    not_adjacent: NDArray[np.int16],
    highest: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]:
    """Return the entries of the matrix of each window: union-find among its cells."""
    n_cells = cells.shape[1]
    width = n_cells + 1
    table = np.zeros((highest + 1) * width, np.int32)
    root, size = np.zeros(n_cells, np.uint32), np.zeros(n_cells, np.int32)
    same, keys = np.empty(n_cells, np.int16), np.empty(n_cells, np.int64)
    room = corners.size * n_cells
    out_levels, out_sizes, out_counts = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room)
    starts = np.zeros(corners.size + 1, np.int64)
    n_out = 0
    for c in range(corners.size):
        for k in range(n_cells):
            same[k] = equal[corners[c] + cells[0, k]] & cells[1, k]
            size[k] = 0
        _unite(root, same, steps, not_adjacent)
        for k in range(n_cells):
            root[k] = root[root[k]]
            size[root[k]] += 1
        n_keys = 0
        for k in range(n_cells):
            level = levels[corners[c] + cells[0, k]]
            if level > 0 and size[k] > 0:
                key = level * width + size[k]
                if table[key] == 0:
                    keys[n_keys] = key
                    n_keys += 1
                table[key] += 1
        for k in range(n_keys):
            out_levels[n_out], out_sizes[n_out] = keys[k] // width, keys[k] % width
            out_counts[n_out] = table[keys[k]]
            table[keys[k]] = 0
            n_out += 1
        starts[c + 1] = n_out
    return out_levels[:n_out], out_sizes[:n_out], out_counts[:n_out], starts
