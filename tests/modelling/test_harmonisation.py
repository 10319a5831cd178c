import numpy as np
import pandas as pd
import pytest
from combatlearn.core import ComBatModel

from radiomics_talent.errors import ModelError
from radiomics_talent.modelling.harmonisation import BatchHarmoniser


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((60, 20)) * 1e3 + 5e4, columns=[f"f{i}" for i in range(20)])
    frame["batch"] = np.repeat(["a", "b", "c"], 20)
    frame["age"] = rng.normal(60, 10, 60)
    frame["sex"] = rng.choice(["f", "m"], 60)
    frame.loc[frame["batch"] == "b", [f"f{i}" for i in range(20)]] += 2e3
    return frame


FEATURES = [f"f{i}" for i in range(20)]


@pytest.mark.parametrize("covariates", [[], ["age"], ["sex"], ["age", "sex"]])
def test_it_is_combatlearn_on_new_rows_too(table, covariates):
    train, new = table.iloc[::2], table.iloc[1::2]
    ours = BatchHarmoniser("batch", covariates).fit(train[[*FEATURES, "batch", *covariates]])
    model = ComBatModel(method="fortin" if covariates else "johnson")

    def kinds(rows):
        found = {}
        if "age" in covariates:
            found["continuous_covariates"] = rows[["age"]]
        if "sex" in covariates:
            found["discrete_covariates"] = rows[["sex"]]
        return found

    model.fit(train[FEATURES], batch=train["batch"], **kinds(train))
    theirs = model.transform(new[FEATURES], batch=new["batch"], **kinds(new))
    assert ours.transform(new).to_numpy() == pytest.approx(np.asarray(theirs), rel=1e-10)


def test_the_batch_effect_is_gone(table):
    adjusted = BatchHarmoniser("batch").fit_transform(table[[*FEATURES, "batch"]])
    means = adjusted.groupby(table["batch"]).mean()
    assert np.ptp(means.to_numpy(), axis=0).max() < 1e3
    assert np.ptp(table[FEATURES].groupby(table["batch"]).mean().to_numpy(), axis=0).min() > 1e3


def test_transform_uses_nothing_of_the_new_rows(table):
    ours = BatchHarmoniser("batch").fit(table.iloc[:55][[*FEATURES, "batch"]])
    alone = ours.transform(table.iloc[[57]])
    together = ours.transform(table.iloc[55:]).loc[[57]]
    assert (alone.to_numpy() == together.to_numpy()).all()


def test_an_unseen_batch_is_refused_or_left_alone(table):
    train = table[table["batch"] != "c"][[*FEATURES, "batch"]]
    new = table[table["batch"] == "c"]
    with pytest.raises(ModelError, match=r"batch 'c' was not in the training data \(it has 'a', 'b'\)"):
        BatchHarmoniser("batch").fit(train).transform(new)
    lenient = BatchHarmoniser("batch", unseen="unadjusted").fit(train)
    with pytest.warns(UserWarning, match="20 rows of batch 'c' have no estimate"):
        assert (lenient.transform(new).to_numpy() == new[FEATURES].to_numpy()).all()


def test_a_batch_of_one_row_is_refused(table):
    train = table.iloc[:41][[*FEATURES, "batch"]]
    with pytest.raises(ModelError, match="batch 'c' has a single row"):
        BatchHarmoniser("batch").fit(train)


def test_a_constant_feature_stays(table):
    table["f3"] = 7.0
    adjusted = BatchHarmoniser("batch").fit_transform(table[[*FEATURES, "batch"]])
    assert (adjusted["f3"] == 7.0).all()
    assert adjusted.notna().all().all()


def test_one_batch_changes_nothing(table):
    one = table[table["batch"] == "a"][[*FEATURES, "batch"]]
    assert (BatchHarmoniser("batch").fit_transform(one).to_numpy() == one[FEATURES].to_numpy()).all()
