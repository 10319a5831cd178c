"""Finished folds on disk, one JSON file each, so that a training that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from radiomics_talent.errors import ConfigError
from radiomics_talent.modelling.validation import FoldResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.dataset import StudyTable

_RUN = "run.json"


def study_hash(table: StudyTable, settings: ModelSettings, icc: Mapping[str, float] | None, version: str) -> str:
    """Return the SHA-256 of everything that decides a fold's result: data, settings, ICC table, program."""
    digest = hashlib.sha256()
    for part in (
        settings.hash,
        version,
        json.dumps(sorted((icc or {}).items())),
        json.dumps(list(table.frame.columns)),
    ):
        digest.update(part.encode())
    digest.update(json.dumps({k: list(v) for k, v in table.blocks.items()}).encode())
    for values in (pd.util.hash_pandas_object(table.frame, index=False).to_numpy(), table.y):
        digest.update(values.tobytes())
    for names in (table.patients, table.lesions, table.sites):
        digest.update(json.dumps(names.tolist()).encode())
    return digest.hexdigest()


class FoldStore:
    """Results of folds below a folder.

    Parameters
    ----------
    folder : Path
        ``folds`` of the output folder; made when it does not exist.
    key : str
        From `study_hash`.

    Raises
    ------
    ConfigError
        The folder holds folds of other data or settings.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run = folder / _RUN
            # A training that failed before its first fold has left nothing to protect.
            is_empty = not any(p.name != _RUN for p in folder.glob("[!.]*.json"))
            if not run.exists() or (is_empty and not (folder.parent / "model.yaml").exists()):
                _write(run, {"study": key})
            elif _read(run).get("study") != key:
                raise ConfigError(
                    "the folder holds folds of other data, settings or another version of the program; choose "
                    "another --out, or remove the folder to start anew",
                    where=str(folder.parent),
                )
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", where=str(folder.parent)) from error

    def load(self) -> dict[str, FoldResult]:
        """Return the finished folds by key; a file that was cut short counts as not finished."""
        found = {}
        for path in sorted(self.folder.glob("[!.]*.json")):
            data = _read(path)
            if path.name != _RUN and data:
                result = FoldResult(
                    key=data["key"],
                    score=tuple(data["score"]),
                    survival=tuple(tuple(c) for c in data["survival"]),
                    threshold=data["threshold"],
                    models=tuple(data["models"]),
                    inner_score=data["inner_score"],
                    weights=data["weights"],
                    warnings=tuple(data["warnings"]),
                )
                found[result.key] = result
        return found

    def keep(self, result: FoldResult) -> None:
        """Write one result, whole or not at all."""
        _write(self.folder / f"{result.key}.json", asdict(result))


def _write(path: Path, data: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # Floats are written so that they come back to the last bit.
    temporary.write_text(json.dumps(data), encoding="utf-8")
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
