"""One scan and its masks become the rows of a cohort."""

import shutil

import pytest

from radiomics_talent.errors import ConfigError
from radiomics_talent.scoring.new_scan import cohort_of_scan


def test_headers_are_read_as_the_index_reads_them(study):
    known = study.new.lesions
    made = cohort_of_scan(known[0].image, [known[0].mask], [known[0].label], patient_id="x").lesions[0]
    for name in ("series_uid", "study_date", "contrast_phase", "slice_thickness_mm", "kernel", "manufacturer", "site"):
        assert getattr(made, name) == getattr(known[0], name), name
    assert (made.patient_id, made.lesion_id) == ("x", known[0].lesion_id)


def test_a_phase_given_by_hand_counts(study):
    one = study.new.lesions[0]
    assert cohort_of_scan(one.image, [one.mask], [one.label], contrast_phase="delayed").lesions[0].contrast_phase == (
        "delayed"
    )


def test_the_series_that_the_mask_was_drawn_on(study, tmp_path):
    """Two series and the mask in one folder, as in an export."""
    for patient in ("SYN-001", "SYN-002"):
        one = next(x for x in study.new.lesions if x.patient_id == patient)
        for number, file in enumerate(sorted(p for p in one.image.iterdir() if p.is_file())):
            shutil.copy(file, tmp_path / f"{patient}-{number}.dcm")
    mask = tmp_path / "mask.dcm"
    shutil.copy(one.mask, mask)
    made = cohort_of_scan(tmp_path, [mask], [one.label]).lesions[0]
    assert made.series_uid == one.series_uid
    other = study.new.lesions[0]
    assert cohort_of_scan(tmp_path, [mask], [one.label], series_uid=other.series_uid).lesions[0].series_uid == (
        other.series_uid
    )


@pytest.mark.parametrize(
    ("word", "phase"), [("Portal", "portal-venous"), ("ARTERIAL", "arterial"), ("late", "delayed")]
)
def test_a_phase_in_other_words(study, word, phase):
    one = study.new.lesions[0]
    assert cohort_of_scan(one.image, [one.mask], [one.label], contrast_phase=word).lesions[0].contrast_phase == phase


def test_a_word_that_is_no_phase(study):
    one = study.new.lesions[0]
    with pytest.raises(ConfigError, match="--phase 'third' is no contrast phase; give native, arterial, portal-venous"):
        cohort_of_scan(one.image, [one.mask], [one.label], contrast_phase="third")


def test_a_path_that_is_not_there(study, tmp_path):
    one = study.new.lesions[0]
    with pytest.raises(ConfigError, match=r"gone\.dcm: --mask does not exist; correct the path"):
        cohort_of_scan(one.image, [tmp_path / "gone.dcm"])
    with pytest.raises(ConfigError, match=r"gone: --image does not exist; correct the path"):
        cohort_of_scan(tmp_path / "gone", [one.mask])


def test_pairs(tmp_path):
    image, a, b = tmp_path / "ct.nii.gz", tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    for path in (image, a, b, tmp_path / "a.nrrd"):
        path.touch()
    assert [(x.lesion_id, x.mask.name, x.label) for x in cohort_of_scan(image, [a, b]).lesions] == [
        ("a", "a.nii.gz", ""),
        ("b", "b.nii.gz", ""),
    ]
    assert [x.lesion_id for x in cohort_of_scan(image, [a], ["1", "2"]).lesions] == ["1", "2"]
    assert [x.label for x in cohort_of_scan(image, [a, b], ["5", "6"]).lesions] == ["5", "6"]
    assert [x.lesion_id for x in cohort_of_scan(image, [a]).lesions] == ["1"]
    with pytest.raises(ConfigError, match="2 masks and 3 labels cannot be paired"):
        cohort_of_scan(image, [a, b], ["1", "2", "3"])
    with pytest.raises(ConfigError, match="two lesions are called a"):
        cohort_of_scan(image, [a, tmp_path / "a.nrrd"])
    with pytest.raises(ConfigError, match="--mask is missing"):
        cohort_of_scan(image, [])
