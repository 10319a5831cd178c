"""The inner cross-validation: hyperparameters, model and cut-off from training rows alone, then the fitted pipeline.

scikit-learn's GridSearchCV fits the preprocessing again for every candidate; with a thousand features that is most
of the work, so here each inner fold is preprocessed once for all of them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, balanced_accuracy_score, brier_score_loss
from sklearn.pipeline import Pipeline

from radiomics_talent.errors import ModelError, TalentError
from radiomics_talent.modelling.estimators import candidates, new_model, new_preprocessing
from radiomics_talent.modelling.folds import fewest_of_a_class, seed_of, stratified_by_patient
from radiomics_talent.modelling.lesions import patient_scores
from radiomics_talent.modelling.metrics import placements, youden_threshold
from radiomics_talent.modelling.outcome import events_of
from radiomics_talent.modelling.survival_metrics import concordance_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from radiomics_talent.model_settings import Block, ModelSettings
    from radiomics_talent.modelling.estimators import Candidate

    Floats = NDArray[np.float64]

_REFIT_TREES = 40


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """What a fit may see.

    Attributes
    ----------
    frame : DataFrame
        Rows of the study table.
    y : ndarray
        Their outcome.
    patients : ndarray of str
        Their patients.
    columns : tuple of str
        Columns of the block.
    block : str
        Which block.
    radiomics : tuple of str
        Those columns that are radiomic features.
    volumes_ml : ndarray of float64
        Lesion volumes.
    icc : mapping, optional
        ICC by feature.
    """

    frame: pd.DataFrame
    y: NDArray[Any]
    patients: NDArray[np.str_]
    columns: tuple[str, ...]
    block: Block
    radiomics: tuple[str, ...]
    volumes_ml: NDArray[np.float64]
    icc: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A pipeline with what was chosen for it.

    Attributes
    ----------
    pipeline : Pipeline
        Steps ``prepare`` and ``model``; takes rows of the study table.
    threshold : float
        Cut-off of probability (response), or median risk (survival).
    choice : tuple of (str, dict)
        Model and hyperparameters; several where predictions are averaged.
    inner_score : float
        Metric of the inner folds at that choice: optimistic, not to be reported as performance.
    inner_scores : ndarray of float64, shape (n_rows,)
        Out-of-fold score of each training row in the inner folds.
    warnings : tuple of str
        What the fit said.
    """

    pipeline: Pipeline
    threshold: float
    choice: tuple[Candidate, ...]
    inner_score: float
    inner_scores: Floats
    warnings: tuple[str, ...]


def fit_with_search(rows: TrainingRows, settings: ModelSettings, seed: int) -> FittedModel:
    """Choose by inner cross-validation, and fit on all rows.

    Parameters
    ----------
    rows : TrainingRows
        Nothing else is seen.
    settings : ModelSettings
        Steps, models, search.
    seed : int
        Seed of the inner folds and of the models.

    Raises
    ------
    ModelError
        No candidate could be fitted.
    """
    options = candidates(settings, rows.block)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="Found unknown categories")
        warnings.filterwarnings("ignore", message="all coefficients are zero")  # such a candidate scores as it does
        warnings.simplefilter("ignore", ConvergenceWarning)  # candidates at the weak end of a search space
        scores, out_of_fold = _inner_scores(rows, settings, options, seed)
        chosen = _choose(scores, options, settings)
        pipeline = _fitted(rows, settings, [options[i] for i in chosen], seed)
    inner = out_of_fold[chosen].mean(axis=0)
    return FittedModel(
        pipeline=pipeline,
        threshold=_threshold(rows, inner, settings),
        choice=tuple(options[i] for i in chosen),
        inner_score=float(np.nanmean(scores[chosen])),
        inner_scores=inner,
        warnings=tuple(dict.fromkeys(str(w.message) for w in caught)),
    )


def refit_on_samples(
    rows: TrainingRows, settings: ModelSettings, choice: Sequence[Candidate], seed: int
) -> tuple[Pipeline, ...]:
    """Fit the chosen model again on bootstrap samples of the patients, every step of it.

    The spread of their scores of one patient says how far the score depends on who happened to be in the training
    (Riley & Collins 2023, instability of predictions). Forests take at most 40 trees here: a file of whole forests
    would be slow to open, and their own randomness makes the spread slightly larger.

    Parameters
    ----------
    rows : TrainingRows
        All rows of the training.
    settings : ModelSettings
        `refits` says how many samples.
    choice : sequence of (str, dict)
        What `fit_with_search` chose; it is not searched again.
    seed : int
        Seed of samples and models.

    Returns
    -------
    tuple of Pipeline
        Fewer than asked for where a sample could not be fitted.
    """
    small = [(name, parameters | _fewer_trees(name, parameters)) for name, parameters in choice]
    names, row_of = np.unique(rows.patients, return_inverse=True)
    members = [np.flatnonzero(row_of == k) for k in range(len(names))]
    has_event = np.array([events_of(rows.y[m]).max() for m in members])
    strata = [np.flatnonzero(has_event == e) for e in (0, 1)]
    refits = []
    for k in range(settings.refits):
        rng = np.random.default_rng(seed_of(seed, 14, k))
        # Stratified by outcome, as the folds are: a sample of one class cannot be fitted.
        drawn = np.concatenate([rng.choice(s, len(s)) for s in strata if len(s)])
        at = np.concatenate([members[i] for i in drawn])
        sample = replace(
            rows, frame=rows.frame.iloc[at], y=rows.y[at], patients=rows.patients[at], volumes_ml=rows.volumes_ml[at]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a fit has to say, the model's own fit has said
            try:
                refits.append(_fitted(sample, settings, small, seed))
            except (TalentError, ValueError, ArithmeticError, np.linalg.LinAlgError):
                continue
    return tuple(refits)


def preprocessed(pipeline: Pipeline, frame: pd.DataFrame) -> Floats:
    """Return rows of a study table as the model of a fitted pipeline takes them; other columns may be there too."""
    prepare = pipeline.named_steps["prepare"]
    return np.asarray(prepare.transform(frame[list(prepare.feature_names_in_)]), dtype=np.float64)


def preprocessed_names(pipeline: Pipeline) -> list[str]:
    """Return the names of the columns that `preprocessed` gives."""
    return [str(n) for n in pipeline.named_steps["prepare"].get_feature_names_out()]


def pipeline_scores(pipeline: Pipeline, frame: pd.DataFrame, *, survival: bool) -> Floats:
    """Return the probability of response, or the risk, of rows of a study table."""
    return model_scores(pipeline.named_steps["model"], preprocessed(pipeline, frame), survival=survival)


def model_scores(model: Any, z: Floats, *, survival: bool) -> Floats:
    """Return the probability of response, or the risk, of preprocessed rows."""
    if survival:
        return np.asarray(model.predict(z), dtype=np.float64)
    return np.asarray(model.predict_proba(z)[:, 1], dtype=np.float64)


def _inner_scores(
    rows: TrainingRows, settings: ModelSettings, options: list[Candidate], seed: int
) -> tuple[Floats, Floats]:
    """Return each candidate's metric in each inner fold, and its out-of-fold score of each row."""
    events = events_of(rows.y)
    folds = min(settings.search.folds, fewest_of_a_class(rows.patients, events))
    if folds < 2:
        raise ModelError(
            "a training fold has fewer than two patients of a class, so nothing can be chosen within it; lower "
            "validation.folds, or gather more patients"
        )
    splits = stratified_by_patient(rows.patients, events, folds, seed)
    scores = np.full((len(options), folds), np.nan)
    out_of_fold = np.full((len(options), len(events)), np.nan)
    errors: dict[str, Exception] = {}
    for k, (train, test) in enumerate(splits):
        prepare = _preprocessing(rows, settings, seed)
        z_train = prepare.fit_transform(rows.frame.iloc[train], rows.y[train])
        z_test = prepare.transform(rows.frame.iloc[test])
        for i, option in enumerate(options):
            try:
                model = _model(option, seed).fit(z_train, rows.y[train])
                score = model_scores(model, z_test, survival=settings.task == "survival")
            except TalentError:
                raise
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as failed:
                errors[option[0]] = failed
                continue
            out_of_fold[i, test] = score
            scores[i, k] = _metric(settings, rows.y[test], score)
    if np.isnan(out_of_fold).any(axis=1).all():
        name, error = next(iter(errors.items()))
        raise ModelError(f"model {name} cannot be fitted: {error}; change its search space or the selection before it")
    for name, error in errors.items():
        warnings.warn(f"model {name} could not be fitted with some of its hyperparameters: {error}", stacklevel=3)
    return scores, out_of_fold


def _choose(scores: Floats, options: list[Candidate], settings: ModelSettings) -> list[int]:
    complete = ~np.isnan(scores).any(axis=1)
    usable = complete if complete.any() else ~np.isnan(scores).all(axis=1)
    mean = np.full(len(scores), -np.inf)
    mean[usable] = np.nanmean(scores[usable], axis=1)
    # Rounded: the last bits of a mean must not decide between equal candidates; the first listed wins.
    mean = np.round(mean, 10)
    if settings.search.rule == "one-standard-error":
        best = int(np.argmax(mean))
        error = np.nanstd(scores[best], ddof=1) / np.sqrt(np.isfinite(scores[best]).sum())
        return [int(np.flatnonzero(mean >= mean[best] - error)[0])]
    order = np.argsort(-mean, kind="stable")
    order = order[np.isfinite(mean[order])]
    by_kind: dict[str, int] = {}
    for i in order:
        by_kind.setdefault(options[i][0], int(i))
    return list(by_kind.values())[: settings.search.ensemble]


def _fitted(rows: TrainingRows, settings: ModelSettings, choice: Sequence[Candidate], seed: int) -> Pipeline:
    prepare = _preprocessing(rows, settings, seed)
    z = prepare.fit_transform(rows.frame, rows.y)
    model = _averaged([_model(option, seed) for option in choice], list(choice))
    return Pipeline([("prepare", prepare), ("model", model.fit(z, rows.y))])


def _fewer_trees(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    if name not in {"random-forest", "extra-trees", "random-survival-forest"}:
        return {}
    return {"n_estimators": min(_REFIT_TREES, int(parameters.get("n_estimators", _REFIT_TREES)))}


def _averaged(models: list[Any], options: list[Candidate]) -> Any:
    if len(models) == 1:
        return models[0]
    return VotingClassifier(list(zip([name for name, _ in options], models, strict=True)), voting="soft")


def _model(option: Candidate, seed: int) -> Any:
    name, parameters = option
    return new_model(name, seed=seed_of(seed, 5), parameters=parameters)


def _preprocessing(rows: TrainingRows, settings: ModelSettings, seed: int) -> Any:
    radiomic = set(rows.radiomics)
    return clone(
        new_preprocessing(
            rows.frame, [c for c in rows.columns if c in radiomic], [c for c in rows.columns if c not in radiomic],
            settings, icc=rows.icc, seed=seed_of(seed, 6),
        )
    )  # fmt: skip


def _metric(settings: ModelSettings, y: NDArray[Any], score: Floats) -> float:
    if settings.task == "survival":
        concordant, comparable = concordance_pairs(y, score[None])
        return float(concordant.sum() / comparable.sum()) if comparable.any() else float("nan")
    match settings.search.metric:
        case "brier":
            return -float(brier_score_loss(y, score))
        case "average-precision":
            return float(average_precision_score(y, score))
        case "balanced-accuracy":
            return float(balanced_accuracy_score(y, score >= 0.5))
        case _:
            pairs = placements(y, score[None])
            return float(pairs.mean()) if pairs.size else float("nan")


def _threshold(rows: TrainingRows, scores: Floats, settings: ModelSettings) -> float:
    y = rows.y
    names, first, row_of = np.unique(rows.patients, return_index=True, return_inverse=True)
    if len(names) < len(y) and (y == y[first][row_of]).all():
        # The cut-off is applied to patients, so it is taken from patients.
        scores = patient_scores(scores[None], rows.patients, rows.volumes_ml, settings.lesion_to_patient)[0]
        y = y[first]
    if settings.task == "survival":
        return float(np.median(scores))
    if isinstance(settings.threshold, float):
        return settings.threshold
    return youden_threshold(y, scores)
