"""Moran's I and Geary's C: by hand, and by the sum over all pairs."""

import math

import numpy as np
import pytest

from radiomics_talent.features.ibsi.spatial_autocorrelation import moran_and_geary


def over_pairs(image, mask, spacing):
    places = np.argwhere(mask) * np.array(spacing[::-1])
    x = image[mask] - image[mask].mean()
    distance = np.sqrt(np.square(places[:, np.newaxis] - places).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    w, n, scatter = 1 / distance, x.size, np.square(x).sum()
    moran = n / w.sum() * (w * np.outer(x, x)).sum() / scatter
    geary = (n - 1) / (2 * w.sum()) * (w * np.square(x[:, np.newaxis] - x)).sum() / scatter
    return moran, geary


def line(values, spacing=(1.0, 1.0, 1.0)):
    image = np.array([[values]], np.float64)
    return moran_and_geary(image, np.ones(image.shape, bool), spacing)


def test_two_voxels_are_as_unlike_as_can_be():
    assert line([1, 3], (2.0, 1.0, 1.0)) == pytest.approx((-1, 1))


def test_three_voxels_in_a_row():
    # weights 1, 1, 1/2 of each pair, both ways: 5; deviations -1, 0, 1: products -1, squares of differences 4
    assert line([1, 2, 3]) == pytest.approx((3 / 5 * -1 / 2, 2 / 10 * (2 + 2 + 4) / 2))


def test_halves_are_alike_and_a_chequerboard_is_not():
    halves, chequered = line([0, 0, 0, 0, 1, 1, 1, 1]), line([0, 1, 0, 1, 0, 1, 0, 1])
    assert halves[0] > -1 / 7 > chequered[0]
    assert halves[1] < 1 < chequered[1]


@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 7, 5), (5, 6, 7), (8, 3, 1), (2, 3, 30), (40, 2, 3)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.977, 0.7, 3.0)])
def test_any_lesion_gives_the_sum_over_pairs(shape, spacing):
    rng = np.random.default_rng(sum(shape))
    mask = rng.random(shape) < 0.7
    mask.flat[:2] = True
    image = rng.normal(-200, 300, shape)
    assert moran_and_geary(image, mask, spacing) == pytest.approx(over_pairs(image, mask, spacing), rel=1e-10)


def test_voxels_outside_do_not_matter():
    image = np.random.default_rng(0).normal(size=(4, 5, 6))
    mask = np.zeros(image.shape, bool)
    mask[1:3, 1:4, 2:5] = True
    other = np.where(mask, image, np.nan)
    assert moran_and_geary(other, mask, (1, 1, 2)) == moran_and_geary(image, mask, (1, 1, 2))


@pytest.mark.parametrize("values", [[5.0], [0.1, 0.1, 0.1]])
def test_one_voxel_or_equal_intensities_have_neither(values):
    assert all(math.isnan(value) for value in line(values))
