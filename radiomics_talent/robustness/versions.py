"""Features of every version of every lesion: what perturbing gives, and what agreement is computed from."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from radiomics_talent.errors import TableError
from radiomics_talent.features.cells import escape_cell
from radiomics_talent.features.table import KEY_COLUMNS, FeatureTable
from radiomics_talent.features.whole_files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.extraction.outcome import VersionShard

ORIGINAL = "original"
"""Chain of the lesion as it is: one version, with the number 0."""
VERSION_COLUMNS = ("chain", "version")
"""What stands between the key columns and the features in a file."""
MOST_NUMBERS_AS_TEXT = 10_000_000
"""A larger table is written as Parquet alone: no spreadsheet program opens its CSV."""


@dataclass(frozen=True, slots=True, eq=False)
class VersionTable:
    """Features of a cohort, as it is and in versions.

    Attributes
    ----------
    keys : DataFrame
        `KEY_COLUMNS` of `radiomics_talent.features.table`; one row a lesion.
    features : tuple of str
        Names.
    original : ndarray of float64
        (lesion, feature): the scan and the lesion as they are.
    chains : mapping of str to ndarray of float64
        (lesion, version, feature) by chain; NaN where a feature is not defined, or a version could not be made.
    """

    keys: pd.DataFrame
    features: tuple[str, ...]
    original: NDArray[np.float64]
    chains: Mapping[str, NDArray[np.float64]]

    @classmethod
    def from_shards(
        cls, made: Sequence[tuple[Mapping[str, object], Sequence[VersionShard]]], chains: Mapping[str, int]
    ) -> VersionTable:
        """Build the table from what the run folder keeps.

        Parameters
        ----------
        made : sequence of (mapping, sequence of VersionShard)
            Key columns of each lesion, and its shard of every chain.
        chains : mapping of str to int
            Number of versions of each chain, `ORIGINAL` among them.
        """
        names = tuple(dict.fromkeys(name for _, shards in made for s in shards for name in s.features))
        values = {chain: np.full((len(made), n, len(names)), math.nan) for chain, n in chains.items()}
        place = {name: i for i, name in enumerate(names)}
        for row, (_, shards) in enumerate(made):
            for shard in shards:
                values[shard.chain][row][:, [place[name] for name in shard.features]] = shard.values
        keys = FeatureTable.from_rows((keys, {}) for keys, _ in made)
        original = values.pop(ORIGINAL)[:, 0, :]
        return cls(keys.frame, names, original, values)

    def as_features(self, chain: str = ORIGINAL, version: int = 1) -> FeatureTable:
        """Return one version as a feature table.

        Parameters
        ----------
        chain : str
            Its chain.
        version : int
            From 1 on; without effect on `ORIGINAL`.
        """
        values = self.original if chain == ORIGINAL else self.chains[chain][:, version - 1, :]
        return FeatureTable(pd.concat([self.keys, pd.DataFrame(values, columns=list(self.features))], axis=1))

    def with_every_version(self) -> VersionTable:
        """Return the lesions of which no version is missing: each has at least one feature in every version."""
        made: NDArray[np.bool_] = np.ones(len(self.keys), dtype=np.bool_)
        for values in self.chains.values():
            missing = np.isnan(values).all(axis=2)
            made &= ~np.any(missing, axis=1)
        chains = {chain: values[made] for chain, values in self.chains.items()}
        return VersionTable(self.keys.loc[made].reset_index(drop=True), self.features, self.original[made], chains)

    def write(self, folder: Path) -> None:
        """Write ``versions.parquet``, and ``versions.csv`` where it is not too large, each whole or not at all."""
        names = [*self.keys.columns, *VERSION_COLUMNS, *self.features]
        blocks = list(self._blocks())
        numbers = np.concatenate([values for *_, values in blocks])
        rows = np.concatenate([np.arange(len(self.keys)) for _ in blocks])
        frame = self.keys.iloc[rows].reset_index(drop=True)
        frame["chain"] = pd.Series(np.repeat([chain for chain, *_ in blocks], len(self.keys)), dtype="str")
        frame["version"] = np.repeat([number for _, number, _ in blocks], len(self.keys)).astype(np.int64)
        frame = pd.concat([frame, pd.DataFrame(numbers, columns=list(self.features))], axis=1)
        with replacing(folder / "versions.parquet") as temporary:
            frame.to_parquet(temporary, engine="pyarrow", index=False)
        if numbers.size > MOST_NUMBERS_AS_TEXT:
            return
        with replacing(folder / "versions.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows([_text(cell) for cell in row] for row in frame.itertuples(index=False, name=None))

    def _blocks(self) -> Iterator[tuple[str, int, NDArray[np.float64]]]:
        """Yield (chain, version, values of all lesions), the original first."""
        yield ORIGINAL, 0, self.original
        for chain, values in self.chains.items():
            for number in range(values.shape[1]):
                yield chain, number + 1, values[:, number, :]


def read_versions(path: Path) -> VersionTable:
    """Read ``versions.parquet``.

    Raises
    ------
    TableError
        The file is absent or is no table of versions, or not every lesion has each version of a chain once.
    """
    if not path.is_file():
        raise TableError("is not there; name a finished run folder of robustness", where=str(path))
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise TableError("is damaged; repeat the command that made it", where=str(path)) from error
    if not {*KEY_COLUMNS, *VERSION_COLUMNS} <= set(frame.columns):
        raise TableError("is no table of versions; name a run folder of robustness", where=str(path))
    try:
        return _arranged(frame)
    except TableError as error:
        raise TableError(f"{error}; repeat the command that made it", where=str(path)) from error


def _arranged(frame: pd.DataFrame) -> VersionTable:
    """Put the rows of a file, in whatever order, where lesion and version say."""
    features = [c for c in frame.columns if c not in {*KEY_COLUMNS, *VERSION_COLUMNS}]
    is_original = (frame["chain"] == ORIGINAL).to_numpy()
    keys = frame.loc[is_original, list(KEY_COLUMNS)].reset_index(drop=True)
    lesions = pd.MultiIndex.from_frame(frame[["patient_id", "lesion_id"]])
    known = lesions[is_original]
    if known.has_duplicates:
        raise TableError(f"lesion {_key(known[known.duplicated()][0])} is there twice as it is, expected once")
    lesion = known.get_indexer(lesions)
    if (lesion < 0).any():
        stranger = _key(lesions[lesion < 0][0])
        raise TableError(f"lesion {stranger} has versions and is not there as it is (chain {ORIGINAL})")
    numbers = frame["version"].to_numpy()
    if numbers.dtype.kind not in "iu":
        raise TableError("version is no column of whole numbers")
    texts = [c for c in features if frame[c].dtype.kind not in "iuf"]
    if texts:
        raise TableError(f"column {texts[0]} holds something else than numbers")
    values = frame[features].to_numpy(np.float64)
    chains = {}
    for chain in dict.fromkeys(frame.loc[~is_original, "chain"]):
        rows = np.flatnonzero(frame["chain"] == chain)
        places = lesion[rows], numbers[rows] - 1
        chains[str(chain)] = np.empty((len(keys), _checked(str(chain), places, known), len(features)))
        chains[str(chain)][places] = values[rows]
    return VersionTable(keys, tuple(map(str, features)), values[is_original], chains)


def _checked(chain: str, places: tuple[NDArray[np.intp], NDArray[np.int64]], lesions: pd.MultiIndex) -> int:
    """Return the number of versions of a chain, all of which every lesion has once."""
    met = np.unique(places[1])
    if not np.array_equal(met, np.arange(len(met))):
        gap = next(n for n in range(len(met)) if met[n] != n) + 1
        raise TableError(f"chain {chain} has {len(met)} versions and no version {gap}, expected 1 to {len(met)}")
    counts = np.zeros((len(lesions), len(met)), dtype=np.int64)
    np.add.at(counts, places, 1)
    odd = np.argwhere(counts != 1)
    if len(odd):
        lesion, version = odd[0]
        times = "twice or more" if counts[lesion, version] else "not"
        raise TableError(f"lesion {_key(lesions[lesion])}: version {version + 1} of chain {chain} is {times} there")
    return len(met)


def _key(lesion: tuple[object, ...]) -> str:
    return "/".join(map(str, lesion))


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return "" if math.isnan(cell) else repr(cell)
    return escape_cell(str(cell))
