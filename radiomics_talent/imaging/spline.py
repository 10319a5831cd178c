"""Cubic B-spline resampling of a part of a scan, with the bits that ITK gives on the whole scan.

ITK weights 4 x 4 x 4 spline coefficients (`radiomics_talent.imaging.spline_coefficients`) for each value. Integer
voxels are cut towards zero afterwards, so where a scan is constant (air) or the grids coincide, the last bit of a sum
is a whole grey level. Hence positions (`radiomics_talent.imaging.grid_rows`), weights, products and sums are here in
ITK's own order of operations. All of this holds where compilers leave multiplications and additions apart:
`KEEPS_BITS`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel
from radiomics_talent.imaging.geometry import Box
from radiomics_talent.imaging.grid_rows import KEEPS_BITS, grid_rows
from radiomics_talent.imaging.spline_coefficients import spline_coefficients

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Geometry


def cubic_spline(values_zyx: NDArray[np.generic], frame: Geometry, grid: Geometry) -> NDArray[np.float64] | None:
    """Return a scan's cubic B-spline interpolation at the points of a grid.

    Parameters
    ----------
    values_zyx : ndarray, shape (z, y, x)
        The whole scan: integers of up to 32 bits, or floats.
    frame : Geometry
        The scan's grid.
    grid : Geometry
        Where values are wanted.

    Returns
    -------
    ndarray, shape of `grid` (z, y, x), or None
        Doubles, before they are cut to the pixel type; 0 outside of the scan. The bits of ITK's
        ``BSplineInterpolateImageFunction`` of order 3 under its ``ResampleImageFilter``. None where they are not
        known: see `spline_coefficients`; an axis of two voxels (there ITK reads outside of its memory); a machine
        without `KEEPS_BITS`.
    """
    if not KEEPS_BITS or 2 in frame.size:
        return None
    starts, vectors = grid_rows(frame, grid)
    result = np.zeros(grid.size[::-1])
    box = _support(starts, vectors, grid.size[0], frame.size)
    if box is None:
        return result
    coefficients = spline_coefficients(values_zyx, box)
    if coefficients is None:
        return None
    size, lower = np.array(frame.size, dtype=np.int64), np.array(box.lower, dtype=np.int64)
    _evaluate(coefficients, lower, size, starts, vectors, _is_straight(starts, vectors), result)
    return result


# Positions


def _support(
    starts: NDArray[np.float64], vectors: NDArray[np.float64], n_x: int, size: tuple[int, int, int]
) -> Box | None:
    """Return the voxels whose coefficients the rows need, None when all rows are outside of the scan."""
    ends = starts + vectors * ((n_x - 1) / n_x)
    least = np.minimum(starts, ends).min(axis=(0, 1))
    most = np.maximum(starts, ends).max(axis=(0, 1))
    if np.any(most < -1) or np.any(least > size):
        return None
    # A row's four neighbours and one for rounding; at the scan's end the spline is mirrored into the last three.
    lower = [max(0, min(math.floor(v) - 2, n - 3)) for v, n in zip(least, size, strict=True)]
    upper = [min(n, max(math.floor(v) + 4, 3)) for v, n in zip(most, size, strict=True)]
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _is_straight(starts: NDArray[np.float64], vectors: NDArray[np.float64]) -> bool:
    """Tell whether each axis of the grid runs along that axis of the scan, but for rounding."""
    across = [np.ptp(starts[..., 0]), np.ptp(starts[..., 1], axis=0).max(), np.ptp(starts[..., 2], axis=1).max()]
    return bool(max(*across, np.abs(vectors[..., 1:]).max()) < 0.5)


# Values


@kernel
def _mirrored(index: int, size: int) -> int:
    if size == 1:
        return 0
    index = abs(index)
    return index if index < size else 2 * (size - 1) - index


@kernel
def _place(
    start: NDArray[np.float64],
    vector: NDArray[np.float64],
    shares: NDArray[np.float64],
    size: NDArray[np.int64],
    weights: NDArray[np.float64],
    left: NDArray[np.float64],
    inside: NDArray[np.bool_],
) -> None:
    """Fill in a row's weights (3, 4, x), the voxels left of its points (3, x), and which points are in the scan."""
    inside[:] = True
    for axis in range(3):
        first, step, end = start[axis], vector[axis], size[axis] - 0.5
        for i in range(len(shares)):
            x = first + shares[i] * step
            inside[i] &= (x >= -0.5) & (x < end)
            # ITK rounds to 32 bits here: a point within rounding of the next voxel counts as there.
            floor = np.float64(np.floor(np.float32(x)))
            w = x - floor
            left[axis, i] = floor
            w3 = 1.0 / 6.0 * w * w * w
            w0 = 1.0 / 6.0 + 0.5 * w * (w - 1.0) - w3
            w2 = w + w0 - 2.0 * w3
            weights[axis, 0, i] = w0
            weights[axis, 1, i] = 1.0 - w0 - w2 - w3
            weights[axis, 2, i] = w2
            weights[axis, 3, i] = w3


@kernel
def _is_along(
    left: NDArray[np.float64], inside: NDArray[np.bool_], columns: NDArray[np.float64], row: int, plane: int
) -> bool:
    """Tell whether a row's points lie right of the voxels `columns` of one row and plane of the scan."""
    along = True
    for i in range(len(columns)):
        along &= (not inside[i]) | ((left[0, i] == columns[i]) & (left[1, i] == row) & (left[2, i] == plane))
    return along


@kernel
def _hold(
    coefficients: NDArray[np.float64],
    plane: int,
    columns: NDArray[np.float64],
    lower: NDArray[np.int64],
    size: NDArray[np.int64],
    held: NDArray[np.int64],
    expanded: NDArray[np.float64],
) -> None:
    """Have the four planes around `plane` laid out as rows need them, (y, 4, x of the grid), at index modulo four."""
    for kz in range(4):
        wanted = _mirrored(plane - 1 + kz, size[2])
        if held[wanted % 4] == wanted:
            continue
        held[wanted % 4] = wanted
        source, target = coefficients[wanted - lower[2]], expanded[wanted % 4]
        for kx in range(4):
            for i in range(len(columns)):
                column = _mirrored(int(columns[i]) - 1 + kx, size[0]) - lower[0]
                column = min(max(column, 0), source.shape[1] - 1)  # points outside of the scan: not used
                for y in range(source.shape[0]):
                    target[y, kx, i] = source[y, column]


@kernel
def _sum_straight(
    expanded: NDArray[np.float64],
    row: int,
    plane: int,
    lower: NDArray[np.int64],
    size: NDArray[np.int64],
    weights: NDArray[np.float64],
    total: NDArray[np.float64],
) -> None:
    """Sum up a whole row; the order of all products and sums is ITK's."""
    total[:] = 0.0
    for kz in range(4):
        held = expanded[_mirrored(plane - 1 + kz, size[2]) % 4]
        for ky in range(4):
            c = held[_mirrored(row - 1 + ky, size[1]) - lower[1]]
            for i in range(len(total)):
                y, z = weights[1, ky, i], weights[2, kz, i]
                value = total[i]
                value += weights[0, 0, i] * y * z * c[0, i]
                value += weights[0, 1, i] * y * z * c[1, i]
                value += weights[0, 2, i] * y * z * c[2, i]
                value += weights[0, 3, i] * y * z * c[3, i]
                total[i] = value


@kernel
def _sum_scattered(
    coefficients: NDArray[np.float64],
    left: NDArray[np.float64],
    i: int,
    lower: NDArray[np.int64],
    size: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> float:
    """Sum up one point, wherever it is in the scan."""
    total = 0.0
    for kz in range(4):
        plane = coefficients[_mirrored(int(left[2, i]) - 1 + kz, size[2]) - lower[2]]
        for ky in range(4):
            row = plane[_mirrored(int(left[1, i]) - 1 + ky, size[1]) - lower[1]]
            for kx in range(4):
                weight = weights[0, kx, i] * weights[1, ky, i] * weights[2, kz, i]
                total += weight * row[_mirrored(int(left[0, i]) - 1 + kx, size[0]) - lower[0]]
    return total


@kernel
def _evaluate(
    coefficients: NDArray[np.float64],
    lower: NDArray[np.int64],
    size: NDArray[np.int64],
    starts: NDArray[np.float64],
    vectors: NDArray[np.float64],
    straight: bool,
    out: NDArray[np.float64],
) -> None:
    """Fill in `out`, shape (z, y, x) of the grid; rows that run along the scan's axes need no look-ups in the sums."""
    n_z, n_y, n_x = out.shape
    shares = np.arange(n_x) / n_x
    weights, left, total = np.empty((3, 4, n_x)), np.empty((3, n_x)), np.empty(n_x)
    inside, columns = np.empty(n_x, dtype=np.bool_), np.full(n_x, np.nan)
    held, expanded = np.full(4, -1), np.zeros((4, coefficients.shape[1], 4, n_x if straight else 0))
    for line in range(n_z * n_y):
        z, y = line // n_y, line % n_y
        _place(starts[z, y], vectors[z, y], shares, size, weights, left, inside)
        if not inside.any():
            continue
        if np.isnan(columns[0]):
            columns[:] = left[0]
        row, plane = int(left[1, 0]), int(left[2, 0])
        is_along = straight and _is_along(left, inside, columns, row, plane)
        if is_along:
            _hold(coefficients, plane, columns, lower, size, held, expanded)
            _sum_straight(expanded, row, plane, lower, size, weights, total)
        for i in range(n_x):
            if not is_along and inside[i]:
                total[i] = _sum_scattered(coefficients, left, i, lower, size, weights)
            if inside[i]:
                out[z, y, i] = total[i]
