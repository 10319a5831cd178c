"""Patterns in slices are scikit-image's; those on spheres take SciPy's spline, of a part only where that is safe."""

import numpy as np
import pytest
from scipy import ndimage, special
from scipy.stats import kurtosis
from skimage.feature import local_binary_pattern

from radiomics_talent.imaging import spherical_patterns as spheres
from radiomics_talent.imaging.geometry import Box
from radiomics_talent.imaging.local_binary_patterns import local_binary_patterns

BOX = Box((33, 30, 2), (45, 38, 4))


@pytest.mark.parametrize("method", ["default", "ror", "uniform", "var"])
@pytest.mark.parametrize(("radius", "samples"), [(1, 8), (1.5, 12), (3.3, 5)])
def test_patterns_of_slices_are_those_of_scikit_image(radius, samples, method):
    array = np.random.default_rng(0).integers(0, 6, (5, 40, 46)) * 100
    array[:, :, :36] = 300
    wanted = np.stack([local_binary_pattern(plane, samples, radius, method) for plane in array])
    found = local_binary_patterns(array.astype(np.float64), BOX, radius=radius, samples=samples, method=method)
    assert np.array_equal(found, wanted[BOX.slices_zyx], equal_nan=True)


def test_slices_are_counted_along_any_axis():
    array = np.random.default_rng(1).integers(0, 1000, (7, 40, 46)).astype(np.int16)
    for axis in (1, 2):
        turned = array.swapaxes(0, axis)
        wanted = np.stack([local_binary_pattern(plane, 8, 1, "uniform") for plane in turned]).swapaxes(0, axis)
        assert np.array_equal(local_binary_patterns(array, BOX, axis=axis), wanted[BOX.slices_zyx])


def test_kurtosis_is_that_of_scipy_and_nan_of_equal_values():
    values = np.random.default_rng(2).normal(0, 50, (40, 42)).astype(np.int16)
    assert np.array_equal(spheres._kurtosis(values), kurtosis(values, axis=1))
    assert np.isnan(spheres._kurtosis(np.full((2, 42), 7, dtype=np.int16))).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(special, "sph_harm_y"), reason="SciPy before 1.15")
def test_both_generations_of_spherical_harmonics_agree(monkeypatch):
    if not hasattr(special, "sph_harm"):
        pytest.skip("SciPy 1.17 removed sph_harm")
    _, new, _ = spheres._sphere(4, 1, 1)
    monkeypatch.delattr(special, "sph_harm_y")
    assert np.array_equal(new, spheres._sphere(4, 1, 1)[1])


def test_interpolation_is_that_of_scipy_also_at_the_ends():
    array = np.random.default_rng(3).normal(0, 50, (6, 7, 9))
    points = np.random.default_rng(4).uniform(-2, 2, (30, 3))
    places = np.argwhere(np.ones(array.shape, dtype=bool))
    box = Box((0, 0, 0), (9, 7, 6))
    found = np.concatenate([values for values, _ in spheres._samples(array, box, places, points, 2)])
    coordinates = places.T[:, :, None] + points.T[:, None, :]
    assert np.array_equal(found, ndimage.map_coordinates(array, coordinates, order=3))


def parts_looked_at(monkeypatch, array):
    """How many voxels were given to the spline, call by call."""
    looked = []
    filtered = spheres._coefficients
    monkeypatch.setattr(spheres, "_coefficients", lambda i, r, n: looked.append(np.prod(r.size)) or filtered(i, r, n))
    list(spheres.spherical_patterns(array, np.ones((4, 4, 4), dtype=bool), Box((60, 60, 60), (64, 64, 64))))
    return looked


def test_a_part_of_the_image_is_enough_for_noise(monkeypatch):
    noise = np.random.default_rng(5).normal(0, 100, (125, 125, 125))
    (looked,) = parts_looked_at(monkeypatch, noise.astype(np.int16))
    assert looked < noise.size


def test_the_whole_image_is_taken_where_rounding_decides(monkeypatch):
    constant = np.full((125, 125, 125), 0.1)
    assert parts_looked_at(monkeypatch, constant)[-1] == constant.size


def test_one_degree_is_refused_as_pyradiomics_fails_with_it():
    with pytest.raises(ValueError, match="lbp3DLevels of at least 2, got 1"):
        list(spheres.spherical_patterns(np.zeros((4, 4, 4)), np.ones((1, 1, 1), dtype=bool), BOX, levels=1))
