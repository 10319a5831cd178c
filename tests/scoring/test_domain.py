"""Which cases a model knows: every comparison, at its limits."""

import numpy as np
import pandas as pd
import pytest

from radiomics_talent.modelling.model import ResponseModel, load_model
from radiomics_talent.modelling.trained_domain import TrainedScans
from radiomics_talent.scoring.domain import judge_features, judge_lesion, verdict
from radiomics_talent.scoring.intervals import score_interval, survival_interval

SCANS = TrainedScans(
    lesions=10,
    levels={
        "contrast_phase": {"portal-venous": 10}, "kernel": {"": 2, "B30f": 8}, "manufacturer": {"SIEMENS": 10},
        "site": {"": 10},
    },
    slice_thickness_mm=(2.0, 3.0),
    volume_ml=(1.0, 50.0),
)  # fmt: skip
LIKE = {"contrast_phase": "portal-venous", "kernel": "B30f", "manufacturer": "SIEMENS", "slice_thickness_mm": 2.5}


def judged(volume_ml=10.0, **changes):
    return {r.name: r.level for r in judge_lesion(SCANS, LIKE | changes, "L1", volume_ml)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"volume_ml": 1.0}, {}),
        ({"volume_ml": 0.5}, {"volume": "borderline"}),
        ({"volume_ml": 0.49}, {"volume": "outside"}),
        ({"volume_ml": 100.0}, {"volume": "borderline"}),
        ({"volume_ml": 101.0}, {"volume": "outside"}),
        ({"volume_ml": None}, {}),
        ({"slice_thickness_mm": 1.0}, {"slice thickness": "borderline"}),
        ({"slice_thickness_mm": 5.0}, {"slice thickness": "outside"}),
        ({"slice_thickness_mm": float("nan")}, {}),
        ({"contrast_phase": "arterial"}, {"contrast phase": "outside"}),
        ({"contrast_phase": "PV phase"}, {}),
        ({"contrast_phase": ""}, {"contrast phase": "borderline"}),
        ({"kernel": "B80"}, {"kernel": "borderline"}),
        ({"kernel": ""}, {}),  # nor did training know all of its kernels
        ({"manufacturer": ""}, {"manufacturer": "borderline"}),
    ],
    ids=lambda v: "-".join(map(str, v.items())) if isinstance(v, dict) else None,
)
def test_lesion_and_scan(changes, expected):
    assert judged(**changes) == expected


def test_a_model_that_knows_no_scans_compares_none():
    assert judge_lesion(None, LIKE, "L1", 1e9) == ()


def test_the_worst_counts_and_comes_first():
    reasons = judge_lesion(SCANS, LIKE | {"kernel": "B80"}, "L1", 1000.0)
    found = verdict(reversed(reasons))
    assert found.level == "outside"
    assert [r.level for r in found.reasons] == ["outside", "borderline"]
    assert verdict(()).level == "inside"


@pytest.fixture(scope="module")
def model(study) -> ResponseModel:
    return load_model(study.model)


def row(model, **changes):
    names = list(model.columns["radiomics"])
    middle = {c.name: c.quantiles[3] for c in model.domain if c.name in names}
    return pd.DataFrame([middle | changes])[names]


def test_the_middle_of_the_training_is_inside(model):
    reasons, _, share = judge_features(model, row(model), model.columns["radiomics"])
    assert reasons == ()
    assert share < 0.95


def test_ranges(model):
    columns = list(model.columns["radiomics"])
    seen = {c.name: c for c in model.domain}
    one = columns[1]
    low, _, high = seen[one].quantiles[1], None, seen[one].quantiles[-2]
    width = high - low

    def graded(**changes):
        reasons, *_ = judge_features(model, row(model, **changes), columns)
        return [r.level for r in reasons if r.name == "range"]

    top = seen[one].quantiles[-1]
    assert graded(**{one: top}) == []
    assert graded(**{one: top + 0.4 * width}) == []  # one of many, a little
    assert graded(**{one: top + 0.6 * width}) == ["borderline"]
    assert graded(**{one: top + 2.1 * width}) == ["outside"]
    hardly = {c: seen[c].quantiles[-1] + 0.05 * (seen[c].quantiles[-2] - seen[c].quantiles[1]) for c in columns}
    assert graded(**hardly) == []
    over = {c: seen[c].quantiles[-1] + 0.2 * (seen[c].quantiles[-2] - seen[c].quantiles[1]) for c in columns}
    assert graded(**over) == ["outside"]
    some = dict(list(over.items())[: max(2, len(columns) // 5)])
    assert graded(**some) == ["borderline"]


def test_interval():
    rng = np.random.default_rng(0)
    logits = rng.normal(0.4, 0.3, 30)
    found = score_interval(0.6, 1 / (1 + np.exp(-logits)), survival=False)
    middle, half = np.log(0.6 / 0.4), 1.96 * np.std(logits, ddof=1)
    assert (found.low, found.high) == pytest.approx(
        (1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))), abs=1e-12
    )
    assert score_interval(0.6, [0.5] * 9, survival=False) is None
    assert score_interval(1.0, [1.0] * 30, survival=False).high <= 1.0
    risk = score_interval(2.0, np.arange(30.0), survival=True)
    assert risk.high - 2.0 == pytest.approx(2.0 - risk.low)
    survival = survival_interval(0.8, np.linspace(0.7, 0.9, 30))
    assert 0 < survival.low < 0.8 < survival.high < 1
