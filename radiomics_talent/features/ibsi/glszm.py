"""Grey level size zone matrix (IBSI 9SAK, section 3.8): connected voxels of one level, by their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, mean_of_defined
from radiomics_talent.features.ibsi.zones import find_zones, zone_matrices
from radiomics_talent.features.native import level_sizes as of

if TYPE_CHECKING:
    from collections.abc import Collection

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# s_ij: zones of level i and size j; N_s zones in all; p_ij = s_ij / N_s; s_i. and s_.j: sums over j and over i.
GLSZM_FEATURES = {
    "SmallAreaEmphasis": ("5QRC", of.SMALL),  # sum s_.j / j² / N_s
    "LargeAreaEmphasis": ("48P8", of.LARGE),  # sum j² s_.j / N_s
    "LowGrayLevelZoneEmphasis": ("XMSY", of.LOW),  # sum s_i. / i² / N_s
    "HighGrayLevelZoneEmphasis": ("5GN9", of.HIGH),  # sum i² s_i. / N_s
    "SmallAreaLowGrayLevelEmphasis": ("5RAI", of.SMALL_LOW),  # sum s_ij / (i² j²) / N_s
    "SmallAreaHighGrayLevelEmphasis": ("HW1V", of.SMALL_HIGH),  # sum i² s_ij / j² / N_s
    "LargeAreaLowGrayLevelEmphasis": ("YH51", of.LARGE_LOW),  # sum j² s_ij / i² / N_s
    "LargeAreaHighGrayLevelEmphasis": ("J17V", of.LARGE_HIGH),  # sum i² j² s_ij / N_s
    "GrayLevelNonUniformity": ("JNSA", of.LEVEL_NON_UNIFORMITY),  # sum s_i.² / N_s
    "GrayLevelNonUniformityNormalized": ("Y1RO", of.LEVEL_NON_UNIFORMITY_NORMALISED),  # sum s_i.² / N_s²
    "SizeZoneNonUniformity": ("4JP3", of.SIZE_NON_UNIFORMITY),  # sum s_.j² / N_s
    "SizeZoneNonUniformityNormalized": ("VB3A", of.SIZE_NON_UNIFORMITY_NORMALISED),  # sum s_.j² / N_s²
    "ZonePercentage": ("P30P", of.PERCENTAGE),  # N_s / voxels
    "GrayLevelVariance": ("BYLV", of.LEVEL_VARIANCE),  # sum (i - mean i)² p_ij
    "ZoneVariance": ("3NSA", of.SIZE_VARIANCE),  # sum (j - mean j)² p_ij
    "ZoneEntropy": ("GU8N", of.ENTROPY),  # -sum p_ij log2 p_ij
}
"""Features of the family: IBSI code, and column of `level_sizes.matrix_features`."""


def glszm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLSZM features of a lesion: zones of 26-connected voxels, 8-connected in slices.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names in `GLSZM_FEATURES`.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. All are defined for every lesion; slices without a voxel are left out of an average.

    Raises
    ------
    LookupError
        The method or a feature is not known.
    """
    zones = find_zones(lesion.levels_zyx, UNDIRECTED[method])
    means = mean_of_defined(of.matrix_features(zone_matrices(zones, zones.size)))
    return {name: float(means[GLSZM_FEATURES[name][1]]) for name in wanted}
