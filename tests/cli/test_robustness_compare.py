"""robustness compare as a user types it."""

import json

import pytest
import typer
from robustness.paired_runs import table_of, two_runs, write_table
from typer.testing import CliRunner

from radiomics_talent.cli import _Group
from radiomics_talent.cli.robustness_compare import robustness_compare

RUN = CliRunner()
APP = typer.Typer(cls=_Group)
APP.callback()(lambda: None)
APP.command("compare")(robustness_compare)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        write_table(tmp_path / name, table_of(10, seed=k, noise=3, kernel=name))
    return tmp_path


def compare(*more):
    return RUN.invoke(APP, ["compare", *more])


def test_two_tables(tables):
    done = compare("a", "b", "--out", "out")
    assert done.exit_code == 0, done.output
    assert "10 pairs of lesions with 3 features; 0 rows unpaired" in done.stdout
    assert ">= 0.75" in done.stdout
    assert "original glcm" in done.stdout
    assert "largest batch share: A or B (A (10); B (10)) makes" in done.stdout
    assert "note: A and B without provenance.json" in done.stdout
    assert (tables / "out" / "icc.csv").is_file()


def test_two_runs_with_masks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    two_runs(tmp_path / "t")
    done = compare("t/one", "t/two", "--out", "out")
    assert done.exit_code == 0, done.output
    assert "masks: 4 of 4 pairs compared; median Dice 0.833" in done.stdout
    assert "masks:" not in compare("t/one", "t/two", "--out", "out", "--no-masks").stdout


def test_a_mask_that_has_gone_is_exit_code_1(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    two_runs(tmp_path / "t")
    (tmp_path / "t" / "data" / "a1.nii.gz").unlink()
    done = compare("t/one", "t/two", "--out", "out")
    assert done.exit_code == 1
    assert "masks: 3 of 4 pairs compared" in done.stdout
    assert "  1 not read: B: the mask does not exist" in done.stdout


def test_json(tables):
    done = compare("a", "b", "--out", "out", "--json")
    record = json.loads(done.stdout)
    assert record["pairs"] == 10
    assert record["statistic"] == "icc_2_1"
    assert record["masks"] is None
    assert record["batches"][0]["factor"] == "A or B"


def test_rows_without_partner_are_listed(tables):
    write_table(tables / "c", table_of(12, seed=3))
    done = compare("a", "c", "--out", "out")
    assert "10 pairs of lesions with 3 features; 2 rows unpaired" in done.stdout
    assert "  B: P10/1: no such row in A" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a", "a", "--out", "out"), "A and B are the same table"),
        (("a", "nowhere", "--out", "out"), "nowhere: does not exist"),
        (("a", "b", "--out", "a"), "was not made by robustness compare"),
        (("a", "b", "--out", "out", "--by", "patient"), "'patient' is no key column"),
        (("a", "b", "--out", "out", "--by", ","), "no column is named"),
        (("a", "b", "--out", "out", "--by", "kernel"), "share kernel 'a'"),
        (("a", "b", "--out", "out", "--statistic", "icc"), "--statistic: 'icc' is not known; take one of icc_1_1"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_sentence(tables, arguments, sentence):
    done = compare(*arguments)
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr
    assert not (tables / "out").exists()
