"""Versions are drawn once for a cohort: strengths within their range, one in each part of it."""

import numpy as np
import pytest

from radiomics_talent.robustness.draws import draw_versions, own_generator
from radiomics_talent.robustness_settings import STEPS, PerturbationSettings

SETTINGS = PerturbationSettings()


def test_each_part_of_a_range_is_drawn_once():
    versions = draw_versions(SETTINGS, "combined")
    n = len(versions)
    places = np.sort([(v.rotation_deg / SETTINGS.strengths.rotation_deg + 1) / 2 * n for v in versions])
    assert np.floor(places).tolist() == list(range(n))


def test_axes_are_shifted_each_by_itself():
    shifts = np.array([v.translation_voxels for v in draw_versions(SETTINGS, "combined")])
    assert np.abs(shifts).max() <= 0.5
    assert np.abs(np.corrcoef(shifts.T)[np.triu_indices(3, 1)]).max() < 0.5


@pytest.mark.parametrize("step", STEPS)
def test_a_step_alone_moves_nothing_else(step):
    for version in draw_versions(SETTINGS, step):
        changed = {
            "rotation": version.rotation_deg != 0,
            "translation": any(version.translation_voxels),
            "noise": version.noise != 0,
            "volume": version.volume_change != 0,
            "contour": version.contour_supervoxel_mm3 != 0,
            "hu_shift": version.hu_shift_hu != 0,
            "slice_thickness": version.slice_thickness_mm != 0,
            "bin_width": version.bin_width_change != 0,
        }
        assert [name for name, is_so in changed.items() if is_so] == [step]


def test_another_seed_gives_other_versions_and_the_same_seed_the_same():
    again = PerturbationSettings.model_validate(SETTINGS.canonical())
    assert draw_versions(again, "combined") == draw_versions(SETTINGS, "combined")
    other = SETTINGS.model_copy(update={"seed": SETTINGS.seed + 1})
    assert draw_versions(other, "combined") != draw_versions(SETTINGS, "combined")


def test_more_steps_leave_the_draws_of_the_others():
    def chain(*steps):
        return PerturbationSettings.model_validate(
            {"chains": {"mine": {"steps": steps, "versions": 5}}, "stability": {"chain": "mine"}}
        )

    alone = draw_versions(chain("rotation"), "mine")
    both = draw_versions(chain("rotation", "volume"), "mine")
    assert [v.rotation_deg for v in alone] == [v.rotation_deg for v in both]


def test_zero_strengths_leave_every_version_as_it_is():
    strengths = dict.fromkeys(type(SETTINGS.strengths).model_fields, 0)
    settings = PerturbationSettings.model_validate({"strengths": strengths})
    for chain in settings.chains:
        for version in draw_versions(settings, chain):
            assert not version.moves
            assert (version.noise, version.volume_change, version.contour_supervoxel_mm3) == (0, 0, 0)
            assert (version.hu_shift_hu, version.slice_thickness_mm, version.bin_width_change) == (0, 0, 0)


def test_random_numbers_of_a_lesion_are_its_own():
    draws = {
        own_generator(seed, content, chain, number).random()
        for seed in (0, 1)
        for content in ("a", "b")
        for chain in ("x", "y")
        for number in (1, 2)
    }
    assert len(draws) == 16
    assert own_generator(1, "a", "x", 1).random() in draws
