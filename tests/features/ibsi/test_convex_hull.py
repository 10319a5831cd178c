"""The hull of a mesh: by hand, and the hull of all its vertices."""

from math import sqrt

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from radiomics_talent.features.ibsi.convex_hull import Hull, hull_of_mesh
from radiomics_talent.features.native.surface_scan import scan_surface


def hull(mask, spacing_zyx=(1.0, 1.0, 1.0)) -> Hull:
    return hull_of_mesh(scan_surface(np.asarray(mask, bool)), spacing_zyx)


def vertices(mask, spacing_zyx):
    """Return all midpoints between a voxel inside and a neighbour outside."""
    padded = np.pad(mask, 1)
    found = []
    for axis in range(3):
        changes = np.argwhere(np.diff(padded.astype(int), axis=axis)).astype(float)
        changes[:, axis] += 0.5
        found.append(changes)
    return np.concatenate(found) * spacing_zyx


def test_one_voxel_is_its_own_hull():
    found = hull([[[1]]])
    assert (found.volume, found.area) == pytest.approx((1 / 6, sqrt(3)))
    assert len(found.corners) == 6
    assert len(found.normals()) == 4  # eight faces, in pairs


def test_two_voxels_apart_are_joined_by_a_prism():
    # a square of diagonal 1 swept over 2 voxels, with half an octahedron at either end
    found = hull([[[1, 0, 1]]])
    assert found.volume == pytest.approx(2 * 0.5 + 1 / 6)
    assert found.area == pytest.approx(4 * sqrt(0.5) * 2 + sqrt(3))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.9])
@pytest.mark.parametrize("spacing_zyx", [(1.0, 1.0, 1.0), (3.0, 0.977, 0.6)])
def test_leaving_points_out_beforehand_changes_nothing(share, spacing_zyx):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        mask = rng.random(rng.integers(1, 9, 3)) < share
        mask.flat[0] = True
        expected, found = ConvexHull(vertices(mask, spacing_zyx)), hull(mask, spacing_zyx)
        assert (found.volume, found.area) == pytest.approx((expected.volume, expected.area), rel=1e-9)


def test_a_ball_needs_few_corners():
    z, y, x = np.ogrid[-15:16, -15:16, -15:16]
    mask = z * z + y * y + x * x < 220
    expected, found = ConvexHull(vertices(mask, (1, 1, 1))), hull(mask)
    assert (found.volume, found.area) == pytest.approx((expected.volume, expected.area), rel=1e-12)
    assert len(found.corners) <= len(expected.vertices)


def test_normals_are_unit_vectors_each_once():
    normals = hull(np.ones((3, 4, 5))).normals()
    assert np.square(normals).sum(axis=1) == pytest.approx(1)
    assert np.abs(normals @ normals.T - np.eye(len(normals)))[~np.eye(len(normals), dtype=bool)].max() < 1 - 1e-6
