"""Resampling on a crop gives the bits of PyRadiomics' resampling on the whole scan."""

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics import imageoperations

from radiomics_talent.imaging import preprocess
from radiomics_talent.imaging.geometry import Box, Geometry

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


def test_a_crop_is_used_where_it_can_be(monkeypatch):
    """The point of the module: on ordinary tissue the whole scan is not resampled."""
    image, mask = scan(
        1, (0.9765625, 0.9765625, 3.27), (-129.88, -3.9, -849.32), tuple(np.eye(3).ravel()), np.int16, air=False
    )
    box = Box.around(sitk.GetArrayViewFromImage(mask) == 1)
    grid = preprocess.resampling_grid(Geometry.of(image), Geometry.of(mask), box, [1, 1, 1], 2)
    sizes = []
    real = preprocess._itk_resample
    monkeypatch.setattr(preprocess, "_itk_resample", lambda im, *a: sizes.append(im.GetSize()) or real(im, *a))
    preprocess.resample(image, grid.geometry, sitk.sitkBSpline)
    assert len(sizes) == 1
    assert np.prod(sizes[0]) < np.prod(SIZE)


def test_where_rounding_could_show_the_whole_scan_is_resampled():
    image, _ = scan(0, (1.0, 1.0, 3.0), (0, 0, 0), tuple(np.eye(3).ravel()), np.int16, air=True)
    coinciding = Geometry((20, 20, 20), (1.0, 1.0, 1.0), (105.0, 65.0, 80.0))
    crop = Box((60, 20, 0), SIZE).cut(image)
    values = sitk.GetArrayFromImage(preprocess._itk_resample(crop, coinciding, sitk.sitkBSpline, sitk.sitkFloat64))
    assert preprocess._is_doubtful(values, image, crop, coinciding)
