"""Grey level co-occurrence matrix (IBSI LFYI, section 3.6): symmetric, neighbours at Chebyshev distance 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import DIRECTED, directions, mean_of_defined, parts
from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.native import glcm as formulas
from radiomics_talent.features.native.neighbour_tables import count_pairs, normalised_pairs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# p_ij: probability of levels i and j side by side; mu: mean of i; k = |i - j| or i + j with p_k = sum of its p_ij.
_SAME = {"SumVariance": "ClusterTendency", "Dissimilarity": "DifferenceAverage"}
_COLUMNS = {
    name: formulas.GLCM_FEATURES.index(_SAME.get(name, name))
    for name in (
        "MaximumProbability",  # GYBY: max p_ij
        "JointAverage",  # 60VM: sum i p_ij = mu
        "SumSquares",  # UR99, joint variance: sum (i - mu)² p_ij
        "JointEntropy",  # TU9B: HXY = -sum p_ij log2 p_ij
        "DifferenceAverage",  # TF7R: sum k p_k, k = |i - j|
        "DifferenceVariance",  # D3YU: sum (k - mean k)² p_k
        "DifferenceEntropy",  # NTRS: -sum p_k log2 p_k
        "SumAverage",  # ZGXS: sum k p_k, k = i + j
        "SumVariance",  # OEEB: sum (k - mean k)² p_k, which is ClusterTendency
        "SumEntropy",  # P6QZ: -sum p_k log2 p_k
        "JointEnergy",  # 8ZQL, angular second moment: sum p_ij²
        "Contrast",  # ACUI: sum (i - j)² p_ij
        "Dissimilarity",  # 8S9J: sum |i - j| p_ij, which is DifferenceAverage
        "Id",  # IB1Z: sum p_ij / (1 + |i - j|)
        "Idn",  # NDRX: sum p_ij / (1 + |i - j| / N_g)
        "Idm",  # WF0Z: sum p_ij / (1 + (i - j)²)
        "Idmn",  # 1QCO: sum p_ij / (1 + (i - j)² / N_g²)
        "InverseVariance",  # E8JP: 2 sum over i < j of p_ij / (i - j)²
        "Correlation",  # NI2N: sum (i - mu)(j - mu) p_ij / sum (i - mu)² p_ij
        "Autocorrelation",  # QWB0: sum i j p_ij
        "ClusterTendency",  # DG8W: sum (i + j - 2 mu)² p_ij
        "ClusterShade",  # 7NFM: sum (i + j - 2 mu)³ p_ij
        "ClusterProminence",  # AE86: sum (i + j - 2 mu)⁴ p_ij
        "Imc1",  # R8DG: (HXY - HXY1) / HX, HX = -sum p_i log2 p_i, HXY1 = -sum p_ij log2(p_i p_j)
        "Imc2",  # JN9H: sqrt(1 - exp(-2 (HXY2 - HXY))), HXY2 = -sum p_i p_j log2(p_i p_j)
    )
}
"""Features of the family, and their columns of the engine's formulas."""


def glcm_features(lesion: IbsiLesion, method: str, wanted: Collection[str]) -> dict[str, float]:
    """Return GLCM features of a lesion.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion. `n_levels` is N_g.
    method : str
        One of `aggregation.DIRECTED`.
    wanted : collection of str
        Names of the class ``glcm`` in the dictionary of features.

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
    pairs = _pair_counts(lesion, how.in_slices)
    found = [_features(one, how.by_direction, lesion.n_levels) for one in (pairs if how.by_slice else [_sum(pairs)])]
    means = mean_of_defined(np.concatenate(found))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


def _features(pairs: _PairCounts, by_direction: bool, n_levels: int) -> NDArray[np.float64]:
    """Features of the matrix of each direction, or of all directions together."""
    counts = np.zeros(pairs.shape, dtype=np.int32)
    counts.reshape(-1)[pairs.places] = pairs.numbers
    if not by_direction:
        counts = counts.sum(axis=0, keepdims=True, dtype=np.int32)
    tables = normalised_pairs(counts, symmetrical=True)
    values = formulas.glcm_features(tables, pairs.present, n_levels)[0]
    one_level = np.diff(tables.start) == 1  # in a symmetric matrix a lone entry lies on the diagonal
    for name in ("Correlation", "Imc1"):
        values[one_level, _COLUMNS[name]] = np.nan
    return values


@dataclass(frozen=True, slots=True, eq=False)
class _PairCounts:
    """Pairs of the levels that are present: what is not 0 of the tables, of this shape, of `count_pairs`."""

    present: NDArray[np.int64]
    shape: tuple[int, ...]
    places: NDArray[np.intp]
    numbers: NDArray[np.int32]

    @classmethod
    def of(cls, present: NDArray[np.int64], counts: NDArray[np.int32]) -> _PairCounts:
        places = np.flatnonzero(counts != 0)  # of bool it is several times as fast
        return cls(present, counts.shape, places, counts.reshape(-1)[places])


@once_a_lesion
def _pair_counts(lesion: IbsiLesion, in_slices: bool) -> list[_PairCounts]:
    """Count the pairs of each part along each direction."""
    found = []
    for grey in parts(lesion, in_slices):
        present = grey.present
        if in_slices:  # fewer levels make smaller tables
            present = np.flatnonzero(np.bincount(grey.levels_zyx.reshape(-1))[1:]) + 1
        found.append(_PairCounts.of(present, count_pairs(replace(grey, present=present), directions(in_slices))))
    return found


def _sum(pairs: Sequence[_PairCounts]) -> _PairCounts:
    """Add up the counts of all parts."""
    if len(pairs) == 1:
        return pairs[0]
    present = np.unique(np.concatenate([one.present for one in pairs]))
    counts = np.zeros((pairs[0].shape[0], present.size + 1, present.size + 1), dtype=np.int32)
    for one in pairs:
        rank = np.concatenate([[0], np.searchsorted(present, one.present) + 1])
        direction, here, there = np.unravel_index(one.places, one.shape)
        counts[direction, rank[here], rank[there]] += one.numbers
    return _PairCounts.of(present, counts)
