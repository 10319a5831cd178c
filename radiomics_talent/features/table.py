"""The feature table: one row a lesion, key columns and then features, as Parquet with a CSV twin.

The only contract between extraction and modelling. Features keep PyRadiomics' names and are float64; both files
give back the very same numbers (the CSV holds the shortest decimals that do).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from radiomics_talent.errors import TableError
from radiomics_talent.features.cells import escape_cell, unescape_cell
from radiomics_talent.features.whole_files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

KEY_COLUMNS = (
    "patient_id",
    "lesion_id",
    "label",
    "roi_name",
    "series_uid",
    "study_date",
    "contrast_phase",
    "slice_thickness_mm",
    "kernel",
    "manufacturer",
    "site",
)
"""Columns that say which lesion a row is and how it was scanned; every further column is a feature."""
_NUMERIC_KEYS = frozenset({"slice_thickness_mm"})


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """Features of a cohort.

    Parameters
    ----------
    frame : DataFrame
        `KEY_COLUMNS` (text, ``slice_thickness_mm`` a number), then features (float64); one row a lesion.

    Raises
    ------
    TableError
        A key column is missing or out of place, a feature is not a number, or a lesion is there twice.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        columns = list(self.frame.columns)
        missing = [c for c in KEY_COLUMNS if c not in columns]
        if missing:
            raise TableError(f"not a feature table: columns {', '.join(missing)} missing; make it with extract")
        if tuple(columns[: len(KEY_COLUMNS)]) != KEY_COLUMNS:
            raise TableError(f"not a feature table: its first columns must be {', '.join(KEY_COLUMNS)}")
        named = next((c for c in self.features if escape_cell(c) != c), None)
        if named is not None:
            raise TableError(
                f"column {named!r} has a name that a spreadsheet program would run as a formula; rename it"
            )
        wrong = [c for c in (*self.features, *_NUMERIC_KEYS) if self.frame[c].dtype != np.float64]
        if wrong:
            raise TableError(f"column {wrong[0]} is not a feature, or no number: it holds something else; remove it")
        twice = self.frame.duplicated(["patient_id", "lesion_id"])
        if twice.any():
            first = self.frame.loc[twice].iloc[0]
            raise TableError(f"lesion {first['patient_id']}/{first['lesion_id']} is there twice; remove one row")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature columns."""
        return tuple(str(c) for c in self.frame.columns[len(KEY_COLUMNS) :])

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def from_rows(
        cls, rows: Iterable[tuple[Mapping[str, object], Mapping[str, float]]], features: Sequence[str] | None = None
    ) -> FeatureTable:
        """Build a table from (key columns, features) of each lesion.

        A feature that one lesion has and another lacks is NaN for the latter; columns are `features`, or stand in the
        order in which features are first met.
        """
        pairs = list(rows)
        names = dict.fromkeys(name for _, values in pairs for name in values) if features is None else features
        keys = {c: _key_column(c, [k.get(c) for k, _ in pairs]) for c in KEY_COLUMNS}
        values = {n: np.array([f.get(n, math.nan) for _, f in pairs], dtype=np.float64) for n in names}
        return cls(pd.DataFrame({**keys, **values}))

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``features.parquet`` and ``features.csv`` into `folder` and return their paths."""
        parquet, text = folder / "features.parquet", folder / "features.csv"
        self.write_parquet(parquet)
        self.write_csv(text)
        return parquet, text

    def write_parquet(self, path: Path) -> None:
        """Write the table as Parquet, at once or not at all."""
        with replacing(path) as temporary:
            self.frame.to_parquet(temporary, engine="pyarrow", index=False)

    def write_csv(self, path: Path) -> None:
        """Write the table as CSV (UTF-8, comma, point), at once or not at all; an empty cell is NaN.

        Text that a spreadsheet program would take for a formula gets a leading apostrophe, which `load_features`
        removes.
        """
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.frame.columns)
            writer.writerows(self.cells())

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield the rows of the CSV: the shortest decimals that give back the very same numbers."""
        return zip(*(self._texts(c) for c in self.frame.columns), strict=True)

    def _texts(self, column: str) -> list[str]:
        values = self.frame[column].tolist()
        if column in _NUMERIC_KEYS or column not in KEY_COLUMNS:
            return ["" if math.isnan(v) else repr(float(v)) for v in values]
        return [escape_cell(str(v)) for v in values]


def load_features(path: str | Path) -> FeatureTable:
    """Read a feature table from its CSV file, its Parquet file, or a folder of Parquet files.

    Raises
    ------
    TableError
        The file is absent, is neither format, or is not a feature table.
    """
    file = Path(path)
    try:
        frame = _read_csv(file) if file.suffix.lower() == ".csv" else pd.read_parquet(file, engine="pyarrow")
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except ValueError as error:
        raise TableError(f"not a feature table: {str(error).splitlines()[0]}", where=str(path)) from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # what pandas left in the file is spoilt
        raise TableError("is damaged; repeat the command that made it", where=str(path)) from error
    try:
        return FeatureTable(frame)
    except TableError as error:
        raise TableError(error.message, where=str(path)) from error


def _key_column(name: str, values: list[object]) -> pd.Series:
    if name in _NUMERIC_KEYS:
        return pd.Series([math.nan if v is None else v for v in values], dtype=np.float64)
    return pd.Series(["" if v is None else str(v) for v in values], dtype="str")


def _read_csv(file: Path) -> pd.DataFrame:
    # Not by pandas: its parser does not promise the last bit, and it takes the ids NA and 007 for something else.
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    if not rows:
        raise ValueError("the file is empty")
    header, body = rows[0], [row for row in rows[1:] if row]
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header has {len(header)}")
    columns = {name: [row[i] for row in body] for i, name in enumerate(header)}
    return pd.DataFrame({name: _parsed(name, cells) for name, cells in columns.items()}, columns=header)


def _parsed(name: str, cells: list[str]) -> pd.Series:
    if name in KEY_COLUMNS and name not in _NUMERIC_KEYS:
        return pd.Series([unescape_cell(cell) for cell in cells], dtype="str")
    try:
        return pd.Series([float(cell) if cell else math.nan for cell in cells], dtype=np.float64)
    except ValueError:
        return pd.Series(cells, dtype="str")
