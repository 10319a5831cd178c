from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiomics_talent.cohort.lesion import Lesion, LesionsByScan, PackedLesions, find_repeated

FIRST = Lesion(2, "p1", "L1", Path("/data/ä b/ct"), Path("/data/m.nii"), "1", "Liver", "1.2#2", "2016-01-02")
LESIONS = (
    FIRST,
    replace(FIRST, row=3, lesion_id="L2", slice_thickness_mm=1.25, site="=north"),
    replace(FIRST, row=7, patient_id="p2", image=Path("/data/other")),
    replace(FIRST, row=9, patient_id="p3", series_uid="1.2#1"),
    replace(FIRST, row=10, patient_id="p4", image=Path("/data/other")),
)
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)


def test_packed_lesions_are_the_lesions():
    packed = PackedLesions(LESIONS)
    assert tuple(packed) == LESIONS
    assert packed == LESIONS
    assert packed == PackedLesions(LESIONS)
    assert hash(packed) == hash(PackedLesions(LESIONS))
    assert packed != LESIONS[:3]
    assert packed[-1] == LESIONS[-1]
    assert packed[1:4] == LESIONS[1:4]
    assert list(packed.texts("row", "lesion_id"))[:2] == [("2", "L1"), ("3", "L2")]
    with pytest.raises(IndexError, match="out of range"):
        packed[5]


@given(TEXTS, TEXTS, TEXTS, st.none() | st.floats(0.01, 100))
def test_any_text_comes_back_from_the_pack(patient_id, lesion_id, label, thickness):
    lesion = replace(FIRST, patient_id=patient_id, lesion_id=lesion_id, label=label, slice_thickness_mm=thickness)
    assert PackedLesions([lesion])[0] == lesion


def test_names_of_files_that_are_not_utf_8_come_back():
    odd = replace(FIRST, mask=Path("/data/m\udce9.nii"))
    assert PackedLesions([odd])[0] == odd


@pytest.mark.parametrize("pack", [tuple, PackedLesions])
def test_scans_come_in_the_order_of_their_first_rows(pack):
    scans = LesionsByScan(pack(LESIONS))
    assert len(scans) == 3
    assert [[x.row for x in scan] for scan in scans] == [[2, 3], [7, 10], [9]]
    assert scans[1:] == (tuple(LESIONS[i] for i in (2, 4)), (LESIONS[3],))


def test_many_scans_are_grouped_as_a_dictionary_would():
    rng = np.random.default_rng(1)
    lesions = [replace(FIRST, row=n, image=Path(f"/i/{rng.integers(300)}")) for n in range(2000)]
    groups = {}
    for lesion in lesions:
        groups.setdefault(lesion.scan_key, []).append(lesion)
    assert list(LesionsByScan(PackedLesions(lesions))) == [tuple(group) for group in groups.values()]


@pytest.mark.parametrize("pack", [tuple, PackedLesions])
def test_the_first_repeated_name_is_found(pack):
    assert find_repeated(pack(LESIONS)) is None
    twice = (*LESIONS, replace(LESIONS[2], row=11), replace(LESIONS[0], row=12))
    assert find_repeated(pack(twice)) == (twice[2], twice[5])
