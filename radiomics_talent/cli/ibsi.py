"""``radiomics-talent ibsi``: this program's features beside the consensus values of IBSI 1."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.compilation import compile_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from radiomics_talent.compliance.comparison import Comparison
    from radiomics_talent.compliance.phantoms import Phantom

_WIDTH = 118
"""Columns of the tables where no terminal says otherwise."""


def ibsi(
    data: Path | None = typer.Option(
        None,
        "--data",
        help="Folder that holds the CT phantom (ct_phantom, or ibsi_1_ct_radiomics_phantom of theibsi/data_sets); "
        "without it the digital phantom alone, which is built in.",
        metavar="DIR",
    ),
    reference: Path | None = typer.Option(
        None,
        "--reference",
        help="Consensus values: config, feature_family, feature, ibsi_code, aggregation, reference_value, tolerance; "
        "without it those built in (digital, A, C, D).",
        metavar="CSV",
    ),
    config: list[str] = typer.Option(
        [], "--config", help="Only this configuration: digital, A, B, C, D or E; may be repeated.", metavar="NAME"
    ),
    form: str = typer.Option("", "--form", help="Read the CT phantom as nifti or dicom.", metavar="FORM"),
    as_json: bool = typer.Option(False, "--json", help="Print a list of objects, one a feature."),
) -> None:
    """Compute every feature of IBSI 1 on its phantoms and compare it with the consensus value.

    Prints feature, code, our value, the reference with its tolerance, and pass, fail, not computed or no consensus
    (IBSI reached none, or the table has no value); then a summary by family. A value passes when it is within the
    tolerance, rounded to the digits of the reference. Exit code 0: nothing fails; 1: a value fails; 2: wrong usage.

    Example: radiomics-talent ibsi --data data_sets
    """
    from radiomics_talent.compliance.comparison import CONFIGURATIONS, compare, computed_values, settings_of
    from radiomics_talent.compliance.reference_values import load_reference_values

    chosen = _chosen(config, CONFIGURATIONS)
    values = load_reference_values(reference)
    unknown = sorted({value.config for value in values} - set(CONFIGURATIONS))
    if unknown:
        typer.echo(
            f"note: {reference}: IBSI 1 has no configuration {', '.join(unknown)}; its values are left out", err=True
        )
    phantoms = _phantoms(data, form, chosen)
    compile_engine(settings_of("digital"))
    found: list[Comparison] = []
    for name, phantom in phantoms.items():
        found += compare(name, computed_values(name, phantom), values)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=1))
    else:
        _print(found)
        if data is None and len(phantoms) < len(chosen):
            from radiomics_talent.compliance.phantoms import WHERE_TO_GET_IT

            typer.echo(f"note: configurations A to E need the CT phantom: {WHERE_TO_GET_IT}", err=True)
    if any(one.status == "fail" for one in found):
        raise typer.Exit(1)


def _chosen(asked: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    from radiomics_talent.errors import ConfigError

    by_name = {name.casefold(): name for name in known}
    for name in asked:
        if name.casefold() not in by_name:
            raise ConfigError(f"--config {name}: no such configuration; IBSI 1 has {', '.join(known)}")
    return tuple(by_name[name.casefold()] for name in asked) or tuple(known)


def _phantoms(data: Path | None, form: str, chosen: Sequence[str]) -> dict[str, Phantom]:
    """Load the phantoms that the chosen configurations need and that are there."""
    from radiomics_talent.compliance import phantoms as ibsi_phantoms
    from radiomics_talent.errors import ConfigError

    if form not in {"", "nifti", "dicom"}:
        raise ConfigError(f"--form {form}: unknown; give nifti or dicom")
    found = {name: ibsi_phantoms.digital_phantom() for name in chosen if name == "digital"}
    on_ct = [name for name in chosen if name != "digital"]
    if data is None and form:
        raise ConfigError("--form goes with --data, which names the folder of the CT phantom")
    folder = None if data is None else ibsi_phantoms.find_ct_phantom(data)
    if data is not None and on_ct:
        if folder is None:
            raise ConfigError(f"the CT phantom is not in it; {ibsi_phantoms.WHERE_TO_GET_IT}", where=str(data))
        phantom = ibsi_phantoms.load_ct_phantom(folder, form or None)  # type: ignore[arg-type]  # checked above
        found |= dict.fromkeys(on_ct, phantom)
    if not found:
        raise ConfigError(f"--config {', '.join(on_ct)} needs the CT phantom: {ibsi_phantoms.WHERE_TO_GET_IT}")
    return found


def _print(found: Sequence[Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table

    from radiomics_talent.compliance.comparison import CONFIGURATIONS

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in found:
        groups.setdefault((one.config, one.feature_family), []).append(one)
    for (config, family), rows in groups.items():
        table = Table(title=f"{config}: {family}", title_justify="left", box=None, pad_edge=False)
        for name, justify in (("feature", "left"), ("code", "left"), ("ours", "right"), ("reference", "right")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        table.add_column("tolerance", justify="right")
        table.add_column("status")
        for row in rows:
            numbers = [_number(value) for value in (row.ours, row.reference, row.tolerance)]
            table.add_row(row.feature, row.ibsi_code, *numbers, row.status)
        console.print(table)
        console.print()
    console.print(_summary(found))
    without = [name for name in CONFIGURATIONS if _has_no_reference(name, found)]
    if without:
        console.print(f"the table of reference values has none of {', '.join(without)}")


def _has_no_reference(config: str, found: Sequence[Comparison]) -> bool:
    rows = [one for one in found if one.config == config]
    return bool(rows) and all(one.reference is None for one in rows)


def _summary(found: Sequence[Comparison]) -> Table:
    """Return the table of what passes, by family and configuration."""
    from rich.table import Table

    from radiomics_talent.compliance.comparison import CONFIGURATIONS

    title = "summary: passed of those with a consensus value"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    present = [name for name in CONFIGURATIONS if any(one.config == name for one in found)]
    for name in ("family", *present, "fail", "not computed", "no consensus"):
        table.add_column(name, justify="left" if name == "family" else "right")
    by_family: dict[str, list[Comparison]] = {}
    for one in found:
        by_family.setdefault(one.feature_family.split(" (")[0], []).append(one)
    for family, of_family in by_family.items():
        table.add_row(family, *_counts(of_family, present))
    table.add_row("all", *_counts(found, present))
    return table


def _counts(rows: Sequence[Comparison], configs: Sequence[str]) -> list[str]:
    """Return the cells of one line of the summary."""
    cells = []
    for config in configs:
        statuses = [one.status for one in rows if one.config == config and one.reference is not None]
        cells.append(f"{statuses.count('pass')}/{len(statuses)}" if statuses else "-")
    statuses = [one.status for one in rows]
    return [*cells, *(str(statuses.count(name)) for name in ("fail", "not computed", "no consensus"))]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
