"""Figures of an extraction: who was scanned how, and what the scanner did to the features; each with its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from radiomics_talent.reporting.figures import empty_axes, plain_text
from radiomics_talent.reporting.html import png_uri, svg_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from radiomics_talent.modelling.batch_effects import CorrelationClusters, Projection

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#000000")
"""Okabe and Ito's colours, apart also for the colour-blind; markers say the same once more."""
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
MOST_LEVELS = 8
"""Batches that have a colour of their own; further ones are drawn as one."""
OTHERS = "all others"
_BAR = "#4c78a8"
_MOST_NAMED_FEATURES = 40
_LONGEST_NAME = 26
_DPI = 150


@dataclass(frozen=True, slots=True)
class Plate:
    """A picture that a page can hold, and what it shows in words.

    Attributes
    ----------
    uri : Markup
        ``data:`` address.
    alt, caption : str
        What is seen, for those who do not see it; what it is, for all.
    width : int
        Pixels of the page that it is drawn for.
    """

    uri: Markup
    alt: str
    caption: str
    width: int


def plate(figure: Figure, *, alt: str, caption: str, vector: bool = True) -> Plate:
    """Turn a figure into a plate: SVG, or PNG for what has many small parts."""
    uri = svg_uri(figure) if vector else png_uri(figure, _DPI)
    return Plate(uri, alt, caption, round(figure.get_figwidth() * 100))


def draw_counts(counts: Mapping[str, int], unit: str) -> Figure:
    """Draw a bar a name, in the order given."""
    names = list(counts)
    figure, axes = _empty(3.6, 0.75 + 0.3 * max(2, len(names)))
    axes.barh(range(len(names)), [counts[n] for n in names], color=_BAR, height=0.7)
    axes.set_yticks(range(len(names)), [plain_text(short(n)) for n in names])
    axes.invert_yaxis()
    for y, name in enumerate(names):
        axes.annotate(str(counts[name]), (counts[name], y), xytext=(3, 0), textcoords="offset points", va="center")
    axes.margins(x=0.15)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def draw_histogram(values: NDArray[np.float64], quantity: str, *, logarithmic: bool = False) -> Figure:
    """Draw how often values are met."""
    figure, axes = _empty(3.6, 2.4)
    low, high = values.min(), values.max()
    edges = np.geomspace(low / 1.05, high * 1.05, 13) if logarithmic else np.linspace(low, high + 1e-9, 13)
    axes.hist(values, bins=edges.tolist(), color=_BAR, edgecolor="white")
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(quantity)
    axes.set_ylabel("lesions")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def draw_by_batch(values: NDArray[np.float64], batches: NDArray[np.str_]) -> Figure:
    """Draw a box and every lesion as a point for each batch; the caption names the feature."""
    groups = grouped(batches)
    names = list(groups)
    figure, axes = _empty(3.6, 0.6 + 0.45 * max(2, len(names)))
    samples = [values[groups[n]] for n in names]
    axes.boxplot(
        samples,
        orientation="horizontal",
        widths=0.6,
        showfliers=False,
        medianprops={"color": "black", "linewidth": 1.6},
    )
    rng = np.random.default_rng(0)
    for i, sample in enumerate(samples):
        height = i + 1 + rng.uniform(-0.2, 0.2, len(sample))
        axes.scatter(sample, height, s=9, alpha=0.6, color=PALETTE[i % len(PALETTE)], linewidths=0, zorder=3)
    axes.set_yticks(range(1, len(names) + 1), [plain_text(f"{short(n)} ({len(groups[n])})") for n in names])
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 5))
    return figure


def draw_components(projection: Projection, batches: NDArray[np.str_]) -> Figure:
    """Draw the first two principal components of every lesion, coloured by batch."""
    figure, axes = _empty(4.6, 4.2)
    for i, (name, rows) in enumerate(grouped(batches).items()):
        axes.scatter(
            projection.scores[rows, 0], projection.scores[rows, 1], s=26, alpha=0.75, linewidths=0,
            color=PALETTE[i % len(PALETTE)], marker=_MARKERS[i % len(_MARKERS)], label=plain_text(short(name)),
        )  # fmt: skip
    first, second = (100 * v for v in projection.explained)
    axes.set_xlabel(f"component 1 ({first:.0f} % of variance)")
    axes.set_ylabel(f"component 2 ({second:.0f} %)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8)
    return figure


def draw_correlation(clusters: CorrelationClusters) -> Figure:
    """Draw the matrix of Spearman correlations with the borders of its clusters."""
    n = len(clusters.features)
    is_named = n <= _MOST_NAMED_FEATURES
    figure, axes = _empty(6.4, 5.6)
    shown = axes.imshow(clusters.correlation, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    borders = np.flatnonzero(np.diff(clusters.labels)) + 0.5
    start = -0.5
    for end in [*borders, n - 0.5]:
        side = end - start
        axes.plot(
            [start, start + side, start + side, start, start], [start, start, start + side, start + side, start],
            color="black", linewidth=0.8,
        )  # fmt: skip
        start = end
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_xticks([])
    names = [short(f.removeprefix("original_"), 34) for f in clusters.features]
    axes.set_yticks(range(n) if is_named else [], names if is_named else [], fontsize=6)
    axes.set_xlabel(f"{n} features in the order of the clustering")
    figure.colorbar(shown, ax=axes, label="Spearman correlation", shrink=0.8)
    return figure


def grouped(batches: NDArray[np.str_]) -> dict[str, NDArray[np.intp]]:
    """Return the rows of each batch, largest first; beyond `MOST_LEVELS` the rest are one group."""
    names, counts = np.unique(batches, return_counts=True)
    order = [str(n) for n, _ in sorted(zip(names, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))]
    kept = order if len(order) <= MOST_LEVELS else order[: MOST_LEVELS - 1]
    groups = {name: np.flatnonzero(batches == name) for name in kept}
    if len(kept) < len(order):
        groups[OTHERS] = np.flatnonzero(~np.isin(batches, kept))
    return groups


def short(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name that fits beside a figure."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def listed(parts: Sequence[str]) -> str:
    """Join parts of an alternative text."""
    return "; ".join(parts)


def _empty(width: float, height: float) -> tuple[Figure, Axes]:
    figure, axes = empty_axes(width, height)
    axes.tick_params(labelsize=8)
    return figure, axes
