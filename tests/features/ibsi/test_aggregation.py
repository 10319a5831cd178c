import numpy as np
import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.features.ibsi.aggregation import (
    DIRECTED,
    counted,
    directions,
    mean_of_defined,
    merged,
    parts,
    stacked,
)

LEVELS = [[[1, 3]], [[0, 0]], [[2, 2]]]
# Two parts of two directions: (level, size) and how often.
FIRST = counted(np.array([0, 0, 1]), np.array([1, 2, 1]), np.array([1, 1, 3]), np.array([5.0, 1, 2]))
SECOND = counted(np.array([0, 1, 1]), np.array([1, 2, 3]), np.array([1, 1, 1]), np.array([2.0, 4, 1]))


def entries(matrices):
    """Each matrix as a dict of (level, size)."""
    found = zip(matrices.levels.tolist(), matrices.sizes.tolist(), strict=True)
    all_of_them = list(zip(found, matrices.counts.tolist(), strict=True))
    return [dict(all_of_them[a:b]) for a, b in zip(matrices.starts[:-1], matrices.starts[1:], strict=True)]


@pytest.mark.parametrize(("in_slices", "number"), [(True, 4), (False, 13)])
def test_directions_are_one_half_of_the_neighbours(in_slices, number):
    offsets = directions(in_slices)
    both = {tuple(o) for o in np.concatenate([offsets, -offsets])}
    assert len(both) == 2 * number
    assert np.abs(offsets).max() == 1
    assert (offsets[:, 0] == 0).all() == in_slices


def test_slices_without_a_voxel_are_no_parts_and_all_parts_know_the_lesions_levels():
    first, last = parts(of_levels(LEVELS), True)
    assert (first.levels_zyx.tolist(), last.levels_zyx.tolist()) == ([[[1, 3]]], [[[2, 2]]])
    assert first.present.tolist() == last.present.tolist() == [1, 2, 3]
    assert first.highest == last.highest == 3


def test_in_the_volume_the_lesion_is_one_part():
    (whole,) = parts(of_levels(LEVELS), False)
    np.testing.assert_array_equal(whole.levels_zyx, LEVELS)


def test_what_occurs_several_times_is_one_entry():
    table = counted(np.array([1, 0, 1, 1]), np.array([2, 7, 2, 1]), np.array([3, 1, 3, 4]))
    assert entries(table) == [{(7, 1): 1}, {(1, 4): 1, (2, 3): 2}]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("2D_avg", [{(1, 1): 5, (2, 1): 1}, {(1, 3): 2}, {(1, 1): 2}, {(2, 1): 4, (3, 1): 1}]),
        ("2D_comb", [{(1, 1): 5, (1, 3): 2, (2, 1): 1}, {(1, 1): 2, (2, 1): 4, (3, 1): 1}]),
        ("2_5D_avg", [{(1, 1): 7, (2, 1): 1}, {(1, 3): 2, (2, 1): 4, (3, 1): 1}]),
        ("2_5D_comb", [{(1, 1): 7, (1, 3): 2, (2, 1): 5, (3, 1): 1}]),
    ],
)
def test_matrices_of_slices_and_directions_are_added_up_as_the_method_says(method, expected):
    assert entries(merged(stacked([FIRST, SECOND]), DIRECTED[method], n_directions=2)) == expected


def test_means_leave_out_what_is_not_defined():
    means = mean_of_defined(np.array([[1, np.nan, np.nan], [3, 5, np.nan]]))
    np.testing.assert_array_equal(means, [2, 5, np.nan])
