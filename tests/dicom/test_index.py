"""Walking trees, taking series apart, linking masks."""

import dataclasses
import errno
import gc
import shutil
import sqlite3
import tempfile
import tracemalloc
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from factories import (
    ct_dataset,
    positions_of,
    stored_values,
    uid,
    write,
    write_ct_series,
    write_enhanced_ct,
    write_rtstruct,
)
from pydicom.sr.codedict import codes

from radiomics_talent.dicom.ct import load_ct
from radiomics_talent.dicom.folder import find_files
from radiomics_talent.dicom.headers import read_instances
from radiomics_talent.dicom.index import find_series_files, index_dicom, split_series_uid
from radiomics_talent.dicom.spool import Spool, read_chunk
from radiomics_talent.errors import ConfigError, DicomError
from radiomics_talent.settings import GeometrySettings

N = 6


def square(paths, number=1):
    """One square contour on one slice."""
    x, y, z = (float(v) for v in pydicom.dcmread(paths[number]).ImagePositionPatient)
    return np.asarray([[x + 1, y + 1, z], [x + 6, y + 1, z], [x + 6, y + 6, z], [x + 1, y + 6, z]])


def write_seg(path, ct_files, labels=("Liver", "Lesion")):
    images = [pydicom.dcmread(p) for p in ct_files]
    mask = np.zeros((len(images), images[0].Rows, images[0].Columns, len(labels)), dtype=np.uint8)
    for i in range(len(labels)):
        mask[1:3, 2 + i : 5 + i, 3:6, i] = 1
    described = [
        highdicom.seg.SegmentDescription(
            i,
            name,
            codes.cid7150.Tissue,
            codes.cid7166.ConnectiveTissue,
            highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for i, name in enumerate(labels, start=1)
    ]
    seg = highdicom.seg.Segmentation(
        images, mask, "BINARY", described, uid("segseries", path), 1, uid("seg", path), 1, "M", "M", "1", "1"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path


def volumes_of(index):
    return [s for s in index.series if s.is_volume]


def files_of(record):
    return find_series_files(record.folder, record.series_uid)


@pytest.fixture
def tree(tmp_path):
    """Two patients, nested and without extensions, with junk, another modality, a localizer and a DICOMDIR."""
    one = write_ct_series(tmp_path / "a" / "deep" / "er", N, patient="P1")
    two = write_ct_series(tmp_path / "b", N, patient="P2")

    def localizer(ds, i):
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_ct_series(tmp_path / "b" / "scout", 1, patient="P2", series="scout", edit=localizer)

    def mr(ds, i):
        ds.Modality, ds.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"

    write_ct_series(tmp_path / "b", 3, patient="P2", series="mr", first_number=50, edit=mr)
    (tmp_path / "notes.txt").write_text("junk")
    (tmp_path / "empty").touch()
    (tmp_path / "a" / "Thumbs.db").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    directory = ct_dataset(stored_values(1, 4, 4)[0], positions_of(1)[0])
    directory.file_meta.MediaStorageSOPClassUID = directory.SOPClassUID = "1.2.840.10008.1.3.10"
    write(directory, tmp_path / "DICOMDIR")
    write_rtstruct(tmp_path / "a" / "rt", one, {"GTV": [square(one)], "Empty": []})
    write_seg(tmp_path / "b" / "seg", two)
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_tree_with_everything_in_it(tree, jobs, monkeypatch):
    monkeypatch.setattr("radiomics_talent.dicom.index.CHUNK", 5)
    steps = []
    index = index_dicom(tree, jobs=jobs, progress=lambda done, total: steps.append((done, total)))
    assert (index.files_read, index.files_ignored) == (2 * N + 1 + 3 + 2, 4)
    assert [(s.patient_id, s.modality, s.n_files, s.is_volume) for s in volumes_of(index)] == [
        ("P1", "CT", N, True),
        ("P2", "CT", N, True),
    ]
    assert sorted(s.modality for s in index.series) == ["CT", "CT", "CT", "MR", "RTSTRUCT", "SEG"]
    assert [f.code for s in index.series for f in s.findings] == ["localizer"]
    assert [(link.label, link.roi_name, link.series.patient_id) for link in index.links] == [
        ("GTV", "GTV", "P1"),
        ("1", "Liver", "P2"),
        ("2", "Lesion", "P2"),
    ]
    assert [(f.code, f.level) for f in index.findings] == [("mask-empty", "warning")]
    total = index.files_read + index.files_ignored
    assert steps[-1] == (total, total)
    assert steps == sorted(steps)


def test_a_record_says_what_the_header_says(tmp_path):
    def edit(ds, i):
        ds.SeriesDescription, ds.ConvolutionKernel = "Abdomen portal venous", ["B30f", "3"]
        ds.SliceThickness = "3.26999999999998"

    paths = write_ct_series(tmp_path, N, positions=positions_of(N, step=3.27)[::-1], edit=edit)
    (record,) = index_dicom(tmp_path).series
    assert (record.contrast_phase, record.kernel, record.manufacturer, record.site) == (
        "portal-venous",
        "B30f/3",
        "ACME",
        "Site A",
    )
    assert (record.slice_thickness_mm, record.study_date, record.volume) == (3.27, "2024-01-31", 1)
    assert record.series_uid == record.series_instance_uid
    assert files_of(record) == tuple(reversed(paths))
    assert (record.n_files, record.first_file) == (N, paths[-1])
    assert record.folder == tmp_path
    assert record.findings == ()


def test_no_name_nor_birth_date_leaves(tree):
    text = str(dataclasses.asdict(index_dicom(tree)))
    assert "Secret" not in text
    assert "19500101" not in text


def test_progress_and_result_do_not_depend_on_jobs(tree, monkeypatch):
    monkeypatch.setattr("radiomics_talent.dicom.index.CHUNK", 4)
    assert index_dicom(tree, jobs=1) == index_dicom(tree, jobs=2)


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_the_order_of_files_does_not_matter(tree, chunk, monkeypatch):
    """Nor which of them are read together: with copies, another patient's scan, and damaged files among them."""
    shutil.copytree(tree / "a", tree / "b" / "again")
    for path in sorted((tree / "b").iterdir())[:2]:
        path.write_bytes(path.read_bytes()[:400])
    found = index_dicom(tree)
    assert sum(f.code == "unreadable-file" for f in found.findings) == 2
    listed, _ = find_files(tree)
    shuffled = np.random.default_rng(chunk).permutation(len(listed))
    monkeypatch.setattr("radiomics_talent.dicom.index.CHUNK", chunk)
    monkeypatch.setattr("radiomics_talent.dicom.index.walk_files", lambda *_: (listed[i] for i in shuffled))
    other = index_dicom(tree)
    assert (other.series, other.links) == (found.series, found.links)
    assert set(other.findings) == set(found.findings)


def test_findings_come_in_the_order_of_files(tmp_path, monkeypatch):
    paths = write_ct_series(tmp_path, N)
    for path in paths[1:]:
        path.write_bytes(path.read_bytes()[:400])
    monkeypatch.setattr("radiomics_talent.dicom.index.CHUNK", 1)
    monkeypatch.setattr("radiomics_talent.dicom.index._read_chunks", lambda spool, *_: read_backwards(spool))
    assert [f.where for f in index_dicom(tmp_path).findings] == list(map(str, paths[1:]))


def read_backwards(spool):
    yield from (read_chunk(number, paths) for number, paths in reversed(list(enumerate(spool.listed()))))


def test_a_copy_under_another_patient_id_counts_once(tmp_path):
    write_ct_series(tmp_path / "a", N)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in sorted((tmp_path / "b").iterdir()):
        ds = pydicom.dcmread(path)
        ds.PatientID = "Other"
        ds.save_as(path)
    (record,) = index_dicom(tmp_path).series
    assert (record.patient_id, record.n_files, record.folder) == ("P1", N, tmp_path / "a")


# --- what waits on disk


@pytest.fixture
def spools(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_stays_on_disk_after_an_interrupt(tmp_path, spools, jobs, monkeypatch):
    write_ct_series(tmp_path / "ct", 8)
    monkeypatch.setattr("radiomics_talent.dicom.index.CHUNK", 1)
    seen = []

    def interrupt(done, _):
        seen.append([p.name for p in spools.iterdir() if p.name.startswith("radiomics-talent-index-")])
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_dicom(tmp_path / "ct", jobs=jobs, progress=interrupt)
    assert seen[0]
    assert not list(spools.glob("radiomics-talent-index-*"))


@pytest.mark.parametrize(
    ("call", "error"),
    [("add", sqlite3.OperationalError("no space: full")), ("list_files", OSError(errno.ENOSPC, "no space: full"))],
)
def test_no_room_for_headers_is_told(tmp_path, spools, call, error, monkeypatch):
    write_ct_series(tmp_path / "ct", N)

    def full(*_):
        raise error

    monkeypatch.setattr(Spool, call, full)
    with pytest.raises(ConfigError, match=r"temporary: the headers that were read cannot be kept there \(.*no space"):
        index_dicom(tmp_path / "ct")
    assert not list(spools.iterdir())


def test_memory_does_not_grow_with_the_number_of_files(tmp_path, monkeypatch):
    (instance,) = read_instances(write_ct_series(tmp_path, 1))
    slices = 200
    monkeypatch.setattr("radiomics_talent.dicom.index.CHUNK", 50)

    def read(paths):
        return [slice_named(instance, Path(p), *divmod(int(Path(p).name), slices)) for p in paths]

    def peak(series):
        files = (tmp_path / f"{n:08d}" for n in range(series * slices))
        monkeypatch.setattr("radiomics_talent.dicom.index.walk_files", lambda *_: files)
        tracemalloc.start()
        index = index_dicom(tmp_path)
        assert [s.n_files for s in index.series] == [slices] * series
        most = tracemalloc.get_traced_memory()[1]
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return held, most

    monkeypatch.setattr("radiomics_talent.dicom.spool.read_instances", read)
    peak(1)
    few, many = peak(1), peak(5)
    assert (many[0] - few[0]) / (4 * slices) < 20  # bytes a file; before the spool: 3,000
    assert (many[1] - few[1]) / (4 * slices) < 500


def slice_named(instance, path, series, number):
    plane = dataclasses.replace(instance.planes[0], position_mm=(0.0, 0.0, 2.0 * number))
    names = {"series_instance_uid": f"1.2.{series}", "sop_instance_uid": f"1.2.{series}.{number}"}
    return dataclasses.replace(instance, path=path, planes=(plane,), instance_number=number, **names)


@pytest.mark.parametrize("keep", [250, 396, 600, 800, 1000])
def test_damaged_files_become_findings(tmp_path, keep):
    paths = write_ct_series(tmp_path, N)
    paths[2].write_bytes(paths[2].read_bytes()[:keep])
    index = index_dicom(tmp_path)
    (finding,) = index.findings
    assert finding.code == "unreadable-file"
    assert finding.where == str(paths[2])
    assert [f.code for f in index.series[0].findings] == ["slice-gap"]


def test_an_absent_root_is_refused(tmp_path):
    with pytest.raises(DicomError, match="there is no such folder"):
        index_dicom(tmp_path / "gone")


def test_an_empty_root_is_empty(tmp_path):
    index = index_dicom(tmp_path)
    assert (index.series, index.links, index.files_read) == ((), (), 0)


def test_a_copied_patient_counts_once(tree):
    before = index_dicom(tree)
    shutil.copytree(tree / "a", tree / "z_backup")
    after = index_dicom(tree)
    assert after.series == before.series
    assert after.links == before.links


def test_an_edited_mask_with_the_same_uid_is_kept(tree):
    paths = sorted((tree / "a" / "deep" / "er").iterdir())

    def edit(ds):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("rtstruct", tree / "a" / "rt")

    write_rtstruct(tree / "a" / "rt2", paths, {"Other": [square(paths)]}, edit=edit)
    assert [link.label for link in index_dicom(tree).links][:2] == ["GTV", "Other"]


# --- several volumes in one series


@pytest.fixture
def two_phases(tmp_path):
    folder = tmp_path / "scan"

    def phase(number):
        def edit(ds, i):
            ds.AcquisitionNumber = number

        return edit

    first = write_ct_series(folder, N, edit=phase(1))
    second = write_ct_series(folder, N, first_number=1 + N, edit=phase(2))
    return folder, first, second


def test_volumes_are_numbered_and_found_again(two_phases):
    folder, first, second = two_phases
    one, two = index_dicom(folder).series
    assert (one.series_uid, two.series_uid) == (f"{one.series_instance_uid}#1", f"{one.series_instance_uid}#2")
    assert (files_of(one), files_of(two)) == (tuple(first), tuple(second))
    assert [f.code for f in one.findings] == ["several-volumes"]
    for record in (one, two):
        assert load_ct(files_of(record), GeometrySettings(), where="x").image.GetSize()[2] == N


def test_a_series_with_a_localizer_keeps_its_plain_uid(tmp_path):
    def localizer(ds, i):
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    paths = write_ct_series(tmp_path, N)
    write_ct_series(tmp_path, 1, first_number=90, orientation=(0, 1, 0, 0, 0, -1), edit=localizer)
    volume, scout = index_dicom(tmp_path).series
    assert volume.series_uid == volume.series_instance_uid
    assert scout.series_uid.endswith("#2")
    assert (volume.is_volume, scout.is_volume) == (True, False)
    assert find_series_files(tmp_path, volume.series_uid) == tuple(paths)
    assert find_series_files(tmp_path, None) == tuple(paths)


def test_a_mask_on_a_split_series_goes_to_the_volume_whose_images_it_names(two_phases):
    folder, _, second = two_phases
    write_rtstruct(folder / "rt", second, {"GTV": [square(second)]})
    (link,) = index_dicom(folder).links
    assert link.series.volume == 2
    assert link.findings == ()


def test_a_mask_drawn_across_volumes_of_a_split_series_is_linked_with_a_warning(two_phases):
    folder, first, second = two_phases
    write_rtstruct(folder / "rt", [*first[:2], *second], {"GTV": [square(second)]})
    (link,) = index_dicom(folder).links
    assert link.series.volume == 2
    assert [(f.code, f.level) for f in link.findings] == [("several-volumes", "warning")]
    assert "#1: 2 slices" in link.findings[0].sentence
    assert f"#2: {N} slices" in link.findings[0].sentence


def test_a_mask_on_a_split_series_that_names_no_images_is_not_guessed(two_phases):
    folder, first, _ = two_phases

    def forget(ds):
        for item in ds.ROIContourSequence[0].ContourSequence:
            item.pop("ContourImageSequence", None)

    write_rtstruct(folder / "rt", first, {"GTV": [square(first)]}, refer_instances=False, edit=forget)
    (link,) = index_dicom(folder).links
    assert link.series is None
    assert [f.code for f in link.findings] == ["mask-unlinked"]
    assert "fits 2 CT volumes" in link.findings[0].sentence


# --- links


def test_link_by_instances_when_the_series_is_unknown(tmp_path):
    paths = write_ct_series(tmp_path / "ct", N)
    write_ct_series(tmp_path / "other", N, series="other")
    rt = write_rtstruct(tmp_path / "rt", paths, {"GTV": [square(paths)]}, refer_series=False)
    (link,) = index_dicom(tmp_path).links
    assert (link.mask, files_of(link.series)) == (rt, tuple(paths))
    assert link.findings == ()


def test_link_by_frame_of_reference_alone(tmp_path):
    paths = write_ct_series(tmp_path / "ct", N)
    write_ct_series(tmp_path / "other", N, patient="P2")
    write_rtstruct(tmp_path / "rt", paths, {"GTV": [square(paths)]}, refer_series=False, refer_instances=False)
    (link,) = index_dicom(tmp_path).links
    assert files_of(link.series) == tuple(paths)


def test_another_series_in_the_frame_of_reference_is_linked_with_a_warning(tmp_path):
    gone = write_ct_series(tmp_path / "gone", N)
    write_rtstruct(tmp_path / "rt", gone, {"GTV": [square(gone)]})
    shutil.rmtree(tmp_path / "gone")
    kept = write_ct_series(tmp_path / "ct", N, series="other")
    (link,) = index_dicom(tmp_path).links
    assert files_of(link.series) == tuple(kept)
    assert [f.code for f in link.findings] == ["mask-other-series"]


def test_two_series_in_the_frame_of_reference_are_not_guessed(tmp_path):
    gone = write_ct_series(tmp_path / "gone", N)
    write_rtstruct(tmp_path / "rt", gone, {"GTV": [square(gone)]})
    shutil.rmtree(tmp_path / "gone")
    for name in ("b", "c"):
        write_ct_series(tmp_path / name, N, series=name)
    (link,) = index_dicom(tmp_path).links
    assert (link.series, [f.code for f in link.findings]) == (None, ["mask-unlinked"])


def test_a_mask_without_its_scan_is_unlinked(tmp_path):
    gone = write_ct_series(tmp_path / "gone", N)
    write_rtstruct(tmp_path / "rt", gone, {"GTV": [square(gone)]})
    shutil.rmtree(tmp_path / "gone")
    write_ct_series(tmp_path / "ct", N, patient="P2")
    (link,) = index_dicom(tmp_path).links
    assert link.series is None
    assert "was not found" in link.findings[0].sentence


def test_an_unreadable_mask_is_a_finding(tmp_path):
    paths = write_ct_series(tmp_path / "ct", N)
    rt = write_rtstruct(tmp_path / "rt", paths, {"GTV": [square(paths)]})
    ds = pydicom.dcmread(rt)
    del ds.StructureSetROISequence
    del ds.ROIContourSequence
    ds.save_as(rt)
    index = index_dicom(tmp_path)
    assert index.links == ()
    assert len(volumes_of(index)) == 1


# --- find_series_files


@pytest.mark.parametrize(
    ("text", "parts"), [("1.2#2", ("1.2", 2)), ("1.2", ("1.2", None)), ("", ("", None)), (" 1.2#x", ("1.2", None))]
)
def test_split_series_uid(text, parts):
    assert split_series_uid(text) == parts


def test_the_only_volume_needs_no_name(tmp_path):
    paths = write_ct_series(tmp_path / "deep", N)
    (tmp_path / "junk").write_text("x")
    assert find_series_files(tmp_path, None) == tuple(paths)
    assert find_series_files(tmp_path, "") == tuple(paths)
    assert find_series_files(tmp_path, uid("P1", "series")) == tuple(paths)
    assert find_series_files(tmp_path, uid("P1", "series") + "#1") == tuple(paths)


def test_one_file_may_stand_for_the_folder(tmp_path):
    path = write_enhanced_ct(tmp_path / "m", positions_of(3), stored_values(3, 8, 8))
    assert find_series_files(path, None) == (path,)
    assert [s.n_files for s in volumes_of(index_dicom(path))] == [1]


def test_deflated_files_are_found_by_uid(tmp_path):
    paths = write_ct_series(tmp_path, N, syntax="1.2.840.10008.1.2.1.99")
    assert find_series_files(tmp_path, uid("P1", "series")) == tuple(paths)


def test_several_volumes_are_named(two_phases):
    folder, _, _ = two_phases
    series = uid("P1", "series")
    for asked in (None, series):
        with pytest.raises(DicomError, match=rf"holds 2 CT volumes \({series}#1: 6 files, {series}#2: 6 files\)"):
            find_series_files(folder, asked)
    with pytest.raises(DicomError, match=r"#7 is not among the CT volumes there"):
        find_series_files(folder, f"{series}#7")


def test_absent_series_are_named(tmp_path):
    with pytest.raises(DicomError, match="a DICOM series is not there"):
        find_series_files(tmp_path, None)
    write_ct_series(tmp_path, N)
    with pytest.raises(DicomError, match=r"series 1\.2\.3 is not there"):
        find_series_files(tmp_path, "1.2.3")
    with pytest.raises(DicomError, match="there is no such folder"):
        find_series_files(tmp_path / "gone", None)


def test_a_folder_without_ct_is_told_as_such(tmp_path):
    def mr(ds, i):
        ds.Modality, ds.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"

    write_ct_series(tmp_path, N, edit=mr)
    with pytest.raises(DicomError, match="there is no CT volume, only MR objects"):
        find_series_files(tmp_path, None)


# --- real data


def test_no_nasty_file_escapes(shared_data):
    root = shared_data / "dicom_nasty"
    index = index_dicom(root)
    assert index.files_read + index.files_ignored + sum(f.code == "unreadable-file" for f in index.findings) == sum(
        p.is_file() for p in root.rglob("*")
    )
    by_folder = {s.first_file.parent.name: s for s in index.series}
    assert {f.code for f in by_folder["GE_tilt_variable_spacing"].findings} == {"gantry-tilt", "unequal-spacing"}
    assert {f.code for f in by_folder["Philips_tilt_16p5_first10"].findings} == {"gantry-tilt"}
    assert not by_folder["Philips_localizer"].is_volume
    assert not by_folder["Philips_exam_summary"].is_volume
    assert by_folder["CT5N"].n_files == 5
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        alone = index_dicom(path)
        for link in alone.links:
            assert link.series is None
        try:
            find_series_files(path, None)
        except DicomError:
            continue


def test_real_sarcomas_are_linked(sts_root):
    index = index_dicom(sts_root)
    patients = {s.patient_id for s in volumes_of(index)}
    assert len(patients) == 3
    lesions = [link for link in index.links if link.roi_name == "GTV_Mass_CT"]
    assert {link.series.patient_id for link in lesions} == patients
    assert all(link.findings == () for link in lesions)
    assert all(f.level != "error" for s in volumes_of(index) for f in s.findings)
    for record in volumes_of(index):
        assert len(files_of(record)) == record.n_files


def test_real_segmentations_are_linked(shared_data):
    index = index_dicom(shared_data / "dicom_masks" / "dcmqi" / "ct-3slice")
    assert [s.n_files for s in volumes_of(index)] == [3]
    whole = index_dicom(shared_data / "dicom_masks" / "dcmqi")
    liver = next(link for link in whole.links if link.mask.name == "liver.dcm")
    assert liver.series.series_instance_uid == volumes_of(index)[0].series_instance_uid


def test_the_ibsi_phantom_is_linked(shared_data):
    index = index_dicom(shared_data / "ibsi" / "ct_phantom" / "dicom")
    (gtv,) = [link for link in index.links if link.roi_name == "GTV-1"]
    assert gtv.series.n_files == 60
