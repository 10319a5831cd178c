"""From the results of the folds to the figures that a study reports: values with intervals, baselines side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.modelling.folds import permuted_outcome, seed_of
from radiomics_talent.modelling.lesions import patient_scores
from radiomics_talent.modelling.metrics import (
    Comparison,
    Estimate,
    delong_interval,
    delong_test,
    estimates,
    placements,
    response_metrics,
)
from radiomics_talent.modelling.outcome import events_of
from radiomics_talent.modelling.selection_frequency import selection_table
from radiomics_talent.modelling.survival_metrics import (
    concordance_pairs,
    evaluation_times,
    survival_metrics,
    time_dependent_auc,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.model_settings import Block, ModelSettings
    from radiomics_talent.modelling.dataset import StudyTable
    from radiomics_talent.modelling.validation import FoldResult, FoldTask

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Out-of-fold scores of one block, a row a unit that is judged (a patient, or a lesion with its own outcome).

    Attributes
    ----------
    y : ndarray
        Outcome of each unit.
    patients : ndarray of str
        Patient of each unit.
    score : ndarray of float64, shape (n_repeats, n)
        Probability of response, or risk.
    predicted : ndarray of bool, shape (n_repeats, n)
        Score at or above the fold's cut-off.
    survival : ndarray of float64, shape (n_repeats, n, n_times)
        Probability of no event; empty for response.
    """

    y: NDArray[Any]
    patients: NDArray[np.str_]
    score: Floats
    predicted: NDArray[np.bool_]
    survival: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BlockReport:
    """One block of features.

    Attributes
    ----------
    scored : Scored
        What the figures are computed from.
    metrics : dict of str to Estimate
        Mean over repeats, with bootstrap interval.
    delong : Estimate, optional
        AUC with DeLong's interval (response, one row a patient).
    time_auc : dict of float to Estimate
        Time-dependent AUC by horizon (survival).
    """

    scored: Scored
    metrics: dict[str, Estimate]
    delong: Estimate | None
    time_auc: dict[float, Estimate]


@dataclass(frozen=True, slots=True, eq=False)
class ValidationReport:
    """Everything that tables and figures of a validation need.

    Attributes
    ----------
    block : str
        Block of the model that is saved.
    blocks : dict of str to BlockReport
        Every block side by side.
    permuted : ndarray of float64
        AUC (C-index) of each run with permuted outcomes.
    p_value : float
        (1 + number of permuted runs at least as good) / (1 + number of permuted runs).
    comparisons : dict of str to Comparison
        The model's block less each other block.
    curve : tuple of (int, float, float)
        Learning curve: training patients, mean and standard deviation of the metric over folds and repeats.
    holdout : Estimate, optional
        The metric on the one single split.
    selected : DataFrame
        Columns of the model: frequency over folds, mean weight, share of folds with that sign.
    findings : tuple of str
        What a reviewer would ask about.
    predictions : DataFrame
        Every out-of-fold score.
    """

    block: Block
    blocks: dict[Block, BlockReport]
    permuted: Floats
    p_value: float
    comparisons: dict[str, Comparison]
    curve: tuple[tuple[int, float, float], ...]
    holdout: Estimate | None
    selected: pd.DataFrame
    findings: tuple[str, ...]
    predictions: pd.DataFrame

    @property
    def headline(self) -> str:
        """Name of the metric that models are compared by."""
        return "c_index" if "c_index" in self.blocks[self.block].metrics else "auc"


def report_validation(
    table: StudyTable, settings: ModelSettings, tasks: Sequence[FoldTask], results: Mapping[str, FoldResult]
) -> ValidationReport:
    """Assemble the report from the results of every task.

    Parameters
    ----------
    table, settings
        What was validated.
    tasks : sequence of FoldTask
        The plan.
    results : mapping of str to FoldResult
        By the task's key.
    """
    blocks: dict[Block, BlockReport] = {}
    for block in table.blocks:
        own = [t for t in tasks if t.kind == "cv" and t.block == block]
        blocks[block] = judge(_gather(table, settings, own, results), settings)
    model = blocks[settings.block]
    headline = "c_index" if settings.task == "survival" else "auc"
    permuted = _permuted(table, settings, tasks, results)
    value = model.metrics[headline].value
    as_good = int((permuted >= value).sum())
    p_value = (1 + as_good) / (1 + len(permuted)) if len(permuted) else float("nan")
    model_tasks = [t for t in tasks if t.kind == "cv" and t.block == settings.block]
    said = dict.fromkeys(w for r in results.values() for w in r.warnings)
    return ValidationReport(
        block=settings.block,
        blocks=blocks,
        permuted=permuted,
        p_value=p_value,
        comparisons={b: _compare(model, r, settings) for b, r in blocks.items() if b != settings.block},
        curve=_learning_curve(table, settings, tasks, results),
        holdout=_holdout(table, settings, tasks, results),
        selected=selection_table([results[t.key] for t in model_tasks]),
        findings=(*said, *_performance_findings(blocks, settings.block, headline, p_value, as_good)),
        predictions=_predictions(table, tasks, results),
    )


def judge(scored: Scored, settings: ModelSettings) -> BlockReport:
    """Return the metrics of out-of-fold (or external) scores, with intervals by bootstrap over patients."""
    n, seed = settings.validation.bootstrap, seed_of(settings.seed, 9)
    if settings.task == "survival":
        times = evaluation_times(scored.y)
        metrics = estimates(
            lambda w: survival_metrics(scored.y, scored.score, scored.survival, times, w), scored.patients, n, seed
        )
        horizons = time_dependent_auc(scored.y, scored.score, settings.horizon_days, scored.patients, seed)
        return BlockReport(scored, metrics, None, horizons)
    events = events_of(scored.y)
    metrics = estimates(lambda w: response_metrics(events, scored.score, scored.predicted, w), scored.patients, n, seed)
    alone = len(np.unique(scored.patients)) == len(scored.patients)
    return BlockReport(scored, metrics, delong_interval(events, scored.score) if alone else None, {})


def to_units(table: StudyTable, settings: ModelSettings, score: Floats, threshold: Floats, survival: Floats) -> Scored:
    """Return scores of rows as scores of the units that are judged.

    At level lesion, where a patient's lesions share its outcome, the patient is judged: its score is the mean,
    the maximum or the largest lesion's, as the settings say. Lesions with outcomes of their own are judged one by one.

    Parameters
    ----------
    table, settings
        The rows.
    score, threshold : ndarray of float64, shape (n_repeats, n_rows)
        Score of each row and the cut-off of its fold.
    survival : ndarray of float64, shape (n_repeats, n_rows, n_times)
        Curves; empty for response.
    """
    names, first, row_of = np.unique(table.patients, return_index=True, return_inverse=True)
    own_outcomes = bool((table.y != table.y[first][row_of]).any())
    if len(names) == len(table) or own_outcomes:
        return Scored(table.y, table.patients, score, score >= threshold, survival)
    units = patient_scores(score, table.patients, table.volumes_ml, settings.lesion_to_patient)
    members = [np.flatnonzero(row_of == k) for k in range(len(names))]
    curves = np.stack([survival[:, m].mean(axis=1) for m in members], axis=1) if survival.size else survival
    return Scored(table.y[first], names, units, units >= threshold[:, first], curves)


def _gather(
    table: StudyTable, settings: ModelSettings, tasks: Sequence[FoldTask], results: Mapping[str, FoldResult]
) -> Scored:
    repeats = 1 + max(t.fold.repeat for t in tasks)
    n_times = len(evaluation_times(table.y)) if settings.task == "survival" else 0
    score, threshold = np.full((repeats, len(table)), np.nan), np.full((repeats, len(table)), np.nan)
    survival = np.full((repeats, len(table), n_times), np.nan)
    for task in tasks:
        result = results[task.key]
        at = (task.fold.repeat, task.fold.test)
        score[at], threshold[at] = result.score, result.threshold
        if n_times:
            survival[at] = np.asarray(result.survival)
    return to_units(table, settings, score, threshold, survival)


def _permuted(
    table: StudyTable, settings: ModelSettings, tasks: Sequence[FoldTask], results: Mapping[str, FoldResult]
) -> Floats:
    values = []
    for number in range(settings.validation.permutations):
        score = np.full((1, len(table)), np.nan)
        for task in tasks:
            if task.kind == "permuted" and task.fold.repeat == number:
                score[0, task.fold.test] = results[task.key].score
        y = table.y[permuted_outcome(table, settings.seed, number)]
        values.append(_discrimination(replace(table, y=y), settings, score))
    return np.array(values)


def _learning_curve(
    table: StudyTable, settings: ModelSettings, tasks: Sequence[FoldTask], results: Mapping[str, FoldResult]
) -> tuple[tuple[int, float, float], ...]:
    points = []
    repeats = {t.fold.repeat for t in tasks if t.kind == "curve"}
    steps = sorted({t.step for t in tasks if t.kind == "curve"})
    groups = [[t for t in tasks if t.kind == "curve" and t.step == s] for s in steps]
    if groups:  # the whole training folds are the curve's last point
        groups.append([t for t in tasks if t.kind == "cv" and t.block == settings.block and t.fold.repeat in repeats])
    for group in groups:
        patients = round(np.mean([len(np.unique(table.patients[t.fold.train])) for t in group]))
        values = []
        for repeat in sorted(repeats):
            score = np.full((1, len(table)), np.nan)
            for task in group:
                if task.fold.repeat == repeat:
                    score[0, task.fold.test] = results[task.key].score
            values.append(_discrimination(table, settings, score))
        points.append((int(patients), float(np.mean(values)), float(np.std(values))))
    return tuple(points)


def _holdout(
    table: StudyTable, settings: ModelSettings, tasks: Sequence[FoldTask], results: Mapping[str, FoldResult]
) -> Estimate | None:
    task = next((t for t in tasks if t.kind == "holdout"), None)
    if task is None:
        return None
    result = results[task.key]
    scored = to_units(
        _rows(table, task.fold.test), settings, np.array([result.score]),
        np.full((1, len(task.fold.test)), result.threshold), np.empty((1, len(task.fold.test), 0)),
    )  # fmt: skip
    y, patients, score = scored.y, scored.patients, scored.score
    n, seed = settings.validation.bootstrap, seed_of(settings.seed, 10)
    if settings.task == "survival":
        agree, comparable = concordance_pairs(y, score)

        def c_index(w: Floats) -> dict[str, Floats]:
            below = ((w @ comparable) * w).sum(axis=1)
            return {
                "c_index": np.divide(((w @ agree) * w).sum(axis=1), below, out=np.full(len(w), np.nan), where=below > 0)
            }

        return estimates(c_index, patients, n, seed)["c_index"]
    return estimates(lambda w: response_metrics(y, score, scored.predicted, w), patients, n, seed)["auc"]


def _rows(table: StudyTable, rows: NDArray[np.intp]) -> StudyTable:
    parts = {n: getattr(table, n)[rows] for n in ("y", "patients", "lesions", "sites", "volumes_ml")}
    return replace(table, frame=table.frame.iloc[rows], **parts)


def _discrimination(table: StudyTable, settings: ModelSettings, score: Floats) -> float:
    """Return AUC or C-index of the units that the headline judges."""
    scored = to_units(table, settings, score, np.zeros_like(score), np.empty((*score.shape, 0)))
    y, score = scored.y, scored.score
    if y.dtype.names:
        agree, comparable = concordance_pairs(y, score)
        return float(agree.sum() / comparable.sum())
    return float(placements(y, score).mean())


def _compare(model: BlockReport, other: BlockReport, settings: ModelSettings) -> Comparison:
    y = model.scored.y
    if settings.task == "response" and model.delong is not None:
        return delong_test(events_of(y), model.scored.score, other.scored.score)
    # Lesions of a patient are not independent, and C-indices have no such closed form: paired bootstrap.
    name = "auc" if settings.task == "response" else "c_index"

    def difference(w: Floats) -> dict[str, Floats]:
        return {"d": _headline(model.scored, settings, w)[name] - _headline(other.scored, settings, w)[name]}

    n, seed = settings.validation.bootstrap, seed_of(settings.seed, 11)
    estimate = estimates(difference, model.scored.patients, n, seed)["d"]
    error = (estimate.high - estimate.low) / (2 * 1.959964)
    p_value = float("nan") if not error > 0 else float(2 * _normal_tail(abs(estimate.value) / error))
    return Comparison(estimate.value, estimate.low, estimate.high, p_value)


def _headline(scored: Scored, settings: ModelSettings, weights: Floats) -> Mapping[str, Floats]:
    if settings.task == "response":
        return response_metrics(events_of(scored.y), scored.score, scored.predicted, weights)
    return survival_metrics(scored.y, scored.score, scored.survival, evaluation_times(scored.y), weights)


def _normal_tail(z: float) -> float:
    return 1 - NormalDist().cdf(z)


def _performance_findings(
    blocks: Mapping[Block, BlockReport], block: Block, headline: str, p_value: float, as_good: int
) -> tuple[str, ...]:
    name = {"auc": "AUC", "c_index": "C-index"}[headline]
    model = blocks[block].metrics[headline]
    found = []
    for other, what in (("volume", "lesion volume alone"), ("clinical", "the clinical columns alone")):
        report = blocks.get(other)  # type: ignore[call-overload]
        if report is not None and other != block and model.value <= report.metrics[headline].value:
            found.append(
                f"{name} {model.value:.3f} of the {block} model is not above that of {what} "
                f"({report.metrics[headline].value:.3f})"
            )
    if model.low <= 0.5 <= model.high:
        found.append(f"the interval of the {name}, {model}, holds 0.5: it may be chance")
    if p_value > 0.05 and as_good:
        found.append(f"{as_good} models of permuted outcomes did as well (permutation test, p = {p_value:.3f})")
    elif p_value > 0.05:
        found.append(f"too few permutations to tell the model from chance: p = {p_value:.3f} is the smallest possible")
    perfect = [b for b, r in blocks.items() if r.metrics[headline].value >= 1]
    if perfect:
        found.append(
            f"{name} of {', '.join(perfect)} is 1 out of fold: bootstrap intervals of a perfect separation have no "
            "width, which says nothing of how sure it is"
        )
    below = [b for b, r in blocks.items() if r.metrics[headline].high < 0.5]
    if below:
        found.append(
            f"{name} of {', '.join(below)} lies below 0.5 with its whole interval: in small cohorts pooled out-of-fold "
            "scores of a model without signal do (docs/models.md); a difference from it is overstated"
        )
    return tuple(found)


def _predictions(table: StudyTable, tasks: Sequence[FoldTask], results: Mapping[str, FoldResult]) -> pd.DataFrame:
    parts = []
    for task in tasks:
        if task.kind != "cv":
            continue
        test, result = task.fold.test, results[task.key]
        score = np.asarray(result.score)
        part = {
            "patient_id": table.patients[test],
            "lesion_id": table.lesions[test],
            "event": table.events[test],
            **({"time": table.y["time"][test]} if table.y.dtype.names else {}),
            "block": task.block,
            "repeat": task.fold.repeat,
            "fold": task.fold.number,
            "score": score,
            "threshold": result.threshold,
            "predicted": (score >= result.threshold).astype(np.int64),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
