import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, features_of, maps_of
from scipy import ndimage

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native.glszm import zone_features, zone_maps
from radiomics_talent.features.native.grey_levels import GreyLevels, discretise
from radiomics_talent.features.native.texture_settings import TextureSettings

ALL = ["SmallAreaEmphasis", "LargeAreaEmphasis", "ZonePercentage", "ZoneEntropy", "LargeAreaHighGrayLevelEmphasis"]


def of_levels(levels, **setting):
    levels = np.array(levels, np.int32)
    grey = GreyLevels(levels, np.unique(levels[levels > 0]).astype(np.int64), int(levels.max()))
    return zone_features(grey, TextureSettings(**setting), ALL)


def test_zones_of_a_slice():
    features = of_levels([[[1, 1, 2], [2, 2, 1], [0, 0, 2]]])
    # Levels 1 and 2 each hold together by a corner: sizes 3 and 4.
    assert features["ZonePercentage"] == 2 / 7
    assert features["LargeAreaEmphasis"] == (9 + 16) / 2
    assert features["LargeAreaHighGrayLevelEmphasis"] == (9 + 16 * 4) / 2


def test_slices_are_apart_in_2d():
    levels = [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]
    assert of_levels(levels)["LargeAreaEmphasis"] == 4
    assert of_levels(levels, force_2d=True)["LargeAreaEmphasis"] == 1
    assert of_levels([[[1, 0, 2]], [[0, 1, 2]]], force_2d=True, force_2d_dimension=1)["ZonePercentage"] == 2 / 4


def test_parts_that_meet_late_are_one_zone():
    assert of_levels([[[1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [0, 1, 0, 1, 0]]])["LargeAreaEmphasis"] == 49


def test_large_zones_are_counted_as_small_ones_are():
    levels = np.zeros((5, 30, 11), np.int32)
    levels[:, :10], levels[:, 12:22], levels[0, 25, ::2] = 3, 3, 7
    features = of_levels(levels)
    assert features["LargeAreaEmphasis"] == (2 * 550**2 + 6) / 8
    assert features["ZoneEntropy"] == pytest.approx(-(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)))


def test_a_lesion_without_directions_is_refused():
    with pytest.raises(ExtractionError, match="one voxel wide in every direction"):
        of_levels([[[1]]])


@pytest.mark.parametrize("sigma", [0, 0.6, 1.2])
def test_zones_are_those_of_a_labelling_level_by_level(sigma):
    rng = np.random.default_rng(4)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, (20, 24, 22)), sigma)
    levels = np.digitize(noise, np.quantile(noise, [0.1, 0.5, 0.8])).astype(np.int32)
    n = sum(ndimage.label(levels == level, np.ones((3, 3, 3)))[1] for level in (1, 2, 3))
    assert of_levels(levels)["ZonePercentage"] == n / np.count_nonzero(levels)


@pytest.mark.parametrize("flat", [None, 0, 1, 2])
def test_numbers_are_those_of_pyradiomics(flat):
    pytest.importorskip("radiomics")
    rng = np.random.default_rng(2)
    values = ndimage.gaussian_filter(rng.normal(0, 90, (9, 12, 10)), 0.5).astype(np.int16)
    mask = rng.random(values.shape) < 0.8
    theirs = features_of("glszm", values, mask, force2D=flat is not None, force2Ddimension=flat or 0)
    settings = TextureSettings(force_2d=flat is not None, force_2d_dimension=flat or 0)
    assert_same(zone_features(discretise(values, mask, settings), settings, list(theirs)), theirs)


@pytest.mark.parametrize("flat", [None, 1])
@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_maps_are_those_of_pyradiomics(flat, radius, masked):
    pytest.importorskip("radiomics")
    rng = np.random.default_rng(2)
    values = ndimage.gaussian_filter(rng.normal(0, 60, (5, 6, 7)), 0.5).astype(np.int16)
    mask = rng.random(values.shape) < 0.6
    setting = {"force2D": flat is not None, "force2Ddimension": flat or 0}
    theirs = maps_of("glszm", values, mask, kernelRadius=radius, maskedKernel=masked, **setting)
    settings = TextureSettings(force_2d=flat is not None, force_2d_dimension=flat or 0)
    grey = discretise(values, mask if masked else np.ones_like(mask), settings)
    assert_same(zone_maps(grey, np.argwhere(mask), radius, settings, list(theirs)), theirs)
