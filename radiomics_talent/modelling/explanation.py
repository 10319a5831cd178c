"""What each column adds to one score: exact for linear models, Shapley values by the package shap for others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.svm import SVC

from radiomics_talent.modelling.search import model_scores, preprocessed, preprocessed_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    Floats = NDArray[np.float64]

Scale = Literal["log-odds", "probability", "log-risk", "risk"]
_SHAP_SEED = 2678780
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Explanation:
    """A score, taken apart.

    Attributes
    ----------
    scale : str
        What baseline and contributions are measured in; ``log-odds`` is the logit of the probability.
    method : str
        How they were found, in words.
    baseline : float
        What the contributions are counted from.
    contributions : dict of str to float
        By column of the study table; with the baseline they add up to the score on that scale.
    """

    scale: Scale
    method: str
    baseline: float
    contributions: dict[str, float]

    def as_probability(self) -> Explanation:
        """Return the explanation of the probability itself where this one is of its logit; else this one.

        Each contribution takes its share of the step from the baseline's probability to the score.
        """
        if self.scale != "log-odds":
            return self
        logit = sum(self.contributions.values())
        start, end = (1 / (1 + float(np.exp(-x))) for x in (self.baseline, self.baseline + logit))
        factor = (end - start) / logit if logit else start * (1 - start)
        shares = {name: part * factor for name, part in self.contributions.items()}
        method = f"{self.method}, in shares of the step from the baseline's probability"
        return Explanation("probability", method, start, shares)


def explain(pipeline: Pipeline, row: pd.DataFrame, centre: Mapping[str, float], *, survival: bool) -> Explanation:
    """Take one score apart.

    Parameters
    ----------
    pipeline : Pipeline
        Steps ``prepare`` and ``model``.
    row : DataFrame
        One row of the study table.
    centre : mapping of str to float
        Mean of each preprocessed column in training.
    survival : bool
        The model predicts a risk.

    Notes
    -----
    Linear models (logistic, linear SVM with Platt's sigmoid, Cox): coefficient times distance from the training mean,
    exact. Forests and boosting of scikit-learn: TreeSHAP (Lundberg 2020). Others: permutation Shapley values against
    the mean of the training, whose sum is exact.
    """
    model, names, z = pipeline.named_steps["model"], preprocessed_names(pipeline), preprocessed(pipeline, row)
    middle = np.array([[centre.get(n, 0.0) for n in names]])
    linear = _linear_form(model, survival=survival)
    if linear is not None:
        coefficients, scale = linear
        parts = coefficients * (z - middle)[0]
        baseline = _on_scale(model, middle, scale, survival=survival)
        method = "exact: coefficient times distance from the training mean"
    elif isinstance(model, (RandomForestClassifier, ExtraTreesClassifier, GradientBoostingClassifier)):
        scale = "log-odds" if isinstance(model, GradientBoostingClassifier) else "probability"
        parts, baseline = _tree_shap(model, z)
        method = "TreeSHAP, path-dependent"
    else:
        scale = "risk" if survival else "probability"
        parts, baseline = _permutation_shap(model, z, middle, survival=survival)
        method = "permutation Shapley values against the training mean"
    return Explanation(scale, method, baseline, _by_column(names, parts, [str(c) for c in row.columns]))


def used_columns(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the preprocessed columns that the model uses: without those whose coefficient is 0."""
    names = preprocessed_names(pipeline)
    linear = _linear_form(pipeline.named_steps["model"], survival=False)
    if linear is None:
        return tuple(names)
    return tuple(n for n, c in zip(names, linear[0], strict=True) if c != 0)


def source_column(name: str, columns: Sequence[str]) -> str:
    """Return the column of the study table that a preprocessed column comes from: ``sex_M`` from ``sex``."""
    if name in columns:
        return name
    return max((c for c in columns if name.startswith(f"{c}_")), key=len, default=name)


def _linear_form(model: Any, *, survival: bool) -> tuple[Floats, Scale] | None:
    """Return the coefficients of a model that is linear on a scale, and that scale."""
    if isinstance(model, CalibratedClassifierCV):
        # One calibrated classifier (ensemble=False): p = 1 / (1 + exp(a f + b)), f linear.
        (calibrated,) = model.calibrated_classifiers_
        inner = calibrated.estimator
        if not isinstance(inner, SVC) or inner.kernel != "linear":
            return None
        return -calibrated.calibrators[0].a_ * np.asarray(inner.coef_, dtype=np.float64).ravel(), "log-odds"
    coefficients = getattr(model, "coef_", None)
    if coefficients is None:
        return None
    return np.asarray(coefficients, dtype=np.float64).ravel(), "log-risk" if survival else "log-odds"


def _on_scale(model: Any, z: Floats, scale: Scale, *, survival: bool) -> float:
    if scale == "log-odds" and hasattr(model, "decision_function") and not isinstance(model, CalibratedClassifierCV):
        return float(model.decision_function(z)[0])  # the logit without rounding through the probability
    score = float(model_scores(model, z, survival=survival)[0])
    if scale != "log-odds":
        return score
    return float(np.log(score) - np.log1p(-score))


def _shap() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of its own use of matplotlib
        return import_module("shap")  # seconds to import, and needed for one row at the end


def _tree_shap(model: Any, z: Floats) -> tuple[Floats, float]:
    shap = _shap()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        values = np.asarray(explainer.shap_values(z, check_additivity=False), dtype=np.float64)
        expected = np.atleast_1d(np.asarray(explainer.expected_value, dtype=np.float64))
    # (1, columns) for boosting; (1, columns, classes) for forests.
    parts = values[0, :, -1] if values.ndim == 3 else values[0]
    return parts, float(expected[-1])


def _permutation_shap(model: Any, z: Floats, middle: Floats, *, survival: bool) -> tuple[Floats, float]:
    shap = _shap()

    def scores(rows: Floats) -> Floats:
        return model_scores(model, np.asarray(rows, dtype=np.float64), survival=survival)

    state = np.random.get_state()  # noqa: NPY002  # shap seeds NumPy's global generator; it is put back
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            masker = shap.maskers.Independent(middle, max_samples=1)
            explainer = shap.explainers.Permutation(scores, masker, seed=_SHAP_SEED)
            result = explainer(z, max_evals=_ROUNDS * (2 * z.shape[1] + 1), silent=True)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return np.asarray(result.values, dtype=np.float64)[0], float(np.ravel(result.base_values)[0])


def _by_column(names: Sequence[str], parts: Floats, columns: Sequence[str]) -> dict[str, float]:
    summed: dict[str, float] = {}
    for name, part in zip(names, parts, strict=True):
        source = source_column(name, columns)
        summed[source] = summed.get(source, 0.0) + float(part)
    return summed
