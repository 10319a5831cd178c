import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from radiomics_talent.errors import TableError
from radiomics_talent.features.table import KEY_COLUMNS, FeatureTable, load_features
from radiomics_talent.features.whole_files import replacing


def keys(lesion_id: str, **more: object) -> dict[str, object]:
    return {"patient_id": "007", "lesion_id": lesion_id, **more}


def test_key_columns_come_first_and_keep_their_text():
    table = FeatureTable.from_rows([(keys("NA", slice_thickness_mm=2.5), {"original_b": 1.0, "original_a": 2})])
    assert tuple(table.frame.columns) == (*KEY_COLUMNS, "original_b", "original_a")
    assert table.features == ("original_b", "original_a")
    assert table.frame.loc[0, "patient_id"] == "007"
    assert table.frame.loc[0, "label"] == ""


def test_a_feature_that_a_lesion_lacks_is_nan():
    table = FeatureTable.from_rows([(keys("1"), {"a": 1.0}), (keys("2"), {"b": 2.0})])
    assert table.frame[["a", "b"]].isna().to_numpy().tolist() == [[False, True], [True, False]]


@given(arrays.arrays(np.float64, (3, 2), elements=st.floats(allow_nan=True, allow_infinity=True, width=64)))
@settings(deadline=None)
def test_both_files_give_back_the_same_bits(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("t")
    rows = [
        (keys(i, slice_thickness_mm=t), dict(zip("ab", v, strict=True)))
        for i, t, v in zip(("1", "NA", "ü,\n'"), (None, 0.1, 5), values, strict=True)
    ]
    table = FeatureTable.from_rows(rows)
    for path in table.write(folder):
        back = load_features(path)
        pd.testing.assert_frame_equal(back.frame, table.frame, check_exact=True)
        assert np.array_equal(back.frame[["a", "b"]].to_numpy(), values, equal_nan=True)


def test_the_table_of_no_lesion_can_be_written_and_read(tmp_path):
    for path in FeatureTable.from_rows([]).write(tmp_path):
        assert len(load_features(path)) == 0


def test_formulas_are_defused_in_the_csv_alone(tmp_path):
    table = FeatureTable.from_rows([(keys("-1", site="=1+1", kernel="'@x"), {"a": -1.5})])
    parquet, text = table.write(tmp_path)
    assert ",-1,,,,,,,''@x,,'=1+1,-1.5" in text.read_text(encoding="utf-8")
    for path in (parquet, text):
        pd.testing.assert_frame_equal(load_features(path).frame, table.frame, check_exact=True)


def test_a_nan_is_an_empty_cell(tmp_path):
    FeatureTable.from_rows([(keys("1"), {"a": math.nan, "b": 0.1})]).write(tmp_path)
    assert (tmp_path / "features.csv").read_text(encoding="utf-8").splitlines()[1].endswith(",,0.1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.drop(columns="site"), "columns site missing"),
        (lambda f: f[[*reversed(KEY_COLUMNS), "a"]], "first columns must be patient_id"),
        (lambda f: f.assign(a="x"), "column a is not a feature"),
        (lambda f: pd.concat([f, f]), "lesion 007/1 is there twice"),
    ],
)
def test_what_is_not_a_feature_table_is_refused(change, sentence):
    frame = FeatureTable.from_rows([(keys("1"), {"a": 1.0})]).frame
    with pytest.raises(TableError, match=sentence):
        FeatureTable(change(frame))


def test_files_that_are_no_table_are_refused_by_name(tmp_path):
    with pytest.raises(TableError, match=r"absent\.csv: cannot be read"):
        load_features(tmp_path / "absent.csv")
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    with pytest.raises(TableError, match=r"junk\.parquet: not a feature table"):
        load_features(tmp_path / "junk.parquet")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"other\.csv: not a feature table: columns patient_id"):
        load_features(tmp_path / "other.csv")


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_half()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
