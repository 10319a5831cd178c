"""Spoilt contours: too many, too long, and of numbers that are none."""

from __future__ import annotations

import math
import warnings
from io import BytesIO
from random import Random

import pydicom
from fuzz.dicom_mutators import spoil_dicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

_CONTOUR_DATA = Tag("ContourData")


def spoil_rtstruct(rng: Random, data: bytes, *, bomb_mib: int) -> bytes:
    """Spoil an RTSTRUCT as any DICOM file, or its contours."""
    if rng.random() < 0.6:
        return spoil_dicom(rng, data, bomb_mib=bomb_mib)
    ds = pydicom.dcmread(BytesIO(data))
    for roi in ds.ROIContourSequence:
        items = list(roi.ContourSequence)
        for item in items:
            if rng.random() < 0.6:
                _put(item, _contour(rng))
        kind = rng.random()
        if kind < 0.1:
            roi.ContourSequence = pydicom.Sequence(items * rng.choice((0, 2, 100)))
        elif kind < 0.2:
            roi.ContourSequence = pydicom.Sequence(
                [_new(rng.choice((_words, _tilted, _far))(rng)) for _ in range(rng.choice((1, 10, 200)))]
            )
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(buffer)
    return buffer.getvalue()


def _new(text: str) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    _put(item, text)
    return item


def _put(item: Dataset, text: str) -> None:
    raw = text.encode() + b" " * (len(text) % 2)
    item._dict[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(raw), raw, 0, False, True, True)


def _contour(rng: Random) -> str:
    return rng.choice((_words, _polygon, _polygon, _tilted, _far, _spread, _spread, _big))(rng)


def _words(rng: Random) -> str:
    words = (
        "0",
        "1",
        "nan",
        "inf",
        "1e308",
        "-1e308",
        "1e5",
        "-99999",
        "1e-300",
        "",
        " ",
        "abc",
        "1,5",
        "0x1",
        "-95",
        "-118",
        "-300",
    )
    return "\\".join(rng.choice(words) for _ in range(rng.choice((0, 1, 2, 3, 8, 9, 10, 12, 30, 301))))


def _polygon(rng: Random) -> str:
    n, radius = rng.choice((3, 4, 50, 5000)), rng.choice((0.0, 1e-4, 1.0, 3.0, 50.0, 9e4))
    z = rng.choice((-300.0, -297.5, -296.2, -295.0, 0.0, 9e4))
    turn = [2 * math.pi * k / n for k in range(n)]
    return "\\".join(f"{-96 + radius * math.cos(t):.6g}\\{-116 + radius * math.sin(t):.6g}\\{z}" for t in turn)


def _tilted(rng: Random) -> str:
    """Draw a rectangle in any plane, of any size."""
    u, v = ([rng.uniform(-1, 1) * rng.choice((1, 10, 5e4)) for _ in range(3)] for _ in range(2))
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    return "\\".join(f"{-96 + a * x + b * y:.6g}" for a, b in corners for x, y in zip(u, v, strict=True))


def _far(rng: Random) -> str:
    return "\\".join(f"{rng.uniform(-1e5, 1e5):.6g}" for _ in range(3 * rng.choice((3, 5, 40))))


def _spread(rng: Random) -> str:
    return "\\".join(
        f"{rng.uniform(-102, -90):.6g}\\{rng.uniform(-122, -110):.6g}\\{rng.choice((-300, -297.5))}"
        for _ in range(rng.choice((3, 10, 1000)))
    )


def _big(rng: Random) -> str:
    """Draw a million points, once in a while, back and forth across the image or round in a circle."""
    n = 1_000_000 if rng.random() < 0.004 else 2000
    if rng.random() < 0.5:
        return (
            "\\-97\\-116\\-300\\-94\\-112\\-300" * (n // 2)
            if rng.random() < 0.1
            else "-97\\-119\\-300\\-94\\-112\\-300\\" * (n // 2) + "0\\0\\-300"
        )
    far = rng.choice((3.0, 3.0, 9e4))
    return "-97\\-118\\-300\\" + f"-94.5\\{-116 - far}\\-300\\-94\\{-116 + far}\\-300\\" * (n // 2) + "-98\\-117\\-300"
