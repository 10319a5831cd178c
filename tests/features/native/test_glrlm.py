import math

import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, features_of, maps_of

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native.glrlm import run_features, run_maps
from radiomics_talent.features.native.grey_levels import GreyLevels, discretise
from radiomics_talent.features.native.texture_settings import TextureSettings

SPACING = (0.7, 1.1, 2.5)


def of_levels(*rows, **setting):
    """Features of a one-slice lesion given by its levels."""
    levels = np.array([rows], np.int32)
    grey = GreyLevels(levels, np.unique(levels[levels > 0]).astype(np.int64), int(levels.max()))
    return run_features(grey, SPACING, TextureSettings(**setting), ALL)


ALL = ["ShortRunEmphasis", "LongRunEmphasis", "RunPercentage", "RunEntropy", "RunVariance", "HighGrayLevelRunEmphasis"]


def test_runs_of_one_line():
    features = of_levels([1, 1, 1, 2])
    assert features["ShortRunEmphasis"] == pytest.approx((1 / 9 + 1) / 2)
    assert features["LongRunEmphasis"] == (9 + 1) / 2
    assert features["RunPercentage"] == 2 / 4
    assert features["RunEntropy"] == pytest.approx(1)
    assert features["HighGrayLevelRunEmphasis"] == (1 + 4) / 2


def test_a_gap_ends_a_run():
    assert of_levels([3, 3, 0, 3])["LongRunEmphasis"] == (4 + 1) / 2


def test_a_direction_in_which_no_line_meets_two_voxels_is_left_out():
    # Along y and the diagonals every line meets one voxel; two far apart along x do count.
    assert of_levels([1, 0, 0, 1], [0, 0, 0, 0])["RunPercentage"] == 1
    assert of_levels([1, 1, 1, 1], [0, 0, 0, 0])["RunPercentage"] == 1 / 4


def test_where_no_line_meets_two_voxels_nothing_is_defined():
    assert all(math.isnan(v) for v in of_levels([1, 0, 0], [0, 0, 1]).values())


def test_one_matrix_without_runs_has_pyradiomics_zeros():
    features = of_levels([1, 0, 0], [0, 0, 1], weighting_norm="euclidean")
    assert features["RunEntropy"] == features["RunVariance"] == 0
    assert math.isnan(features["RunPercentage"])


def test_a_lesion_without_directions_is_refused():
    with pytest.raises(ExtractionError, match="one voxel wide in every direction"):
        of_levels([1])
    with pytest.raises(ExtractionError, match="one voxel wide in every direction"):
        of_levels([1, 1], force_2d=True, force_2d_dimension=2)


def test_levels_beyond_the_state_of_a_voxel_are_refused():
    with pytest.raises(ExtractionError, match="70000 grey levels are too many"):
        of_levels([1, 70000])


@pytest.mark.parametrize("norm", [None, "euclidean", "manhattan", "infinity", "no_weighting"])
@pytest.mark.parametrize("flat", [None, 0, 1, 2])
def test_numbers_are_those_of_pyradiomics(norm, flat):
    pytest.importorskip("radiomics")
    rng = np.random.default_rng(2)
    values = rng.normal(40, 60, (6, 9, 8)).astype(np.int16)
    mask = rng.random(values.shape) < 0.7
    setting = {"force2D": flat is not None, "force2Ddimension": flat or 0, "weightingNorm": norm}
    theirs = features_of("glrlm", values, mask, SPACING, **setting)
    settings = TextureSettings(force_2d=flat is not None, force_2d_dimension=flat or 0, weighting_norm=norm)
    assert_same(run_features(discretise(values, mask, settings), SPACING, settings, list(theirs)), theirs)


@pytest.mark.parametrize("norm", [None, "euclidean"])
@pytest.mark.parametrize("flat", [None, 1])
@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_maps_are_those_of_pyradiomics(norm, flat, radius, masked):
    pytest.importorskip("radiomics")
    rng = np.random.default_rng(2)
    values = rng.normal(40, 30, (5, 6, 7)).astype(np.int16)
    mask = rng.random(values.shape) < 0.4
    setting = {"force2D": flat is not None, "force2Ddimension": flat or 0, "weightingNorm": norm}
    theirs = maps_of("glrlm", values, mask, SPACING, kernelRadius=radius, maskedKernel=masked, **setting)
    settings = TextureSettings(force_2d=flat is not None, force_2d_dimension=flat or 0, weighting_norm=norm)
    grey = discretise(values, mask if masked else np.ones_like(mask), settings)
    assert_same(run_maps(grey, np.argwhere(mask), radius, SPACING, settings, list(theirs)), theirs)


def test_a_map_of_one_direction_without_runs_has_pyradiomics_zeros():
    levels = np.array([[[1, 0, 0, 2, 0, 0, 1]]], np.int32)
    grey = GreyLevels(levels, np.array([1, 2]), 2)
    maps = run_maps(grey, np.argwhere(levels), 1, SPACING, TextureSettings(), ["RunEntropy", "RunPercentage"])
    assert maps["RunEntropy"].tolist() == [0, 0, 0]
    assert np.isnan(maps["RunPercentage"]).all()
