"""Which columns a way of modelling chooses, how often and with what weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.modelling.validation import FoldResult


def selection_table(results: Sequence[FoldResult]) -> pd.DataFrame:
    """Return how often each column was in the model over folds, and with what weight.

    Returns
    -------
    DataFrame
        feature, folds (how often), frequency (0 to 1), mean_weight (over the folds that have one), same_sign (share
        of those with the commoner sign); most frequent first.
    """
    weights: dict[str, list[float]] = {}
    for result in results:
        for name, weight in result.weights.items():
            weights.setdefault(name, []).append(weight)
    rows = []
    for name, values in weights.items():
        known = np.array([v for v in values if not np.isnan(v)])
        up = float((known > 0).mean()) if len(known) else float("nan")
        mean = float(known.mean()) if len(known) else float("nan")
        rows.append((name, len(values), len(values) / len(results), mean, max(up, 1 - up)))
    table = pd.DataFrame(rows, columns=["feature", "folds", "frequency", "mean_weight", "same_sign"])
    order = np.lexsort((-table["mean_weight"].abs().fillna(0.0).to_numpy(), -table["folds"].to_numpy()))
    return table.iloc[order].reset_index(drop=True)
