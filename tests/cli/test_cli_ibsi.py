"""``ibsi`` as a user types it."""

import csv
import json

import pytest
from typer.testing import CliRunner

from radiomics_talent.cli import app

KEYS = [
    "config", "feature_family", "feature", "ibsi_code", "aggregation", "ours", "reference", "tolerance", "status",
]  # fmt: skip


def run(*words):
    return CliRunner().invoke(app, ["ibsi", *map(str, words)])


def test_without_anything_the_digital_phantom_passes():
    result = run()
    assert result.exit_code == 0
    assert "Volume (mesh-based)" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["all", "482/482", "0", "0", "5"] in lines
    assert "configurations A to E need the CT phantom: fetch ibsi_1_ct_radiomics_phantom" in result.stderr


def test_json_has_an_object_a_feature():
    result = run("--json")
    found = json.loads(result.stdout)
    assert len(found) == 487
    assert all(list(one) == KEYS for one in found)
    first = found[0]
    assert (first["config"], first["feature"], first["ibsi_code"]) == ("digital", "Volume (mesh-based)", "RNU0")
    assert (first["reference"], first["tolerance"], first["status"]) == (556.0, 4.0, "pass")
    assert {one["status"] for one in found} == {"pass", "no consensus"}


def test_all_configurations_on_the_real_phantoms(shared_data):
    folder = shared_data / "ibsi"
    result = run("--data", folder, "--reference", folder / "reference_values.csv")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["all", "482/482", "406/406", "-", "270/270", "270/270", "-", "0", "0", "706"] in lines
    assert "the table of reference values has none of B, E" in result.stdout


def test_a_value_that_differs_fails_with_exit_code_1(tmp_path, shared_data):
    with (shared_data / "ibsi" / "reference_values.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["config"] == "digital"]
    rows[0]["reference_value"] = "600"
    rows[1]["feature"] = "Volume (unheard of)"
    changed = tmp_path / "values.csv"
    with changed.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    result = run("--reference", changed, "--config", "DIGITAL")
    assert result.exit_code == 1
    found = json.loads(run("--reference", changed, "--config", "digital", "--json").stdout)
    status = {one["feature"]: one["status"] for one in found if one["feature_family"] == "Morphology"}
    assert status["Volume (mesh-based)"] == "fail"
    assert status["Volume (unheard of)"] == "not computed"
    assert status["Volume (counting)"] == "no consensus"


def test_values_of_an_unknown_configuration_are_told(tmp_path):
    table = tmp_path / "values.csv"
    table.write_text(
        "config,feature_family,feature,ibsi_code,aggregation,reference_value,tolerance\nQ,Statistics,Mean,Q4LE,,1,0\n"
    )
    result = run("--reference", table, "--config", "digital")
    assert result.exit_code == 0
    assert "IBSI 1 has no configuration Q; its values are left out" in result.stderr


def test_one_configuration_on_dicom(shared_data):
    result = run("--data", shared_data / "ibsi", "--config", "A", "--form", "dicom")
    assert result.exit_code == 0
    assert ["all", "406/406", "0", "0", "5"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config", "F"], "error: --config F: no such configuration; IBSI 1 has digital, A, B, C, D, E"),
        (["--config", "A"], "error: --config A needs the CT phantom: fetch ibsi_1_ct_radiomics_phantom from"),
        (["--data", "absent"], "error: absent: no such folder; fetch ibsi_1_ct_radiomics_phantom from"),
        (["--data", "."], "error: .: the CT phantom is not in it; fetch"),
        (["--form", "dicom"], "error: --form goes with --data"),
        (["--data", ".", "--form", "nrrd"], "error: --form nrrd: unknown; give nifti or dicom"),
        (["--reference", "absent.csv"], "error: absent.csv: cannot be read as a CSV in UTF-8"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith(sentence)
    assert len(result.stderr.splitlines()) == 1
