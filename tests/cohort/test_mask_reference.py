"""A mask of another patient is refused, or said to be one where the settings let it pass."""

from dataclasses import replace

import pydicom
import pytest

from radiomics_talent.cohort.case import inspect_case
from radiomics_talent.settings import ExtractionSettings

STRICT = ExtractionSettings()
LENIENT = ExtractionSettings.model_validate({"mask": {"require_same_patient": False}})


@pytest.fixture
def changed(study, tmp_path):
    """Write the mask of a lesion again with other attributes, and return the row."""

    def write(lesion, **attributes):
        dataset = pydicom.dcmread(lesion.mask)
        for name, value in attributes.items():
            setattr(dataset, name, value)
        path = tmp_path / "mask.dcm"
        dataset.save_as(path)
        return replace(lesion, mask=path)

    return write


@pytest.mark.parametrize("patient", ["SYN-001", "SYN-002"])
def test_another_patient_id(study, changed, patient):
    lesion = next(x for x in study.new.lesions if x.patient_id == patient)
    row = changed(lesion, PatientID="Somebody^Else")
    findings, case = inspect_case(row, STRICT)
    assert case is None
    found = next(f for f in findings if f.code == "mask-other-patient")
    assert found.level == "error"
    assert "Somebody" not in str(found)
    assert patient not in found.sentence
    findings, case = inspect_case(row, LENIENT)
    assert case is not None
    assert next(f for f in findings if f.code == "mask-other-patient").level == "warning"


@pytest.mark.parametrize("patient_id", ["", "SYN-001 "])
def test_no_patient_id_or_one_with_padding_is_no_other(study, changed, patient_id):
    lesion = next(x for x in study.new.lesions if x.patient_id == "SYN-001")
    findings, case = inspect_case(changed(lesion, PatientID=patient_id), STRICT)
    assert case is not None
    assert "mask-other-patient" not in {f.code for f in findings}
