"""ICC, CCC and within-lesion CV: against pingouin, against published values, and where they are not defined."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.robustness.agreement import Agreement, agreement

KINDS = ("icc_1_1", "icc_2_1", "icc_3_1")
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=np.float64
)
"""Six targets, four judges: Shrout and Fleiss 1979, table 2."""


def one(values: np.ndarray) -> Agreement:
    """Agreement of one feature: values (lesion, version)."""
    return agreement(np.asarray(values, dtype=np.float64)[:, :, np.newaxis])


def numbers(found: Agreement) -> np.ndarray:
    """Coefficients and limits of every kind, then CCC: (number, feature)."""
    kinds = [getattr(found, kind) for kind in KINDS]
    return np.array([x for c in kinds for x in (c.value, c.lower, c.upper)] + [found.ccc])


def sample(n: int, k: int, features: int, seed: int = 0, noise: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lesions, versions = rng.normal(size=(n, 1, features)), 0.3 * rng.normal(size=(1, k, features))
    return lesions + versions + noise * rng.normal(size=(n, k, features))


def long(values: np.ndarray) -> pd.DataFrame:
    lesion, version = np.indices(values.shape)
    return pd.DataFrame({"lesion": lesion.ravel(), "version": version.ravel(), "value": values.ravel()})


def by_pingouin(values: np.ndarray) -> pd.DataFrame:
    """ICC(1,1), ICC(A,1) and ICC(C,1), in this order: (lesion, version) with NaN lesions left out."""
    return pingouin.intraclass_corr(long(values), "lesion", "version", "value", nan_policy="omit").iloc[:3]


@pytest.mark.parametrize(
    ("kind", "value", "lower", "upper"),
    # As R's psych::ICC prints it for these data (sf in its documentation): 2 digits for the coefficient and its upper
    # limit, 3 for the lower one.
    [("icc_1_1", 0.17, -0.133, 0.72), ("icc_2_1", 0.29, 0.019, 0.76), ("icc_3_1", 0.71, 0.342, 0.95)],
)
def test_the_judges_of_shrout_and_fleiss_agree_as_published(kind, value, lower, upper):
    found = getattr(one(JUDGES), kind)
    assert round(found.value[0], 2) == value
    assert round(found.lower[0], 3) == lower
    assert round(found.upper[0], 2) == upper


# pingouin 0.7 calls DataFrame.dropna in a way that pandas 3.1 deprecates.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.dropna:DeprecationWarning")
@pytest.mark.parametrize("noise", [0.01, 0.5, 2.0])
@pytest.mark.parametrize(("n", "k"), [(3, 2), (2, 5), (6, 2), (12, 37), (40, 3)])
def test_coefficients_and_limits_are_pingouins(n, k, noise, monkeypatch):
    monkeypatch.setitem(pingouin.options, "round.column.CI95", None)  # else two decimals
    values = sample(n, k, 4, seed=n * k, noise=noise)
    found = agreement(values)
    for i in range(values.shape[2]):
        theirs = by_pingouin(values[:, :, i])
        for kind, (_, row) in zip(KINDS, theirs.iterrows(), strict=True):
            ours = getattr(found, kind)
            assert ours.value[i] == pytest.approx(row["ICC"], rel=1e-8, abs=1e-8)
            assert [ours.lower[i], ours.upper[i]] == pytest.approx(row["CI95"], rel=1e-8, abs=1e-8)


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.dropna:DeprecationWarning")  # as above
def test_lesions_with_nan_are_those_that_pingouin_omits():
    values = sample(9, 4, 1)[:, :, 0]
    values[[1, 1, 6], [0, 2, 3]] = np.nan
    found = one(values)
    assert found.n_lesions[0] == 7
    ours = [getattr(found, kind).value[0] for kind in KINDS]
    assert ours == pytest.approx(list(by_pingouin(values)["ICC"]), rel=1e-8)


def test_ccc_of_two_versions_is_lins():
    values = sample(15, 2, 1)[:, :, 0]
    x, y = values.T
    lin = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert one(values).ccc[0] == pytest.approx(lin, rel=1e-12)


def test_ccc_of_more_versions_is_made_of_their_pairs():
    values = sample(15, 5, 1)[:, :, 0]
    shared = apart = 0.0
    for x, y in itertools.combinations(values.T, 2):
        shared += 2 * np.cov(x, y, ddof=0)[0, 1]
        apart += x.var() + y.var() + (x.mean() - y.mean()) ** 2
    assert one(values).ccc[0] == pytest.approx(shared / apart, rel=1e-12)


def test_cv_is_the_root_mean_square_over_lesions():
    values = np.array([[9.0, 11.0, 10.0], [-4.0, -4.0, -4.0], [1.0, 2.0, 6.0]])
    each = values.std(axis=1, ddof=1) / np.abs(values.mean(axis=1))
    assert one(values).cv[0] == pytest.approx(np.sqrt(np.mean(each**2)), rel=1e-12)


def test_cv_is_not_defined_where_a_lesions_mean_is_0():
    found = one(np.array([[1.0, 2.0], [-0.1, 0.1], [4.0, 5.0]]))
    assert np.isnan(found.cv[0])
    assert found.remark[0] == ""


def test_versions_that_are_equal_agree_wholly():
    lesions = np.array([0.1, 1 / 3, 2.7, 1e5])
    found = one(np.repeat(lesions[:, np.newaxis], 7, axis=1))
    assert numbers(found)[:, 0].tolist() == [1.0] * 10
    assert found.cv[0] == 0
    assert found.remark[0] == ""


@pytest.mark.parametrize("value", [0.0, 5.0, -1e300, 1e-310, 1 / 3])
def test_a_constant_has_no_icc(value):
    found = one(np.full((6, 4), value))
    assert found.remark[0] == "constant"
    assert np.isnan(numbers(found)).all()


@pytest.mark.parametrize("relative", [1e-16, 1e-15, 1e-13])
def test_rounding_is_no_variance(relative):
    noise = np.random.default_rng(0).uniform(-1, 1, size=(10, 4))
    found = one(1234.5 * (1 + relative * noise))
    assert found.remark[0] == "constant"
    assert np.isnan(numbers(found)).all()


def test_a_small_variance_about_a_large_mean_keeps_its_digits():
    steps = JUDGES / 1024  # exact when added to 2 ** 30
    offset = 2.0**30
    np.testing.assert_allclose(numbers(one(offset + steps)), numbers(one(JUDGES)), rtol=1e-9, atol=1e-9)


def test_a_first_lesion_that_is_left_out_costs_no_digits():
    steps = JUDGES / 1024
    steps[0, 1] = np.nan
    np.testing.assert_allclose(numbers(one(2.0**30 + steps)), numbers(one(JUDGES[1:])), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e-12, 1e12, 1e300])
def test_scale_is_no_matter(scale):
    # Of 1e-320 few digits are left in a float64: 3 of them.
    digits = 1e-3 if scale < 1e-308 else 1e-9
    np.testing.assert_allclose(numbers(one(JUDGES * scale)), numbers(one(JUDGES)), rtol=digits, atol=digits)


def test_versions_that_differ_while_lesions_do_not_have_no_consistency():
    found = one(np.ones((6, 1)) * np.array([0.1, 0.2, 0.7]))
    assert found.remark[0] == "constant_in_version"
    assert np.isnan([found.icc_3_1.value, found.icc_3_1.lower, found.icc_3_1.upper]).all()
    assert found.icc_1_1.value[0] == pytest.approx(-0.5)
    assert found.icc_2_1.value[0] == pytest.approx(0.0, abs=1e-12)
    assert found.ccc[0] == pytest.approx(0.0, abs=1e-12)


def test_infinite_values_have_no_icc_and_say_so():
    values = JUDGES.copy()
    values[2, 3] = np.inf
    found = one(values)
    assert (found.remark[0], found.n_lesions[0]) == ("infinite", 6)
    assert np.isnan([*numbers(found)[:, 0], found.cv[0]]).all()


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_lesions_have_no_icc(n):
    found = one(JUDGES[:n])
    assert (found.remark[0], found.n_lesions[0]) == ("few_lesions", n)
    assert np.isnan(numbers(found)).all()


def test_an_infinite_value_of_a_lesion_that_is_left_out_is_no_matter():
    values = JUDGES.copy()
    values[2, :2] = np.inf, np.nan
    found = one(values)
    assert found.remark[0] == ""
    np.testing.assert_allclose(numbers(found), numbers(one(np.delete(JUDGES, 2, axis=0))), rtol=1e-12)


@pytest.mark.parametrize("shape", [(6, 1, 3), (6, 0, 3), (6, 4)])
def test_one_version_has_nothing_to_agree_with(shape):
    with pytest.raises(TableError, match="two or more versions"):
        agreement(np.zeros(shape))


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_is_between_0_and_1(confidence):
    with pytest.raises(ConfigError, match="expected more than 0 and less than 1"):
        agreement(JUDGES[:, :, np.newaxis], confidence)


def test_more_confidence_is_a_wider_interval():
    some, more = (agreement(JUDGES[:, :, np.newaxis], confidence) for confidence in (0.9, 0.99))
    for kind in KINDS:
        narrow, wide = getattr(some, kind), getattr(more, kind)
        assert wide.lower[0] < narrow.lower[0] < narrow.value[0] < narrow.upper[0] < wide.upper[0]


def test_input_stays_as_it_is():
    values = sample(5, 3, 2)
    before = values.copy()
    agreement(values)
    assert np.array_equal(values, before)


def test_features_do_not_know_of_each_other():
    values = sample(8, 3, 20)
    values[2, 1, ::3] = np.nan
    values[:, :, 4] = 7
    values[0, 0, 5] = np.inf
    together = numbers(agreement(values))
    for i in range(values.shape[2]):
        np.testing.assert_allclose(numbers(agreement(values[:, :, i : i + 1]))[:, 0], together[:, i], rtol=1e-12)


matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(3, 8), st.integers(2, 5)),
    elements=st.integers(-1000, 1000).map(lambda whole: whole / 8),
)


@given(matrices, st.randoms(use_true_random=False))
def test_the_order_of_lesions_and_of_versions_is_no_matter(values, random):
    lesions, versions = list(range(values.shape[0])), list(range(values.shape[1]))
    random.shuffle(lesions)
    random.shuffle(versions)
    before, after = one(values), one(values[np.ix_(lesions, versions)])
    assert before.remark[0] == after.remark[0]
    close(after, before)
    np.testing.assert_allclose(after.cv, before.cv, rtol=1e-9)


@given(matrices, st.sampled_from([-3.0, -0.1, 1e-7, 7.0, 1e9]), st.sampled_from([-1e3, 0.0, 0.3, 1e2]))
def test_an_affine_change_of_a_feature_changes_neither_icc_nor_ccc(values, factor, offset):
    before, after = one(values), one(factor * (values + offset))
    assert before.remark[0] == after.remark[0]
    close(after, before)


@given(matrices, st.data())
def test_a_lesion_with_nan_is_a_lesion_left_out(values, data):
    row, column = (data.draw(st.integers(0, size - 1)) for size in values.shape)
    before = one(np.delete(values, row, axis=0))
    values[row, column] = np.nan
    after = one(values)
    assert (before.remark[0], before.n_lesions[0]) == (after.remark[0], after.n_lesions[0])
    close(after, before)
    np.testing.assert_allclose(after.cv, before.cv, rtol=1e-9)


@given(matrices)
def test_a_coefficient_is_1_at_most_and_only_for_versions_that_are_equal(values):
    found = one(values)
    if found.remark[0] == "constant":
        return
    assert found.icc_1_1.lower[0] <= found.icc_1_1.value[0] <= found.icc_1_1.upper[0] <= 1
    assert (found.icc_1_1.value[0] == 1) == bool((values == values[:, :1]).all())


def close(one_: Agreement, other: Agreement) -> None:
    """Coefficients agree; limits of ICC(2,1), whose degrees of freedom are 0/0 where it is 0, only away from that."""
    a, b = numbers(one_)[:, 0], numbers(other)[:, 0]
    if other.remark[0] != "" or abs(other.icc_2_1.value[0]) < 1e-6:
        a, b = (np.delete(x, [4, 5]) for x in (a, b))
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
