"""What must hold for any contours."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.masks import rasterise

GRID = Geometry((24, 20, 8), (0.7, 0.9, 2.5), (-12.0, 7.5, -100.0))
SIXTEENTHS = st.integers(0, 12 * 16).map(lambda n: n / 16)


@st.composite
def contours(draw, most=5):
    """Polygons in the slices (continuous indices on a grid of sixteenths, so ties with voxel centres are common)."""
    found = []
    for _ in range(draw(st.integers(1, most))):
        xy = draw(st.lists(st.tuples(SIXTEENTHS, SIXTEENTHS), min_size=3, max_size=9))
        z = draw(st.integers(0, 4))
        found.append(np.array([(x, y, z) for x, y in xy], dtype=float))
    return found


@settings(max_examples=150, deadline=None)
@given(contours(), st.data())
def test_order_start_and_direction_do_not_change_a_mask(polygons, data):
    points = [GRID.to_points(p) for p in polygons]
    shuffled = data.draw(st.permutations(points))
    turned = [
        np.roll(p[:: data.draw(st.sampled_from([1, -1]))], data.draw(st.integers(0, len(p))), axis=0) for p in shuffled
    ]
    assert np.array_equal(rasterise(points, GRID).mask_zyx, rasterise(turned, GRID).mask_zyx)


@settings(max_examples=150, deadline=None)
@given(contours(), st.integers(0, 10), st.integers(0, 6), st.integers(0, 3))
def test_moving_by_whole_voxels_moves_the_mask(polygons, dx, dy, dz):
    here = rasterise([GRID.to_points(p) for p in polygons], GRID)
    there = rasterise([GRID.to_points(p + np.array([dx, dy, dz])) for p in polygons], GRID)
    assert np.array_equal(np.roll(here.mask_zyx, (dz, dy, dx), axis=(0, 1, 2)), there.mask_zyx)
    assert np.isclose(here.contour_volume_mm3, there.contour_volume_mm3, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(contours(most=1))
def test_a_copy_of_the_grid_in_another_place_gives_the_same_mask(polygons):
    turned = Geometry(GRID.size, GRID.spacing_mm, (30.0, -200.0, 55.5), (0, 1, 0, -1, 0, 0, 0, 0, 1))
    here = rasterise([GRID.to_points(p) for p in polygons], GRID)
    there = rasterise([turned.to_points(p) for p in polygons], turned)
    assert np.array_equal(here.mask_zyx, there.mask_zyx)
