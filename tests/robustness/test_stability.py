"""The stability table, what it says in short, and the ICC table as train reads it."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features.table import KEY_COLUMNS
from radiomics_talent.modelling.record import write_frame
from radiomics_talent.modelling.selection import FeatureFilter
from radiomics_talent.modelling.tables import read_icc
from radiomics_talent.robustness.agreement import agreement
from radiomics_talent.robustness.stability import (
    COLUMNS,
    ICC_COLUMNS,
    UNCHANGED,
    SetAgreement,
    icc_table,
    median_by_chain,
    medians_by_class,
    read_stability,
    set_agreement,
    stability,
    stable_shares,
)
from radiomics_talent.robustness.versions import VersionTable

FEATURES = (
    "original_shape_MeshVolume",
    "original_glcm_Contrast",
    "original_glcm_Idm",
    "log-sigma-3-0-mm-3D_glcm_Contrast",
    "original_glcm-2.5D-avg_Contrast",
    "wavelet-HHL_firstorder_Mean",
)
CONSTANT, LACKING = 2, 4
"""Features that are constant, and that two lesions lack in a version of 'noise'."""


def versions_of(n: int = 8) -> VersionTable:
    """Volume never changes, the others the more the further on."""
    rng = np.random.default_rng(5)
    original = rng.normal(10, 1, size=(n, len(FEATURES)))
    chains = {}
    for chain, k in {"combined": 5, "noise": 2}.items():
        noise = rng.normal(size=(n, k, len(FEATURES))) * np.array([0, 0.1, 0, 0.4, 1, 3])
        chains[chain] = original[:, np.newaxis, :] + noise
    original[:, CONSTANT] = 3.0
    for versions in chains.values():
        versions[:, :, CONSTANT] = 3.0
    chains["noise"][[1, 6], 1, LACKING] = np.nan
    keys = pd.DataFrame({name: [f"{name}{i}" for i in range(n)] for name in KEY_COLUMNS})
    return VersionTable(keys, FEATURES, original, chains)


@pytest.fixture
def table() -> pd.DataFrame:
    return stability(versions_of())


def row(table: pd.DataFrame, chain: str, feature: str) -> pd.Series:
    return table[(table["chain"] == chain) & (table["feature"] == feature)].iloc[0]


def test_there_is_a_row_for_each_chain_and_feature(table):
    assert tuple(table.columns) == COLUMNS
    assert list(table["chain"]) == ["combined"] * 6 + ["noise"] * 6
    assert list(table["feature"]) == [*FEATURES, *FEATURES]


def test_the_original_is_the_first_version(table):
    versions = versions_of()
    values = np.concatenate([versions.original[:, np.newaxis], versions.chains["combined"]], axis=1)
    expected = agreement(values)
    rows = table[table["chain"] == "combined"]
    assert (rows["n_versions"] == 6).all()
    np.testing.assert_array_equal(rows["icc_2_1_upper"], expected.icc_2_1.upper)
    np.testing.assert_array_equal(rows["icc_3_1_lower"], expected.icc_3_1.lower)
    np.testing.assert_array_equal(rows["icc_1_1"], expected.icc_1_1.value)
    np.testing.assert_array_equal(rows["ccc"], expected.ccc)
    np.testing.assert_array_equal(rows["cv"], expected.cv)


def test_names_are_taken_apart(table):
    rows = table.iloc[: len(FEATURES)]
    assert list(rows["image_type"]) == ["original"] * 3 + ["log-sigma-3-0-mm-3D", "original", "wavelet-HHL"]
    assert list(rows["feature_class"]) == ["shape", "glcm", "glcm", "glcm", "glcm", "firstorder"]


def test_a_name_of_another_program_has_no_class():
    versions = versions_of()
    foreign = VersionTable(versions.keys, ("volume", "ct_volume", *FEATURES[2:]), versions.original, versions.chains)
    rows = stability(foreign).iloc[:2]
    assert list(rows["image_type"]) == ["volume", "ct"]
    assert list(rows["feature_class"]) == ["", ""]


def test_lesions_that_lack_a_version_are_counted(table):
    noise = row(table, "noise", FEATURES[LACKING])
    assert (noise["n_lesions"], noise["n_lesions_left_out"]) == (6, 2)
    assert (row(table, "combined", FEATURES[LACKING])[["n_lesions", "n_lesions_left_out"]] == [8, 0]).all()


def test_a_constant_feature_says_so_and_has_no_icc(table):
    found = row(table, "combined", FEATURES[CONSTANT])
    assert found["remark"].startswith("constant")
    assert math.isnan(found["icc_1_1"])
    assert (table.loc[~table["feature"].isin([FEATURES[0], FEATURES[CONSTANT]]), "remark"] == "").all()


def test_a_feature_that_no_version_changes_is_1_and_says_so(table):
    found = row(table, "combined", FEATURES[0])
    assert (found[["icc_1_1", "icc_2_1_lower", "icc_3_1_upper", "ccc"]] == 1.0).all()
    assert found["remark"] == UNCHANGED


def test_one_version_of_one_lesion_that_differs_is_a_change():
    versions = versions_of()
    versions.chains["combined"][3, 2, 0] += 1e-9
    versions.chains["noise"][3, 1, 0] = np.nan
    found = stability(versions)
    assert row(found, "combined", FEATURES[0])["remark"] == ""
    assert row(found, "noise", FEATURES[0])["remark"] == UNCHANGED


def many_features(n_lesions, n_versions, n_features):
    rng = np.random.default_rng(3)
    original = rng.normal(10, 1, size=(n_lesions, n_features))
    versions = rng.normal(size=(n_lesions, n_versions, n_features))
    versions += original[:, np.newaxis]
    keys = pd.DataFrame({name: [f"{name}{i}" for i in range(n_lesions)] for name in KEY_COLUMNS})
    names = tuple(f"original_glcm_F{i}" for i in range(n_features))
    return VersionTable(keys, names, original, {"combined": versions})


def test_features_by_the_hundred_are_those_of_one_look():
    versions = many_features(6, 3, 700)
    found = stability(versions)
    assert list(found["feature"]) == list(versions.features)
    expected = agreement(np.concatenate([versions.original[:, np.newaxis], versions.chains["combined"]], axis=1))
    np.testing.assert_allclose(found["icc_2_1"], expected.icc_2_1.value, rtol=1e-12)
    np.testing.assert_allclose(found["cv"], expected.cv, rtol=1e-12)


def test_many_features_need_little_more_memory_than_some():
    peaks = []
    for n_features in (256, 1024):
        versions = many_features(50, 10, n_features)
        tracemalloc.start()
        stability(versions)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize(
    ("statistic", "lower"),
    [("icc_1_1", "icc_1_1_lower"), ("icc_3_1", "icc_3_1_lower"), ("icc_2_1_lower", "icc_2_1_lower")],
)
def test_the_icc_table_holds_the_statistic_and_its_limits(table, statistic, lower):
    found = icc_table(table, "noise", statistic)
    rows = table[table["chain"] == "noise"]
    assert tuple(found.columns) == ICC_COLUMNS
    assert list(found.index) == list(range(len(FEATURES)))
    np.testing.assert_array_equal(found["icc"], rows[statistic])
    np.testing.assert_array_equal(found["icc_lower"], rows[lower])
    np.testing.assert_array_equal(found["icc_upper"], rows[lower.replace("lower", "upper")])


def test_ccc_has_no_limits(table):
    found = icc_table(table, "combined", "ccc")
    np.testing.assert_array_equal(found["icc"], table["ccc"][: len(FEATURES)])
    assert found[["icc_lower", "icc_upper"]].isna().all(axis=None)


def test_a_chain_that_is_not_there_is_refused(table):
    with pytest.raises(ConfigError, match="chain 'volume' is not in the table of stability; its chains are combined"):
        icc_table(table, "volume", "icc_1_1")
    with pytest.raises(ConfigError, match="chain 'volume' is not in"):
        stable_shares(table, "volume", "icc_1_1", 0.75, 0.9)


def test_a_statistic_that_is_not_known_is_refused(table):
    with pytest.raises(ConfigError, match="statistic 'kappa' is not known; expected one of icc_1_1"):
        icc_table(table, "combined", "kappa")
    with pytest.raises(ConfigError, match="statistic 'cv' is not known"):
        stable_shares(table, "combined", "cv", 0.75, 0.9)


def test_the_icc_table_is_one_that_train_reads(table, tmp_path):
    icc = icc_table(table, "combined", "icc_1_1")
    write_frame(tmp_path / "icc.csv", icc)
    read = read_icc(tmp_path / "icc.csv")
    assert list(read) == list(FEATURES)
    np.testing.assert_array_equal(list(read.values()), icc["icc"])


def test_train_drops_a_feature_without_icc_where_it_asks_for_one(table):
    icc = icc_table(table, "combined", "icc_1_1")["icc"]
    rows = np.random.default_rng(0).normal(size=(30, len(FEATURES)))
    kept = FeatureFilter(min_icc=0.5, max_correlation=None, icc=list(icc)).fit(rows).get_support()
    np.testing.assert_array_equal(kept, icc >= 0.5)
    assert not kept[CONSTANT]


def test_shares_are_of_all_features_of_a_group(table):
    shares = stable_shares(table, "combined", "icc_1_1", 0.75, 0.9).set_index(["image_type", "feature_class"])
    icc = table["icc_1_1"][: len(FEATURES)]
    glcm = icc[[1, 2, 4]]
    found = shares.loc[("original", "glcm")]
    assert (found["n_features"], found["n_defined"]) == (3, 2)
    assert found["good"] == (glcm >= 0.75).sum() / 3
    assert found["excellent"] == (glcm >= 0.9).sum() / 3 == 1 / 3
    assert shares.loc[("original", "shape"), "excellent"] == 1


def test_shares_end_with_a_row_of_all(table):
    shares = stable_shares(table, "combined", "icc_1_1", 0.75, 0.9)
    icc = table["icc_1_1"][: len(FEATURES)]
    assert list(shares["image_type"]) == ["original", "original", "log-sigma-3-0-mm-3D", "wavelet-HHL", "all"]
    last = shares.iloc[-1]
    assert (last["n_features"], last["n_defined"]) == (6, 5)
    assert last["good"] == (icc >= 0.75).sum() / 6
    assert shares["n_features"].dtype == np.int64


@pytest.mark.parametrize("by", ["image_type", "feature_class"])
def test_shares_by_one_column_are_the_sums_of_those_by_both(table, by):
    shares = stable_shares(table, "combined", "icc_1_1", 0.75, 0.9, by=(by,)).set_index(by)
    finer = stable_shares(table, "combined", "icc_1_1", 0.75, 0.9)
    finer["n_good"] = finer["good"] * finer["n_features"]
    sums = finer.groupby(by, sort=False)[["n_features", "n_good"]].sum()
    assert list(shares.index) == list(sums.index)
    np.testing.assert_array_equal(shares["n_features"], sums["n_features"])
    np.testing.assert_allclose(shares["good"] * shares["n_features"], sums["n_good"])


def test_medians_of_chains_begin_with_the_least_and_leave_out_features_without_icc(table):
    medians = median_by_chain(table, "icc_1_1")
    for chain, median in medians.items():
        assert median == np.nanmedian(table.loc[table["chain"] == chain, "icc_1_1"])
    assert list(medians.values()) == sorted(medians.values())
    none = table.assign(icc_1_1=table["icc_1_1"].where(table["chain"] == "combined"))
    assert list(median_by_chain(none, "icc_1_1")) == ["combined"]
    with pytest.raises(ConfigError, match="statistic 'cv' is not known"):
        median_by_chain(table, "cv")


def test_medians_of_classes_stand_by_chain(table):
    medians = medians_by_class(table, "icc_1_1")
    assert list(medians.columns) == list(dict.fromkeys(table["chain"]))
    for (image_type, feature_class), row in medians.iterrows():
        held = table[(table["image_type"] == image_type) & (table["feature_class"] == feature_class)]
        for chain, median in row.items():
            np.testing.assert_equal(median, held.loc[held["chain"] == chain, "icc_1_1"].median())
    assert len(medians) == len(table[["image_type", "feature_class"]].drop_duplicates())


def icc_of(**values: float) -> pd.DataFrame:
    return pd.DataFrame({"feature": list(values), "icc": list(values.values())})


def test_sets_agree_where_both_are_on_one_side_of_the_threshold():
    one = icc_of(a=0.95, b=0.91, c=0.2, d=math.nan, e=0.9)
    other = icc_of(e=0.97, d=0.3, c=0.92, b=0.93, a=0.99)
    assert set_agreement(one, other, 0.9) == SetAgreement(5, (3, 4), same_side=0.8, jaccard=0.75)


def test_two_empty_sets_are_the_same():
    assert set_agreement(icc_of(a=0.1), icc_of(a=math.nan), 0.9) == SetAgreement(1, (0, 0), 1.0, 1.0)


def test_tables_of_different_features_are_refused():
    with pytest.raises(TableError, match="different features: b is in one of them alone, 2 in all; compare tables"):
        set_agreement(icc_of(a=0.1, b=0.2), icc_of(a=0.1, c=0.2), 0.9)


def test_a_feature_that_is_there_twice_is_refused():
    twice = pd.concat([icc_of(a=0.1), icc_of(a=0.2)])
    with pytest.raises(TableError, match="feature a is there twice"):
        set_agreement(icc_of(a=0.1), twice, 0.9)


def test_the_file_keeps_every_digit(table, tmp_path):
    write_frame(tmp_path / "stability.csv", table)
    pd.testing.assert_frame_equal(read_stability(tmp_path / "stability.csv"), table, check_exact=True)


def test_the_file_of_the_icc_table_is_read_as_well(table, tmp_path):
    icc = icc_table(table, "noise", "icc_3_1")
    write_frame(tmp_path / "icc.csv", icc)
    pd.testing.assert_frame_equal(read_stability(tmp_path / "icc.csv"), icc, check_exact=True)


def test_nan_is_an_empty_cell(table, tmp_path):
    write_frame(tmp_path / "icc.csv", icc_table(table, "combined", "icc_1_1"))
    lines = (tmp_path / "icc.csv").read_text().splitlines()
    assert lines[0] == ",".join(ICC_COLUMNS)
    assert lines[1 + CONSTANT].startswith(f"{FEATURES[CONSTANT]},,,,8,6,constant: ")


def test_another_table_is_refused(tmp_path):
    (tmp_path / "cohort.csv").write_text("patient_id,feature\np,q\n")
    with pytest.raises(TableError, match=r"is no table of stability: .* patient_id, feature .*without icc"):
        read_stability(tmp_path / "cohort.csv")


@pytest.mark.parametrize(
    ("cells", "message"),
    [("a,good,,,3,2,", "icc is 'good', expected a number"), ("a,0.5,,,3.5,2,", "no whole number"),
     ("a,0.5,,,,2,", "no whole number")],
)  # fmt: skip
def test_text_among_numbers_is_refused(tmp_path, cells, message):
    (tmp_path / "icc.csv").write_text(f"{','.join(ICC_COLUMNS)}\n{cells}\n")
    with pytest.raises(TableError, match=message):
        read_stability(tmp_path / "icc.csv")


def test_a_table_without_chains_has_no_rows():
    versions = versions_of()
    empty = stability(VersionTable(versions.keys, FEATURES, versions.original, {}))
    assert (len(empty), tuple(empty.columns)) == (0, COLUMNS)
