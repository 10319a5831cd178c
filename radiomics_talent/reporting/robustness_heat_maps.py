"""Agreement by feature and chain as heat maps that stay readable, however many features there are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.reporting import robustness_figures as figures
from radiomics_talent.reporting.extraction_figures import Plate, plate
from radiomics_talent.reporting.robustness_agreement import is_not_tested
from radiomics_talent.reporting.robustness_words import counted, joined, prose, statistic_name
from radiomics_talent.robustness.stability import medians_by_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from radiomics_talent.reporting.robustness_agreement import Agreed

MOST_FIGURES = 14
"""Figures by feature and chain; with more, features are folded into their classes."""
_MOST_ROWS, _MOST_COLUMNS = 120, 24


def heat_maps(stability: pd.DataFrame, chains: Sequence[str], found: Agreed) -> tuple[list[tuple[str, Plate]], str]:
    """Draw agreement by feature and chain, a figure an image type.

    With more image types than have room, the first alone is drawn so. All have their classes by chain (medians), and
    every feature in the chain that decides, a figure a feature class, with a column an image type.

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
    by_type = {name: _blocks(found.frame.loc[found.frame["image_type"] == name]) for name in types}
    n = sum(map(len, by_type.values()))
    if n <= MOST_FIGURES:
        return [
            p for name in types for p in _by_chain(stability, chains, found, name, by_type[name], numbers=n < 3)
        ], ""
    plates = [
        *_by_chain(stability, chains, found, types[0], by_type[types[0]], numbers=False),
        *_classes_by_chain(stability, chains, found),
        *_by_image_type(found, types),
    ]
    sentence = (
        f"{len(types)} image types are too many for a figure by feature and chain each. Drawn are: the features of "
        f"`{types[0]}` by chain; of every image type the median of each class by chain; and every feature of every "
        f"image type in the chain `{found.chain}`. Features of other image types than `{types[0]}` in other chains "
        f"than `{found.chain}` are not drawn: stability.csv has them."
    )
    return plates, sentence


def idle_chains_sentence(stability: pd.DataFrame, chains: Sequence[str], found: Agreed) -> list[str]:
    """Say which chains change no feature that is defined."""
    defined = stability.assign(untouched=is_not_tested(stability)).dropna(subset=[found.statistic])
    all_untouched = defined.groupby("chain")["untouched"].all()
    idle = [name for name in chains if all_untouched.get(name, default=False)]
    if not idle:
        return []
    names = joined([f"`{name}`" for name in idle])
    return [f"In {names} no version differs from the lesion as it is in any feature: nothing was tested there."]


def _blocks(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Part rows into figures, of about the same size."""
    n = -(-len(rows) // _MOST_ROWS)
    ends = np.linspace(0, len(rows), n + 1).round().astype(int)
    return [rows.iloc[a:b] for a, b in pairwise(ends)]


def _part(name: str, i: int, parts: Sequence[object]) -> str:
    return name if len(parts) == 1 else f"{name}, part {i}"


def _by_chain(
    stability: pd.DataFrame,
    chains: Sequence[str],
    found: Agreed,
    name: str,
    parts: Sequence[pd.DataFrame],
    *,
    numbers: bool,
) -> list[tuple[str, Plate]]:
    held = stability.assign(untouched=is_not_tested(stability)).loc[stability["image_type"] == name]
    values, untouched = (
        held.pivot(index="feature", columns="chain", values=column) for column in (found.statistic, "untouched")
    )
    plates = []
    for i, rows in enumerate(parts, start=1):
        index, columns = list(rows["feature"]), list(chains)
        cells = values.reindex(index=index, columns=columns).to_numpy(np.float64)
        white = untouched.reindex(index=index, columns=columns).eq(other=True).to_numpy(np.bool_)
        figure = figures.draw_heat_map(
            list(rows["label"]), list(rows["feature_class"]), list(chains), cells, found.levels,
            untouched=white, numbers=numbers,
        )  # fmt: skip
        words = (f"{counted(len(rows), 'feature')} of {name}", counted(len(chains), "chain"))
        plates.append((_part(name, i, parts), _plate(figure, cells, white, found, *words)))
    return plates


def _classes_by_chain(stability: pd.DataFrame, chains: Sequence[str], found: Agreed) -> list[tuple[str, Plate]]:
    medians = medians_by_class(stability, found.statistic).reindex(columns=list(chains))
    parts = _blocks(medians)
    plates = []
    for i, rows in enumerate(parts, start=1):
        groups = [str(image_type) for image_type, _ in rows.index]
        names = [f"{image_type} {feature_class}" for image_type, feature_class in rows.index]
        cells = rows.to_numpy(np.float64)
        figure = figures.draw_heat_map(names, groups, list(chains), cells, found.levels, numbers=False)
        words = (f"{len(rows)} classes of features, their medians,", counted(len(chains), "chain"))
        name = _part("Every image type, medians of classes by chain", i, parts)
        plates.append((name, _plate(figure, cells, None, found, *words)))
    return plates


def _by_image_type(found: Agreed, types: Sequence[str]) -> list[tuple[str, Plate]]:
    plates = []
    for feature_class, of_class in found.frame.groupby("feature_class", sort=False):
        table = of_class.pivot(index="label", columns="image_type", values="value")
        parts = _blocks(table.reindex(list(dict.fromkeys(of_class["label"]))))
        held = [name for name in types if name in table.columns]
        for start in range(0, len(held), _MOST_COLUMNS):
            columns = held[start : start + _MOST_COLUMNS]
            for i, rows in enumerate(parts, start=1):
                cells = rows[columns].to_numpy(np.float64)
                labels = [str(x) for x in rows.index]
                figure = figures.draw_heat_map(
                    labels, [str(feature_class)] * len(labels), columns, cells, found.levels, numbers=False
                )
                name = f"{feature_class} by image type" + (f", from {columns[0]}" if start else "")
                words = (f"{counted(len(labels), 'feature')} of {feature_class}", counted(len(columns), "image type"))
                plates.append((_part(name, i, parts), _plate(figure, cells, None, found, *words)))
    return plates


def _plate(
    figure: Figure, values: NDArray[np.float64], white: NDArray[np.bool_] | None, found: Agreed, rows: str, columns: str
) -> Plate:
    levels = found.levels
    n_white = 0 if white is None else int(white.sum())
    known = values[np.isfinite(values) & (True if white is None else ~white)]
    n_undefined = values.size - known.size - n_white
    untested = f", {n_white} not tested" if n_white else ""
    alt = (
        f"Heat map, {rows} by {columns}: {int((known >= levels.excellent).sum())} of {values.size} cells at least "
        f"{levels.excellent:g}, {int((known < levels.good).sum())} below {levels.good:g}, {n_undefined} not "
        f"defined{untested}"
    )
    caption = (
        f"{statistic_name(found.statistic)} of {rows} by {columns}: the lighter, the more stable; lines part groups. "
        + ("Hatched cells are not defined." if n_undefined else "No cell is undefined.")
        + (" In white cells no version differs from the lesion as it is." if n_white else "")
    )
    return plate(figure, alt=alt, caption=prose(caption), vector=False)
