import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from radiomics_talent.cohort.manifest import CohortTable, Lesion
from radiomics_talent.errors import ExtractionError
from radiomics_talent.extraction import ledger as ledger_module
from radiomics_talent.extraction.ledger import Ledger, in_cohort_order, settle
from radiomics_talent.extraction.outcome import Failure, KeptFeatures, Outcome
from radiomics_talent.findings import Finding

LESIONS = tuple(Lesion(n, f"p{n}", "L", Path("/i"), Path("/m")) for n in (2, 3, 5, 9))
COHORT = CohortTable(LESIONS)


def kept(row, part=0, name="L", voxels=None):
    digest = f"{voxels or row:<064x}"
    return Outcome(row, part, name, kept=KeptFeatures(f"{row}-{part}", digest, digest, "run"))


def failed(row, stage="mask"):
    return Outcome(row, 0, "L", failure=Failure(row, f"p{row}", "L", stage, "it failed"))


def codes(outcome):
    return [f.code for f in outcome.findings]


def test_outcomes_come_back_in_the_order_of_the_cohort_and_are_counted():
    with Ledger() as ledger:
        for outcome in (failed(9), kept(2), replace(kept(5), resumed=True, peak_mib=7.0)):
            ledger.add(outcome)
        assert (ledger.n_rows, ledger.n_done, ledger.n_failed, ledger.n_resumed, ledger.peak_mib) == (3, 2, 1, 1, 7.0)
        settle(COHORT, ledger, ())
        ordered = [(lesion.row, o.failure and o.failure.stage) for lesion, o in in_cohort_order(COHORT, ledger)]
        assert ordered == [(2, None), (3, "not-run"), (5, None), (9, "mask")]
        assert (ledger.n_rows, ledger.n_failed) == (4, 2)


def test_a_later_outcome_of_a_row_takes_the_place_of_the_first():
    with Ledger() as ledger:
        ledger.add(failed(2))
        ledger.add(replace(kept(2), findings=(Finding("grey-levels", "few"),)))
        assert ledger.of(2)[0].failure is None
        assert (ledger.n_rows, ledger.n_done, ledger.n_failed, ledger.n_warnings) == (1, 1, 0, 1)


def test_parts_of_a_lesion_stay_apart_and_in_order():
    with Ledger() as ledger:
        for part in (3, 1, 2, 1):
            ledger.add(kept(3, part, f"L.{part}", voxels=part))
        assert [o.lesion_id for o in ledger.of(3)] == ["L.1", "L.2", "L.3"]
        assert (ledger.n_rows, ledger.n_done, ledger.has_parts) == (1, 3, True)


def test_a_part_whose_name_another_row_has_is_a_failure():
    lesions = (*LESIONS[:1], replace(LESIONS[1], patient_id="p2", lesion_id="L.1"))
    with Ledger() as ledger:
        ledger.add(kept(2, 1, "L.1"))
        ledger.add(kept(3, 0, "L.1", voxels=77))
        settle(CohortTable(lesions), ledger, ())
        assert ledger.of(2)[0].failure is None
        assert "gives lesion_id L.1, which row 2 has too" in ledger.of(3)[0].failure.sentence


def test_the_very_voxels_of_another_lesion_are_told_once():
    with Ledger() as ledger:
        for row in (2, 5, 9):
            ledger.add(kept(row, voxels=1))
        ledger.add(kept(3))
        for _ in range(2):
            settle(COHORT, ledger, ())
        assert [codes(ledger.of(row)[0]) for row in (2, 3, 5, 9)] == [[], [], *[["lesion-duplicate"]] * 2]
        assert "the very voxels of p2/L" in str(ledger.of(9)[0].findings[0])
        assert ledger.n_warnings == 2


def test_what_does_not_fit_into_memory_goes_to_disk(monkeypatch):
    monkeypatch.setattr(ledger_module, "_MOST_IN_MEMORY", 1000)
    lesions = tuple(replace(LESIONS[0], row=n, patient_id=f"p{n}") for n in range(2, 502))
    with Ledger() as ledger:
        for lesion in reversed(lesions):
            ledger.add(kept(lesion.row))
        assert ledger._file._rolled
        assert [o.row for _, o in in_cohort_order(CohortTable(lesions), ledger)] == list(range(2, 502))


def test_a_full_disk_is_told_with_its_folder(monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full, Ledger() as ledger:  # noqa: PTH123
        monkeypatch.setattr(ledger._file, "write", full.write)
        with pytest.raises(ExtractionError, match=f"{tempfile.gettempdir()}: cannot be written: No space .* TMPDIR"):
            ledger.add(kept(2))
