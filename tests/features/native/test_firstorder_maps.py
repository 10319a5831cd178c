import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, maps_of

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native.firstorder_maps import firstorder_maps
from radiomics_talent.features.native.grey_levels import discretise
from radiomics_talent.features.native.texture_settings import TextureSettings

SPACING = (0.7, 1.1, 2.5)


def ours(values, mask, wanted, radius=1, masked=True, **setting):
    settings = TextureSettings(**setting)
    within = mask if masked else np.ones_like(mask)
    grey = discretise(values.astype(np.float64), within, settings)
    volume = SPACING[0] * SPACING[1] * SPACING[2]
    return firstorder_maps(values, grey, np.argwhere(mask), radius, volume, settings, wanted)


def test_a_neighbourhood_ends_at_the_lesion_and_at_the_image():
    values = np.arange(5.0).reshape(1, 1, 5)
    mask = np.array([True, True, False, True, True]).reshape(1, 1, 5)
    assert ours(values, mask, ["Mean"])["Mean"].tolist() == [0.5, 0.5, 3.5, 3.5]
    assert ours(values, mask, ["Mean"], masked=False)["Mean"].tolist() == [0.5, 1, 3, 3.5]


def test_in_2d_a_neighbourhood_is_one_slice_thick():
    values = np.arange(8.0).reshape(2, 2, 2)
    means = ours(values, np.ones(values.shape, bool), ["Mean"], force_2d=True)["Mean"]
    assert means.tolist() == [1.5] * 4 + [5.5] * 4


def test_a_lesion_without_a_neighbourhood_is_refused():
    with pytest.raises(ExtractionError, match="one voxel wide in every direction"):
        ours(np.zeros((1, 1, 1)), np.ones((1, 1, 1), bool), ["Mean"])


CASES = {
    "integers": lambda rng: rng.normal(40, 60, (6, 7, 8)).astype(np.int16),
    "single precision": lambda rng: rng.normal(0, 30, (6, 7, 8)).astype(np.float32),
    "large mean": lambda rng: 1e6 + rng.normal(0, 3, (6, 7, 8)),
    "flat but for rounding": lambda rng: np.full((6, 7, 8), 0.1),
    "few levels": lambda rng: rng.normal(0, 1, (6, 7, 8)),
}


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_maps_are_those_of_pyradiomics(case, masked, radius):
    pytest.importorskip("radiomics")
    rng = np.random.default_rng(2)
    values = CASES[case](rng)
    mask = rng.random(values.shape) < 0.6
    mask[:2] = False
    setting = {"kernelRadius": radius, "maskedKernel": masked, "voxelArrayShift": 7}
    theirs = maps_of("firstorder", values, mask, SPACING, ["StandardDeviation"], **setting)
    theirs |= maps_of("firstorder", values, mask, SPACING, **setting)
    assert_same(ours(values, mask, list(theirs), radius, masked, voxel_array_shift=7), theirs)
