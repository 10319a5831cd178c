import numpy as np
import pytest

from radiomics_talent.errors import ExtractionError, MaskError
from radiomics_talent.features.native.grey_levels import count_levels, discretise
from radiomics_talent.features.native.texture_settings import TextureSettings

ALL = np.ones((1, 1, 4), bool)


def levels(values, **setting):
    values = np.asarray(values).reshape(1, 1, -1)
    grey = discretise(values, np.ones(values.shape, bool), TextureSettings(**setting))
    return grey.levels_zyx.ravel().tolist()


def test_edges_are_multiples_of_the_width_and_belong_to_the_bin_above():
    assert levels(np.array([-30, -25, -1, 0, 24, 25, 50], np.int16)) == [1, 2, 2, 3, 3, 4, 5]


def test_outside_the_lesion_there_is_no_level():
    mask = np.array([True, False, True, True]).reshape(1, 1, 4)
    grey = discretise(np.array([[[0, 1000, 60, 60]]], np.int16), mask, TextureSettings())
    assert grey.levels_zyx.tolist() == [[[1, 0, 3, 3]]]
    assert grey.levels_zyx.dtype == np.int32
    assert grey.present.tolist() == [1, 3]
    assert grey.highest == 3


def test_bin_count_puts_the_largest_value_into_the_last_bin():
    assert levels([0.0, 4.9, 5.0, 10.0], bin_count=2) == [1, 1, 2, 2]


def test_a_flat_lesion_has_one_level():
    assert levels(np.full(3, 50, np.int16)) == [1, 1, 1]
    assert levels(np.full(3, 50, np.int16), bin_count=8) == [5, 5, 5]


def test_negative_zero_is_zero():
    assert levels([-0.0, 0.0, 25.0]) == [1, 1, 2]


def test_edges_are_computed_in_the_type_of_the_image():
    # In float32 the third edge of width 0.1 is above the value; in float64 it is below.
    single = np.array([0, 0.1, 0.2, 0.3, 0.7], np.float32)
    theirs = np.digitize(single, np.arange(single[0] - single[0] % 0.1, single[-1] + 2 * 0.1, 0.1)).tolist()
    assert levels(single, bin_width=0.1) == theirs


def test_a_width_beyond_the_type_is_refused():
    with pytest.raises(ExtractionError, match="binWidth 300 does not fit the image's type uint8"):
        levels(np.array([1, 2], np.uint8), bin_width=300)


def test_edges_that_wrap_round_to_nothing_are_refused():
    with pytest.raises(ExtractionError, match="overflow the image's type uint8"):
        levels(np.array([0, 206], np.uint8))


def test_edges_that_wrap_round_twice_are_right_again():
    assert levels(np.array([32700, 32760], np.int16)) == [1, 3]


def test_an_empty_mask_is_refused():
    with pytest.raises(MaskError, match="the lesion has no voxel"):
        discretise(np.zeros((1, 1, 4)), ~ALL, TextureSettings())


def test_more_bins_than_numbers_in_the_range_are_refused():
    with pytest.raises(MaskError, match="50 grey levels do not fit the lesion's values"):
        levels(np.array([1, np.nextafter(np.float32(1), np.float32(2))], np.float32), bin_count=50)


def test_levels_are_counted_without_binning():
    assert count_levels(np.array([-30.0, 50.0]), TextureSettings()) == 5
    assert count_levels(np.array([-30.0, 50.0]), TextureSettings(bin_count=7)) == 7
    assert count_levels(np.array([0, 1e9], np.float32), TextureSettings(bin_width=0.1)) > 1e9


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("setting", [{"binWidth": 25}, {"binWidth": 0.3}, {"binWidth": 25.0}, {"binCount": 300}])
def test_bins_are_those_of_pyradiomics(dtype, setting):
    operations = pytest.importorskip("radiomics.imageoperations")
    values = np.random.default_rng(5).normal(40, 60, (9, 10, 11)).astype(dtype)
    mask = values < 90
    theirs, _ = operations.binImage(values, mask, **setting)
    grey = discretise(values, mask, TextureSettings.of(FULL | setting))
    np.testing.assert_array_equal(grey.levels_zyx, theirs)
    np.testing.assert_array_equal(grey.present, np.unique(theirs[mask]))


FULL = {
    "binWidth": 25,
    "binCount": None,
    "distances": [1],
    "force2D": False,
    "force2Ddimension": 0,
    "symmetricalGLCM": True,
    "weightingNorm": None,
    "gldm_a": 0,
    "voxelArrayShift": 0,
}
