"""The catalogue of models, and the pipeline around them: all that learns from data, in one scikit-learn object."""

from __future__ import annotations

import difflib
import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.svm import SVC
from sksurv.ensemble import GradientBoostingSurvivalAnalysis, RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis

from radiomics_talent.errors import ConfigError
from radiomics_talent.modelling.dataset import BATCH_PREFIX
from radiomics_talent.modelling.harmonisation import BatchHarmoniser
from radiomics_talent.modelling.lesions import base_feature
from radiomics_talent.modelling.selection import FeatureFilter, LassoSelector, TopFeatures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from radiomics_talent.model_settings import Block, ModelSettings, PreprocessSettings

Candidate = tuple[str, dict[str, Any]]
"""Name of a model and its hyperparameters."""

CLINICAL_MODELS: dict[str, dict[str, tuple[Any, ...]]] = {"ridge": {"C": (0.1, 1.0, 10.0)}}
"""The clinical baseline: few columns, so a mild penalty chosen in the inner folds."""
VOLUME_MODELS: dict[str, dict[str, tuple[Any, ...]]] = {"logistic": {}}
"""The volume baseline: one column, no penalty."""
SURVIVAL_BASELINES: dict[str, dict[str, tuple[Any, ...]]] = {"cox": {}}
"""Clinical and volume baseline of survival: Cox regression with a slight ridge, for stability."""


def candidates(settings: ModelSettings, block: Block) -> list[Candidate]:
    """Return every model with every combination of its hyperparameters, in the listed order.

    Raises
    ------
    ConfigError
        A model does not have a parameter of its search space.
    """
    models: Mapping[str, Mapping[str, Sequence[Any]]] = settings.models
    if block in {"clinical", "volume"}:
        baselines = VOLUME_MODELS if block == "volume" else CLINICAL_MODELS
        models = baselines if settings.task == "response" else SURVIVAL_BASELINES
    result = []
    for name, space in models.items():
        model = new_model(name, seed=0)
        if settings.task == "response" and not hasattr(model, "predict_proba"):
            raise ConfigError(
                f"models.{name}: gives no probability (predict_proba); take a classifier that does, or wrap it in "
                "sklearn.calibration.CalibratedClassifierCV"
            )
        known = model.get_params()
        for parameter in space:
            if _full_name(parameter, known) not in known:
                near = difflib.get_close_matches(parameter, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
                raise ConfigError(f"models.{name}: no parameter {parameter}; {hint}")
        # sklearn's grid sorts by name; one order for every run.
        result += [(name, dict(p)) for p in ParameterGrid({k: list(v) for k, v in space.items()})]
    return result


def new_model(name: str, *, seed: int, parameters: Mapping[str, Any] | None = None) -> Any:
    """Return an unfitted model of the catalogue, or of an import path, with its hyperparameters.

    Raises
    ------
    ConfigError
        The import path leads to no scikit-learn estimator.
    """
    model = _CATALOGUE[name]() if name in _CATALOGUE else _imported(name)
    known = model.get_params()
    fixed = {"random_state": seed} if "random_state" in known else {}
    return model.set_params(**fixed, **{_full_name(k, known): v for k, v in (parameters or {}).items()})


def new_preprocessing(
    frame: pd.DataFrame, radiomics: Sequence[str], clinical: Sequence[str], settings: ModelSettings, *,
    icc: Mapping[str, float] | None, seed: int,
) -> ColumnTransformer:  # fmt: skip
    """Return the unfitted steps before the model.

    Parameters
    ----------
    frame : DataFrame
        The study table; only names and types of columns are read.
    radiomics, clinical : sequence of str
        Columns to use.
    settings : ModelSettings
        The steps.
    icc : mapping of str to float, optional
        Intraclass correlation coefficient by feature.
    seed : int
        Seed of what is random in them.
    """
    parts: list[tuple[str, Any, Any]] = []
    if radiomics:
        batch = [c for c in frame.columns if c.startswith(BATCH_PREFIX)]
        steps = _radiomics_steps(radiomics, batch, settings, icc, seed)
        parts.append(("radiomics", Pipeline(steps), _places(frame, [*radiomics, *batch])))
    numbers = [c for c in clinical if frame[c].dtype.kind in "fiub"]
    levels = [c for c in clinical if c not in numbers]
    if numbers:
        parts.append(("numbers", Pipeline([("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
                                           ("scale", StandardScaler())]), numbers))  # fmt: skip
    if levels:
        encoder = OneHotEncoder(drop="first", handle_unknown="ignore", sparse_output=False)
        parts.append(("levels", encoder, levels))
    return ColumnTransformer(parts, verbose_feature_names_out=False)


def survival_curves(model: Any, X: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: N803
    """Return the probability of no event until each time, shape (n_rows, n_times).

    Before a model's first time it is 1, after its last it keeps its last value. NaN for a model that has none.
    """
    if not hasattr(model, "predict_survival_function"):
        return np.full((len(X), len(times)), np.nan)
    curves = []
    for function in model.predict_survival_function(X):
        at = np.searchsorted(function.x, times, side="right") - 1
        values = function.a * function.y + function.b
        # A risk too large for a float makes the power of a baseline of about 1 infinite or no number: nothing has
        # happened until then.
        values = np.clip(np.nan_to_num(values, nan=1.0, posinf=1.0), 0.0, 1.0)
        curves.append(np.where(at < 0, 1.0, values[np.maximum(at, 0)]))
    return np.asarray(curves)


def _radiomics_steps(
    columns: Sequence[str], batch: Sequence[str], settings: ModelSettings, icc: Mapping[str, float] | None, seed: int
) -> list[tuple[str, Any]]:
    p = settings.preprocess
    imputer: Any = SimpleImputer(strategy=p.impute, keep_empty_features=True)
    steps: list[tuple[str, Any]] = []
    if p.combat is not None:
        carry = ColumnTransformer(
            [("features", imputer, list(columns)), ("batch", "passthrough", list(batch))],
            verbose_feature_names_out=False,
        )
        steps.append(("impute", carry.set_output(transform="pandas")))
        c = p.combat
        harmoniser = BatchHarmoniser(
            batch=f"{BATCH_PREFIX}{c.batch}", covariates=[f"{BATCH_PREFIX}{x}" for x in c.covariates],
            unseen=c.unseen, parametric=c.parametric, mean_only=c.mean_only,
        )  # fmt: skip
        steps.append(("combat", harmoniser))
    else:
        # scikit-learn looks at each column of a data frame by itself, which costs more than all that is done with them.
        steps += [("values", FunctionTransformer(np.asarray, feature_names_out="one-to-one")), ("impute", imputer)]
    # An aggregated column has its feature's reproducibility.
    known = None if icc is None else [icc.get(base_feature(c), float("nan")) for c in columns]
    steps.append(("filter", FeatureFilter(p.near_constant, p.min_icc, p.max_correlation, known)))
    if p.scale != "none":
        steps.append(("scale", _SCALERS[p.scale](seed)))
    for number, step in enumerate(p.select, start=1):
        if step.method in {"univariate", "mrmr"}:
            selector: Any = TopFeatures(step.k or 1, redundancy=step.method == "mrmr")
        else:
            selector = LassoSelector(step.strength, step.folds, seed)
        steps.append((f"select{number}", selector))
    return steps


def _places(frame: pd.DataFrame, names: Sequence[str]) -> slice | list[str]:
    """Return columns as a slice where they stand together: scikit-learn looks up a thousand names one by one."""
    start = int(frame.columns.get_loc(names[0]))  # type: ignore[arg-type]
    if list(frame.columns[start : start + len(names)]) == list(names):
        return slice(start, start + len(names))
    return list(names)


def check_preprocessing(settings: PreprocessSettings, icc: Mapping[str, float] | None) -> None:
    """Raise where the settings ask for a filter that has nothing to go by.

    Raises
    ------
    ConfigError
        ``min_icc`` is set but there is no ICC table, or no feature in it reaches that.
    """
    least = settings.min_icc
    if least is None:
        return
    if icc is None:
        raise ConfigError("preprocess.min_icc needs an ICC table: give one with --icc, or set it to null")
    if not any(value >= least for value in icc.values()):
        undefined = sum(math.isnan(value) for value in icc.values())
        raise ConfigError(
            f"no feature of the ICC table reaches preprocess.min_icc {least:g} ({undefined} of {len(icc)} have no ICC)"
            "; lower it, or measure more lesions"
        )


def _full_name(parameter: str, known: Mapping[str, Any]) -> str:
    """Return the name by which a model knows its parameter: that of the SVM lies within its calibration."""
    inner = f"estimator__{parameter}"
    return inner if parameter not in known and inner in known else parameter


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        model = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"model {path} cannot be made: {error}; give package.module.Class of an estimator") from error
    if not isinstance(model, BaseEstimator) or not hasattr(model, "fit"):
        raise ConfigError(f"model {path} is not a scikit-learn estimator")
    return model


def _svm(kernel: str) -> Callable[[], Any]:
    # Probabilities by Platt's sigmoid on the out-of-fold margins of the training rows.
    return lambda: CalibratedClassifierCV(SVC(kernel=kernel), method="sigmoid", cv=3, ensemble=False)


def _forest(kind: type[Any]) -> Callable[[], Any]:
    return lambda: kind(n_estimators=300, min_samples_leaf=2)


_BOOSTING: dict[str, Any] = {"n_estimators": 100, "max_depth": 2, "learning_rate": 0.05, "subsample": 0.8}
_CATALOGUE: dict[str, Callable[[], Any]] = {
    "elastic-net": lambda: LogisticRegression(solver="saga", l1_ratio=0.5, max_iter=1000, tol=1e-3),
    "l1-logistic": lambda: LogisticRegression(solver="liblinear", l1_ratio=1, intercept_scaling=10.0),
    "ridge": lambda: LogisticRegression(l1_ratio=0, max_iter=1000),
    "logistic": lambda: LogisticRegression(C=np.inf, max_iter=1000),
    "linear-svm": _svm("linear"),
    "rbf-svm": _svm("rbf"),
    "random-forest": _forest(RandomForestClassifier),
    "extra-trees": _forest(ExtraTreesClassifier),
    "gradient-boosting": lambda: GradientBoostingClassifier(**_BOOSTING),
    "naive-bayes": GaussianNB,
    "coxnet": lambda: CoxnetSurvivalAnalysis(alphas=[0.1], l1_ratio=0.5, fit_baseline_model=True, max_iter=100_000),
    "random-survival-forest": lambda: RandomSurvivalForest(n_estimators=200, min_samples_leaf=5),
    "gradient-boosting-survival": lambda: GradientBoostingSurvivalAnalysis(**_BOOSTING),
    "cox": lambda: CoxPHSurvivalAnalysis(alpha=0.01),
}  # fmt: skip
_SCALERS: dict[str, Callable[[int], Any]] = {
    "z-score": lambda _: StandardScaler(),
    "robust": lambda _: RobustScaler(),
    "quantile": lambda seed: QuantileTransformer(n_quantiles=50, output_distribution="normal", random_state=seed),
}
