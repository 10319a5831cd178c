"""Which features stay what they are in versions of the same lesions: the table of it, and what it says in short."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

from radiomics_talent.cohort.spreadsheet import number, read_sheet
from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.feature_dictionary import ColumnName
from radiomics_talent.robustness.agreement import agreement
from radiomics_talent.robustness_settings import Statistic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.robustness.agreement import Agreement
    from radiomics_talent.robustness.versions import VersionTable

ALL = "all"
"""Image type and feature class of the row of `stable_shares` that is about every feature."""
REMARKS = {
    "": "",
    "few_lesions": "fewer than 2 lesions have the feature in every version",
    "infinite": "infinite in some version of a lesion",
    "constant": "constant: it varies neither between lesions nor within",
    "constant_in_version": "lesions do not differ within a version; ICC(3,1) is not defined",
}
"""What is said of a feature without ICC, by `radiomics_talent.robustness.agreement.Remark`."""
UNCHANGED = "no version differs from the lesion as it is: the chain does not change this feature"
"""What is said of a feature whose agreement is perfect because nothing was done to it."""
_BLOCK = 256
"""Features that are looked at together: agreement needs about ten times the memory of their values."""
_KINDS = ("icc_1_1", "icc_2_1", "icc_3_1")
_TEXTS = ("chain", "feature", "image_type", "feature_class", "remark")
_COUNTS = ("n_lesions", "n_lesions_left_out", "n_versions")
COLUMNS = (
    "chain", "feature", "image_type", "feature_class", *_COUNTS,
    *(f"{kind}{end}" for kind in _KINDS for end in ("", "_lower", "_upper")), "ccc", "cv", "remark",
)  # fmt: skip
"""Of the table that `stability` makes."""
ICC_COLUMNS = ("feature", "icc", "icc_lower", "icc_upper", "n_lesions", "n_versions", "remark")
"""Of the table that `icc_table` makes."""


def stability(table: VersionTable) -> pd.DataFrame:
    """Return the agreement of each feature in each chain: the lesions as they are, and their versions.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row a chain and feature, in the order of the table. ``n_versions`` counts the original as one;
        coefficients are NaN where not defined, and ``remark`` says why; it also says where a chain changes nothing.
    """
    frames = [
        _of_block(table, chain, slice(start, start + _BLOCK))
        for chain in table.chains
        for start in range(0, len(table.features), _BLOCK)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def icc_table(stability: pd.DataFrame, chain: str, statistic: Statistic) -> pd.DataFrame:
    """Return one row a feature, as ``train --icc`` reads it.

    Parameters
    ----------
    stability : DataFrame
        As `stability` returns it.
    chain : str
        Which chain decides.
    statistic : str
        What the column ``icc`` holds; a lower limit is an ICC that is reached with confidence. ``icc_lower`` and
        ``icc_upper`` are the limits of its kind, NaN for ``ccc``.

    Raises
    ------
    ConfigError
        There is no such chain or statistic.
    """
    rows = _of_chain(stability, chain)
    kind = _checked(statistic).removesuffix("_lower")
    none = np.full(len(rows), math.nan)
    return pd.DataFrame(
        {
            "feature": rows["feature"],
            "icc": rows[statistic],
            "icc_lower": rows.get(f"{kind}_lower", none),
            "icc_upper": rows.get(f"{kind}_upper", none),
            **{name: rows[name] for name in ("n_lesions", "n_versions", "remark")},
        }
    ).reset_index(drop=True)


def stable_shares(
    stability: pd.DataFrame,
    chain: str,
    statistic: Statistic,
    good: float,
    excellent: float,
    *,
    by: Sequence[Literal["image_type", "feature_class"]] = ("image_type", "feature_class"),
) -> pd.DataFrame:
    """Return how many features are stable, by image type and feature class.

    Parameters
    ----------
    stability, chain, statistic
        As for `icc_table`.
    good, excellent : float
        From where on agreement is called so.
    by : sequence of str
        What makes a group.

    Returns
    -------
    DataFrame
        The columns of `by`, ``n_features``, ``n_defined`` (with the statistic), ``good`` and
        ``excellent``: shares of all features of the group, those without the statistic not among them. Groups come
        in the table's order; the last row is about `ALL`, its shares NaN without features.

    Raises
    ------
    ConfigError
        There is no such chain or statistic.
    """
    rows = _of_chain(stability, chain)
    values = rows[_checked(statistic)]
    groups = rows[list(by)].assign(
        n_features=1, n_defined=values.notna(), good=values >= good, excellent=values >= excellent
    )
    counts = ["n_features", "n_defined", "good", "excellent"]
    total = dict.fromkeys(by, ALL) | groups[counts].sum().to_dict()
    by_group = groups.groupby(list(by), sort=False)[counts].sum().reset_index()
    shares = pd.concat([by_group, pd.DataFrame([total])], ignore_index=True)
    shares[["n_features", "n_defined"]] = shares[["n_features", "n_defined"]].astype(np.int64)
    for name in ("good", "excellent"):
        shares[name] = shares[name].astype(np.float64) / shares["n_features"]
    return shares


def median_by_chain(stability: pd.DataFrame, statistic: Statistic) -> dict[str, float]:
    """Return the median of a statistic over the features that have it, by chain; the least comes first.

    Parameters
    ----------
    stability, statistic
        As for `icc_table`. A chain in which no feature has the statistic is left out.

    Raises
    ------
    ConfigError
        There is no such statistic.
    """
    medians = stability.groupby("chain", sort=False)[_checked(statistic)].median().dropna()
    return {str(chain): float(value) for chain, value in medians.sort_values(kind="stable").items()}


def medians_by_class(stability: pd.DataFrame, statistic: Statistic) -> pd.DataFrame:
    """Return the median of a statistic over the features of each class of each image type, by chain.

    Parameters
    ----------
    stability, statistic
        As for `icc_table`.

    Returns
    -------
    DataFrame
        A row an image type and feature class (its index), a column a chain, both in the table's order; NaN where no
        feature has the statistic.

    Raises
    ------
    ConfigError
        There is no such statistic.
    """
    grouped = stability.groupby(["image_type", "feature_class", "chain"], sort=False)[_checked(statistic)]
    return grouped.median().unstack("chain", sort=False)


@dataclass(frozen=True, slots=True)
class SetAgreement:
    """How far two tables call the same features stable.

    Attributes
    ----------
    n_features : int
        Features of each table.
    n_stable : tuple of int
        Stable features of the one and of the other; without ICC is not stable.
    same_side : float
        Share of features that are stable in both or in neither; NaN without features.
    jaccard : float
        Stable in both over stable in either; 1 where none is stable in either.
    """

    n_features: int
    n_stable: tuple[int, int]
    same_side: float
    jaccard: float


def set_agreement(one: pd.DataFrame, other: pd.DataFrame, threshold: float) -> SetAgreement:
    """Return how far two ICC tables, for example of two seeds, call the same features stable.

    Parameters
    ----------
    one, other : DataFrame
        As `icc_table` returns them; rows in any order.
    threshold : float
        From which ICC on a feature is stable.

    Raises
    ------
    TableError
        The tables do not have the same features, or one has a feature twice.
    """
    for table in (one, other):
        twice = table.loc[table["feature"].duplicated(), "feature"]
        if len(twice):
            raise TableError(f"feature {twice.iloc[0]} is there twice, expected one row a feature; remove a row")
    apart = sorted(set(one["feature"]) ^ set(other["feature"]))
    if apart:
        raise TableError(
            f"the ICC tables have different features: {apart[0]} is in one of them alone, {len(apart)} in all; "
            "compare tables of the same extraction settings"
        )
    features = list(one["feature"])
    first = one["icc"].to_numpy(np.float64) >= threshold
    second = other.set_index("feature")["icc"].reindex(features).to_numpy(np.float64) >= threshold
    either = int((first | second).sum())
    return SetAgreement(
        n_features=len(features),
        n_stable=(int(first.sum()), int(second.sum())),
        same_side=float((first == second).mean()) if features else math.nan,
        jaccard=float((first & second).sum() / either) if either else 1.0,
    )


def read_stability(path: Path) -> pd.DataFrame:
    """Read what `radiomics_talent.modelling.record.write_frame` wrote of `stability` or `icc_table`.

    Raises
    ------
    TableError
        The file is absent, has neither table's columns, or has text among its numbers.
    """
    sheet = read_sheet(path, COLUMNS)
    if sheet.header not in (COLUMNS, ICC_COLUMNS):
        lacking = [name for name in ICC_COLUMNS if name not in sheet.header]
        raise TableError(
            "is no table of stability: its columns are "
            f"{', '.join(sheet.header[:4])} ...{f', without {lacking[0]}' if lacking else ''}; "
            "name stability.csv or icc.csv of a run of robustness perturb",
            where=str(path),
        )
    columns: dict[str, list[str] | NDArray[np.float64] | NDArray[np.int64]] = {}
    for i, name in enumerate(sheet.header):
        cells = [row[i] for _, row in sheet.rows]
        columns[name] = cells if name in _TEXTS else _parsed(name, cells, [n for n, _ in sheet.rows], path)
    return pd.DataFrame(columns)


def _parts(name: str) -> tuple[str, str]:
    """Return image type and feature class; of a name that is none of ours what stands before the first underscore."""
    try:
        column = ColumnName.parse(name)
    except ValueError:
        return name.partition("_")[0], ""
    return column.image_type, column.feature_class


def _of_block(table: VersionTable, chain: str, block: slice) -> pd.DataFrame:
    """Return the rows of `stability` about one chain and some of the features."""
    original, versions = table.original[:, np.newaxis, block], table.chains[chain][:, :, block]
    found = agreement(np.concatenate([original, versions], axis=1))
    said = np.array([REMARKS[code] for code in found.remark.tolist()], dtype=object)
    said[(found.remark == "") & _is_unchanged(original, versions)] = UNCHANGED
    features = table.features[block]
    parts = [_parts(name) for name in features]
    names = {
        "chain": [chain] * len(features),
        "feature": list(features),
        "image_type": [image_type for image_type, _ in parts],
        "feature_class": [feature_class for _, feature_class in parts],
    }
    return pd.DataFrame(names | _numbers(found, len(table.keys)) | {"remark": said.tolist()})


def _is_unchanged(original: NDArray[np.float64], versions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell of which features no version that could be made differs from the lesion as it is."""
    same = (versions == original) | np.isnan(versions) | np.isnan(original)
    return np.asarray(same.all(axis=(0, 1)))


def _numbers(found: Agreement, n_lesions: int) -> dict[str, object]:
    numbers: dict[str, object] = {
        "n_lesions": found.n_lesions,
        "n_lesions_left_out": n_lesions - found.n_lesions,
        "n_versions": found.n_versions,
    }
    for kind in _KINDS:
        one = getattr(found, kind)
        numbers |= {kind: one.value, f"{kind}_lower": one.lower, f"{kind}_upper": one.upper}
    return numbers | {"ccc": found.ccc, "cv": found.cv}


def _of_chain(stability: pd.DataFrame, chain: str) -> pd.DataFrame:
    chains = list(dict.fromkeys(stability["chain"]))
    if chain not in chains:
        raise ConfigError(f"chain {chain!r} is not in the table of stability; its chains are {', '.join(chains)}")
    return stability[stability["chain"] == chain]


def _checked(statistic: Statistic) -> str:
    if statistic not in get_args(Statistic):
        raise ConfigError(f"statistic {statistic!r} is not known; expected one of {', '.join(get_args(Statistic))}")
    return statistic


def _parsed(name: str, cells: list[str], rows: list[int], path: Path) -> NDArray[np.float64] | NDArray[np.int64]:
    found = [number(cell, name, where=f"{path}: row {row}") for row, cell in zip(rows, cells, strict=True)]
    values = np.array([math.nan if value is None else value for value in found], dtype=np.float64)
    if name not in _COUNTS:
        return values
    if not (values == np.floor(values)).all():
        raise TableError(f"{name} has a cell that is no whole number; make the table again", where=str(path))
    return values.astype(np.int64)
