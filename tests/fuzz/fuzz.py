"""Give every reader spoilt files: ``python tests/fuzz/fuzz.py --inputs 100000 --seed 0 --jobs 2``.

Each input must be taken, or be refused with a sentence; anything else is a bug, whose files are kept. Exit code 1
where there is one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "MALLOC_ARENA_MAX",
):
    os.environ[_variable] = "1"  # before the libraries are there: idle threads cost memory, which is counted here
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402

from fuzz.campaign import Campaign, Tally  # noqa: E402
from fuzz.forked import MEMORY_MIB  # noqa: E402
from fuzz.readers import readers  # noqa: E402

_LOADED_LATER = (
    "highdicom",
    "openjpeg",
    "jpeg_ls",
    "gdcm",
    "pyarrow.parquet",
    "sklearn.ensemble",
    "skops.io",
    "scipy.ndimage",
)


def main() -> int:
    """Run, print a table, and say whether there were bugs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--inputs", type=int, default=2000, help="inputs for all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--reader", action="append", help="this reader alone; may be given several times")
    parser.add_argument("--seconds", type=float, help="begin nothing new after so long")
    parser.add_argument("--only", type=int, help="one input of each reader, by its number")
    parser.add_argument("--bomb-mib", type=int, default=1500, help="what a small compressed file may unpack to")
    parser.add_argument("--bugs", type=Path, default=Path("build/fuzz"), help="folder for the files of bugs")
    parser.add_argument("--json", type=Path, help="write the table here, too")
    given = parser.parse_args()
    for name in _LOADED_LATER:
        importlib.import_module(name)
    known = readers(bomb_mib=given.bomb_mib)
    unknown = set(given.reader or ()) - set(known)
    if unknown:
        parser.error(f"unknown reader {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = {n: r for n, r in known.items() if not given.reader or n in given.reader}
    start = time.monotonic()
    campaign = Campaign(chosen, inputs=given.inputs, seed=given.seed, jobs=given.jobs, bugs=given.bugs)
    only = None if given.only is None else range(given.only, given.only + 1)
    tallies = campaign.run(given.seconds, only)
    print(_table(tallies, time.monotonic() - start))  # noqa: T201
    if given.json:
        rows = {n: {**vars(t), "bugs": dict(t.bugs)} for n, t in tallies.items()}
        given.json.write_text(json.dumps(rows))
    return int(any(t.bugs for t in tallies.values()))


def _table(tallies: dict[str, Tally], seconds: float) -> str:
    head = ("reader", "inputs", "accepted", "refused", "slowest (s)", "largest memory (MiB)", "bugs")
    rows = [
        (n, t.inputs, t.accepted, t.refused, f"{t.slowest_s:.2f}", f"{t.largest_mib:.0f}", sum(t.bugs.values()))
        for n, t in tallies.items()
    ]
    all_ = tallies.values()
    rows.append((
        "all", *(sum(getattr(t, f) for t in all_) for f in ("inputs", "accepted", "refused")),
        f"{max(t.slowest_s for t in all_):.2f}", f"{max(t.largest_mib for t in all_):.0f}",
        sum(sum(t.bugs.values()) for t in all_),
    ))  # fmt: skip
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, ("---",) * len(head), *rows)]
    n = sum(t.inputs for t in all_)
    lines.append(
        f"\n{n} inputs in {seconds:.0f} s, {n / seconds:.0f} a second; memory beyond base bounded at {MEMORY_MIB} MiB"
    )
    lines += [f"BUG {name}: {count} x {what}" for name, t in tallies.items() for what, count in t.bugs.most_common()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
