"""Grey level distance zone matrix (IBSI VMDZ, section 3.9): zones of one level, by their distance from the border."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, mean_of_defined
from radiomics_talent.features.ibsi.zones import find_zones, zone_matrices
from radiomics_talent.features.native import level_sizes as of

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# d_ij: zones of level i at distance j; N_s zones in all; p_ij = d_ij / N_s; d_i. and d_.j: sums over j and over i.
GLDZM_FEATURES = {
    "SmallDistanceEmphasis": ("0GBI", of.SMALL),  # sum d_.j / j² / N_s
    "LargeDistanceEmphasis": ("MB4I", of.LARGE),  # sum j² d_.j / N_s
    "LowGrayLevelZoneEmphasis": ("S1RA", of.LOW),  # sum d_i. / i² / N_s
    "HighGrayLevelZoneEmphasis": ("K26C", of.HIGH),  # sum i² d_i. / N_s
    "SmallDistanceLowGrayLevelEmphasis": ("RUVG", of.SMALL_LOW),  # sum d_ij / (i² j²) / N_s
    "SmallDistanceHighGrayLevelEmphasis": ("DKNJ", of.SMALL_HIGH),  # sum i² d_ij / j² / N_s
    "LargeDistanceLowGrayLevelEmphasis": ("A7WM", of.LARGE_LOW),  # sum j² d_ij / i² / N_s
    "LargeDistanceHighGrayLevelEmphasis": ("KLTH", of.LARGE_HIGH),  # sum i² j² d_ij / N_s
    "GrayLevelNonUniformity": ("VFT7", of.LEVEL_NON_UNIFORMITY),  # sum d_i.² / N_s
    "GrayLevelNonUniformityNormalized": ("7HP3", of.LEVEL_NON_UNIFORMITY_NORMALISED),  # sum d_i.² / N_s²
    "ZoneDistanceNonUniformity": ("V294", of.SIZE_NON_UNIFORMITY),  # sum d_.j² / N_s
    "ZoneDistanceNonUniformityNormalized": ("IATH", of.SIZE_NON_UNIFORMITY_NORMALISED),  # sum d_.j² / N_s²
    "ZonePercentage": ("VIWW", of.PERCENTAGE),  # N_s / voxels
    "GrayLevelVariance": ("QK93", of.LEVEL_VARIANCE),  # sum (i - mean i)² p_ij
    "ZoneDistanceVariance": ("7WT1", of.SIZE_VARIANCE),  # sum (j - mean j)² p_ij
    "ZoneDistanceEntropy": ("GBDU", of.ENTROPY),  # -sum p_ij log2 p_ij
}
"""Features of the family: IBSI code, and column of `level_sizes.matrix_features`."""


def gldzm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLDZM features of a lesion: zones as of GLSZM, a zone as near to the border as its nearest voxel.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion; the border is that of its morphological mask.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names in `GLDZM_FEATURES`.

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
    zones = find_zones(lesion.levels_zyx, how)
    steps = _steps_to_border(lesion.morphological_zyx, how.in_slices)[lesion.levels_zyx > 0]
    distance = np.full(zones.level.size, steps.max())
    np.minimum.at(distance, zones.of_voxel, steps)
    features = of.matrix_features(zone_matrices(zones, distance))
    voxels = np.bincount(zones.matrix, zones.size)
    features[:, of.PERCENTAGE] = np.bincount(zones.matrix) / voxels  # the formula would take distances for sizes
    means = mean_of_defined(features)
    return {name: float(means[GLDZM_FEATURES[name][1]]) for name in wanted}


def _steps_to_border(mask_zyx: NDArray[np.bool_], in_slices: bool) -> NDArray[np.int64]:
    """Return for each voxel how many steps over faces lead out of the mask, which ends at the box."""
    padded = np.pad(mask_zyx, 1)
    if in_slices:
        steps = np.stack([ndimage.distance_transform_cdt(one, "taxicab") for one in padded])
    else:
        steps = ndimage.distance_transform_cdt(padded, "taxicab")
    inside: NDArray[np.int64] = steps[1:-1, 1:-1, 1:-1].astype(np.int64)
    return inside
