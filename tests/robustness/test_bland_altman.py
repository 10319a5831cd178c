"""Bland and Altman's analysis, by hand, by statsmodels and SciPy, and where it is not defined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from radiomics_talent.robustness.bland_altman import COLUMNS, bland_altman


def of(a, b):
    return bland_altman(np.array(a, float)[:, None], np.array(b, float)[:, None], ["f"]).iloc[0]


def test_four_pairs_by_hand():
    row = of([1, 2, 3, 4], [2, 2, 4, 6])  # differences 1, 0, 1, 2
    sd = np.sqrt(2 / 3)
    assert row["bias"] == 1
    assert row["mean"] == 3
    assert row["sd"] == pytest.approx(sd, rel=1e-14)
    assert (row["lower_limit"], row["upper_limit"]) == pytest.approx((1 - 1.96 * sd, 1 + 1.96 * sd))
    t = 3.182446305284263  # of 3 degrees of freedom
    assert row["bias_upper"] - row["bias"] == pytest.approx(t * sd / 2, rel=1e-12)
    assert row["upper_limit_upper"] - row["upper_limit"] == pytest.approx(t * sd * np.sqrt(1 / 4 + 1.96**2 / 6))
    assert row["lower_limit"] - row["lower_limit_lower"] == pytest.approx(t * sd * np.sqrt(1 / 4 + 1.96**2 / 6))
    assert row["repeatability"] == pytest.approx(1.96 * np.sqrt(2) * np.sqrt(6 / 8))
    assert row["remark"] == ""


def test_the_slope_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    a = rng.normal(50, 10, 30)
    b = 1.1 * a + rng.normal(0, 2, 30)
    row = of(a, b)
    expected = stats.linregress((a + b) / 2, b - a)
    assert row["slope"] == pytest.approx(expected.slope, rel=1e-10)
    assert row["slope_p"] == pytest.approx(expected.pvalue, rel=1e-8)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    differences = rng.normal(3, 2, (20, 4000))
    found = bland_altman(np.zeros_like(differences), differences, [str(k) for k in range(4000)])
    in_bias = (found["bias_lower"] < 3) & (found["bias_upper"] > 3)
    limit = 3 + 1.96 * 2
    in_limit = (found["upper_limit_lower"] < limit) & (found["upper_limit_upper"] > limit)
    assert in_bias.mean() == pytest.approx(0.95, abs=0.015)
    assert in_limit.mean() == pytest.approx(0.95, abs=0.02)
    assert found["outside"].mean() == pytest.approx(0.05, abs=0.015)


def test_a_pair_without_value_is_left_out_of_that_feature_alone():
    a = np.array([[1.0, 1], [2, 2], [3, 3], [np.nan, 4], [5, np.inf]])
    b = np.array([[2.0, 1], [2, 3], [4, 3], [6, 6], [7, 7]])
    found = bland_altman(a, b, ["f", "g"])
    alone = of([1, 2, 3, 5], [2, 2, 4, 7])
    assert found.loc[0, list(COLUMNS[1:-1])].tolist() == alone[list(COLUMNS[1:-1])].tolist()
    assert found["n_pairs"].tolist() == [4, 4]
    assert found["remark"].tolist() == ["left out for lack of finite values: 1"] * 2


def test_too_few_pairs_are_not_analysed():
    row = of([1, 2, np.nan], [1, 3, 4])
    assert row["remark"] == "pairs with finite values: 2; not analysed"
    assert row[list(COLUMNS[2:-1])].isna().all()


def test_a_constant_feature_has_no_slope():
    row = of([5, 5, 5], [5, 5, 5])
    assert row["remark"] == "constant: no slope"
    assert (row["bias"], row["sd"], row["outside"]) == (0, 0, 0)
    assert np.isnan(row["slope"])


def test_the_same_difference_in_every_pair_has_no_spread():
    row = of([0.1, 0.2, 0.7], [0.4, 0.5, 1.0])
    assert row["remark"] == "the same difference in every pair"
    assert (row["sd"], row["outside"]) == (0, 0)
    assert row["bias"] == pytest.approx(0.3)


@given(st.lists(st.tuples(*[st.floats(-100, 100)] * 2), min_size=3, max_size=12), st.sampled_from([2.0**40, 2.0**-30]))
def test_units_do_not_matter_and_a_and_b_exchanged_change_the_sign(pairs, factor):
    a, b = np.array(pairs).T
    row, scaled, turned = of(a, b), of(a * factor, b * factor), of(b, a)
    for name in ("bias", "sd", "upper_limit", "repeatability"):
        assert scaled[name] == pytest.approx(row[name] * factor, rel=1e-9, abs=1e-9 * factor)
    assert turned["bias"] == pytest.approx(-row["bias"], abs=1e-9)
    assert turned["upper_limit"] == pytest.approx(-row["lower_limit"], abs=1e-9)
    assert turned["outside"] == row["outside"]


@pytest.mark.parametrize("factor", [2.0**-900, 2.0**900])
def test_no_scale_is_too_small_or_too_large(factor):
    a, b = np.array([1.0, 2, 3, 5]), np.array([2.0, 2, 4, 4])
    row, scaled = of(a, b), of(a * factor, b * factor)
    for name in ("mean", "bias", "sd", "lower_limit_lower", "upper_limit_upper", "repeatability"):
        assert scaled[name] == row[name] * factor
    for name in ("outside", "slope", "slope_p"):
        assert scaled[name] == row[name]


def test_many_features_at_once_are_each_as_alone():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, (2, 20, 3)) * np.array([1e-9, 1, 1e9])
    together = bland_altman(a, b, list("fgh"))
    for k in range(3):
        alone = of(a[:, k], b[:, k])
        for name in COLUMNS[1:-1]:
            assert together.loc[k, name] == pytest.approx(alone[name], rel=1e-12), name
