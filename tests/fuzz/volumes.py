# ruff: noqa: E501
"""Spoilt NIfTI, NRRD and MetaImage files: headers that claim what is not there, streams that are damaged."""

from __future__ import annotations

import gzip
import zlib
from random import Random

from fuzz.mutators import as_bytes, gzip_bomb, spoil, spoil_gzip, spoil_nifti, spoil_text
from fuzz.seeds import Seed

_SIZES = (
    "60000 60000 60000", "-1 8 3", "0 8 3", "10 8 999999999", "10 8", "10 8 3 1", "10 8 3 2", "1 1 1", "2147483648 2 2",
    "4294967296 4294967296 4294967296", "9223372036854775807 3 3", "10 8 nan", "10.5 8 3", "65536 65536 1", "10 8 4",
)  # fmt: skip
_WORDS = (
    "nan", "inf", "-1", "0", "1e308", "1e-320", "(1,0,0) (0,1,0) (0,0,1)", "(1,0,0) (1,0,0) (0,0,1)", "(nan,0,0) (0,1,0) (0,0,1)",
    "(0,0,0) (0,0,0) (0,0,0)", "none", "raw", "gzip", "gz", "bzip2", "ascii", "hex", "text", "LIST", "LIST 2", "LOCAL", "big", "little",
    "double", "float", "uint8", "int64", "block", "MET_DOUBLE", "MET_UCHAR", "MET_OTHER", "MET_STRING", "MET_LONG_LONG",
    "/dev/zero", "../../../../etc/passwd", "image.nrrd", "mask.nrrd", "cohort.csv", "slice%03d.raw 1 999999999 1", "s%999999999d 1 9 1",
    "%s%s%s%n 0 3 1", "fifo", "loop", "http://127.0.0.1:9/x.raw", "a" * 5000, "True", "False", "left-posterior-superior", "3D-left-posterior-superior-time",
    "scanner-xyz", "\0", "\r\n", "9" * 400, "-9999999999999999999", "1 1 1 1", "",
)  # fmt: skip


def spoil_volume(rng: Random, seed: Seed, *, bomb_mib: int) -> dict[str, bytes]:
    """Spoil the target of a seed, or the data beside its header."""
    name = seed.target
    if name.endswith((".nhdr", ".mhd")) and rng.random() < 0.2:
        name = next(n for n in seed.files if n.startswith(name[:4]) and n.endswith((".raw", ".zraw", ".raw.gz")))
        return {name: spoil(rng, seed.files[name])}
    data = seed.files[name]
    if name.endswith(".nii"):
        return {name: spoil_nifti(rng, data)}
    if name.endswith(".gz"):
        return {name: spoil_gzip(rng, data, spoil_nifti, bomb_mib)}
    return {name: _spoil_header(rng, data, bomb_mib)}


def _spoil_header(rng: Random, data: bytes, bomb_mib: int) -> bytes:
    if rng.random() < 0.2:
        return spoil(rng, data)
    if data.startswith(b"NRRD"):
        head, end, body = data.partition(b"\n\n")
        size, pack = b"sizes", (lambda b: gzip_bomb(b, rng.randint(1, bomb_mib)))
    else:
        head, end, body = data.partition(b"ElementDataFile")
        size, pack = b"DimSize", (lambda b: zlib.compress(b + bytes(rng.randint(1, 2**22))))
    if rng.random() < 0.004:
        return head + end + pack(b"")
    if rng.random() < 0.05:
        return head + end + (gzip.compress(body) if rng.random() < 0.5 else rng.randbytes(len(body)))
    lines = head.decode("latin-1").split("\n")
    for _ in range(rng.choice((1, 1, 2))):
        k = rng.randrange(len(lines))
        name, mark, _ = lines[k].partition(":" if data.startswith(b"NRRD") else "=")
        if rng.random() < 0.3:
            sized = next((i for i, line in enumerate(lines) if line.startswith(size.decode())), 0)
            lines[sized] = f"{size.decode()}{mark or ':'} {rng.choice(_SIZES)}"
        elif rng.random() < 0.6 and mark:
            lines[k] = f"{name}{mark} {rng.choice(_WORDS)}"
        else:
            lines = spoil_text(rng, "\n".join(lines)).split("\n")
    tail = end.replace(b"ElementDataFile", b"ElementDataFile = /dev/zero\n") if rng.random() < 0.01 else end
    return as_bytes("\n".join(lines)) + tail + body
