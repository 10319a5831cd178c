"""The outcome: what is predicted, read from the clinical table (or the lesions' own) as 0/1 or as time and event."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.errors import ConfigError, TableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.model_settings import ModelSettings

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
    lesions : DataFrame, optional
        Response of each lesion by itself: ``patient_id``, ``lesion_id`` and the column `name`, which is then not
        taken from the clinical table.
    """

    name: str
    event: str | None = None
    positive: tuple[str, ...] = ()
    lesions: pd.DataFrame | None = None


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
    column = named_column(clinical, outcome.name)
    if task == "response":
        return _binary(column, outcome.name, outcome.positive)
    event_name = outcome.event or _event_column(clinical, outcome.name)
    event = _binary(named_column(clinical, event_name), event_name, outcome.positive)
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


def row_outcomes(
    features: FeatureTable, clinical: ClinicalTable, outcome: Outcome, settings: ModelSettings
) -> NDArray[Any]:
    """Return the outcome of every row of the feature table: its patient's, or its own; NaN where there is none."""
    known = pd.Index(features.frame["patient_id"]).isin(clinical.frame.index)
    if outcome.lesions is None:
        of_patient = outcome_values(clinical, outcome, task=settings.task)
        rows = of_patient[np.maximum(clinical.frame.index.get_indexer(pd.Index(features.frame["patient_id"])), 0)]
        times_or_responses(rows)[~known] = np.nan
        return rows
    if settings.level != "lesion" or settings.task != "response":
        raise ConfigError("outcomes of lesions need settings with level: lesion and task: response")
    table = outcome.lesions
    if outcome.name not in table.columns:
        raise ConfigError(f"the lesions' table has no column {outcome.name}; columns are {', '.join(table.columns)}")
    values = _binary(table[outcome.name], outcome.name, outcome.positive)
    own = dict(zip(zip(table["patient_id"], table["lesion_id"], strict=True), values, strict=True))
    keys = zip(features.frame["patient_id"], features.frame["lesion_id"], strict=True)
    result = np.array([own.get(key, np.nan) for key in keys])
    result[~known] = np.nan
    return result


def events_of(y: NDArray[Any]) -> NDArray[np.int64]:
    """Return 0/1 from a response or from a structured (event, time) array."""
    return np.asarray(y["event"] if y.dtype.names else y, dtype=np.int64)


def left_out_patients(features: FeatureTable, clinical: ClinicalTable, y: NDArray[Any]) -> tuple[tuple[str, str], ...]:
    """Return patients without features, clinical row or outcome, each with the reason."""
    with_features = dict.fromkeys(features.frame["patient_id"])
    with_outcome = set(features.frame.loc[~np.isnan(times_or_responses(y)), "patient_id"])
    reasons = {p: "features, but no row in the clinical table" for p in with_features if p not in clinical.frame.index}
    for patient in clinical.frame.index:
        if patient not in with_features:
            reasons[patient] = "clinical data, but no features"
        elif patient not in with_outcome:
            reasons[patient] = "no outcome"
    return tuple(reasons.items())


def outcome_findings(
    clinical: ClinicalTable, outcome: Outcome, kept: pd.DataFrame, features: FeatureTable
) -> tuple[str, ...]:
    """Return what a reader should know of an outcome: levels that nobody has, lesions without it.

    Parameters
    ----------
    clinical, outcome, features
        As `row_outcomes` has them.
    kept : DataFrame
        Rows of the feature table with an outcome.
    """
    table = clinical.frame if outcome.lesions is None else outcome.lesions
    present = {level_text(v) for v in table[outcome.event or outcome.name].dropna()}
    absent = [p for p in outcome.positive if p not in present]
    found = [f"no patient has {outcome.name} {', '.join(absent)}"] if absent else []
    if outcome.lesions is not None:
        lacking = int(features.frame["patient_id"].isin(kept["patient_id"]).sum()) - len(kept)
        found += [f"{lacking} lesions left out, as they have no {outcome.name}"] if lacking else []
    return tuple(found)


def named_column(clinical: ClinicalTable, name: str) -> pd.Series:
    """Return a column of the clinical table, or say which is nearest.

    Raises
    ------
    ConfigError
        There is no such column.
    """
    if name in clinical.frame.columns:
        return clinical.frame[name]
    columns = [str(c) for c in clinical.frame.columns]
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"did you mean {near[0]}?" if near else f"columns are {', '.join(columns)}"
    raise ConfigError(f"the clinical table has no column {name}; {hint}")


def level_text(value: object) -> str:
    """Return a cell as the level that it stands for: 1.0 is 1."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def times_or_responses(y: NDArray[Any]) -> NDArray[np.float64]:
    """Return the part of an outcome that is NaN where it is missing."""
    return np.asarray(y["time"] if y.dtype.names else y)


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
    texts = [level_text(v) for v in column]
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
