import numpy as np
import pytest
from scipy import stats
from sklearn.feature_selection import f_classif

from radiomics_talent.modelling.selection import (
    FeatureFilter,
    LassoSelector,
    TopFeatures,
    decorrelated,
    mrmr,
    near_constant,
    relevance,
)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 12))
    y = (x[:, 3] - x[:, 7] + 0.3 * rng.standard_normal(60) > 0).astype(np.int64)
    return x, y


def test_near_constant_counts_rows_that_differ():
    n = 100
    columns = [np.arange(n), np.zeros(n), np.r_[np.ones(4), np.zeros(96)], np.r_[np.ones(6), np.zeros(94)]]
    assert near_constant(np.stack(columns, axis=1).astype(float), 0.05).tolist() == [False, True, True, False]
    assert near_constant(np.zeros((3, 1)), 0.0).tolist() == [True]


def test_no_pair_above_the_limit_stays_and_every_loser_has_a_winner(data):
    x, _ = data
    x = np.hstack([x, np.exp(x[:, :3]), x[:, :2] + 0.1 * np.random.default_rng(1).standard_normal((60, 2))])
    kept = decorrelated(x, 0.9, None)
    rho = np.abs(stats.spearmanr(x).statistic)
    np.fill_diagonal(rho, 0)
    assert (rho[np.ix_(kept, kept)] <= 0.9).all()
    assert (rho[np.ix_(~kept, kept)].max(axis=1) > 0.9).all()
    assert kept.sum() == 12


def test_the_more_reproducible_of_a_pair_stays():
    x = np.random.default_rng(0).standard_normal((50, 1))
    twin = np.hstack([x, 2 * x, x + 1e-9])
    assert decorrelated(twin, 0.9, np.array([0.2, 0.9, np.nan])).tolist() == [False, True, False]


def test_filter_drops_what_is_not_reproducible(data):
    x, _ = data
    icc = [0.9] * 12
    icc[3], icc[4] = 0.5, float("nan")
    kept = FeatureFilter(min_icc=0.75, icc=icc).fit(x).get_support()
    assert kept.tolist() == [k not in {3, 4} for k in range(12)]


def test_filter_never_leaves_nothing():
    assert FeatureFilter().fit(np.zeros((10, 4))).get_support().sum() == 1


def test_relevance_is_the_f_statistic(data):
    x, y = data
    assert relevance(x, y) == pytest.approx(f_classif(x, y)[0])
    assert set(np.flatnonzero(TopFeatures(2).fit(x, y).get_support())) == {3, 7}
    assert TopFeatures(100).fit(x, y).get_support().all()


def test_mrmr_prefers_the_new_over_the_same(data):
    x, y = data
    copy = x[:, [3]] + 1e-3 * np.random.default_rng(2).standard_normal((60, 1))
    x = np.hstack([x, copy])
    order = mrmr(x, relevance(x, y), 2)
    assert {3, 12} & set(order.tolist())
    assert 7 in order
    by_relevance = np.argsort(-relevance(x, y))[:2]
    assert set(by_relevance.tolist()) == {3, 12}


def test_mrmr_takes_different_columns(data):
    x, y = data
    assert sorted(mrmr(x, relevance(x, y), 12).tolist()) == list(range(12))


def test_one_standard_error_is_sparser_than_the_best(data):
    x, y = data
    rng = np.random.default_rng(5)
    x = np.hstack([x, rng.standard_normal((60, 100))])
    sparse = LassoSelector(folds=3).fit(x, y).get_support()
    assert sparse[[3, 7]].any()
    assert sparse.sum() < LassoSelector(strength=10.0).fit(x, y).get_support().sum()


def test_lasso_without_signal_keeps_one(data):
    x, y = data
    assert LassoSelector(strength=1e-6).fit(x, y).get_support().sum() == 1


def test_selection_is_the_same_again(data):
    x, y = data
    first, second = (LassoSelector(seed=4).fit(x, y).get_support() for _ in range(2))
    assert (first == second).all()
