import csv

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.cohort import inspection
from radiomics_talent.cohort.manifest import load_cohort
from radiomics_talent.settings import ExtractionSettings


@pytest.fixture
def cohort(tmp_path):
    """Two lesions of one scan, and one of another."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        sitk.WriteImage(
            sitk.GetImageFromArray(rng.integers(-100, 200, (12, 20, 20)).astype(np.int16)), tmp_path / f"{name}.nrrd"
        )
    labels = np.zeros((12, 20, 20), np.uint8)
    labels[3:7, 3:9, 3:9], labels[3:7, 11:17, 11:17] = 1, 2
    sitk.WriteImage(sitk.GetImageFromArray(labels), tmp_path / "mask.nrrd")
    rows = [
        ("p", "1", "a.nrrd", "mask.nrrd", "1"),
        ("q", "1", "b.nrrd", "mask.nrrd", "1"),
        ("p", "2", "a.nrrd", "mask.nrrd", "2"),
    ]
    with (tmp_path / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("patient_id", "lesion_id", "image", "mask", "label"), *rows])
    return load_cohort(tmp_path / "cohort.csv")


def reports(cohort):
    return {r.lesion.key: r for r in inspection.inspect_cohort(cohort, ExtractionSettings())}


def test_rows_come_scan_by_scan_with_their_voxels(cohort):
    found = reports(cohort)
    assert list(found) == ["p/1", "p/2", "q/1"]
    assert {r.verdict for r in found.values()} == {"ok"}
    assert int(sitk.GetArrayViewFromImage(found["p/2"].mask).sum()) == 4 * 6 * 6
    assert found["p/1"].without_voxels().image is None


def test_a_scan_is_read_once_for_its_lesions(cohort, monkeypatch):
    read = []
    real = inspection.inspect_scan
    monkeypatch.setattr(inspection, "inspect_scan", lambda lesion, s: read.append(lesion.key) or real(lesion, s))
    reports(cohort)
    assert read == ["p/1", "q/1"]


@pytest.mark.parametrize(("function", "lost"), [("inspect_scan", {"p/1", "p/2"}), ("inspect_case", {"p/1"})])
def test_what_nobody_foresaw_costs_its_own_rows(cohort, monkeypatch, function, lost):
    real = getattr(inspection, function)

    def breaks(lesion, settings, **more):
        if lesion.key == "p/1":
            raise ZeroDivisionError("Doe^John")
        return real(lesion, settings, **more)

    monkeypatch.setattr(inspection, function, breaks)
    found = reports(cohort)
    assert {key for key, r in found.items() if r.verdict == "error"} == lost
    sentence = found["p/1"].findings[0].sentence
    assert "unexpected ZeroDivisionError" in sentence
    assert "Doe" not in sentence


def test_the_same_lesion_of_a_scan_spelled_in_two_ways(cohort, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "renamed.nrrd").write_bytes((tmp_path / "a.nrrd").read_bytes())
    with (tmp_path / "cohort.csv").open("a", newline="") as file:
        csv.writer(file).writerow(("r", "x", "other/renamed.nrrd", "mask.nrrd", "2"))
    found = reports(load_cohort(tmp_path / "cohort.csv"))
    assert [f.code for f in found["r/x"].findings] == ["lesion-duplicate"]
    assert "same voxels as p/2 (row 4)" in found["r/x"].findings[0].sentence
    assert found["p/2"].verdict == "ok"
