from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from extraction.tiny_cohorts import make_settings

from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.extraction import plan, worker
from radiomics_talent.extraction.plan import plan_extraction
from radiomics_talent.extraction.pool import LocalWorkers
from radiomics_talent.features import engine
from radiomics_talent.settings import ExtractionSettings


def planned_for(cohort, settings, **options):
    with plan_extraction(cohort, settings, **options) as planned:
        return planned, list(planned.worked.outcomes()), tuple(planned.worked.failures())


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dry_run_foretells_every_lesion_and_writes_nothing(cohort, settings, tmp_path, jobs):
    before = sorted(tmp_path.rglob("*"))
    planned, outcomes, failures = planned_for(cohort, settings, jobs=jobs)
    assert [x.key for x, _ in outcomes] == [x.key for x in cohort.lesions]
    forecasts = [o.forecast for _, o in outcomes]
    assert all(f.voxels == 125 and f.seconds > 0 and f.peak_mib > 100 for f in forecasts)
    assert all(10 < f.grey_levels["original"] < 40 for f in forecasts)
    assert failures == ()
    assert planned.seconds > 0
    assert planned.peak_mib == max(f.peak_mib for f in forecasts)
    assert sorted(tmp_path.rglob("*")) == before


def test_grey_levels_outside_16_to_128_are_warned_of(cohort):
    _, outcomes, failures = planned_for(cohort, make_settings(binWidth=60))
    codes = [[(f.code, f.level) for f in o.findings if f.code == "grey-levels"] for _, o in outcomes]
    assert all(c == [("grey-levels", "warning")] for c in codes)
    assert failures == ()


def test_an_absurd_number_of_grey_levels_would_fail(cohort):
    _, outcomes, failures = planned_for(cohort, make_settings(binWidth=0.001))
    assert len(failures) == 6
    assert "raise binWidth" in failures[0].sentence
    assert {f.code for _, o in outcomes for f in o.findings} >= {"too-many-grey-levels"}


def test_what_cannot_be_read_would_fail(cohort, settings, tmp_path):
    lesions = (replace(cohort.lesions[0], image=tmp_path / "absent.nii.gz"), *cohort.lesions[1:])
    *_, failures = planned_for(CohortTable(lesions, cohort.path), settings)
    assert [(f.row, f.stage) for f in failures] == [(2, "scan")]


def test_a_dry_run_does_not_send_the_user_to_a_log_that_it_never_writes(cohort, settings, monkeypatch):
    monkeypatch.setattr(worker, "inspect_case", lambda *_, **__: 1 / 0)
    *_, failures = planned_for(cohort, settings)
    assert len(failures) == 6
    assert len({f.sentence for f in failures}) == 1
    assert failures[0].sentence.endswith("please report it (extract without --dry-run keeps the details)")


def forecast_mib(**setting):
    image = sitk.GetImageFromArray(np.random.default_rng(1).normal(50, 30, (60, 60, 60)).astype(np.int16))
    mask = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(image)
    mask[6:54, 6:54, 6:54] = 1
    settings = ExtractionSettings.model_validate({"engine": "reference", **setting})
    prepared = engine.prepare(image, mask, settings, label=1)
    filtered = engine.filtered_voxels(prepared, settings)
    costs = plan._COSTS[settings.engine]
    return filtered, plan._mib(image, prepared, 48**3, {"original": 20}, filtered, costs)


def test_memory_counts_the_feature_classes_and_the_part_that_each_filter_works_on():
    filtered, alone = forecast_mib()
    assert filtered == {"Original": 48**3}
    # 33 bytes a voxel of the box and 105 a voxel of the lesion, which is its box here; 9 a voxel of the scan.
    assert alone == pytest.approx(300 + (60**3 * 9 + 48**3 * 138 + 400 * 624) / 2**20, abs=0.01)
    filtered, wavelet = forecast_mib(imageType={"Original": {}, "Wavelet": {"wavelet": "haar"}, "LoG": {"sigma": [3]}})
    assert filtered == {"Original": 48**3, "Wavelet": 52**3, "LoG": 60**3}
    assert wavelet == pytest.approx(300 + (60**3 * 9 + 52**3 * 165) / 2**20, abs=0.01)
    filtered, native = forecast_mib(engine="native", imageType={"Original": {}, "Wavelet": {}})
    assert filtered == {"Original": 48**3, "Wavelet": 48**3}
    assert native == pytest.approx(300 + (60**3 * 9 + 48**3 * 110) / 2**20, abs=0.01)


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 16), (2, 10), (4, 10)])
def test_the_time_is_not_below_that_of_the_longest_scan(jobs, seconds):
    assert plan._busiest([10.0, 3.0, 2.0, 1.0], jobs) == seconds


def test_lesions_of_one_scan_do_not_share_their_time_among_jobs(cohort, settings, monkeypatch):
    monkeypatch.setattr(plan, "_seconds", lambda *_: 1000.0)
    # In this process, where the seconds are what they are made to be.
    monkeypatch.setattr(plan, "LocalWorkers", lambda jobs: LocalWorkers(1))
    lesions = CohortTable(cohort.lesions[3:], cohort.path)
    assert len(lesions.scans()) == 1
    assert planned_for(lesions, settings, jobs=2)[0].seconds >= 3000
