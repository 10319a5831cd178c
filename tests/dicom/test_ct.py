"""From files to HU in patient space: values, geometry, refusals, treatments."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from factories import (
    UNCOMPRESSED,
    ct_dataset,
    normal_of,
    positions_of,
    stored_values,
    uid,
    write,
    write_ct_series,
    write_enhanced_ct,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, JPEGLSNearLossless, RLELossless

from radiomics_talent.dicom.ct import inspect_ct, inspect_headers, load_ct
from radiomics_talent.dicom.pixels import read_stored_values, to_hu
from radiomics_talent.errors import DicomError
from radiomics_talent.settings import GeometrySettings

REFUSE = GeometrySettings()
OBLIQUE = (0.9541666, -0.2080757, 0.2151061, 0.2785886, 0.880128, -0.3843997)
REUSE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)


def hu_of(series):
    return sitk.GetArrayFromImage(series.image)


def codes_of(paths, how=REFUSE):
    """Codes of all findings; headers alone must say the same about all but the voxels."""
    findings, series = inspect_ct(paths, how, where="x")
    assert (series is None) == any(f.is_error for f in findings)
    assert all("Secret" not in str(f) for f in findings)
    return [f.code for f in findings]


# --- values


@pytest.mark.parametrize(
    "syntax", [*UNCOMPRESSED, RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda s: pydicom.uid.UID(s).name
)
@pytest.mark.parametrize("signed", [False, True])
def test_every_transfer_syntax_gives_the_same_hu(tmp_path, syntax, signed):
    stored = stored_values(3, 40, 56, low=-1024 if signed else 0)
    paths = write_ct_series(tmp_path, pixels=stored, positions=positions_of(3), syntax=syntax, signed=signed)
    series = load_ct(paths, REFUSE, where="x")
    np.testing.assert_array_equal(hu_of(series), stored - 1024)
    assert series.findings == ()
    assert series.image.GetPixelID() == sitk.sitkInt16


def test_loss_is_reported(tmp_path):
    def edit(ds, i):
        ds.LossyImageCompression = "01"

    assert codes_of(write_ct_series(tmp_path, edit=edit)) == ["lossy-compression"]


def test_near_lossless_is_reported(tmp_path):
    ds = ct_dataset(stored_values(1, 40, 40)[0], positions_of(1)[0])
    ds.compress(JPEGLSNearLossless, jls_error=3, generate_instance_uid=False)
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    assert "lossy-compression" in codes_of([tmp_path / "a"])


@REUSE_FOLDER
@given(
    slopes=st.lists(st.sampled_from([1, 2, 3, 0.5, 0.25, 1.7, -1]), min_size=3, max_size=3),
    intercepts=st.lists(st.sampled_from([0, -1024, -1000, 0.5, -8192]), min_size=3, max_size=3),
    signed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_hu_is_slope_times_stored_plus_intercept_of_its_own_slice(tmp_path, slopes, intercepts, signed, seed):
    stored = stored_values(3, 5, 7, seed=seed, low=-2000 if signed else 0, high=30000)
    paths = write_ct_series(
        tmp_path, pixels=stored, positions=positions_of(3), slopes=slopes, intercepts=intercepts, signed=signed
    )
    _, series = inspect_ct(paths, REFUSE, where="x")
    expected = stored * np.reshape(slopes, (3, 1, 1)) + np.reshape(intercepts, (3, 1, 1))
    np.testing.assert_array_equal(hu_of(series), expected)


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "kind"),
    [
        ([0, 4095], 1.0, -1024.0, np.int16),
        ([0, 65535], 1.0, -1024.0, np.int32),
        ([0, 2], 0.5, 1.0, np.int16),
        ([0, 1], 0.5, 1.0, np.float64),
        ([0, 1], 1.0, -0.5, np.float64),
        ([0, 65535], 1e9, 0.0, np.float64),
    ],
)
def test_the_smallest_exact_type(stored, slope, intercept, kind):
    hu = to_hu(np.asarray(stored, dtype=np.uint16), slope, intercept)
    assert hu.dtype == kind
    np.testing.assert_array_equal(hu, np.asarray(stored) * slope + intercept)


def test_twelve_signed_bits_in_sixteen(tmp_path):
    stored = stored_values(3, 8, 8, low=-1024, high=2000)
    # Bits above the twelfth are not part of the value.
    paths = write_ct_series(
        tmp_path, pixels=stored & 0x0FFF, positions=positions_of(3), signed=True, bits=12, intercept=0
    )
    np.testing.assert_array_equal(hu_of(load_ct(paths, REFUSE, where="x")), stored)


@pytest.mark.parametrize("signed", [False, True])
def test_padding_in_hu(tmp_path, signed):
    def edit(ds, i):
        ds.add_new("PixelPaddingValue", "US", 63536 if signed else 0)

    low = -1024 if signed else 10
    stored = stored_values(3, 8, 8, low=low)
    paths = write_ct_series(tmp_path, pixels=stored, positions=positions_of(3), signed=signed, edit=edit)
    assert load_ct(paths, REFUSE, where="x").padding_hu == (-3024 if signed else -1024)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(1024, 1030, "hardly any contrast"), (1100, 2500, "none below 0 HU"), (3000, 9000, "none below 0 HU")],
)
def test_implausible_values_are_reported(tmp_path, low, high, words):
    paths = write_ct_series(tmp_path, pixels=stored_values(3, 9, 9, low=low, high=high), positions=positions_of(3))
    findings, series = inspect_ct(paths, REFUSE, where="x")
    assert [f.code for f in findings] == ["implausible-hu"]
    assert words in findings[0].sentence
    assert series is not None


# --- place


def test_image_lies_where_the_headers_say(tmp_path):
    paths = write_ct_series(tmp_path, positions=positions_of(5), pixel_spacing=(0.8, 0.7))
    image = load_ct(paths, REFUSE, where="x").image
    assert image.GetSize() == (16, 12, 5)
    assert image.GetSpacing() == (0.7, 0.8, 2.5)
    assert image.GetOrigin() == (-100.0, -120.0, -300.0)
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)


@REUSE_FOLDER
@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    spacing=st.tuples(st.floats(0.2, 2), st.floats(0.2, 2), st.floats(0.5, 6)),
)
def test_every_voxel_of_an_oblique_stack_lies_where_dicom_says(tmp_path, angles, origin, spacing):
    turn = sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()
    orientation = (*np.reshape(turn, (3, 3))[:, 0], *np.reshape(turn, (3, 3))[:, 1])
    positions = positions_of(4, step=spacing[2], origin=origin, orientation=orientation)
    options = {"pixel_spacing": [f"{s:.8g}" for s in spacing[:2]], "thickness": f"{spacing[2]:.8g}"}
    paths = write_ct_series(tmp_path, positions=positions, orientation=orientation, **options)
    image = load_ct(paths, REFUSE, where="x").image
    # PS3.3 C.7.6.2.1.1, equation of the plane: column index along the row direction, and the like.
    for k, (i, j) in enumerate([(0, 0), (15, 0), (0, 11), (15, 11)]):
        expected = (
            positions[k] + i * spacing[1] * np.asarray(orientation[:3]) + j * spacing[0] * np.asarray(orientation[3:])
        )
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((i, j, k)), expected, atol=2e-4)


@REUSE_FOLDER
@given(order=st.permutations(range(6)))
def test_order_and_names_of_files_do_not_change_the_volume(tmp_path, order):
    stored, positions = stored_values(6, 5, 4), positions_of(6, orientation=OBLIQUE)
    reference = write_ct_series(
        tmp_path / "a", pixels=stored, positions=positions, orientation=OBLIQUE, slopes=[1, 2, 1, 3, 1, 2]
    )
    order = list(order)
    slopes = np.asarray([1, 2, 1, 3, 1, 2])[order].tolist()
    shuffled = write_ct_series(
        tmp_path / "b", pixels=stored[order], positions=positions[order], orientation=OBLIQUE, slopes=slopes
    )
    one = load_ct(reference, REFUSE, where="x")
    for paths in (shuffled, shuffled[::-1], [reference[i] for i in order]):
        other = load_ct(paths, REFUSE, where="x")
        np.testing.assert_array_equal(hu_of(one), hu_of(other))
        assert one.image.GetOrigin() == other.image.GetOrigin()
        assert one.image.GetDirection() == other.image.GetDirection()


def test_slices_run_along_the_normal_also_when_it_points_down(tmp_path):
    flipped = (1, 0, 0, 0, -1, 0)
    assert normal_of(flipped)[2] == -1
    stored = stored_values(4, 6, 6)
    paths = write_ct_series(
        tmp_path, pixels=stored, positions=positions_of(4, orientation=flipped), orientation=flipped
    )
    series = load_ct(paths, REFUSE, where="x")
    np.testing.assert_array_equal(hu_of(series), stored - 1024)
    assert series.image.GetDirection() == (1, 0, 0, 0, -1, 0, 0, 0, -1)


# --- multi-frame


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), OBLIQUE])
def test_enhanced_ct_is_the_same_volume(tmp_path, orientation):
    stored, positions = stored_values(5, 12, 16), positions_of(5, orientation=orientation)
    slopes = [1, 2, 1, 0.5, 1]
    order = [3, 0, 4, 1, 2]
    single = write_ct_series(tmp_path / "s", pixels=stored, positions=positions, orientation=orientation, slopes=slopes)
    multi = write_enhanced_ct(
        tmp_path / "m",
        positions[order],
        stored[order],
        orientation=orientation,
        slopes=[slopes[i] for i in order],
    )
    one, other = load_ct(single, REFUSE, where="x"), load_ct([multi], REFUSE, where="x")
    np.testing.assert_array_equal(hu_of(one), hu_of(other))
    np.testing.assert_allclose(one.image.GetOrigin(), other.image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(one.image.GetDirection(), other.image.GetDirection(), atol=1e-6)
    assert one.image.GetSpacing() == other.image.GetSpacing()
    assert len(other.sop_instance_uids) == 5


def test_an_enhanced_ct_with_two_time_points_is_refused(tmp_path):
    positions = np.concatenate([positions_of(3), positions_of(3)])
    path = write_enhanced_ct(tmp_path / "m", positions, stored_values(6, 8, 8))
    assert codes_of([path]) == ["duplicate-slices"]


def test_frames_without_positions_are_refused(tmp_path):
    def edit(ds, i):
        ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:2]

    path = write_enhanced_ct(tmp_path / "m", positions_of(3), stored_values(3, 8, 8), edit=edit)
    findings, series = inspect_ct([path], REFUSE, where="x")
    assert series is None
    assert "3 frames but positions for 2" in findings[0].sentence


# --- refusals


def flaw(keyword, value, only=None):
    def edit(ds, i):
        if only is not None and i != only:
            return
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)

    return edit


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("geometry-missing", flaw("ImagePositionPatient", None, 2)),
        ("geometry-missing", flaw("ImageOrientationPatient", None)),
        ("geometry-missing", flaw("ImageOrientationPatient", [1, 0, 0, 1, 0, 0])),
        ("geometry-missing", flaw("PixelSpacing", None, 0)),
        ("geometry-missing", flaw("PixelSpacing", [0, 0])),
        ("rescale-missing", flaw("RescaleSlope", None, 1)),
        ("rescale-missing", flaw("RescaleIntercept", None)),
        ("rescale-missing", flaw("RescaleSlope", 0)),
        ("not-hu", flaw("RescaleType", "OD")),
        ("not-hu", flaw("ImageType", ["DERIVED", "SECONDARY", "PERFUSION"])),
        ("not-ct", flaw("Modality", "MR")),
        ("not-ct", flaw("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7")),
        ("localizer", flaw("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])),
        ("mixed-frame-of-reference", flaw("FrameOfReferenceUID", "1.2.3", 1)),
        ("mixed-orientation", flaw("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], 1)),
        ("mixed-size", flaw("PixelSpacing", [0.9, 0.9], 4)),
        ("truncated-pixel-data", flaw("PixelData", b"\0" * 100, 3)),
        ("truncated-pixel-data", flaw("PixelData", None, 3)),
        ("truncated-pixel-data", flaw("BitsStored", 20)),
    ],
)
def test_what_would_be_silently_wrong_is_refused(tmp_path, code, edit):
    paths = write_ct_series(tmp_path, edit=edit)
    assert code in codes_of(paths)
    with pytest.raises(DicomError, match=r"^pat07: .+; .+"):
        load_ct(paths, REFUSE, where="pat07")


def test_mixed_rows_are_refused(tmp_path):
    paths = write_ct_series(tmp_path, 3) + write_ct_series(
        tmp_path, positions=positions_of(0, places=[3]), shape=(9, 9), first_number=9
    )
    assert codes_of(paths) == ["mixed-size"]


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("slice-gap", {"places": [0, 1, 2, 4, 5]}),
        ("unequal-spacing", {"places": [0, 1, 2, 3.5, 4.5]}),
        ("gantry-tilt", {"places": range(5), "tilt_deg": 12.0}),
    ],
)
def test_irregular_stacks_are_refused_from_headers_alone(tmp_path, code, options):
    paths = write_ct_series(tmp_path, positions=positions_of(0, **options))
    assert codes_of(paths) == [code]
    assert [f.code for f in inspect_headers(paths, REFUSE, where="x")] == [code]


def test_a_file_cut_short_is_seen_without_reading_pixels(tmp_path):
    paths = write_ct_series(tmp_path, shape=(64, 64))
    paths[2].write_bytes(paths[2].read_bytes()[:4000])
    (finding,) = inspect_headers(paths, REFUSE, where="x")
    assert finding.code == "truncated-pixel-data"
    assert "0003" in finding.sentence


def test_a_few_missing_bytes_are_seen_when_reading(tmp_path):
    paths = write_ct_series(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-40])
    assert "truncated-pixel-data" in codes_of(paths)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_cut_compressed_data_are_refused_or_complete(tmp_path, syntax):
    paths = write_ct_series(tmp_path, 3, shape=(64, 64), syntax=syntax)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: len(content) * 2 // 3])
    assert codes_of(paths) == ["truncated-pixel-data"]


def test_junk_among_the_files_is_named(tmp_path):
    paths = write_ct_series(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    findings, series = inspect_ct([*paths, tmp_path / "notes.txt"], REFUSE, where="x")
    assert series is None
    assert "notes.txt is not a DICOM image" in findings[0].sentence


def test_no_files_at_all():
    with pytest.raises(DicomError, match="there are no files to read"):
        load_ct([], REFUSE, where="x")


def test_identical_copies_are_left_out_with_a_warning(tmp_path):
    def edit(ds, i):
        ds.SOPInstanceUID = uid("copy", i)

    stored = stored_values(5, 12, 16)
    paths = write_ct_series(tmp_path / "a", pixels=stored)
    paths += write_ct_series(tmp_path / "b", pixels=stored[:2], positions=positions_of(2), edit=edit)
    findings, series = inspect_ct(paths, REFUSE, where="x")
    assert [(f.code, f.level) for f in findings] == [("duplicate-slices", "warning")]
    np.testing.assert_array_equal(hu_of(series), stored - 1024)


def test_different_slices_at_one_position_are_refused(tmp_path):
    paths = write_ct_series(tmp_path / "a")
    paths += write_ct_series(tmp_path / "b", 2, pixels=stored_values(2, 12, 16, seed=9), first_number=9)
    findings, series = inspect_ct(paths, REFUSE, where="x")
    assert [(f.code, f.level) for f in findings] == [("duplicate-slices", "error")]
    assert series is None


def test_one_slice_rests_on_its_thickness(tmp_path):
    paths = write_ct_series(tmp_path / "a", 1, thickness=4.0)
    series = load_ct(paths, REFUSE, where="x")
    assert series.image.GetSpacing() == (0.7, 0.8, 4.0)
    assert [f.code for f in series.findings] == ["single-slice"]
    with pytest.raises(DicomError, match="one slice and no SliceThickness"):
        load_ct(write_ct_series(tmp_path / "b", 1, thickness=None), REFUSE, where="x")


def test_overlapping_slices_are_reported(tmp_path):
    findings, _ = inspect_ct(write_ct_series(tmp_path, thickness=5.0), REFUSE, where="x")
    assert [f.code for f in findings] == ["slice-thickness-differs"]
    assert "slices of 5 mm (SliceThickness) every 2.5 mm overlap" in findings[0].sentence


# --- treatments


def ramp(positions, rows=12, columns=16, spacing=(0.8, 0.7)):
    """Stored values that are linear in patient space, so that linear interpolation is exact."""
    x = positions[:, 0, np.newaxis, np.newaxis] + np.arange(columns) * spacing[1]
    y = positions[:, 1, np.newaxis, np.newaxis] + np.arange(rows)[:, np.newaxis] * spacing[0]
    z = positions[:, 2, np.newaxis, np.newaxis]
    return np.rint(4000 + 4 * x + 6 * y + 8 * z).astype(int) * np.ones((len(positions), rows, columns), dtype=int)


def test_gaps_are_filled_when_allowed(tmp_path):
    positions = positions_of(0, places=[0, 1, 3, 4, 5, 8, 9, 10])
    paths = write_ct_series(tmp_path, positions=positions, pixels=ramp(positions))
    series = load_ct(paths, GeometrySettings(allow_gaps=True), where="x")
    assert [f.code for f in series.findings] == ["geometry-mended"]
    assert series.image.GetSpacing() == (0.7, 0.8, 2.5)
    np.testing.assert_allclose(hu_of(series), ramp(positions_of(11)) - 1024, atol=1)
    np.testing.assert_array_equal(hu_of(series)[[0, 1, 3, 4, 5, 8, 9, 10]], ramp(positions) - 1024)
    assert [bool(u) for u in series.sop_instance_uids].count(False) == 3
    assert series.image.GetPixelID() == sitk.sitkInt16


def test_unequal_spacing_is_evened_out_when_asked(tmp_path):
    positions = positions_of(0, places=[0, 1, 2, 3.5, 4.7, 6])
    paths = write_ct_series(tmp_path, positions=positions, pixels=ramp(positions))
    series = load_ct(paths, GeometrySettings(unequal_spacing="resample"), where="x")
    assert series.image.GetSpacing()[2] == 2.5
    assert series.image.GetSize()[2] == 7
    np.testing.assert_allclose(hu_of(series), ramp(positions_of(7)) - 1024, atol=1)


@pytest.mark.parametrize("degrees", [-20.0, 15.0])
def test_tilt_is_straightened_when_asked(tmp_path, degrees):
    positions = positions_of(8, tilt_deg=degrees)
    paths = write_ct_series(tmp_path, positions=positions, pixels=ramp(positions))
    series = load_ct(paths, GeometrySettings(gantry_tilt="resample"), where="x")
    (finding,) = series.findings
    assert finding.code == "geometry-mended"
    assert f"sheared by {abs(degrees):.1f} degrees" in finding.sentence
    image = series.image
    compared = 0
    for k in range(8):
        for j in range(1, 11):
            # Where each scanned voxel lies, the upright volume must hold its value.
            point = positions[k] + [0.7 * 5, 0.8 * j, 0]
            i_, j_, k_ = image.TransformPhysicalPointToContinuousIndex(point)
            assert (i_, k_) == (pytest.approx(5, abs=1e-3), pytest.approx(k, abs=1e-3))
            around = [image.GetPixel(5, int(np.floor(j_)), k), image.GetPixel(5, int(np.floor(j_)) + 1, k)]
            value = around[0] + (j_ - np.floor(j_)) * (around[1] - around[0])
            if min(around) > image_minimum(image):
                assert value == pytest.approx(ramp(positions)[k, j, 5] - 1024, abs=1.5)
                compared += 1
    assert compared > 60


def image_minimum(image):
    return float(sitk.GetArrayViewFromImage(image).min())


def test_a_regular_series_is_the_same_whatever_the_treatments(tmp_path):
    paths = write_ct_series(tmp_path)
    every = GeometrySettings(allow_gaps=True, gantry_tilt="resample", unequal_spacing="resample")
    plain, mended = load_ct(paths, REFUSE, where="x"), load_ct(paths, every, where="x")
    np.testing.assert_array_equal(hu_of(plain), hu_of(mended))
    assert mended.findings == ()


# --- real data


def gdcm_volume(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize(
    "folder",
    ["ibsi/ct_phantom/dicom/image", "dicom_masks/dcmqi/ct-3slice", "dicom_nasty/pydicom/dicomdir_98892001_CT/CT5N"],
)
def test_real_series_equal_gdcm(shared_data, folder):
    folder = shared_data / folder
    ours = load_ct([p for p in folder.iterdir() if p.is_file()], REFUSE, where="x")
    equal_gdcm(ours, folder)


def test_real_sarcomas_equal_gdcm(sts_root):
    for folder in sorted(sts_root.glob("*/CT/image")):
        ours = load_ct(sorted(folder.iterdir()), REFUSE, where="x")
        assert ours.findings == ()
        equal_gdcm(ours, folder)


def equal_gdcm(ours, folder):
    theirs = gdcm_volume(folder)
    np.testing.assert_array_equal(hu_of(ours), sitk.GetArrayFromImage(theirs))
    np.testing.assert_allclose(ours.image.GetOrigin(), theirs.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(ours.image.GetSpacing(), theirs.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(ours.image.GetDirection(), theirs.GetDirection(), atol=1e-6)


def test_real_lossless_jpeg_equals_gdcm(shared_data):
    # Lossless JPEG (process 14) is what pydicom leaves to gdcm and pylibjpeg: SimpleITK brings a gdcm of its own.
    path = shared_data / "dicom_nasty/pydicom_data/bad_sequence.dcm"
    ours = load_ct([path], REFUSE, where="x")
    np.testing.assert_array_equal(hu_of(ours), sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


@pytest.mark.parametrize(
    ("code", "folder"),
    [
        ("gantry-tilt", "GE_tilt_variable_spacing"),
        ("unequal-spacing", "GE_tilt_variable_spacing"),
        ("gantry-tilt", "Philips_tilt_16p5_first10"),
    ],
)
def test_real_tilted_series_are_refused(shared_data, code, folder):
    paths = sorted((shared_data / "dicom_nasty/dcm_qa_ct" / folder).iterdir())
    findings, series = inspect_ct(paths, REFUSE, where="x")
    assert series is None
    assert code in [f.code for f in findings if f.is_error]
    with pytest.raises(DicomError, match=r"sheared by 1[68]\.5 degrees"):
        load_ct(paths, REFUSE, where="x")


def test_the_real_tilted_series_is_read_when_asked(shared_data):
    paths = sorted((shared_data / "dicom_nasty/dcm_qa_ct/Philips_tilt_16p5_first10").iterdir())
    series = load_ct(paths, GeometrySettings(gantry_tilt="resample"), where="x")
    assert series.image.GetSpacing()[2] == pytest.approx(2.5 * np.cos(np.radians(16.5)), abs=1e-3)


@pytest.mark.parametrize(
    "twin",
    [
        "MR_small_RLE", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless", "MR_small_padded",
    ],
)  # fmt: skip
def test_compressed_twins_decode_alike(shared_data, twin):
    folder = shared_data / "dicom_nasty/pydicom"
    np.testing.assert_array_equal(
        read_stored_values(folder / f"{twin}.dcm"), read_stored_values(folder / "MR_small.dcm")
    )


@pytest.mark.parametrize("twin", ["RLE", "big_endian", "jpeg_2k_lossless", "jpeg_ls_lossless"])
def test_compressed_multiframe_twins_decode_alike(shared_data, twin):
    folder = shared_data / "dicom_nasty/pydicom_data"
    plain = read_stored_values(folder / "emri_small.dcm")
    assert plain.shape[0] == 10
    np.testing.assert_array_equal(read_stored_values(folder / f"emri_small_{twin}.dcm"), plain)


@pytest.mark.parametrize("name", ["pydicom/MR_truncated.dcm", "pydicom_data/emri_small_jpeg_2k_lossless_too_short.dcm"])
def test_real_truncated_pixels_are_refused(shared_data, name):
    with pytest.raises(DicomError, match=r"are too short|there are no pixel data, or they are incomplete"):
        read_stored_values(shared_data / "dicom_nasty" / name)


def test_no_nasty_file_escapes(shared_data):
    for path in sorted(p for p in (shared_data / "dicom_nasty").rglob("*") if p.is_file()):
        findings, series = inspect_ct([path], REFUSE, where="x")
        assert (series is None) == any(f.is_error for f in findings)
        assert series is not None or findings


def test_damaged_pixels_never_escape(tmp_path):
    for k, syntax in enumerate((RLELossless, JPEG2000Lossless, JPEGLSLossless)):
        ds = ct_dataset(stored_values(1, 40, 40)[0], positions_of(1)[0], syntax=syntax)
        good = write(ds, tmp_path / f"{k}").read_bytes()
        start = good.index(b"\xe0\x7f\x10\x00")
        for i in range(60):
            bad = bytearray(good)
            for j in range(4):
                bad[start + (i * 7919 + j * 104729) % (len(good) - start)] = (i * 31 + j * 17) % 256
            (tmp_path / "bad").write_bytes(bytes(bad))
            inspect_ct([tmp_path / "bad"], REFUSE, where="x")
