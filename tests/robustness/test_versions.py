"""A file of versions is read by what its rows say, in whatever order they are; what does not fit is told."""

import numpy as np
import pandas as pd
import pytest

from radiomics_talent.errors import TableError
from radiomics_talent.features.table import KEY_COLUMNS
from radiomics_talent.robustness.versions import VersionTable, read_versions


def table_of(n=4):
    """Return a table in which every number is another; lesion ids are there again for every second patient."""
    keys = pd.DataFrame({name: [f"{name}{i}" for i in range(n)] for name in KEY_COLUMNS})
    keys["patient_id"], keys["lesion_id"] = [f"p{i // 2}" for i in range(n)], [f"L{i % 2}" for i in range(n)]
    keys["slice_thickness_mm"] = np.full(n, 3.0)
    numbers = np.arange(n * 6 * 2.0).reshape(n, 6, 2)
    chains = {"noise": numbers[:, 1:3], "volume": numbers[:, 3:]}
    return VersionTable(keys, ("original_glcm_Contrast", "original_glcm_Idm"), numbers[:, 0], chains)


@pytest.fixture
def frame(tmp_path):
    table_of().write(tmp_path)
    return pd.read_parquet(tmp_path / "versions.parquet")


def read(frame, tmp_path):
    frame.to_parquet(tmp_path / "other.parquet", index=False)
    return read_versions(tmp_path / "other.parquet")


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_the_order_of_rows_changes_no_number(frame, tmp_path, seed):
    rows = frame if seed is None else frame.sample(frac=1, random_state=seed)
    found, expected = read(rows, tmp_path), table_of()
    place = [expected.keys.index[(expected.keys == key).all(axis=1)][0] for _, key in found.keys.iterrows()]
    assert sorted(place) == [0, 1, 2, 3]
    assert np.array_equal(found.original, expected.original[place])
    assert set(found.chains) == {"noise", "volume"}
    for chain, values in found.chains.items():
        assert np.array_equal(values, expected.chains[chain][place])


def is_row(frame, chain, version, patient="p1", lesion="L0"):
    key = (frame["patient_id"] == patient) & (frame["lesion_id"] == lesion)
    return key & (frame["chain"] == chain) & (frame["version"] == version)


def test_a_lost_row_is_told(frame, tmp_path):
    with pytest.raises(
        TableError, match=r"other\.parquet: lesion p1/L0: version 2 of chain volume is not there; repeat"
    ):
        read(frame[~is_row(frame, "volume", 2)], tmp_path)


def test_a_row_that_is_there_twice_is_told(frame, tmp_path):
    again = pd.concat([frame, frame[is_row(frame, "noise", 1)]])
    with pytest.raises(TableError, match="lesion p1/L0: version 1 of chain noise is twice or more there; repeat"):
        read(again, tmp_path)


def test_a_row_of_another_lesion_in_its_place_is_told(frame, tmp_path):
    frame.loc[is_row(frame, "noise", 1), "lesion_id"] = "L1"
    with pytest.raises(TableError, match="lesion p1/L0: version 1 of chain noise is not there"):
        read(frame, tmp_path)


def test_a_version_that_no_lesion_has_is_told(frame, tmp_path):
    with pytest.raises(TableError, match="chain volume has 2 versions and no version 2, expected 1 to 2"):
        read(frame[~((frame["chain"] == "volume") & (frame["version"] == 2))], tmp_path)


def test_versions_of_a_lesion_without_its_original_are_told(frame, tmp_path):
    with pytest.raises(TableError, match="lesion p1/L0 has versions and is not there as it is"):
        read(frame[~is_row(frame, "original", 0)], tmp_path)


def test_a_lesion_that_is_there_twice_as_it_is_is_told(frame, tmp_path):
    again = pd.concat([frame, frame[is_row(frame, "original", 0)]])
    with pytest.raises(TableError, match="lesion p1/L0 is there twice as it is, expected once"):
        read(again, tmp_path)


def test_versions_without_numbers_are_told(frame, tmp_path):
    with pytest.raises(TableError, match="version is no column of whole numbers"):
        read(frame.assign(version=frame["version"].astype(str)), tmp_path)


def test_text_among_the_features_is_told(frame, tmp_path):
    with pytest.raises(TableError, match="column original_glcm_Idm holds something else than numbers"):
        read(frame.assign(original_glcm_Idm="x"), tmp_path)


def test_a_table_without_lesions_has_none(frame, tmp_path):
    assert len(read(frame[:0], tmp_path).keys) == 0
