"""From a scan and a mask to what the families look at, and what is refused on the way."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent import ExtractionSettings, extract
from radiomics_talent.errors import ConfigError, ExtractionError, GeometryError, MaskError
from radiomics_talent.features.engine import make_ready, prepare
from radiomics_talent.features.ibsi.compute import compute, grey_levels
from radiomics_talent.features.ibsi.processing import lesion_of, volume_histogram_of

CUBES = {"spacing_mm": [1, 1, 1]}
WIDTH_25 = {"bin_width": 25, "lowest_hu": -1000}


def settings(**ibsi):
    return ExtractionSettings.model_validate({"ibsi": {"discretisation": WIDTH_25, **ibsi}})


def images(values_zyx, mask_zyx=None, spacing=(1.0, 1.0, 1.0)):
    values = np.asarray(values_zyx)
    image = sitk.GetImageFromArray(values)
    mask = sitk.GetImageFromArray((np.ones(values.shape) if mask_zyx is None else mask_zyx).astype(np.uint8))
    for one in (image, mask):
        one.SetSpacing(spacing)
    return image, mask


def ball(radius=6, spacing=(0.8, 0.8, 2.0), seed=1, margin=9):
    rng = np.random.default_rng(seed)
    shape = tuple(int(2 * (radius + margin) / s) for s in spacing[::-1])
    at = np.stack(
        np.meshgrid(
            *[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing[::-1], strict=True)], indexing="ij"
        )
    )
    return images(rng.normal(50, 40, shape).round().astype(np.int16), (at**2).sum(axis=0) < radius**2, spacing)


def processed(image, mask, asked):
    return lesion_of(prepare(image, mask, asked), asked.ibsi)


def test_hu_are_rounded_after_interpolation_and_only_then():
    image, mask = ball()
    rounded = processed(image, mask, settings(interpolation=CUBES)).image_zyx
    exact = processed(image, mask, settings(interpolation={**CUBES, "round_hu": False})).image_zyx
    np.testing.assert_array_equal(rounded, np.floor(exact + 0.5 + 1e-9))
    assert (exact != rounded).any()


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 2.0), (0.75, 0.75, 1.5)])
def test_the_last_bit_of_a_half_decides_nothing(spacing):
    """Between voxels of these spacings halves are frequent, and a scan turned over computes them in another order."""
    image, mask = ball(spacing=spacing)
    asked = settings(interpolation=CUBES, resegmentation={"range_hu": [-100, 300]})
    turned = [one[::-1, ::-1, ::-1] for one in (image, mask)]
    here, there = processed(image, mask, asked), processed(*turned, asked)
    np.testing.assert_array_equal(here.image_zyx, there.image_zyx[::-1, ::-1, ::-1])
    np.testing.assert_array_equal(here.levels_zyx, there.levels_zyx[::-1, ::-1, ::-1])


def test_resegmentation_leaves_the_morphological_mask_alone():
    image, mask = ball()
    lesion = processed(image, mask, settings(resegmentation={"range_hu": [0, 80]}))
    inside = lesion.image_zyx[lesion.box.slices_zyx]
    np.testing.assert_array_equal(lesion.intensity_zyx, lesion.morphological_zyx & (inside >= 0) & (inside <= 80))
    assert lesion.morphological_zyx.sum() == (sitk.GetArrayFromImage(mask) > 0).sum()


def test_levels_begin_at_the_range_or_where_the_settings_say():
    image, mask = images([[[10, 24, 25, 60]]])
    by_range = settings(discretisation={"bin_width": 25}, resegmentation={"range_hu": [0, 100]})
    np.testing.assert_array_equal(processed(image, mask, by_range).levels_zyx, [[[1, 1, 2, 3]]])
    np.testing.assert_array_equal(processed(image, mask, settings()).levels_zyx, [[[41, 41, 42, 43]]])


def test_without_discretisation_intensities_are_the_levels():
    lesion = processed(*images([[[1, 6, 3]]]), settings(discretisation=None))
    np.testing.assert_array_equal(lesion.levels_zyx, [[[1, 6, 3]]])
    assert lesion.n_levels == 6


@pytest.mark.parametrize("values", [[[[0, 1]]], [[[1.5, 2]]], [[[-40, 3]]]])
def test_intensities_that_are_no_levels_are_refused(values):
    with pytest.raises(ExtractionError, match=r"whole numbers from 1 on, but one is .*; set ibsi.discretisation"):
        processed(*images(np.array(values)), settings(discretisation=None))


def test_a_lesion_emptied_by_resegmentation_is_refused():
    with pytest.raises(
        MaskError, match=r"leaves 0 of 3 voxels, at least 1 are needed .*intensities are -50 to 20: widen"
    ):
        processed(*images([[[-50, 0, 20]]]), settings(resegmentation={"range_hu": [300, 400]}))


def test_too_few_voxels_are_refused():
    with pytest.raises(MaskError, match="leaves 2 of 3 voxels, at least 3 are needed"):
        processed(*images([[[5, 7, 900]]]), settings(resegmentation={"range_hu": [0, 100]}, minimum_voxels=3))


def test_a_lesion_that_was_small_from_the_start_is_not_told_to_resegment():
    with pytest.raises(
        MaskError, match=r"^the lesion has 3 voxels, at least 4 are needed \(minimum_voxels\); leave it out$"
    ):
        processed(*images([[[5, 7, 90]]]), settings(minimum_voxels=4))


def test_intensities_that_are_not_whole_need_levels_of_the_volume_histogram():
    image, mask = images(np.linspace(0, 1, 27).reshape(3, 3, 3))
    with pytest.raises(ExtractionError, match=r"but one is 0\.0384615; set ibsi\.ivh_discretisation"):
        extract(image, mask, settings())
    fine = settings(ivh_discretisation={"bin_width": 0.01, "lowest_hu": 0})
    assert extract(image, mask, fine)["original_ivh_VolumeFraction10"] == pytest.approx(24 / 27)


def test_intensities_below_the_first_level_are_refused():
    low = settings(discretisation={"bin_width": 25, "lowest_hu": 0})
    with pytest.raises(ExtractionError, match=r"down to -50, below the first grey level \(0\); lower lowest_hu"):
        processed(*images([[[-50, 20]]]), low)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", [(2, 2, 2), (0, 2, 2)], ids=["in the lesion", "beside it"])
def test_what_is_not_finite_is_refused(value, where):
    values = np.full((5, 5, 5), 40.0)
    values[where] = value
    mask = np.zeros((5, 5, 5))
    mask[1:4, 1:4, 1:4] = 1
    for interpolation in (None, {"spacing_mm": [0.5, 0.5, 0.5], "interpolator": "cubic-spline"}):
        with pytest.raises(GeometryError, match="NaN or infinite values in the lesion or next to it"):
            processed(*images(values, mask), settings(interpolation=interpolation))


def test_only_local_intensity_looks_beside_the_lesion():
    values = np.full((5, 5, 5), 40.0)
    values[0, 2, 2] = np.nan
    mask = np.zeros((5, 5, 5))
    mask[1:4, 1:4, 1:4] = 1
    assert extract(*images(values, mask), settings(features={"firstorder": None}))["original_firstorder_Mean"] == 40


def test_more_than_65536_levels_are_refused():
    fine = settings(discretisation={"bin_width": 0.001, "lowest_hu": 0})
    with pytest.raises(
        ExtractionError, match=r"ibsi.discretisation gives 100001 grey levels \(at most 65536\); raise bin_width"
    ):
        processed(*images([[[0, 100]]]), fine)
    volume = settings(ivh_discretisation={"bin_width": 0.001, "lowest_hu": 0})
    lesion = processed(*images([[[0, 100]]]), volume)
    with pytest.raises(ExtractionError, match=r"ibsi\.ivh_discretisation gives 100001 grey levels"):
        volume_histogram_of(lesion, volume.ibsi)


def test_matrices_of_more_than_2048_levels_are_refused_and_histograms_are_not():
    image, mask = images([[[0, 100, 40]]])
    fine = {"discretisation": {"bin_width": 0.01, "lowest_hu": 0}}
    with pytest.raises(ExtractionError, match=r"texture matrices of 10001 grey levels \(at most 2048\)"):
        extract(image, mask, settings(**fine))
    assert extract(image, mask, settings(**fine, features={"histogram": None}))["original_histogram_Maximum"] == 10001


def test_a_lesion_smaller_than_the_new_voxels_is_refused():
    mask = np.zeros((9, 9, 9))
    mask[3, 4, 4] = 1
    with pytest.raises(MaskError, match="no voxel of the lesion is left after interpolation to 6 × 6 × 6 mm"):
        processed(*images(np.zeros((9, 9, 9)), mask), settings(interpolation={"spacing_mm": [6, 6, 6]}))


def test_features_do_not_depend_on_how_much_of_the_scan_there_is():
    """The grid hangs on the scan's centre: 4 mm are cut on either side, so that it stays where it is."""
    image, mask = ball(margin=14)
    asked = settings(interpolation=CUBES, resegmentation={"range_hu": [-100, 200]})
    whole = extract(image, mask, asked)
    part = extract(image[5:-5, 5:-5, 2:-2], mask[5:-5, 5:-5, 2:-2], asked)
    assert dict(part) == pytest.approx(dict(whole), rel=1e-9, abs=1e-12, nan_ok=True)


def test_moving_image_and_mask_together_changes_nothing():
    image, mask = ball()
    asked = settings(interpolation=CUBES)
    here = extract(image, mask, asked)
    for one in (image, mask):
        one.SetOrigin((123.25, -77.5, 1000.0))
    assert dict(extract(image, mask, asked)) == pytest.approx(dict(here), rel=1e-9, nan_ok=True)


def test_levels_are_told_before_features_are_computed():
    image, mask = images([[[0, 24, 26]]])
    asked = settings(discretisation={"bin_width": 25, "lowest_hu": 0})
    assert grey_levels(prepare(image, mask, asked), asked) == {"original": 2}


def test_features_that_are_not_defined_come_with_a_warning():
    image, mask = images([[[7]]])
    asked = settings(discretisation=None)
    found = extract(image, mask, asked)
    assert found["original_firstorder_Mean"] == 7
    silent = [name for name, value in found.items() if np.isnan(value)]
    assert silent
    assert found.warnings == (f"{len(silent)} features are not defined (NaN): {', '.join(silent)}",)


SMALL = {
    "one voxel": np.array([[[7]]]),
    "one slice": np.array([[[1, 2, 2], [3, 1, 2]]]),
    "one row": np.array([[[1, 2, 2, 3]]]),
    "one column of slices": np.array([[[1]], [[2]], [[2]]]),
    "one grey level": np.full((3, 3, 3), 4),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_lesions_give_every_column_and_no_wrong_infinity(name):
    everything = ["2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"]
    asked = settings(discretisation=None, aggregation=everything)
    found = extract(*images(SMALL[name]), asked)
    assert len(found) == 487
    assert not [column for column, value in found.items() if np.isinf(value)]
    assert found["original_shape_VoxelVolume"] == SMALL[name].size
    assert found["original_firstorder_Maximum"] == SMALL[name].max()


def test_only_the_features_asked_for_are_computed_in_ibsis_order():
    asked = settings(
        features={"glcm": ["Contrast", "JointEntropy"], "firstorder": ["Mean"]},
        aggregation=["3D_comb", "2D_avg"],
        interpolation=CUBES,
    )
    values, warnings, timings = compute(prepare(*ball(), asked), asked)
    assert list(values) == [
        "original_firstorder_Mean",
        "original_glcm-3D-comb_JointEntropy",
        "original_glcm-3D-comb_Contrast",
        "original_glcm-2D-avg_JointEntropy",
        "original_glcm-2D-avg_Contrast",
    ]
    assert warnings == ()
    assert list(timings) == ["prepare", "firstorder", "glcm"]


def test_verification_is_refused_since_pyradiomics_has_no_such_features():
    with pytest.raises(ConfigError, match="--verify compares with PyRadiomics, which does not compute IBSI's features"):
        make_ready(settings(), verify=True)


def test_texture_in_3d_of_voxels_that_are_no_cubes_is_warned_of():
    image, mask = ball(spacing=(0.8, 0.8, 2.0))
    (told,) = extract(image, mask, settings(features={"glcm": ["Contrast"]})).warnings
    assert told.startswith("texture in 3D of voxels of 0.8 × 0.8 × 2 mm, where neighbours are not equally far")
    assert told.endswith("; set ibsi.interpolation to cubes, or aggregate in 2D")
    for quiet in ({"aggregation": ["2_5D_avg"]}, {"interpolation": CUBES}, {"features": {"firstorder": None}}):
        assert extract(image, mask, settings(**quiet)).warnings == ()


def test_a_range_too_wide_for_every_hu_to_be_a_level_names_what_to_change():
    image, mask = images([[[0, 100]]])
    asked = settings(resegmentation={"range_hu": [-1e9, 1e9]}, discretisation={"bin_count": 8})
    with pytest.raises(
        ExtractionError, match=r"every whole intensity as a level gives 2\.0e\+09 grey levels.*narrow ibsi"
    ):
        extract(image, mask, asked)


def test_a_mask_of_another_grid_is_not_told_to_use_pyradiomics_setting():
    image, mask = ball()
    mask.SetOrigin((0.4, 0, 0))
    with pytest.raises(GeometryError, match=r"apart; give a mask on the image's grid$"):
        extract(image, mask, settings())
