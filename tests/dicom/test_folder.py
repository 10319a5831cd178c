"""Folders as they are found: closed ones, links, names of another century, and slices that were lost."""

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from factories import ct_dataset, positions_of, stored_values, uid, write, write_ct_series, write_rtstruct

from radiomics_talent.dicom.folder import escape, find_files
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.dicom.selection import find_series
from radiomics_talent.errors import DicomError

N = 6
LATIN = os.fsdecode(b"Mu\xf1oz")


def forbid(monkeypatch, *closed: Path) -> None:
    """Let files and folders be closed: root, as whom tests may run, could read them whatever their mode."""
    real_open, real_scandir = Path.open, os.scandir

    def refuse(path) -> None:
        if not isinstance(path, int) and Path(path) in closed:  # an int is an open folder
            raise PermissionError(13, "Permission denied", str(path))

    def open_(self, *args, **kwargs):
        refuse(self)
        return real_open(self, *args, **kwargs)

    def scandir(path="."):
        refuse(path)
        return real_scandir(path)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(os, "scandir", scandir)


def lose(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "zeros": bytes(len(content)), "noise": b"\xa5" * 999, "cut": content[:200]}[how])


@pytest.mark.parametrize("how", ["empty", "zeros", "noise", "cut"])
@pytest.mark.parametrize("named", [True, False])
def test_lost_slices_are_named(tmp_path, how, named):
    paths = write_ct_series(tmp_path, N)
    for path in paths[:2]:
        lose(path, how)
    found = find_series(tmp_path, uid("P1", "series") if named else None)
    assert found.files == tuple(paths[2:])
    (finding,) = found.findings
    assert (finding.code, finding.level) == ("files-left-out", "warning")
    assert "2 files beside the series are empty, damaged or not DICOM" in finding.sentence
    assert paths[0].name in finding.sentence


@pytest.mark.parametrize("how", ["empty", "zeros", "noise"])
def test_index_names_lost_slices(tmp_path, how):
    paths = write_ct_series(tmp_path / "ct", N)
    write_rtstruct(tmp_path / "rs", paths, {"GTV": []})
    lose(paths[-1], how)
    found = {f.code: f for f in index_dicom(tmp_path).findings}
    assert set(found) == {"files-left-out", "referenced-slices-missing", "mask-empty"}
    assert "1 file beside the series is empty" in found["files-left-out"].sentence
    assert "1 of the 6 slices that it refers to are not in its series" in found["referenced-slices-missing"].sentence


def test_what_people_keep_beside_a_series_is_no_slice(tmp_path):
    write_ct_series(tmp_path, N)
    for name in ("Thumbs.db", ".DS_Store", "README", "notes.txt", "mask.nii.gz", "DICOMDIR"):
        (tmp_path / name).write_bytes(b"")
    directory = ct_dataset(stored_values(1, 4, 4)[0], positions_of(1)[0])
    directory.file_meta.MediaStorageSOPClassUID = directory.SOPClassUID = "1.2.840.10008.1.3.10"
    write(directory, tmp_path / "DIRECTORY")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "0001").touch()
    write_ct_series(tmp_path, 2, series="other", first_number=50)
    assert find_series(tmp_path, uid("P1", "series")).findings == ()
    assert index_dicom(tmp_path).findings == ()


def test_a_name_like_a_slice_outweighs_its_suffix(tmp_path):
    paths = [p.rename(tmp_path / f"IM{i}.img") for i, p in enumerate(write_ct_series(tmp_path, N))]
    paths[0].write_bytes(b"")
    assert [f.code for f in find_series(tmp_path, None).findings] == ["files-left-out"]


def test_a_closed_file_is_an_error(tmp_path, monkeypatch):
    paths = write_ct_series(tmp_path, N)
    forbid(monkeypatch, paths[0])
    for series_uid in (uid("P1", "series"), None):
        with pytest.raises(DicomError, match=r": 0001 cannot be read: Permission denied$") as caught:
            find_series(tmp_path, series_uid)
        assert caught.value.code == "unreadable-file"


def test_a_closed_folder_is_an_error(tmp_path, monkeypatch):
    write_ct_series(tmp_path / "a", N)
    write_ct_series(tmp_path / "b", N, patient="P2")
    forbid(monkeypatch, tmp_path / "a")
    index = index_dicom(tmp_path)
    assert [(f.code, f.level, f.sentence) for f in index.findings] == [
        ("unreadable-file", "error", "the folder cannot be read: Permission denied")
    ]
    assert [s.patient_id for s in index.series] == ["P2"]
    with pytest.raises(DicomError, match="the folder cannot be read: Permission denied"):
        find_series(tmp_path / "a", None)


def test_files_without_status_are_an_error(tmp_path, monkeypatch):
    """A folder that may be listed, but not entered."""
    paths = write_ct_series(tmp_path, 3)
    real = Path.is_file

    def is_file(self):
        if self in paths:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "is_file", is_file)
    (finding,) = index_dicom(tmp_path).findings
    assert finding.is_error
    assert finding.sentence == "3 files (0001, ...) cannot be read: Permission denied"


def test_a_folder_in_a_closed_one(tmp_path, monkeypatch):
    def is_file(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", is_file)
    with pytest.raises(DicomError, match="cannot be read: Permission denied"):
        find_files(tmp_path)


def test_names_that_are_not_utf8(tmp_path):
    write_ct_series(tmp_path / "good", N)
    write_ct_series(tmp_path / LATIN, N, patient="P2")
    shutil.copy(tmp_path / "good" / "0001", tmp_path / "good" / f"{LATIN}.dcm")
    (tmp_path / "good" / f"{LATIN}.txt").write_text("junk")
    index = index_dicom(tmp_path)
    assert [s.patient_id for s in index.series] == ["P1"]
    folder, file = index.findings
    assert folder.is_error
    assert folder.where == f"{tmp_path}/Mu\\xf1oz"
    assert "its name is not UTF-8" in folder.sentence
    assert file.is_error
    assert file.sentence.startswith("1 file (Mu\\xf1oz.dcm) left out: its name is not UTF-8")
    with pytest.raises(DicomError, match="its name is not UTF-8"):
        index_dicom(tmp_path / LATIN)
    assert escape("Muñoz") == "Muñoz"


def test_links_to_folders(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    write_ct_series(root / "a", N)
    write_ct_series(elsewhere / "deep", N, patient="P2")
    (elsewhere / "deep" / "home").symlink_to(root)
    (elsewhere / "loop").symlink_to(elsewhere)
    (root / "a-again").symlink_to("a")
    (root / "up").symlink_to(tmp_path)
    (root / "link").symlink_to(elsewhere)
    (root / "link2").symlink_to(elsewhere / "deep")
    paths, findings = find_files(root)
    assert findings == []
    assert sorted({p.parent.relative_to(root).as_posix() for p in paths}) == ["a", "link2"]
    assert len(paths) == 2 * N
    assert sorted(s.patient_id for s in index_dicom(root).series) == ["P1", "P2"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")  # pydicom, on writing it
@pytest.mark.parametrize(
    ("date", "thickness", "expected"), [("20240230", 0, ""), ("00000000", -3, ""), ("20240229", 0, "2024-02-29")]
)
def test_impossible_headers_do_not_reach_the_table(tmp_path, date, thickness, expected):
    def edit(ds, i):
        ds.StudyDate, ds.SliceThickness = date, thickness

    write_ct_series(tmp_path, N, edit=edit)
    (record,) = index_dicom(tmp_path).series
    assert (record.study_date, record.slice_thickness_mm) == (expected, None)


def test_slices_of_other_volumes_of_the_series_are_not_missing(tmp_path):
    """A mask may refer to the localizer, and to both acquisitions of one SeriesInstanceUID."""
    first = write_ct_series(tmp_path / "ct", N, pixels=stored_values(N, 12, 16, seed=1))

    def later(ds, i):
        ds.AcquisitionNumber = 2

    second = write_ct_series(tmp_path / "ct", N, first_number=20, edit=later)
    write_rtstruct(tmp_path / "rs", [*first, *second], {"GTV": [np.asarray([[0, 0, 0], [1, 0, 0], [1, 1, 0.0]])]})
    index = index_dicom(tmp_path)
    assert sum(s.is_volume for s in index.series) == 2
    assert "referenced-slices-missing" not in {f.code for f in index.findings}
    found = find_series(tmp_path / "ct", uid("P1", "series") + "#1")
    assert len(found.files) == N
    assert found.sop_instance_uids == {pydicom.dcmread(p).SOPInstanceUID for p in (*first, *second)}
