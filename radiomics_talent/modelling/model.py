"""A trained model as a folder: model.skops and refits.skops (audited before they are loaded), model.yaml, golden.csv.

Nothing of a patient is kept but one-way fingerprints of the feature rows, which tell whether a scan that is
evaluated was trained on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from pydantic import TypeAdapter

import radiomics_talent
from radiomics_talent.cohort.spreadsheet import read_sheet, write_sheet
from radiomics_talent.errors import ConfigError, ModelError, TableError
from radiomics_talent.features.whole_files import replacing
from radiomics_talent.model_settings import ModelSettings
from radiomics_talent.modelling.estimators import survival_curves
from radiomics_talent.modelling.record import plain_record
from radiomics_talent.modelling.search import pipeline_scores, preprocessed
from radiomics_talent.modelling.skops_files import load_audited, strange_types, write_pipelines
from radiomics_talent.modelling.trained_domain import Reference, TrainedColumn, TrainedScans, golden_rows
from radiomics_talent.presets import NO_MODEL, find_model_folder, read_yaml, settings_sha256, validated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    Floats = NDArray[np.float64]

FORMAT = 2
"""Version of the folder's layout; older ones stay loadable.

1: without refits.skops, scans, reference and the versions of the extraction, so without interval and distance.
"""
_GOLDEN_TOLERANCE = 1e-8
_LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "scikit-survival", "skops", "combatlearn")
_FILES = ("model.skops", "golden.csv")
_REFITS = "refits.skops"
_CHANGED = (
    "the file is not the one that model.yaml was written for (SHA-256 differs): it was changed or damaged; copy the "
    "model again from its source"
)
_DISTANCE = "distance"
"""Name of the fitted distance among the pipelines of model.skops; no block is called that."""


@dataclass(frozen=True, slots=True, eq=False)
class ResponseModel:
    """A fitted model with all that is needed to score a new patient, and the baselines fitted beside it.

    Attributes
    ----------
    settings : ModelSettings
        How it was trained.
    outcome : dict
        ``name``, ``event``, ``positive``.
    columns : dict of str to tuple of str
        Columns of each block.
    pipelines : dict of str to Pipeline
        Fitted pipeline of each block; the model is that of ``settings.block``.
    thresholds : dict of str to float
        Cut-off of each block, from the training rows' own out-of-fold scores.
    domain : tuple of TrainedColumn
        What training saw of each column.
    extraction : dict, optional
        Settings of the extraction that made the features.
    extraction_versions : dict of str to str
        Versions that the features depend on; empty where not known.
    scans : TrainedScans, optional
        How the lesions of the training were scanned.
    reference : Reference, optional
        What a new row is compared with.
    distance : Pipeline, optional
        For `trained_domain.row_distances`.
    record_sha256 : str
        Checksum of the record that was loaded; '' for a model that was not.
    settings_sha256 : str
        Hash of the settings as they were written, without what this version may have added to them; '' as above.
    refits_sha256 : str
        Checksum of ``refits.skops``; '' where there is none.
    facts : dict
        Counts, performance, versions: plain data for the card.
    fingerprints : frozenset of str
        One-way hashes of the training rows' features.
    """

    settings: ModelSettings
    outcome: dict[str, Any]
    columns: dict[str, tuple[str, ...]]
    pipelines: dict[str, Pipeline]
    thresholds: dict[str, float]
    domain: tuple[TrainedColumn, ...]
    extraction: dict[str, Any] | None
    facts: dict[str, Any]
    fingerprints: frozenset[str]
    extraction_versions: dict[str, str] = field(default_factory=dict)
    scans: TrainedScans | None = None
    reference: Reference | None = None
    distance: Pipeline | None = None
    record_sha256: str = ""
    refits_sha256: str = ""
    settings_sha256: str = ""

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the libraries that this model was fitted with."""
        return dict(self.facts.get("libraries", {}))

    def score(self, frame: pd.DataFrame, block: str | None = None) -> Floats:
        """Return probability of response, or risk, of rows of a study table.

        Raises
        ------
        ModelError
            A column that the model needs is not there.
        """
        block = block or self.settings.block
        self._refuse_lacking(frame, block)
        return pipeline_scores(self.pipelines[block], frame, survival=self.settings.task == "survival")

    def survival(self, frame: pd.DataFrame, times: Floats, block: str | None = None) -> Floats:
        """Return the probability of no event until each time, shape (n_rows, n_times)."""
        block = block or self.settings.block
        self._refuse_lacking(frame, block)
        pipeline = self.pipelines[block]
        return survival_curves(pipeline.named_steps["model"], preprocessed(pipeline, frame), times)

    def _refuse_lacking(self, frame: pd.DataFrame, block: str) -> None:
        needed = [str(c) for c in self.pipelines[block].named_steps["prepare"].feature_names_in_]
        missing = [c for c in needed if c not in frame.columns]
        if missing:
            unknown = [str(c) for c in frame.columns if c not in needed][:3]
            raise ModelError(
                f"the model needs {len(needed)} columns and {len(missing)} are not in the tables: "
                f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
                + (f"; the tables have {', '.join(unknown)} ... instead" if unknown else "")
                + "; extract with the settings that the model was trained with"
            )


def save_model(model: ResponseModel, folder: Path, refits: Sequence[Pipeline] = ()) -> tuple[str, ...]:
    """Write ``model.skops``, ``refits.skops``, ``golden.csv`` and, last, ``model.yaml`` with their checksums.

    Parameters
    ----------
    model : ResponseModel
        The model.
    folder : Path
        Where to; made when it is not there.
    refits : sequence of Pipeline
        The model's block fitted on bootstrap samples, for the interval of a new score.

    Returns
    -------
    tuple of str
        Types that loading must be told to trust: those of an estimator that the user brought.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {block: model.pipelines[block] for block in sorted(model.pipelines)}
    if model.distance is not None:
        content[_DISTANCE] = model.distance
    data = write_pipelines(folder / "model.skops", content)
    (folder / _REFITS).unlink(missing_ok=True)
    if refits:
        write_pipelines(folder / _REFITS, dict(enumerate(refits)))
    golden = golden_rows(model.domain)
    scores = model.score(golden)
    header = [*map(str, golden.columns), "score"]
    rows = [[_cell(v) for v in (*row, s)] for row, s in zip(golden.itertuples(index=False), scores, strict=True)]
    write_sheet(folder / "golden.csv", header, rows)
    record = {
        "format": FORMAT,
        "program": radiomics_talent.__version__,
        "libraries": installed_versions(),
        "sha256": {name: _sha256(folder / name) for name in (*_FILES, *([_REFITS] if refits else []))},
        "outcome": model.outcome,
        "block": model.settings.block,
        "thresholds": model.thresholds,
        "settings": model.settings.model_dump(mode="json"),
        "extraction": model.extraction,
        "extraction_versions": model.extraction_versions,
        "facts": model.facts,
        "columns": {block: list(names) for block, names in model.columns.items()},
        "scans": None if model.scans is None else plain_record(asdict(model.scans)),
        "reference": None if model.reference is None else plain_record(asdict(model.reference)),
        "domain": [
            {**asdict(c), "levels": None if c.levels is None else list(c.levels), "quantiles": list(c.quantiles)}
            for c in model.domain
        ],
        "fingerprints": sorted(model.fingerprints),
    }  # fmt: skip
    record["record_sha256"] = _record_sha256(record)
    with replacing(folder / "model.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return tuple(strange_types(data))


def load_model(folder: str | Path, trust: Collection[str] = ()) -> ResponseModel:
    """Load a model that `save_model` wrote, after it has been audited, and prove that it scores as it did.

    Parameters
    ----------
    folder : str or Path
        The model's folder, or the name of a shipped model.
    trust : collection of str
        Further types that may be loaded, by full name: the caller vouches for their code.

    Raises
    ------
    ConfigError
        There is no model in the folder.
    ModelError
        A file is damaged, was changed, is a pickle, holds a type that is not trusted, or scores the golden rows
        otherwise than when it was saved. Nothing in the file has run by then but code of trusted types.
    """
    place = find_model_folder(folder)
    record = _read_record(place)
    listed = record["sha256"]
    for name in (*_FILES, *([_REFITS] if _REFITS in listed else [])):
        if not (place / name).is_file():
            raise ModelError("the file is missing; copy the whole folder", where=str(place / name))
        if _sha256(place / name) != listed.get(name):
            raise ModelError(_CHANGED, where=str(place / name))
    pipelines = load_audited(place / "model.skops", frozenset(trust))
    distance = pipelines.pop(_DISTANCE, None)
    try:
        model = ResponseModel(
            settings=validated(ModelSettings, record["settings"], where=str(place / "model.yaml")),
            outcome=dict(record["outcome"]),
            columns={block: tuple(names) for block, names in record["columns"].items()},
            pipelines=pipelines,
            thresholds={k: float(v) for k, v in record["thresholds"].items()},
            domain=tuple(TypeAdapter(TrainedColumn).validate_python(c) for c in record["domain"]),
            extraction=record["extraction"],
            facts={**record["facts"], "libraries": record["libraries"], "program": record["program"]},
            fingerprints=frozenset(record["fingerprints"]),
            extraction_versions=dict(record.get("extraction_versions") or {}),
            scans=TypeAdapter(TrainedScans | None).validate_python(record.get("scans")),
            reference=TypeAdapter(Reference | None).validate_python(record.get("reference")),
            distance=distance,
            record_sha256=record["record_sha256"],
            refits_sha256=listed.get(_REFITS, ""),
            settings_sha256=settings_sha256(record["settings"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"not a complete model record: {error}", where=str(place / "model.yaml")) from error
    _check_golden(model, place / "golden.csv")
    return model


def load_refits(model: ResponseModel, folder: str | Path, trust: Collection[str] = ()) -> tuple[Pipeline, ...]:
    """Load the refits of a model that `load_model` has accepted; none where it carries none.

    Raises
    ------
    ModelError
        The file was changed since, or holds a type that is not trusted.
    """
    path = find_model_folder(folder) / _REFITS
    if not model.refits_sha256:
        return ()
    if _sha256(path) != model.refits_sha256:
        raise ModelError(_CHANGED, where=str(path))
    content = load_audited(path, frozenset(trust))
    return tuple(content[k] for k in sorted(content))


def installed_versions() -> dict[str, str]:
    """Return the versions of the libraries that a fit depends on."""
    return {name: installed_version(name) for name in _LIBRARIES}


def fingerprint_rows(frame: pd.DataFrame) -> list[str]:
    """Return a one-way hash of each row of features, the same for the same scan whatever the patient is called."""
    values = np.ascontiguousarray(frame.to_numpy(dtype=np.float64))
    return [hashlib.sha256(row.tobytes()).hexdigest()[:24] for row in values]


def _read_record(place: Path) -> Mapping[str, Any]:
    path = place / "model.yaml"
    if not path.is_file():
        raise ConfigError(NO_MODEL, where=str(place))
    try:
        record = read_yaml(path)
    except ConfigError as error:
        raise ModelError(error.message, where=str(path)) from error
    version = record.get("format")
    if not isinstance(version, int) or not 1 <= version <= FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        raise ModelError(
            f"the model has format {version!r}, this program (radiomics-talent {radiomics_talent.__version__}) reads 1 "
            f"to {FORMAT}; " + ("install a newer radiomics-talent" if newer else "copy the model from its source"),
            where=str(path),
        )
    listed = record.get("sha256")
    if not isinstance(listed, dict) or not all(isinstance(v, str) for v in listed.values()):
        raise ModelError("the record lists no checksums; copy the model from its source", where=str(path))
    try:
        checksum = _record_sha256(record)
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise ModelError("not a model record: a key is no text; copy the model again", where=str(path)) from error
    if record.get("record_sha256") != checksum:
        raise ModelError(
            "the record was changed after the model was saved (its own SHA-256 differs): settings, cut-off or columns "
            "may not be those of the training; copy the model again from its source",
            where=str(path),
        )
    return record


def _record_sha256(record: Mapping[str, Any]) -> str:
    """Return the checksum of a record without the checksum itself, whatever the layout of the YAML."""
    rest = {k: v for k, v in record.items() if k != "record_sha256"}
    # libyaml's, where it is there, is ten times as fast.
    dumper, loader = getattr(yaml, "CSafeDumper", yaml.SafeDumper), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    plain = yaml.load(yaml.dump(rest, Dumper=dumper), Loader=loader)  # noqa: S506  # both are safe loaders
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def _check_golden(model: ResponseModel, path: Path) -> None:
    try:
        sheet = read_sheet(path, [c.name for c in model.domain])
        cells = pd.DataFrame([row for _, row in sheet.rows], columns=list(sheet.header))
        expected = cells.pop("score").astype(np.float64).to_numpy()
        for column in model.domain:
            text = cells[column.name].where(cells[column.name] != "", None)
            cells[column.name] = text.astype(np.float64) if column.levels is None else text.astype(object)
    except (TableError, KeyError, ValueError) as error:
        raise ModelError(f"cannot be read: {error}", where=str(path)) from error
    try:
        scores = model.score(cells)
    except Exception as error:  # whatever scikit-learn meets in fitted attributes that do not belong together
        raise ModelError(f"the model cannot score its golden rows ({error}); copy it again", where=str(path)) from error
    worst = float(np.max(np.abs(scores - expected) / np.maximum(1.0, np.abs(expected))))
    if not worst <= _GOLDEN_TOLERANCE:
        raise ModelError(
            f"the model scores its golden rows otherwise than when it was saved (largest difference {worst:.2g}, "
            f"allowed {_GOLDEN_TOLERANCE:g}): another version of a library computes otherwise; "
            "install those of model.yaml",
            where=str(path),
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, (float, int, np.floating)) else str(value)
