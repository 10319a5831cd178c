"""The Laplacian of Gaussian has ITK's bits, of the whole image and of parts."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.imaging.geometry import Box
from radiomics_talent.imaging.recursive_gaussian import REACH_SIGMAS, laplacian_of_gaussian, recursion

SPACING = (0.8, 0.7, 2.5)


def itk(array, sigma, spacing=SPACING):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    log = sitk.LaplacianRecursiveGaussianImageFilter()
    log.SetNormalizeAcrossScale(True)
    log.SetSigma(sigma)
    return sitk.GetArrayFromImage(log.Execute(image))


@pytest.mark.parametrize("sigma", [0.3, 1, 2.5, 5.0])
@pytest.mark.parametrize("shape", [(4, 4, 4), (5, 33, 40), (20, 7, 65)])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32, np.float64])
def test_bits_of_itk(dtype, shape, sigma):
    array = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    box = Box((1, 0, 1), (shape[2] - 1, shape[1], shape[0]))
    found = laplacian_of_gaussian(array, SPACING, sigma, box)
    assert found.dtype == np.float32
    assert np.array_equal(found, itk(array, sigma)[box.slices_zyx])


def test_an_array_with_gaps_in_memory_is_read_as_it_is_meant():
    array = np.random.default_rng(1).normal(0, 100, (12, 14, 16)).astype(np.int16)
    box = Box((0, 0, 0), (7, 7, 12))
    assert np.array_equal(
        laplacian_of_gaussian(array[:, ::2, 2:], SPACING, 1.5, box), itk(array[:, ::2, 2:].copy(), 1.5)[:, :, :7]
    )


@pytest.mark.parametrize("air", [False, True])
@pytest.mark.parametrize("sigma", [0.7, 1.6])
def test_a_part_that_reaches_far_has_the_bits_of_the_whole(sigma, air):
    array = np.random.default_rng(2).normal(0, 300, (110, 120, 130)).astype(np.int16)
    if air:
        array[:, :, :60] = -1024
    box = Box((55, 50, 50), (75, 65, 60))
    within = box.padded(int(np.ceil(REACH_SIGMAS * sigma)), (130, 120, 110))
    part = laplacian_of_gaussian(array, (1.0, 1.0, 1.0), sigma, box, within=within)
    assert np.array_equal(part, laplacian_of_gaussian(array, (1.0, 1.0, 1.0), sigma, box))


def test_a_part_ends_as_an_image_of_its_own():
    array = np.random.default_rng(3).normal(0, 100, (20, 24, 28)).astype(np.float32)
    within, box = Box((3, 4, 5), (20, 21, 16)), Box((5, 6, 7), (9, 9, 9))
    alone = array[within.slices_zyx].copy()
    assert np.array_equal(
        laplacian_of_gaussian(array, SPACING, 2.0, box, within=within),
        laplacian_of_gaussian(alone, SPACING, 2.0, box.seen_from(within)),
    )


def test_gaussian_keeps_a_constant_and_its_derivative_takes_it_away():
    for derivative, gain in ((False, 1.0), (True, 0.0)):
        forward, backward, feedback, _, _ = recursion(2.0, 0.8, derivative=derivative)
        assert (forward.sum() + backward.sum()) / (1 + feedback.sum()) == pytest.approx(gain, abs=1e-9)


def test_second_derivative_of_a_parabola_is_two():
    x = np.arange(200.0)
    array = np.broadcast_to((x - 100) ** 2, (8, 8, 200)).astype(np.float64)
    found = laplacian_of_gaussian(array, (1.0, 1.0, 1.0), 3.0, Box((95, 3, 3), (105, 5, 5)))
    assert found == pytest.approx(2 * 3.0**2, rel=1e-4)


@pytest.mark.parametrize(("shape", "sigma"), [((3, 9, 9), 1.0), ((9, 9, 9), 0.0)])
def test_too_small_an_image_or_sigma_is_refused(shape, sigma):
    with pytest.raises(ValueError, match="LoG needs 4 voxels along each axis and a sigma above 0"):
        laplacian_of_gaussian(np.zeros(shape), SPACING, sigma, Box((0, 0, 0), (2, 2, 2)))
