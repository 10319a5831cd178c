"""``robustness`` as a user types it: exit codes, files, sentences, and a run that was killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from extraction.tiny_cohorts import make_cohort, write_mask
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.robustness.versions import read_versions

FAST = "featureClass: {firstorder: [Mean, Variance], glcm: [Contrast], shape: [MeshVolume]}\nsetting: {binWidth: 10}\n"
FEW = """
chains:
  combined: {steps: [volume, noise, rotation, translation], versions: 4}
  bin_width: {steps: [bin_width], versions: 2}
"""
MAIN = "from radiomics_talent.cli import main; main()"


def robustness(*arguments):
    return CliRunner().invoke(app, ["robustness", *map(str, arguments)])


@pytest.fixture
def trial(tmp_path, monkeypatch) -> Path:
    make_cohort(tmp_path / "data")
    (tmp_path / "fast.yaml").write_text(FAST, encoding="utf-8")
    (tmp_path / "few.yaml").write_text(FEW, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


PERTURB = ("perturb", "data/cohort.csv", "--config", "fast.yaml", "--perturbations", "few.yaml", "--out")


def test_perturb_says_which_features_stay_what_they_are(trial):
    done = robustness(*PERTURB, "run")
    assert done.exit_code == 0, done.output
    assert "6 lesions with 4 features in 6 versions; 0 lesions and 0 versions failed" in done.stdout
    assert "chain combined:" in done.stdout
    icc = pd.read_csv("run/icc.csv").set_index("feature")["icc"]
    assert icc["original_firstorder_Mean"] > icc["original_firstorder_Variance"]
    assert {p.name for p in Path("run").iterdir()} >= {
        "versions.parquet", "versions.csv", "perturbations.csv", "stability.csv", "icc.csv", "failures.csv",
        "provenance.json", "features_dictionary.csv", "log.txt", "report.html",
    }  # fmt: skip
    with Path("run/perturbations.csv").open(encoding="utf-8", newline="") as file:
        assert [row["chain"] for row in csv.DictReader(file)] == ["combined"] * 4 + ["bin_width"] * 2


def test_zero_strengths_give_icc_1_and_the_features_of_extract(trial):
    strengths = "strengths: {rotation_deg: 0, translation_voxels: 0, noise: 0, volume_change: 0, bin_width_change: 0}\n"
    (trial / "few.yaml").write_text(strengths + FEW, encoding="utf-8")
    assert robustness(*PERTURB, "run").exit_code == 0
    stability = pd.read_csv("run/stability.csv")
    # The boxes of the cohort have one volume: of that there is no ICC, and never 1.
    constant = stability["feature"] == "original_shape_MeshVolume"
    for name in ("icc_1_1", "icc_2_1", "icc_3_1", "ccc"):
        assert (stability.loc[~constant, name] == 1).all(), name
        assert stability.loc[constant, name].isna().all(), name
    assert (stability["cv"] == 0).all()
    assert CliRunner().invoke(app, ["extract", "data/cohort.csv", "--config", "fast.yaml", "--out", "e"]).exit_code == 0
    plain = pd.read_parquet("e/features.parquet")
    table = read_versions(Path("run/versions.parquet"))
    for values in (table.original, *(table.chains["combined"][:, k] for k in range(4))):
        assert np.array_equal(values, plain[list(table.features)].to_numpy())


def test_thresholds_may_change_without_new_versions_and_strengths_may_not(trial):
    assert robustness(*PERTURB, "run").exit_code == 0
    (trial / "few.yaml").write_text(FEW + "stability: {statistic: icc_3_1, good: 0.5}\n", encoding="utf-8")
    again = robustness(*PERTURB, "run")
    assert again.exit_code == 0
    assert "6 lesions from an earlier run" in again.stdout
    assert "icc_3_1" in again.stdout
    (trial / "few.yaml").write_text(FEW + "strengths: {noise: 2}\n", encoding="utf-8")
    refused = robustness(*PERTURB, "run")
    assert refused.exit_code == 2
    assert "other settings: perturb.strengths.noise differ" in refused.stderr


def test_a_lesion_that_vanishes_is_left_out_and_counted(trial):
    write_mask(trial / "data", "p1_0", (5, 5, 5), 2)
    (trial / "few.yaml").write_text(FEW + "strengths: {volume_change: 0.9}\n", encoding="utf-8")
    (trial / "fast.yaml").write_text(FAST.replace("binWidth: 10", "binWidth: 10, minimumROISize: 6"), encoding="utf-8")
    done = robustness(*PERTURB, "run", "--json")
    assert done.exit_code == 1
    failures = json.loads(done.stdout)["failures"]
    assert {(f["patient_id"], f["stage"]) for f in failures} == {("p1", "version")}
    assert all("the lesion is too small" in f["sentence"] for f in failures)
    stability = pd.read_csv("run/stability.csv")
    combined = stability[stability["chain"] == "combined"]
    assert (combined["n_lesions"].eq(5) & combined["n_lesions_left_out"].eq(1)).all()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--versions", "1"), "--versions 1: agreement needs at least 2 perturbed versions"),
        (("--perturbations", "talent-pertrub"), "did you mean talent-perturb?"),
        (("--config", "normal.yaml"), "setting.normalize: true takes away what robustness perturb adds"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_sentence(trial, more, told):
    (trial / "normal.yaml").write_text(FAST.replace("binWidth: 10", "normalize: true"), encoding="utf-8")
    done = robustness(*PERTURB, "run", *more)
    assert done.exit_code == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not Path("run").exists()


def test_train_reads_what_perturb_writes(trial):
    from radiomics_talent.modelling.tables import read_icc

    assert robustness(*PERTURB, "run").exit_code == 0
    table = read_icc(Path("run/icc.csv"))
    assert set(table) == set(read_versions(Path("run/versions.parquet")).features)


def test_controls_without_an_outcome_compare_features(trial):
    arguments = ("controls", "data/cohort.csv", "--config", "fast.yaml", "--out", "controls")
    done = robustness(*arguments)
    assert done.exit_code == 0, done.output
    assert "6 lesions with 4 features in 6 controls" in done.stdout
    effects = pd.read_csv("controls/effects.csv").set_index(["control", "feature"])["changed"]
    assert effects["roi_shuffled", "original_glcm_Contrast"] == 1
    assert effects["roi_shuffled", "original_firstorder_Mean"] == 0
    assert effects["roi_noise", "original_shape_MeshVolume"] == 0
    assert (effects.filter(like="surroundings") == 0).all()
    again = robustness(*arguments)
    assert again.exit_code == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--outcome", "response"), "--outcome needs --clinical"),
        (("--clinical", "clinical.csv"), "--clinical needs --outcome"),
        (("--clinical", "clinical.csv", "--outcome", "respnse"), "respnse"),
        (("--controls", "readi"), "did you mean readii?"),
    ],
)
def test_wrong_questions_are_exit_2(trial, more, told):
    rows = [("patient_id", "response"), ("p1", "1"), ("p2", "0"), ("p3", "1")]
    (trial / "clinical.csv").write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")
    done = robustness("controls", "data/cohort.csv", "--config", "fast.yaml", "--out", "controls", *more)
    assert done.exit_code == 2
    assert told in done.stderr


@pytest.mark.slow
def test_kill_9_in_mid_run_changes_nothing(trial):
    (trial / "few.yaml").write_text(FEW.replace("versions: 4", "versions: 80"), encoding="utf-8")
    command = [sys.executable, "-c", MAIN, "robustness", *PERTURB]
    process = subprocess.Popen([*command, "run", "--jobs", "2"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(Path("run/shards").glob("[!.]*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not Path("run/versions.csv").exists()
    time.sleep(3)  # workers end within a second of their parent
    for out in ("run", "whole"):
        done = subprocess.run([*command, out, "--jobs", "2"], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ("versions.csv", "stability.csv", "icc.csv", "perturbations.csv"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
