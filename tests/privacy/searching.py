"""Everything that stands in an output, as text: what is compressed or encoded is opened as far down as it goes."""

from __future__ import annotations

import base64
import binascii
import html
import io
import re
import sqlite3
import urllib.parse
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet
import pydicom
from pydicom.dataset import Dataset

_BASE64 = re.compile(r"[A-Za-z0-9+/]{64,}={0,2}")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){8,}")


def texts_of_file(file: Path) -> Iterator[str]:
    """Return every text in a file, however deep."""
    if file.suffix in {".sqlite", ".db"} or file.read_bytes()[:15] == b"SQLite format 3":
        yield from _sqlite(file)
    yield from texts_of(file.read_bytes())


def texts_of(data: bytes) -> Iterator[str]:
    """Return every text in bytes: as they are, and in whatever they are a container of."""
    if data[:2] == b"\x1f\x8b":
        yield from texts_of(zlib.decompress(data, 31))
    elif data[:1] == b"\x78" and (inflated := _inflated(data)) is not None:
        yield from texts_of(inflated)
    elif data[:4] == b"PAR1":
        yield from _parquet(data)
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield str(archive.comment)
            for name in archive.namelist():
                yield name
                yield from texts_of(archive.read(name))
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        with PIL.Image.open(io.BytesIO(data)) as image:
            image.load()
            yield str(image.info)
            yield from map(str, image.getexif().items())
    elif data[:6] == b"\x93NUMPY":
        yield str(np.load(io.BytesIO(data), allow_pickle=False).ravel().tolist())
    elif data[128:132] == b"DICM":
        yield from _dicom(data)
    yield from _plain(data)


def _plain(data: bytes) -> Iterator[str]:
    for wide in _WIDE.findall(data):
        yield wide.decode("utf-16-le")
    text = data.decode("latin-1")
    if b"\0" in data[:4096]:
        yield text
        return
    for blob in set(_BASE64.findall(text)):
        yield from _base64(blob)
    yield text
    if "&" in text:
        yield html.unescape(text)
    if "%" in text:
        yield urllib.parse.unquote(text)


def _base64(blob: str) -> Iterator[str]:
    try:
        data = base64.b64decode(blob + "=" * (-len(blob) % 4))
    except binascii.Error:
        return
    yield from texts_of(data)


def _inflated(data: bytes) -> bytes | None:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return None


def _parquet(data: bytes) -> Iterator[str]:
    file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
    yield str(file.schema_arrow.to_string(show_field_metadata=True, show_schema_metadata=True))
    yield str(file.metadata.metadata)
    for name, column in file.read().to_pydict().items():
        yield f"{name} " + " ".join(map(str, column))


def _sqlite(file: Path) -> Iterator[str]:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                yield " ".join(map(str, row))
    finally:
        connection.close()


def _dicom(data: bytes) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(data))
        yield data[:128].decode("latin-1")
        yield from _elements(ds.file_meta)
        yield from _elements(ds)


def _elements(ds: Dataset) -> Iterator[str]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)
        elif isinstance(element.value, bytes):
            yield element.value.decode("latin-1")
        elif element.keyword != "PixelData":
            yield f"{element.keyword} {element.value}"
