"""The scan's own noise is found in soft tissue, and added noise is what was asked for."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.robustness.noise import noise_sd_hu, shifted, with_noise


def white(sd, shape=(12, 60, 60), seed=0):
    return 60 + np.random.default_rng(seed).normal(0, sd, shape)


@pytest.mark.parametrize("sd", [5.0, 15.0, 40.0])
def test_white_noise_is_found(sd):
    assert noise_sd_hu(white(sd).round().astype(np.int16)) == pytest.approx(sd, rel=0.03)


def test_air_around_and_an_edge_within_do_not_count():
    values = white(12.0)
    values[:, :, :25] = -1000
    values[:, 30:, 40:] += 80
    assert noise_sd_hu(values) == pytest.approx(12.0, rel=0.05)


def test_a_smooth_gradient_is_no_noise():
    assert noise_sd_hu(np.broadcast_to(np.linspace(0, 100, 60), (5, 60, 60))) < 0.1


def test_where_there_is_no_soft_tissue_every_voxel_counts():
    assert noise_sd_hu(white(10.0) + 2000) == pytest.approx(10.0, rel=0.03)


def test_air_that_is_cut_off_does_not_hide_the_noise_of_few_voxels():
    values = np.full((12, 60, 60), -1000.0)
    values[:, :, :28] = white(10.0, (12, 60, 28)) + 2000
    # Filters that touch the edge with their ends alone see a part of the noise.
    assert noise_sd_hu(values) == pytest.approx(10.0, rel=0.15)


def test_a_constant_image_and_a_sliver_have_no_noise():
    assert noise_sd_hu(np.full((3, 20, 20), 55, np.int16)) == 0
    assert noise_sd_hu(white(10.0, (9, 4, 40))) == 0


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("level", [60, 2000])
def test_what_is_not_finite_outside_the_body_does_not_count(nothing, level):
    values = white(12.0) + level - 60
    values[:, :, :20] = nothing
    values[5, 30, 40] = nothing
    assert noise_sd_hu(values) == pytest.approx(12.0, rel=0.03)


def test_an_image_without_a_finite_voxel_has_no_noise():
    assert noise_sd_hu(np.full((3, 20, 20), np.nan)) == 0


def image_of(values, spacing=(0.7, 0.7, 3.0)):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin((1.0, 2.0, 3.0))
    return image


def test_added_noise_has_the_standard_deviation_asked_for():
    image = image_of(np.full((10, 50, 50), 40, np.int16))
    noisy = sitk.GetArrayFromImage(with_noise(image, 9.0, np.random.default_rng(1)))
    assert noisy.dtype == np.int16
    assert noisy.std() == pytest.approx(np.hypot(9.0, 1 / np.sqrt(12)), rel=0.02)
    assert noisy.mean() == pytest.approx(40, abs=0.2)


def test_noise_stays_within_the_pixel_type_and_in_its_place():
    image = image_of(np.full((4, 8, 8), 254, np.uint8))
    noisy = with_noise(image, 50.0, np.random.default_rng(1))
    values = sitk.GetArrayFromImage(noisy)
    assert (values.max(), values.min() < 200) == (255, True)
    assert (noisy.GetOrigin(), noisy.GetSpacing()) == (image.GetOrigin(), image.GetSpacing())


def test_no_noise_and_no_shift_return_the_very_image():
    image = image_of(np.zeros((2, 8, 8), np.int16))
    assert with_noise(image, 0.0, np.random.default_rng(1)) is image
    assert shifted(image, 0.0) is image


def test_the_same_seed_gives_the_same_noise():
    image = image_of(np.zeros((2, 8, 8), np.float32))
    first, again, other = (
        sitk.GetArrayFromImage(with_noise(image, 3.0, np.random.default_rng(seed))) for seed in (4, 4, 5)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_scan_of_whole_hu_is_shifted_by_whole_hu():
    values = np.arange(64, dtype=np.int16).reshape(1, 8, 8)
    assert np.array_equal(sitk.GetArrayFromImage(shifted(image_of(values), 4.6)), values + 5)
    smooth = sitk.GetArrayFromImage(shifted(image_of(values.astype(np.float64)), 4.6))
    assert smooth == pytest.approx(values + 4.6)
