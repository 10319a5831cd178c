"""What the documents say is what the code does."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import radiomics
import yaml
from typer.main import get_command

import radiomics_talent
from radiomics_talent.cli import app
from radiomics_talent.cluster_settings import ClusterSettings
from radiomics_talent.model_settings import (
    ComBatSettings,
    ModelSettings,
    PreprocessSettings,
    SearchSettings,
    SelectionSettings,
    ValidationSettings,
)
from radiomics_talent.presets import list_presets
from radiomics_talent.robustness_settings import (
    ChainSettings,
    ControlSettings,
    PerturbationSettings,
    StabilitySettings,
    StrengthSettings,
)
from radiomics_talent.settings import (
    ExtractionSettings,
    GeometrySettings,
    MaskSettings,
    PyRadiomicsSettings,
    VoxelSettings,
)

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OURS = [ExtractionSettings, GeometrySettings, MaskSettings]
MODELS = [ModelSettings, PreprocessSettings, ComBatSettings, SelectionSettings, SearchSettings, ValidationSettings]
ROBUSTNESS = [PerturbationSettings, StrengthSettings, ChainSettings, StabilitySettings, ControlSettings]
KINDS = ("extraction", "models", "studies", "robustness", "controls", "clusters")


def test_tables_of_the_docs_are_up_to_date():
    pages = runpy.run_path(str(ROOT / "docs" / "write_tables.py"))
    for name in ("findings", "settings", "model_settings", "robustness_settings", "cluster_settings"):
        page = (ROOT / "docs" / f"{name.replace('_', '-')}.md").read_text(encoding="utf-8")
        assert page == pages[f"{name}_page"](), "run `make docs`"


@pytest.mark.parametrize("model", [*OURS, *MODELS, *ROBUSTNESS, ClusterSettings])
def test_every_option_of_ours_is_used(model):
    """A setting that no module reads would be a promise that nobody keeps."""
    code = "\n".join(
        p.read_text(encoding="utf-8")
        for p in (ROOT / "radiomics_talent").rglob("*.py")
        if p.name
        not in {"settings.py", "model_settings.py", "robustness_settings.py", "cluster_settings.py", "presets.py"}
    )
    own = (ROOT / "radiomics_talent" / "settings.py").read_text(encoding="utf-8")
    for name in model.model_fields:
        # PyRadiomics' two dictionaries leave the settings through to_pyradiomics.
        assert re.search(rf"\.{name}\b|\"{name}\"", code) or f"self.{name}" in own, name


def test_every_option_of_pyradiomics_is_there_and_no_other():
    schema = yaml.safe_load((Path(radiomics.__file__).parent / "schemas" / "paramSchema.yaml").read_text())
    assert set(PyRadiomicsSettings.model_fields) == set(schema["mapping"]["setting"]["mapping"])
    assert set(VoxelSettings.model_fields) == set(schema["mapping"]["voxelSetting"]["mapping"])


def test_every_option_is_in_the_schema():
    text = json.dumps(ExtractionSettings.model_json_schema())
    for model in (*OURS, PyRadiomicsSettings, VoxelSettings):
        for name in model.model_fields:
            assert f'"{name}"' in text


@pytest.mark.parametrize("name", [n for kind in KINDS for n in list_presets(kind)])
def test_every_preset_is_named_in_the_readme(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", list_presets("models"))
def test_every_model_preset_loads(name):
    assert ModelSettings.from_yaml(name).models


def test_changelog_head_is_the_version():
    head = re.search(r"^## \[?([0-9][^\]\s]*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert head is not None
    assert head[1] == radiomics_talent.__version__
    assert f'version = "{radiomics_talent.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"version: {radiomics_talent.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def commands():
    """Every command of the program, with its click object."""
    group = get_command(app)
    for name, command in group.commands.items():
        yield from (
            ((f"{name} {n}", c) for n, c in getattr(command, "commands", {name: command}).items())
            if hasattr(command, "commands")
            else [(name, command)]
        )


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_is_explained(name, command):
    assert command.help, f"{name} has no help"
    for option in command.params:
        assert getattr(option, "help", None), f"{name} {option.name} has no help"
    assert name.split()[0] in README


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_help_has_an_example(name, command):
    assert f"radiomics-talent {name}" in (command.help or "") + (command.epilog or ""), name


def readme_blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_readme_runs(tmp_path):
    """The README's commands, in its order, in an empty folder; then its Python."""
    program = Path(sys.executable).with_name("radiomics-talent")
    lines = [line for block in readme_blocks("bash") for line in block.splitlines()]
    typed = [line.split(" #")[0] for line in lines if line.startswith("radiomics-talent ")]
    assert len(typed) >= 4
    for line in typed:
        run = subprocess.run(
            [program, *shlex.split(line)[1:]], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
        )
        assert run.returncode == 0, f"{line}\n{run.stdout}\n{run.stderr}"
    for block in readme_blocks("python"):
        run = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
        )
        assert run.returncode == 0, run.stderr
