"""Grey level run length matrix (IBSI TP0I, section 3.7): runs of one level along each direction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import DIRECTED, directions, mean_of_defined, parts
from radiomics_talent.features.native import level_sizes as of
from radiomics_talent.features.native.glrlm import run_matrices
from radiomics_talent.features.native.neighbour_tables import level_ranks

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion
    from radiomics_talent.features.native.grey_levels import GreyLevels

# r_ij: runs of level i and length j; N_s runs in all; p_ij = r_ij / N_s; r_i. and r_.j: sums over j and over i.
GLRLM_FEATURES = {
    "ShortRunEmphasis": ("22OV", of.SMALL),  # sum r_.j / j² / N_s
    "LongRunEmphasis": ("W4KF", of.LARGE),  # sum j² r_.j / N_s
    "LowGrayLevelRunEmphasis": ("V3SW", of.LOW),  # sum r_i. / i² / N_s
    "HighGrayLevelRunEmphasis": ("G3QZ", of.HIGH),  # sum i² r_i. / N_s
    "ShortRunLowGrayLevelEmphasis": ("HTZT", of.SMALL_LOW),  # sum r_ij / (i² j²) / N_s
    "ShortRunHighGrayLevelEmphasis": ("GD3A", of.SMALL_HIGH),  # sum i² r_ij / j² / N_s
    "LongRunLowGrayLevelEmphasis": ("IVPO", of.LARGE_LOW),  # sum j² r_ij / i² / N_s
    "LongRunHighGrayLevelEmphasis": ("3KUM", of.LARGE_HIGH),  # sum i² j² r_ij / N_s
    "GrayLevelNonUniformity": ("R5YN", of.LEVEL_NON_UNIFORMITY),  # sum r_i.² / N_s
    "GrayLevelNonUniformityNormalized": ("OVBL", of.LEVEL_NON_UNIFORMITY_NORMALISED),  # sum r_i.² / N_s²
    "RunLengthNonUniformity": ("W92Y", of.SIZE_NON_UNIFORMITY),  # sum r_.j² / N_s
    "RunLengthNonUniformityNormalized": ("IC23", of.SIZE_NON_UNIFORMITY_NORMALISED),  # sum r_.j² / N_s²
    "RunPercentage": ("9ZK5", of.PERCENTAGE),  # N_s / voxels, which merged matrices count once a direction
    "GrayLevelVariance": ("8CE5", of.LEVEL_VARIANCE),  # sum (i - mean i)² p_ij
    "RunVariance": ("SXLW", of.SIZE_VARIANCE),  # sum (j - mean j)² p_ij
    "RunEntropy": ("HJ9O", of.ENTROPY),  # -sum p_ij log2 p_ij
}
"""Features of the family: IBSI code, and column of `level_sizes.matrix_features`."""


def glrlm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLRLM features of a lesion.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.DIRECTED`.
    wanted : collection of str
        Names in `GLRLM_FEATURES`.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. All are defined for every lesion: where no line of a direction meets two voxels, its
        runs have length 1. Slices without a voxel are left out of an average.

    Raises
    ------
    LookupError
        The method or a feature is not known.
    ExtractionError
        More than 65535 grey levels are present.
    """
    how = DIRECTED[method]
    offsets = directions(how)
    runs = [_features(grey, offsets, how.by_direction) for grey in parts(lesion.levels_zyx, how)]
    means = mean_of_defined(np.concatenate(runs))
    return {name: float(means[GLRLM_FEATURES[name][1]]) for name in wanted}


def _features(grey: GreyLevels, offsets: NDArray[np.int64], by_direction: bool) -> NDArray[np.float64]:
    """Features of the matrix of each direction, or of all directions together."""
    matrices = run_matrices(level_ranks(grey), offsets, merged=not by_direction)
    # Ranks keep the table of runs small where levels are missing.
    return of.matrix_features(replace(matrices, levels=grey.present[matrices.levels - 1].astype(np.int32)))
