"""C-index, integrated Brier score and log-rank against scikit-survival and statsmodels on a public cohort."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import arff
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored, cumulative_dynamic_auc, integrated_brier_score
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from radiomics_talent.modelling.curves import risk_groups
from radiomics_talent.modelling.estimators import survival_curves
from radiomics_talent.modelling.selection import cox_score_statistic
from radiomics_talent.modelling.survival_metrics import (
    concordance_pairs,
    evaluation_times,
    log_rank,
    survival_metrics,
    time_dependent_auc,
)
from radiomics_talent.modelling.validation_report import Scored

SET = Path(__file__).resolve().parents[3] / "shared" / "data" / "tabular" / "survival" / "GBSG2.arff"


@pytest.fixture(scope="module")
def cohort():
    if not SET.exists():
        pytest.skip("the shared survival sets are not here")
    rows, _ = arff.loadarff(SET)
    x = np.stack([rows[c].astype(float) for c in ("age", "tsize", "pnodes", "progrec", "estrec")], axis=1)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = np.zeros(len(rows), dtype=[("event", "?"), ("time", "<f8")])
    y["event"], y["time"] = rows["cens"].astype(int) == 1, rows["time"]
    model = CoxPHSurvivalAnalysis().fit(x, y)
    times = evaluation_times(y)
    return x, y, model.predict(x), survival_curves(model, x, times), times


def test_c_index_and_brier_are_those_of_scikit_survival(cohort):
    _, y, risk, curves, times = cohort
    ours = survival_metrics(y, risk[None], curves[None], times, np.ones((1, len(y))))
    assert ours["c_index"][0] == pytest.approx(concordance_index_censored(y["event"], y["time"], risk)[0], abs=1e-12)
    assert ours["integrated_brier"][0] == pytest.approx(integrated_brier_score(y, y, curves, times), abs=1e-12)


def test_case_weights_are_copies(cohort):
    _, y, risk, curves, times = cohort
    weights = np.ones((1, len(y)))
    weights[0, :50] = 2
    rows = np.r_[np.arange(len(y)), np.arange(50)]
    agree, comparable = concordance_pairs(y[rows], risk[rows][None])
    # A copy is comparable with no copy of itself: same time, same event.
    assert survival_metrics(y, risk[None], curves[None], times, weights)["c_index"][0] == pytest.approx(
        agree.sum() / comparable.sum(), abs=1e-12
    )


def test_time_dependent_auc_is_that_of_scikit_survival(cohort):
    _, y, risk, _, _ = cohort
    patients = np.array([str(i) for i in range(len(y))])
    ours = time_dependent_auc(y, risk[None], [365.0, 1000.0, 1e6], patients, 0)
    theirs, _ = cumulative_dynamic_auc(y, y, risk, [365.0, 1000.0])
    assert list(ours) == [365.0, 1000.0]
    assert [e.value for e in ours.values()] == pytest.approx(theirs, abs=1e-12)
    assert all(e.low < e.value < e.high for e in ours.values())


def test_log_rank_and_kaplan_meier_are_those_of_statsmodels(cohort):
    _, y, risk, _, _ = cohort
    high = risk >= np.median(risk)
    assert log_rank(y, high) == pytest.approx(survdiff(y["time"], y["event"].astype(int), high)[1], rel=1e-9)
    groups, p_value = risk_groups(
        Scored(y, np.array([str(i) for i in range(len(y))]), risk[None], high[None], np.empty((1, len(y), 0)))
    )
    assert p_value == log_rank(y, high)
    for group, rows in zip(groups, (~high, high), strict=True):
        theirs = SurvfuncRight(y["time"][rows], y["event"][rows].astype(int))
        ours = dict(zip(group.band.x, group.band.y, strict=True))
        assert [ours[t] for t in theirs.surv_times] == pytest.approx(theirs.surv_prob, abs=1e-12)
        assert group.at_risk[0] == (0.0, int(rows.sum()))


def test_one_group_has_no_log_rank(cohort):
    _, y, _, _, _ = cohort
    assert np.isnan(log_rank(y, np.zeros(len(y), bool)))


def test_score_statistic_of_two_groups_is_the_log_rank_statistic():
    # Without ties in time the Cox score test of a 0/1 column is the log-rank test.
    rng = np.random.default_rng(0)
    y = np.zeros(80, dtype=[("event", "?"), ("time", "<f8")])
    y["event"], y["time"] = rng.random(80) < 0.7, rng.permutation(80) + 1.0
    group = (rng.random(80) < 0.5).astype(float)
    statistic = survdiff(y["time"], y["event"].astype(int), group)[0]
    assert cox_score_statistic(group[:, None], y)[0] == pytest.approx(statistic, rel=1e-10)
