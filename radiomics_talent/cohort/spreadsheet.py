"""CSV as people have it: from Excel of any country, from R, from a text editor.

Reading accepts UTF-8 with or without BOM, UTF-16, Windows-1252, commas, semicolons or tabs, empty rows and columns
at the end. Writing is plain UTF-8 with commas, through a temporary file, and safe to open in a spreadsheet program.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radiomics_talent.errors import TableError
from radiomics_talent.features.cells import escape_cell, unescape_cell
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    text, findings = _decoded(path)
    records, first = _records(text, known_columns, where=str(path))
    if not records or not any(cell.strip() for cell in records[0]):
        raise TableError("the file is empty; its first row must name the columns", where=str(path))
    header, body = records[0], list(enumerate(records[1:], start=first + 1))
    width = max((i for i, cell in enumerate(header, start=1) if cell.strip()), default=0)
    rows = []
    for number, record in body:
        if not any(cell.strip() for cell in record):
            continue
        if any(cell.strip() for cell in record[width:]):
            raise TableError(
                f"row {number} has more cells than the header has columns ({width}); put quotes around a cell that "
                f"holds the delimiter",
                where=str(path),
            )
        cells = [unescape_cell(cell.strip()) for cell in record[:width]]
        rows.append((number, tuple(cells + [""] * (width - len(cells)))))
    return Sheet(tuple(cell.strip() for cell in header[:width]), tuple(rows), findings)


def write_sheet(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file (UTF-8, commas) at once or not at all.

    Cells that a spreadsheet program would take for a formula get a leading apostrophe, which `read_sheet` removes.

    Raises
    ------
    TableError
        `path` is a folder or in none, or a cell holds what UTF-8 cannot.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([escape_cell(cell) for cell in row] for row in rows)
    try:
        content = buffer.getvalue().encode()
    except UnicodeEncodeError as error:
        bad = error.object[max(0, error.start - 20) : error.end + 20].encode("utf-8", "backslashreplace").decode()
        raise TableError(f"a cell cannot be written as UTF-8 ({bad!r}); rename the file", where=str(path)) from error
    if path.is_dir():
        raise TableError("is a folder, expected the name of a CSV file", where=str(path))
    if not path.parent.is_dir():
        raise TableError("its folder does not exist; make it, or name another file", where=str(path))
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; what the researcher gets follows the umask as any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
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


def _decoded(path: Path) -> tuple[str, tuple[Finding, ...]]:
    if path.is_dir():
        raise TableError("is a folder, expected a CSV file", where=str(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise TableError("no such file; `radiomics-talent index` writes one", where=str(path)) from error
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror}", where=str(path)) from error
    for magic, what in _WORKBOOKS.items():
        if data.startswith(magic):
            raise TableError(f'is {what}, not a CSV file; save it as "CSV UTF-8"', where=str(path))
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    findings: tuple[Finding, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise _not_text(path, f"it begins like {encoding.upper()} but byte {error.start} does not fit") from error
        text = _windows_text(path, data)
        findings = (
            Finding("encoding-guessed", 'the file is not UTF-8 and was read as Windows-1252; save it as "CSV UTF-8" '
                    "if letters with accents look wrong", str(path)),
        )  # fmt: skip
    if "\0" in text:
        raise _not_text(path, "it holds NUL bytes")
    return text, findings


def _windows_text(path: Path, data: bytes) -> str:
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise _not_text(path, f"byte {error.start} is neither UTF-8 nor Windows-1252") from error
    if any(c < " " and c not in "\t\r\n" for c in text):
        raise _not_text(path, "it holds control characters")
    return text


def _not_text(path: Path, why: str) -> TableError:
    return TableError(
        f'the encoding is not one that can be read ({why}); save the table as "CSV UTF-8"', where=str(path)
    )


def _records(text: str, known: Sequence[str], *, where: str) -> tuple[list[list[str]], int]:
    """Return the records from the header on, and the header's row number."""
    first = 1
    head, _, rest = text.partition("\n")
    declared = re.fullmatch(r'"?sep=(.)"?', head.rstrip("\r"), re.IGNORECASE)
    if declared:  # a line for Excel alone
        text, first = rest, 2
    delimiters = (declared[1],) if declared else _DELIMITERS
    lines = text.splitlines(keepends=True)
    skipped = next((i for i, line in enumerate(lines) if line.strip(" \t\r\n,;")), len(lines))
    body = "".join(lines[skipped:])
    header_line = lines[skipped] if skipped < len(lines) else ""
    delimiter = max(delimiters, key=lambda d: _columns_found(header_line, d, known))
    try:
        return _parsed(body, delimiter), first + skipped
    except csv.Error as error:
        raise TableError(f"is not a CSV file: {error}", where=where) from error


def _columns_found(line: str, delimiter: str, known: Sequence[str]) -> tuple[int, int]:
    try:
        cells = next(iter(_parsed(line, delimiter)), [])
    except csv.Error:
        return (0, 0)
    return (sum(column_name(cell) in known for cell in cells), len(cells))


def _parsed(text: str, delimiter: str) -> list[list[str]]:
    if any(len(line) > _LONGEST_CELL for line in text.splitlines()):
        raise csv.Error("a line is longer than a million characters")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False))


def column_name(cell: str) -> str:
    """Return a column name in the spelling of the schema: lower case, underscores for blanks and hyphens."""
    return re.sub(r"[\s\-]+", "_", cell.strip()).lower()
