"""The spline of a part of a scan has the bits of ITK's spline of the whole."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.imaging import spline, spline_coefficients
from radiomics_talent.imaging.geometry import Box, Geometry

TISSUE = np.random.default_rng(0).normal(40, 60, (130, 140, 150)).round().astype(np.int16)
PART = Box((60, 62, 50), (80, 75, 61))


def coefficients_of_all(values):
    return sitk.GetArrayFromImage(sitk.BSplineDecomposition(sitk.GetImageFromArray(values.astype(np.float64)), 3))


def itk_values(image: sitk.Image, grid: Geometry) -> np.ndarray:
    resampler = sitk.ResampleImageFilter()
    resampler.SetOutputSpacing(grid.spacing_mm)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetOutputOrigin(grid.origin_mm)
    resampler.SetSize(grid.size)
    resampler.SetInterpolator(sitk.sitkBSpline)
    return sitk.GetArrayFromImage(resampler.Execute(sitk.Cast(image, sitk.sitkFloat64)))


def our_values(image: sitk.Image, grid: Geometry) -> np.ndarray:
    return spline.cubic_spline(sitk.GetArrayViewFromImage(image), Geometry.of(image), grid)


def image_of(values: np.ndarray, spacing=(0.75, 0.8, 2.5), origin=(-101.3, 7.25, -803.1), direction=None) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    return image


def grid_in(image: sitk.Image, first, spacing, size, direction=None) -> Geometry:
    """Lay a grid into an image, its first point at a continuous index."""
    origin = image.TransformContinuousIndexToPhysicalPoint(first)
    return Geometry(size, spacing, origin, direction or image.GetDirection())


def rotation(seed: int) -> tuple[float, ...]:
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    axes[:, 0] *= np.sign(np.linalg.det(axes))
    return tuple(axes.ravel())


def test_coefficients_of_a_part_are_those_of_the_whole():
    ours = spline_coefficients.spline_coefficients(TISSUE, PART)
    np.testing.assert_array_equal(ours, coefficients_of_all(TISSUE)[PART.slices_zyx])


@pytest.mark.parametrize("margin", [1, 5, 20, 30])
def test_too_narrow_a_margin_is_noticed(margin, monkeypatch):
    """The margin is a matter of speed alone."""
    monkeypatch.setattr(spline_coefficients, "MARGIN", margin)
    ours = spline_coefficients.spline_coefficients(TISSUE, PART)
    np.testing.assert_array_equal(ours, coefficients_of_all(TISSUE)[PART.slices_zyx])


@pytest.mark.parametrize("air", [-1024, -1000, -2048, -999, -992, 0, 255])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_constant_regions_keep_the_bits_of_the_whole_scan(air, dtype):
    """At -1024 the filter alternates for ever between two doubles; at 0 it never comes to rest."""
    values = TISSUE.astype(dtype)
    z, y, x = np.ogrid[:130, :140, :150]
    values[(x - 15) ** 2 + (y - 70) ** 2 + (z - 65) ** 2 > 30**2] = air
    ours = spline_coefficients.spline_coefficients(values, PART)
    wanted = coefficients_of_all(values)[PART.slices_zyx]
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-47 if air == 0 else 0)
    image = image_of(values, spacing=(1.0, 1.0, 1.0))
    grid = grid_in(image, (62.0, 65.0, 53.5), (0.5, 1.0, 1.0), (20, 7, 6))
    np.testing.assert_array_equal(our_values(image, grid).astype(dtype), itk_values(image, grid).astype(dtype))


@pytest.mark.parametrize("shape", [(1, 40, 50), (3, 40, 1), (3, 4, 5), (17, 18, 19), (20, 1, 3)])
def test_short_lines(shape):
    image = image_of(np.random.default_rng(1).normal(0, 300, shape).astype(np.int16))
    grid = grid_in(image, (-1.2, -0.7, -0.9), (0.6, 0.55, 0.8), (24, 20, 16))
    wanted = itk_values(image, grid)
    assert wanted.any()
    np.testing.assert_array_equal(our_values(image, grid), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_a_grid_across_the_scan(seed):
    image = image_of(TISSUE, direction=rotation(seed))
    grid = grid_in(image, (70.2, 60.1, 50.7), (0.9, 1.1, 0.7), (25, 24, 23), rotation(seed + 50))
    wanted = itk_values(image, grid)
    assert np.count_nonzero(wanted) > 0.9 * wanted.size
    np.testing.assert_array_equal(our_values(image, grid), wanted)


def test_a_grid_that_is_flipped_and_turned_by_right_angles():
    image = image_of(TISSUE)
    turned = (0.0, -1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0)
    grid = grid_in(image, (70.2, 60.1, 70.7), (1.0, 1.0, 1.0), (25, 24, 23), turned)
    wanted = itk_values(image, grid)
    assert np.count_nonzero(wanted) > 0.9 * wanted.size
    np.testing.assert_array_equal(our_values(image, grid), wanted)


def test_beyond_the_scan_are_zeros():
    image = image_of(TISSUE)
    beyond = grid_in(image, (900.0, 60.0, 50.0), (1.0, 1.0, 1.0), (5, 6, 7))
    np.testing.assert_array_equal(our_values(image, beyond), np.zeros((7, 6, 5)))
    for first in ((-6.0, 60.0, 50.0), (140.0, 60.0, 50.0), (60.0, 132.0, 124.0)):
        partly = grid_in(image, first, (0.75, 0.75, 0.75), (20, 19, 18))
        wanted = itk_values(image, partly)
        assert 0 < np.count_nonzero(wanted) < wanted.size
        np.testing.assert_array_equal(our_values(image, partly), wanted)


def test_half_a_voxel_beyond_the_scan_is_inside_and_mirrored():
    image = image_of(TISSUE, spacing=(1.0, 1.0, 1.0), origin=(0, 0, 0))
    ends = Geometry((151, 141, 131), (1.0, 1.0, 1.0), (-0.5, -0.5, -0.5))
    wanted = itk_values(image, ends)
    assert wanted[0, 0, 0] != 0
    assert wanted[-1, -1, -1] == 0
    np.testing.assert_array_equal(our_values(image, ends), wanted)


def test_threads_do_not_disturb_each_other():
    image = image_of(TISSUE)
    grids = [grid_in(image, (20.0 + 5 * i, 60.0, 50.0), (1.0, 1.0, 1.0), (20, 19, 18)) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda grid: our_values(image, grid), grids))
    for grid, values in zip(grids, together, strict=True):
        np.testing.assert_array_equal(values, our_values(image, grid))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_floats_that_would_spread_over_the_scan_are_not_taken(value):
    values = TISSUE.astype(np.float64)
    values[0, 0, 0] = value
    assert spline_coefficients.spline_coefficients(values, PART) is None


def test_two_slices_and_other_machines_are_not_taken(monkeypatch):
    image = image_of(TISSUE[:2])
    grid = grid_in(image, (60.0, 60.0, 0.0), (1.0, 1.0, 1.0), (5, 5, 3))
    assert our_values(image, grid) is None
    assert our_values(image_of(TISSUE), grid) is not None
    monkeypatch.setattr(spline, "KEEPS_BITS", False)
    assert our_values(image_of(TISSUE), grid) is None
