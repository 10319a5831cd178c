"""One pass over a lesion counts what its voxels' neighbours are: the entries of GLCM, GLDM and NGTDM.

A table is kept as its entries that are not zero, so that the formulas run alike over the 13 angles of a lesion and
over the thousands of small neighbourhoods of a map (`neighbourhoods`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.glcm_rounding import as_laid_out
from radiomics_talent.features.native.neighbour_offsets import angle_weights, neighbour_offsets
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.texture_settings import TextureSettings

_GAP, _LONGEST = 32, 1024
"""Voxels: gaps that stretches are joined across, and where they are cut."""


@dataclass(frozen=True, slots=True, eq=False)
class PairTables:
    """Co-occurrence matrices, each normalised to a sum of 1 (PyRadiomics' ``P_glcm``).

    Attributes
    ----------
    start : ndarray of int64
        (tables + 1,): entries of table t are those from ``start[t]`` to ``start[t + 1]``; none if t has no pair.
    first, second : ndarray of int32
        (entries,): row and column, as indices into the levels that are present; those of a lesion ascend.
    share : ndarray of float64
        (entries,): probability of the pair of levels.
    merged : int
        Number of angles that are one table, with weights; 0 where each has its own.
    """

    start: NDArray[np.int64]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    share: NDArray[np.float64]
    merged: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class DependenceTables:
    """Dependence matrices (PyRadiomics' ``P_gldm``).

    Attributes
    ----------
    start : ndarray of int64
        (tables + 1,).
    level : ndarray of int32
        (entries,): index into the levels that are present.
    size : ndarray of int32
        (entries,): 1 + number of dependent neighbours.
    voxels : ndarray of float64
        (entries,): number of voxels.
    """

    start: NDArray[np.int64]
    level: NDArray[np.int32]
    size: NDArray[np.int32]
    voxels: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ToneTables:
    """Neighbouring grey tone difference matrices (PyRadiomics' ``P_ngtdm``).

    Attributes
    ----------
    start : ndarray of int64
        (tables + 1,).
    level : ndarray of int32
        (entries,): index into the levels that are present.
    voxels : ndarray of float64
        (entries,): number of voxels of the level.
    difference : ndarray of float64
        (entries,): sum over them of the distance from the mean level of the neighbours.
    """

    start: NDArray[np.int64]
    level: NDArray[np.int32]
    voxels: NDArray[np.float64]
    difference: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """A lesion with a rim of zeros, flat, and the stretches of voxels of it that lie side by side."""

    flat: NDArray[np.int32]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    strides: tuple[int, int, int]


@kernel
def _count_pairs(
    rank: NDArray[np.int32],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    offsets: NDArray[np.int64],
    tables: NDArray[np.int32],
) -> None:
    """Count pairs (rank here, rank there) of each offset, in flat tables; rank 0 is outside of the lesion.

    Indices without a sign save the test for a negative one, half the time.
    """
    side = np.uint32(np.sqrt(tables.shape[1]))
    for a in range(offsets.size):
        table = tables[a]
        for r in range(start.size):
            here = rank[start[r] : start[r] + length[r]]
            there = rank[start[r] + offsets[a] : start[r] + offsets[a] + length[r]]
            for x in range(here.size):
                table[np.uint32(here[x]) * side + np.uint32(there[x])] += 1


@kernel
def _emit_pairs(
    tables: NDArray[np.float64], mirrored: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Turn dense tables with a border of zero ranks into normalised entries."""
    levels = tables.shape[1] - 1
    start = np.zeros(tables.shape[0] + 1, np.int64)
    first = np.empty(tables.shape[0] * levels * levels, np.int32)
    second = np.empty(first.size, np.int32)
    share = np.empty(first.size, np.float64)
    n = 0
    for a in range(tables.shape[0]):
        table = tables[a]
        total = 0.0
        for i in range(levels):
            for j in range(levels):
                pairs = table[i + 1, j + 1] + (table[j + 1, i + 1] if mirrored else 0.0)
                if pairs != 0.0:
                    first[n], second[n], share[n] = i, j, pairs
                    total += pairs
                    n += 1
        share[start[a] : n] /= total
        start[a + 1] = n
    return start, first[:n].copy(), second[:n].copy(), share[:n].copy()


@kernel
def _add_neighbours(
    here: NDArray[np.int32],
    there: NDArray[np.int32],
    alpha: np.int32,
    counts: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
) -> None:
    """Add one neighbour of each voxel of a stretch to the number, sum and dependences of its neighbours."""
    number, total, dependent = counts
    for x in range(here.size):
        inside = there[x] > 0
        apart = np.int32(here[x] - there[x])
        number[x] += np.int32(inside)
        total[x] += there[x]
        dependent[x] += np.int32(inside & (apart <= alpha) & (apart >= -alpha))


@kernel
def _count_neighbours(
    level: NDArray[np.int32],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    offsets: NDArray[np.int64],
    alpha: np.int32,
    dependences: NDArray[np.int32],
    tones: NDArray[np.float64],
) -> None:
    """Fill GLDM (level, dependent neighbours) and NGTDM (level; voxels, difference)."""
    longest = length.max()
    counts = (np.empty(longest, np.int32), np.empty(longest, np.int32), np.empty(longest, np.int32))
    for r in range(start.size):
        begin, n = start[r], length[r]
        here = level[begin : begin + n]
        number, total, dependent = counts[0][:n], counts[1][:n], counts[2][:n]
        number[:] = 0
        total[:] = 0
        dependent[:] = 0
        for a in range(offsets.size):
            _add_neighbours(here, level[begin + offsets[a] : begin + offsets[a] + n], alpha, (number, total, dependent))
        for x in range(n):
            if here[x] == 0:
                continue
            row = np.uint32(here[x])
            dependences[row, np.uint32(dependent[x])] += 1
            tones[row, 0] += 1.0
            if number[x] > 0:
                tones[row, 1] += abs(here[x] - total[x] / number[x])


def pair_tables(
    grey: GreyLevels,
    spacing_xyz: tuple[float, float, float],
    settings: TextureSettings,
    offsets: NDArray[np.int64] | None = None,
    copies: int = 1,
) -> PairTables:
    """Count the pairs of levels of a lesion.

    Parameters
    ----------
    grey : GreyLevels
        The lesion, in the box that PyRadiomics would crop it to.
    spacing_xyz : tuple of float
        Voxel size in mm, for the weights of angles.
    settings : TextureSettings
        Distances, plane, symmetry and ``weightingNorm``.
    offsets : ndarray of int64, optional
        (n, 3): the angles, where the lesion is part of a larger image that has more of them.
    copies : int
        Number of lesions in PyRadiomics' array, as `glcm_rounding.dense_tables` has it.

    Returns
    -------
    PairTables
        One table an angle, in PyRadiomics' order; one in all if angles are weighted.

    Raises
    ------
    ExtractionError
        No voxel can have a neighbour.
    """
    if offsets is None:
        offsets, _ = neighbour_offsets(grey.levels_zyx.shape, settings)
    counts = count_pairs(grey, offsets)
    if settings.weighting_norm is None:
        return normalised_pairs(counts, settings.symmetrical_glcm)
    by_angle = np.ascontiguousarray(counts[:, 1:, 1:].transpose(1, 2, 0)).astype(np.float64)
    if settings.symmetrical_glcm:
        by_angle = by_angle + by_angle.transpose(1, 0, 2)
    # Both sums in the order that PyRadiomics' own have.
    merged = np.sum(by_angle * angle_weights(offsets, spacing_xyz, settings.weighting_norm), axis=2)
    total = as_laid_out(np.repeat(merged[None, :, :, None], copies, axis=0), grey, len(offsets)).sum(axis=(1, 2))[0, 0]
    first, second = np.nonzero(merged)
    return PairTables(
        start=np.array([0, first.size]),
        first=first.astype(np.int32),
        second=second.astype(np.int32),
        share=merged[first, second] / total,
        merged=len(offsets),
    )


def count_pairs(grey: GreyLevels, offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    """Count how often the levels that are present lie at each offset from each other.

    Parameters
    ----------
    grey : GreyLevels
        The lesion, of one voxel at least.
    offsets : ndarray of int64
        (n, 3) in (z, y, x).

    Returns
    -------
    ndarray of int32
        (n, levels + 1, levels + 1): 1 + index of the level here and there; row and column 0 are what is outside.
    """
    lines = _lines(level_ranks(grey), offsets)
    side = grey.present.size + 1
    counts = np.zeros((len(offsets), side * side), dtype=np.int32)
    _count_pairs(lines.flat, lines.start, lines.length, _flat(offsets, lines), counts)
    return counts.reshape(-1, side, side)


def normalised_pairs(counts: NDArray[np.int32], symmetrical: bool) -> PairTables:
    """Turn counts, as from `count_pairs`, into a table each; one without pairs has no entry.

    Parameters
    ----------
    counts : ndarray of int32
        (tables, levels + 1, levels + 1).
    symmetrical : bool
        Each pair counts in both orders.
    """
    return PairTables(*_emit_pairs(counts.astype(np.float64), symmetrical))


def neighbour_tables(grey: GreyLevels, settings: TextureSettings) -> tuple[DependenceTables, ToneTables]:
    """Count the dependent neighbours of a lesion's voxels and their distance from their neighbours' mean.

    Parameters
    ----------
    grey : GreyLevels
        The lesion, in the box that PyRadiomics would crop it to.
    settings : TextureSettings
        Distances, plane and ``gldm_a``.

    Returns
    -------
    DependenceTables, ToneTables
        One table each.

    Raises
    ------
    ExtractionError
        No voxel can have a neighbour.
    """
    _, offsets = neighbour_offsets(grey.levels_zyx.shape, settings)
    return count_neighbours(grey, offsets, settings.gldm_a)


def count_neighbours(grey: GreyLevels, offsets: NDArray[np.int64], alpha: int) -> tuple[DependenceTables, ToneTables]:
    """Count neighbours at the offsets given, as `neighbour_tables` does; a level differs by `alpha` at most.

    Parameters
    ----------
    grey : GreyLevels
        The lesion, of one voxel at least. A voxel without neighbours counts, with no difference of tone.
    offsets : ndarray of int64
        (n, 3) in (z, y, x), both ways.
    alpha : int
        Largest difference of grey levels that is a dependence.
    """
    lines = _lines(grey.levels_zyx, offsets)
    dependences = np.zeros((grey.highest + 1, len(offsets) + 1), dtype=np.int32)
    tones = np.zeros((grey.highest + 1, 2))
    start, length = _joined(lines)
    _count_neighbours(lines.flat, start, length, _flat(offsets, lines), np.int32(alpha), dependences, tones)
    dependences = dependences[grey.present]
    tones = tones[grey.present]
    level, dependent = np.nonzero(dependences)
    everything = np.arange(len(tones), dtype=np.int32)
    return (
        DependenceTables(
            start=np.array([0, level.size]),
            level=level.astype(np.int32),
            size=(dependent + 1).astype(np.int32),
            voxels=dependences[level, dependent].astype(np.float64),
        ),
        ToneTables(np.array([0, everything.size]), everything, tones[:, 0].copy(), tones[:, 1].copy()),
    )


def _joined(lines: _Lines) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Join stretches across short gaps and cut what is long: long enough for vectors, short enough for the cache."""
    end = lines.start + lines.length
    breaks = lines.start[1:] - end[:-1] > _GAP
    start = lines.start[np.concatenate([[True], breaks])]
    length = end[np.concatenate([breaks, [True]])] - start
    pieces = -(-length // _LONGEST)
    order = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(start, pieces) + order * _LONGEST
    return starts, np.minimum(np.repeat(start + length, pieces) - starts, _LONGEST)


def level_ranks(grey: GreyLevels) -> NDArray[np.int32]:
    """Levels as 1 + their index among those that are present."""
    if grey.present.size == grey.highest:
        return grey.levels_zyx
    table = np.zeros(grey.highest + 1, dtype=np.int32)
    table[grey.present] = np.arange(1, grey.present.size + 1)
    return table[grey.levels_zyx]


def _lines(values_zyx: NDArray[np.int32], offsets: NDArray[np.int64]) -> _Lines:
    """Put a rim around the lesion as wide as neighbours reach, and find the stretches along x."""
    rim = np.abs(offsets).max(axis=0)
    rim[2] = max(rim[2], 1)  # stretches end at the rim
    size = np.asarray(values_zyx.shape) + 2 * rim
    padded = np.zeros(size, dtype=np.int32)
    padded[tuple(slice(r, n - r) for r, n in zip(rim, size, strict=True))] = values_zyx
    flat = padded.reshape(-1)
    inside = (flat > 0).astype(np.int8)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    start = edges[0::2]
    return _Lines(flat, start, edges[1::2] - start, (int(size[1] * size[2]), int(size[2]), 1))


def _flat(offsets: NDArray[np.int64], lines: _Lines) -> NDArray[np.int64]:
    """Offsets in the flat array."""
    return np.ascontiguousarray(offsets @ np.asarray(lines.strides, dtype=np.int64))
