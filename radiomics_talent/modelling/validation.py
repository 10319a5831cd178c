"""The outer cross-validation: independent tasks, each a fit with its own search on training rows and scores of others.

What is run: every block in every fold of every repeat; the model's block with permuted outcomes, with fewer
training patients, and on one single split.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from radiomics_talent.modelling.dataset import BATCH_PREFIX
from radiomics_talent.modelling.estimators import survival_curves
from radiomics_talent.modelling.folds import (
    Fold,
    holdout_fold,
    outer_folds,
    permuted_outcome,
    seed_of,
    stratified_by_patient,
    subset,
)
from radiomics_talent.modelling.metrics import placements
from radiomics_talent.modelling.search import (
    FittedModel,
    TrainingRows,
    fit_with_search,
    model_scores,
    preprocessed,
    preprocessed_names,
)
from radiomics_talent.modelling.survival_metrics import concordance_pairs, evaluation_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.model_settings import Block, ModelSettings
    from radiomics_talent.modelling.dataset import StudyTable

    Floats = NDArray[np.float64]
    Spread = Callable[[Callable[..., "FoldResult"], Sequence[tuple[Any, ...]]], Iterator["FoldResult"]]

Kind = Literal["cv", "permuted", "curve", "holdout"]
CURVE_REPEATS = 2
"""Repeats that the learning curve takes."""
_MOST_PERMUTED_COLUMNS = 50
_KINDS = {"cv": 0, "permuted": 1, "curve": 2, "holdout": 3}


@dataclass(frozen=True, slots=True, eq=False)
class FoldTask:
    """One fit: which block, on which rows, with which outcome.

    Attributes
    ----------
    kind : {'cv', 'permuted', 'curve', 'holdout'}
        What it is for.
    block : str
        Block of features.
    fold : Fold
        Rows; `fold.repeat` is the permutation's number for kind 'permuted'.
    step : int
        Number of the training share of kind 'curve'; else 0.
    """

    kind: Kind
    block: Block
    fold: Fold
    step: int = 0

    @property
    def key(self) -> str:
        """Name of the task, unique within a run."""
        return f"{self.kind}-{self.block}-r{self.fold.repeat:03}-f{self.fold.number:03}-s{self.step}"


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """What a task gives; plain data, so that it can be kept as JSON.

    Attributes
    ----------
    key : str
        The task.
    score : tuple of float
        Probability of response, or risk, of the test rows, in their order.
    survival : tuple of tuple of float
        Probability of no event at each evaluation time; empty for response.
    threshold : float
        Cut-off from the training rows.
    models : tuple of str
        What was chosen, with hyperparameters.
    inner_score : float
        Metric of the inner folds.
    weights : mapping of str to float
        Columns that reach the model, with coefficient or permutation importance; NaN where neither was computed.
    warnings : tuple of str
        What the fit said.
    """

    key: str
    score: tuple[float, ...]
    survival: tuple[tuple[float, ...], ...]
    threshold: float
    models: tuple[str, ...]
    inner_score: float
    weights: Mapping[str, float]
    warnings: tuple[str, ...]


def plan_validation(table: StudyTable, settings: ModelSettings) -> list[FoldTask]:
    """Return every task of a validation, dearest kinds first.

    Raises
    ------
    ConfigError
        The outcome cannot be put into the folds.
    """
    folds = outer_folds(table, settings)
    v = settings.validation
    tasks = [FoldTask("cv", block, fold) for block in table.blocks for fold in folds]
    first = [f for f in folds if f.repeat == 0]
    tasks += [
        FoldTask("permuted", settings.block, fold)
        for number in range(v.permutations)
        for fold in _permuted_folds(table, settings, number, first)
    ]
    few = [f for f in folds if f.repeat < CURVE_REPEATS]
    tasks += [
        FoldTask("curve", settings.block, subset(fold, table, share, settings.seed), step)
        for step, share in enumerate(v.learning_curve)
        for fold in few
        if share * len(np.unique(table.patients[fold.train])) >= 4
    ]
    if v.holdout is not None:
        tasks.append(FoldTask("holdout", settings.block, holdout_fold(table, v.holdout, settings.seed)))
    return tasks


def run_validation(
    table: StudyTable,
    settings: ModelSettings,
    tasks: Sequence[FoldTask],
    *,
    icc: Mapping[str, float] | None = None,
    jobs: int = 1,
    spread: Spread | None = None,
    keep: Callable[[FoldResult], None] | None = None,
) -> dict[str, FoldResult]:
    """Run tasks, in any order and any number of processes, to the same results.

    Parameters
    ----------
    table : StudyTable
        All rows.
    settings : ModelSettings
        What to run.
    tasks : sequence of FoldTask
        From `plan_validation`, or those of them that are still to do.
    icc : mapping of str to float, optional
        ICC by feature.
    jobs : int
        Processes; 1 stays in this one.
    spread : callable, optional
        Who calls `run_fold` with each of several tuples of arguments, in place of `jobs` processes: a cluster.
    keep : callable, optional
        Is given each result as it comes.
    """
    times = evaluation_times(table.y) if table.y.dtype.names else np.empty(0)
    done = {}
    for result in _results(table, settings, tasks, icc, times, jobs, spread):
        done[result.key] = result
        if keep is not None:
            keep(result)
    return done


def run_fold(
    table: StudyTable, settings: ModelSettings, task: FoldTask, icc: Mapping[str, float] | None, times: Floats
) -> FoldResult:
    """Fit on the training rows of a task and score its test rows.

    Parameters
    ----------
    table, settings, icc
        As `run_validation` has them.
    task : FoldTask
        Which rows, block and outcome.
    times : ndarray of float64
        Days at which survival is foretold; empty for response.
    """
    fold = task.fold
    y = table.y
    if task.kind == "permuted":
        y = y[permuted_outcome(table, settings.seed, fold.repeat)]
    seed = seed_of(settings.seed, 7, _KINDS[task.kind], fold.repeat, fold.number, task.step)
    survival = settings.task == "survival"
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # A level that training rows lack counts as the first level: in small folds that is no news.
        warnings.filterwarnings("ignore", message="Found unknown categories")
        fitted = fit_with_search(training_rows(table, task.block, fold.train, icc, y=y), settings, seed)
        model = fitted.pipeline.named_steps["model"]
        z = preprocessed(fitted.pipeline, table.frame.iloc[fold.test])
        score = model_scores(model, z, survival=survival)
        curves = survival_curves(model, z, times) if survival and task.kind == "cv" else np.empty((0, 0))
        weights: dict[str, float] = {}
        if task.kind == "cv":
            measure = fold.repeat == 0 and task.block == settings.block
            weights = column_weights(fitted, (z, y[fold.test]) if measure else None, seed)
    return FoldResult(
        key=task.key,
        score=tuple(score.tolist()),
        survival=tuple(tuple(c) for c in curves.tolist()),
        threshold=fitted.threshold,
        models=tuple(describe(name, parameters) for name, parameters in fitted.choice),
        inner_score=fitted.inner_score,
        weights=weights,
        warnings=tuple(dict.fromkeys([*fitted.warnings, *(str(w.message) for w in caught)])),
    )


def training_rows(
    table: StudyTable, block: Block, train: NDArray[np.intp], icc: Mapping[str, float] | None, *, y: NDArray[Any]
) -> TrainingRows:
    """Return the part of a table that a fit may see."""
    batch = [c for c in table.frame.columns if c.startswith(BATCH_PREFIX)] if block in {"radiomics", "combined"} else []
    return TrainingRows(
        # Radiomic columns and the batch that goes with them stand together.
        frame=table.frame[[*dict.fromkeys((*_radiomics_first(table, block), *batch, *table.blocks[block]))]].iloc[
            train
        ],
        y=y[train],
        patients=table.patients[train],
        columns=table.blocks[block],
        block=block,
        radiomics=table.blocks["radiomics"],
        volumes_ml=table.volumes_ml[train],
        icc=icc,
    )


def _radiomics_first(table: StudyTable, block: Block) -> tuple[str, ...]:
    return table.blocks["radiomics"] if block in {"radiomics", "combined"} else ()


def column_weights(
    fitted: FittedModel, held_out: tuple[Floats, NDArray[Any]] | None = None, seed: int = 0
) -> dict[str, float]:
    """Return the columns that the model uses, with its coefficient, or the AUC (C-index) lost when it is shuffled.

    Parameters
    ----------
    fitted : FittedModel
        The fit.
    held_out : (ndarray, ndarray), optional
        Preprocessed test rows and their outcome, for models without coefficients; without them NaN.
    seed : int
        Seed of the shuffling.
    """
    model = fitted.pipeline.named_steps["model"]
    names = preprocessed_names(fitted.pipeline)
    coefficients = getattr(model, "coef_", None)
    if coefficients is not None:
        flat = np.asarray(coefficients, dtype=np.float64).ravel()
        return {n: float(c) for n, c in zip(names, flat, strict=True) if c != 0}
    lost = dict.fromkeys(names, float("nan"))
    if held_out is None:
        return lost
    try:
        impurity = np.asarray(model.feature_importances_)
    except (AttributeError, NotImplementedError):
        impurity = np.ones(len(names))
    for column in np.argsort(-impurity, kind="stable")[:_MOST_PERMUTED_COLUMNS]:
        lost[names[column]] = _loss_by_shuffling(model, *held_out, int(column), seed)
    return lost


def describe(name: str, parameters: Mapping[str, Any]) -> str:
    """Return a model and its hyperparameters as one line of text."""
    inside = ", ".join(f"{k}={v}" for k, v in parameters.items())
    return f"{name}({inside})"


def _loss_by_shuffling(model: Any, z: Floats, y: NDArray[Any], column: int, seed: int) -> float:
    survival = bool(y.dtype.names)
    shuffled = z.copy()
    shuffled[:, column] = np.random.default_rng(seed).permutation(z[:, column])
    before, after = (_discrimination(y, model_scores(model, x, survival=survival)) for x in (z, shuffled))
    return before - after


def _discrimination(y: NDArray[Any], score: Floats) -> float:
    if y.dtype.names:
        concordant, comparable = concordance_pairs(y, score[None])
        return float(concordant.sum() / comparable.sum()) if comparable.any() else float("nan")
    pairs = placements(y, score[None])
    return float(pairs.mean()) if pairs.size else float("nan")


def _permuted_folds(table: StudyTable, settings: ModelSettings, number: int, sites: list[Fold]) -> list[Fold]:
    """Return the folds of a permutation, stratified by the outcome that it has, as the true ones are by theirs."""
    if settings.validation.split == "leave-one-site-out":
        return [replace(fold, repeat=number) for fold in sites]
    events = table.events[permuted_outcome(table, settings.seed, number)]
    splits = stratified_by_patient(table.patients, events, settings.validation.folds, seed_of(settings.seed, 8, number))
    return [Fold(number, k, train, test) for k, (train, test) in enumerate(splits)]


def _results(
    table: StudyTable, settings: ModelSettings, tasks: Sequence[FoldTask], icc: Mapping[str, float] | None,
    times: Floats, jobs: int, spread: Spread | None,
) -> Iterator[FoldResult]:  # fmt: skip
    calls = [(table, settings, task, icc, times) for task in tasks]
    if spread is not None:
        yield from spread(run_fold, calls)
    elif jobs == 1 or len(tasks) < 2:
        yield from (run_fold(*call) for call in calls)
    else:
        pool = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="3*n_jobs")
        yield from pool(delayed(run_fold)(*call) for call in calls)
