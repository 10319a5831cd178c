"""Zones: connected voxels of one grey level, which GLSZM and GLDZM count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import Aggregation, directions
from radiomics_talent.features.native import level_sizes as of
from radiomics_talent.features.native.glszm import zones_of_voxels

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """The zones of a lesion, in the order of the matrices that they belong to.

    Attributes
    ----------
    matrix, level, size : ndarray of int64
        (zones,): number of the matrix, from 0 on without a gap; grey level; number of voxels.
    of_voxel : ndarray of int64
        (voxels,): the zone of each voxel of the lesion, in array order.
    """

    matrix: NDArray[np.int64]
    level: NDArray[np.int64]
    size: NDArray[np.int64]
    of_voxel: NDArray[np.int64]


def find_zones(levels_zyx: NDArray[np.int32], how: Aggregation) -> Zones:
    """Find zones: 26-connected in the volume, 8-connected in slices.

    Parameters
    ----------
    levels_zyx : ndarray of int32
        (z, y, x): grey levels; 0 outside of the lesion, which has one voxel at least.
    how : Aggregation
        The method; with `by_slice` each slice with a voxel has a matrix, else there is one.

    Returns
    -------
    Zones
        The zones.
    """
    padded = of.bordered(levels_zyx)
    first, size, of_voxel = zones_of_voxels(padded, directions(how))
    matrix = np.zeros(first.size, dtype=np.int64)
    if how.by_slice:  # a zone begins in its slice, and zones ascend
        matrix = np.unique(first // (padded.shape[1] * padded.shape[2]), return_inverse=True)[1]
    return Zones(matrix, padded.reshape(-1)[first].astype(np.int64), size, of_voxel)


def zone_matrices(zones: Zones, value: NDArray[np.int64]) -> of.LevelSizes:
    """Count how often a grey level meets a value (size, distance) among the zones of each matrix.

    Parameters
    ----------
    zones : Zones
        The zones.
    value : ndarray of int64
        (zones,): from 1 on.

    Returns
    -------
    LevelSizes
        One matrix or more, with the value as its size.
    """
    n_levels, n_values = zones.level.max() + 1, value.max() + 1
    keys, counts = np.unique((zones.matrix * n_levels + zones.level) * n_values + value, return_counts=True)
    levels, sizes = np.divmod(keys, n_values)
    matrices, levels = np.divmod(levels, n_levels)
    return of.LevelSizes(
        levels.astype(np.int32),
        sizes.astype(np.int32),
        counts.astype(np.float64),
        np.searchsorted(matrices, np.arange(zones.matrix[-1] + 2)).astype(np.int64),
    )
