"""Neighbouring grey level dependence matrix (IBSI REK0, section 3.11), PyRadiomics' ``gldm``: a = 0, distance 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, mean_of_defined, merged
from radiomics_talent.features.ibsi.neighbour_counts import neighbour_counts
from radiomics_talent.features.native import level_sizes as of

if TYPE_CHECKING:
    from collections.abc import Collection

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

_ENERGY = of.N_FEATURES

# s_ij: voxels of level i with j - 1 neighbours of it; N_s voxels; p_ij = s_ij / N_s; s_i. and s_.j: sums over j and i.
_COLUMNS = {
    "SmallDependenceEmphasis": of.SMALL,  # SODN, low dependence: sum s_.j / j² / N_s
    "LargeDependenceEmphasis": of.LARGE,  # IMOQ, high dependence: sum j² s_.j / N_s
    "LowGrayLevelEmphasis": of.LOW,  # TL9H: sum s_i. / i² / N_s
    "HighGrayLevelEmphasis": of.HIGH,  # OAE7: sum i² s_i. / N_s
    "SmallDependenceLowGrayLevelEmphasis": of.SMALL_LOW,  # EQ3F: sum s_ij / (i² j²) / N_s
    "SmallDependenceHighGrayLevelEmphasis": of.SMALL_HIGH,  # JA6D: sum i² s_ij / j² / N_s
    "LargeDependenceLowGrayLevelEmphasis": of.LARGE_LOW,  # NBZI: sum j² s_ij / i² / N_s
    "LargeDependenceHighGrayLevelEmphasis": of.LARGE_HIGH,  # 9QMG: sum i² j² s_ij / N_s
    "GrayLevelNonUniformity": of.LEVEL_NON_UNIFORMITY,  # FP8K: sum s_i.² / N_s
    "GrayLevelNonUniformityNormalized": of.LEVEL_NON_UNIFORMITY_NORMALISED,  # 5SPA: sum s_i.² / N_s²
    "DependenceNonUniformity": of.SIZE_NON_UNIFORMITY,  # Z87G: sum s_.j² / N_s
    "DependenceNonUniformityNormalized": of.SIZE_NON_UNIFORMITY_NORMALISED,  # OKJI: sum s_.j² / N_s²
    "DependencePercentage": of.PERCENTAGE,  # 6XV8: N_s / voxels: 1, as every voxel counts
    "GrayLevelVariance": of.LEVEL_VARIANCE,  # 1PFV: sum (i - mean i)² p_ij
    "DependenceVariance": of.SIZE_VARIANCE,  # DNX2: sum (j - mean j)² p_ij
    "DependenceEntropy": of.ENTROPY,  # FCBV: -sum p_ij log2 p_ij
    "DependenceEnergy": _ENERGY,  # CAS9: sum p_ij²
}
"""Features of the family, and their columns of `level_sizes.matrix_features` with the energy after them."""


def ngldm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return NGLDM features of a lesion.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names of the class ``gldm`` in the dictionary of features.

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
    matrices = merged(neighbour_counts(lesion, how.in_slices).dependences, how)
    features = of.matrix_features(matrices)
    features[:, of.PERCENTAGE] = 1.0  # the formula would take dependences for sizes
    begins = matrices.starts[:-1]
    energy = np.add.reduceat(matrices.counts**2, begins) / np.add.reduceat(matrices.counts, begins) ** 2
    means = mean_of_defined(np.column_stack([features, energy]))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}
