"""Figures of agreement: features by chain, shares of stable features, intervals, and what hurts most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from radiomics_talent.reporting.extraction_figures import PALETTE, short
from radiomics_talent.reporting.figures import empty_axes, plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WIDTH_IN = 10.4
"""As wide as a page has room for, at 100 pixels an inch."""
_MOST_IN_ONE_PANEL = 36
_ROW_IN = 0.168
_LONGEST_NAME = 40
_HATCH = "//////"
_HATCH_COLOUR = "#8a8a8a"
_MARKERS = {"excellent": "o", "good": "^", "not stable": "s", "not tested": "D", "not defined": "v"}
COLOURS = {
    "excellent": PALETTE[0], "good": PALETTE[2], "not stable": PALETTE[1], "not tested": PALETTE[6],
    "not defined": PALETTE[7],
}  # fmt: skip
"""Okabe and Ito's; markers and tints say the same once more."""


@dataclass(frozen=True, slots=True)
class Levels:
    """From where on agreement is good and excellent."""

    good: float
    excellent: float

    def verdict(self, value: float) -> str:
        """Return ``excellent``, ``good``, ``not stable``, or ``not defined`` for NaN."""
        if np.isnan(value):
            return "not defined"
        if value >= self.excellent:
            return "excellent"
        return "good" if value >= self.good else "not stable"

    @property
    def bounds(self) -> tuple[float, ...]:
        """Inner borders of the colours of a heat map."""
        return (self.good / 3, self.good * 2 / 3, self.good, self.excellent)


def draw_heat_map(
    rows: Sequence[str],
    groups: Sequence[str],
    columns: Sequence[str],
    values: NDArray[np.float64],
    levels: Levels,
    *,
    untouched: NDArray[np.bool_] | None = None,
    numbers: bool = True,
) -> Figure:
    """Draw agreement as colours: light is stable, dark is not, hatched grey is not defined.

    Parameters
    ----------
    rows, groups : sequence of str
        Name of each row, and what it belongs to: a line parts one group from the next.
    columns : sequence of str
        Names.
    values : ndarray of float64
        (row, column); NaN is not defined.
    levels : Levels
        Borders of the colours.
    untouched : ndarray of bool, optional
        (row, column): cells to leave white, of what a perturbation does not change.
    numbers : bool
        Whether each cell has its number.
    """
    n_panels = 1 if len(rows) <= _MOST_IN_ONE_PANEL else 2
    size = -(-len(rows) // n_panels)
    height = 1.35 + 0.055 * max(map(len, columns)) + _ROW_IN * size
    width = max(6.2, min(WIDTH_IN, n_panels * (2.4 + 0.34 * len(columns))))
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, n_panels, squeeze=False)[0]
    colours = ListedColormap([colormaps["cividis"](x) for x in (0.0, 0.28, 0.52, 0.8, 1.0)])
    untouched = np.zeros(values.shape, dtype=np.bool_) if untouched is None else untouched
    has_white = bool(untouched.any())
    norm = BoundaryNorm((-1e9, *levels.bounds, 1e9), colours.N)
    for i, axes in enumerate(panels):
        part = slice(i * size, (i + 1) * size)
        axes.imshow(np.ma.masked_invalid(values[part]), cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
        if has_white:
            white = np.ma.masked_where(~untouched[part], untouched[part])
            axes.imshow(white, cmap=ListedColormap(["white"]), aspect="auto", interpolation="nearest")
        _hatch_behind(axes)
        _name_cells(axes, [short(r, _LONGEST_NAME) for r in rows[part]], columns)
        _part_groups(axes, groups[part])
        if numbers:
            _write_numbers(axes, np.where(untouched[part], np.nan, values[part]), levels)
    handles = [
        Patch(facecolor=colours(4 - i), edgecolor="#555555", label=name) for i, name in enumerate(_level_names(levels))
    ]
    handles.append(Patch(facecolor="white", edgecolor=_HATCH_COLOUR, hatch=_HATCH, label="not defined"))
    if has_white:
        handles.append(Patch(facecolor="white", edgecolor="#555555", label="not tested"))
    columns_of_legend = len(handles) if width > 8 else 3
    figure.legend(handles=handles, loc="outside lower center", ncols=columns_of_legend, frameon=False, fontsize=8)
    return figure


def draw_shares(names: Sequence[str], counts: Sequence[tuple[int, int, int]], levels: Levels) -> Figure:
    """Draw the share of good and of excellent features by group.

    Parameters
    ----------
    names : sequence of str
        Groups.
    counts : sequence of (int, int, int)
        Features, good ones (excellent ones among them), excellent ones.
    levels : Levels
        What they are called.
    """
    figure, axes = _empty(5.0, 1.05 + 0.3 * max(2, len(names)))
    total = np.array([max(n, 1) for n, *_ in counts])
    good, excellent = (100 * np.array([c[i] for c in counts]) / total for i in (1, 2))
    y = np.arange(len(names))
    axes.barh(y, np.full(len(names), 100.0), color="#f0f0f0", height=0.72)
    axes.barh(
        y, good, color="#9ecae1", height=0.72, hatch="///", edgecolor="#5b8db0", linewidth=0, label=f"≥ {levels.good:g}"
    )
    axes.barh(y, excellent, color=COLOURS["excellent"], height=0.72, label=f"≥ {levels.excellent:g}")
    for i, (n, n_good, n_excellent) in enumerate(counts):
        axes.text(101.5, i, f"{n_good}, {n_excellent} of {n}", va="center", fontsize=8)
    axes.set_yticks(y, [plain_text(short(n)) for n in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 126)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_xlabel("share of features (%)", x=50 / 126)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def draw_forest(
    names: Sequence[str], value: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64],
    verdicts: Sequence[str], levels: Levels, quantity: str,
) -> Figure:  # fmt: skip
    """Draw the coefficient of each feature with its interval, in the order given.

    Parameters
    ----------
    names : sequence of str
        Features.
    value, low, high : ndarray of float64
        (feature,); a limit that is NaN is not drawn.
    verdicts : sequence of str
        Of `Levels.verdict`.
    levels : Levels
        Lines.
    quantity : str
        Label of the axis.
    """
    n_panels = 1 if len(names) <= _MOST_IN_ONE_PANEL else 2
    size = -(-len(names) // n_panels)
    figure = Figure(
        figsize=(WIDTH_IN if n_panels == 2 else 6.2, 1.1 + _ROW_IN * size), facecolor="white", layout="constrained"
    )
    FigureCanvasAgg(figure)
    left = _left_end(value, low)
    for i, axes in enumerate(figure.subplots(1, n_panels, squeeze=False)[0]):
        part = slice(i * size, (i + 1) * size)
        _draw_intervals(axes, value[part], low[part], high[part], verdicts[part], upright=False)
        axes.set_yticks(
            range(len(names[part])), [plain_text(short(n, _LONGEST_NAME)) for n in names[part]], fontsize=6.5
        )
        axes.set_ylim(size - 0.3, -0.7)
        axes.set_xlim(left, 1.02)
        for x in (levels.good, levels.excellent):
            axes.axvline(x, color="#999999", linewidth=0.8, linestyle="--", zorder=0)
        axes.set_xlabel(quantity, fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right"]].set_visible(False)
    _verdict_legend(figure, verdicts)
    return figure


def draw_ranked(
    value: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], verdicts: Sequence[str],
    levels: Levels, quantity: str,
) -> Figure:  # fmt: skip
    """Draw the coefficients of more features than have room for a name, in the order given."""
    figure, axes = _empty(WIDTH_IN, 4.0)
    _draw_intervals(axes, value, low, high, verdicts, upright=True)
    axes.set_ylim(_left_end(value, low), 1.02)
    axes.margins(x=0.01)
    for y in (levels.good, levels.excellent):
        axes.axhline(y, color="#999999", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xlabel(f"{len(value)} features, from the most to the least stable")
    axes.set_ylabel(quantity)
    _verdict_legend(figure, verdicts)
    return figure


def draw_chains(names: Sequence[str], values: Sequence[NDArray[np.float64]], levels: Levels, quantity: str) -> Figure:
    """Draw a box and every feature as a point for each chain, in the order given; a box without values stays empty."""
    figure, axes = _empty(5.0, 0.9 + 0.38 * max(2, len(names)))
    axes.boxplot(
        [v if len(v) else np.array([np.nan]) for v in values],
        orientation="horizontal", widths=0.6, showfliers=False, medianprops={"color": "black", "linewidth": 1.8},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for i, sample in enumerate(values):
        height = i + 1 + rng.uniform(-0.2, 0.2, len(sample))
        axes.scatter(sample, height, s=7, alpha=0.5, color=PALETTE[0], linewidths=0, zorder=3, rasterized=True)
    axes.set_yticks(range(1, len(names) + 1), [plain_text(short(n)) for n in names])
    axes.invert_yaxis()
    every = np.concatenate([*values, [1.0]])
    axes.set_xlim(_left_end(every, every), 1.02)
    for x in (levels.good, levels.excellent):
        axes.axvline(x, color="#999999", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xlabel(quantity)
    return figure


def _draw_intervals(
    axes: Axes, value: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64],
    verdicts: Sequence[str], *, upright: bool,
) -> None:  # fmt: skip
    place = np.arange(len(value))
    width = max(0.35, min(1.0, 200 / len(value)))  # many lines side by side would be one area
    for name, marker in _MARKERS.items():
        rows = np.array([v == name for v in verdicts], dtype=np.bool_)
        if not rows.any():
            continue
        lines, points = (
            (axes.vlines, (place[rows], value[rows])) if upright else (axes.hlines, (value[rows], place[rows]))
        )
        lines(place[rows], low[rows], high[rows], color=COLOURS[name], linewidth=width, alpha=0.75)
        axes.plot(*points, marker, color=COLOURS[name], markersize=3.2 if width == 1 else 1.6, zorder=3)


def _verdict_legend(figure: Figure, verdicts: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=COLOURS[name], marker=marker, markersize=4, label=name)
        for name, marker in _MARKERS.items()
        if name in verdicts
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)


def _left_end(value: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """Return where an axis of coefficients begins: at 0, or below where some are."""
    known = np.concatenate([value[np.isfinite(value)], low[np.isfinite(low)], [0.0]])
    return float(max(-0.6, known.min())) - 0.02


def _hatch_behind(axes: Axes) -> None:
    axes.patch.set(facecolor="white", hatch=_HATCH, edgecolor=_HATCH_COLOUR)


def _name_cells(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.set_yticks(range(len(rows)), [plain_text(r) for r in rows], fontsize=6.5)
    names = [plain_text(short(c)) for c in columns]
    axes.set_xticks(range(len(columns)), names, rotation=55, ha="left", rotation_mode="anchor", fontsize=7.5)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)


def _part_groups(axes: Axes, groups: Sequence[str]) -> None:
    for y in range(1, len(groups)):
        if groups[y] != groups[y - 1]:
            axes.axhline(y - 0.5, color="white", linewidth=2.2)
            axes.axhline(y - 0.5, color="black", linewidth=0.7)


def _write_numbers(axes: Axes, values: NDArray[np.float64], levels: Levels) -> None:
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value < levels.bounds[1] else "black"
            axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=6, color=colour)


def _level_names(levels: Levels) -> tuple[str, ...]:
    a, b, good, excellent = (f"{x:.2g}" for x in levels.bounds)
    return (f"≥ {excellent} excellent", f"{good} to {excellent} good", f"{b} to {good}", f"{a} to {b}", f"< {a}")


def _empty(width: float, height: float) -> tuple[Figure, Axes]:
    figure, axes = empty_axes(width, height)
    axes.tick_params(labelsize=8)
    return figure, axes
