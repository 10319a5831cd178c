"""Settings of a model: everything that changes a prediction or a reported figure, validated, hashed, read from YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from radiomics_talent.presets import find_preset, read_yaml, settings_sha256, validated

if TYPE_CHECKING:
    from pathlib import Path

Aggregation = Literal["mean", "median", "volume-weighted-mean", "maximum", "standard-deviation", "largest-lesion"]
Block = Literal["radiomics", "clinical", "combined", "volume"]
Share = Annotated[float, Field(gt=0, lt=1)]
Metric = Literal["auc", "average-precision", "brier", "balanced-accuracy", "c-index"]

RESPONSE_MODELS = (
    "elastic-net", "l1-logistic", "ridge", "logistic", "linear-svm", "rbf-svm", "random-forest", "extra-trees",
    "gradient-boosting", "naive-bayes",
)  # fmt: skip
"""Catalogue of classifiers."""
SURVIVAL_MODELS = ("coxnet", "random-survival-forest", "gradient-boosting-survival")
"""Catalogue of survival models."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# fmt: off
class ComBatSettings(_Frozen):
    """Harmonisation of batches by ComBat (Johnson 2007; with covariates Fortin 2018), fitted on training folds alone."""

    batch: str = Field(description="Column of the feature or clinical table that names the batch: kernel, manufacturer, site, slice_thickness_mm")
    covariates: tuple[str, ...] = Field((), description="Clinical columns whose effect is kept while batches are adjusted; never the outcome")
    unseen: Literal["refuse", "unadjusted"] = Field("refuse", description="A batch that training did not have: refuse the patient, or leave its features as they are, with a warning")
    parametric: bool = Field(default=True, description="Parametric prior of the empirical Bayes step")
    mean_only: bool = Field(default=False, description="Adjust the mean of a batch but not its variance")


class SelectionSettings(_Frozen):
    """One step of feature selection; steps are applied in their order."""

    method: Literal["univariate", "mrmr", "l1", "lasso-one-standard-error"] = Field(description="univariate: F test (Cox score test for survival); mrmr: most relevant, least redundant (Peng 2005); l1: non-zero in an L1-penalised model; lasso-one-standard-error: the sparsest LASSO within one standard error of the best AUC")
    k: int | None = Field(None, gt=0, description="Features to keep (univariate, mrmr)")
    strength: float | None = Field(None, gt=0, description="l1: inverse penalty C")
    folds: int = Field(3, ge=2, description="lasso-one-standard-error: folds of its own cross-validation")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method in {"univariate", "mrmr"} and self.k is None:
            raise ValueError(f"selection by {self.method} needs k, the number of features to keep")
        if self.method == "l1" and self.strength is None:
            raise ValueError("selection by l1 needs strength, the inverse penalty C")
        return self


class PreprocessSettings(_Frozen):
    """What is done to the radiomic features before the model, every step fitted inside the folds."""

    impute: Literal["median", "mean"] = Field("median", description="Value for a missing feature: the training fold's median or mean")
    combat: ComBatSettings | None = Field(None, description="ComBat harmonisation; null for none")
    near_constant: float = Field(0.05, ge=0, lt=1, description="Remove a feature when fewer than this share of training rows differ from its commonest value")
    min_icc: Share | None = Field(None, description="Keep features whose ICC (option --icc) reaches this; needs an ICC table")
    max_correlation: float | None = Field(0.95, gt=0, le=1, description="Of two features with a higher absolute Spearman correlation the less reproducible goes (without ICC: the one more correlated with all others); null keeps both")
    scale: Literal["z-score", "robust", "quantile", "none"] = Field("z-score", description="z-score; robust: median and quartiles; quantile: ranks mapped to a normal distribution")
    select: tuple[SelectionSettings, ...] = Field((), description="Steps of feature selection, in order")


class SearchSettings(_Frozen):
    """The inner cross-validation, which chooses hyperparameters (and the model, where there are several)."""

    folds: int = Field(5, ge=2, description="Inner folds; fewer when there are fewer events than that")
    metric: Metric | None = Field(None, description="What decides; null takes auc for response and c-index for survival")
    rule: Literal["best", "one-standard-error"] = Field("best", description="The best candidate, or the first in the listed order within one standard error of it")
    ensemble: int = Field(1, ge=1, description="Average the predictions of this many best models (of different kinds); 1 takes the best alone")


class ValidationSettings(_Frozen):
    """The outer cross-validation and what is computed from it."""

    folds: int = Field(5, ge=2, description="Outer folds, by patient, stratified by outcome")
    repeats: int = Field(10, ge=1, description="Repeats with other folds")
    split: Literal["stratified", "leave-one-site-out"] = Field("stratified", description="leave-one-site-out takes the column site of the tables as fold")
    holdout: Share | None = Field(None, description="Also report one single stratified split with this share held out, as publications do")
    permutations: int = Field(100, ge=0, description="Runs with permuted outcomes, one repeat each, the whole procedure within; 0 for none")
    learning_curve: tuple[Share, ...] = Field((0.4, 0.6, 0.8), description="Shares of the training patients to train with as well")
    bootstrap: int = Field(1000, ge=100, description="Bootstrap samples of patients for the intervals")


class ModelSettings(_Frozen):
    """Everything that changes a prediction or a figure of its report; `hash` decides whether folds may be resumed."""

    task: Literal["response", "survival"] = Field("response", description="A binary outcome, or a time with its event")
    level: Literal["patient", "lesion"] = Field("patient", description="A row of the model: a patient (lesions aggregated) or a lesion")
    aggregation: tuple[Aggregation, ...] = Field(("volume-weighted-mean",), min_length=1, description="Level patient: how lesions become a patient; several give several columns a feature")
    lesion_to_patient: Literal["mean", "maximum", "largest-lesion"] = Field("mean", description="Level lesion: how scores of lesions become the patient's score")
    block: Block = Field("radiomics", description="Features of the model that is saved; the other blocks are always reported beside it")
    features: tuple[str, ...] = Field(("*",), min_length=1, description="Shell patterns of feature names to use")
    clinical: tuple[str, ...] | None = Field(None, description="Columns of the clinical block; null takes every covariate but texts that mostly differ from patient to patient")
    preprocess: PreprocessSettings = Field(default_factory=PreprocessSettings, description="Steps before the model")
    models: dict[str, dict[str, tuple[Any, ...]]] = Field(min_length=1, description="Models of the catalogue, or estimators by import path, each with its search space: parameter to values")
    search: SearchSettings = Field(default_factory=SearchSettings, description="Inner cross-validation")
    validation: ValidationSettings = Field(default_factory=ValidationSettings, description="Outer cross-validation")
    threshold: Literal["youden"] | Share = Field("youden", description="Cut-off between the classes: Youden's index on the training rows' own out-of-fold scores, or a probability")
    refits: int = Field(30, ge=0, description="Refits on bootstrap samples of the patients that travel with the model: the interval of a new patient's score; 0 for none")
    horizon_days: tuple[Annotated[float, Field(gt=0)], ...] = Field((180.0, 365.0, 730.0), description="Survival: times of the time-dependent AUC")
    seed: int = Field(2678780, ge=0, description="The only source of chance")

    # fmt: on

    PRESETS: ClassVar[str] = "models"

    @model_validator(mode="after")
    def _fits_task(self) -> Self:
        ours, others = (
            (RESPONSE_MODELS, SURVIVAL_MODELS) if self.task == "response" else (SURVIVAL_MODELS, RESPONSE_MODELS)
        )
        for name in self.models:
            if name in others:
                raise ValueError(f"model {name} is not for task {self.task}; models for it are {', '.join(ours)}")
            if name not in ours and "." not in name:
                raise ValueError(
                    f"unknown model {name!r}; the catalogue has {', '.join(ours)}, "
                    "or give an estimator by its import path (package.module.Class)"
                )
        survival_only = self.search.metric == "c-index"
        if self.search.metric is not None and survival_only != (self.task == "survival"):
            raise ValueError(f"search.metric {self.search.metric} is not for task {self.task}")
        if self.task == "survival" and any(s.method in {"lasso-one-standard-error", "l1"} for s in self.preprocess.select):
            raise ValueError("selection by l1 or lasso-one-standard-error is for task response; use univariate or mrmr")
        if self.search.ensemble > 1 and (self.task == "survival" or self.search.rule == "one-standard-error"):
            raise ValueError("search.ensemble above 1 is for task response with search.rule best")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the settings in canonical JSON."""
        return settings_sha256(self.model_dump(mode="json"))

    @classmethod
    def from_yaml(cls, path: str | Path) -> ModelSettings:
        """Read a preset by name, or a YAML or JSON file by path.

        Raises
        ------
        ConfigError
            The file is absent, is not YAML, or holds an unknown key or a value out of range.
        """
        return validated(cls, read_yaml(find_preset(cls.PRESETS, path)), where=str(path))
