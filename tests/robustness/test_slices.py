"""Thicker slices are means of thinner ones, in their right place."""

import numpy as np
import pytest
import SimpleITK as sitk
from robustness.balls import ball
from threadpoolctl import threadpool_limits

from radiomics_talent.errors import MaskError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.robustness.slices import thicker


def test_slices_as_thick_already_are_left():
    image, lesion = ball(20.0, spacing=(1.0, 1.0, 3.0))
    assert thicker(image, lesion, 3.0, 0.4) == (image, lesion)


def test_pairs_of_slices_are_averaged():
    image, lesion = ball(20.0, spacing=(1.0, 1.0, 1.0), seed=3)
    thick, found = thicker(image, lesion, 2.0, 0.0)
    values = sitk.GetArrayFromImage(image).astype(float)
    assert np.array_equal(sitk.GetArrayFromImage(thick), np.rint((values[::2] + values[1::2]) / 2).astype(np.int16))
    assert thick.GetSpacing() == (1.0, 1.0, 2.0)
    assert thick.GetOrigin()[2] == pytest.approx(image.GetOrigin()[2] + 0.5)
    assert found.geometry == Geometry.of(thick)


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("thickness", [2.5, 5.0])
def test_a_lesion_keeps_its_volume_and_its_place(thickness, phase):
    image, lesion = ball(30.0, spacing=(0.8, 0.8, 1.0))
    thick, found = thicker(image, lesion, thickness, phase)
    volumes = [x.count * x.geometry.voxel_volume_mm3 for x in (lesion, found)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.06)
    centres = [
        x.geometry.to_points(np.argwhere(x.voxels_zyx).mean(axis=0)[::-1] + np.array(x.box.lower))
        for x in (lesion, found)
    ]
    assert centres[1] == pytest.approx(centres[0], abs=0.3)
    inside = sitk.GetArrayFromImage(thick)[found.box.slices_zyx][found.voxels_zyx]
    # The lesion is 40 HU above its surroundings, of which thick slices hold a part at its poles.
    assert inside.mean() == pytest.approx(100, abs=0.1 * 40)


def test_nothing_of_the_scan_is_lost_at_its_ends():
    values = np.zeros((7, 8, 8), np.float64)
    values[0], values[-1] = 10, 20
    image = sitk.GetImageFromArray(values)
    mask = np.zeros(values.shape, bool)
    mask[:4] = True
    thick, found = thicker(image, LesionVoxels.of(mask, Geometry.of(image)), 3.0, 0.5)
    first_to_last = sitk.GetArrayFromImage(thick)[:, 0, 0]
    # The first new slice has 1.5 of its 3 mm in the scan, the last 2.5 mm, of which 1 mm is the last old slice.
    assert first_to_last == pytest.approx([10 / 1.5, 0, 20 / 2.5])
    assert (found.box.lower[2], found.box.size[2]) == (0, 2)


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.4, 0.6, 0.8])
def test_a_lesion_at_the_end_of_the_scan_does_not_grow(phase):
    """What lies beyond the scan is not lesion: volumes are right on average over where the first slice begins."""
    image = sitk.GetImageFromArray(np.zeros((20, 8, 8), np.int16))
    mask = np.zeros((20, 8, 8), bool)
    mask[:10] = True
    _, found = thicker(image, LesionVoxels.of(mask, Geometry.of(image)), 5.0, phase)
    assert abs(found.box.size[2] * 5.0 - 10.0) <= 2.5 + 2.5
    assert found.box.size[2] * 5.0 - 5.0 * phase <= 10.0 + 2.5


def test_noise_falls_with_the_root_of_the_thickness():
    image, lesion = ball(20.0, spacing=(1.0, 1.0, 1.0), contrast_hu=0.0, noise_hu=30.0)
    flat = sitk.GetImageFromArray(np.random.default_rng(0).normal(0, 30, image.GetSize()[::-1]))
    flat.CopyInformation(image)
    thick, _ = thicker(flat, lesion, 4.0, 0.0)
    assert sitk.GetArrayFromImage(thick).std() == pytest.approx(15.0, rel=0.05)


def test_threads_do_not_change_a_bit():
    image, lesion = ball(40.0, spacing=(0.75, 0.75, 1.0))
    smooth = sitk.Cast(image, sitk.sitkFloat64) * 1.2345
    thick = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            thick.append(sitk.GetArrayFromImage(thicker(smooth, lesion, 3.3, 0.37)[0]))
    assert np.array_equal(*thick)


def test_a_lesion_of_less_than_half_a_slice_is_refused():
    values = np.zeros((20, 8, 8), np.int16)
    values[9, 3:5, 3:5] = 1
    image = sitk.GetImageFromArray(values)
    with pytest.raises(MaskError, match="less than half a slice of 5 mm everywhere"):
        thicker(image, LesionVoxels.of(values > 0, Geometry.of(image)), 5.0, 0.0)
