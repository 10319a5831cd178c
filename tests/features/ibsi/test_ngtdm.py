import numpy as np
import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.aggregation import UNDIRECTED
from radiomics_talent.features.ibsi.ngtdm import ngtdm_features

NAMES = ibsi_names()["ngtdm"]


def features(levels, method="3D"):
    return ngtdm_features(of_levels(levels), method, NAMES)


@pytest.mark.parametrize("levels", [[[1, 2, 4]], [[1, 2, 4, 0, 6]]])
def test_a_line_by_hand_where_a_voxel_without_neighbours_does_not_count(levels):
    found = features(levels)
    i, s = np.array([1, 2, 4]), np.array([1, 0.5, 2])  # |1 - 2|, |2 - 5/2|, |4 - 2|; p = 1/3 each
    apart = np.abs(i[:, None] - i)
    assert found["Coarseness"] == pytest.approx(1 / (s.sum() / 3))
    assert found["Contrast"] == pytest.approx((apart**2).sum() / 9 / 6 * s.sum() / 3)
    assert found["Busyness"] == pytest.approx(s.sum() / 3 / (apart.sum() / 3))
    assert found["Complexity"] == pytest.approx((apart * (s[:, None] + s) / 2).sum() / 3)
    assert found["Strength"] == pytest.approx((2 / 3 * apart**2).sum() / s.sum())


def test_slices_are_averaged_or_merged_and_left_out_where_no_voxel_has_a_neighbour():
    levels = [[[1, 2]], [[1, 4]], [[0, 3]]]
    # Slices: s = 1 + 1, p = 1/2; s = 3 + 3; none. Merged: level 1 twice with s = 1 + 3, levels 2 and 4.
    assert features(levels, "2D")["Coarseness"] == pytest.approx((1 / 1 + 1 / 3) / 2)
    assert features(levels, "2_5D")["Coarseness"] == pytest.approx(1 / ((2 * 4 + 1 + 3) / 4))


@pytest.mark.parametrize("method", UNDIRECTED)
def test_a_flat_region_has_ibsis_values(method):
    found = features([[2, 2], [2, 2]], method)
    assert found == {"Coarseness": 1e6, "Contrast": 0, "Busyness": 0, "Complexity": 0, "Strength": 0}


def test_busyness_that_would_be_divided_by_zero_is_not_defined():
    found = features([[1, 1, 2]])  # 1 · 2/3 = 2 · 1/3
    assert np.isnan(found["Busyness"])
    assert np.isfinite([found[name] for name in NAMES if name != "Busyness"]).all()


@pytest.mark.parametrize("method", UNDIRECTED)
@pytest.mark.parametrize("levels", [[[2]], [[1, 0, 2]]])
def test_without_neighbours_nothing_is_defined(levels, method):
    assert np.isnan(list(features(levels, method).values())).all()


def test_neighbours_touch_at_corners_too():
    assert features([[[1, 0], [0, 0]], [[0, 0], [0, 3]]])["Coarseness"] == pytest.approx(1 / 2)
    assert np.isnan(features([[[1, 0], [0, 0]], [[0, 0], [0, 3]]], "2_5D")["Coarseness"])
