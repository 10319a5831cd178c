"""``extract`` as a user types it: exit codes, sentences, and ends of every kind."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from extraction import doubles
from extraction.doubles import computed
from extraction.tiny_cohorts import make_cohort, write_mask
from factories import heed_interrupts
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.cohort.manifest import Lesion, load_cohort, write_cohort
from radiomics_talent.extraction import run as run_module
from radiomics_talent.features.table import load_features

FAST = "featureClass: {firstorder: [Mean, Energy]}\nsetting: {binWidth: 10}\n"
SLOW = "imageType: {Original: {}, Wavelet: {}, Square: {}, Exponential: {}}\nsetting: {binWidth: 10}\n"
MAIN = "from radiomics_talent.cli import main; main()"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", MAIN, "extract", *map(str, arguments)]


def extract(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    make_cohort(tmp_path / "data")
    (tmp_path / "fast.yaml").write_text(FAST, encoding="utf-8")
    (tmp_path / "slow.yaml").write_text(SLOW, encoding="utf-8")
    return tmp_path


@pytest.fixture
def long_trial(trial: Path) -> Path:
    """Twenty-four lesions that take long enough to be interrupted."""
    scans = [x.image for x in load_cohort(trial / "data" / "cohort.csv").lesions[-4:-1:2]]
    lesions = [
        Lesion(
            0, scan.name[:2], f"{k:02}", scan, write_mask(trial / "data", f"{scan.name[:2]}_long{k}", (1, 1 + k, 3), 9)
        )
        for scan in scans
        for k in range(12)
    ]
    write_cohort(lesions, trial / "data" / "long.csv")
    return trial


def shards(run: Path) -> dict[str, int]:
    """The finished shards: a name that begins with a dot is one that was being written."""
    return {p.name: p.stat().st_mtime_ns for p in (run / "shards").glob("[!.]*.json")}


def settled_shards(run: Path) -> dict[str, int]:
    """What is kept once the workers of a killed program have ended too (within a second; longer under load)."""
    kept = shards(run)
    for _ in range(10):
        time.sleep(1.5)
        before, kept = kept, shards(run)
        if kept == before:
            break
    return kept


def stop_in_mid_run(trial: Path, run: Path, how: signal.Signals) -> tuple[subprocess.Popen[str], str]:
    arguments = command(trial / "data" / "long.csv", "--config", trial / "slow.yaml", "--out", run, "--jobs", 2)
    process = subprocess.Popen(
        arguments,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 60
    while len(shards(run)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    # Ctrl-C reaches the whole group, as from a terminal; kill -9 the program alone.
    (os.killpg if how is signal.SIGINT else os.kill)(process.pid, how)
    _, said = process.communicate(timeout=60)
    return process, said


def test_the_main_road(trial):
    done = extract(trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--out", trial / "run", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert "6 lesions with 2 features; 0 failed" in done.stdout
    assert f"table: {trial / 'run' / 'features.csv'}" in done.stdout
    assert {p.name for p in (trial / "run").iterdir()} >= {
        "features.csv",
        "features.parquet",
        "failures.csv",
        "provenance.json",
        "log.txt",
    }


def test_json_for_scripts_and_preprocessed_images(trial):
    done = extract(
        trial / "data" / "cohort.csv",
        "--config",
        trial / "fast.yaml",
        "--out",
        trial / "run",
        "--json",
        "--save-preprocessed",
    )
    record = json.loads(done.stdout)
    assert (record["lesions"], record["features"], record["failures"]) == (6, 2, [])
    assert len(list((trial / "run" / "preprocessed").glob("*/*.nrrd"))) == 12


def test_failed_cases_end_in_exit_1_and_their_sentences(trial):
    (trial / "data" / "p2_1.nii.gz").unlink()
    arguments = (trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--out", trial / "run")
    done = extract(*arguments)
    assert done.returncode == 1
    assert "5 lesions with 2 features; 1 failed" in done.stdout
    assert "row 4 (p2/L1)" in done.stdout
    with (trial / "run" / "failures.csv").open(encoding="utf-8", newline="") as file:
        (failure,) = csv.DictReader(file)
    assert (failure["row"], failure["lesion_id"], failure["stage"]) == ("4", "L1", "mask")
    # PyRadiomics' batch would say 0 now, and keep the failure; here the mended row is tried again.
    assert extract(*arguments).returncode == 1
    write_mask(trial / "data", "p2_1", (3, 7, 4), 5)
    assert extract(*arguments).returncode == 0


def test_kill_9_in_mid_run_loses_nothing_and_changes_nothing(long_trial):
    run, whole = long_trial / "run", long_trial / "whole"
    process, _ = stop_in_mid_run(long_trial, run, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (run / "features.csv").exists()
    arguments = (long_trial / "data" / "long.csv", "--config", long_trial / "slow.yaml", "--jobs", 2, "--out")
    kept = settled_shards(run)
    assert 3 <= len(kept) < 24
    assert extract(*arguments, run).returncode == 0
    after = shards(run)
    assert len(after) == 24
    assert {name: after[name] for name in kept} == kept
    lesions = json.loads((run / "provenance.json").read_text(encoding="utf-8"))["lesions"]
    assert sum(x["status"] == "resumed" for x in lesions) == len(kept)
    assert extract(*arguments, whole).returncode == 0
    assert (run / "features.csv").read_bytes() == (whole / "features.csv").read_bytes()


DEAF = """
from pathlib import Path
from extraction import doubles
from extraction.tiny_cohorts import make_settings
from radiomics_talent.cohort.manifest import load_cohort
from radiomics_talent.extraction import run
run.extract_scan = doubles.work_in_c_for_ever
run.run_extraction(load_cohort("data/cohort.csv"), make_settings(), Path("run"), jobs=2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux ends workers with their parent")
def test_kill_9_ends_workers_that_are_deep_in_c_code(trial):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    program = subprocess.Popen([sys.executable, "-c", DEAF], cwd=trial, env=environment)
    deadline = time.monotonic() + 90
    while len(computed(trial / "run")) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [psutil.Process(int(pid)) for pid in computed(trial / "run")]
    try:
        assert len(workers) == 2
        program.kill()
        program.wait()
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert alive == []
    finally:
        program.kill()
        for worker in workers:
            if worker.is_running():
                worker.kill()


def test_ctrl_c_ends_cleanly_with_one_line_and_exit_130(long_trial):
    run = long_trial / "run"
    process, said = stop_in_mid_run(long_trial, run, signal.SIGINT)
    assert process.returncode == 130
    lines = [line for line in said.strip().splitlines() if not line.startswith("extracting:")]
    assert lines == [f"stopped; what is complete is kept in {run}: repeat the command to go on"]
    table = load_features(run / "features.csv")
    with (run / "failures.csv").open(encoding="utf-8", newline="") as file:
        left = list(csv.DictReader(file))
    assert len(table) + len(left) == 24
    assert {x["stage"] for x in left} == {"not-run"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--config", "fast.yaml"), "--out is missing"),
        (("--config", "talent-tc", "--out", "run"), "did you mean talent-ct"),
        (("--config", "fast.yaml", "--out", "/dev/null/run"), "cannot be written: Not a directory"),
        (("--config", "fast.yaml", "--out", "data"), "was not made by extract"),
    ],
)
def test_wrong_usage_ends_in_exit_2_and_one_sentence(trial, arguments, sentence):
    done = extract("data/cohort.csv", *arguments, cwd=trial)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(trial):
    trial.chmod(0o555)
    done = extract(trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--out", trial / "run")
    trial.chmod(0o755)
    assert (done.returncode, "Permission denied" in done.stderr) == (2, True)


def test_other_settings_on_the_folder_are_refused(trial):
    assert (
        extract(trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--out", trial / "run").returncode == 0
    )
    done = extract(trial / "data" / "cohort.csv", "--config", trial / "slow.yaml", "--out", trial / "run")
    assert done.returncode == 2
    assert "other settings: featureClass" in done.stderr


def test_a_dry_run_prints_a_table_and_writes_nothing(trial):
    before = sorted(trial.rglob("*"))
    done = extract(trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--dry-run", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert "grey levels" in done.stdout.splitlines()[0]
    assert "6 lesions can be extracted, 0 would fail" in done.stdout
    assert sorted(trial.rglob("*")) == before
    done = extract(trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--dry-run", "--json")
    assert len(json.loads(done.stdout)["lesions"]) == 6


def test_findings_of_the_cohort_are_told(trial):
    cohort = trial / "data" / "cohort.csv"
    cohort.write_bytes(cohort.read_bytes().replace(b"north", "Bärn".encode("cp1252")))
    done = extract(cohort, "--config", trial / "fast.yaml", "--out", trial / "run")
    assert done.returncode == 0
    assert "warning: encoding-guessed: " in done.stdout.splitlines()[0]
    assert "1 warnings, see" in done.stdout
    assert "WARNING cohort: " in (trial / "run" / "log.txt").read_text(encoding="utf-8")
    done = extract(cohort, "--config", trial / "fast.yaml", "--dry-run", "--json")
    assert [f["code"] for f in json.loads(done.stdout)["cohort_findings"]] == ["encoding-guessed"]
    done = extract(cohort, "--config", trial / "fast.yaml", "--dry-run")
    assert "encoding-guessed" in done.stdout.splitlines()[0]


def test_a_formula_in_the_cohort_is_defused_in_what_is_written(trial):
    path = trial / "data" / "cohort.csv"
    cohort = load_cohort(path)
    lesions = [replace(x, site="=1+1", lesion_id=f"=L{x.row}") for x in cohort.lesions]
    lesions[0] = replace(lesions[0], mask=trial / "absent.nii.gz")
    write_cohort(lesions, path)
    assert extract(path, "--config", trial / "fast.yaml", "--out", trial / "run").returncode == 1
    for name in ("features.csv", "failures.csv"):
        text = (trial / "run" / name).read_text(encoding="utf-8")
        assert ",'=L" in text
        assert ",=" not in text
    assert set(load_features(trial / "run" / "features.csv").frame["site"]) == {"=1+1"}


@pytest.mark.parametrize("seconds", ["1e12", "inf", "nan", "-1"])
def test_a_time_limit_that_no_timer_takes_is_wrong_usage(trial, seconds):
    done = extract("data/cohort.csv", "--config", "fast.yaml", "--out", "run", "--timeout", seconds, cwd=trial)
    assert done.returncode == 2
    assert "--timeout" in done.stderr
    assert "OverflowError" not in done.stderr


def test_a_disk_that_fills_in_mid_run_ends_in_exit_2(trial, monkeypatch):
    monkeypatch.setattr(run_module, "extract_scan", doubles.work_on_a_full_disk)
    arguments = ["extract", trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--out", trial / "run"]
    done = CliRunner().invoke(app, [*map(str, arguments), "--jobs", "1", "--timeout", "0"])
    assert done.exit_code == 2
    assert "cannot be written any more: No space left on device" in done.output


def test_help_names_every_exit_code():
    for help_text in (extract("--help").stdout, CliRunner().invoke(app, ["--help"]).output):
        words = " ".join(help_text.replace("│", " ").split())
        for code in ("0", "1", "2", "3", "130"):
            assert re.search(rf"\b{code}:? ", words.partition("Exit code")[2]), code


def test_help_has_an_example():
    assert "radiomics-talent extract cohort.csv --config talent-ct" in extract("--help").stdout.replace("\n", " ")
