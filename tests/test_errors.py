import inspect
import pickle

import pytest

from radiomics_talent import errors
from radiomics_talent.findings import Finding

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.TalentError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_error_survives_the_process_border(cls):
    back = pickle.loads(pickle.dumps(cls("a slice is missing; export again", where="pat07")))
    assert type(back) is cls
    assert (back.message, back.where) == ("a slice is missing; export again", "pat07")
    assert str(back) == "pat07: a slice is missing; export again"


def test_without_a_place_the_sentence_stands_alone():
    assert str(errors.MaskError("the mask is empty")) == "the mask is empty"


@pytest.mark.parametrize("cls", [errors.DicomError, errors.GeometryError, errors.MaskError, errors.TableError])
def test_input_errors_are_value_errors(cls):
    assert issubclass(cls, errors.InputError)
    assert issubclass(cls, ValueError)


def test_an_error_keeps_the_code_of_its_finding():
    error = Finding("slice-gap", "a slice is missing", "pat07").error()
    assert pickle.loads(pickle.dumps(error)).code == "slice-gap"
