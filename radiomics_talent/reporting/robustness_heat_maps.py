"""Agreement by feature and chain as heat maps that stay readable, however many features there are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.reporting import robustness_figures as figures
from radiomics_talent.reporting.extraction_figures import Plate, plate
from radiomics_talent.reporting.robustness_words import statistic_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from radiomics_talent.reporting.robustness_agreement import Agreed

MOST_FIGURES = 14
_MOST_ROWS, _MOST_COLUMNS = 120, 24


def heat_maps(stability: pd.DataFrame, chains: Sequence[str], found: Agreed) -> tuple[list[tuple[str, Plate]], str]:
    """Draw agreement by feature and chain, a figure an image type.

    With more image types than have room, the first alone is drawn by chain; the others have their chain that decides,
    a figure a feature class, with a column an image type.

    Parameters
    ----------
    stability : DataFrame
        From `radiomics_talent.reporting.robustness_agreement.ordered_stability`.
    chains : sequence of str
        In the order of the columns.
    found : Agreed
        The chain that decides.

    Returns
    -------
    (list of (str, Plate), str)
        Each figure under its name; and in a sentence what is not drawn.
    """
    types = list(dict.fromkeys(found.frame["image_type"]))
    wanted = [part for name in types for part in _blocks(found.frame.loc[found.frame["image_type"] == name], name)]
    if len(wanted) <= MOST_FIGURES:
        return [_by_chain(stability, chains, found, *one, numbers=len(wanted) < 3) for one in wanted], ""
    first = [one for one in wanted if one[0].startswith(types[0])][: MOST_FIGURES // 2]
    drawn = [_by_chain(stability, chains, found, *one, numbers=False) for one in first]
    rest = _by_image_type(found, types)
    left = MOST_FIGURES - len(drawn)
    sentence = (
        f"{len(types)} image types are too many for a figure each: chains are shown for {types[0]}, and every image "
        "type with the chain that decides. stability.csv holds all."
    )
    return [*drawn, *rest[:left]], sentence


def _blocks(rows: pd.DataFrame, name: str) -> list[tuple[str, pd.DataFrame]]:
    """Part the features of an image type into figures, of about the same size."""
    n = -(-len(rows) // _MOST_ROWS)
    ends = np.linspace(0, len(rows), n + 1).round().astype(int)
    parts = [rows.iloc[a:b] for a, b in pairwise(ends)]
    return [(name if n == 1 else f"{name}, part {i}", part) for i, part in enumerate(parts, start=1)]


def _by_chain(
    stability: pd.DataFrame, chains: Sequence[str], found: Agreed, name: str, rows: pd.DataFrame, *, numbers: bool
) -> tuple[str, Plate]:
    held = stability.loc[stability["feature"].isin(rows["feature"])]
    table = held.pivot(index="feature", columns="chain", values=found.statistic)
    values = table.reindex(index=list(rows["feature"]), columns=list(chains)).to_numpy(np.float64)
    figure = figures.draw_heat_map(
        list(rows["label"]), list(rows["feature_class"]), list(chains), values, found.levels, numbers=numbers
    )
    return name, _plate(figure, values, found, f"{len(rows)} features of {name}", f"{len(chains)} chains")


def _by_image_type(found: Agreed, types: Sequence[str]) -> list[tuple[str, Plate]]:
    plates = []
    for feature_class, rows in found.frame.groupby("feature_class", sort=False):
        table = rows.pivot(index="label", columns="image_type", values="value").reindex(
            list(dict.fromkeys(rows["label"]))
        )
        held = [name for name in types if name in set(rows["image_type"])]
        for start in range(0, len(held), _MOST_COLUMNS):
            columns = held[start : start + _MOST_COLUMNS]
            values = table.reindex(columns=columns).to_numpy(np.float64)[:_MOST_ROWS]
            labels = [str(x) for x in table.index][:_MOST_ROWS]
            figure = figures.draw_heat_map(
                labels, [str(feature_class)] * len(labels), columns, values, found.levels, numbers=False
            )
            name = f"{feature_class} by image type" + (f", from {columns[0]}" if start else "")
            words = (f"{len(labels)} features of {feature_class}", f"{len(columns)} image types")
            plates.append((name, _plate(figure, values, found, *words)))
    return plates


def _plate(figure: Figure, values: np.ndarray, found: Agreed, rows: str, columns: str) -> Plate:
    levels, known = found.levels, values[np.isfinite(values)]
    n_undefined = values.size - known.size
    alt = (
        f"Heat map, {rows} by {columns}: {int((known >= levels.excellent).sum())} of {values.size} cells at least "
        f"{levels.excellent:g}, {int((known < levels.good).sum())} below {levels.good:g}, {n_undefined} not defined"
    )
    caption = (
        f"{statistic_name(found.statistic)} of {rows} by {columns}: the lighter, the more stable; lines part classes. "
        + ("Hatched cells are not defined." if n_undefined else "Every cell is defined.")
    )
    return plate(figure, alt=alt, caption=caption, vector=False)
