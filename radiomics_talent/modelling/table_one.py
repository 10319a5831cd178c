"""Table 1: the patients of a study by outcome, as aggregates alone."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.modelling.dataset import looks_like_endpoint, mostly_different

if TYPE_CHECKING:
    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.modelling.dataset import StudyTable

COLUMNS = ("variable", "level", "missing", "overall", "without_event", "with_event", "p_value", "test")
"""Columns of the table; ``event`` stands for response, too."""
Rows = list[list[str]]
_GROUPS = ("without_event", "with_event")
_LESIONS, _VOLUME, _SITE = "lesions_in_model", "lesion_volume_ml", "site"
_MOST_LEVELS = 20


def table_one(table: StudyTable, clinical: ClinicalTable) -> pd.DataFrame:
    """Describe the patients of a study table by outcome.

    Numbers are given as median and quartiles and compared by Kruskal-Wallis, categories as count and share of the
    known and compared by chi-squared or, two by two, by Fisher's exact test: all by the package ``tableone``.
    The p values describe; nothing is selected by them.

    Parameters
    ----------
    table : StudyTable
        The rows of the model: its patients count, each once; one with the event in any row has it.
    clinical : ClinicalTable
        Their covariates; end points and free text are left out.

    Returns
    -------
    DataFrame
        `COLUMNS`, all text: the first row counts the patients, and a category has a row a level.
    """
    frame, categories = _patients(table, clinical)
    columns = [str(c) for c in frame.columns if c != "event"]
    sizes = frame["event"].value_counts()
    first = ["n", "", "", str(len(frame)), *(str(sizes.get(g, 0)) for g in _GROUPS), "", ""]
    # The package compares all columns of a call or none, and stops at one that cannot be compared.
    tested = [c for c in columns if _can_be_compared(frame, c)]
    rows = _described(frame, tested, categories, tests=True)
    rows |= _described(frame, [c for c in columns if c not in tested], categories, tests=False)
    return pd.DataFrame([first, *(row for c in columns for row in rows[c])], columns=list(COLUMNS), dtype=object)


def _patients(table: StudyTable, clinical: ClinicalTable) -> tuple[pd.DataFrame, list[str]]:
    """Return a row a patient with what is described and the group, and the names of the categories."""
    # A structured outcome (survival) counts by its event, as the table says it.
    rows = pd.DataFrame(
        {"patient": table.patients, "event": table.events, "volume": table.volumes_ml, "site": table.sites}
    )
    grouped = rows.groupby("patient", sort=False)
    events = grouped["event"].max()
    frame = pd.DataFrame(index=events.index)
    categories: list[str] = []
    known = clinical.frame.loc[list(events.index)]
    for name, column in clinical.columns.items():
        values = known[name]
        described = column.type in {"number", "integer", "flag", "category"} and column.role == "covariate"
        if not described or looks_like_endpoint(name) or name == "event" or values.isna().all():
            continue
        if column.type in {"number", "integer"}:
            frame[name] = values.to_numpy(dtype=np.float64)
            continue
        texts = _texts(values, is_flag=column.type == "flag")
        if _is_free_text(texts):
            continue
        frame[name] = texts.to_numpy()
        categories.append(name)
    sites = grouped["site"].first()
    if _SITE not in frame and sites.ne("").any() and not _is_free_text(sites):
        frame[_SITE] = sites.where(sites != "", None).astype(object)
        categories.append(_SITE)
    if _LESIONS not in frame and len(rows) > len(frame):
        frame[_LESIONS] = grouped.size().astype(np.float64)
    volumes = grouped["volume"].sum(min_count=1)
    if _VOLUME not in frame and volumes.notna().any():
        frame[_VOLUME] = volumes
    frame["event"] = np.where(events.to_numpy() > 0, _GROUPS[1], _GROUPS[0])
    return frame, categories


def _texts(values: pd.Series, *, is_flag: bool) -> pd.Series:
    if is_flag:
        return values.map({0.0: "no", 1.0: "yes"}).astype(object)
    return values.where(values.notna(), None).astype(object)


def _is_free_text(values: pd.Series) -> bool:
    return values.dropna().nunique() > _MOST_LEVELS or mostly_different(values)


def _can_be_compared(frame: pd.DataFrame, column: str) -> bool:
    known = frame.loc[frame[column].notna(), [column, "event"]]
    return bool(known[column].nunique() > 1 and known["event"].nunique() > 1)


def _described(frame: pd.DataFrame, columns: list[str], categories: list[str], *, tests: bool) -> dict[str, Rows]:
    """Return the rows of each column."""
    if not columns:
        return {}
    from tableone import TableOne  # noqa: PLC0415 - takes a second, and only a training needs it

    # Names that no suffix of the package can be confused with.
    keys = {name: f"v{k}" for k, name in enumerate(columns)}
    numbers = [keys[c] for c in columns if c not in categories]
    data = frame[[*columns, "event"]].rename(columns=keys).reset_index(drop=True)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # its own use of pandas, and small counts, which the column `test` tells
        described = TableOne(
            data, columns=list(keys.values()), categorical=[keys[c] for c in columns if c in categories],
            continuous=numbers, nonnormal=numbers, groupby="event",
            pval=tests, htest_name=tests, include_null=False, label_suffix=False,
        ).tableone  # fmt: skip
    described.columns = described.columns.get_level_values(-1)
    rows: dict[str, Rows] = {name: [] for name in columns}
    names = {key: name for name, key in keys.items()}
    for index, cells in described.iterrows():
        assert isinstance(index, tuple)
        name = names.get(str(index[0]))
        if name is not None:  # the first row counts the patients
            values = [_cell(cells, c) for c in ("Missing", "Overall", *_GROUPS, "P-Value", "Test")]
            rows[name].append(["" if rows[name] else name, str(index[1]), *values])
    return rows


def _cell(cells: pd.Series, name: str) -> str:
    value: Any = cells.get(name, "")
    return "" if pd.isna(value) else str(value)
