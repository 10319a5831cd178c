"""Progress of a command with several stages: one bar at a time."""

from contextlib import contextmanager

from radiomics_talent.cli import progress


def test_a_stage_ends_the_one_before_and_begins_with_its_first_number(monkeypatch):
    told = []

    @contextmanager
    def recorded(task, unit):
        told.append(f"begin {task} {unit}")
        yield lambda done, total: told.append((task, done, total))
        told.append(f"end {task}")

    monkeypatch.setattr(progress, "progress", recorded)
    with progress.stages() as stage:
        first, second = stage("extracting", "lesions"), stage("cross-validating", "folds")
        first(1, 2)
        first(2, 2)
        second(1, 9)
    assert told == [
        "begin extracting lesions", ("extracting", 1, 2), ("extracting", 2, 2), "end extracting",
        "begin cross-validating folds", ("cross-validating", 1, 9), "end cross-validating",
    ]  # fmt: skip
