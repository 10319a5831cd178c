"""Settings of perturbations and controls: presets say what the defaults are, and wrong ones are refused by name."""

import pytest
import yaml

from radiomics_talent.errors import ConfigError
from radiomics_talent.presets import list_presets, validated
from radiomics_talent.robustness_settings import ControlSettings, PerturbationSettings


def test_the_first_preset_is_the_default_written_out():
    assert PerturbationSettings.from_yaml("talent-perturb") == PerturbationSettings()
    assert ControlSettings.from_yaml("readii") == ControlSettings()


def test_the_default_makes_a_hundred_versions():
    assert sum(chain.versions for chain in PerturbationSettings().chains.values()) == 100


@pytest.mark.parametrize("name", list_presets("robustness"))
def test_every_preset_of_perturbations_loads_and_keeps_its_hash(name):
    settings = PerturbationSettings.from_yaml(name)
    assert PerturbationSettings.model_validate(settings.canonical()).hash == settings.hash


@pytest.mark.parametrize("name", list_presets("controls"))
def test_every_preset_of_controls_loads(name):
    assert ControlSettings.from_yaml(name).controls


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"chains": {"mine": {"steps": ["turn"]}}}, r"chains\.mine\.steps\.0: .*rotation"),
        ({"chains": {"mine": {"steps": ["rotation"]}}}, "stability.chain 'combined' is none of the chains"),
        ({"chains": {"combined": {"steps": ["rotation"], "versions": 1}}}, "greater than or equal to 2"),
        (
            {"chains": {"original": {"steps": ["noise"]}}, "stability": {"chain": "original"}},
            "original names the lesion as it is",
        ),
        ({"strengths": {"volume_change": 1.5}}, "strengths.volume_change"),
        ({"strength": {}}, "unknown key strength; did you mean strengths"),
        ({"stability": {"good": 0.9, "excellent": 0.75}}, "good .0.9. is less than excellent .0.75"),
    ],
)
def test_wrong_settings_are_refused_by_name(given, told):
    with pytest.raises(ConfigError, match=told):
        validated(PerturbationSettings, yaml.safe_load(yaml.safe_dump(given)), where="mine.yaml")


def test_the_order_of_steps_is_no_setting():
    first, second = (
        PerturbationSettings.model_validate({"chains": {"mine": {"steps": steps}}, "stability": {"chain": "mine"}})
        for steps in (["rotation", "volume", "rotation"], ["volume", "rotation"])
    )
    assert first.chains["mine"].steps == ("volume", "rotation")
    assert first.hash == second.hash
