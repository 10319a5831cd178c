"""How do time, memory and disk grow with a cohort? Lesions are simulated; what handles them is the toolkit's own.

    python benchmarks/scale.py --folder DIR                     # everything: an hour, 15 GB in DIR, removed again
    python benchmarks/scale.py --part plan --sizes 1000 1000000

Parts: plan (cohort table to dry run; no scan is there, so each row is refused in one sentence), store (results of
`--features` features to the table of the run), read (parts of the largest table, which store has made), workers
(`extract` of the synthetic trial with 1 and 2 workers). Each measurement has a process of its own. Beside the seconds
stand CPU seconds, which other programs disturb less, and the peak memory of the largest process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import report
from measuring import program_cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from report import Row

_SETTINGS = "talent-ct"
_SHARDS_WITH_FSYNC = 10_000
_DISTINCT = 1_000
_COHORT = (
    "patient_id,lesion_id,image,mask,label,roi_name,series_uid,study_date,contrast_phase,slice_thickness_mm,kernel,"
    "manufacturer,site\n"
)
_FINE = ("resampledPixelSpacing: [1, 1, 1]", "resampledPixelSpacing: [0.6, 0.6, 0.6]")


def _patient(lesion: int) -> str:
    return f"P-{lesion // 4 + 1:07}"


def write_cohort(path: Path, n: int) -> None:
    """Four lesions a patient, two a scan, in an archive that does not exist."""
    with path.open("w") as file:
        file.write(_COHORT)
        for i in range(n):
            patient, scan, roi = _patient(i), i % 4 // 2 + 1, f"Liver lesion {i % 2 + 1}"
            place = f"archive/{patient}/study{scan}"
            file.write(
                f"{patient},L{i % 4 + 1},{place}/CT_art,{place}/RTSTRUCT/rs.dcm,{roi},{roi},"
                f"1.2.826.0.1.3680043.8.498.{10**38 + i // 2},2016-03-02,arterial,1.25,B30f,SIEMENS,site1\n"
            )


def column_names(n: int) -> list[str]:
    """The first `n` features of original and filtered images."""
    from radiomics_talent.feature_dictionary import pyradiomics_names

    known = pyradiomics_names()
    of_image = [f"{c}_{name}" for c, names in known.items() if not c.startswith("shape") for name in names]
    form = [f"original_shape_{name}" for name in known["shape"]]
    images = ["original", *(f"log-sigma-{mm}-0-mm-3D" for mm in range(1, n // len(of_image) + 2))]
    return (form + [f"{image}_{name}" for image in images for name in of_image])[:n]


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _values(number: int, names: list[str]) -> dict[str, float]:
    return dict(zip(names, np.random.default_rng(number).normal(size=len(names)).tolist(), strict=True))


# Steps: what a process of its own does; a step gives what it found.


@dataclass(frozen=True, slots=True)
class Asked:
    folder: Path
    n: int
    features: int


def step_plan(asked: Asked) -> Row:
    from radiomics_talent.cohort.manifest import load_cohort

    started = time.perf_counter()
    cohort = load_cohort(asked.folder / f"{asked.n}.csv")
    loaded = time.perf_counter()
    scans = cohort.scans()
    return {"load s": loaded - started, "scans s": time.perf_counter() - loaded, "scans": len(scans)}


def step_dry(asked: Asked) -> Row:
    from radiomics_talent.cli import main

    sys.argv = ["radiomics-talent", "extract", str(asked.folder / f"{asked.n}.csv"), "--config", _SETTINGS]
    sys.argv += ["--dry-run", "--timeout", "0", "--jobs", "1"]
    out, err = asked.folder / "dry.out", asked.folder / "dry.err"
    with out.open("w") as o, err.open("w") as e, redirect_stdout(o), redirect_stderr(e):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
    said = out.read_text().rstrip().rpartition("\n")[2]
    if code != 1 or f" {asked.n} would fail" not in said:
        raise RuntimeError(f"exit code {code}, {said}{err.read_text()[-2000:]}")
    return {}


def step_shards(asked: Asked) -> Row:
    """Write what is not there yet: with fsync, as workers do, or (very many) the same bytes without it."""
    from radiomics_talent.extraction.outcome import Shard
    from radiomics_talent.extraction.store import RunFolder, write_shard

    names, run = column_names(asked.features), RunFolder(asked.folder / "run")
    run.shards.mkdir(parents=True, exist_ok=True)
    before = sum(1 for _ in run.shards.iterdir())
    started = time.perf_counter()
    bodies: list[str] = []
    for i in range(before, asked.n):
        key = _hash("key", i)
        if i < _SHARDS_WITH_FSYNC:
            write_shard(
                run, Shard(key, _hash("i", i), _hash("m", i), "0", _values(i, names), timings={"original": 0.1})
            )
            continue
        if len(bodies) < _DISTINCT:
            bodies.append(json.dumps({"run_id": "0", "values": _values(i, names)})[1:])
        body = f'{{"key": "{key}", "image_sha256": "{_hash("i", i)}", "mask_sha256": "{_hash("m", i)}", '
        body += '"warnings": [], "timings": {"original": 0.1}, "verification": null, ' + bodies[i % _DISTINCT]
        (run.shards / f"{key}.json").write_text(f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}\n")
    seconds = time.perf_counter() - started
    size = (run.shards / f"{_hash('key', 0)}.json").stat().st_size
    return {"written": asked.n - before, "ms a shard": 1e3 * seconds / (asked.n - before), "bytes a shard": size}


def step_end(asked: Asked) -> Row:
    """End a run of which every result is there."""
    from radiomics_talent.cohort.manifest import load_cohort
    from radiomics_talent.extraction.cohort_work import Worked
    from radiomics_talent.extraction.ledger import Ledger, settle
    from radiomics_talent.extraction.outcome import KeptFeatures, Outcome
    from radiomics_talent.extraction.provenance import RunFacts, now_utc, run_record
    from radiomics_talent.extraction.run import write_run
    from radiomics_talent.extraction.store import Recipe, open_run
    from radiomics_talent.settings import ExtractionSettings

    settings = ExtractionSettings.from_yaml(_SETTINGS)
    columns = _hash(asked.features)[:32]
    clock = [time.perf_counter()]
    with open_run(asked.folder / "run", Recipe.of_extraction(settings)) as run, Ledger() as ledger:
        cohort = load_cohort(asked.folder / f"{asked.n}.csv")
        for i, lesion in enumerate(cohort.lesions):
            kept = KeptFeatures(_hash("key", i), _hash("i", i), _hash("m", i), "0", (), columns, {"original": 0.1})
            ledger.add(Outcome(lesion.row, 0, lesion.lesion_id, kept=kept, peak_mib=500.0))
        settle(cohort, ledger, ())
        clock.append(time.perf_counter())
        worked = Worked(cohort, ledger, (), 2, "2 jobs", now_utc(), 0.0, None)
        record = run_record(cohort, settings, RunFacts.of(worked, None, ()), out=run.path)
        result = write_run(run, worked, record, settings, rejected=None)
        clock.append(time.perf_counter())
    assert (result.n_done, result.n_features) == (asked.n, asked.features)
    return {"ledger s": clock[1] - clock[0], "tables s": clock[2] - clock[1]}


def _timed_read(call: Callable[[], tuple[int, int]]) -> Row:
    started = time.perf_counter()
    rows, columns = call()
    return {"rows": rows, "features": columns, "read s": time.perf_counter() - started}


def _read_part(asked: Asked, features: list[str] | None, patients: list[str] | None) -> Row:
    from radiomics_talent.features.dataset import open_features

    def read() -> tuple[int, int]:
        table = open_features(asked.folder / "run").read(features, patients)
        return len(table), len(table.features)

    return _timed_read(read)


def step_column(asked: Asked) -> Row:
    return _read_part(asked, column_names(asked.features)[asked.features // 2 :][:1], None)


def step_patient(asked: Asked) -> Row:
    return _read_part(asked, None, [_patient(asked.n // 2)])


def step_ten(asked: Asked) -> Row:
    patients = [_patient(asked.n * k // 10) for k in range(10)]
    return _read_part(asked, column_names(asked.features)[:: asked.features // 10][:10], patients)


def step_pandas(asked: Asked) -> Row:
    import pandas as pd

    from radiomics_talent.features.dataset import find_features

    def read() -> tuple[int, int]:
        rows, columns = pd.read_parquet(find_features(asked.folder / "run")).shape
        return rows, columns - 11

    return _timed_read(read)


STEPS = {name.removeprefix("step_"): step for name, step in list(globals().items()) if name.startswith("step_")}


def measured(step: str, folder: Path, n: int, features: int) -> tuple[Row, Row]:
    """What a step found, and what it cost."""
    command = [sys.executable, __file__, "--step", step, "--folder", folder, "--sizes", n, "--features", features]
    text, cost = program_cost(list(map(str, command)))
    return json.loads(text.strip().splitlines()[-1]), _told(cost)


def _told(cost: object) -> Row:
    return {"s": cost.wall_s, "CPU s": cost.cpu_s, "peak MiB": cost.peak_mib}


def _disk_mib(place: Path) -> float:
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(f.stat().st_size for f in files if f.is_file()) / 2**20


# Parts: each yields the rows of its table.


def plan(options: argparse.Namespace) -> Iterator[Row]:
    """From a cohort table to the end of a dry run"""
    for n in options.sizes:
        write_cohort(options.folder / f"{n}.csv", n)
        found, cost = measured("plan", options.folder, n, 0)
        row = {"rows": n, "load s": found["load s"], "group s": found["scans s"], "load MiB": cost["peak MiB"]}
        _, cost = measured("dry", options.folder, n, 0)
        yield row | {f"dry run {name}": value for name, value in cost.items()}


def store(options: argparse.Namespace) -> Iterator[Row | str]:
    """From results to the table of a run"""
    run, written = options.folder / "run", 0
    for n in options.sizes:
        write_cohort(options.folder / f"{n}.csv", n)
        for part in {min(n, _SHARDS_WITH_FSYNC), n} - {written}:
            found, _ = measured("shards", options.folder, part, options.features)
            written = part
            sync = "with" if part <= _SHARDS_WITH_FSYNC else "without"
            yield f"{found['written']:,} results {sync} fsync: {found['ms a shard']:.2f} ms each"
        ended, cost = measured("end", options.folder, n, options.features)
        table = run / "features" if (run / "features").exists() else run / "features.parquet"
        yield {
            "lesions": n,
            "shards MiB": n * found["bytes a shard"] / 2**20,
            "table MiB": _disk_mib(table),
            "provenance MiB": _disk_mib(run / "provenance.json"),
            "ledger s": ended["ledger s"],
            "tables s": ended["tables s"],
        } | cost


def read(options: argparse.Namespace) -> Iterator[Row]:
    """Parts of the largest table"""
    n = max(options.sizes)
    for step, title in {
        "column": "one feature of all",
        "patient": "all features of one patient",
        "ten": "ten features of ten patients",
        "pandas": "all with pandas, in memory",
    }.items():
        found, cost = measured(step, options.folder, n, options.features)
        yield {"what": title, "rows": found["rows"], "features": found["features"], "read s": found["read s"]} | cost
    one = options.folder / "one.parquet"
    text, cost = program_cost([*_program(), "table", options.folder / "run", "--out", one])
    assert text.startswith(f"{n} lesions")
    one.unlink()
    yield {
        "what": "all into one file (`table`)",
        "rows": n,
        "features": options.features,
        "read s": cost.wall_s,
    } | _told(cost)


def workers(options: argparse.Namespace) -> Iterator[Row | str]:
    """`extract` of the synthetic trial with one and two workers"""
    trial, settings = options.folder / "trial", options.folder / "fine.yaml"
    if not (trial / "cohort.csv").exists():
        program_cost([*_program(), "demo", "--out", trial, "--features-only", "--patients", str(options.patients)])
    text, _ = program_cost([*_program(), "config", "show", "talent-ct-full"])
    settings.write_text(text.replace(*_FINE))
    best: dict[str, list[float]] = {}
    load: list[float] = []
    for attempt in range(options.repeats):
        for way in ("local", "Dask"):
            for count in (1, 2):
                load.append(os.getloadavg()[0])
                out = options.folder / f"{way}-{count}-{attempt}"
                with _asked_for(way, count) as asked:
                    command = ["extract", trial / "cohort.csv", "--config", settings, "--out", out, "--timeout", "0"]
                    _, cost = program_cost([*_program(), *command, *asked])
                best.setdefault(f"{way} {count}", []).append(cost.wall_s)
        for count in (1, 2):
            best.setdefault(f"busy loop {count}", []).append(_busy_loops(count))
    for way in ("local", "Dask", "busy loop"):
        one, two = (min(best[f"{way} {count}"]) for count in (1, 2))
        yield {"workers": way, "one s": one, "two s": two, "times as fast": one / two}
    yield f"load of the machine: {min(load):.1f} to {max(load):.1f}; all seconds: {json.dumps(best)}"


@contextmanager
def _asked_for(way: str, count: int) -> Iterator[list[str]]:
    if way == "local":
        yield ["--jobs", str(count)]
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dask, address = str(Path(sys.executable).with_name("dask")), f"tcp://127.0.0.1:{port}"
    begin = [[dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    begin += [[dask, "worker", address, "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]] * count
    with tempfile.TemporaryDirectory() as scratch:
        quiet = {"cwd": scratch, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running = [subprocess.Popen(command, **quiet) for command in begin]
        try:
            _wait_for_workers(address, count)
            yield ["--scheduler", address]
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait()


def _wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, timeout="60s") as client:
        client.wait_for_workers(count, timeout=60)


def _busy_loops(count: int) -> float:
    """Seconds for the same work in `count` processes: what the machine itself gives."""
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        pool.map(_loop, [1] * count)
        started = time.perf_counter()
        pool.map(_loop, [2_000_000] * 24, chunksize=1)
        return time.perf_counter() - started


def _loop(n: int) -> int:
    return sum(i * i for i in range(n))


def _program() -> list[str]:
    return [str(Path(sys.executable).with_name("radiomics-talent"))]


PARTS = {"plan": plan, "store": store, "read": read, "workers": workers}


def _sizes(text: str) -> list[int]:
    return sorted(map(int, text.split(",")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--part", action="append", choices=PARTS, help="may be repeated (default: all)")
    add("--sizes", type=_sizes, default=_sizes("1000,10000,100000"), help="rows, with commas between them")
    add("--features", type=int, default=1_500)
    add("--patients", type=int, default=24, help="workers: patients of the synthetic trial")
    add("--repeats", type=int, default=3, help="workers: runs of which the best counts")
    add("--folder", type=Path, help="scratch folder, which is kept (default: one that is removed)")
    add("--out", type=Path, help="JSON to add the results to")
    add("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](Asked(options.folder, options.sizes[0], options.features))))
        return
    facts = report.machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    with tempfile.TemporaryDirectory() as scratch:
        options.folder = (options.folder or Path(scratch)).absolute()
        options.folder.mkdir(parents=True, exist_ok=True)
        for name in options.part or PARTS:
            load = os.getloadavg()[0]
            rows, notes = report.print_rows(f"{name}: {PARTS[name].__doc__}", PARTS[name](options))
            print(f"\n(load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after)")
            if options.out:
                record = {"machine": facts, "load": load, "rows": rows, "notes": notes}
                report.write_results(options.out, {f"scale {name}": record})


if __name__ == "__main__":
    main()
