"""What is known of a trained model: its folder read back, audited, and the extraction's run beside it."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiomics_talent.cohort.spreadsheet import read_sheet
from radiomics_talent.errors import ConfigError, ModelError, TableError
from radiomics_talent.modelling.model import load_model
from radiomics_talent.modelling.record import changed_files
from radiomics_talent.modelling.tables import read_features
from radiomics_talent.modelling.trained_domain import SCAN_LEVELS
from radiomics_talent.presets import find_model_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from radiomics_talent.modelling.model import ResponseModel

    Rows = tuple[dict[str, str], ...]

_EXPECTED = ("metrics.json", "selected_features.csv", "left_out.csv", "table1.csv")
_TOLERANCE = 1e-6
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What an extraction's run says of its scans.

    Attributes
    ----------
    patients, lesions, failed, scans : int
        Of the cohort table: patients, lesions, lesions without features; scans with features.
    levels : dict
        Scans by level of each of `SCAN_LEVELS`; a scan without a value is not counted.
    thickness_mm : tuple of float
        Smallest and largest slice thickness; empty where it is not known.
    findings : dict of str to int
        Lesions by code of what the checks found.
    versions, platform : dict
        Software of the extraction.
    """

    patients: int
    lesions: int
    failed: int
    scans: int
    levels: dict[str, dict[str, int]]
    thickness_mm: tuple[float, ...]
    findings: dict[str, int]
    versions: dict[str, str]
    platform: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class StudyFacts:
    """A model folder, read back.

    Attributes
    ----------
    folder : Path
        Where it is.
    model : ResponseModel
        The model, audited.
    program : str
        Version of this software that trained it.
    libraries : dict
        Versions of the libraries that trained it.
    settings_sha256 : str
        Hash of its settings as they were written, as the card has it.
    metrics : dict, optional
        Content of metrics.json.
    left_out : dict of str to int, optional
        Patients left out by reason: nobody is named.
    selected, table1 : tuple of dict
        Rows of selected_features.csv and table1.csv.
    figures : tuple of Path
        PNG files of figures/.
    run : RunFacts, optional
        The extraction, where it was named.
    findings : tuple of str
        What the training found, without the names of patients.
    missing : tuple of str
        Files that a model folder of today has and this one lacks.
    """

    folder: Path
    model: ResponseModel
    program: str
    libraries: dict[str, str]
    settings_sha256: str
    metrics: dict[str, Any] | None
    left_out: dict[str, int] | None
    selected: Rows
    table1: Rows
    figures: tuple[Path, ...]
    run: RunFacts | None
    findings: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_survival(self) -> bool:
        """Whether times to an event are modelled."""
        return self.model.settings.task == "survival"

    @property
    def headline(self) -> str:
        """Name of the metric that models are compared by."""
        return "c_index" if self.is_survival else "auc"

    @property
    def headline_name(self) -> str:
        """The headline as people write it."""
        return "C-index" if self.is_survival else "AUC"

    @property
    def performance(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Metrics of each block, sealed in model.yaml."""
        return dict(self.model.facts["performance"])


def read_study(folder: str | Path, run: str | Path | None = None, trust: Collection[str] = ()) -> StudyFacts:
    """Read a model's folder and, where it is named, the run that its features come from.

    Parameters
    ----------
    folder : str or Path
        Folder that ``train`` wrote. The model is audited and loaded first.
    run : str or Path, optional
        Run folder of ``extract``.
    trust : collection of str
        Further types that may be loaded.

    Raises
    ------
    ConfigError
        There is no model, or the run is not the one that it was trained on.
    ModelError
        A file of the model is damaged, was changed, or does not belong to it.
    """
    place = find_model_folder(folder)
    model = load_model(place, trust)
    changed = changed_files(place)
    if changed:
        raise ModelError(
            "the file was changed after the training (SHA256SUMS differs), so the page would not be the model's; copy "
            "the folder again from its source",
            where=str(place / changed[0]),
        )
    return StudyFacts(
        folder=place,
        model=model,
        program=str(model.facts["program"]),
        libraries=model.versions,
        settings_sha256=model.settings_sha256,
        metrics=_metrics(place / "metrics.json", model),
        left_out=_left_out(place / "left_out.csv"),
        selected=_rows(place / "selected_features.csv", ("feature", "frequency")),
        table1=_rows(place / "table1.csv", ("variable", "level", "overall")),
        figures=tuple(sorted((place / "figures").glob("*.png"))),
        run=None if run is None else _read_run(Path(run), model, place),
        findings=_unnamed(model.facts.get("findings", ()), place),
        missing=tuple(name for name in _EXPECTED if not (place / name).is_file()),
    )


def _metrics(path: Path, model: ResponseModel) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    record = _json(path, "train again into a new folder, or remove the file to have a page without it")
    blocks = record.get("blocks")
    sealed = model.facts.get("performance", {})
    if not isinstance(blocks, dict) or set(blocks) != set(sealed):
        raise ModelError("does not hold the blocks of this model; copy the model again", where=str(path))
    for block, metrics in sealed.items():
        found = blocks[block].get("metrics", {}) if isinstance(blocks[block], dict) else {}
        for name, estimate in metrics.items():
            if not _same(found.get(name), estimate):
                raise ModelError(
                    f"{name} of {block} is not the figure that model.yaml was sealed with: the file was changed or is "
                    "of another training; copy the model again from its source",
                    where=str(path),
                )
    return record


def _same(found: Any, sealed: Mapping[str, float]) -> bool:
    if not isinstance(found, dict):
        return False
    for key, value in sealed.items():
        a, b = found.get(key), value
        known_a, known_b = isinstance(a, (int, float)), isinstance(b, (int, float)) and not math.isnan(b)
        if known_a != known_b or (known_a and abs(float(a) - float(b)) > _TOLERANCE * max(1.0, abs(float(b)))):  # type: ignore[arg-type]
            return False
    return True


def _left_out(path: Path) -> dict[str, int] | None:
    if not path.is_file():
        return None
    rows = _rows(path, ("patient_id", "reason"))
    return dict(Counter(row["reason"] for row in rows).most_common())


def _rows(path: Path, needed: tuple[str, ...]) -> Rows:
    """Return the rows of a table of the folder; none where it is absent or has a header alone."""
    if not path.is_file():
        return ()
    try:
        sheet = read_sheet(path, needed)
    except TableError as error:
        raise ModelError(f"cannot be read: {error.message}", where=str(path)) from error
    missing = [c for c in needed if c not in sheet.header]
    if missing:
        raise ModelError(f"column {missing[0]} is missing; copy the model again from its source", where=str(path))
    return tuple(dict(zip(sheet.header, cells, strict=True)) for _, cells in sheet.rows)


def _unnamed(findings: Collection[str], place: Path) -> tuple[str, ...]:
    """Return findings without the ids of patients: those of a model of an older version may name some."""
    tables = (place / "cv_predictions.csv", place / "left_out.csv")
    ids = {row["patient_id"] for table in tables for row in _rows(table, ("patient_id",)) if row["patient_id"]}
    # A short id or a bare number may be any word or figure, so it is an id only where the sentence says so.
    plain = {i for i in ids if len(i) > _SHORTEST and not i.isdigit()}
    patterns = [rf"(?<={word} ){re.escape(i)}(?!\w)" for word in ("patient", "the first") for i in ids]
    patterns += [rf"(?<!\w){re.escape(i)}(?!\w)" for i in plain]
    if not patterns:
        return tuple(findings)
    # The longest first, so that P01 does not leave the rest of P010.
    known = re.compile("|".join(sorted(patterns, key=len, reverse=True)))
    return tuple(known.sub("(not named here)", finding) for finding in findings)


def _read_run(folder: Path, model: ResponseModel, place: Path) -> RunFacts:
    path = folder / "provenance.json"
    if not path.is_file():
        raise ConfigError(
            "no run here (provenance.json is missing); name the folder that extract wrote", where=str(folder)
        )
    record = _json(path, "extract again")
    lesions = record.get("lesions")
    if not isinstance(lesions, list) or not all(isinstance(row, dict) for row in lesions):
        raise ModelError("holds no list of lesions; extract again", where=str(path))
    if model.extraction is None:
        raise ConfigError(
            "the model does not know how its features were extracted (their table had no provenance.json), so no run "
            "can be shown to be theirs; leave out --run",
            where=str(folder),
        )
    if record.get("settings") != model.extraction:
        raise ConfigError(
            "the run was extracted with other settings than the model's; name the run that the model was trained on",
            where=str(folder),
        )
    _check_patients(folder, {str(row.get("patient_id")) for row in lesions}, place)
    keys = read_features(folder).frame.drop_duplicates(["patient_id", "series_uid"])
    thickness = keys["slice_thickness_mm"].dropna()
    return RunFacts(
        patients=len({row.get("patient_id") for row in lesions}),
        lesions=len(lesions),
        failed=sum(row.get("status") == "failed" for row in lesions),
        scans=len(keys),
        levels={name: _counted(keys[name]) for name in SCAN_LEVELS},
        thickness_mm=(float(thickness.min()), float(thickness.max())) if len(thickness) else (),
        findings=dict(Counter(f["code"] for row in lesions for f in row.get("findings", ())).most_common()),
        versions={str(k): str(v) for k, v in record.get("versions", {}).items()},
        platform=dict(record.get("platform", {})),
    )


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter(str(v) for v in values if isinstance(v, str) and v).most_common())


def _check_patients(folder: Path, known: set[str], place: Path) -> None:
    scored = _rows(place / "cv_predictions.csv", ("patient_id",))
    strangers = {row["patient_id"] for row in scored} - known
    if strangers:
        raise ConfigError(
            f"the run lacks {len(strangers)} of the model's patients; name the run that the model was trained on",
            where=str(folder),
        )


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"is damaged; {remedy}", where=str(path)) from error
    if not isinstance(record, dict):
        raise ModelError(f"is damaged; {remedy}", where=str(path))
    return record
