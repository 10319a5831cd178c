"""A share of the lesions by both engines: which ones, and what happens when the engines disagree."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.engine import RELATIVE_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.extraction.outcome import Outcome
    from radiomics_talent.features.engine import Verification


class DisagreementError(ExtractionError):
    """Native and reference engine give different features: no number of this run is to be trusted."""


def rows_to_verify(cohort: CohortTable, share: float) -> frozenset[int]:
    """Choose the lesions that both engines compute.

    Parameters
    ----------
    cohort : CohortTable
        The lesions.
    share : float
        0 (none) to 1; otherwise at least one.

    Returns
    -------
    set of int
        Rows. They depend on the lesions' names alone: not on their order, nor on the number of jobs.
    """
    if not share:
        return frozenset()
    by_hash = sorted(cohort.lesions, key=lambda lesion: hashlib.sha256(lesion.key.encode()).digest())
    return frozenset(lesion.row for lesion in by_hash[: math.ceil(share * len(by_hash))])


def disagreement(verification: Verification) -> str:
    """Return the sentence about a lesion whose features differ."""
    n = len(verification.beyond)
    return (
        f"the engines disagree in {n} feature{'s' if n > 1 else ''} by more than {RELATIVE_TOLERANCE:g} of the value, "
        f"first {verification.beyond[0]}; please report it, and take engine: reference until it is mended"
    )


def stop_at_disagreement(batch: Sequence[Outcome]) -> None:
    """End the run at the first lesion whose features differ.

    Raises
    ------
    DisagreementError
        With the lesion and its sentence.
    """
    for failure in (outcome.failure for outcome in batch if outcome.failure is not None):
        if failure.stage == "verify":
            raise DisagreementError(failure.sentence, where=failure.key)
