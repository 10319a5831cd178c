"""Compile the loops of the feature engines once a machine, before many processes need it at once.

A stamp in the user's cache folder says that everything is compiled for this processor, Python, Numba and source. It
costs milliseconds to look at, and needs no import of Numba. While one process compiles, others wait for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import time
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FOLDERS = ("features/native", "features/ibsi", "imaging")
"""Where compiled functions are, in this package."""


def is_warm() -> bool:
    """Tell whether the machine code of every feature is on disk."""
    try:
        files = json.loads(_stamp().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(files, list) and all(Path(file).is_file() for file in files)


def warm_up(announce: Callable[[], None] | None = None) -> float:
    """Compile whatever is not on disk yet.

    Parameters
    ----------
    announce : callable, optional
        Called before it begins, when there is something to compile: it takes about a minute.

    Returns
    -------
    float
        Seconds that it took; 0 when everything was there.
    """
    if is_warm():
        return 0.0
    if announce is not None:
        announce()
    started = time.perf_counter()
    with _alone():
        if not is_warm():  # another process may have done it in the meantime
            import_module("radiomics_talent.features.rehearsal").compute_everything()
            _leave_stamp()
    return time.perf_counter() - started


def _leave_stamp() -> None:
    files = import_module("radiomics_talent.imaging.compiled").compiled_files()
    if not files:  # nothing is kept on disk, so there is nothing to find next time
        return
    stamp = _stamp()
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        temporary = stamp.with_suffix(f".{time.time_ns()}")
        temporary.write_text(json.dumps([str(file) for file in files]), encoding="utf-8")
        temporary.replace(stamp)
    except OSError:
        return  # the next process looks for itself; Numba finds what it has kept


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process compiles; where no lock can be had, go on without."""
    try:
        _stamp().parent.mkdir(parents=True, exist_ok=True)
        lock = _stamp().with_suffix(".lock").open("a")
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@lru_cache(maxsize=1)
def _stamp() -> Path:
    """Return the place of the stamp, whose name is a hash of everything that machine code depends on."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parents[1]
    for folder in _FOLDERS:
        for source in sorted((package / folder).glob("*.py")):
            digest.update(f"{source}\n".encode() + source.read_bytes())
    facts = (
        *(platform.python_version(), platform.machine(), metadata.version("numba"), _processor()),
        os.environ.get("NUMBA_CACHE_DIR", ""),
    )
    digest.update(repr(facts).encode())
    return platformdirs.user_cache_path("radiomics-talent") / f"compiled-{digest.hexdigest()[:16]}.json"


def _processor() -> str:
    """Return the processor's name and abilities: machine code is made for them."""
    binding = import_module("llvmlite.binding")
    return f"{binding.get_host_cpu_name()} {sorted(binding.get_host_cpu_features().items())}"
