"""How texture matrices of slices and directions become one value: IBSI 1's aggregation methods (section 3.6 on).

A matrix is counted in slices (2D, 2.5D: neighbours lie within a slice along z) or in the volume (3D). Counts are merged
over slices, over directions, over both or not at all; features of what is left are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.grey_levels import GreyLevels
from radiomics_talent.features.native.level_sizes import unit_offsets
from radiomics_talent.features.native.texture_settings import TextureSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


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


def directions(how: Aggregation) -> NDArray[np.int64]:
    """Return the offsets to one half of a voxel's neighbours at distance 1, whatever the lesion's shape.

    Parameters
    ----------
    how : Aggregation
        The method.

    Returns
    -------
    ndarray of int64
        (4, 3) in slices, (13, 3) in the volume, in (z, y, x).
    """
    return unit_offsets((1 if how.in_slices else 2, 2, 2), TextureSettings())


def parts(levels_zyx: NDArray[np.int32], how: Aggregation) -> Iterator[GreyLevels]:
    """Yield what has matrices of its own: each slice with a voxel of the lesion, or the whole of it.

    Parameters
    ----------
    levels_zyx : ndarray of int32
        (z, y, x): grey levels, 0 outside of the lesion.
    how : Aggregation
        The method.

    Yields
    ------
    GreyLevels
        (z, y, x) as well; `highest` is the highest level that is present.
    """
    for levels in (levels_zyx[z : z + 1] for z in range(len(levels_zyx))) if how.by_slice else (levels_zyx,):
        voxels = np.bincount(levels.reshape(-1))
        if len(voxels) > 1:
            yield GreyLevels(levels, np.flatnonzero(voxels[1:]) + 1, len(voxels) - 1)


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
