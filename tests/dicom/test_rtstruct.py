"""RTSTRUCT: real ones against published masks, and broken ones."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from radiomics_talent.dicom.rtstruct import inspect_roi, label_rois, read_rtstruct_headers
from radiomics_talent.errors import DicomError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.settings import MaskSettings

GRID = Geometry((40, 30, 20), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
SETTINGS = MaskSettings()


def box(x0, y0, x1, y1, z):
    return [x0, y0, z, x1, y0, z, x1, y1, z, x0, y1, z]


def lesion(x=4.5, y=5.5, side=8):
    return [box(x, y, x + side, y + side, z) for z in (4.0, 6.0, 8.0)]


def structure_set(rois, kind="CLOSED_PLANAR"):
    """An RTSTRUCT of [(name, [contour data, ...]), ...]."""
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    ds.SOPInstanceUID = generate_uid()
    ds.Modality = "RTSTRUCT"
    ds.PatientID = "P1"
    ds.PatientName = "Secret^Name"
    frame, study, series, image = Dataset(), Dataset(), Dataset(), Dataset()
    image.ReferencedSOPInstanceUID = "1.2.3.4"
    series.SeriesInstanceUID = "1.2.3"
    series.ContourImageSequence = [image]
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = "1.2"
    frame.RTReferencedStudySequence = [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]
    ds.StructureSetROISequence, ds.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois, 1):
        roi, entry = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        entry.ReferencedROINumber = number
        entry.ContourSequence = []
        for data in contours:
            item = Dataset()
            item.ContourGeometricType = kind
            item.NumberOfContourPoints = len(data) // 3
            item.ContourData = data
            entry.ContourSequence.append(item)
        ds.StructureSetROISequence.append(roi)
        ds.ROIContourSequence.append(entry)
    return ds


@pytest.fixture
def save(tmp_path):
    def _save(ds, name="rs.dcm"):
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "1.2.3")
        ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.9"
        ds.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return _save


def codes(findings):
    return [f.code for f in findings]


# --- real structure sets


def test_ibsi_phantom_gives_its_published_mask_voxel_for_voxel(shared_data):
    phantom = shared_data / "ibsi" / "ct_phantom"
    published = sitk.ReadImage(phantom / "nifti" / "mask" / "mask.nii.gz")
    expected = sitk.GetArrayFromImage(published) > 0
    first = pydicom.dcmread(phantom / "dicom" / "image" / "DCM_IMG_00059.dcm", stop_before_pixels=True)
    dicom = Geometry(
        published.GetSize(),
        (*(float(s) for s in first.PixelSpacing), 3.0),
        tuple(float(p) for p in first.ImagePositionPatient),
    )
    for geometry in (Geometry.of(published), Geometry.of(published).canonical(), dicom, dicom.canonical()):
        path = phantom / "dicom" / "mask" / "DCM_RS_00060.dcm"
        findings, mask = inspect_roi(path, "GTV-1", geometry, SETTINGS, where="phantom")
        assert findings == ()
        assert mask.sum() == 125256
        assert np.array_equal(mask, expected)


def test_sarcoma_patients_load(sts_root):
    patients = sorted(sts_root.iterdir())
    assert patients
    for patient in patients:
        slices = [pydicom.dcmread(f, stop_before_pixels=True) for f in (patient / "CT" / "image").iterdir()]
        slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
        low, high = (np.array(ds.ImagePositionPatient, dtype=float) for ds in (slices[0], slices[-1]))
        size = (slices[0].Columns, slices[0].Rows, len(slices))
        row, column = (float(s) for s in slices[0].PixelSpacing)
        spacing = (column, row, float(high[2] - low[2]) / (len(slices) - 1))
        path = patient / "CT" / "mask" / "RS.dcm"
        headers = read_rtstruct_headers(path)
        assert [r.name for r in headers.rois] == ["GTV_Mass_CT"]
        assert headers.series_instance_uids == (slices[0].SeriesInstanceUID,)
        assert len(headers.sop_instance_uids) >= len(slices)
        findings, mask = inspect_roi(
            path, "GTV_Mass_CT", Geometry(size, spacing, tuple(low)), MaskSettings(volume_tolerance=0.01), where="sts"
        )
        assert findings == ()
        assert mask.shape == size[::-1]
        assert mask.any()


@pytest.mark.parametrize("name", ["rt.dcm", "invalid_reference_rt.dcm", "non_existent_reference_rt.dcm"])
def test_structure_sets_of_rt_utils_are_read(shared_data, name):
    headers = read_rtstruct_headers(shared_data / "dicom_masks" / "rt_utils" / "mock_data" / name)
    assert headers.rois


def test_every_nasty_file_is_refused_in_a_sentence(shared_data):
    files = [p for p in sorted((shared_data / "dicom_nasty").rglob("*")) if p.is_file()]
    read = 0
    for path in files:
        try:
            headers = read_rtstruct_headers(path)
        except DicomError as error:
            assert "cannot be read as an RTSTRUCT" in str(error)  # noqa: PT017
            continue
        read += 1
        for roi in headers.rois:
            findings, mask = inspect_roi(path, roi.name, GRID, SETTINGS, where="x")
            assert mask is not None or any(f.is_error for f in findings)
    assert read >= 1


# --- headers


def test_headers_name_rois_and_references(save):
    path = save(structure_set([("GTV 1 ", lesion()), ("empty", [])]))
    headers = read_rtstruct_headers(path)
    assert [(r.number, r.name, r.n_contours) for r in headers.rois] == [(1, "GTV 1", 3), (2, "empty", 0)]
    assert headers.frame_of_reference_uid == "1.2"
    assert headers.series_instance_uids == ("1.2.3",)
    assert headers.sop_instance_uids == {"1.2.3.4"}
    assert headers.patient_id == "P1"


def test_roi_without_contour_entry_has_none(save):
    ds = structure_set([("a", lesion())])
    del ds.ROIContourSequence
    path = save(ds)
    assert read_rtstruct_headers(path).rois[0].n_contours == 0
    findings, mask = inspect_roi(path, "a", GRID, SETTINGS, where="p/1")
    assert mask is None
    assert codes(findings) == ["mask-empty"]
    assert "has no contours" in findings[0].sentence


def test_other_files_are_refused(save, tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"no DICOM at all" * 40)
    with pytest.raises(DicomError, match="not a DICOM file"):
        read_rtstruct_headers(junk)
    with pytest.raises(DicomError, match="cannot be read as an RTSTRUCT"):
        read_rtstruct_headers(tmp_path / "absent")
    ct = structure_set([("a", lesion())])
    ct.SOPClassUID, ct.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"
    with pytest.raises(DicomError, match="its Modality is not RTSTRUCT"):
        read_rtstruct_headers(save(ct))
    bare = structure_set([])
    del bare.StructureSetROISequence
    with pytest.raises(DicomError, match="no StructureSetROISequence"):
        read_rtstruct_headers(save(bare, "bare.dcm"))


# --- finding the ROI


def test_roi_becomes_a_mask(save):
    findings, mask = inspect_roi(save(structure_set([("GTV", lesion())])), "GTV", GRID, SETTINGS, where="p/1")
    assert findings == ()
    expected = np.zeros((20, 30, 40), dtype=bool)
    expected[2:5, 6:14, 5:13] = True
    assert np.array_equal(mask, expected)


def test_only_roi_needs_no_label(save):
    findings, mask = inspect_roi(save(structure_set([("GTV", lesion())])), "", GRID, SETTINGS, where="p/1")
    assert findings == ()
    assert mask.any()


def test_absent_label_gets_the_list(save):
    path = save(structure_set([("GTV-1", lesion()), ("liver", lesion(20.5, 10.5, 10)), ("none", [])]))
    findings, mask = inspect_roi(path, "GTV_1", GRID, SETTINGS, where="p/1")
    assert mask is None
    assert codes(findings) == ["label-absent"]
    sentence = str(findings[0])
    assert sentence.startswith("p/1: there is no ROI 'GTV_1' (did you mean 'GTV-1'?)")
    assert "'GTV-1' (number 1) -> 3 contours -> 192 voxels -> 0.384 ml" in sentence
    assert "'liver' (number 2) -> 3 contours -> 300 voxels -> 0.6 ml" in sentence
    assert "'none' (number 3) -> 0 contours -> 0 voxels" in sentence
    assert "Secret" not in sentence


def test_long_lists_are_cut(save):
    path = save(structure_set([(f"roi{i}", []) for i in range(30)]))
    findings, _ = inspect_roi(path, "x", GRID, SETTINGS, where="p/1")
    assert "and 10 more" in findings[0].sentence


def test_two_rois_of_one_name_are_ambiguous(save):
    path = save(structure_set([("GTV", lesion()), ("GTV", lesion(20.5))]))
    findings, mask = inspect_roi(path, "GTV", GRID, SETTINGS, where="p/1")
    assert mask is None
    assert codes(findings) == ["label-ambiguous"]
    assert "number 2" in findings[0].sentence
    assert codes(inspect_roi(path, "", GRID, SETTINGS, where="p/1")[0]) == ["label-ambiguous"]


def test_patterns_map_spellings(save):
    settings = MaskSettings(roi_names={"lesion": ("gtv.*",)})
    path = save(structure_set([("GTV_left", lesion()), ("liver", lesion(20.5))]))
    findings, mask = inspect_roi(path, "lesion", GRID, settings, where="p/1")
    assert findings == ()
    assert mask.sum() == 192


# --- judging the contours


def judged(save, contours, kind="CLOSED_PLANAR", settings=SETTINGS):
    return inspect_roi(save(structure_set([("GTV", contours)], kind)), "GTV", GRID, settings, where="p/1")


def test_stray_points_are_skipped_and_counted(save):
    findings, mask = judged(save, [*lesion(), [1.0, 1.0, 4.0], [1.0, 1.0, 4.0, 2.0, 2.0, 4.0], lesion()[0]])
    assert mask.sum() == 192
    assert codes(findings) == ["contours-skipped"]
    assert "3 of 6 contours of 'GTV' were skipped: 2 without area, 1 drawn twice" in findings[0].sentence


def test_points_and_open_lines_enclose_nothing(save):
    findings, mask = judged(save, lesion(), kind="OPEN_PLANAR")
    assert mask is None
    assert codes(findings) == ["mask-empty"]
    assert "encloses no area with any of its contours (3)" in findings[0].sentence


def test_lesion_between_voxel_centres_is_empty(save):
    findings, mask = judged(save, [box(4.2, 4.2, 4.8, 4.8, 4.0)])
    assert mask is None
    assert "and no voxel centre" in findings[0].sentence


def test_contours_off_the_slices_are_reported(save):
    findings, mask = judged(save, [box(4.5, 5.5, 12.5, 13.5, z) for z in (4.6, 6.6, 8.6)])
    assert mask.sum() == 192
    assert codes(findings) == ["contours-off-slice"]
    assert "up to 0.6 mm" in findings[0].sentence


def test_slice_left_out_is_reported(save):
    findings, mask = judged(save, [box(4.5, 5.5, 12.5, 13.5, z) for z in (4, 6, 10, 12)])
    assert mask.sum() == 256
    assert codes(findings) == ["contour-gap"]


def test_every_second_slice_is_refused(save):
    findings, mask = judged(save, [box(4.5, 5.5, 12.5, 13.5, z) for z in (4, 8, 12, 16)])
    assert mask is None
    assert codes(findings) == ["volume-differs", "contour-gap"]
    assert "has 0.512 ml, but its contours enclose 1.02 ml" in findings[0].sentence
    findings, mask = judged(
        save, [box(4.5, 5.5, 12.5, 13.5, z) for z in (4, 8, 12, 16)], settings=MaskSettings(volume_tolerance=0.6)
    )
    assert mask.sum() == 256


def test_tiny_lesion_is_not_refused(save):
    _, mask = judged(save, [[4.0, 3.0, 6.0, 5.4, 4.4, 6.0, 4.0, 5.8, 6.0, 2.6, 4.4, 6.0]])
    assert 2 <= mask.sum() <= 6


def test_lesion_outside_the_scan_is_refused(save):
    findings, mask = judged(save, [box(100, 5, 110, 15, 4)])
    assert mask is None
    assert codes(findings) == ["mask-outside-image"]
    assert "wholly outside the scan" in findings[0].sentence


def test_lesion_partly_outside_is_refused_with_how_much(save):
    findings, mask = judged(save, [box(-2.5, 5.5, 7.5, 15.5, z) for z in (4, 6)])
    assert mask is None
    assert codes(findings) == ["mask-outside-image"]
    assert "lies to 20 % outside the scan (0.08 of 0.4 ml)" in findings[0].sentence


def test_sagittal_contours_are_resampled_with_a_warning(save):
    contours = [[x, 5.5, 7.0, x, 15.5, 7.0, x, 15.5, 23.0, x, 5.5, 23.0] for x in range(10, 20)]
    findings, mask = judged(save, contours)
    assert codes(findings) == ["contours-oblique"]
    assert mask[4:12, 6:16, 10:20].all()
    assert mask.sum() == 800


# --- broken structure sets


def test_coordinates_that_are_no_triples_are_refused(save):
    findings, mask = judged(save, [*lesion(), [1.0, 2.0, 3.0, 4.0]])
    assert mask is None
    assert codes(findings) == ["mask-unreadable"]
    assert "4 values, which is not a multiple of 3" in findings[0].sentence


def test_text_among_the_coordinates_is_refused(save, tmp_path):
    path = save(structure_set([("GTV", [[1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]])]))
    path.write_bytes(path.read_bytes().replace(b"4.5\\5.5", b"4.5\\x.x"))
    findings, mask = inspect_roi(path, "GTV", GRID, SETTINGS, where="p/1")
    assert mask is None
    assert "text that is not a number" in findings[0].sentence


def test_contour_without_data_is_skipped(save):
    ds = structure_set([("GTV", lesion())])
    del ds.ROIContourSequence[0].ContourSequence[0].ContourData
    findings, mask = inspect_roi(save(ds), "GTV", GRID, SETTINGS, where="p/1")
    assert mask.sum() == 128
    assert codes(findings) == ["contours-skipped"]


def test_missing_numbers_are_refused(save):
    ds = structure_set([("GTV", lesion())])
    del ds.StructureSetROISequence[0].ROINumber
    findings, mask = inspect_roi(save(ds), "GTV", GRID, SETTINGS, where="p/1")
    assert mask is None
    assert codes(findings) == ["mask-unreadable"]


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.7, 0.9, 0.99])
def test_truncated_file_never_ends_in_a_traceback(save, keep):
    path = save(structure_set([("GTV", lesion() * 5)]))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    findings, mask = inspect_roi(path, "GTV", GRID, SETTINGS, where="p/1")
    assert findings
    assert mask is None or mask.any()


def test_rewritten_file_is_read_anew(save):
    first = inspect_roi(save(structure_set([("GTV", lesion())])), "GTV", GRID, SETTINGS, where="p/1")[1]
    second = inspect_roi(save(structure_set([("GTV", lesion(side=10))])), "GTV", GRID, SETTINGS, where="p/1")[1]
    assert second.sum() > first.sum()


def test_each_roi_has_a_frame_of_its_own(save):
    ds = structure_set([("ct", lesion()), ("mr", lesion())])
    ds.FrameOfReferenceUID = "9.9"
    ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2"
    ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "7.7"
    header = read_rtstruct_headers(save(ds))
    assert [roi.frame_of_reference_uid for roi in header.rois] == ["1.2", "7.7"]
    assert header.frame_of_reference_uid == "1.2"


def test_rois_of_one_name_are_told_apart_by_number(save):
    path = save(structure_set([("GTV", lesion()), ("GTV", lesion(x=20.5, side=5)), ("GTV", []), ("node", lesion())]))
    labels = label_rois(read_rtstruct_headers(path).rois)
    assert {label: roi.number for label, roi in labels.items()} == {"GTV#1": 1, "GTV#2": 2, "node": 4}
    sizes = []
    for label in ("GTV#1", "GTV#2"):
        findings, mask = inspect_roi(path, label, GRID, SETTINGS, where="x")
        assert not any(f.is_error for f in findings)
        sizes.append(int(mask.sum()))
    assert sizes[0] > sizes[1] > 0


def test_what_a_header_quotes_stays_inside(save):
    ds = structure_set([("a", lesion())])
    ds.Modality, ds.SOPClassUID = "ZZYZXMANN", "1.2.3"
    with pytest.raises(DicomError, match="Modality is not RTSTRUCT") as caught:
        read_rtstruct_headers(save(ds))
    assert "ZZYZX" not in str(caught.value)
