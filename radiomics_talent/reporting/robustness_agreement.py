"""Agreement by feature as a page shows it: counts, bars, intervals and the table of all features."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.feature_dictionary import ColumnName
from radiomics_talent.reporting import robustness_figures as figures
from radiomics_talent.reporting.extraction_figures import Plate, listed, plate
from radiomics_talent.reporting.robustness_words import STATISTICS, statistic_name
from radiomics_talent.robustness.stability import read_stability

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.reporting.robustness_figures import Levels

MOST_NAMED = 150
"""Features whose intervals are drawn with a name each."""
_CLASSES = (
    "shape", "shape2D", "localintensity", "firstorder", "histogram", "ivh", "glcm", "glrlm", "glszm", "gldzm", "gldm",
    "ngtdm",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Agreed:
    """Agreement of every feature in the chain that decides.

    Attributes
    ----------
    frame : DataFrame
        Rows of stability.csv, by image type and class, with the columns ``label`` (name without image type),
        ``value`` (the statistic that decides) and ``verdict``.
    statistic : str
        Which statistic.
    levels : Levels
        What is good and what is excellent.
    """

    frame: pd.DataFrame
    statistic: str
    levels: Levels

    def count(self, *verdicts: str) -> int:
        """Return how many features have one of the verdicts."""
        return int(self.frame["verdict"].isin(verdicts).sum())

    @property
    def n_good(self) -> int:
        """Features that are good or excellent."""
        return self.count("good", "excellent")


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One row of the table of features, ready to print.

    Attributes
    ----------
    feature, icc, interval, ccc, cv : str
        Name and numbers.
    verdict, badge : str
        In a word, and the class of its colour.
    remark : str
        Why there is none; lesions left out.
    """

    feature: str
    icc: str
    interval: str
    ccc: str
    cv: str
    verdict: str
    badge: str
    remark: str


def ordered_stability(path: Path) -> pd.DataFrame:
    """Return stability.csv by image type and class, with ``label``, the name of a feature less its image type.

    Raises
    ------
    TableError
        It is damaged, or lacks a column.
    """
    frame = read_stability(path)
    place = {name: i for i, name in enumerate(_CLASSES)}
    by_class = frame["feature_class"].map(lambda name: place.get(name, len(place)))
    first_seen = {name: i for i, name in enumerate(dict.fromkeys(frame["image_type"]))}
    order = np.lexsort((np.arange(len(frame)), by_class, frame["image_type"].map(first_seen)))
    frame = frame.iloc[order].reset_index(drop=True)
    frame["label"] = [_label(name) for name in frame["feature"]]
    return frame


def agreed(stability: pd.DataFrame, chain: str, statistic: str, levels: Levels) -> Agreed:
    """Return the rows of the chain that decides, each with its verdict."""
    frame = stability.loc[stability["chain"] == chain].reset_index(drop=True)
    frame["value"] = frame[statistic]
    frame["verdict"] = [levels.verdict(v) for v in frame["value"]]
    return Agreed(frame, statistic, levels)


def share_plates(found: Agreed) -> list[Plate]:
    """Draw the share of stable features by class and, where there are several, by image type."""
    plates = []
    for column, name in (("feature_class", "class"), ("image_type", "image type")):
        groups = list(dict.fromkeys(found.frame[column]))
        if column == "image_type" and len(groups) < 2:
            continue
        if column == "feature_class":
            groups.sort(key=lambda g: _CLASSES.index(g) if g in _CLASSES else len(_CLASSES))
        counts = [_counts(found.frame.loc[found.frame[column] == g, "verdict"]) for g in groups]
        good, excellent = f"{found.levels.good:g}", f"{found.levels.excellent:g}"
        said = listed([f"{g}: {c[1]} and {c[2]} of {c[0]}" for g, c in zip(groups, counts, strict=True)])
        caption = (
            f"Share of features with {statistic_name(found.statistic)} of at least {good} (hatched and solid) and of "
            f"at least {excellent} (solid) by {name}; beside each bar both numbers, of all features. Those without a "
            "defined value count as not stable."
        )
        alt = f"Bars by {name}, features of at least {good} and of at least {excellent}. {said}"
        plates.append(plate(figures.draw_shares(groups, counts, found.levels), alt=alt, caption=caption))
    return plates


def interval_plates(found: Agreed) -> list[Plate]:
    """Draw the coefficient of every feature with its interval, from the most to the least stable."""
    base = found.statistic.removesuffix("_lower")
    known = found.frame.loc[np.isfinite(found.frame[base])].sort_values(base, ascending=False, kind="stable")
    if known.empty:
        return []
    value = known[base].to_numpy(np.float64)
    low, high = (_limit(known, base, end) for end in ("_lower", "_upper"))
    verdicts, name = list(known["verdict"]), STATISTICS[base][0]
    where = _where(known)
    names = list(known["label"] if known["image_type"].nunique() < 2 else known["feature"])
    if len(known) <= MOST_NAMED:
        figure = figures.draw_forest(names, value, low, high, verdicts, found.levels, name)
    else:
        figure = figures.draw_ranked(value, low, high, verdicts, found.levels, name)
    undefined = len(found.frame) - len(known)
    intervals = " with its 95 % interval" if base != "ccc" else ""
    caption = (
        f"{name} of each feature{intervals}, sorted; dashed lines at {found.levels.good:g} and "
        f"{found.levels.excellent:g}. Lines are cut where they leave the axis."
        + (f" {undefined} features without a defined value are not drawn." if undefined else "")
    )
    alt = f"{name} of {len(known)} features, from {value[0]:.3f} ({names[0]}) to {value[-1]:.3f} ({names[-1]}). {where}"
    return [plate(figure, alt=alt, caption=caption, vector=len(known) <= MOST_NAMED)]


def feature_rows(found: Agreed) -> list[FeatureRow]:
    """Return the table of all features, in the order of stability.csv."""
    base = found.statistic.removesuffix("_lower")
    low, high = (_limit(found.frame, base, end) for end in ("_lower", "_upper"))
    badges = {"excellent": "ok", "good": "info", "not stable": "error", "not defined": "warning"}
    return [
        FeatureRow(
            feature=row["feature"],
            icc=number(row[base], 3),
            interval="" if np.isnan(a) or np.isnan(b) else f"{a:.3f} to {b:.3f}",
            ccc=number(row["ccc"], 3),
            cv=number(100 * row["cv"], 1),
            verdict=row["verdict"],
            badge=badges[row["verdict"]],
            remark=_remark(row),
        )
        for row, a, b in zip(found.frame.to_dict("records"), low, high, strict=True)
    ]


def number(value: float, digits: int) -> str:
    """Return a number, or a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _label(column: str) -> str:
    try:
        name = ColumnName.parse(column)
    except ValueError:
        return column
    aggregation = f" {name.spelt_aggregation}" if name.spelt_aggregation else ""
    return f"{name.feature_class}{aggregation} {name.feature}"


def _counts(verdicts: pd.Series) -> tuple[int, int, int]:
    by = Counter(verdicts)
    return len(verdicts), by["good"] + by["excellent"], by["excellent"]


def _where(known: pd.DataFrame) -> str:
    return listed([f"{verdict}: {n} features" for verdict, n in Counter(known["verdict"]).items()])


def _limit(frame: pd.DataFrame, base: str, end: str) -> np.ndarray:
    return np.full(len(frame), np.nan) if base == "ccc" else frame[base + end].to_numpy(np.float64)


def _remark(row: dict[Any, Any]) -> str:
    said = [str(row["remark"])] if row["remark"] else []
    if left_out := row["n_lesions_left_out"]:
        said.append(f"{left_out} lesion{'' if left_out == 1 else 's'} left out")
    return "; ".join(said)
