"""Statistics of intensities: by hand, against SciPy, and of lesions that hardly have any."""

import math

import numpy as np
import pytest
from features.ibsi.drawn_lesions import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from radiomics_talent.features.ibsi.intensity_statistics import STATISTICS, statistics_features, statistics_of


def test_the_statistics_of_one_to_four_by_hand():
    found = statistics_features(drawn([[[1, 2, 3, 4]]]), STATISTICS)
    assert found["Mean"] == found["Median"] == 2.5
    assert found["Variance"] == 1.25
    assert found["Skewness"] == 0
    assert found["ExcessKurtosis"] == pytest.approx(2.5625 / 1.25**2 - 3)
    assert (found["Minimum"], found["Maximum"], found["Range"]) == (1, 4, 3)
    assert (found["10Percentile"], found["90Percentile"]) == (pytest.approx(1.3), pytest.approx(3.7))
    assert found["InterquartileRange"] == 1.5
    assert found["MeanAbsoluteDeviation"] == found["MedianAbsoluteDeviation"] == 1
    assert found["RobustMeanAbsoluteDeviation"] == 0.5  # of 2 and 3
    assert found["CoefficientOfVariation"] == pytest.approx(math.sqrt(1.25) / 2.5)
    assert found["QuartileCoefficientOfDispersion"] == pytest.approx(1.5 / 5)
    assert found["Energy"] == 30
    assert found["RootMeanSquared"] == pytest.approx(math.sqrt(7.5))


@given(
    values=st.lists(st.integers(-1000, 3000), min_size=2, max_size=60).filter(lambda v: min(v) < max(v)),
    divided=st.sampled_from([1, 7, 0.01]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_they_are_scipys(values, divided):
    x = np.array(values) / divided
    found = statistics_features(drawn(x[None, None]), STATISTICS)
    assert found["Skewness"] == pytest.approx(stats.skew(x), rel=1e-9, abs=1e-9)
    assert found["ExcessKurtosis"] == pytest.approx(stats.kurtosis(x), rel=1e-9, abs=1e-9)
    assert found["Variance"] == pytest.approx(x.var(), rel=1e-12)
    assert found["InterquartileRange"] == pytest.approx(stats.iqr(x), rel=1e-12, abs=1e-9)
    low, high = np.percentile(x, [10, 90])
    assert (found["10Percentile"], found["90Percentile"]) == (pytest.approx(low), pytest.approx(high))
    inner = x[(x >= found["10Percentile"]) & (x <= found["90Percentile"])]
    robust = np.abs(inner - inner.mean()).mean() if inner.size else math.nan
    assert found["RobustMeanAbsoluteDeviation"] == pytest.approx(robust, abs=1e-9, nan_ok=True)


def test_only_the_intensity_mask_counts():
    lesion = drawn([[[5, 9, 700]]], intensity=[[[True, True, False]]])
    assert statistics_features(lesion, ["Maximum", "Mean"]) == {"Maximum": 9, "Mean": 7}


@pytest.mark.parametrize("value", [40.0, 0.1])
@pytest.mark.parametrize("voxels", [1, 27])
def test_a_flat_lesion_has_documented_values(value, voxels):
    found = statistics_of(np.full(voxels, value), STATISTICS)
    assert (found["Skewness"], found["ExcessKurtosis"]) == (0, 0)
    assert (found["Minimum"], found["Median"], found["Maximum"]) == (value, value, value)
    assert found["RobustMeanAbsoluteDeviation"] == pytest.approx(0, abs=1e-15)


def test_ratios_to_zero_are_not_defined():
    found = statistics_of(np.array([-1.0, 0.0, 1.0]), STATISTICS)
    assert math.isnan(found["CoefficientOfVariation"])
    assert math.isnan(found["QuartileCoefficientOfDispersion"])
