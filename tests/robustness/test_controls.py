"""Negative controls of one lesion: which voxels change, which stay, and what features make of it."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from robustness.control_cohorts import ISOTROPIC, THICK, scan_with_lesion

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import cohort_from_index, write_cohort
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.errors import MaskError
from radiomics_talent.features import engine
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.robustness.controls import controlled, looks_outside, surroundings_matter
from radiomics_talent.robustness_settings import CONTROLS, Control
from radiomics_talent.settings import ExtractionSettings

ROI: tuple[Control, ...] = ("roi_shuffled", "roi_sampled", "roi_noise")
AROUND: tuple[Control, ...] = ("surroundings_shuffled", "surroundings_sampled", "surroundings_noise")
TALENT = ExtractionSettings.from_yaml("talent-ct")
PLAIN = ExtractionSettings.from_yaml("pyradiomics-default")
FILTERED = {"imageType": {"Original": {}, "LoG": {"sigma": [2.0]}}, "featureClass": {"firstorder": None}}
"""Neither resampled nor resegmented."""
RANGES = {
    "pyradiomics": {"setting": {"resegmentRange": [300, -100]}},
    "above": {"setting": {"resegmentRange": [-100]}},
    "ibsi": {"ibsi": {"resegmentation": {"range_hu": [-100, 300]}, "discretisation": {"bin_width": 25}}},
}
NO_RANGES = {
    "none": {},
    "relative": {"setting": {"resegmentRange": [0.2, 0.9], "resegmentMode": "relative"}},
    "normalised": {"setting": {"resegmentRange": [-1, 1], "normalize": True}},
    "outliers": {"ibsi": {"resegmentation": {"outliers_sd": 1}, "discretisation": {"bin_count": 8}}},
}


def scan(
    mean_hu: float = -60.0, spacing_mm: tuple[float, float, float] = THICK, grain_mm: float = 2.0
) -> tuple[sitk.Image, LesionVoxels]:
    """By default a tenth or so of the lesion is below -100 HU."""
    return scan_with_lesion(np.random.default_rng(3), mean_hu=mean_hu, spacing_mm=spacing_mm, grain_mm=grain_mm)


def changed(
    image: sitk.Image,
    lesion: LesionVoxels,
    control: Control,
    settings: ExtractionSettings = PLAIN,
    *,
    seed: int = 1,
    reach_mm: float = 4.0,
) -> sitk.Image:
    return controlled(image, lesion, settings, control, reach_mm, np.random.default_rng(seed))


def mask_of(lesion: LesionVoxels) -> np.ndarray:
    return sitk.GetArrayFromImage(lesion.as_mask()) == 1


@pytest.mark.parametrize("control", CONTROLS)
def test_only_the_voxels_that_a_control_names_change(control: Control) -> None:
    image, lesion = scan()
    after = changed(image, lesion, control)
    old, new = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(after)
    may_change = mask_of(lesion) == (control in ROI)
    assert (old != new)[~may_change].sum() == 0
    assert (old != new)[may_change].mean() > (0.9 if control in ROI else 0.05)
    assert after.GetPixelID() == image.GetPixelID()
    assert Geometry.of(after) == Geometry.of(image)


@pytest.mark.parametrize("keeps", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("control", ROI)
def test_voxels_of_the_lesion_out_of_the_range_in_hu_stay_where_they_are(
    control: Control, keeps: dict[str, object]
) -> None:
    image, lesion = scan()
    after = changed(image, lesion, control, ExtractionSettings.model_validate(keeps))
    old, new = (sitk.GetArrayFromImage(i)[mask_of(lesion)] for i in (image, after))
    low = old < -100
    assert 0.03 < low.mean() < 0.5
    np.testing.assert_array_equal(new[low], old[low])
    assert new[~low].min() >= -100
    assert (new[~low] != old[~low]).mean() > 0.9


@pytest.mark.parametrize("keeps", NO_RANGES.values(), ids=NO_RANGES)
def test_every_voxel_takes_part_where_no_range_of_the_scan_is_kept(keeps: dict[str, object]) -> None:
    image, lesion = scan()
    after = changed(image, lesion, "roi_shuffled", ExtractionSettings.model_validate(keeps))
    old, new = (sitk.GetArrayFromImage(i)[mask_of(lesion)] for i in (image, after))
    assert (new[old < -100] != old[old < -100]).mean() > 0.9


def test_a_shuffled_lesion_has_the_sorted_values_of_the_original() -> None:
    image, lesion = scan()
    after = changed(image, lesion, "roi_shuffled", TALENT)
    old, new = (np.sort(sitk.GetArrayFromImage(i)[mask_of(lesion)]) for i in (image, after))
    np.testing.assert_array_equal(old, new)


def test_a_sampled_lesion_has_values_of_the_original_but_not_each_once() -> None:
    image, lesion = scan()
    after = changed(image, lesion, "roi_sampled")
    old, new = (sitk.GetArrayFromImage(i)[mask_of(lesion)] for i in (image, after))
    assert set(new) <= set(old)
    assert not np.array_equal(np.sort(old), np.sort(new))


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_noise_is_even_between_the_least_and_the_largest_value(dtype: type) -> None:
    image, lesion = scan()
    cast = sitk.GetImageFromArray(sitk.GetArrayFromImage(image).astype(dtype))
    cast.CopyInformation(image)
    after = changed(cast, lesion, "roi_noise")
    old, new = (sitk.GetArrayFromImage(i)[mask_of(lesion)] for i in (cast, after))
    low, high = float(old.min()), float(old.max())
    assert low <= new.min() <= low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) <= new.max() <= high
    assert new.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert new.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.05)
    assert after.GetPixelID() == cast.GetPixelID()


@pytest.mark.parametrize("control", AROUND)
def test_surroundings_end_at_their_distance_in_mm(control: Control) -> None:
    image, lesion = scan()
    spacing_zyx = np.array(image.GetSpacing()[::-1])
    lesion_points = np.argwhere(mask_of(lesion)) * spacing_zyx
    for reach in (4.0, 9.0):
        after = changed(image, lesion, control, reach_mm=reach)
        moved = sitk.GetArrayFromImage(image) != sitk.GetArrayFromImage(after)
        points = np.argwhere(moved)[::37] * spacing_zyx
        distance = np.linalg.norm(points[:, None] - lesion_points[None], axis=2).min(axis=1)
        assert reach - 1.1 < distance.max() <= reach


@pytest.mark.parametrize("control", CONTROLS)
def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(control: Control) -> None:
    image, lesion = scan()
    first, again, other = (sitk.GetArrayFromImage(changed(image, lesion, control, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_scan_and_lesion_are_left_as_they_are() -> None:
    image, lesion = scan()
    before, voxels = sitk.GetArrayFromImage(image), lesion.voxels_zyx.copy()
    for control in CONTROLS:
        changed(image, lesion, control, TALENT)
    np.testing.assert_array_equal(before, sitk.GetArrayFromImage(image))
    np.testing.assert_array_equal(voxels, lesion.voxels_zyx)


@pytest.mark.parametrize("preset", ["talent-ct", "ibsi-ct"])
@pytest.mark.parametrize("control", ["roi_shuffled", "roi_noise", "surroundings_noise"])
def test_form_is_the_same_to_the_bit(preset: str, control: Control) -> None:
    settings = ExtractionSettings.from_yaml(preset)
    image, lesion = scan(mean_hu=60)
    before = engine.extract(image, lesion, settings)
    after = engine.extract(changed(image, lesion, control, settings), lesion, settings)
    looks_at_voxels = {"CentreOfMassShift", "IntegratedIntensity", "MoransI", "GearysC"}
    form = [n for n in before if n.split("_")[1] == "shape" and n.split("_")[2] not in looks_at_voxels]
    assert len(form) >= 14
    assert [n for n in form if before[n] != after[n]] == []


def test_on_a_scan_that_is_not_resampled_shuffling_keeps_first_order_and_changes_texture() -> None:
    image, lesion = scan(mean_hu=60, spacing_mm=ISOTROPIC)
    before = engine.extract(image, lesion, TALENT)
    after = engine.extract(changed(image, lesion, "roi_shuffled", TALENT), lesion, TALENT)
    first_order = [n for n in before if n.startswith("original_firstorder_")]
    assert len(first_order) == 18
    np.testing.assert_allclose([after[n] for n in first_order], [before[n] for n in first_order], rtol=1e-9)
    assert after["original_glcm_Correlation"] == pytest.approx(0, abs=0.05)
    assert before["original_glcm_Correlation"] > 0.3


def test_on_a_scan_that_is_resampled_shuffling_levels_the_variance_that_a_grain_leaves() -> None:
    def variance(grain_mm: float, control: Control | None) -> float:
        image, lesion = scan(mean_hu=60, grain_mm=grain_mm)
        image = image if control is None else changed(image, lesion, control, TALENT)
        return engine.extract(image, lesion, TALENT)["original_firstorder_Variance"]

    assert variance(0.4, None) < 0.9 * variance(3.0, None)
    assert variance(0.4, "roi_shuffled") == pytest.approx(variance(3.0, "roi_shuffled"), rel=0.04)


def different_classes(settings: ExtractionSettings, spacing_mm: tuple[float, float, float]) -> set[str]:
    """Classes with features that noise about the lesion changes; `+` for those of a filter's image."""
    image, lesion = scan(mean_hu=60, spacing_mm=spacing_mm)
    before = engine.extract(image, lesion, settings)
    after = engine.extract(changed(image, lesion, "surroundings_noise", settings), lesion, settings)
    different = [n for n in before if before[n] != after[n] and not (np.isnan(before[n]) and np.isnan(after[n]))]
    return {n.split("_")[1] + ("" if n.startswith("original_") else "+") for n in different}


CLASSES = {"firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm"}


@pytest.mark.parametrize(
    ("settings", "spacing_mm", "matter", "classes"),
    [
        (PLAIN, THICK, False, set()),
        (TALENT, ISOTROPIC, True, set()),  # it asks for the spacing that the scan has: known only once computed
        (TALENT, THICK, True, CLASSES),
        (ExtractionSettings.model_validate(FILTERED), THICK, True, {"firstorder+"}),
        (ExtractionSettings.model_validate({"setting": {"normalize": True, "binWidth": 0.1}}), THICK, True, CLASSES),
    ],
    ids=["plain", "same-spacing", "resampled", "filtered", "normalised"],
)
def test_surroundings_change_features_that_look_outside_or_are_interpolated(
    settings: ExtractionSettings, spacing_mm: tuple[float, float, float], matter: bool, classes: set[str]
) -> None:
    assert surroundings_matter(settings) is matter
    assert different_classes(settings, spacing_mm) == classes


@pytest.mark.parametrize(
    ("more", "matter", "outside"),
    [
        ({"features": {"firstorder": None}}, False, False),
        ({"features": {"localintensity": None}}, True, True),
        ({"features": {"firstorder": None}, "interpolation": {"spacing_mm": [1, 1, 1]}}, True, False),
        ({}, True, True),
    ],
    ids=["own", "local-intensity", "interpolated", "all"],
)
def test_surroundings_matter_to_local_intensity_and_interpolation_of_ibsi(
    more: dict[str, object], matter: bool, outside: bool
) -> None:
    keeps = {"resegmentation": {"range_hu": [-100, 300]}, "discretisation": {"bin_width": 25}}
    settings = ExtractionSettings.model_validate({"ibsi": {**keeps, **more}})
    assert surroundings_matter(settings) is matter
    assert looks_outside(settings) is outside
    assert bool(different_classes(settings, THICK)) is matter


def test_filters_see_a_shuffled_lesion_with_less_variance() -> None:
    settings = ExtractionSettings.model_validate(FILTERED)
    image, lesion = scan(mean_hu=100)
    before = engine.extract(image, lesion, settings)
    after = engine.extract(changed(image, lesion, "roi_shuffled", settings), lesion, settings)
    assert before["log-sigma-2-0-mm-3D_firstorder_Variance"] > after["log-sigma-2-0-mm-3D_firstorder_Variance"]


@pytest.mark.parametrize("control", ["roi_noise", "surroundings_noise"])
def test_voxels_that_are_not_finite_stay(control: Control) -> None:
    image, lesion = scan()
    values = sitk.GetArrayFromImage(image).astype(np.float32)
    values[np.random.default_rng(0).random(values.shape) < 0.1] = np.nan
    holed = sitk.GetImageFromArray(values)
    holed.CopyInformation(image)
    after = sitk.GetArrayFromImage(changed(holed, lesion, control))
    np.testing.assert_array_equal(np.isnan(after), np.isnan(values))
    assert (after != values)[np.isfinite(values)].mean() > 0.02


def test_a_lesion_that_fills_its_scan_has_no_surroundings() -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (5, 5, 5)).astype(np.int16))
    lesion = LesionVoxels.of(np.ones((5, 5, 5), dtype=bool), Geometry.of(image))
    assert lesion is not None
    after = changed(image, lesion, "surroundings_sampled")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(after))


def test_a_lesion_without_a_voxel_in_the_range_stays_and_is_refused_as_the_original_is() -> None:
    image, lesion = scan(mean_hu=-900)
    after = changed(image, lesion, "roi_noise", TALENT)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(after))
    with pytest.raises(MaskError, match="Resegmentation excluded too many voxels"):
        engine.extract(after, lesion, TALENT)


@pytest.mark.slow
def test_controls_of_a_sarcoma_keep_its_form_and_lose_its_texture(sts_root: Path, tmp_path: Path) -> None:
    cohort = write_cohort(cohort_from_index(index_dicom(sts_root / "STS_001"), tmp_path / "c.csv"), tmp_path / "c.csv")
    case = load_case(cohort.lesions[0], TALENT)
    before = engine.extract(case.image, case.voxels, TALENT)
    shuffled = changed(case.image, case.voxels, "roi_shuffled", TALENT)
    after = engine.extract(shuffled, case.voxels, TALENT)
    assert after["original_shape_MeshVolume"] == before["original_shape_MeshVolume"]
    # Interpolated between the scan's voxels, even shuffled ones are alike: less than those of the lesion.
    assert after["original_firstorder_Variance"] < before["original_firstorder_Variance"]
    assert after["original_glcm_InverseVariance"] != pytest.approx(before["original_glcm_InverseVariance"], rel=0.01)
