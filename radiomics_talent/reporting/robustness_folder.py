"""What `robustness perturb`, `compare` and `controls` leave in their folders, read back for a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from radiomics_talent.errors import ConfigError
from radiomics_talent.features.cells import unescape_cell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Kind = Literal["perturb", "compare", "controls"]
_RECORDS: dict[Kind, str] = {"perturb": "provenance.json", "compare": "comparison.json", "controls": "provenance.json"}
_FAILURE_COLUMNS = ("row", "patient_id", "lesion_id", "stage", "sentence")


def kind_of(run: Path) -> Kind:
    """Tell which command made a folder.

    Parameters
    ----------
    run : Path
        Folder of ``robustness perturb``, ``compare`` or ``controls``.

    Raises
    ------
    ConfigError
        It is of none of them.
    """
    for name in ("run.json", "comparison.json"):
        if (run / name).is_file():
            command = str(read_record(run / name).get("command", "extract"))
            first, _, kind = command.partition(" ")
            if first == "robustness" and kind in _RECORDS:
                return kind
            raise ConfigError(
                f"is a folder of {command}, expected one of robustness perturb, compare or controls", where=str(run)
            )
    raise ConfigError(
        "is no folder of robustness: neither run.json nor comparison.json is there; name the folder that robustness "
        "perturb, compare or controls wrote",
        where=str(run),
    )


def finished_record(run: Path, kind: Kind, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Return the record of a folder whose command came to its end.

    Parameters
    ----------
    run : Path
        The folder.
    kind : {'perturb', 'compare', 'controls'}
        Which command made it.
    needed : sequence of str
        Files that a finished one holds.

    Raises
    ------
    ConfigError
        It is not finished, or its record is damaged.
    """
    name = _RECORDS[kind]
    absent = [n for n in (name, *needed) if not (run / n).is_file()]
    if absent:
        hint = f"wait until robustness {kind} has finished, or repeat its command"
        raise ConfigError(f"{absent[0]} is not there; {hint}", where=str(run))
    record = read_record(run / name)
    if not record.get("complete", True):
        raise ConfigError(f"the run is not complete; repeat the command robustness {kind}", where=str(run))
    return record


def read_record(path: Path) -> dict[str, Any]:
    """Return a JSON record.

    Raises
    ------
    ConfigError
        It is damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path) from error
    if not isinstance(record, dict):
        raise damaged(path)
    return record


def read_table(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Return a CSV table of a folder.

    Parameters
    ----------
    path : Path
        The file.
    texts, numbers : sequence of str
        Columns that it must have; an empty number is NaN. Other columns are texts.

    Raises
    ------
    ConfigError
        It is damaged, or lacks a column.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise damaged(path) from error
    absent = [name for name in (*texts, *numbers) if name not in frame.columns]
    if absent:
        raise ConfigError(f"lacks the column {absent[0]!r}; repeat the command that made it", where=str(path))
    try:
        for name in frame.columns:
            cells = frame[name]
            is_number = name in numbers
            frame[name] = cells.where(cells != "").astype(np.float64) if is_number else cells.map(unescape_cell)
    except ValueError as error:
        raise damaged(path) from error
    return frame


def read_failures(run: Path) -> tuple[dict[str, str], ...]:
    """Return the rows of failures.csv: lesions without features, and versions that could not be made."""
    frame = read_table(run / "failures.csv", _FAILURE_COLUMNS, ())
    return tuple(
        {name: str(row[name]) for name in _FAILURE_COLUMNS} for row in frame[list(_FAILURE_COLUMNS)].to_dict("records")
    )


def damaged(path: Path) -> ConfigError:
    """Return the error of a file that cannot be used."""
    return ConfigError("is damaged, or of another version; repeat the command that made it", where=str(path))
