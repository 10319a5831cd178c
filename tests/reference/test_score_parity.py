"""One lesion in several formats is one lesion: the same features, the same score."""

from dataclasses import replace

import pytest
import SimpleITK as sitk

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.modelling.model import load_model
from radiomics_talent.scoring.new_scan import cohort_of_scan
from radiomics_talent.scoring.score import extraction_settings, score


def scored(study, cohort, out):
    report = score(study.model, cohort, out)
    assert report.failures == ()
    return report.patients[0]


@pytest.mark.parametrize("patient", ["SYN-001", "SYN-002"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_dicom_and_other_formats_of_the_synthetic_trial(study, tmp_path, patient, suffix):
    """RTSTRUCT of one patient, SEG of another if the trial has it; each written again as voxels."""
    settings = extraction_settings(load_model(study.model))
    lesions = [x for x in study.new.lesions if x.patient_id == patient]
    first = scored(study, CohortTable(tuple(lesions)), tmp_path / "dicom")
    others = []
    for number, lesion in enumerate(lesions):
        case = load_case(lesion, settings)
        image, mask = tmp_path / f"ct{suffix}", tmp_path / f"{number}{suffix}"
        sitk.WriteImage(case.image, str(image))
        sitk.WriteImage(case.mask, str(mask))
        others.append(replace(lesion, image=image, mask=mask, label="", series_uid=""))
    second = scored(study, CohortTable(tuple(others)), tmp_path / "voxels")
    for a, b in zip(first.lesions, second.lesions, strict=True):
        assert b.features == pytest.approx(a.features, rel=1e-9)
    assert second.score == pytest.approx(first.score, abs=1e-9)


def test_dicom_and_nifti_of_the_ibsi_phantom(study, shared_data, tmp_path):
    root = shared_data / "ibsi" / "ct_phantom"
    rtstruct = next(p for p in (root / "dicom" / "mask").iterdir())
    dicom = scored(study, cohort_of_scan(root / "dicom" / "image", [rtstruct], ["GTV-1"]), tmp_path / "dicom")
    image, mask = (next((root / "nifti" / part).glob("*.nii*")) for part in ("image", "mask"))
    nifti = scored(study, cohort_of_scan(image, [mask]), tmp_path / "nifti")
    assert nifti.lesions[0].features == pytest.approx(dicom.lesions[0].features, rel=1e-6)
    assert nifti.score == pytest.approx(dicom.score, abs=1e-9)


def test_seg_and_nrrd_of_dcmqi(study, shared_data, tmp_path):
    root = shared_data / "dicom_masks" / "dcmqi"
    seg = cohort_of_scan(root / "ct-3slice", [root / "liver.dcm"])
    nrrd = cohort_of_scan(root / "ct-3slice", [root / "liver_seg.nrrd"])
    first, second = scored(study, seg, tmp_path / "seg"), scored(study, nrrd, tmp_path / "nrrd")
    assert first.lesions[0].mask_sha256 == second.lesions[0].mask_sha256
    assert first.lesions[0].features == second.lesions[0].features
    assert first.score == second.score
    assert first.domain.level == second.domain.level == "outside"


def test_a_sarcoma_is_outside_a_model_of_liver_lesions(study, sts_root, tmp_path):
    patient = min(sts_root.iterdir())
    mask = next((patient / "CT" / "mask").iterdir())
    found = scored(study, cohort_of_scan(patient / "CT" / "image", [mask], ["GTV_Mass_CT"]), tmp_path / "out")
    assert found.domain.level == "outside"
    assert {"volume", "manufacturer"} <= {r.name for r in found.domain.reasons}
