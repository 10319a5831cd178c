"""The convex hull of a lesion's mesh: its corners, volume and area."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import ConvexHull

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.surface_scan import SurfaceScan


@dataclass(frozen=True, slots=True, eq=False)
class Hull:
    """A convex hull with triangles for faces.

    Attributes
    ----------
    corners : ndarray of float64
        (n, 3): z, y, x of its corners in mm.
    triangles : ndarray of int64
        (m, 3): corners of each triangle.
    volume : float
        In mm³; above 0, because the mesh of a single voxel has a volume.
    area : float
        In mm².
    """

    corners: NDArray[np.float64]
    triangles: NDArray[np.int64]
    volume: float
    area: float

    def normals(self) -> NDArray[np.float64]:
        """Return the directions of its faces, (k, 3), of length 1 and each once, whichever way it points."""
        a, b, c = (self.corners[self.triangles[:, k]] for k in range(3))
        normals = np.cross(b - a, c - a)
        lengths = np.sqrt(np.square(normals).sum(axis=1))
        normals = normals[lengths > 1e-12 * lengths.max()]  # a face of many corners may be cut into slivers
        normals /= np.sqrt(np.square(normals).sum(axis=1, keepdims=True))
        leading = np.take_along_axis(normals, np.abs(normals).argmax(axis=1, keepdims=True), axis=1)
        _, first = np.unique((normals * np.sign(leading)).round(9) + 0.0, axis=0, return_index=True)
        return np.asarray(normals[np.sort(first)], np.float64)


def hull_of_mesh(scan: SurfaceScan, spacing_zyx: tuple[float, float, float]) -> Hull:
    """Return the convex hull of the vertices of a lesion's mesh.

    Parameters
    ----------
    scan : SurfaceScan
        Of a mask with a voxel inside.
    spacing_zyx : tuple of float
        Voxel size in mm.

    Returns
    -------
    Hull
        Found in whole numbers, where faces are exactly flat, and then scaled.
    """
    points = _outermost(scan.ends_x.astype(np.float64))
    hull = ConvexHull(points)
    corners, triangles = np.unique(hull.simplices, return_inverse=True)
    scale = np.array(spacing_zyx) / 2
    placed = points[corners] * scale
    sides = triangles.reshape(hull.simplices.shape)
    a, b, c = (placed[sides[:, k]] for k in range(3))
    area = float(np.sqrt(np.square(np.cross(b - a, c - a)).sum(axis=1)).sum() / 2)
    return Hull(placed, sides.astype(np.int64), float(hull.volume) * math.prod(scale.tolist()), area)


def _outermost(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertices that end a row and lie beyond the middle of their neighbours to either side.

    A corner of the hull always does, in whatever direction and at whatever distance the neighbours are.
    """
    found = []
    for side, sign in ((0, -1.0), (1, 1.0)):
        height = np.where(ends[..., 0] < 0, -np.inf, sign * ends[..., side])
        corner = np.isfinite(height)
        for step in ((0, 1), (0, 2), (1, 0), (2, 0), (1, 1), (2, 2), (1, -1), (2, -2)):
            corner &= height > _middle_of_neighbours(height, *step)
        z, y = np.nonzero(corner)
        found.append(np.column_stack((z, y, ends[z, y, side])))
    return np.unique(np.concatenate(found), axis=0)


def _middle_of_neighbours(height: NDArray[np.float64], dz: int, dy: int) -> NDArray[np.float64]:
    """Return the mean of the heights a step away on either side; -inf where one of them is missing."""
    margin = max(dz, abs(dy))
    nz, ny = height.shape
    wide = np.pad(height, margin, constant_values=-np.inf)
    ahead = wide[margin + dz : margin + dz + nz, margin + dy : margin + dy + ny]
    behind = wide[margin - dz : margin - dz + nz, margin - dy : margin - dy + ny]
    return np.asarray((ahead + behind) / 2, np.float64)
