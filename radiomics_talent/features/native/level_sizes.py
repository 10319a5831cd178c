"""Matrices of grey level against size: what GLRLM (lengths of runs) and GLSZM (sizes of zones) have in common.

A matrix is a list of its entries that are not zero: level, size and how often. Many matrices, of the directions of a
lesion or of the neighbourhoods of a map, stand one after another in the same three arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.errors import ExtractionError
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.texture_settings import TextureSettings

_EPSILON = float(np.spacing(1))

SMALL, LARGE, LEVEL_NON_UNIFORMITY, LEVEL_NON_UNIFORMITY_NORMALISED = 0, 1, 2, 3
SIZE_NON_UNIFORMITY, SIZE_NON_UNIFORMITY_NORMALISED, PERCENTAGE, LEVEL_VARIANCE = 4, 5, 6, 7
SIZE_VARIANCE, ENTROPY, LOW, HIGH, SMALL_LOW, SMALL_HIGH, LARGE_LOW, LARGE_HIGH = 8, 9, 10, 11, 12, 13, 14, 15
"""Columns of `matrix_features`."""

N_FEATURES = 16


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
    return _features(matrices.levels, matrices.sizes, matrices.counts, matrices.starts, highest, largest)


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


@kernel
def _features(
    levels: NDArray[np.int32],
    sizes: NDArray[np.int32],
    counts: NDArray[np.float64],
    starts: NDArray[np.int64],
    highest: int,
    largest: int,
) -> NDArray[np.float64]:
    """Compute each feature beside its definition: i a level, j a size, c a count, N all counts, p = c / N."""
    n_matrices = starts.size - 1
    out = np.full((n_matrices, N_FEATURES), np.nan)
    of_level = np.zeros(highest + 1)
    of_size = np.zeros(largest + 1)
    for m in range(n_matrices):
        total = voxels = level_sum = 0.0
        first, last = starts[m], starts[m + 1]
        for k in range(first, last):
            of_level[levels[k]] += counts[k]
            of_size[sizes[k]] += counts[k]
            total += counts[k]
            voxels += counts[k] * sizes[k]
            level_sum += counts[k] * levels[k]
        if total == 0:
            continue
        level_mean, size_mean = level_sum / total, voxels / total
        row = out[m]
        row[:] = 0.0
        for k in range(first, last):
            c, p = counts[k], counts[k] / total
            i, j = float(levels[k]), float(sizes[k])
            i2, j2 = i * i, j * j
            row[SMALL] += c / j2
            row[LARGE] += c * j2
            row[LOW] += c / i2
            row[HIGH] += c * i2
            row[SMALL_LOW] += c / (i2 * j2)
            row[SMALL_HIGH] += c * i2 / j2
            row[LARGE_LOW] += c * j2 / i2
            row[LARGE_HIGH] += c * (i2 * j2)
            row[LEVEL_VARIANCE] += p * (i - level_mean) * (i - level_mean)
            row[SIZE_VARIANCE] += p * (j - size_mean) * (j - size_mean)
            row[ENTROPY] -= p * math.log2(p + _EPSILON)
            # The square of a row's or a column's sum is added once: its first entry empties it.
            row[LEVEL_NON_UNIFORMITY] += of_level[levels[k]] * of_level[levels[k]]
            row[SIZE_NON_UNIFORMITY] += of_size[sizes[k]] * of_size[sizes[k]]
            of_level[levels[k]] = of_size[sizes[k]] = 0.0
        row[LEVEL_NON_UNIFORMITY_NORMALISED] = row[LEVEL_NON_UNIFORMITY] / (total * total)
        row[SIZE_NON_UNIFORMITY_NORMALISED] = row[SIZE_NON_UNIFORMITY] / (total * total)
        row[PERCENTAGE] = total / voxels
        row[SMALL] /= total
        row[LARGE] /= total
        row[LOW] /= total
        row[HIGH] /= total
        row[SMALL_LOW] /= total
        row[SMALL_HIGH] /= total
        row[LARGE_LOW] /= total
        row[LARGE_HIGH] /= total
        row[LEVEL_NON_UNIFORMITY] /= total
        row[SIZE_NON_UNIFORMITY] /= total
    return out
