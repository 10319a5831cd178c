"""Polygons in a plane of pixels: filling them, and measuring them (even-odd rule).

Coordinates (x, y) are continuous pixel indices: pixel centres lie at whole numbers.
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

INDEX_DECIMALS = 5
"""Contours are rounded to so many decimals of a voxel."""


def fill(polygons: list[Points], slice_yx: NDArray[np.bool_]) -> None:
    """Set the pixels whose centres lie inside the polygons of one plane (even-odd)."""
    ny, nx = slice_yx.shape
    x0, x1 = _clip(np.concatenate([p[:, 0] for p in polygons]), nx)
    y0, y1 = _clip(np.concatenate([p[:, 1] for p in polygons]), ny)
    if y1 <= y0 or x1 <= x0:
        return
    rows, x = _crossings(polygons, np.arange(y0, y1, dtype=np.float64))
    # Every crossing turns the rest of its row over, so the parity of the crossings so far is the answer.
    column = np.clip(np.floor(np.round(x, INDEX_DECIMALS)) + 1, x0, x1).astype(np.int64) - x0
    width = x1 - x0 + 1
    turns = np.bincount(rows * width + column, minlength=(y1 - y0) * width).reshape(y1 - y0, width)
    slice_yx[y0:y1, x0:x1] |= (np.cumsum(turns, axis=1)[:, :-1] & 1).astype(bool)


def areas(polygons: list[Points], size_xy: tuple[int, int]) -> tuple[float, float]:
    """Return the area inside the polygons of one plane (even-odd, in pixels), all and inside the image.

    Lengths are exact along x and summed over lines finer than the pixels: where pixels lie does not matter.
    """
    low, high = min(float(p[:, 1].min()) for p in polygons), max(float(p[:, 1].max()) for p in polygons)
    n_lines = int(np.clip(4 * (high - low), 64, 4096))
    height = (high - low) / n_lines
    lines = np.asarray(low + (np.arange(n_lines) + 0.5) * height, dtype=np.float64)
    rows, x = _crossings(polygons, lines)
    x = x[np.lexsort((x, rows))]
    rows = np.sort(rows)
    inside_y = np.abs(lines[rows[::2]] - (size_xy[1] - 1) / 2) <= size_xy[1] / 2
    whole = x[1::2] - x[::2]
    clipped = np.clip(x, -0.5, size_xy[0] - 0.5)
    part = (clipped[1::2] - clipped[::2]) * inside_y
    return float(whole.sum()) * height, float(part.sum()) * height


def estimate_crossings(contour: Points) -> float:
    """Estimate how many crossings `areas` will find for a contour (continuous indices)."""
    y = contour[:, 1]
    height = float(np.ptp(y))
    return float(np.abs(np.diff(y)).sum()) / height * float(np.clip(4 * height, 64, 4096)) if height > 0 else 0.0


def _crossings(polygons: list[Points], lines: Points) -> tuple[NDArray[np.int64], Points]:
    """Return where the polygons' edges cross horizontal lines (rising y): number of the line, and x."""
    start = np.vstack(polygons)
    end = np.vstack([np.roll(p, -1, axis=0) for p in polygons])
    # Each edge upwards: then it gives the same bits whichever way its contour runs.
    down = start[:, 1] > end[:, 1]
    start[down], end[down] = end[down], start[down]
    # An edge holds its upper end and not its lower, so a vertex on a line counts once.
    first = np.searchsorted(lines, start[:, 1], side="right")
    count = np.searchsorted(lines, end[:, 1], side="right") - first
    edge = np.repeat(np.arange(len(start)), count)
    nth = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count)
    rows = first[edge] + nth
    slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
    return rows, start[edge, 0] + (lines[rows] - start[edge, 1]) * slope


def _clip(values: Points, n: int) -> tuple[int, int]:
    """Return the half-open range of pixels that the values span, kept inside `n` pixels."""
    return max(0, floor(float(values.min()))), min(n, ceil(float(values.max())) + 1)
