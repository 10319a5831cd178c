"""What a scoring says: the schema of score.json, and the only thing that pages, SR and the command line read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from radiomics_talent.errors import ConfigError, InputError
from radiomics_talent.features.whole_files import replacing
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Version of score.json."""
RESEARCH_USE = "Research use only: not a medical device, not for decisions on patients."
"""Stands wherever a score does."""
Domain = Literal["inside", "borderline", "outside"]
"""How a case lies to what the model was trained on."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Record):
    """Two limits and how they were found."""

    low: float
    high: float
    method: str = Field(description="How the limits were found, in words")


class DomainReason(_Record):
    """One respect in which a case differs from the training."""

    level: Literal["borderline", "outside"]
    subject: Literal["features", "lesion", "scan"]
    lesion_id: str = Field("", description="Lesion that it concerns; empty for the patient")
    name: str = Field(
        description="What was compared: a feature, distance, volume, slice thickness, kernel, phase, manufacturer"
    )
    sentence: str


class DomainVerdict(_Record):
    """Whether a case is one of those that the model knows."""

    level: Domain
    reasons: tuple[DomainReason, ...] = ()
    distance: float | None = Field(None, description="Robust distance in the space of the selected features")
    farther_than: float | None = Field(None, description="Share of training patients that lay nearer to the others")


class Contribution(_Record):
    """What one selected feature adds to a score, beside what training saw of it."""

    feature: str
    value: float | None = Field(
        description="As the model saw it, lesions aggregated; null where missing (then imputed), or for a category"
    )
    level: str | None = Field(None, description="Of a category")
    contribution: float = Field(description="On the scale of `PatientScore.contribution_scale`")
    training_quantiles: tuple[float, ...] = Field(
        description="Minimum, 5, 25, 50, 75, 95 %, maximum in training; empty for a category"
    )
    percentile: float | None = Field(
        description="Where the value lies in the training distribution, 0 to 100, between those quantiles"
    )


class LesionScore(_Record):
    """One lesion of a patient."""

    lesion_id: str
    label: str
    roi_name: str
    image: str = Field(description="Path of the scan, relative to score.json")
    mask: str = Field(description="Path of the mask, relative to score.json")
    series_uid: str
    image_sha256: str
    mask_sha256: str
    volume_ml: float | None
    alone: float | None = Field(description="Score if this were the patient's only lesion")
    contribution: float | None = Field(
        description="Patient's score less the score without this lesion; null for a single lesion"
    )
    domain: DomainVerdict
    features: dict[str, float | None] = Field(description="Every extracted feature; null where not a number")
    findings: tuple[str, ...] = ()


class HorizonSurvival(_Record):
    """Probability of no event until a time."""

    days: float
    probability: float
    interval: Interval | None = None


class PatientScore(_Record):
    """One patient's score and all that explains it."""

    patient_id: str
    score: float = Field(description="Probability of response, or relative risk for survival")
    interval: Interval | None = Field(description="Null where the model carries no refits")
    threshold: float
    predicted: Literal["positive", "negative"] = Field(description="Score at or above the model's threshold")
    predicted_label: str = Field(description="The class in words, as `CR, PR` or `not CR, PR`, or high risk")
    risk_group: str = Field(
        description="Response: lower, middle or upper third of the training patients' out-of-fold scores; survival: low or high risk"
    )
    percentile: float | None = Field(
        description="Where the score lies among the training patients' out-of-fold scores, 0 to 100"
    )
    survival: tuple[HorizonSurvival, ...] = ()
    baseline: float = Field(description="Score of the reference that contributions are counted from, on their scale")
    contribution_scale: Literal["log-odds", "probability", "log-risk", "risk"]
    contribution_method: str = Field(description="exact for linear models, or which SHAP explainer")
    contributions: tuple[Contribution, ...] = Field(
        description="Largest first; they and the baseline add up to the score on their scale"
    )
    domain: DomainVerdict
    lesions: tuple[LesionScore, ...]
    warnings: tuple[str, ...] = ()


class ScoringFailure(_Record):
    """A lesion or patient without a score."""

    patient_id: str
    lesion_id: str
    stage: str
    sentence: str


class ScoredModel(_Record):
    """The model, as far as a reader of a score needs it."""

    path: str
    outcome: str
    positive: tuple[str, ...]
    task: Literal["response", "survival"]
    level: Literal["patient", "lesion"]
    block: str
    description: tuple[str, ...] = Field(description="Kind of model and its hyperparameters")
    record_sha256: str = Field(description="Checksum of model.yaml, which holds those of the other files")
    settings_sha256: str
    extraction_sha256: str
    extraction: dict[str, Any] | None = Field(
        None,
        description="Settings that features were extracted with, as in provenance.json, without those of maps; null in "
        "files of older versions",
    )
    patients: int
    events: int
    performance: dict[str, Any] = Field(description="Out-of-fold metrics of the model's block: estimate, low, high")
    score_quantiles: tuple[float, ...] = Field(
        description="0, 5, ... 100 % of the training patients' out-of-fold scores"
    )
    score_quantiles_by_class: tuple[tuple[float, ...], ...] = Field(
        (), description="The same without and with the event"
    )
    synthetic: bool = Field(description="Trained on invented patients")
    findings: tuple[str, ...]

    @field_validator("extraction")
    @classmethod
    def _are_settings(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            ExtractionSettings.model_validate(value)
        return value

    @property
    def extraction_settings(self) -> ExtractionSettings | None:
        """Settings that features were extracted with; None where the file does not hold them."""
        return None if self.extraction is None else ExtractionSettings.model_validate(self.extraction)


class ScoreReport(_Record):
    """Everything that a scoring found: the content of score.json."""

    format: int = FORMAT
    notice: str = RESEARCH_USE
    created: str = Field(description="ISO 8601, UTC")
    program: str = Field(description="radiomics-talent VERSION")
    model: ScoredModel
    versions: dict[str, str] = Field(description="What computed these scores")
    differences: tuple[str, ...] = Field(description="Versions or settings that differ from the training's")
    patients: tuple[PatientScore, ...]
    failures: tuple[ScoringFailure, ...]


def write_score_report(report: ScoreReport, path: Path) -> None:
    """Write score.json, whole or not at all; numbers keep their last digit."""
    with replacing(path) as temporary:
        temporary.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_score_report(path: Path) -> ScoreReport:
    """Read score.json.

    Raises
    ------
    ConfigError
        There is no such file.
    InputError
        The file is damaged, or of a newer version.
    """
    file = path / "score.json" if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("no score.json here; name the folder that score wrote", where=str(path)) from error
    except (OSError, ValueError) as error:
        raise InputError("cannot be read or is damaged; score again", where=str(file)) from error
    if isinstance(record, dict) and record.get("format", 0) > FORMAT:
        raise InputError("was written by a newer version; install it to read the file", where=str(file))
    try:
        return ScoreReport.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"is no score.json of this program ({place}: {first['msg']}); score again", where=str(file)
        ) from error
