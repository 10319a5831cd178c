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
    table, large = _zones(of.bordered(grey.levels_zyx), offsets, grey.highest)
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


@kernel
def _zones(
    padded: NDArray[np.int32], offsets: NDArray[np.int64], highest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return zones by level and size below `_SMALL`, and the others as level << 32 | size.

    Union-find in array order: a voxel's root always comes before it, so one more pass settles every root.
    """
    _, ny, nx = padded.shape
    levels = padded.reshape(-1)
    back = ((offsets[:, 0] * ny + offsets[:, 1]) * nx + offsets[:, 2]).astype(np.uint32)
    equal = _equal_neighbours(levels, back)
    others = _not_adjacent(offsets)
    inside = np.flatnonzero(levels).astype(np.uint32)
    root = np.zeros(levels.size, np.uint32)
    for k in range(inside.size):
        voxel = own = inside[k]
        left = equal[voxel]
        while left:
            d = _BIT_NUMBER[np.uint8((left & -left) % 37)]
            left &= others[d]  # neighbours that touch this one are united with it already
            found = _root(root, np.uint32(voxel - back[d]))
            if own < found:
                root[found] = own
            elif found < own:
                root[own] = found
                own = found
        root[voxel] = own
    size = np.zeros(levels.size, np.int64)
    for k in range(inside.size):
        voxel = inside[k]
        root[voxel] = root[root[voxel]]
        size[root[voxel]] += 1
    table = np.zeros((highest + 1, _SMALL), np.int64)
    large = np.empty(inside.size // _SMALL + 1, np.int64)
    n_large = 0
    for k in range(inside.size):
        n = size[inside[k]]
        if 0 < n < _SMALL:
            table[levels[inside[k]], n] += 1
        elif n:
            large[n_large] = np.int64(levels[inside[k]]) << 32 | n
            n_large += 1
    return table, large[:n_large]


@kernel
def _equal_neighbours(levels: NDArray[np.int32], back: NDArray[np.uint32]) -> NDArray[np.int16]:
    """Return for each voxel a bit for each neighbour before it that has its level."""
    equal = np.zeros(levels.size, np.int16)
    first = back.max()  # what comes before is the border
    for d in range(back.size):
        bit = np.int16(1 << d)
        here, there, bits = levels[first:], levels[first - back[d] : levels.size - back[d]], equal[first:]
        for i in range(here.size):
            bits[i] |= bit if here[i] == there[i] else np.int16(0)
    return equal


@kernel
def _not_adjacent(offsets: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return for each offset the bits of those after it in the list that are no neighbours of it."""
    others = np.zeros(offsets.shape[0], np.int16)
    for d in range(offsets.shape[0]):
        for other in range(d + 1, offsets.shape[0]):
            if np.abs(offsets[d] - offsets[other]).max() > 1:
                others[d] |= np.int16(1 << other)
    return others


@kernel
def _root(root: NDArray[np.uint32], voxel: np.uint32) -> np.uint32:
    """Follow a voxel to its root, halving the way for the next one."""
    while root[voxel] != voxel:
        root[voxel] = root[root[voxel]]
        voxel = root[voxel]
    return voxel
