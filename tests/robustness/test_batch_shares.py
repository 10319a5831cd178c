"""Shares of variance by factor: by hand, by chance, after ComBat, and where there is nothing to compare."""

import numpy as np
import pandas as pd
import pytest
from robustness.paired_runs import FEATURES, edited, table_of, write_table
from sklearn.feature_selection import f_classif

from radiomics_talent.features.table import FeatureTable
from radiomics_talent.robustness.batch_shares import BOTH, COLUMNS, batch_shares
from radiomics_talent.robustness.pairing import pair_tables, read_measured


def shares(folder, a, b):
    read = [read_measured(write_table(folder / name, t), name) for name, t in (("A", a), ("B", b))]
    return batch_shares(pair_tables(*read))


def test_shares_are_those_of_an_analysis_of_variance(tmp_path):
    kernels = ["SOFT", "SHARP"] * 6
    a, b = (edited(table_of(12, seed=k, noise=5), kernel=kernels) for k in (1, 2))
    found = shares(tmp_path, a, b).set_index("factor")
    assert found.index.tolist() == [BOTH, "kernel"]
    stacked = np.vstack([t.frame[list(FEATURES)].to_numpy() for t in (a, b)])
    for factor, labels in ((BOTH, np.repeat(["A", "B"], 12)), ("kernel", np.array(kernels * 2))):
        f, _ = f_classif(stacked, labels)
        eta = f / (f + 22)  # F = (eta / 1) / ((1 - eta) / 22)
        assert found.loc[factor, "mean_before"] == pytest.approx(eta.mean(), rel=1e-9)
        assert found.loc[factor, "median_before"] == pytest.approx(np.median(eta), rel=1e-9)
        assert found.loc[factor, "n_large_before"] == (eta >= 0.14).sum()
    assert found.loc["kernel", "chance"] == pytest.approx(1 / 23)
    assert pd.isna(found.loc[BOTH, "chance"])
    assert found.loc["kernel", "levels"] == "SHARP (12); SOFT (12)"


def test_combat_takes_a_shift_of_b_away(tmp_path):
    a, b = table_of(12, seed=1), table_of(12, seed=2)
    frame = b.frame.assign(**{name: b.frame[name] + 60 for name in FEATURES})
    row = shares(tmp_path, a, FeatureTable(frame)).iloc[0]
    assert row["factor"] == BOTH
    assert row["mean_before"] > 0.5
    assert row["n_large_before"] == 3
    assert row["mean_after"] < 0.02
    assert row["n_large_after"] == 0


def test_a_factor_that_is_the_comparison_itself_is_told(tmp_path):
    found = shares(tmp_path, table_of(seed=1, kernel="SOFT"), table_of(seed=2, kernel="SHARP")).set_index("factor")
    assert found.loc["kernel", "remark"] == f"divides the rows as {BOTH} does: their effects cannot be told apart"


def test_unknown_and_rare_levels_are_left_out(tmp_path):
    sites = ["N", "N", "S", "S", "", "W"]
    a, b = edited(table_of(seed=1), site=sites), edited(table_of(seed=2), site=[*sites[:5], "N"])
    row = shares(tmp_path, a, b).set_index("factor").loc["site"]
    assert row["levels"] == "N (5); S (4)"
    assert (row["n_levels"], row["n_rows"]) == (2, 9)
    assert row["remark"] == "3 rows of unknown or rare levels left out"


def test_features_that_do_not_vary_or_are_not_known_do_not_count(tmp_path):
    tables = []
    for k in (1, 2):
        frame = table_of(seed=k).frame
        frame[FEATURES[0]] = 3.0
        frame.loc[0, FEATURES[1]] = np.nan
        tables.append(FeatureTable(frame))
    assert shares(tmp_path, *tables).loc[0, "n_features"] == 1


def test_without_a_feature_that_varies_there_is_no_share(tmp_path):
    frame = table_of(seed=1).frame
    constant = FeatureTable(frame.assign(**dict.fromkeys(FEATURES, 1.0)))
    found = shares(tmp_path, constant, constant)
    assert tuple(found) == COLUMNS
    assert found.loc[0, "remark"] == "no feature varies"
    assert pd.isna(found.loc[0, "mean_before"])


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_units_of_a_feature_do_not_matter(tmp_path, factor):
    tables = [table_of(12, seed=k, noise=5, site="NS"[k]) for k in (0, 1)]
    scaled = [FeatureTable(t.frame.assign(**{FEATURES[0]: t.frame[FEATURES[0]] * factor})) for t in tables]
    (tmp_path / "scaled").mkdir()
    plain, other = shares(tmp_path, *tables), shares(tmp_path / "scaled", *scaled)
    for name in ("mean_before", "median_before", "mean_after"):
        assert other[name].tolist() == pytest.approx(plain[name].tolist(), rel=1e-6)
