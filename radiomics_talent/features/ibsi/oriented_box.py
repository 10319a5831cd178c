"""The smallest box about a lesion, turned however it fits (IBSI's oriented minimum bounding box)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.convex_hull import Hull

SMALLER = 1 - 1e-8
"""A box replaces another that is larger by more than rounding, so that rounding does not choose between equal ones."""
RESOLUTION = 2.0**28
"""Whole-number steps from the middle of a hull to its farthest corner, where its shadows are outlined: 63 bits are
enough for a product of two, so which way three corners turn is exact."""
N_SPREAD = 256
"""Directions tried besides those of the hull's faces: about 9 degrees apart."""
N_TURNED = 16
"""How many of the smallest boxes are turned."""
MOST_TURNS = 50
"""How often at most: turns may go on to gain ever less."""


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
    The smallest box may touch edges of the hull alone, with no face on a face (O'Rourke, Int J Comput Inf Sci 14,
    1985), and an exact search takes the third power of their number. So boxes are tried that have for an axis the
    normal of a face, an axis of the image, or one of many directions spread evenly; about each, the rectangle with a
    side along a side of the hull's shadow is the smallest. The best of them are then turned about one of their axes
    after the other, as long as a turn makes them smaller (as in Chang, Gorissen and Melchior, ACM Trans Graph 30,
    2011).
    """
    directions = np.concatenate((hull.normals(), np.eye(3), _spread_directions()))
    points = hull.corners - hull.corners.mean(axis=0)
    points *= RESOLUTION / np.sqrt(np.square(points).sum(axis=1)).max()
    volumes, boxes = _smallest_about(points, directions)
    best, axes = np.inf, boxes[0]
    for start in np.argsort(volumes, kind="stable")[:N_TURNED]:
        volume, turned = _turned(points, float(volumes[start]), boxes[start])
        if volume < best * SMALLER:
            best, axes = volume, turned
    c, b, a = np.sort(np.ptp(hull.corners @ axes.T, axis=0)).tolist()
    return a, b, c


def _spread_directions() -> NDArray[np.float64]:
    """Return directions spread evenly over half a sphere (a Fibonacci lattice)."""
    k = np.arange(N_SPREAD) + 0.5
    z, angle = k / N_SPREAD, k * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - z * z)
    return np.column_stack((z, radius * np.sin(angle), radius * np.cos(angle)))


def _turned(points: NDArray[np.float64], volume: float, axes: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Turn a box about its axes until no turn makes it smaller, or enough; return its volume and axes."""
    for _ in range(MOST_TURNS):
        volumes, boxes = _smallest_about(points, axes)
        k = int(volumes.argmin())
        if volumes[k] >= volume * SMALLER:
            break
        volume, axes = float(volumes[k]), boxes[k]
    return volume, axes


@kernel
def _smallest_about(
    points: NDArray[np.float64], directions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return volume and axes, (n, 3, 3), of the smallest box that has each direction for an axis."""
    axes = np.empty((directions.shape[0], 3, 3))
    volumes = np.empty(directions.shape[0])
    shadow = np.empty((points.shape[0], 2), np.int64)
    outline = np.empty((points.shape[0] + 1, 2), np.int64)
    for k in range(directions.shape[0]):
        normal = directions[k]
        u, v = _across(normal)
        low, high = np.inf, -np.inf
        for i in range(points.shape[0]):
            depth = points[i, 0] * normal[0] + points[i, 1] * normal[1] + points[i, 2] * normal[2]
            low, high = min(low, depth), max(high, depth)
            shadow[i, 0] = round(points[i, 0] * u[0] + points[i, 1] * u[1] + points[i, 2] * u[2])
            shadow[i, 1] = round(points[i, 0] * v[0] + points[i, 1] * v[1] + points[i, 2] * v[2])
        area, cosine, sine = _smallest_rectangle(outline[: _outline(shadow, outline)])
        volumes[k] = area * (high - low)
        axes[k, 0] = normal
        axes[k, 1] = cosine * u + sine * v
        axes[k, 2] = cosine * v - sine * u
    return volumes, axes


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
def _outline(points: NDArray[np.int64], outline: NDArray[np.int64]) -> int:
    """Write the corners of the convex hull of (n, 2) points, counter-clockwise; return how many (Andrew, 1979)."""
    order = np.argsort(points[:, 0] * np.int64(2**31) + points[:, 1])  # by the first, then by the second
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
def _smallest_rectangle(outline: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the area of the smallest rectangle about an outline, with the cosine and sine of one of its sides."""
    n = outline.shape[0]
    best, cosine, sine = np.inf, 1.0, 0.0
    for k in range(n):
        a, b = outline[k], outline[(k + 1) % n]
        length = np.sqrt(float(b[0] - a[0]) ** 2 + float(b[1] - a[1]) ** 2)
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
