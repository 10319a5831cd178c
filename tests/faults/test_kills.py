"""kill -9 at random moments, and in the middle of writing: repeated until done, all is as if nothing had been."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from factories import write_ct_series, write_rtstruct
from faults.program import MAIN, WarmProgram, all_ended, halves, processes_of, run, unfinished, waited

pytestmark = pytest.mark.slow
SEED = 8
EXTRACTED = ("features.csv", "features.parquet", "failures.csv", "features_dictionary.csv", "run.json")
TRAINED = ("cv_predictions.csv", "metrics.json", "selected_features.csv", "left_out.csv", "table1.csv", "golden.csv")
PERTURBED = ("versions.csv", "versions.parquet", "perturbations.csv", "stability.csv", "icc.csv", "failures.csv")


@dataclass(frozen=True)
class Work:
    """What is killed, what it must give in the end, and names whose appearance is a moment to kill it."""

    arguments: Callable[[Path], tuple[object, ...]]
    results: tuple[str, ...]
    late: tuple[str, ...]


def extract_of(trial: Path, *more: object) -> Work:
    def arguments(out: Path) -> tuple[object, ...]:
        cohort = trial / "data" / "cohort.csv"
        return ("extract", cohort, "--config", trial / "extraction.yaml", "--out", out, *more)

    return Work(arguments, EXTRACTED, ("shards/*", "failures.csv", ".tmp-*", "features.parquet", "features.csv"))


def train_of(trial: Path) -> Work:
    def arguments(out: Path) -> tuple[object, ...]:
        tables = (trial / "features", "--clinical", trial / "clinical.csv", "--outcome", "response")
        return ("train", *tables, "--config", trial / "model.yaml", "--out", out, "--jobs", 1)

    late = ("folds/*", "model.skops", ".*.tmp", "model.yaml", "metrics.json", "figures/*", "SHA256SUMS")
    return Work(arguments, TRAINED, late)


def perturb_of(trial: Path) -> Work:
    def arguments(out: Path) -> tuple[object, ...]:
        given = ("--config", trial / "few.yaml", "--perturbations", trial / "versions.yaml")
        cohort = trial / "data" / "cohort.csv"
        return ("robustness", "perturb", cohort, *given, "--out", out, "--jobs", 1, "--timeout", 0)

    return Work(arguments, PERTURBED, ("shards/*", "versions.parquet", ".tmp-*", "stability.csv", "report.html"))


def kill_at_a_moment(
    warm: WarmProgram, work: Work, out: Path, seconds: float, rng: random.Random, *, late: bool
) -> tuple[int, str]:
    """Begin a run and kill it; return how it ended and when that was, in words."""
    name = rng.choice(work.late)
    delay = rng.uniform(0.0, 0.002) if late else rng.uniform(0.0, seconds)
    pid = warm.begin(work.arguments(out))
    running = psutil.Process(pid)

    def is_over() -> bool:
        return not running.is_running() or running.status() == psutil.STATUS_ZOMBIE

    if late:
        before = set(out.glob(name))
        waited(lambda: bool(set(out.glob(name)) - before) or is_over(), 60, pause=0.0005)
    time.sleep(delay)
    if not is_over():
        os.kill(pid, signal.SIGKILL)
    code = warm.end()
    assert all_ended(pid), f"processes of {pid} are left"
    return code, f"{f'{name} appeared and ' if late else ''}{delay:.4f} s"


def disturb(warm: WarmProgram, work: Work, root: Path, kills: int, seed: int) -> None:
    """Kill runs until `kills` have hit, two to a folder; each folder must end as an undisturbed one."""
    rng = random.Random(seed)
    whole = root / "whole"
    seconds = warm.finish(work.arguments(whole))
    hits, moments = 0, []
    for attempt in range(3 * kills):
        if hits >= kills:
            break
        out = root / f"killed{attempt}"
        for turn in range(2):
            code, moment = kill_at_a_moment(warm, work, out, seconds * (1 - turn / 2), rng, late=bool(turn))
            moments.append(moment)
            assert code in {0, -signal.SIGKILL}, (seed, moments)
            hits += code == -signal.SIGKILL
            assert not out.exists() or halves(out) == [], (seed, moments)
        warm.finish(work.arguments(out))
        for name in work.results:
            assert (out / name).read_bytes() == (whole / name).read_bytes(), (name, seed, moments)
        assert unfinished(out) == [], (seed, moments)
        assert halves(out) == [], (seed, moments)
        shutil.rmtree(out)
    assert hits >= kills, (seed, moments)


def test_extract_killed_again_and_again_ends_with_the_same_tables(trial, warm, tmp_path):
    disturb(warm, extract_of(trial, "--jobs", 1, "--timeout", 0), tmp_path, 12, SEED)


def test_extract_with_workers_killed_again_and_again_ends_with_the_same_tables(trial, warm, tmp_path):
    disturb(warm, extract_of(trial, "--jobs", 2), tmp_path, 4, SEED + 1)


def test_train_killed_again_and_again_ends_with_the_same_figures(trial, warm, tmp_path):
    disturb(warm, train_of(trial), tmp_path, 6, SEED + 2)


def test_perturb_killed_again_and_again_ends_with_the_same_tables(trial, warm, tmp_path):
    disturb(warm, perturb_of(trial), tmp_path, 6, SEED + 3)


def test_a_worker_that_is_killed_costs_no_lesion_and_changes_nothing(trial, warm, tmp_path):
    work = extract_of(trial, "--jobs", 2)
    warm.finish(work.arguments(tmp_path / "whole"))
    rng = random.Random(SEED + 4)
    for turn in range(3):
        out = tmp_path / f"run{turn}"
        pid = warm.begin(work.arguments(out))

        def workers(pid: int = pid) -> list[psutil.Process]:
            return [p for p in processes_of(pid) if p.pid != pid and "tracker" not in " ".join(p.cmdline())]

        assert waited(lambda: bool(workers()), 60)
        assert waited(lambda out=out: any((out / "journal").glob("*")), 60, pause=0.001)
        time.sleep(rng.uniform(0.0, 0.2))
        for victim in workers()[:1]:
            victim.kill()
        assert warm.end() == 0, (SEED, turn, warm.said.read_text(encoding="utf-8")[-2000:])
        assert all_ended(pid)
        for name in work.results:
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), (name, SEED, turn)
        assert unfinished(out) == []


def make_dicom(root: Path) -> Path:
    for patient in ("a", "b"):
        files = write_ct_series(root / patient / "ct", 4, patient=patient, series=f"s{patient}")
        square = [(-97, -116, -300), (-93, -116, -300), (-93, -112, -300), (-97, -112, -300)]
        write_rtstruct(root / patient / "rt.dcm", files, {"GTV": [[(x, y, z + 2.5) for x, y, z in square]]})
    return root


@pytest.mark.parametrize("what", ["index", "recist"])
def test_a_table_is_there_whole_or_not_at_all(trial, warm, tmp_path, what):
    dicom = make_dicom(tmp_path / "dicom")

    def arguments(out: Path) -> tuple[object, ...]:
        if what == "index":
            return ("index", dicom, "--out", out / "cohort.csv", "--jobs", 1)
        return ("recist", trial / "measurements.csv", "--out", out / "response.csv")

    results = ("cohort.csv", "series.csv") if what == "index" else ("response.csv",)
    late = (".*", "*.csv") if what == "index" else (".*", "*.csv", "*.png")
    (tmp_path / "whole").mkdir()
    disturb_tables(warm, Work(arguments, results, late), tmp_path, 4)


def disturb_tables(warm: WarmProgram, work: Work, root: Path, kills: int) -> None:
    rng = random.Random(SEED + 5)
    seconds = warm.finish(work.arguments(root / "whole"))
    hits, moments = 0, []
    for attempt in range(3 * kills):
        if hits >= kills:
            break
        out = root / f"killed{attempt}"
        out.mkdir()
        code, moment = kill_at_a_moment(warm, work, out, seconds, rng, late=bool(attempt % 2))
        moments.append(moment)
        hits += code == -signal.SIGKILL
        assert halves(out) == [], (SEED, moments)
        warm.finish(work.arguments(out))
        for name in work.results:
            assert (out / name).read_bytes() == (root / "whole" / name).read_bytes(), (name, moments)
    assert hits >= kills, (SEED, moments)


def test_index_never_leaves_the_name_of_the_old_table_empty(tmp_path):
    make_dicom(tmp_path / "dicom")
    table = tmp_path / "cohort.csv"
    arguments = ("index", str(tmp_path / "dicom"), "--out", str(table), "--jobs", "1")
    assert run(*arguments).returncode == 0
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    edited = table.read_bytes()
    dies = "import os\nfrom radiomics_talent.cohort import manifest\nmanifest.write_cohort = lambda *_: os._exit(9)\n"
    done = subprocess.run([sys.executable, "-c", dies + MAIN, *arguments], check=False, timeout=180)
    assert done.returncode == 9
    assert table.read_bytes() == edited


@pytest.mark.xfail(reason="what a killed writer of a single file leaves is removed below run and model folders alone")
def test_unfinished_files_of_a_killed_writer_go_when_the_command_is_repeated(trial, tmp_path):
    for name in (".tmp-4194305-response_waterfall.png", ".response.csv.abcdefgh.tmp"):
        (tmp_path / name).write_text("half", encoding="utf-8")
    assert run("recist", trial / "measurements.csv", "--out", tmp_path / "response.csv").returncode == 0
    assert unfinished(tmp_path) == []
