"""The intensity histogram, by hand, and with a single level."""

import math

import numpy as np
import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.histogram import histogram_features

NAMES = ibsi_names()["histogram"]


def test_a_histogram_by_hand():
    found = histogram_features(of_levels([1, 1, 1, 1, 2, 4, 4, 5], n_levels=5), NAMES)  # counts 4 1 0 2 1
    assert found["Mode"] == 1
    assert found["Uniformity"] == pytest.approx((16 + 1 + 4 + 1) / 64)
    assert found["Entropy"] == pytest.approx(0.5 * 1 + 2 * 0.125 * 3 + 0.25 * 2)
    # gradients: 1 - 4, (0 - 4) / 2, (2 - 1) / 2, (1 - 0) / 2, 1 - 2
    assert (found["MaximumHistogramGradient"], found["MaximumGradientGrayLevel"]) == (0.5, 3)
    assert (found["MinimumHistogramGradient"], found["MinimumGradientGrayLevel"]) == (-3, 1)
    assert (found["Minimum"], found["Maximum"], found["Mean"]) == (1, 5, 2.375)


def test_of_several_modes_the_one_nearest_to_the_mean_counts_and_then_the_lower():
    assert histogram_features(of_levels([1, 1, 3, 3, 4]), ["Mode"])["Mode"] == 3
    assert histogram_features(of_levels([1, 1, 3, 3]), ["Mode"])["Mode"] == 1


def test_empty_levels_at_the_end_take_part_in_gradients():
    found = histogram_features(
        of_levels([1, 1, 1], n_levels=3), ["MinimumHistogramGradient", "MaximumGradientGrayLevel"]
    )
    assert found == {"MinimumHistogramGradient": -3, "MaximumGradientGrayLevel": 3}


def test_one_level_has_no_gradient():
    found = histogram_features(of_levels([[1, 1], [1, 1]], n_levels=1), NAMES)
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {name for name in NAMES if "Gradient" in name}
    assert (found["Entropy"], found["Uniformity"], found["Mode"]) == (0, 1, 1)


def test_one_voxel_of_a_high_level():
    found = histogram_features(of_levels([[7]], n_levels=7), NAMES)
    assert (found["Mean"], found["Variance"], found["MaximumGradientGrayLevel"]) == (7, 0, 7)
    assert np.isfinite(list(found.values())).all()
