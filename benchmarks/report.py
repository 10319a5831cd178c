"""Rows as Markdown while they come, all of them as JSON, and the plot of time against lesion volume."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_PACKAGES = ("radiomics-talent", "pyradiomics", "pyradiomics-bhklab", "numpy", "numba", "SimpleITK")
_STYLES = {
    "PyRadiomics CPU s": ("PyRadiomics on the whole scan", "0.6", "s", ":"),
    "reference CPU s": ("reference: PyRadiomics on the crop", "0.35", "^", "--"),
    "native CPU s": ("native", "0.0", "o", "-"),
}


def machine() -> dict[str, str]:
    """Return what figures depend on: processor, cores, Python, versions."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = (line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line)
        processor = next(names, processor)
    found = {"processor": processor, "cores": str(os.cpu_count()), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def print_rows(title: str, rows: Any) -> tuple[list[Row], list[str]]:
    """Print rows and notes as they come, under a title; return both."""
    print(f"\n### {title}\n", flush=True)
    kept: list[Row] = []
    notes: list[str] = []
    columns: list[str] = []
    for row in rows:
        if isinstance(row, str):
            notes.append(row)
            continue
        if list(row) != columns:
            columns = list(row)
            print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        kept.append(row)
        print(f"| {' | '.join(shown(name, value) for name, value in row.items())} |", flush=True)
    for note in notes:
        print(f"\n{note}", flush=True)
    return kept, notes


def shown(column: str, value: Any) -> str:
    """Return a cell's text: differences as powers, memory whole, the rest to three digits."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if math.isnan(value):
        return "?"
    if "difference" in column:
        return f"{value:.1e}" if value else "0"
    if "MiB" in column or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write_results(path: Path, cases: dict[str, Row]) -> None:
    """Add the cases of a run to what other runs have left in the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | cases, indent=1) + "\n")
    print(f"\nresults: {path}", file=sys.stderr)


def plot_lesions(rows: list[Row], path: Path) -> None:
    """Draw CPU seconds against the lesion's volume, both axes logarithmic, readable without colour."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "radiomics-talent"
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    volumes = [row["voxels"] / 1000 for row in rows]
    for column, (label, grey, marker, line) in _STYLES.items():
        seconds = [row[column] for row in rows]
        axes.loglog(volumes, seconds, label=label, color=grey, marker=marker, linestyle=line, markerfacecolor="white")
    for volume, row in zip(volumes, rows, strict=True):
        axes.annotate(
            f"{row['lesion']}\n{row['ratio CPU']:.0f} ×", (volume, row["native CPU s"]), (0, -8),
            textcoords="offset points", ha="center", va="top", fontsize=8,
        )  # fmt: skip
    axes.set_ylim(bottom=min(row["native CPU s"] for row in rows) / 4)
    axes.margins(x=0.1)
    axes.set_xlabel("volume of the lesion (ml, on 1 mm voxels)")
    axes.set_ylabel("CPU seconds for 1316 features")
    axes.grid(visible=True, which="major", color="0.9")
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    print(f"figure: {path}", file=sys.stderr)
