"""train and evaluate as a user types them."""

import json

import numpy as np
import pandas as pd
import pytest
from studies import clinical_frame, feature_table, write_clinical, write_settings
from typer.testing import CliRunner

from radiomics_talent.cli import app

RUN = CliRunner()


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    feature_table().write(tmp_path / "run")
    write_clinical(tmp_path)
    write_settings(tmp_path / "quick.yaml")
    return tmp_path


def train(*more, features="run", clinical="clinical.csv", outcome="response", config="quick.yaml", out="model"):
    arguments = ["train", features, "--clinical", clinical, "--outcome", outcome, "--config", config, "--out", out]
    return RUN.invoke(app, [*arguments, "--jobs", "1", *more])


def test_the_main_road(study):
    done = train()
    assert done.exit_code == 0, done.output
    assert "40 patients, 20 with the event; 0 left out" in done.stdout
    assert "radiomics *" in done.stdout
    assert "permuted outcomes" in done.stdout
    files = {p.name for p in (study / "model").iterdir()}
    assert files >= {
        "model.skops", "model.yaml", "golden.csv", "card.md", "metrics.json", "cv_predictions.csv",
        "selected_features.csv", "left_out.csv", "figures", "folds",
    }  # fmt: skip
    figures = {p.stem for p in (study / "model" / "figures").iterdir()}
    assert figures == {
        "roc", "precision_recall", "calibration", "decision_curve", "score_by_outcome", "confusion", "features",
        "learning_curve", "permutation",
    }  # fmt: skip
    card = (study / "model" / "card.md").read_text()
    assert "Research use only" in card
    auc = json.loads((study / "model" / "metrics.json").read_text())["blocks"]["radiomics"]["metrics"]["auc"]
    assert f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" in card

    feature_table(seed=5).write(study / "run")
    seen = RUN.invoke(app, ["evaluate", "model", "run", "--clinical", "clinical.csv", "--out", "external", "--json"])
    assert seen.exit_code == 0, seen.output
    record = json.loads(seen.stdout)
    assert record["patients"] == 40
    predictions = pd.read_csv(study / "external" / "predictions.csv")
    assert len(predictions) == 4 * 40
    assert (study / "external" / "figures" / "roc.png").stat().st_size > 10_000


def test_survival_on_the_command_line(study):
    write_settings(
        study / "pfs.yaml", task="survival", models={"coxnet": {"alphas": [[0.05]]}}, horizon_days=[150, 300]
    )
    done = train("--event", "pfs_event", outcome="pfs_days", config="pfs.yaml")
    assert done.exit_code == 0, done.output
    assert "c_index" in done.stdout
    assert "auc at 150 days" in done.stdout
    assert {p.stem for p in (study / "model" / "figures").iterdir()} >= {"kaplan_meier", "time_dependent_auc"}


def test_a_foreign_table(study):
    frame = feature_table().frame
    foreign = frame[["patient_id", *[c for c in frame if "firstorder" in c]]]
    foreign.to_csv(study / "foreign.csv", index=False, sep=";", decimal=",")
    done = train(features="foreign.csv")
    assert done.exit_code == 0, done.output
    assert "volume" not in done.stdout.splitlines()[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"outcome": "respons"}, "the clinical table has no column respons; did you mean response?"),
        ({"outcome": "arm"}, "arm is not yes/no (it has x, y, z); say with --positive"),
        ({"config": "talent-respons"}, "did you mean talent-response?"),
        ({"features": "nowhere"}, "nowhere"),
        ({"clinical": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(study, arguments, sentence):
    done = train(**arguments)
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr
    assert "Traceback" not in done.output
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.assign(original_firstorder_f2="high"), "original_firstorder_f2 is 'high', expected a number"),
        (lambda f: f.assign(original_firstorder_f2=np.inf), "original_firstorder_f2 is infinite"),
        (lambda f: f.rename(columns={"patient_id": "id"}), "no column patient_id"),
        (lambda f: f.assign(patient_id="P001", lesion_id="1"), "is there twice"),
    ],
)
def test_bad_feature_tables(study, change, sentence):
    frame = feature_table().frame
    change(frame[["patient_id", *[c for c in frame if "firstorder" in c]]]).to_csv(study / "bad.csv", index=False)
    done = train(features="bad.csv")
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: pd.concat([f, f.iloc[[3]]]), "P003"),
        (lambda f: f.assign(response="no"), "the outcome has one class only"),
        (lambda f: f.assign(patient_id=[f"X{k}" for k in range(40)]), "the ids must be spelt alike"),
    ],
)
def test_bad_clinical_tables(study, change, sentence):
    change(clinical_frame()).to_csv(study / "clinical.csv", index=False)
    done = train()
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_misspelt_parameter_names_the_nearest(study):
    write_settings(study / "quick.yaml", models={"ridge": {"c": [1.0]}})
    done = train()
    assert done.exit_code == 2
    assert "models.ridge: no parameter c" in done.stderr


def test_evaluate_refuses_what_is_no_model(study):
    done = RUN.invoke(app, ["evaluate", "run", "run", "--clinical", "clinical.csv", "--out", "x"])
    assert done.exit_code == 2
    assert "no model here" in done.stderr
    assert not (study / "x").exists()
