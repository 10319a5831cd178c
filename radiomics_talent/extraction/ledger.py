"""The outcomes of a run: counted as they come, kept on disk, and read back in the order of the cohort.

What is kept in memory is eight bytes a row: a cohort may have a million of them.
"""

from __future__ import annotations

import heapq
import logging
import pickle
import tempfile
from array import array
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Self

from radiomics_talent.errors import ExtractionError
from radiomics_talent.extraction.outcome import Failure, Outcome
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.cohort.review import Excluded

_LOG = logging.getLogger(__name__)
_MOST_IN_MEMORY = 2**24
_LENGTH = 8
_NOWHERE = -1


class Ledger:
    """The outcomes of a run so far.

    Attributes
    ----------
    n_rows : int
        Rows with an outcome.
    n_done, n_failed, n_resumed : int
        Outcomes with a result, without, and with one that an earlier run had computed.
    n_warnings : int
        Findings of level warning.
    n_verified : int
        Results that the other engine computed again.
    largest_difference : float
        Largest relative difference that this found.
    peak_mib : float
        Largest memory of a process that worked.
    has_parts : bool
        Whether lesions were split into parts.
    """

    def __init__(self) -> None:
        self.n_rows = self.n_done = self.n_failed = self.n_resumed = self.n_warnings = self.n_verified = 0
        self.largest_difference = self.peak_mib = 0.0
        self.has_parts = False
        self._places = array("q")
        # Deleted by the system with the process, however it ends.
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY)  # noqa: SIM115
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a full disk, which was told before
            self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Take an outcome; it replaces an earlier one of the same row and part."""
        before = self._place(outcome.row)
        replaced = [earlier for earlier in self.of(outcome.row) if earlier.part == outcome.part]
        body = pickle.dumps((before, replace(outcome, log=())), pickle.HIGHEST_PROTOCOL)
        with _told():
            self._file.seek(self._end)
            self._file.write(len(body).to_bytes(_LENGTH, "little") + body)
        place, self._end = self._end, self._end + _LENGTH + len(body)
        self._places[outcome.row] = place
        self.n_rows += before == _NOWHERE
        for earlier in replaced:
            self._count(earlier, -1)
        self._count(outcome, 1)
        self.has_parts |= outcome.part > 0
        self.peak_mib = max(self.peak_mib, outcome.peak_mib)

    def of(self, row: int) -> tuple[Outcome, ...]:
        """Return the outcomes of a row by part: none, one, or one for each part of the lesion."""
        found: dict[int, Outcome] = {}
        place = self._place(row)
        while place != _NOWHERE:
            with _told():
                self._file.seek(place)
                length = int.from_bytes(self._file.read(_LENGTH), "little")
                body = self._file.read(length)
            place, outcome = pickle.loads(body)  # noqa: S301  # written by this very process
            found.setdefault(outcome.part, outcome)
        return tuple(found[part] for part in sorted(found))

    def _place(self, row: int) -> int:
        if row >= len(self._places):
            self._places.extend([_NOWHERE] * (row + 1 + len(self._places) // 4 - len(self._places)))
        return self._places[row]

    def _count(self, outcome: Outcome, by: int) -> None:
        self.n_done += by * (outcome.failure is None)
        self.n_failed += by * (outcome.failure is not None)
        self.n_resumed += by * outcome.resumed
        self.n_warnings += by * sum(f.level == "warning" for f in outcome.findings)
        if outcome.kept is not None and outcome.kept.verification is not None:
            self.n_verified += by
            self.largest_difference = max(self.largest_difference, float(outcome.kept.verification["largest"]))


@contextmanager
def _told() -> Iterator[None]:
    """Turn a failure of the temporary file into a sentence that names its folder."""
    try:
        yield
    except OSError as error:
        raise ExtractionError(
            f"cannot be written: {error.strerror}; make room there, or set TMPDIR to another folder, and repeat "
            "the command: what is complete is kept",
            where=tempfile.gettempdir(),
        ) from error


def settle(cohort: CohortTable, ledger: Ledger, excluded: Sequence[Excluded]) -> None:
    """Complete a ledger when the work has ended: what was never begun, and what several lesions have in common.

    Parameters
    ----------
    cohort : CohortTable
        The lesions.
    ledger : Ledger
        Their outcomes; lesions without one get a failure of the stage 'not-run'.
    excluded : sequence of Excluded
        What a review took out of the cohort: lesions without a verdict that counts get a failure of the stage
        'review'.
    """
    names: dict[str, int] = {}
    voxels: dict[bytes, str] = {}
    for lesion in cohort.lesions:
        for outcome in ledger.of(lesion.row) or (_not_run(lesion),):
            settled = outcome
            if ledger.has_parts:
                first = names.setdefault(f"{lesion.patient_id}/{outcome.lesion_id}", lesion.row)
                settled = outcome if first == lesion.row else _name_taken(lesion, outcome, first)
            settled = _with_duplicate_told(lesion, settled, voxels)
            if settled is not outcome or (outcome.failure is not None and outcome.failure.stage == "not-run"):
                ledger.add(settled)
    for one in excluded:
        if one.reason != "rejected":
            row, patient_id, lesion_id = one.lesion.row, one.lesion.patient_id, one.lesion.lesion_id
            ledger.add(Outcome(row, 0, lesion_id, failure=Failure(row, patient_id, lesion_id, "review", one.sentence)))
            _LOG.error("row %d, %s: failed (review): %s", row, lesion_id, one.sentence)


def in_cohort_order(
    cohort: CohortTable, ledger: Ledger, excluded: Iterable[Excluded] = ()
) -> Iterator[tuple[Lesion, Outcome]]:
    """Yield every lesion with its outcomes in the order of the cohort, with those that a review left undecided.

    Parameters
    ----------
    cohort : CohortTable
        The lesions.
    ledger : Ledger
        Settled.
    excluded : iterable of Excluded
        As `settle` was given them.
    """
    undecided = sorted((x.lesion for x in excluded if x.reason != "rejected"), key=lambda lesion: lesion.row)
    # Rows count up through a cohort; without a review the order is the cohort's own.
    lesions = heapq.merge(cohort.lesions, undecided, key=lambda lesion: lesion.row) if undecided else cohort.lesions
    for lesion in lesions:
        for outcome in ledger.of(lesion.row):
            yield lesion, outcome


def _not_run(lesion: Lesion) -> Outcome:
    sentence = "the run was stopped before this lesion; repeat the command to go on"
    failure = Failure(lesion.row, lesion.patient_id, lesion.lesion_id, "not-run", sentence)
    return Outcome(lesion.row, 0, lesion.lesion_id, failure=failure)


def _name_taken(lesion: Lesion, outcome: Outcome, first: int) -> Outcome:
    sentence = f"splitting into parts gives lesion_id {outcome.lesion_id}, which row {first} has too; rename one"
    failure = Failure(lesion.row, lesion.patient_id, outcome.lesion_id, "mask", sentence)
    return replace(outcome, kept=None, versions=(), resumed=False, failure=failure)


def _with_duplicate_told(lesion: Lesion, outcome: Outcome, voxels: dict[bytes, str]) -> Outcome:
    kept = outcome.kept or next(iter(outcome.versions), None)
    if kept is None:
        return outcome
    name = f"{lesion.patient_id}/{outcome.lesion_id}"
    other = voxels.setdefault(bytes.fromhex(kept.image_sha256[:32] + kept.mask_sha256[:32]), name)
    if other == name or any(f.code == "lesion-duplicate" for f in outcome.findings):
        return outcome
    sentence = f"the lesion has the very voxels of {other}; remove one of the rows"
    duplicate = Finding("lesion-duplicate", sentence, where=name)
    _LOG.warning("%s", duplicate)
    return replace(outcome, findings=(*outcome.findings, duplicate))
