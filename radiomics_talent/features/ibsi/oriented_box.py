"""The smallest box about a lesion, turned however it fits (IBSI's oriented minimum bounding box)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.convex_hull import Hull

SMALLER = 1 - 1e-12
"""A box replaces another that is larger by more than rounding, so that rounding does not choose between equal ones."""


def smallest_box(hull: Hull) -> tuple[float, float, float]:
    """Return the sides of the smallest box that holds a hull (OMBB: IBSI ZH1A, IQYR).

    Parameters
    ----------
    hull : Hull
        In mm.

    Returns
    -------
    tuple of float
        In mm, the longest first.

    Notes
    -----
    Of all boxes with a face on a face of the hull, the smallest: about each face's direction, the rectangle with a side
    along a side of the hull's shadow. That box is then turned about each of its axes in turn, as long as one turn makes
    it smaller: the smallest box may rest on edges of the hull alone (O'Rourke, Int J Comput Inf Sci 14, 1985), whose
    exact search takes the third power of their number.
    """
    box = _smallest_about(hull.corners, hull.normals())
    while True:
        turned = _smallest_about(hull.corners, box)
        if _volume(hull.corners, turned) >= _volume(hull.corners, box) * SMALLER:
            c, b, a = np.sort(np.ptp(hull.corners @ box.T, axis=0)).tolist()
            return a, b, c
        box = turned


def _volume(points: NDArray[np.float64], axes: NDArray[np.float64]) -> float:
    return float(np.ptp(points @ axes.T, axis=0).prod())


@kernel
def _smallest_about(points: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axes, (3, 3), of the smallest box that has one of the directions for an axis."""
    axes = np.empty((3, 3))
    best = np.inf
    shadow = np.empty((points.shape[0], 2))
    outline = np.empty((points.shape[0] + 1, 2))
    for k in range(directions.shape[0]):
        normal = directions[k]
        u, v = _across(normal)
        low, high = np.inf, -np.inf
        for i in range(points.shape[0]):
            depth = points[i, 0] * normal[0] + points[i, 1] * normal[1] + points[i, 2] * normal[2]
            low, high = min(low, depth), max(high, depth)
            shadow[i, 0] = points[i, 0] * u[0] + points[i, 1] * u[1] + points[i, 2] * u[2]
            shadow[i, 1] = points[i, 0] * v[0] + points[i, 1] * v[1] + points[i, 2] * v[2]
        area, cosine, sine = _smallest_rectangle(outline[: _outline(shadow, outline)])
        if area * (high - low) < best * SMALLER:
            best = area * (high - low)
            axes[0] = normal
            axes[1] = cosine * u + sine * v
            axes[2] = cosine * v - sine * u
    return axes


@kernel
def _across(normal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two directions at right angles to a direction and to each other, each of length 1."""
    least = np.abs(normal).argmin()
    u = -normal[least] * normal
    u[least] += 1.0
    u /= np.sqrt((u * u).sum())
    v = np.empty(3)
    v[0] = normal[1] * u[2] - normal[2] * u[1]
    v[1] = normal[2] * u[0] - normal[0] * u[2]
    v[2] = normal[0] * u[1] - normal[1] * u[0]
    return u, v


@kernel
def _outline(points: NDArray[np.float64], outline: NDArray[np.float64]) -> int:
    """Write the corners of the convex hull of (n, 2) points, counter-clockwise; return how many (Andrew, 1979)."""
    order = np.argsort(points[:, 0], kind="mergesort")
    n = 0
    for way in range(2):
        start = n
        for k in range(order.size):
            p = points[order[k] if way == 0 else order[order.size - 1 - k]]
            while n - start > 1:
                a, b = outline[n - 2], outline[n - 1]
                if (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) > 0:
                    break
                n -= 1
            outline[n] = p
            n += 1
        n -= 1  # the end of one half begins the other
    return n


@kernel
def _smallest_rectangle(outline: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the area of the smallest rectangle about an outline, with the cosine and sine of one of its sides."""
    n = outline.shape[0]
    best, cosine, sine = np.inf, 1.0, 0.0
    for k in range(n):
        a, b = outline[k], outline[(k + 1) % n]
        length = np.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2)
        if length == 0.0:
            continue
        c, s = (b[0] - a[0]) / length, (b[1] - a[1]) / length
        left, right, top = np.inf, -np.inf, 0.0
        for i in range(n):
            x, y = outline[i, 0] - a[0], outline[i, 1] - a[1]
            along = c * x + s * y
            left, right = min(left, along), max(right, along)
            top = max(top, c * y - s * x)
        if (right - left) * top < best * SMALLER:
            best, cosine, sine = (right - left) * top, c, s
    return best, cosine, sine
