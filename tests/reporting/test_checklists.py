"""Checklists: every item is there, answered from records or left to the author."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import train
from radiomics_talent.reporting.checklists import (
    ANSWERED,
    AUTHOR,
    NOT_APPLICABLE,
    PARTLY,
    STATUSES,
    Checklist,
    fill_checklists,
    write_checklists,
)
from radiomics_talent.reporting.evidence_images import EVIDENCE as IMAGES
from radiomics_talent.reporting.evidence_models import EVIDENCE as MODELS
from radiomics_talent.reporting.evidence_studies import EVIDENCE as STUDIES
from radiomics_talent.reporting.study_facts import RunFacts, StudyFacts, read_study
from radiomics_talent.settings import ExtractionSettings

# study.md, section on reporting standards: what a program can answer.
CLEAR_ANSWERED = {12, 15, *range(21, 31), *range(32, 36), 38, 40, 41, 46, 47, 48, 55}
CLEAR_PARTLY = {7, 9, 14, 16, 17, 18, 19, 31, 36, 37, 39, 42, 43, 44, 45, 54, 56, 57, 58}
METRICS_ANSWERED = {12, 13, 15, 16, 18, 20, 21, 22, 25, 26}
RUN = RunFacts(
    patients=40, lesions=41, failed=1, scans=40,
    levels={"contrast_phase": {"portal-venous": 40}, "kernel": {"B30f": 40}, "manufacturer": {}, "site": {"N": 40}},
    thickness_mm=(2.0, 2.5), findings={}, versions={"pyradiomics": "3.0.1"}, platform={"python": "3.11"},
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> StudyFacts:
    """A small model without its extraction."""
    folder = tmp_path_factory.mktemp("study")
    train(feature_table(), clinical_table(folder), Outcome("response"), quick_settings(), folder / "model")
    return read_study(folder / "model")


@pytest.fixture(scope="module")
def extracted(trained: StudyFacts) -> StudyFacts:
    """The same, as if this program had extracted the features by the preset."""
    settings = ExtractionSettings.from_yaml("talent-ct").canonical()
    table = ({"variable": "n", "level": "", "overall": "40"},)
    return replace(trained, model=replace(trained.model, extraction=settings), run=RUN, table1=table)


def named(facts: StudyFacts, name: str) -> Checklist:
    return next(c for c in fill_checklists(facts) if c.name == name)


def items_by_status(checklist: Checklist, status: str) -> set[int]:
    return {int(i.number) for i in checklist.items if i.status == status}


@pytest.mark.parametrize(("name", "last"), [("CLEAR", 58), ("METRICS", 30), ("TRIPOD+AI", 27)])
def test_every_item_is_there_by_its_number(extracted: StudyFacts, name: str, last: int):
    assert [int(i.number) for i in named(extracted, name).items] == list(range(1, last + 1))


def test_ibsi_has_items_1_to_76(extracted: StudyFacts):
    numbers = [int(i.number.rstrip("abcde")) for i in named(extracted, "IBSI reporting").items]
    assert sorted(set(numbers)) == list(range(1, 77))
    assert numbers == sorted(numbers)


def test_clear_is_answered_as_far_as_a_program_can(extracted: StudyFacts):
    clear = named(extracted, "CLEAR")
    assert items_by_status(clear, ANSWERED) == CLEAR_ANSWERED
    # 31, reproducibility of the features: for the author where no ICC was tested.
    assert extracted.model.settings.preprocess.min_icc is None
    assert items_by_status(clear, PARTLY) == CLEAR_PARTLY - {31}


def test_metrics_is_answered_as_far_as_a_program_can(extracted: StudyFacts):
    assert items_by_status(named(extracted, "METRICS"), ANSWERED) == METRICS_ANSWERED


def test_an_item_for_the_author_has_no_invented_answer(extracted: StudyFacts):
    for checklist in fill_checklists(extracted):
        for item in checklist.items:
            assert (item.answer == "") == (item.status == AUTHOR), (checklist.name, item.number)


def test_evidence_holds_the_numbers_of_the_settings(extracted: StudyFacts):
    clear = {i.number: i.answer for i in named(extracted, "CLEAR").items}
    setting = extracted.model.extraction["setting"]
    assert f"fixed bin width of {setting['binWidth']:g} HU" in clear["23"]
    assert "1 × 1 × 1 mm" in clear["22"]
    assert "sitkBSpline" in clear["22"]
    assert clear["25"].startswith(
        "the native engine of radiomics-talent, whose values are within 1e-9 of those of PyRad"
    )
    reference = replace(
        extracted, model=replace(extracted.model, extraction=extracted.model.extraction | {"engine": "reference"})
    )
    assert {i.number: i.answer for i in named(reference, "CLEAR").items}["25"].startswith("PyRadiomics 3.0.1 within")


def test_without_the_extraction_its_items_are_for_the_author(trained: StudyFacts):
    clear = named(trained, "CLEAR")
    assert {16, 19, 21, 22, 23, 24, 25, 28} <= items_by_status(clear, AUTHOR)
    assert {15, 33, 34, 47} <= items_by_status(clear, ANSWERED)


def test_items_of_other_modalities_do_not_count_as_answers(extracted: StudyFacts):
    ibsi = {i.number: i for i in named(extracted, "IBSI reporting").items}
    assert ibsi["17"].status == NOT_APPLICABLE
    assert ibsi["51"].status == ANSWERED


def test_counts_add_up(extracted: StudyFacts):
    for checklist in fill_checklists(extracted):
        assert tuple(checklist.counts) == STATUSES
        assert sum(checklist.counts.values()) == len(checklist.items)


def test_no_two_modules_give_evidence_of_one_name():
    assert len(IMAGES | MODELS | STUDIES) == len(IMAGES) + len(MODELS) + len(STUDIES)


def test_all_evidence_is_used():
    folder = Path(__file__).resolve().parents[2] / "radiomics_talent" / "reporting" / "checklists"
    texts = [p.read_text(encoding="utf-8").splitlines() for p in folder.glob("*.csv")]
    used = {row["evidence"] for lines in texts for row in csv.DictReader(lines)}
    assert used - {""} == set(IMAGES | MODELS | STUDIES)


def test_the_table_holds_every_item(extracted: StudyFacts, tmp_path: Path):
    checklists = fill_checklists(extracted)
    write_checklists(tmp_path / "checklists.csv", checklists)
    with (tmp_path / "checklists.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["checklist", "item", "section", "topic", "status", "answer"]
    assert len(rows) == sum(len(c.items) for c in checklists)
