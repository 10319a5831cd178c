"""Figures of a validation: discrimination, calibration, usefulness and what the model rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from radiomics_talent.features.whole_files import replacing
from radiomics_talent.modelling import curves

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from radiomics_talent.modelling.validation_report import BlockReport, Scored, ValidationReport

COLOURS = {"radiomics": "#0072b2", "clinical": "#d55e00", "combined": "#009e73", "volume": "#7f7f7f"}
"""Okabe and Ito's palette, which the colour-blind can tell apart."""
_RISK = {"low risk": "#0072b2", "high risk": "#d55e00"}
_DPI = 150
_MOST_BARS = 20


def validation_figures(blocks: Mapping[Any, BlockReport], block: str, how: str = "out of fold") -> dict[str, Figure]:
    """Return the figures of a validation (internal or external) by file stem.

    Parameters
    ----------
    blocks : mapping of str to BlockReport
        Every block side by side.
    block : str
        The model's block.
    how : str
        Where the scores come from, for the titles.
    """
    report = blocks[block]
    if report.scored.y.dtype.names:
        return {
            "kaplan_meier": draw_survival(report, how),
            **({"time_dependent_auc": draw_time_auc(blocks, how)} if any(r.time_auc for r in blocks.values()) else {}),
        }
    return {
        "roc": draw_roc(blocks, how),
        "precision_recall": draw_precision_recall(blocks, how),
        "calibration": draw_calibration(report, how),
        "decision_curve": draw_decision(blocks, how),
        "score_by_outcome": draw_scores(report.scored, how),
        "confusion": draw_confusion(report.scored),
    }


def training_figures(report: ValidationReport) -> dict[str, Figure]:
    """Return every figure of a training by file stem."""
    figures = validation_figures(report.blocks, report.block)
    if len(report.selected):
        figures["features"] = draw_features(report.selected)
    if report.curve:
        figures["learning_curve"] = draw_learning_curve(report)
    if len(report.permuted):
        figures["permutation"] = draw_permutation(report)
    return figures


def save_figures(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures as PNG of 150 dpi and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=_DPI, format="png", metadata={"Software": None})
        paths.append(path)
    return paths


def draw_roc(blocks: Mapping[Any, BlockReport], how: str) -> Figure:
    """Draw ROC curves of all blocks with their 95 % bands."""
    figure, axes = _square("1 - specificity", "sensitivity", f"ROC, {how}")
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, linestyle=":")
    for name, report in blocks.items():
        _band(axes, curves.roc_band(report.scored), COLOURS[name], f"{name}: AUC {report.metrics['auc']}")
    axes.legend(loc="lower right", fontsize=8, framealpha=0.85, edgecolor="none")
    return figure


def draw_precision_recall(blocks: Mapping[Any, BlockReport], how: str) -> Figure:
    """Draw precision-recall curves of all blocks with their 95 % bands."""
    figure, axes = _square("recall (sensitivity)", "precision (PPV)", f"Precision and recall, {how}")
    share = float(np.mean([r.scored.y.mean() for r in blocks.values()]))
    axes.axhline(share, color="#bbbbbb", linewidth=1, linestyle=":")
    for name, report in blocks.items():
        label = f"{name}: {report.metrics['average_precision']}"
        _band(axes, curves.precision_recall_band(report.scored), COLOURS[name], label)
    axes.legend(
        loc="lower left", fontsize=8, framealpha=0.85, edgecolor="none", title="average precision", title_fontsize=8
    )
    return figure


def draw_calibration(report: BlockReport, how: str) -> Figure:
    """Draw the observed share of responders over the probability foretold, in fifths."""
    figure, axes = _square("probability foretold", "share of responders", f"Calibration, {how}")
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, linestyle=":", label="perfect")
    band = curves.calibration_bins(report.scored)
    error = np.abs(np.stack([band.y - band.low, band.high - band.y]))
    axes.errorbar(
        band.x, band.y, yerr=error, fmt="o-", color=COLOURS["radiomics"], capsize=3, label="fifths, Wilson 95 %"
    )
    # A rug shows where the patients are.
    axes.plot(
        report.scored.score.mean(axis=0), np.full(report.scored.score.shape[1], 0.0), "|", color="#555555", markersize=8
    )
    slope, intercept = report.metrics["calibration_slope"], report.metrics["calibration_intercept"]
    axes.set_title(f"Calibration, {how}\nslope {slope}\nintercept {intercept}", fontsize=9)
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    return figure


def draw_decision(blocks: Mapping[Any, BlockReport], how: str) -> Figure:
    """Draw net benefit over threshold probability (decision curve)."""
    figure, axes = _axes((5.6, 4.2), "threshold probability", "net benefit", f"Decision curve, {how}")
    everybody = np.empty(0)
    for name, report in blocks.items():
        thresholds, benefit, everybody = curves.decision_curve(report.scored)
        axes.plot(thresholds, benefit, color=COLOURS[name], label=name)
    axes.plot(thresholds, everybody, color="#999999", linewidth=1, linestyle="--", label="treat all")
    axes.axhline(0, color="#999999", linewidth=1, label="treat none")
    axes.set_ylim(-0.05, max(0.05, float(everybody.max()) * 1.15))
    axes.set_xlim(0, 1)
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_scores(scored: Scored, how: str) -> Figure:
    """Draw each patient's mean out-of-fold score by outcome."""
    figure, axes = _axes((4.2, 4.2), "", "probability of response", f"Score by outcome, {how}")
    mean = scored.score.mean(axis=0)
    groups = [mean[scored.y == k] for k in (0, 1)]
    axes.boxplot(groups, widths=0.5, showfliers=False, medianprops={"color": "black"})
    rng = np.random.default_rng(0)
    for k, (values, colour) in enumerate(zip(groups, ("#d55e00", "#0072b2"), strict=True), start=1):
        axes.plot(k + rng.uniform(-0.16, 0.16, len(values)), values, "o", color=colour, markersize=4, alpha=0.7)
    axes.set_xticks([1, 2], [f"no response (n={len(groups[0])})", f"response (n={len(groups[1])})"])
    axes.set_ylim(-0.02, 1.02)
    return figure


def draw_confusion(scored: Scored) -> Figure:
    """Draw the confusion matrix at the cut-offs that the folds chose."""
    figure, axes = _axes((4.2, 3.8), "predicted", "outcome", "Confusion at the folds' cut-offs\n(mean over repeats)")
    table = curves.confusion(scored)
    axes.imshow(table / table.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        share = count / table[row].sum()
        axes.text(
            column,
            row,
            f"{count:.1f}\n{share:.0%}",
            ha="center",
            va="center",
            color="white" if share > 0.6 else "black",
        )
    axes.set_xticks([0, 1], ["no", "yes"])
    axes.set_yticks([0, 1], ["no", "yes"])
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def draw_features(selected: pd.DataFrame) -> Figure:
    """Draw how often the commonest features were in the model, and their mean weight."""
    top = selected.head(_MOST_BARS).iloc[::-1]
    figure = Figure(figsize=(8.5, 1.2 + 0.26 * len(top)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(top["feature"], top["frequency"], color="#999999")
    left.set_xlim(0, 1)
    left.set_xlabel("share of folds with the feature")
    weights = top["mean_weight"].fillna(0.0)
    right.barh(top["feature"], weights, color=np.where(weights >= 0, "#0072b2", "#d55e00"))
    right.axvline(0, color="black", linewidth=0.8)
    right.set_xlabel("mean coefficient\n(or loss when shuffled)")
    for axes in (left, right):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_learning_curve(report: ValidationReport) -> Figure:
    """Draw the metric over the number of training patients."""
    name = _metric_name(report)
    figure, axes = _axes((4.8, 3.8), "training patients", f"{name}, out of fold", "Learning curve")
    patients, mean, spread = (np.array(v) for v in zip(*report.curve, strict=True))
    axes.errorbar(patients, mean, yerr=spread, fmt="o-", capsize=3, color=COLOURS["radiomics"])
    axes.axhline(0.5, color="#bbbbbb", linestyle=":", linewidth=1)
    return figure


def draw_permutation(report: ValidationReport) -> Figure:
    """Draw the metric of runs with permuted outcomes beside that of the model."""
    name = _metric_name(report)
    title = f"Permutation test: p = {report.p_value:.3f} ({len(report.permuted)} runs)"
    figure, axes = _axes((4.8, 3.8), f"{name}, out of fold", "runs with permuted outcomes", title)
    value = report.blocks[report.block].metrics[report.headline].value
    axes.hist(report.permuted, bins=15, color="#999999")
    axes.axvline(value, color=COLOURS["radiomics"], linewidth=2, label=f"model: {value:.3f}")
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_survival(report: BlockReport, how: str) -> Figure:
    """Draw Kaplan-Meier curves of the risk groups with numbers at risk."""
    groups, p_value = curves.risk_groups(report.scored)
    figure = Figure(figsize=(6.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes, table = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
    for group in groups:
        band, colour = group.band, _RISK[group.name]
        label = f"{group.name} (n={group.n}, {group.events} events)"
        axes.step(band.x, band.y, where="post", color=colour, label=label)
        axes.fill_between(band.x, band.low, band.high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("probability of no event")
    axes.set_title(f"Risk groups, {how}: log-rank p = {p_value:.3g}; C-index {report.metrics['c_index']}", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    table.set_ylim(-0.6, len(groups) - 0.4)
    table.set_yticks(range(len(groups)), [g.name for g in groups], fontsize=8)
    for level, group in enumerate(groups):
        for time, count in group.at_risk:
            table.text(time, level, str(count), ha="center", va="center", fontsize=8, color=_RISK[group.name])
    table.set_xlabel("days")
    table.set_title("number at risk", fontsize=8, loc="left")
    table.spines[["top", "right", "left"]].set_visible(False)
    table.tick_params(left=False)
    return figure


def draw_time_auc(blocks: Mapping[Any, BlockReport], how: str) -> Figure:
    """Draw the time-dependent AUC of all blocks at each horizon."""
    figure, axes = _axes((5.2, 4.0), "days", "cumulative/dynamic AUC", f"Time-dependent AUC, {how}")
    axes.axhline(0.5, color="#bbbbbb", linestyle=":", linewidth=1)
    for shift, (name, report) in enumerate(blocks.items()):
        if not report.time_auc:
            continue
        days = np.array(list(report.time_auc)) * (1 + 0.01 * shift)
        values = np.array([(e.value, e.value - e.low, e.high - e.value) for e in report.time_auc.values()]).T
        axes.errorbar(
            days, values[0], yerr=np.maximum(values[1:], 0), fmt="o-", capsize=3, color=COLOURS[name], label=name
        )
    axes.legend(fontsize=8, frameon=False)
    return figure


def _metric_name(report: ValidationReport) -> str:
    return "C-index" if report.headline == "c_index" else "AUC"


def _band(axes: Axes, band: curves.Band, colour: str, label: str) -> None:
    x: NDArray[np.float64] = band.x
    axes.fill_between(x, band.low, band.high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(x, band.y, color=colour, linewidth=1.6, label=label)


def _square(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure, axes = _axes((5.0, 5.0), x, y, title)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    return figure, axes


def _axes(size: tuple[float, float], x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
