"""One patient: from the features of the lesions to a score that is explained and placed beside the training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from radiomics_talent.features.table import KEY_COLUMNS
from radiomics_talent.modelling.explanation import Explanation, explain, source_column, used_columns
from radiomics_talent.modelling.lesions import patient_scores
from radiomics_talent.modelling.model import fingerprint_rows
from radiomics_talent.modelling.new_patients import patient_rows
from radiomics_talent.modelling.search import pipeline_scores, preprocessed
from radiomics_talent.modelling.trained_domain import GOLDEN_LEVELS, SCORE_LEVELS, percentile_of
from radiomics_talent.scoring.domain import judge_features, judge_lesion, verdict
from radiomics_talent.scoring.intervals import score_interval, survival_interval
from radiomics_talent.scoring.score_report import Contribution, HorizonSurvival, LesionScore, PatientScore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.modelling.model import ResponseModel
    from radiomics_talent.modelling.new_patients import NewRows
    from radiomics_talent.scoring.score_report import DomainReason

    Floats = NDArray[np.float64]

_QUANTILE_LEVELS = (0.0, *GOLDEN_LEVELS, 1.0)
_THIRDS = ("lower third", "middle third", "upper third")


@dataclass(frozen=True, slots=True)
class LesionOrigin:
    """Where a lesion's features come from, for the record.

    Attributes
    ----------
    image, mask : str
        Paths, relative to score.json.
    image_sha256, mask_sha256 : str
        Hashes of the voxels.
    findings : tuple of str
        What was found in reading it.
    """

    image: str
    mask: str
    image_sha256: str
    mask_sha256: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """A model ready to score.

    Attributes
    ----------
    model : ResponseModel
        The model.
    refits : tuple of Pipeline
        Of its block; empty where it carries none.
    clinical : ClinicalTable, optional
        Of the new patients.
    """

    model: ResponseModel
    refits: tuple[Pipeline, ...]
    clinical: ClinicalTable | None = None

    def rows(self, lesions: pd.DataFrame, features: tuple[str, ...]) -> NewRows:
        """Return the rows of the study table of one patient."""
        return patient_rows(self.model, lesions, features, self.clinical)

    def scores(self, frame: pd.DataFrame, pipeline: Pipeline | None = None) -> Floats:
        """Return the score of each row of the study table by the model, or by one of its refits."""
        chosen = pipeline or self.model.pipelines[self.model.settings.block]
        return pipeline_scores(chosen, frame, survival=self.is_survival)

    def total(self, score: Floats, volumes_ml: Floats) -> float:
        """Return a patient's score out of those of its rows: that of the row, or of the lesions together."""
        if len(score) == 1:
            return float(score[0])
        one = np.full(len(score), "")
        return float(patient_scores(score[None], one, volumes_ml, self.model.settings.lesion_to_patient)[0, 0])

    def counted(self, score: Floats, volumes_ml: Floats) -> list[int]:
        """Return the rows that the patient's score is made of: all of them, or the decisive one."""
        how = self.model.settings.lesion_to_patient
        if len(score) == 1 or how == "mean":
            return list(range(len(score)))
        return [int(np.argmax(score if how == "maximum" else np.nan_to_num(volumes_ml)))]

    @property
    def is_survival(self) -> bool:
        """The model predicts a risk."""
        return self.model.settings.task == "survival"


def refit_totals(scorer: Scorer, prepared: Mapping[str, NewRows]) -> dict[str, list[float]]:
    """Return each patient's score by every refit that can give one.

    A refit scores all patients at once, as a row by itself costs as much; where that fails, one by one: a sample may
    lack the batch of one of them.
    """
    totals: dict[str, list[float]] = {patient: [] for patient in prepared}
    if not prepared:
        return totals
    ends = np.cumsum([len(rows.frame) for rows in prepared.values()])[:-1]
    together = pd.concat([rows.frame for rows in prepared.values()], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is to be said of a row, the model itself says
        for pipeline in scorer.refits:
            try:
                scores = np.split(scorer.scores(together, pipeline), ends)
            except ValueError:
                scores = [_scores_or_none(scorer, rows, pipeline) for rows in prepared.values()]
            for (patient, rows), score in zip(prepared.items(), scores, strict=True):
                if len(score) and np.isfinite(score).all():
                    totals[patient].append(scorer.total(score, rows.volumes_ml))
    return totals


def _scores_or_none(scorer: Scorer, rows: NewRows, pipeline: Pipeline) -> Floats:
    try:
        return scorer.scores(rows.frame, pipeline)
    except ValueError:
        return np.empty(0)


def score_patient(
    scorer: Scorer,
    lesions: pd.DataFrame,
    rows: NewRows,
    refits: Sequence[float],
    origins: Mapping[str, LesionOrigin],
) -> PatientScore:
    """Score one patient.

    Parameters
    ----------
    scorer : Scorer
        The model.
    lesions : DataFrame
        The patient's rows of a feature table.
    rows : NewRows
        From `Scorer.rows`.
    refits : sequence of float
        From `refit_totals`.
    origins : mapping of str to LesionOrigin
        By lesion_id.

    Raises
    ------
    TableError
        The patient lacks what the model needs.
    ModelError
        ComBat does not know the patient's batch, and the settings refuse it.
    """
    model = scorer.model
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="Found unknown categories")  # said of the level itself
        by_row = scorer.scores(rows.frame)
        score = scorer.total(by_row, rows.volumes_ml)
        columns = _used(model, rows.frame)
        reasons, distance, farther = judge_features(model, rows.frame, columns)
        counted = rows.frame.iloc[scorer.counted(by_row, rows.volumes_ml)]
        explanation = _explained(scorer, counted)
        survival = _horizons(scorer, counted)
        interval = score_interval(score, refits, survival=scorer.is_survival)
        parts = _lesions(lesions, rows, _shares(scorer, lesions, rows, by_row), scorer.model, origins)
    said = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning))
    every: list[DomainReason] = [*reasons, *(r for part in parts for r in part.domain.reasons)]
    threshold = model.thresholds[model.settings.block]
    positive = score >= threshold
    known = model.reference.scores if model.reference is not None else ()
    percentile = percentile_of(score, known, SCORE_LEVELS) if known else None
    return PatientScore(
        patient_id=str(lesions["patient_id"].iloc[0]),
        score=score,
        interval=interval,
        threshold=threshold,
        predicted="positive" if positive else "negative",
        predicted_label=_class_in_words(model, positive=positive),
        risk_group=_group(model, percentile, positive=positive),
        percentile=percentile,
        survival=survival,
        baseline=explanation.baseline,
        contribution_scale=explanation.scale,
        contribution_method=explanation.method,
        contributions=_contributions(model, rows.frame, columns, explanation),
        domain=verdict(_once(every), distance, farther),
        lesions=parts,
        warnings=(*said, *_remarks(model, rows.frame, columns)),
    )


def _used(model: ResponseModel, frame: pd.DataFrame) -> list[str]:
    pipeline = model.pipelines[model.settings.block]
    names = [str(c) for c in frame.columns]
    return list(dict.fromkeys(source_column(n, names) for n in used_columns(pipeline)))


def _explained(scorer: Scorer, counted: pd.DataFrame) -> Explanation:
    """Explain the rows that the score is made of: one, or the mean over the lesions."""
    model = scorer.model
    pipeline = model.pipelines[model.settings.block]
    needed = list(pipeline.named_steps["prepare"].feature_names_in_)
    centre = model.reference.centre if model.reference is not None else {}
    each = [
        explain(pipeline, counted.iloc[[k]][needed], centre, survival=scorer.is_survival) for k in range(len(counted))
    ]
    if len(each) == 1:
        return each[0]
    # The score is the mean of the lesions' scores, so what is averaged has to be on the scale of the score.
    scaled = [e.as_probability() for e in each]
    mean = {n: float(np.mean([e.contributions[n] for e in scaled])) for n in scaled[0].contributions}
    baseline = float(np.mean([e.baseline for e in scaled]))
    return Explanation(scaled[0].scale, f"{scaled[0].method}; mean over {len(each)} lesions", baseline, mean)


def _horizons(scorer: Scorer, counted: pd.DataFrame) -> tuple[HorizonSurvival, ...]:
    model = scorer.model
    if not scorer.is_survival:
        return ()
    from radiomics_talent.modelling.estimators import survival_curves  # noqa: PLC0415  # survival models only

    times = np.asarray(model.settings.horizon_days)

    def curve(pipeline: Pipeline) -> Floats:
        z = preprocessed(pipeline, counted)
        return np.asarray(survival_curves(pipeline.named_steps["model"], z, times).mean(axis=0))

    own = curve(model.pipelines[model.settings.block])
    refits = [curve(p) for p in scorer.refits]
    return tuple(
        HorizonSurvival(
            days=float(t), probability=float(own[k]), interval=survival_interval(own[k], [r[k] for r in refits])
        )
        for k, t in enumerate(times)
        if np.isfinite(own[k])
    )


def _shares(scorer: Scorer, lesions: pd.DataFrame, rows: NewRows, by_row: Floats) -> list[tuple[float, float | None]]:
    """Return for each lesion the score if it were alone, and the patient's less the score without it."""
    n = len(lesions)
    score, every = scorer.total(by_row, rows.volumes_ml), np.arange(n)
    if n == 1:
        return [(score, None)]
    volumes = rows.volumes_ml
    if len(by_row) == n:  # a row a lesion: nothing but the way to the patient changes
        kept = [every != k for k in every]
        return [(float(by_row[k]), score - scorer.total(by_row[kept[k]], volumes[kept[k]])) for k in every]
    features = tuple(str(c) for c in lesions.columns[len(KEY_COLUMNS) :])
    parts = [scorer.rows(lesions.iloc[[k]], features).frame for k in range(n)]
    parts += [scorer.rows(lesions.iloc[every != k], features).frame for k in every]
    scores = scorer.scores(pd.concat(parts, ignore_index=True))
    return [(float(scores[k]), score - float(scores[n + k])) for k in every]


def _lesions(
    lesions: pd.DataFrame,
    rows: NewRows,
    shares: Sequence[tuple[float, float | None]],
    model: ResponseModel,
    origins: Mapping[str, LesionOrigin],
) -> tuple[LesionScore, ...]:
    parts = []
    features = lesions.columns[len(KEY_COLUMNS) :]
    for k, (_, lesion) in enumerate(lesions.iterrows()):
        lesion_id = str(lesion["lesion_id"])
        volume = float(rows.volumes_ml[k])
        volume_ml = None if np.isnan(volume) else volume
        origin = origins[lesion_id]
        parts.append(
            LesionScore(
                lesion_id=lesion_id,
                label=str(lesion["label"]),
                roi_name=str(lesion["roi_name"]),
                image=origin.image,
                mask=origin.mask,
                series_uid=str(lesion["series_uid"]),
                image_sha256=origin.image_sha256,
                mask_sha256=origin.mask_sha256,
                volume_ml=volume_ml,
                alone=shares[k][0],
                contribution=shares[k][1],
                domain=verdict(judge_lesion(model.scans, dict(lesion), lesion_id, volume_ml)),
                features={str(n): _or_none(float(lesion[n])) for n in features},
                findings=origin.findings,
            )
        )
    return tuple(parts)


def _contributions(
    model: ResponseModel, frame: pd.DataFrame, columns: Sequence[str], explanation: Explanation
) -> tuple[Contribution, ...]:
    domain = {c.name: c for c in model.domain}
    found = []
    for name in columns:
        seen = domain.get(name)
        quantiles = seen.quantiles if seen is not None and seen.levels is None else ()
        value = _value(frame[name]) if quantiles else None
        found.append(
            Contribution(
                feature=name,
                value=value,
                level=None if quantiles else str(frame[name].iloc[0]),
                contribution=explanation.contributions.get(name, 0.0),
                training_quantiles=quantiles,
                percentile=None if value is None else percentile_of(value, quantiles, _QUANTILE_LEVELS),
            )
        )
    return tuple(sorted(found, key=lambda c: -abs(c.contribution)))


def _value(column: pd.Series) -> float | None:
    known = column.to_numpy(dtype=np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else None


def _remarks(model: ResponseModel, frame: pd.DataFrame, columns: Sequence[str]) -> tuple[str, ...]:
    found = []
    missing = [c for c in columns if frame[c].isna().any()]
    if missing:
        found.append(
            f"{len(missing)} of {len(columns)} columns of the model are missing and were imputed: "
            f"{', '.join(missing[:5])}"
        )
    domain = {c.name: c for c in model.domain}
    for name in columns:
        levels = domain[name].levels if name in domain else None
        new = {str(v) for v in frame[name].dropna()} - set(levels) if levels is not None else set()
        if new:
            found.append(f"{name}: training never saw {', '.join(sorted(new))}; it counts as the reference level")
    radiomics = list(model.columns["radiomics"])
    if set(radiomics) <= set(frame.columns) and set(fingerprint_rows(frame[radiomics])) & model.fingerprints:
        found.append("these are the very features of a training patient: the score flatters the model")
    return tuple(found)


def _class_in_words(model: ResponseModel, *, positive: bool) -> str:
    if model.settings.task == "survival":
        return "high risk" if positive else "low risk"
    levels = ", ".join(model.outcome["positive"])
    if levels:
        return levels if positive else f"not {levels}"
    return f"{model.outcome['name']}: {'yes' if positive else 'no'}"


def _group(model: ResponseModel, percentile: float | None, *, positive: bool) -> str:
    if model.settings.task == "survival":
        return "high risk" if positive else "low risk"
    if percentile is None:
        return "not known"
    return f"{_THIRDS[min(2, int(percentile * 3 / 100))]} of the training"


def _once(reasons: Sequence[DomainReason]) -> list[DomainReason]:
    """Return reasons of one scan once, whatever the number of its lesions."""
    first: dict[tuple[str, str], DomainReason] = {}
    for reason in reasons:
        first.setdefault((reason.name, reason.sentence), reason)
    return list(first.values())


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
