"""Bands of a box are PyWavelets' of the whole image, bit for bit."""

import itertools

import numpy as np
import pytest
import pywt

from radiomics_talent.imaging.geometry import Box
from radiomics_talent.imaging.wavelet import wavelet_bands

SHAPE = (9, 14, 11)


def whole(array, wavelet, axes=(2, 1, 0)):
    padded = np.pad(array, [(0, n % 2) for n in array.shape], "wrap")
    bands = pywt.swtn(padded, wavelet, level=1, axes=axes)[0]
    cut = tuple(slice(0, n) for n in array.shape)
    return {name.replace("a", "L").replace("d", "H"): band[cut] for name, band in bands.items()}


@pytest.mark.parametrize("wavelet", ["coif1", "haar", "db4", "bior2.2", "sym20"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize(
    "box",
    [Box((0, 0, 0), (11, 14, 9)), Box((4, 6, 3), (7, 9, 6)), Box((9, 0, 8), (11, 2, 9)), Box((5, 13, 0), (6, 14, 1))],
)
def test_bits_of_pywavelets(box, dtype, wavelet):
    array = np.random.default_rng(0).normal(40, 60, SHAPE).astype(dtype)
    array[:, :7] = -1024  # where bits of a constant decide a sign
    wanted = whole(array, wavelet)
    found = {name: band for _, name, band in wavelet_bands(array, box, wavelet)}
    assert set(found) == set(wanted)
    for name, band in found.items():
        assert band.dtype == wanted[name].dtype
        assert np.array_equal(band, wanted[name][box.slices_zyx])


def test_order_of_bands_and_levels():
    array = np.random.default_rng(1).normal(0, 1, SHAPE)
    found = [(level, name) for level, name, _ in wavelet_bands(array, Box((2, 2, 2), (4, 4, 4)), "haar", level=2)]
    details = ["LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH"]
    assert found == [*((1, d) for d in details), *((2, d) for d in details), (2, "LLL")]


def test_slices_have_two_letters():
    array = np.random.default_rng(2).normal(0, 1, SHAPE)
    box = Box((2, 2, 2), (6, 5, 4))
    wanted = whole(array, "coif1", (2, 1))
    for _, name, band in wavelet_bands(array, box, "coif1", axes=(2, 1)):
        assert np.array_equal(band, wanted[name][box.slices_zyx])


def test_first_level_left_out_is_its_approximation_transformed():
    array = np.random.default_rng(3).normal(0, 1, (8, 10, 12))
    box = Box((3, 3, 3), (6, 6, 6))
    wanted = whole(whole(array, "coif1")["LLL"], "coif1")
    for level, name, band in wavelet_bands(array, box, "coif1", start_level=1):
        assert level == 1
        assert np.array_equal(band, wanted[name][box.slices_zyx])


def test_bands_do_not_share_memory():
    bands = [band for _, _, band in wavelet_bands(np.zeros(SHAPE), Box((2, 2, 2), (4, 4, 4)), "haar")]
    assert all(band.flags.c_contiguous for band in bands)
    assert not any(np.shares_memory(one, other) for one, other in itertools.combinations(bands, 2))


def test_unknown_wavelet_is_refused():
    with pytest.raises(ValueError, match="Unknown wavelet name 'coif0'"):
        list(wavelet_bands(np.zeros(SHAPE), Box((0, 0, 0), (2, 2, 2)), "coif0"))
