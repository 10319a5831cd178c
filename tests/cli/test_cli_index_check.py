"""index and check as a user types them, on synthetic, real and nasty data."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from factories import write_ct_series, write_rtstruct
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.cohort.manifest import load_cohort

PROGRAM = Path(sys.executable).with_name("radiomics-talent")


def run(*args: str | Path):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def trial(tmp_path) -> Path:
    """One patient: five slices, two ROIs."""
    root = tmp_path / "dicom"
    files = write_ct_series(root / "P1" / "ct", 5, shape=(40, 40))
    import pydicom

    ds = pydicom.dcmread(files[1])
    z = [float(pydicom.dcmread(f).ImagePositionPatient[2]) for f in files[1:4]]
    x0, y0 = (float(v) for v in ds.ImagePositionPatient[:2])
    square = np.array([[x0 + 5, y0 + 5], [x0 + 15, y0 + 5], [x0 + 15, y0 + 15], [x0 + 5, y0 + 15]])
    contours = [np.column_stack([square, np.full(4, level)]) for level in z]
    write_rtstruct(
        root / "P1" / "rs.dcm", files, {"GTV 1": contours, "Body": [c + np.array((4.0, 4.0, 0.0)) for c in contours]}
    )
    (root / "junk.txt").write_text("junk")
    return root


def test_index_then_check(trial, tmp_path):
    out = tmp_path / "new" / "cohort.csv"
    result = run("index", trial, "--out", out)
    assert result.exit_code == 0, result.output
    assert "2 lesions of 1 patients" in result.output
    lesions = load_cohort(out).lesions
    assert [(x.patient_id, x.lesion_id, x.label) for x in lesions] == [("P1", "GTV_1", "GTV 1"), ("P1", "Body", "Body")]
    with (out.parent / "series.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["modality"] for r in rows} == {"CT", "RTSTRUCT"}
    checked = run("check", out)
    assert checked.exit_code == 0, checked.output
    assert "warning: lesions-overlap: P1/Body: shares" in checked.output
    assert checked.output.endswith("2 lesions: 1 ok, 1 warning, 0 error\n")


def test_check_json(trial, tmp_path):
    out = tmp_path / "cohort.csv"
    run("index", trial, "--out", out)
    with out.open("a") as file:
        file.write("P1,lost,nowhere,nowhere\n")
    result = run("check", out, "--json", "--config", "talent-ct")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert data["summary"] == {"ok": 1, "warning": 1, "error": 1}
    assert data["rows"][2]["findings"][0]["code"] == "missing-file"
    assert [r["row"] for r in data["rows"]] == [2, 3, 4]


def test_check_html(trial, tmp_path):
    pytest.importorskip("radiomics_talent.reporting.qc")
    out, page = tmp_path / "cohort.csv", tmp_path / "qc.html"
    run("index", trial, "--out", out)
    result = run("check", out, "--html", page)
    assert result.exit_code == 0, result.output
    assert "P1/GTV_1" in page.read_text(encoding="utf-8")


def test_roi_patterns(trial, tmp_path):
    out = tmp_path / "cohort.csv"
    assert run("index", trial, "--out", out, "--roi", "gtv.*").exit_code == 0
    assert [x.roi_name for x in load_cohort(out).lesions] == ["GTV 1"]
    assert run("index", trial, "--out", out, "--roi", "(").exit_code == 2
    nothing = run("index", trial, "--out", out, "--roi", "nothing")
    assert nothing.exit_code == 1
    assert (
        "no lesion found: --roi 'nothing' fits the whole name of none of the 2 names of ROIs and segments: "
        "'Body', 'GTV 1'\n"
    ) in nothing.stderr
    assert "next:" not in nothing.output


def test_roi_names_are_not_told_with_pseudonyms(trial, tmp_path):
    (tmp_path / "key").write_bytes(bytes(range(32)))
    nothing = run("index", trial, "--out", tmp_path / "c.csv", "--roi", "x", "--pseudonymise", tmp_path / "key")
    assert "none of the 2 names of ROIs and segments\n" in nothing.stderr


def test_index_of_a_tree_without_masks(tmp_path):
    write_ct_series(tmp_path / "ct", 5)
    nothing = run("index", tmp_path, "--out", tmp_path / "c.csv", "--roi", "x")
    assert nothing.exit_code == 1
    assert "no RTSTRUCT or SEG belongs to a CT series there" in nothing.stderr


def test_a_folder_that_cannot_be_named_costs_itself_alone(trial, tmp_path):
    (trial / os.fsdecode(b"Mu\xf1oz")).mkdir()
    result = run("index", trial, "--out", tmp_path / "c.csv")
    assert result.exit_code == 1
    assert "error: unreadable-file: " in result.stdout
    assert "Mu\\xf1oz: the folder was left out: its name is not UTF-8" in result.stdout
    assert len(load_cohort(tmp_path / "c.csv").lesions) == 2


@pytest.mark.parametrize("option", ["--out", "--series-out"])
def test_a_folder_in_place_of_a_table(trial, tmp_path, option):
    outs = {"--out": tmp_path / "c.csv", "--series-out": tmp_path / "s.csv", option: trial}
    result = run("index", trial, *(x for pair in outs.items() for x in pair))
    assert result.exit_code == 2
    assert result.stderr == f"error: {trial}: {option} is a folder; name the CSV file to write\n"


def test_an_edited_table_is_kept(trial, tmp_path):
    out = tmp_path / "cohort.csv"
    run("index", trial, "--out", out)
    first = out.read_bytes()
    run("index", trial, "--out", out)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["cohort.csv", "series.csv"]
    out.write_bytes(first.replace(b"GTV_1", b"mine"))
    result = run("index", trial, "--out", out)
    assert "is kept as" in result.stderr
    assert b"mine" in (tmp_path / "cohort.csv.bak").read_bytes()
    assert out.read_bytes() == first
    out.write_bytes(first.replace(b"GTV_1", b"later"))
    for _ in range(2):
        run("index", trial, "--out", out)
    assert b"mine" in (tmp_path / "cohort.csv.bak").read_bytes()
    assert b"later" in (tmp_path / "cohort.csv.bak2").read_bytes()
    assert not (tmp_path / "cohort.csv.bak3").exists()


def test_pseudonyms(trial, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    out = tmp_path / "t" / "cohort.csv"
    result = run("index", trial, "--out", out, "--pseudonymise", key)
    assert result.exit_code == 0
    assert "identifier-left" in result.output  # the folder is called P1
    names = {x.patient_id for x in load_cohort(out).lesions}
    assert len(names) == 1
    assert names.pop().startswith("P-")
    run("index", trial, "--out", tmp_path / "again.csv", "--pseudonymise", key)
    assert {x.patient_id for x in load_cohort(tmp_path / "again.csv").lesions} == {
        x.patient_id for x in load_cohort(out).lesions
    }
    assert run("index", trial, "--out", out, "--pseudonymise", tmp_path / "no").exit_code == 2


@pytest.mark.parametrize("folder", ["nowhere", "file.txt"])
def test_index_of_nothing(tmp_path, folder):
    (tmp_path / "file.txt").write_text("x")
    result = run("index", tmp_path / folder, "--out", tmp_path / "c.csv")
    assert result.exit_code == 2
    assert "there is no such folder" in result.stderr


def test_same_file_twice(tmp_path):
    assert run("index", tmp_path, "--out", tmp_path / "c.csv", "--series-out", tmp_path / "c.csv").exit_code == 2


def test_no_names_in_any_output(trial, tmp_path):
    import pydicom

    for path in (trial / "P1" / "ct").glob("*"):
        ds = pydicom.dcmread(path)
        ds.PatientName, ds.PatientBirthDate, ds.OtherPatientIDs = "Doe^Jane", "19500101", "SSN42"
        ds.save_as(path)
    out = tmp_path / "cohort.csv"
    text = run("index", trial, "--out", out).output + run("check", out).output + out.read_text()
    text += (tmp_path / "series.csv").read_text()
    for secret in ("Doe", "19500101", "1950-01-01", "SSN42"):
        assert secret not in text


@pytest.mark.parametrize("content", [b"", b"patient_id\n", b"PK\x03\x04", b"\xff\xfe\x00"])
def test_broken_tables(tmp_path, content):
    path = tmp_path / "c.csv"
    path.write_bytes(content)
    result = run("check", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path}: ")
    assert result.stderr.count("\n") == 1


def test_wrong_config(trial, tmp_path):
    out = tmp_path / "cohort.csv"
    run("index", trial, "--out", out)
    assert run("check", out, "--config", "talent-cc").exit_code == 2


def test_real_masks(shared_data, tmp_path):
    out = tmp_path / "cohort.csv"
    assert run("index", shared_data / "dicom_masks", "--out", out, "--jobs", "2").exit_code == 0
    result = run("check", out)
    assert result.exit_code == 1
    assert "19 lesions:" in result.output


def test_sarcoma_patients(sts_root, tmp_path):
    out = tmp_path / "cohort.csv"
    assert run("index", sts_root, "--out", out).exit_code == 0
    assert len(load_cohort(out).lesions) == 3
    result = run("check", out, "--config", "talent-ct")
    assert result.exit_code == 0, result.output


def test_nasty_files(shared_data, tmp_path):
    """Every nasty series as image of a row, in a process of its own: no traceback, nothing printed by libraries."""
    root = shared_data / "dicom_nasty"
    found = run("index", root, "--out", tmp_path / "cohort.csv")
    assert found.exit_code == 1  # no lesion there
    mask = sitk.GetImageFromArray(np.ones((2, 2, 2), np.uint8))
    sitk.WriteImage(mask, tmp_path / "m.nrrd")
    files = sorted(p for p in root.rglob("*") if p.is_file())
    with (tmp_path / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient_id", "lesion_id", "image", "mask"])
        writer.writerows(["P", str(i), path, "m.nrrd"] for i, path in enumerate(files))
    result = subprocess.run([PROGRAM, "check", tmp_path / "all.csv"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert all(line.startswith("checking: ") for line in result.stderr.splitlines()), result.stderr
