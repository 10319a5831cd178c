from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort, make_settings

from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.settings import ExtractionSettings


@pytest.fixture
def cohort(tmp_path: Path) -> CohortTable:
    return make_cohort(tmp_path / "data")


@pytest.fixture
def settings() -> ExtractionSettings:
    return make_settings()


@pytest.fixture
def reordered() -> Callable[..., CohortTable]:
    """Return the cohort in another order and, if wanted, under other names."""

    def build(cohort: CohortTable, order: list[int], *, prefix: str = "") -> CohortTable:
        lesions = [cohort.lesions[i] for i in order]
        return CohortTable(
            tuple(replace(x, row=n, lesion_id=prefix + x.lesion_id) for n, x in enumerate(lesions, start=2)),
            cohort.path,
        )

    return build
