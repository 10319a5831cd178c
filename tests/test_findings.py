import pytest

from radiomics_talent.errors import DicomError, InputError
from radiomics_talent.findings import CATALOGUE, Finding, raise_first_error


def test_a_code_outside_the_catalogue_is_a_mistake_of_ours():
    with pytest.raises(KeyError, match="not in the catalogue"):
        Finding("no-such-code", "text")


def test_level_comes_from_the_catalogue_unless_given():
    assert Finding("slice-gap", "text").is_error
    assert Finding("slice-gap", "text", severity="warning").level == "warning"


def test_first_error_is_raised_as_the_exception_of_its_code():
    findings = [Finding("lesion-parts", "3 parts", "a/1"), Finding("slice-gap", "one gap is 5.0 mm", "a/1")]
    with pytest.raises(DicomError, match=r"^a/1: one gap is 5\.0 mm$"):
        raise_first_error(findings)
    raise_first_error(findings[:1])


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_kind_says_what_it_means_and_what_to_do(code):
    kind = CATALOGUE[code]
    assert kind.meaning.endswith(".")
    assert kind.remedy.endswith(".")
    assert issubclass(kind.error, InputError)
