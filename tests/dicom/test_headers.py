import dataclasses

import pytest
from factories import ct_dataset, positions_of, stored_values, write, write_ct_series
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from radiomics_talent.dicom.headers import looks_like_dicom, read_instance
from radiomics_talent.errors import DicomError


def test_facts_of_a_slice(tmp_path):
    (path,) = write_ct_series(tmp_path, 1)
    found = read_instance(path)
    assert (found.modality, found.patient_id, found.study_date) == ("CT", "P1", "2024-01-31")
    assert (found.kernel, found.manufacturer, found.site) == ("B30f", "ACME", "Site A")
    assert found.planes[0].position_mm == (-100.0, -120.0, -300.0)
    assert found.planes[0].pixel_spacing_mm == (0.8, 0.7)
    assert found.content_time == 101112
    assert found.is_ct
    assert not found.is_multiframe


def test_names_and_birth_dates_stay_in_the_file(tmp_path):
    def edit(ds, i):
        ds.SeriesDescription, ds.AccessionNumber, ds.ReferringPhysicianName = "Doe venous", "ACC1", "Ref^Phys"

    (path,) = write_ct_series(tmp_path, 1, edit=edit)
    text = str(dataclasses.asdict(read_instance(path)))
    for secret in ("Secret", "19500101", "Doe", "ACC1", "Phys"):
        assert secret not in text
    assert "'venous'" in text


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_without_preamble_and_meta_information_is_read(tmp_path, syntax):
    ds = ct_dataset(stored_values(1, 8, 8)[0], positions_of(1)[0], syntax=syntax)
    whole = write(ds, tmp_path / "whole").read_bytes()
    # Group 0002 ends where its length says.
    end = 132 + 12 + int.from_bytes(whole[140:144], "little")
    bare = tmp_path / "bare"
    bare.write_bytes(whole[end:])
    found = read_instance(bare)
    assert found.sop_instance_uid == ds.SOPInstanceUID
    assert found.planes == read_instance(tmp_path / "whole").planes


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"DICM",
        b"\0" * 4096,
        b"hello world, this is text\n" * 20,
        b"PK\x03\x04" * 99,
        b"\x89PNG\r\n\x1a\n" * 30,
        bytes(range(256)) * 4,
    ],
)
def test_junk_is_not_dicom(tmp_path, junk):
    path = tmp_path / "junk"
    path.write_bytes(junk)
    assert not looks_like_dicom(junk[:132])
    assert read_instance(path) is None


@pytest.mark.parametrize("keep", [140, 400, 700, 900])
def test_a_file_cut_within_its_header_gives_facts_or_a_reason(tmp_path, keep):
    (path,) = write_ct_series(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:keep])
    try:
        read_instance(path)
    except DicomError as error:
        assert "export it again" in str(error)  # noqa: PT017


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(DicomError, match=r"gone: cannot be read: No such file"):
        read_instance(tmp_path / "gone")


@pytest.mark.parametrize("start", [0, 200, 400])
def test_random_damage_never_escapes(tmp_path, start):
    (path,) = write_ct_series(tmp_path, 1)
    good = path.read_bytes()
    for i in range(start, start + 200):
        bad = bytearray(good)
        for k in range(6):
            bad[132 + (i * 7919 + k * 104729) % (len(good) - 132)] = (i * 31 + k * 17) % 256
        path.write_bytes(bytes(bad))
        try:
            read_instance(path)
        except DicomError as error:
            assert "Secret" not in str(error)  # noqa: PT017
