"""Shape in three dimensions: solids whose measures are known, the mesh cell by cell, and what is said."""

import threading
from math import pi, sqrt

import numpy as np
import pytest

from radiomics_talent.features.native.mesh_diameter import mesh_diameters
from radiomics_talent.features.native.shape import DEPRECATED_SHAPE_FEATURES, SHAPE_FEATURES, shape_features
from radiomics_talent.features.native.surface_mesh import CORNERS, mesh_area, mesh_volume, triangles_of
from radiomics_talent.features.native.surface_scan import scan_surface

EVERY = (*SHAPE_FEATURES, *DEPRECATED_SHAPE_FEATURES)
SPACINGS = [(1.0, 1.0, 1.0), (1.3, 0.7, 2.1), (3.0, 1.1, 0.4), (0.3, 2.2, 1.7)]


def values(mask, spacing=(1.0, 1.0, 1.0), wanted=None):
    return shape_features(np.asarray(mask, bool), spacing, wanted)[0]


def ball(diameter):
    z, y, x = np.ogrid[:diameter, :diameter, :diameter]
    c = (diameter - 1) / 2
    return (z - c) ** 2 + (y - c) ** 2 + (x - c) ** 2 < (diameter / 2) ** 2


@pytest.mark.parametrize("spacing", SPACINGS)
def test_each_of_256_cells_is_pyradiomics(spacing):
    c_shape = pytest.importorskip("radiomics").cShape
    for configuration in range(256):
        mask = np.zeros((2, 2, 2), bool)
        for bit, corner in enumerate(CORNERS):
            mask[tuple(k // 2 for k in corner)] = configuration >> bit & 1
        cells = np.zeros((256, 4), np.int64)
        cells[configuration, 0] = 1
        area, volume, _ = c_shape.calculate_coefficients(mask, np.array(spacing))
        assert mesh_area(cells, spacing) == pytest.approx(area, rel=1e-14, abs=1e-15), configuration
        assert mesh_volume(cells, spacing) == pytest.approx(volume, rel=1e-14, abs=1e-15), configuration


def test_sides_of_triangles_within_a_cell_meet_in_pairs_or_lie_on_its_faces():
    for configuration in range(256):
        sides = [side for a, b, c in triangles_of(configuration) for side in ((a, b), (b, c), (c, a))]
        assert len(set(sides)) == len(sides)
        for a, b in set(sides) - {(b, a) for a, b in sides}:
            assert any(p == q and p in (0, 2) for p, q in zip(a, b, strict=True)), configuration


def test_one_voxel_is_an_octahedron():
    found = values([[[1]]], (2.0, 2.0, 2.0), EVERY)
    assert found["MeshVolume"] == pytest.approx(8 / 6)
    assert found["VoxelVolume"] == 8
    assert found["SurfaceArea"] == pytest.approx(8 * sqrt(3) / 4 * 2)
    assert [found[f"Maximum{n}"] for n in ("3DDiameter", "2DDiameterSlice", "2DDiameterRow")] == [2, 2, 2]
    assert found["MajorAxisLength"] == found["LeastAxisLength"] == 0
    assert np.isnan(found["Elongation"])
    assert np.isnan(found["Flatness"])


def test_a_box_has_its_planes_diagonals():
    found = values(np.ones((4, 6, 8)), (0.5, 1.0, 2.0))
    slice_ = max(sqrt((8 * 0.5) ** 2 + 5**2), sqrt((7 * 0.5) ** 2 + 6**2))
    assert found["Maximum2DDiameterSlice"] == pytest.approx(slice_)
    assert found["Maximum2DDiameterColumn"] == pytest.approx(max(sqrt(4**2 + 6**2), sqrt(3.5**2 + 8**2)))
    assert found["Maximum2DDiameterRow"] == pytest.approx(max(sqrt(6**2 + 6**2), sqrt(5**2 + 8**2)))
    assert found["Maximum3DDiameter"] >= max(found[n] for n in found if n.startswith("Maximum2D"))
    assert found["MajorAxisLength"] == pytest.approx(4 * sqrt((4**2 - 1) / 12) * 2)
    assert found["LeastAxisLength"] == pytest.approx(4 * sqrt((8**2 - 1) / 12) * 0.5)


def test_a_large_ball_is_nearly_a_ball():
    found = values(ball(61), (0.5, 0.5, 0.5), EVERY)
    assert found["MeshVolume"] == pytest.approx(pi / 6 * 30.5**3, rel=0.01)
    assert found["Maximum3DDiameter"] == pytest.approx(30.5, abs=0.5)
    assert found["Elongation"] == found["Flatness"] == pytest.approx(1)
    assert 0.9 < found["Sphericity"] < 1
    assert found["SphericalDisproportion"] == pytest.approx(1 / found["Sphericity"])
    assert found["Compactness2"] == pytest.approx(found["Sphericity"] ** 3)
    assert found["Compactness1"] == pytest.approx(sqrt(found["Compactness2"]) / (6 * pi))


def test_diameters_are_those_of_all_pairs_of_vertices():
    rng = np.random.default_rng(7)
    for _ in range(20):
        mask = rng.random(rng.integers(1, 7, 3)) < rng.choice([0.2, 0.5, 0.9])
        mask[0, 0, 0] = True
        padded, spacing = np.pad(mask, 1), np.array([3.27, 0.977, 1.3])
        vertices = []
        for axis in range(3):
            at = np.argwhere(np.diff(padded, axis=axis)).astype(float)
            at[:, axis] += 0.5
            vertices.append(at * spacing)
        points = np.concatenate(vertices)
        apart = points[:, None] - points[None]
        squares = (apart**2).sum(axis=2)
        wanted = [sqrt(squares[apart[..., axis] == 0].max()) for axis in range(3)] + [sqrt(squares.max())]
        assert list(mesh_diameters(scan_surface(mask), tuple(spacing))) == pytest.approx(wanted, rel=1e-14)


def test_moments_and_cells_count_every_voxel():
    mask = np.random.default_rng(3).random((5, 7, 9)) < 0.5
    scan = scan_surface(mask)
    z, y, x = (axis + 1 for axis in np.nonzero(mask))
    sums = [z.size, z.sum(), y.sum(), x.sum(), z @ z, y @ y, x @ x, z @ y, z @ x, y @ x]
    assert scan.moments.tolist() == sums
    padded = np.pad(mask, 1)
    corners = np.stack([padded[z : z + 6, y : y + 8, x : x + 10] for z in (0, 1) for y in (0, 1) for x in (0, 1)])
    mixed = corners.any(axis=0) & ~corners.all(axis=0)
    assert scan.cells.sum(axis=0).tolist() == [mixed.sum(), *(at.sum() for at in np.nonzero(mixed))]
    inside = sum(bits.bit_count() * int(count) for bits, count in enumerate(scan.cells[:, 0]))
    assert inside + 8 * corners.all(axis=0).sum() == 8 * mask.sum()


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 5, 1), (5, 1, 1), (1, 4, 4), (4, 1, 4), (4, 4, 1)])
def test_flat_and_linear_lesions_have_diameters_and_a_least_axis_near_zero(shape):
    found = values(np.ones(shape), (1.1, 0.9, 3.0))
    assert found["Maximum3DDiameter"] > 0
    assert found["LeastAxisLength"] == pytest.approx(0, abs=1e-6)
    assert found["MeshVolume"] < found["VoxelVolume"]


def test_the_order_is_the_callers_and_names_are_taken_once():
    names = ["Sphericity", "Elongation", "MeshVolume", "Elongation"]
    assert list(values(ball(5), wanted=names)) == ["Sphericity", "Elongation", "MeshVolume"]
    assert tuple(values(ball(5))) == tuple(values(ball(5), wanted=())) == SHAPE_FEATURES


def test_deprecated_features_are_computed_with_a_warning():
    found, warnings = shape_features(ball(5), (1, 1, 1), ["Compactness1", "MeshVolume"])
    assert list(found) == ["Compactness1", "MeshVolume"]
    assert warnings == ("Feature Compactness1 is deprecated, use with caution!",)


def test_what_is_not_a_feature_is_refused_with_the_nearest_name():
    with pytest.raises(LookupError, match="Feature not found: Spherisity; the nearest is Sphericity"):
        values(ball(5), wanted=["Spherisity"])


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="the mask is empty"):
        values(np.zeros((3, 3, 3)))


def test_memory_layout_does_not_matter():
    mask = np.random.default_rng(5).random((6, 7, 8)) < 0.6
    for same in (np.asfortranarray(mask), np.repeat(mask, 2, axis=2)[:, :, ::2], mask[::-1][::-1]):
        assert values(same, (1, 2, 3), EVERY) == values(mask, (1, 2, 3), EVERY)


def test_threads_do_not_disturb_each_other():
    masks = [ball(n) for n in range(5, 13)]
    wanted = [values(mask) for mask in masks]
    found = [{} for _ in masks]

    def fill(k):
        for _ in range(20):
            found[k] = values(masks[k])

    threads = [threading.Thread(target=fill, args=(k,)) for k in range(len(masks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted
