"""Figures of a study as plain data and as files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.features.table import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.modelling.dataset import StudyTable
    from radiomics_talent.modelling.validation_report import BlockReport


def counts(table: StudyTable) -> dict[str, Any]:
    """Return patients, rows, patients with the event, and patients left out."""
    per_patient = pd.Series(table.events).groupby(table.patients).max()
    return {
        "patients": len(per_patient),
        "rows": len(table),
        "events": int(per_patient.sum()),
        "left_out": len(table.left_out),
    }


def block_record(report: BlockReport) -> dict[str, Any]:
    """Return the figures of a block as plain data."""
    return {
        "metrics": {name: asdict(e) for name, e in report.metrics.items()},
        **({"auc_delong": asdict(report.delong)} if report.delong is not None else {}),
        **({"time_auc": {f"{h:g}": asdict(e) for h, e in report.time_auc.items()}} if report.time_auc else {}),
    }


def plain_record(value: Any) -> Any:
    """Return a record as JSON has it: what is not defined is null."""
    if isinstance(value, dict):
        return {k: plain_record(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_record(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_left_out(path: Path, table: StudyTable) -> None:
    """Write the patients that are not in a study table, with the reason."""
    write_sheet(path, ("patient_id", "reason"), table.left_out)


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as CSV; numbers keep their last digit."""
    rows = [
        ["" if pd.isna(v) else repr(float(v)) if isinstance(v, float) else str(v) for v in row]
        for row in frame.itertuples(index=False)
    ]
    write_sheet(path, [str(c) for c in frame.columns], rows)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain_record(record), indent=1, ensure_ascii=False), encoding="utf-8")
