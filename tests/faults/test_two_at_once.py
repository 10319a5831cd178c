"""Two runs on one folder: the second is refused, whatever the first has done by then."""

import fcntl
from pathlib import Path

import pytest
from faults.program import one_sentence, run
from faults.test_full_disk import arguments_of


@pytest.mark.parametrize("what", ["extract", "train", "perturb", "controls"])
def test_the_second_run_on_a_folder_is_refused(trial, tmp_path, what):
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = one_sentence(run(*arguments_of(what, trial, out)))
    assert "is working on this folder; wait until it has finished, or give another folder" in said
    assert {p.name for p in out.iterdir()} == {".lock"}


def test_the_second_scoring_into_a_folder_is_refused(study, tmp_path):
    out = tmp_path / "scores"
    out.mkdir()
    cohort = Path(study.new.path)
    with (out / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = one_sentence(run("score", study.model, "--cohort", cohort, "--out", out))
    assert "another score is working on this folder" in said
