"""The lesions of a cohort, all of them or those that a review accepted, and what is said of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from radiomics_talent.cli.run_end import MOST_SENTENCES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.cohort.review import Excluded


def lesions_of(
    cohort: Path, *, reviewed: bool, chunk: str | None = None
) -> tuple[CohortTable, tuple[Excluded, ...] | None]:
    """Read a cohort table, or a chunk of it; with `reviewed` return what a review accepted, and what it left out."""
    from radiomics_talent.cohort.chunks import chunk_of, parse_chunk
    from radiomics_talent.cohort.manifest import load_cohort

    number, of = (1, 1) if chunk is None else parse_chunk(chunk)
    table = load_cohort(cohort)
    if chunk is not None:
        table = chunk_of(table, number, of)
    if not reviewed:
        return table, None
    from radiomics_talent.cohort.review import apply_review, load_review, review_path

    return apply_review(table, load_review(review_path(cohort)))


def rejection_lines(excluded: Sequence[Excluded] | None, out: Path | None) -> list[str]:
    """Say what a review rejected; nothing where no review was asked for."""
    if excluded is None:
        return []
    rejected = [one for one in excluded if one.reason == "rejected"]
    where = f", see {out / 'excluded.csv'}" if out is not None and rejected else ""
    lines = [f"{len(rejected)} left out: rejected in the review{where}"]
    lines += [
        f"  row {one.lesion.row} ({one.lesion.key}): {one.verdict.comment if one.verdict else ''}".rstrip(": ")
        for one in rejected[:MOST_SENTENCES]
    ]
    return lines + ([f"  and {len(rejected) - MOST_SENTENCES} more"] if len(rejected) > MOST_SENTENCES else [])


def rejection_record(excluded: Sequence[Excluded] | None) -> dict[str, Any]:
    """Return the same as plain data."""
    if excluded is None:
        return {}
    from radiomics_talent.extraction.provenance import rejection_records

    return {"excluded_by_review": rejection_records(excluded)}
