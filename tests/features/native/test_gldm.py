import numpy as np
import pytest

from radiomics_talent.features.native.gldm import GLDM_FEATURES
from radiomics_talent.features.native.grey_levels import GreyLevels
from radiomics_talent.features.native.neighbour_tables import neighbour_tables
from radiomics_talent.features.native.neighbours import neighbour_features
from radiomics_talent.features.native.texture_settings import TextureSettings


def grey_of(*rows):
    levels = np.array([rows], np.int32)
    return GreyLevels(levels, np.unique(levels[levels > 0]).astype(np.int64), int(levels.max()))


def features(*rows, **setting):
    settings = TextureSettings(**setting)
    return neighbour_features(grey_of(*rows), (1, 1, 1), settings, {"gldm": GLDM_FEATURES})["gldm"]


def entries(*rows, **setting):
    """Set of (level, size, voxels)."""
    grey = grey_of(*rows)
    table, _ = neighbour_tables(grey, TextureSettings(**setting))
    return set(zip(grey.present[table.level].tolist(), table.size.tolist(), table.voxels.tolist(), strict=True))


def test_a_voxel_counts_itself_and_its_equal_neighbours():
    assert entries([1, 1, 2], [1, 3, 2]) == {(1, 3, 3), (2, 2, 2), (3, 1, 1)}


def test_alpha_lets_near_levels_depend():
    assert entries([1, 2, 4], gldm_a=1) == {(1, 2, 1), (2, 2, 1), (4, 1, 1)}
    assert entries([1, 2, 4], gldm_a=2) == {(1, 2, 1), (2, 3, 1), (4, 2, 1)}


def test_voxels_outside_are_no_neighbours():
    assert entries([1, 0, 1], gldm_a=5) == {(1, 1, 2)}


def test_a_gap_in_levels_leaves_no_row():
    assert entries([1, 1, 9]) == {(1, 2, 2), (9, 1, 1)}


def test_features_of_a_small_lesion():
    found = features([1, 1, 2], [1, 3, 2])
    assert found["SmallDependenceEmphasis"] == pytest.approx((3 / 9 + 2 / 4 + 1) / 6)
    assert found["LargeDependenceEmphasis"] == pytest.approx((3 * 9 + 2 * 4 + 1) / 6)
    assert found["GrayLevelNonUniformity"] == pytest.approx((9 + 4 + 1) / 6)
    assert found["DependenceNonUniformityNormalized"] == pytest.approx((9 + 4 + 1) / 36)
    assert found["GrayLevelVariance"] == pytest.approx(np.var([1, 1, 1, 2, 2, 3]))
    assert found["DependenceVariance"] == pytest.approx(np.var([3, 3, 3, 2, 2, 1]))
    assert found["DependenceEntropy"] == pytest.approx(-(0.5 * np.log2(0.5) + np.log2(1 / 3) / 3 + np.log2(1 / 6) / 6))
    assert found["LargeDependenceHighGrayLevelEmphasis"] == pytest.approx((3 * 9 + 2 * 4 * 4 + 9) / 6)
    assert found["SmallDependenceLowGrayLevelEmphasis"] == pytest.approx((3 / 9 + 2 / 16 + 1 / 9) / 6)
