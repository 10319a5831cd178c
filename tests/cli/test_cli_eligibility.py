"""eligibility as a user types it."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radiomics_talent.cli import app

TABLE = """patient_id,cohort,age,sex,primary_site,ecog,alt,alt_uln,liver_metastases
007,A,63,F,pancreas,1,180,40,yes
Zoë,B,17,M,colon,2,180,40,
"""


def run(*args: str | Path):
    return CliRunner().invoke(app, ["eligibility", *(str(a) for a in args)])


@pytest.fixture
def clinical(tmp_path) -> Path:
    path = tmp_path / "clinical.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_says_all_and_ends_well(clinical):
    result = run(clinical, "--study", "configs/studies/talent.yaml")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "007: 4 met, 0 not met, 24 unknown"
    assert "  met: age: age is 63 years, as needed: at least 18 years" in lines
    assert "Zoë: 1 met, 2 not met, 26 unknown" in lines
    assert "  not met: age: age is 17 years, needs at least 18 years" in lines
    assert "  not met: ecog: ecog is 2, needs at most 1" in lines
    assert any(line.startswith("  unknown: alt: alt is 180, 4.5 × alt_uln (40), needs at most 3") for line in lines)
    assert any(line.startswith("  unknown, because the table lacks their columns: grade, ki67,") for line in lines)
    assert any(line.startswith("columns that the table lacks: grade, ki67_percent") for line in lines)
    assert "age                        1        1        0               0" in lines
    assert lines[-1] == (
        "2 patients: 0 meet every criterion, 1 fail one or more, 1 fail none but one or more is unknown"
    )


def test_a_sentence_is_kept_where_a_column_is_absent_but_another_decides(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("patient_id,alt,alt_uln\n1,180,40\n2,40,40\n")
    result = run(path)
    assert (
        "  unknown: alt: alt is 180, 4.5 × alt_uln (40), needs at most 3 × alt_uln; that holds only if" in result.stdout
    )


def test_csv(clinical, tmp_path):
    out = tmp_path / "new" / "eligibility.csv"
    result = run(clinical, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"table: {out}\n")
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 32
    assert {r["verdict"] for r in rows} == {"met", "not met", "unknown", "not applicable"}
    assert rows[0]["patient_id"] == "007"


def test_json(clinical):
    result = run(clinical, "--json")
    data = json.loads(result.stdout)
    assert (data["study"], data["registry"]) == ("TALENT", "NCT02678780")
    assert data["summary"]["patients"] == {"met": 0, "not met": 1, "unknown": 1}
    age = data["summary"]["criteria"][0]
    assert (age["criterion"], age["met"], age["not met"], age["unknown"]) == ("age", 1, 1, 0)
    patient = data["patients"][1]
    assert (patient["patient_id"], patient["overall"]) == ("Zoë", "not met")
    assert patient["criteria"][0] == {
        "criterion": "age", "verdict": "not met", "explanation": "age is 17 years, needs at least 18 years",
    }  # fmt: skip
    assert len(data["study_hash"]) == 64


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("patient_id,age\n1,old\n", "row 2: age is 'old', expected a number or nothing"),
        ("patient_id,age\n1,60\n1,61\n", "rows 2 and 3 are both patient_id '1'"),
        ("age\n60\n", "column patient_id missing"),
    ],
)
def test_wrong_tables_end_with_2(tmp_path, text, sentence):
    path = tmp_path / "c.csv"
    path.write_text(text)
    result = run(path)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_wrong_studies_end_with_2(clinical, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: x\ncolumns: {age: {type: number}}\n"
        "criteria: [{id: old, sentence: Old, all: [{column: agee, min: 60}]}]\n"
    )
    result = run(clinical, "--study", study)
    assert result.exit_code == 2
    assert "criterion old: unknown column 'agee'; did you mean age?" in result.stderr
    assert run(clinical, "--study", "talnt").exit_code == 2


def test_the_table_itself_is_never_overwritten(clinical):
    result = run(clinical, "--out", clinical)
    assert result.exit_code == 2
    assert "would overwrite the clinical table" in result.stderr
    assert clinical.read_text(encoding="utf-8") == TABLE
