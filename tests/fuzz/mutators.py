# ruff: noqa: E501
"""Ways to spoil a file: any bytes, text made of tokens, and the fields of a NIfTI header."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random

Change = Callable[[Random, bytes], bytes]

NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 1023, 32767, 32768, 60000, 65535, 2**31 - 1, -(2**31), 2**32 - 1)
WIDE_NUMBERS = (*NUMBERS, 2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, -1.0, 1e-300, 1e-30, 1e-6, 1e6, 1e30, 1e300, float("nan"), float("inf"), float("-inf"))
_CHUNK = 2**20


def spoil(rng: Random, data: bytes) -> bytes:
    """Spoil any bytes, once or a few times."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_CHANGES)(rng, data)
    return data


def _flip_bits(rng: Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 8) if spoilt else 0):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _insert(rng: Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    extra = rng.randbytes(rng.randint(1, 40)) if rng.random() < 0.5 else rng.randbytes(1) * rng.randint(1, 3000)
    return data[:at] + extra + data[at:]


def _truncate(rng: Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _remove(rng: Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:start] + data[end:]


def _repeat(rng: Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 20)) + data[end:]


def _move(rng: Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    to = rng.randint(0, len(data))
    return data[:to] + data[start:end] + data[to + end - start :]


def _overwrite_number(rng: Random, data: bytes) -> bytes:
    kind = rng.choice("bhiqfd")
    order = rng.choice("<>")
    if kind in "fd":
        value = rng.choice(FLOATS)
        raw = struct.pack(order + kind, value if kind == "d" else min(max(value, -3e38), 3e38))
    else:
        n_bytes = struct.calcsize(order + kind)
        raw = (rng.choice(WIDE_NUMBERS) % 2 ** (8 * n_bytes)).to_bytes(n_bytes, "little" if order == "<" else "big")
    at = rng.randint(0, max(0, min(len(data), rng.choice((600, 10**9))) - len(raw)))
    return data[:at] + raw + data[at + len(raw) :]


def _range(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 4, 8, 30, 200, 5000)))


_CHANGES: tuple[Change, ...] = (
    _flip_bits, _flip_bits, _insert, _truncate, _remove, _repeat, _move, _overwrite_number, _overwrite_number,
)  # fmt: skip


# --- text

TEXTS = (
    "", " ", "\t", "\0", "\r", "\n", "\ufeff", "\u202e", "é", "\U0001f4a9", "nan", "NaN", "inf", "-inf", "null", "~", "true",
    "0", "-1", "1e308", "1e-320", "60000", "60000 60000 60000", "9" * 20, "9" * 5000, "-0.0", "1_000", "0x7f", "1:2:3",
    "=1+1", "+1", "-cmd", "@SUM(A1)", "'=1", "\t=1", "\r=1", "%s%n", "{}", "[]", "[[[", "{{{", "&a", "*a", "<<", "!!python/none",
    "!!binary x", "!!float x", "2024-13-45", "../../../../etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/mem", "a" * 300,
    "http://127.0.0.1:9/x", "file:///etc/passwd", "\\\\server\\share", "C:\\x", "%2e%2e/", "slice%03d.raw 1 999999999 1",
    "LIST", "LOCAL", "gzip", "raw", "bzip2", "ascii", "hex", "\udcff",
)  # fmt: skip


def spoil_text(rng: Random, text: str, tokens: Sequence[str] = TEXTS, *, separators: str = " ,;:=()[]{}\n") -> str:
    """Replace, add or remove words and lines of a text."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.3:
            text = _spoil_lines(rng, text, tokens)
            continue
        cuts = [0, *(i for i, c in enumerate(text) if c in separators), len(text)]
        k = rng.randrange(len(cuts) - 1) if len(cuts) > 1 else 0
        start = cuts[k] + (text[cuts[k] : cuts[k] + 1] in separators and cuts[k] < len(text))
        end = cuts[k + 1] if k + 1 < len(cuts) else len(text)
        token = rng.choice(tokens) if rng.random() < 0.7 else str(rng.choice((*WIDE_NUMBERS, *FLOATS)))
        text = text[:start] + token + text[end if rng.random() < 0.8 else start :]
    return text


def _spoil_lines(rng: Random, text: str, tokens: Sequence[str]) -> str:
    lines = text.split("\n")
    k = rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        lines.insert(rng.randint(0, len(lines)), lines[k])
    elif kind == 1:
        del lines[k]
    elif kind == 2:
        lines.insert(k, rng.choice(tokens))
    else:
        j = rng.randrange(len(lines))
        lines[k], lines[j] = lines[j], lines[k]
    return "\n".join(lines)


def as_bytes(text: str) -> bytes:
    """Encode a text, lone surrogates and all."""
    return text.encode("utf-8", "surrogatepass")


# --- compressed streams


def zeros_deflated(n_mib: int) -> bytes:
    """Return a raw deflate stream that unpacks to `n_mib` MiB of zeros, a thousandth of that in size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(_CHUNK)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * n_mib + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def gzip_bomb(head: bytes, n_mib: int) -> bytes:
    """Return a gzip file that unpacks to `head` and `n_mib` MiB of zeros; its checksum is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + start + zeros_deflated(n_mib) + struct.pack("<2L", 0, n_mib * _CHUNK)


def spoil_gzip(rng: Random, data: bytes, change: Change, bomb_mib: int) -> bytes:
    """Spoil what a gzip file holds, or its stream, or let it unpack to much."""
    if rng.random() < 0.3:
        return spoil(rng, data)
    inner = change(rng, gzip.decompress(data))
    return gzip_bomb(inner, rng.randint(1, bomb_mib)) if rng.random() < 0.004 else gzip.compress(inner, 1, mtime=0)


# --- NIfTI

_NIFTI1 = {
    "i": (0, 32), "h": (*range(40, 56, 2), 68, 70, 72, 74, 254, 252), "f": (*range(76, 108, 4), 108, 112, 116,
    *range(256, 328, 4)), "B": (39, 123, 344, 345, 346),
}  # fmt: skip


def spoil_nifti(rng: Random, data: bytes) -> bytes:
    """Give fields of a NIfTI-1 header other values, or spoil any bytes of it."""
    if rng.random() < 0.25:
        return spoil(rng, data)
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.choice("ihhhhfffB")
        at = rng.choice(_NIFTI1[kind])
        if kind == "f":
            value = rng.choice(FLOATS)
            struct.pack_into("<f", spoilt, at, min(max(value, -3e38), 3e38) if abs(value) < 1e301 else value)
        else:
            n_bytes = struct.calcsize(kind)
            number = rng.choice((*NUMBERS, 4, 5, 6, 8, 16, 64, 512, 768, 1024, 1280, 1536, 1792))
            spoilt[at : at + n_bytes] = (number % 2 ** (8 * n_bytes)).to_bytes(n_bytes, "little")
    return bytes(spoilt)
