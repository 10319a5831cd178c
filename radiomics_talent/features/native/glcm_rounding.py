"""Features of co-occurrence matrices where rounding decides: the sums are done as PyRadiomics' arrays are summed.

Where rows and columns are independent, Imc2 is the root of 0 ± 1e-16, that is 1e-8, 0 or NaN; MCC of a matrix of rank
one likewise; a sum of cubes may be nothing but rounding error. Such values are reproduced only by the same NumPy
operations on arrays of the same shape. It is slow, and seldom needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.neighbour_tables import PairTables

RESUMMED = ("Imc2", "Correlation", "ClusterShade")
"""Columns of `hang_on_rounding`."""

_EPSILON = 2.0**-52


def hang_on_rounding(
    shade: NDArray[np.float64], scale: NDArray[np.float64], rounded: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell which features the order of PyRadiomics' sums decides.

    Parameters
    ----------
    shade : ndarray of float64
        (n,): ClusterShade of n lesions or centres.
    scale, rounded : ndarray
        (n, angles): as `glcm.glcm_features` gives them.

    Returns
    -------
    ndarray of bool
        (n, 3): columns are `RESUMMED`. Correlation does not where angles are summed one term after another, as in
        `glcm`: PyRadiomics' arrays are, if they hold several angles and none was taken out.
    """
    largest = np.nan_to_num(scale).max(axis=1)
    cancelled = (np.abs(shade) < 1e-6 * largest) & (largest > 1e-3)
    return np.stack([(rounded & 1 > 0).any(axis=1), (rounded & 2 > 0).any(axis=1), cancelled], axis=1)


def dense_tables(tables: PairTables, used: NDArray[np.bool_], grey: GreyLevels, copies: int = 1) -> NDArray[np.float64]:
    """Return tables as PyRadiomics' ``P_glcm``, in the same layout in memory: NumPy's sums follow it.

    Parameters
    ----------
    tables : PairTables
        Co-occurrence matrices.
    used : ndarray of bool
        (tables,): those that PyRadiomics does not take out; NaN where they have no pair.
    grey : GreyLevels
        The levels that they are of.
    copies : int
        Length of the first axis; more than one gives the layout of a map.

    Returns
    -------
    ndarray of float64
        (copies, levels present, levels present, tables used), all copies alike.
    """
    levels = grey.present.size
    dense = np.zeros((copies, levels, levels, used.size))
    for t in range(used.size):
        entries = slice(tables.start[t], tables.start[t + 1])
        dense[:, tables.first[entries], tables.second[entries], t] = tables.share[entries]
    dense[:, :, :, np.diff(tables.start) == 0] = np.nan
    dense = as_laid_out(dense, grey, tables.merged)
    return dense if used.all() else _as_deleted(dense, 3, int(np.count_nonzero(~used)), used)


def as_laid_out(dense: NDArray[np.float64], grey: GreyLevels, merged: int = 0) -> NDArray[np.float64]:
    """Copy tables into the layout in memory that PyRadiomics' have.

    Parameters
    ----------
    dense : ndarray of float64
        (copies, levels present, levels present, tables).
    grey : GreyLevels
        The levels that they are of.
    merged : int
        Number of angles whose weighted sum is the one table; 0 where each table is an angle's.

    Returns
    -------
    ndarray of float64
        The same numbers: the layout is what taking levels out with ``numpy.delete``, and the sum, leave.
    """
    absent = grey.highest - grey.present.size
    if not merged:
        return _as_deleted(_as_deleted(dense, 1, absent), 2, absent)
    angles = _as_deleted(_as_deleted(np.zeros((*dense.shape[:3], merged)), 1, absent), 2, absent)
    laid_out: NDArray[np.float64] = np.sum(angles * np.ones(merged), axis=3, keepdims=True)
    laid_out[...] = dense
    return laid_out


def _as_deleted(
    array: NDArray[np.float64], axis: int, count: int, kept: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Copy what is kept of an array into the layout that ``numpy.delete`` of so many indices leaves.

    One index alone is deleted by copies into C's order, several by a mask.
    """
    kept = np.ones(array.shape[axis], dtype=np.bool_) if kept is None else kept
    deleted: NDArray[np.float64] = array[(slice(None),) * axis + (kept,)]
    return deleted.copy(order="F" if array.flags.fnc else "C") if count == 1 else deleted


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
            found["MCC"] = mean_root(scaled_eigenvalues(dense)[0, :, -2])
    return found


def mean_root(squares: NDArray[np.inexact[Any]]) -> float:
    """Return the mean of roots: that of -1e-17 is NaN and left out, unless it is complex, and then 0 counts."""
    with np.errstate(invalid="ignore"):
        return _mean(np.sqrt(squares))


def _mean(values: NDArray[np.inexact[Any]]) -> float:
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


def scaled_eigenvalues(dense: NDArray[np.float64]) -> NDArray[np.inexact[Any]]:
    """Return the eigenvalues of PyRadiomics' Q.

    Parameters
    ----------
    dense : ndarray of float64
        (copies, levels, levels, angles), finite, from `dense_tables`.

    Returns
    -------
    ndarray of float64 or complex128
        (copies, angles, levels), ascending; complex if any is.
    """
    rows, columns = _margins(dense)
    matrix = np.zeros((dense.shape[0], dense.shape[1], dense.shape[1], dense.shape[3]))
    for k in range(dense.shape[1]):
        pairs = dense[:, :, None, k, :] * dense[:, None, :, k, :]
        matrix += pairs / (rows[:, :, None, 0, :] * columns[:, None, :, k, :] + _EPSILON)
    eigenvalues: NDArray[np.inexact[Any]] = np.linalg.eigvals(matrix.transpose((0, 3, 1, 2)))
    eigenvalues.sort()
    return eigenvalues
