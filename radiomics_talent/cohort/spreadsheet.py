"""CSV as people have it: from Excel of any country, from R, from a text editor.

Reading accepts UTF-8 with or without BOM, UTF-16, Windows-1252, commas, semicolons or tabs, empty rows and columns
at the end. Writing is plain UTF-8 with commas, through a temporary file, and safe to open in a spreadsheet program.
"""

from __future__ import annotations

import codecs
import csv
import math
import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from radiomics_talent.errors import TableError
from radiomics_talent.features.cells import escape_cell, unescape_cell
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_BOMS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = {b"PK\x03\x04": "an Excel or LibreOffice workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)"}
_DELIMITERS = (",", ";", "\t")
_GROUPED = re.compile(r"[+-]?\d{1,3}([ \u00a0]\d{3})+([.,]\d+)?")
_LONGEST_CELL = 1_000_000
_BYTES_AT_ONCE = 2**20
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Sheet:
    """The cells of a CSV file.

    Attributes
    ----------
    header : tuple of str
        Column names as written, without surrounding blanks; empty columns at the end are dropped.
    rows : tuple of (int, tuple of str)
        Row number as a spreadsheet program shows it, and as many cells as the header has.
    findings : tuple of Finding
        What was guessed in reading.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    findings: tuple[Finding, ...]


def read_sheet(path: Path, known_columns: Sequence[str]) -> Sheet:
    """Read a CSV file whatever program wrote it.

    Parameters
    ----------
    path : Path
        The file.
    known_columns : sequence of str
        Columns that may be there: the delimiter is the one that finds most of them.

    Raises
    ------
    TableError
        The file is absent, empty, no text, or has a row with more cells than the header.
    """
    with open_sheet(path, known_columns) as rows:
        return Sheet(rows.header, tuple(rows), rows.findings)


@contextmanager
def open_sheet(path: Path, known_columns: Sequence[str]) -> Iterator[SheetRows]:
    """Read a CSV file row by row; it may be larger than memory. Parameters and errors are those of `read_sheet`.

    Yields
    ------
    SheetRows
        Header and findings, and the rows when it is iterated, once.
    """
    encoding, findings = _encoding(path)
    try:
        with path.open(encoding=encoding, newline="") as stream:
            yield SheetRows(path, stream, known_columns, findings)
    except UnicodeDecodeError as error:
        raise _not_text(path, "it changed while it was read") from error
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except csv.Error as error:
        raise TableError(f"is not a CSV file: {error}", where=str(path)) from error


class SheetRows:
    """The rows of an open CSV file.

    Attributes
    ----------
    header, findings
        As `Sheet` has them.
    """

    def __init__(self, path: Path, stream: TextIO, known: Sequence[str], findings: tuple[Finding, ...]) -> None:
        self._where, self.findings = str(path), findings
        lines = _lines(stream)
        self._first, delimiters, line = _first_line(lines)
        delimiter = max(delimiters, key=lambda d: _columns_found(line, d, known))
        self._records = csv.reader(chain([line] if line else [], lines), delimiter=delimiter, strict=False)
        cells = next(self._records, [])
        if not any(cell.strip() for cell in cells):
            raise TableError("the file is empty; its first row must name the columns", where=self._where)
        self._width = max(i for i, cell in enumerate(cells, start=1) if cell.strip())
        self.header = tuple(unescape_cell(cell.strip()) for cell in cells[: self._width])

    def __iter__(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        width = self._width
        for number, record in enumerate(self._records, start=self._first + 1):
            if not any(cell.strip() for cell in record):
                continue
            if any(cell.strip() for cell in record[width:]):
                raise TableError(
                    f"row {number} has more cells than the header has columns ({width}); put quotes around a cell that "
                    f"holds the delimiter",
                    where=self._where,
                )
            cells = [unescape_cell(cell.strip()) for cell in record[:width]]
            yield number, tuple(cells + [""] * (width - len(cells)))


def write_sheet(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file (UTF-8, commas) at once or not at all.

    Cells that a spreadsheet program would take for a formula get a leading apostrophe, which `read_sheet` removes.

    Raises
    ------
    TableError
        `path` is a folder or in none, or a cell holds what UTF-8 cannot.
    """
    if path.is_dir():
        raise TableError("is a folder, expected the name of a CSV file", where=str(path))
    if not path.parent.is_dir():
        raise TableError("its folder does not exist; make it, or name another file", where=str(path))
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([escape_cell(cell) for cell in header])
            writer.writerows([escape_cell(cell) for cell in row] for row in rows)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; what the researcher gets follows the umask as any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except UnicodeEncodeError as error:
        temporary.unlink(missing_ok=True)
        bad = error.object[max(0, error.start - 20) : error.end + 20].encode("utf-8", "backslashreplace").decode()
        raise TableError(f"a cell cannot be written as UTF-8 ({bad!r}); rename the file", where=str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def number(text: str, column: str, *, where: str) -> float | None:
    """Return a cell as a number, decimal point or comma; None when it is empty.

    Raises
    ------
    TableError
        The cell is not a finite number.
    """
    if not text:
        return None
    plain = text
    if _GROUPED.fullmatch(text):
        plain = text.replace("\u00a0", "").replace(" ", "")
    if "." not in plain:
        plain = plain.replace(",", ".", 1)
    try:
        value = math.nan if "_" in plain else float(plain)
    except ValueError:
        value = float("nan")
    if not -1e300 < value < 1e300:
        raise TableError(f"{column} is {text!r}, expected a number or nothing", where=where)
    return value


def relative_path(path: Path, folder: Path) -> str:
    """Return `path` as seen from `folder` with forward slashes; absolute when they are on different drives."""
    try:
        text = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return Path(path).as_posix()
    # A name that begins like a formula would be run by a spreadsheet program.
    return f"./{text}" if text[:1] in "=+-@'" else text


def _encoding(path: Path) -> tuple[str, tuple[Finding, ...]]:
    """Return in which encoding the whole file can be read."""
    if path.is_dir():
        raise TableError("is a folder, expected a CSV file", where=str(path))
    try:
        with path.open("rb") as file:
            head = file.read(4)
            for magic, what in _WORKBOOKS.items():
                if head.startswith(magic):
                    raise TableError(f'is {what}, not a CSV file; save it as "CSV UTF-8"', where=str(path))
            encoding = next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8")
            bad = _undecodable(file, encoding)
            if bad is None:
                return encoding, ()
            if encoding != "utf-8":
                raise _not_text(path, f"it begins like {encoding.upper()} but byte {bad} does not fit")
            bad = _undecodable(file, "cp1252")
            if bad is not None:
                raise _not_text(path, f"byte {bad} is neither UTF-8 nor Windows-1252")
            sentence = (
                'the file is not UTF-8 and was read as Windows-1252; save it as "CSV UTF-8" if letters with accents '
                "look wrong"
            )
            return "cp1252", (Finding("encoding-guessed", sentence, str(path)),)
    except FileNotFoundError as error:
        raise TableError("no such file; `radiomics-talent index` writes one", where=str(path)) from error
    except _NoTextError as error:
        raise _not_text(path, str(error)) from error
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror}", where=str(path)) from error


class _NoTextError(Exception):
    """The file holds characters that no table has."""


def _undecodable(file: BinaryIO, encoding: str) -> int | None:
    """Return the place of the first byte that does not fit an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    done = pending = 0
    while True:
        block = file.read(_BYTES_AT_ONCE)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            # Bytes of an unfinished character came over from the block before.
            return done - pending + error.start
        if "\0" in text:
            raise _NoTextError("it holds NUL bytes")
        if encoding == "cp1252" and _CONTROL.search(text):
            raise _NoTextError("it holds control characters")
        if not block:
            return None
        done += len(block)
        pending = len(decoder.getstate()[0])


def _not_text(path: Path, why: str) -> TableError:
    return TableError(
        f'the encoding is not one that can be read ({why}); save the table as "CSV UTF-8"', where=str(path)
    )


def _lines(stream: TextIO) -> Iterator[str]:
    """Yield the lines of a file, none of them longer than a cell may be: a file without line ends is no table."""
    while line := stream.readline(_LONGEST_CELL + 1):
        if len(line) > _LONGEST_CELL:
            raise csv.Error("a line is longer than a million characters")
        yield line


def _first_line(lines: Iterator[str]) -> tuple[int, Sequence[str], str]:
    """Return the row number of the header, the delimiters that it may have, and its first line."""
    delimiters: Sequence[str] = _DELIMITERS
    for number, line in enumerate(lines, start=1):
        declared = re.fullmatch(r'"?sep=(.)"?', line.rstrip("\r\n"), re.IGNORECASE) if number == 1 else None
        if declared:  # a line for Excel alone
            delimiters = (declared[1],)
        elif line.strip(" \t\r\n,;"):
            return number, delimiters, line
    return 1, delimiters, ""


def _columns_found(line: str, delimiter: str, known: Sequence[str]) -> tuple[int, int]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=False), [])
    except csv.Error:
        return (0, 0)
    return (sum(column_name(cell) in known for cell in cells), len(cells))


def column_name(cell: str) -> str:
    """Return a column name in the spelling of the schema: lower case, underscores for blanks and hyphens."""
    return re.sub(r"[\s\-]+", "_", cell.strip()).lower()
