"""Resegmentation and discretisation, by hand."""

import numpy as np
import pytest

from radiomics_talent.imaging.intensities import fixed_bin_number, fixed_bin_size, kept_intensities

VALUES = np.array([-1000.0, -500.0, 0.0, 40.0, 400.0, 3000.0])


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ((-500, 400), [False, True, True, True, True, False]),
        ((None, 400), [True, True, True, True, True, False]),
        ((-500, None), [False, True, True, True, True, True]),
        (None, [True] * 6),
    ],
)
def test_both_ends_of_the_range_are_kept(limits, kept):
    np.testing.assert_array_equal(kept_intensities(VALUES, limits, None), kept)


def test_outliers_are_told_by_the_standard_deviation_of_the_population():
    values = np.array([0.0] * 9 + [10.0])  # mean 1, standard deviation 3
    np.testing.assert_array_equal(kept_intensities(values, None, 3.0), [True] * 10)
    np.testing.assert_array_equal(kept_intensities(values, None, 2.999), [True] * 9 + [False])


def test_range_and_outliers_both_look_at_the_whole_lesion():
    """3000 is out of range, but takes part in mean and deviation: 400 stays because of it."""
    values = np.array([0.0] * 20 + [400.0, 3000.0])
    assert kept_intensities(values, (-1000, 400), 1.0)[-2]
    assert not kept_intensities(values[:-1], None, 1.0)[-1]
    assert not kept_intensities(values, (-1000, 400), 1.0)[-1]


def test_a_fixed_bin_size_begins_at_the_lower_bound():
    np.testing.assert_array_equal(
        fixed_bin_size(np.array([-500.0, -475.5, -475.0, 399.0, 400.0]), 25, -500), [1, 1, 2, 36, 37]
    )


def test_a_fixed_bin_number_puts_the_largest_into_the_last_bin():
    np.testing.assert_array_equal(fixed_bin_number(np.array([0.0, 0.99, 1.0, 31.99, 32.0]), 32), [1, 1, 2, 32, 32])


def test_equal_intensities_have_level_one():
    np.testing.assert_array_equal(fixed_bin_number(np.full(3, 7.0), 32), [1, 1, 1])
