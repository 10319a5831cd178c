import numpy as np
import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.aggregation import UNDIRECTED
from radiomics_talent.features.ibsi.gldzm import gldzm_features

NAMES = ibsi_names()["gldzm"]
RINGS = np.pad(np.pad([[3]], 1, constant_values=2), 1, constant_values=1)
"""Three zones in 25 voxels, 1, 2 and 3 steps from the border within the slice."""


def feature(name, method, levels, **lesion):
    return gldzm_features(of_levels(levels, **lesion), method, [name])[name]


@pytest.mark.parametrize("method", ["2D", "2_5D"])
def test_rings_by_hand(method):
    found = gldzm_features(of_levels(RINGS), method, NAMES)
    assert found["SmallDistanceEmphasis"] == pytest.approx((1 + 1 / 4 + 1 / 9) / 3)
    assert found["LargeDistanceHighGrayLevelEmphasis"] == pytest.approx((1 + 16 + 81) / 3)
    assert found["ZonePercentage"] == pytest.approx(3 / 25)
    assert found["ZoneDistanceVariance"] == pytest.approx(2 / 3)
    assert found["ZoneDistanceEntropy"] == pytest.approx(np.log2(3))


def test_in_3d_a_single_slice_is_all_border():
    assert feature("LargeDistanceEmphasis", "3D", RINGS) == 1
    assert feature("LargeDistanceEmphasis", "3D", np.stack([RINGS] * 3)) == pytest.approx((1 + 1 + 1) / 3)
    assert feature("LargeDistanceEmphasis", "3D", np.stack([RINGS * 0 + 1, RINGS, RINGS * 0 + 1])) == pytest.approx(
        (1 + 4 + 4) / 3
    )


def test_a_step_leads_over_a_face():
    # From the middle of a diamond the way out over faces is 3 steps, over corners 2.
    diamond = np.add.outer(np.abs(np.arange(-2, 3)), np.abs(np.arange(-2, 3))) <= 2
    levels = diamond.astype(int)
    levels[2, 2] = 2
    assert feature("LargeDistanceEmphasis", "2D", levels) == pytest.approx((1 + 9) / 2)


def test_the_border_is_that_of_the_lesion_as_drawn():
    inner = np.where(RINGS > 1, RINGS, 0)
    assert feature("LargeDistanceEmphasis", "2D", inner, morphological=RINGS > 0) == pytest.approx((4 + 9) / 2)
    assert feature("LargeDistanceEmphasis", "2D", inner) == pytest.approx((1 + 4) / 2)
    assert feature("ZonePercentage", "2D", inner, morphological=RINGS > 0) == pytest.approx(2 / 9)


def test_slices_are_averaged_or_merged():
    levels = np.stack([RINGS, RINGS * 0, RINGS * 0 + 4])
    assert feature("LargeDistanceEmphasis", "2D", levels) == pytest.approx(((1 + 4 + 9) / 3 + 1) / 2)
    assert feature("LargeDistanceEmphasis", "2_5D", levels) == pytest.approx((1 + 4 + 9 + 1) / 4)
    assert feature("ZonePercentage", "2D", levels) == pytest.approx((3 / 25 + 1 / 25) / 2)
    assert feature("ZonePercentage", "2_5D", levels) == pytest.approx(4 / 50)


@pytest.mark.parametrize("method", UNDIRECTED)
def test_one_voxel_is_a_zone_at_the_border(method):
    found = gldzm_features(of_levels([[3]]), method, NAMES)
    assert found["ZonePercentage"] == found["LargeDistanceEmphasis"] == found["SmallDistanceEmphasis"] == 1
    assert found["HighGrayLevelZoneEmphasis"] == 9
