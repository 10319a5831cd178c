"""Zones: connected voxels of one grey level, which GLSZM and GLDZM count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import directions
from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.native import level_sizes as of
from radiomics_talent.features.native.glszm import zones_of_voxels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.aggregation import Aggregation
    from radiomics_talent.features.ibsi.lesion import IbsiLesion


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """The zones of a lesion, in array order of their first voxels.

    Attributes
    ----------
    part, level, size : ndarray of int64
        (zones,): number of the slice, among slices with a voxel of the lesion, or 0 where zones reach across slices;
        grey level; number of voxels.
    of_voxel : ndarray of int64
        (voxels,): the zone of each voxel of the lesion, in array order.
    """

    part: NDArray[np.int64]
    level: NDArray[np.int64]
    size: NDArray[np.int64]
    of_voxel: NDArray[np.int64]

    def matrix(self, how: Aggregation) -> NDArray[np.int64]:
        """Return the number of the matrix that each zone belongs to: that of its slice, or one for all."""
        return self.part if how.by_slice else np.zeros_like(self.part)


@once_a_lesion
def zones_of(lesion: IbsiLesion, in_slices: bool) -> Zones:
    """Find the zones of a lesion.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    in_slices : bool
        Zones are 8-connected in a slice, else 26-connected in the volume.
    """
    padded = of.bordered(lesion.levels_zyx)
    first, size, of_voxel = zones_of_voxels(padded, directions(in_slices))
    part = np.zeros(first.size, dtype=np.int64)
    if in_slices:  # a zone begins in its slice, and zones ascend
        part = np.unique(first // (padded.shape[1] * padded.shape[2]), return_inverse=True)[1]
    return Zones(part, padded.reshape(-1)[first].astype(np.int64), size, of_voxel)
