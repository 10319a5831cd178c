import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent import ExtractionSettings, extract
from radiomics_talent.errors import ExtractionError, GeometryError, MaskError
from radiomics_talent.features import engine
from radiomics_talent.imaging.geometry import Geometry

FAST = {"featureClass": {"shape": None, "firstorder": None, "glcm": ["Contrast", "MCC"]}}


def settings(**sections):
    return ExtractionSettings.model_validate({**FAST, **sections})


@pytest.fixture
def image():
    rng = np.random.default_rng(3)
    image = sitk.GetImageFromArray(rng.normal(50, 30, (24, 40, 44)).round().astype(np.int16))
    image.SetSpacing((0.8, 0.8, 2.0))
    image.SetOrigin((-20.0, 31.5, -400.25))
    return image


@pytest.fixture
def mask(image):
    z, y, x = np.ogrid[:24, :40, :44]
    mask = sitk.GetImageFromArray(((x - 22) ** 2 + (y - 20) ** 2 + (2.5 * (z - 12)) ** 2 < 100).astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def test_result_is_a_mapping_of_floats(image, mask):
    features = extract(image, mask, settings())
    assert {type(v) for v in features.values()} == {float}
    assert features["original_firstorder_Mean"] == pytest.approx(50, abs=3)
    assert next(iter(features)).startswith("original_shape_")
    assert set(features.timings) == {"prepare", "shape", "original"}


def test_nothing_is_printed(image, mask, capfd):
    extract(image, mask, ExtractionSettings())
    assert capfd.readouterr() == ("", "")


def test_global_state_of_itk_and_logging_is_untouched(image, mask):
    import logging

    before = (
        sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance(),
        list(logging.getLogger("radiomics").handlers),
    )
    extract(image, mask, settings(setting={"geometryTolerance": 0.5}))
    after = (
        sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance(),
        list(logging.getLogger("radiomics").handlers),
    )
    assert before == after


@pytest.mark.parametrize("label", [1, 7, 200])
def test_label_is_taken_from_the_call_or_the_settings(image, mask, label):
    one = extract(image, mask, settings())
    other = mask * label
    assert dict(extract(image, other, settings(), label=label)) == dict(one)
    assert dict(extract(image, other, settings(setting={"label": label}))) == dict(one)


def test_several_channels(image, mask):
    both = sitk.Compose(mask * 0, mask)
    assert dict(extract(image, both, settings(setting={"label_channel": 1}))) == dict(extract(image, mask, settings()))
    with pytest.raises(MaskError, match="label_channel 2 was asked for, but the mask has 2 channels"):
        extract(image, both, settings(setting={"label_channel": 2}))


def test_a_lesion_that_is_too_small_is_refused_in_a_whole_sentence(image, mask):
    with pytest.raises(MaskError, match=r"too small \(minimum size: 1e\+06, ROI size: \d+\)$"):
        extract(image, mask, settings(setting={"minimumROISize": 1_000_000}))


def test_shape2d_of_a_lesion_of_many_slices_is_refused_with_numbers(image, mask):
    flat = {"featureClass": {"shape2D": None}, "setting": {"force2D": True}}
    with pytest.raises(MaskError, match="shape2D measures a lesion on one slice and this one has 7 along axis 0"):
        extract(image, mask, settings(**flat))
    one_slice = sitk.Cast(mask, sitk.sitkUInt8)
    for z in range(24):
        if z != 12:
            one_slice[:, :, z] = 0
    assert extract(image, one_slice, settings(**flat))["original_shape2D_PixelSurface"] > 0


@pytest.mark.parametrize("spacing", [None, [1, 1, 1]])
def test_moving_scan_and_lesion_together_changes_nothing(image, mask, spacing):
    """By whole voxels in the array, at equal place in space: the grid that features are taken on is the same."""
    moved_image, moved_mask = (sitk.ConstantPad(i, (6, 3, 2), (1, 4, 5), 0) for i in (image, mask))
    for moved, original in ((moved_image, image), (moved_mask, mask)):
        moved.SetOrigin(original.GetOrigin())
    chosen = settings(setting={"resampledPixelSpacing": spacing, "interpolator": "sitkNearestNeighbor"})
    if spacing is None:
        assert dict(extract(image, mask, chosen)) == dict(extract(moved_image, moved_mask, chosen))
    else:  # 6 voxels of 0.8 mm are no whole voxels of 1 mm, so only the number of features is the same
        assert list(extract(image, mask, chosen)) == list(extract(moved_image, moved_mask, chosen))


def test_pad_mm_bounds_what_a_recursive_filter_sees(image, mask):
    log = {"imageType": {"LoG": {"sigma": [1.0]}}}
    whole = extract(image, mask, settings(**log))
    near = extract(image, mask, settings(**log, pad_mm=8.0))
    mean = "log-sigma-1-0-mm-3D_firstorder_Mean"
    assert near[mean] != whole[mean]
    assert near[mean] == pytest.approx(whole[mean], abs=1e-3)


def test_grid_within_a_tenth_of_a_voxel_is_mended_and_beyond_refused(image, mask):
    wanted = dict(extract(image, mask, settings()))
    mask.SetOrigin((-20.0 + 0.07, 31.5, -400.25))
    assert dict(extract(image, mask, settings())) == wanted
    mask.SetOrigin((-20.0 + 0.3, 31.5, -400.25))
    with pytest.raises(GeometryError, match=r"different grids.*0\.3 mm and 0 degrees apart; give a mask"):
        extract(image, mask, settings())
    mended = extract(image, mask, settings(setting={"correctMask": True}))
    assert dict(mended) == wanted


def test_undefined_features_are_nan_with_a_warning(image, mask):
    flat = image * 0 + 40
    features = extract(flat, mask, ExtractionSettings())
    undefined = [n for n, v in features.items() if np.isnan(v)]
    assert all(any(n in w for w in features.warnings) for n in undefined)


def test_grey_levels_are_foretold(image, mask):
    chosen = settings(imageType={"Original": {}, "Square": {"binCount": 40}})
    values = sitk.GetArrayFromImage(image)[sitk.GetArrayFromImage(mask) == 1]
    expected = len(np.unique(np.floor(np.arange(values.min(), values.max() + 1) / 25)))
    assert engine.grey_levels(engine.prepare(image, mask, chosen), chosen) == {"original": expected, "square": 40}


def test_saved_crop_holds_the_lesion_in_its_place(image, mask):
    chosen = settings(setting={"resampledPixelSpacing": [1, 1, 1]})
    crop, lesion = engine.prepare(image, mask, chosen).crop()
    assert Geometry.of(crop).difference(Geometry.of(lesion)).is_none
    centre = sitk.LabelShapeStatisticsImageFilter()
    centre.Execute(sitk.Cast(lesion, sitk.sitkUInt8))
    assert centre.GetCentroid(1) == pytest.approx(image.TransformIndexToPhysicalPoint((22, 20, 12)), abs=0.5)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda i, m: (i, m * 0), MaskError, "label 1 is not in the mask; the mask is empty"),
        (lambda i, m: (i, m * 3), MaskError, "label 1 is not in the mask; labels in the mask are 3"),
        (lambda i, m: (i[:, :, 3], m), GeometryError, "the image has 2 dimensions"),
        (lambda i, m: (sitk.Compose(i, i), m), GeometryError, "several values a voxel"),
        (lambda i, m: (i, m[:, :, :20]), GeometryError, "different grids"),
        (lambda i, m: (sitk.Cast(i, sitk.sitkFloat32) * float("nan"), m), GeometryError, "NaN or infinite"),
    ],
)
def test_bad_input_gets_one_sentence(image, mask, change, error, sentence):
    with pytest.raises(error, match=sentence):
        extract(*change(image, mask), settings())


def test_a_lesion_too_small_for_the_settings(image, mask):
    with pytest.raises(MaskError, match="minimum size: 100000"):
        extract(image, mask, settings(setting={"minimumROISize": 100000}))


def test_a_lesion_lost_in_resampling(image):
    mask = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(image)
    mask[22:24, 20:22, 12:14] = 1
    with pytest.raises(MaskError, match=r"left after resampling|too few dimensions|1 segmented voxel"):
        extract(image, mask, settings(setting={"resampledPixelSpacing": [9, 9, 9]}))


def test_a_lesion_outside_of_the_scan(image, mask):
    mask.SetOrigin((500.0, 31.5, -400.25))
    with pytest.raises(GeometryError, match="reaches outside of the image"):
        extract(image, mask, settings(setting={"resampledPixelSpacing": [1, 1, 1]}))


def test_an_absurd_number_of_grey_levels_is_refused_before_it_is_allocated(image, mask):
    with pytest.raises(ExtractionError, match=r"original would have \d+ grey levels \(at most 2048\); raise binWidth"):
        extract(image, mask, settings(setting={"binWidth": 0.001}))


def test_resegmentation_that_leaves_nothing(image, mask):
    with pytest.raises(MaskError, match="Resegmentation excluded too many voxels"):
        extract(image, mask, settings(setting={"resegmentRange": [5000, 6000]}))


@pytest.mark.parametrize("name", ["native", "reference"])
def test_a_constant_image_cannot_be_normalised(name):
    image = sitk.GetImageFromArray(np.full((5, 6, 7), 40, np.int16))
    mask = sitk.GetImageFromArray(np.pad(np.ones((3, 4, 5), np.uint8), 1))
    asked = ExtractionSettings.model_validate({"engine": name, "setting": {"normalize": True}})
    with pytest.raises(GeometryError, match="every voxel of the image is 40, which normalize cannot scale"):
        extract(image, mask, asked)
