"""Features of co-occurrence matrices where rounding decides: the sums are done as PyRadiomics' arrays are summed.

Where rows and columns are independent, Imc2 is the root of 0 ± 1e-16, that is 1e-8, 0 or NaN; MCC of a matrix of rank
one likewise; a sum of cubes may be nothing but rounding error. Such values are reproduced only by the same NumPy
operations on arrays of the same shape. It is slow, and seldom needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.native.neighbour_tables import PairTables

_EPSILON = 2.0**-52


def dense_tables(tables: PairTables, used: NDArray[np.bool_], levels: int, copies: int = 1) -> NDArray[np.float64]:
    """Return tables as PyRadiomics' ``P_glcm``, in the same layout in memory: NumPy's sums follow it.

    Parameters
    ----------
    tables : PairTables
        Co-occurrence matrices.
    used : ndarray of bool
        (tables,): those to take, in one after another's place as ``numpy.delete`` leaves them.
    levels : int
        Number of levels that are present.
    copies : int
        Length of the first axis; more than one gives the layout of a map.

    Returns
    -------
    ndarray of float64
        (copies, levels, levels, tables used), all copies alike.
    """
    dense = np.zeros((copies, levels, levels, used.size))
    for t in range(used.size):
        entries = slice(tables.start[t], tables.start[t + 1])
        dense[:, tables.first[entries], tables.second[entries], t] = tables.share[entries]
    every = np.ones(levels, dtype=np.bool_)
    dense = dense[:, every][:, :, every]
    return dense if used.all() else dense[:, :, :, used]


def rounded_features(
    dense: NDArray[np.float64], present: NDArray[np.int64], wanted: Collection[str]
) -> dict[str, float]:
    """Compute features with the roundings of PyRadiomics.

    Parameters
    ----------
    dense : ndarray of float64
        (copies, levels, levels, angles): the tables that have a pair, from `dense_tables`.
    present : ndarray of int64
        The levels.
    wanted : collection of str
        Of ClusterShade, Correlation, Imc2 and MCC.

    Returns
    -------
    dict of str to float
        The means over angles.
    """
    found = {}
    with np.errstate(invalid="ignore", over="ignore"):
        if "ClusterShade" in wanted:
            found["ClusterShade"] = _mean(_cluster_shade(dense, present)[0])
        if "Correlation" in wanted:
            found["Correlation"] = _mean(_correlation(dense, present)[0])
        if "Imc2" in wanted:
            found["Imc2"] = _mean(_imc2(dense)[0])
        if "MCC" in wanted:
            found["MCC"] = _mean(_mcc(dense)[0])
    return found


def _mean(values: NDArray[np.float64] | NDArray[np.complex128]) -> float:
    """Mean of what is not NaN, real part; NaN if nothing is left."""
    kept = ~np.isnan(values)
    return float((np.where(kept, values, 0).sum() / kept.sum()).real) if kept.any() else np.nan


def _margins(dense: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows: NDArray[np.float64] = dense.sum(axis=2, keepdims=True)
    columns: NDArray[np.float64] = dense.sum(axis=1, keepdims=True)
    return rows, columns


def _axes(
    dense: NDArray[np.float64], present: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Levels along rows and columns, and their means."""
    i, j = present.astype(np.float64)[None, :, None, None], present.astype(np.float64)[None, None, :, None]
    mean_i: NDArray[np.float64] = (i * dense).sum(axis=(1, 2), keepdims=True)
    mean_j: NDArray[np.float64] = (j * dense).sum(axis=(1, 2), keepdims=True)
    return i, j, mean_i, mean_j


def _cluster_shade(dense: NDArray[np.float64], present: NDArray[np.int64]) -> NDArray[np.float64]:
    i, j, mean_i, mean_j = _axes(dense, present)
    shade: NDArray[np.float64] = (dense * (i + j - mean_i - mean_j) ** 3).sum(axis=(1, 2))
    return shade


def _correlation(dense: NDArray[np.float64], present: NDArray[np.int64]) -> NDArray[np.float64]:
    i, j, mean_i, mean_j = _axes(dense, present)
    both = (1, 2)
    deviation_i = (dense * (i - mean_i) ** 2).sum(axis=both, keepdims=True) ** 0.5
    deviation_j = (dense * (j - mean_j) ** 2).sum(axis=both, keepdims=True) ** 0.5
    covariance = (dense * (i - mean_i) * (j - mean_j)).sum(axis=both, keepdims=True)
    correlation: NDArray[np.float64] = covariance / (deviation_i * deviation_j + _EPSILON)
    correlation[deviation_i * deviation_j == 0] = 1
    return correlation


def _imc2(dense: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = _margins(dense)
    independent = rows * columns
    hxy = -1 * (dense * np.log2(dense + _EPSILON)).sum(axis=(1, 2))
    hxy2 = -1 * (independent * np.log2(independent + _EPSILON)).sum(axis=(1, 2))
    imc2: NDArray[np.float64] = (1 - np.e ** (-2 * (hxy2 - hxy))) ** 0.5
    imc2[hxy2 == hxy] = 0
    return imc2


def _mcc(dense: NDArray[np.float64]) -> NDArray[np.float64] | NDArray[np.complex128]:
    """Leave signs to the solver: the root of -1e-17 is NaN, but 0 once any eigenvalue is complex."""
    rows, columns = _margins(dense)
    matrix = np.zeros((dense.shape[0], dense.shape[1], dense.shape[1], dense.shape[3]))
    for k in range(dense.shape[1]):
        pairs = dense[:, :, None, k, :] * dense[:, None, :, k, :]
        matrix += pairs / (rows[:, :, None, 0, :] * columns[:, None, :, k, :] + _EPSILON)
    eigenvalues = np.linalg.eigvals(matrix.transpose((0, 3, 1, 2)))
    eigenvalues.sort()
    roots: NDArray[np.float64] | NDArray[np.complex128] = np.sqrt(eigenvalues[:, :, -2])
    return roots
