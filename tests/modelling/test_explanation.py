"""Contributions add up to the score, whatever the model."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline
from studies import quick_settings

from radiomics_talent.model_settings import RESPONSE_MODELS, SURVIVAL_MODELS
from radiomics_talent.modelling.estimators import new_model, new_preprocessing
from radiomics_talent.modelling.explanation import explain, source_column, used_columns
from radiomics_talent.modelling.search import model_scores

EXACT = {"elastic-net", "l1-logistic", "ridge", "logistic", "linear-svm", "coxnet"}
N = 60


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((N, 12)), columns=[f"original_glcm_f{i}" for i in range(12)])
    return table.assign(sex=rng.choice(["F", "M"], N), sex_ratio=rng.random(N))


def fitted(frame, name):
    rng = np.random.default_rng(1)
    event = rng.integers(0, 2, N)
    y = event
    if name in SURVIVAL_MODELS:
        y = np.zeros(N, dtype=[("event", "?"), ("time", "<f8")])
        y["event"], y["time"] = event, rng.exponential(300, N)
    settings = quick_settings(preprocess={"select": [{"method": "univariate", "k": 5}]})
    prepare = new_preprocessing(frame, list(frame.columns[:12]), ["sex", "sex_ratio"], settings, icc=None, seed=0)
    z = prepare.fit_transform(frame, y)
    pipeline = Pipeline([("prepare", prepare), ("model", new_model(name, seed=0).fit(z, y))])
    centre = dict(zip(prepare.get_feature_names_out(), z.mean(axis=0), strict=True))
    return pipeline, z, centre


@pytest.mark.parametrize("name", [*RESPONSE_MODELS, *SURVIVAL_MODELS])
def test_baseline_and_contributions_are_the_score(frame, name):
    pipeline, z, centre = fitted(frame, name)
    survival = name in SURVIVAL_MODELS
    scores = model_scores(pipeline.named_steps["model"], z, survival=survival)
    for row in (0, 7):
        found = explain(pipeline, frame.iloc[[row]], centre, survival=survival)
        total = found.baseline + sum(found.contributions.values())
        score = 1 / (1 + np.exp(-total)) if found.scale == "log-odds" else total
        assert score == pytest.approx(scores[row], abs=1e-9)
        assert set(found.contributions) <= set(frame.columns)
        assert ("exact" in found.method) == (name in EXACT)


def test_linear_contributions_are_coefficient_times_distance(frame):
    pipeline, z, centre = fitted(frame, "ridge")
    found = explain(pipeline, frame.iloc[[3]], centre, survival=False)
    expected = pipeline.named_steps["model"].coef_[0] * (z[3] - z.mean(axis=0))
    names = [source_column(n, list(frame.columns)) for n in pipeline.named_steps["prepare"].get_feature_names_out()]
    assert found.contributions == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-12)


def test_the_same_twice_and_numpy_is_left_alone(frame):
    pipeline, _, centre = fitted(frame, "rbf-svm")
    np.random.seed(4)  # noqa: NPY002
    first = explain(pipeline, frame.iloc[[3]], centre, survival=False)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002
    assert explain(pipeline, frame.iloc[[3]], centre, survival=False) == first


def test_a_level_belongs_to_its_column():
    assert source_column("sex_M", ["sex", "sex_ratio"]) == "sex"
    assert source_column("sex_ratio", ["sex", "sex_ratio"]) == "sex_ratio"
    assert source_column("sex_ratio_high", ["sex", "sex_ratio"]) == "sex_ratio"


def test_a_column_without_coefficient_is_not_used(frame):
    pipeline, _, _ = fitted(frame, "l1-logistic")
    model = pipeline.named_steps["model"]
    model.coef_ = np.where(np.arange(model.coef_.size) == 1, 0.5, 0.0)[None]
    assert used_columns(pipeline) == (str(pipeline.named_steps["prepare"].get_feature_names_out()[1]),)
