"""Two made-up measurements of the same lesions, as tables and as run folders."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from extraction.tiny_cohorts import make_settings, write_mask, write_scan

from radiomics_talent.cohort.manifest import CohortTable, Lesion, load_cohort, write_cohort
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.features.table import FeatureTable

FEATURES = ("original_shape_MeshVolume", "original_firstorder_Mean", "original_glcm_Contrast")
SETTINGS = make_settings()


def table_of(n: int = 6, *, seed: int = 0, noise: float = 0.1, prefix: str = "P", **keys: object) -> FeatureTable:
    """Return features whose truth is the same for every seed, measured with the seed's own noise."""
    truth = np.random.default_rng(99).normal(100, 20, (n, len(FEATURES)))
    values = truth + noise * np.random.default_rng(seed).standard_normal(truth.shape)
    return FeatureTable.from_rows(
        ({"patient_id": f"{prefix}{k}", "lesion_id": "1", **keys}, dict(zip(FEATURES, map(float, row), strict=True)))
        for k, row in enumerate(values)
    )


def write_table(folder: Path, table: FeatureTable, **record: object) -> Path:
    """Write a table into a folder of its own, with a record of how it was made if one is asked for."""
    folder.mkdir()
    table.write(folder)
    if record:
        written = {"settings": {"a": {"b": 1}}, "settings_sha256": "s", "versions": {"engine": "native"}, "lesions": []}
        (folder / "provenance.json").write_text(json.dumps(written | record), encoding="utf-8")
    return folder


def edited(table: FeatureTable, **columns: object) -> FeatureTable:
    """Return the table with columns replaced."""
    return FeatureTable(table.frame.assign(**{k: pd.Series(v, dtype="str") for k, v in columns.items()}))


def two_readers(folder: Path) -> tuple[CohortTable, CohortTable]:
    """Return four lesions on three scans, drawn twice: the second time a voxel further along x."""
    folder.mkdir(parents=True)
    lesions = []
    for name, scan, corner in (("a", "p1", 3), ("b", "p1", 12), ("c", "p2", 3), ("d", "p3", 3)):
        image = folder / f"{scan}.nii.gz"
        if not image.exists():
            write_scan(folder, scan, seed=int(scan[1]))
        for reader in (0, 1):
            write_mask(folder, f"{name}{reader}", (2, 4, corner + reader), 6)
        lesions.append(Lesion(0, scan, name, image, folder / f"{name}0.nii.gz", label="1"))
    cohorts = []
    for reader in (0, 1):
        path = folder / f"reader{reader}.csv"
        rows = [replace(x, mask=folder / f"{x.lesion_id}{reader}.nii.gz") for x in lesions]
        write_cohort(rows, path)
        cohorts.append(load_cohort(path))
    return cohorts[0], cohorts[1]


def two_runs(folder: Path) -> tuple[Path, Path]:
    """Return run folders of both readers."""
    for name, cohort in zip(("one", "two"), two_readers(folder / "data"), strict=True):
        run_extraction(cohort, SETTINGS, folder / name)
    return folder / "one", folder / "two"
