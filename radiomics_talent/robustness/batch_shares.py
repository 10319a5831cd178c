"""How much of the features' variance scanner, kernel, slices or reader make, before and after ComBat.

Descriptive, and about the whole table at once: nothing here may reach a model, whose ComBat learns on training folds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from radiomics_talent.features.table import FeatureTable
from radiomics_talent.modelling.batch_effects import (
    UNKNOWN,
    adjust_whole_table,
    batch_labels,
    same_grouping,
    variance_shares,
    varying_features,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.robustness.pairing import PairedTables

BOTH = "A or B"
"""The factor that the comparison itself is about: which table a row is of."""
FACTORS = ("manufacturer", "kernel", "slice_thickness_mm", "contrast_phase", "site")
"""Key columns that may be a batch."""
LARGE = 0.14
"""A share of variance from here on is called large (Cohen, Statistical Power Analysis, 1988, for eta squared)."""
COLUMNS = (
    "factor", "levels", "n_levels", "n_rows", "n_features", "chance", "mean_before", "median_before", "n_large_before",
    "mean_after", "median_after", "n_large_after", "remark",
)  # fmt: skip
_FEWEST_ROWS = 2
_UNKNOWN_SHARE = (np.nan, np.nan, np.nan)


def batch_shares(pairs: PairedTables) -> pd.DataFrame:
    """Return the share of variance between the levels of each factor, over the paired rows of A and B together.

    Parameters
    ----------
    pairs : PairedTables
        Rows of A and B.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row a factor that has at least two levels of at least two rows; `BOTH` first. The share of a
        feature is eta squared of a one-way analysis of variance: mean and median over the features that vary and are
        known for every row, number of features with a `LARGE` one, before and after ComBat on that factor. `chance` is
        the mean share that levels without any effect have, (levels - 1) / (rows - 1); not given for `BOTH`, whose
        levels hold the same lesions. Rows of rare or unknown levels are left out. The spread between lesions is part
        of the variance, so a factor that shifts all lesions alike has a smaller share than its bias looks.
    """
    table = pairs.stacked()
    groupings = {BOTH: np.repeat(["A", "B"], len(pairs))} | {name: batch_labels(table, name) for name in FACTORS}
    rows = []
    seen: list[tuple[str, NDArray[np.str_]]] = []
    for factor, batches in groupings.items():
        names, counts = np.unique(batches[batches != UNKNOWN], return_counts=True)
        levels = names[counts >= _FEWEST_ROWS]
        if len(levels) < 2:
            continue
        twin = next((name for name, other in seen if same_grouping(other, batches)), "")
        seen.append((factor, batches))
        rows.append(_shares_of(table, factor, batches, levels, twin))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _shares_of(
    table: FeatureTable, factor: str, batches: NDArray[np.str_], levels: NDArray[np.str_], twin: str
) -> tuple[object, ...]:
    kept = np.isin(batches, levels)
    known = FeatureTable(table.frame.loc[kept].reset_index(drop=True))
    batches = batches[kept]
    features = varying_features(known)
    counts = [f"{name} ({int((batches == name).sum())})" for name in levels]
    chance = np.nan if factor == BOTH else (len(levels) - 1) / (len(known) - 1)
    facts = (factor, "; ".join(counts), len(levels), len(known), len(features), chance)
    remarks = [f"divides the rows as {twin} does: their effects cannot be told apart"] if twin else []
    if n_out := int((~kept).sum()):
        remarks.append(f"{n_out} rows of unknown or rare levels left out")
    if not features:
        return (*facts, *_UNKNOWN_SHARE, *_UNKNOWN_SHARE, "; ".join([*remarks, "no feature varies"]))
    values = known.frame[list(features)]
    values = values / values.abs().max().clip(lower=1e-300)  # changes no share; squares of huge features would overflow
    after = adjust_whole_table(values, batches)
    if after is None:
        remarks.append("ComBat could not be estimated")
    adjusted = _UNKNOWN_SHARE if after is None else _summary(after, batches)
    return (*facts, *_summary(values, batches), *adjusted, "; ".join(remarks))


def _summary(values: pd.DataFrame, batches: NDArray[np.str_]) -> tuple[float, float, float]:
    """Return mean and median share, and the number of large ones."""
    shares = variance_shares(values.to_numpy(np.float64), batches)
    return float(np.nanmean(shares)), float(np.nanmedian(shares)), float((shares >= LARGE).sum())
