"""Nested AUC of a preset beside plain scikit-learn pipelines, on the same outer folds of public radiomics sets.

    python benchmarks/response_models.py ../shared/data/tabular/radmlbench --config screen --jobs 2

Prints a Markdown row a set: patients, events, AUC of the preset (and what it chose most), of univariate selection
with logistic regression, and of a random forest.
"""

from __future__ import annotations

import argparse
import collections
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed

from radiomics_talent.model_settings import ModelSettings
from radiomics_talent.modelling.dataset import StudyTable
from radiomics_talent.modelling.metrics import placements
from radiomics_talent.modelling.validation import plan_validation, run_validation

PLAIN = {
    "univariate + logistic": lambda: make_pipeline(
        SimpleImputer(), StandardScaler(), SelectKBest(f_classif, k=10), LogisticRegression(max_iter=1000)
    ),
    "random forest": lambda: make_pipeline(SimpleImputer(), RandomForestClassifier(500, random_state=0)),
}


def study_table(path: Path) -> StudyTable:
    data = pd.read_csv(path)
    y = data["Target"].to_numpy(np.int64)
    features = data.drop(columns=["ID", "Target"]).astype(np.float64).replace([np.inf, -np.inf], np.nan)
    none = np.full(len(y), "")
    return StudyTable(
        frame=features, y=y, patients=data["ID"].astype(str).to_numpy(dtype=str), lesions=none, sites=none,
        blocks={"radiomics": tuple(features.columns)}, findings=(), left_out=(), volumes_ml=np.full(len(y), np.nan),
    )  # fmt: skip


def plain_scores(make, table, fold):
    x = table.frame.to_numpy()
    model = make().fit(x[fold.train], table.y[fold.train])
    return fold, model.predict_proba(x[fold.test])[:, 1]


def auc(table, parts):
    repeats = 1 + max(fold.repeat for fold, _ in parts)
    scores = np.full((repeats, len(table)), np.nan)
    for fold, values in parts:
        scores[fold.repeat, fold.test] = values
    return float(placements(table.y, scores).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", default="screen")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    settings = ModelSettings.from_yaml(arguments.config)
    validation = settings.validation.model_copy(
        update={"folds": 5, "repeats": arguments.repeats, "permutations": 0, "learning_curve": (), "holdout": None}
    )
    settings = settings.model_copy(update={"validation": validation})
    print(f"| set | patients | events | {arguments.config} | {' | '.join(PLAIN)} | chosen most | minutes |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for path in sorted(arguments.folder.glob("*.gz")):
        if arguments.only and arguments.only not in path.name:
            continue
        start = time.perf_counter()
        table = study_table(path)
        tasks = plan_validation(table, settings)
        results = run_validation(table, settings, tasks, jobs=arguments.jobs)
        ours = auc(table, [(t.fold, results[t.key].score) for t in tasks])
        minutes = (time.perf_counter() - start) / 60
        chosen = collections.Counter(m.split("(")[0] for r in results.values() for m in r.models)
        plain = []
        for make in PLAIN.values():
            calls = (delayed(plain_scores)(make, table, t.fold) for t in tasks)
            plain.append(auc(table, Parallel(n_jobs=arguments.jobs)(calls)))
        rows.append((ours, *plain))
        most = ", ".join(f"{name} {count}" for name, count in chosen.most_common(4))
        cells = [
            path.stem,
            str(len(table)),
            str(table.events.sum()),
            *(f"{v:.3f}" for v in rows[-1]),
            most,
            f"{minutes:.1f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    if rows:
        print("| mean | | | " + " | ".join(f"{v:.3f}" for v in np.mean(rows, axis=0)) + " | | |")
        print(f"\nmean of the better plain pipeline of each set: {np.mean([max(r[1:]) for r in rows]):.3f}")


if __name__ == "__main__":
    main()
