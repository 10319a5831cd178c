"""Rows of two tables: which go together, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from robustness.paired_runs import FEATURES, edited, table_of, write_table

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.robustness.pairing import CHAIN, pair_tables, read_measured


def pair(a, b, *by):
    return pair_tables(read_measured(a, "A"), read_measured(b, "B"), *([by] if by else []))


@pytest.fixture
def a(tmp_path):
    return write_table(tmp_path / "a", table_of(seed=1))


def test_rows_are_paired_by_lesion_in_the_order_of_a(a, tmp_path):
    turned = table_of(seed=2).frame.iloc[::-1].reset_index(drop=True)
    pairs = pair(a, write_table(tmp_path / "b", FeatureTable(turned)))
    assert pairs.keys_a["patient_id"].tolist() == pairs.keys_b["patient_id"].tolist() == [f"P{k}" for k in range(6)]
    assert np.array_equal(pairs.values_b, table_of(seed=2).frame[list(FEATURES)].to_numpy())
    assert np.array_equal(pairs.values_a, table_of(seed=1).frame[list(FEATURES)].to_numpy())


def test_columns_of_b_in_another_order_are_the_same_features(a, tmp_path):
    frame = table_of(seed=2).frame
    keys = [c for c in frame if c not in FEATURES]
    pairs = pair(a, write_table(tmp_path / "b", FeatureTable(frame[[*keys, *FEATURES[::-1]]])))
    assert pairs.features == FEATURES
    assert np.array_equal(pairs.values_b, frame[list(FEATURES)].to_numpy())


def test_a_table_and_a_run_folder_can_be_named(a, tmp_path):
    b = write_table(tmp_path / "b", table_of(seed=2))
    for name in ("features.csv", "features.parquet"):
        assert np.array_equal(pair(a, b / name).values_b, pair(a, b).values_b)


def test_versions_are_the_second_table_beside_the_first(a, tmp_path):
    pairs = pair(a, write_table(tmp_path / "b", table_of(seed=2)))
    versions = pairs.as_versions()
    assert np.array_equal(versions.original, pairs.values_a)
    assert np.array_equal(versions.chains[CHAIN][:, 0, :], pairs.values_b)
    assert len(pairs.stacked()) == 12


def test_a_lesion_of_one_table_alone_is_left_out_and_listed(a, tmp_path):
    lesions = [{"patient_id": "P5", "lesion_id": "1", "status": "failed", "stage": "mask"}]
    fewer = FeatureTable(table_of(seed=2).frame.iloc[:4].reset_index(drop=True))
    more = FeatureTable(pd.concat([fewer.frame, table_of(1, prefix="Q").frame], ignore_index=True))
    pairs = pair(a, write_table(tmp_path / "b", more, lesions=lesions))
    assert pairs.keys_a["patient_id"].tolist() == ["P0", "P1", "P2", "P3"]
    assert list(pairs.unpaired.itertuples(index=False, name=None)) == [
        ("A", "P4", "1", "no such row in B"),
        ("A", "P5", "1", "failed in B (stage mask)"),
        ("B", "Q0", "1", "no such row in A"),
    ]


def test_patients_with_one_lesion_each_can_be_paired_by_patient(a, tmp_path):
    b = write_table(tmp_path / "b", edited(table_of(seed=2), lesion_id=[f"retest{k}" for k in range(6)]))
    with pytest.raises(TableError, match=r"0 of 6 and 6 rows .*A begins with P0/1, B with P0/retest0.*3 pairs or more"):
        pair(a, b)
    pairs = pair(a, b, "patient_id")
    assert pairs.keys_b["lesion_id"].tolist() == [f"retest{k}" for k in range(6)]


def test_a_key_that_names_two_rows_is_refused_with_them(a, tmp_path):
    b = edited(
        table_of(seed=2), patient_id=["P0", "P1", "P1", "P3", "P4", "P5"], lesion_id=["1", "1", "2", "1", "1", "1"]
    )
    with pytest.raises(TableError, match=r"rows P1/1 and P1/2 of B share patient_id 'P1'"):
        pair(a, write_table(tmp_path / "b", b), "patient_id")


def test_an_empty_key_names_no_row(a, tmp_path):
    with pytest.raises(TableError, match=r"rows P0/1 and P1/1 of A share an empty site"):
        pair(a, write_table(tmp_path / "b", table_of(seed=2)), "site")


def test_a_table_that_is_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(TableError, match="nowhere: does not exist; name a run folder"):
        read_measured(tmp_path / "nowhere", "A")


def test_fewer_than_three_pairs_are_refused(a, tmp_path):
    two = FeatureTable(table_of(seed=2).frame.iloc[:2].reset_index(drop=True))
    with pytest.raises(TableError, match=r"2 of 6 and 2 rows are paired by patient_id, lesion_id, and .* 3 pairs"):
        pair(a, write_table(tmp_path / "b", two))


def test_other_features_are_refused_as_a_difference(a, tmp_path):
    frame = table_of(seed=2).frame.rename(columns={FEATURES[2]: "original_glcm_Other"})
    with pytest.raises(
        TableError, match="A has original_glcm_Contrast which B lacks; B has original_glcm_Other which A"
    ):
        pair(a, write_table(tmp_path / "b", FeatureTable(frame)))


def test_the_same_folder_is_refused(a):
    with pytest.raises(ConfigError, match="A and B are the same table"):
        pair(a, a / "features.csv")


def test_a_copy_of_the_table_is_told(a, tmp_path):
    pairs = pair(a, write_table(tmp_path / "b", table_of(seed=1)))
    assert any("measured once" in note for note in pairs.notes)


def test_unknown_columns_are_refused(a, tmp_path):
    b = write_table(tmp_path / "b", table_of(seed=2))
    with pytest.raises(ConfigError, match="'patient' is no key column"):
        pair(a, b, "patient")
    with pytest.raises(ConfigError, match="no column is named"):
        pair_tables(read_measured(a, "A"), read_measured(b, "B"), ())


def test_other_settings_are_refused_by_the_keys_that_differ(tmp_path):
    a = write_table(tmp_path / "a", table_of(seed=1), lesions=[])
    b = write_table(tmp_path / "b", table_of(seed=2), settings={"a": {"b": 2}}, settings_sha256="t")
    with pytest.raises(ConfigError, match=r"different settings: a\.b differ"):
        pair(a, b)


def test_other_versions_of_what_makes_numbers_are_refused_and_others_are_not(tmp_path):
    versions = {"engine": "native", "numba": "1", "pydicom": "1"}
    a = write_table(tmp_path / "a", table_of(seed=1), versions=versions)
    same = write_table(tmp_path / "same", table_of(seed=2), versions=versions | {"pydicom": "2"})
    assert pair(a, same).notes == ()
    other = write_table(tmp_path / "other", table_of(seed=2), versions=versions | {"numba": "2"})
    with pytest.raises(ConfigError, match="different versions: numba 1 in A, 2 in B"):
        pair(a, other)


def test_a_table_without_provenance_is_told(a, tmp_path):
    b = write_table(tmp_path / "b", table_of(seed=2), lesions=[])
    assert pair(a, b).notes == (
        "A without provenance.json: whether both were extracted with the same settings is not known",
    )


def test_a_stopped_run_is_told(tmp_path):
    a = write_table(tmp_path / "a", table_of(seed=1), complete=True)
    b = write_table(tmp_path / "b", table_of(seed=2), complete=False)
    assert pair(a, b).notes == ("B is of a run that was stopped: its lesions are not all there",)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"settings": 1, "settings_sha256": "", "versions": {}})])
def test_damaged_provenance_is_refused(a, tmp_path, text):
    b = write_table(tmp_path / "b", table_of(seed=2))
    (b / "provenance.json").write_text(text, encoding="utf-8")
    with pytest.raises(TableError, match=r"provenance\.json: is damaged"):
        pair(a, b)
