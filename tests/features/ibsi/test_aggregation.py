import numpy as np
import pytest

from radiomics_talent.features.ibsi.aggregation import DIRECTED, UNDIRECTED, directions, mean_of_defined, parts

LEVELS = np.array([[[1, 3]], [[0, 0]], [[2, 2]]], np.int32)


@pytest.mark.parametrize(("method", "number"), [("2D", 4), ("2_5D", 4), ("3D", 13)])
def test_directions_are_one_half_of_the_neighbours(method, number):
    offsets = directions(UNDIRECTED[method])
    both = {tuple(o) for o in np.concatenate([offsets, -offsets])}
    assert len(both) == 2 * number
    assert np.abs(offsets).max() == 1
    assert (offsets[:, 0] == 0).all() == (number == 4)


def test_slices_without_a_voxel_have_no_part():
    first, second = parts(LEVELS, DIRECTED["2D_comb"])
    np.testing.assert_array_equal(first.levels_zyx, LEVELS[:1])
    assert (first.present.tolist(), first.highest) == ([1, 3], 3)
    assert (second.present.tolist(), second.highest) == ([2], 2)


@pytest.mark.parametrize("method", ["2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"])
def test_what_merges_slices_is_one_part(method):
    (whole,) = parts(LEVELS, DIRECTED[method])
    assert whole.present.tolist() == [1, 2, 3]


def test_means_leave_out_what_is_not_defined():
    means = mean_of_defined(np.array([[1, np.nan, np.nan], [3, 5, np.nan]]))
    np.testing.assert_array_equal(means, [2, 5, np.nan])
