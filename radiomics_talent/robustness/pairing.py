"""Two feature tables of the same lesions: whether they may be compared at all, and which rows go together.

Features differ by the way they are computed far more than by reader or scanner, so tables made with other settings
or other versions are refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.extraction.provenance import NUMBERS_DEPEND_ON, different_keys
from radiomics_talent.features.dataset import features_sha256, find_features
from radiomics_talent.features.table import KEY_COLUMNS, FeatureTable
from radiomics_talent.modelling.tables import read_features
from radiomics_talent.robustness.versions import VersionTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FEWEST_PAIRS = 3
"""With two pairs there is one degree of freedom: no interval, and no slope, would say anything."""
SAME_LESION = ("patient_id", "lesion_id")
"""Key columns by which rows are paired unless others are named."""
CHAIN = "A-B"
"""Name of the comparison where versions have the name of their chain."""
UNPAIRED_COLUMNS = ("table", "patient_id", "lesion_id", "reason")
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One of the two tables, with the record of how it was made.

    Attributes
    ----------
    name : str
        'A' or 'B'.
    table : FeatureTable
        One row a lesion.
    file : Path
        The table's file.
    sha256 : str
        Of the file's bytes.
    record : dict or None
        provenance.json beside it.
    """

    name: str
    table: FeatureTable
    file: Path
    sha256: str
    record: dict[str, Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class PairedTables:
    """Rows of A and B that are of one lesion, in the order of A.

    Attributes
    ----------
    a, b : Measured
        The tables as they are.
    by : tuple of str
        Key columns that made the pairs.
    keys_a, keys_b : DataFrame
        `KEY_COLUMNS` of the paired rows, index 0 to n - 1.
    features : tuple of str
        Names, in the order of A.
    values_a, values_b : ndarray of float64
        (pair, feature).
    unpaired : DataFrame
        `UNPAIRED_COLUMNS`: rows of one table that the other lacks, and why where that is known.
    notes : tuple of str
        What could not be made sure of, in sentences.
    """

    a: Measured
    b: Measured
    by: tuple[str, ...]
    keys_a: pd.DataFrame
    keys_b: pd.DataFrame
    features: tuple[str, ...]
    values_a: NDArray[np.float64]
    values_b: NDArray[np.float64]
    unpaired: pd.DataFrame
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys_a)

    def as_versions(self) -> VersionTable:
        """Return A as the original and B as its one version, in a chain called `CHAIN`."""
        return VersionTable(self.keys_a, self.features, self.values_a, {CHAIN: self.values_b[:, None, :]})

    def stacked(self) -> FeatureTable:
        """Return the rows of A above those of B, their lesion_id led by ``A`` or ``B`` so that none is there twice."""
        sides = (("A", self.keys_a, self.values_a), ("B", self.keys_b, self.values_b))
        frames = [
            pd.concat([keys.assign(lesion_id=f"{name} " + keys["lesion_id"]), self._frame(values)], axis=1)
            for name, keys, values in sides
        ]
        return FeatureTable(pd.concat(frames, ignore_index=True))

    def _frame(self, values: NDArray[np.float64]) -> pd.DataFrame:
        return pd.DataFrame(values, columns=list(self.features))


def read_measured(path: str | Path, name: str) -> Measured:
    """Read a feature table and, where it lies beside it, how it was made.

    Parameters
    ----------
    path : str or Path
        Run folder of ``extract``, or a feature table (.parquet or .csv).
    name : str
        'A' or 'B', for messages.

    Raises
    ------
    TableError
        There is no such table, it is damaged, or its provenance.json is.
    """
    given = Path(path)
    if not given.exists():
        raise TableError("does not exist; name a run folder of extract, or a feature table", where=str(path))
    table = read_features(path)
    file = find_features(given) or given
    return Measured(name, table, file, features_sha256(file), _read_record(file))


def pair_tables(a: Measured, b: Measured, by: Sequence[str] = SAME_LESION) -> PairedTables:
    """Put the rows of A and B that are of one lesion side by side.

    Parameters
    ----------
    a, b : Measured
        From `read_measured`.
    by : sequence of str
        Key columns that two rows of one lesion share; together they name a row of each table.

    Raises
    ------
    ConfigError
        A and B are the same folder, were made with other settings or versions, or `by` has no or unknown columns.
    TableError
        The features differ, two rows of a table share a key, or there are fewer than `FEWEST_PAIRS` pairs.
    """
    by = tuple(dict.fromkeys(by))
    _check_columns(by)
    if a.file.resolve().parent == b.file.resolve().parent and a.file.stem == b.file.stem:
        raise ConfigError("A and B are the same table; name two measurements of the lesions", where=str(a.file))
    notes = [*_compare_recipes(a, b), *_unfinished(a), *_unfinished(b)]
    _refuse_other_features(a, b)
    rows_a, rows_b = _rows_by_key(a, by), _rows_by_key(b, by)
    shared = [key for key in rows_a if key in rows_b]
    if len(shared) < FEWEST_PAIRS:
        raise TableError(_too_few(len(shared), a, b, by), where=f"{a.file} and {b.file}")
    at_a, at_b = [rows_a[key] for key in shared], [rows_b[key] for key in shared]
    features = a.table.features
    values_a, values_b = (
        side.table.frame.loc[:, list(features)].to_numpy(np.float64)[at] for side, at in ((a, at_a), (b, at_b))
    )
    if np.array_equal(values_a, values_b, equal_nan=True):
        notes.append("every feature of every pair has the same value in A and B: the lesions were measured once")
    unpaired = [*_unpaired(a, b, rows_a, rows_b), *_unpaired(b, a, rows_b, rows_a)]
    return PairedTables(
        a=a,
        b=b,
        by=by,
        keys_a=_keys(a, at_a),
        keys_b=_keys(b, at_b),
        features=features,
        values_a=values_a,
        values_b=values_b,
        unpaired=pd.DataFrame(unpaired, columns=list(UNPAIRED_COLUMNS), dtype="str"),
        notes=tuple(notes),
    )


def _read_record(file: Path) -> dict[str, Any] | None:
    path = file.with_name("provenance.json")
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"settings": dict, "settings_sha256": str, "versions": dict, "lesions": list}
        is_whole = all(isinstance(record[name], kind) for name, kind in kinds.items())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError("is damaged; extract again, or remove it", where=str(path)) from error
    if not is_whole:
        raise TableError("is damaged; extract again, or remove it", where=str(path))
    return dict(record)


def _check_columns(by: tuple[str, ...]) -> None:
    if not by:
        raise ConfigError(f"no column is named; rows are paired by key columns, such as {','.join(SAME_LESION)}")
    unknown = [name for name in by if name not in KEY_COLUMNS]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no key column of a feature table; known are {', '.join(KEY_COLUMNS)}")


def _compare_recipes(a: Measured, b: Measured) -> list[str]:
    """Refuse tables that were computed otherwise; say so where that cannot be known."""
    without = [side.name for side in (a, b) if side.record is None]
    if a.record is None or b.record is None:
        names = " and ".join(without)
        return [f"{names} without provenance.json: whether both were extracted with the same settings is not known"]
    where = f"{a.file.parent} and {b.file.parent}"
    if a.record["settings_sha256"] != b.record["settings_sha256"]:
        keys = ", ".join(different_keys(a.record["settings"], b.record["settings"]))
        found = f"{keys} differ" if keys else "another version wrote them down otherwise"
        raise ConfigError(f"A and B were extracted with different settings: {found}; extract both alike", where=where)
    one, other = (_versions_of_numbers(record) for record in (a.record, b.record))
    changed = [f"{n} {one.get(n, 'absent')} in A, {other.get(n, 'absent')} in B" for n in different_keys(one, other)]
    if changed:
        raise ConfigError(
            f"A and B were extracted with different versions: {'; '.join(changed)}; extract both with the same",
            where=where,
        )
    return []


def _versions_of_numbers(record: dict[str, Any]) -> dict[str, Any]:
    """Return the versions that a feature may depend on, of all that are recorded."""
    versions = record["versions"]
    named = NUMBERS_DEPEND_ON.get(versions.get("engine", ""), tuple(versions))
    return {n: v for n, v in versions.items() if n in {"radiomics-talent", "engine", *named}}


def _unfinished(side: Measured) -> list[str]:
    if side.record is None or side.record.get("complete", True):
        return []
    return [f"{side.name} is of a run that was stopped: its lesions are not all there"]


def _refuse_other_features(a: Measured, b: Measured) -> None:
    lacking = []
    for one, other in ((a, b), (b, a)):
        there = set(other.table.features)
        if more := [name for name in one.table.features if name not in there]:
            lacking.append(f"{one.name} has {_named(more)} which {other.name} lacks")
    if lacking:
        raise TableError(f"the features differ: {'; '.join(lacking)}; extract both alike", where=f"{a.file}, {b.file}")
    if not a.table.features:
        raise TableError("the table has no features; extract again", where=str(a.file))


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown


def _rows_by_key(side: Measured, by: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    frame = side.table.frame
    keys = zip(*(frame[name].map(str) for name in by), strict=True)
    rows: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(keys):
        if key in rows:
            first, second = (_name(frame, r) for r in (rows[key], row))
            shared = ", ".join(f"{n} {v!r}" if v else f"an empty {n}" for n, v in zip(by, key, strict=True))
            raise TableError(
                f"rows {first} and {second} of {side.name} share {shared}, so that no row can be paired with one of "
                "them; pair by more columns (--by), or keep one of the rows",
                where=str(side.file),
            )
        rows[key] = row
    return rows


def _name(frame: pd.DataFrame, row: int) -> str:
    return f"{frame['patient_id'].iloc[row]}/{frame['lesion_id'].iloc[row]}"


def _too_few(n: int, a: Measured, b: Measured, by: tuple[str, ...]) -> str:
    examples = ""
    if not n and len(a.table) and len(b.table):
        examples = f" (A begins with {_name(a.table.frame, 0)}, B with {_name(b.table.frame, 0)})"
    return (
        f"{n} of {len(a.table)} and {len(b.table)} rows are paired by {', '.join(by)}{examples}, and agreement needs "
        f"{FEWEST_PAIRS} pairs or more: with fewer there is no spread between lesions to hold it against; spell ids "
        "alike, or pair by other columns (--by)"
    )


def _keys(side: Measured, rows: list[int]) -> pd.DataFrame:
    return side.table.frame.loc[:, list(KEY_COLUMNS)].iloc[rows].reset_index(drop=True)


def _unpaired(
    one: Measured, other: Measured, rows: dict[tuple[str, ...], int], there: dict[tuple[str, ...], int]
) -> list[tuple[str, str, str, str]]:
    frame = one.table.frame
    failed = {
        (str(r.get("patient_id")), str(r.get("lesion_id"))): str(r.get("stage", "unknown"))
        for r in (other.record or {}).get("lesions", ())
        if r.get("status") == "failed"
    }
    found = []
    for key, row in rows.items():
        if key in there:
            continue
        name = (str(frame["patient_id"].iloc[row]), str(frame["lesion_id"].iloc[row]))
        reason = f"failed in {other.name} (stage {failed[name]})" if name in failed else f"no such row in {other.name}"
        found.append((one.name, *name, reason))
    return found
