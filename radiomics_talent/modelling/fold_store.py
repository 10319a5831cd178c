"""Finished folds on disk, one JSON file each, so that a training that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from radiomics_talent.errors import ConfigError
from radiomics_talent.features.whole_files import replacing
from radiomics_talent.modelling.validation import FoldResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.dataset import StudyTable

_RUN = "run.json"
_LOG = logging.getLogger(__name__)


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
                with replacing(run) as temporary:
                    temporary.write_text(json.dumps({"study": key}), encoding="utf-8")
            elif _study_of(run) != key:
                raise ConfigError(
                    "the folder holds folds of other data, settings or another version of the program; choose "
                    "another --out, or remove the folder to start anew",
                    where=str(folder.parent),
                )
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", where=str(folder.parent)) from error

    def load(self) -> dict[str, FoldResult]:
        """Return the finished folds by key; a file that is damaged, or another's, counts as not finished."""
        kept = {path.stem: _read(path) for path in sorted(self.folder.glob("[!.]*.json")) if path.name != _RUN}
        whole = [data for name, data in kept.items() if data.get("key") == name]
        if lost := len(kept) - len(whole):
            _LOG.warning("%d folds are damaged, or of an older version, and are computed again", lost)
        return {data["key"]: _result(data) for data in whole}

    def keep(self, result: FoldResult) -> None:
        """Write one result, whole or not at all; when this returns, it is on disk.

        Raises
        ------
        ConfigError
            The folder cannot be written any more.
        """
        try:
            _write(self.folder / f"{result.key}.json", asdict(result))
        except OSError as error:
            raise ConfigError(
                f"cannot be written any more: {error.strerror or error}; make room (or the folder writable) and repeat "
                "the command: finished folds are kept",
                where=str(self.folder.parent),
            ) from error


def _result(data: dict[str, Any]) -> FoldResult:
    return FoldResult(
        key=data["key"],
        score=tuple(data["score"]),
        survival=tuple(tuple(c) for c in data["survival"]),
        threshold=data["threshold"],
        models=tuple(data["models"]),
        inner_score=data["inner_score"],
        weights=data["weights"],
        warnings=tuple(data["warnings"]),
    )


def _study_of(run: Path) -> object:
    try:
        record = json.loads(run.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return record.get("study") if isinstance(record, dict) else None


def _write(path: Path, data: dict[str, Any]) -> None:
    """Write plain data under their checksum; floats come back to the last bit."""
    body = json.dumps(data)
    with replacing(path) as temporary:
        temporary.write_text(f"{_checksum(body)}\n{body}\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    """Return what was written; nothing where it is not what its checksum says."""
    try:
        checksum, _, body = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    body = body.removesuffix("\n")
    if checksum != _checksum(body):
        return {}
    data: dict[str, Any] = json.loads(body)
    return data


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
