# ruff: noqa: E501
"""Spoilt tables: cells, columns, encodings, and paths that lead elsewhere."""

from __future__ import annotations

import csv
import io
from random import Random

from fuzz.mutators import TEXTS, as_bytes, spoil, spoil_text
from fuzz.seeds import Seed

_PATHS = (
    "fifo", "loop", "loop/x", "socket", "/dev/zero", "/dev/random", "/dev/stdin", "/dev/tty", "/dev/full", "/proc/self/mem",
    "/proc/kmsg", "/proc/self/environ", "../../../../../etc/passwd", "/etc/shadow", "http://127.0.0.1:9/x.nii", "file:///etc/passwd",
    "s3://b/k.nii", "image.nii\0.csv", "a" * 300 + ".nii", "/".join(["a" * 200] * 30), ".", "..", "", "~", "~root/x.nii", "$HOME/x",
    "`id`", "image.nii|id", "\\\\server\\share\\x", "C:\\x.nii", "a\\" + "b" * 300, "im\u202eage.nii", "con", "nul", "mask.nii", "cohort.csv",
    "=HYPERLINK(1)", "-image.nii", "@x", "%00", "image.nii/", "./image.nii", "folder", "deep",
)  # fmt: skip
_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1", "utf-7", "utf-16-be")


def spoil_table(rng: Random, seed: Seed) -> dict[str, bytes]:
    """Spoil cells, lines, bytes or the encoding of a table."""
    data = seed.data
    if rng.random() < 0.25 or not seed.target.endswith(".csv"):
        return {seed.target: spoil(rng, data)}
    return {seed.target: _spoil_cells(rng, data, TEXTS)}


def spoil_cohort(rng: Random, seed: Seed) -> dict[str, bytes]:
    """Spoil a cohort table; some of its paths lead to devices, pipes, loops and folders above."""
    if rng.random() < 0.15:
        return {seed.target: spoil(rng, seed.data)}
    tokens = _PATHS if rng.random() < 0.6 else TEXTS
    return {seed.target: _spoil_cells(rng, seed.data, tokens)}


def _spoil_cells(rng: Random, data: bytes, tokens: tuple[str, ...]) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.choice(rows if rng.random() < 0.3 else rows[1:])
        if row:
            k = rng.randrange(len(row))
            row[k] = rng.choice(
                (rng.choice(tokens), rng.choice(tokens), row[k] + rng.choice(tokens), rng.choice("=+-@'\t\r") + row[k])
            )
    if rng.random() < 0.1:
        rows.append([rng.choice(tokens)] * rng.choice((1, 5, 500)))
    if rng.random() < 0.1:
        rows = [row + row[: rng.randint(0, len(row))] for row in rows]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=rng.choice(",,,,;\t|"), lineterminator=rng.choice(("\n", "\n", "\r\n", "\r")))
    try:
        writer.writerows(rows)
    except csv.Error:
        return spoil(rng, data)
    whole = text.getvalue()
    if rng.random() < 0.2:
        whole = spoil_text(rng, whole)
    if rng.random() < 0.1:
        whole = f"sep={rng.choice(',;|=')}\n" + whole
    encoding = rng.choice(("utf-8",) * 12 + _ENCODINGS)
    return as_bytes(whole) if encoding == "utf-8" else whole.encode(encoding, "replace")
