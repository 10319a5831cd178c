"""Grey level run length matrix (IBSI TP0I, section 3.7): runs of one level along each direction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import DIRECTED, directions, mean_of_defined, merged, parts, stacked
from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.native import level_sizes as of
from radiomics_talent.features.native.glrlm import run_matrices
from radiomics_talent.features.native.neighbour_tables import level_ranks

if TYPE_CHECKING:
    from collections.abc import Collection

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# r_ij: runs of level i and length j; N_s runs in all; p_ij = r_ij / N_s; r_i. and r_.j: sums over j and over i.
_COLUMNS = {
    "ShortRunEmphasis": of.SMALL,  # 22OV: sum r_.j / j² / N_s
    "LongRunEmphasis": of.LARGE,  # W4KF: sum j² r_.j / N_s
    "LowGrayLevelRunEmphasis": of.LOW,  # V3SW: sum r_i. / i² / N_s
    "HighGrayLevelRunEmphasis": of.HIGH,  # G3QZ: sum i² r_i. / N_s
    "ShortRunLowGrayLevelEmphasis": of.SMALL_LOW,  # HTZT: sum r_ij / (i² j²) / N_s
    "ShortRunHighGrayLevelEmphasis": of.SMALL_HIGH,  # GD3A: sum i² r_ij / j² / N_s
    "LongRunLowGrayLevelEmphasis": of.LARGE_LOW,  # IVPO: sum j² r_ij / i² / N_s
    "LongRunHighGrayLevelEmphasis": of.LARGE_HIGH,  # 3KUM: sum i² j² r_ij / N_s
    "GrayLevelNonUniformity": of.LEVEL_NON_UNIFORMITY,  # R5YN: sum r_i.² / N_s
    "GrayLevelNonUniformityNormalized": of.LEVEL_NON_UNIFORMITY_NORMALISED,  # OVBL: sum r_i.² / N_s²
    "RunLengthNonUniformity": of.SIZE_NON_UNIFORMITY,  # W92Y: sum r_.j² / N_s
    "RunLengthNonUniformityNormalized": of.SIZE_NON_UNIFORMITY_NORMALISED,  # IC23: sum r_.j² / N_s²
    "RunPercentage": of.PERCENTAGE,  # 9ZK5: N_s / voxels, which merged matrices count once a direction
    "GrayLevelVariance": of.LEVEL_VARIANCE,  # 8CE5: sum (i - mean i)² p_ij
    "RunVariance": of.SIZE_VARIANCE,  # SXLW: sum (j - mean j)² p_ij
    "RunEntropy": of.ENTROPY,  # HJ9O: -sum p_ij log2 p_ij
}
"""Features of the family, and their columns of `level_sizes.matrix_features`."""


def glrlm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLRLM features of a lesion.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.DIRECTED`.
    wanted : collection of str
        Names of the class ``glrlm`` in the dictionary of features.

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
    runs = merged(_runs(lesion, how.in_slices), how, n_directions=len(directions(how.in_slices)))
    means = mean_of_defined(of.matrix_features(runs))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


@once_a_lesion
def _runs(lesion: IbsiLesion, in_slices: bool) -> of.LevelSizes:
    """Count the runs of each part along each direction."""
    found = []
    for grey in parts(lesion, in_slices):
        # Ranks keep the table of runs small where levels are missing.
        runs = run_matrices(level_ranks(grey), directions(in_slices), merged=False)
        found.append(replace(runs, levels=grey.present[runs.levels - 1].astype(np.int32)))
    return stacked(found)
