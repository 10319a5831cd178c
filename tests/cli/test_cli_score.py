"""radiomics-talent score as a user types it."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from scoring_study import Study
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.modelling import model as model_module

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "demo"


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def scan_of(study: Study, patient="SYN-002"):
    lesions = [x for x in study.new.lesions if x.patient_id == patient]
    labels = [word for x in lesions for word in ("--label", x.label)]
    return lesions, ["--image", lesions[0].image, "--mask", lesions[0].mask, *labels]


def test_one_patient(study, tmp_path):
    lesions, scan = scan_of(study)
    ran = run("score", study.model, *scan, "--out", tmp_path / "out", "--patient", "case 7", "--dicom-sr")
    assert ran.exit_code == 0, ran.output
    assert "case 7: probability 0." in ran.stdout
    assert "contributions (log-odds" in ran.stdout
    assert all(f"lesion {x.lesion_id}" in ran.stdout for x in lesions)
    assert "trained on invented patients" in ran.stdout
    assert ran.stdout.rstrip().endswith("not for decisions on patients.")
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written == {"score.json", "scores.csv", "failures.csv", "report.html", "extraction", "dicom", ".lock"}
    # What the DICOM headers say of the scan reached the domain check: nothing about it is unknown.
    record = json.loads((tmp_path / "out" / "score.json").read_text())
    reasons = [r["sentence"] for r in record["patients"][0]["domain"]["reasons"]]
    assert not any("not known" in sentence for sentence in reasons)
    for name in ("score.json", "scores.csv", "report.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "SYNTHETIC^" not in text


def test_a_cohort_and_one_patient_give_the_same(study, tmp_path):
    cohort = study.root / "new" / "cohort.csv"
    ran = run("score", study.model, "--cohort", cohort, "--out", tmp_path / "all", "--json", "--no-html", "-j", 2)
    assert ran.exit_code == 0, ran.output
    whole = {p["patient_id"]: p["score"] for p in json.loads(ran.stdout)["patients"]}
    _, scan = scan_of(study)
    one = run("score", study.model, *scan, "--out", tmp_path / "one", "--json", "--no-html")
    assert json.loads(one.stdout)["patients"][0]["score"] == whole["SYN-002"]


def test_the_shipped_model_scores_at_once(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, scan = scan_of(study)
    ran = run("score", "demo", *scan, "--out", "out", "--no-html")
    assert ran.exit_code == 0, ran.output
    assert "trained on invented patients" in ran.stdout
    assert "**Synthetic" in (SHIPPED / "card.md").read_text(encoding="utf-8")


def test_report_score_writes_the_same_page_and_one_patients(study, tmp_path):
    cohort = study.root / "new" / "cohort.csv"
    assert run("score", study.model, "--cohort", cohort, "--out", tmp_path / "out").exit_code == 0
    page = tmp_path / "out" / "report.html"
    first = page.read_bytes()
    assert run("report", "score", tmp_path / "out").exit_code == 0
    assert page.read_bytes() == first
    ran = run("report", "score", tmp_path / "out", "--patient", "SYN-002", "--out", tmp_path / "one.html")
    assert ran.exit_code == 0
    assert "SYN-001" not in (tmp_path / "one.html").read_text(encoding="utf-8")
    ran = run("report", "score", tmp_path / "out", "--patient", "SYN-009")
    assert ran.exit_code == 2
    assert "no patient SYN-009" in ran.output


def test_a_page_without_its_scans(study, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(study.root / "new", data)
    assert run("score", study.model, "--cohort", data / "cohort.csv", "--out", tmp_path / "out").exit_code == 0
    shutil.rmtree(data / "dicom")
    assert run("report", "score", tmp_path / "out").exit_code == 0
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "No picture: " in text
    assert "does not exist" in text


def test_a_failed_lesion_gives_exit_code_1(study, tmp_path):
    lesions, scan = scan_of(study)
    ran = run("score", study.model, *scan, "--label", "Lesion of nobody", "--out", tmp_path / "out", "--no-html")
    assert ran.exit_code == 1
    assert "failed: patient/Lesion_of_nobody (mask)" in ran.stdout
    assert "of 3 lesions have no features" in ran.stdout or "lesions have no features" in ran.stdout
    with (tmp_path / "out" / "failures.csv").open() as file:
        assert [r["lesion_id"] for r in csv.DictReader(file)] == ["Lesion_of_nobody"]
    assert len(lesions) >= 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give either --image with --mask"),
        (["--image", "x"], "--mask is missing"),
        (["--image", "x", "--cohort", "y"], "give either --image with --mask"),
        (["--cohort", "y", "--label", "1"], "--mask, --label, --patient"),
        (["--image", ".", "--mask", ".", "--mask", "..", "--label", "1", "--label", "2", "--label", "3"], "be paired"),
        (["--image", ".", "--mask", ".", "--label", "1", "--label", "1"], "two lesions are called 1"),
        (["--image", "x", "--mask", "a"], "--image does not exist"),
        (["--cohort", "y", "--phase", "arterial"], "--phase go with --image"),
        (["--cohort", "gone.csv"], "gone.csv"),
    ],
    ids=["nothing", "no-mask", "both", "label-with-cohort", "unpaired", "twice", "absent", "phase", "no-cohort"],
)
def test_wrong_usage(study, tmp_path, words, sentence):
    ran = run("score", study.model, *words, "--out", tmp_path / "out")
    assert ran.exit_code == 2
    assert sentence in ran.output
    assert not (tmp_path / "out").exists()


def test_nothing_of_an_earlier_scoring_stays(study, tmp_path):
    """A page or DICOM object beside scores that it is not of would be taken for theirs."""
    lesions, scan = scan_of(study)
    words = ["score", study.model, *scan, "--out", tmp_path / "out", "--patient"]
    assert run(*words, "first", "--dicom-sr").exit_code == 0
    assert run(*words, "second", "--no-html").exit_code == 0
    assert not (tmp_path / "out" / "report.html").exists()
    assert not list((tmp_path / "out" / "dicom").iterdir())
    assert lesions


def test_the_page_of_a_model_of_an_older_format(study, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(study.model, folder)
    record = yaml.safe_load((folder / "model.yaml").read_text())
    for name in ("scans", "reference", "extraction_versions"):
        del record[name]
    del record["sha256"]["refits.skops"]
    record |= {"format": 1}
    record["record_sha256"] = model_module._record_sha256(record)
    (folder / "model.yaml").write_text(yaml.safe_dump(record))
    _, scan = scan_of(study)
    ran = run("score", folder, *scan, "--out", tmp_path / "out", "--dicom-sr")
    assert ran.exit_code == 0, ran.output
    assert "saved by an older version" in ran.stdout
    assert "carries no refits" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_folder_called_demo_does_not_hide_the_shipped_model(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    _, scan = scan_of(study)
    assert run("score", "demo", *scan, "--out", "out", "--no-html").exit_code == 0


def test_no_model(tmp_path):
    ran = run("score", tmp_path, "--image", "x", "--mask", "y", "--out", tmp_path / "out")
    assert ran.exit_code == 2
    assert "no model here" in ran.output


def test_a_folder_of_scores_of_another_model(study, tmp_path):
    _, scan = scan_of(study)
    assert run("score", study.model, *scan, "--out", tmp_path / "out", "--no-html").exit_code == 0
    ran = run("score", "demo", *scan, "--out", tmp_path / "out", "--no-html")
    assert ran.exit_code == 2
    assert "the folder holds a run with other settings" in ran.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_for_dicom(study, tmp_path):
    _, scan = scan_of(study)
    (tmp_path / "out" / "dicom").mkdir(parents=True)
    (tmp_path / "out" / "dicom").chmod(0o500)
    ran = run("score", study.model, *scan, "--out", tmp_path / "out", "--dicom-sr", "--no-html")
    assert ran.exit_code == 2
    assert (tmp_path / "out" / "score.json").is_file()


def test_a_place_for_dicom_that_is_a_file(study, tmp_path):
    """What was computed stays, and the sentence names the place."""
    _, scan = scan_of(study)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dicom").write_text("in the way")
    ran = run("score", study.model, *scan, "--out", tmp_path / "out", "--dicom-sr", "--no-html")
    assert ran.exit_code == 2
    assert f"{tmp_path / 'out' / 'dicom'}" in ran.output
    assert (tmp_path / "out" / "score.json").is_file()
