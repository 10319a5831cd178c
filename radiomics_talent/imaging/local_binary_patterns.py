"""Local binary patterns of slices: which of the points on a circle around a pixel are at least as bright as it.

Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 2002;24:971-987. The numbers are those of scikit-image's
``local_binary_pattern`` on whole slices: it interpolates at positions counted from a slice's corner, and how those
round decides whether an interpolated value equals the pixel's. So they are counted from the same corner here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box

_METHODS = {"default": 0, "ror": 1, "uniform": 2, "var": 3}


def local_binary_patterns(
    image_zyx: NDArray[Any],
    box: Box,
    *,
    axis: int = 0,
    radius: float = 1,
    samples: int = 8,
    method: str = "uniform",
) -> NDArray[Any]:
    """Return the pattern of each voxel of a box, slice by slice.

    Parameters
    ----------
    image_zyx : ndarray, shape (z, y, x)
        Voxel values. Beyond the ends of a slice they count as 0.
    box : Box
        The part that is wanted.
    axis : int
        Axis of the array that slices are counted along (PyRadiomics' ``force2Ddimension``).
    radius : float
        Radius of the circle in voxels.
    samples : int
        Points on the circle.
    method : {'default', 'ror', 'uniform', 'var'}
        As scikit-image has them.

    Returns
    -------
    ndarray, shape of `box` (z, y, x), dtype of the image
        Patterns; ``var`` in an image of integers is cut to integers, as PyRadiomics does it.
    """
    part, start, inside, size = _slices(image_zyx, box, axis, math.ceil(radius) + 1)
    rows, columns = _circle(radius, samples)
    first, last = inside
    codes = np.empty((part.shape[0], last[0] - first[0], last[1] - first[1]))
    _patterns(part, np.array([*start, *first, *size]), rows, columns, _METHODS[method], codes)
    with np.errstate(invalid="ignore"):
        return np.ascontiguousarray(codes.astype(image_zyx.dtype).swapaxes(0, axis))


Pair = tuple[int, int]


def _slices(
    image: NDArray[Any], box: Box, axis: int, margin: int
) -> tuple[NDArray[np.float64], Pair, tuple[Pair, Pair], Pair]:
    """Return the box's slices with a margin, where they and the box begin (and end) in a slice, and its size."""
    spans = [(s.start, s.stop) for s in box.slices_zyx]
    spans[0], spans[axis] = spans[axis], spans[0]
    turned = image.swapaxes(0, axis)
    _, rows, columns = turned.shape
    (top, bottom), (left, right) = spans[1:]
    up, west = max(0, top - margin), max(0, left - margin)
    part = turned[slice(*spans[0]), up : bottom + margin, west : right + margin]
    return np.ascontiguousarray(part, dtype=np.float64), (up, west), ((top, left), (bottom, right)), (rows, columns)


def _circle(radius: float, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets of the points in rows and columns; scikit-image holds the radius as a float32."""
    r = float(np.float32(radius))
    angles = 2 * np.pi * np.arange(samples, dtype=np.float64) / samples
    return np.round(-r * np.sin(angles), 5), np.round(r * np.cos(angles), 5)


@kernel
def _patterns(
    image: NDArray[np.float64],
    frame: NDArray[np.int64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    method: int,
    codes: NDArray[np.float64],
) -> None:
    """Fill `codes`; `frame` has the corner of the crop, of the box, and the size of a slice (row, column each)."""
    values = np.empty(rows.size)
    bits = np.empty(rows.size, dtype=np.int64)
    for k in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            for j in range(codes.shape[2]):
                r, c = frame[2] + i, frame[3] + j
                centre = image[k, r - frame[0], c - frame[1]]
                for p in range(rows.size):
                    values[p] = _interpolated(image[k], frame, r + rows[p], c + columns[p])
                    bits[p] = values[p] - centre >= 0
                if method == 3:
                    codes[k, i, j] = _variance(values)
                else:
                    codes[k, i, j] = _uniform(bits) if method == 2 else _binary(bits, method == 1)


@kernel
def _interpolated(plane: NDArray[np.float64], frame: NDArray[np.int64], row: float, column: float) -> float:
    """Interpolate linearly between the four pixels around a position."""
    top, left = int(np.floor(row)), int(np.floor(column))
    below, right = int(np.ceil(row)), int(np.ceil(column))
    down, across = row - top, column - left
    upper = (1 - across) * _pixel(plane, frame, top, left) + across * _pixel(plane, frame, top, right)
    lower = (1 - across) * _pixel(plane, frame, below, left) + across * _pixel(plane, frame, below, right)
    return (1 - down) * upper + down * lower


@kernel
def _pixel(plane: NDArray[np.float64], frame: NDArray[np.int64], row: int, column: int) -> float:
    """Return a pixel by its place in the whole slice, 0 outside of it."""
    if row < 0 or row >= frame[4] or column < 0 or column >= frame[5]:
        return 0.0
    return plane[row - frame[0], column - frame[1]]  # type: ignore[no-any-return]


@kernel
def _uniform(bits: NDArray[np.int64]) -> float:
    """Count ones where they change at most twice along the circle (its two ends are not compared)."""
    ones, changes = bits[0], 0
    for p in range(1, bits.size):
        ones += bits[p]
        changes += bits[p] != bits[p - 1]
    return float(ones if changes <= 2 else bits.size + 1)


@kernel
def _binary(bits: NDArray[np.int64], smallest: bool) -> float:
    """Read the bits as a number, or as the smallest number of all rotations."""
    value = 0
    for p in range(bits.size):
        value += bits[p] << p
    best = value
    if smallest:
        for _ in range(1, bits.size):
            value = (value >> 1) | ((value & 1) << (bits.size - 1))
            best = min(best, value)
    return float(best)


@kernel
def _variance(values: NDArray[np.float64]) -> float:
    """Return the population variance from the sums of values and of their squares, NaN in place of 0."""
    total, squares = 0.0, 0.0
    for value in values:
        total += value
        squares += value * value
    variance = (squares - total * total / values.size) / values.size
    return float(variance) if variance != 0 else np.nan
