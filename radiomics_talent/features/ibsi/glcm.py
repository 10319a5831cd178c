"""Grey level co-occurrence matrix (IBSI LFYI, section 3.6): symmetric, neighbours at Chebyshev distance 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.aggregation import DIRECTED, directions, mean_of_defined, parts
from radiomics_talent.features.ibsi.lesion import once_a_lesion
from radiomics_talent.features.native import glcm as formulas
from radiomics_talent.features.native.neighbour_tables import count_pairs, normalised_pairs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.aggregation import Aggregation
    from radiomics_talent.features.ibsi.lesion import IbsiLesion

# p_ij: probability of levels i and j side by side; mu: mean of i; k = |i - j| or i + j with p_k = sum of its p_ij.
_SAME = {"SumVariance": "ClusterTendency", "Dissimilarity": "DifferenceAverage"}
_COLUMNS = {
    name: formulas.GLCM_FEATURES.index(_SAME.get(name, name))
    for name in (
        "MaximumProbability",  # GYBY: max p_ij
        "JointAverage",  # 60VM: sum i p_ij = mu
        "SumSquares",  # UR99: joint variance: sum (i - mu)² p_ij
        "JointEntropy",  # TU9B: HXY = -sum p_ij log2 p_ij
        "DifferenceAverage",  # TF7R: sum k p_k, k = |i - j|
        "DifferenceVariance",  # D3YU: sum (k - mean k)² p_k
        "DifferenceEntropy",  # NTRS: -sum p_k log2 p_k
        "SumAverage",  # ZGXS: sum k p_k, k = i + j
        "SumVariance",  # OEEB: sum (k - mean k)² p_k, which is ClusterTendency
        "SumEntropy",  # P6QZ: -sum p_k log2 p_k
        "JointEnergy",  # 8ZQL: angular second moment: sum p_ij²
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
    counts = _pair_counts(lesion, how.in_slices)
    means = mean_of_defined(np.concatenate([_features(one, counts.present, lesion) for one in counts.merged(how)]))
    return {name: float(means[_COLUMNS[name]]) for name in wanted}


def _features(counts: NDArray[np.int32], present: NDArray[np.int64], lesion: IbsiLesion) -> NDArray[np.float64]:
    """Features of each matrix."""
    tables = normalised_pairs(counts, symmetrical=True)
    values = formulas.glcm_features(tables, present, lesion.n_levels)[0]
    one_level = np.diff(tables.start) == 1  # in a symmetric matrix a lone entry lies on the diagonal
    for name in ("Correlation", "Imc1"):
        values[one_level, _COLUMNS[name]] = np.nan
    return values


@dataclass(frozen=True, slots=True, eq=False)
class _PairCounts:
    """Pairs of levels in each part of a lesion; of their many tables, only what is not 0 is kept.

    `tables` is the shape of a part's, as `count_pairs` has them, flat `places` and `numbers` what stands there.
    """

    present: NDArray[np.int64]
    tables: tuple[int, ...]
    places: list[NDArray[np.intp]]
    numbers: list[NDArray[np.int32]]

    def merged(self, how: Aggregation) -> Iterator[NDArray[np.int32]]:
        """Yield the tables of a part after the other, or of all together; (directions, ...) or (1, ...)."""
        pairs = list(zip(self.places, self.numbers, strict=True))
        for group in ([one] for one in pairs) if how.by_slice else [pairs]:
            counts = np.zeros(self.tables, dtype=np.int32)
            for places, numbers in group:
                counts.reshape(-1)[places] += numbers
            yield counts if how.by_direction else counts.sum(axis=0, keepdims=True, dtype=np.int32)


@once_a_lesion
def _pair_counts(lesion: IbsiLesion, in_slices: bool) -> _PairCounts:
    """Count the pairs of each part along each direction."""
    places, numbers = [], []
    for grey in parts(lesion, in_slices):
        counts = count_pairs(grey, directions(in_slices))
        places.append(np.flatnonzero(counts))
        numbers.append(counts.reshape(-1)[places[-1]])
    return _PairCounts(grey.present, counts.shape, places, numbers)
