"""IBSI's interpolation: where the grids lie, what is between voxels, and what a mask becomes."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.interpolation import aligned_grid, interpolated_image, interpolated_lesion
from radiomics_talent.imaging.lesion_voxels import LesionVoxels


def scan(values_zyx, spacing=(1.0, 1.0, 1.0)):
    image = sitk.GetImageFromArray(values_zyx)
    image.SetSpacing(spacing)
    image.SetOrigin((-7.0, 12.0, 3.0))
    return image


def everywhere(grid):
    return Box((0, 0, 0), grid.geometry.size)


def lesion_of(mask_zyx, geometry):
    return LesionVoxels.of(np.asarray(mask_zyx, dtype=bool), geometry)


def test_the_grid_of_the_manuals_example():
    """Reference manual v11, 2.4.4: 4 voxels of 3 mm to 2 mm give 6, half a voxel of 2 mm before the first centre."""
    grid = aligned_grid(Geometry((4, 4, 1), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0)), (2, 2, 0), "centre")
    assert grid.geometry.size == (6, 6, 1)
    assert grid.geometry.spacing_mm == (2.0, 2.0, 3.0)
    assert grid.geometry.origin_mm == pytest.approx((-0.5, -0.5, 0.0))
    assert grid.start[0] == pytest.approx(0.5 * (3 - 2 / 3 * 5))


def test_a_whole_number_of_new_voxels_is_not_rounded_up_by_noise():
    assert (
        aligned_grid(Geometry((1, 1, 30), (1.0, 1.0, 0.1 * 3), (0, 0, 0)), (0, 0, 0.9), "centre").geometry.size[2] == 10
    )


def test_the_corner_grid_is_pyradiomics_grid():
    grid = aligned_grid(Geometry((10, 10, 10), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0)), (2, 2, 2), "corner")
    assert grid.geometry.origin_mm == pytest.approx((0.5, 0.5, -0.5))
    assert grid.geometry.size == (5, 5, 15)


def test_the_scans_own_spacing_leaves_voxels_as_they_are():
    image = scan(np.arange(24, dtype=np.int16).reshape(2, 3, 4), (0.7, 0.7, 3.0))
    grid = aligned_grid(Geometry.of(image), (0, 0, 0), "centre")
    assert grid.is_the_scans
    np.testing.assert_array_equal(
        interpolated_image(image, grid, everywhere(grid), "linear"), sitk.GetArrayFromImage(image)
    )
    lesion = lesion_of(np.ones((2, 3, 4)), Geometry.of(image))
    assert interpolated_lesion(lesion, grid, "linear") is lesion


VOLUMES = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(-1000, 1000, np.random.default_rng(seed).integers(3, 9, 3))
)
SPACINGS = st.tuples(*[st.sampled_from([0.6, 0.977, 1.0, 2.0, 3.0])] * 3)
NEW = st.tuples(*[st.sampled_from([0, 0.7, 1, 1.5, 2])] * 3)
COARSE = st.tuples(*[st.sampled_from([0, 0.7, 2, 3, 5, 50, 1e9])] * 3)


@given(values=VOLUMES, old=SPACINGS, new=NEW, interpolator=st.sampled_from(["linear", "cubic-spline"]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_values_are_scipys(values, old, new, interpolator):
    image = scan(values.astype(np.float64), old)
    grid = aligned_grid(Geometry.of(image), new, "centre")
    at = [grid.positions(axis, 0, n) for axis, n in enumerate(grid.geometry.size)]
    points = np.meshgrid(at[2], at[1], at[0], indexing="ij")
    order = 1 if interpolator == "linear" else 3
    expected = ndimage.map_coordinates(values.astype(np.float64), points, order=order, mode="mirror")
    found = interpolated_image(image, grid, everywhere(grid), interpolator)
    # Beyond the outermost centres ITK's spline goes on to the mirrored voxels, where linear stops at the border.
    inner = np.ones(expected.shape, dtype=bool)
    for axis in range(3):
        along = grid.start[axis] + np.arange(grid.geometry.size[axis]) * grid.step[axis]
        outside = (along < -1e-6) | (along > grid.scan.size[axis] - 1 + 1e-6)
        inner &= ~outside.reshape([-1 if 2 - axis == a else 1 for a in range(3)]) | (order == 1)
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=1e-6 if order == 3 else 1e-9)


@given(values=VOLUMES, old=SPACINGS, new=NEW, interpolator=st.sampled_from(["linear", "nearest", "cubic-spline"]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_part_has_the_bits_of_the_whole(values, old, new, interpolator):
    image = scan(values.astype(np.int16), old)
    grid = aligned_grid(Geometry.of(image), new, "centre")
    whole = interpolated_image(image, grid, everywhere(grid), interpolator)
    part = Box((0, 0, 0), grid.geometry.size).padded(-1, grid.geometry.size) if min(grid.geometry.size) > 2 else None
    if part is not None:
        found = interpolated_image(image, grid, part, interpolator)
        if interpolator == "cubic-spline":  # the rows of another grid begin elsewhere
            np.testing.assert_allclose(found, whole[part.slices_zyx], rtol=0, atol=1e-7)
        else:
            np.testing.assert_array_equal(found, whole[part.slices_zyx])


@given(values=VOLUMES, old=SPACINGS, new=NEW)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_turning_the_scan_over_turns_the_result_over(values, old, new):
    image, turned = scan(values.astype(np.int16), old), scan(values.astype(np.int16)[::-1, ::-1, ::-1].copy(), old)
    grid = aligned_grid(Geometry.of(image), new, "centre")
    one = interpolated_image(image, grid, everywhere(grid), "linear")
    other = interpolated_image(turned, grid, everywhere(grid), "linear")
    np.testing.assert_allclose(one, other[::-1, ::-1, ::-1], rtol=0, atol=1e-9)


def test_half_a_voxel_of_the_lesion_is_inside():
    """A point exactly between lesion and not lesion belongs to it, whatever rounding does."""
    geometry = Geometry((1, 1, 4), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0))
    mask = np.zeros((4, 1, 1))
    mask[:2] = 1
    grid = aligned_grid(geometry, (0, 0, 2), "centre")
    assert grid.positions(2, 0, 6) == pytest.approx([0, 0.5, 7 / 6, 11 / 6, 2.5, 3])
    found = interpolated_lesion(lesion_of(mask, geometry), grid, "linear")
    assert found.as_mask().GetSize() == (1, 1, 6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.as_mask()).ravel(), [1, 1, 1, 0, 0, 0])
    shifted = aligned_grid(Geometry((1, 1, 3), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0)), (0, 0, 1), "corner")
    assert shifted.positions(2, 0, 6) == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2])
    half = aligned_grid(Geometry((1, 1, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), (0, 0, 2), "centre")
    assert half.positions(2, 0, 2) == pytest.approx([0.5, 2.5])
    middle = interpolated_lesion(lesion_of([[[0]], [[1]], [[0]], [[0]]], half.scan), half, "linear")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(middle.as_mask()).ravel(), [1, 0])


@pytest.mark.parametrize("threshold", [0.25, 0.5, 1.0])
def test_the_threshold_decides(threshold):
    geometry = Geometry((5, 5, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    mask = np.zeros((5, 5, 5))
    mask[1:4, 1:4, 1:4] = 1
    grid = aligned_grid(geometry, (0.5, 0.5, 0.5), "corner")
    at = [grid.positions(axis, 0, 10) for axis in range(3)]
    fraction = ndimage.map_coordinates(mask, np.meshgrid(at[2], at[1], at[0], indexing="ij"), order=1, mode="nearest")
    found = interpolated_lesion(lesion_of(mask, geometry), grid, "linear", threshold)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.as_mask()) == 1, fraction >= threshold - 1e-9)


@given(
    seed=st.integers(0, 2**32 - 1),
    old=SPACINGS,
    new=NEW | COARSE,
    kind=st.sampled_from(["linear", "nearest"]),
    alignment=st.sampled_from(["centre", "corner"]),
)
@settings(max_examples=250, deadline=None, derandomize=True)
def test_a_lesion_is_where_its_whole_mask_would_be(seed, old, new, kind, alignment):
    rng = np.random.default_rng(seed)
    mask = np.zeros(rng.integers(2, 12, 3), dtype=bool)
    corner = [rng.integers(0, n) for n in mask.shape]
    mask[tuple(slice(c, c + rng.integers(1, 6)) for c in corner)] = True
    mask &= rng.random(mask.shape) < 0.8
    lesion = LesionVoxels.of(mask, Geometry(mask.shape[::-1], old, (1.0, 2.0, 3.0)))
    if lesion is None:
        return
    grid = aligned_grid(lesion.geometry, new, alignment)
    whole = interpolated_image(scan(mask.astype(np.float64), old), grid, everywhere(grid), kind) >= 0.5 - 1e-9
    found = interpolated_lesion(lesion, grid, kind)
    if found is None:
        assert not whole.any()
    else:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found.as_mask()) == 1, whole)


def test_nearest_neighbours_halfway_are_taken_from_above():
    """3 mm to 2 mm: every third slice lies exactly between two, and rounding must not choose."""
    image = scan(np.arange(60, dtype=np.int16).reshape(60, 1, 1), (1.0, 1.0, 3.0))
    grid = aligned_grid(Geometry.of(image), (0, 0, 2), "corner")
    found = interpolated_image(image, grid, everywhere(grid), "nearest").ravel()
    # Point k lies at (2 k + 1) / 3 - 1 / 2 voxels; rounded half up that is (2 k + 1) / 3 without its fraction.
    np.testing.assert_array_equal(found, [(2 * k + 1) // 3 for k in range(90)])


def test_a_lesion_smaller_than_the_new_voxels_is_gone():
    lesion = lesion_of(np.pad(np.ones((1, 1, 1)), 4), Geometry((9, 9, 9), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    assert interpolated_lesion(lesion, aligned_grid(lesion.geometry, (4, 4, 4), "corner"), "linear") is None
