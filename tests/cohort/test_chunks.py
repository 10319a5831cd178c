"""Every lesion is in one chunk, with its scan, and chunks are about equal."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiomics_talent.cohort.chunks import chunk_of, parse_chunk
from radiomics_talent.cohort.manifest import CohortTable, Lesion
from radiomics_talent.errors import ConfigError
from radiomics_talent.findings import Finding

FOUND = (Finding("study-date-unclear", "a date", "cohort.csv"),)
SCANS_OF_ROWS = st.lists(st.integers(0, 12), max_size=60)


def cohort(scans: list[int]) -> CohortTable:
    """One lesion a number: that of its scan. Rows of a scan need not lie together."""
    lesions = [
        Lesion(row, f"p{scan % 3}", f"L{row}", Path("/ct") / str(scan // 2), Path("/mask"), series_uid=str(scan % 2))
        for row, scan in enumerate(scans, start=2)
    ]
    return CohortTable(tuple(lesions), Path("/study/cohort.csv"), FOUND)


def chunks(table: CohortTable, of: int) -> list[CohortTable]:
    return [chunk_of(table, number, of) for number in range(1, of + 1)]


@given(SCANS_OF_ROWS, st.integers(1, 9))
def test_chunks_together_are_the_cohort(scans, of):
    table = cohort(scans)
    parts = chunks(table, of)
    assert sorted((x for part in parts for x in part.lesions), key=lambda x: x.row) == list(table.lesions)


@given(SCANS_OF_ROWS, st.integers(1, 9))
def test_a_scan_is_in_one_chunk_and_rows_keep_their_order(scans, of):
    parts = chunks(cohort(scans), of)
    seen = [scan for part in parts for scan in {x.scan_key for x in part.lesions}]
    assert len(seen) == len(set(seen))
    for part in parts:
        assert [x.row for x in part.lesions] == sorted(x.row for x in part.lesions)


@given(SCANS_OF_ROWS, st.integers(1, 9))
def test_chunks_differ_by_no_more_than_the_largest_scan(scans, of):
    table = cohort(scans)
    sizes = [len(part.lesions) for part in chunks(table, of)]
    assert max(sizes) - min(sizes) <= max(map(len, table.scans()), default=0)


@given(SCANS_OF_ROWS, st.lists(st.integers(13, 20), max_size=9), st.integers(1, 9))
def test_scans_added_at_the_end_move_no_other(scans, more, of):
    for before, after in zip(chunks(cohort(scans), of), chunks(cohort(scans + more), of), strict=True):
        assert after.lesions[: len(before.lesions)] == before.lesions


def test_path_and_findings_are_those_of_the_cohort():
    part = chunk_of(cohort([0, 1]), 2, 2)
    assert (part.path, part.findings) == (Path("/study/cohort.csv"), FOUND)


def test_one_chunk_is_the_whole_and_one_too_many_is_empty():
    table = cohort([4, 4, 1])
    assert chunk_of(table, 1, 1) == table
    assert [len(part.lesions) for part in chunks(table, 3)] == [2, 1, 0]


@pytest.mark.parametrize(("number", "of"), [(9, 8), (0, 8), (-1, 8)])
def test_a_chunk_that_does_not_exist_is_refused(number, of):
    with pytest.raises(ConfigError, match=f"--chunk is {number}/8; chunks are numbered from 1 to 8"):
        chunk_of(cohort([0]), number, of)


def test_chunks_are_named_by_number_and_count():
    assert parse_chunk("3/8") == (3, 8)
    assert parse_chunk(" 1/1 ") == (1, 1)


@pytest.mark.parametrize("text", ["", "3", "3/", "/8", "a/b", "3/8/9", "-1/8", "1.5/8", "3 of 8", "٣/8"])
def test_what_is_no_chunk_is_refused(text):
    with pytest.raises(ConfigError, match="give the chunk and how many there are, as 3/8"):
        parse_chunk(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("9/8", "--chunk is 9/8; chunks are numbered from 1 to 8"), ("1/0", "1/0; there must be at least one chunk")],
)
def test_numbers_out_of_range_are_refused(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_chunk(text)
