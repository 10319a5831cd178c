"""What a control does to each feature, and which features depend on what: form, histogram, arrangement of voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from radiomics_talent.feature_dictionary import ColumnName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.robustness_settings import Control

DependsOn = Literal["shape", "firstorder", "texture"]
SAME = 1e-9
"""Difference up to which a feature counts as unchanged, as a share of its value or, for values near zero, of its
standard deviation over lesions: as far as engines may differ, and more than the order of summation does."""
KEPT_CORRELATION = 0.9
"""A feature above this Spearman correlation with its own shuffled control orders lesions by size or histogram: texture
is not what it tells them apart by (Welch et al., Radiother Oncol 2019;130:2)."""
_HISTOGRAM_CLASSES = frozenset({"firstorder", "histogram", "ivh"})
_POINTWISE = frozenset({"original", "square", "squareroot", "logarithm", "exponential"})
"""Image types that look at one voxel at a time; every other filter mixes neighbours."""
_MORPHOLOGY_OF_ARRANGEMENT = frozenset({"CentreOfMassShift", "MoransI", "GearysC"})
"""Features that IBSI counts as morphology, and that look at where which intensity is."""


def depends_on(column: str) -> DependsOn | None:
    """Tell what a feature depends on.

    Parameters
    ----------
    column : str
        Name of a feature's column.

    Returns
    -------
    str or None
        ``shape``: the contour alone. ``firstorder``: the lesion's histogram, whatever the order of its voxels (and
        IBSI's integrated intensity, which is the mean times the volume). ``texture``: the arrangement of voxels; with
        it counts every feature of an image whose filter mixes neighbours, first order, too. None for a name that is
        no feature's.
    """
    try:
        name = ColumnName.parse(column)
    except ValueError:
        return None
    if name.feature_class in {"shape", "shape2D"}:
        if name.feature == "IntegratedIntensity":
            return "firstorder"
        return "texture" if name.feature in _MORPHOLOGY_OF_ARRANGEMENT else "shape"
    return "firstorder" if name.feature_class in _HISTOGRAM_CLASSES and name.image_type in _POINTWISE else "texture"


def control_effects(original: FeatureTable, controls: Mapping[Control, FeatureTable]) -> pd.DataFrame:
    """Return what each control does to each feature.

    Parameters
    ----------
    original : FeatureTable
        Features of the lesions as they are.
    controls : mapping of str to FeatureTable
        Features of their controls: the same lesions in the same order.

    Returns
    -------
    DataFrame
        One row a feature and control: ``feature``, ``depends_on``, ``control``; ``changed``, the share of lesions
        whose value differs by more than 1e-9 of it and of the original's standard deviation over lesions (a skewness
        about zero is changed by the order of summation alone; defined in one alone counts as different);
        ``difference``, the median relative difference, 0 where unchanged; ``spearman``, the correlation over lesions
        of the feature with its control. NaN where it is defined for no lesion, or (``spearman``) is constant.
    """
    names = list(original.features)
    before = original.frame[names]
    parts = []
    for control, table in controls.items():
        after = table.frame[names]
        difference = _relative(before, after)
        part = {
            "feature": names,
            "depends_on": [depends_on(n) or "" for n in names],
            "control": control,
            "changed": (difference > 0).mean().to_numpy(),
            "difference": difference.median().to_numpy(),
            "spearman": _spearman(before, after),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def effects_by_kind(effects: pd.DataFrame) -> pd.DataFrame:
    """Return what each control does to each kind of features.

    Parameters
    ----------
    effects : DataFrame
        As `control_effects` returns it.

    Returns
    -------
    DataFrame
        One row a control and ``depends_on`` (those that are known), in the order of their first features: ``control``,
        ``depends_on``, ``changed`` (mean over features), ``spearman`` (median over features that have one, or NaN).
    """
    known = effects.loc[effects["depends_on"] != ""]
    grouped = known.groupby(["control", "depends_on"], sort=False)
    return grouped.agg(changed=("changed", "mean"), spearman=("spearman", "median")).reset_index()


def _relative(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return |a - b| / max(|a|, |b|), 0 where unchanged; infinite where one alone is defined, NaN where neither is."""
    a, b = before.to_numpy(), after.to_numpy()
    largest = np.maximum(np.abs(a), np.abs(b))
    spread = before.std(ddof=0).fillna(0).to_numpy()
    unchanged = np.abs(a - b) <= SAME * np.maximum(largest, spread)
    relative = np.divide(np.abs(a - b), largest, out=np.zeros_like(a), where=~unchanged)
    relative[np.isnan(a) != np.isnan(b)] = np.inf
    return pd.DataFrame(relative, columns=before.columns)


def _spearman(before: pd.DataFrame, after: pd.DataFrame) -> np.ndarray:
    known = (before.notna() & after.notna()).to_numpy()
    ranks = [part.where(known).rank() for part in (before, after)]
    a, b = (np.where(known, r - r.mean(), 0.0) for r in ranks)
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(axis=0) / np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0)))
