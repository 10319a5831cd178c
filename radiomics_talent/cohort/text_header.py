"""The text headers of NRRD and MetaImage files, read strictly: ITK's parsers crash on some that are malformed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINES = 10_000
LONGEST_LINE = 2**20
_LONGEST_FIELD = 2000
_MOST_AXES = 8
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_VECTOR = rf"(?:none|\(\s*{_NUMBER}(?:\s*,\s*{_NUMBER})*\s*\))"
_QUOTED = r'"[^"\\]*"'
_PER_AXIS = {
    "sizes": r"\d{1,10}",
    "spacings": rf"(?:{_NUMBER}|[nN]a[nN])",
    "thicknesses": rf"(?:{_NUMBER}|[nN]a[nN])",
    "axismins": rf"(?:{_NUMBER}|[nN]a[nN])",
    "axismaxs": rf"(?:{_NUMBER}|[nN]a[nN])",
    "spacedirections": _VECTOR,
    "kinds": r"[\w?*-]+",
    "centers": r"[\w?*-]+",
    "centerings": r"[\w?*-]+",
    "labels": _QUOTED,
    "units": _QUOTED,
}
"""What a NRRD field holds once for each axis."""
_OTHER = {
    "dimension": r"[1-8]",
    "type": r"[\w ]+",
    "encoding": r"\w+",
    "endian": r"little|big",
    "lineskip": r"\d{1,9}",
    "byteskip": r"-1|\d{1,9}",
    "spacedimension": r"[1-8]",
    "space": r"[\w -]+",
    "spaceorigin": _VECTOR,
    "spaceunits": rf"{_QUOTED}(?:\s+{_QUOTED})*",
    "measurementframe": rf"{_VECTOR}(?:\s*{_VECTOR})*",
    "datafile": r"[^\0\ufffd]{1,500}",
    "content": r".*",
    "sampleunits": r".*",
    "min": r".*", "max": r".*", "oldmin": r".*", "oldmax": r".*", "number": r"\d+",
}  # fmt: skip
_ENCODINGS = frozenset({"raw", "gzip", "gz", "txt", "text", "ascii", "hex"})
_META_NUMBERS = frozenset({
    "dimsize", "ndims", "elementspacing", "elementsize", "offset", "position", "origin", "transformmatrix", "rotation",
    "orientation", "centerofrotation", "headersize", "elementnumberofchannels", "compresseddatasize", "elementmin",
    "elementmax", "elementtointensityfunctionslope", "elementtointensityfunctionoffset", "color", "id", "parentid",
})  # fmt: skip
"""Fields of a MetaImage that are numbers."""


@dataclass(frozen=True, slots=True)
class TextHeader:
    """A header.

    Attributes
    ----------
    fields : dict of str to str
        Values by field, its name in lower case and without blanks.
    listed : tuple of str
        Names of data files, a line each, after ``LIST``.
    """

    fields: dict[str, str]
    listed: tuple[str, ...] = ()


def read_nrrd_header(file: IO[bytes]) -> TextHeader | None:
    """Read a NRRD header, so that the file stands behind it; None where it is not as the format says."""
    magic = file.readline(_LONGEST_FIELD)
    if not re.fullmatch(rb"NRRD000[1-6]\r?\n", magic):
        return None
    fields: dict[str, str] = {}
    listed: list[str] = []
    for line in _lines(file):
        if not line:
            break
        name, mark, value = line.partition(":")
        if line.startswith("#") or (mark and value.startswith("=")):  # "key:=value" is the user's own
            continue
        if fields.get("datafile", "").startswith("LIST"):
            listed.append(line)
        elif not mark or not _takes(fields, name.strip().lower().replace(" ", ""), value.strip()):
            return None
    return TextHeader(fields, tuple(listed)) if _is_whole(fields) else None


def read_meta_header(file: IO[bytes]) -> TextHeader | None:
    """Read a MetaImage header, so that the file stands behind it; None where it is not as the format says."""
    fields: dict[str, str] = {}
    for line in _lines(file):
        name, mark, value = line.partition("=")
        key, value = name.strip().lower(), value.strip()
        if not mark or not re.fullmatch(r"\w{1,80}", name.strip()) or len(line) > _LONGEST_FIELD or key in fields:
            return None
        if key in _META_NUMBERS and not re.fullmatch(rf"{_NUMBER}(?:\s+{_NUMBER})*", value):
            return None
        if key == "compresseddatasize" and not re.fullmatch(r"\d{1,18}", value):
            return None
        fields[key] = value
        if key == "elementdatafile":
            break
    n_axes, sizes = fields.get("ndims", ""), fields.get("dimsize", "").split()
    if not re.fullmatch(r"[1-8]", n_axes) or len(sizes) != int(n_axes) or not all(map(_is_size, sizes)):
        return None
    data = fields.get("elementdatafile", "")
    listed = tuple(line for line in _lines(file) if line) if data.startswith("LIST") else ()
    return TextHeader(fields, listed) if data else None


def _takes(fields: dict[str, str], name: str, value: str) -> bool:
    """Add a field, unless it is unknown, there already, or not what such a field holds."""
    if name in fields or len(value) > _LONGEST_FIELD:
        return False
    if name in _PER_AXIS:
        one = _PER_AXIS[name]
        n_axes = int(fields.get("dimension", "0"))
        if not re.fullmatch(rf"{one}(?:\s+{one}){{{n_axes - 1}}}" if n_axes else "(?!)", value):
            return False
    elif name not in _OTHER or not re.fullmatch(_OTHER[name], value):
        return False
    fields[name] = value
    return True


def _is_whole(fields: dict[str, str]) -> bool:
    needed = {"dimension", "type", "sizes", "encoding"}
    return (
        needed <= fields.keys()
        and fields["type"] != "block"
        and fields["encoding"].lower() in _ENCODINGS
        and all(map(_is_size, fields["sizes"].split()))
    )


def _is_size(text: str) -> bool:
    return bool(re.fullmatch(r"\d{1,10}", text)) and 0 < int(text) < 2**31


def _lines(file: IO[bytes]) -> Iterator[str]:
    """Read the lines of a header, one at a time, so that the file stands behind the last."""
    for _ in range(MOST_LINES):
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        yield line.decode("utf-8", "replace").strip()
