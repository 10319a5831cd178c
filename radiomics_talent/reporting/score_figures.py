"""Figures of one score: where it lies among the training, and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.reporting.figures import empty_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from radiomics_talent.scoring.score_report import PatientScore, ScoredModel

_POSITIVE, _NEGATIVE, _PATIENT = "#d55e00", "#0072b2", "#000000"
MOST_BARS = 12
"""Bars of the figure of contributions; the rest is one bar."""


def draw_position(patient: PatientScore, model: ScoredModel) -> Figure:
    """Draw the score with its interval above the out-of-fold scores of the training patients.

    Those stand as boxes (quartiles, whiskers from 5 to 95 %), without and with the event where that is known.
    """
    figure, axes = empty_axes(6.4, 2.3)
    groups = [g for g in model.score_quantiles_by_class if g] or (
        [model.score_quantiles] if model.score_quantiles else []
    )
    two = len(groups) == 2
    # A model of an older format knows no scores of its training.
    names = ["training, without event", "training, with event"] if two else ["training"][: len(groups)]
    for level, quantiles in enumerate(groups):
        _box(axes, quantiles, level, (_NEGATIVE, _POSITIVE)[level] if two else "#7f7f7f")
    top = float(len(groups))
    if patient.interval is not None:
        axes.plot([patient.interval.low, patient.interval.high], [top, top], color=_PATIENT, linewidth=2)
    axes.plot([patient.score], [top], "D", color=_PATIENT, markersize=8)
    axes.axvline(patient.threshold, color="#555555", linewidth=1, linestyle="--")
    axes.annotate(
        "cut-off", (patient.threshold, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -9),
        textcoords="offset points", fontsize=8, color="#555555",
    )  # fmt: skip
    axes.set_yticks([*range(len(groups)), top], [*names, "this patient"])
    axes.set_ylim(-0.6, top + 0.6)
    if model.task == "response":
        axes.set_xlim(0, 1)
    axes.set_xlabel("probability of response" if model.task == "response" else "risk score")
    return figure


def draw_contributions(patient: PatientScore) -> Figure:
    """Draw the largest contributions as bars from the baseline, the rest together as one."""
    shown = list(patient.contributions[:MOST_BARS])
    rest = sum(c.contribution for c in patient.contributions[MOST_BARS:])
    names = [c.feature for c in shown]
    values = [c.contribution for c in shown]
    if len(patient.contributions) > MOST_BARS:
        names.append(f"{len(patient.contributions) - MOST_BARS} others")
        values.append(rest)
    figure, axes = empty_axes(6.4, 0.9 + 0.27 * max(1, len(names)))
    at = np.arange(len(names))[::-1]
    axes.barh(at, values, color=[_POSITIVE if v >= 0 else _NEGATIVE for v in values], height=0.7)
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_yticks(at, [_short(n) for n in names], fontsize=8)
    axes.margins(x=0.05)
    axes.set_xlabel(f"contribution ({patient.contribution_scale})")
    return figure


def _box(axes: Axes, quantiles: Sequence[float], level: int, colour: str) -> None:
    """Draw a box of quantiles at 0, 5, ... 100 %."""
    low, q1, median, q3, high = (quantiles[i] for i in (1, 5, 10, 15, 19))
    box = [{"whislo": low, "q1": q1, "med": median, "q3": q3, "whishi": high, "fliers": [quantiles[0], quantiles[-1]]}]
    axes.bxp(
        box, positions=[level], orientation="horizontal", widths=0.5, patch_artist=True,
        boxprops={"facecolor": colour, "alpha": 0.35}, medianprops={"color": colour, "linewidth": 2},
        flierprops={"marker": ".", "markeredgecolor": colour},
    )  # fmt: skip


def _short(name: str) -> str:
    return name.replace("$", r"\$") if len(name) <= 52 else f"{name[:24]}\N{HORIZONTAL ELLIPSIS}{name[-26:]}"
