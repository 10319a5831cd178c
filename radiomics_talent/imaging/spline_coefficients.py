"""Coefficients of the cubic B-spline through a scan, for a part of it, with the bits that ITK gives on the whole scan.

ITK's ``BSplineDecompositionImageFilter`` runs a recursive filter along each axis, forwards and backwards over whole
lines (IEEE Signal Process Mag 1999;16(6):22, box 2). Here it runs over a part of each line, in the same order of
operations, and its bits are proven: a step of the filter keeps the order of two states (or reverses it) and brings
them closer by 0.268. So it starts, beyond the part, from a state below and from one above all that are possible; where
both have become one, that is the state of the whole line. Where they stay apart, lines are done again from farther
away, and at last from the end of the scan. (In constant air at -1024 HU, for one, the filter never rests but
alternates between two neighbouring doubles.)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box

MARGIN = 48
"""Voxels beside the part that is asked for (no fewer than `_HORIZON`): in ordinary tissue, enough for all but a line
in about ten million."""
WIDE_MARGIN = 96
"""Enough in regions of zeros, where states fade."""

_POLE = math.sqrt(3.0) - 2.0
_GAIN = (1.0 - _POLE) * (1.0 - 1.0 / _POLE)
_HORIZON = math.ceil(math.log(1e-10) / math.log(-_POLE))
"""Voxels that ITK sums for the first state of a line (18); a line that is no longer is summed whole."""
_STATE_BOUND = 10.0
"""No state exceeds the line's largest value by more: 6 / (1 - 0.268) is 8.2."""
_COEFFICIENT_BOUND = 3.0
"""Nor does a coefficient by more than this, along one axis."""
_FADING = 1e-18
"""States that are no farther apart fade in zeros and will not meet; others alternate, or had bad luck."""
_FADED = 1e-47
"""States that have faded so far round alike: 32-bit floats end at 1e-45."""
_LANES = 64
"""Lines that are filtered side by side."""
_SLICES_AT_ONCE = 16
"""Slices that are filtered in one call: each call takes Python's lock back, which threads wait for."""


def spline_coefficients(values_zyx: NDArray[np.generic], box: Box) -> NDArray[np.float64] | None:
    """Return the cubic B-spline coefficients of the voxels in a box.

    Parameters
    ----------
    values_zyx : ndarray, shape (z, y, x)
        The whole scan: integers of up to 32 bits, or floats.
    box : Box
        Where coefficients are wanted.

    Returns
    -------
    ndarray, shape of `box` (z, y, x), or None
        Those of ITK's ``BSplineDecompositionImageFilter`` of order 3 on the whole scan, in every bit (but for what
        fades away in zeros, below 1e-47; not so in 64-bit floats). None for 64-bit integers, and for floats that are
        not all finite (the filter carries them over whole lines) or beyond 32 bits.
    """
    largest = _largest_magnitude(values_zyx)
    if largest is None:
        return None
    faded = 0.0 if values_zyx.dtype == np.float64 else _FADED
    result = np.empty(box.size[::-1])
    x, y, z = zip(box.lower, box.upper, values_zyx.shape[::-1], strict=True)

    def lines_along_z(voxels: slice) -> NDArray[np.float64]:
        slices = values_zyx[voxels]
        planes = np.empty((len(slices), *result.shape[1:]))
        for begin in range(0, len(slices), _SLICES_AT_ONCE):
            some = slice(begin, begin + _SLICES_AT_ONCE)
            _fill_planes(slices[some], x, y, largest, faded, planes[some])
        return planes.reshape(len(slices), -1)

    _fill(lines_along_z, z, largest * _COEFFICIENT_BOUND**2, faded, result.reshape(len(result), -1))
    return result


def _largest_magnitude(values: NDArray[np.generic]) -> float | None:
    """Return a bound of all values, None where there is none or where doubles do not hold them."""
    kind, n_bytes = values.dtype.kind, values.dtype.itemsize
    if kind in "iu" and n_bytes <= 2:
        return float(2 ** (8 * n_bytes))
    if (kind in "iu" and n_bytes == 4) or (kind == "f" and n_bytes in {4, 8}):
        largest = max(abs(float(values.min())), abs(float(values.max())))
        return largest if largest < float(np.finfo(np.float32).max) else None
    return None


def _fill_planes(
    slices_zyx: NDArray[np.generic],
    x: tuple[int, int, int],
    y: tuple[int, int, int],
    largest: float,
    faded: float,
    out: NDArray[np.float64],
) -> None:
    """Fill in the coefficients of slices along x, then y: most from the usual margin, the others one by one."""
    doubtful: Iterable[int] = range(len(out))
    if x[2] > 1 and y[2] > 1:
        (x_part, x_inner, x_ends), (y_part, y_inner, y_ends) = (_reach(axis, MARGIN) for axis in (x, y))
        voxels = np.ascontiguousarray(slices_zyx[:, y_part, x_part], dtype=np.float64)
        powers = math.pow(_POLE, float(x[2] - 1)), math.pow(_POLE, float(y[2] - 1))
        apart = _filter_planes(voxels, x_inner, y_inner, x_ends, y_ends, powers, largest * _STATE_BOUND, out)
        doubtful = np.flatnonzero(apart > faded).tolist()
    for k in doubtful:
        _fill_plane(slices_zyx[k], x, y, largest, faded, out[k])


def _reach(part: tuple[int, int, int], margin: int) -> tuple[slice, tuple[int, int], tuple[bool, bool]]:
    """Return a part of a line with its margin, where the part lies in that, and which ends of the line it has."""
    first, last, size = part
    start, stop = max(0, first - margin), min(size, last + margin)
    return slice(start, stop), (first - start, last - start), (start == 0, stop == size)


def _fill_plane(
    slice_yx: NDArray[np.generic],
    x: tuple[int, int, int],
    y: tuple[int, int, int],
    largest: float,
    faded: float,
    out: NDArray[np.float64],
) -> None:
    """Fill in the coefficients of a slice along x, then y: from `x` and `y`, as `_fill` takes them."""

    def lines_along_y(voxels: slice) -> NDArray[np.float64]:
        rows = slice_yx[voxels]
        columns = np.empty((x[1] - x[0], len(rows)))
        _fill(lambda part: np.ascontiguousarray(rows[:, part].T, dtype=np.float64), x, largest, faded, columns)
        return np.ascontiguousarray(columns.T)

    _fill(lines_along_y, y, largest * _COEFFICIENT_BOUND, faded, out)


def _fill(
    lines_of: Callable[[slice], NDArray[np.float64]],
    part: tuple[int, int, int],
    largest: float,
    faded: float,
    out: NDArray[np.float64],
) -> None:
    """Fill in coefficients, shape (voxels, lines), for a part of all lines: (first, end, length of the lines).

    `lines_of` gives the values of a stretch of the lines, none larger than `largest`.
    """
    size = part[2]
    if size == 1:
        out[:] = lines_of(slice(0, 1))
        return
    last_power = math.pow(_POLE, float(size - 1))
    margin = MARGIN
    while True:
        stretch, inner, mirrored = _reach(part, margin)
        apart = _filter_lines(lines_of(stretch), *inner, mirrored, last_power, largest * _STATE_BOUND, out)
        if apart <= faded:
            return
        margin = WIDE_MARGIN if apart < _FADING and margin < WIDE_MARGIN else size


@kernel
def _first_states(
    lines: NDArray[np.float64], begin: int, width: int, at_end: bool, last_power: float, state: NDArray[np.float64]
) -> None:
    """Fill in the forward filter's states at the scan's first voxel, where lines are mirrored."""
    n_rows = lines.shape[0]
    for i in range(width):
        state[i] = lines[0, begin + i] * _GAIN
    power = _POLE
    if n_rows > _HORIZON or not at_end:
        for n in range(1, _HORIZON):
            for i in range(width):
                state[i] += power * (lines[n, begin + i] * _GAIN)
            power *= _POLE
        return
    back = last_power
    for i in range(width):
        state[i] += back * (lines[n_rows - 1, begin + i] * _GAIN)
    back *= back * (1.0 / _POLE)
    for n in range(1, n_rows - 1):
        for i in range(width):
            state[i] += (power + back) * (lines[n, begin + i] * _GAIN)
        power *= _POLE
        back *= 1.0 / _POLE
    for i in range(width):
        state[i] /= 1.0 - power * power


@kernel
def _largest_gap(low: NDArray[np.float64], high: NDArray[np.float64], width: int) -> float:
    gap = 0.0
    for i in range(width):
        gap = max(gap, abs(high[i] - low[i]))
    return gap


@kernel
def _forwards(
    lines: NDArray[np.float64],
    begin: int,
    first: int,
    mirrored: tuple[bool, bool],
    last_power: float,
    bound: float,
    states: NDArray[np.float64],
) -> float:
    """Fill in the forward filter's states from `first` on (from 0 at the scan's start); tell how sure they are."""
    n_rows, n_lines = lines.shape
    width = min(_LANES, n_lines - begin)
    low, high = np.full(_LANES, -bound), np.full(_LANES, bound)
    apart, n = 0.0, 0
    if mirrored[0]:
        _first_states(lines, begin, width, mirrored[1], last_power, low)
        states[0, :] = low
        n = 1
    else:
        while n < first:
            for i in range(width):
                value = lines[n, begin + i] * _GAIN
                low[i] = value + _POLE * low[i]
                high[i] = value + _POLE * high[i]
            n += 1
        apart = _largest_gap(low, high, width)
    while n < n_rows:
        for i in range(width):
            low[i] = lines[n, begin + i] * _GAIN + _POLE * low[i]
            states[n, i] = low[i]
        n += 1
    return apart


@kernel
def _backwards(
    states: NDArray[np.float64],
    begin: int,
    first: int,
    last: int,
    at_end: bool,
    bound: float,
    out: NDArray[np.float64],
) -> float:
    """Fill in the coefficients from `last` down to `first`; tell how sure they are."""
    width = min(_LANES, out.shape[1] - begin)
    low, high = np.full(_LANES, -bound), np.full(_LANES, bound)
    n = states.shape[0] - 1
    if at_end:
        for i in range(width):
            low[i] = (_POLE / (_POLE * _POLE - 1.0)) * (_POLE * states[n - 1, i] + states[n, i])
            high[i] = low[i]
            if n < last:
                out[n - first, begin + i] = low[i]
        n -= 1
    while n >= last:
        for i in range(width):
            low[i] = _POLE * (low[i] - states[n, i])
            high[i] = _POLE * (high[i] - states[n, i])
        n -= 1
    apart = _largest_gap(low, high, width)
    while n >= first:
        for i in range(width):
            low[i] = _POLE * (low[i] - states[n, i])
            out[n - first, begin + i] = low[i]
        n -= 1
    return apart


@kernel
def _filter_lines(
    lines: NDArray[np.float64],
    first: int,
    last: int,
    mirrored: tuple[bool, bool],
    last_power: float,
    bound: float,
    out: NDArray[np.float64],
) -> float:
    """Filter lines along the first axis, many side by side; return how far apart two possible states were left."""
    n_rows, n_lines = lines.shape
    states = np.empty((n_rows, _LANES))
    apart = 0.0
    for begin in range(0, n_lines, _LANES):
        apart = max(apart, _forwards(lines, begin, first, mirrored, last_power, bound, states))
        apart = max(apart, _backwards(states, begin, first, last, mirrored[1], bound, out))
    return apart


@kernel
def _filter_planes(
    voxels: NDArray[np.float64],
    x_inner: tuple[int, int],
    y_inner: tuple[int, int],
    x_ends: tuple[bool, bool],
    y_ends: tuple[bool, bool],
    last_powers: tuple[float, float],
    bound: float,
    out: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Filter slices along x, then y; return for each how far apart two possible states were left."""
    n_slices, n_y, n_x = voxels.shape
    along_x, columns = np.empty((n_x, n_y)), np.empty((x_inner[1] - x_inner[0], n_y))
    along_y = np.empty((n_y, columns.shape[0]))
    apart = np.empty(n_slices)
    for k in range(n_slices):
        along_x[:] = voxels[k].T
        of_x = _filter_lines(along_x, x_inner[0], x_inner[1], x_ends, last_powers[0], bound, columns)
        along_y[:] = columns.T
        of_y = _filter_lines(
            along_y, y_inner[0], y_inner[1], y_ends, last_powers[1], bound * _COEFFICIENT_BOUND, out[k]
        )
        apart[k] = max(of_x, of_y)
    return apart
