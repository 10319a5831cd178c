"""Marching cubes of a mask: which triangles a cell of eight voxels holds, built from rules, and what they add up to.

A cell's vertices are the midpoints of those of its edges that join a voxel inside the mask to one outside. On each
face of the cell, every run of corners inside is cut off by one segment; the segments close into loops, and each loop is
filled with triangles (Lorensen and Cline, SIGGRAPH 1987; edge loops as in Bourke, "Polygonising a scalar field", 1994).
PyRadiomics looks up half of the 256 configurations and turns the other half inside out, so where inside voxels touch
across a face's diagonal its mesh may be open, and its volume depends on where the mask lies in the array. The rules
below give its triangles for every configuration; the tests prove each one against its compiled code.

All coordinates are doubled, so that voxels, midpoints and volumes are whole numbers and the sums over a mesh exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Point = tuple[int, int, int]
Triangle = tuple[Point, Point, Point]

CORNERS: tuple[Point, ...] = tuple((2 * z, 2 * y, 2 * x) for x, z, y in product((0, 1), repeat=3))
"""Corner of each bit of a configuration, (z, y, x) doubled: bit 4x + 2z + y."""
REVERSED = 1 << CORNERS.index((2, 2, 0))
"""PyRadiomics takes a configuration with this corner inside for its complement, with triangles facing the other way."""


@dataclass(frozen=True, slots=True, eq=False)
class CellTriangles:
    """Triangles of the 256 configurations of a cell, in doubled voxel units.

    Attributes
    ----------
    configuration : ndarray of int64
        (n,): the configuration that each triangle belongs to.
    normal_zyx : ndarray of int64
        (n, 3): cross product of two of its sides, pointing out of the mask; four times the undoubled one.
    volume : ndarray of int64
        (256,): determinants of the triangles' corners, with the cell at the origin, summed over the configuration.
    facing_zyx : ndarray of int64
        (256, 3): normals summed over the configuration.
    """

    configuration: NDArray[np.int64]
    normal_zyx: NDArray[np.int64]
    volume: NDArray[np.int64]
    facing_zyx: NDArray[np.int64]


@cache
def cell_triangles() -> CellTriangles:
    """Return the triangles of every configuration, built on the first call (some ten milliseconds)."""
    return tabulated(triangles_of)


def tabulated(triangles: Callable[[int], list[Triangle]]) -> CellTriangles:
    """Tabulate the triangles of every configuration.

    Parameters
    ----------
    triangles : callable
        As `triangles_of`.
    """
    owner: list[int] = []
    normals: list[Point] = []
    volume = np.zeros(256, np.int64)
    facing = np.zeros((256, 3), np.int64)
    for configuration in range(256):
        for a, b, c in triangles(configuration):
            normal = _cross(_minus(b, a), _minus(c, a))
            owner.append(configuration)
            normals.append(normal)
            facing[configuration] += normal
            volume[configuration] += _dot(_cross(a, b), c)
    return CellTriangles(np.array(owner), np.array(normals, np.int64), volume, facing)


def triangles_of(configuration: int) -> list[Triangle]:
    """Return the triangles of one configuration.

    Parameters
    ----------
    configuration : int
        0 to 255; bit 4x + 2z + y is set where the voxel at (z, y, x) of the cell is inside the mask.

    Returns
    -------
    list of triangle
        Corners as doubled (z, y, x) within the cell, counter-clockwise seen from outside of the mask.
    """
    reverse = bool(configuration & REVERSED)
    inside = {corner for bit, corner in enumerate(CORNERS) if bool(configuration >> bit & 1) != reverse}
    found = [triangle for loop in _loops(inside) for triangle in _filled(loop)]
    return [(a, c, b) for a, b, c in found] if reverse else found


def mesh_area(
    cells: NDArray[np.int64], spacing_zyx: tuple[float, float, float], table: CellTriangles | None = None
) -> float:
    """Return the area of a mesh (PyRadiomics ``SurfaceArea``, IBSI C0JK).

    Parameters
    ----------
    cells : ndarray of int64
        (256, 4): number of cells of each configuration, then what `mesh_volume` takes.
    spacing_zyx : tuple of float
        Voxel size in mm.
    table : CellTriangles, optional
        Triangles of the cells; without it PyRadiomics'.

    Returns
    -------
    float
        In mm².
    """
    table = cell_triangles() if table is None else table
    z, y, x = spacing_zyx
    scaled = table.normal_zyx * (np.array([y * x, z * x, z * y]) / 4)
    areas = 0.5 * np.sqrt((scaled**2).sum(axis=1))
    return float((areas * cells[table.configuration, 0]).sum())


def mesh_volume(
    cells: NDArray[np.int64], spacing_zyx: tuple[float, float, float], table: CellTriangles | None = None
) -> float:
    """Return the volume that a mesh encloses (PyRadiomics ``MeshVolume``, IBSI RNU0).

    Parameters
    ----------
    cells : ndarray of int64
        (256, 4): number of cells of each configuration, and the sums of their positions z, y and x in the array.
    spacing_zyx : tuple of float
        Voxel size in mm.
    table : CellTriangles, optional
        Triangles of the cells; without it PyRadiomics'.

    Returns
    -------
    float
        In mm³. The sum over triangles of the signed tetrahedra that they span with the array's first voxel, taken in
        whole numbers: eight times six of them are a voxel.
    """
    table = cell_triangles() if table is None else table
    # det(p + a, p + b, p + c) = det(a, b, c) + p . normal, and a position doubled is twice that of the cell.
    whole = int((table.volume * cells[:, 0]).sum()) + 2 * int((table.facing_zyx * cells[:, 1:]).sum())
    z, y, x = spacing_zyx
    return whole / 48 * (z * y * x)


def _loops(inside: set[Point]) -> Iterator[list[Point]]:
    """Follow the segments of all faces from midpoint to midpoint until they close."""
    following = dict(segment for face in _faces() for segment in _cuts(face, inside))
    while following:
        loop = [next(iter(following))]
        while (point := following.pop(loop[-1])) != loop[0]:
            loop.append(point)
        yield loop


def _faces() -> Iterator[list[Point]]:
    """Return the corners of each face, counter-clockwise seen from outside of the cell in (x, y, z)."""
    for axis, side in product(range(3), (0, 2)):
        square = [(0, 0), (2, 0), (2, 2), (0, 2)]
        corners = [_placed(axis, side, u, v) for u, v in square]
        yield corners[::-1] if side else corners


def _placed(axis: int, along: int, u: int, v: int) -> Point:
    values = {axis: along, (axis + 1) % 3: u, (axis + 2) % 3: v}
    return values[0], values[1], values[2]


def _cuts(face: list[Point], inside: set[Point]) -> Iterator[tuple[Point, Point]]:
    """Cut off every run of inside corners by a segment from the edge that leaves it to the edge that enters it."""
    around = [*face, *face]
    edges = list(pairwise(around))
    for k, (a, b) in enumerate(edges[:4]):
        if a not in inside and b in inside:
            leaves = next(edge for edge in edges[k:] if edge[0] in inside and edge[1] not in inside)
            yield _midpoint(*leaves), _midpoint(a, b)


def _filled(loop: list[Point]) -> list[Triangle]:
    """Fill a loop: of all ways the one of largest area on a cubic voxel, then the one that halves the cell best.

    A loop of seven is filled by triangles that share a corner: that corner which leaves the least inside.
    """
    ways = list(_fillings(loop))
    if len(loop) == 7:
        return min((way for way in ways if set.intersection(*map(set, way))), key=_volume_about_centre)
    return max(ways, key=lambda way: (round(_area(way), 9), -abs(_volume_about_centre(way))))


def _fillings(loop: list[Point]) -> Iterator[list[Triangle]]:
    """Return every way to fill a loop with triangles between its corners."""
    if len(loop) < 3:
        yield []
        return
    for k in range(1, len(loop) - 1):
        for left, right in product(_fillings(loop[: k + 1]), _fillings(loop[k:])):
            yield [*left, *right, (loop[0], loop[k], loop[-1])]


def _area(triangles: list[Triangle]) -> float:
    return sum(math.hypot(*_cross(_minus(b, a), _minus(c, a))) for a, b, c in triangles)


def _volume_about_centre(triangles: list[Triangle]) -> int:
    centre = (1, 1, 1)
    return sum(_dot(_cross(_minus(a, centre), _minus(b, centre)), _minus(c, centre)) for a, b, c in triangles)


def _midpoint(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) // 2, (a[1] + b[1]) // 2, (a[2] + b[2]) // 2


def _minus(a: Point, b: Point) -> Point:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _cross(a: Point, b: Point) -> Point:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _dot(a: Point, b: Point) -> int:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
