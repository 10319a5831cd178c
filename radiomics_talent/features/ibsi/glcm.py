"""Grey level co-occurrence matrix (IBSI LFYI, section 3.6): symmetric, neighbours at Chebyshev distance 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import DIRECTED, directions, mean_of_defined, parts
from radiomics_talent.features.native import glcm as formulas
from radiomics_talent.features.native.neighbour_tables import count_pairs, normalised_pairs

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion
    from radiomics_talent.features.native.grey_levels import GreyLevels

# p_ij: probability of levels i and j side by side; mu: mean of i; k = |i - j| or i + j with p_k = sum of its p_ij.
GLCM_CODES = {
    "MaximumProbability": "GYBY",  # max p_ij
    "JointAverage": "60VM",  # sum i p_ij = mu
    "SumSquares": "UR99",  # joint variance: sum (i - mu)² p_ij
    "JointEntropy": "TU9B",  # HXY = -sum p_ij log2 p_ij
    "DifferenceAverage": "TF7R",  # sum k p_k, k = |i - j|
    "DifferenceVariance": "D3YU",  # sum (k - mean k)² p_k
    "DifferenceEntropy": "NTRS",  # -sum p_k log2 p_k
    "SumAverage": "ZGXS",  # sum k p_k, k = i + j
    "SumVariance": "OEEB",  # sum (k - mean k)² p_k, which is ClusterTendency
    "SumEntropy": "P6QZ",  # -sum p_k log2 p_k
    "JointEnergy": "8ZQL",  # angular second moment: sum p_ij²
    "Contrast": "ACUI",  # sum (i - j)² p_ij
    "Dissimilarity": "8S9J",  # sum |i - j| p_ij, which is DifferenceAverage
    "Id": "IB1Z",  # sum p_ij / (1 + |i - j|)
    "Idn": "NDRX",  # sum p_ij / (1 + |i - j| / N_g)
    "Idm": "WF0Z",  # sum p_ij / (1 + (i - j)²)
    "Idmn": "1QCO",  # sum p_ij / (1 + (i - j)² / N_g²)
    "InverseVariance": "E8JP",  # 2 sum over i < j of p_ij / (i - j)²
    "Correlation": "NI2N",  # sum (i - mu)(j - mu) p_ij / sum (i - mu)² p_ij
    "Autocorrelation": "QWB0",  # sum i j p_ij
    "ClusterTendency": "DG8W",  # sum (i + j - 2 mu)² p_ij
    "ClusterShade": "7NFM",  # sum (i + j - 2 mu)³ p_ij
    "ClusterProminence": "AE86",  # sum (i + j - 2 mu)⁴ p_ij
    "Imc1": "R8DG",  # (HXY - HXY1) / HX, HX = -sum p_i log2 p_i, HXY1 = -sum p_ij log2(p_i p_j)
    "Imc2": "JN9H",  # sqrt(1 - exp(-2 (HXY2 - HXY))), HXY2 = -sum p_i p_j log2(p_i p_j)
}
"""Features of the family, and their IBSI codes."""

_SAME = {"SumVariance": "ClusterTendency", "Dissimilarity": "DifferenceAverage"}
_COLUMNS = {name: formulas.GLCM_FEATURES.index(_SAME.get(name, name)) for name in GLCM_CODES}


def glcm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLCM features of a lesion.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion. `n_levels` is N_g.
    method : str
        One of `aggregation.DIRECTED`.
    wanted : collection of str
        Names in `GLCM_CODES`.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. A matrix without pairs is left out of an average, and where there is none with pairs
        (a lesion of one voxel) every feature is NaN. Correlation and Imc1 of a matrix of one grey level would be 0/0:
        such a matrix is left out of their average, and where there is no other they are NaN.

    Raises
    ------
    LookupError
        The method or a feature is not known.
    """
    how = DIRECTED[method]
    offsets = directions(how)
    tables = [_features(grey, offsets, how.by_direction, lesion.n_levels) for grey in parts(lesion.levels_zyx, how)]
    means = mean_of_defined(np.concatenate(tables))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


def _features(grey: GreyLevels, offsets: NDArray[np.int64], by_direction: bool, n_levels: int) -> NDArray[np.float64]:
    """Features of the matrix of each direction, or of all directions together."""
    counts = count_pairs(grey, offsets)
    if not by_direction:
        counts = counts.sum(axis=0, keepdims=True, dtype=np.int32)
    tables = normalised_pairs(counts, symmetrical=True)
    values = formulas.glcm_features(tables, grey.present, n_levels)[0]
    one_level = np.diff(tables.start) == 1  # in a symmetric matrix a lone entry lies on the diagonal
    for name in ("Correlation", "Imc1"):
        values[one_level, _COLUMNS[name]] = np.nan
    return values
