"""Other readers' contours: volumes to the voxel, edges taken and left by chance, small lesions that stay."""

import numpy as np
import pytest
import SimpleITK as sitk
from robustness.balls import ball, dice

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import cohort_from_index, write_cohort
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.errors import MaskError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.robustness.contours import contour_neighbourhood, recontoured, resized
from radiomics_talent.robustness.noise import noise_sd_hu
from radiomics_talent.robustness.slices import thicker
from radiomics_talent.settings import ExtractionSettings


def about(image, lesion, supervoxel_mm3=0.0, growth=0.3):
    return contour_neighbourhood(image, lesion, supervoxel_mm3, growth)


@pytest.mark.parametrize("change", [-0.5, -0.2, -0.013, 0.05, 0.2, 0.3])
def test_a_resized_lesion_has_its_volume_to_the_voxel(change):
    image, lesion = ball(22.0)
    found = resized(about(image, lesion), change, np.random.default_rng(0))
    assert found.count == round(lesion.count * (1 + change))
    assert dice(lesion, found) == pytest.approx(2 * min(lesion.count, found.count) / (lesion.count + found.count))


def test_a_lesion_on_one_slice_stays_on_it():
    image, ball_of_slices = ball(30.0)
    middle = ball_of_slices.voxels_zyx.shape[0] // 2
    part = np.zeros_like(ball_of_slices.voxels_zyx)
    part[middle] = ball_of_slices.voxels_zyx[middle]
    lesion = ball_of_slices.part(part)
    near = about(image, lesion, 250.0)
    grown = resized(near, 0.3, np.random.default_rng(0))
    assert grown.count == round(1.3 * lesion.count)
    for found in (grown, recontoured(near, grown, np.random.default_rng(0))):
        assert (found.box.lower[2], found.box.size[2]) == (lesion.box.lower[2], 1)


def test_growth_is_the_same_all_round():
    image, lesion = ball(30.0, spacing=(0.8, 0.8, 2.0))
    found = resized(about(image, lesion), 0.3, np.random.default_rng(0))
    radii = [np.array(x.box.size) * np.array(x.geometry.spacing_mm) / 2 for x in (lesion, found)]
    # A ball grows by a third of its volume's growth: 15 mm to 16.4 mm; slices are 2 mm thick.
    assert radii[1][:2] - radii[0][:2] == pytest.approx([1.37, 1.37], abs=0.8)
    assert radii[1][2] - radii[0][2] == pytest.approx(1.37, abs=2.0)


def test_ties_are_broken_by_the_seed_alone():
    image, lesion = ball(16.0)
    near = about(image, lesion)
    first, again, other = (resized(near, 0.1, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert dice(first, again) == 1
    assert dice(first, other) < 1


def test_no_change_returns_the_very_lesion():
    image, lesion = ball(16.0)
    near = about(image, lesion)
    assert resized(near, 0.0, np.random.default_rng(0)) is lesion
    assert resized(near, 1e-9, np.random.default_rng(0)) is lesion


def test_a_lesion_that_vanishes_is_told():
    image = sitk.GetImageFromArray(np.zeros((5, 9, 9), np.int16))
    mask = np.zeros((5, 9, 9), bool)
    mask[2, 4, 4] = True
    near = about(image, LesionVoxels.of(mask, Geometry.of(image)))
    with pytest.raises(MaskError, match="the lesion of 1 voxels vanishes when it shrinks by 60%"):
        resized(near, -0.6, np.random.default_rng(0))


def test_a_lesion_at_the_border_of_the_scan_grows_inwards():
    image = sitk.GetImageFromArray(np.zeros((6, 12, 12), np.int16))
    mask = np.zeros((6, 12, 12), bool)
    mask[:3, :5, :5] = True
    lesion = LesionVoxels.of(mask, Geometry.of(image))
    found = resized(about(image, lesion), 0.3, np.random.default_rng(0))
    assert found.count == round(75 * 1.3)
    assert found.box.lower == (0, 0, 0)


def test_edges_are_taken_and_left_by_chance_and_the_inside_stays():
    image, lesion = ball(30.0)
    near = about(image, lesion, 250.0)
    drawn = [recontoured(near, lesion, np.random.default_rng(seed)) for seed in range(40)]
    scores = np.array([dice(lesion, x) for x in drawn])
    assert 0.85 < scores.mean() < 0.97
    assert len(np.unique(scores)) > 20
    inner = resized(near, -0.7, np.random.default_rng(0))
    kept = [dice(inner, x) * (inner.count + x.count) / 2 / inner.count for x in drawn]
    assert min(kept) > 0.97


def test_redrawing_neither_grows_nor_shrinks_lesions_on_average():
    image, lesion = ball(40.0)
    near = about(image, lesion, 250.0)
    volumes = [recontoured(near, lesion, np.random.default_rng(seed)).count for seed in range(60)]
    # Pieces of less than a fifth are never taken: a little is lost.
    assert 0.93 < np.mean(volumes) / lesion.count < 1.02


def test_without_supervoxels_the_very_lesion_is_returned():
    image, lesion = ball(20.0)
    assert recontoured(about(image, lesion), lesion, np.random.default_rng(0)) is lesion


def test_bone_and_air_far_away_leave_the_edges_of_the_lesion():
    image, lesion = ball(30.0)
    values = sitk.GetArrayFromImage(image)
    z, y, x = about(image, lesion, 250.0).box.slices_zyx
    values[z.start, y.start : y.start + 3, x.start : x.start + 3] = -1000
    values[z.start, y.stop - 3 : y.stop, x.start : x.start + 3] = 900
    other = sitk.GetImageFromArray(values)
    other.CopyInformation(image)

    def agreement(scan):
        near = about(scan, lesion, 250.0)
        return np.mean([dice(lesion, recontoured(near, lesion, np.random.default_rng(s))) for s in range(20)])

    assert agreement(other) == pytest.approx(agreement(image), abs=0.02)


def test_a_small_lesion_never_vanishes():
    image, lesion = ball(10.0, spacing=(0.75, 0.75, 1.5))
    near = about(image, lesion, 250.0)
    scores = [dice(lesion, recontoured(near, lesion, np.random.default_rng(seed))) for seed in range(200)]
    assert min(scores) > 0.6


def test_a_lesion_of_five_voxels_never_vanishes():
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(60, 20, (9, 24, 24)).round().astype(np.int16))
    mask = np.zeros((9, 24, 24), bool)
    mask[4, 10:12, 10:12] = mask[5, 10, 10] = True
    lesion = LesionVoxels.of(mask, Geometry.of(image))
    near = about(image, lesion, 250.0)
    counts = [recontoured(near, lesion, np.random.default_rng(seed)).count for seed in range(100)]
    assert min(counts) > 0


def test_a_resized_lesion_can_be_redrawn():
    image, lesion = ball(24.0)
    near = about(image, lesion, 250.0)
    smaller = resized(near, -0.3, np.random.default_rng(0))
    drawn = [recontoured(near, smaller, np.random.default_rng(seed)).count for seed in range(30)]
    assert np.mean(drawn) == pytest.approx(smaller.count, rel=0.08)


def test_readers_agree_more_along_a_sharp_edge():
    def agreement(contrast_hu, noise_hu):
        image, lesion = ball(30.0, contrast_hu=contrast_hu, noise_hu=noise_hu)
        near = about(image, lesion, 250.0)
        return np.mean([dice(lesion, recontoured(near, lesion, np.random.default_rng(s))) for s in range(10)])

    assert agreement(200.0, 5.0) > 0.94
    assert 0.8 < agreement(40.0, 30.0) < 0.91


def test_a_real_lesion_is_redrawn(shared_data):
    phantom = shared_data / "ibsi" / "ct_phantom" / "nifti"
    image = sitk.ReadImage(str(next((phantom / "image").glob("*.nii*"))))
    mask = sitk.ReadImage(str(next((phantom / "mask").glob("*.nii*"))))
    lesion = LesionVoxels.of(sitk.GetArrayFromImage(mask) > 0, Geometry.of(image))
    near = about(image, lesion, 250.0)
    scores = [dice(lesion, recontoured(near, lesion, np.random.default_rng(seed))) for seed in range(20)]
    assert 0.85 < np.mean(scores) < 0.99


@pytest.mark.slow
def test_a_sarcoma_is_resized_redrawn_and_sliced_thicker(sts_root, tmp_path):
    cohort = write_cohort(cohort_from_index(index_dicom(sts_root / "STS_001"), tmp_path / "c.csv"), tmp_path / "c.csv")
    case = load_case(cohort.lesions[0], ExtractionSettings.from_yaml("talent-ct"))
    image, lesion = case.image, case.voxels
    grid = lesion.geometry
    # A soft kernel and slices of 3.27 mm.
    assert 3 < noise_sd_hu(sitk.GetArrayFromImage(lesion.box.padded((20, 20, 6), grid.size).cut(image))) < 20
    near = about(image, lesion, 250.0)
    larger = resized(near, 0.2, np.random.default_rng(0))
    assert larger.count == round(lesion.count * 1.2)
    drawn = recontoured(near, larger, np.random.default_rng(0))
    assert drawn.count == pytest.approx(larger.count, rel=0.05)
    assert 0.88 < dice(larger, drawn) < 0.98
    thick, found = thicker(image, drawn, 5.0, 0.4)
    assert found.geometry == Geometry.of(thick)
    volumes = [x.count * x.geometry.voxel_volume_mm3 for x in (drawn, found)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.03)
