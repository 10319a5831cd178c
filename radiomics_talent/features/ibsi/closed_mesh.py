"""The closed triangle mesh around a lesion: its volume and area.

PyRadiomics' mesh, which `features.native.surface_mesh` gives, may be open where voxels inside touch across a face's
diagonal, and its volume then depends on where the lesion lies in the array. IBSI asks for a closed mesh. So a cell
never goes by its complement here: such voxels are parted by the mesh in every cell that shares the face.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.surface_mesh import CORNERS, REVERSED, Point, Triangle, triangles_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mesh_volume_and_area(cells: NDArray[np.int64], spacing_zyx: tuple[float, float, float]) -> tuple[float, float]:
    """Return volume and area of a lesion's mesh (IBSI RNU0 and C0JK).

    Parameters
    ----------
    cells : ndarray of int64
        (256, 4): as in `SurfaceScan`.
    spacing_zyx : tuple of float
        Voxel size in mm.

    Returns
    -------
    volume : float
        In mm³; above 0 where a voxel is inside. The tetrahedra that the triangles span with the array's first voxel
        are summed in whole numbers.
    area : float
        In mm².
    """
    configuration, normal_zyx, determinant = _triangle_table()
    z, y, x = spacing_zyx
    count, place_zyx = cells[configuration, 0], cells[configuration, 1:]
    # det(p + a, p + b, p + c) = det(a, b, c) + p . normal; coordinates are doubled, a voxel is 8 x 6 of them.
    whole = int((determinant * count).sum()) + 2 * int((normal_zyx * place_zyx).sum())
    areas = np.sqrt(np.square(normal_zyx * (np.array([y * x, z * x, z * y]) / 4)).sum(axis=1)) / 2
    return whole / 48 * (z * y * x), float((areas * count).sum())


def closed_triangles_of(configuration: int) -> list[Triangle]:
    """Return the triangles of a cell of eight voxels.

    Parameters
    ----------
    configuration : int
        0 to 255; bit 4x + 2z + y is set where the voxel at (z, y, x) of the cell is inside.

    Returns
    -------
    list of triangle
        Corners as doubled (z, y, x) within the cell, counter-clockwise seen from outside of the lesion. On a face whose
        inside corners are two across its diagonal, each is cut off by itself.
    """
    if configuration == 255:
        return []
    # The cell is mirrored so that the corner which PyRadiomics complements by is one outside.
    outside = next(corner for bit, corner in enumerate(CORNERS) if not configuration >> bit & 1)
    if not configuration & REVERSED:
        outside = _PIVOT
    flips = tuple(a != b for a, b in zip(outside, _PIVOT, strict=True))
    mirrored = sum(1 << CORNERS.index(_flip(c, flips)) for bit, c in enumerate(CORNERS) if configuration >> bit & 1)
    found = [(_flip(a, flips), _flip(b, flips), _flip(c, flips)) for a, b, c in triangles_of(mirrored)]
    return [(a, c, b) for a, b, c in found] if sum(flips) % 2 else found


_PIVOT = CORNERS[REVERSED.bit_length() - 1]


def _flip(point: Point, flips: tuple[bool, ...]) -> Point:
    z, y, x = (2 - value if flip else value for value, flip in zip(point, flips, strict=True))
    return z, y, x


@cache
def _triangle_table() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return of each triangle its configuration, normal (four times the undoubled) and determinant."""
    found = [(configuration, t) for configuration in range(256) for t in closed_triangles_of(configuration)]
    corners = np.array([triangle for _, triangle in found], np.int64)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    configurations = np.array([configuration for configuration, _ in found], np.int64)
    return configurations, np.cross(b - a, c - a), (np.cross(a, b) * c).sum(axis=1)
