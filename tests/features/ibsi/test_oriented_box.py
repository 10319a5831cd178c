"""Boxes about hulls whose smallest box is known."""

from math import sqrt

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from radiomics_talent.features.ibsi.convex_hull import Hull
from radiomics_talent.features.ibsi.oriented_box import smallest_box

TURN = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()
TETRAHEDRON = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], float)


def box(points):
    hull = ConvexHull(np.asarray(points, float))
    corners, triangles = np.unique(hull.simplices, return_inverse=True)
    return smallest_box(Hull(hull.points[corners], triangles.reshape(hull.simplices.shape), hull.volume, hull.area))


def corners(*sides):
    return np.array([(z, y, x) for z in (0, sides[0]) for y in (0, sides[1]) for x in (0, sides[2])], float)


def test_a_box_is_found_however_it_is_turned():
    assert box(corners(2, 7, 4)) == pytest.approx((7, 4, 2))
    assert box(corners(2, 7, 4) @ TURN + (5, 6, 7)) == pytest.approx((7, 4, 2))


def test_a_box_may_touch_edges_alone():
    # no face of a regular tetrahedron lies in a face of its smallest box, a cube with its edges for diagonals
    assert box(TETRAHEDRON) == pytest.approx((2, 2, 2))
    assert 8 <= np.prod(box(TETRAHEDRON @ TURN)) < 8.1  # with a face on a face it would be 16


@pytest.mark.parametrize("seed", range(20))
def test_points_of_a_grid_are_all_within(seed):
    # shadows along an axis of the grid have many corners above one another
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 8, (60, 3)) * np.array([1.0, 0.977, 3.0])
    sides = box(points)
    turns = np.concatenate((np.eye(3)[np.newaxis], Rotation.random(1000, random_state=seed).as_matrix()))
    assert np.prod(sides) <= min(np.prod(np.ptp(points @ turn, axis=0)) for turn in turns) * (1 + 1e-7)
    assert np.prod(sides) >= ConvexHull(points).volume


def test_no_box_along_other_axes_is_smaller():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(40, 3)) * (3, 2, 1)
    smallest = np.prod(box(points))
    turns = Rotation.random(3000, random_state=5).as_matrix()
    assert min(np.prod(np.ptp(points @ turn, axis=0)) for turn in turns) >= smallest


def test_sides_hold_the_points():
    points = np.random.default_rng(8).normal(size=(30, 3))
    longest, _, shortest = box(points)
    widths = np.ptp(points @ Rotation.random(500, random_state=1).as_matrix(), axis=1)
    assert shortest >= widths.min() * 0.9
    assert sqrt(3) * longest >= widths.max()
