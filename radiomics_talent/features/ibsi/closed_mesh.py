"""The closed triangle mesh around a lesion (IBSI RNU0 and C0JK): its triangles, cell by cell.

PyRadiomics' mesh, which `features.native.surface_mesh` gives, may be open where voxels inside touch across a face's
diagonal, and its volume then depends on where the lesion lies in the array. IBSI asks for a closed mesh. So a cell
never goes by its complement here: such voxels are parted by the mesh in every cell that shares the face.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from radiomics_talent.features.native.surface_mesh import CORNERS, REVERSED, tabulated, triangles_of

if TYPE_CHECKING:
    from radiomics_talent.features.native.surface_mesh import CellTriangles, Point, Triangle


@cache
def closed_cell_triangles() -> CellTriangles:
    """Return the triangles of every configuration of a cell, for `mesh_volume` and `mesh_area`."""
    return tabulated(closed_triangles_of)


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
