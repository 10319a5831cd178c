"""What a call or a program costs: wall and CPU seconds, peak memory; and how far two sets of features are apart."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds, and peak memory in MiB: of a call what it takes beyond what was there, of a program all of it."""

    wall_s: float
    cpu_s: float
    peak_mib: float

    def best(self, other: Cost | None) -> Cost:
        """Return the shorter times of both, and the larger memory: what was freed may be used again unseen."""
        if other is None:
            return self
        return Cost(min(self.wall_s, other.wall_s), min(self.cpu_s, other.cpu_s), max(self.peak_mib, other.peak_mib))


def measured(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> tuple[Any, Cost]:
    """Call and return what comes, with its cost. Memory is known on Linux alone (NaN elsewhere)."""
    gc.collect()
    before = _start_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    result = call(*arguments, **keywords)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, Cost(wall, cpu, _memory_mib("VmHWM") - before)


def program_cost(arguments: Sequence[str | Path], **environment: str) -> tuple[str, Cost]:
    """Run a program to its end; return what it printed and the cost of it and of the processes that it began.

    Peak memory is that of the largest process. A small process stands between: Linux counts as a program's memory
    what the process that started it held.
    """
    between = [sys.executable, __file__, *map(str, arguments)]
    child = subprocess.run(between, capture_output=True, text=True, env=os.environ | environment, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, arguments))} failed:\n{child.stdout}\n{child.stderr}")
    text, _, record = child.stdout.rstrip().rpartition("\n")
    return text, Cost(**json.loads(record))


def busy_s() -> tuple[float, float]:
    """Return the seconds for which this process and its children, and all processes of the machine, have worked."""
    try:
        user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    except OSError:
        return math.nan, math.nan
    times = os.times()
    ours = times.user + times.system + times.children_user + times.children_system
    return ours, (user + nice + system) / os.sysconf("SC_CLK_TCK")


def largest_difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """Return the largest relative difference of a feature of `ours`; infinite where one alone is missing or NaN.

    Differences below 1e-12 count as none, as in the tests.
    """
    return max((_difference(value, theirs.get(name)) for name, value in ours.items()), default=0.0)


def _difference(a: float, b: float | None) -> float:
    if b is None or math.isnan(a) != math.isnan(b):
        return math.inf
    if math.isnan(a) or abs(a - b) <= 1e-12:
        return 0.0
    return abs(a - b) / max(abs(a), abs(b))


def _start_peak() -> float:
    """Forget the process' peak so far and return its memory now."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return math.nan
    return _memory_mib("VmRSS")


def _memory_mib(key: str) -> float:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return math.nan
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def main() -> None:
    """Run the program that the arguments name, and print its cost as JSON in one last line."""
    started = time.perf_counter()
    child = subprocess.Popen(sys.argv[1:])
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(1)
    kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    print("\n" + json.dumps(asdict(Cost(wall, usage.ru_utime + usage.ru_stime, kib / 1024))))


if __name__ == "__main__":
    main()
