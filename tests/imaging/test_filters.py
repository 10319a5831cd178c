"""Names, warnings, guards and limits of the image types; their numbers are compared with PyRadiomics' elsewhere."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.errors import ExtractionError
from radiomics_talent.imaging import filters
from radiomics_talent.imaging.filters import filtered_images
from radiomics_talent.imaging.geometry import Box
from radiomics_talent.settings import PyRadiomicsSettings

BOX = Box((3, 2, 4), (9, 8, 10))


def image_of(array, spacing=(1.0, 1.0, 1.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    return image


def noise(shape=(14, 13, 12), dtype=np.int16):
    return np.random.default_rng(0).normal(40, 60, shape).astype(dtype)


def filtered(array, image_type, *, box=BOX, spacing=(1.0, 1.0, 1.0), pad_mm=None, **custom):
    said = []
    setting = PyRadiomicsSettings(**custom).model_dump()
    mask = np.ones(box.size[::-1], dtype=bool)
    found = filtered_images(image_of(array, spacing), mask, box, image_type, setting, pad_mm=pad_mm, warn=said.append)
    return {f.name: f.values_zyx for f in found}, said


@pytest.mark.parametrize(
    ("image_type", "names"),
    [
        ("Original", ["original"]),
        ("LoG", ["log-sigma-1-mm-3D", "log-sigma-1-0-mm-3D", "log-sigma-2-5-mm-3D"]),
        ("Wavelet", [f"wavelet-{n}" for n in ("LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL")]),
        ("Square", ["square"]),
        ("SquareRoot", ["squareroot"]),
        ("Logarithm", ["logarithm"]),
        ("Exponential", ["exponential"]),
        ("Gradient", ["gradient"]),
        ("LBP2D", ["lbp-2D"]),
        ("LBP3D", ["lbp-3D-m1", "lbp-3D-m2", "lbp-3D-k"]),
    ],
)
def test_names_are_those_of_pyradiomics(image_type, names):
    found, _ = filtered(noise(), image_type, sigma=(1, 1.0, 2.5))
    assert list(found) == names
    assert all(values.shape == BOX.size[::-1] for values in found.values())


def test_original_is_a_copy():
    array = noise()
    image = image_of(array)
    (found,) = filtered_images(image, np.ones((6, 6, 6), dtype=bool), BOX, "Original", {}, warn=pytest.fail)
    found.values_zyx[:] = 0
    assert np.array_equal(sitk.GetArrayFromImage(image), array)


def test_log_of_too_thin_an_image_warns_and_gives_nothing():
    found, said = filtered(noise((3, 12, 12)), "LoG", box=Box((2, 2, 0), (5, 5, 3)), sigma=(1.0,))
    assert found == {}
    assert said == ["Image too small to apply LoG filter, size: [12 12  3]"]


def test_log_of_too_wide_a_gaussian_warns_and_goes_on():
    found, said = filtered(noise(), "LoG", sigma=(20.0, 1.0))
    assert list(found) == ["log-sigma-1-0-mm-3D"]
    assert said == [
        "applyLoG: sigma(20)/spacing([1. 1. 1.]) + 1 must be greater than the size([12 13 14]) of the inputImage"
    ]


def log_calls(monkeypatch, array, box=Box((60, 60, 60), (64, 64, 64))):  # noqa: B008
    """Whether each call of the filter looked at a part of the image."""
    calls = []
    laplacian = filters.laplacian_of_gaussian

    def spy(*args, within=None):
        calls.append(within is not None)
        return laplacian(*args, within=within)

    monkeypatch.setattr(filters, "laplacian_of_gaussian", spy)
    filtered(array, "LoG", box=box, sigma=(1,))
    return calls


def test_log_looks_at_a_part_of_a_large_scan(monkeypatch):
    assert log_calls(monkeypatch, noise((130, 130, 130))) == [True]


def test_log_looks_at_all_of_it_where_nothing_is_left_but_rounding(monkeypatch):
    array = noise((130, 130, 130))
    array[25:100, 25:100, 25:100] = -1024
    assert log_calls(monkeypatch, array) == [True, False]


@pytest.mark.parametrize(("end", "calls"), [(60, [True]), (66, [True, False])])
def test_log_looks_at_all_of_it_where_the_lesion_reaches_deep_into_air(monkeypatch, end, calls):
    array = noise((130, 130, 130))
    array[:, :, 57:] = -1024
    assert log_calls(monkeypatch, array, Box((52, 60, 60), (end, 64, 64))) == calls


def test_log_looks_at_all_of_it_where_all_of_the_lesion_is_a_ramp(monkeypatch):
    array = np.indices((130, 130, 130)).sum(axis=0).astype(np.int16)
    assert log_calls(monkeypatch, array) == [True, False]


def test_a_voxel_without_value_far_away_reaches_the_lesion_as_in_itk(monkeypatch):
    array = noise((130, 130, 130), np.float32)
    array[0, 0, 0] = np.nan
    assert log_calls(monkeypatch, array) == [False]


@pytest.mark.parametrize("image_type", ["LoG", "Square", "SquareRoot", "Logarithm", "Exponential", "LBP2D", "LBP3D"])
def test_pad_takes_the_box_and_its_margin_for_the_image(image_type):
    array = noise((30, 28, 26))
    spacing, box = (1.0, 0.8, 2.0), Box((10, 9, 12), (15, 14, 16))
    region = box.padded((4, 5, 2), (26, 28, 30))
    padded, _ = filtered(array, image_type, box=box, spacing=spacing, pad_mm=4.0, sigma=(1.5,))
    alone, _ = filtered(
        array[region.slices_zyx].copy(), image_type, box=box.seen_from(region), spacing=spacing, sigma=(1.5,)
    )
    assert all(np.array_equal(padded[name], alone[name]) for name in alone)
    assert alone


@pytest.mark.parametrize("image_type", ["Gradient", "Wavelet"])
def test_pad_does_not_touch_filters_of_neighbours(image_type):
    array = noise()
    padded, _ = filtered(array, image_type, pad_mm=0.5)
    free, _ = filtered(array, image_type)
    assert all(np.array_equal(padded[name], free[name]) for name in free)


def test_largest_magnitude_of_the_lowest_integer():
    array = noise()
    array[0, 0, 0] = -32768
    found, _ = filtered(array, "Square")
    assert np.array_equal(found["square"], (1 / np.sqrt(32768.0) * array[BOX.slices_zyx]) ** 2)


@pytest.mark.parametrize("image_type", ["Square", "Logarithm", "Exponential"])
def test_an_image_of_zeros_has_no_scale(image_type):
    found, said = filtered(np.zeros((14, 13, 12), dtype=np.int16), image_type)
    assert np.isnan(found[image_type.lower()]).all()
    assert said == []


def test_unknown_image_type_is_refused():
    with pytest.raises(ExtractionError, match="no image type 'Fourier'; known are Original, LoG"):
        filtered(noise(), "Fourier")


def test_impossible_setting_is_refused_with_the_image_type():
    with pytest.raises(ExtractionError, match="image type Wavelet: Unknown wavelet name 'coif0'"):
        filtered(noise(), "Wavelet", wavelet="coif0")
