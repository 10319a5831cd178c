"""The study table: features and clinical columns of every patient (or lesion) with its outcome, ready for a model."""

from __future__ import annotations

import difflib
import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.modelling.lesions import VOLUME_COLUMN, aggregate_lesions, lesion_volumes_ml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.model_settings import Block, ModelSettings

BATCH_COLUMNS = ("site", "manufacturer", "kernel", "contrast_phase", "slice_thickness_mm")
"""Key columns of a feature table that say how a lesion was scanned."""
BATCH_PREFIX = "batch:"
"""Before the name of a column that ComBat reads and no model sees."""
_ENDPOINT = re.compile(
    r"(^|_)(pfs|os|ttp|dfs|efs|death|died|dead|outcome|event|censored?|progress(ed|ion)?|relapse|recurrence|responder)(_|$)"
    r"|response|benefit|survival|recist|follow_?up"
)
_YES = frozenset({"1", "1.0", "yes", "y", "true", "responder", "response", "event"})
_NO = frozenset({"0", "0.0", "no", "n", "false", "non-responder", "nonresponder", "no response", "censored"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is predicted.

    Parameters
    ----------
    name : str
        Column of the clinical table: the response, or the time to the event in days.
    event : str, optional
        Survival: column that says whether the time ended with the event (1) or was censored (0).
    positive : tuple of str
        Response: levels that count as response (``CR``, ``PR``); empty where the column is yes/no or 0/1.
    """

    name: str
    event: str | None = None
    positive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class StudyTable:
    """X, y and groups of a study.

    Attributes
    ----------
    frame : DataFrame
        One row a patient (or lesion): radiomic, clinical, volume and batch columns.
    y : ndarray
        0/1 (int64), or a structured array (event, time) for survival.
    patients, lesions : ndarray of str
        Patient of each row; lesion, or ``''`` where a row is a patient.
    sites : ndarray of str
        Site of each row; ``''`` where it is not known.
    blocks : dict of str to tuple of str
        Columns of each block that the tables allow; 'volume' and 'clinical' may be absent.
    findings : tuple of str
        What a reviewer would ask about.
    left_out : tuple of (str, str)
        Patients that are not in the table, with the reason.
    volumes_ml : ndarray of float64
        Lesion volume of each row (a patient's lesions added up); NaN where not known.
    """

    frame: pd.DataFrame
    y: NDArray[Any]
    patients: NDArray[np.str_]
    lesions: NDArray[np.str_]
    sites: NDArray[np.str_]
    blocks: Mapping[Block, tuple[str, ...]]
    findings: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    volumes_ml: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def events(self) -> NDArray[np.int64]:
        """Whether each row responded, or had the event."""
        return events_of(self.y)


def events_of(y: NDArray[Any]) -> NDArray[np.int64]:
    """Return 0/1 from a response or from a structured (event, time) array."""
    return np.asarray(y["event"] if y.dtype.names else y, dtype=np.int64)


def build_study_table(
    features: FeatureTable, clinical: ClinicalTable, outcome: Outcome, settings: ModelSettings
) -> StudyTable:
    """Join features and clinical table on ``patient_id``.

    Parameters
    ----------
    features : FeatureTable
        One row a lesion.
    clinical : ClinicalTable
        One row a patient.
    outcome : Outcome
        Its columns are taken from the clinical table.
    settings : ModelSettings
        Level, aggregation, feature patterns and clinical columns.

    Raises
    ------
    ConfigError
        A column that the settings or the outcome name does not exist.
    TableError
        No patient is in both tables, or a value cannot be used (infinite, negative time, outcome of other levels).
    """
    y_all = outcome_values(clinical, outcome, task=settings.task)
    left_out = _left_out(features, clinical, y_all)
    out_ids = {patient for patient, _ in left_out}
    keep = ~features.frame["patient_id"].isin(out_ids).to_numpy()
    if not keep.any():
        raise TableError(
            f"no patient has features, clinical data and {outcome.name}; first ids are "
            f"{_examples(features.frame['patient_id'])} in the feature table and {_examples(clinical.frame.index)} "
            "in the clinical table: the ids must be spelt alike"
        )
    lesions = features.frame.loc[keep].reset_index(drop=True)
    names = chosen_features(features.features, settings.features)
    _refuse_infinite(lesions, names)
    volumes = lesion_volumes_ml(lesions, features.features)
    if settings.level == "patient":
        frame, total_ml = aggregate_lesions(lesions, names, settings.aggregation, volumes)
        patients, lesion_ids = frame.index.to_numpy(dtype=str), np.full(len(frame), "")
        frame = frame.reset_index(drop=True)
    else:
        frame, total_ml = lesions[list(names)], volumes
        patients, lesion_ids = (lesions[c].to_numpy(dtype=str) for c in ("patient_id", "lesion_id"))
    radiomics = tuple(str(c) for c in frame.columns)
    rows = clinical.frame.loc[list(patients)]
    covariates = clinical_columns(clinical, outcome, settings)
    clashes = sorted(set(covariates) & set(radiomics))
    if clashes:
        raise ConfigError(f"{clashes[0]} is a column of both tables; rename it in the clinical table")
    parts: list[pd.DataFrame | None] = [frame, rows[list(covariates)].reset_index(drop=True)]
    parts.append(_batch_column(settings, lesions, rows, patients))
    has_volume = not np.isnan(total_ml).all()
    if has_volume:
        parts.append(pd.DataFrame({VOLUME_COLUMN: np.log10(np.maximum(total_ml, 1e-3))}))
    joined = pd.concat([p for p in parts if p is not None], axis=1)
    blocks: dict[Block, tuple[str, ...]] = {"radiomics": radiomics}
    if covariates:
        blocks |= {"clinical": covariates, "combined": radiomics + covariates}
    if has_volume:
        blocks["volume"] = (VOLUME_COLUMN,)
    if settings.block not in blocks:
        raise ConfigError(f"the settings take block {settings.block}, but the tables have no column for it")
    return StudyTable(
        frame=joined,
        y=y_all[clinical.frame.index.get_indexer(pd.Index(patients))],
        patients=patients,
        lesions=lesion_ids,
        sites=_sites(lesions, rows, patients),
        blocks=blocks,
        findings=_levels_without_patients(clinical, outcome),
        left_out=left_out,
        volumes_ml=total_ml,
    )


def outcome_values(clinical: ClinicalTable, outcome: Outcome, *, task: str) -> NDArray[Any]:
    """Return the outcome of every patient of a clinical table, in its order.

    Returns
    -------
    ndarray
        Response: float64 with 1, 0 and NaN (missing). Survival: structured (event: bool, time: float64), NaN times
        where time or event is missing.

    Raises
    ------
    ConfigError
        A column does not exist, or ``positive`` is needed or names no level.
    TableError
        A negative time, or an event that is neither 0 nor 1.
    """
    column = _column(clinical, outcome.name)
    if task == "response":
        return _binary(column, outcome.name, outcome.positive)
    event_name = outcome.event or _event_column(clinical, outcome.name)
    event = _binary(_column(clinical, event_name), event_name, outcome.positive)
    if not pd.api.types.is_numeric_dtype(column):
        raise TableError(f"column {outcome.name} must hold times in days; it holds text")
    time = column.to_numpy(dtype=np.float64)
    if np.nanmin(time, initial=0.0) < 0:
        patient = clinical.frame.index[int(np.nanargmin(time))]
        raise TableError(f"{outcome.name} of patient {patient} is {np.nanmin(time):g}; a time cannot be negative")
    time = np.where(np.isnan(event), np.nan, time)
    values = np.zeros(len(time), dtype=[("event", "?"), ("time", "<f8")])
    values["event"], values["time"] = event == 1, time
    return values


def chosen_features(names: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the features that any of the shell patterns fits, in the table's order.

    Raises
    ------
    ConfigError
        No feature fits.
    """
    chosen = tuple(n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns))
    if not chosen:
        raise ConfigError(f"no feature of the table fits features: {', '.join(patterns)}; its first is {names[0]}")
    return chosen


def clinical_columns(clinical: ClinicalTable, outcome: Outcome, settings: ModelSettings) -> tuple[str, ...]:
    """Return the clinical columns of the model: those that the settings name, or every covariate with values.

    Raises
    ------
    ConfigError
        A named column does not exist, or is an end point.
    """
    outcomes = {outcome.name, outcome.event}
    if settings.clinical is None:
        return tuple(
            name
            for name, column in clinical.columns.items()
            if column.role == "covariate"
            and column.type in {"number", "integer", "flag", "category"}
            and name not in outcomes
            and not looks_like_endpoint(name)
            and clinical.frame[name].nunique() > 1
        )
    for name in settings.clinical:
        _column(clinical, name)
        if name in outcomes or clinical.columns[name].role == "endpoint":
            raise ConfigError(f"clinical column {name} is an end point: a model must not see it; remove it")
    return settings.clinical


def looks_like_endpoint(name: str) -> bool:
    """Return whether a column's name is that of an end point: without a dictionary nothing else tells."""
    return bool(_ENDPOINT.search(name.casefold()))


def _column(clinical: ClinicalTable, name: str) -> pd.Series:
    if name in clinical.frame.columns:
        return clinical.frame[name]
    columns = [str(c) for c in clinical.frame.columns]
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"did you mean {near[0]}?" if near else f"columns are {', '.join(columns)}"
    raise ConfigError(f"the clinical table has no column {name}; {hint}")


def _event_column(clinical: ClinicalTable, time: str) -> str:
    """Return the event column that the dictionary names, or that is named as pfs_days -> pfs_event."""
    known = clinical.columns.get(time)
    named = getattr(known, "event", None)
    guess = f"{time.rsplit('_', 1)[0]}_event"
    if named or guess in clinical.frame.columns:
        return named or guess
    raise ConfigError(f"{time} is a time: name the column of its event with --event")


def _binary(column: pd.Series, name: str, positive: tuple[str, ...]) -> NDArray[np.float64]:
    missing = column.isna().to_numpy()
    texts = [_level(v) for v in column]
    levels = sorted({t for t, m in zip(texts, missing, strict=True) if not m})
    if positive:
        if not set(positive) & set(levels):
            raise ConfigError(f"{name} has no level {' or '.join(positive)}; its levels are {', '.join(levels)}")
        values = np.array([t in positive for t in texts], dtype=np.float64)
    else:
        strange = [t for t in levels if t.casefold() not in _YES | _NO]
        if strange:
            raise ConfigError(
                f"{name} is not yes/no (it has {', '.join(levels[:6])}{' ...' if len(levels) > 6 else ''}); say with "
                "--positive which levels count as response, for example --positive CR,PR"
            )
        values = np.array([t.casefold() in _YES for t in texts], dtype=np.float64)
    values[missing] = np.nan
    return values


def _level(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _levels_without_patients(clinical: ClinicalTable, outcome: Outcome) -> tuple[str, ...]:
    present = {_level(v) for v in clinical.frame[outcome.name].dropna()}
    absent = [p for p in outcome.positive if p not in present]
    return (f"no patient has {outcome.name} {', '.join(absent)}",) if absent else ()


def _left_out(features: FeatureTable, clinical: ClinicalTable, y: NDArray[Any]) -> tuple[tuple[str, str], ...]:
    with_features = dict.fromkeys(features.frame["patient_id"])
    values = y["time"] if y.dtype.names else y
    reasons = {p: "features, but no row in the clinical table" for p in with_features if p not in clinical.frame.index}
    for patient, value in zip(clinical.frame.index, values, strict=True):
        if patient not in with_features:
            reasons[patient] = "clinical data, but no features"
        elif np.isnan(value):
            reasons[patient] = "no outcome"
    return tuple(reasons.items())


def _refuse_infinite(lesions: pd.DataFrame, names: Sequence[str]) -> None:
    values = lesions[list(names)].to_numpy()
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        row, column = bad[0]
        key = "/".join(x for x in lesions.loc[row, ["patient_id", "lesion_id"]] if x)
        raise TableError(f"{names[column]} of {key} is infinite; remove the value or the row", where="feature table")


def _batch_column(
    settings: ModelSettings, lesions: pd.DataFrame, rows: pd.DataFrame, patients: NDArray[np.str_]
) -> pd.DataFrame | None:
    """Return the columns that ComBat reads: the batch, and the covariates whose effect it keeps."""
    combat = settings.preprocess.combat
    if combat is None:
        return None
    if combat.batch in rows.columns and rows[combat.batch].notna().any():
        batch = rows[combat.batch].to_numpy()
    elif combat.batch in lesions.columns:
        batch = _of_rows(lesions, combat.batch, patients, by_patient=settings.level == "patient")
    else:
        raise ConfigError(f"preprocess.combat.batch: neither table has a column {combat.batch}")
    texts = ["" if pd.isna(b) else _level(b) for b in batch]
    columns: dict[str, Any] = {f"{BATCH_PREFIX}{combat.batch}": texts}
    for name in combat.covariates:
        if name not in rows.columns:
            raise ConfigError(f"preprocess.combat.covariates: the clinical table has no column {name}")
        columns[f"{BATCH_PREFIX}{name}"] = rows[name].to_numpy()
    return pd.DataFrame(columns)


def _of_rows(lesions: pd.DataFrame, column: str, patients: NDArray[np.str_], *, by_patient: bool) -> NDArray[Any]:
    """Return a key column of every row; a patient takes that of most of its lesions (the first among equals)."""
    if not by_patient:
        return lesions[column].to_numpy()
    commonest = lesions.groupby("patient_id", sort=False)[column].agg(lambda v: v.value_counts(sort=True).index[0])
    return commonest.loc[list(patients)].to_numpy()


def _sites(lesions: pd.DataFrame, rows: pd.DataFrame, patients: NDArray[np.str_]) -> NDArray[np.str_]:
    if "site" in rows.columns and rows["site"].notna().any():
        return np.array(["" if pd.isna(s) else _level(s) for s in rows["site"]])
    by_patient = len(patients) != len(lesions)
    return np.asarray(_of_rows(lesions, "site", patients, by_patient=by_patient), dtype=str)


def _examples(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(v) for v in list(values)[:3])) or "none"
