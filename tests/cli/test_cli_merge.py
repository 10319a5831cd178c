"""`extract --chunk`, `merge` and `table`, as a user types them."""

import json
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort
from typer.testing import CliRunner

from radiomics_talent.cli import app

SETTINGS = "featureClass: {firstorder: , glcm: [Contrast]}\nsetting: {binWidth: 10}\n"


def typed(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def study(tmp_path) -> Path:
    make_cohort(tmp_path / "data")
    (tmp_path / "settings.yaml").write_text(SETTINGS, encoding="utf-8")
    return tmp_path


def extract(study: Path, out: str, *more: object):
    return typed(
        *("extract", study / "data" / "cohort.csv", "--config", study / "settings.yaml", "--out", study / out),
        *("--jobs", 1, "--timeout", 0, *more),
    )


def test_chunks_are_extracted_and_merged(study):
    for number in (1, 2):
        assert extract(study, str(number), "--chunk", f"{number}/2").exit_code == 0
    assert extract(study, "whole").exit_code == 0
    ran = typed("merge", study / "1", study / "2", "--out", study / "run", "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["lesions"] == 6
    assert (study / "run" / "features.csv").read_bytes() == (study / "whole" / "features.csv").read_bytes()


def test_a_chunk_that_failed_shows_in_the_exit_code(study):
    (study / "data" / "p2_1.nii.gz").unlink()
    codes = [extract(study, str(n), "--chunk", f"{n}/2").exit_code for n in (1, 2)]
    assert sorted(codes) == [0, 1]
    ran = typed("merge", study / "1", study / "2", "--out", study / "run")
    assert ran.exit_code == 1
    assert "5 lesions with" in ran.stdout
    assert "1 failed" in ran.stdout


@pytest.mark.parametrize(
    ("chunk", "sentence"),
    [("3", "give the chunk and how many there are, as 3/8"), ("4/3", "chunks are numbered from 1 to 3")],
)
def test_a_chunk_that_cannot_be_is_wrong_usage(study, chunk, sentence):
    ran = extract(study, "run", "--chunk", chunk)
    assert ran.exit_code == 2
    assert sentence in ran.stderr


def test_both_kinds_of_cluster_are_wrong_usage(study):
    ran = extract(study, "run", "--cluster", "local", "--scheduler", "tcp://127.0.0.1:1")
    assert ran.exit_code == 2
    assert "--scheduler and --cluster are both given; take one" in ran.stderr
    ran = extract(study, "run", "--cluster", "slrum")
    assert ran.exit_code == 2
    assert "did you mean slurm?" in ran.stderr


def test_a_part_of_a_table_becomes_a_file(study):
    assert extract(study, "run").exit_code == 0
    out = study / "part.csv"
    ran = typed("table", study / "run", "--feature", "*_glcm_*", "--patient", "p3", "--out", out)
    assert ran.exit_code == 0
    assert ran.stdout == f"3 lesions: {out}\n"
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith("site,original_glcm_Contrast")
    assert len(lines) == 4


def test_a_table_that_cannot_be_written_is_wrong_usage(study):
    assert extract(study, "run").exit_code == 0
    for arguments, sentence in (
        (("--out", study / "part.xlsx"), "end it in .parquet or .csv"),
        (("--out", study / "run" / "features.parquet"), "is the table that is read; name another file"),
        (("--out", study / "run" / "part.csv"), "lies in a run folder, whose files are of all its lesions"),
        (("--out", study / "part.csv", "--patient", "nobody"), "no lesion is of nobody"),
        (("--out", study / "part.csv", "--feature", "gclm"), "no feature is called 'gclm'"),
        (("--out", study / "absent" / "part.csv"), "cannot be written"),
    ):
        ran = typed("table", study / "run", *arguments)
        assert ran.exit_code == 2, arguments
        assert sentence in ran.stderr
    ran = typed("table", study / "data", "--out", study / "part.csv")
    assert ran.exit_code == 2
    assert "no feature table is here; name the run folder of extract" in ran.stderr
