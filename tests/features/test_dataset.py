import csv

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features import dataset
from radiomics_talent.features.dataset import (
    features_sha256,
    find_features,
    open_features,
    write_features,
    write_one_file,
)
from radiomics_talent.features.table import FeatureTable, load_features

NAMES = ("original_shape_MeshVolume", "original_glcm_Contrast", "original_glcm_Id")


def rows(n):
    rng = np.random.default_rng(0)
    return [
        (
            {"patient_id": f"p{i // 3}", "lesion_id": f"L{i}", "site": "=a"},
            dict(zip(NAMES, rng.normal(size=3), strict=True)),
        )
        for i in range(n)
    ]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A run folder whose table is in parts of 40 lesions, read 10 at a time."""
    monkeypatch.setattr(dataset, "MOST_IN_ONE_FILE", 50)
    monkeypatch.setattr(dataset, "LESIONS_A_PART", 40)
    monkeypatch.setattr(dataset, "_LESIONS_AT_ONCE", 10)
    write_features(tmp_path, iter(rows(103)), NAMES, 103)
    return tmp_path


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_small_table_is_one_file_with_its_csv_twin(tmp_path, monkeypatch, n):
    monkeypatch.setattr(dataset, "_LESIONS_AT_ONCE", 3)
    path = write_features(tmp_path, iter(rows(n)), NAMES, n)
    expected = FeatureTable.from_rows(rows(n), NAMES).frame
    assert find_features(tmp_path) == path == tmp_path / "features.parquet"
    assert load_features(path).frame.equals(expected)
    assert load_features(tmp_path / "features.csv").frame.equals(expected)
    assert open_features(tmp_path).read().frame.equals(expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["features.csv", "features.parquet"]


def test_one_piece_is_what_pandas_writes(tmp_path):
    table = FeatureTable.from_rows(rows(20), NAMES)
    write_features(tmp_path, iter(rows(20)), NAMES, 20)
    assert pq.read_schema(tmp_path / "features.parquet").equals(
        pq.read_schema(_written_by_pandas(table, tmp_path)), check_metadata=True
    )


def _written_by_pandas(table, folder):
    table.frame.to_parquet(folder / "pandas.parquet", engine="pyarrow", index=False)
    return folder / "pandas.parquet"


def test_a_large_table_is_a_dataset_in_the_order_of_the_cohort(parts):
    assert [p.name for p in sorted((parts / "features").iterdir())] == [f"part-{n:05}.parquet" for n in range(3)]
    expected = FeatureTable.from_rows(rows(103), NAMES).frame
    assert find_features(parts) == parts / "features"
    for read in (
        load_features(parts / "features"),
        open_features(parts).read(),
        open_features(parts / "features").read(),
    ):
        assert read.frame.equals(expected)
    assert pd.read_parquet(parts / "features").equals(expected)
    assert open_features(parts).n_lesions == 103
    assert open_features(parts).features == NAMES


def test_a_part_is_read_by_column_and_patient(parts):
    expected = FeatureTable.from_rows(rows(103), NAMES).frame
    part = open_features(parts).read(["*_glcm_*"], ["p30", "p2"])
    assert part.features == NAMES[1:]
    wanted = expected["patient_id"].isin(["p30", "p2"])
    assert part.frame.equals(expected.loc[wanted].drop(columns=NAMES[0]).reset_index(drop=True))
    assert len(open_features(parts).read(None, ["nobody"])) == 0


def test_no_piece_is_larger_than_it_may_be(parts):
    sizes = [len(piece) for piece in open_features(parts).batches()]
    assert max(sizes) <= 10
    assert sum(sizes) == 103


@pytest.mark.parametrize("name", ["all.parquet", "all.csv"])
def test_parts_become_one_file_on_request(parts, tmp_path, name):
    assert write_one_file(open_features(parts).batches(), tmp_path / name) == 103
    assert load_features(tmp_path / name).frame.equals(load_features(parts / "features").frame)


def test_a_part_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "MOST_IN_ONE_FILE", 5)

    def breaks():
        yield from rows(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_features(tmp_path, breaks(), NAMES, 30)
    assert list(tmp_path.iterdir()) == []


def test_the_hash_is_of_all_parts(parts, tmp_path):
    before = features_sha256(parts / "features")
    assert len(before) == 64
    part = parts / "features" / "part-00002.parquet"
    part.write_bytes(part.read_bytes() + b"x")
    assert features_sha256(parts / "features") != before


def test_what_is_no_table_is_refused(parts, tmp_path):
    with pytest.raises(ConfigError, match="no feature is called 'gclm'; the first is original_shape_MeshVolume"):
        open_features(parts).read(["gclm"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="no feature table is here; name the run folder of extract"):
        open_features(tmp_path / "empty")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(TableError, match=r"a\.parquet: is no Parquet file that can be read"):
        open_features(tmp_path / "a.parquet")
    pd.DataFrame({"x": [1.0]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(TableError, match="not a feature table: its first columns must be patient_id"):
        open_features(tmp_path / "b.parquet")
    part = parts / "features" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:300])
    with pytest.raises(TableError, match="no Parquet file that can be read"):
        open_features(parts)


def test_formulas_are_escaped_in_every_piece(parts, tmp_path):
    write_one_file(open_features(parts).batches(), tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        assert {row["site"] for row in csv.DictReader(file)} == {"'=a"}
