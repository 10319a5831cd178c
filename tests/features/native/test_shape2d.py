"""Shape on one slice: figures whose measures are known, and what is said."""

from math import hypot, pi, sqrt

import numpy as np
import pytest

from radiomics_talent.features.native.shape2d import (
    DEPRECATED_SHAPE2D_FEATURES,
    SHAPE2D_FEATURES,
    shape2d_features,
)

EVERY = (*SHAPE2D_FEATURES, *DEPRECATED_SHAPE2D_FEATURES)


def values(mask_yx, spacing_yx=(1.0, 1.0), wanted=None):
    mask = np.asarray(mask_yx, bool)[np.newaxis]
    return shape2d_features(mask, (spacing_yx[1], spacing_yx[0], 9.0), 0, wanted)[0]


def disc(diameter):
    y, x = np.ogrid[:diameter, :diameter]
    c = (diameter - 1) / 2
    return (y - c) ** 2 + (x - c) ** 2 < (diameter / 2) ** 2


def test_one_pixel_is_a_rhombus():
    found = values([[1]], (2.0, 3.0), EVERY)
    assert found["MeshSurface"] == 3
    assert found["PixelSurface"] == 6
    assert found["Perimeter"] == pytest.approx(4 * hypot(1, 1.5))
    assert found["MaximumDiameter"] == 3
    assert found["MajorAxisLength"] == found["MinorAxisLength"] == 0
    assert np.isnan(found["Elongation"])


def test_a_rectangle_loses_its_corners():
    found = values(np.ones((4, 6)), (0.5, 2.0))
    assert found["MeshSurface"] == 24 - 4 / 8
    assert found["Perimeter"] == pytest.approx(2 * 5 * 2.0 + 2 * 3 * 0.5 + 4 * hypot(0.25, 1))
    assert found["PerimeterSurfaceRatio"] == pytest.approx(found["Perimeter"] / found["MeshSurface"])
    assert found["MaximumDiameter"] == pytest.approx(hypot(12, 3 * 0.5))
    assert found["MajorAxisLength"] == pytest.approx(4 * sqrt((6**2 - 1) / 12) * 2)
    assert found["MinorAxisLength"] == pytest.approx(4 * sqrt((4**2 - 1) / 12) * 0.5)
    assert found["Elongation"] == pytest.approx(found["MinorAxisLength"] / found["MajorAxisLength"])


def test_pixels_that_touch_at_a_corner_are_two_outlines():
    one, two = values([[1]]), values([[1, 0], [0, 1]])
    assert two["MeshSurface"] == 2 * one["MeshSurface"]
    assert two["Perimeter"] == pytest.approx(2 * one["Perimeter"])


def test_a_hole_adds_its_outline():
    ring = np.ones((5, 5))
    ring[2, 2] = 0
    assert values(ring)["MeshSurface"] == values(np.ones((5, 5)))["MeshSurface"] - 0.5
    assert values(ring)["Perimeter"] == pytest.approx(values(np.ones((5, 5)))["Perimeter"] + 4 * sqrt(0.5))


def test_a_large_disc_is_nearly_a_disc():
    found = values(disc(81), (0.5, 0.5), EVERY)
    assert found["MeshSurface"] == pytest.approx(pi / 4 * 40.5**2, rel=0.01)
    assert found["Elongation"] == pytest.approx(1)
    assert 0.9 < found["Sphericity"] < 1
    assert found["SphericalDisproportion"] == pytest.approx(1 / found["Sphericity"])


@pytest.mark.parametrize("dimension", [0, 1, 2])
def test_any_axis_may_be_the_slices(dimension):
    mask = np.random.default_rng(1).random((4, 6)) < 0.6
    spacing = [0.7, 1.9]
    placed = np.expand_dims(mask, dimension)
    zyx = [*spacing[:dimension], 5.0, *spacing[dimension:]]
    found, _ = shape2d_features(placed, tuple(zyx[::-1]), dimension)
    assert found == values(mask, spacing)


def test_deprecated_features_are_computed_with_a_warning():
    found, warnings = shape2d_features(disc(5)[np.newaxis], (1, 1, 1), 0, ["SphericalDisproportion"])
    assert list(found) == ["SphericalDisproportion"]
    assert warnings == ("Feature SphericalDisproportion is deprecated, use with caution!",)


def test_what_is_not_a_feature_is_refused():
    with pytest.raises(LookupError, match="Feature not found: Maximum2DDiameter; the nearest is MaximumDiameter"):
        values(disc(5), wanted=["Maximum2DDiameter"])


def test_several_slices_are_refused():
    with pytest.raises(ValueError, match="Size of the mask in dimension 1 is more than 1"):
        shape2d_features(np.ones((1, 3, 3), bool), (1, 1, 1), 1)


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="the mask is empty"):
        values(np.zeros((3, 3)))
