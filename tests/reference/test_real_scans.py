"""The main job on scans that nobody here made: DICOM and NIfTI agree, and both agree with PyRadiomics."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent import ExtractionSettings, extract, load_case, load_cohort
from radiomics_talent.settings import with_engine


def write_cohort(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient_id", "lesion_id", "image", "mask", "label"), *rows])
    return load_cohort(path)


@pytest.fixture
def phantom(shared_data, tmp_path):
    """The IBSI CT phantom as DICOM with RTSTRUCT, and as NIfTI."""
    folder = shared_data / "ibsi" / "ct_phantom"
    rtstruct = next((folder / "dicom" / "mask").glob("*.dcm"))
    rows = [
        ("phantom", "dicom", folder / "dicom" / "image", rtstruct, "GTV-1"),
        ("phantom", "nifti", folder / "nifti/image/phantom.nii.gz", folder / "nifti/mask/mask.nii.gz", "1"),
    ]
    return write_cohort(tmp_path / "cohort.csv", rows).lesions


@pytest.mark.parametrize("name", ["pyradiomics-default", pytest.param("talent-ct", marks=pytest.mark.slow)])
def test_dicom_and_nifti_give_identical_features(phantom, name):
    settings = ExtractionSettings.from_yaml(name)
    dicom, nifti = (load_case(lesion, settings) for lesion in phantom)
    # The published mask has 125,256 voxels (shared/data/ibsi).
    assert int(sitk.GetArrayViewFromImage(dicom.mask).sum()) == 125_256
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(dicom.mask), sitk.GetArrayViewFromImage(nifti.mask))
    features = extract(dicom.image, dicom.mask, settings)
    assert len(features) == 107
    assert dict(features) == dict(extract(nifti.image, nifti.mask, settings))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["talent-ct", "talent-ct-full"])
def test_a_patient_equals_pyradiomics_on_the_whole_scan(shared_data, sts_root, tmp_path, name):
    """The reference engine to the last bit, the native one within 1e-9."""
    pytest.importorskip("radiomics").setVerbosity(60)
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    patient = sts_root / "STS_003"
    mask = next((patient / "CT" / "mask").glob("*.dcm"))
    cohort = write_cohort(tmp_path / "cohort.csv", [("a", "b", patient / "CT" / "image", mask, "GTV_Mass_CT")])
    settings = ExtractionSettings.from_yaml(name)
    case = load_case(cohort.lesions[0], settings)
    # The scan as PyRadiomics' users read it.
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(patient / "CT" / "image")))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(case.image))
    image.CopyInformation(case.image)  # GDCM's origin differs in the 13th digit
    parameters = settings.to_pyradiomics()
    extractor = RadiomicsFeatureExtractor(additionalInfo=False)
    extractor.settings = {**parameters["setting"], "additionalInfo": False}
    extractor.enabledImagetypes = parameters["imageType"]
    extractor.enabledFeatures = parameters["featureClass"]
    wanted = {k: float(v) for k, v in extractor.execute(image, case.mask).items()}
    reference = extract(case.image, case.mask, with_engine(settings, "reference"))
    assert list(reference) == list(wanted)
    assert {k for k in wanted if not np.array_equal(wanted[k], reference[k], equal_nan=True)} == set()
    native = extract(case.image, case.mask, with_engine(settings, "native"))
    assert list(native) == list(wanted)
    assert dict(native) == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True)
