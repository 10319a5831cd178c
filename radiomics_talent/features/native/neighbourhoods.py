"""Tables of moving neighbourhoods: GLCM, GLDM and NGTDM of the box around each centre, as of small lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.neighbour_offsets import angle_weights, neighbour_offsets
from radiomics_talent.features.native.neighbour_tables import DependenceTables, PairTables, ToneTables, level_ranks
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.texture_settings import TextureSettings

    _Layout = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]

_ENTRIES = 1 << 17
"""Room for the entries of the centres that are counted at a time: small enough to stay in cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhoods:
    """An image's ranks with a rim of zeros, and where a neighbourhood lies in it and in a box of its own.

    Attributes
    ----------
    rank : ndarray of int32
        Flat: 1 + index into the levels that are present, 0 outside.
    centres : ndarray of int64
        (n,): flat indices of the centres.
    centres_zyx : ndarray of intp
        (n, 3): the centres in the image without the rim.
    reach_zyx : ndarray of intp
        (3,): how far a neighbourhood goes.
    window : ndarray of int64
        (cells,): from a centre to each voxel of its neighbourhood.
    cells : ndarray of int64
        (cells,): the same voxels in a flat box whose rim is as wide as neighbours reach.
    box_shape : tuple of int
        Shape of that box.
    """

    rank: NDArray[np.int32]
    centres: NDArray[np.int64]
    centres_zyx: NDArray[np.intp]
    reach_zyx: NDArray[np.intp]
    window: NDArray[np.int64]
    cells: NDArray[np.int64]
    box_shape: tuple[int, int, int]

    def part(self, grey: GreyLevels, centre: int) -> NDArray[np.int32]:
        """Return the levels of the neighbourhood of one centre."""
        low = np.maximum(self.centres_zyx[centre] - self.reach_zyx, 0)
        high = self.centres_zyx[centre] + self.reach_zyx + 1
        return grey.levels_zyx[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]


@kernel
def _number_levels(
    rank: NDArray[np.int32],
    centre: int,
    window: NDArray[np.int64],
    number: NDArray[np.int32],
    here: NDArray[np.int32],
) -> int:
    """List the ranks around a centre ascending in `here`, their places (from 1) in `number`; return how many."""
    lowest, highest = number.size, 0
    for c in range(window.size):
        r = rank[centre + window[c]]
        if r > 0:
            number[r] = 1
            lowest, highest = min(lowest, r), max(highest, r)
    levels = 0
    for r in range(lowest, highest + 1):
        if number[r] > 0:
            here[levels] = r - 1
            levels += 1
            number[r] = levels
    return levels


@kernel
def _fill_box(
    rank: NDArray[np.int32],
    centre: int,
    window: NDArray[np.int64],
    cells: NDArray[np.int64],
    value: NDArray[np.int32],
    box: NDArray[np.int32],
) -> None:
    """Copy a neighbourhood into the box, each rank as its value."""
    for c in range(window.size):
        box[cells[c]] = value[rank[centre + window[c]]]


@kernel
def _emit_table(
    table: NDArray[np.float64],
    here: NDArray[np.int32],
    levels: int,
    mirrored: bool,
    entries: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]],
    n: int,
) -> int:
    """Append the entries of a table, normalised, and clear it; a mirrored one holds pairs above the diagonal alone."""
    first, second, share = entries
    begin, total = n, 0.0
    for i in range(levels):
        row = table[i + 1]
        for j in range(i if mirrored else 0, levels):
            pairs = row[j + 1]
            if pairs == 0.0:
                continue
            row[j + 1] = 0.0
            first[n], second[n], share[n] = here[i], here[j], pairs
            total += pairs
            n += 1
            if mirrored:
                total += pairs
                if i == j:
                    share[n - 1] += pairs
                else:
                    first[n], second[n], share[n] = here[j], here[i], pairs
                    n += 1
    for e in range(begin, n):
        share[e] /= total
    return n


@kernel
def _count_box(
    box: NDArray[np.int32],
    cells: NDArray[np.int64],
    step: int,
    weight: float,
    mirrored: bool,
    side: int,
    counts: NDArray[np.float64],
) -> None:
    """Count the pairs of one angle in a flat table whose row and column 0 take what is outside."""
    for c in range(cells.size):
        one = np.uint32(box[np.uint32(cells[c])])
        other = np.uint32(box[np.uint32(cells[c] + step)])
        if mirrored and one > other:
            one, other = other, one
        counts[one * np.uint32(side) + other] += weight


@kernel
def _pairs_around(
    layout: _Layout,
    steps: NDArray[np.int64],
    weights: NDArray[np.float64],
    levels: int,
    merged: bool,
    mirrored: bool,
    entries: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]],
) -> NDArray[np.int64]:
    """Fill the entries of the pairs around each centre; return where tables start: an angle each, or one a centre."""
    rank, centres, window, cells, box = layout
    slots = 1 if merged else steps.size
    side = min(levels, cells.size) + 1
    table = np.zeros((slots, side, side))
    flat = table.reshape(slots, side * side)
    number, here = np.zeros(levels + 1, np.int32), np.empty(side, np.int32)
    start = np.zeros(centres.size * slots + 1, np.int64)
    n = t = 0
    for v in range(centres.size):
        found = _number_levels(rank, centres[v], window, number, here)
        _fill_box(rank, centres[v], window, cells, number, box)
        for a in range(steps.size):
            _count_box(box, cells, steps[a], weights[a], mirrored, side, flat[0 if merged else a])
        for s in range(slots):
            n = _emit_table(table[s], here, found, mirrored, entries, n)
            t += 1
            start[t] = n
        for k in range(found):
            number[here[k] + 1] = 0
    return start


@kernel
def _look_around(
    box: NDArray[np.int32],
    cells: NDArray[np.int64],
    steps: NDArray[np.int64],
    alpha: np.int32,
    counts: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
) -> None:
    """Fill number, sum and dependences of the neighbours of all from the first cell of the box to the last."""
    number, total, dependent = counts
    number[:] = 0
    total[:] = 0
    dependent[:] = 0
    begin, end = cells[0], cells[-1] + 1
    here = box[begin:end]
    for a in range(steps.size):
        there = box[begin + steps[a] : end + steps[a]]
        for x in range(here.size):
            inside = there[x] > 0
            apart = np.int32(here[x] - there[x])
            number[x] += np.int32(inside)
            total[x] += there[x]
            dependent[x] += np.int32(inside & (apart <= alpha) & (apart >= -alpha))


@kernel
def _tally(
    box: NDArray[np.int32],
    cells: NDArray[np.int64],
    place: NDArray[np.int32],
    counts: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
    sizes: NDArray[np.int32],
    sums: NDArray[np.float64],
) -> None:
    """Add the voxels of a neighbourhood to its tables, rows by the place of their level."""
    number, total, dependent = counts
    for c in range(cells.size):
        level, x = box[np.uint32(cells[c])], np.uint32(cells[c] - cells[0])
        if level == 0:
            continue
        row = np.uint32(place[np.uint32(level)] - 1)
        sizes[row, np.uint32(dependent[x])] += 1
        sums[row, 0] += 1.0
        if number[x] > 0:
            sums[row, 1] += abs(level - total[x] / number[x])


@kernel
def _neighbours_around(
    layout: _Layout,
    steps: NDArray[np.int64],
    level: NDArray[np.int32],
    alpha: np.int32,
    dependences: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]],
    tones: tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fill the entries of dependences and tone differences around each centre; return where tables start."""
    rank, centres, window, cells, box = layout
    side, span = min(level.size - 1, cells.size), cells[-1] + 1 - cells[0]
    sizes, sums = np.zeros((side, steps.size + 1), np.int32), np.zeros((side, 2))
    number, here = np.zeros(level.size, np.int32), np.empty(side, np.int32)
    place = np.zeros(level[-1] + 1, np.int32)
    counts = np.empty(span, np.int32), np.empty(span, np.int32), np.empty(span, np.int32)
    starts = np.zeros(centres.size + 1, np.int64), np.zeros(centres.size + 1, np.int64)
    n = m = 0
    for v in range(centres.size):
        found = _number_levels(rank, centres[v], window, number, here)
        _fill_box(rank, centres[v], window, cells, level, box)
        for k in range(found):
            place[level[here[k] + 1]] = k + 1
            number[here[k] + 1] = 0
        _look_around(box, cells, steps, alpha, counts)
        _tally(box, cells, place, counts, sizes, sums)
        for k in range(found):
            for d in range(steps.size + 1):
                if sizes[k, d] > 0:
                    dependences[0][n], dependences[1][n], dependences[2][n] = here[k], d + 1, sizes[k, d]
                    n += 1
            tones[0][m], tones[1][m], tones[2][m] = here[k], sums[k, 0], sums[k, 1]
            m += 1
        sizes[:found] = 0
        sums[:found] = 0.0
        starts[0][v + 1], starts[1][v + 1] = n, m
    return starts


def neighbourhoods(
    grey: GreyLevels, centres_zyx: NDArray[np.intp], radius: int, settings: TextureSettings
) -> Neighbourhoods:
    """Lay out an image and its neighbourhoods for counting.

    Parameters
    ----------
    grey : GreyLevels
        The image; voxels of level 0 belong to no neighbourhood.
    centres_zyx : ndarray of intp
        (n, 3).
    radius : int
        Infinity norm, in voxels; in 2D within the slice of the centre.
    settings : TextureSettings
        Distances and plane.
    """
    reach = np.full(3, radius)
    if settings.force_2d:
        reach[settings.force_2d_dimension] = 0
    rank = np.pad(level_ranks(grey), [(r, r) for r in reach])
    steps = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    _, offsets = neighbour_offsets(grey.levels_zyx.shape, settings)
    rim = np.abs(offsets).max(axis=0)
    depth, height, width = (int(n) for n in 2 * (reach + rim) + 1)
    return Neighbourhoods(
        rank=rank.reshape(-1),
        centres_zyx=centres_zyx,
        reach_zyx=reach,
        centres=(centres_zyx + reach) @ _strides(rank.shape),
        window=steps @ _strides(rank.shape),
        cells=(steps + reach + rim) @ _strides((depth, height, width)),
        box_shape=(depth, height, width),
    )


def pairs_around(
    around: Neighbourhoods, grey: GreyLevels, spacing_xyz: tuple[float, float, float], settings: TextureSettings
) -> Iterator[PairTables]:
    """Count the pairs of levels around each centre, some centres at a time.

    Parameters
    ----------
    around : Neighbourhoods
        From `neighbourhoods`.
    grey, spacing_xyz, settings
        As for `neighbour_tables.pair_tables`.

    Yields
    ------
    PairTables
        Tables of the next centres in order: one an angle for each centre, or one a centre if angles are weighted.
    """
    offsets, _ = neighbour_offsets(grey.levels_zyx.shape, settings)
    norm = settings.weighting_norm
    weights = np.ones(len(offsets)) if norm is None else angle_weights(offsets, spacing_xyz, norm)
    steps, box = offsets @ _strides(around.box_shape), np.zeros(np.prod(around.box_shape), np.int32)
    levels = min(grey.present.size, around.cells.size)
    most = len(offsets) * min(levels**2, 2 * around.cells.size)
    for centres in _batches(around.centres, most):
        size = len(centres) * most
        entries = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size)
        start = _pairs_around(
            (around.rank, centres, around.window, around.cells, box),
            steps,
            weights,
            grey.present.size,
            norm is not None,
            settings.symmetrical_glcm,
            entries,
        )
        first, second, share = entries
        yield PairTables(start, first[: start[-1]], second[: start[-1]], share[: start[-1]])


def neighbours_around(
    around: Neighbourhoods, grey: GreyLevels, settings: TextureSettings
) -> Iterator[tuple[DependenceTables, ToneTables]]:
    """Count dependences and tone differences around each centre, some centres at a time.

    Parameters
    ----------
    around : Neighbourhoods
        From `neighbourhoods`.
    grey, settings
        As for `neighbour_tables.neighbour_tables`.

    Yields
    ------
    DependenceTables, ToneTables
        One table each for the next centres in order.
    """
    _, offsets = neighbour_offsets(grey.levels_zyx.shape, settings)
    steps, box = offsets @ _strides(around.box_shape), np.zeros(np.prod(around.box_shape), np.int32)
    level = np.concatenate([[0], grey.present]).astype(np.int32)
    for centres in _batches(around.centres, around.cells.size):
        size = len(centres) * around.cells.size
        dependences = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size)
        tones = np.empty(size, np.int32), np.empty(size), np.empty(size)
        ends, tone_ends = _neighbours_around(
            (around.rank, centres, around.window, around.cells, box),
            steps,
            level,
            np.int32(settings.gldm_a),
            dependences,
            tones,
        )
        yield (
            DependenceTables(ends, dependences[0][: ends[-1]], dependences[1][: ends[-1]], dependences[2][: ends[-1]]),
            ToneTables(tone_ends, tones[0][: tone_ends[-1]], tones[1][: tone_ends[-1]], tones[2][: tone_ends[-1]]),
        )


def _batches(centres: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Cut centres into stretches whose entries fit the room."""
    step = max(1, _ENTRIES // most)
    for begin in range(0, len(centres), step):
        yield centres[begin : begin + step]


def _strides(shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
