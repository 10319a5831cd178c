"""Refits on bootstrap samples: every step of the model again, and the same for everybody."""

import numpy as np
import pytest
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.modelling.dataset import build_study_table
from radiomics_talent.modelling.model import load_model, load_refits
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.search import fit_with_search, model_scores, refit_on_samples
from radiomics_talent.modelling.training import train
from radiomics_talent.modelling.validation import training_rows


def fitted(folder, n=40, **changes):
    settings = quick_settings(**changes)
    features = feature_table(n, lesions=changes.pop("lesions", 1))
    table = build_study_table(features, clinical_table(folder, n), Outcome("response"), settings)
    rows = training_rows(table, "radiomics", np.arange(len(table)), None, y=table.y)
    return rows, settings, fit_with_search(rows, settings, 3)


def scores_of(pipelines, rows):
    return np.array(
        [
            model_scores(p.named_steps["model"], p.named_steps["prepare"].transform(rows.frame), survival=False)
            for p in pipelines
        ]
    )


def test_as_many_as_asked_for_and_the_same_twice(tmp_path):
    rows, settings, chosen = fitted(tmp_path, refits=12)
    first, second = (refit_on_samples(rows, settings, chosen.choice, 3) for _ in range(2))
    assert len(first) == 12
    assert np.array_equal(scores_of(first, rows), scores_of(second, rows))
    assert scores_of(first, rows).std(axis=0).min() > 0


def test_selection_is_repeated_in_every_sample(tmp_path):
    select = {"select": [{"method": "univariate", "k": 2}]}
    rows, settings, chosen = fitted(tmp_path, refits=12, preprocess=select)
    refits = refit_on_samples(rows, settings, chosen.choice, 3)
    kept = {tuple(p.named_steps["prepare"].get_feature_names_out()) for p in refits}
    assert len(kept) > 1


def test_fewer_patients_make_wider_intervals(tmp_path):
    spreads = []
    for n in (24, 240):
        (tmp_path / str(n)).mkdir()
        rows, settings, chosen = fitted(tmp_path / str(n), n=n, refits=20, models={"ridge": {"C": [10.0]}})
        scores = scores_of(refit_on_samples(rows, settings, chosen.choice, 3), rows)
        spreads.append(np.log(scores / (1 - scores)).std(axis=0).mean())
    assert spreads[0] > 2 * spreads[1]


def test_forests_are_small_in_refits(tmp_path):
    rows, settings, chosen = fitted(tmp_path, refits=2, models={"random-forest": {"n_estimators": [60]}})
    assert {p.named_steps["model"].n_estimators for p in refit_on_samples(rows, settings, chosen.choice, 3)} == {40}
    assert chosen.pipeline.named_steps["model"].n_estimators == 60


@pytest.mark.parametrize("refits", [0, 3])
def test_they_travel_with_the_model(tmp_path, refits):
    settings = quick_settings(refits=refits, validation={"repeats": 1, "permutations": 0, "learning_curve": []})
    train(feature_table(), clinical_table(tmp_path), Outcome("response"), settings, tmp_path / "model")
    assert (tmp_path / "model" / "refits.skops").exists() == bool(refits)
    assert len(load_refits(load_model(tmp_path / "model"), tmp_path / "model")) == refits
