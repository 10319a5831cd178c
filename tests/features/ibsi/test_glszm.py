import numpy as np
import pytest
from features.ibsi.drawn_lesions import of_levels
from scipy import ndimage

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.aggregation import UNDIRECTED
from radiomics_talent.features.ibsi.glszm import glszm_features
from radiomics_talent.features.ibsi.zones import zones_of

NAMES = ibsi_names()["glszm"]


def feature(name, method, levels):
    return glszm_features(of_levels(levels), method, [name])[name]


@pytest.mark.parametrize("method", UNDIRECTED)
def test_a_slice_by_hand(method):
    # Levels 1 and 2 each hold together by a corner: sizes 3 and 4.
    found = glszm_features(of_levels([[1, 1, 2], [2, 2, 1], [0, 0, 2]]), method, NAMES)
    assert found["ZonePercentage"] == 2 / 7
    assert found["LargeAreaEmphasis"] == (9 + 16) / 2
    assert found["LargeAreaHighGrayLevelEmphasis"] == (9 + 16 * 4) / 2
    assert found["ZoneVariance"] == 1 / 4
    assert found["ZoneEntropy"] == pytest.approx(1)
    assert found["SizeZoneNonUniformity"] == found["GrayLevelNonUniformity"] == 1


def test_slices_are_averaged_merged_or_connected():
    levels = [[[1, 1]], [[0, 0]], [[1, 2]], [[1, 0]]]
    # Slices: a zone of 2; two of 1; one of 1. In 3D: two of 2 (the empty slice parts them), one of 1.
    assert feature("LargeAreaEmphasis", "2D", levels) == pytest.approx((4 + 1 + 1) / 3)
    assert feature("LargeAreaEmphasis", "2_5D", levels) == pytest.approx((4 + 1 + 1 + 1) / 4)
    assert feature("LargeAreaEmphasis", "3D", levels) == pytest.approx((4 + 4 + 1) / 3)


@pytest.mark.parametrize("method", UNDIRECTED)
def test_one_voxel_is_a_zone(method):
    found = glszm_features(of_levels([[3]]), method, NAMES)
    assert found["ZonePercentage"] == found["LargeAreaEmphasis"] == found["SmallAreaEmphasis"] == 1
    assert found["HighGrayLevelZoneEmphasis"] == 9
    assert (found["ZoneVariance"], found["GrayLevelVariance"]) == (0, 0)


@pytest.mark.parametrize("method", UNDIRECTED)
def test_zones_are_the_connected_parts_of_each_level(method):
    levels = np.random.default_rng(4).integers(0, 4, (5, 9, 11)).astype(np.int32)
    touching = np.ones((3, 3, 3), bool)
    touching[[0, 2]] &= not UNDIRECTED[method].in_slices
    sizes = []
    for level in (1, 2, 3):
        part, _ = ndimage.label(levels == level, touching)
        sizes += [(level, n) for n in np.bincount(part[part > 0])[1:].tolist()]
    zones = zones_of(of_levels(levels), UNDIRECTED[method].in_slices)
    assert sorted(zip(zones.level.tolist(), zones.size.tolist(), strict=True)) == sorted(sizes)
    np.testing.assert_array_equal(zones.level[zones.of_voxel], levels[levels > 0])
