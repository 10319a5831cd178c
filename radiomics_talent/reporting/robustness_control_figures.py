"""Figures of negative controls: how models do on each, and what each does to the features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radiomics_talent.reporting.extraction_figures import PALETTE
from radiomics_talent.reporting.figures import empty_axes, plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_LOOK = {
    "all": ("#000000", "D"),
    "texture": (PALETTE[0], "o"),
    "firstorder": (PALETTE[2], "^"),
    "shape": (PALETTE[1], "s"),
    "volume": (PALETTE[3], "v"),
}
_STEP = 0.15


def draw_controls(
    rows: Sequence[tuple[str, str, float, float, float, bool]], names: Mapping[str, str], metric: str
) -> Figure:
    """Draw how well models do on the lesions as they are and on each control, with each set of features.

    Parameters
    ----------
    rows : sequence of (str, str, float, float, float, bool)
        Control, set of features, value, lower and upper limit, and whether the control changes none of the features
        (drawn hollow).
    names : mapping of str to str
        Sets of features in words.
    metric : str
        Label of the axis.
    """
    controls = list(dict.fromkeys(row[0] for row in rows))
    sets = [name for name in _LOOK if any(row[1] == name for row in rows)]
    figure, axes = empty_axes(7.6, 1.1 + (0.32 + _STEP * len(sets)) * len(controls))
    axes.tick_params(labelsize=8)
    axes.axvline(0.5, color="#777777", linewidth=1, linestyle="--", zorder=0)
    pitch = 1.0 / (len(sets) + 1.6)
    for control, features, value, low, high, unchanged in rows:
        if np.isnan(value):
            continue
        y = controls.index(control) + (sets.index(features) - (len(sets) - 1) / 2) * pitch
        colour, marker = _LOOK[features]
        axes.plot([low, high], [y, y], color=colour, linewidth=1.4, alpha=0.8)
        axes.plot(value, y, marker, color=colour, markersize=5, markerfacecolor="white" if unchanged else colour)
    for y in range(1, len(controls)):
        axes.axhline(y - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(controls)), [plain_text(c.replace("_", " ")) for c in controls])
    axes.set_ylim(len(controls) - 0.5, -0.5)
    axes.set_xlim(left=min(axes.get_xlim()[0], 0.45), right=max(axes.get_xlim()[1], 1.0))
    axes.set_xlabel(metric)
    handles = [Line2D([], [], color=_LOOK[s][0], marker=_LOOK[s][1], markersize=5, label=names.get(s, s)) for s in sets]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def draw_effects(
    controls: Sequence[str], kinds: Sequence[str], changed: NDArray[np.float64], spearman: NDArray[np.float64]
) -> Figure:
    """Draw what controls do to kinds of features: two tables of colours with their numbers.

    Parameters
    ----------
    controls, kinds : sequence of str
        Rows and columns.
    changed : ndarray of float64
        (control, kind): share of values that change.
    spearman : ndarray of float64
        (control, kind): correlation of a feature with its control; NaN is not defined.
    """
    figure = Figure(
        figsize=(7.6, 1.2 + 0.36 * max(2, len(controls))), facecolor="white", layout="constrained"
    )  # fmt: skip
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    _cells(left, changed, "{:.0%}")
    _cells(right, spearman, "{:.2f}")
    left.set_yticks(range(len(controls)), [plain_text(c.replace("_", " ")) for c in controls], fontsize=8)
    for axes, title in ((left, "values changed (mean share)"), (right, "Spearman with the original (median)")):
        axes.set_xticks(range(len(kinds)), [plain_text(k) for k in kinds], fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.tick_params(length=0)
    return figure


def _cells(axes: Axes, values: NDArray[np.float64], form: str) -> None:
    # Light is none and dark is all, so that the numbers stay readable in print.
    axes.imshow(np.ma.masked_invalid(values), cmap=colormaps["Blues"], vmin=0, vmax=1.25, aspect="auto")
    axes.patch.set(facecolor="white", hatch="//////", edgecolor="#8a8a8a")
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value > 0.75 else "black"
            axes.text(x, y, form.format(value), ha="center", va="center", fontsize=8, color=colour)
