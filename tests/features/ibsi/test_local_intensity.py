"""Local intensity: spheres counted by hand, and the plain loop."""

import math

import numpy as np
import pytest
from features.ibsi.drawn_lesions import drawn

from radiomics_talent.features.ibsi.local_intensity import LOCAL_INTENSITY_FEATURES, local_intensity_features

RADIUS = 10 * (3 / 4 / math.pi) ** (1 / 3)


def peaks(*args, **kwargs):
    return tuple(local_intensity_features(drawn(*args, **kwargs), LOCAL_INTENSITY_FEATURES).values())


def only(*place, shape=(5, 5, 5)):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


def sphere_mean(image, spacing_zyx, place):
    places = np.stack(np.indices(image.shape), axis=-1)
    near = np.square((places - np.array(place)) * spacing_zyx).sum(axis=-1) <= RADIUS**2
    return image[near].mean()


def test_a_sphere_of_4_mm_voxels_holds_19():
    image = only(2, 2, 2) * 38.0
    assert peaks(image, only(2, 2, 2), (4, 4, 4)) == (2, 2)


def test_at_a_corner_of_the_image_the_sphere_is_cut():
    image = only(0, 0, 0) * 21.0
    assert peaks(image, only(0, 0, 0), (4, 4, 4)) == (3, 3)  # itself, 3 across a face, 3 across an edge


def test_large_voxels_stand_alone():
    assert peaks([[[5.0, 9.0, 7.0]]], spacing=(7, 7, 7)) == (9, 9)


def test_the_sphere_is_one_cubic_centimetre():
    image = np.ones((41, 41, 41))
    image[20, 20, 20] = 0  # with voxels of 0.5 mm the mean says how many there are
    local, _ = peaks(image, only(20, 20, 20, shape=image.shape), (0.5, 0.5, 0.5))
    assert 0.125 / (1 - local) == pytest.approx(1000, rel=0.01)


def test_a_spike_makes_the_local_peak_and_a_plateau_the_global():
    image = np.zeros((1, 1, 20))
    image[0, 0, 2], image[0, 0, 12:17] = 30, 20
    assert peaks(image, spacing=(3, 9, 9)) == (6, 20)


def test_of_equal_maxima_the_one_with_the_higher_mean_counts():
    image = np.array([[[9.0, 0, 0, 0, 9, 3]]])
    assert peaks(image, spacing=(6, 9, 9)) == (4.5, 6)  # 9 and 0, not 0, 9 and 3; globally 9 and 3


def test_spheres_are_about_the_intensity_mask_but_look_at_the_whole_image():
    image = np.array([[[0.0, 4, 90, 7, 50]]])
    lesion = drawn(image, image > 0, (6, 9, 9), (image > 0) & (image < 10))
    assert local_intensity_features(lesion, LOCAL_INTENSITY_FEATURES) == {
        "LocalIntensityPeak": 49,
        "GlobalIntensityPeak": 49,
    }


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.3, 0.7, 3.1), (2.9, 8.0, 1.1)])
def test_any_lesion_gives_what_a_plain_loop_gives(spacing):
    rng = np.random.default_rng(4)
    image = rng.normal(0, 300, (9, 11, 13))
    mask = rng.random(image.shape) < 0.3
    means = [sphere_mean(image, spacing[::-1], place) for place in np.argwhere(mask)]
    at_peak = means[int(image[mask].argmax())]
    assert peaks(image, mask, spacing) == (pytest.approx(at_peak, rel=1e-10), pytest.approx(max(means), rel=1e-10))


def test_far_parts_of_the_scan_do_not_matter():
    image = np.random.default_rng(1).normal(size=(30, 30, 30))
    mask = np.zeros(image.shape, bool)
    mask[14:16, 14:17, 15] = True
    close = peaks(image[7:23, 7:24, 8:23], mask[7:23, 7:24, 8:23])
    assert peaks(image, mask) == pytest.approx(close, rel=1e-12)


def test_one_alone_is_the_same_as_one_of_two_in_the_order_asked():
    lesion = drawn(np.random.default_rng(2).normal(size=(4, 5, 6)))
    both = local_intensity_features(lesion, ("GlobalIntensityPeak", "LocalIntensityPeak"))
    assert list(both) == ["GlobalIntensityPeak", "LocalIntensityPeak"]
    for name, value in both.items():
        assert local_intensity_features(lesion, (name,)) == {name: value}


def test_an_unknown_name_is_refused():
    with pytest.raises(LookupError, match="Feature not found: Peak; the family has LocalIntensityPeak, Global"):
        local_intensity_features(drawn(np.ones((2, 2, 2))), ("Peak",))
