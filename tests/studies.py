"""Made-up studies for the tests of models: feature and clinical tables with a known signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from radiomics_talent.cohort.clinical import ClinicalTable, load_clinical
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.model_settings import ModelSettings

QUICK = {
    "models": {"ridge": {"C": [0.1, 1.0]}},
    "search": {"folds": 2},
    "validation": {"folds": 3, "repeats": 2, "permutations": 2, "learning_curve": [0.6], "bootstrap": 100},
}


def quick_settings(**changes: object) -> ModelSettings:
    """Return settings of a small nested validation, sections merged with `changes`."""
    data = {k: dict(v) for k, v in QUICK.items()}
    for key, value in changes.items():
        if key in {"search", "validation"}:
            data[key] |= value
        else:
            data[key] = value
    return ModelSettings.model_validate(data)


def write_settings(path: Path, **changes: object) -> Path:
    data = quick_settings(**changes).model_dump(mode="json")
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def feature_table(
    n: int = 40, *, signal: float = 1.5, features: int = 8, lesions: int = 1, seed: int = 0
) -> FeatureTable:
    """Features of `n` patients: f0 carries `signal` for every second patient, the others nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        for j in range(lesions):
            values = rng.standard_normal(features)
            values[0] += signal * (k % 2)
            named = {f"original_firstorder_f{i}": float(v) for i, v in enumerate(values)}
            keys = {
                "patient_id": f"P{k:03}", "lesion_id": str(j + 1), "kernel": "ABC"[(k // 2) % 3],
                "site": "NS"[(k // 2) % 2], "slice_thickness_mm": 2.0,
            }  # fmt: skip
            rows.append((keys, {"original_shape_MeshVolume": float(1000 * (1 + j) * rng.uniform(1, 5)), **named}))
    return FeatureTable.from_rows(rows)


def clinical_frame(n: int = 40, seed: int = 1) -> pd.DataFrame:
    """Clinical table that goes with `feature_table`: every second patient responds and lives longer."""
    rng = np.random.default_rng(seed)
    responds = np.arange(n) % 2
    return pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(n)],
            "age": rng.integers(40, 80, n),
            "sex": rng.choice(["F", "M"], n),
            "arm": rng.choice(["x", "y", "z"], n),
            "response": np.where(responds, "yes", "no"),
            "pfs_days": np.round(rng.exponential(np.where(responds, 600.0, 200.0)) + 1, 1),
            "pfs_event": (rng.random(n) < 0.8).astype(int),
        }
    )


def clinical_table(folder: Path, n: int = 40, **columns: object) -> ClinicalTable:
    return load_clinical(write_clinical(folder, n, **columns), None)


def write_clinical(folder: Path, n: int = 40, **columns: object) -> Path:
    path = folder / "clinical.csv"
    clinical_frame(n).assign(**columns).to_csv(path, index=False)
    return path
