"""Folders of robustness as its commands leave them, small and made up, for tests of their pages."""

import json
import re

import numpy as np
import pandas as pd

from radiomics_talent.features.table import KEY_COLUMNS
from radiomics_talent.modelling.record import write_frame
from radiomics_talent.robustness.bland_altman import bland_altman
from radiomics_talent.robustness.stability import UNCHANGED, read_stability, stability
from radiomics_talent.robustness.versions import VersionTable
from radiomics_talent.robustness_settings import (
    ChainSettings,
    ControlSettings,
    PerturbationSettings,
    StabilitySettings,
)
from radiomics_talent.settings import ExtractionSettings

NASTY = "<script>alert(1)</script>$x_\\\"'{{ 7*7 }}"
FEATURES = (
    "original_shape_MeshVolume", "original_shape_Sphericity", "original_firstorder_Mean",
    "original_firstorder_Entropy", "original_glcm_Contrast", "original_glcm_JointEnergy", "original_glrlm_RunEntropy",
    "original_ngtdm_Coarseness",
)  # fmt: skip
"""Each is noisier than the one before; the last is constant."""
LESIONS = 7


def make_table(versions, features=FEATURES, lesions=LESIONS):
    """Features of lesions as they are and in chains of versions; noise grows from feature to feature."""
    rng = np.random.default_rng(5)
    original = rng.normal(10, 2, (lesions, len(features)))
    noise = np.linspace(0.05, 4, len(features))
    chains = {
        chain: original[:, None, :] + rng.normal(0, 1, (lesions, n, len(features))) * noise * (1 + 0.2 * i)
        for i, (chain, n) in enumerate(versions.items())
    }
    original[:, -1] = 3.0
    for values in chains.values():
        values[:, :, -1] = 3.0
    names = [f"p{i}" for i in range(lesions)]
    keys = pd.DataFrame({c: names if c == "patient_id" else ["L"] * lesions for c in KEY_COLUMNS})
    return VersionTable(keys, tuple(features), original, chains)


def write_failures(run, rows=()):
    text = "row,patient_id,lesion_id,stage,sentence\n" + "".join(",".join(row) + "\n" for row in rows)
    (run / "failures.csv").write_text(text)


def write_run(run, command, **parts):
    run.mkdir(parents=True)
    settings = ExtractionSettings().canonical()
    record = {
        "program": {"radiomics-talent": "0.1.0", "engine": "native"},
        "command": ["robustness", command],
        "started": "2026-01-02T03:04:05Z",
        "finished": "2026-01-02T03:05:05Z",
        "seconds": 60.0,
        "complete": True,
        "jobs": 1,
        "timeout_s": None,
        "versions": {"numpy": "2"},
        "platform": {"system": "Linux"},
        "cohort": "../cohort.csv",
        "settings_sha256": "0" * 64,
        "settings": settings,
        "lesions": [
            {"patient_id": f"p{i}", "lesion_id": "L", "status": "computed", "chains": {}} for i in range(LESIONS)
        ],
    } | parts
    (run / "provenance.json").write_text(json.dumps(record))
    (run / "run.json").write_text(json.dumps({"command": f"robustness {command}"}))
    write_failures(run)


def perturb_folder(run, *, features=FEATURES, chains=("combined", "noise", "volume"), **decides):
    steps = {"combined": ("volume", "noise"), "noise": ("noise",), "volume": ("volume",)}
    settings = PerturbationSettings(
        chains={name: ChainSettings(steps=steps[name], versions=4) for name in chains},
        stability=StabilitySettings(**decides),
    )
    write_run(run, "perturb", perturb=settings.canonical_versions(), stability=settings.stability.model_dump())
    write_frame(run / "stability.csv", stability(make_table(dict.fromkeys(chains, 4), features)))
    (run / "perturbations.csv").write_text(
        "chain,version,rotation_deg,translation_x_voxels,translation_y_voxels,translation_z_voxels,noise\n"
        "combined,1,0.0,0.34747297,-0.2,0.0,1.0\nnoise,1,0.0,0.0,0.0,0.0,1.0\n"
    )
    return run


def without_difference(run, chain, features=None):
    """No version of a chain differs from the lesion as it is in some features, or in any that is defined."""
    frame = read_stability(run / "stability.csv")
    chosen = frame["chain"].eq(chain) & frame["icc_1_1"].notna()
    if features is not None:
        chosen &= frame["feature"].isin(features)
    for name in ("icc_1_1", "icc_2_1", "icc_3_1"):
        frame.loc[chosen, [name, f"{name}_lower", f"{name}_upper"]] = 1.0
    frame.loc[chosen, "remark"] = UNCHANGED
    write_frame(run / "stability.csv", frame)


def compare_folder(run, *, masks=True, values=True, features=FEATURES):
    run.mkdir(parents=True)
    table = make_table({"A-B": 1}, features)
    write_frame(run / "stability.csv", stability(table))
    if values:
        table.write(run)
    write_frame(run / "bland_altman.csv", bland_altman(table.original, table.chains["A-B"][:, 0, :], table.features))
    if masks:
        (run / "masks.csv").write_text(
            "patient_id,lesion_id,patient_id_b,lesion_id_b,status,space,dice,jaccard,volume_a_ml,volume_b_ml,"
            "mean_surface_distance_mm,hausdorff_95_mm,hausdorff_mm,reason\n"
            "p0,L,p0,L,compared,same grid,0.91,0.83,12,13,0.4,1.5,3,\n"
            "p1,L,p1,L,compared,same grid,0.81,0.7,2,3,0.6,2.5,5,\n"
            "p2,L,p2,L,unreadable,,,,,,,,,the mask is gone\n"
        )
    (run / "batches.csv").write_text(
        "factor,levels,n_levels,n_rows,n_features,chance,mean_before,median_before,n_large_before,mean_after,"
        "median_after,n_large_after,remark\n"
        "A or B,A (7); B (7),2,14,7,,0.03,0.01,2.0,0.01,0.01,0.0,\n"
        "kernel,B30f (7); B70f (7),2,14,7,0.077,0.22,0.19,5.0,0.02,0.01,0.0,divides the rows as A or B does\n"
    )
    (run / "unpaired.csv").write_text("table,patient_id,lesion_id,reason\nB,p9,L,no such row in A\n")
    side = {"table": "../a/features.parquet", "table_sha256": "1" * 64, "settings_sha256": None, "lesions": 7}
    record = {
        "command": "robustness compare",
        "complete": True,
        "versions": {"radiomics-talent": "0.1.0"},
        "a": side,
        "b": side,
        "options": {"by": ["patient_id", "lesion_id"], "statistic": "icc_2_1", "good": 0.75, "excellent": 0.9},
        "pairs": LESIONS,
        "unpaired": {"A": 0, "B": 1},
        "features": len(features),
        "masks": None,
        "notes": ["A without provenance.json"],
    }
    (run / "comparison.json").write_text(json.dumps(record))
    return run


def controls_folder(run, *, models=True, extraction=None, surroundings_change=0.0):
    settings = ControlSettings(controls=("roi_shuffled", "surroundings_noise"))
    extraction = ExtractionSettings.model_validate(extraction or {})
    write_run(run, "controls", controls=settings.canonical(), settings=extraction.canonical())
    (run / "effects.csv").write_text(
        "feature,depends_on,control,changed,difference,spearman\n"
        "original_shape_Sphericity,shape,roi_shuffled,0.0,0.0,1.0\n"
        "original_glcm_Contrast,texture,roi_shuffled,1.0,inf,0.125\n"
        "original_glcm_Idm,texture,roi_shuffled,1.0,0.5,0.625\n"
        "original_shape_Sphericity,shape,surroundings_noise,0.0,0.0,1.0\n"
        f"original_glcm_Contrast,texture,surroundings_noise,{surroundings_change},0.0,\n"
        "original_glcm_Idm,texture,surroundings_noise,0.0,0.0,\n"
    )
    if models:
        row = {"control": "original", "features": "all", "n_features": 3, "unchanged": False}
        figure = {"value": 0.8, "low": 0.7, "high": 0.9}
        lost = {"value": 0.3, "low": None, "high": None}
        rows = [
            row | {"metric": figure, "lost": None, "below_all": None},
            row | {"features": "texture", "metric": figure, "lost": None, "below_all": figure},
            row | {"control": "roi_shuffled", "metric": figure | {"low": 0.4}, "lost": lost, "below_all": None},
            row | {"control": "roi_shuffled", "features": "shape", "unchanged": True, "metric": figure, "lost": figure,
                   "below_all": figure},
        ]  # fmt: skip
        record = {
            "metric": "auc", "patients": 7, "lesions": 7, "events": 3, "left_out": 0, "verdict": "texture",
            "sentence": "Texture carries signal among 7 patients.", "findings": ["one finding"], "outcome": "response",
            "model": {"seed": 1}, "rows": rows,
        }  # fmt: skip
        (run / "controls.json").write_text(json.dumps(record))
    return run


def plain(text):
    """The page without pictures, styles and scripts."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"data:image/[^\"]*", "", text))


def section(text, name):
    text = plain(text)
    start = text.index(f'id="{name}"')
    return text[start : text.index("</section>", start)]
