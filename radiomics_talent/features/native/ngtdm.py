"""Neighbouring grey tone difference matrix (NGTDM; IBSI family IPET): 5 features of any number of tables.

Amadasun M, King R. Textural features corresponding to textural properties. IEEE Trans Syst Man Cybern 1989;19:1264.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.neighbour_tables import ToneTables

NGTDM_FEATURES = ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength")
"""Columns of `ngtdm_features`."""


@kernel
def _pairs_of_levels(
    level: NDArray[np.float64], share: NDArray[np.float64], difference: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Sum over ordered pairs of levels: |i p_i - j p_j|, complexity, p_i p_j (i - j)², (p_i + p_j)(i - j)²."""
    busy = complexity = contrast = strength = 0.0
    for a in range(level.size):
        for b in range(a):
            apart, together = level[a] - level[b], share[a] + share[b]
            busy += abs(level[a] * share[a] - level[b] * share[b])
            complexity += apart * (share[a] * difference[a] + share[b] * difference[b]) / together
            contrast += share[a] * share[b] * (apart * apart)
            strength += together * (apart * apart)
    return 2 * busy, 2 * complexity, 2 * contrast, 2 * strength


@kernel
def _all_tables(
    start: NDArray[np.int64],
    level: NDArray[np.int32],
    voxels: NDArray[np.float64],
    difference: NDArray[np.float64],
    grey: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute every feature of every table, with PyRadiomics' values for a flat region."""
    out = np.empty((start.size - 1, 5))
    for t in range(start.size - 1):
        begin, end = start[t], start[t + 1]
        number = voxels[begin:end].sum()
        share, apart = voxels[begin:end] / number, difference[begin:end]
        busy, complexity, contrast, strength = _pairs_of_levels(grey[level[begin:end]], share, apart)
        change, total = 0.0, apart.sum()
        for k in range(share.size):
            change += share[k] * apart[k]
        pairs = share.size * (share.size - 1)
        row = out[t]
        row[0] = change / busy if busy != 0.0 else 0.0  # Busyness: sum p s / sum |i p_i - j p_j|
        row[1] = 1.0 / change if change != 0.0 else 1e6  # Coarseness: 1 / sum p s
        row[2] = complexity / number  # Complexity: sum |i - j| (p_i s_i + p_j s_j) / (p_i + p_j) / N
        # Contrast: sum p_i p_j (i - j)² / (levels (levels - 1)) times sum s / N
        row[3] = contrast * total / number / pairs if pairs else 0.0
        row[4] = strength / total if total != 0.0 else 0.0  # Strength: sum (p_i + p_j)(i - j)² / sum s
    return out


def ngtdm_features(tables: ToneTables, present: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the features of each table (PyRadiomics' ``ngtdm``).

    Parameters
    ----------
    tables : ToneTables
        Tone difference matrices, each of one voxel at least.
    present : ndarray of int64
        The levels that the tables' indices stand for.

    Returns
    -------
    ndarray of float64
        (tables, 5): columns are `NGTDM_FEATURES`.
    """
    return _all_tables(tables.start, tables.level, tables.voxels, tables.difference, present.astype(np.float64))
