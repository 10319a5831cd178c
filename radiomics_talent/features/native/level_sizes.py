"""Matrices of grey level against size: what GLRLM (lengths of runs) and GLSZM (sizes of zones) have in common.

A matrix is a list of its entries that are not zero: level, size and how often. Many matrices, of the directions of a
lesion or of the neighbourhoods of a map, stand one after another in the same three arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from radiomics_talent.errors import ExtractionError
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from radiomics_talent.features.native.texture_settings import TextureSettings

_EPSILON = float(np.spacing(1))

SMALL, LARGE, LEVEL_NON_UNIFORMITY, LEVEL_NON_UNIFORMITY_NORMALISED = 0, 1, 2, 3
SIZE_NON_UNIFORMITY, SIZE_NON_UNIFORMITY_NORMALISED, PERCENTAGE, LEVEL_VARIANCE = 4, 5, 6, 7
SIZE_VARIANCE, ENTROPY, LOW, HIGH, SMALL_LOW, SMALL_HIGH, LARGE_LOW, LARGE_HIGH = 8, 9, 10, 11, 12, 13, 14, 15
"""Columns of `matrix_features`."""

N_FEATURES = 16

Number = TypeVar("Number", bound=np.generic)

_BATCH = 200_000
_TABLE = 512


@dataclass(frozen=True, slots=True, eq=False)
class LevelSizes:
    """Matrices of grey level against size, by their entries; no entry of a matrix occurs twice.

    Attributes
    ----------
    levels, sizes : ndarray of int32
        (n,): grey level and size, from 1 on.
    counts : ndarray of float64
        (n,): how often; no whole numbers where matrices were merged with weights.
    starts : ndarray of int64
        (matrices + 1,): entries of matrix m are `starts[m]` to `starts[m + 1]`.
    """

    levels: NDArray[np.int32]
    sizes: NDArray[np.int32]
    counts: NDArray[np.float64]
    starts: NDArray[np.int64]


def matrix_features(matrices: LevelSizes) -> NDArray[np.float64]:
    """Return the 16 features of each matrix, in the columns that the constants of this module name.

    Parameters
    ----------
    matrices : LevelSizes
        Matrices; one without entries has NaN in every column.

    Returns
    -------
    ndarray of float64
        (matrices, 16).
    """
    highest = int(matrices.levels.max(initial=0))
    largest = int(matrices.sizes.max(initial=0))
    # Counts of a small neighbourhood are whole numbers: their logarithms are looked up.
    whole = bool((matrices.counts == np.floor(matrices.counts)).all())
    logarithms = np.log2(np.maximum(np.arange(_TABLE if whole else 0), 1))
    return _features(matrices.levels, matrices.sizes, matrices.counts, matrices.starts, highest, largest, logarithms)


def unit_offsets(shape_zyx: tuple[int, ...], settings: TextureSettings) -> NDArray[np.int64]:
    """Return the offsets to one half of a voxel's neighbours, the other half lying opposite.

    Parameters
    ----------
    shape_zyx : tuple of int
        Shape of the image; no offset leads along an axis of one voxel.
    settings : TextureSettings
        In 2D no offset leads out of the slice.

    Returns
    -------
    ndarray of int64
        (n, 3) in (z, y, x), each leading forward in array order; the first is a neighbour of all others.

    Raises
    ------
    ExtractionError
        There is none: PyRadiomics refuses such a lesion too.
    """
    flat = settings.force_2d_dimension if settings.force_2d else -1
    along = [(0,) if n == 1 or axis == flat else (0, 1, -1) for axis, n in enumerate(shape_zyx)]
    offsets = [o for z in along[0] for y in along[1] for x in along[2] if (o := (z, y, x)) > (0, 0, 0)]
    if not offsets:
        raise ExtractionError(
            "the lesion is one voxel wide in every direction that texture matrices look in; leave the matrices out "
            "of featureClass, or set force2D: false"
        )
    offsets.sort(key=lambda o: (-o[0], -o[1] if not o[0] else abs(o[1]), abs(o[2])))
    return np.array(offsets, dtype=np.int64)


def bordered(levels_zyx: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the levels with a border of zeros one voxel wide: every neighbour of a voxel is in the array."""
    nz, ny, nx = levels_zyx.shape
    padded = np.zeros((nz + 2, ny + 2, nx + 2), np.int32)
    padded[1:-1, 1:-1, 1:-1] = levels_zyx
    return padded


@dataclass(frozen=True, slots=True)
class Window:
    """The moving neighbourhood of a map.

    Attributes
    ----------
    radius_zyx : tuple of int
        Voxels on either side of the centre, by axis.
    """

    radius_zyx: tuple[int, int, int]

    @classmethod
    def around(cls, radius: int, settings: TextureSettings) -> Window:
        """Return the window of a radius; in 2D it is one slice thick."""
        flat = settings.force_2d_dimension if settings.force_2d else -1
        z, y, x = (0 if axis == flat else radius for axis in range(3))
        return cls((z, y, x))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells by axis."""
        z, y, x = self.radius_zyx
        return 2 * z + 1, 2 * y + 1, 2 * x + 1

    def bordered(self, volume_zyx: NDArray[Number]) -> NDArray[Number]:
        """Return the volume with a border of zeros that every window fits into."""
        padded: NDArray[Number] = np.pad(volume_zyx, [(r, r) for r in self.radius_zyx])
        return padded

    def corners(self, centres_zyx: NDArray[np.intp], padded_shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Return where the window of each centre begins in the flat bordered volume."""
        return np.asarray(np.ravel_multi_index(tuple(centres_zyx.T), padded_shape), dtype=np.int64)

    def cells(self, padded_shape: tuple[int, ...], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each cell where it lies from the window's beginning in the flat bordered volume.

        The second row has a bit for each offset that leads back from the cell to another cell of the window.
        """
        z, y, x = np.indices(self.shape).reshape(3, -1)
        before = np.stack([z, y, x], axis=1)[:, None] - offsets
        inside = ((before >= 0) & (before < self.shape)).all(axis=2)
        return np.stack(
            [np.ravel_multi_index((z, y, x), padded_shape), (inside << np.arange(len(offsets))).sum(axis=1)]
        ).astype(np.int64)


def batches(n: int, cells: int) -> Iterator[slice]:
    """Yield slices of `n` centres whose matrices of so many cells each fit into the processor's cache."""
    step = max(1, _BATCH // cells)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def flat_steps(offsets: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return what each offset adds to an index of a flat array of that shape."""
    return np.asarray((offsets[:, 0] * shape[1] + offsets[:, 1]) * shape[2] + offsets[:, 2], dtype=np.int64)


@kernel
def equal_neighbours(levels: NDArray[np.int32], steps: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return for each voxel a bit for each neighbour before it that has its level.

    Parameters
    ----------
    levels : ndarray of int32
        Flat, with a border of zeros.
    steps : ndarray of int64
        From `flat_steps`, at most 13.

    Returns
    -------
    ndarray of int16
        Of the size of `levels`; no bit where the level is 0.
    """
    equal = np.zeros(levels.size, np.int16)
    first = steps.max()  # what comes before is the border
    for d in range(steps.size):
        bit = np.int16(1 << d)
        here, there, bits = levels[first:], levels[first - steps[d] : levels.size - steps[d]], equal[first:]
        for i in range(here.size):
            bits[i] |= bit if here[i] == there[i] else np.int16(0)
    for i in range(levels.size):
        equal[i] &= np.int16(-1) if levels[i] > 0 else np.int16(0)
    return equal


@kernel
def _features(
    levels: NDArray[np.int32],
    sizes: NDArray[np.int32],
    counts: NDArray[np.float64],
    starts: NDArray[np.int64],
    highest: int,
    largest: int,
    logarithms: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute each feature beside its definition: i a level, j a size, c how often they meet."""
    n_matrices = starts.size - 1
    out = np.full((n_matrices, N_FEATURES), np.nan)
    of_level, of_size = np.zeros(highest + 1), np.zeros(largest + 1)
    squares = np.arange(max(highest, largest) + 1).astype(np.float64) ** 2
    inverse = 1 / squares
    for m in range(n_matrices):
        total = voxels = level_sum = 0.0
        first, last = starts[m], starts[m + 1]
        for k in range(first, last):
            c = counts[k]
            of_level[levels[k]] += c
            of_size[sizes[k]] += c
            total += c
            voxels += c * sizes[k]
            level_sum += c * levels[k]
        if total == 0:
            continue
        level_mean, size_mean = level_sum / total, voxels / total
        small = large = low = high = small_low = small_high = large_low = large_high = 0.0
        level_variance = size_variance = of_levels = of_sizes = 0.0
        for k in range(first, last):
            c, i, j = counts[k], levels[k], sizes[k]
            small += c * inverse[j]
            large += c * squares[j]
            low += c * inverse[i]
            high += c * squares[i]
            small_low += c * (inverse[i] * inverse[j])
            small_high += c * (squares[i] * inverse[j])
            large_low += c * (inverse[i] * squares[j])
            large_high += c * (squares[i] * squares[j])
            level_variance += c * ((i - level_mean) * (i - level_mean))
            size_variance += c * ((j - size_mean) * (j - size_mean))
            # The square of a row's or a column's sum is added once: its first entry empties it.
            of_levels += of_level[i] * of_level[i]
            of_sizes += of_size[j] * of_size[j]
            of_level[i] = of_size[j] = 0.0
        row = out[m]
        row[SMALL], row[LARGE], row[LOW], row[HIGH] = small / total, large / total, low / total, high / total
        row[SMALL_LOW], row[SMALL_HIGH] = small_low / total, small_high / total
        row[LARGE_LOW], row[LARGE_HIGH] = large_low / total, large_high / total
        row[LEVEL_NON_UNIFORMITY], row[SIZE_NON_UNIFORMITY] = of_levels / total, of_sizes / total
        row[LEVEL_NON_UNIFORMITY_NORMALISED] = of_levels / (total * total)
        row[SIZE_NON_UNIFORMITY_NORMALISED] = of_sizes / (total * total)
        row[PERCENTAGE] = total / voxels
        row[LEVEL_VARIANCE], row[SIZE_VARIANCE] = level_variance / total, size_variance / total
        row[ENTROPY] = _entropy(counts[first:last], total, logarithms)
    return out


@kernel
def _entropy(counts: NDArray[np.float64], total: float, logarithms: NDArray[np.float64]) -> float:
    """Return -Σ p log2(p + ε); of few, whole counts from a table, where ε does not show."""
    entropy = 0.0
    if total < logarithms.size:
        for k in range(counts.size):
            entropy -= counts[k] * (logarithms[int(counts[k])] - logarithms[int(total)])
        return entropy / total
    for k in range(counts.size):
        p = counts[k] / total
        entropy -= p * math.log2(p + _EPSILON)
    return entropy
