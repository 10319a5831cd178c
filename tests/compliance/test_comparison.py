"""IBSI's configurations on IBSI's phantoms: every value with a consensus is met."""

from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.compliance.comparison import CONFIGURATIONS, compare, computed_values
from radiomics_talent.compliance.phantoms import digital_phantom, find_ct_phantom, load_ct_phantom
from radiomics_talent.compliance.reference_values import ReferenceValue, load_reference_values
from radiomics_talent.errors import ConfigError

N_VALUES = {"digital": 487, "A": 411, "B": 411, "C": 275, "D": 275, "E": 275}


@pytest.fixture(scope="module")
def ct(shared_data):
    return load_ct_phantom(find_ct_phantom(shared_data / "ibsi"))


@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_every_value_of_a_configuration_is_computed_and_agrees(config, ct, shared_data):
    reference = load_reference_values(shared_data / "ibsi" / "reference_values.csv")
    found = compare(config, computed_values(config, digital_phantom() if config == "digital" else ct), reference)
    assert len(found) == N_VALUES[config]
    assert [one for one in found if one.status in {"fail", "not computed"}] == []
    passed = sum(value.config == config and value.value is not None for value in reference)
    assert (
        Counter(one.status for one in found)
        == Counter({"pass": passed, "no consensus": len(found) - passed}) + Counter()
    )


def test_dicom_and_nifti_give_the_same_bits(ct, shared_data):
    dicom = load_ct_phantom(find_ct_phantom(shared_data / "ibsi"), "dicom")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(dicom.image), sitk.GetArrayFromImage(ct.image))
    assert computed_values("C", dicom) == computed_values("C", ct)
    assert computed_values("B", dicom) == computed_values("B", ct)


def test_the_built_in_digital_phantom_is_ibsis(shared_data):
    folder = shared_data / "ibsi" / "digital_phantom" / "nifti"
    phantom = digital_phantom()
    image = sitk.ReadImage(folder / "image" / "phantom.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(phantom.image), sitk.GetArrayFromImage(image))
    assert phantom.image.GetSpacing() == image.GetSpacing()
    mask = sitk.ReadImage(folder / "mask" / "mask.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(phantom.lesion.as_mask()), sitk.GetArrayFromImage(mask))


def test_statuses():
    def value(name, number):
        return ReferenceValue("A", "Statistics", name, "CODE", "", number, 0.0)

    ours = {
        ("Statistics", "Mean", "CODE", ""): 1.0,
        ("Statistics", "Median", "CODE", ""): 2.0,
        ("Statistics", "Range", "CODE", ""): float("nan"),
        ("Statistics", "Maximum", "CODE", ""): 4.0,
        ("Statistics", "Mode", "AMMC", ""): 1.0,  # of another code than the reference
    }
    reference = [
        value("Mean", 1.0),
        value("Median", 3.0),
        value("Range", 1.0),
        value("Maximum", None),
        value("Mode", 1.0),
    ]
    found = compare("A", ours, [*reference, ReferenceValue("B", "Statistics", "Mean", "Q4LE", "", 1.0, 0.0)])
    assert [(one.feature, one.status) for one in found] == [
        ("Mean", "pass"), ("Median", "fail"), ("Range", "not computed"), ("Maximum", "no consensus"),
        ("Mode", "not computed"), ("Mode", "no consensus"),
    ]  # fmt: skip
    assert found[2].ours is None
    assert found[5].ibsi_code == "AMMC"


def test_a_reference_value_that_stands_twice_is_compared_twice():
    twice = [ReferenceValue("A", "Statistics", "Mean", "Q4LE", "", number, 0.0) for number in (1.0, 2.0)]
    found = compare("A", {("Statistics", "Mean", "Q4LE", ""): 1.0}, twice)
    assert [one.status for one in found] == ["pass", "fail"]


def test_the_phantom_is_found_by_either_name_or_named_itself(tmp_path):
    for name in ("ct_phantom", "ibsi_1_ct_radiomics_phantom"):
        folder = tmp_path / name / name
        (folder / "dicom" / "image").mkdir(parents=True)
        assert find_ct_phantom(tmp_path / name) == folder
        assert find_ct_phantom(folder) == folder
    assert find_ct_phantom(tmp_path) is None


def test_a_phantom_without_its_mask_is_refused(tmp_path):
    (tmp_path / "nifti" / "image").mkdir(parents=True)
    with pytest.raises(
        ConfigError, match=r"no \*\.nii\* in nifti/image and nifti/mask; fetch ibsi_1_ct_radiomics_phantom"
    ):
        load_ct_phantom(tmp_path)
