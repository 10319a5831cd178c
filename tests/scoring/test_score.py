"""A trained model meets new scans."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from scoring_study import EXTRACTION, Study
from sklearn.preprocessing import FunctionTransformer

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.errors import ConfigError, InputError, ModelError
from radiomics_talent.features.engine import extract
from radiomics_talent.modelling import model as model_module
from radiomics_talent.modelling.harmonisation import BatchHarmoniser
from radiomics_talent.modelling.lesions import aggregate_lesions
from radiomics_talent.modelling.model import load_model
from radiomics_talent.modelling.skops_files import write_pipelines
from radiomics_talent.modelling.tables import read_features
from radiomics_talent.scoring.score import EXTRACTION as RUN
from radiomics_talent.scoring.score import ScoreArguments, _scored_model, score
from radiomics_talent.scoring.score_report import RESEARCH_USE, ScoredModel, read_score_report
from radiomics_talent.settings import ExtractionSettings


@pytest.fixture(scope="module")
def scored(study: Study, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "score"
    return out, score(study.model, study.new, out)


def seal(folder):
    record = yaml.safe_load((folder / "model.yaml").read_text())
    record["sha256"] = {n: model_module._sha256(folder / n) for n in record["sha256"]}
    record["record_sha256"] = model_module._record_sha256(record)
    (folder / "model.yaml").write_text(yaml.safe_dump(record))


def test_a_score_is_what_the_models_own_pipeline_gives(study, scored):
    """By hand: features of each lesion, volume-weighted, through the scikit-learn pipeline in the file."""
    _, report = scored
    model = load_model(study.model)
    names = list(model.columns["radiomics"])
    for patient in report.patients:
        lesions = [x for x in study.new.lesions if x.patient_id == patient.patient_id]
        rows = []
        for lesion in lesions:
            case = load_case(lesion, EXTRACTION)
            rows.append({"patient_id": patient.patient_id, **extract(case.image, case.mask, EXTRACTION)})
        table = pd.DataFrame(rows)
        volumes = table["original_shape_MeshVolume"].to_numpy() / 1000
        by_hand = pd.DataFrame(
            [(table[names].to_numpy() * volumes[:, None]).sum(axis=0) / volumes.sum()], columns=names
        )
        probability = model.pipelines["radiomics"].predict_proba(by_hand)[0, 1]
        assert patient.score == pytest.approx(probability, abs=1e-9)
        assert aggregate_lesions(table, names, ["volume-weighted-mean"], volumes)[0].shape == (1, len(names))


def test_contributions_add_up_to_the_score(scored):
    for patient in scored[1].patients:
        logit = patient.baseline + sum(c.contribution for c in patient.contributions)
        assert 1 / (1 + np.exp(-logit)) == pytest.approx(patient.score, abs=1e-9)
        assert patient.contribution_method.startswith("exact")
        assert all(c.training_quantiles and c.percentile is not None for c in patient.contributions)


def test_lesions_alone_and_left_out(study, scored):
    report = scored[1]
    patient = report.patients[0]
    model = load_model(study.model)
    first, *others = patient.lesions
    names = list(model.columns["radiomics"])
    alone = pd.DataFrame([[first.features[n] for n in names]], columns=names)
    assert first.alone == pytest.approx(model.pipelines["radiomics"].predict_proba(alone)[0, 1], abs=1e-9)
    volumes = np.array([x.volume_ml for x in others])
    rest = np.array([[x.features[n] for n in names] for x in others])
    without = pd.DataFrame([volumes @ rest / volumes.sum()], columns=names)
    expected = patient.score - model.pipelines["radiomics"].predict_proba(without)[0, 1]
    assert first.contribution == pytest.approx(expected, abs=1e-9)


def test_class_interval_group_and_notice(scored):
    out, report = scored
    for patient in report.patients:
        assert patient.interval.low < patient.score < patient.interval.high
        assert "30 refits" in patient.interval.method
        assert (patient.predicted == "positive") == (patient.score >= patient.threshold)
        assert patient.predicted_label in {"CR, PR", "not CR, PR"}
        assert patient.risk_group.endswith("third of the training")
    assert report.notice == RESEARCH_USE
    assert report.model.synthetic
    assert report.differences == ()
    assert read_score_report(out) == report
    table = pd.read_csv(out / "scores.csv")
    assert list(table["score"]) == [p.score for p in report.patients]
    assert set(table["notice"]) == {"research use only"}


def test_resumed_and_for_any_number_of_jobs(study, scored):
    out, report = scored
    before = {p.name: p.stat().st_mtime_ns for p in (out / RUN / "shards").iterdir()}
    again = score(study.model, study.new, out, arguments=ScoreArguments(jobs=2))
    assert again.patients == report.patients
    assert {p.name: p.stat().st_mtime_ns for p in (out / RUN / "shards").iterdir()} == before


def test_a_training_patient_is_said_to_be_one(study, tmp_path):
    from radiomics_talent.cohort.manifest import load_cohort

    trained = load_cohort(study.root / "trial" / "cohort.csv")
    one = replace(trained, lesions=tuple(x for x in trained.lesions if x.patient_id == "SYN-001"))
    patient = score(study.model, one, tmp_path / "out").patients[0]
    assert any("the very features of a training patient" in w for w in patient.warnings)


def test_an_unlike_scan_is_outside_in_every_output(study, tmp_path):
    """Air, bone and a lesion of half a litre."""
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.integers(-1000, 2500, (60, 60, 60)).astype(np.int16))
    mask = np.zeros((60, 60, 60), np.uint8)
    mask[5:55, 5:55, 5:55] = 1
    image.SetSpacing((2, 2, 2))
    mask = sitk.GetImageFromArray(mask)
    mask.CopyInformation(image)
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    sitk.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    lesion = replace(
        study.new.lesions[0], patient_id="X", lesion_id="1", image=tmp_path / "ct.nii.gz",
        mask=tmp_path / "mask.nii.gz", label="", series_uid="", contrast_phase="native", kernel="B80",
        manufacturer="Other", slice_thickness_mm=10.0,
    )  # fmt: skip
    report = score(study.model, CohortTable((lesion,)), tmp_path / "out")
    (patient,) = report.patients
    assert patient.domain.level == "outside"
    named = {(r.name, r.level) for r in patient.domain.reasons}
    assert {
        ("distance", "outside"), ("range", "outside"), ("volume", "outside"), ("slice thickness", "outside"),
        ("contrast phase", "outside"), ("kernel", "borderline"), ("manufacturer", "borderline"),
    } <= named  # fmt: skip
    assert patient.lesions[0].domain.level == "outside"
    assert pd.read_csv(tmp_path / "out" / "scores.csv")["domain"][0] == "outside"


def test_patients_of_the_same_kind_are_not_outside(scored):
    assert [p.domain.level for p in scored[1].patients].count("outside") == 0


# --- what can go wrong


def test_a_failed_lesion_costs_neither_patient_nor_others(study, tmp_path):
    first, *others = study.new.lesions
    broken = replace(first, mask=tmp_path / "gone.dcm")
    report = score(study.model, CohortTable((broken, *others)), tmp_path / "out")
    assert [(f.patient_id, f.lesion_id, f.stage) for f in report.failures] == [("SYN-001", first.lesion_id, "mask")]
    patient = next(p for p in report.patients if p.patient_id == "SYN-001")
    assert patient.warnings[0].startswith("1 of ")
    assert len(report.patients) == 2


def test_too_small_a_lesion_is_a_failure(study, tmp_path):
    case = load_case(study.new.lesions[0], EXTRACTION)
    mask = np.zeros(sitk.GetArrayViewFromImage(case.mask).shape, np.uint8)
    mask[5, 5, 5] = 1
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(case.mask)
    sitk.WriteImage(image, str(tmp_path / "one.nii.gz"))
    lesion = replace(study.new.lesions[0], mask=tmp_path / "one.nii.gz", label="")
    report = score(study.model, CohortTable((lesion,)), tmp_path / "out")
    assert report.patients == ()
    assert "voxel" in report.failures[0].sentence


def test_the_mask_of_another_patient_is_refused_unless_forced(study, tmp_path):
    one = study.new.lesions[0]
    other = next(x for x in study.new.lesions if x.patient_id != one.patient_id)
    swapped = replace(one, mask=other.mask, label=other.label)
    report = score(study.model, CohortTable((swapped,)), tmp_path / "out")
    assert report.patients == ()
    assert "PatientID" in report.failures[0].sentence
    assert other.patient_id not in report.failures[0].sentence.replace(str(other.mask), "")
    forced = score(study.model, CohortTable((swapped,)), tmp_path / "forced", force=True)
    assert any("forced" in d for d in forced.differences)
    outcome = [
        *(f.sentence for f in forced.failures),
        *(s for p in forced.patients for x in p.lesions for s in x.findings),
    ]
    assert not any("PatientID" in f.sentence for f in forced.failures)
    assert outcome


def test_a_changed_byte_is_refused(study, tmp_path):
    for name in ("model.skops", "refits.skops", "golden.csv", "model.yaml"):
        folder = tmp_path / name.replace(".", "-")
        shutil.copytree(study.model, folder)
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))
        with pytest.raises(
            ModelError, match=rf"{name}: (the file is not the one|the record was changed|not valid YAML)"
        ):
            score(folder, study.new, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_forbidden_type_in_the_refits_is_refused(study, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(study.model, folder)
    write_pipelines(folder / "refits.skops", {0: FunctionTransformer(shutil.rmtree)})
    seal(folder)
    with pytest.raises(ModelError, match=r"holds types that are not trusted: .*rmtree"):
        score(folder, study.new, tmp_path / "out")


def test_a_newer_model_is_refused_and_an_older_one_scores_with_a_note(study, tmp_path):
    newer, older = tmp_path / "newer", tmp_path / "older"
    for folder, version in ((newer, 3), (older, 1)):
        shutil.copytree(study.model, folder)
        record = yaml.safe_load((folder / "model.yaml").read_text())
        record["format"] = version
        if version == 1:
            for name in ("scans", "reference", "extraction_versions"):
                del record[name]
            del record["sha256"]["refits.skops"]
            (folder / "refits.skops").unlink()
            record["libraries"]["scikit-learn"] = "1.0"
        (folder / "model.yaml").write_text(yaml.safe_dump(record))
        seal(folder)
    with pytest.raises(ModelError, match=r"the model has format 3, .* install a newer radiomics-talent"):
        score(newer, study.new, tmp_path / "out")
    report = score(older, study.new, tmp_path / "out")
    assert any("saved by an older version" in d for d in report.differences)
    assert any(d.startswith("model: scikit-learn 1.0 in training") for d in report.differences)
    assert report.patients[0].interval is None
    assert report.patients[0].percentile is None
    logit = report.patients[0].baseline + sum(c.contribution for c in report.patients[0].contributions)
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(report.patients[0].score, abs=1e-9)


def test_a_model_of_a_foreign_table_cannot_score_scans(study, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(study.model, folder)
    record = yaml.safe_load((folder / "model.yaml").read_text()) | {"extraction": None}
    (folder / "model.yaml").write_text(yaml.safe_dump(record))
    seal(folder)
    with pytest.raises(ModelError, match="does not carry the settings of its extraction"):
        score(folder, study.new, tmp_path / "out")


def test_clinical_columns_are_asked_for(study, tmp_path):
    from radiomics_talent.cohort.clinical import load_clinical

    folder = study.train("combined", block="combined", clinical=["age", "sex"])
    with pytest.raises(ConfigError, match=r"needs age, sex of each patient; give a clinical table with --clinical"):
        score(folder, study.new, tmp_path / "out")
    table = pd.DataFrame({"patient_id": ["SYN-001"], "age": [60], "sex": ["F"]})
    table.to_csv(tmp_path / "clinical.csv", index=False)
    report = score(folder, study.new, tmp_path / "out", clinical=load_clinical(tmp_path / "clinical.csv"))
    assert [p.patient_id for p in report.patients] == ["SYN-001"]
    assert {"age", "sex"} <= {c.feature for c in report.patients[0].contributions}
    assert report.failures[0].sentence == "SYN-002: is not in the clinical table, and the model needs it; add a row"
    table.assign(age="old").to_csv(tmp_path / "clinical.csv", index=False)
    with pytest.raises(ModelError, match="column age held numbers in training and holds text here"):
        score(folder, study.new, tmp_path / "out", clinical=load_clinical(tmp_path / "clinical.csv"))


@pytest.mark.parametrize("how", ["mean", "maximum", "largest-lesion"])
def test_a_model_of_lesions(study, tmp_path, how):
    folder = study.train(f"lesion-{how}", level="lesion", lesion_to_patient=how)
    report = score(folder, study.new, tmp_path / "out")
    for patient in report.patients:
        alone = [x.alone for x in patient.lesions]
        volumes = [x.volume_ml for x in patient.lesions]
        expected = {"mean": np.mean(alone), "maximum": max(alone), "largest-lesion": alone[int(np.argmax(volumes))]}
        assert patient.score == pytest.approx(expected[how], abs=1e-12)
        total = patient.baseline + sum(c.contribution for c in patient.contributions)
        if patient.contribution_scale == "log-odds":
            total = 1 / (1 + np.exp(-total))
        assert total == pytest.approx(patient.score, abs=1e-9)
        assert (patient.contribution_scale == "probability") == (how == "mean" and len(patient.lesions) > 1)


@pytest.mark.parametrize("unseen", ["unadjusted", "refuse"])
def test_a_batch_that_training_did_not_have(study, tmp_path, monkeypatch, unseen):
    """Left as it is with a note, or that patient alone is refused."""
    folder = study.train("combat", preprocess={"combat": {"batch": "kernel", "unseen": "unadjusted"}})
    # So few patients cannot be trained with refuse; only the policy for new ones is looked at here.
    original = BatchHarmoniser.transform
    monkeypatch.setattr(BatchHarmoniser, "transform", lambda self, x: original(self.set_params(unseen=unseen), x))
    lesions = [replace(x, kernel="XYZ") if x.patient_id == "SYN-001" else x for x in study.new.lesions]
    monkeypatch.setattr(model_module, "_check_golden", lambda *_: None)  # its rows have levels in turn
    report = score(folder, CohortTable(tuple(lesions)), tmp_path / "out")
    if unseen == "refuse":
        assert [p.patient_id for p in report.patients] == ["SYN-002"]
        assert "batch 'XYZ' was not in the training data" in report.failures[0].sentence
    else:
        assert [p.patient_id for p in report.patients] == ["SYN-001", "SYN-002"]
        assert any("stay unadjusted" in w for w in report.patients[0].warnings)


def test_score_json_is_for_others_too(scored):
    record = json.loads((scored[0] / "score.json").read_text())
    assert record["patients"][0]["lesions"][0]["image"].startswith("..")
    assert "SYNTHETIC^" not in json.dumps(record)
    assert read_features(scored[0] / RUN).features == tuple(record["patients"][0]["lesions"][0]["features"])


def test_the_report_holds_the_settings_of_the_extraction(scored):
    out, report = scored
    assert report.model.extraction_settings.hash == report.model.extraction_sha256
    assert read_score_report(out).model.extraction_settings.hash == EXTRACTION.hash


def with_model(scored, folder, change):
    record = json.loads((scored[0] / "score.json").read_text())
    change(record["model"])
    (folder / "score.json").write_text(json.dumps(record))
    return folder


def test_a_report_of_an_older_version_holds_no_settings(scored, tmp_path):
    folder = with_model(scored, tmp_path, lambda model: model.pop("extraction"))
    assert read_score_report(folder).model.extraction_settings is None


def test_settings_that_are_none_make_no_report(scored, tmp_path):
    folder = with_model(scored, tmp_path, lambda model: model["extraction"].update(unheard=1))
    with pytest.raises(InputError, match=r"model\.extraction\.unheard: .*score again"):
        read_score_report(folder)


def test_settings_of_maps_do_not_spoil_a_report(study, scored):
    maps = ExtractionSettings.model_validate({"voxelSetting": {"initValue": math.nan}})
    model = _scored_model(load_model(study.model), study.model, maps)
    again = ScoredModel.model_validate_json(model.model_dump_json())
    assert again.extraction_settings.setting == maps.setting
