"""Agreement by feature as a page shows it: counts, bars, intervals and the table of all features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from radiomics_talent.feature_dictionary import ColumnName
from radiomics_talent.reporting import robustness_figures as figures
from radiomics_talent.reporting.extraction_figures import Plate, listed, plate
from radiomics_talent.reporting.robustness_words import STATISTICS, counted, prose, statistic_name
from radiomics_talent.robustness.stability import UNCHANGED, read_stability, stable_shares

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.reporting.robustness_figures import Levels
    from radiomics_talent.robustness_settings import Statistic

MOST_NAMED = 150
"""Features whose intervals are drawn with a name each."""
NOT_TESTED = "not tested"
"""Verdict of a feature that no version of the chain changes: its ICC of 1 says nothing."""
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
        ``value`` (the statistic that decides) and ``verdict`` (of `Levels.verdict`, or `NOT_TESTED`).
    chain : str
        Which chain.
    statistic : str
        Which statistic.
    levels : Levels
        What is good and what is excellent.
    n_features, n_defined, n_good, n_excellent : int
        All features, those with the statistic, and how many of them are at least good and excellent.
    """

    frame: pd.DataFrame
    chain: str
    statistic: Statistic
    levels: Levels
    n_features: int
    n_defined: int
    n_good: int
    n_excellent: int

    @property
    def n_not_defined(self) -> int:
        """Features without the statistic."""
        return self.n_features - self.n_defined

    @property
    def n_not_tested(self) -> int:
        """Features that no version changes."""
        return int((self.frame["verdict"] == NOT_TESTED).sum())


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


def agreed(stability: pd.DataFrame, chain: str, statistic: Statistic, levels: Levels) -> Agreed:
    """Return the rows of the chain that decides, each with its verdict."""
    frame = stability.loc[stability["chain"] == chain].reset_index(drop=True)
    frame["value"] = frame[statistic]
    verdicts = [levels.verdict(v) for v in frame["value"]]
    frame["verdict"] = np.where(is_not_tested(frame), NOT_TESTED, np.array(verdicts, dtype=object))
    if frame.empty:
        return Agreed(frame, chain, statistic, levels, 0, 0, 0, 0)
    total = stable_shares(frame, chain, statistic, levels.good, levels.excellent).iloc[-1]
    n = int(total["n_features"])
    good, excellent = (round(total[name] * n) for name in ("good", "excellent"))
    return Agreed(frame, chain, statistic, levels, n, int(total["n_defined"]), good, excellent)


def is_not_tested(stability: pd.DataFrame) -> np.ndarray:
    """Tell of each row of stability.csv whether no version of the chain changes the feature in any lesion."""
    return stability["remark"].eq(UNCHANGED).to_numpy(np.bool_)


def not_tested_sentence(found: Agreed, why: str) -> list[str]:
    """Say, where it is so, how many features were not tested by the chain that decides, and why."""
    if not found.n_not_tested:
        return []
    features = counted(found.n_not_tested, "feature")
    return [
        (
            f"For {features} {why}: an agreement of 1 then says nothing, and the table calls them not tested. They are "
            "counted above as they stand."
        )
    ]


def share_plates(found: Agreed) -> list[Plate]:
    """Draw the share of stable features by class and, where there are several, by image type."""
    plates: list[Plate] = []
    if found.frame.empty:
        return plates
    columns: tuple[tuple[Literal["feature_class", "image_type"], str], ...] = (
        ("feature_class", "class"),
        ("image_type", "image type"),
    )
    for column, name in columns:
        by_group = _counts(found, column)
        if column == "image_type" and len(by_group) < 2:
            continue
        groups, counts = list(by_group), list(by_group.values())
        if column == "feature_class":
            groups.sort(key=lambda g: _CLASSES.index(g) if g in _CLASSES else len(_CLASSES))
            counts = [by_group[g] for g in groups]
        good, excellent = f"{found.levels.good:g}", f"{found.levels.excellent:g}"
        said = listed([f"{g}: {c[1]} and {c[2]} of {c[0]}" for g, c in zip(groups, counts, strict=True)])
        caption = (
            f"Share of features with {statistic_name(found.statistic)} of at least {good} (hatched and solid) and of "
            f"at least {excellent} (solid) by {name}; beside each bar both numbers, of all features. Those without a "
            "defined value count as not stable."
        )
        alt = f"Bars by {name}, features of at least {good} and of at least {excellent}. {said}"
        plates.append(plate(figures.draw_shares(groups, counts, found.levels), alt=alt, caption=prose(caption)))
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
    names = list(known["label"] if known["image_type"].nunique() < 2 else known["feature"])
    if len(known) <= MOST_NAMED:
        figure = figures.draw_forest(names, value, low, high, verdicts, found.levels, name)
    else:
        figure = figures.draw_ranked(value, low, high, verdicts, found.levels, name)
    undefined = len(found.frame) - len(known)
    where = (
        f"{found.n_good} of at least {found.levels.good:g}, {found.n_excellent} of at least {found.levels.excellent:g}"
    )
    intervals = " with its 95 % interval" if base != "ccc" else ""
    caption = (
        f"{name} of each feature{intervals}, sorted; dashed lines at {found.levels.good:g} and "
        f"{found.levels.excellent:g}. Lines are cut where they leave the axis."
        + (f" Not drawn: {counted(undefined, 'feature')} without a defined value." if undefined else "")
    )
    alt = f"{name} of {len(known)} features, from {value[0]:.3f} ({names[0]}) to {value[-1]:.3f} ({names[-1]}). {where}"
    return [plate(figure, alt=alt, caption=prose(caption), vector=len(known) <= MOST_NAMED)]


def feature_rows(found: Agreed) -> list[FeatureRow]:
    """Return the table of all features, in the order of stability.csv."""
    base = found.statistic.removesuffix("_lower")
    low, high = (_limit(found.frame, base, end) for end in ("_lower", "_upper"))
    badges = {"excellent": "ok", "good": "info", "not stable": "error", "not defined": "warning", NOT_TESTED: "warning"}
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


def _counts(found: Agreed, column: Literal["feature_class", "image_type"]) -> dict[str, tuple[int, int, int]]:
    """Return of each group its features, its good ones (excellent ones among them) and its excellent ones."""
    levels = found.levels
    shares = stable_shares(found.frame, found.chain, found.statistic, levels.good, levels.excellent, by=(column,)).iloc[
        :-1
    ]
    return {
        str(row[column]): (n, round(row["good"] * n), round(row["excellent"] * n))
        for row in shares.to_dict("records")
        for n in [int(row["n_features"])]
    }


def _limit(frame: pd.DataFrame, base: str, end: str) -> np.ndarray:
    return np.full(len(frame), np.nan) if base == "ccc" else frame[base + end].to_numpy(np.float64)


def _remark(row: dict[Any, Any]) -> str:
    said = [str(row["remark"])] if row["remark"] else []
    if left_out := row["n_lesions_left_out"]:
        said.append(f"{left_out} lesion{'' if left_out == 1 else 's'} left out")
    return "; ".join(said)
