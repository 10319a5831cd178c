import pytest

from radiomics_talent.cohort.labels import Amount, Label, find_label
from radiomics_talent.findings import Finding
from radiomics_talent.settings import MaskSettings

LABELS = [Label("1", "Liver lesion"), Label("2", "Kidney"), Label("10")]


def find(wanted, labels=LABELS, **roi_names):
    measure = {"1": Amount(120, 1.5)}
    return find_label(
        wanted, labels, MaskSettings(roi_names=roi_names), where="m", measure=lambda x: measure.get(x.key)
    )


@pytest.mark.parametrize(
    ("wanted", "key"),
    [("1", "1"), ("1.0", "1"), ("1,0", "1"), ("01", "1"), ("Kidney", "2"), ("kidney ", "2"), ("10", "10")],
)
def test_found(wanted, key):
    assert find(wanted).key == key


def test_the_only_one():
    assert find("", LABELS[:1]).key == "1"


def test_patterns():
    labels = [Label("GTV_Mass_CT"), Label("Body")]
    assert find("tumour", labels, tumour=["gtv.*", "mass"]).key == "GTV_Mass_CT"
    assert find("", labels, tumour=["gtv.*"]).key == "GTV_Mass_CT"
    # The whole name has to fit.
    assert find("tumour", labels, tumour=["gtv"]).code == "label-absent"


def test_an_exact_name_goes_before_patterns():
    labels = [Label("GTV"), Label("gtv-old"), Label("gtv")]
    assert find("GTV", labels, GTV=["gtv.*"]).key == "GTV"


def test_absent_lists_what_there_is():
    finding = find("3")
    assert isinstance(finding, Finding)
    assert finding.code == "label-absent"
    assert (
        "label '3' is not in the mask, which holds 1 (Liver lesion): 120 voxels, 1.5 ml; 2 (Kidney): no voxel"
        in str(finding)
    )


def test_ambiguous():
    assert find("").code == "label-ambiguous"
    assert find("x", x=["1", "2"]).code == "label-ambiguous"
    assert find("GTV", [Label("GTV"), Label("GTV")]).code == "label-ambiguous"


def test_nothing_there():
    assert find("", []).code == "mask-empty"
