"""How texture matrices of slices and directions become one value: IBSI 1's aggregation methods (section 3.6 on).

A matrix is counted in slices (2D, 2.5D: neighbours lie within a slice along z) or in the volume (3D). Counts are merged
over slices, over directions, over both or not at all; features of what is left are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.native.grey_levels import GreyLevels
from radiomics_talent.features.native.level_sizes import LevelSizes, unit_offsets
from radiomics_talent.features.native.texture_settings import TextureSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion


@dataclass(frozen=True, slots=True)
class Aggregation:
    """An aggregation method.

    Attributes
    ----------
    in_slices : bool
        Neighbours are sought within slices alone.
    by_slice, by_direction : bool
        Each slice, each direction has a matrix of its own, and features are averaged; otherwise counts are merged.
    """

    in_slices: bool
    by_slice: bool = False
    by_direction: bool = False


DIRECTED = {
    "2D_avg": Aggregation(in_slices=True, by_slice=True, by_direction=True),  # BTW3
    "2D_comb": Aggregation(in_slices=True, by_slice=True),  # SUJT: merged by slice
    "2_5D_avg": Aggregation(in_slices=True, by_direction=True),  # JJUI: merged by direction
    "2_5D_comb": Aggregation(in_slices=True),  # ZW7Z
    "3D_avg": Aggregation(in_slices=False, by_direction=True),  # ITBB
    "3D_comb": Aggregation(in_slices=False),  # IAZD
}
"""Methods of matrices that have directions: GLCM and GLRLM."""

UNDIRECTED = {
    "2D": Aggregation(in_slices=True, by_slice=True),  # 8QNN
    "2_5D": Aggregation(in_slices=True),  # 62GR
    "3D": Aggregation(in_slices=False),  # KOBO
}
"""Methods of the other matrices."""


def directions(in_slices: bool) -> NDArray[np.int64]:
    """Return the offsets to one half of a voxel's neighbours at distance 1, whatever the lesion's shape.

    Parameters
    ----------
    in_slices : bool
        No neighbour is out of the slice.

    Returns
    -------
    ndarray of int64
        (4, 3) in slices, (13, 3) in the volume, in (z, y, x).
    """
    return unit_offsets((1 if in_slices else 2, 2, 2), TextureSettings())


@once_a_lesion
def parts(lesion: IbsiLesion, in_slices: bool) -> tuple[GreyLevels, ...]:
    """Return what is counted at a time: each slice with a voxel of the lesion, or the whole of it.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    in_slices : bool
        Slices, or the whole.

    Returns
    -------
    tuple of GreyLevels
        (z, y, x) as well; `present` and `highest` are the whole lesion's, so that counts of slices can be added up.
    """
    levels = lesion.levels_zyx
    present = np.flatnonzero(np.bincount(levels.reshape(-1))[1:]) + 1
    pieces = (one for one in levels[:, np.newaxis] if one.any()) if in_slices else (levels,)
    return tuple(GreyLevels(one, present, int(present[-1])) for one in pieces)


def stacked(matrices: Sequence[LevelSizes]) -> LevelSizes:
    """Put matrices of several parts one after another.

    Parameters
    ----------
    matrices : sequence of LevelSizes
        One or more.
    """
    ends = np.cumsum([one.levels.size for one in matrices])
    starts = [one.starts[:-1] + end - one.levels.size for one, end in zip(matrices, ends, strict=True)]
    return LevelSizes(
        np.concatenate([one.levels for one in matrices]),
        np.concatenate([one.sizes for one in matrices]),
        np.concatenate([one.counts for one in matrices]),
        np.concatenate([*starts, ends[-1:]]),
    )


def merged(matrices: LevelSizes, how: Aggregation, n_directions: int = 1) -> LevelSizes:
    """Add up the matrices that a method makes one of.

    Parameters
    ----------
    matrices : LevelSizes
        Each with entries: those of the first part's directions, of the second's, and so on.
    how : Aggregation
        The method.
    n_directions : int
        Directions that have matrices of their own.

    Returns
    -------
    LevelSizes
        Parts in order, if they are kept apart, and in each of them directions.
    """
    part, direction = np.divmod(np.arange(len(matrices.starts) - 1), n_directions)
    into = (part * how.by_slice) * (n_directions if how.by_direction else 1) + direction * how.by_direction
    if into[-1] == len(into) - 1:
        return matrices
    return counted(np.repeat(into, np.diff(matrices.starts)), matrices.levels, matrices.sizes, matrices.counts)


def counted(
    matrix: NDArray[np.int64],
    level: NDArray[np.integer],
    size: NDArray[np.integer],
    how_often: NDArray[np.float64] | None = None,
) -> LevelSizes:
    """Make matrices of grey level against size.

    Parameters
    ----------
    matrix, level, size : ndarray of int
        (n,): the matrix that each belongs to, from 0 on without a gap; grey level and size, from 1 on.
    how_often : ndarray of float64, optional
        (n,): otherwise each counts once.
    """
    n_levels, n_sizes = int(level.max()) + 1, int(size.max()) + 1
    keys = (matrix * n_levels + level) * n_sizes + size
    counts: NDArray[np.number]
    if how_often is None:
        keys, counts = np.unique(keys, return_counts=True)
    else:
        keys, place = np.unique(keys, return_inverse=True)
        counts = np.bincount(place, how_often)
    levels, sizes = np.divmod(keys, n_sizes)
    matrices, levels = np.divmod(levels, n_levels)
    return LevelSizes(
        levels.astype(np.int32),
        sizes.astype(np.int32),
        counts.astype(np.float64),
        np.searchsorted(matrices, np.arange(matrices[-1] + 2)).astype(np.int64),
    )


def mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average each feature over the matrices for which it is defined.

    Parameters
    ----------
    values : ndarray of float64
        (matrices, features); NaN where a feature is not defined.

    Returns
    -------
    ndarray of float64
        (features,); NaN where a feature is defined for none.
    """
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0)
    return means
