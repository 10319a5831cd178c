"""Neighbouring grey level dependence matrix (IBSI REK0, section 3.11), PyRadiomics' ``gldm``: a = 0, distance 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, directions, mean_of_defined, parts
from radiomics_talent.features.native import level_sizes as of
from radiomics_talent.features.native.neighbour_tables import count_neighbours

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion
    from radiomics_talent.features.native.grey_levels import GreyLevels

_ENERGY = of.N_FEATURES

# s_ij: voxels of level i with j - 1 neighbours of it; N_s voxels; p_ij = s_ij / N_s; s_i. and s_.j: sums over j and i.
NGLDM_FEATURES = {
    "SmallDependenceEmphasis": ("SODN", of.SMALL),  # low dependence: sum s_.j / j² / N_s
    "LargeDependenceEmphasis": ("IMOQ", of.LARGE),  # high dependence: sum j² s_.j / N_s
    "LowGrayLevelEmphasis": ("TL9H", of.LOW),  # sum s_i. / i² / N_s
    "HighGrayLevelEmphasis": ("OAE7", of.HIGH),  # sum i² s_i. / N_s
    "SmallDependenceLowGrayLevelEmphasis": ("EQ3F", of.SMALL_LOW),  # sum s_ij / (i² j²) / N_s
    "SmallDependenceHighGrayLevelEmphasis": ("JA6D", of.SMALL_HIGH),  # sum i² s_ij / j² / N_s
    "LargeDependenceLowGrayLevelEmphasis": ("NBZI", of.LARGE_LOW),  # sum j² s_ij / i² / N_s
    "LargeDependenceHighGrayLevelEmphasis": ("9QMG", of.LARGE_HIGH),  # sum i² j² s_ij / N_s
    "GrayLevelNonUniformity": ("FP8K", of.LEVEL_NON_UNIFORMITY),  # sum s_i.² / N_s
    "GrayLevelNonUniformityNormalized": ("5SPA", of.LEVEL_NON_UNIFORMITY_NORMALISED),  # sum s_i.² / N_s²
    "DependenceNonUniformity": ("Z87G", of.SIZE_NON_UNIFORMITY),  # sum s_.j² / N_s
    "DependenceNonUniformityNormalized": ("OKJI", of.SIZE_NON_UNIFORMITY_NORMALISED),  # sum s_.j² / N_s²
    "DependencePercentage": ("6XV8", of.PERCENTAGE),  # N_s / voxels: 1, as every voxel counts
    "GrayLevelVariance": ("1PFV", of.LEVEL_VARIANCE),  # sum (i - mean i)² p_ij
    "DependenceVariance": ("DNX2", of.SIZE_VARIANCE),  # sum (j - mean j)² p_ij
    "DependenceEntropy": ("FCBV", of.ENTROPY),  # -sum p_ij log2 p_ij
    "DependenceEnergy": ("CAS9", _ENERGY),  # sum p_ij²
}
"""Features of the family: IBSI code, and column of `level_sizes.matrix_features` with the energy after them."""


def ngldm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return NGLDM features of a lesion.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names in `NGLDM_FEATURES`.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. All are defined for every lesion: a voxel without neighbours has dependence 1. Slices
        without a voxel are left out of an average.

    Raises
    ------
    LookupError
        The method or a feature is not known.
    """
    how = UNDIRECTED[method]
    one_way = directions(how)
    offsets = np.concatenate([one_way, -one_way])
    means = mean_of_defined(np.stack([_features(grey, offsets) for grey in parts(lesion.levels_zyx, how)]))
    return {name: float(means[NGLDM_FEATURES[name][1]]) for name in wanted}


def _features(grey: GreyLevels, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Features of one matrix, the energy last."""
    table, _ = count_neighbours(grey, offsets, alpha=0)
    levels = grey.present[table.level].astype(np.int32)
    features = of.matrix_features(of.LevelSizes(levels, table.size, table.voxels, table.start))[0]
    features[of.PERCENTAGE] = 1.0  # the formula would take dependences for sizes
    return np.append(features, ((table.voxels / table.voxels.sum()) ** 2).sum())
