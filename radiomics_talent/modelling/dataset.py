"""The study table: features and clinical columns of every patient (or lesion) with its outcome, ready for a model."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.modelling.lesions import VOLUME_COLUMN, aggregate_lesions, lesion_volumes_ml
from radiomics_talent.modelling.outcome import (
    events_of,
    left_out_patients,
    level_text,
    named_column,
    outcome_findings,
    row_outcomes,
    times_or_responses,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.model_settings import Block, ModelSettings
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.study_settings import ColumnSettings

BATCH_COLUMNS = ("site", "manufacturer", "kernel", "contrast_phase", "slice_thickness_mm")
"""Key columns of a feature table that say how a lesion was scanned."""
BATCH_PREFIX = "batch:"
"""Before the name of a column that ComBat reads and no model sees."""
_ENDPOINT = re.compile(
    r"(^|_)(pfs|os|ttp|dfs|efs|death|died|dead|outcome|event|censored?|progress(ed|ion)?|relapse|recurrence|responder)(_|$)"
    r"|response|benefit|survival|recist|follow_?up|nadir|best_change|n_visits"
)


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
    y_all = row_outcomes(features, clinical, outcome, settings)
    left_out = left_out_patients(features, clinical, y_all)
    keep = ~np.isnan(times_or_responses(y_all))
    if not keep.any():
        raise TableError(
            f"no patient has features, clinical data and {outcome.name}; first ids are "
            f"{_examples(features.frame['patient_id'])} in the feature table and {_examples(clinical.frame.index)} "
            "in the clinical table: the ids must be spelt alike"
        )
    lesions = features.frame.loc[keep].reset_index(drop=True)
    y = y_all[keep]
    names = chosen_features(features.features, settings.features)
    _refuse_infinite(lesions, names)
    volumes = lesion_volumes_ml(lesions, features.features)
    if settings.level == "patient":
        frame, total_ml = aggregate_lesions(lesions, names, settings.aggregation, volumes)
        patients, lesion_ids = frame.index.to_numpy(dtype=str), np.full(len(frame), "")
        frame = frame.reset_index(drop=True)
        y = y[~lesions["patient_id"].duplicated().to_numpy()]
    else:
        # The baseline is the patient's burden, unless each lesion is judged by itself.
        burden = pd.Series(volumes).groupby(lesions["patient_id"]).transform("sum", min_count=1).to_numpy()
        frame, total_ml = lesions[list(names)], volumes if outcome.lesions is not None else burden
        patients, lesion_ids = (lesions[c].to_numpy(dtype=str) for c in ("patient_id", "lesion_id"))
    radiomics = tuple(str(c) for c in frame.columns)
    rows = clinical.frame.loc[list(patients)]
    covariates = clinical_columns(clinical, outcome, settings)
    clashes = sorted(set(covariates) & set(radiomics))
    if clashes:
        raise ConfigError(f"{clashes[0]} is a column of both tables; rename it in the clinical table")
    parts: list[pd.DataFrame | None] = [frame, rows[list(covariates)].reset_index(drop=True)]
    parts.append(_batch_column(settings, lesions, rows, patients, clinical, outcome))
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
        y=y if y.dtype.names else y.astype(np.int64),
        patients=patients,
        lesions=lesion_ids,
        sites=_sites(lesions, rows, patients),
        blocks=blocks,
        findings=outcome_findings(clinical, outcome, lesions, features),
        left_out=left_out,
        volumes_ml=volumes if settings.level == "lesion" else total_ml,
    )


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

    Without a name in the settings, a category that no dictionary declares and that is mostly different texts is left
    out: it says nothing, and as levels of a model its texts (surnames, dates of birth) would travel with the file.

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
            and not (_is_open_ended(column) and mostly_different(clinical.frame[name]))
        )
    for name in settings.clinical:
        named_column(clinical, name)
        if name in outcomes or clinical.columns[name].role == "endpoint":
            raise ConfigError(f"clinical column {name} is an end point: a model must not see it; remove it")
    return settings.clinical


def _is_open_ended(column: ColumnSettings) -> bool:
    return column.type == "category" and column.levels is None


def mostly_different(values: pd.Series) -> bool:
    """Return whether texts are free text rather than levels: they say nothing of a group, and could name somebody."""
    return bool(values.nunique() > max(2, values.notna().sum() / 2))


def looks_like_endpoint(name: str) -> bool:
    """Return whether a column's name is that of an end point: without a dictionary nothing else tells."""
    return bool(_ENDPOINT.search(name.casefold()))


def _refuse_infinite(lesions: pd.DataFrame, names: Sequence[str]) -> None:
    values = lesions[list(names)].to_numpy()
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        row, column = bad[0]
        key = "/".join(x for x in lesions.loc[row, ["patient_id", "lesion_id"]] if x)
        raise TableError(f"{names[column]} of {key} is infinite; remove the value or the row", where="feature table")


def _batch_column(
    settings: ModelSettings,
    lesions: pd.DataFrame,
    rows: pd.DataFrame,
    patients: NDArray[np.str_],
    clinical: ClinicalTable,
    outcome: Outcome,
) -> pd.DataFrame | None:
    """Return the columns that ComBat reads, none of which may be an end point."""
    for name in settings.preprocess.combat.covariates if settings.preprocess.combat is not None else ():
        if name in clinical.columns and (
            name in {outcome.name, outcome.event}
            or clinical.columns[name].role == "endpoint"
            or looks_like_endpoint(name)
        ):
            raise ConfigError(
                f"preprocess.combat.covariates: {name} is an end point; ComBat must not see it; remove it"
            )
    return batch_columns(settings, lesions, rows, patients)


def batch_columns(
    settings: ModelSettings, lesions: pd.DataFrame, rows: pd.DataFrame, patients: NDArray[np.str_]
) -> pd.DataFrame | None:
    """Return the columns that ComBat reads: the batch, and the covariates whose effect it keeps.

    Parameters
    ----------
    settings : ModelSettings
        Its section ``preprocess.combat``; without it there are none.
    lesions : DataFrame
        Key columns of the feature table.
    rows : DataFrame
        Clinical row of each row of the study.
    patients : ndarray of str
        Patient of each row of the study.

    Raises
    ------
    ConfigError
        A column does not exist.
    """
    combat = settings.preprocess.combat
    if combat is None:
        return None
    if combat.batch in rows.columns and rows[combat.batch].notna().any():
        batch = rows[combat.batch].to_numpy()
    elif combat.batch in lesions.columns:
        batch = _of_rows(lesions, combat.batch, patients, by_patient=settings.level == "patient")
    else:
        raise ConfigError(f"preprocess.combat.batch: neither table has a column {combat.batch}")
    texts = ["" if pd.isna(b) else level_text(b) for b in batch]
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
    commonest = lesions.groupby("patient_id", sort=False)[column].agg(_commonest)
    return commonest.loc[list(patients)].to_numpy()


def _commonest(values: pd.Series) -> Any:
    known = values.dropna()
    return known.value_counts(sort=True).index[0] if len(known) else ""


def _sites(lesions: pd.DataFrame, rows: pd.DataFrame, patients: NDArray[np.str_]) -> NDArray[np.str_]:
    if "site" in rows.columns and rows["site"].notna().any():
        return np.array(["" if pd.isna(s) else level_text(s) for s in rows["site"]])
    by_patient = len(patients) != len(lesions)
    return np.asarray(_of_rows(lesions, "site", patients, by_patient=by_patient), dtype=str)


def _examples(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(v) for v in list(values)[:3])) or "none"
