"""Many inputs for every reader, a few processes at a time: what was taken, refused, slow, large, or a bug."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import shutil
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.forked import HANGS_S, in_child, lines_of, run_block, spoilt_input
from fuzz.readers import Reader
from fuzz.seeds import Seed

LONGEST_S = float(HANGS_S)
"""No input may take longer."""
BLOCK = 300
"""Inputs that one forked process reads."""
_KEPT = 3
_SPOILING_S = 120.0
"""Making an input may take so long, and so may the start of a process."""


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    largest_mib: float = 0.0
    bugs: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: str, what: str, seconds: float, mib: float) -> None:
        self.inputs += 1
        self.accepted += verdict == "accepted"
        self.refused += verdict == "refused"
        self.seconds += seconds
        self.slowest_s, self.largest_mib = max(self.slowest_s, seconds), max(self.largest_mib, mib)
        if verdict == "bug":
            self.bugs[what] += 1


@dataclass
class _Process:
    reader: Reader
    pid: int
    pipe: int
    numbers: range
    folder: Path
    done: int = 0
    is_reading: bool = False
    heard: float = field(default_factory=time.monotonic)
    buffer: bytearray = field(default_factory=bytearray)


class Campaign:
    """Inputs of several readers, run to the end or until time is up."""

    def __init__(self, readers: Mapping[str, Reader], *, inputs: int, seed: int, jobs: int, bugs: Path) -> None:
        self.readers, self.seed, self.jobs, self.bugs = readers, seed, jobs, bugs
        self.tallies = {name: Tally() for name in readers}
        total = sum(r.share for r in readers.values())
        counts = {n: max(1, round(inputs * r.share / total)) for n, r in readers.items()}
        self.blocks = deque(_interleaved({n: _blocks(c) for n, c in counts.items()}))
        self._work = Path()
        self._seeds: dict[str, list[Seed]] = {}

    def run(self, seconds: float | None = None, only: range | None = None) -> dict[str, Tally]:
        """Run the blocks; `only` replaces them by these numbers of each reader."""
        if only is not None:
            self.blocks = deque((n, only) for n in self.readers)
        end = time.monotonic() + (seconds or float("inf"))
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="radiomics-talent-fuzz-", dir=base, ignore_cleanup_errors=True) as work:
            self._work = Path(work)
            self._seeds = {name: self._make_seeds(reader) for name, reader in self.readers.items()}
            self._loop(end)
        return self.tallies

    # --- processes

    def _make_seeds(self, reader: Reader) -> list[Seed]:
        """Make the seeds in a process of their own: libraries that have started threads cannot be forked."""
        kept = self._work / f"{reader.name}.seeds"
        pid = os.fork()
        if pid == 0:
            with _dying():
                folder = self._work / "make" / reader.name
                folder.mkdir(parents=True)
                kept.write_bytes(pickle.dumps(reader.seeds(folder)))
        os.waitpid(pid, 0)
        if not kept.exists():
            raise RuntimeError(f"the seeds of {reader.name} could not be made")
        return list(pickle.loads(kept.read_bytes()))

    def _loop(self, end: float) -> None:
        running: dict[int, _Process] = {}
        selector = selectors.DefaultSelector()
        number = 0
        try:
            while (self.blocks and time.monotonic() < end) or running:
                while self.blocks and len(running) < self.jobs and time.monotonic() < end:
                    process = self._start(*self.blocks.popleft(), self._work / f"block{number}")
                    running[process.pipe] = process
                    selector.register(process.pipe, selectors.EVENT_READ)
                    number += 1
                for key, _ in selector.select(timeout=0.5):
                    process = running[int(key.fd)]
                    if not self._hear(process):
                        selector.unregister(process.pipe)
                        del running[process.pipe]
                        self._bury(process)
                for process in running.values():
                    patience = LONGEST_S + 2 if process.is_reading else _SPOILING_S
                    if time.monotonic() - process.heard > patience:
                        os.kill(process.pid, signal.SIGKILL)
        finally:
            for process in running.values():
                os.kill(process.pid, signal.SIGKILL)
                os.waitpid(process.pid, 0)

    def _start(self, name: str, numbers: range, folder: Path) -> _Process:
        reader = self.readers[name]
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            with _dying():
                os.close(read)
                in_child(folder, folder.with_suffix(".log"))
                with os.fdopen(write, "w") as out:
                    run_block(reader, self._seeds[name], self.seed, numbers, folder, out)
        os.close(write)
        return _Process(reader, pid, read, numbers, folder)

    def _hear(self, process: _Process) -> bool:
        data = os.read(process.pipe, 65536)
        process.buffer += data
        for line in lines_of(process.buffer):
            process.heard = time.monotonic()
            process.is_reading = line is None
            if line is None:
                continue
            number, verdict, what, seconds, mib = line
            process.done += 1
            slow = float(seconds) > LONGEST_S and verdict != "bug"
            told = ("bug", f"took longer than {LONGEST_S:g} s") if slow else (str(verdict), str(what))
            self._note(process.reader, int(number), *told, float(seconds), float(mib))
        return bool(data)

    def _bury(self, process: _Process) -> None:
        """See how a process has ended, and begin the rest of its block anew where it died."""
        os.close(process.pipe)
        _, status = os.waitpid(process.pid, 0)
        if process.done < len(process.numbers):
            number = process.numbers[process.done]
            log = process.folder.with_suffix(".log").read_text(errors="replace")
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            what = f"{'hang' if killed else f'crash (status {status})'}: {_where_it_died(log)}"
            self._note(process.reader, number, "bug", what, LONGEST_S if killed else 0.0, 0.0)
            rest = process.numbers[process.done + 1 :]
            if rest:
                self.blocks.appendleft((process.reader.name, rest))
        shutil.rmtree(process.folder, ignore_errors=True)

    def _note(self, reader: Reader, number: int, verdict: str, what: str, seconds: float, mib: float) -> None:
        tally = self.tallies[reader.name]
        tally.add(verdict, what, seconds, mib)
        if verdict == "bug" and tally.bugs[what] <= _KEPT:
            self._keep(reader, number, what)

    def _keep(self, reader: Reader, number: int, what: str) -> None:
        """Save the bytes of a bug's input, and how it comes about again."""
        folder = self.bugs / f"{reader.name}-{self.seed}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in spoilt_input(reader, self._seeds[reader.name], self.seed, number).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        again = f"python tests/fuzz/fuzz.py --seed {self.seed} --reader {reader.name} --only {number}"
        (folder / "what.txt").write_text(f"{what}\n{again}\n")


def _blocks(count: int) -> list[range]:
    return [range(start, min(count, start + BLOCK)) for start in range(0, count, BLOCK)]


def _interleaved(blocks: dict[str, list[range]]) -> Iterator[tuple[str, range]]:
    """Return the blocks of all readers in turn, so that a run that is cut short has seen each."""
    for k in range(max(map(len, blocks.values()), default=0)):
        for name, some in blocks.items():
            if k < len(some):
                yield name, some[k]


def _where_it_died(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    places = [line for line in lines if line.startswith("File ")]
    mine = next((p for p in places if "radiomics_talent" in p), "")
    return "; ".join([*lines[:1], *places[:1], mine])[:400]


@contextlib.contextmanager
def _dying() -> Iterator[None]:
    """End a forked process here, whatever happens, without what its parent would do at its end."""
    code = 1
    try:
        yield
        code = 0
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)
