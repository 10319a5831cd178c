"""Grey level distance zone matrix (IBSI VMDZ, section 3.9): zones of one level, by their distance from the border."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, counted, mean_of_defined
from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.ibsi.zones import zones_of
from radiomics_talent.features.native import level_sizes as of

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# d_ij: zones of level i at distance j; N_s zones in all; p_ij = d_ij / N_s; d_i. and d_.j: sums over j and over i.
_COLUMNS = {
    "SmallDistanceEmphasis": of.SMALL,  # 0GBI: sum d_.j / j² / N_s
    "LargeDistanceEmphasis": of.LARGE,  # MB4I: sum j² d_.j / N_s
    "LowGrayLevelZoneEmphasis": of.LOW,  # S1RA: sum d_i. / i² / N_s
    "HighGrayLevelZoneEmphasis": of.HIGH,  # K26C: sum i² d_i. / N_s
    "SmallDistanceLowGrayLevelEmphasis": of.SMALL_LOW,  # RUVG: sum d_ij / (i² j²) / N_s
    "SmallDistanceHighGrayLevelEmphasis": of.SMALL_HIGH,  # DKNJ: sum i² d_ij / j² / N_s
    "LargeDistanceLowGrayLevelEmphasis": of.LARGE_LOW,  # A7WM: sum j² d_ij / i² / N_s
    "LargeDistanceHighGrayLevelEmphasis": of.LARGE_HIGH,  # KLTH: sum i² j² d_ij / N_s
    "GrayLevelNonUniformity": of.LEVEL_NON_UNIFORMITY,  # VFT7: sum d_i.² / N_s
    "GrayLevelNonUniformityNormalized": of.LEVEL_NON_UNIFORMITY_NORMALISED,  # 7HP3: sum d_i.² / N_s²
    "ZoneDistanceNonUniformity": of.SIZE_NON_UNIFORMITY,  # V294: sum d_.j² / N_s
    "ZoneDistanceNonUniformityNormalized": of.SIZE_NON_UNIFORMITY_NORMALISED,  # IATH: sum d_.j² / N_s²
    "ZonePercentage": of.PERCENTAGE,  # VIWW: N_s / voxels
    "GrayLevelVariance": of.LEVEL_VARIANCE,  # QK93: sum (i - mean i)² p_ij
    "ZoneDistanceVariance": of.SIZE_VARIANCE,  # 7WT1: sum (j - mean j)² p_ij
    "ZoneDistanceEntropy": of.ENTROPY,  # GBDU: -sum p_ij log2 p_ij
}
"""Features of the family, and their columns of `level_sizes.matrix_features`."""


def gldzm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLDZM features of a lesion: zones as of GLSZM, a zone as near to the border as its nearest voxel.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion; the border is that of its morphological mask.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names of the class ``gldzm`` in the dictionary of features.

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
    matrix = zones.matrix(how)
    features = of.matrix_features(counted(matrix, zones.level, _distances(lesion, how.in_slices)))
    voxels = np.bincount(matrix, zones.size)
    features[:, of.PERCENTAGE] = np.bincount(matrix) / voxels  # the formula would take distances for sizes
    means = mean_of_defined(features)
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


@once_a_lesion
def _distances(lesion: IbsiLesion, in_slices: bool) -> NDArray[np.int64]:
    """Return for each zone how many steps over faces lead from it out of the lesion as drawn, which ends at its box."""
    faces = ndimage.generate_binary_structure(3, 1)
    if in_slices:
        faces[[0, 2]] = False
    steps = ndimage.distance_transform_cdt(np.pad(lesion.morphological_zyx, 1), faces)[1:-1, 1:-1, 1:-1]
    steps = steps[lesion.levels_zyx > 0].astype(np.int64)
    zones = zones_of(lesion, in_slices)
    distances = np.full(zones.level.size, steps.max())
    np.minimum.at(distances, zones.of_voxel, steps)
    return distances
