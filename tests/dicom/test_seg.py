"""DICOM SEG: real ones against the same masks as NRRD, synthetic ones of each kind, and broken ones."""

import warnings

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from radiomics_talent.dicom.seg import inspect_segment, read_seg_headers
from radiomics_talent.errors import DicomError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.settings import MaskSettings

SETTINGS = MaskSettings()
OBLIQUE = (0.9541666, -0.2080757, 0.2151061, 0.2785886, 0.880128, -0.3843997)


def voxels(image):
    return sitk.GetArrayFromImage(image)


def on_grid_of(image, reference):
    return sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0)


# --- real SEGs


@pytest.mark.parametrize(
    ("seg", "number", "nrrd", "value"),
    [
        ("liver.dcm", 1, "liver_seg.nrrd", 1),
        ("partial_overlaps.dcm", 1, "partial_overlaps-1.nrrd", 1),
        ("partial_overlaps.dcm", 2, "partial_overlaps-2.nrrd", 2),
        ("partial_overlaps.dcm", 3, "partial_overlaps-3.nrrd", 3),
        ("partial_overlaps.dcm", 4, "partial_overlaps-1.nrrd", 4),
        ("partial_overlaps.dcm", 5, "partial_overlaps-1.nrrd", 5),
        ("sparse-labelmap-noppv.dcm", 1, "sparse_labelmap_noppv_seg.nrrd", 1),
        ("sparse-labelmap-ppv5.dcm", 1, "sparse_labelmap_ppv5_seg.nrrd", 1),
        ("23x38x3/seg/label.seg", 1, "23x38x3/nrrd/label.nrrd", 1),
        ("24x38x3/seg/label.seg", 1, "24x38x3/nrrd/label.nrrd", 1),
    ],
)
def test_segment_equals_its_nrrd(shared_data, seg, number, nrrd, value):
    folder = shared_data / "dicom_masks" / "dcmqi"
    findings, image = inspect_segment(folder / seg, number, SETTINGS, where="x")
    assert findings == ()
    expected = sitk.ReadImage(folder / nrrd)
    assert image.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(voxels(on_grid_of(image, expected)), voxels(expected) == value)
    assert voxels(image).sum() == (voxels(expected) == value).sum()
    # Corner voxels agree to a thousandth of a millimetre: the SEG's own grid is the NRRD's.
    assert Geometry.of(image).difference(Geometry.of(expected)).is_none


@pytest.mark.parametrize(
    "name",
    [
        "liver",
        "liver_deflate",
        "liver_expb",
        "liver_j2k",
        "liver_rle",
        "liver_nonbyte_aligned",
        "liver_nonbyte_aligned_deflate",
        "liver_nonbyte_aligned_j2k",
        "liver_nonbyte_aligned_rle",
    ],
)
def test_every_transfer_syntax_gives_the_same_mask(shared_data, name):
    expected = sitk.ReadImage(shared_data / "dicom_masks" / "dcmqi" / "liver_seg.nrrd")
    findings, image = inspect_segment(
        shared_data / "dicom_nasty" / "pydicom_data" / f"{name}.dcm", 1, SETTINGS, where="x"
    )
    assert findings == ()
    assert np.array_equal(voxels(on_grid_of(image, expected)), voxels(expected))


@pytest.mark.parametrize("name", ["liver_1frame", "liver_expb_1frame"])
def test_one_frame_is_one_slice(shared_data, name):
    findings, image = inspect_segment(shared_data / "dicom_nasty" / "pydicom" / f"{name}.dcm", 1, SETTINGS, where="x")
    assert findings == ()
    assert image.GetSize() == (512, 512, 1)
    assert voxels(image).sum() == 36233


def test_every_nasty_file_is_refused_in_a_sentence(shared_data):
    for path in sorted(p for p in (shared_data / "dicom_nasty").rglob("*") if p.is_file()):
        try:
            headers = read_seg_headers(path)
        except DicomError as error:
            assert "cannot be read as a DICOM SEG" in str(error)  # noqa: PT017
            continue
        for segment in headers.segments:
            findings, image = inspect_segment(path, segment.number, SETTINGS, where="x")
            assert (image is None) == any(f.is_error for f in findings)


def test_header_of_a_real_seg(shared_data):
    headers = read_seg_headers(shared_data / "dicom_masks" / "dcmqi" / "partial_overlaps.dcm")
    assert [s.label for s in headers.segments] == ["GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE"]
    assert headers.segmentation_type == "BINARY"
    assert headers.frame_of_reference_uid.startswith("1.2.392.200103")
    assert len(headers.series_instance_uids) == 1
    assert len(headers.sop_instance_uids) == 3


def test_background_of_a_label_map_is_no_segment(shared_data):
    headers = read_seg_headers(shared_data / "dicom_masks" / "dcmqi" / "sparse-labelmap-ppv5.dcm")
    assert [(s.number, s.label) for s in headers.segments] == [(1, "Liver")]
    assert headers.segmentation_type == "LABELMAP"


def test_absent_segment_gets_the_list(shared_data):
    path = shared_data / "dicom_masks" / "dcmqi" / "partial_overlaps.dcm"
    findings, image = inspect_segment(path, 9, SETTINGS, where="p/1")
    assert image is None
    assert [f.code for f in findings] == ["label-absent"]
    assert "2 'ORANGE' -> 11888 voxels -> 7.81 ml" in str(findings[0])


# --- synthetic SEGs


def ct_slices(n=6, orientation=(1, 0, 0, 0, 1, 0), step=2.5):
    normal = np.cross(orientation[:3], orientation[3:])
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    found = []
    for k in range(n):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = series, study, frame
        ds.Modality, ds.PatientID, ds.PatientName = "CT", "P1", "Secret^Name"
        ds.PatientBirthDate, ds.PatientSex, ds.StudyDate, ds.StudyTime = "", "", "20200101", "120000"
        ds.AccessionNumber, ds.StudyID, ds.Manufacturer = "", "", "x"
        ds.InstanceNumber, ds.SeriesNumber, ds.ReferringPhysicianName = k + 1, 1, ""
        ds.Rows, ds.Columns, ds.PixelSpacing, ds.SliceThickness = 10, 12, [0.8, 0.7], step
        ds.ImageOrientationPatient = list(orientation)
        ds.ImagePositionPatient = [round(float(c), 6) for c in np.array([10, -20, 30]) + k * step * normal]
        ds.BitsAllocated, ds.SamplesPerPixel, ds.PixelRepresentation = 16, 1, 0
        ds.BitsStored, ds.HighBit, ds.PhotometricInterpretation = 16, 15, "MONOCHROME2"
        ds.PixelData = bytes(240)
        found.append(ds)
    return found


def make_seg(path, pixels, kind, slices, n_segments=1, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        descriptions = [
            hd.seg.SegmentDescription(
                segment_number=i + 1,
                segment_label=f"lesion {i + 1}",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Lesion,
                algorithm_type="MANUAL",
            )
            for i in range(n_segments)
        ]
        seg = hd.seg.Segmentation(
            source_images=slices,
            pixel_array=pixels,
            segmentation_type=kind,
            segment_descriptions=descriptions,
            series_instance_uid=generate_uid(),
            series_number=9,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="x",
            manufacturer_model_name="x",
            software_versions="x",
            device_serial_number="x",
            **options,
        )
        seg.save_as(path)
    return path


@pytest.fixture
def lesion():
    mask = np.zeros((6, 10, 12), dtype=np.uint8)
    mask[1:3, 2:6, 3:9] = 1
    mask[4, 7, 10] = 1
    return mask


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), OBLIQUE], ids=["axial", "sagittal", "oblique"]
)
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segment_is_right_in_patient_space(tmp_path, lesion, orientation, kind):
    slices = ct_slices(orientation=orientation)
    path = make_seg(tmp_path / "seg.dcm", lesion, kind, slices)
    findings, image = inspect_segment(path, 1, SETTINGS, where="p/1")
    assert findings == ()
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    expected = [
        np.array(slices[z].ImagePositionPatient) + x * 0.7 * row + y * 0.8 * column for z, y, x in np.argwhere(lesion)
    ]
    found = [image.TransformIndexToPhysicalPoint(tuple(map(int, i[::-1]))) for i in np.argwhere(voxels(image))]
    order = [sorted(np.round(np.array(p, dtype=float), 3).tolist()) for p in (expected, found)]
    assert np.array(order[0]) == pytest.approx(np.array(order[1]), abs=2e-3)
    assert np.linalg.det(Geometry.of(image).axes) == pytest.approx(1, abs=1e-5)


def test_frames_left_out_are_empty(tmp_path, lesion):
    path = make_seg(tmp_path / "seg.dcm", lesion, "BINARY", ct_slices())
    assert pydicom.dcmread(path).NumberOfFrames == 3
    _, image = inspect_segment(path, 1, SETTINGS, where="p/1")
    assert image.GetSize() == (12, 10, 4)
    assert image.GetSpacing() == pytest.approx((0.7, 0.8, 2.5))
    assert voxels(image).sum(axis=(1, 2)).tolist() == [24, 24, 0, 1]


def test_every_second_slice_keeps_the_spacing_of_the_header(tmp_path):
    mask = np.zeros((6, 10, 12), dtype=np.uint8)
    mask[[0, 2, 4], 4, 4] = 1
    _, image = inspect_segment(make_seg(tmp_path / "seg.dcm", mask, "BINARY", ct_slices()), 1, SETTINGS, where="p/1")
    assert image.GetSpacing()[2] == pytest.approx(2.5)
    assert voxels(image).sum(axis=(1, 2)).tolist() == [1, 0, 1, 0, 1]


def test_overlapping_segments_are_taken_apart(tmp_path):
    pixels = np.zeros((6, 10, 12, 2), dtype=np.uint8)
    pixels[1:4, 2:6, 2:6, 0] = 1
    pixels[2:5, 4:8, 4:8, 1] = 1
    path = make_seg(tmp_path / "seg.dcm", pixels, "BINARY", ct_slices(), n_segments=2)
    assert [(s.number, s.label) for s in read_seg_headers(path).segments] == [(1, "lesion 1"), (2, "lesion 2")]
    for number in (1, 2):
        _, image = inspect_segment(path, number, SETTINGS, where="p/1")
        z0 = 1  # both share the SEG's grid, which starts at the first slice with a frame
        assert np.array_equal(voxels(image), pixels[z0:5, ..., number - 1])


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, 3), (0.7, 2), (0.71, 1), (1.0, 1), (0.2, 4)])
def test_fractional_segment_has_a_threshold(tmp_path, threshold, expected):
    fractions = np.zeros((6, 10, 12), dtype=np.float32)
    fractions[2, 3, 2:7] = [0.1, 0.4, 0.5, 0.7, 1.0]
    path = make_seg(
        tmp_path / "seg.dcm",
        fractions,
        "FRACTIONAL",
        ct_slices(),
        max_fractional_value=100,
        fractional_type="PROBABILITY",
    )
    settings = MaskSettings(seg_fraction_threshold=threshold)
    findings, image = inspect_segment(path, 1, settings, where="p/1")
    assert findings == ()
    assert voxels(image).sum() == expected
    assert set(np.unique(voxels(image))) == {0, 1}


def test_empty_segment_is_an_error(tmp_path, lesion):
    path = make_seg(tmp_path / "seg.dcm", lesion, "BINARY", ct_slices(), n_segments=2)
    findings, image = inspect_segment(path, 2, SETTINGS, where="p/1")
    assert image is None
    assert [f.code for f in findings] == ["mask-empty"]
    assert "segment 2 ('lesion 2') has no voxel" in findings[0].sentence


# --- broken SEGs


def spoilt(tmp_path, lesion, spoil):
    path = make_seg(tmp_path / "seg.dcm", lesion, "BINARY", ct_slices())
    ds = pydicom.dcmread(path)
    spoil(ds)
    ds.save_as(path)
    return inspect_segment(path, 1, SETTINGS, where="p/1")


def no_position(ds):
    del ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence


def no_spacing(ds):
    del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence


def no_pixels(ds):
    del ds.PixelData


def short_pixels(ds):
    ds.PixelData = ds.PixelData[:10]


def no_segments(ds):
    del ds.SegmentSequence


def uneven(ds):
    ds.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient = [10, -20, 41.3]


def other_orientation(ds):
    shared = ds.SharedFunctionalGroupsSequence[0]
    sequence = shared.PlaneOrientationSequence
    del shared.PlaneOrientationSequence
    for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        item.ImageOrientationPatient = [0, 1, 0, 0, 0, -1] if k else list(sequence[0].ImageOrientationPatient)
        frame.PlaneOrientationSequence = [item]


@pytest.mark.parametrize(
    "spoil", [no_position, no_spacing, no_pixels, short_pixels, no_segments, uneven, other_orientation]
)
def test_broken_seg_is_refused_in_a_sentence(tmp_path, lesion, spoil):
    findings, image = spoilt(tmp_path, lesion, spoil)
    assert image is None
    assert [f.code for f in findings] == ["mask-unreadable"]
    assert "it cannot be read as a DICOM SEG (" in findings[0].sentence
    assert "Secret" not in findings[0].sentence


def test_orientation_frame_by_frame_is_read(tmp_path, lesion):
    def spread(ds):
        shared = ds.SharedFunctionalGroupsSequence[0]
        for frame in ds.PerFrameFunctionalGroupsSequence:
            frame.PlaneOrientationSequence = shared.PlaneOrientationSequence
            frame.PixelMeasuresSequence = shared.PixelMeasuresSequence
        del shared.PlaneOrientationSequence
        del shared.PixelMeasuresSequence

    findings, image = spoilt(tmp_path, lesion, spread)
    assert findings == ()
    assert voxels(image).sum() == lesion.sum()


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.6, 0.9, 0.98])
def test_truncated_file_never_ends_in_a_traceback(tmp_path, lesion, keep):
    path = make_seg(tmp_path / "seg.dcm", lesion, "BINARY", ct_slices())
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    findings, image = inspect_segment(path, 1, SETTINGS, where="p/1")
    assert image is None
    assert findings[0].code == "mask-unreadable"


def test_other_files_are_refused(tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"no DICOM at all" * 40)
    with pytest.raises(DicomError, match="not a DICOM file"):
        read_seg_headers(junk)
    with pytest.raises(DicomError, match="cannot be read as a DICOM SEG"):
        read_seg_headers(tmp_path / "absent")
