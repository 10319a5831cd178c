"""Contours to voxels, one synthetic case each, and the looks of a mask."""

import numpy as np
import pytest

from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.imaging.masks import label_parts, overlap_voxels, rasterise, touches_border

GRID = Geometry((40, 30, 20), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
COS, SIN = np.cos(np.radians(30)), np.sin(np.radians(30))
OBLIQUE_CT = Geometry((60, 60, 40), (0.8, 0.8, 2.0), (-10, 5, 30), (COS, 0, SIN, 0, 1, 0, -SIN, 0, COS))


def box(x0, y0, x1, y1, z):
    return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], dtype=float)


def circle(centre, radius, z, n=90):
    a = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a), np.full(n, z)], axis=1)


def test_box_has_the_voxels_whose_centres_are_inside():
    result = rasterise([box(4.5, 5.5, 9.5, 8.5, 6.0)], GRID)
    expected = np.zeros(GRID.size[::-1], dtype=bool)
    expected[3, 6:9, 5:10] = True
    assert np.array_equal(result.mask_zyx, expected)
    assert result.contour_volume_mm3 == pytest.approx(30.0)
    assert result.mask_volume_mm3 == 30.0
    assert (result.n_contours, result.n_skipped, result.n_oblique, result.slices_missing) == (1, 0, 0, 0)
    assert result.off_slice_mm == 0
    assert result.outside_fraction == 0


def test_contour_through_voxel_centres_keeps_its_area():
    result = rasterise([box(4, 5, 9, 8, 6.0)], GRID)
    assert result.mask_zyx.sum() == 15
    assert np.argwhere(result.mask_zyx).min(axis=0).tolist() == [3, 6, 5]
    assert np.argwhere(result.mask_zyx).max(axis=0).tolist() == [3, 8, 9]


def test_decimals_of_the_file_do_not_decide():
    for noise in (-3e-6, 3e-6):
        assert rasterise([box(4, 5, 9, 8, 6.0) + noise], GRID).mask_zyx.sum() == 15


def test_contour_in_a_contour_is_a_hole_and_in_that_an_island():
    rings = [box(2.5, 2.5, 20.5, 20.5, 4.0), box(5.5, 5.5, 15.5, 15.5, 4.0), box(8.5, 8.5, 11.5, 11.5, 4.0)]
    result = rasterise(rings, GRID)
    assert result.mask_zyx.sum() == 18 * 18 - 100 + 9
    assert result.contour_volume_mm3 == pytest.approx(2 * (18 * 18 - 100 + 9))
    assert not result.mask_zyx[2, 7, 7]
    assert result.mask_zyx[2, 10, 10]


def test_keyhole_contour_has_a_hole():
    outer, inner = box(2.5, 2.5, 20.5, 20.5, 4.0), box(5.5, 5.5, 15.5, 15.5, 4.0)
    keyhole = np.vstack([outer, outer[:1], inner[::-1][[3, 0, 1, 2]], inner[:1]])
    result = rasterise([keyhole], GRID)
    assert np.array_equal(result.mask_zyx, rasterise([outer, inner], GRID).mask_zyx)


def test_figure_of_eight_has_area():
    eight = np.array([[2.5, 2.5, 4], [12.5, 12.5, 4], [12.5, 2.5, 4], [2.5, 12.5, 4]])
    result = rasterise([eight], GRID)
    assert result.n_skipped == 0
    assert result.contour_volume_mm3 == pytest.approx(100.0, rel=1e-3)


def test_several_parts_lie_side_by_side():
    result = rasterise([box(2.5, 2.5, 6.5, 6.5, 4.0), box(20.5, 20.5, 26.5, 26.5, 4.0)], GRID)
    assert label_parts(result.mask_zyx)[1].tolist() == [36, 16]


def test_two_single_slices_far_apart_are_no_thick_slab():
    result = rasterise([box(2.5, 2.5, 6.5, 6.5, 4.0), box(20.5, 20.5, 26.5, 26.5, 30.0)], GRID)
    assert result.contour_volume_mm3 == pytest.approx(result.mask_volume_mm3)
    assert result.slices_missing == 12


def test_contour_drawn_twice_is_no_hole():
    ring = circle((15, 15), 6, 4.0)
    again = np.roll(ring[::-1], 17, axis=0)
    result = rasterise([ring, again], GRID)
    assert np.array_equal(result.mask_zyx, rasterise([ring], GRID).mask_zyx)
    assert result.n_repeated == 1


@pytest.mark.parametrize(
    "bad",
    [
        np.empty((0, 3)),
        np.array([[5.0, 5.0, 4.0]]),
        np.array([[5.0, 5.0, 4.0], [9.0, 9.0, 4.0]]),
        np.array([[5.0, 5.0, 4.0]] * 5),
        np.array([[5.0, 5.0, 4.0], [7.0, 7.0, 4.0], [9.0, 9.0, 4.0], [6.0, 6.0, 4.0]]),
        np.array([[5.0, 5.0, 4.0], [np.nan, 9.0, 4.0], [9.0, 5.0, 4.0]]),
        np.array([[5.0, 5.0, 4.0], [1e30, 9.0, 4.0], [9.0, 5.0, 4.0]]),
        np.array([[5.0, 5.0], [7.0, 9.0], [9.0, 5.0]]),
    ],
    ids=["none", "point", "line", "one point five times", "collinear", "nan", "absurd", "two columns"],
)
def test_degenerate_contours_are_skipped_and_counted(bad):
    good = box(2.5, 2.5, 6.5, 6.5, 4.0)
    result = rasterise([bad, good], GRID)
    assert result.n_skipped == 1
    assert result.mask_zyx.sum() == 16
    assert rasterise([bad], GRID).mask_zyx.sum() == 0


def test_no_contours_give_an_empty_mask():
    result = rasterise([], GRID)
    assert not result.mask_zyx.any()
    assert result.contour_volume_mm3 == 0


def test_contours_between_slices_go_to_the_nearest():
    result = rasterise([box(2.5, 2.5, 6.5, 6.5, 4.6), box(2.5, 2.5, 6.5, 6.5, 6.6)], GRID)
    assert result.mask_zyx.any(axis=(1, 2)).nonzero()[0].tolist() == [2, 3]
    assert result.off_slice_mm == pytest.approx(0.6)
    assert result.slices_missing == 0


def test_planes_on_one_slice_are_united_and_make_no_hole():
    planes = [box(2.5, 2.5, 12.5, 12.5, 3.6), box(4.5, 4.5, 8.5, 8.5, 4.4)]
    result = rasterise(planes, GRID)
    assert result.mask_zyx.sum() == 100


def test_contours_of_a_coarser_series_leave_gaps_and_their_volume_tells():
    result = rasterise([box(2.5, 2.5, 12.5, 12.5, z) for z in (4.0, 8.0, 12.0, 16.0)], GRID)
    assert result.slices_missing == 3
    assert result.contour_volume_mm3 == pytest.approx(2 * result.mask_volume_mm3)


def test_one_slice_left_out_is_counted_and_not_filled():
    result = rasterise([box(2.5, 2.5, 12.5, 12.5, z) for z in (4.0, 6.0, 10.0, 12.0)], GRID)
    assert result.slices_missing == 1
    assert not result.mask_zyx[4].any()


@pytest.mark.parametrize(
    ("contour", "fraction"),
    [
        (box(-10.5, 2.5, 9.5, 12.5, 4.0), 0.5),
        (box(2.5, 24.5, 12.5, 34.5, 4.0), 0.5),
        (box(2.5, 2.5, 12.5, 12.5, 80.0), 1.0),
        (box(2.5, 2.5, 12.5, 12.5, -4.0), 1.0),
        (box(102.5, 2.5, 112.5, 12.5, 4.0), 1.0),
        (box(-0.5, -0.5, 39.5, 29.5, 0.0), 0.0),
    ],
)
def test_part_outside_the_image_is_measured(contour, fraction):
    result = rasterise([contour], GRID)
    assert result.outside_fraction == pytest.approx(fraction, abs=0.01)
    assert result.mask_volume_mm3 == pytest.approx(result.contour_volume_mm3 * (1 - fraction), rel=0.02)


def test_oblique_ct_with_contours_in_its_slices():
    grid = OBLIQUE_CT
    rings = [grid.to_points(circle((30, 25), 10, float(k))) for k in range(5, 15)]
    result = rasterise(rings, grid)
    assert result.n_oblique == 0
    y, x = np.mgrid[:60, :60]
    disc = (x - 30) ** 2 + (y - 25) ** 2 < 10**2
    assert result.mask_zyx[5:15].sum() == pytest.approx(10 * disc.sum(), rel=0.03)
    assert not result.mask_zyx[:5].any()
    assert not result.mask_zyx[15:].any()


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 2, 0)], ids=["sagittal", "coronal"])
def test_contours_across_the_slices_are_resampled(axes):
    # A ball of 12 mm, contoured every millimetre in planes perpendicular to the slices.
    centre = np.array([20.0, 15.0, 20.0])
    rings = []
    for offset in np.arange(-11.0, 12):
        ring = circle((0, 0), np.sqrt(144 - offset**2), offset)
        rings.append(centre + ring[:, axes])
    result = rasterise(rings, GRID)
    z, y, x = np.mgrid[:20, :30, :40]
    ball = (x - 20) ** 2 + (y - 15) ** 2 + (2 * z - 20) ** 2 < 144
    assert result.n_oblique == len(rings)
    assert result.mask_volume_mm3 == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.03)
    assert (result.mask_zyx ^ ball).sum() < 0.03 * ball.sum()
    assert result.outside_fraction == 0


def test_contours_of_an_oblique_reconstruction_on_an_upright_ct():
    centre = np.array([20.0, 15.0, 20.0])
    turn = np.array([[COS, 0, SIN], [0, 1, 0], [-SIN, 0, COS]])
    rings = [centre + circle((0, 0), np.sqrt(100 - w**2), w) @ turn.T for w in np.arange(-9.0, 10, 2)]
    result = rasterise(rings, GRID)
    z, y, x = np.mgrid[:20, :30, :40]
    ball = (x - 20) ** 2 + (y - 15) ** 2 + (2 * z - 20) ** 2 < 100
    assert result.n_oblique == len(rings)
    assert (result.mask_zyx ^ ball).sum() < 0.12 * ball.sum()
    assert abs(result.mask_volume_mm3 - result.contour_volume_mm3) < result.grain_mm3


def test_oblique_contours_outside_the_image():
    ring = circle((0, 0), 8, 0.0)[:, (2, 0, 1)]
    result = rasterise([ring + np.array([500.0, 15, 20])], GRID)
    assert result.outside_fraction == 1.0
    assert not result.mask_zyx.any()


def test_a_lesion_of_a_few_voxels_may_differ_by_its_grain():
    result = rasterise([circle((10.3, 10.4), 1.1, 4.0)], GRID)
    assert 0 < result.mask_zyx.sum() <= 6
    assert abs(result.mask_volume_mm3 - result.contour_volume_mm3) < result.grain_mm3


def test_rasterise_is_fast_on_a_large_scan():
    grid = Geometry((512, 512, 300), (0.75, 0.75, 1.5), (0.0, 0.0, 0.0))
    rings = [circle((200, 180), 45, 1.5 * k, n=400) for k in range(100, 160)]
    result = rasterise(rings, grid)
    assert result.mask_volume_mm3 == pytest.approx(np.pi * 45**2 * 90, rel=0.01)


def test_parts_touching_at_a_corner_are_one():
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    assert label_parts(mask)[1].tolist() == [2]
    mask[0, 4, 5] = True
    labels, counts = label_parts(mask)
    assert counts.tolist() == [2, 1]
    assert labels[0, 4, 5] == 2
    assert np.array_equal(labels > 0, mask)
    assert label_parts(np.zeros((2, 2, 2), dtype=bool))[1].size == 0


def test_overlap_is_counted():
    a, b = np.zeros((3, 4, 5), dtype=bool), np.zeros((3, 4, 5), dtype=bool)
    a[1, :3] = True
    b[:, 2:] = True
    assert overlap_voxels(a, b) == 5
    assert overlap_voxels(np.zeros_like(a), b) == 0
    with pytest.raises(ValueError, match="not on one grid"):
        overlap_voxels(a, b[:2])


def test_faces_touched_are_named():
    def touched(mask):
        grid = Geometry(mask.shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        return touches_border(LesionVoxels.of(mask, grid))

    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[1, 2, 3] = True
    assert touched(mask) == ()
    mask[0, 2, 5] = True
    assert touched(mask) == ("right column", "first slice")
    mask[:] = True
    assert len(touched(mask)) == 6
    assert touched(np.ones((1, 3, 3), dtype=bool)) == ("left column", "right column", "first row", "last row")
