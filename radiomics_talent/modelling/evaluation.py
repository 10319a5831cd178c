"""`evaluate`: a trained model on a cohort that it has not seen; nothing is refitted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from radiomics_talent.errors import ConfigError, ModelError
from radiomics_talent.modelling.dataset import build_study_table
from radiomics_talent.modelling.lesions import base_feature
from radiomics_talent.modelling.model import fingerprint_rows
from radiomics_talent.modelling.new_patients import check_column_types
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.record import block_record, counts, write_frame, write_json, write_left_out
from radiomics_talent.modelling.survival_metrics import evaluation_times
from radiomics_talent.modelling.validation_report import judge, to_units

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.model_settings import Block
    from radiomics_talent.modelling.dataset import StudyTable
    from radiomics_talent.modelling.model import ResponseModel
    from radiomics_talent.modelling.tables import ExtractionRecord
    from radiomics_talent.modelling.validation_report import BlockReport


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationResult:
    """A model on a cohort that it has not seen.

    Attributes
    ----------
    model : ResponseModel
        As loaded; nothing is refitted.
    blocks : dict of str to BlockReport
        The model, and the baselines fitted beside it as far as the tables have their columns.
    table : StudyTable
        The rows.
    predictions : DataFrame
        Score and predicted class of every row.
    findings : tuple of str
        What a reviewer would ask about.
    """

    model: ResponseModel
    blocks: dict[Block, BlockReport]
    table: StudyTable
    predictions: pd.DataFrame
    findings: tuple[str, ...]


def evaluate(
    model: ResponseModel,
    features: FeatureTable,
    clinical: ClinicalTable,
    outcome: Outcome | None = None,
    *,
    extraction: ExtractionRecord | None = None,
) -> EvaluationResult:
    """Score a cohort with a model as it is, and judge the scores: external validation.

    Parameters
    ----------
    model : ResponseModel
        From `load_model`.
    features, clinical
        Tables of the cohort.
    outcome : Outcome, optional
        Where the outcome has other names than in training.
    extraction : ExtractionRecord, optional
        How the features were extracted, to compare with the training.

    Raises
    ------
    ModelError
        The tables lack columns that the model needs.
    """
    given = outcome or Outcome(model.outcome["name"], model.outcome["event"], tuple(model.outcome["positive"]))
    used = {c for names in model.columns.values() for c in names}
    columns = tuple(c for c in model.columns.get("clinical", ()) if c in clinical.frame.columns)
    settings = model.settings.model_copy(update={"clinical": columns, "block": "radiomics"})
    needed = set(model.columns["radiomics"])
    lacking = [base_feature(c) for c in sorted(needed) if base_feature(c) not in features.features]
    if lacking:
        raise ModelError(
            f"the model needs {len(needed)} radiomic columns and {len(lacking)} are not in the feature table: "
            f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}; extract with the "
            "settings that the model was trained with"
        )
    table = build_study_table(features, clinical, given, settings)
    _check_external(table)
    check_column_types(model, table.frame)
    frame = table.frame.reindex(columns=list(dict.fromkeys([*table.frame.columns, *used])))
    times = evaluation_times(table.y) if settings.task == "survival" else np.empty(0)
    blocks: dict[Block, BlockReport] = {}
    parts, findings = [], list(clinical.findings)
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="Found unknown categories")  # said of the domain below
        for block in model.pipelines:
            missing = [c for c in model.columns[block] if c not in table.frame.columns or table.frame[c].isna().all()]
            if missing and block == model.settings.block:
                raise ModelError(
                    f"the model needs {', '.join(missing[:5])}, which the clinical table does not have or has no value "
                    "of; add the column"
                )
            if missing:
                findings.append(f"no {block} baseline: the tables have no {', '.join(missing[:5])}")
                continue
            score = model.score(frame, block)[None]
            threshold = np.full_like(score, model.thresholds[block])
            curves = model.survival(frame, times, block)[None] if len(times) else np.empty((1, len(table), 0))
            blocks[block] = judge(to_units(table, model.settings, score, threshold, curves), model.settings)  # type: ignore[index]
            parts.append(_external_predictions(table, str(block), score[0], model.thresholds[block]))
    findings += dict.fromkeys(str(w.message) for w in caught)
    findings += _left_out_findings(table) + _domain_findings(model, table) + _extraction_findings(model, extraction)
    return EvaluationResult(model, blocks, table, pd.concat(parts, ignore_index=True), tuple(dict.fromkeys(findings)))


def write_evaluation(result: EvaluationResult, folder: Path) -> None:
    """Write ``predictions.csv``, ``metrics.json`` and ``left_out.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_frame(folder / "predictions.csv", result.predictions)
    write_left_out(folder / "left_out.csv", result.table)
    write_json(folder / "metrics.json", evaluation_record(result))


def evaluation_record(result: EvaluationResult) -> dict[str, Any]:
    """Return every figure of an external validation as plain data."""
    return {
        **counts(result.table),
        "block": result.model.settings.block,
        "blocks": {b: block_record(x) for b, x in result.blocks.items()},
        "findings": list(result.findings),
    }


def _check_external(table: StudyTable) -> None:
    if len(np.unique(table.events)) < 2 and not table.y.dtype.names:
        raise ConfigError(
            f"all {len(table)} rows have the same outcome: nothing can be judged; see the outcome column and --positive"
        )
    if not table.events.any():
        raise ConfigError(f"none of {len(table)} rows has the event: nothing can be judged; see the event column")


def _domain_findings(model: ResponseModel, table: StudyTable) -> list[str]:
    """Say which rows were trained on, and which values training never saw."""
    found = []
    prints = fingerprint_rows(table.frame[list(model.columns["radiomics"])])
    known = sorted({str(p) for p, f in zip(table.patients, prints, strict=True) if f in model.fingerprints})
    if known:
        found.append(
            f"{len(known)} patients have the very features of training patients ({', '.join(known[:5])}): they were "
            "trained on, and the figures below flatter the model"
        )
    for column in model.domain:
        if column.name not in table.frame.columns:
            continue
        values = table.frame[column.name]
        if column.levels is not None:
            new = sorted({str(v) for v in values.dropna()} - set(column.levels))
            if new:
                found.append(f"{column.name}: training never saw {', '.join(new[:5])}")
    numbers = [c for c in model.domain if c.levels is None and c.name in model.columns["radiomics"]]
    outside = [
        c.name for c in numbers if (~table.frame[c.name].dropna().between(c.quantiles[0], c.quantiles[-1])).mean() > 0.2
    ]
    if outside:
        found.append(
            f"{len(outside)} of {len(numbers)} features lie outside the range of training in more than a fifth of the "
            f"rows: {', '.join(outside[:5])}{' ...' if len(outside) > 5 else ''}"
        )
    return found


def _extraction_findings(model: ResponseModel, extraction: ExtractionRecord | None) -> list[str]:
    if model.extraction is None or extraction is None:
        return ["whether the features were extracted as for the training is not known (no provenance.json)"]
    given = extraction.settings
    other = sorted(k for k in {*model.extraction, *given} if model.extraction.get(k) != given.get(k))
    return (
        [f"the features were extracted with other settings than for the training: {', '.join(other)}"] if other else []
    )


def _left_out_findings(table: StudyTable) -> list[str]:
    reasons: dict[str, int] = {}
    for _, reason in table.left_out:
        reasons[reason] = reasons.get(reason, 0) + 1
    return [f"{n} patients left out ({reason}); all are in left_out.csv" for reason, n in reasons.items()]


def _external_predictions(table: StudyTable, block: str, score: Any, threshold: float) -> pd.DataFrame:
    time = {"time": table.y["time"]} if table.y.dtype.names else {}
    return pd.DataFrame(
        {
            "patient_id": table.patients, "lesion_id": table.lesions, "event": table.events, **time, "block": block,
            "score": score, "threshold": threshold, "predicted": (score >= threshold).astype(np.int64),
        }
    )  # fmt: skip
