"""The run folder: results that survive any end of the program, and the files that a researcher takes away.

::

    RUN/features.parquet  features.csv  features_dictionary.csv  failures.csv  provenance.json  log.txt
    RUN/features/           in place of the first two: the table of more than 10,000 lesions, in parts
    RUN/excluded.csv        lesions that a review rejected; with --reviewed only
    RUN/shards/<key>.json   one result, under the hash of everything that it depends on
    RUN/run.json            settings and versions that every shard of this folder was made with
    RUN/journal/            what is being worked on now; empty after a clean end

A shard is written to a temporary file, forced to disk and renamed, and carries its own checksum: it is there whole
or it is computed again. Shards are only added. Failures are never kept, so the next run tries again.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from textwrap import indent
from typing import TYPE_CHECKING, Any, TypeVar

from radiomics_talent.errors import ConfigError, ExtractionError
from radiomics_talent.extraction.outcome import Failure
from radiomics_talent.extraction.provenance import different_keys, versions
from radiomics_talent.features.cells import escape_cell, unescape_cell
from radiomics_talent.features.folder_lock import LOCK, hold
from radiomics_talent.features.whole_files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from radiomics_talent.extraction.outcome import Shard, VersionShard
    from radiomics_talent.settings import ExtractionSettings

    AnyShard = Shard | VersionShard

_LOG = logging.getLogger(__name__)


class RunFolderError(ExtractionError):
    """The run folder cannot be written any more: the run ends, what is complete stays."""


OUTPUTS = ("features.parquet", "features.csv", "features_dictionary.csv", "failures.csv", "provenance.json")
"""What a finished run leaves behind; absent while one is under way, so that nobody takes old values for new."""
PARTS = "features"
"""What a finished run of very many lesions leaves behind in place of the first two."""
EXCLUDED = "excluded.csv"
"""What a finished run of reviewed lesions leaves behind, too."""
S = TypeVar("S", bound="AnyShard")
_EXCLUDED_COLUMNS = ("row", "patient_id", "lesion_id", "comment", "reviewer", "time_utc")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run folder, by its paths. Cheap to send to a worker; holding the lock is the affair of `open_run`.

    Attributes
    ----------
    path : Path
        The folder.
    desk : str
        Who writes into the journal, where several machines do: a folder in it.
    """

    path: Path
    desk: str = ""

    @property
    def shards(self) -> Path:
        """Folder of results."""
        return self.path / "shards"

    @property
    def journal(self) -> Path:
        """Folder of what is being worked on."""
        return self.path / "journal" / self.desk

    @property
    def preprocessed(self) -> Path:
        """Folder of resampled crops and masks."""
        return self.path / "preprocessed"

    @property
    def log(self) -> Path:
        """Log file."""
        return self.path / "log.txt"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every result of a run folder is made with.

    Attributes
    ----------
    command : str
        The command that makes them.
    settings : dict
        All that changes a result, as plain data.
    settings_sha256 : str
        Its hash.
    versions : dict of str to str
        Versions that a result depends on.
    outputs : tuple of str
        Files that a finished run leaves behind.
    """

    command: str
    settings: dict[str, Any]
    settings_sha256: str
    versions: dict[str, str]
    outputs: tuple[str, ...]

    @classmethod
    def of_extraction(cls, settings: ExtractionSettings) -> Recipe:
        """Return the recipe of ``extract``."""
        outputs = (*OUTPUTS, PARTS, EXCLUDED)
        return cls("extract", settings.canonical(), settings.hash, versions(settings), outputs)


@contextmanager
def open_run(out: Path, recipe: Recipe) -> Iterator[RunFolder]:
    """Open a run folder, new or to be resumed, for this process alone.

    Raises
    ------
    ConfigError
        The folder cannot be written, is no run folder, is in use, or was made with other settings or versions.
    """
    folder = RunFolder(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(out, recipe)
        lock = (out / LOCK).open("a+")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}; give another folder", where=str(out)) from error
    with lock:
        hold(lock, out, recipe.command)
        try:
            _prepare(folder, recipe)
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}; give another folder", where=str(out)) from error
        yield folder


def write_shard(folder: RunFolder, shard: AnyShard) -> None:
    """Keep a result; when this returns, it is on disk.

    Raises
    ------
    RunFolderError
        The folder cannot be written any more.
    """
    body = json.dumps(asdict(shard), default=_plain)
    path = _shard_path(folder, shard.key)
    with told(folder):
        _clear_place(path)
    with told(folder), replacing(path) as temporary:
        temporary.write_text(f"{_checksum(body)}\n{body}\n", encoding="utf-8")


def read_shard(folder: RunFolder, key: str, kind: type[S]) -> S | None:
    """Return the result kept under `key`; None when there is none, or it is damaged and has to be made again."""
    try:
        checksum, _, body = _shard_path(folder, key).read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        _LOG.warning("shard %s cannot be read (%s) and is computed again", key, type(error).__name__)
        return None
    body = body.removesuffix("\n")
    if checksum != _checksum(body):
        _LOG.warning("shard %s is damaged and is computed again", key)
        return None
    data: dict[str, Any] = json.loads(body)
    data["warnings"] = tuple(data["warnings"])
    return kind(**data) if data["key"] == key else None


def link_shard(source: RunFolder, target: RunFolder, key: str) -> None:
    """Keep a result of another run folder here, too, without a second copy where the disk can do that."""
    here, there = _shard_path(target, key), _shard_path(source, key)
    if here.exists() and here.samefile(there):
        return
    # What is there already may be damaged; what is linked has just been read.
    with replacing(here) as temporary:
        try:
            temporary.hardlink_to(there)
        except OSError:  # another disk, or one without links
            shutil.copyfile(there, temporary)


def kept_shard(folder: RunFolder, key: str, kind: type[S]) -> S:
    """Return a result that this run has computed or found.

    Raises
    ------
    RunFolderError
        It is gone, or was damaged meanwhile.
    """
    shard = read_shard(folder, key, kind)
    if shard is None:
        raise RunFolderError(
            "a result that was kept there cannot be read any more; repeat the command: it is computed again",
            where=str(folder.path),
        )
    return shard


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Write a table of failures, whole or not at all."""
    names = [f.name for f in fields(Failure)]
    write_rows(path, names, ([getattr(f, name) for name in names] for f in failures))


def read_failures(path: Path) -> tuple[Failure, ...]:
    """Read what `write_failures` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [{name: unescape_cell(cell) for name, cell in row.items()} for row in rows]
    return tuple(Failure(**row | {"row": int(row["row"])}) for row in cells)  # type: ignore[arg-type]


def write_record(path: Path, record: Mapping[str, Any], lesions: Iterable[Mapping[str, Any]] | None = None) -> None:
    """Write plain data as JSON, whole or not at all; `lesions`, if given, are its last entry."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines([_as_json(record)] if lesions is None else json_pieces(record, lesions))
        file.write("\n")


def json_pieces(record: Mapping[str, Any], lesions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the text of a JSON object whose last entry are `lesions`, taken one after the other."""
    yield _as_json(record).removesuffix("\n}") + ',\n "lesions": ['
    end = "]\n}"
    for number, lesion in enumerate(lesions):
        yield ("," if number else "") + "\n" + indent(_as_json(lesion), "  ")
        end = "\n ]\n}"
    yield end


def _as_json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False)


def write_rejected(path: Path, rejected: Iterable[Mapping[str, Any]]) -> None:
    """Write the table of lesions that a review rejected, whole or not at all."""
    write_rows(path, _EXCLUDED_COLUMNS, ([one[name] for name in _EXCLUDED_COLUMNS] for one in rejected))


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV whose cells no spreadsheet program takes for formulas, whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([escape_cell(str(cell)) for cell in row] for row in rows)


@contextmanager
def told(folder: RunFolder) -> Iterator[None]:
    """Turn a failure to write into one sentence that says that nothing is lost."""
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"cannot be written any more: {error.strerror or error}; make room (or the folder writable) and repeat "
            "the command: what is complete is kept",
            where=str(folder.path),
        ) from error


def _refuse_foreign(out: Path, recipe: Recipe) -> None:
    """Refuse a folder with files of others: tables in it would be replaced."""
    names = {p.name for p in out.iterdir() if not p.name.startswith(".tmp-")}
    if names - {"log.txt", LOCK, "shards", "journal"} and "run.json" not in names:
        raise ConfigError(
            f"the folder is not empty and was not made by {recipe.command} (it holds {min(names - {'.lock'})}); "
            "give a new folder",
            where=str(out),
        )


def _prepare(folder: RunFolder, recipe: Recipe) -> None:
    made_with: dict[str, Any] = {
        "settings": recipe.settings,
        "settings_sha256": recipe.settings_sha256,
        "versions": recipe.versions,
    }
    if recipe.command != "extract":  # whose records are older than the name
        made_with = {"command": recipe.command} | made_with
    record = folder.path / "run.json"
    if record.exists():
        _refuse_other(_read_record(record), made_with, folder.path)
    else:
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(made_with, indent=1) + "\n", encoding="utf-8")
    for part in (folder.shards, folder.journal):
        part.mkdir(exist_ok=True)
    for leftover in (*folder.path.glob(".tmp-*"), *_begun_shards(folder), *folder.preprocessed.glob("*/.tmp-*")):
        _remove(leftover)
    for name in recipe.outputs:
        _remove(folder.path / name)


def _begun_shards(folder: RunFolder) -> list[Path]:
    """Return shards that were not finished; `glob` would hold the names of all, maybe a million."""
    with os.scandir(folder.shards) as entries:
        return [folder.shards / entry.name for entry in entries if entry.name.startswith(".tmp-")]


def _remove(output: Path) -> None:
    if output.is_dir() and not output.is_symlink():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError("is damaged; give a new folder", where=str(path)) from error
    parts = {"settings": dict, "settings_sha256": str, "versions": dict}
    if not isinstance(record, dict) or not all(isinstance(record.get(k), kind) for k, kind in parts.items()):
        raise ConfigError("is damaged; give a new folder", where=str(path))
    return record


def _refuse_other(old: dict[str, Any], new: dict[str, Any], out: Path) -> None:
    commands = [made_with.get("command", "extract") for made_with in (old, new)]
    if commands[0] != commands[1]:
        raise ConfigError(f"the folder holds a run of {commands[0]}; give another folder", where=str(out))
    # Compared as JSON gives it back: tuples are lists there.
    new = json.loads(json.dumps(new))
    if old["settings_sha256"] != new["settings_sha256"]:
        keys = ", ".join(different_keys(old["settings"], new["settings"]))
        raise ConfigError(
            f"the folder holds a run with other settings: {keys} differ; give another folder, or the old settings"
            if keys
            else "the folder holds a run whose settings another version wrote down otherwise; give another folder",
            where=str(out),
        )
    if old["versions"] != new["versions"]:
        changed = "; ".join(
            f"{name} {old['versions'].get(name, 'absent')}, now {new['versions'].get(name, 'absent')}"
            for name in different_keys(old["versions"], new["versions"])
        )
        raise ConfigError(
            f"the folder holds a run made with other versions ({changed}); one table must not mix them: give "
            "another folder, or install the old versions",
            where=str(out),
        )


def _plain(values: Any) -> Any:
    return values.tolist()  # an array


def _shard_path(folder: RunFolder, key: str) -> Path:
    return folder.shards / f"{key}.json"


def _clear_place(path: Path) -> None:
    """Move away a folder that stands where a file belongs; nothing in it is deleted."""
    if path.is_dir():
        path.rename(path.with_name(f"moved-{time.time_ns()}-{path.name}.folder"))


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
