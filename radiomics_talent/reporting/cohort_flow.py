"""The flow of patients from the tables to the model, as steps in words and as a diagram."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from radiomics_talent.reporting.study_facts import StudyFacts

_WIDTH_IN, _NARROW_IN, _LINE_IN, _PAD_IN, _GAP_IN = 4.9, 2.9, 0.19, 0.11, 0.3
_KEPT, _AWAY, _EDGE, _FONT = "#e9eff7", "#fdf3dc", "#3c5a80", 9.5
_DPI = 200


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One step of the flow.

    Attributes
    ----------
    kept : str
        Who is there.
    left_out : tuple of str
        Who leaves after it, a line a reason.
    """

    kept: str
    left_out: tuple[str, ...] = ()


def flow_steps(facts: StudyFacts) -> tuple[FlowStep, ...]:
    """Return the steps from the scans (where the run is known) and tables to the patients of the model."""
    counts = facts.model.facts
    patients, away = counts["patients"], counts["left_out"]
    steps = []
    if facts.run is not None:
        failed = (f"{facts.run.failed} lesions without features (failures.csv)",) if facts.run.failed else ()
        steps.append(
            FlowStep(f"{facts.run.lesions} lesions of {facts.run.patients} patients in the cohort table", failed)
        )
    reasons = tuple(f"{n}: {reason}" for reason, n in facts.left_out.items()) if facts.left_out else ()
    unnamed = (f"{away} left out (reasons are not recorded)",) if away and not reasons else ()
    steps.append(FlowStep(f"{patients + away} patients in the feature table or the clinical table", reasons or unnamed))
    lesions = "" if counts["rows"] == patients else f" with {counts['rows']} lesions"
    steps.append(FlowStep(f"{patients} patients{lesions} in the model"))
    return tuple(steps)


def flow_ends(facts: StudyFacts) -> tuple[str, str]:
    """Return the two groups at the end: with and without the event."""
    counts = facts.model.facts
    without = counts["patients"] - counts["events"]
    if facts.is_survival:
        return f"{counts['events']} patients\nwith the event", f"{without} patients\ncensored"
    return f"{counts['events']} patients\nwith response", f"{without} patients\nwithout response"


def flow_in_words(facts: StudyFacts) -> str:
    """Return the flow as a sentence, for those who do not see the diagram."""
    told = [
        step.kept + (f", of which leave {'; '.join(step.left_out)}" if step.left_out else "")
        for step in flow_steps(facts)
    ]
    ends = " and ".join(end.replace("\n", " ") for end in flow_ends(facts))
    return f"{'; then '.join(told)}: {ends}."


def draw_flow(facts: StudyFacts) -> Figure:
    """Draw the flow from top to bottom, who leaves to the right.

    Parameters
    ----------
    facts : StudyFacts
        The model, and the run where it is known.
    """
    steps = flow_steps(facts)
    boxes = [textwrap.wrap(step.kept, 28) for step in steps]
    sides = [[line for reason in step.left_out for line in textwrap.wrap(f"left out – {reason}", 25)] for step in steps]
    heights = [_height(len(lines)) for lines in boxes]
    gaps = [max(_GAP_IN, _height(len(side)) + 0.16) if side else _GAP_IN for side in sides]
    ends = flow_ends(facts)
    wide = _WIDTH_IN if any(sides) else _NARROW_IN
    total = sum(heights) + sum(gaps) + _height(2) + 0.1
    figure = Figure(figsize=(wide, total), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, wide)
    axes.set_ylim(total, 0)
    axes.set_axis_off()
    y, left, width = 0.05, 0.2, 2.5
    middle = left + width / 2
    for lines, side, height, gap in zip(boxes, sides, heights, gaps, strict=True):
        _box(axes, left, y, width, height, lines, _KEPT)
        y += height
        if side:
            _arrow(axes, (middle, y + gap / 2), (2.85, y + gap / 2))
            _box(axes, 2.85, y + (gap - _height(len(side))) / 2, 2.0, _height(len(side)), side, _AWAY)
        if lines is not boxes[-1]:
            _arrow(axes, (middle, y), (middle, y + gap))
        y += gap
    for k, end in enumerate(ends):
        x = 0.05 + k * 1.45
        start = middle - 0.35 + 0.7 * k
        _arrow(axes, (start, y - gaps[-1]), (x + 0.675, y))
        _box(axes, x, y, 1.35, _height(2), end.split("\n"), _KEPT)
    return figure


def _height(lines: int) -> float:
    return 2 * _PAD_IN + _LINE_IN * lines


def _box(axes: Axes, x: float, y: float, width: float, height: float, lines: list[str], colour: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", fc=colour, ec="#3c5a80", lw=0.8
        )
    )
    # File names and reasons are text, never mathematics.
    axes.text(
        x + width / 2, y + height / 2, "\n".join(lines), ha="center", va="center", fontsize=_FONT, parse_math=False
    )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": "#3c5a80", "lw": 1, "shrinkA": 0, "shrinkB": 0}
    )
