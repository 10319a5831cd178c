"""Grey level size zone matrix (IBSI 9SAK, section 3.8): connected voxels of one level, by their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, counted, mean_of_defined
from radiomics_talent.features.ibsi.zones import zones_of
from radiomics_talent.features.native import level_sizes as of

if TYPE_CHECKING:
    from collections.abc import Collection

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# s_ij: zones of level i and size j; N_s zones in all; p_ij = s_ij / N_s; s_i. and s_.j: sums over j and over i.
_COLUMNS = {
    "SmallAreaEmphasis": of.SMALL,  # 5QRC: sum s_.j / j² / N_s
    "LargeAreaEmphasis": of.LARGE,  # 48P8: sum j² s_.j / N_s
    "LowGrayLevelZoneEmphasis": of.LOW,  # XMSY: sum s_i. / i² / N_s
    "HighGrayLevelZoneEmphasis": of.HIGH,  # 5GN9: sum i² s_i. / N_s
    "SmallAreaLowGrayLevelEmphasis": of.SMALL_LOW,  # 5RAI: sum s_ij / (i² j²) / N_s
    "SmallAreaHighGrayLevelEmphasis": of.SMALL_HIGH,  # HW1V: sum i² s_ij / j² / N_s
    "LargeAreaLowGrayLevelEmphasis": of.LARGE_LOW,  # YH51: sum j² s_ij / i² / N_s
    "LargeAreaHighGrayLevelEmphasis": of.LARGE_HIGH,  # J17V: sum i² j² s_ij / N_s
    "GrayLevelNonUniformity": of.LEVEL_NON_UNIFORMITY,  # JNSA: sum s_i.² / N_s
    "GrayLevelNonUniformityNormalized": of.LEVEL_NON_UNIFORMITY_NORMALISED,  # Y1RO: sum s_i.² / N_s²
    "SizeZoneNonUniformity": of.SIZE_NON_UNIFORMITY,  # 4JP3: sum s_.j² / N_s
    "SizeZoneNonUniformityNormalized": of.SIZE_NON_UNIFORMITY_NORMALISED,  # VB3A: sum s_.j² / N_s²
    "ZonePercentage": of.PERCENTAGE,  # P30P: N_s / voxels
    "GrayLevelVariance": of.LEVEL_VARIANCE,  # BYLV: sum (i - mean i)² p_ij
    "ZoneVariance": of.SIZE_VARIANCE,  # 3NSA: sum (j - mean j)² p_ij
    "ZoneEntropy": of.ENTROPY,  # GU8N: -sum p_ij log2 p_ij
}
"""Features of the family, and their columns of `level_sizes.matrix_features`."""


def glszm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLSZM features of a lesion: zones of 26-connected voxels, 8-connected in slices.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names of the class ``glszm`` in the dictionary of features.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. All are defined for every lesion; slices without a voxel are left out of an average.

    Raises
    ------
    LookupError
        The method or a feature is not known.
    """
    how = UNDIRECTED[method]
    zones = zones_of(lesion, how.in_slices)
    means = mean_of_defined(of.matrix_features(counted(zones.matrix(how), zones.level, zones.size)))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}
