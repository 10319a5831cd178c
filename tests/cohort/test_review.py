import csv
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort, write_mask
from factories import write_ct_series

from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.cohort.review import (
    LONGEST_COMMENT,
    Evidence,
    apply_review,
    create_review,
    export_verdicts,
    gather_evidence,
    load_review,
    record_verdict,
    review_path,
    state_of,
)
from radiomics_talent.errors import ConfigError


@pytest.fixture
def cohort(tmp_path: Path) -> CohortTable:
    return make_cohort(tmp_path / "data")


@pytest.fixture
def file(cohort: CohortTable) -> Path:
    return create_review(review_path(cohort.path)).path


def say(file: Path, lesion, decision, **more):
    return record_verdict(file, lesion, gather_evidence(lesion), decision, **more)


def rows(file: Path, sql: str = "SELECT * FROM verdicts ORDER BY id") -> list[tuple]:
    database = sqlite3.connect(file)
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


def test_the_file_lies_beside_the_cohort():
    assert review_path(Path("a/b.c.csv")) == Path("a/b.c.review.sqlite")


def test_the_latest_verdict_counts_and_all_stay(cohort, file):
    lesion = cohort.lesions[0]
    first = say(file, lesion, "accept", reviewer="AB")
    say(file, lesion, "open", reviewer="AB")
    last = say(file, lesion, "reject", comment="Gefäß, ‘vessel’\n2", reviewer="CD")
    assert load_review(file).of(lesion) == last
    assert load_review(file).of(cohort.lesions[1]) is None
    assert (first.number, last.number, len(rows(file))) == (1, 3, 3)
    assert first.time_utc.endswith("+00:00")
    assert create_review(file).of(lesion) == last, "opening it again keeps it"


@pytest.mark.parametrize("change", ["UPDATE verdicts SET decision = 'accept'", "DELETE FROM verdicts"])
def test_history_cannot_be_rewritten(cohort, file, change):
    say(file, cohort.lesions[0], "reject")
    with pytest.raises(sqlite3.IntegrityError, match=r"verdicts are only added"):
        rows(file, change)
    assert len(rows(file)) == 1


KILLED = """
import os, sys
from pathlib import Path
from radiomics_talent.cohort.manifest import load_cohort
from radiomics_talent.cohort.review import gather_evidence, record_verdict
cohort, file = load_cohort(sys.argv[1]), Path(sys.argv[2])
for lesion in cohort.lesions[:3]:
    record_verdict(file, lesion, gather_evidence(lesion), "accept")
import sqlite3
half = sqlite3.connect(file, isolation_level=None)
half.execute("BEGIN IMMEDIATE")
half.execute("INSERT INTO verdicts SELECT 99, time_utc, reviewer, 'x', 'y', decision, comment, mask_sha256, "
             "image_sha256, label, series_uid FROM verdicts WHERE id = 1")
os.kill(os.getpid(), 9)
"""


def test_a_killed_program_loses_no_verdict_and_leaves_no_half_one(cohort, file):
    done = subprocess.run([sys.executable, "-c", KILLED, cohort.path, file], check=False)
    assert done.returncode == -9
    review = load_review(file)
    assert [review.of(x) is not None for x in cohort.lesions] == [True] * 3 + [False] * 3
    assert len(rows(file)) == 3
    say(file, cohort.lesions[3], "accept")
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]


def test_apply_review_splits_the_cohort_by_what_counts(cohort, file):
    one, two, three, four, five, six = cohort.lesions
    say(file, one, "accept")
    say(file, two, "reject", comment="vessel")
    say(file, three, "accept")
    say(file, four, "reject")
    say(file, five, "accept")
    say(file, five, "open", comment="ask")
    write_mask(three.mask.parent, three.mask.name.removesuffix(".nii.gz"), (1, 1, 1), 4)
    accepted, excluded = apply_review(cohort, load_review(file))
    assert accepted == replace(cohort, lesions=(one,))
    assert [(x.lesion.row, x.reason) for x in excluded] == [
        (two.row, "rejected"),
        (three.row, "changed"),
        (four.row, "rejected"),
        (five.row, "not-reviewed"),
        (six.row, "not-reviewed"),
    ]
    assert [x.sentence for x in excluded if x.reason == "rejected"] == [
        "rejected in the review: vessel",
        "rejected in the review",
    ]
    assert "(mask file differ)" in excluded[1].sentence
    assert "not reviewed; look at it with `radiomics-talent review`" in excluded[-1].sentence


def test_a_verdict_is_void_when_anything_it_is_about_changes(cohort, tmp_path):
    lesion = replace(cohort.lesions[0], series_uid="1.2")
    series = tmp_path / "ct"
    write_ct_series(series, 3)
    lesion = replace(lesion, image=series)
    verdict = say(create_review(tmp_path / "x.review.sqlite").path, lesion, "accept")
    assert state_of(verdict, gather_evidence(lesion)) == "accepted"
    (series / "report.html").write_text("beside the series", encoding="utf-8")
    create_review(series / "y.review.sqlite")
    assert state_of(verdict, gather_evidence(lesion)) == "accepted", "what is not DICOM does not count"
    others = [replace(lesion, label="2"), replace(lesion, series_uid="1.3")]
    write_ct_series(series / "more", 1)
    others.append(lesion)
    assert [state_of(verdict, gather_evidence(x)) for x in others] == ["changed"] * 3
    assert gather_evidence(others[0]).changes_since(gather_evidence(lesion)) == "label"


def test_a_missing_mask_can_be_rejected_until_it_is_there(cohort, file):
    lesion = cohort.lesions[0]
    whole = lesion.mask.read_bytes()
    lesion.mask.unlink()
    assert gather_evidence(lesion).mask_sha256 == ""
    verdict = say(file, lesion, "reject", comment="no mask")
    assert state_of(verdict, gather_evidence(lesion)) == "rejected"
    lesion.mask.write_bytes(whole)
    assert state_of(verdict, gather_evidence(lesion)) == "changed"


def test_a_table_moved_with_its_files_keeps_its_verdicts(cohort, file):
    lesion = cohort.lesions[0]
    verdict = say(file, lesion, "accept")
    moved = cohort.path.parent.rename(cohort.path.parent.with_name("elsewhere"))
    there = replace(lesion, image=moved / lesion.image.name, mask=moved / lesion.mask.name)
    assert state_of(verdict, gather_evidence(there)) == "accepted"


def not_sqlite(path: Path) -> None:
    path.write_text("no database " * 100, encoding="utf-8")


def other_sqlite(path: Path) -> None:
    rows(path, "CREATE TABLE verdicts (x)")


def newer(path: Path) -> None:
    create_review(path)
    rows(path, "PRAGMA user_version = 2")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, r"there is no review file; make it with `radiomics-talent review COHORT\.CSV`"),
        (not_sqlite, r"is damaged or no review file .*move it away"),
        (other_sqlite, r"is an SQLite file but no review file; move it away"),
        (newer, r"was written by a newer radiomics-talent \(schema 2, expected 1\)"),
    ],
    ids=["absent", "no-database", "other-database", "newer"],
)
def test_a_file_that_is_no_review_is_refused(tmp_path, make, sentence):
    path = tmp_path / "c.review.sqlite"
    make(path)
    with pytest.raises(ConfigError, match=sentence):
        load_review(path)


@pytest.mark.parametrize("make", [not_sqlite, other_sqlite, newer])
def test_create_review_leaves_the_files_of_others_alone(tmp_path, make):
    path = tmp_path / "c.review.sqlite"
    make(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"c\.review\.sqlite: (is|was)"):
        create_review(path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read or written \(unable to open database file\)"):
        create_review(tmp_path / "gone" / "c.review.sqlite")


def test_verdicts_that_are_none_are_refused(cohort, file):
    seen = Evidence("m", "i", "1", "")
    with pytest.raises(ConfigError, match=r"decision is 'maybe'; expected one of accept, reject, open"):
        record_verdict(file, cohort.lesions[0], seen, "maybe")
    with pytest.raises(ConfigError, match=rf"shorten it to {LONGEST_COMMENT}"):
        record_verdict(file, cohort.lesions[0], seen, "reject", comment="x" * (LONGEST_COMMENT + 1))
    assert rows(file) == []


def test_the_export_holds_every_lesion_and_runs_no_formula(cohort, file, tmp_path):
    say(file, cohort.lesions[0], "reject", comment="=1+1", reviewer="AB")
    say(file, replace(cohort.lesions[1], lesion_id="gone"), "accept")
    out = tmp_path / "verdicts.csv"
    assert export_verdicts(cohort, load_review(file), out) == 7
    with out.open(encoding="utf-8", newline="") as text:
        table = list(csv.DictReader(text))
    assert [x["state"] for x in table] == ["rejected", *["open"] * 5, "not in the cohort"]
    assert (table[0]["comment"], table[0]["reviewer"]) == ("'=1+1", "AB")
    assert (table[-1]["row"], table[-1]["lesion_id"]) == ("", "gone")
