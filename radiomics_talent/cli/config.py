"""``radiomics-talent config``: the settings and the shipped presets."""

from __future__ import annotations

import typer

config = typer.Typer(no_args_is_help=True, help="Show the shipped settings and the schema of a settings file.")


@config.command("list")
def list_() -> None:
    """List the shipped presets, each with its first line of explanation.

    Example: radiomics-talent config list
    """
    from radiomics_talent.presets import list_presets

    presets = list_presets("extraction")
    width = max(map(len, presets), default=0)
    for name, path in presets.items():
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        what = first.lstrip("# ").removeprefix(f"{name}:").strip() if first.startswith("#") else ""
        typer.echo(f"{name:{width}}  {what}".rstrip())


@config.command()
def show(name: str = typer.Argument(help="A preset, or a settings file.")) -> None:
    """Print a preset with its comments, as a start for settings of your own.

    Example: radiomics-talent config show talent-ct > my-settings.yaml
    """
    from radiomics_talent.presets import find_preset
    from radiomics_talent.settings import ExtractionSettings

    path = find_preset("extraction", name)
    ExtractionSettings.from_yaml(path)  # never print what would be refused
    typer.echo(path.read_text(encoding="utf-8-sig"), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the extraction settings, for an editor to complete and check them.

    Example: radiomics-talent config schema > extraction.schema.json
    """
    import json

    from radiomics_talent.settings import ExtractionSettings

    typer.echo(json.dumps(ExtractionSettings.model_json_schema(), indent=2))
