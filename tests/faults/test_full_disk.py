"""Disks that fill up, or are closed, in the middle: one sentence, nothing computed is lost."""

import shutil
from pathlib import Path

import pytest
from factories import write_ct_series
from faults.conftest import remount
from faults.program import halves, one_sentence, run, unfinished

pytestmark = pytest.mark.slow


def arguments_of(what: str, trial: Path, out: Path) -> tuple[object, ...]:
    """Return a command of each kind that writes to `out`."""
    cohort = trial / "data" / "cohort.csv"
    tables = (trial / "features", "--clinical", trial / "clinical.csv", "--outcome", "response")
    versions = ("--perturbations", trial / "versions.yaml", "--jobs", 1, "--timeout", 0)
    return {
        "extract": ("extract", cohort, "--config", trial / "few.yaml", "--out", out, "--jobs", 1, "--timeout", 0),
        "train": ("train", *tables, "--config", trial / "model.yaml", "--out", out, "--jobs", 1),
        "perturb": ("robustness", "perturb", cohort, "--config", trial / "few.yaml", "--out", out, *versions),
        "controls": ("robustness", "controls", cohort, "--config", trial / "few.yaml", "--out", out, "--jobs", 1),
        "index": ("index", trial / "dicom", "--out", out / "cohort.csv", "--jobs", 1),
        "recist": ("recist", trial / "measurements.csv", "--out", out / "response.csv"),
        "report": ("report", "extract", trial / "extracted", "--out", out / "page.html"),
        "check": ("check", cohort, "--html", out / "page.html", "--config", trial / "few.yaml"),
    }[what]


@pytest.fixture(scope="module")
def prepared(trial: Path) -> Path:
    """The trial with DICOM to index and a run to report on."""
    write_ct_series(trial / "dicom", 3)
    assert run(*arguments_of("extract", trial, trial / "extracted")).returncode == 0
    return trial


def fill(disk: Path, leave: int) -> Path:
    """Leave so many bytes free, in whole pages."""
    filler = disk / "filler"
    filler.write_bytes(b"\0" * max(0, shutil.disk_usage(disk).free - leave))
    return filler


@pytest.mark.parametrize("what", ["extract", "train", "perturb", "index", "recist", "report"])
def test_a_full_disk_is_one_sentence_and_more_room_is_enough(prepared, mounted, what):
    disk = mounted("24m")
    out = disk / "out"
    out.mkdir()
    # Room for the run to begin; none for what it makes (the tables of an index are smaller than that).
    filler = fill(disk, 0 if what == "index" else 8 * 4096)
    done = run(*arguments_of(what, prepared, out))
    said = one_sentence(done)
    assert "No space left on device" in said
    assert halves(out) == []
    filler.unlink()
    again = run(*arguments_of(what, prepared, out))
    assert again.returncode in {0, 1}, again.stderr
    assert unfinished(out) == []


def test_only_the_tables_of_extract_do_not_fit(trial, mounted):
    disk = mounted("8m")
    out = disk / "run"
    arguments = arguments_of("extract", trial, out)
    assert run(*arguments).returncode == 0
    table = (out / "features.csv").read_bytes()
    for name in ("features.csv", "features.parquet", "failures.csv", "provenance.json", "features_dictionary.csv"):
        (out / name).unlink()
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "shards").iterdir()}
    filler = fill(disk, 4096)
    assert "cannot be written any more: No space left on device" in one_sentence(run(*arguments))
    assert not (out / "features.csv").exists()
    assert halves(out) == []
    filler.unlink()
    done = run(*arguments)
    assert done.returncode == 0
    assert "6 of them from an earlier run" in done.stdout
    assert (out / "features.csv").read_bytes() == table
    assert {p.name: p.stat().st_mtime_ns for p in (out / "shards").iterdir()} == kept


@pytest.mark.parametrize("what", ["extract", "train", "perturb", "controls", "index", "recist", "report", "check"])
def test_a_closed_disk_is_one_sentence(prepared, mounted, what):
    disk = mounted("8m")
    (disk / "out").mkdir()
    remount(disk, "ro")
    said = one_sentence(run(*arguments_of(what, prepared, disk / "out")))
    assert "Read-only file system" in said
    assert str(disk) in said


def test_score_on_a_disk_that_is_full_or_closed(study, mounted):
    disk = mounted("8m")
    out = disk / "scores"
    arguments = ("score", study.model, "--cohort", study.new.path, "--out", out, "--jobs", 1, "--no-html")
    filler = fill(disk, 4 * 4096)
    assert "No space left on device" in one_sentence(run(*arguments))
    assert not (out / "score.json").exists()
    filler.unlink()
    remount(disk, "ro")
    assert "Read-only file system" in one_sentence(run(*arguments))
    remount(disk, "rw")
    assert run(*arguments).returncode == 0
    assert unfinished(out) == []
