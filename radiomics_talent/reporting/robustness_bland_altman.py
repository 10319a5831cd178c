"""Bland-Altman plots of volume, a few first-order features, and the best and worst texture; a table of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.feature_dictionary import ColumnName, definitions
from radiomics_talent.reporting.extraction_figures import Plate, plate
from radiomics_talent.reporting.robustness_compare_figures import draw_bland_altman, readable
from radiomics_talent.reporting.robustness_folder import damaged, read_table
from radiomics_talent.reporting.robustness_words import prose
from radiomics_talent.robustness.versions import read_versions

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.reporting.robustness_agreement import Agreed

PAIRS = "versions.parquet"
"""Values of the pairs: A as the original, B as the one version of its one chain."""
_LINES = tuple(f"{name}{end}" for name in ("bias", "lower_limit", "upper_limit") for end in ("", "_lower", "_upper"))
_NUMBERS = ("n_pairs", "mean", *_LINES, "sd", "outside", "slope", "slope_p", "repeatability")
_VOLUMES = ("MeshVolume", "VoxelVolume")
_FIRST_ORDER = ("Mean", "90Percentile", "Entropy")
_N_TEXTURE = 3
_NO_TEXTURE = frozenset({"shape", "shape2D", "firstorder", "histogram", "ivh", "localintensity", ""})


def read_bland_altman(path: Path) -> pd.DataFrame:
    """Return bland_altman.csv.

    Raises
    ------
    ConfigError
        It is damaged, or lacks a column.
    """
    return read_table(path, ("feature", "remark"), _NUMBERS)


def bland_altman_plates(run: Path, analysed: pd.DataFrame, found: Agreed) -> tuple[list[Plate], str]:
    """Draw the chosen features.

    Parameters
    ----------
    run : Path
        Folder of the comparison.
    analysed : DataFrame
        From `read_bland_altman`.
    found : Agreed
        Which texture is best and worst.

    Returns
    -------
    (list of Plate, str)
        A plot a feature; why there is none, in a sentence.

    Raises
    ------
    ConfigError, TableError
        The values of the pairs are damaged.
    """
    if not (run / PAIRS).is_file():
        return [], f"The values of the pairs are not in the folder ({PAIRS}), so that they cannot be drawn."
    pairs = read_versions(run / PAIRS)
    if len(pairs.chains) != 1:
        raise damaged(run / PAIRS)
    a, b = pairs.original, next(iter(pairs.chains.values()))[:, 0, :]
    place = {name: i for i, name in enumerate(pairs.features)}
    rows = {str(row["feature"]): row for row in analysed.to_dict("records")}
    plates = []
    for why, feature in _chosen(found):
        if feature not in rows or feature not in place:
            continue
        column = place[feature]
        plates.append(_plate(feature, why, a[:, column], b[:, column], rows[feature]))
    return plates, "" if plates else "No feature of the pairs can be drawn."


def bland_altman_rows(analysed: pd.DataFrame) -> list[tuple[str, list[str], str]]:
    """Return feature, numbers and remark of each feature, as text."""
    return [
        (
            str(row["feature"]),
            [
                _interval(row, "bias"), _interval(row, "lower_limit"), _interval(row, "upper_limit"),
                "–" if np.isnan(row["outside"]) else f"{row['outside']:.0%}",
                readable(row["slope_p"], 2), readable(row["repeatability"], 4),
            ],
            str(row["remark"]),
        )
        for row in analysed.to_dict("records")
    ]  # fmt: skip


def _chosen(found: Agreed) -> list[tuple[str, str]]:
    """Return why and which: volume, first order, then the most and the least agreeing texture."""
    frame = found.frame
    original = frame.loc[frame["image_type"] == "original"]
    plain = {_feature(name): str(name) for name in original["feature"]}
    volume = [name for v in _VOLUMES for (c, f), name in plain.items() if c == "shape" and f == v]
    chosen = [("volume", name) for name in volume[:1]]
    chosen += [("first order", plain["firstorder", f]) for f in _FIRST_ORDER if ("firstorder", f) in plain]
    texture = frame.loc[~frame["feature_class"].isin(_NO_TEXTURE) & frame["value"].notna()]
    ranked = [str(name) for name in texture.sort_values("value", ascending=False, kind="stable")["feature"]]
    n = min(_N_TEXTURE, len(ranked) // 2)
    chosen += [("among the best of texture", name) for name in ranked[:n]]
    chosen += [("among the worst of texture", name) for name in ranked[len(ranked) - n :][::-1]]
    return chosen


def _plate(feature: str, why: str, a: np.ndarray, b: np.ndarray, row: dict[Any, Any]) -> Plate:
    n = int((np.isfinite(a) & np.isfinite(b)).sum())
    bias, low, high = (_interval(row, name) for name in ("bias", "lower_limit", "upper_limit"))
    figure = draw_bland_altman(a, b, row, _unit(feature))
    return plate(
        figure,
        alt=f"Bland-Altman plot of {feature}, {n} pairs: bias {bias}, limits of agreement {low} and {high}",
        caption=prose(
            f"`{feature}` ({why}): {n} pairs; line, bias; dashes, limits of agreement; bands, their 95 % intervals."
        ),
    )


def _unit(feature: str) -> str:
    try:
        name = ColumnName.parse(feature)
    except ValueError:
        return ""
    found = (d for d in definitions() if (d.feature_class, d.feature) == (name.feature_class, name.feature))
    unit = next((d.unit_on(name.image_type) for d in found), "")
    return "" if unit == "1" else unit.replace("mm3", "mm³").replace("mm2", "mm²").replace("HU2", "HU²")


def _feature(column: str) -> tuple[str, str]:
    try:
        name = ColumnName.parse(column)
    except ValueError:
        return "", column
    return name.feature_class, name.feature


def _interval(row: dict[Any, Any], name: str) -> str:
    if np.isnan(row[name]):
        return "–"
    return f"{readable(row[name])} ({readable(row[f'{name}_lower'])} to {readable(row[f'{name}_upper'])})"
