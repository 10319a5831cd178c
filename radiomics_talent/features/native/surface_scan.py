"""One pass over a mask finds what its shape depends on: cells of the mesh, outermost vertices and moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceScan:
    """What one pass over a mask finds. Positions count voxels of the mask padded by one on every side.

    Attributes
    ----------
    cells : ndarray of int64
        (256, 4): for every configuration of eight voxels the number of cells and the sums of their z, y and x.
    ends_x : ndarray of int32
        (2 nz, 2 ny, 2): smallest and largest doubled x of the mesh's vertices on each line of doubled z and y; -1
        where a line has none.
    ends_y : ndarray of int32
        (2 nz, 2 nx, 2): the same in y on each line of doubled z and x.
    moments : ndarray of int64
        (10,): number of voxels; sums of z, y, x; of zz, yy, xx, zy, zx, yx.
    """

    cells: NDArray[np.int64]
    ends_x: NDArray[np.int32]
    ends_y: NDArray[np.int32]
    moments: NDArray[np.int64]


def scan_surface(mask_zyx: NDArray[np.bool_]) -> SurfaceScan:
    """Scan a mask.

    Parameters
    ----------
    mask_zyx : ndarray of bool
        (z, y, x); true inside.

    Returns
    -------
    SurfaceScan
        Positions are those of the mask padded by one voxel outside on every side, as PyRadiomics pads it.
    """
    padded = np.zeros(tuple(n + 2 for n in mask_zyx.shape), np.uint8)
    padded[1:-1, 1:-1, 1:-1] = mask_zyx
    nz, ny, nx = padded.shape
    cells = np.zeros((256, 4), np.int64)
    ends_x = np.full((2 * nz, 2 * ny, 2), -1, np.int32)
    ends_y = np.full((2 * nz, 2 * nx, 2), -1, np.int32)
    moments = np.zeros(10, np.int64)
    _scan(padded, cells, ends_x, ends_y, moments)
    return SurfaceScan(cells, ends_x, ends_y, moments)


@kernel
def _scan(
    mask: NDArray[np.uint8],
    cells: NDArray[np.int64],
    ends_x: NDArray[np.int32],
    ends_y: NDArray[np.int32],
    moments: NDArray[np.int64],
) -> None:
    nz, ny, nx = mask.shape
    column = np.empty(nx, np.uint8)  # the four voxels of a cell's side, bit 2z + y
    for z in range(nz - 1):
        for y in range(ny - 1):
            changes = np.uint8(0)
            for x in range(nx):
                column[x] = (
                    mask[z, y, x] | (mask[z, y + 1, x] << 1) | (mask[z + 1, y, x] << 2) | (mask[z + 1, y + 1, x] << 3)
                )
                changes |= column[x]
            if changes == 0:
                continue
            _scan_row(column, z, y, cells, ends_x, ends_y, moments)


@kernel
def _scan_row(
    column: NDArray[np.uint8],
    z: int,
    y: int,
    cells: NDArray[np.int64],
    ends_x: NDArray[np.int32],
    ends_y: NDArray[np.int32],
    moments: NDArray[np.int64],
) -> None:
    """Take the row of cells at (z, y); the vertices of a cell that are its own lie on edges of its corner (1, 1, 0)."""
    count = 0
    sum_x = 0
    sum_xx = 0
    for x in range(column.size - 1):
        cell = np.int64(column[x]) | (np.int64(column[x + 1]) << 4)
        if cell in (0, 255):
            continue
        cells[cell, 0] += 1
        cells[cell, 1] += z
        cells[cell, 2] += y
        cells[cell, 3] += x
        inside = (cell >> 3) & 1
        if inside != (cell >> 7) & 1:
            _note(ends_x, ends_y, 2 * z + 2, 2 * y + 2, 2 * x + 1)
            # A run's sums are those of all voxels up to its end, less those up to its start.
            sign = 1 if inside else -1
            count += sign * (x + 1)
            sum_x += sign * (x * (x + 1) // 2)
            sum_xx += sign * (x * (x + 1) * (2 * x + 1) // 6)
        if inside != (cell >> 2) & 1:
            _note(ends_x, ends_y, 2 * z + 2, 2 * y + 1, 2 * x)
        if inside != (cell >> 1) & 1:
            _note(ends_x, ends_y, 2 * z + 1, 2 * y + 2, 2 * x)
    if count:
        _add_moments(moments, z + 1, y + 1, count, sum_x, sum_xx)


@kernel
def _note(ends_x: NDArray[np.int32], ends_y: NDArray[np.int32], z: int, y: int, x: int) -> None:
    """Widen the lines through a vertex."""
    if ends_x[z, y, 0] < 0 or x < ends_x[z, y, 0]:
        ends_x[z, y, 0] = x
    ends_x[z, y, 1] = max(x, ends_x[z, y, 1])
    if ends_y[z, x, 0] < 0 or y < ends_y[z, x, 0]:
        ends_y[z, x, 0] = y
    ends_y[z, x, 1] = max(y, ends_y[z, x, 1])


@kernel
def _add_moments(moments: NDArray[np.int64], z: int, y: int, count: int, sum_x: int, sum_xx: int) -> None:
    moments[0] += count
    moments[1] += z * count
    moments[2] += y * count
    moments[3] += sum_x
    moments[4] += z * z * count
    moments[5] += y * y * count
    moments[6] += sum_xx
    moments[7] += z * y * count
    moments[8] += z * sum_x
    moments[9] += y * sum_x
