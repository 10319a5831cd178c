"""The same model on the features of negative controls, which tell texture, intensity, shape and volume apart.

Every model is cross-validated with the same folds and seeds, on the original and on each control, with all features
and with those of one kind. Controls are READII's (`radiomics_talent.robustness.controls`); that volume has to be asked
first is the lesson of Welch et al., Radiother Oncol 2019;130:2.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import radiomics_talent
from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.modelling.dataset import StudyTable, build_study_table, chosen_features
from radiomics_talent.modelling.estimators import check_preprocessing
from radiomics_talent.modelling.fold_store import FoldStore, study_hash
from radiomics_talent.modelling.folds import seed_of
from radiomics_talent.modelling.metrics import estimates, placements, weighted_auc
from radiomics_talent.modelling.outcome import events_of
from radiomics_talent.modelling.survival_metrics import concordance_pairs
from radiomics_talent.modelling.validation import plan_validation, run_validation
from radiomics_talent.modelling.validation_report import report_validation
from radiomics_talent.robustness.control_effects import control_effects, depends_on
from radiomics_talent.robustness.control_verdict import (
    FEATURE_SETS,
    ControlReport,
    ControlRow,
    control_findings,
    judged,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.model_settings import Block, ModelSettings
    from radiomics_talent.modelling.metrics import Estimate
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.modelling.validation import FoldResult, FoldTask, Spread
    from radiomics_talent.modelling.validation_report import BlockReport, Scored
    from radiomics_talent.robustness.control_verdict import FeatureSet
    from radiomics_talent.robustness_settings import Control

    Floats = NDArray[np.float64]

_KEYS = ["patient_id", "lesion_id"]
_OF_THE_CONTOUR = frozenset({"shape", "volume"})
"""Sets that are the same in every control, and are run once."""


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One cross-validation to do: the set of features that each block of the table stands for."""

    control: str
    sets: Mapping[Block, FeatureSet]
    table: StudyTable
    settings: ModelSettings
    tasks: tuple[FoldTask, ...]

    @property
    def name(self) -> str:
        return f"{self.control}-{self.sets['radiomics']}"


def model_controls(  # noqa: PLR0913
    original: FeatureTable,
    controls: Mapping[Control, FeatureTable],
    clinical: ClinicalTable,
    outcome: Outcome,
    settings: ModelSettings,
    out: str | Path,
    *,
    icc: Mapping[str, float] | None = None,
    jobs: int = 1,
    spread: Spread | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ControlReport:
    """Cross-validate the same model on the original and on every control, with each set of features.

    The folds, the seed and the search are those of `settings`; permuted outcomes, the learning curve, the single split
    and clinical columns are left out. Sets that a control does not change are not run again. A run that was stopped
    goes on with the folds that it lacks, and the numbers do not depend on `jobs`.

    Parameters
    ----------
    original : FeatureTable
        Features of the lesions as they are.
    controls : mapping of str to FeatureTable
        Features of their controls, from the same settings.
    clinical : ClinicalTable
        One row a patient.
    outcome : Outcome
        What is predicted.
    settings : ModelSettings
        How; its `features` say which columns take part.
    out : str or Path
        Folder for finished folds.
    icc : mapping of str to float, optional
        ICC by feature, for the stability and correlation filters.
    jobs : int
        Processes.
    spread : callable, optional
        As `radiomics_talent.modelling.validation.run_validation` has it.
    progress : callable, optional
        Takes the number of folds done and of all.

    Raises
    ------
    ConfigError
        The settings do not fit the tables, there is no control or no volume to compare with, or `out` holds folds
        of another run.
    TableError
        A control has other features than the original, or no lesion of it.
    ModelError
        Nothing could be fitted.
    """
    check_preprocessing(settings.preprocess, icc)
    if not controls:
        raise ConfigError("there is no control to compare the original with; name at least one")
    kept, others, left_out = _same_lesions(original, controls)
    effects = control_effects(kept, others)
    runs = list(_runs(kept, others, clinical, outcome, settings, _changed(effects)))
    blocks = _cross_validated(
        runs, Path(out), icc, partial(run_validation, icc=icc, jobs=jobs, spread=spread), progress
    )
    rows = _rows(runs, blocks, settings)
    units = blocks["original", "all"].scored
    patients = np.unique(units.patients)
    verdict, sentence = judged(rows, len(patients))
    return ControlReport(
        metric=_headline(settings),
        rows=rows,
        patients=len(patients),
        lesions=int(kept.frame["patient_id"].isin(patients).sum()),
        events=int(events_of(units.y).sum()),
        left_out=left_out,
        verdict=verdict,
        sentence=sentence,
        findings=control_findings(rows, effects, left_out),
        effects=effects,
    )


def _same_lesions(
    original: FeatureTable, controls: Mapping[Control, FeatureTable]
) -> tuple[FeatureTable, dict[Control, FeatureTable], int]:
    """Return the lesions that every table has, in the original's order, and how many were left out."""
    keys = pd.MultiIndex.from_frame(original.frame[_KEYS])
    of_controls = {c: pd.MultiIndex.from_frame(t.frame[_KEYS]) for c, t in controls.items()}
    everywhere = np.ones(len(keys), dtype=bool)
    for control, table in controls.items():
        if set(table.features) != set(original.features):
            raise TableError(
                f"control {control} has other features than the original; extract both with the same settings"
            )
        everywhere &= keys.isin(of_controls[control])
    if not everywhere.any():
        raise TableError("no lesion is in the original and in every control; the ids must be spelt alike")
    kept = keys[everywhere]
    columns = list(original.frame.columns)
    others = {
        c: FeatureTable(t.frame.iloc[of_controls[c].get_indexer(kept)].reset_index(drop=True)[columns])
        for c, t in controls.items()
    }
    return FeatureTable(original.frame.loc[everywhere].reset_index(drop=True)), others, int((~everywhere).sum())


def _changed(effects: pd.DataFrame) -> dict[str, set[str]]:
    """Return the features that each control changes in any lesion."""
    hit = effects.loc[effects["changed"] > 0]
    return {str(c): set(f) for c, f in hit.groupby("control")["feature"]}


def _runs(
    original: FeatureTable,
    controls: Mapping[Control, FeatureTable],
    clinical: ClinicalTable,
    outcome: Outcome,
    settings: ModelSettings,
    changed: Mapping[str, set[str]],
) -> Iterator[_Run]:
    names = chosen_features(original.features, settings.features)
    kinds = {n: depends_on(n) for n in names}
    for control, table in (("original", original), *controls.items()):
        for features in FEATURE_SETS:
            own = [n for n in names if features in {"all", kinds[n]}]
            moved = features not in _OF_THE_CONTOUR and not changed.get(control, set()).isdisjoint(own)
            if own and (moved or control == "original"):
                yield _run(control, features, table, _plain(settings, own), clinical, outcome)


def _plain(settings: ModelSettings, names: Sequence[str]) -> ModelSettings:
    """Return the settings for some features, without what no control needs."""
    without = {"permutations": 0, "learning_curve": (), "holdout": None}
    validation = settings.validation.model_copy(update=without)
    patterns = tuple(glob.escape(n) for n in names)
    changes = {"block": "radiomics", "clinical": (), "features": patterns, "validation": validation}
    return settings.model_copy(update=changes)


def _run(
    control: str,
    features: FeatureSet,
    features_of: FeatureTable,
    settings: ModelSettings,
    clinical: ClinicalTable,
    outcome: Outcome,
) -> _Run:
    table = build_study_table(features_of, clinical, outcome, settings)
    if "volume" not in table.blocks:
        raise ConfigError(
            "controls are compared with lesion volume, and the feature table has none (original_shape_MeshVolume or "
            "VoxelVolume); extract the class shape too"
        )
    sets: dict[Block, FeatureSet] = {"radiomics": features}
    if (control, features) == ("original", "all"):  # the volume is the same in all: one run has it as well
        sets["volume"] = "volume"
    table = replace(table, blocks={b: table.blocks[b] for b in sets})
    return _Run(control, sets, table, settings, tuple(plan_validation(table, settings)))


def _cross_validated(
    runs: list[_Run],
    out: Path,
    icc: Mapping[str, float] | None,
    validate: Callable[..., dict[str, FoldResult]],
    progress: Callable[[int, int], None] | None,
) -> dict[tuple[str, FeatureSet], BlockReport]:
    total, n_done = sum(len(run.tasks) for run in runs), 0
    judgements: dict[tuple[str, FeatureSet], BlockReport] = {}
    for run in runs:
        study = study_hash(run.table, run.settings, icc, radiomics_talent.__version__)
        # Another outcome, or one lesion more, is another study: its folds lie beside these.
        store = FoldStore(out / "folds" / f"{run.name}-{study[:12]}", study)
        done = store.load()
        results = {t.key: done[t.key] for t in run.tasks if t.key in done}
        n_done += len(results)

        def keep(result: FoldResult, store: FoldStore = store) -> None:
            nonlocal n_done
            store.keep(result)
            n_done += 1
            if progress is not None:
                progress(n_done, total)

        todo = [t for t in run.tasks if t.key not in results]
        results |= validate(run.table, run.settings, todo, keep=keep)
        report = report_validation(run.table, run.settings, run.tasks, results)
        judgements |= {(run.control, features): report.blocks[block] for block, features in run.sets.items()}
    return judgements


def _rows(
    runs: Sequence[_Run], blocks: Mapping[tuple[str, FeatureSet], BlockReport], settings: ModelSettings
) -> tuple[ControlRow, ...]:
    """Return the rows of every image that differs from the original in any feature."""
    columns = {(r.control, f): len(r.table.blocks[b]) for r in runs for b, f in r.sets.items()}
    rows = []
    for control in dict.fromkeys(r.control for r in runs):
        everything = blocks[control, "all"].scored
        for features in FEATURE_SETS:
            once = control != "original" and features in _OF_THE_CONTOUR
            if once or ("original", features) not in blocks:
                continue
            changed = (control, features) in blocks
            block = blocks[control if changed else "original", features]
            first = blocks["original", features].scored
            row = ControlRow(
                control=control,
                features=features,
                n_features=columns["original", features],
                unchanged=not changed,
                metric=block.metrics[_headline(settings)],
                lost=None if control == "original" else _difference(first, block.scored, settings),
                below_all=None if features == "all" else _difference(everything, block.scored, settings),
            )
            rows.append(row)
    return tuple(rows)


def _headline(settings: ModelSettings) -> str:
    return "c_index" if settings.task == "survival" else "auc"


def _difference(first: Scored, second: Scored, settings: ModelSettings) -> Estimate:
    """Return the first AUC (C-index) less the second, by paired bootstrap over patients.

    Not by DeLong's test: it has no interval where one of the two is 1, which is what controls are to be held against.
    """
    one, other = (_discrimination(scored) for scored in (first, second))
    n, seed = settings.validation.bootstrap, seed_of(settings.seed, 12)
    return estimates(lambda w: {"difference": one(w) - other(w)}, first.patients, n, seed)["difference"]


def _discrimination(scored: Scored) -> Callable[[Floats], Floats]:
    """Return AUC or C-index as a function of case weights."""
    if not scored.y.dtype.names:
        events = events_of(scored.y)
        pairs = placements(events, scored.score)
        return lambda w: weighted_auc(pairs, events, w)
    agree, comparable = concordance_pairs(scored.y, scored.score)

    def c_index(w: Floats) -> Floats:
        below = ((w @ comparable) * w).sum(axis=1)
        above = ((w @ agree) * w).sum(axis=1)
        return np.asarray(np.divide(above, below, out=np.full(len(w), np.nan), where=below > 0))

    return c_index
