"""``radiomics-talent config``: the settings and the shipped presets."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

config = typer.Typer(no_args_is_help=True, help="Show the shipped settings and the schema of a settings file.")


class Kind(StrEnum):
    """What settings are for."""

    EXTRACTION = "extraction"
    MODELS = "models"
    STUDIES = "studies"
    ROBUSTNESS = "robustness"
    CONTROLS = "controls"
    CLUSTERS = "clusters"


@config.command("list")
def list_() -> None:
    """List the shipped presets, each with its first line of explanation.

    Example: radiomics-talent config list
    """
    from radiomics_talent.presets import list_presets

    for kind in Kind:
        presets = list_presets(kind)
        typer.echo(f"{kind}:")
        width = max(map(len, presets), default=0)
        for name, path in presets.items():
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            what = first.lstrip("# ").removeprefix(f"{name}:").strip() if first.startswith("#") else ""
            typer.echo(f"  {name:{width}}  {what}".rstrip())


@config.command()
def show(
    name: str = typer.Argument(help="A preset, or a settings file."),
) -> None:
    """Print a preset with its comments, as a start for settings of your own.

    Example: radiomics-talent config show talent-ct > my-settings.yaml
    """
    from pathlib import Path

    from radiomics_talent.presets import find_preset, list_presets, read_yaml

    if Path(name).is_file():
        keys = set(read_yaml(Path(name)))
        # Whose keys these are tells what the file is for.
        kind = max(Kind, key=lambda k: len(keys & set(_settings_type(k).model_fields)))
    else:
        stem = Path(name).stem if name.endswith((".yaml", ".yml")) else name
        kind = next((k for k in Kind if stem in list_presets(k)), Kind.EXTRACTION)
    path = find_preset(kind, name)
    _settings_type(kind).from_yaml(path)  # type: ignore[attr-defined]  # never print what would be refused
    typer.echo(path.read_text(encoding="utf-8-sig"), nl=False)


@config.command()
def schema(kind: Kind = typer.Option(Kind.EXTRACTION, "--kind", help="Which settings.")) -> None:
    """Print the JSON Schema of the settings, for an editor to complete and check them.

    Example: radiomics-talent config schema --kind models > models.schema.json
    """
    import json

    typer.echo(json.dumps(_settings_type(kind).model_json_schema(), indent=2))


def _settings_type(kind: Kind) -> type[BaseModel]:
    from radiomics_talent.cluster_settings import ClusterSettings
    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.robustness_settings import ControlSettings, PerturbationSettings
    from radiomics_talent.settings import ExtractionSettings
    from radiomics_talent.study_settings import StudySettings

    types: dict[Kind, type[BaseModel]] = {
        Kind.EXTRACTION: ExtractionSettings,
        Kind.MODELS: ModelSettings,
        Kind.STUDIES: StudySettings,
        Kind.ROBUSTNESS: PerturbationSettings,
        Kind.CONTROLS: ControlSettings,
        Kind.CLUSTERS: ClusterSettings,
    }
    return types[kind]
