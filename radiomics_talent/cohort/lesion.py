"""A lesion of a cohort, and very many of them: packed, grouped by scan, searched for repeated names."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

_DIGEST = 16
_ROWS_A_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Lesion:
    """One row of cohort.csv.

    Attributes
    ----------
    row : int
        Row number in the CSV as a spreadsheet program shows it (the header is 1).
    patient_id, lesion_id : str
        Together unique in a cohort.
    image, mask : Path
        Absolute. The image is a DICOM folder, or one file (Enhanced CT, NIfTI, NRRD).
    label : str
        ROI name, segment number or voxel value; empty when the mask holds one lesion.
    series_uid : str
        SeriesInstanceUID, with ``#<volume>`` when the series was split; empty when the folder holds one volume.
    """

    row: int
    patient_id: str
    lesion_id: str
    image: Path
    mask: Path
    label: str = ""
    roi_name: str = ""
    series_uid: str = ""
    study_date: str = ""
    contrast_phase: str = ""
    slice_thickness_mm: float | None = None
    kernel: str = ""
    manufacturer: str = ""
    site: str = ""

    @property
    def key(self) -> str:
        """The lesion's name, unique in a cohort."""
        return f"{self.patient_id}/{self.lesion_id}"

    @property
    def scan_key(self) -> tuple[str, str]:
        """Image path and series: rows that share it are loaded once."""
        return (str(self.image), self.series_uid)


_NAMES = tuple(field.name for field in fields(Lesion))
_SEPARATOR = "\0"  # in no file name, and `read_sheet` refuses it


class PackedLesions(Sequence[Lesion]):
    """Lesions as compressed text, some 30 bytes each; a `Lesion` is made when it is asked for.

    Parameters
    ----------
    lesions : iterable of Lesion
        In the order of their rows.
    """

    __slots__ = ("_blocks", "_length", "_opened")

    def __init__(self, lesions: Iterable[Lesion]) -> None:
        self._blocks: list[bytes] = []
        self._length = 0
        iterator = iter(lesions)
        while block := list(islice(iterator, _ROWS_A_BLOCK)):
            cells = (getattr(lesion, name) for lesion in block for name in _NAMES)
            text = _SEPARATOR.join("" if cell is None else str(cell) for cell in cells)
            self._blocks.append(zlib.compress(text.encode("utf-8", "surrogateescape"), 1))
            self._length += len(block)
        self._opened: tuple[int, list[str]] = (-1, [])

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Lesion: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Lesion, ...]: ...
    def __getitem__(self, index: int | slice) -> Lesion | tuple[Lesion, ...]:
        places = range(len(self))[index]
        return self._unpacked(places) if isinstance(places, int) else tuple(map(self._unpacked, places))

    def __iter__(self) -> Iterator[Lesion]:
        return map(self._unpacked, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self._blocks))

    def texts(self, *names: str) -> Iterator[tuple[str, ...]]:
        """Yield some cells of each lesion as text, sooner than lesions could be made."""
        places = [_NAMES.index(name) for name in names]
        for place in range(len(self)):
            cells = self._cells(place)
            yield tuple(cells[i] for i in places)

    def _cells(self, place: int) -> list[str]:
        number, row = divmod(place, _ROWS_A_BLOCK)
        opened, cells = self._opened
        if opened != number:
            cells = zlib.decompress(self._blocks[number]).decode("utf-8", "surrogateescape").split(_SEPARATOR)
            self._opened = (number, cells)
        return cells[row * len(_NAMES) : (row + 1) * len(_NAMES)]

    def _unpacked(self, place: int) -> Lesion:
        cells: dict[str, Any] = dict(zip(_NAMES, self._cells(place), strict=True))
        thickness = cells["slice_thickness_mm"]
        return Lesion(
            **cells
            | {
                "row": int(cells["row"]),
                "image": Path(cells["image"]),
                "mask": Path(cells["mask"]),
                "slice_thickness_mm": float(thickness) if thickness else None,
            }
        )


def find_repeated(lesions: Sequence[Lesion]) -> tuple[Lesion, Lesion] | None:
    """Return the first lesion whose key one before it has, after that one; None where each key is there once."""
    digests = _digests(("/".join(names),) for names in _texts(lesions, "patient_id", "lesion_id"))
    order = np.argsort(digests, kind="stable")
    same = digests[order[1:]] == digests[order[:-1]]
    if not same.any():
        return None
    later = int(order[1:][same].min())
    first = int(np.flatnonzero(digests == digests[later])[0])
    return lesions[first], lesions[later]


class LesionsByScan(Sequence[tuple[Lesion, ...]]):
    """Lesions grouped by scan, scans in the order of their first row; a group is made when it is asked for.

    Parameters
    ----------
    lesions : sequence of Lesion
        The lesions.
    """

    def __init__(self, lesions: Sequence[Lesion]) -> None:
        self._lesions = lesions
        digests = _digests(_texts(lesions, "image", "series_uid"))
        _, first, group = np.unique(digests, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))[group]
        self._order: NDArray[np.intp] = np.argsort(rank, kind="stable")
        self._starts: NDArray[np.intp] = np.searchsorted(rank[self._order], np.arange(len(first) + 1))

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> tuple[Lesion, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[Lesion, ...], ...]: ...
    def __getitem__(self, index: int | slice) -> tuple[Lesion, ...] | tuple[tuple[Lesion, ...], ...]:
        places = range(len(self))[index]
        return self._group(places) if isinstance(places, int) else tuple(map(self._group, places))

    def _group(self, place: int) -> tuple[Lesion, ...]:
        rows = self._order[self._starts[place] : self._starts[place + 1]]
        return tuple(self._lesions[int(row)] for row in rows)


def _texts(lesions: Sequence[Lesion], *names: str) -> Iterator[tuple[str, ...]]:
    if isinstance(lesions, PackedLesions):
        return lesions.texts(*names)
    return (tuple(str(getattr(lesion, name)) for name in names) for lesion in lesions)


def _digests(texts: Iterable[tuple[str, ...]]) -> NDArray[np.void]:
    """Return a digest of each; with 128 bits two that differ never share one."""
    joined = bytearray()
    for cells in texts:
        text = _SEPARATOR.join(cells).encode("utf-8", "surrogateescape")
        joined += hashlib.blake2b(text, digest_size=_DIGEST).digest()
    return np.frombuffer(joined, dtype=[("high", "<u8"), ("low", "<u8")])
