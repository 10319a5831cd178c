"""Neighbourhood grey tone difference matrix (IBSI IPET, section 3.10): distance from the neighbours' mean level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, mean_of_defined
from radiomics_talent.features.ibsi.neighbour_counts import neighbour_counts
from radiomics_talent.features.native import ngtdm as formulas
from radiomics_talent.features.native.neighbour_tables import ToneTables

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# n_i: voxels of level i that have a neighbour, N in all; p_i = n_i / N; s_i: sum of their |i - mean of neighbours|.
_COLUMNS = {
    name: formulas.NGTDM_FEATURES.index(name)
    for name in (
        "Coarseness",  # QCDE: 1 / sum p_i s_i; 10⁶ where that sum is 0
        "Contrast",  # 65HE: sum p_i p_j (i - j)² / (levels (levels - 1)) · sum s_i / N; 0 for one level
        "Busyness",  # NQ30: sum p_i s_i / sum |i p_i - j p_j|; 0 for one level
        "Complexity",  # HDEZ: sum |i - j| (p_i s_i + p_j s_j) / (p_i + p_j) / N
        "Strength",  # 1X9X: sum (p_i + p_j) (i - j)² / sum s_i; 0 where sum s_i is 0
    )
}
"""Features of the family, and their columns of the engine's formulas."""


def ngtdm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return NGTDM features of a lesion, neighbours at Chebyshev distance 1.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names of the class ``ngtdm`` in the dictionary of features.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. Voxels without neighbours do not count, nor do slices of nothing else; where no voxel
        has a neighbour, every feature is NaN. A region of one grey level has Coarseness 10⁶ and the others 0. Busyness
        is NaN where i p_i is the same for all of several levels: it would be divided by 0.

    Raises
    ------
    LookupError
        The method or a feature is not known.
    """
    how = UNDIRECTED[method]
    found = neighbour_counts(lesion, how.in_slices)
    voxels, difference = found.voxels, found.difference
    if not how.by_slice:
        voxels, difference = voxels.sum(axis=0, keepdims=True), difference.sum(axis=0, keepdims=True)
    counts = (voxels > 0).any(axis=1)
    means = mean_of_defined(_features(found.present, voxels[counts], difference[counts]))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


def _features(
    present: NDArray[np.int64], voxels: NDArray[np.float64], difference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Features of matrices of (matrices, levels), each with a voxel that counts."""
    matrix, level = np.nonzero(voxels)
    starts = np.searchsorted(matrix, np.arange(len(voxels) + 1))
    tables = ToneTables(starts, level.astype(np.int32), voxels[matrix, level], difference[matrix, level])
    features: NDArray[np.float64] = formulas.ngtdm_features(tables, present)
    # Busyness is divided by what is 0 where all of several levels have the same i n_i: whole numbers, so no rounding.
    products = present * voxels
    alike = ((products == products.max(axis=1, keepdims=True)) | (voxels == 0)).all(axis=1)
    features[alike & (np.diff(starts) > 1), _COLUMNS["Busyness"]] = np.nan
    return features
