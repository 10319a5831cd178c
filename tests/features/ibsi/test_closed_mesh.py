"""The mesh is closed, whatever the mask, and so has one volume."""

from collections import Counter
from math import sqrt

import numpy as np
import pytest

from radiomics_talent.features.ibsi.closed_mesh import closed_cell_triangles, closed_triangles_of
from radiomics_talent.features.native.surface_mesh import CORNERS, mesh_area, mesh_volume, triangles_of
from radiomics_talent.features.native.surface_scan import scan_surface


def measured(mask, spacing_zyx=(1.0, 1.0, 1.0)):
    cells = scan_surface(np.asarray(mask, bool)).cells
    return tuple(measure(cells, spacing_zyx, closed_cell_triangles()) for measure in (mesh_volume, mesh_area))


def triangles(mask):
    padded = np.pad(mask, 1)
    for place in np.ndindex(*(n - 1 for n in padded.shape)):
        inside = [padded[tuple(p + c // 2 for p, c in zip(place, corner, strict=True))] for corner in CORNERS]
        shift = 2 * np.array(place)
        for triangle in closed_triangles_of(sum(int(value) << bit for bit, value in enumerate(inside))):
            yield [tuple((shift + corner).tolist()) for corner in triangle]


def test_one_voxel_is_an_octahedron():
    assert measured([[[1]]]) == pytest.approx((1 / 6, sqrt(3)))


def test_one_voxel_of_another_size():
    # half-axes 1, 1.5 and 2: each of 8 faces spans (1, 0, 0), (0, 1.5, 0), (0, 0, 2)
    face = sqrt((1.5 * 2) ** 2 + (1 * 2) ** 2 + (1 * 1.5) ** 2) / 2
    assert measured([[[1]]], (2.0, 3.0, 4.0)) == pytest.approx((8 / 6 * 1 * 1.5 * 2, 8 * face))


def test_voxels_that_share_an_edge_or_a_corner_are_two():
    one = measured([[[1]]])
    for pair in ([[[1, 0], [0, 1]]], [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]):
        assert measured(pair) == pytest.approx((2 * one[0], 2 * one[1]))


def test_each_side_of_a_triangle_is_that_of_another_in_the_other_direction():
    for seed in range(4):
        mask = np.random.default_rng(seed).random((5, 6, 7)) < 0.5
        sides = Counter((t[k], t[(k + 1) % 3]) for t in triangles(mask) for k in range(3))
        assert sides
        assert all(sides[b, a] == n for (a, b), n in sides.items())


def test_the_volume_does_not_depend_on_the_place():
    mask = np.random.default_rng(7).random((6, 6, 6)) < 0.4
    moved = np.pad(mask, ((3, 0), (0, 2), (5, 1)))
    assert measured(moved, (3.0, 0.9, 0.7)) == measured(mask, (3.0, 0.9, 0.7))


def test_a_solid_lesion_has_the_mesh_of_pyradiomics():
    for configuration in range(256):
        ours, theirs = closed_triangles_of(configuration), triangles_of(configuration)
        if configuration.bit_count() <= 1 or configuration.bit_count() == 7:
            assert sorted(map(sorted, ours)) == sorted(map(sorted, theirs)), configuration
