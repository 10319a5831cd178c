import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.aggregation import UNDIRECTED
from radiomics_talent.features.ibsi.ngldm import ngldm_features

NAMES = ibsi_names()["gldm"]


def feature(name, method, levels):
    return ngldm_features(of_levels(levels), method, [name])[name]


@pytest.mark.parametrize("method", UNDIRECTED)
def test_a_line_by_hand(method):
    # Dependences: 2 and 2 of level 1, 1 of level 3.
    found = ngldm_features(of_levels([[1, 1, 3]]), method, NAMES)
    assert found["LargeDependenceEmphasis"] == pytest.approx((4 + 4 + 1) / 3)
    assert found["SmallDependenceHighGrayLevelEmphasis"] == pytest.approx((1 / 4 + 1 / 4 + 9) / 3)
    assert found["GrayLevelNonUniformityNormalized"] == pytest.approx((4 + 1) / 9)
    assert found["DependenceEnergy"] == pytest.approx((4 + 1) / 9)
    assert found["DependenceVariance"] == pytest.approx(2 / 9)
    assert found["DependencePercentage"] == 1


def test_slices_are_averaged_merged_or_neighbours():
    levels = [[[1, 1]], [[1, 0]], [[0, 0]]]
    assert feature("LargeDependenceEmphasis", "2D", levels) == pytest.approx((4 + 1) / 2)
    assert feature("LargeDependenceEmphasis", "2_5D", levels) == pytest.approx((4 + 4 + 1) / 3)
    assert feature("LargeDependenceEmphasis", "3D", levels) == pytest.approx(9)


@pytest.mark.parametrize("method", UNDIRECTED)
def test_a_voxel_without_neighbours_depends_on_itself(method):
    found = ngldm_features(of_levels([[3]]), method, NAMES)
    assert found["LargeDependenceEmphasis"] == found["SmallDependenceEmphasis"] == found["DependenceEnergy"] == 1
    assert found["HighGrayLevelEmphasis"] == 9
    assert feature("LargeDependenceEmphasis", method, [[3, 3, 0, 2]]) == pytest.approx((4 + 4 + 1) / 3)
