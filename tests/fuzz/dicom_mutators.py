# ruff: noqa: E501
"""Ways to spoil a DICOM file: values of any element at any depth, lengths, value representations, whole data sets."""

from __future__ import annotations

import contextlib
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from random import Random

import pydicom
from fuzz.mutators import FLOATS, NUMBERS, spoil, zeros_deflated
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.8.1", "1.2.3", "", "1.2.840.10008.1.2.4.100",
)  # fmt: skip
_TEXTS = (
    b"", b" ", b"0", b"-1", b"nan", b"inf", b"1e308", b"-1e308", b"1e-320", b"60000", b"99999999999999999999", b"abc",
    b"1\\2", b"1\\2\\3", b"1\\nan\\3", b"\\", b"\\\\\\", b"\0", b"\xff\xfe", b"1.2..3", b"1" * 70, b"CT", b"SEG", b"RTSTRUCT",
    b"0\\0\\0\\0\\0\\0", b"1\\0\\0\\0\\1\\0", b"1e300\\0\\0\\0\\1\\0", b"20240131", b"1e9", b"1000000000", b"0.0001\\0.0001", b"-0.7\\0.7",
    b"ISO_IR 192", b"ISO 2022 IR 87", b"YBR_FULL", b"PALETTE COLOR", b"LOCALIZER", b"x" * 5000,
)  # fmt: skip
_COUNTED = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel",
            "PixelRepresentation", "PlanarConfiguration")  # fmt: skip
_VR = re.compile(
    rb"(?<=[\s\S]{4})(?:AE|AS|CS|DA|DS|DT|FD|FL|IS|LO|LT|OB|OD|OF|OL|OV|OW|PN|SH|SL|SQ|SS|ST|TM|UC|UI|UL|UN|US|UT)"
)
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UT")
_LENGTHS = (0, 1, 2, 3, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 10_000, 2**24)


def spoil_dicom(rng: Random, data: bytes, *, bomb_mib: int) -> bytes:
    """Spoil the bytes, the structure or the values of a DICOM file."""
    kind = rng.random()
    if kind < 0.3:
        return spoil(rng, data)
    if kind < 0.45:
        return _spoil_structure(rng, data)
    if kind < 0.47:
        return _spoil_syntax(rng, data)
    if kind < 0.474:
        return deflated_bomb(data, rng.randint(1, bomb_mib))
    return _spoil_values(rng, data)


def _spoil_structure(rng: Random, data: bytes) -> bytes:
    """Give an element another length or value representation."""
    found = [m.start() for m in _VR.finditer(data)]
    if not found:
        return spoil(rng, data)
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.choice(found)
        if rng.random() < 0.3:
            spoilt[at : at + 2] = spoilt[(other := rng.choice(found)) : other + 2]
        elif bytes(spoilt[at : at + 2]) in _LONG:
            spoilt[at + 4 : at + 8] = struct.pack("<L", rng.choice(_LENGTHS))
        else:
            spoilt[at + 2 : at + 4] = struct.pack("<H", rng.choice(_LENGTHS) & 0xFFFF)
    return bytes(spoilt)


def _spoil_syntax(rng: Random, data: bytes) -> bytes:
    """Name another transfer syntax than that of the data."""
    match = re.search(rb"\x02\x00\x10\x00UI(..)", data[:1024], re.DOTALL)
    if match is None:
        return spoil(rng, data)
    length = struct.unpack("<H", match[1])[0]
    name = rng.choice(SYNTAXES).encode()
    name += b"\0" * (len(name) % 2)
    return data[: match.start(1)] + struct.pack("<H", len(name)) + name + data[match.end() + length :]


def deflated_bomb(data: bytes, n_mib: int) -> bytes:
    """Return the file deflated, with so many MiB of zeros where the pixels were."""
    ds = _parsed(data)
    if ds is None:
        return data
    for tag in [t for t in list(ds.keys()) if t >= 0x7FE00010]:
        del ds[tag]
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    written = _written(ds, implicit=False) or data
    meta_end = 144 + struct.unpack("<L", written[140:144])[0]
    try:
        unpacked = _inflated(written[meta_end:])
    except zlib.error:
        return data
    size = n_mib * 2**20
    head = unpacked + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", size)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return written[:meta_end] + packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH) + zeros_deflated(n_mib)


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(data)


# --- values


def _spoil_values(rng: Random, data: bytes) -> bytes:
    ds = _parsed(data)
    if ds is None:
        return spoil(rng, data)
    with contextlib.suppress(Exception):  # what is spoilt already may not be spoilt further
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _spoil_one(rng, ds)
    return _written(ds) or spoil(rng, data)


def _spoil_one(rng: Random, top: Dataset) -> None:
    if rng.random() < 0.25:
        keyword = rng.choice(_COUNTED)
        size = rng.choice((*NUMBERS, 8, 12, 16, 24, 32, 64)) & 0xFFFF
        raw = str(rng.choice(NUMBERS)).encode() if keyword == "NumberOfFrames" else struct.pack("<H", size)
        _put(top, Tag(keyword), "IS" if keyword == "NumberOfFrames" else "US", raw)
        return
    place, tag = rng.choice(list(_elements(top)))
    kind = rng.random()
    if kind < 0.15:
        del place[tag]
    elif place[tag].VR == "SQ":
        _spoil_sequence(rng, place, tag)
    else:
        _put(place, tag, place[tag].VR, _hostile(rng, place[tag].VR))


def _elements(ds: Dataset, depth: int = 0) -> Iterator[tuple[Dataset, Tag]]:
    for tag in list(ds.keys()):
        yield ds, tag
        if ds[tag].VR == "SQ" and depth < 5:
            for item in list(ds[tag].value)[:3]:
                yield from _elements(item, depth + 1)


def _hostile(rng: Random, vr: str) -> bytes:
    if vr in {"US", "SS", "UL", "SL", "FL", "FD", "OW", "OB"} and rng.random() < 0.8:
        n = rng.choice((0, 1, 1, 1, 2, 3, 100))
        if vr in {"FL", "FD"}:
            return b"".join(struct.pack("<d" if vr == "FD" else "<f", _bounded(rng, vr)) for _ in range(n))
        size = 4 if vr in {"UL", "SL"} else 2
        return b"".join((rng.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(size, "little") for _ in range(n))
    if rng.random() < 0.15:
        return rng.randbytes(rng.randint(0, 60))
    return b"\\".join([rng.choice(_TEXTS)] * rng.choice((1, 1, 1, 2, 3, 6, 1000)))


def _bounded(rng: Random, vr: str) -> float:
    value = rng.choice(FLOATS)
    return value if vr == "FD" or abs(value) < 3e38 or not abs(value) < 1e301 else 3e38


def _spoil_sequence(rng: Random, place: Dataset, tag: Tag) -> None:
    items = list(place[tag].value)
    kind = rng.randrange(5)
    if kind == 0 or not items:
        items = [Dataset() for _ in range(rng.choice((0, 1, 300)))]
    elif kind == 1:
        items = items * rng.choice((2, 20))
    elif kind == 2:
        del items[rng.randrange(len(items))]
    elif kind == 3:
        nested = items[0]
        for _ in range(rng.choice((5, 60, 1200))):
            holder = Dataset()
            holder[tag] = pydicom.DataElement(tag, "SQ", pydicom.Sequence([nested]))
            nested = holder
        items = [nested]
    else:
        rng.shuffle(items)
    place[tag] = pydicom.DataElement(tag, "SQ", pydicom.Sequence(items))


def _put(ds: Dataset, tag: Tag, vr: str, raw: bytes) -> None:
    raw += b"\0" * (len(raw) % 2)
    ds._dict[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True, True)


def _parsed(data: bytes) -> Dataset | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pydicom.dcmread(BytesIO(data), force=True)
        except Exception:  # noqa: BLE001
            return None


def _written(ds: Dataset, *, implicit: bool | None = None) -> bytes | None:
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if implicit is not None:
                ds.save_as(buffer, implicit_vr=implicit, little_endian=True)
            else:
                ds.save_as(buffer)
        except Exception:  # noqa: BLE001
            return None
    return buffer.getvalue()
