import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, maps_of

from radiomics_talent.errors import ConfigError, ExtractionError
from radiomics_talent.features.native.texture_maps import image_maps
from radiomics_talent.features.native.texture_names import USUAL
from radiomics_talent.features.native.texture_settings import TextureSettings

SPACING = (0.7, 1.1, 2.5)


@pytest.fixture
def lesion():
    rng = np.random.default_rng(6)
    return rng.normal(40, 60, (6, 9, 8)).astype(np.int16), rng.random((6, 9, 8)) < 0.8


def maps(lesion, classes, radius=1, masked=True, **setting):
    return image_maps(*lesion, SPACING, TextureSettings(**setting), classes, radius=radius, masked=masked)


def test_a_map_has_one_value_for_each_voxel_of_the_lesion(lesion):
    values, mask = lesion
    found, warnings = maps(lesion, {"firstorder": ("Maximum",), "glcm": ("SumAverage", "Homogeneity2")})
    assert list(found) == ["firstorder_Maximum", "glcm_SumAverage"]
    volume = np.zeros(mask.shape)
    volume[mask] = found["firstorder_Maximum"]
    assert volume[2, 3, 4] == np.where(mask, values, -9999)[1:4, 2:5, 3:6].max()
    assert warnings[0] == "Feature Homogeneity2 is deprecated, use with caution!"


def test_a_map_needs_a_radius(lesion):
    with pytest.raises(ConfigError, match="a neighbourhood of radius 0"):
        maps(lesion, {"firstorder": None}, radius=0)


def test_maps_of_runs_need_no_distance(lesion):
    few = lesion[0][:2, :2, :2], np.ones((2, 2, 2), bool)
    assert list(maps(few, {"glszm": ("ZoneEntropy",)}, distances=(3,))[0]) == ["glszm_ZoneEntropy"]
    with pytest.raises(ExtractionError, match="nothing has a neighbour at a distance of 3"):
        maps(few, {"gldm": None}, distances=(3,))


@pytest.mark.parametrize(("radius", "masked"), [(1, True), (2, False), (3, True)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_maps_are_those_of_pyradiomics(radius, masked, dtype):
    pytest.importorskip("radiomics")
    rng = np.random.default_rng(8)
    values, mask = rng.normal(40, 60, (5, 6, 7)).astype(dtype), rng.random((5, 6, 7)) < 0.5
    found, _ = maps((values, mask), dict.fromkeys(USUAL), radius, masked, bin_width=7.7)
    setting = {"kernelRadius": radius, "maskedKernel": masked, "binWidth": 7.7}
    theirs = {
        f"{family}_{name}": value
        for family in USUAL
        for name, value in maps_of(family, values, mask, SPACING, **setting).items()
    }
    assert_same(found, theirs)
