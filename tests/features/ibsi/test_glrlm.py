import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.errors import ExtractionError
from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.aggregation import DIRECTED
from radiomics_talent.features.ibsi.glrlm import glrlm_features

NAMES = ibsi_names()["glrlm"]
LINE = [[1, 1, 2]]
"""Along x runs (1, length 2) and (2, length 1); along any other direction three runs of length 1."""


def feature(name, method, levels):
    return glrlm_features(of_levels(levels), method, [name])[name]


def test_a_line_by_hand():
    assert feature("LongRunEmphasis", "2D_avg", LINE) == pytest.approx(((4 + 1) / 2 + 3 * 1) / 4)
    assert feature("LongRunEmphasis", "2D_comb", LINE) == pytest.approx((4 + 1 + 9) / 11)
    assert feature("ShortRunEmphasis", "2D_comb", LINE) == pytest.approx((1 / 4 + 1 + 9) / 11)
    assert feature("HighGrayLevelRunEmphasis", "2D_comb", LINE) == pytest.approx((1 + 4 + 3 * 6) / 11)
    assert feature("GrayLevelNonUniformity", "2D_comb", LINE) == pytest.approx((7**2 + 4**2) / 11)
    assert feature("RunLengthNonUniformity", "2D_comb", LINE) == pytest.approx((1 + 10**2) / 11)


def test_merged_matrices_count_a_voxel_once_a_direction():
    assert feature("RunPercentage", "2D_comb", LINE) == pytest.approx(11 / 12)
    assert feature("RunPercentage", "3D_comb", LINE) == pytest.approx(38 / 39)
    assert feature("RunPercentage", "3D_avg", LINE) == pytest.approx((2 / 3 + 12) / 13)


def test_slices_are_averaged_or_merged():
    levels = [[[1, 1, 1]], [[0, 2, 0]]]
    # The first slice: one run of 3, and 9 of 1; the second: 4 of 1.
    assert feature("LongRunEmphasis", "2D_comb", levels) == pytest.approx(((9 + 9) / 10 + 1) / 2)
    assert feature("LongRunEmphasis", "2_5D_comb", levels) == pytest.approx((9 + 9 + 4) / 14)
    assert feature("LongRunEmphasis", "2D_avg", levels) == pytest.approx((9 + 7 * 1) / 8)
    assert feature("LongRunEmphasis", "2_5D_avg", levels) == pytest.approx(((9 + 1) / 2 + 3 * 1) / 4)


def test_only_3d_looks_out_of_the_slice():
    column = [[[1]], [[1]]]
    assert feature("LongRunEmphasis", "3D_avg", column) == pytest.approx((4 + 12 * 1) / 13)
    assert feature("LongRunEmphasis", "2_5D_avg", column) == 1


def test_levels_between_may_be_missing():
    assert feature("HighGrayLevelRunEmphasis", "2D_avg", [[1, 1, 9]]) == pytest.approx(((1 + 81) / 2 + 83) / 4)


@pytest.mark.parametrize("method", DIRECTED)
def test_one_voxel_is_a_run(method):
    found = glrlm_features(of_levels([[3]]), method, NAMES)
    assert found["RunPercentage"] == found["LongRunEmphasis"] == found["RunLengthNonUniformityNormalized"] == 1
    assert found["HighGrayLevelRunEmphasis"] == pytest.approx(9)
    assert (found["RunVariance"], found["RunEntropy"]) == (0, pytest.approx(0, abs=1e-15))


def test_more_levels_than_runs_have_room_for_are_refused():
    levels = [list(range(1, 65537))]
    with pytest.raises(ExtractionError, match="65536 grey levels are too many for runs"):
        feature("RunEntropy", "2D_avg", levels)
