"""Rows of the study table for patients whose outcome nobody knows: what a model scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from radiomics_talent.errors import ConfigError, ModelError, TableError
from radiomics_talent.modelling.dataset import BATCH_PREFIX, batch_columns
from radiomics_talent.modelling.lesions import VOLUME_COLUMN, aggregate_lesions, base_feature, lesion_volumes_ml

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.modelling.model import ResponseModel


@dataclass(frozen=True, slots=True, eq=False)
class NewRows:
    """One patient, as a model sees it.

    Attributes
    ----------
    frame : DataFrame
        Rows of the study table: one, or one a lesion where the model's level is lesion.
    volumes_ml : ndarray of float64, shape (n_lesions,)
        Volume of each lesion; NaN where not known.
    """

    frame: pd.DataFrame
    volumes_ml: NDArray[np.float64]


def check_features(model: ResponseModel, features: FeatureTable) -> None:
    """Refuse a feature table without what the model was trained on.

    Raises
    ------
    ModelError
        Features are missing.
    """
    lacking = [f for f in _base_features(model) if f not in features.features]
    if lacking:
        raise ModelError(
            f"the model needs {len(_base_features(model))} features and {len(lacking)} are not there: "
            f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}; extract with the settings that the model "
            "was trained with"
        )


def clinical_needs(model: ResponseModel) -> tuple[str, ...]:
    """Return the columns of a clinical table without which the model's block cannot score."""
    combat = model.settings.preprocess.combat
    reads_radiomics = model.settings.block in {"radiomics", "combined"}
    covariates = tuple(combat.covariates) if combat is not None and reads_radiomics else ()
    columns = model.columns[model.settings.block]
    return tuple(dict.fromkeys((*(c for c in columns if c in model.columns.get("clinical", ())), *covariates)))


def check_clinical(model: ResponseModel, clinical: ClinicalTable | None) -> None:
    """Refuse a clinical table without what the model's block needs, or none where it needs one.

    Raises
    ------
    ConfigError
        Table or column is absent.
    ModelError
        A column holds text where training had numbers, or the other way round.
    """
    needed = clinical_needs(model)
    if not needed:
        return
    if clinical is None:
        raise ConfigError(
            f"the model ({model.settings.block}) needs {', '.join(needed)} of each patient; give a clinical table with "
            "--clinical"
        )
    missing = [c for c in needed if c not in clinical.frame.columns]
    if missing:
        raise ConfigError(
            f"the model needs {', '.join(needed)}, and the clinical table has no {', '.join(missing)}; add the column"
        )
    check_column_types(model, clinical.frame[list(needed)])


def check_column_types(model: ResponseModel, frame: pd.DataFrame) -> None:
    """Refuse columns that hold text where training had numbers, or the other way round.

    Raises
    ------
    ModelError
        Names the column.
    """
    for column in model.domain:
        if column.name not in frame.columns or frame[column.name].isna().all():
            continue
        is_number = frame[column.name].dtype.kind in "fiub"
        if is_number != (column.levels is None):
            trained = "numbers" if column.levels is None else f"levels ({', '.join(column.levels[:4])})"
            found = "numbers" if is_number else "text"
            raise ModelError(f"column {column.name} held {trained} in training and holds {found} here; code it alike")


def patient_rows(
    model: ResponseModel, lesions: pd.DataFrame, features: tuple[str, ...], clinical: ClinicalTable | None
) -> NewRows:
    """Make the rows of one patient out of its lesions, as training made its own.

    The tables have passed `check_features` and `check_clinical`.

    Parameters
    ----------
    model : ResponseModel
        Which columns, how aggregated.
    lesions : DataFrame
        Rows of one patient of a feature table.
    features : tuple of str
        Names of all features of that table.
    clinical : ClinicalTable, optional
        Needed where `clinical_needs` names columns.

    Raises
    ------
    TableError
        The patient is not in the clinical table though the model needs it, or a feature is infinite.
    ConfigError
        The column of ComBat's batch is absent.
    """
    settings = model.settings
    patient = str(lesions["patient_id"].iloc[0])
    lesions = lesions.reset_index(drop=True)
    names = _base_features(model)
    volumes = lesion_volumes_ml(lesions, features)
    values = lesions[names]
    infinite = [n for n in names if np.isinf(values[n].to_numpy()).any()]
    if infinite:
        raise TableError(f"{infinite[0]} is infinite; no score can be computed", where=patient)
    if settings.level == "patient":
        frame, total_ml = aggregate_lesions(lesions, names, settings.aggregation, volumes)
        frame = frame.reset_index(drop=True)
    else:
        frame, total_ml = values, np.full(len(lesions), volumes.sum())
    patients = np.full(len(frame), patient)
    rows = _clinical_rows(model, clinical, patient, len(frame))
    parts: list[pd.DataFrame | None] = [frame, rows[[c for c in clinical_needs(model) if c in rows.columns]]]
    if any(c.name.startswith(BATCH_PREFIX) for c in model.domain):
        parts.append(batch_columns(settings, lesions, rows, patients))
    parts.append(pd.DataFrame({VOLUME_COLUMN: np.log10(np.maximum(total_ml, 1e-3))}))
    joined = pd.concat([p for p in parts if p is not None], axis=1)
    return NewRows(joined.loc[:, ~joined.columns.duplicated()], volumes)


def _base_features(model: ResponseModel) -> list[str]:
    return list(dict.fromkeys(base_feature(c) for c in model.columns["radiomics"]))


def _clinical_rows(model: ResponseModel, clinical: ClinicalTable | None, patient: str, n: int) -> pd.DataFrame:
    if clinical is not None and patient in clinical.frame.index:
        return clinical.frame.loc[[patient] * n].reset_index(drop=True)
    if clinical_needs(model):
        raise TableError("is not in the clinical table, and the model needs it; add a row", where=patient)
    return pd.DataFrame(index=range(n))
