"""A model file that was changed, damaged, or is no model never runs."""

import io
import json
import os
import pickle
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
import yaml
from sklearn.preprocessing import FunctionTransformer
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.errors import ConfigError, ModelError
from radiomics_talent.modelling import model as model_module
from radiomics_talent.modelling.model import load_model, save_model
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import train


@pytest.fixture
def folder(tmp_path):
    settings = quick_settings(validation={"repeats": 1, "permutations": 0, "learning_curve": []})
    train(feature_table(), clinical_table(tmp_path), Outcome("response"), settings, tmp_path / "model")
    return tmp_path / "model"


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def seal(folder):
    """Make model.yaml agree with the files, as somebody who tampers with a model would."""
    record = yaml.safe_load((folder / "model.yaml").read_text())
    record["sha256"] = {n: model_module._sha256(folder / n) for n in record["sha256"]}
    record["record_sha256"] = model_module._record_sha256(record)
    (folder / "model.yaml").write_text(yaml.safe_dump(record))


def test_a_changed_cut_off_is_refused(folder):
    text = (folder / "model.yaml").read_text()
    record = yaml.safe_load(text)
    record["thresholds"]["radiomics"] = 0.999
    (folder / "model.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(ModelError, match="the record was changed after the model was saved"):
        load_model(folder)


def test_round_trip(folder):
    model = load_model(folder)
    assert model.settings.block == "radiomics"
    assert set(model.pipelines) == {"radiomics", "clinical", "combined", "volume"}


@pytest.mark.parametrize("write", [pickle.dump, joblib.dump])
def test_a_pickle_is_refused_unopened(folder, tmp_path, write):
    with (folder / "model.skops").open("wb") as file:
        write(Bomb(tmp_path / "exploded"), file)
    seal(folder)
    with pytest.raises(ModelError, match=r"model\.skops: is no skops file \(a pickle or joblib file is never loaded"):
        load_model(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_foreign_type_is_refused_before_anything_runs(folder):
    data = skops.io.dumps({"radiomics": FunctionTransformer(os.getcwd)})
    (folder / "model.skops").write_bytes(data)
    seal(folder)
    with pytest.raises(ModelError, match=r"holds types that are not trusted: .*getcwd; nothing was loaded"):
        load_model(folder)


def test_a_changed_byte_is_refused(folder):
    data = bytearray((folder / "model.skops").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.skops").write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"not the one that model\.yaml was written for \(SHA-256 differs\)"):
        load_model(folder)


def test_a_broken_archive_is_refused(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps({"__class__": "dict"}))
    (folder / "model.skops").write_bytes(buffer.getvalue())
    seal(folder)
    with pytest.raises(ModelError, match=r"is damaged|cannot be loaded"):
        load_model(folder)


def test_other_coefficients_do_not_pass_the_golden_rows(folder):
    model = load_model(folder)
    pipeline = model.pipelines["radiomics"]
    pipeline.named_steps["model"].coef_ = pipeline.named_steps["model"].coef_ * 1.01
    (folder / "model.skops").write_bytes(skops.io.dumps(dict(model.pipelines)))
    seal(folder)
    with pytest.raises(ModelError, match="scores its golden rows otherwise than when it was saved"):
        load_model(folder)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ConfigError, match="no model here"):
        load_model(tmp_path)


def test_a_missing_file(folder):
    (folder / "golden.csv").unlink()
    with pytest.raises(ModelError, match=r"golden\.csv: the file is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 99}, "the model has format 99, this program .* reads 1 to 2; install a newer"),
        ({"thresholds": None}, "not a complete model record"),
    ],
)
def test_a_damaged_record(folder, change, sentence):
    record = yaml.safe_load((folder / "model.yaml").read_text())
    (folder / "model.yaml").write_text(yaml.safe_dump(record | change))
    seal(folder)
    with pytest.raises(ModelError, match=sentence):
        load_model(folder)


def test_nothing_of_a_patient_is_in_the_folder(folder):
    for path in folder.iterdir():
        if path.is_file() and path.name not in {"cv_predictions.csv", "left_out.csv"}:
            assert b"P007" not in path.read_bytes(), path.name


def test_a_custom_estimator_needs_trust(tmp_path):
    settings = quick_settings(
        models={"sklearn.neighbors.KNeighborsClassifier": {"n_neighbors": [5]}},
        validation={"repeats": 1, "permutations": 0, "learning_curve": []},
    )
    result = train(feature_table(), clinical_table(tmp_path), Outcome("response"), settings, tmp_path / "knn")
    with pytest.raises(ModelError, match=r"types that are not trusted: .*KDTree"):
        load_model(tmp_path / "knn")
    trust = ["sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree"]
    assert np.isfinite(load_model(tmp_path / "knn", trust).score(result.table.frame)).all()


def test_saving_is_whole(folder, monkeypatch):
    model = load_model(folder)
    before = (folder / "model.yaml").read_bytes()

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_module, "write_sheet", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(model, folder)
    assert (folder / "model.yaml").read_bytes() == before
