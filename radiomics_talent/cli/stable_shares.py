"""How many features are stable, as lines on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from radiomics_talent.robustness_settings import StabilitySettings


def shares_lines(shares: pd.DataFrame, settings: StabilitySettings) -> list[str]:
    """Return a table of `radiomics_talent.robustness.stability.stable_shares`, a line a group, under its statistic."""
    rows: list[tuple[str, ...]] = [
        ("features", "all", "defined", f">= {settings.good:g}", f">= {settings.excellent:g}")
    ]
    for row in shares.to_dict("records"):
        name = " ".join(dict.fromkeys(part for part in (row["image_type"], row["feature_class"]) if part))
        n = int(row["n_features"])
        counts = (f"{round(row[c] * n)} ({row[c]:.0%})" for c in ("good", "excellent"))
        rows.append((name, str(n), str(int(row["n_defined"])), *counts))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [settings.statistic] + [
        "  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
