"""Is a case one of those that the model knows? Ranges, a robust distance, and how it was scanned.

A patient that differs is scored all the same, and marked: *borderline* where the training hardly reached, *outside*
where it did not reach at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from radiomics_talent.dicom.phases import find_contrast_phase
from radiomics_talent.modelling.search import preprocessed, preprocessed_names
from radiomics_talent.modelling.trained_domain import row_distances
from radiomics_talent.scoring.score_report import DomainReason, DomainVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from radiomics_talent.modelling.model import ResponseModel
    from radiomics_talent.modelling.trained_domain import TrainedColumn, TrainedScans

Grade = Literal["borderline", "outside"]

FAR, NEAR = 1.0, 0.95
"""A case is borderline when it is farther from the training than this share of its patients were from the others,
and outside when it is farther than all of them."""
RANGE_BORDERLINE, RANGE_OUTSIDE = 0.1, 0.5
"""Share of the selected features out of their range of training."""
BEYOND_COUNTED, BEYOND_BORDERLINE, BEYOND_OUTSIDE = 0.1, 0.5, 2.0
"""How far one feature is beyond its range, in widths of the range from 5 to 95 %; up to the first it is not."""
VOLUME_FACTOR = 2.0
"""A lesion smaller (larger) than all by up to this factor is borderline."""
THICKNESS_MM = 1.0
"""A slice thinner (thicker) than all by up to this is borderline."""
_NAMED = 3
_SCANNED = {"contrast_phase": "contrast phase", "kernel": "kernel", "manufacturer": "manufacturer"}


def judge_features(
    model: ResponseModel, frame: pd.DataFrame, columns: Sequence[str]
) -> tuple[tuple[DomainReason, ...], float | None, float | None]:
    """Compare the features of a patient with the training.

    Parameters
    ----------
    model : ResponseModel
        What training saw.
    frame : DataFrame
        The patient's rows of the study table.
    columns : sequence of str
        Columns of the table that the model uses.

    Returns
    -------
    reasons : tuple of DomainReason
        What differs.
    distance, farther_than : float, optional
        Largest robust distance of the rows, and the share of training patients that lay nearer to the others.
    """
    reasons = _range_reasons([c for c in model.domain if c.name in columns and c.levels is None], frame)
    if model.distance is None or model.reference is None:
        return reasons, None, None
    pipeline = model.pipelines[model.settings.block]
    names, z = preprocessed_names(pipeline), preprocessed(pipeline, frame)
    distance = float(row_distances(model.distance, z[:, [names.index(n) for n in model.reference.selected]]).max())
    known = np.asarray(model.reference.distances)
    share = float(np.mean(known < distance))
    if share >= NEAR:
        grade: Grade = "outside" if share >= FAR else "borderline"
        who = "all" if share >= FAR else f"{share:.0%} of"
        sentence = (
            f"robust distance {distance:.3g} in the {len(model.reference.selected)} selected columns: farther from the "
            f"training than {who} {len(known)} training rows were from the others (median {np.median(known):.3g}, "
            f"largest {known[-1]:.3g})"
        )
        reasons += (DomainReason(level=grade, subject="features", name="distance", sentence=sentence),)
    return reasons, distance, share


def judge_lesion(
    scans: TrainedScans | None, keys: Mapping[str, object], lesion_id: str, volume_ml: float | None
) -> tuple[DomainReason, ...]:
    """Compare one lesion and its scan with the training.

    Parameters
    ----------
    scans : TrainedScans, optional
        What training saw; without it nothing is compared.
    keys : mapping of str to object
        Key columns of the feature table for this lesion.
    lesion_id : str
        Name of the lesion.
    volume_ml : float, optional
        Its volume.
    """
    if scans is None:
        return ()
    reasons = list(_volume_reasons(scans.volume_ml, lesion_id, volume_ml))
    reasons += _thickness_reasons(scans.slice_thickness_mm, lesion_id, keys.get("slice_thickness_mm"))
    for column, words in _SCANNED.items():
        value, counts = str(keys.get(column) or ""), scans.levels.get(column, {})
        if column == "contrast_phase":  # a table may have it in any words
            value, counts = _phase(value), {_phase(level): n for level, n in counts.items()}
        reasons += _level_reasons(column, words, counts, lesion_id, value)
    return tuple(reasons)


def verdict(
    reasons: Iterable[DomainReason], distance: float | None = None, farther_than: float | None = None
) -> DomainVerdict:
    """Return the worst of the reasons, with all of them, the worst first."""
    ordered = sorted(reasons, key=lambda r: r.level != "outside")
    level: Literal["inside", "borderline", "outside"] = ordered[0].level if ordered else "inside"
    return DomainVerdict(level=level, reasons=tuple(ordered), distance=distance, farther_than=farther_than)


def _phase(text: str) -> str:
    return find_contrast_phase(text) or text.strip()


def _range_reasons(columns: Sequence[TrainedColumn], frame: pd.DataFrame) -> tuple[DomainReason, ...]:
    beyond: dict[str, float] = {}
    for column in columns:
        low, high = column.quantiles[0], column.quantiles[-1]
        width = (column.quantiles[-2] - column.quantiles[1]) or (high - low) or abs(high) or 1.0
        values = frame[column.name].to_numpy(dtype=np.float64)
        excess = float(np.nanmax(np.maximum(low - values, values - high), initial=0.0)) / width
        if excess > BEYOND_COUNTED:
            beyond[column.name] = excess
    if not beyond:
        return ()
    share, farthest = len(beyond) / len(columns), max(beyond.values())
    several = len(beyond) > 1  # every tenth patient of a hundred is the extreme one in one of ten features
    if (share > RANGE_OUTSIDE and several) or farthest > BEYOND_OUTSIDE:
        level: Grade = "outside"
    elif (share > RANGE_BORDERLINE and several) or farthest > BEYOND_BORDERLINE:
        level = "borderline"
    else:
        return ()
    worst = sorted(beyond, key=lambda name: -beyond[name])[:_NAMED]
    named = ", ".join(f"{name} (by {beyond[name]:.2g} of its 5-95 % range)" for name in worst)
    sentence = f"{len(beyond)} of {len(columns)} selected features lie beyond their range of training: {named}"
    return (DomainReason(level=level, subject="features", name="range", sentence=sentence),)


def _volume_reasons(
    known: tuple[float, float] | None, lesion_id: str, volume_ml: float | None
) -> Iterable[DomainReason]:
    if known is None or volume_ml is None or known[0] <= volume_ml <= known[1]:
        return
    low, high = known
    near = low / VOLUME_FACTOR <= volume_ml <= high * VOLUME_FACTOR
    sentence = f"volume {volume_ml:.3g} ml; lesions of the training had {low:.3g} to {high:.3g} ml"
    yield _reason(near, "lesion", lesion_id, "volume", sentence)


def _thickness_reasons(known: tuple[float, float] | None, lesion_id: str, value: object) -> Iterable[DomainReason]:
    if known is None or not isinstance(value, float) or np.isnan(value) or known[0] <= value <= known[1]:
        return
    low, high = known
    near = low - THICKNESS_MM <= value <= high + THICKNESS_MM
    seen = f"{low:g} mm" if low == high else f"{low:g} to {high:g} mm"
    yield _reason(near, "scan", lesion_id, "slice thickness", f"SliceThickness {value:g} mm; the training had {seen}")


def _level_reasons(
    column: str, words: str, counts: Mapping[str, int], lesion_id: str, value: str
) -> Iterable[DomainReason]:
    """Compare a level: another kernel or vendor is borderline, another contrast phase shows other tissue: outside."""
    seen = {level: n for level, n in counts.items() if level}
    if not seen or value in seen:
        return
    had = ", ".join(f"{level} ({n})" for level, n in sorted(seen.items(), key=lambda item: -item[1])[:6])
    found = f"{words} {value}" if value else f"{words} not known"
    near = column != "contrast_phase" or not value
    if not value and "" in counts:
        return  # neither knew the training of all of its lesions
    yield _reason(near, "scan", lesion_id, words, f"{found}; the training had {had}")


def _reason(near: bool, subject: Literal["lesion", "scan"], lesion_id: str, name: str, sentence: str) -> DomainReason:
    level: Grade = "borderline" if near else "outside"
    return DomainReason(level=level, subject=subject, lesion_id=lesion_id, name=name, sentence=sentence)
