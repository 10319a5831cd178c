"""GLCM features as a lesion has them: means over the angles, with PyRadiomics' rules for what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.glcm import GLCM_FEATURES, glcm_features
from radiomics_talent.features.native.glcm_groups import INEXACT, ROUNDED
from radiomics_talent.features.native.glcm_mcc import general_second_eigenvalue, second_eigenvalues
from radiomics_talent.features.native.glcm_rounding import RESUMMED, dense_tables, hang_on_rounding, rounded_features

if TYPE_CHECKING:
    from collections.abc import Collection

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.neighbour_tables import PairTables
    from radiomics_talent.features.native.texture_settings import TextureSettings

_NORMS = ("infinity", "euclidean", "manhattan", "no_weighting")


def glcm_values(tables: PairTables, grey: GreyLevels, wanted: Collection[str]) -> dict[str, float]:
    """Average the features of a lesion over its angles.

    Parameters
    ----------
    tables : PairTables
        One table an angle, or one in all.
    grey : GreyLevels
        The lesion.
    wanted : collection of str
        Feature names.

    Returns
    -------
    dict of str to float
        By name; NaN where no angle has a pair, but MCC is 1 for a single level (as long as angles are not merged).
    """
    by_table, scale, rounded = glcm_features(tables, grey.present, grey.highest)
    used = np.diff(tables.start) > 0
    if not used.any():
        return _empty(len(by_table), grey, wanted)
    values = dict(zip(GLCM_FEATURES, by_table[used].mean(axis=0).tolist(), strict=True))
    hangs = hang_on_rounding(np.array([values["ClusterShade"]]), scale[None], rounded[None])[0]
    again = {name for name, rounds in zip(RESUMMED, hangs, strict=True) if rounds}
    if used.size > 1 and used.all():  # summed one term after another, as here
        again.discard("Correlation")
    values["MCC"] = 1.0
    if "MCC" in wanted and grey.present.size > 1:
        squares, worth = second_eigenvalues(tables, grey.present.size)
        for t in np.flatnonzero(worth == INEXACT):
            squares[t] = general_second_eigenvalue(dense_tables(tables, np.arange(used.size) == t, grey))
        values["MCC"] = float(np.sqrt(squares[used]).mean())
        again |= {"MCC"} if (worth == ROUNDED).any() else set()
    again &= set(wanted)
    if again:
        values |= rounded_features(dense_tables(tables, used, grey), grey.present, again)
    return {name: values[name] for name in wanted}


def glcm_warnings(settings: TextureSettings, wanted: Collection[str]) -> tuple[str, ...]:
    """Return what PyRadiomics logs about symmetry and weights, each sentence once.

    Parameters
    ----------
    settings : TextureSettings
        Symmetry and weights.
    wanted : collection of str
        Feature names.
    """
    said = []
    norm = settings.weighting_norm
    if norm is not None and norm not in _NORMS:
        said.append(f'weigthing norm "{norm}" is unknown, W is set to 1')
    unsymmetrical = {"JointAverage": "Joint Average", "SumSquares": "Sum of Squares"}
    for name in wanted:
        if name in unsymmetrical and not settings.symmetrical_glcm:
            said.append(
                f"The formula for GLCM - {unsymmetrical[name]} assumes that the GLCM is symmetrical, "
                "but this is not the case."
            )
        if name == "SumAverage" and settings.symmetrical_glcm:
            said.append("GLCM is symmetrical, therefore Sum Average = 2 * Joint Average, only 1 needs to be calculated")
    return tuple(said)


def _empty(tables: int, grey: GreyLevels, wanted: Collection[str]) -> dict[str, float]:
    """Values where no angle has a pair: PyRadiomics drops all of several angles, but not a single one."""
    values = dict.fromkeys(wanted, np.nan)
    if grey.present.size == 1:
        name = "MCC" if tables > 1 else "InverseVariance"
        if name in values:
            values[name] = 1.0 if tables > 1 else 0.0
    return values
