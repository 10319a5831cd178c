"""Figures of a study as plain data and as files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.features.whole_files import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.modelling.dataset import StudyTable
    from radiomics_talent.modelling.validation_report import BlockReport


CHECKSUMS = "SHA256SUMS"
"""Checksums of the tables and figures' data that a training wrote."""


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


def write_checksums(folder: Path, names: Sequence[str]) -> None:
    """Write SHA256SUMS of files of a folder, as ``sha256sum --check`` reads it."""
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    with replacing(folder / CHECKSUMS) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def changed_files(folder: Path) -> list[str]:
    """Return the files that are not those of SHA256SUMS; an absent file, or a folder without it, is no change."""
    path = folder / CHECKSUMS
    if not path.is_file():
        return []
    changed = []
    for line in path.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        file = folder / Path(name).name
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            changed.append(file.name)
    return changed


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain_record(record), indent=1, ensure_ascii=False), encoding="utf-8")
