import numpy as np
import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.aggregation import DIRECTED
from radiomics_talent.features.ibsi.glcm import glcm_features

NAMES = ibsi_names()["glcm"]
SLICE = [[1, 2], [1, 2]]
FLAT = [[1, 1], [1, 1]]


def feature(name, method, levels, **lesion):
    return glcm_features(of_levels(levels, **lesion), method, [name])[name]


def test_a_slice_by_hand():
    # Pairs in both orders, of all four directions: (1, 2) and (2, 1) 4 times each, (1, 1) and (2, 2) twice each.
    found = glcm_features(of_levels(SLICE), "2D_comb", NAMES)
    assert found["Contrast"] == found["Dissimilarity"] == pytest.approx(8 / 12)
    assert found["JointEnergy"] == pytest.approx((16 + 16 + 4 + 4) / 144)
    assert found["MaximumProbability"] == pytest.approx(1 / 3)
    assert found["JointEntropy"] == pytest.approx(2 / 3 * np.log2(3) + 1 / 3 * np.log2(6))
    assert found["Correlation"] == pytest.approx(-1 / 3)
    assert found["SumVariance"] == found["ClusterTendency"] == pytest.approx(4 / 12)
    assert found["InverseVariance"] == pytest.approx(8 / 12)


def test_directions_are_averaged_or_merged():
    assert feature("Contrast", "2D_avg", SLICE) == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert feature("Contrast", "2D_comb", SLICE) == pytest.approx(8 / 12)


def test_slices_are_averaged_or_merged():
    assert feature("Contrast", "2D_comb", [SLICE, FLAT]) == pytest.approx((8 / 12 + 0) / 2)
    assert feature("Contrast", "2_5D_comb", [SLICE, FLAT]) == pytest.approx(8 / 24)
    assert feature("Contrast", "2_5D_avg", [SLICE, FLAT]) == pytest.approx(3 / 4 / 2)


def test_only_3d_looks_out_of_the_slice():
    column = [[[1]], [[3]]]
    assert feature("Contrast", "3D_avg", column) == feature("Contrast", "3D_comb", column) == 4
    assert np.isnan(feature("Contrast", "2_5D_comb", column))


def test_a_slice_without_pairs_is_left_out():
    assert feature("Contrast", "2D_avg", [[[1, 3]], [[2, 0]]]) == 4


def test_normalised_differences_know_levels_that_do_not_occur():
    assert feature("Idn", "3D_comb", [[1, 2]], n_levels=6) == pytest.approx(1 / (1 + 1 / 6))
    assert feature("Idmn", "3D_comb", [[1, 2]], n_levels=6) == pytest.approx(1 / (1 + 1 / 36))


def test_a_slice_of_one_level_has_no_correlation():
    assert feature("Correlation", "2D_comb", [SLICE, FLAT]) == pytest.approx(-1 / 3)


@pytest.mark.parametrize("method", DIRECTED)
def test_of_one_level_correlation_and_information_are_not_defined(method):
    found = glcm_features(of_levels([FLAT, FLAT]), method, NAMES)
    assert {name for name, value in found.items() if np.isnan(value)} == {"Correlation", "Imc1"}
    assert (found["JointEnergy"], found["Contrast"], found["Imc2"]) == (1, 0, 0)


@pytest.mark.parametrize("method", DIRECTED)
def test_one_voxel_has_no_pair(method):
    found = glcm_features(of_levels([[2]]), method, NAMES)
    assert list(found) == list(NAMES)
    assert np.isnan(list(found.values())).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(LookupError, match="2D_sum"):
        glcm_features(of_levels(SLICE), "2D_sum", ["Contrast"])
