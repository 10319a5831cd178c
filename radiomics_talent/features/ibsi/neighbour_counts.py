"""What lies around each voxel of a lesion, which NGLDM and NGTDM count: one look at its neighbours serves both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import directions, parts, stacked
from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.native.level_sizes import LevelSizes
from radiomics_talent.features.native.neighbour_tables import count_neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourCounts:
    """Neighbours at Chebyshev distance 1, of each slice of a lesion or of the whole.

    Attributes
    ----------
    present : ndarray of int64
        (levels,): the grey levels of the lesion.
    dependences : LevelSizes
        A matrix a part: grey level, and 1 + number of neighbours of the same level. Every voxel counts.
    voxels, difference : ndarray of float64
        (parts, levels): number of voxels with a neighbour of any level, and the sum over them of the distance from
        their neighbours' mean level.
    """

    present: NDArray[np.int64]
    dependences: LevelSizes
    voxels: NDArray[np.float64]
    difference: NDArray[np.float64]


@once_a_lesion
def neighbour_counts(lesion: IbsiLesion, in_slices: bool) -> NeighbourCounts:
    """Count neighbours.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    in_slices : bool
        Neighbours are sought within slices alone, and each slice is counted by itself.
    """
    one_way = directions(in_slices)
    offsets = np.concatenate([one_way, -one_way])
    dependences, voxels, difference = [], [], []
    for grey in parts(lesion, in_slices):
        table, tones = count_neighbours(grey, offsets, alpha=0)
        levels = grey.present[table.level].astype(np.int32)
        dependences.append(LevelSizes(levels, table.size, table.voxels, table.start))
        lone = np.bincount(_lone_levels(grey.levels_zyx), minlength=grey.highest + 1)
        voxels.append(tones.voxels - lone[grey.present])
        difference.append(tones.difference)
    return NeighbourCounts(grey.present, stacked(dependences), np.stack(voxels), np.stack(difference))


def _lone_levels(levels_zyx: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the levels of voxels without neighbours."""
    around = np.pad(levels_zyx > 0, 1).astype(np.int8)
    around = around[:-2] + around[1:-1] + around[2:]
    around = around[:, :-2] + around[:, 1:-1] + around[:, 2:]
    around = around[:, :, :-2] + around[:, :, 1:-1] + around[:, :, 2:]
    return np.asarray(levels_zyx[(around == 1) & (levels_zyx > 0)], np.int32)
