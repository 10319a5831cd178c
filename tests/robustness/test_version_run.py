"""Versions of a cohort in a run folder: whatever ends a run, the same command gives the same table."""

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from extraction.tiny_cohorts import make_cohort, make_settings
from robustness.version_doubles import Doubles

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.extraction.cohort_work import scan_tasks
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.extraction.worker import ScanTask
from radiomics_talent.robustness.control_run import Controls
from radiomics_talent.robustness.perturb import Perturbations
from radiomics_talent.robustness.version_run import versions_of_cohort
from radiomics_talent.robustness.versions import read_versions
from radiomics_talent.robustness_settings import STEPS, ControlSettings, PerturbationSettings
from radiomics_talent.settings import ExtractionSettings

SETTINGS = make_settings()


@pytest.fixture
def cohort(tmp_path):
    return make_cohort(tmp_path / "cohort")


def run_versions(*arguments, **keywords):
    with versions_of_cohort(*arguments, **keywords) as (_, run):
        return run


def failures(out):
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        return [(row["lesion_id"], row["stage"], row["sentence"]) for row in csv.DictReader(file)]


def test_a_table_holds_every_lesion_as_it_is_and_in_versions(cohort, tmp_path):
    out = tmp_path / "run"
    run = run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace"), out)
    table = run.table
    assert [f"{p}/{i}" for p, i in zip(table.keys["patient_id"], table.keys["lesion_id"], strict=True)] == [
        x.key for x in cohort.lesions
    ]
    plain = run_extraction(cohort, SETTINGS, tmp_path / "plain").table
    assert table.as_features().frame.equals(plain.frame)
    assert np.array_equal(table.chains["times"][:, 1, :], table.original * 2)
    assert table.as_features("times", 3).frame["original_glcm_Contrast"].tolist() == pytest.approx(
        (plain.frame["original_glcm_Contrast"] * 3).tolist()
    )
    assert run.failures == ()


def test_files_give_the_table_back(cohort, tmp_path):
    out = tmp_path / "run"
    table = run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace"), out).table
    again = read_versions(out / "versions.parquet")
    assert again.keys.equals(table.keys)
    assert again.features == table.features
    assert np.array_equal(again.original, table.original)
    assert np.array_equal(again.chains["times"], table.chains["times"])
    text = pd.read_csv(out / "versions.csv", dtype={"label": str})
    assert len(text) == len(cohort.lesions) * 4
    assert text.loc[text["chain"] == "times", "version"].tolist() == sorted([1, 2, 3] * len(cohort.lesions))
    assert text[list(table.features)].to_numpy() == pytest.approx(
        np.concatenate([table.original, *(table.chains["times"][:, n, :] for n in range(3))]), rel=1e-15
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_number_of_jobs_changes_nothing(cohort, tmp_path, jobs):
    one = run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace"), tmp_path / "one").table
    other = run_versions(cohort, SETTINGS, Doubles(tmp_path / "t"), tmp_path / "other", jobs=jobs, timeout_s=60).table
    assert np.array_equal(one.original, other.original)
    assert np.array_equal(one.chains["times"], other.chains["times"])


FILTERED = ExtractionSettings.model_validate(
    {
        "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}, "Wavelet": {}},
        "setting": {"resampledPixelSpacing": [1, 1, 1.5], "binWidth": 10},
    }
)
FEW_VERSIONS = PerturbationSettings.model_validate(
    {"strengths": {"contour_supervoxel_mm3": 20}, "chains": {"combined": {"steps": STEPS, "versions": 4}}}
)


@pytest.mark.parametrize(
    "plan", [Perturbations(FEW_VERSIONS), Controls(ControlSettings())], ids=["perturb", "controls"]
)
def test_lesions_side_by_side_in_threads_have_the_same_bits(cohort, tmp_path, plan):
    one_scan = replace(cohort, lesions=cohort.lesions[-3:])
    tables = []
    for jobs, threads in ((1, 1), (4, 3)):
        out = tmp_path / str(jobs)
        assert [t.threads for t in scan_tasks(one_scan, ScanTask((), FILTERED, out), jobs)] == [threads]
        tables.append(run_versions(one_scan, FILTERED, plan, out, jobs=jobs).table)
    alone, together = tables
    assert len(alone.keys) == 3
    assert np.array_equal(alone.original, together.original, equal_nan=True)
    for name, values in alone.chains.items():
        assert np.isfinite(values).any(axis=2).all()
        assert np.array_equal(values, together.chains[name], equal_nan=True)


def test_a_finished_run_computes_nothing_again(cohort, tmp_path):
    out, trace = tmp_path / "run", tmp_path / "trace"
    first = run_versions(cohort, SETTINGS, Doubles(trace), out)
    before = trace.read_text(encoding="utf-8")
    again = run_versions(cohort, SETTINGS, Doubles(trace), out)
    assert trace.read_text(encoding="utf-8") == before
    assert again.n_resumed == len(cohort.lesions)
    assert np.array_equal(first.table.chains["times"], again.table.chains["times"])


def test_a_lost_shard_is_made_again_alone(cohort, tmp_path):
    out, trace = tmp_path / "run", tmp_path / "trace"
    run_versions(cohort, SETTINGS, Doubles(trace), out)
    next((out / "shards").iterdir()).unlink()
    trace.unlink()
    again = run_versions(cohort, SETTINGS, Doubles(trace), out)
    assert len(trace.read_text(encoding="utf-8").splitlines()) == 1
    assert again.n_resumed == len(cohort.lesions) - 1


def test_a_version_that_cannot_be_made_is_told_and_is_nan(cohort, tmp_path):
    out = tmp_path / "run"
    run = run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace", vanishes="p2/L1"), out)
    assert (run.n_left_out, run.n_failed) == (1, 0)
    assert failures(out) == [("L1", "version", "times 2: nothing is left")]
    row = run.table.keys.index[run.table.keys["lesion_id"].eq("L1") & run.table.keys["patient_id"].eq("p2")][0]
    assert np.isnan(run.table.chains["times"][row, 1]).all()
    assert np.isfinite(run.table.chains["times"][row, [0, 2]]).all()
    again = run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace", vanishes="p2/L1"), out)
    assert again.failures == run.failures


def test_a_lesion_that_kills_its_worker_costs_no_other(cohort, tmp_path):
    out = tmp_path / "run"
    plan = Doubles(tmp_path / "trace", kills="p3/L1")
    run = run_versions(cohort, SETTINGS, plan, out, jobs=2, timeout_s=60)
    assert [f.key for f in run.failures] == ["p3/L1"]
    assert len(run.table.keys) == len(cohort.lesions) - 1


def test_provenance_says_what_the_versions_were(cohort, tmp_path):
    out = tmp_path / "run"
    run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace"), out, command=["robustness", "doubles"])
    record = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    assert record["doubles"] == {"hash": "h"}
    assert record["settings_sha256"] == SETTINGS.hash
    assert set(record["lesions"][0]["chains"]) == {"original", "times"}
    assert record["complete"]


def test_what_follows_is_written_at_the_end_and_goes_with_the_next_run(cohort, tmp_path):
    out = tmp_path / "run"
    plan = Doubles(tmp_path / "trace")

    def is_complete():
        return json.loads((out / "provenance.json").read_text(encoding="utf-8"))["complete"]

    with versions_of_cohort(cohort, SETTINGS, plan, out) as (folder, _):
        assert not is_complete()
        (folder.path / "extra.txt").write_text("x", encoding="utf-8")
    assert is_complete()
    with pytest.raises(KeyboardInterrupt), versions_of_cohort(cohort, SETTINGS, plan, out):
        raise KeyboardInterrupt
    assert not (out / "extra.txt").exists()
    assert not is_complete()
    assert (out / "versions.csv").exists()


def test_the_same_lesion_twice_is_told(tmp_path):
    cohort = make_cohort(tmp_path / "cohort")
    twice = replace(cohort.lesions[0], row=99, lesion_id="again")
    out = tmp_path / "run"
    run_versions(replace(cohort, lesions=(*cohort.lesions, twice)), SETTINGS, Doubles(tmp_path / "trace"), out)
    lesions = json.loads((out / "provenance.json").read_text(encoding="utf-8"))["lesions"]
    assert "lesion-duplicate" in [f["code"] for f in lesions[-1]["findings"]]


def test_lesions_with_a_missing_version_can_be_left_out(cohort, tmp_path):
    plan = Doubles(tmp_path / "trace", vanishes="p2/L1")
    table = run_versions(cohort, SETTINGS, plan, tmp_path / "run").table
    whole = table.with_every_version()
    assert len(whole.keys) == len(table.keys) - 1
    assert not (whole.keys["patient_id"].eq("p2") & whole.keys["lesion_id"].eq("L1")).any()
    assert np.isfinite(whole.chains["times"]).all()


def test_a_folder_of_another_plan_or_command_is_refused(cohort, tmp_path):
    out = tmp_path / "run"
    run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace"), out)
    with pytest.raises(ConfigError, match=r"other settings: doubles\.hash differ"):
        run_versions(cohort, SETTINGS, Doubles(tmp_path / "trace", hash="i"), out)
    with pytest.raises(ConfigError, match="holds a run of robustness doubles; give another folder"):
        run_extraction(cohort, SETTINGS, out)


def test_what_is_no_table_of_versions_is_refused(cohort, tmp_path):
    run_extraction(cohort, SETTINGS, tmp_path / "plain")
    with pytest.raises(TableError, match="is no table of versions"):
        read_versions(tmp_path / "plain" / "features.parquet")
    with pytest.raises(TableError, match=r"versions\.parquet: is not there"):
        read_versions(tmp_path / "versions.parquet")
    (tmp_path / "versions.parquet").write_bytes(b"PAR1")
    with pytest.raises(TableError, match="is damaged; repeat the command"):
        read_versions(tmp_path / "versions.parquet")
