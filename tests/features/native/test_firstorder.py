import math

import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, features_of

from radiomics_talent.features.native.firstorder import firstorder_features
from radiomics_talent.features.native.grey_levels import discretise
from radiomics_talent.features.native.texture_settings import TextureSettings

ALL = [
    *("10Percentile", "90Percentile", "Energy", "Entropy", "InterquartileRange", "Kurtosis", "Maximum"),
    *("MeanAbsoluteDeviation", "Mean", "Median", "Minimum", "Range", "RobustMeanAbsoluteDeviation", "RootMeanSquared"),
    *("Skewness", "StandardDeviation", "TotalEnergy", "Uniformity", "Variance"),
]
SPACING = (0.7, 1.1, 2.5)


def ours(values, mask, shift=0, width=25, wanted=ALL):
    settings = TextureSettings(bin_width=width, voxel_array_shift=shift)
    volume = SPACING[0] * SPACING[1] * SPACING[2]
    return firstorder_features(values[mask], discretise(values, mask, settings), volume, settings, wanted)


def row(*values, dtype=np.float64):
    array = np.array(values, dtype).reshape(1, 1, -1)
    return array, np.ones(array.shape, bool)


def test_features_come_in_the_order_asked_for():
    assert list(ours(*row(1, 2, 3), wanted=["Range", "Mean"])) == ["Range", "Mean"]


def test_definitions_on_four_values():
    features = ours(*row(-1, 1, 1, 3, dtype=np.int16), width=2, shift=1)
    assert features["Mean"] == features["Median"] == 1
    assert features["Variance"] == 2
    assert features["Energy"] == 0 + 4 + 4 + 16
    assert features["RootMeanSquared"] == math.sqrt(6)
    assert features["Skewness"] == 0
    assert features["Kurtosis"] == (16 + 16) / 4 / 4
    assert features["Uniformity"] == (0.25**2) * 2 + 0.5**2
    assert features["Entropy"] == pytest.approx(1.5)


def test_a_flat_lesion_has_no_skewness():
    features = ours(*row(7, 7, 7, dtype=np.int16))
    assert features["Skewness"] == features["Kurtosis"] == features["Variance"] == 0


def test_no_value_between_the_percentiles_is_nan():
    assert math.isnan(ours(*row(0, 1000))["RobustMeanAbsoluteDeviation"])


CASES = {
    "integers": lambda rng: rng.normal(40, 60, (7, 9, 8)).astype(np.int16),
    "single precision": lambda rng: rng.normal(0, 30, (7, 9, 8)).astype(np.float32),
    "large mean": lambda rng: 1e7 + rng.normal(0, 3, (7, 9, 8)),
    "flat but for rounding": lambda rng: np.full((7, 9, 8), 0.1),
    "outlier": lambda rng: np.where(rng.random((7, 9, 8)) < 0.01, 2e4, rng.normal(0, 1, (7, 9, 8))),
    "squares beyond int16": lambda rng: rng.integers(-3000, 3000, (7, 9, 8)).astype(np.int16),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_are_those_of_pyradiomics(case):
    pytest.importorskip("radiomics")
    rng = np.random.default_rng(2)
    values = CASES[case](rng)
    mask = rng.random(values.shape) < 0.7
    theirs = features_of("firstorder", values, mask, SPACING, ALL, binWidth=25, voxelArrayShift=11)
    assert_same(ours(values, mask, shift=11), theirs)


def test_quantiles_are_exact_for_every_number_of_voxels():
    rng = np.random.default_rng(3)
    for n in range(1, 60):
        values, mask = row(*rng.normal(0, 5, n))
        features = ours(values, mask)
        assert features["10Percentile"] == np.percentile(values, 10)
        assert features["90Percentile"] == np.percentile(values, 90)
        assert features["Median"] == np.median(values)
        assert features["InterquartileRange"] == np.percentile(values, 75) - np.percentile(values, 25)


def test_values_that_are_not_defined_are_left_out_of_all_but_the_histogram():
    values = np.array([3.0, np.nan, 8.0, 5.0, np.nan, 4.0])
    mask = np.ones((1, 2, 3), bool)
    grey = discretise(values.reshape(1, 2, 3), mask, TextureSettings(bin_width=2))
    found = firstorder_features(values, grey, 1.0, TextureSettings(), ["Mean", "Maximum", "Energy", "Uniformity"])
    assert found == {"Mean": 5.0, "Maximum": 8.0, "Energy": 114.0, "Uniformity": (1 + 4 + 1 + 4) / 36}
