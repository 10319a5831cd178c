"""Neighbourhood grey tone difference matrix (IBSI IPET, section 3.10): distance from the neighbours' mean level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import UNDIRECTED, directions, mean_of_defined, parts
from radiomics_talent.features.native import ngtdm as formulas
from radiomics_talent.features.native.neighbour_tables import count_neighbours

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion
    from radiomics_talent.features.native.grey_levels import GreyLevels

# n_i: voxels of level i that have a neighbour, N in all; p_i = n_i / N; s_i: sum of their |i - mean of neighbours|.
NGTDM_CODES = {
    "Coarseness": "QCDE",  # 1 / sum p_i s_i; 10⁶ where that sum is 0
    "Contrast": "65HE",  # sum p_i p_j (i - j)² / (levels (levels - 1)) · sum s_i / N; 0 for one level
    "Busyness": "NQ30",  # sum p_i s_i / sum |i p_i - j p_j|; 0 for one level
    "Complexity": "HDEZ",  # sum |i - j| (p_i s_i + p_j s_j) / (p_i + p_j) / N
    "Strength": "1X9X",  # sum (p_i + p_j) (i - j)² / sum s_i; 0 where sum s_i is 0
}
"""Features of the family, and their IBSI codes."""

_COLUMNS = {name: formulas.NGTDM_FEATURES.index(name) for name in NGTDM_CODES}


def ngtdm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return NGTDM features of a lesion, neighbours at Chebyshev distance 1.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    method : str
        One of `aggregation.UNDIRECTED`.
    wanted : collection of str
        Names in `NGTDM_CODES`.

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
    one_way = directions(how)
    offsets = np.concatenate([one_way, -one_way])
    levels_zyx = _without_lone_voxels(lesion.levels_zyx, how.in_slices)
    matrices = [_features(grey, offsets) for grey in parts(levels_zyx, how)]
    means = mean_of_defined(np.array(matrices).reshape(-1, len(formulas.NGTDM_FEATURES)))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


def _without_lone_voxels(levels_zyx: NDArray[np.int32], in_slices: bool) -> NDArray[np.int32]:
    """Take voxels without neighbours out: they are nobody's neighbours either."""
    around = np.pad(levels_zyx > 0, 1).astype(np.int8)
    around = around[1:-1] if in_slices else around[:-2] + around[1:-1] + around[2:]
    around = around[:, :-2] + around[:, 1:-1] + around[:, 2:]
    around = around[:, :, :-2] + around[:, :, 1:-1] + around[:, :, 2:]
    return np.where(around > 1, levels_zyx, np.int32(0))


def _features(grey: GreyLevels, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Features of one matrix."""
    _, tones = count_neighbours(grey, offsets, alpha=0)
    features: NDArray[np.float64] = formulas.ngtdm_features(tones, grey.present)[0]
    if len(grey.present) > 1 and np.ptp(grey.present * tones.voxels) == 0:  # whole numbers: no rounding
        features[_COLUMNS["Busyness"]] = np.nan
    return features
