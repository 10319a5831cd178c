"""The synthetic trial: real DICOM, the same every time, and true to its own table."""

import csv
import hashlib
import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import cohort_from_index
from radiomics_talent.dicom.ct import load_ct
from radiomics_talent.dicom.index import find_series_files, index_dicom
from radiomics_talent.dicom.rtstruct import inspect_roi
from radiomics_talent.dicom.seg import inspect_segment
from radiomics_talent.errors import ConfigError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.settings import ExtractionSettings, GeometrySettings, MaskSettings
from radiomics_talent.simulate.clinical import make_clinical_row
from radiomics_talent.simulate.dicom_writing import make_uid
from radiomics_talent.simulate.trial import make_patient, plan_trial, write_trial

PATIENTS = 5
"""Enough for RTSTRUCT and SEG, both sites, RLE, a localizer and a native series."""


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return write_trial(tmp_path_factory.mktemp("trial") / "t", patients=PATIENTS)


@pytest.fixture(scope="module")
def index(trial):
    return index_dicom(trial.dicom)


@cache
def phantom_of(patient_id: str):
    """The scan of a patient as it was before it became DICOM; it does not depend on the trial's size."""
    return make_patient(next(plan for plan in plan_trial() if plan.header.patient_id == patient_id))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


def test_same_seed_same_bytes(tmp_path):
    # The third patient has a SEG, into which highdicom writes clock and random UIDs.
    first, second = (write_trial(tmp_path / name, patients=3) for name in "ab")
    assert digests(first.root) == digests(second.root)


def test_other_seed_other_voxels_and_uids():
    a, b = (plan_trial(seed=seed, patients=1)[0] for seed in (0, 1))
    assert a.header.key != b.header.key
    assert not np.array_equal(make_patient(a, seed=0).hu_zyx, make_patient(b, seed=1).hu_zyx)


def test_a_larger_trial_keeps_the_scans_of_a_smaller():
    few, many = (plan_trial(patients=n) for n in (2, 12))
    assert few == many[:2]


def test_again_into_the_same_folder_but_not_into_another_one(trial, tmp_path):
    before = digests(trial.root)
    write_trial(trial.root, patients=PATIENTS)
    assert digests(trial.root) == before
    with pytest.raises(ConfigError, match="holds other files than this trial"):
        write_trial(trial.root, seed=1, patients=PATIENTS)
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ConfigError, match="name a new folder with --out"):
        write_trial(tmp_path)
    with pytest.raises(ConfigError, match="holds other files"):
        write_trial(tmp_path / "precious.txt")


def test_progress_is_told(tmp_path):
    told = []
    write_trial(tmp_path, patients=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]


def test_uids_are_valid_and_unique(trial):
    seen = set()
    for path in trial.dicom.rglob("*"):
        if path.is_file() and path.suffix != ".log":
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            assert ds.SOPInstanceUID.is_valid
            assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
            seen.add(ds.SOPInstanceUID)
    n_files = sum(1 for p in trial.dicom.rglob("*") if p.is_file()) - 1
    assert len(seen) == n_files
    assert make_uid("a", "b") == make_uid("a", "b") != make_uid("a", "c")


def test_everybody_is_obviously_invented(trial):
    for path in trial.dicom.rglob("*"):
        if path.is_file() and path.suffix != ".log":
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            assert str(ds.PatientName).startswith("SYNTHETIC^")
            assert ds.PatientID.startswith("SYN-")
    for table in (trial.clinical_csv, trial.truth_csv):
        assert {row["synthetic"] for row in rows(table)} == {"yes"}


def test_every_value_is_valid_dicom(trial):
    """Read with validation that raises, which also meets lengths and characters of each value."""
    for path in trial.dicom.rglob("*"):
        if not path.is_file() or path.suffix == ".log":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ds = pydicom.dcmread(path)
            pydicom.Dataset.from_json(json.dumps(ds.to_json_dict(suppress_invalid_tags=False)))


def test_index_finds_what_was_written(trial, index):
    volumes = [s for s in index.series if s.is_volume]
    assert len(volumes) == PATIENTS + 1  # one native series beside
    assert sum(any(f.code == "localizer" for f in s.findings) for s in index.series) == 1
    assert index.files_ignored == 1  # export.log
    assert len(index.links) == trial.lesions
    truth = {(row["patient_id"], row["lesion"]): row for row in rows(trial.truth_csv)}
    for link in index.links:
        row = truth.pop((link.series.patient_id, link.roi_name))
        assert link.series.contrast_phase == row["phase"]
        assert link.series.site == row["site"]
        assert link.series.kernel in {"B30f", "STANDARD"}
    assert not truth


def test_voxels_read_back(trial, index):
    """By our reader and by SimpleITK's (GDCM), signed and unsigned, plain and RLE."""
    syntaxes = set()
    for link in {link.series.series_instance_uid: link for link in index.links}.values():
        phantom = phantom_of(link.series.patient_id)
        files = find_series_files(link.series.folder, link.series.series_uid)
        series = load_ct(files, GeometrySettings(), where="x")
        assert not series.findings
        np.testing.assert_array_equal(sitk.GetArrayFromImage(series.image), phantom.hu_zyx)
        assert Geometry.of(series.image).difference(phantom.geometry).is_none
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([str(f) for f in files])
        np.testing.assert_array_equal(sitk.GetArrayFromImage(reader.Execute()), phantom.hu_zyx)
        syntaxes.add(pydicom.dcmread(files[0]).file_meta.TransferSyntaxUID.name)
    assert syntaxes == {"Explicit VR Little Endian", "RLE Lossless"}


def test_masks_read_back_voxel_for_voxel(trial, index):
    """The truth was made by matplotlib's point-in-polygon, so this also judges our rasteriser."""
    plans = {plan.header.patient_id: plan for plan in plan_trial(patients=PATIENTS)}
    formats = set()
    for link in index.links:
        plan = plans[link.series.patient_id]
        phantom = phantom_of(link.series.patient_id)
        truth = next(x for x in phantom.lesions if x.plan.name == link.roi_name).mask_zyx
        formats.add(plan.mask_format)
        if plan.mask_format == "SEG":
            findings, image = inspect_segment(link.mask, int(link.label), MaskSettings(), where="x")
            origin_z = phantom.geometry.to_index(image.GetOrigin())[2]
            mask = np.zeros_like(truth)
            mask[round(origin_z) : round(origin_z) + image.GetDepth()] = sitk.GetArrayFromImage(image) == 1
        else:
            findings, mask = inspect_roi(link.mask, link.label, phantom.geometry, MaskSettings(), where="x")
        assert not [f for f in findings if f.level != "info"]
        np.testing.assert_array_equal(mask, truth, err_msg=f"{link.series.patient_id} {link.roi_name}")
    assert formats == {"SEG", "RTSTRUCT"}


def test_truth_table_counts_the_voxels(trial):
    plan = plan_trial(patients=PATIENTS)[0]
    phantom = phantom_of(plan.header.patient_id)
    mine = [row for row in rows(trial.truth_csv) if row["patient_id"] == plan.header.patient_id]
    assert len(mine) == len(phantom.lesions) == len(plan.lesions)
    for row, lesion in zip(mine, phantom.lesions, strict=True):
        assert int(row["voxels"]) == lesion.mask_zyx.sum() > 400
        assert float(row["volume_ml"]) == pytest.approx(
            lesion.mask_zyx.sum() * phantom.geometry.voxel_volume_mm3 / 1000, abs=5e-4
        )


def test_lesions_lie_apart_inside_the_scan():
    for plan in plan_trial(patients=6):
        phantom = phantom_of(plan.header.patient_id)
        total = np.sum([lesion.mask_zyx for lesion in phantom.lesions], axis=0)
        assert total.max() == 1
        border = np.ones(total.shape, dtype=bool)
        border[1:-1, 1:-1, 1:-1] = False
        assert not total[border].any()


def test_responders_are_more_homogeneous_in_the_voxels():
    spread = {True: [], False: []}
    for plan in plan_trial():
        phantom = phantom_of(plan.header.patient_id)
        spread[plan.responds] += [phantom.hu_zyx[lesion.mask_zyx].std() for lesion in phantom.lesions]
    assert max(np.mean(spread[True]), 1) < 0.75 * np.mean(spread[False])
    assert len(spread[True]) > 10


def test_half_of_the_patients_respond_and_progression_is_early_for_pd():
    plans = plan_trial()
    assert sum(plan.responds for plan in plans) == 6
    for plan in plans:
        row = plan.clinical
        assert (row.best_overall_response == "PR") == plan.responds
        assert (row.grade == "G1") == (row.ki67_percent < 3)
        assert row.ki67_percent < 20
        assert 38 <= row.age < 80
        assert (row.primary_site == "pancreas") == (row.cohort == "A")
        if row.best_overall_response == "PD":
            assert row.pfs_days <= 90
            assert row.pfs_event == 1


def test_clinical_row_is_censored_at_the_end_of_follow_up():
    found = [make_clinical_row("x", responds=True, rng=np.random.default_rng(seed)) for seed in range(60)]
    censored = [row for row in found if row.pfs_event == 0]
    assert censored
    assert {row.pfs_days for row in censored} == {1100}


def test_a_case_loads_without_an_error(trial, index):
    cohort = cohort_from_index(index, trial.root / "cohort.csv", pseudonymise=None)
    settings = ExtractionSettings.from_yaml("talent-ct")
    for lesion in cohort.lesions[::4]:
        case = load_case(lesion, settings)
        assert sitk.GetArrayViewFromImage(case.mask).any()
    files = find_series_files(cohort.lesions[0].image, cohort.lesions[0].series_uid)
    assert len(files) == phantom_of(cohort.lesions[0].patient_id).geometry.size[2]
