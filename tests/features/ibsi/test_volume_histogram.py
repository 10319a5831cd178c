"""The intensity-volume histogram, by hand."""

import math

import numpy as np
import pytest

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi.volume_histogram import VolumeHistogram, ivh_features

NAMES = ibsi_names()["ivh"]


def histogram(values, lowest=None, highest=None, step=1.0):
    x = np.sort(np.asarray(values, dtype=float))
    return VolumeHistogram(x, x[0] if lowest is None else lowest, x[-1] if highest is None else highest, step)


def test_ten_voxels_by_hand():
    found = ivh_features(histogram(np.arange(1, 11)), NAMES)  # 1 to 10, each once
    # 10 % of the range of 9 is 0.9: from 2 on, 9 of 10 voxels; 90 %: from 10 on, one.
    assert (found["VolumeFraction10"], found["VolumeFraction90"]) == (pytest.approx(0.9), pytest.approx(0.1))
    assert found["VolumeFractionDifference"] == pytest.approx(0.8)
    # At most 10 % of the voxels are at least as intense as 10, at most 90 % as 2.
    assert (found["IntensityAtVolume10"], found["IntensityAtVolume90"]) == (10, 2)
    assert found["IntensityDifference"] == 8
    # Trapezoids over nine steps of 1, 0.9 ... 0.1.
    assert found["AreaUnderCurve"] == pytest.approx(0.55)


def test_the_range_asked_for_counts_and_not_the_lesions_own():
    values = [-100.0, 0, 0, 50]
    own, asked = ivh_features(histogram(values), NAMES), ivh_features(histogram(values, -500, 400), NAMES)
    assert own["VolumeFraction90"] == 0.25  # from 35 on
    assert asked["VolumeFraction90"] == 0  # from 310 on
    assert asked["VolumeFraction10"] == 1  # from -410 on
    assert own["IntensityAtVolume10"] == asked["IntensityAtVolume10"] == 51


def test_levels_between_those_that_occur_count():
    """The digital phantom has no level 2 and no 5, and IBSI's values are these."""
    found = ivh_features(histogram([1] * 50 + [3] + [4] * 16 + [6] * 7), NAMES)
    assert (found["IntensityAtVolume10"], found["IntensityAtVolume90"]) == (5, 2)


def test_bins_of_two_and_a_half():
    found = ivh_features(histogram([-998.75, -998.75, -996.25, 398.75], -998.75, 398.75, 2.5), NAMES)
    assert found["IntensityAtVolume90"] == pytest.approx(-996.25)
    assert found["VolumeFraction10"] == 0.25


@pytest.mark.parametrize("values", [[40.0], [40.0] * 9])
def test_a_flat_lesion_has_documented_values(values):
    found = ivh_features(histogram(values), NAMES)
    assert (found["VolumeFraction10"], found["VolumeFraction90"]) == (1, 1)
    assert (found["IntensityAtVolume10"], found["IntensityAtVolume90"]) == (41, 41)
    assert math.isnan(found["AreaUnderCurve"])
