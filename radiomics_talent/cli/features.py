"""``radiomics-talent features``: what can be computed, under which names and codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.feature_dictionary import FeatureDefinition

_COLUMNS = ("feature_class", "feature", "ibsi_name", "ibsi_code", "unit", "definition")


def features(
    family: str = typer.Option(
        "", "--family", help="A class (glcm) or a family of the IBSI (Morphology); its beginning is enough."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="Print JSON, with who computes it and where PyRadiomics departs."
    ),
) -> None:
    """List the features: class, PyRadiomics' name, IBSI name and code, unit, and what each measures.

    What PyRadiomics lacks has a name of its style. On a terminal a table, otherwise tab-separated lines.

    Example: radiomics-talent features --family glcm
    """
    import sys

    from radiomics_talent.feature_dictionary import definitions, features_of_family

    found = features_of_family(family) if family else definitions()
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _print_rich(found)
    else:
        for cells in (_COLUMNS, *(tuple(str(getattr(one, name)) for name in _COLUMNS) for one in found)):
            typer.echo("\t".join(cells))


def _print_rich(found: Sequence[FeatureDefinition]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for name in dict.fromkeys(one.feature_class for one in found):
        view = Table(title=name, title_justify="left", title_style="bold", show_lines=True)
        # Names have up to 36 letters, the IBSI's more: one under the other leaves room for the definition.
        view.add_column("feature, IBSI name", min_width=min(36, console.width // 2 - 12), max_width=44)
        view.add_column("code", no_wrap=True)
        view.add_column("unit")
        view.add_column("definition")
        for one in (one for one in found if one.feature_class == name):
            names = Text(one.feature, overflow="fold")
            if one.ibsi_name:
                names.append(f"\n{one.ibsi_name}", style="dim")
            view.add_row(names, one.ibsi_code, one.unit, Text(one.definition))
        console.print(view)
