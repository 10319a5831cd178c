"""The grid of an image in patient space."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.imaging.geometry import Box, Geometry

OBLIQUE = Geometry((10, 8, 6), (0.7, 0.9, 2.5), (-120.5, 33.25, 800.0), (0.0, -0.6, 0.8, 1.0, 0.0, 0.0, 0.0, 0.8, 0.6))


def image_of(geometry):
    image = sitk.Image(geometry.size, sitk.sitkUInt8)
    geometry.put_on(image)
    return image


def test_image_and_geometry_round_trip():
    assert Geometry.of(image_of(OBLIQUE)) == OBLIQUE


def test_only_volumes_have_a_geometry():
    with pytest.raises(ValueError, match="2 dimensions, expected 3"):
        Geometry.of(sitk.Image((4, 4), sitk.sitkUInt8))


def test_index_and_points_agree_with_simpleitk():
    image = image_of(OBLIQUE)
    for index in [(0, 0, 0), (9, 7, 5), (3, 1, 4)]:
        point = image.TransformIndexToPhysicalPoint(index)
        assert OBLIQUE.to_points(index) == pytest.approx(point)
        assert OBLIQUE.to_index(point) == pytest.approx(index, abs=1e-9)


def test_arrays_of_points_keep_their_shape():
    index = np.arange(24, dtype=float).reshape(2, 4, 3)
    assert OBLIQUE.to_index(OBLIQUE.to_points(index)) == pytest.approx(index, abs=1e-9)


def test_axes_are_columns_of_unit_length():
    assert np.linalg.norm(OBLIQUE.axes, axis=0) == pytest.approx([1, 1, 1])
    assert OBLIQUE.axes[:, 0] == pytest.approx([0, 1, 0])


def test_voxel_volume():
    assert OBLIQUE.voxel_volume_mm3 == pytest.approx(0.7 * 0.9 * 2.5)


def test_canonical_forgets_the_noise_of_32_bit_floats():
    exact = Geometry((4, 4, 4), (0.977, 0.977, 3.0), (-174.3945, -79.6255, -100.4))
    noisy = Geometry(
        (4, 4, 4),
        tuple(float(np.float32(s)) for s in exact.spacing_mm),
        tuple(float(np.float32(o)) for o in exact.origin_mm),
        (1.0, 1e-9, -0.0, -1e-9, 1.0, 0.0, 0.0, 0.0, 1.0),
    )
    assert noisy != exact
    assert noisy.canonical() == exact.canonical() == exact
    assert OBLIQUE.canonical() == OBLIQUE


def test_crop_keeps_its_place():
    box = Box((2, 1, 3), (7, 5, 6))
    crop = OBLIQUE.crop(box)
    assert crop.size == (5, 4, 3)
    assert crop.to_points((0, 0, 0)) == pytest.approx(OBLIQUE.to_points((2, 1, 3)))
    assert Geometry.of(box.cut(image_of(OBLIQUE))).origin_mm == pytest.approx(crop.origin_mm)


def test_corners_are_the_corner_voxels():
    corners = Geometry((3, 2, 2), (1, 1, 5), (10, 0, 0)).corners_mm()
    assert corners.shape == (8, 3)
    assert corners.min(axis=0).tolist() == [10, 0, 0]
    assert corners.max(axis=0).tolist() == [12, 1, 5]


def test_difference_of_a_grid_with_itself_is_none():
    difference = OBLIQUE.difference(OBLIQUE)
    assert difference.is_none
    assert difference.is_mendable
    assert difference.angle_deg == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("shift", "mendable"), [(0.05, True), (0.2, False)])
def test_difference_counts_in_mm_and_voxels(shift, mendable):
    a = Geometry((10, 10, 10), (0.5, 0.5, 2.0), (0, 0, 0))
    b = Geometry((10, 10, 10), (0.5, 0.5, 2.0), (shift * 0.5, 0, 0))
    difference = a.difference(b)
    assert difference.shift_mm == pytest.approx(shift * 0.5)
    assert difference.shift_voxels == pytest.approx(shift)
    assert not difference.is_none
    assert difference.is_mendable is mendable
    assert "mm and 0 degrees" in str(difference)


def test_difference_measures_the_angle():
    c, s = np.cos(np.radians(3)), np.sin(np.radians(3))
    turned = Geometry((10, 10, 10), (1, 1, 1), (0, 0, 0), (c, -s, 0, s, c, 0, 0, 0, 1))
    difference = Geometry((10, 10, 10), (1, 1, 1), (0, 0, 0)).difference(turned)
    assert difference.angle_deg == pytest.approx(3)
    assert not difference.is_mendable


def test_grids_of_other_sizes_are_never_mendable():
    difference = OBLIQUE.difference(Geometry((9, 8, 6), OBLIQUE.spacing_mm, OBLIQUE.origin_mm, OBLIQUE.direction))
    assert not difference.same_size
    assert not difference.is_none
    assert not difference.is_mendable


def test_box_around_the_lesion():
    mask = np.zeros((6, 8, 10), dtype=bool)
    assert Box.around(mask) is None
    mask[2:4, 5, 1:9] = True
    box = Box.around(mask)
    assert box == Box((1, 5, 2), (9, 6, 4))
    assert box.size == (8, 1, 2)
    assert mask[box.slices_zyx].all()
    assert mask[box.slices_zyx].sum() == mask.sum()


def test_padded_box_stays_inside_the_image():
    box = Box((1, 5, 2), (9, 6, 4))
    assert box.padded(3, (10, 8, 6)) == Box((0, 2, 0), (10, 8, 6))
    assert box.padded((0, 1, 1), (10, 8, 6)) == Box((1, 4, 1), (9, 7, 5))


def test_lattice_deviation():
    grid = Geometry((40, 30, 20), (0.8, 0.8, 2.5), (-10.0, 5.0, 100.0))
    part = grid.crop(Box((5, 6, 7), (15, 20, 12)))
    assert grid.lattice_deviation(part) == pytest.approx(0, abs=1e-9)
    beyond = Geometry((9, 9, 9), grid.spacing_mm, tuple(grid.to_points((-4, 2, 25))))
    assert grid.lattice_deviation(beyond) == pytest.approx(0, abs=1e-9)
    flipped = Geometry(grid.size, grid.spacing_mm, tuple(grid.to_points((39, 29, 0))), (-1, 0, 0, 0, -1, 0, 0, 0, 1))
    assert grid.lattice_deviation(flipped) == pytest.approx(0, abs=1e-9)
    off = Geometry((9, 9, 9), grid.spacing_mm, tuple(grid.to_points((3.3, 2, 5))))
    assert grid.lattice_deviation(off) == pytest.approx(0.3)
    assert grid.lattice_deviation(Geometry((9, 9, 9), (0.8, 0.8, 5.0), grid.origin_mm)) == float("inf")
    drifting = Geometry((40, 30, 20), (0.81, 0.8, 2.5), grid.origin_mm)
    assert grid.lattice_deviation(drifting) == pytest.approx(39 * 0.0125, abs=1e-6)
