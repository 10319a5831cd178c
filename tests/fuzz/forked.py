"""One block of inputs in a forked process: its memory is bounded, and it can be killed when it hangs."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import resource
import shutil
import socket
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, TextIO

import SimpleITK as sitk
from fuzz.readers import BreachError, Reader
from fuzz.seeds import SECRET, Seed

from radiomics_talent.errors import TalentError

MEMORY_MIB = 1024
"""What an input may take, beside what the program takes at rest."""
HANGS_S = 10
"""An input that takes longer hangs."""
LONGEST_SENTENCE = 4000
_MIB = 2**20
_allocations_refused: list[str] = []


def rng_of(seed: int, reader: str, number: int) -> Random:
    return Random(f"{seed}/{reader}/{number}")


def run_block(reader: Reader, seeds: list[Seed], seed: int, numbers: range, work: Path, out: TextIO) -> None:
    """Read the spoilt inputs one after the other, and write a line of JSON about each."""
    _bound_memory()
    _listen()
    places = _lay_out(seeds, work)
    os.chdir(work)
    for number in numbers:
        rng = rng_of(seed, reader.name, number)
        k = rng.randrange(len(seeds))
        with _spoilt(seeds[k], places[k], reader.spoil(rng, seeds[k])):
            out.write("null\n")  # the clock of this input starts
            out.flush()
            _forget_peak()
            before, start = _status_mib("VmRSS"), time.monotonic()
            faulthandler.dump_traceback_later(HANGS_S)
            verdict, what = _judge(reader, places[k])
            faulthandler.cancel_dump_traceback_later()
            seconds, mib = time.monotonic() - start, max(0.0, _status_mib("VmHWM") - before)
        out.write(
            json.dumps([number, verdict, what.replace(f"{places[k]}/", ""), round(seconds, 4), round(mib, 1)]) + "\n"
        )
        out.flush()


def spoilt_input(reader: Reader, seeds: list[Seed], seed: int, number: int) -> dict[str, bytes]:
    """Return all files of one input."""
    rng = rng_of(seed, reader.name, number)
    chosen = seeds[rng.randrange(len(seeds))]
    return {**chosen.files, **reader.spoil(rng, chosen)}


def _judge(reader: Reader, place: Path) -> tuple[str, str]:
    _allocations_refused.clear()
    with warnings.catch_warnings(record=True) as spoken:
        warnings.simplefilter("always")
        try:
            sentences = reader.read(place)
            verdict = "refused" if sentences else "accepted"
        except TalentError as error:
            sentences, verdict = [str(error)], "refused"
        except BreachError as error:
            return "bug", f"breach: {error}"
        except BaseException as error:  # noqa: BLE001
            return "bug", f"{type(error).__name__} at {_place(error)}: {str(error)[:200]}"
    sentences += [f"{w.category.__name__}: {w.message}" for w in spoken if SECRET in str(w.message)]
    fault = next((f for f in map(_fault, sentences) if f), "")
    if not fault and _allocations_refused:
        fault = f"allocation of what is not there: {_allocations_refused[0]}"
    return ("bug", fault) if fault else (verdict, "")


def _fault(sentence: str) -> str:
    if SECRET in sentence:
        return f"quotes a patient: {sentence[:400]}"
    if "MemoryError" in sentence or "nable to allocate" in sentence:
        return f"allocation of what is not there: {sentence[-300:]}"
    if len(sentence) > LONGEST_SENTENCE:
        return f"a sentence of {len(sentence)} characters: {sentence[:200]} ... {sentence[-100:]}"
    if any(c in sentence for c in "\n\r\0"):
        return f"more than one line: {sentence[:300]!r}"
    return ""


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if "radiomics_talent" in f.filename] or frames
    inner = frames[-1]
    there = f"{Path(mine[-1].filename).name}:{mine[-1].lineno}"
    return there if inner is mine[-1] else f"{there} ({Path(inner.filename).name}:{inner.lineno})"


# --- the process


def _bound_memory() -> None:
    bound = int((_status_mib("VmData") + MEMORY_MIB) * _MIB)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _listen() -> None:
    """Hear of the memory that ITK asked for in vain: what it raises then is to the reader like any other error."""
    execute = sitk.ImageFileReader.Execute

    def watched(self: sitk.ImageFileReader) -> sitk.Image:
        try:
            return execute(self)
        except (RuntimeError, MemoryError) as error:
            if "alloc" in str(error).lower() or isinstance(error, MemoryError):
                _allocations_refused.append(str(error).splitlines()[-1][:200])
            raise

    sitk.ImageFileReader.Execute = watched
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    logging.disable(logging.CRITICAL)


def _status_mib(field: str) -> float:
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        return next((int(line.split()[1]) / 1024 for line in file if line.startswith(f"{field}:")), 0.0)


def _forget_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("5")


# --- files


def _lay_out(seeds: list[Seed], work: Path) -> list[Path]:
    places = []
    for k, seed in enumerate(seeds):
        place = work / f"seed{k}"
        for name, data in seed.files.items():
            _write(place / name, data)
        _lay_traps(place)
        places.append(place)
    return places


def _lay_traps(place: Path) -> None:
    """Make what no reader may open or follow for ever: a pipe, a socket, links in a circle."""
    if (place / "fifo").exists():
        return
    os.mkfifo(place / "fifo")
    (place / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(place)  # a socket's path may have 108 characters
        server.bind("socket")
        os.chdir(here)
    (place / "deep").mkdir()
    (place / "deep" / "back").symlink_to("..")
    (place / "folder").mkdir()


class _spoilt:  # noqa: N801
    """The spoilt files in their place, and afterwards the good ones again."""

    def __init__(self, seed: Seed, place: Path, files: dict[str, bytes]) -> None:
        self.seed, self.place, self.files = seed, place, files

    def __enter__(self) -> None:
        for name, data in self.files.items():
            _write(self.place / name, data)

    def __exit__(self, *_: object) -> None:
        for name in self.files:
            if name in self.seed.files:
                _write(self.place / name, self.seed.files[name])
            else:
                (self.place / name).unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def in_child(work: Path, log: Path) -> None:
    """Make a forked process quiet: what libraries print goes to a file, and so does the place of a crash."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(sink, 2)
    faulthandler.enable(file=2, all_threads=False)


def lines_of(buffer: bytearray) -> Iterator[list[Any] | None]:
    """Take the whole lines from what a process has written."""
    while (end := buffer.find(b"\n")) >= 0:
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        yield json.loads(line)
