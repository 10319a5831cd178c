"""Spoilt model folders, with and without checksums that were made to fit again."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import zipfile
from random import Random
from typing import Any

import yaml
from fuzz.mutators import NUMBERS, TEXTS, as_bytes, spoil, spoil_text
from fuzz.seeds import Seed
from fuzz.settings_files import TRICKS

from radiomics_talent.modelling.model import _record_sha256

_VALUES: tuple[Any, ...] = (
    *NUMBERS,
    0.5,
    float("nan"),
    float("inf"),
    None,
    True,
    [],
    {},
    "",
    "x",
    [1, 2],
    {"a": 1},
    "=1",
)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("exploded", "w")


def spoil_model(rng: Random, seed: Seed) -> dict[str, bytes]:
    """Spoil the record, the golden rows or an archive; mostly the checksums are then made to fit."""
    kind = rng.random()
    if kind < 0.1:
        name = rng.choice(list(seed.files))
        return {name: spoil(rng, seed.files[name])}
    if kind < 0.2:
        text = seed.data.decode()
        spoilt = f"{rng.choice(TRICKS)}\n{text}" if rng.random() < 0.5 else spoil_text(rng, text)
        return {"model.yaml": as_bytes(spoilt)}
    files = dict(seed.files)
    record = yaml.load(seed.data, Loader=_Loader)
    if kind < 0.45:
        _spoil_record(rng, record)
    elif kind < 0.55:
        files["golden.csv"] = as_bytes(spoil_text(rng, seed.files["golden.csv"].decode()))
    else:
        name = rng.choice(("model.skops", "model.skops", "refits.skops"))
        files[name] = _spoil_archive(rng, seed.files[name])
    return sealed(files, record)


def sealed(files: dict[str, bytes], record: dict[str, Any]) -> dict[str, bytes]:
    """Make the checksums fit, as somebody who tampers with a model would."""
    if isinstance(record.get("sha256"), dict):
        record["sha256"] = {
            n: hashlib.sha256(files[n]).hexdigest() if n in files else h for n, h in record["sha256"].items()
        }
    try:
        record["record_sha256"] = _record_sha256(record)
        files["model.yaml"] = yaml.dump(record, Dumper=_Dumper, sort_keys=False).encode()
    except (yaml.YAMLError, TypeError, ValueError):
        pass
    return files


def _spoil_record(rng: Random, record: dict[str, Any]) -> None:
    for _ in range(rng.choice((1, 1, 2))):
        _spoil_leaf(rng, record)


def _spoil_leaf(rng: Random, value: Any) -> None:
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.75:
            value = inner
            continue
        if isinstance(value, dict) and rng.random() < 0.2:
            del value[key]
        else:
            value[key] = copy.deepcopy(rng.choice(_VALUES) if rng.random() < 0.6 else rng.choice(TEXTS[:60]))
        return


def _spoil_archive(rng: Random, data: bytes) -> bytes:
    kind = rng.random()
    if kind < 0.15:
        return spoil(rng, data)
    if kind < 0.18:
        return pickle.dumps(_Bomb())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    if kind < 0.7:
        schema = json.loads(members["schema.json"])
        for _ in range(rng.choice((1, 1, 2, 3))):
            _spoil_leaf(rng, schema)
        members["schema.json"] = json.dumps(schema).encode()
    elif kind < 0.9:
        name = rng.choice([n for n in members if n != "schema.json"] or list(members))
        members[name] = _spoil_array(rng, members[name])
    elif kind < 0.95:
        name = rng.choice(("../../exploded", "/tmp/exploded", "x" * 300, "schema.json/", "..\\exploded"))
        members[name] = b"x"
    else:
        members[rng.choice(list(members))] = rng.choice(
            (b"", bytes(2**24), pickle.dumps(_Bomb()), b"[" * 100_000, b'{"a":' * 50_000)
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _spoil_array(rng: Random, data: bytes) -> bytes:
    """Let an array claim another shape or type, or change its values."""
    head, brace, rest = data.partition(b"'shape': (")
    if brace and rng.random() < 0.5:
        shape, end, body = rest.partition(b")")
        new = rng.choice((b"99999999999,", b"-1,", b"60000, 60000, 60000", b"", b"0,", b"2**40,", b"1,"))
        padding = len(shape) - len(new)
        tail = body.replace(b" " * -padding, b"", 1) if padding < 0 else b" " * padding + body
        return head + brace + new + end + tail
    if brace and rng.random() < 0.3:
        return data.replace(rng.choice((b"<f8", b"<i8")), rng.choice((b"|O8", b"<c16", b"<M8", b">f8", b"|V8")), 1)
    return spoil(rng, data)
