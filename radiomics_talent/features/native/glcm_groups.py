"""Levels of a co-occurrence matrix that never meet: its rows and columns fall into groups.

Each group gives PyRadiomics' Q an eigenvalue of 1, less what eps takes from it; so with several groups the second
eigenvalue needs no solver (see `glcm_mcc`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOUND, INEXACT, ROUNDED = 0, 1, 2
"""What a second eigenvalue is worth: good; eps needs a general solver; nothing but rounding error."""

_EPSILON = 2.0**-52
_NEGLIGIBLE = 1e-12
"""What eps adds to the eigenvalue beyond the first order must be less."""


@kernel
def _group(parent: NDArray[np.int64], node: int) -> int:
    """Return the root of a node, and shorten the way there."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def _second_group(
    first: NDArray[np.int32], second: NDArray[np.int32], share: NDArray[np.float64], levels: int
) -> tuple[int, float, int]:
    """Return the number of groups of rows and columns that never meet, the second eigenvalue, and what it is worth."""
    rows, columns = np.zeros(levels), np.zeros(levels)
    for e in range(share.size):
        rows[first[e]] += share[e]
        columns[second[e]] += share[e]
    parent = np.arange(2 * levels)
    groups = int(np.count_nonzero(rows)) + int(np.count_nonzero(columns))
    for e in range(share.size):
        a, b = _group(parent, first[e]), _group(parent, levels + second[e])
        if a != b:
            parent[max(a, b)] = min(a, b)
            groups -= 1
    if groups == 1:
        return 1, 0.0, FOUND
    # Eigenvalue of a group: 1 - sum(p eps / (p_x p_y + eps)) / sum(p), as the Rayleigh quotient of sqrt(p_x).
    weight, lost, squares = np.zeros(levels), np.zeros(levels), np.zeros(levels)
    for e in range(share.size):
        root = _group(parent, first[e])
        part = _EPSILON / (rows[first[e]] * columns[second[e]] + _EPSILON)
        weight[root] += share[e]
        lost[root] += share[e] * part
        squares[root] += share[e] * part * part
    least = then = np.inf
    for k in range(levels):
        if weight[k] > 0.0:
            loss = lost[k] / weight[k]
            then = min(then, max(loss, least))
            least = min(least, loss)
    worst = then * then
    for k in range(levels):
        if weight[k] > 0.0 and lost[k] / weight[k] <= then:
            worst = max(worst, squares[k] / weight[k])
    return groups, 1.0 - then, FOUND if worst < _NEGLIGIBLE else INEXACT


@kernel
def split_tables(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    levels: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Find the groups of each table, given as entries one table after the other.

    Parameters
    ----------
    start : ndarray of int64
        (tables + 1,): where each table's entries begin.
    first, second : ndarray of int32
        Row and column of each entry.
    share : ndarray of float64
        Its probability.
    levels : int
        Rows and columns that there are.

    Returns
    -------
    groups : ndarray of int64
        (tables,): their number; 0 for a table without entries.
    values, worth : ndarray
        (tables,): the second eigenvalue where there are several groups, else 0 (NaN without entries), and `FOUND` or
        `INEXACT`.
    """
    tables = start.size - 1
    groups, values, worth = np.zeros(tables, np.int64), np.full(tables, np.nan), np.zeros(tables, np.int64)
    for t in range(tables):
        begin, end = start[t], start[t + 1]
        if begin < end:
            groups[t], values[t], worth[t] = _second_group(
                first[begin:end], second[begin:end], share[begin:end], levels
            )
    return groups, values, worth
