"""A run resumed from any part of its results, in any order, gives the table of an uninterrupted run."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort, make_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.extraction.run import run_extraction

OUTPUTS = ("features.csv", "features.parquet", "failures.csv")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[CohortTable, Path]:
    root = tmp_path_factory.mktemp("resume")
    cohort = make_cohort(root / "data")
    run_extraction(cohort, make_settings(), root / "run")
    return cohort, root / "run"


@given(kept=st.sets(st.integers(0, 5)), halved=st.sets(st.integers(0, 5)), order=st.permutations(range(6)))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_remains_and_any_order_lead_to_the_same_table(whole, tmp_path_factory, kept, halved, order):
    cohort, run = whole
    out = tmp_path_factory.mktemp("again") / "run"
    shutil.copytree(run, out)
    for n, shard in enumerate(sorted((out / "shards").iterdir())):
        if n not in kept:
            shard.unlink()
        elif n in halved:
            shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    # Another order first, as after a change of the list; then the cohort as it is.
    shuffled = tuple(replace(cohort.lesions[i], row=n) for n, i in enumerate(order, start=2))
    result = run_extraction(CohortTable(shuffled, cohort.path), make_settings(), out)
    assert result.n_resumed == len(kept - halved)
    assert run_extraction(cohort, make_settings(), out).n_resumed == 6
    for name in OUTPUTS:
        assert (out / name).read_bytes() == (run / name).read_bytes()
