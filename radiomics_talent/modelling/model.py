"""A trained model as a folder: model.skops (audited before it is loaded), model.yaml, golden.csv.

Nothing of a patient is kept but one-way fingerprints of the feature rows, which tell whether a scan that is
evaluated was trained on.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import skops.io
import yaml

import radiomics_talent
from radiomics_talent.cohort.spreadsheet import read_sheet, write_sheet
from radiomics_talent.errors import ConfigError, ModelError, TableError
from radiomics_talent.features.table import replacing
from radiomics_talent.model_settings import ModelSettings
from radiomics_talent.modelling.estimators import survival_curves
from radiomics_talent.modelling.search import model_scores
from radiomics_talent.presets import read_yaml, validated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    Floats = NDArray[np.float64]

FORMAT = 1
"""Version of the folder's layout; older ones stay loadable."""
TRUSTED_TYPES = frozenset(
    {
        "numpy.asarray",
        "numpy.dtype",
        "radiomics_talent.modelling.harmonisation.BatchHarmoniser",
        "radiomics_talent.modelling.selection.FeatureFilter",
        "radiomics_talent.modelling.selection.LassoSelector",
        "radiomics_talent.modelling.selection.TopFeatures",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sksurv.ensemble.boosting.GradientBoostingSurvivalAnalysis",
        "sksurv.ensemble.forest.RandomSurvivalForest",
        "sksurv.ensemble.survival_loss.CoxPH",
        "sksurv.functions.StepFunction",
        "sksurv.linear_model.coxnet.CoxnetSurvivalAnalysis",
        "sksurv.linear_model.coxph.BreslowEstimator",
        "sksurv.linear_model.coxph.CoxPHSurvivalAnalysis",
        "sksurv.tree.tree.SurvivalTree",
    }
)
"""Types beyond skops' own list that a model of the catalogue holds; anything else is refused."""
_GOLDEN_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_GOLDEN_TOLERANCE = 1e-8
_LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "scikit-survival", "skops", "combatlearn")
_FILES = ("model.skops", "golden.csv")


@dataclass(frozen=True, slots=True)
class TrainedColumn:
    """What training saw of one column: its domain.

    Attributes
    ----------
    name : str
        Column of the study table.
    levels : tuple of str, optional
        Levels of a category; None for a number.
    quantiles : tuple of float
        Minimum, 5 %, 25 %, 50 %, 75 %, 95 %, maximum of a number.
    missing : float
        Share of missing values.
    """

    name: str
    levels: tuple[str, ...] | None
    quantiles: tuple[float, ...]
    missing: float


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

    def score(self, frame: pd.DataFrame, block: str | None = None) -> Floats:
        """Return probability of response, or risk, of rows of a study table.

        Raises
        ------
        ModelError
            A column that the model needs is not there.
        """
        block = block or self.settings.block
        pipeline = self.pipelines[block]
        z = pipeline.named_steps["prepare"].transform(self._needed(frame, block))
        return model_scores(pipeline.named_steps["model"], z, survival=self.settings.task == "survival")

    def survival(self, frame: pd.DataFrame, times: Floats, block: str | None = None) -> Floats:
        """Return the probability of no event until each time, shape (n_rows, n_times)."""
        block = block or self.settings.block
        pipeline = self.pipelines[block]
        z = pipeline.named_steps["prepare"].transform(self._needed(frame, block))
        return survival_curves(pipeline.named_steps["model"], z, times)

    def _needed(self, frame: pd.DataFrame, block: str) -> pd.DataFrame:
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
        return frame[needed]


def save_model(model: ResponseModel, folder: Path) -> tuple[str, ...]:
    """Write ``model.skops``, ``golden.csv`` and, last, ``model.yaml`` with their checksums.

    Returns
    -------
    tuple of str
        Types that loading must be told to trust: those of an estimator that the user brought.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = skops.io.dumps({block: model.pipelines[block] for block in sorted(model.pipelines)})
    with replacing(folder / "model.skops") as temporary:
        temporary.write_bytes(data)
    golden = golden_rows(model.domain)
    scores = model.score(golden)
    header = [*map(str, golden.columns), "score"]
    rows = [[_cell(v) for v in (*row, s)] for row, s in zip(golden.itertuples(index=False), scores, strict=True)]
    write_sheet(folder / "golden.csv", header, rows)
    record = {
        "format": FORMAT,
        "program": radiomics_talent.__version__,
        "libraries": {name: installed_version(name) for name in _LIBRARIES},
        "sha256": {name: _sha256(folder / name) for name in _FILES},
        "outcome": model.outcome,
        "block": model.settings.block,
        "thresholds": model.thresholds,
        "settings": model.settings.model_dump(mode="json"),
        "extraction": model.extraction,
        "facts": model.facts,
        "columns": {block: list(names) for block, names in model.columns.items()},
        "domain": [
            {**asdict(c), "levels": None if c.levels is None else list(c.levels), "quantiles": list(c.quantiles)}
            for c in model.domain
        ],
        "fingerprints": sorted(model.fingerprints),
    }  # fmt: skip
    record["record_sha256"] = _record_sha256(record)
    with replacing(folder / "model.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return tuple(_strange_types(data, TRUSTED_TYPES))


def load_model(folder: str | Path, trust: Collection[str] = ()) -> ResponseModel:
    """Load a model that `save_model` wrote, after it has been audited, and prove that it scores as it did.

    Parameters
    ----------
    folder : str or Path
        The model's folder.
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
    place = Path(folder)
    record = _read_record(place)
    for name in _FILES:
        if not (place / name).is_file():
            raise ModelError("the file is missing; copy the whole folder", where=str(place / name))
        if _sha256(place / name) != record.get("sha256", {}).get(name):
            raise ModelError(
                "the file is not the one that model.yaml was written for (SHA-256 differs): it was changed or damaged; "
                "copy the model again from its source",
                where=str(place / name),
            )
    pipelines = _load_audited(place / "model.skops", frozenset(trust))
    try:
        model = ResponseModel(
            settings=validated(ModelSettings, record["settings"], where=str(place / "model.yaml")),
            outcome=dict(record["outcome"]),
            columns={block: tuple(names) for block, names in record["columns"].items()},
            pipelines=pipelines,
            thresholds={k: float(v) for k, v in record["thresholds"].items()},
            domain=tuple(
                TrainedColumn(
                    c["name"], None if c["levels"] is None else tuple(c["levels"]), tuple(c["quantiles"]), c["missing"]
                )
                for c in record["domain"]
            ),
            extraction=record["extraction"],
            facts=dict(record["facts"]),
            fingerprints=frozenset(record["fingerprints"]),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"not a complete model record: {error}", where=str(place / "model.yaml")) from error
    _check_golden(model, place / "golden.csv")
    return model


def describe_columns(frame: pd.DataFrame) -> tuple[TrainedColumn, ...]:
    """Return what training saw of each column."""
    columns = []
    for name in frame.columns:
        values = frame[name]
        missing = float(values.isna().mean())
        if values.dtype.kind in "fiub":
            known = values.dropna().to_numpy(dtype=np.float64)
            quantiles = np.quantile(known, (0, *_GOLDEN_LEVELS, 1)) if len(known) else np.full(7, np.nan)
            columns.append(TrainedColumn(str(name), None, tuple(map(float, quantiles)), missing))
        else:
            columns.append(TrainedColumn(str(name), tuple(sorted({str(v) for v in values.dropna()})), (), missing))
    return tuple(columns)


def golden_rows(domain: Sequence[TrainedColumn]) -> pd.DataFrame:
    """Return rows that are nobody's: quantiles of every number, levels in turn."""
    n = len(_GOLDEN_LEVELS)
    columns: dict[str, Any] = {}
    for shift, column in enumerate(domain):
        if column.levels is None:
            # Each column starts at another quantile, so that the rows are no monotone ladder.
            columns[column.name] = np.roll(np.array(column.quantiles[1:-1]), shift % n)
        else:
            levels: list[Any] = list(column.levels) or [None]
            columns[column.name] = pd.Series([levels[(k + shift) % len(levels)] for k in range(n)], dtype=object)
    return pd.DataFrame(columns)


def fingerprint_rows(frame: pd.DataFrame) -> list[str]:
    """Return a one-way hash of each row of features, the same for the same scan whatever the patient is called."""
    values = np.ascontiguousarray(frame.to_numpy(dtype=np.float64))
    return [hashlib.sha256(row.tobytes()).hexdigest()[:24] for row in values]


def _load_audited(path: Path, trust: frozenset[str]) -> dict[str, Pipeline]:
    if not zipfile.is_zipfile(path):
        raise ModelError(
            "is no skops file (a pickle or joblib file is never loaded: it can run any code); train again",
            where=str(path),
        )
    data = path.read_bytes()
    try:
        strange = _strange_types(data, TRUSTED_TYPES | trust)
    except Exception as error:  # skops raises whatever its parser meets in a damaged file
        raise ModelError(f"is damaged and cannot be audited: {error}", where=str(path)) from error
    if strange:
        raise ModelError(
            f"holds types that are not trusted: {', '.join(strange)}; nothing was loaded. If you know their code, name "
            "them with --trust",
            where=str(path),
        )
    try:
        pipelines = skops.io.loads(data, trusted=sorted(TRUSTED_TYPES | trust))
    except Exception as error:
        raise ModelError(f"cannot be loaded: {error}; see the versions in model.yaml", where=str(path)) from error
    if not isinstance(pipelines, dict):
        raise ModelError("holds no model of this program", where=str(path))
    return pipelines


def _strange_types(data: bytes, allowed: Collection[str]) -> list[str]:
    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(allowed))


def _read_record(place: Path) -> Mapping[str, Any]:
    path = place / "model.yaml"
    if not path.is_file():
        raise ConfigError("no model here (model.yaml is missing); name the folder that train wrote", where=str(place))
    try:
        record = read_yaml(path)
    except ConfigError as error:
        raise ModelError(error.message, where=str(path)) from error
    if record.get("format") != FORMAT:
        raise ModelError(
            f"the model has format {record.get('format')!r}, this program reads {FORMAT}; install a newer version",
            where=str(path),
        )
    if record.get("record_sha256") != _record_sha256(record):
        raise ModelError(
            "the record was changed after the model was saved (its own SHA-256 differs): settings, cut-off or columns "
            "may not be those of the training; copy the model again from its source",
            where=str(path),
        )
    return record


def _record_sha256(record: Mapping[str, Any]) -> str:
    """Return the checksum of a record without the checksum itself, whatever the layout of the YAML."""
    rest = {k: v for k, v in record.items() if k != "record_sha256"}
    plain = yaml.safe_load(yaml.safe_dump(rest))
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
    scores = model.score(cells)
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
