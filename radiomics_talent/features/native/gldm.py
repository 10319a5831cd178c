"""Grey level dependence matrix (GLDM; IBSI family REK0): 14 features of any number of tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.neighbour_tables import DependenceTables

GLDM_FEATURES = (
    "DependenceEntropy",
    "DependenceNonUniformity",
    "DependenceNonUniformityNormalized",
    "DependenceVariance",
    "GrayLevelNonUniformity",
    "GrayLevelVariance",
    "HighGrayLevelEmphasis",
    "LargeDependenceEmphasis",
    "LargeDependenceHighGrayLevelEmphasis",
    "LargeDependenceLowGrayLevelEmphasis",
    "LowGrayLevelEmphasis",
    "SmallDependenceEmphasis",
    "SmallDependenceHighGrayLevelEmphasis",
    "SmallDependenceLowGrayLevelEmphasis",
)
"""Columns of `gldm_features`."""

_EPSILON = 2.0**-52


@kernel
def _emphases(
    level: NDArray[np.float64],
    size: NDArray[np.int32],
    voxels: NDArray[np.float64],
    number: float,
    out: NDArray[np.float64],
) -> None:
    """Fill what is a sum over entries: n voxels of level i with dependence j, N voxels in all."""
    for e in range(voxels.size):
        n, i, j = voxels[e], level[e] * level[e], float(size[e]) * size[e]
        p = n / number
        out[0] -= p * math.log2(p + _EPSILON)  # DependenceEntropy: -sum p log2(p + eps)
        out[6] += n * i  # HighGrayLevelEmphasis: sum n i² / N
        out[7] += n * j  # LargeDependenceEmphasis: sum n j² / N
        out[8] += n * (i * j)  # LargeDependenceHighGrayLevelEmphasis: sum n i² j² / N
        out[9] += n * j / i  # LargeDependenceLowGrayLevelEmphasis: sum n j² / i² / N
        out[10] += n / i  # LowGrayLevelEmphasis: sum n / i² / N
        out[11] += n / j  # SmallDependenceEmphasis: sum n / j² / N
        out[12] += n * i / j  # SmallDependenceHighGrayLevelEmphasis: sum n i² / j² / N
        out[13] += n / (i * j)  # SmallDependenceLowGrayLevelEmphasis: sum n / (i² j²) / N
    out[6:14] /= number


@kernel
def _spread(voxels: NDArray[np.float64], value: NDArray[np.float64], number: float) -> tuple[float, float]:
    """Return the sum of squares of a margin, and the variance of what it is a margin of."""
    squares = mean = variance = 0.0
    for k in range(voxels.size):
        squares += voxels[k] * voxels[k]
        mean += voxels[k] / number * value[k]
    for k in range(voxels.size):
        variance += voxels[k] / number * (value[k] - mean) ** 2
    return squares, variance


@kernel
def _all_tables(
    start: NDArray[np.int64],
    level: NDArray[np.int32],
    size: NDArray[np.int32],
    voxels: NDArray[np.float64],
    grey: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute every feature of every table."""
    out = np.zeros((start.size - 1, 14))
    sizes = np.arange(size.max() + 1).astype(np.float64)
    by_level, by_size = np.zeros(grey.size), np.zeros(sizes.size)
    for t in range(start.size - 1):
        begin, end = start[t], start[t + 1]
        number = voxels[begin:end].sum()
        for e in range(begin, end):
            by_level[level[e]] += voxels[e]
            by_size[size[e]] += voxels[e]
        row = out[t]
        _emphases(grey[level[begin:end]], size[begin:end], voxels[begin:end], number, row)
        squares, row[3] = _spread(by_size, sizes, number)  # DependenceVariance: sum p (j - mean)²
        row[1] = squares / number  # DependenceNonUniformity: sum over j of n_j² / N
        row[2] = squares / number**2  # DependenceNonUniformityNormalized: the same / N
        squares, row[5] = _spread(by_level, grey, number)  # GrayLevelVariance: sum p (i - mean)²
        row[4] = squares / number  # GrayLevelNonUniformity: sum over i of n_i² / N
        by_level[:] = 0.0
        by_size[:] = 0.0
    return out


def gldm_features(tables: DependenceTables, present: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the features of each table (PyRadiomics' ``gldm``).

    Parameters
    ----------
    tables : DependenceTables
        Dependence matrices, each of one voxel at least.
    present : ndarray of int64
        The levels that the tables' indices stand for.

    Returns
    -------
    ndarray of float64
        (tables, 14): columns are `GLDM_FEATURES`.
    """
    return _all_tables(tables.start, tables.level, tables.size, tables.voxels, present.astype(np.float64))
