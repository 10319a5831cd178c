"""Grey level co-occurrence matrix (GLCM; IBSI family LFYI): 23 features of any number of tables.

The same compiled formulas run over the angles of a lesion and over the angles of each neighbourhood of a map. MCC, the
24th, needs an eigenvalue and has a module of its own (`glcm_mcc`). Sums run over a table's entries in ascending order
of (row, column), as PyRadiomics' do, so that what should be 0 is 0 in both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.neighbour_tables import PairTables

GLCM_FEATURES = (
    "Autocorrelation",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "Id",
    "Idm",
    "Idmn",
    "Idn",
    "Imc1",
    "Imc2",
    "InverseVariance",
    "JointAverage",
    "JointEnergy",
    "JointEntropy",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
)
"""Columns of `glcm_features`."""

_EPSILON = 2.0**-52
"""What PyRadiomics adds to probabilities before their logarithm: ``numpy.spacing(1)``."""

_SHADE_SCALE = len(GLCM_FEATURES)
_ROUNDED = _SHADE_SCALE + 1
_COLUMNS = _ROUNDED + 1


@kernel
def _moments(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    level: NDArray[np.float64],
    sums: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    out: NDArray[np.float64],
) -> tuple[float, float]:
    """Fill the margins (rows, columns, i - j, i + j) and what needs no mean; return the means of i and j."""
    rows, columns, difference, total = sums
    mean_i = mean_j = product = energy = entropy = highest = 0.0
    last = logarithm = 0.0
    for e in range(share.size):
        p, i, j = share[e], level[first[e]], level[second[e]]
        if p != last:  # neighbours in the list are often alike
            last, logarithm = p, math.log2(p + _EPSILON)
        rows[first[e]] += p
        columns[second[e]] += p
        difference[int(abs(i - j))] += p
        total[int(i + j)] += p
        mean_i += i * p
        mean_j += j * p
        product += p * (i * j)
        energy += p * p
        entropy -= p * logarithm
        highest = max(highest, p)
    out[0] = product  # Autocorrelation: sum p i j
    out[16] = mean_i  # JointAverage: sum p i
    out[17] = energy  # JointEnergy: sum p²
    out[18] = entropy  # JointEntropy: -sum p log2(p + eps), HXY
    out[19] = highest  # MaximumProbability
    return mean_i, mean_j


@kernel
def _central_moments(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    level: NDArray[np.float64],
    means: tuple[float, float],
    out: NDArray[np.float64],
) -> None:
    """Fill what is measured from the means."""
    tendency = shade = scale = prominence = variance_i = variance_j = covariance = 0.0
    for e in range(share.size):
        p, i, j = share[e], level[first[e]], level[second[e]]
        from_i, from_j = i - means[0], j - means[1]
        variance_i += p * (from_i * from_i)
        variance_j += p * (from_j * from_j)
        covariance += p * from_i * from_j
        both = i + j - means[0] - means[1]
        square = both * both
        tendency += p * square
        shade += p * (square * both)
        scale += p * abs(square * both)
        prominence += p * (square * square)
    out[1] = prominence  # ClusterProminence: sum p (i + j - mean_i - mean_j)⁴
    out[2] = shade  # ClusterShade: the same, ³
    out[3] = tendency  # ClusterTendency: the same, ²
    out[22] = variance_i  # SumSquares: sum p (i - mean_i)²
    deviations = math.sqrt(variance_i) * math.sqrt(variance_j)
    # Correlation: covariance over both standard deviations; 1 if one is 0
    out[5] = covariance / (deviations + _EPSILON) if deviations != 0.0 else 1.0
    out[_SHADE_SCALE] = scale


@kernel
def _weights_of_differences(highest: int) -> NDArray[np.float64]:
    """Return, for k = 0 to highest - 1, what Id, Idm, Idn, Idmn and InverseVariance weigh p(|i - j| = k) with."""
    weights = np.empty((highest, 5))
    for k in range(highest):
        square = float(k * k)
        weights[k, 0] = 1 / (1.0 + k)  # Id
        weights[k, 1] = 1 / (1.0 + square)  # Idm
        weights[k, 2] = 1 / (1.0 + k / highest)  # Idn
        weights[k, 3] = 1 / (1.0 + square / (float(highest) * highest))  # Idmn
        weights[k, 4] = 1 / square if k > 0 else 0.0  # InverseVariance
    return weights


@kernel
def _differences(difference: NDArray[np.float64], weights: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Fill what the distribution of k = |i - j| tells."""
    average = entropy = contrast = variance = 0.0
    for k in range(difference.size):
        p = difference[k]
        if p == 0.0:
            continue
        average += k * p
        contrast += float(k * k) * p
        entropy -= p * math.log2(p + _EPSILON)
        out[9] += p * weights[k, 0]  # Id: sum p / (1 + k)
        out[10] += p * weights[k, 1]  # Idm: sum p / (1 + k²)
        out[12] += p * weights[k, 2]  # Idn: sum p / (1 + k/highest)
        out[11] += p * weights[k, 3]  # Idmn: sum p / (1 + k²/highest²)
        out[15] += p * weights[k, 4]  # InverseVariance: sum over k > 0 of p / k²
    for k in range(difference.size):
        apart = k - average
        variance += difference[k] * (apart * apart)
    out[4] = contrast  # Contrast: sum p k²
    out[6] = average  # DifferenceAverage: sum p k
    out[7] = entropy  # DifferenceEntropy: -sum p log2(p + eps)
    out[8] = variance  # DifferenceVariance: sum p (k - average)²


@kernel
def _sums(total: NDArray[np.float64], highest: int, out: NDArray[np.float64]) -> None:
    """Fill what the distribution of k = i + j tells."""
    average = entropy = 0.0
    for k in range(2, 2 * highest + 1):
        p = total[k]
        if p != 0.0:
            average += k * p
            entropy -= p * math.log2(p + _EPSILON)
    out[20] = average  # SumAverage: sum p k
    out[21] = entropy  # SumEntropy: -sum p log2(p + eps)


@kernel
def _margin(share: NDArray[np.float64], inverse: NDArray[np.float64]) -> tuple[float, float, int]:
    """Return -sum p log2 p, the smallest p and the number of p that are not 0; fill 1/p."""
    entropy, smallest = 0.0, 1.0
    used = 0
    for k in range(share.size):
        p = share[k]
        if p != 0.0:
            entropy -= p * math.log2(p)
            smallest = min(smallest, p)
            inverse[k] = 1.0 / p
            used += 1
    return entropy, smallest, used


@kernel
def _entropy(share: NDArray[np.float64]) -> float:
    """Return -sum p log2(p + eps)."""
    entropy = 0.0
    for k in range(share.size):
        entropy -= share[k] * math.log2(share[k] + _EPSILON)
    return entropy


@kernel
def _independent_entropies(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> tuple[float, float]:
    """Return HXY1 and HXY2, the entropies against the product of the margins, term by term."""
    hxy1 = hxy2 = 0.0
    for e in range(share.size):
        hxy1 -= share[e] * math.log2(rows[first[e]] * columns[second[e]] + _EPSILON)
    for i in range(rows.size):
        if rows[i] != 0.0:
            for j in range(columns.size):
                p = rows[i] * columns[j]
                hxy2 -= p * math.log2(p + _EPSILON)
    return hxy1, hxy2


@kernel
def _information(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    inverses: tuple[NDArray[np.float64], NDArray[np.float64]],
    out: NDArray[np.float64],
) -> None:
    """Fill the informational measures of correlation."""
    hx, smallest_x, used_x = _margin(rows, inverses[0])
    hy, smallest_y, used_y = _margin(columns, inverses[1])
    hxy = out[18]
    if smallest_x * smallest_y > 1e-9:
        # log2(p + eps) = log2 p + eps/(p ln 2) to the last bit, and log2(x y) = log2 x + log2 y: margins are enough.
        ratio = 0.0
        for e in range(share.size):
            ratio += share[e] * inverses[0][first[e]] * inverses[1][second[e]]
        hxy1 = hx + hy - ratio * _EPSILON / math.log(2.0)
        hxy2 = hx + hy - used_x * used_y * _EPSILON / math.log(2.0)
        hx -= used_x * _EPSILON / math.log(2.0)
        hy -= used_y * _EPSILON / math.log(2.0)
    else:
        hxy1, hxy2 = _independent_entropies(first, second, share, rows, columns)
        hx, hy = _entropy(rows), _entropy(columns)
    out[13] = (hxy - hxy1) / max(hx, hy)  # Imc1: (HXY - HXY1) / max(HX, HY)
    if share.size == 1:
        out[13] = out[14] = 0.0
        return
    out[14] = math.sqrt(max(1.0 - math.exp(-2.0 * (hxy2 - hxy)), 0.0))  # Imc2: sqrt(1 - e to the -2 (HXY2 - HXY))
    # A level alone along one axis: its variance is 0 but for rounding.
    if (used_x == 1) != (used_y == 1):
        out[_ROUNDED] = 2.0
    if hxy2 - hxy < 1e-5:
        out[_ROUNDED] += 1.0


@kernel
def _all_tables(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    share: NDArray[np.float64],
    level: NDArray[np.float64],
    highest: int,
) -> NDArray[np.float64]:
    """Compute every feature of every table; NaN for a table without entries."""
    out = np.full((start.size - 1, _COLUMNS), np.nan)
    rows, columns = np.zeros(level.size), np.zeros(level.size)
    inverses = np.empty(level.size), np.empty(level.size)
    difference, total = np.zeros(highest), np.zeros(2 * highest + 1)
    weights = _weights_of_differences(highest)
    for t in range(start.size - 1):
        begin, end = start[t], start[t + 1]
        if begin == end:
            continue
        i, j, p = first[begin:end], second[begin:end], share[begin:end]
        row = out[t]
        row[:] = 0.0
        means = _moments(i, j, p, level, (rows, columns, difference, total), row)
        _central_moments(i, j, p, level, means, row)
        _differences(difference, weights, row)
        _sums(total, highest, row)
        _information(i, j, p, rows, columns, inverses, row)
        rows[:] = 0.0
        columns[:] = 0.0
        difference[:] = 0.0
        total[:] = 0.0
    return out


def glcm_features(
    tables: PairTables, present: NDArray[np.int64], highest: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Compute the features of each table (PyRadiomics' ``glcm``, without MCC).

    Parameters
    ----------
    tables : PairTables
        Co-occurrence matrices.
    present : ndarray of int64
        The levels that the tables' indices stand for.
    highest : int
        PyRadiomics' ``Ng``.

    Returns
    -------
    values : ndarray of float64
        (tables, 23): columns are `GLCM_FEATURES`; NaN where a table has no pair.
    shade_scale : ndarray of float64
        (tables,): what ClusterShade would be if its terms did not cancel.
    rounded : ndarray of int64
        (tables,): bit 0 where Imc2, bit 1 where Correlation hangs on rounding (see `glcm_rounding`).
    """
    out = _all_tables(tables.start, tables.first, tables.second, tables.share, present.astype(np.float64), highest)
    return out[:, :_SHADE_SCALE], out[:, _SHADE_SCALE], np.nan_to_num(out[:, _ROUNDED]).astype(np.int64)
