import numpy as np
import pytest

from radiomics_talent.features.native.grey_levels import GreyLevels
from radiomics_talent.features.native.neighbour_tables import neighbour_tables
from radiomics_talent.features.native.neighbours import neighbour_features
from radiomics_talent.features.native.ngtdm import NGTDM_FEATURES
from radiomics_talent.features.native.texture_settings import TextureSettings


def grey_of(*rows):
    levels = np.array([rows], np.int32)
    return GreyLevels(levels, np.unique(levels[levels > 0]).astype(np.int64), int(levels.max()))


def features(*rows, **setting):
    settings = TextureSettings(**setting)
    return neighbour_features(grey_of(*rows), (1, 1, 1), settings, {"ngtdm": NGTDM_FEATURES})["ngtdm"]


def test_differences_are_from_the_mean_of_the_neighbours():
    _, table = neighbour_tables(grey_of([1, 3, 0], [1, 0, 5]), TextureSettings())
    # 1 above: neighbours 3 and 1; 1 below: 1 and 3; 3: 1, 1 and 5; 5: 3.
    np.testing.assert_array_equal(table.voxels, [2, 1, 1])
    np.testing.assert_allclose(table.difference, [1 + 1, 3 - 7 / 3, 2])


def test_a_voxel_without_neighbours_counts_without_a_difference():
    _, table = neighbour_tables(grey_of([1, 2, 0, 4]), TextureSettings())
    np.testing.assert_array_equal(table.voxels, [1, 1, 1])
    np.testing.assert_array_equal(table.difference, [1, 1, 0])


def test_features_of_a_line():
    found = features([1, 2, 4])
    # s = 1, |2 - 5/2|, 2; p = 1/3 each
    s = np.array([1, 0.5, 2])
    i = np.array([1, 2, 4])
    apart = np.abs(i[:, None] - i)
    assert found["Coarseness"] == pytest.approx(1 / (s.sum() / 3))
    assert found["Contrast"] == pytest.approx((apart**2).sum() / 9 / 6 * s.sum() / 3)
    assert found["Busyness"] == pytest.approx(s.sum() / 3 / (apart.sum() / 3))
    assert found["Complexity"] == pytest.approx((apart * (s[:, None] + s) / 2).sum() / 3)
    assert found["Strength"] == pytest.approx((2 / 3 * apart**2).sum() / s.sum())


def test_a_flat_region_has_pyradiomics_values():
    assert features([2, 2], [2, 2]) == {"Busyness": 0, "Coarseness": 1e6, "Complexity": 0, "Contrast": 0, "Strength": 0}


def test_levels_whose_products_agree_have_no_busyness():
    assert features([1, 1, 2])["Busyness"] == 0  # 1 · 2/3 = 2 · 1/3
