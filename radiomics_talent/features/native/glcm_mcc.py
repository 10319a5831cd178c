"""Maximal correlation coefficient of co-occurrence matrices: the second singular value of P scaled by its margins.

PyRadiomics takes the root of the second eigenvalue of Q, the sum over k of p(i, k) p(j, k) / (p_x(i) p_y(k) + eps).
Without eps, Q has the eigenvalues of A Aᵀ with A = p / sqrt(p_x p_y): symmetric, its first eigenvector (sqrt(p_x), of
value 1) known, its second found by Lanczos steps. What eps changes is added as a Rayleigh quotient, with a bound on
what that leaves out. Where levels fall into groups that never meet, `glcm_groups` knows it already.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.glcm_groups import FOUND, INEXACT, ROUNDED, split_tables
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.neighbour_tables import PairTables

_EPSILON = 2.0**-52
_TOLERANCE = 1e-11
_SMALLEST = 1e-6
"""Below this, rounding of the eigenvalue would show in a relative difference of 1e-9."""

_RESIDUAL = 1e-12
"""Of a vector, in units of its eigenvalue, for it to be found.

The error of the eigenvalue is usually the residual's square; but two eigenvalues closer than the residual look like
one between them, so that the residual itself has to be small.
"""

_MOST_STEPS = 300


@kernel
def _times(
    first: NDArray[np.uint32],
    second: NDArray[np.uint32],
    scaled: NDArray[np.float64],
    vector: NDArray[np.float64],
    across: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Compute Aᵀ times a vector, and A times that, from the entries of A."""
    across[:] = 0.0
    out[:] = 0.0
    for e in range(scaled.size):
        across[second[e]] += scaled[e] * vector[first[e]]
    for e in range(scaled.size):
        out[first[e]] += scaled[e] * across[second[e]]


@kernel
def _dense_times(
    matrix: NDArray[np.float64],
    turned: NDArray[np.float64],
    vector: NDArray[np.float64],
    across: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Compute the same from A and its transpose, row by row."""
    across[:] = 0.0
    out[:] = 0.0
    for i in range(vector.size):
        row, part = matrix[i], vector[i]
        for j in range(row.size):
            across[j] += part * row[j]
    for j in range(across.size):
        row, part = turned[j], across[j]
        for i in range(row.size):
            out[i] += part * row[i]


@kernel
def _laguerre_step(diagonal: NDArray[np.float64], beside: NDArray[np.float64], n: int, x: float) -> float:
    """Return Laguerre's step from x down to the largest eigenvalue of a tridiagonal matrix; -1 if x is below it."""
    d, d1, d2 = x - diagonal[0], 1.0, 0.0
    if d <= 0.0:
        return -1.0
    gradient, curvature = d1 / d, 1.0 / (d * d)
    for k in range(1, n):
        inverse = 1.0 / d
        ratio = beside[k - 1] * beside[k - 1] * inverse * inverse
        d2 = ratio * (d2 - 2.0 * d1 * d1 * inverse)
        d, d1 = x - diagonal[k] - ratio * d, 1.0 + ratio * d1
        if d <= 0.0:
            return -1.0
        slope = d1 / d
        gradient += slope
        curvature += slope * slope - d2 / d
    spread = max((n - 1) * (n * curvature - gradient * gradient), 0.0)
    return float(n / (gradient + math.sqrt(spread)))


@kernel
def _largest_root(diagonal: NDArray[np.float64], beside: NDArray[np.float64], n: int) -> float:
    """Return the largest eigenvalue (0 to 1) of a tridiagonal matrix: Laguerre's iteration within a bracket."""
    low, high = 0.0, 1.0 + 1e-9
    x = high
    for _ in range(100):
        step = _laguerre_step(diagonal, beside, n, x)
        if step < 0.0:
            low = x
        else:
            high = x
            x -= step
        if high - low < 2e-16 * high or 0.0 <= step < 1e-12 * high:
            break
        if step < 0.0 or x <= low:
            x = 0.5 * (low + high)
    return x if x > low else high


@kernel
def _root_vector(diagonal: NDArray[np.float64], beside: NDArray[np.float64], n: int, x: float) -> NDArray[np.float64]:
    """Return the eigenvector of the largest eigenvalue, by inverse iteration: all its components are positive."""
    vector, pivot = np.ones(n), np.empty(n)
    for _ in range(2):
        pivot[0] = max(x + 4e-15 - diagonal[0], 1e-15)
        for k in range(1, n):
            factor = beside[k - 1] / pivot[k - 1]
            pivot[k] = max(x + 4e-15 - diagonal[k] - beside[k - 1] * factor, 1e-15)
            vector[k] += factor * vector[k - 1]
        vector[n - 1] /= pivot[n - 1]
        for k in range(n - 2, -1, -1):
            vector[k] = (vector[k] + beside[k] * vector[k + 1]) / pivot[k]
        vector /= math.sqrt(np.sum(vector * vector))
    return vector


@kernel
def _roots_above(diagonal: NDArray[np.float64], beside: NDArray[np.float64], n: int, x: float) -> int:
    """Count eigenvalues above x (Sturm)."""
    d = diagonal[0] - x
    above = int(d > 0.0)
    for k in range(1, n):
        d = diagonal[k] - x - beside[k - 1] * beside[k - 1] / (d if d != 0.0 else 1e-300)
        above += int(d > 0.0)
    return above


@kernel
def _next_look(n: int, residual: float, before: float, value: float) -> int:
    """Return the step at which the residual will be small enough, if it goes on falling as it did in three steps."""
    goal = _RESIDUAL * value
    if residual >= before or before == np.inf:
        return n + 3
    return n + max(1, min(6, int(3.0 * math.log(residual / goal) / math.log(before / residual))))


@kernel
def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the scalar product, summed in four strands."""
    one = two = three = four = 0.0
    whole = a.size - a.size % 4
    for r in range(0, whole, 4):
        one += a[r] * b[r]
        two += a[r + 1] * b[r + 1]
        three += a[r + 2] * b[r + 2]
        four += a[r + 3] * b[r + 3]
    for r in range(whole, a.size):
        one += a[r] * b[r]
    return (one + two) + (three + four)


@kernel
def _take_out(vector: NDArray[np.float64], other: NDArray[np.float64], part: float) -> None:
    """Subtract a part of another vector."""
    for r in range(vector.size):
        vector[r] -= part * other[r]


@kernel
def _first_step(top: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the vector sought is like: rising with the level, and scattered, so that no symmetry hides it.

    Scattered by a hash: any even spread, or a polynomial, cancels over levels whose tables mirror each other.
    """
    start = np.empty(top.size)
    for r in range(top.size):
        scattered = ((r + 1) * 0x9E3779B1) & 0xFFFFFFFF
        scattered = ((scattered ^ (scattered >> 15)) * 0x45D9F3B) & 0xFFFFFFFF
        scattered ^= scattered >> 13
        start[r] = top[r] * (r + 0.5 - 0.5 * top.size) / top.size + 0.2 * (scattered / 0xFFFFFFFF - 0.5)
    return start


@kernel
def _lanczos(
    first: NDArray[np.uint32],
    second: NDArray[np.uint32],
    scaled: NDArray[np.float64],
    top: NDArray[np.float64],
    columns: int,
) -> tuple[float, bool, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalue of A Aᵀ beside that of `top`, and whether it has been found.

    Then the basis and the tridiagonal matrix of the steps. These are kept apart from `top` and the last two alone:
    others come back only once an eigenvalue has been found, and the residual stays true.
    """
    limit = min(2 * top.size + 8, _MOST_STEPS)
    dense = 4 * scaled.size > top.size * columns
    matrix = np.zeros((top.size, columns) if dense else (0, 0))
    if dense:
        for e in range(scaled.size):
            matrix[first[e], second[e]] = scaled[e]
    turned = matrix.T.copy()
    across = np.empty(columns)
    basis = np.empty((limit + 1, top.size))
    basis[0] = _first_step(top)
    _take_out(basis[0], top, _dot(basis[0], top))
    basis[0] /= math.sqrt(_dot(basis[0], basis[0]))
    diagonal, beside = np.empty(limit), np.empty(limit)
    value, residual = 0.0, np.inf
    n, look = 0, min(8, top.size - 1)
    found = False
    while n < limit and not found:
        step, vector = basis[n], basis[n + 1]
        if dense:
            _dense_times(matrix, turned, step, across, vector)
        else:
            _times(first, second, scaled, step, across, vector)
        if n > 0:
            _take_out(vector, basis[n - 1], beside[n - 1])
        diagonal[n] = _dot(vector, step)
        _take_out(vector, step, diagonal[n])
        _take_out(vector, top, _dot(vector, top))
        beside[n] = math.sqrt(_dot(vector, vector))
        n += 1
        if n == look or beside[n - 1] < 1e-13:
            before = residual
            value = _largest_root(diagonal, beside, n)
            residual = beside[n - 1] * _root_vector(diagonal, beside, n, value)[n - 1]
            found = residual < _RESIDUAL * value or beside[n - 1] < 1e-13
            look = _next_look(n, residual, before, value)
        vector /= max(beside[n - 1], 1e-300)
        if beside[n - 1] < 1e-6:  # what was left of `top` has grown with it
            _take_out(vector, top, _dot(vector, top))
    return value, found, basis[:n], diagonal[:n], beside[:n]


@kernel
def _with_epsilon(
    first: NDArray[np.uint32],
    second: NDArray[np.uint32],
    scaled: NDArray[np.float64],
    margins: NDArray[np.float64],
    vector: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Return the Rayleigh quotient of (A G) Aᵀ, G = p_x p_y / (p_x p_y + eps), and its residuals on both sides."""
    columns = second.max() + 1
    plain, shrunk = np.zeros(columns), np.zeros(columns)
    for e in range(scaled.size):
        part = scaled[e] * vector[first[e]]
        plain[second[e]] += part
        shrunk[second[e]] += part * (margins[e] / (margins[e] + _EPSILON))
    value = np.sum(plain * shrunk)
    right, left = -value * vector, -value * vector
    for e in range(scaled.size):
        right[first[e]] += scaled[e] * (margins[e] / (margins[e] + _EPSILON)) * plain[second[e]]
        left[first[e]] += scaled[e] * shrunk[second[e]]
    return value, math.sqrt(np.sum(right * right)), math.sqrt(np.sum(left * left))


@kernel
def _connected(
    first: NDArray[np.uint32],
    second: NDArray[np.uint32],
    share: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> tuple[float, int]:
    """Return the second eigenvalue where every level can be reached from every other, and what it is worth."""
    if rows.size == 1:
        return 0.0, FOUND
    if columns.size == 1:
        return 0.0, ROUNDED
    scaled = np.empty(share.size)
    by_row, by_column = 1.0 / np.sqrt(rows), 1.0 / np.sqrt(columns)
    for e in range(share.size):
        scaled[e] = share[e] * by_row[first[e]] * by_column[second[e]]
    value, found, basis, diagonal, beside = _lanczos(first, second, scaled, np.sqrt(rows), columns.size)
    if value < _SMALLEST:
        return value, ROUNDED
    if not found:
        return value, INEXACT
    if _EPSILON / (rows.min() * columns.min()) < 10 * _TOLERANCE * value:
        return value, FOUND
    margins = np.empty(share.size)
    for e in range(share.size):
        margins[e] = rows[first[e]] * columns[second[e]]
    vector = np.zeros(rows.size)
    mix = _root_vector(diagonal, beside, diagonal.size, value)
    for k in range(mix.size):
        vector += mix[k] * basis[k]
    vector /= math.sqrt(_dot(vector, vector))
    corrected, right, left = _with_epsilon(first, second, scaled, margins, vector)
    if max(right, left) < _TOLERANCE * corrected:
        return corrected, FOUND
    apart = right * left / (_TOLERANCE * corrected)  # distance to the next eigenvalue that makes the bound hold
    alone = _roots_above(diagonal, beside, diagonal.size, value - apart) <= 1 and 1.0 - value > apart
    return corrected, FOUND if alone else INEXACT


@kernel
def _renumber(
    index: NDArray[np.int32], share: NDArray[np.float64], levels: int
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Give numbers to the levels that a margin has, and return the margin."""
    sums = np.zeros(levels)
    for e in range(index.size):
        sums[index[e]] += share[e]
    number, used = np.empty(levels, np.uint32), 0
    for k in range(levels):
        if sums[k] > 0.0:
            number[k], sums[used] = used, sums[k]
            used += 1
    return number[index], sums[:used].copy()


@kernel
def _solve_connected(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    levels: int,
    groups: NDArray[np.int64],
    values: NDArray[np.float64],
    worth: NDArray[np.int64],
) -> None:
    """Fill in the second eigenvalue of each table that is one group."""
    for t in range(groups.size):
        if groups[t] == 1:
            begin, end = start[t], start[t + 1]
            p = share[begin:end]
            i, rows = _renumber(first[begin:end], p, levels)
            j, columns = _renumber(second[begin:end], p, levels)
            values[t], worth[t] = _connected(i, j, p, rows, columns)


def second_eigenvalues(tables: PairTables, levels: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the second eigenvalue of PyRadiomics' Q for each table; MCC is its root.

    Parameters
    ----------
    tables : PairTables
        Co-occurrence matrices.
    levels : int
        Number of levels that are present, at least 2.

    Returns
    -------
    values : ndarray of float64
        (tables,); NaN where a table has no pair.
    worth : ndarray of int64
        (tables,): `FOUND`, `INEXACT` or `ROUNDED`.
    """
    entries = (tables.start, tables.first, tables.second, tables.share, levels)
    groups, values, worth = split_tables(*entries)
    _solve_connected(*entries, groups, values, worth)
    return values, worth


def general_second_eigenvalue(dense: NDArray[np.float64]) -> float:
    """Find the second eigenvalue of PyRadiomics' Q of one table with a solver for any matrix.

    Parameters
    ----------
    dense : ndarray of float64
        (1, levels, levels, 1), from `glcm_rounding.dense_tables`.
    """
    table = dense[0, :, :, 0]
    weighed = table / (table.sum(axis=1)[:, None] * table.sum(axis=0)[None, :] + _EPSILON)
    return float(np.sort(np.linalg.eigvals(weighed @ table.T))[-2].real)
