from dataclasses import replace

import pytest
from extraction.tiny_cohorts import make_settings

from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.extraction.plan import plan_extraction


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dry_run_foretells_every_lesion_and_writes_nothing(cohort, settings, tmp_path, jobs):
    before = sorted(tmp_path.rglob("*"))
    plan = plan_extraction(cohort, settings, jobs=jobs)
    assert [x.key for x, _ in plan.lesions] == [x.key for x in cohort.lesions]
    forecasts = [o.forecast for _, o in plan.lesions]
    assert all(f.voxels == 125 and f.seconds > 0 and f.peak_mib > 100 for f in forecasts)
    assert all(10 < f.grey_levels["original"] < 40 for f in forecasts)
    assert plan.failures == ()
    assert plan.seconds > 0
    assert plan.peak_mib == max(f.peak_mib for f in forecasts)
    assert sorted(tmp_path.rglob("*")) == before


def test_grey_levels_outside_16_to_128_are_warned_of(cohort):
    plan = plan_extraction(cohort, make_settings(binWidth=60))
    codes = [[(f.code, f.level) for f in o.findings if f.code == "grey-levels"] for _, o in plan.lesions]
    assert all(c == [("grey-levels", "warning")] for c in codes)
    assert plan.failures == ()


def test_an_absurd_number_of_grey_levels_would_fail(cohort):
    plan = plan_extraction(cohort, make_settings(binWidth=0.001))
    assert len(plan.failures) == 6
    assert "raise binWidth" in plan.failures[0].sentence
    assert {f.code for _, o in plan.lesions for f in o.findings} >= {"too-many-grey-levels"}


def test_what_cannot_be_read_would_fail(cohort, settings, tmp_path):
    lesions = (replace(cohort.lesions[0], image=tmp_path / "absent.nii.gz"), *cohort.lesions[1:])
    plan = plan_extraction(CohortTable(lesions, cohort.path), settings)
    assert [(f.row, f.stage) for f in plan.failures] == [(2, "scan")]
