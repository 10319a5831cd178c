"""No leak: nulls stay at 0.5, no patient is on both sides, and a leak that is planted shows."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.modelling.dataset import StudyTable, build_study_table
from radiomics_talent.modelling.folds import outer_folds, permuted_outcome, stratified_by_patient
from radiomics_talent.modelling.metrics import placements
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.validation import plan_validation, run_validation


def null_table(seed, n=60, p=300):
    import pandas as pd

    rng = np.random.default_rng(seed)
    names = tuple(f"f{i}" for i in range(p))
    none = np.full(n, "")
    return StudyTable(
        frame=pd.DataFrame(rng.standard_normal((n, p)), columns=names), y=rng.permutation(np.arange(n) % 2),
        patients=np.array([f"P{i}" for i in range(n)]), lesions=none, sites=none, blocks={"radiomics": names},
        findings=(), left_out=(), volumes_ml=np.full(n, np.nan),
    )  # fmt: skip


def nested_auc(table, settings_):
    tasks = plan_validation(table, settings_)
    results = run_validation(table, settings_, tasks)
    scores = np.full((1, len(table)), np.nan)
    for task in tasks:
        scores[0, task.fold.test] = results[task.key].score
    return float(placements(table.y, scores).mean())


LEAN = {
    "preprocess": {"max_correlation": None, "select": [{"method": "univariate", "k": 10}]},
    "validation": {"folds": 5, "repeats": 1, "permutations": 0, "learning_curve": []},
    "models": {"ridge": {"C": [0.1]}},
}


@pytest.mark.slow
def test_noise_gives_one_half_and_a_planted_leak_is_caught():
    """Selection outside the folds lifts pure noise far above 0.5; the same selection inside does not."""
    ours, leaked = [], []
    for seed in range(24):
        table = null_table(seed)
        ours.append(nested_auc(table, quick_settings(**LEAN)))
        chosen = SelectKBest(f_classif, k=10).fit(table.frame.to_numpy(), table.y).get_support()  # sees the test rows
        scores = np.full((1, len(table)), np.nan)
        for fold in outer_folds(table, quick_settings(**LEAN)):
            x = table.frame.to_numpy()[:, chosen]
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(x[fold.train], table.y[fold.train])
            scores[0, fold.test] = model.predict_proba(x[fold.test])[:, 1]
        leaked.append(float(placements(table.y, scores).mean()))
    error = np.std(ours) / np.sqrt(len(ours))
    assert abs(np.mean(ours) - 0.5) < 3 * error + 0.01
    assert np.mean(leaked) > 0.75
    assert min(leaked) > np.mean(ours) + 0.1


@given(
    sizes=strategies.lists(strategies.integers(1, 5), min_size=12, max_size=40),
    folds=strategies.integers(2, 5),
    seed=strategies.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_no_patient_is_on_both_sides(sizes, folds, seed):
    patients = np.repeat([f"P{i}" for i in range(len(sizes))], sizes)
    events = np.repeat(np.arange(len(sizes)) % 2, sizes)
    splits = stratified_by_patient(patients, events, folds, seed)
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested.tolist()) == list(range(len(patients)))
    for train, test in splits:
        assert not set(patients[train]) & set(patients[test])
        assert set(events[test]) == {0, 1} or len(set(patients[test])) < 2 * folds


def test_permutation_exchanges_outcomes_of_patients(tmp_path):
    table = build_study_table(
        feature_table(lesions=3), clinical_table(tmp_path), Outcome("response"), quick_settings(level="lesion")
    )
    y = table.y[permuted_outcome(table, 1, 0)]
    assert (y != table.y).any()
    for patient in np.unique(table.patients):
        assert len(np.unique(y[table.patients == patient])) == 1
    assert y.sum() == table.y.sum()


def test_fold_scores_do_not_depend_on_test_rows():
    """Changing the features of test patients changes no threshold and no other patient's score."""
    table = null_table(0, n=30, p=20)
    quick = quick_settings(validation={"repeats": 1, "permutations": 0, "learning_curve": []})
    tasks = plan_validation(table, quick)
    before = run_validation(table, quick, tasks)
    victim = int(tasks[0].fold.test[0])
    changed = table.frame.copy()
    changed.iloc[victim] = 1e3
    after = run_validation(
        StudyTable(**{**{s: getattr(table, s) for s in StudyTable.__slots__}, "frame": changed}), quick, tasks[:1]
    )
    one, two = before[tasks[0].key], after[tasks[0].key]
    assert one.threshold == two.threshold
    assert one.score[1:] == two.score[1:]
    assert one.weights.keys() == two.weights.keys()
