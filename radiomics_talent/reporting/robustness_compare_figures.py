"""Figures of two measurements of the same lesions: Bland-Altman, masks, batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from radiomics_talent.reporting.extraction_figures import PALETTE, short
from radiomics_talent.reporting.figures import empty_axes, plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_LINES = (("bias", PALETTE[0], "-"), ("lower_limit", PALETTE[1], "--"), ("upper_limit", PALETTE[1], "--"))


def draw_bland_altman(a: NDArray[np.float64], b: NDArray[np.float64], row: Mapping[str, float], unit: str) -> Figure:
    """Draw the difference of each pair against its mean, with bias, limits of agreement and their intervals.

    Parameters
    ----------
    a, b : ndarray of float64
        (pair,); a pair that is not finite is not drawn.
    row : mapping of str to float
        Numbers of bland_altman.csv: ``bias``, ``lower_limit``, ``upper_limit``, each with ``_lower`` and ``_upper``.
    unit : str
        For the axes; may be empty.
    """
    figure, axes = empty_axes(3.5, 3.0)
    axes.tick_params(labelsize=8)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    axes.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    for name, colour, dash in _LINES:
        if not np.isfinite(row[name]):
            continue
        axes.axhspan(row[f"{name}_lower"], row[f"{name}_upper"], color=colour, alpha=0.13, linewidth=0, zorder=0)
        axes.axhline(row[name], color=colour, linewidth=1.3, linestyle=dash, zorder=1)
        axes.annotate(
            readable(row[name]), (1.0, row[name]), xycoords=("axes fraction", "data"), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=7.5, color=colour, annotation_clip=False,
        )  # fmt: skip
    axes.scatter(a / 2 + b / 2, b - a, s=16, color="#222222", alpha=0.7, linewidths=0, zorder=3)
    in_unit = f" ({unit})" if unit else ""
    axes.set_xlabel(f"mean of A and B{in_unit}", fontsize=8)
    axes.set_ylabel(f"B − A{in_unit}", fontsize=8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.get_offset_text().set_fontsize(8)
    axes.ticklabel_format(style="sci", scilimits=(-3, 5))
    return figure


def readable(value: float, digits: int = 3) -> str:
    """Return a number of any size in few characters: thousands in full, a dash for NaN."""
    if np.isnan(value):
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.{digits}g}"


def draw_masks(panels: Sequence[tuple[str, NDArray[np.float64], float]]) -> Figure:
    """Draw how far masks agree: a strip a measure, a point a pair, the median as a line.

    Parameters
    ----------
    panels : sequence of (str, ndarray of float64, float)
        Label, a value a pair, and their median.
    """
    figure = Figure(figsize=(2.2 * len(panels), 3.0), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    rng = np.random.default_rng(0)
    for axes, (name, values, middle) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.scatter(rng.uniform(-0.22, 0.22, len(values)), values, s=16, color=PALETTE[0], alpha=0.7, linewidths=0)
        axes.plot([-0.35, 0.35], [middle, middle], color="black", linewidth=1.8)
        axes.annotate(f"{middle:.3g}", (0.37, middle), fontsize=8, va="center")
        axes.set_xlim(-0.5, 0.75)
        axes.set_xticks([])
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def draw_batches(
    names: Sequence[str], before: NDArray[np.float64], after: NDArray[np.float64], chance: NDArray[np.float64]
) -> Figure:
    """Draw the mean share of variance that each factor makes, before and after ComBat, and by chance.

    Parameters
    ----------
    names : sequence of str
        Factors.
    before, after, chance : ndarray of float64
        (factor,), shares; NaN is not drawn.
    """
    figure, axes = empty_axes(6.4, 1.1 + 0.36 * max(2, len(names)))
    axes.tick_params(labelsize=8)
    for y, ends in enumerate(zip(before, after, strict=True)):
        axes.plot([100 * v for v in ends], [y, y], color="#bbbbbb", linewidth=2, zorder=1)
    y_all = np.arange(len(names))
    for values, label, marker, colour in (
        (before, "before ComBat", "o", PALETTE[1]),
        (after, "after ComBat", "s", PALETTE[0]),
        (chance, "by chance", "|", "#000000"),
    ):
        if np.isfinite(values).any():
            axes.plot(100 * values, y_all, marker, color=colour, markersize=7, label=label, linestyle="none")
    axes.set_yticks(y_all, [plain_text(short(n)) for n in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=-1)
    axes.set_xlabel("mean share of the features' variance (%)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure
