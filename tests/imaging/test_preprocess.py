"""Resampling on a crop gives the bits of PyRadiomics' resampling on the whole scan."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.imaging import preprocess
from radiomics_talent.imaging.geometry import Box, Geometry

imageoperations = pytest.importorskip("radiomics.imageoperations")

SIZE = (150, 138, 64)


def scan(seed: int, spacing, origin, direction, dtype, *, air: bool) -> tuple[sitk.Image, sitk.Image]:
    rng = np.random.default_rng(seed)
    smooth = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(rng.normal(0, 240, SIZE[::-1])), 1.2)
    hu = sitk.GetArrayFromImage(smooth) + 40
    z, y, x = np.ogrid[: SIZE[2], : SIZE[1], : SIZE[0]]
    if air:  # constant: where truncation to whole HU meets rounding
        hu = np.where((x - 80) ** 2 + (y - 75) ** 2 > 50**2, -1024, hu)
    image = sitk.GetImageFromArray(hu.round().astype(dtype))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    radius = ((x - 115) * spacing[0]) ** 2 + ((y - 75) * spacing[1]) ** 2 + ((z - 32) * spacing[2]) ** 2
    mask = sitk.GetImageFromArray((radius < 12**2).astype(np.uint8))
    mask.CopyInformation(image)
    return image, mask


def random_frame(rng) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    in_plane = float(rng.choice([1.0, 0.5, 2.0, 0.75, 0.9765625, 0.703125, 0.8]))
    spacing = (in_plane, in_plane, float(rng.choice([0.625, 1, 1.25, 2, 2.5, 3, 5])))
    origin = tuple(float(v) for v in np.round(rng.uniform(-900, 900, 3), int(rng.integers(0, 5))))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation[:, 0] *= np.sign(np.linalg.det(rotation))
    return spacing, origin, tuple(np.round(rotation, 8).ravel()) if rng.random() < 0.3 else tuple(np.eye(3).ravel())


@pytest.mark.parametrize("seed", range(24))
def test_a_crop_has_the_bits_of_the_whole_scan(seed):
    rng = np.random.default_rng(seed)
    dtype = [np.int16, np.int16, np.float32, np.uint8][seed % 4]
    interpolator = "sitkLinear" if seed % 5 == 4 else "sitkBSpline"
    image, mask = scan(seed, *random_frame(rng), dtype, air=bool(seed % 2))
    pad = int(rng.integers(0, 25))
    wanted_image, wanted_mask = imageoperations.resampleImage(
        image, mask, resampledPixelSpacing=[1, 1, 1], interpolator=interpolator, padDistance=pad
    )
    box = Box.around(sitk.GetArrayViewFromImage(mask) == 1)
    grid = preprocess.resampling_grid(Geometry.of(image), Geometry.of(mask), box, [1, 1, 1], pad)
    if not grid.interpolates:
        pytest.skip("the scan has the spacing asked for")
    assert grid.geometry == Geometry.of(wanted_image)
    ours = preprocess.resample(image, grid.geometry, getattr(sitk, interpolator))
    assert ours.GetPixelID() == wanted_image.GetPixelID()
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(wanted_image))
    ours_mask = preprocess.nearest_on(mask, grid.geometry)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours_mask), sitk.GetArrayViewFromImage(wanted_mask))


def refuse(*_: object) -> None:
    pytest.fail("the whole scan is resampled")


def test_grids_that_coincide_in_constant_air_do_not_need_the_whole_scan(monkeypatch):
    """Rounding decides each voxel there."""
    image, _ = scan(0, (1.0, 1.0, 3.0), (0, 0, 0), tuple(np.eye(3).ravel()), np.int16, air=True)
    coinciding = Geometry((20, 20, 20), (1.0, 1.0, 1.0), (105.0, 65.0, 80.0))
    wanted = preprocess._itk_resample(image, coinciding, sitk.sitkBSpline)
    monkeypatch.setattr(preprocess, "_itk_resample", refuse)
    ours = preprocess.resample(image, coinciding, sitk.sitkBSpline)
    assert Geometry.of(ours) == coinciding
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(wanted))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_values_beyond_the_pixel_type_are_clamped_as_itk_clamps_them(dtype, monkeypatch):
    limits = np.finfo(np.float32) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    # Checkers of extremes: the spline overshoots both. (Not quite the extreme of 32-bit floats, which is left to ITK.)
    extremes = np.random.default_rng(5).choice([float(limits.min) * 0.99, float(limits.max) * 0.99], (20, 24, 28))
    image = sitk.GetImageFromArray(extremes.astype(dtype))
    grid = Geometry((30, 30, 30), (0.7, 0.7, 0.7), (0.3, 0.2, 0.1))
    wanted = preprocess._itk_resample(image, grid, sitk.sitkBSpline)
    monkeypatch.setattr(preprocess, "_itk_resample", refuse)
    ours = preprocess.resample(image, grid, sitk.sitkBSpline)
    assert ours.GetPixelID() == image.GetPixelID()
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(wanted))


def test_what_the_spline_does_not_know_is_itks_work():
    for values in (np.full((20, 20, 20), np.nan, np.float32), np.arange(8000, dtype=np.int64).reshape(20, 20, 20)):
        image = sitk.GetImageFromArray(values)
        grid = Geometry((6, 6, 6), (0.7, 0.7, 0.7), (3.1, 3.2, 3.3))
        wanted = sitk.GetArrayFromImage(preprocess._itk_resample(image, grid, sitk.sitkBSpline))
        ours = preprocess.resample(image, grid, sitk.sitkBSpline)
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours), wanted)
