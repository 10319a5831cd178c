"""Maximal correlation coefficient of co-occurrence matrices: the second singular value of P scaled by its margins.

PyRadiomics takes the root of the second eigenvalue of Q, the sum over k of p(i, k) p(j, k) / (p_x(i) p_y(k) + eps).
Without eps, Q has the eigenvalues of A Aᵀ with A = p / sqrt(p_x p_y): symmetric, its first eigenvector (sqrt(p_x), of
value 1) known, its second found by Lanczos steps. What eps changes is added as a Rayleigh quotient, with a bound on
what that leaves out. Where levels fall into groups that never meet, each group has its own eigenvalue 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.neighbour_tables import PairTables

FOUND, INEXACT, ROUNDED = 0, 1, 2
"""What `second_eigenvalues` says of a value: good; eps needs a general solver; nothing but rounding error."""

_EPSILON = 2.0**-52
_TOLERANCE = 1e-11
_SMALLEST = 1e-6
"""Below this, rounding of the eigenvalue would show in a relative difference of 1e-9."""


@kernel
def _group(parent: NDArray[np.int64], node: int) -> int:
    """Return the root of a node, and shorten the way there."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def _second_group(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> tuple[int, float]:
    """Return the number of groups of rows and columns that never meet, and the second eigenvalue that they give."""
    parent = np.arange(rows.size + columns.size)
    groups = parent.size
    for e in range(share.size):
        a, b = _group(parent, first[e]), _group(parent, rows.size + second[e])
        if a != b:
            parent[max(a, b)] = min(a, b)
            groups -= 1
    if groups == 1:
        return 1, 0.0
    # Eigenvalue of a group: 1 - eps sum(p / (p_x p_y)) / sum(p), to first order in eps.
    weight, lost = np.zeros(rows.size), np.zeros(rows.size)
    for e in range(share.size):
        root = _group(parent, first[e])
        weight[root] += share[e]
        lost[root] += share[e] / (rows[first[e]] * columns[second[e]])
    least = then = np.inf
    for k in range(rows.size):
        if weight[k] > 0.0:
            loss = _EPSILON * lost[k] / weight[k]
            then = min(then, max(loss, least))
            least = min(least, loss)
    return groups, 1.0 - then


@kernel
def _times(
    first: NDArray[np.int32], second: NDArray[np.int32], scaled: NDArray[np.float64], vector: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return A Aᵀ times a vector."""
    across, out = np.zeros(second.max() + 1), np.zeros(vector.size)
    for e in range(scaled.size):
        across[second[e]] += scaled[e] * vector[first[e]]
    for e in range(scaled.size):
        out[first[e]] += scaled[e] * across[second[e]]
    return out


@kernel
def _laguerre_step(diagonal: NDArray[np.float64], beside: NDArray[np.float64], n: int, x: float) -> float:
    """Return Laguerre's step from x down to the largest eigenvalue of a tridiagonal matrix; -1 if x is below it."""
    d, d1, d2 = x - diagonal[0], 1.0, 0.0
    if d <= 0.0:
        return -1.0
    gradient, curvature = d1 / d, (d1 / d) ** 2
    for k in range(1, n):
        ratio = beside[k - 1] * beside[k - 1] / (d * d)
        d2 = ratio * (d2 - 2.0 * d1 * d1 / d)
        d, d1 = x - diagonal[k] - ratio * d, 1.0 + ratio * d1
        if d <= 0.0:
            return -1.0
        gradient += d1 / d
        curvature += (d1 / d) ** 2 - d2 / d
    return n / (gradient + float(math.sqrt(max((n - 1) * (n * curvature - gradient * gradient), 0.0))))


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
        if high - low < 2e-16 * high or 0.0 <= step < 1e-16 * high:
            break
        if step < 0.0 or x <= low:
            x = 0.5 * (low + high)
    return high


@kernel
def _root_vector(diagonal: NDArray[np.float64], beside: NDArray[np.float64], n: int, x: float) -> NDArray[np.float64]:
    """Return the eigenvector of the largest eigenvalue, by inverse iteration: all its components are positive."""
    vector, pivot = np.ones(n), np.empty(n)
    for _ in range(3):
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
def _orthogonalise(basis: NDArray[np.float64], n: int, vector: NDArray[np.float64]) -> float:
    """Take out of a vector what the first n of a basis span, twice; return its length."""
    for _ in range(2):
        for k in range(n):
            dot = 0.0
            for r in range(vector.size):
                dot += basis[k, r] * vector[r]
            for r in range(vector.size):
                vector[r] -= dot * basis[k, r]
    return float(math.sqrt(np.sum(vector * vector)))


@kernel
def _lanczos(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    scaled: NDArray[np.float64],
    top: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalue of A Aᵀ beside `top`, its vector, and the tridiagonal matrix of the steps."""
    limit = top.size - 1
    basis = np.empty((limit + 2, top.size))
    basis[0] = top
    diagonal, beside = np.empty(limit), np.empty(limit)
    start = np.empty(top.size)
    for r in range(top.size):  # irregular, so that no symmetry of the matrix leaves it without the vector sought
        start[r] = (r * 0.6180339887498949 + 0.31) % 1.0 - 0.5
    basis[1] = start / _orthogonalise(basis, 1, start)
    value, mix = 0.0, np.ones(1)
    n = 0
    while n < limit:
        vector = _times(first, second, scaled, basis[n + 1])
        diagonal[n] = np.sum(vector * basis[n + 1])
        n += 1
        beside[n - 1] = _orthogonalise(basis, n + 1, vector)
        ended = n == limit or beside[n - 1] < 1e-13
        if ended or (n >= 8 and n % 4 == 0):
            value = _largest_root(diagonal, beside, n)
            mix = _root_vector(diagonal, beside, n, value)
            if ended or beside[n - 1] * mix[n - 1] < 1e-13:
                break
        basis[n + 1] = vector / beside[n - 1]
    found = np.zeros(top.size)
    for k in range(n):
        found += mix[k] * basis[k + 1]
    return value, found, diagonal[:n], beside[:n]


@kernel
def _with_epsilon(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
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
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> tuple[float, int]:
    """Return the second eigenvalue where every level can be reached from every other, and what it is worth."""
    if rows.size == 1:
        return 0.0, FOUND
    if columns.size == 1:
        return 0.0, ROUNDED
    margins, scaled = np.empty(share.size), np.empty(share.size)
    for e in range(share.size):
        margins[e] = rows[first[e]] * columns[second[e]]
        scaled[e] = share[e] / math.sqrt(margins[e])
    value, vector, diagonal, beside = _lanczos(first, second, scaled, np.sqrt(rows))
    if value < _SMALLEST:
        return value, ROUNDED
    if _EPSILON / margins.min() < 10 * _TOLERANCE * value:
        return value, FOUND
    corrected, right, left = _with_epsilon(first, second, scaled, margins, vector)
    if max(right, left) < _TOLERANCE * corrected:
        return corrected, FOUND
    apart = right * left / (_TOLERANCE * corrected)  # distance to the next eigenvalue that makes the bound hold
    alone = _roots_above(diagonal, beside, diagonal.size, value - apart) <= 1 and 1.0 - value > apart
    return corrected, FOUND if alone else INEXACT


@kernel
def _renumber(
    index: NDArray[np.int32], share: NDArray[np.float64], levels: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Give numbers to the levels that a margin has, and return the margin."""
    sums = np.zeros(levels)
    for e in range(index.size):
        sums[index[e]] += share[e]
    number, used = np.empty(levels, np.int32), 0
    for k in range(levels):
        if sums[k] > 0.0:
            number[k], sums[used] = used, sums[k]
            used += 1
    return number[index], sums[:used].copy()


@kernel
def _all_tables(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    levels: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the second eigenvalue of each table; NaN for a table without entries."""
    values, worth = np.full(start.size - 1, np.nan), np.zeros(start.size - 1, np.int64)
    for t in range(start.size - 1):
        begin, end = start[t], start[t + 1]
        if begin == end:
            continue
        p = share[begin:end]
        i, rows = _renumber(first[begin:end], p, levels)
        j, columns = _renumber(second[begin:end], p, levels)
        groups, value = _second_group(i, j, p, rows, columns)
        if groups > 1:
            values[t], worth[t] = value, FOUND if 1.0 - value < 1e-5 else INEXACT
        else:
            values[t], worth[t] = _connected(i, j, p, rows, columns)
    return values, worth


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
    return _all_tables(tables.start, tables.first, tables.second, tables.share, levels)


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
