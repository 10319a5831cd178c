"""Where the signal of a model lies, told from how it does on negative controls and with each kind of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from radiomics_talent.modelling.metrics import Estimate
from radiomics_talent.robustness.control_effects import KEPT_CORRELATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FeatureSet = Literal["all", "texture", "firstorder", "shape", "volume"]
FEATURE_SETS: tuple[FeatureSet, ...] = ("all", "texture", "firstorder", "shape", "volume")
Verdict = Literal["no signal", "volume", "shape", "intensity", "texture", "unclear"]
AS_WELL = 0.1
"""A set whose AUC (C-index) is lower than that of all features by more than this does not do as well, however wide the
interval of the difference is."""
_SIMPLER: tuple[tuple[FeatureSet, Verdict, str], ...] = (
    ("volume", "volume", "Lesion volume"),
    ("shape", "shape", "Shape"),
    ("firstorder", "intensity", "First order"),
)


@dataclass(frozen=True, slots=True)
class ControlRow:
    """How well a model does with one set of features of one image.

    Attributes
    ----------
    control : str
        ``original``, or a control.
    features : str
        ``all``; ``texture``, ``firstorder`` or ``shape`` (`control_effects.depends_on`); or ``volume``, its logarithm
        alone.
    n_features : int
        Columns that the model is offered.
    unchanged : bool
        The control changes none of these features: its figures are the original's and say nothing new.
    metric : Estimate
        AUC or C-index of the out-of-fold scores, mean over repeats, with 95 % bootstrap interval by patient.
    lost : Estimate or None
        The original's less this, on the same bootstrap samples; None for the original.
    below_all : Estimate or None
        That of all features of the same image less this; None for ``all``.
    """

    control: str
    features: FeatureSet
    n_features: int
    unchanged: bool
    metric: Estimate
    lost: Estimate | None
    below_all: Estimate | None


@dataclass(frozen=True, slots=True, eq=False)
class ControlReport:
    """Where the signal of a model lies, as far as controls can tell.

    Attributes
    ----------
    metric : {'auc', 'c_index'}
        What the rows hold.
    rows : tuple of ControlRow
        The original first; a control that changes no feature has none.
    patients, lesions, events : int
        How many entered; events are responses (or times that ended with the event) among what is judged.
    left_out : int
        Lesions of the original that a control lacks, left out of all.
    verdict : str
        Where the signal lies, by the rules of `judged`.
    sentence : str
        The verdict with its figures.
    findings : tuple of str
        What else a reader should know: controls without effect, features that measure volume or histogram.
    effects : DataFrame
        From `control_effects`.
    """

    metric: str
    rows: tuple[ControlRow, ...]
    patients: int
    lesions: int
    events: int
    left_out: int
    verdict: Verdict
    sentence: str
    findings: tuple[str, ...]
    effects: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return the rows as a table: each figure with ``_low`` and ``_high``, empty (NaN) where there is none."""
        records = []
        for row in self.rows:
            record: dict[str, object] = {
                "control": row.control, "features": row.features, "n_features": row.n_features,
                "unchanged": row.unchanged,
            }  # fmt: skip
            for name, figure in ((self.metric, row.metric), ("lost", row.lost), ("below_all", row.below_all)):
                known = figure or Estimate(np.nan, np.nan, np.nan)
                record |= {name: known.value, f"{name}_low": known.low, f"{name}_high": known.high}
            records.append(record)
        return pd.DataFrame(records)


def judged(rows: Sequence[ControlRow], patients: int) -> tuple[Verdict, str]:
    """Say where the signal lies, the simplest explanation first.

    A set *has signal* where the lower end of its interval lies above 0.5. It *does as well as all features* where it
    has signal, the paired difference (all features less the set, on the original) is at most 0.1, and the lower end of
    that difference's interval is at most 0: it is neither shown to be worse nor, in a cohort too small to show
    anything, plainly worse. An interval that is not defined shows nothing. In this order:

    1. ``no signal``: all features of the original have none.
    2. ``volume``: lesion volume does as well as all features.
    3. ``shape``: shape does as well as all features.
    4. ``intensity``: first order does as well as all features, and all features of the shuffled lesion are not shown to
       do worse than the original's.
    5. ``texture``: texture of the original has signal, and the lower end of the paired difference to texture of the
       shuffled lesion lies above 0. Signal is asked for as well because out-of-fold scores of a model without any tend
       to lie below 0.5 in small cohorts, which overstates a difference from them.
    6. ``unclear``: none of these; without ``roi_shuffled`` 4 and 5 cannot be answered.

    That a simpler set does as well as far as can be told does not say that nothing else is in the features: more is
    not shown, and a larger cohort might.

    Parameters
    ----------
    rows : sequence of ControlRow
        All rows.
    patients : int
        How many were judged, for the sentence.

    Returns
    -------
    (str, str)
        The verdict, and a sentence with its figures.
    """
    by = {(row.control, row.features): row for row in rows}
    everything = by["original", "all"]
    among = f"among {patients} patients"
    if not _has_signal(everything):
        alone = {name: by["original", f] for f, _, name in _SIMPLER if ("original", f) in by}
        though = "".join(f"; {n.lower()} alone reaches {r.metric}" for n, r in alone.items() if _has_signal(r))
        return "no signal", (
            f"No signal is shown {among}: all features reach {everything.metric}, not above 0.5 with the whole "
            f"interval{though}."
        )
    for features, verdict, name in _SIMPLER:
        row = by.get(("original", features))
        if row is None or not _does_as_well(row) or (features == "firstorder" and not _kept_by_shuffling(by)):
            continue
        return verdict, (
            f"{name} alone does as well as all features, as far as can be told {among}: {row.metric} against "
            f"{everything.metric}, difference {row.below_all}; that anything else adds to it is not shown."
        )
    texture, shuffled = by.get(("original", "texture")), by.get(("roi_shuffled", "texture"))
    if texture is not None and shuffled is not None and _has_signal(texture) and _is_above_0(shuffled.lost):
        return "texture", (
            f"Texture carries signal {among}: {texture.metric}, and {shuffled.metric} once the lesion's voxels are "
            f"shuffled, difference {shuffled.lost}."
        )
    asked = texture is not None and shuffled is None
    why = "what shuffling leaves of it is not known" if asked else "no one source is shown to carry it"
    return "unclear", f"There is signal {among}, {everything.metric} with all features, but {why}."


def control_findings(rows: Sequence[ControlRow], effects: pd.DataFrame, left_out: int) -> tuple[str, ...]:
    """Return what a reader should know besides the verdict, one sentence each.

    Parameters
    ----------
    rows : sequence of ControlRow
        All rows.
    effects : DataFrame
        From `control_effects`; its controls are those that were made.
    left_out : int
        Lesions that a control lacks.
    """
    modelled = {row.control for row in rows}
    found = [
        f"{control} changes no feature (none looks at the voxels that it replaces), so there is no model of it"
        for control in effects["control"].unique()
        if control not in modelled
    ]
    texture = effects.loc[(effects["control"] == "roi_shuffled") & (effects["depends_on"] == "texture")]
    size = int((texture["spearman"] > KEPT_CORRELATION).sum())
    if size:
        found.append(
            f"{size} of {len(texture)} texture features order the lesions as their own shuffled control does (Spearman "
            f"above {KEPT_CORRELATION}): they measure volume or histogram"
        )
    found += [
        f"with {row.control} all features do worse by {row.lost}: they tell of the tissue about the lesion, too"
        for row in rows
        if row.control.startswith("surroundings") and row.features == "all" and row.lost and row.lost.low > 0
    ]
    below = [f"{row.features} of {row.control}" for row in rows if row.metric.high < 0.5]
    if below:
        found.append(
            f"{', '.join(below)}: below 0.5 with the whole interval, as pooled out-of-fold scores of a model without "
            "signal are in small cohorts (docs/models.md); a difference from it is overstated"
        )
    perfect = [f"{row.features} of {row.control}" for row in rows if row.metric.value >= 1]
    if perfect:
        found.append(
            f"{', '.join(perfect)}: 1 out of fold; the interval has no width, which says nothing of how sure it is"
        )
    if left_out:
        found.append(f"{left_out} lesions of the original lack a control and were left out of all")
    return tuple(found)


def _kept_by_shuffling(by: Mapping[tuple[str, FeatureSet], ControlRow]) -> bool:
    """Tell whether shuffling is not shown to harm; without texture it has nothing to harm."""
    shuffled = by.get(("roi_shuffled", "all"))
    if shuffled is None:
        return ("original", "texture") not in by
    return not _is_above_0(shuffled.lost)


def _has_signal(row: ControlRow) -> bool:
    return row.metric.low > 0.5


def _does_as_well(row: ControlRow) -> bool:
    return _has_signal(row) and row.below_all is not None and row.below_all.value <= AS_WELL and row.below_all.low <= 0


def _is_above_0(difference: Estimate | None) -> bool:
    return difference is not None and difference.low > 0
