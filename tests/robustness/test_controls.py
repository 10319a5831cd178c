"""Negative controls of one lesion: which voxels change, which stay, and what features make of it."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from robustness.control_cohorts import scan_with_lesion

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import cohort_from_index, write_cohort
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.errors import MaskError
from radiomics_talent.features import engine
from radiomics_talent.features.engine import Prepared
from radiomics_talent.features.ibsi.processing import lesion_of
from radiomics_talent.features.prepared import resegmented
from radiomics_talent.robustness.controls import controlled, surroundings_matter
from radiomics_talent.robustness_settings import CONTROLS, Control
from radiomics_talent.settings import ExtractionSettings

PRESETS = ("talent-ct", "talent-ct-full", "ibsi-ct", "pyradiomics-default")
ROI: tuple[Control, ...] = ("roi_shuffled", "roi_sampled", "roi_noise")
AROUND: tuple[Control, ...] = ("surroundings_shuffled", "surroundings_sampled", "surroundings_noise")


def prepared_lesion(preset: str, mean_hu: float = -60.0) -> tuple[Prepared, ExtractionSettings]:
    """A lesion of which resegmentation leaves out a part, where the settings resegment."""
    settings = ExtractionSettings.from_yaml(preset)
    image, lesion = scan_with_lesion(np.random.default_rng(3), mean_hu=mean_hu)
    return engine.prepare(image, lesion, settings), settings


def changed(
    prepared: Prepared, settings: ExtractionSettings, control: Control, seed: int = 1, reach_mm: float = 4.0
) -> Prepared:
    return controlled(prepared, settings, control, reach_mm, np.random.default_rng(seed))


def texture_mask(prepared: Prepared, settings: ExtractionSettings) -> np.ndarray:
    """What texture looks at, on the grid of the prepared image."""
    mask = np.zeros(prepared.image.GetSize()[::-1], dtype=bool)
    if settings.ibsi is not None:
        mask[prepared.lesion.slices_zyx] = lesion_of(prepared, settings.ibsi).intensity_zyx
    else:
        left = resegmented(prepared, settings)
        mask[left.box.slices_zyx] = left.texture_zyx
    return mask


def contour_mask(prepared: Prepared) -> np.ndarray:
    mask = np.zeros(prepared.image.GetSize()[::-1], dtype=bool)
    mask[prepared.lesion.slices_zyx] = sitk.GetArrayFromImage(prepared.mask) == 1
    return mask


def both(before: Prepared, after: Prepared) -> tuple[np.ndarray, np.ndarray, tuple[slice, ...]]:
    """Voxels before and after on the part of the grid that both have, and that part."""
    corner = before.image.TransformPhysicalPointToIndex(after.image.GetOrigin())
    part = tuple(slice(c, c + n) for c, n in zip(corner, after.image.GetSize(), strict=True))[::-1]
    return sitk.GetArrayFromImage(before.image)[part], sitk.GetArrayFromImage(after.image), part


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("control", CONTROLS)
def test_only_the_voxels_that_a_control_names_change(preset: str, control: Control) -> None:
    prepared, settings = prepared_lesion(preset)
    old, new, part = both(prepared, changed(prepared, settings, control))
    roi = texture_mask(prepared, settings)[part]
    outside = ~contour_mask(prepared)[part]
    may_change = roi if control in ROI else outside
    assert (old != new)[~may_change].sum() == 0
    assert (old != new)[may_change].mean() > (0.9 if control in ROI else 0.05)
    assert new.dtype == old.dtype


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("control", CONTROLS)
def test_the_resegmented_lesion_stays_the_same_set_of_voxels(preset: str, control: Control) -> None:
    prepared, settings = prepared_lesion(preset)
    after = changed(prepared, settings, control)
    _, _, part = both(prepared, after)
    np.testing.assert_array_equal(texture_mask(prepared, settings)[part], texture_mask(after, settings))


def test_resegmentation_takes_part_of_the_lesion_that_the_tests_look_at() -> None:
    prepared, settings = prepared_lesion("talent-ct")
    assert 0.2 < texture_mask(prepared, settings).sum() / contour_mask(prepared).sum() < 0.97


@pytest.mark.parametrize("preset", PRESETS)
def test_a_shuffled_lesion_has_the_sorted_values_of_the_original(preset: str) -> None:
    prepared, settings = prepared_lesion(preset)
    old, new, part = both(prepared, changed(prepared, settings, "roi_shuffled"))
    roi = texture_mask(prepared, settings)[part]
    np.testing.assert_array_equal(np.sort(old[roi]), np.sort(new[roi]))


def test_a_sampled_lesion_has_values_of_the_original_but_not_each_once() -> None:
    prepared, settings = prepared_lesion("talent-ct")
    old, new, part = both(prepared, changed(prepared, settings, "roi_sampled"))
    roi = texture_mask(prepared, settings)[part]
    assert set(new[roi]) <= set(old[roi])
    assert not np.array_equal(np.sort(old[roi]), np.sort(new[roi]))


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_noise_is_even_between_the_least_and_the_largest_value(dtype: type) -> None:
    prepared, settings = prepared_lesion("pyradiomics-default", mean_hu=60)
    cast = sitk.GetImageFromArray(sitk.GetArrayFromImage(prepared.image).astype(dtype))
    cast.CopyInformation(prepared.image)
    prepared = Prepared(cast, prepared.mask, prepared.lesion, 0.0)
    old, new, part = both(prepared, changed(prepared, settings, "roi_noise"))
    roi = contour_mask(prepared)[part]
    low, high = float(old[roi].min()), float(old[roi].max())
    assert low <= new[roi].min() <= low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) <= new[roi].max() <= high
    assert new[roi].mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert new[roi].std() == pytest.approx((high - low) / np.sqrt(12), rel=0.05)
    assert new.dtype == dtype


@pytest.mark.parametrize("control", AROUND)
def test_surroundings_end_at_their_distance_in_mm(control: Control) -> None:
    prepared, settings = prepared_lesion("pyradiomics-default")
    near = _changed_voxels(prepared, changed(prepared, settings, control, reach_mm=4.0))
    far = _changed_voxels(prepared, changed(prepared, settings, control, reach_mm=9.0))
    spacing_zyx = prepared.image.GetSpacing()[::-1]
    lesion_points = np.argwhere(contour_mask(prepared)) * spacing_zyx
    for voxels, reach in ((near, 4.0), (far, 9.0)):
        points = np.argwhere(voxels)[::37] * spacing_zyx
        distance = np.linalg.norm(points[:, None] - lesion_points[None], axis=2).min(axis=1)
        assert reach - 1.1 < distance.max() <= reach


def _changed_voxels(before: Prepared, after: Prepared) -> np.ndarray:
    old, new, part = both(before, after)
    moved = np.zeros(before.image.GetSize()[::-1], dtype=bool)
    moved[part] = old != new
    return moved


@pytest.mark.parametrize("control", CONTROLS)
def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(control: Control) -> None:
    prepared, settings = prepared_lesion("talent-ct-full")
    first, again, other = (
        sitk.GetArrayFromImage(changed(prepared, settings, control, seed).image) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("preset", PRESETS)
def test_the_prepared_lesion_is_left_as_it_is(preset: str) -> None:
    prepared, settings = prepared_lesion(preset)
    before = sitk.GetArrayFromImage(prepared.image)
    for control in CONTROLS:
        changed(prepared, settings, control)
    np.testing.assert_array_equal(before, sitk.GetArrayFromImage(prepared.image))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("control", CONTROLS)
def test_form_is_the_same_to_the_bit(preset: str, control: Control) -> None:
    prepared, settings = prepared_lesion(preset)
    before = engine.compute(prepared, settings)
    after = engine.compute(changed(prepared, settings, control), settings)
    looks_at_voxels = {"CentreOfMassShift", "IntegratedIntensity", "MoransI", "GearysC"}
    form = [n for n in before if n.split("_")[1] == "shape" and n.split("_")[2] not in looks_at_voxels]
    assert len(form) >= 14
    assert [n for n in form if before[n] != after[n]] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_shuffling_keeps_first_order_up_to_summation_and_changes_texture(preset: str) -> None:
    prepared, settings = prepared_lesion(preset, mean_hu=60)
    before = engine.compute(prepared, settings)
    after = engine.compute(changed(prepared, settings, "roi_shuffled"), settings)
    first_order = [n for n in before if n.startswith("original_firstorder_")]
    np.testing.assert_allclose([after[n] for n in first_order], [before[n] for n in first_order], rtol=1e-12)
    assert after["original_glcm_Correlation"] == pytest.approx(0, abs=0.05)
    assert before["original_glcm_Correlation"] > 0.3


@pytest.mark.parametrize(
    ("preset", "matter", "classes"),
    [
        ("talent-ct", False, set()),
        ("pyradiomics-default", False, set()),
        ("talent-ct-full", True, {"firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm"}),
        ("ibsi-ct", True, {"localintensity"}),
    ],
)
def test_surroundings_change_only_features_that_look_outside(preset: str, matter: bool, classes: set[str]) -> None:
    prepared, settings = prepared_lesion(preset, mean_hu=60)
    before = engine.compute(prepared, settings)
    after = engine.compute(changed(prepared, settings, "surroundings_noise"), settings)
    different = [n for n in before if before[n] != after[n] and not (np.isnan(before[n]) and np.isnan(after[n]))]
    assert surroundings_matter(settings) is matter
    assert {n.split("_")[1] for n in different} == classes
    filtered = [n for n in different if not n.startswith("original_") or "_localintensity_" in n]
    assert different == filtered


def test_of_a_scan_that_is_not_resampled_the_lesion_alone_is_copied() -> None:
    prepared, settings = prepared_lesion("pyradiomics-default")
    assert changed(prepared, settings, "roi_noise").image.GetSize() == prepared.lesion.size


def test_a_scan_that_filters_look_at_stays_whole() -> None:
    settings = ExtractionSettings.model_validate(
        {"imageType": {"Original": {}, "LoG": {"sigma": [2.0]}}, "featureClass": {"firstorder": None}}
    )
    image, lesion = scan_with_lesion(np.random.default_rng(3))
    prepared = engine.prepare(image, lesion, settings)
    after = changed(prepared, settings, "roi_shuffled")
    assert after.image.GetSize() == prepared.image.GetSize()
    assert after.image.GetOrigin() == prepared.image.GetOrigin()
    before, later = engine.compute(prepared, settings), engine.compute(after, settings)
    assert before["log-sigma-2-0-mm-3D_firstorder_Variance"] > later["log-sigma-2-0-mm-3D_firstorder_Variance"]


def test_voxels_that_are_not_finite_are_no_surroundings() -> None:
    prepared, settings = prepared_lesion("pyradiomics-default")
    values = sitk.GetArrayFromImage(prepared.image).astype(np.float32)
    edge = ~contour_mask(prepared) & (np.arange(values.shape[2]) < prepared.lesion.lower[0] - 1)
    values[edge] = np.nan
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(prepared.image)
    after = changed(Prepared(image, prepared.mask, prepared.lesion, 0.0), settings, "surroundings_noise")
    assert np.isfinite(sitk.GetArrayFromImage(after.image)).mean() > 0.5


def test_a_lesion_that_fills_its_image_has_no_surroundings() -> None:
    settings = ExtractionSettings.from_yaml("pyradiomics-default")
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (5, 5, 5)).astype(np.int16))
    prepared = engine.prepare(image, image >= 0, settings)
    after = changed(prepared, settings, "surroundings_sampled")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(after.image))


def test_a_lesion_of_which_resegmentation_leaves_nothing_is_refused() -> None:
    prepared, settings = prepared_lesion("talent-ct", mean_hu=-900)
    with pytest.raises(MaskError, match="Resegmentation excluded too many voxels"):
        changed(prepared, settings, "roi_shuffled")


@pytest.mark.slow
def test_controls_of_a_sarcoma_keep_its_form_and_lose_its_texture(sts_root: Path, tmp_path: Path) -> None:
    cohort = write_cohort(cohort_from_index(index_dicom(sts_root / "STS_001"), tmp_path / "c.csv"), tmp_path / "c.csv")
    settings = ExtractionSettings.from_yaml("talent-ct")
    case = load_case(cohort.lesions[0], settings)
    prepared = engine.prepare(case.image, case.mask, settings)
    before = engine.compute(prepared, settings)
    assert before["original_glcm_Correlation"] > 0.2
    for control in ROI:
        after = engine.compute(changed(prepared, settings, control), settings)
        assert after["original_shape_MeshVolume"] == before["original_shape_MeshVolume"]
        assert after["original_glcm_Correlation"] == pytest.approx(0, abs=0.01)
