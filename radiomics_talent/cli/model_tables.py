"""Figures of models as aligned text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from radiomics_talent.modelling.metrics import Comparison
    from radiomics_talent.modelling.validation_report import BlockReport

_ORDER = ("radiomics", "clinical", "combined", "volume")


def counts_line(facts: Mapping[str, Any], resumed: int = 0) -> str:
    """Return patients, rows and events as a sentence."""
    rows = "" if facts["rows"] == facts["patients"] else f" ({facts['rows']} lesions)"
    line = f"{facts['patients']} patients{rows}, {facts['events']} with the event; {facts['left_out']} left out"
    return f"{line}; {resumed} folds from an earlier run" if resumed else line


def comparison_text(c: Comparison) -> str:
    """Return a difference with its interval and p value."""
    if c.p_value != c.p_value:  # not a number
        return f"{c.difference:+.3f}; interval and p not defined, as one of the two separates the outcome perfectly"
    p = "p < 0.001" if c.p_value < 0.001 else f"p = {c.p_value:.3f}"
    return f"{c.difference:+.3f} ({c.low:+.3f} to {c.high:+.3f}), {p}"


def metrics_table(blocks: Mapping[Any, BlockReport], block: str) -> list[str]:
    """Return the metrics of every block side by side; the model's block is marked."""
    names = [b for b in _ORDER if b in blocks]
    metrics = list(blocks[block].metrics)
    rows = [["", *(f"{n} *" if n == block else n for n in names)]]
    rows += [[m, *(str(blocks[n].metrics[m]) for n in names)] for m in metrics]
    for horizon in blocks[block].time_auc:
        cells = [str(blocks[n].time_auc.get(horizon, "")) for n in names]
        rows.append([f"auc at {horizon:g} days", *cells])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
