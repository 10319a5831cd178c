"""Feature tables that are larger than memory: written lesion by lesion, read by column and by patient.

A table of up to `MOST_IN_ONE_FILE` lesions is ``features.parquet`` with its CSV twin. A larger one is the Parquet
dataset ``features/``: files of `LESIONS_A_PART` lesions in the order of the cohort, which pandas, polars, DuckDB and
R's arrow read as one table.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features.table import KEY_COLUMNS, FeatureTable
from radiomics_talent.features.whole_files import replacing, to_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    Row = tuple[Mapping[str, object], Mapping[str, float]]

MOST_IN_ONE_FILE = 10_000
"""Lesions up to which a run writes one Parquet file and its CSV twin."""
LESIONS_A_PART = 5_000
"""Lesions of each file of a dataset."""
FOLDER = "features"
"""Name of a dataset in its run folder."""
_LESIONS_AT_ONCE = 500
_BYTES_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class FeatureDataset:
    """A feature table on disk.

    Attributes
    ----------
    path : Path
        A Parquet file, or a folder of them.
    features : tuple of str
        Names of the feature columns.
    n_lesions : int
        Number of rows.
    """

    path: Path
    features: tuple[str, ...]
    n_lesions: int

    def batches(
        self, features: Sequence[str] | None = None, patients: Sequence[str] | None = None
    ) -> Iterator[FeatureTable]:
        """Yield the table in pieces of some hundred lesions, in its order; one empty piece where nothing fits.

        Parameters
        ----------
        features : sequence of str, optional
            Feature columns to read: names, or patterns as file names have (``original_glcm_*``). All by default.
        patients : sequence of str, optional
            `patient_id` of the lesions to read. All by default.

        Raises
        ------
        ConfigError
            No feature has such a name.
        TableError
            A file of the table is damaged.
        """
        columns = [*KEY_COLUMNS, *self._matching(features)]
        wanted = None if patients is None else ds.field("patient_id").isin(list(patients))
        found = 0
        try:
            # Reading ahead would hold whole files, of which several are read at once.
            ahead = {"batch_readahead": 1, "fragment_readahead": 1, "use_threads": False}
            scanner = _dataset(self.path).scanner(columns=columns, filter=wanted, batch_size=_LESIONS_AT_ONCE, **ahead)
            for batch in scanner.to_batches():
                if batch.num_rows:
                    found += batch.num_rows
                    yield _table(batch)
            if not found:
                yield _table(scanner.head(0))
        except (OSError, pa.ArrowException) as error:
            raise TableError("is damaged; repeat the command that made it", where=str(self.path)) from error

    def read(self, features: Sequence[str] | None = None, patients: Sequence[str] | None = None) -> FeatureTable:
        """Return a part of the table, see `batches`."""
        import pandas as pd  # noqa: PLC0415  # the rest needs Arrow alone

        return FeatureTable(pd.concat([t.frame for t in self.batches(features, patients)], ignore_index=True))

    def _matching(self, patterns: Sequence[str] | None) -> list[str]:
        if patterns is None:
            return list(self.features)
        for pattern in patterns:
            if not fnmatch.filter(self.features, pattern):
                raise ConfigError(
                    f"no feature is called {pattern!r}; the first is {self.features[0]}", where=str(self.path)
                )
        return [name for name in self.features if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def find_features(path: Path) -> Path | None:
    """Return the feature table of a run folder (a Parquet file, a folder of them, or a CSV file), or one by itself."""
    if path.is_file() or next(path.glob("part-*.parquet"), None) is not None:
        return path
    names = ("features.parquet", FOLDER, "features.csv")
    return next((path / name for name in names if (path / name).exists()), None)


def features_sha256(table: Path) -> str:
    """Return the SHA-256 of a table's file, or of its files in their order."""
    digest = hashlib.sha256()
    for file in sorted(table.glob("*.parquet")) if table.is_dir() else [table]:
        with file.open("rb") as stream:
            while block := stream.read(_BYTES_AT_ONCE):
                digest.update(block)
    return digest.hexdigest()


def open_features(path: Path) -> FeatureDataset:
    """Open the feature table of a run folder, or one by itself, without reading it.

    Raises
    ------
    TableError
        There is none, it is no Parquet, or it is not a feature table.
    """
    found = find_features(path)
    if found is None:
        raise TableError("no feature table is here; name the run folder of extract", where=str(path))
    try:
        dataset = _dataset(found)
        columns, n = dataset.schema.names, dataset.count_rows()
    except (OSError, pa.ArrowException) as error:
        sentence = "is no Parquet file that can be read; name the run folder of extract"
        raise TableError(sentence, where=str(found)) from error
    if tuple(columns[: len(KEY_COLUMNS)]) != KEY_COLUMNS:
        raise TableError(f"not a feature table: its first columns must be {', '.join(KEY_COLUMNS)}", where=str(found))
    return FeatureDataset(found, tuple(columns[len(KEY_COLUMNS) :]), n)


def write_features(folder: Path, rows: Iterable[Row], features: Sequence[str], n_lesions: int) -> Path:
    """Write the table of a run, whole or not at all, holding some hundred lesions at a time.

    Parameters
    ----------
    folder : Path
        The run folder.
    rows : iterable of (mapping, mapping)
        Key columns and features of each lesion.
    features : sequence of str
        Names of all feature columns; a lesion that lacks one has NaN.
    n_lesions : int
        Number of rows, on which the form depends.

    Returns
    -------
    Path
        ``features.parquet`` (beside it ``features.csv``), or the folder ``features``.
    """
    tables = _pieces(rows, features)
    if n_lesions > MOST_IN_ONE_FILE:
        return _write_parts(folder / FOLDER, tables)
    with ExitStack() as files:
        writers = [files.enter_context(_writer(folder / f"features{s}")) for s in (".parquet", ".csv")]
        for table in tables:
            for write in writers:
                write(table)
    return folder / "features.parquet"


def write_one_file(tables: Iterable[FeatureTable], path: Path) -> int:
    """Write pieces of a table into one file, whole or not at all, and return the number of lesions.

    Parameters
    ----------
    tables : iterable of FeatureTable
        At least one, all with the same columns.
    path : Path
        A name in ``.parquet`` or ``.csv``.
    """
    n = 0
    with _writer(path) as write:
        for table in tables:
            write(table)
            n += len(table)
    return n


def _pieces(rows: Iterable[Row], features: Sequence[str]) -> Iterator[FeatureTable]:
    """Yield tables of some hundred lesions; one without lesions where there are none."""
    iterator = iter(rows)
    # Rows take many times what their table takes: they are let go before the next ones come.
    table = FeatureTable.from_rows(list(islice(iterator, _LESIONS_AT_ONCE)), features)
    while True:
        yield table
        table = FeatureTable.from_rows(list(islice(iterator, _LESIONS_AT_ONCE)), features)
        if not len(table):
            return


def _write_parts(target: Path, tables: Iterator[FeatureTable]) -> Path:
    temporary = target.with_name(f".tmp-{os.getpid()}-{target.name}")
    try:
        temporary.mkdir()
        pieces, number = True, 0
        while pieces:
            part = list(islice(tables, LESIONS_A_PART // _LESIONS_AT_ONCE))
            if pieces := bool(part):
                write_one_file(part, temporary / f"part-{number:05}.parquet")
                number += 1
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    to_disk(target.parent)
    return target


@contextmanager
def _writer(path: Path) -> Iterator[Callable[[FeatureTable], None]]:
    """Give what adds a piece to a file."""
    with replacing(path) as temporary, ExitStack() as files:
        if path.suffix == ".csv":
            text = csv.writer(
                files.enter_context(temporary.open("w", encoding="utf-8", newline="")), lineterminator="\n"
            )
            yield _once(text.writerow, text.writerows)
        else:
            waiting: list[pa.Table] = []
            opened: list[pq.ParquetWriter] = []

            def write_group() -> None:
                rows = pa.concat_tables(waiting)
                waiting.clear()
                if not opened:
                    opened.append(files.enter_context(pq.ParquetWriter(temporary, rows.schema, compression="snappy")))
                opened[0].write_table(rows)

            def write(table: FeatureTable) -> None:
                # Each group of rows describes every column: many small ones would take more memory than the table.
                waiting.append(pa.Table.from_pandas(table.frame, preserve_index=False))
                if sum(map(len, waiting)) >= LESIONS_A_PART:
                    write_group()

            yield write
            if waiting:
                write_group()


def _once(head: Callable[[Any], object], body: Callable[[Any], object]) -> Callable[[FeatureTable], None]:
    """Return what writes the header before the first piece."""
    begun: list[bool] = []

    def write(table: FeatureTable) -> None:
        if not begun:
            head(table.frame.columns)
            begun.append(True)
        body(table.cells())

    return write


def _dataset(path: Path) -> Any:
    return ds.dataset(path, format="parquet")


def _table(batch: Any) -> FeatureTable:
    return FeatureTable(batch.to_pandas())
