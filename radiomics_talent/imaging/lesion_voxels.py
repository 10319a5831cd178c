"""A lesion as the voxels in its box: what a mask as large as its scan says, at a thousandth of its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.imaging.compiled import kernel
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.grid_rows import KEEPS_BITS, grid_rows
from radiomics_talent.imaging.preprocess import nearest_on

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LesionVoxels:
    """Where a lesion is on a grid.

    Attributes
    ----------
    geometry : Geometry
        The whole grid.
    box : Box
        The smallest box around the lesion.
    voxels_zyx : ndarray of bool
        (z, y, x) inside the box.
    """

    geometry: Geometry
    box: Box
    voxels_zyx: NDArray[np.bool_]

    @classmethod
    def of(cls, mask_zyx: NDArray[np.bool_], geometry: Geometry) -> LesionVoxels | None:
        """Return the true voxels of a (z, y, x) mask on `geometry`; None when there are none."""
        box = Box.around(mask_zyx)
        return None if box is None else cls(geometry, box, mask_zyx[box.slices_zyx].copy())

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(np.count_nonzero(self.voxels_zyx))

    def part(self, voxels_zyx: NDArray[np.bool_]) -> LesionVoxels:
        """Return the lesion of which only `voxels_zyx`, in the box and not empty, are left."""
        inner = Box.around(voxels_zyx)
        assert inner is not None, "a part has voxels"
        return LesionVoxels(self.geometry, inner.moved(self.box.lower), voxels_zyx[inner.slices_zyx].copy())

    def as_mask(self) -> sitk.Image:
        """Return the whole mask: 0 and 1 (uint8) on the grid."""
        mask = np.zeros(self.geometry.size[::-1], dtype=np.uint8)
        mask[self.box.slices_zyx] = self.voxels_zyx
        image = sitk.GetImageFromArray(mask)
        self.geometry.put_on(image)
        return image

    def crop(self) -> sitk.Image:
        """Return the mask of the box alone: 0 and 1 (uint32), in its place in space."""
        image = sitk.GetImageFromArray(self.voxels_zyx.astype(np.uint32))
        self.geometry.crop(self.box).put_on(image)
        return image


def nearest_voxels(lesion: LesionVoxels, grid: Geometry) -> LesionVoxels | None:
    """Resample a lesion with nearest neighbour, as ITK resamples the whole mask.

    Parameters
    ----------
    lesion : LesionVoxels
        The lesion.
    grid : Geometry
        Where it is wanted.

    Returns
    -------
    LesionVoxels or None
        The lesion on `grid`; None when nothing is left. Points halfway between two voxels fall as in ITK.
    """
    if not KEEPS_BITS:
        return LesionVoxels.of(sitk.GetArrayFromImage(nearest_on(lesion.as_mask(), grid)) > 0, grid)
    starts, vectors = grid_rows(lesion.geometry, grid)
    found = np.zeros(grid.size[::-1], dtype=np.bool_)
    lower, size = np.array(lesion.box.lower, dtype=np.int64), np.array(lesion.geometry.size, dtype=np.float64)
    _pick(np.ascontiguousarray(lesion.voxels_zyx), lower, size, starts, vectors, found)
    return LesionVoxels.of(found, grid)


@kernel
def _pick(
    voxels: NDArray[np.bool_],
    lower: NDArray[np.int64],
    size: NDArray[np.float64],
    starts: NDArray[np.float64],
    vectors: NDArray[np.float64],
    found: NDArray[np.bool_],
) -> None:
    """Look up the voxel nearest to each point of the grid, if it is in the scan and in the lesion's box."""
    n_z, n_y, n_x = found.shape
    index = np.zeros(3, np.int64)
    for line in range(n_z * n_y):
        z, y = line // n_y, line % n_y
        for i in range(n_x):
            inside = True
            for axis in range(3):
                x = starts[z, y, axis] + (i / n_x) * vectors[z, y, axis]
                # Halves are rounded up, in ITK's arithmetic: twice the value and a half, to the nearest even number.
                index[axis] = (int(np.rint(2.0 * x + 0.5)) >> 1) - lower[axis]
                inside &= (x >= -0.5) & (x < size[axis] - 0.5)
                inside &= (index[axis] >= 0) & (index[axis] < voxels.shape[2 - axis])
            if inside and voxels[index[2], index[1], index[0]]:
                found[z, y, i] = True
