"""Coefficients of the cubic B-spline through a scan, for a part of it, with the bits that ITK gives on the whole scan.

ITK's ``BSplineDecompositionImageFilter`` runs a recursive filter along each axis, forwards and backwards over whole
lines (IEEE Signal Process Mag 1999;16(6):22, box 2). Here it runs over a part of each line, in the same order of
operations, and its bits are proven: a step of the filter keeps the order of two states (or reverses it) and brings
them closer by 0.268. So it starts, beyond the part, from a state below and from one above all that are possible; where
both have become one, that is the state of the whole line. A line on which they stay apart is done again from the end
of the scan. (In constant air at -1024 HU, for one, the filter never rests but alternates between two neighbours.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box

MARGIN = 48
"""Voxels beside the part that is asked for: enough for all but a line in about ten million of ordinary tissue."""

_POLE = math.sqrt(3.0) - 2.0
_GAIN = (1.0 - _POLE) * (1.0 - 1.0 / _POLE)
_HORIZON = math.ceil(math.log(1e-10) / math.log(-_POLE))
"""Voxels that ITK sums for the first state of a line (18); a line that is no longer is summed whole."""
_STATE_BOUND = 10.0
"""No state exceeds the line's largest value by more: 6 / (1 - 0.268) is 8.2."""
_COEFFICIENT_BOUND = 3.0
"""Nor does a coefficient by more than this, along one axis."""
_NOTHING = 1e-18
"""In zeros the filter fades and never rests; states this small may differ: beside a whole number they vanish."""
_LANES = 64
"""Lines that are filtered side by side."""


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
        Those of ITK's ``BSplineDecompositionImageFilter`` of order 3 on the whole scan, in every bit. (In a scan of
        integers, what fades away in a wide region of zeros may differ by 1e-18, which no whole number feels.) None
        for 64-bit integers, and for floats that are not all finite (the filter carries them over whole lines) or
        beyond 32 bits.
    """
    largest = _largest_magnitude(values_zyx)
    if largest is None:
        return None
    nothing = _NOTHING if values_zyx.dtype.kind in "iu" else 0.0
    n_x, n_y, n_z = box.size
    result = np.empty((n_z, n_y, n_x))
    # Along x and y slice by slice, then along z.
    for along_z in _stretches(box.lower[2], box.upper[2], values_zyx.shape[0]):
        slices = values_zyx[along_z.voxels]
        planes = np.empty((len(slices), n_y, n_x))
        for plane, slice_yx in zip(planes, slices, strict=True):
            plane[:] = _plane_coefficients(slice_yx, box, largest, nothing)
        bound = largest * _COEFFICIENT_BOUND**2
        if _filter(planes.reshape(len(slices), -1), along_z, bound, nothing, result.reshape(n_z, -1)):
            break
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


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The part of a line that is read, `start` to `stop`, for the coefficients from `first` to `last`."""

    start: int
    stop: int
    first: int
    last: int
    size: int

    @property
    def voxels(self) -> slice:
        return slice(self.start, self.stop)


def _stretches(first: int, last: int, size: int) -> tuple[_Stretch, _Stretch]:
    """Return what suffices for nearly every line, and what suffices for all."""
    near = _Stretch(max(0, first - MARGIN), min(size, last + MARGIN), first, last, size)
    return near, _Stretch(0, size, first, last, size)


def _plane_coefficients(slice_yx: NDArray[np.generic], box: Box, largest: float, nothing: float) -> NDArray[np.float64]:
    n_x, n_y, _ = box.size
    result = np.empty((n_y, n_x))
    for along_y in _stretches(box.lower[1], box.upper[1], slice_yx.shape[0]):
        rows = slice_yx[along_y.voxels]
        columns = np.empty((n_x, len(rows)))
        for along_x in _stretches(box.lower[0], box.upper[0], slice_yx.shape[1]):
            lines = np.ascontiguousarray(rows[:, along_x.voxels].T, dtype=np.float64)
            if _filter(lines, along_x, largest, nothing, columns):
                break
        if _filter(np.ascontiguousarray(columns.T), along_y, largest * _COEFFICIENT_BOUND, nothing, result):
            break
    return result


def _filter(
    lines: NDArray[np.float64], stretch: _Stretch, largest: float, nothing: float, out: NDArray[np.float64]
) -> bool:
    """Turn values, shape (voxels read, lines), into coefficients (voxels wanted, lines); tell whether bits are sure."""
    if stretch.size == 1:
        out[:] = lines
        return True
    mirrored = stretch.start == 0, stretch.stop == stretch.size
    last_power = math.pow(_POLE, float(stretch.size - 1))
    limits = largest * _STATE_BOUND, nothing
    first, last = stretch.first - stretch.start, stretch.last - stretch.start
    return _filter_lines(lines, first, last, mirrored, last_power, limits, out) == 0


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
def _count_apart(low: NDArray[np.float64], high: NDArray[np.float64], width: int, nothing: float) -> int:
    apart = 0
    for i in range(width):
        if low[i] != high[i] and max(abs(low[i]), abs(high[i])) > nothing:
            apart += 1
    return apart


@kernel
def _forwards(
    lines: NDArray[np.float64],
    begin: int,
    first: int,
    mirrored: tuple[bool, bool],
    last_power: float,
    limits: tuple[float, float],
    states: NDArray[np.float64],
) -> int:
    """Fill in the forward filter's states from `first` on (from 0 at the scan's start); count the lines unknown."""
    n_rows, n_lines = lines.shape
    width = min(_LANES, n_lines - begin)
    low, high = np.full(_LANES, -limits[0]), np.full(_LANES, limits[0])
    apart, n = 0, 0
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
        apart = _count_apart(low, high, width, limits[1])
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
    limits: tuple[float, float],
    out: NDArray[np.float64],
) -> int:
    """Fill in the coefficients from `last` down to `first`; count the lines unknown."""
    width = min(_LANES, out.shape[1] - begin)
    low, high = np.full(_LANES, -limits[0]), np.full(_LANES, limits[0])
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
    apart = _count_apart(low, high, width, limits[1])
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
    limits: tuple[float, float],
    out: NDArray[np.float64],
) -> int:
    """Filter lines along the first axis, many side by side; return how often a state stayed unknown."""
    n_rows, n_lines = lines.shape
    states = np.empty((n_rows, _LANES))
    apart = 0
    for begin in range(0, n_lines, _LANES):
        apart += _forwards(lines, begin, first, mirrored, last_power, limits, states)
        apart += _backwards(states, begin, first, last, mirrored[1], limits, out)
    return apart
