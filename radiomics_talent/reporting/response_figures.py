"""Waterfall and spider plot of the sums of target diameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from radiomics_talent.cohort.visit_response import PARTIAL_DECREASE, PROGRESSIVE_INCREASE, RESPONSES
from radiomics_talent.features.whole_files import replacing
from radiomics_talent.reporting.figures import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from radiomics_talent.cohort.recist import PatientResponse

COLOURS = {
    "CR": "#0072B2",
    "PR": "#56B4E9",
    "SD": "#999999",
    "Non-CR/Non-PD": "#CC79A7",
    "PD": "#D55E00",
    "NE": "#FFFFFF",
}
"""Okabe and Ito's colours, apart also for the colour-blind; hatches and dashes say the same once more."""
_HATCHES = {"CR": "", "PR": "", "SD": "", "Non-CR/Non-PD": "..", "PD": "///", "NE": "xx"}
_DASHES: dict[str, Literal["-", "--", ":"]] = {
    "CR": "-",
    "PR": "-",
    "SD": "-",
    "Non-CR/Non-PD": ":",
    "PD": "--",
    "NE": ":",
}
_EDGE = "#333333"
_MOST_NAMES = 60
_LONGEST_NAME = 16
_DPI = 150


def draw_waterfall(responses: Sequence[PatientResponse]) -> Figure:
    """Draw a bar a patient: the best change of the sum of target diameters from baseline, largest growth first.

    Patients without a whole sum after baseline have no bar; the title counts them.
    """
    shown = [(r, r.best_change_percent) for r in responses if r.best_change_percent is not None]
    shown.sort(key=lambda pair: (-pair[1], pair[0].patient_id))
    figure, axes = _picture(width=max(6.5, min(16.0, 2.5 + 0.16 * len(shown))))
    for x, (response, change) in enumerate(shown):
        best = response.best_overall_response
        axes.bar(
            x, change, width=0.82, color=COLOURS[best], edgecolor=_EDGE, linewidth=0.5, hatch=_HATCHES[best], zorder=2
        )
        if change == 0:  # a bar of no height would look like a gap
            axes.plot([x - 0.41, x + 0.41], [0, 0], color=_EDGE, linewidth=2.5, solid_capstyle="butt", zorder=3)
    _thresholds(axes)
    changes = [change for _, change in shown]
    axes.set_ylim(min([-40.0, *(c - 5 for c in changes)]), max([30.0, *(c + 5 for c in changes)]))
    axes.set_xlim(-0.8, max(len(shown), 1) - 0.2)
    names = [r.patient_id for r, _ in shown]
    if len(names) <= _MOST_NAMES:
        axes.set_xticks(range(len(names)), [_short(n) for n in names], rotation=90, fontsize=7)
    else:
        axes.set_xticks([])
    axes.set_xlabel("Patient" if len(names) <= _MOST_NAMES else f"Patients ({len(names)})")
    axes.set_ylabel("Best change of the sum of\ntarget diameters from baseline (%)")
    _title(axes, "Best change of target lesions", len(shown), len(responses))
    present = {r.best_overall_response for r, _ in shown}
    handles = [
        Patch(facecolor=COLOURS[r], edgecolor=_EDGE, hatch=_HATCHES[r], label=r) for r in RESPONSES if r in present
    ]
    _legend(axes, handles)
    return figure


def draw_spider(responses: Sequence[PatientResponse]) -> Figure:
    """Draw a line a patient: change of the sum of target diameters from baseline over time, up to progression.

    A cross ends the line of a patient whose disease progressed at a visit, by growth, new lesion or otherwise.
    """
    figure, axes = _picture(width=8.5)
    n, thickness = 0, 1.3 if len(responses) <= _MOST_NAMES else 0.7
    for response in responses:
        counted = [v for v in response.visits if v.counted]
        points = [(v.day, v.change_percent) for v in counted if v.change_percent is not None]
        if not points:
            continue
        n += 1
        best = response.best_overall_response
        colour = _EDGE if best == "NE" else COLOURS[best]
        days, changes = zip((0.0, 0.0), *points, strict=True)
        axes.plot(days, changes, _DASHES[best], color=colour, linewidth=thickness, marker="o", markersize=3, zorder=2)
        if counted[-1].response == "PD":
            # Without a whole sum on that day, the cross stands at the last one.
            axes.plot(counted[-1].day, changes[-1], "X", color=_EDGE, markersize=7, markeredgecolor="white", zorder=3)
            axes.plot([days[-1], counted[-1].day], [changes[-1]] * 2, _DASHES[best], color=colour, linewidth=thickness)
    _thresholds(axes)
    axes.set_xlabel("Time since the start of treatment (days)")
    axes.set_ylabel("Change of the sum of target\ndiameters from baseline (%)")
    axes.margins(x=0.02)
    axes.set_xlim(left=0)
    _title(axes, "Change of target lesions over time", n, len(responses))
    present = {r.best_overall_response for r in responses if any(v.change_percent is not None for v in r.visits)}
    handles = [
        Line2D(
            [], [], color=_EDGE if r == "NE" else COLOURS[r], linestyle=_DASHES[r], marker="o", markersize=3, label=r
        )
        for r in RESPONSES
        if r in present
    ]
    handles.append(Line2D([], [], color=_EDGE, linestyle="", marker="X", markeredgecolor="white", label="progression"))
    _legend(axes, handles)
    return figure


def write_response_figures(responses: Sequence[PatientResponse], waterfall: Path, spider: Path) -> None:
    """Write both figures as PNG, each at once or not at all."""
    for figure, path in ((draw_waterfall(responses), waterfall), (draw_spider(responses), spider)):
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=_DPI, format="png")


def _picture(*, width: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 4.6), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _thresholds(axes: Axes) -> None:
    """Mark where a PD and a PR begin, by the sum."""
    axes.axhline(0, color=_EDGE, linewidth=0.8, zorder=1)
    for level in (100 * PROGRESSIVE_INCREASE, -100 * PARTIAL_DECREASE):
        axes.axhline(level, color=_EDGE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"{level:+.0f} %".replace("-", "\N{MINUS SIGN}"), (1.0, level), xycoords=("axes fraction", "data"),
            xytext=(3, 0), textcoords="offset points", va="center", ha="left", fontsize=8, annotation_clip=False,
        )  # fmt: skip


def _title(axes: Axes, what: str, shown: int, n: int) -> None:
    left_out = f"; {n - shown} without a whole sum after baseline not shown" if n > shown else ""
    axes.set_title(f"{what}: {shown} of {n} patients{left_out}", fontsize=10, loc="left")


def _legend(axes: Axes, handles: Sequence[Patch | Line2D]) -> None:
    if handles:
        axes.legend(
            handles=list(handles), title="Best overall response", fontsize=8, title_fontsize=8, frameon=False,
            loc="upper left", bbox_to_anchor=(1.06, 1.0), borderaxespad=0,
        )  # fmt: skip


def _short(name: str) -> str:
    """Return a name that is short, and plain."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    return plain_text(short)
