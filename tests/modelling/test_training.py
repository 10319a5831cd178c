"""train and evaluate as a library: numbers, resumption, what they say and refuse."""

import json

import numpy as np
import pandas as pd
import pytest
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.errors import ConfigError, ModelError
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.modelling import training
from radiomics_talent.modelling.evaluation import evaluate
from radiomics_talent.modelling.model import load_model
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import train

RESPONSE = Outcome("response")


def run(tmp_path, out="model", *, features=None, clinical=None, outcome=RESPONSE, jobs=1, settings=None, **changes):
    return train(
        features or feature_table(),
        clinical or clinical_table(tmp_path),
        outcome,
        settings or quick_settings(**changes),
        tmp_path / out,
        jobs=jobs,
    )


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def test_a_signal_is_found_and_the_baselines_stand_beside_it(tmp_path):
    result = run(tmp_path)
    blocks = result.report.blocks
    assert set(blocks) == {"radiomics", "clinical", "combined", "volume"}
    assert blocks["radiomics"].metrics["auc"].low > 0.6
    assert blocks["clinical"].metrics["auc"].value < 0.7
    assert len(result.report.permuted) == 2
    record = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert record["blocks"]["radiomics"]["metrics"]["auc"]["value"] == blocks["radiomics"].metrics["auc"].value
    assert (record["patients"], record["events"], record["left_out"]) == (40, 20, 0)
    predictions = pd.read_csv(tmp_path / "model" / "cv_predictions.csv")
    assert len(predictions) == 40 * 2 * 4
    # Each patient is scored once a repeat and block.
    assert not predictions.duplicated(["patient_id", "block", "repeat"]).any()
    selected = pd.read_csv(tmp_path / "model" / "selected_features.csv")
    assert selected["feature"][0] == "original_firstorder_f0" or selected["frequency"][0] == 1.0


def test_same_bytes_for_any_number_of_jobs_and_when_resumed(tmp_path):
    run(tmp_path, "one", jobs=1)
    run(tmp_path, "two", jobs=2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one.keys() == two.keys()
    # skops files hold random object ids
    assert {k for k in one if one[k] != two[k]} <= {"model.skops", "refits.skops", "model.yaml"}
    shards = sorted((tmp_path / "two" / "folds").glob("cv-*.json"))
    for shard in shards[::2]:
        shard.unlink()
    shards[1].write_text('{"key": "cv-')  # cut short by a crash
    again = run(tmp_path, "two")
    assert again.n_resumed == 2 * 3 * 4 + 2 * 3 + 2 * 3 - len(shards[::2]) - 1
    assert contents(tmp_path / "two")["metrics.json"] == one["metrics.json"]
    assert contents(tmp_path / "two")["cv_predictions.csv"] == one["cv_predictions.csv"]


def test_other_settings_or_data_on_the_same_folder_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ConfigError, match="holds folds of other data, settings or another version"):
        run(tmp_path, seed=1)
    with pytest.raises(ConfigError, match="holds folds of other data"):
        run(tmp_path, features=feature_table(seed=9))


def test_what_was_interrupted_goes_on(tmp_path):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(feature_table(), clinical_table(tmp_path), RESPONSE, quick_settings(), tmp_path / "model", progress=stop)
    assert run(tmp_path).n_resumed == 5


def test_survival(tmp_path):
    settings = quick_settings(task="survival", models={"coxnet": {"alphas": [[0.1], [0.02]]}}, horizon_days=[200, 400])
    result = run(tmp_path, outcome=Outcome("pfs_days"), settings=settings)
    metrics = result.report.blocks["radiomics"].metrics
    assert set(metrics) == {"c_index", "integrated_brier"}
    assert metrics["c_index"].value > 0.55
    assert 0 < metrics["integrated_brier"].value < 0.3
    assert 200.0 in result.report.blocks["radiomics"].time_auc
    loaded = load_model(tmp_path / "model")
    assert (
        evaluate(loaded, feature_table(), clinical_table(tmp_path)).blocks["radiomics"].metrics["c_index"].value > 0.6
    )


@pytest.mark.parametrize("model", ["random-survival-forest", "gradient-boosting-survival"])
def test_other_survival_models(tmp_path, model):
    settings = quick_settings(
        task="survival", models={model: {"n_estimators": [20]}},
        validation={"repeats": 1, "permutations": 0, "learning_curve": []},
    )  # fmt: skip
    result = run(tmp_path, outcome=Outcome("pfs_days"), settings=settings)
    assert 0.4 < result.report.blocks["radiomics"].metrics["c_index"].value < 1
    load_model(tmp_path / "model")


@pytest.mark.parametrize(
    "model",
    ["elastic-net", "l1-logistic", "ridge", "logistic", "linear-svm", "rbf-svm", "random-forest", "extra-trees",
     "gradient-boosting", "naive-bayes"],
)  # fmt: skip
def test_every_classifier_trains_saves_and_loads(tmp_path, model):
    space = {"n_estimators": [20]} if model in {"random-forest", "extra-trees", "gradient-boosting"} else {}
    settings = quick_settings(models={model: space}, validation={"repeats": 1, "permutations": 0, "learning_curve": []})
    result = run(tmp_path, settings=settings)
    assert result.report.blocks["radiomics"].metrics["auc"].value > 0.6
    loaded = load_model(tmp_path / "model")
    frame = result.table.frame
    assert (loaded.score(frame) == result.model.score(frame)).all()


def test_several_models_can_be_averaged(tmp_path):
    settings = quick_settings(
        models={"ridge": {"C": [0.1, 1.0]}, "naive-bayes": {}, "logistic": {}}, search={"ensemble": 2}
    )
    result = run(tmp_path, settings=settings)
    assert len(result.model.facts["final_model"]) == 2
    kinds = {m.split("(")[0] for m in result.model.facts["final_model"]}
    assert len(kinds) == 2
    load_model(tmp_path / "model")


def test_lesions_are_judged_by_patient(tmp_path):
    result = run(tmp_path, features=feature_table(lesions=3), level="lesion", lesion_to_patient="maximum")
    scored = result.report.blocks["radiomics"].scored
    assert scored.score.shape == (2, 40)
    predictions = result.report.predictions
    own = predictions[(predictions["block"] == "radiomics") & (predictions["repeat"] == 0)]
    assert len(own) == 120
    # No patient in two folds.
    assert (own.groupby("patient_id")["fold"].nunique() == 1).all()
    assert (scored.score[0] == own.groupby("patient_id")["score"].max().loc[scored.patients].to_numpy()).all()


def test_a_site_is_left_out(tmp_path):
    result = run(tmp_path, validation={"split": "leave-one-site-out"})
    predictions = result.report.predictions
    site = np.array(["NS"[(int(p[1:]) // 2) % 2] for p in predictions["patient_id"]])
    assert (predictions.groupby("fold")["patient_id"].count() > 0).all()
    assert {len(set(site[predictions["fold"] == f])) for f in (0, 1)} == {1}


def test_single_split_is_reported_beside(tmp_path):
    assert run(tmp_path, validation={"holdout": 0.3}).report.holdout.value > 0.5


def test_combat_inside_the_folds(tmp_path):
    frame = feature_table(48).frame.copy()
    frame.loc[frame["kernel"] == "B", "original_firstorder_f0"] += 20
    plain = run(tmp_path, "plain", features=FeatureTable(frame), clinical=clinical_table(tmp_path, 48))
    combat = {"combat": {"batch": "kernel", "covariates": ["age"], "unseen": "unadjusted"}}
    mended = run(
        tmp_path, "mended", features=FeatureTable(frame), clinical=clinical_table(tmp_path, 48), preprocess=combat
    )
    auc = [r.report.blocks["radiomics"].metrics["auc"].value for r in (plain, mended)]
    assert auc[1] > auc[0]
    loaded = load_model(tmp_path / "mended")
    assert (
        evaluate(loaded, FeatureTable(frame), clinical_table(tmp_path, 48)).blocks["radiomics"].metrics["auc"].value
        > 0.7
    )
    other = FeatureTable(frame.assign(kernel="Z"))
    strange = evaluate(loaded, other, clinical_table(tmp_path, 48))
    assert any("48 rows of batch 'Z' have no estimate and stay unadjusted" in f for f in strange.findings)


def test_external_cohort(tmp_path):
    run(tmp_path)
    model = load_model(tmp_path / "model")
    result = evaluate(model, feature_table(seed=7), clinical_table(tmp_path))
    assert set(result.blocks) == {"radiomics", "clinical", "combined", "volume"}
    assert result.blocks["radiomics"].metrics["auc"].value > 0.6
    assert not any("trained on" in f for f in result.findings)
    seen = evaluate(model, feature_table(), clinical_table(tmp_path))
    assert any("40 patients have the very features of training patients" in f for f in seen.findings)


def test_a_baseline_without_its_columns_is_left_out_and_said(tmp_path):
    run(tmp_path)
    bare = clinical_table(tmp_path, age=None, sex=None, arm=None)
    result = evaluate(load_model(tmp_path / "model"), feature_table(seed=7), bare)
    assert "clinical" not in result.blocks
    assert any(f.startswith("no clinical baseline") for f in result.findings)


def test_missing_features_are_named(tmp_path):
    run(tmp_path)
    fewer = FeatureTable(feature_table().frame.drop(columns=["original_firstorder_f3"]))
    with pytest.raises(
        ModelError, match="needs 9 radiomic columns and 1 are not in the feature table: original_firstorder_f3"
    ):
        evaluate(load_model(tmp_path / "model"), fewer, clinical_table(tmp_path))


def test_one_class_and_too_few_events(tmp_path):
    with pytest.raises(ConfigError, match="of 40 patients 0 responded: the outcome has one class only"):
        run(tmp_path, clinical=clinical_table(tmp_path, response="no"))
    rare = np.where(np.arange(40) < 2, "yes", "no")
    with pytest.raises(ConfigError, match="2 patients responded and 38 did not: too few for 3 folds"):
        run(tmp_path, clinical=clinical_table(tmp_path, response=rare))


def test_icc_filter_needs_a_table(tmp_path):
    with pytest.raises(ConfigError, match=r"preprocess\.min_icc needs an ICC table"):
        run(tmp_path, preprocess={"min_icc": 0.75})


def test_an_icc_table_that_no_feature_passes_is_refused(tmp_path):
    icc = dict.fromkeys(feature_table().features, 0.4) | {"original_firstorder_f2": np.nan}
    settings = quick_settings(preprocess={"min_icc": 0.75})
    told = r"no feature of the ICC table reaches preprocess\.min_icc 0\.75 \(1 of 9 have no ICC\)"
    with pytest.raises(ConfigError, match=told):
        train(feature_table(), clinical_table(tmp_path), RESPONSE, settings, tmp_path / "model", icc=icc)


def test_features_without_an_icc_are_named(tmp_path):
    table = feature_table()
    icc = dict.fromkeys(table.features, 0.95)
    icc["original_firstorder_f2"] = np.nan
    del icc["original_firstorder_f3"]
    settings = quick_settings(preprocess={"min_icc": 0.75})
    result = train(table, clinical_table(tmp_path), RESPONSE, settings, tmp_path / "model", icc=icc)
    assert "1 features are not in the ICC table: original_firstorder_f3" in result.findings
    told = "1 features have no ICC (an empty cell): they count as not reproducible: original_firstorder_f2"
    assert told in result.findings


def test_folds_are_kept_where_the_program_says(tmp_path):
    run(tmp_path)
    assert len(list((tmp_path / "model" / "folds").glob("*.json"))) == 2 * 3 * 4 + 2 * 3 + 2 * 3 + 1
    assert training.train is train


def test_odd_names_and_cells(tmp_path):
    frame = feature_table().frame.copy()
    frame = frame.assign(patient_id=frame["patient_id"].str.replace("P", "Müñoz-"))
    frame["original_firstorder_f4"] = np.nan
    frame["original_firstorder_f5"] = 3.0
    frame.loc[3, "original_firstorder_f6"] = np.nan
    names = [f"Müñoz-{k:03}" for k in range(40)]
    clinical = clinical_table(tmp_path, patient_id=names, größe=np.arange(40.0), empty="")
    result = run(tmp_path, features=FeatureTable(frame), clinical=clinical)
    assert "größe" in result.table.blocks["clinical"]
    assert any("hold no value: original_firstorder_f4" in f for f in result.findings)
    assert any("are constant: original_firstorder_f5" in f for f in result.findings)


@pytest.mark.parametrize("name", ["response", "pfs_days"])
def test_combat_never_sees_an_end_point(tmp_path, name):
    combat = {"combat": {"batch": "kernel", "covariates": [name]}}
    with pytest.raises(ConfigError, match=rf"preprocess\.combat\.covariates: {name} is an end point"):
        run(tmp_path, preprocess=combat)


def test_combat_without_a_batch_says_so(tmp_path):
    frame = feature_table().frame.assign(slice_thickness_mm=np.nan)
    result = run(
        tmp_path,
        features=FeatureTable(frame),
        preprocess={"combat": {"batch": "slice_thickness_mm"}},
        validation={"permutations": 0, "learning_curve": []},
    )
    assert 0 <= result.report.blocks["radiomics"].metrics["auc"].value <= 1


def test_a_model_is_not_scored_without_its_own_columns(tmp_path):
    run(tmp_path, block="combined")
    bare = clinical_table(tmp_path, age=None)
    with pytest.raises(ModelError, match="the model needs age, which the clinical table does not have"):
        evaluate(load_model(tmp_path / "model"), feature_table(seed=7), bare)


def test_other_types_of_a_column_are_named(tmp_path):
    run(tmp_path)
    text = clinical_table(tmp_path, age="54 years")
    with pytest.raises(ModelError, match="column age held numbers in training and holds text here"):
        evaluate(load_model(tmp_path / "model"), feature_table(seed=7), text)


def test_at_level_lesion_patients_are_judged_everywhere(tmp_path):
    by_patient = run(tmp_path, "patient", features=feature_table(lesions=3))
    by_lesion = run(tmp_path, "lesion", features=feature_table(lesions=3), level="lesion")
    volume = [r.report.blocks["volume"].metrics["auc"].value for r in (by_patient, by_lesion)]
    # The baseline is the patient's burden at both levels.
    assert volume[0] == pytest.approx(volume[1], abs=0.1)
    last = by_lesion.report.curve[-1]
    assert last[1] == pytest.approx(by_lesion.report.blocks["radiomics"].metrics["auc"].value, abs=1e-12)


def test_models_that_give_no_probability_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="gives no probability"):
        run(tmp_path, models={"sklearn.svm.LinearSVC": {}})


def test_a_leak_of_time_and_of_missingness_is_seen(tmp_path):
    clinical = clinical_table(tmp_path)
    weeks = clinical.frame["pfs_days"].to_numpy() / 7
    reason = np.where(np.arange(40) % 2, np.resize(["", "toxicity", "", "patient's wish"], 40), "")
    settings = quick_settings(
        task="survival", models={"coxnet": {"alphas": [[0.1]]}},
        validation={"repeats": 1, "permutations": 0, "learning_curve": []},
    )  # fmt: skip
    result = run(
        tmp_path, "a", clinical=clinical_table(tmp_path, weeks=weeks), outcome=Outcome("pfs_days"), settings=settings
    )
    assert any(f.startswith("weeks: alone it orders the times") for f in result.findings)
    other = run(tmp_path, "b", clinical=clinical_table(tmp_path, reason=reason))
    assert any("reason" in f and "filled in tells the outcome" in f for f in other.findings)


def test_names_with_two_underscores(tmp_path):
    frame = feature_table().frame.rename(columns={"original_firstorder_f1": "ct__f1"})
    run(tmp_path, features=FeatureTable(frame))
    assert evaluate(load_model(tmp_path / "model"), FeatureTable(frame), clinical_table(tmp_path)).blocks
