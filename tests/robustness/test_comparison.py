"""Two measurements compared: the record, its folder, and what a folder must not be."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from robustness.paired_runs import FEATURES, table_of, two_runs, write_table

from radiomics_talent.errors import ConfigError
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.modelling.tables import read_icc
from radiomics_talent.robustness import comparison as module
from radiomics_talent.robustness.agreement import agreement
from radiomics_talent.robustness.comparison import compare, write_comparison

VALUES = {"versions.parquet", "versions.csv"}
ALWAYS = VALUES | {"stability.csv", "icc.csv", "bland_altman.csv", "batches.csv", "unpaired.csv", "comparison.json"}


@pytest.fixture
def tables(tmp_path):
    return [write_table(tmp_path / name, table_of(10, seed=k, noise=3)) for k, name in enumerate("ab")]


def names(folder):
    return {p.name for p in folder.iterdir()}


def test_agreement_is_that_of_the_pairs(tables):
    found = compare(*tables)
    values = np.stack([found.pairs.values_a, found.pairs.values_b], axis=1)
    expected = agreement(values)
    assert found.icc["feature"].tolist() == list(FEATURES)
    assert found.icc["icc"].tolist() == expected.icc_2_1.value.tolist()
    assert compare(*tables, statistic="icc_3_1").icc["icc"].tolist() == expected.icc_3_1.value.tolist()
    assert found.stability["n_versions"].tolist() == [2] * 3


def test_a_constant_bias_is_disagreement_unless_it_is_asked_to_be_forgiven(tables):
    frame = table_of(10, seed=5, noise=3).frame
    shifted = write_table(tables[0].parent / "c", FeatureTable(frame.assign(**{f: frame[f] + 30 for f in FEATURES})))
    strict, lenient = (compare(tables[0], shifted, statistic=s).icc["icc"] for s in ("icc_2_1", "icc_3_1"))
    assert (strict < 0.6).all()
    assert (lenient > 0.9).all()


def test_what_is_written_can_be_read(tables, tmp_path):
    found = compare(*tables)
    out = tmp_path / "deep" / "out"
    write_comparison(found, out)
    assert names(out) == ALWAYS
    assert read_icc(out / "icc.csv") == dict(zip(FEATURES, found.icc["icc"], strict=True))
    with (out / "bland_altman.csv").open(encoding="utf-8", newline="") as file:
        written = [float(row["bias"]) for row in csv.DictReader(file)]
    assert written == found.bland_altman["bias"].tolist()
    assert len(pd.read_csv(out / "unpaired.csv")) == 0
    record = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert record["a"]["table"] == "../../a/features.parquet"
    assert record["a"]["lesions"] == record["pairs"] == 10
    assert record["options"] == {
        "by": ["patient_id", "lesion_id"], "statistic": "icc_2_1", "good": 0.75, "excellent": 0.9,
    }  # fmt: skip
    assert str(tmp_path) not in (out / "comparison.json").read_text(encoding="utf-8")


def test_the_same_comparison_gives_the_same_bytes(tables, tmp_path):
    for name in ("one", "two"):
        write_comparison(compare(*tables), tmp_path / name)
    for name in ALWAYS:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_masks_are_compared_where_runs_are_named(tmp_path):
    a, b = two_runs(tmp_path / "t")
    found = compare(a, b)
    write_comparison(found, tmp_path / "out")
    masks = pd.read_csv(tmp_path / "out" / "masks.csv")
    assert masks["dice"].tolist() == pytest.approx([5 / 6] * 4)
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["masks"] == {"compared": 4}
    assert found.n_unreadable == 0
    left_out = compare(a, b, masks=False)
    assert left_out.masks is None
    write_comparison(left_out, tmp_path / "out")
    assert names(tmp_path / "out") == ALWAYS


def test_ids_that_look_like_formulas_are_escaped(tables, tmp_path):
    frame = table_of(10, seed=1, noise=3).frame
    frame["patient_id"] = frame["patient_id"].replace("P0", "=1+1()")
    found = compare(tables[0], write_table(tmp_path / "c", FeatureTable(frame)))
    write_comparison(found, tmp_path / "out")
    assert "B,'=1+1(),1," in (tmp_path / "out" / "unpaired.csv").read_text(encoding="utf-8")


def test_a_folder_of_others_is_refused(tables, tmp_path):
    found = compare(*tables)
    with pytest.raises(ConfigError, match=r"not empty and was not made by robustness compare \(it holds features\.csv"):
        write_comparison(found, tables[0])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "icc.csv").write_text("feature,icc\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"it holds icc\.csv"):
        write_comparison(found, tmp_path / "mine")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        write_comparison(found, tmp_path / "file")
    assert (tmp_path / "mine" / "icc.csv").read_text(encoding="utf-8") == "feature,icc\n"


def test_an_empty_folder_is_taken(tables, tmp_path):
    (tmp_path / "out").mkdir()
    write_comparison(compare(*tables), tmp_path / "out")
    assert names(tmp_path / "out") == ALWAYS


def test_a_comparison_that_was_stopped_says_so_and_can_be_repeated(tables, tmp_path, monkeypatch):
    found, out = compare(*tables), tmp_path / "out"
    write_comparison(found, out)

    write_frame = module.write_frame

    def fail(path, frame):
        if path.name == "bland_altman.csv":
            raise OSError(28, "No space left on device")
        write_frame(path, frame)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_frame", fail)
        with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
            write_comparison(found, out)
    assert json.loads((out / "comparison.json").read_text())["complete"] is False
    assert names(out) == {"stability.csv", "icc.csv", "versions.parquet", "versions.csv", "comparison.json"}
    write_comparison(found, out)
    assert names(out) == ALWAYS


def test_a_moved_table_changes_nothing_but_its_path(tables, tmp_path):
    shutil.copytree(tables[1], tmp_path / "elsewhere" / "b")
    first, second = compare(*tables), compare(tables[0], tmp_path / "elsewhere" / "b")
    assert first.pairs.b.sha256 == second.pairs.b.sha256
    assert first.stability.equals(second.stability)


def test_notes_say_what_was_not_done(tables):
    assert [note.split(":")[0] for note in compare(*tables).notes] == [
        "A and B without provenance.json", "masks are not compared", "batches.csv is descriptive",
    ]  # fmt: skip
    assert "masks left out" in compare(*tables, masks=False).notes
