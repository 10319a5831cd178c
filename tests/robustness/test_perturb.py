"""A version without strength is the lesion as it is; with it, what the step says and nothing else."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from robustness.balls import ball_case

from radiomics_talent.errors import ConfigError
from radiomics_talent.features import engine
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.robustness.draws import Version, draw_versions
from radiomics_talent.robustness.perturb import Perturbations, check_settings, perturbed, with_bin_width
from radiomics_talent.robustness_settings import STEPS, PerturbationSettings
from radiomics_talent.settings import ExtractionSettings

TALENT, IBSI = ExtractionSettings.from_yaml("talent-ct"), ExtractionSettings.from_yaml("ibsi-ct")
AS_SCANNED = ExtractionSettings.model_validate({"imageType": {"Original": {}, "LoG": {"sigma": [2.0]}}, "pad_mm": 10})
CHAINS = {"talent-ct": TALENT, "ibsi-ct": IBSI, "as scanned": AS_SCANNED}
ZERO = PerturbationSettings.model_validate(
    {"strengths": dict.fromkeys(type(PerturbationSettings().strengths).model_fields, 0)}
)


def inside(prepared):
    return sitk.GetArrayFromImage(prepared.image)[prepared.lesion.slices_zyx][
        sitk.GetArrayFromImage(prepared.mask) == 1
    ]


@pytest.mark.parametrize("name", CHAINS)
def test_zero_strength_gives_identical_features(name):
    case, settings = ball_case(16.0), CHAINS[name]
    own = dict(engine.extract(case.image, case.voxels, settings))
    make = Perturbations(ZERO).begin(case, settings)
    for chain in Perturbations(ZERO).chains:
        for version in make(chain):
            assert all(v == own[k] or (math.isnan(v) and math.isnan(own[k])) for k, v in version.items()), chain
            assert list(version) == list(own)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", CHAINS)
def test_every_step_changes_features_and_leaves_them_defined(name, step):
    case, settings = ball_case(20.0), CHAINS[name]
    own = engine.extract(case.image, case.voxels, settings)
    versions = Perturbations(PerturbationSettings()).begin(case, settings)(step)
    # A shift of less than half a HU is none on a scan of whole HU.
    assert sum(len([k for k in own if version[k] != own[k]]) > 20 for version in versions) >= 7
    for version in versions:
        assert list(version) == list(own)
        assert {k for k in own if math.isnan(version[k])} == {k for k in own if math.isnan(own[k])}


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    case = ball_case(20.0)

    def combined(seed):
        settings = PerturbationSettings.model_validate({"seed": seed})
        return [dict(v) for v in Perturbations(settings).begin(case, TALENT)("combined")[:4]]

    assert combined(1) == combined(1)
    assert combined(1) != combined(2)


def test_a_step_of_its_own_is_what_it_is_in_any_order_of_chains():
    case = ball_case(16.0)
    plan = Perturbations(PerturbationSettings())
    first = plan.begin(case, TALENT)
    forwards = {chain: [dict(v) for v in first(chain)] for chain in ("volume", "contour")}
    second = plan.begin(case, TALENT)
    backwards = {chain: [dict(v) for v in second(chain)] for chain in ("contour", "volume")}
    assert forwards == backwards


def test_a_shift_moves_every_voxel_by_as_much():
    case = ball_case(20.0)
    own, _ = perturbed(case, TALENT, Version("x", 1), 0)
    moved, _ = perturbed(case, TALENT, Version("x", 1, hu_shift_hu=7.0), 0)
    assert np.array_equal(sitk.GetArrayFromImage(own.mask), sitk.GetArrayFromImage(moved.mask))
    # The cubic spline is cut towards zero for scans of whole HU, as in PyRadiomics.
    assert np.abs(inside(moved) - inside(own) - 7).max() <= 1


def test_noise_is_the_scans_own():
    case = ball_case(24.0, noise_hu=20.0)
    settings = ExtractionSettings.model_validate({})
    own, _ = perturbed(case, settings, Version("x", 1), 0)
    noisy, _ = perturbed(case, settings, Version("x", 1, noise=1.0), 0)
    added = inside(noisy).astype(float) - inside(own)
    assert added.std() == pytest.approx(20.0, rel=0.1)
    assert added.mean() == pytest.approx(0.0, abs=1.0)


def test_a_larger_lesion_has_a_larger_mesh():
    case = ball_case(24.0)
    own = engine.extract(case.image, case.voxels, TALENT)
    for change in (-0.2, 0.2):
        found = engine.compute(*perturbed(case, TALENT, Version("x", 1, volume_change=change), 0))
        ratio = found["original_shape_MeshVolume"] / own["original_shape_MeshVolume"]
        assert ratio == pytest.approx(1 + change, rel=0.03)


def test_thick_slices_smooth_a_lesion():
    case = ball_case(24.0, spacing=(0.8, 0.8, 1.0))
    own = engine.extract(case.image, case.voxels, TALENT)
    version = Version("x", 1, slice_thickness_mm=5.0, slice_share=1.0, slice_phase=0.5)
    thick = engine.compute(*perturbed(case, TALENT, version, 0))
    assert thick["original_firstorder_Variance"] < 0.7 * own["original_firstorder_Variance"]


def test_scans_with_slices_as_thick_stay_as_they_are():
    case = ball_case(24.0, spacing=(0.8, 0.8, 5.0))
    own = engine.extract(case.image, case.voxels, TALENT)
    versions = Perturbations(PerturbationSettings()).begin(case, TALENT)("slice_thickness")
    assert all(dict(v) == dict(own) for v in versions)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (TALENT, lambda s: s.setting.binWidth),
        (IBSI, lambda s: s.ibsi.discretisation.bin_width),
        (
            ExtractionSettings.model_validate({"imageType": {"Square": {"binWidth": 10}}}),
            lambda s: s.imageType["Square"].binWidth,
        ),
    ],
)
def test_grey_levels_are_wider_where_their_width_is_set(settings, found):
    assert found(with_bin_width(settings, 0.2)) == pytest.approx(1.2 * found(settings))
    assert with_bin_width(settings, 0.0) is settings


def test_a_fixed_number_of_grey_levels_falls_as_they_widen():
    settings = ExtractionSettings.model_validate({"setting": {"binCount": 60}})
    assert with_bin_width(settings, 0.2).setting.binCount == 50
    assert with_bin_width(settings, 0.2).setting.binWidth == settings.setting.binWidth


def test_wider_grey_levels_leave_shape_and_first_order():
    case = ball_case(20.0)
    own = engine.extract(case.image, case.voxels, TALENT)
    wide = engine.compute(*perturbed(case, TALENT, Version("x", 1, bin_width_change=0.2), 0))
    same = {k for k in own if wide[k] == own[k]}
    assert {k for k in own if "_shape_" in k} <= same
    assert {"original_firstorder_Mean", "original_firstorder_Variance"} <= same
    assert "original_glcm_JointEntropy" not in same


def test_a_version_whose_lesion_is_too_small_is_left_out_with_a_sentence():
    image, lesion = (c := ball_case(8.0)).image, c.voxels
    least = int(engine.prepare(image, lesion, TALENT).mask.GetNumberOfPixels() * 0.45)
    settings = TALENT.model_copy(update={"setting": TALENT.setting.model_copy(update={"minimumROISize": least})})
    made = Perturbations(PerturbationSettings()).begin(c, settings)("volume")
    told = [str(v) for v in made if isinstance(v, Exception)]
    assert 0 < len(told) < 8
    assert all("the lesion is too small" in text for text in told)


def test_a_lesion_of_one_voxel_vanishes_and_says_so():
    values = np.random.default_rng(0).normal(60, 10, (9, 20, 20)).round().astype(np.int16)
    image = sitk.GetImageFromArray(values)
    mask = np.zeros(values.shape, bool)
    mask[4, 9, 9] = True
    case = ball_case(8.0)
    case = type(case)(case.lesion, image, LesionVoxels.of(mask, Geometry.of(image)), ())
    settings = PerturbationSettings.model_validate(
        {
            "strengths": {"volume_change": 0.9},
            "chains": {"volume": {"steps": ["volume"], "versions": 4}},
            "stability": {"chain": "volume"},
        }
    )
    made = Perturbations(settings).begin(case, TALENT)("volume")
    assert any("vanishes when it shrinks" in str(v) for v in made)


def test_a_normalised_scan_is_refused():
    settings = ExtractionSettings.model_validate({"setting": {"normalize": True}})
    with pytest.raises(ConfigError, match=r"setting\.normalize: true takes away"):
        check_settings(settings)


def test_versions_of_a_chain_are_as_many_as_it_says():
    plan = Perturbations(PerturbationSettings())
    assert plan.chains["original"] == 1
    for chain, number in list(plan.chains.items())[1:]:
        assert len(draw_versions(plan.settings, chain)) == number
