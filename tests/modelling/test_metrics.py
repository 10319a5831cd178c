"""Figures of merit against independent implementations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from radiomics_talent.modelling.curves import precision_recall_band
from radiomics_talent.modelling.metrics import (
    bootstrap_counts,
    calibration_line,
    delong_interval,
    delong_test,
    estimates,
    net_benefit,
    response_metrics,
    youden_threshold,
)
from radiomics_talent.modelling.validation_report import Scored


@pytest.fixture
def scored():
    rng = np.random.default_rng(3)
    y = (rng.random(60) < 0.4).astype(np.int64)
    # Rounded, so that there are ties.
    score = np.round(1 / (1 + np.exp(-(y + rng.standard_normal((2, 60))))), 2)
    return y, score


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_those_of_scikit_learn(scored, weighted):
    y, score = scored
    w = np.random.default_rng(0).integers(0, 4, 60).astype(float) if weighted else np.ones(60)
    ours = {k: v[0] for k, v in response_metrics(y, score, score >= 0.55, w[None]).items()}
    for name, theirs in {
        "auc": lambda s: roc_auc_score(y, s, sample_weight=w),
        "average_precision": lambda s: average_precision_score(y, s, sample_weight=w),
        "brier": lambda s: brier_score_loss(y, s, sample_weight=w),
        "balanced_accuracy": lambda s: balanced_accuracy_score(y, s >= 0.55, sample_weight=w),
        "sensitivity": lambda s: recall_score(y, s >= 0.55, sample_weight=w),
        "specificity": lambda s: recall_score(y, s >= 0.55, pos_label=0, sample_weight=w),
        "ppv": lambda s: precision_score(y, s >= 0.55, sample_weight=w),
        "npv": lambda s: precision_score(y, s >= 0.55, pos_label=0, sample_weight=w),
    }.items():
        assert ours[name] == pytest.approx(np.mean([theirs(s) for s in score]), abs=1e-12), name


def test_calibration_slope_is_that_of_a_logistic_regression(scored):
    y, score = scored
    p = np.clip(score[0], 1e-6, 1 - 1e-6)
    logit = np.log(p / (1 - p))
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(logit[:, None], y)
    slope, intercept = calibration_line(y, score[0], np.ones((1, 60)))
    assert slope[0] == pytest.approx(model.coef_[0, 0], abs=1e-5)
    # In the large: at the intercept the expected number of events is the observed one.
    assert (1 / (1 + np.exp(-(logit + intercept[0])))).sum() == pytest.approx(y.sum(), abs=1e-8)


def test_perfect_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98, 200_000)
    y = (rng.random(len(p)) < p).astype(np.int64)
    slope, intercept = calibration_line(y, p, np.ones((1, len(p))))
    assert slope[0] == pytest.approx(1, abs=0.02)
    assert intercept[0] == pytest.approx(0, abs=0.02)


def test_separated_or_constant_scores_have_no_calibration_slope():
    y = np.array([0, 0, 1, 1])
    assert np.isnan(calibration_line(y, np.array([0.1, 0.2, 0.8, 0.9]), np.ones((1, 4)))[0]).all()
    assert np.isnan(calibration_line(y, np.full(4, 0.5), np.ones((1, 4)))[0]).all()


def delong_by_definition(y, a, b):
    """DeLong 1988 with loops: structural components one by one."""

    def components(score):
        up, down = score[y == 1], score[y == 0]
        psi = lambda u, d: 1.0 if u > d else 0.5 if u == d else 0.0  # noqa: E731
        v10 = [np.mean([psi(u, d) for d in down]) for u in up]
        v01 = [np.mean([psi(u, d) for u in up]) for d in down]
        return np.mean(v10), np.array(v10), np.array(v01)

    auc_a, a10, a01 = components(a)
    auc_b, b10, b01 = components(b)
    variance = np.var(a10 - b10, ddof=1) / len(a10) + np.var(a01 - b01, ddof=1) / len(a01)
    z = (auc_a - auc_b) / np.sqrt(variance)
    return auc_a, np.sqrt(np.var(a10, ddof=1) / len(a10) + np.var(a01, ddof=1) / len(a01)), 2 * stats.norm.sf(abs(z))


def test_delong_is_its_definition(scored):
    y, score = scored
    auc, error, p_value = delong_by_definition(y, score[0], score[1])
    comparison = delong_test(y, score[:1], score[1:])
    assert comparison.p_value == pytest.approx(p_value, abs=1e-12)
    interval = delong_interval(y, score[:1])
    assert interval.value == pytest.approx(auc, abs=1e-12)
    half = 1.959963984540054 * error / (auc * (1 - auc))
    logit = np.log(auc / (1 - auc))
    assert interval.low == pytest.approx(1 / (1 + np.exp(-(logit - half))), abs=1e-12)
    assert interval.high == pytest.approx(1 / (1 + np.exp(-(logit + half))), abs=1e-12)


def test_a_model_does_not_differ_from_itself(scored):
    y, score = scored
    comparison = delong_test(y, score, score)
    assert (comparison.difference, comparison.p_value) == (0.0, 1.0)


def test_delong_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(5)
    p = []
    for _ in range(400):
        y = np.repeat([0, 1], 40)
        p.append(delong_test(y, rng.standard_normal((1, 80)) + y, rng.standard_normal((1, 80)) + y).p_value)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_bootstrap_keeps_the_rows_of_a_patient_together():
    patients = np.repeat(["a", "b", "c"], [1, 3, 2])
    counts = bootstrap_counts(patients, 500, np.random.default_rng(0))
    assert (counts[:, 1] == counts[:, 2]).all()
    assert (counts[:, 4] == counts[:, 5]).all()
    assert (counts[:, 0] + counts[:, 1] + counts[:, 4] == 3).all()


def test_bootstrap_interval_covers(scored):
    """The interval of a mean by bootstrap holds the truth about as often as it says."""
    rng = np.random.default_rng(1)
    held = 0
    for k in range(200):
        x = rng.standard_normal(60)
        names = np.array([str(i) for i in range(60)])
        e = estimates(lambda w, x=x: {"m": w @ x / w.sum(axis=1)}, names, 400, k)["m"]
        held += e.low <= 0 <= e.high
    assert 0.88 <= held / 200 <= 0.99


def test_youden_is_the_best_point_of_the_roc_curve(scored):
    y, score = scored
    fpr, tpr, _ = roc_curve(y, score[0])
    cut = youden_threshold(y, score[0])
    hit = score[0] >= cut
    assert recall_score(y, hit) + recall_score(y, hit, pos_label=0) - 1 == pytest.approx((tpr - fpr).max())
    assert not (score[0] == cut).any()


def test_net_benefit_of_treating_all_and_none():
    y = np.array([0, 1, 1, 0, 0])
    thresholds = np.array([0.1, 0.5])
    everybody = net_benefit(y, np.ones((1, 5)), thresholds)
    assert everybody == pytest.approx(0.4 - 0.6 * thresholds / (1 - thresholds))
    assert net_benefit(y, np.zeros((1, 5)), thresholds) == pytest.approx([0, 0])


def test_a_sample_of_one_class_counts_as_undefined():
    values = response_metrics(
        np.array([0, 1, 0, 1]), np.full((1, 4), 0.5), np.ones((1, 4), bool), np.array([[1.0, 0, 1, 0]])
    )
    assert np.isnan(values["auc"][0])
    assert np.isnan(values["sensitivity"][0])


def test_delong_is_not_defined_at_a_perfect_separation():
    y = np.array([0, 0, 0, 1, 1, 1])
    perfect, other = np.arange(6.0)[None], np.array([[0.0, 3.0, 1.0, 2.0, 5.0, 4.0]])
    interval = delong_interval(y, perfect)
    assert interval.value == 1
    assert np.isnan([interval.low, interval.high]).all()
    assert str(interval) == "1.000 (interval not defined)"
    found = delong_test(y, perfect, other)
    assert found.difference > 0
    assert np.isnan([found.low, found.high, found.p_value]).all()
    assert delong_test(y, perfect, perfect).p_value == 1


def test_the_area_of_the_precision_recall_curve_is_the_average_precision():
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], [45, 15])
    score = rng.normal(size=(1, 60)) - 0.7 * y  # worse than chance, so that interpolation would flatter it
    scored = Scored(y, np.arange(60).astype(str), score, score > 0, np.empty((1, 60, 0)))
    band = precision_recall_band(scored)
    area = np.trapezoid(band.y, band.x)
    assert area == pytest.approx(average_precision_score(y, score[0]), abs=0.02)
