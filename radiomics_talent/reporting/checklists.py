"""Reporting checklists, filled from the records of a study: answered, partly, for the author, or not applicable.

The item lists (``checklists/*.csv``) hold numbers and short topics in our own words; the standards' own texts are
theirs. An item that no record answers is left to the author, with nothing invented.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.reporting import evidence_images, evidence_models, evidence_studies

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.reporting.study_facts import StudyFacts

ANSWERED, PARTLY, AUTHOR, NOT_APPLICABLE = "answered", "partly", "for the author", "not applicable"
STATUSES = (ANSWERED, PARTLY, AUTHOR, NOT_APPLICABLE)
"""What an item can be; the order of the counts."""
SOURCES = {
    "clear": (
        "CLEAR",
        "CheckList for EvaluAtion of Radiomics research, 58 items (Kocak 2023, doi 10.1186/s13244-023-01415-8)",
    ),
    "metrics": ("METRICS", "METhodological RadiomICs Score, 30 items (Kocak 2024, doi 10.1186/s13244-023-01572-w)"),
    "tripod-ai": (
        "TRIPOD+AI",
        (
            "Prediction models that use regression or machine learning, 27 main items (Collins 2024, doi "
            "10.1136/bmj-2023-078378); numbers and topics were read in public copies, not in the journal: compare"
        ),
    ),
    "ibsi": (
        "IBSI reporting",
        "Reporting guidelines of the Image Biomarker Standardisation Initiative, items 1 to 76 of its reference manual",
    ),
}
"""Name of each checklist, and where its items are from."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a checklist.

    Attributes
    ----------
    number : str
        As the checklist numbers it.
    section, topic : str
        Where it stands and what it asks, in our own words.
    status : str
        One of `STATUSES`.
    answer : str
        The evidence; empty where it is for the author.
    """

    number: str
    section: str
    topic: str
    status: str
    answer: str


@dataclass(frozen=True, slots=True)
class Checklist:
    """A checklist, filled.

    Attributes
    ----------
    name, source : str
        What it is called, and where its items are from.
    items : tuple of Item
        In the order of the checklist.
    """

    name: str
    source: str
    items: tuple[Item, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Items by status."""
        found = Counter(item.status for item in self.items)
        return {status: found[status] for status in STATUSES}


def fill_checklists(facts: StudyFacts) -> tuple[Checklist, ...]:
    """Return every checklist, each item answered as far as the records go.

    Parameters
    ----------
    facts : StudyFacts
        The model, and the run where it is known.
    """
    return tuple(Checklist(name, source, _filled(key, facts)) for key, (name, source) in SOURCES.items())


def write_checklists(path: Path, checklists: tuple[Checklist, ...]) -> None:
    """Write checklists as one table: checklist, item, section, topic, status, answer."""
    rows = [(c.name, i.number, i.section, i.topic, i.status, i.answer) for c in checklists for i in c.items]
    write_sheet(path, ("checklist", "item", "section", "topic", "status", "answer"), rows)


def _filled(key: str, facts: StudyFacts) -> tuple[Item, ...]:
    evidence = evidence_images.EVIDENCE | evidence_models.EVIDENCE | evidence_studies.EVIDENCE
    items = []
    for row in _listed(key):
        answer = evidence[row["evidence"]](facts) if row["evidence"] else ""
        status = row["level"] if answer else AUTHOR
        if answer.startswith(NOT_APPLICABLE):  # of PET or MRI, say: it would flatter the count of answers
            status = NOT_APPLICABLE
        items.append(Item(row["item"], row["section"], row["topic"], status, answer))
    return tuple(items)


def _listed(key: str) -> list[dict[str, str]]:
    text = (files("radiomics_talent.reporting") / "checklists" / f"{key}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
