"""The largest distances between vertices of a mesh, found on its outermost vertices alone.

The two vertices farthest apart are corners of the convex hull, and a corner of the hull is a corner of the hull of
every plane that it lies in. So convex chains of each plane, on whole-number coordinates (scaling by the voxel size
keeps them convex), leave a few hundred or thousand candidates. Distances are summed as PyRadiomics sums them. Nothing
here needs volume: flat and linear lesions take the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.surface_scan import SurfaceScan

SLACK = 1 + 1e-12
"""Bounds on squared distances leave room for rounding, so that no pair is passed over for it."""


class Diameters(NamedTuple):
    """Largest distances between vertices of a mesh, in mm.

    Attributes
    ----------
    slice_, column, row : float
        Between vertices of equal z, of equal y, of equal x (PyRadiomics ``Maximum2DDiameterSlice``, ``...Column``,
        ``...Row``).
    whole : float
        Between any two (PyRadiomics ``Maximum3DDiameter``, IBSI L0JK).
    """

    slice_: float
    column: float
    row: float
    whole: float

    @classmethod
    def unknown(cls) -> Diameters:
        """Return what nobody asked for: NaN."""
        return cls(np.nan, np.nan, np.nan, np.nan)


def mesh_diameters(scan: SurfaceScan, spacing_zyx: tuple[float, float, float]) -> Diameters:
    """Return the largest distances between vertices of a mesh.

    Parameters
    ----------
    scan : SurfaceScan
        Of a mask with a voxel inside.
    spacing_zyx : tuple of float
        Voxel size in mm.

    Returns
    -------
    Diameters
        In mm.
    """
    dz, dy, dx = spacing_zyx
    in_z, corners_z = _farthest_in_planes(scan.ends_x, dy, dx)
    in_y, corners_y = _farthest_in_planes(np.ascontiguousarray(scan.ends_x.transpose(1, 0, 2)), dz, dx)
    in_x, corners_x = _farthest_in_planes(np.ascontiguousarray(scan.ends_y.transpose(1, 0, 2)), dz, dy)
    corners = _corners_of_all(scan.ends_x, scan.ends_y, corners_z, corners_y, corners_x)
    points = corners * 0.5 * np.array(spacing_zyx)
    return Diameters(*np.sqrt([in_z, in_y, in_x, _farthest(points)]).tolist())


def plane_diameter(ends: NDArray[np.int32], spacing: tuple[float, float]) -> float:
    """Return the largest distance between points of one plane.

    Parameters
    ----------
    ends : ndarray of int32
        (rows, 2): smallest and largest doubled position of the points of each row of doubled position; -1 where a row
        has none.
    spacing : tuple of float
        From row to row, and along a row, in mm.

    Returns
    -------
    float
        In mm.
    """
    squared, _ = _farthest_in_planes(np.ascontiguousarray(ends[np.newaxis]), *spacing)
    return float(np.sqrt(squared))


def _farthest(points: NDArray[np.float64]) -> float:
    """Return the largest squared distance, pairs far from the middle of a long one first."""
    first = points[_squares(points - points[0]).argmax()]
    second = points[_squares(points - first).argmax()]
    radii = np.sqrt(_squares(points - (first + second) / 2))
    order = np.argsort(-radii)
    return float(_farthest_pair(points[order], radii[order]))


def _squares(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.square(vectors).sum(axis=1), np.float64)


@kernel
def _farthest_pair(points: NDArray[np.float64], radii: NDArray[np.float64]) -> float:
    """Search pairs by falling distance from a centre; two radii bound the distance of a pair."""
    best = 0.0
    for i in range(points.shape[0]):
        if (radii[i] + radii[0]) ** 2 * SLACK < best:
            break
        for j in range(i):
            if (radii[i] + radii[j]) ** 2 * SLACK < best:
                break
            a = points[i, 0] - points[j, 0]
            b = points[i, 1] - points[j, 1]
            c = points[i, 2] - points[j, 2]
            best = max(best, a * a + b * b + c * c)
    return best


@kernel
def _farthest_in_planes(ends: NDArray[np.int32], row_spacing: float, spacing: float) -> tuple[float, NDArray[np.uint8]]:
    """Return the largest squared distance within a plane (plane, row, end), and which ends are corners of a hull."""
    planes, rows, _ = ends.shape
    corners = np.zeros((planes, rows, 2), np.uint8)
    bounds = np.zeros(planes)
    chain = np.empty(rows, np.int64)
    for plane in range(planes):
        for side in range(2):
            _convex_chain(ends[plane], side, chain, corners[plane])
        bounds[plane] = _diagonal(ends[plane], row_spacing, spacing) * SLACK
    best = 0.0
    found = np.empty((2 * rows, 2))
    while True:
        largest = bounds.argmax()
        if bounds[largest] <= best:
            return best, corners
        bounds[largest] = -1.0
        best = max(best, _widest(ends[largest], corners[largest], row_spacing, spacing, found))


@kernel
def _convex_chain(ends: NDArray[np.int32], side: int, chain: NDArray[np.int64], corners: NDArray[np.uint8]) -> None:
    """Mark the corners of the hull among the first (side 0) or last (side 1) points of the rows."""
    sign = 1 - 2 * side
    n = 0
    for row in range(ends.shape[0]):
        if ends[row, 0] < 0:
            continue
        while n > 1:
            a, b = chain[n - 2], chain[n - 1]
            rise = np.int64(ends[row, side]) - np.int64(ends[a, side])
            step = np.int64(ends[b, side]) - np.int64(ends[a, side])
            if sign * (rise * (b - a) - step * (row - a)) > 0:
                break
            n -= 1
        chain[n] = row
        n += 1
    for k in range(n):
        corners[chain[k], side] = 1


@kernel
def _diagonal(ends: NDArray[np.int32], row_spacing: float, spacing: float) -> float:
    """Return the squared diagonal of the box of a plane's points; -1 where it has none."""
    first, last, low, high = -1, -1, 0, 0
    for row in range(ends.shape[0]):
        if ends[row, 0] < 0:
            continue
        if first < 0:
            first, low = row, ends[row, 0]
        last = row
        low = min(low, ends[row, 0])
        high = max(high, ends[row, 1])
    if first < 0:
        return -1.0
    return ((last - first) * 0.5 * row_spacing) ** 2 + ((high - low) * 0.5 * spacing) ** 2


@kernel
def _widest(
    ends: NDArray[np.int32],
    corners: NDArray[np.uint8],
    row_spacing: float,
    spacing: float,
    found: NDArray[np.float64],
) -> float:
    """Return the largest squared distance between the marked points of a plane."""
    best = 0.0
    n = 0
    for row in range(ends.shape[0]):
        for side in range(2):
            if not corners[row, side]:
                continue
            found[n, 0] = row * 0.5 * row_spacing
            found[n, 1] = ends[row, side] * 0.5 * spacing
            for k in range(n):
                a = found[n, 0] - found[k, 0]
                b = found[n, 1] - found[k, 1]
                best = max(best, a * a + b * b)
            n += 1
    return best


@kernel
def _corners_of_all(
    ends_x: NDArray[np.int32],
    ends_y: NDArray[np.int32],
    corners_z: NDArray[np.uint8],
    corners_y: NDArray[np.uint8],
    corners_x: NDArray[np.uint8],
) -> NDArray[np.int32]:
    """Return the doubled (z, y, x) of vertices that are corners of the hull of their plane in all three directions."""
    nz, ny, _ = ends_x.shape
    found = np.empty((int(corners_z.sum()), 3), np.int32)
    n = 0
    for z in range(nz):
        for y in range(ny):
            for side in range(2):
                if not (corners_z[z, y, side] and corners_y[y, z, side]):
                    continue
                x = ends_x[z, y, side]
                low = ends_y[z, x, 0] == y and corners_x[x, z, 0]
                high = ends_y[z, x, 1] == y and corners_x[x, z, 1]
                if low or high:
                    found[n, 0] = z
                    found[n, 1] = y
                    found[n, 2] = x
                    n += 1
    return found[:n]
