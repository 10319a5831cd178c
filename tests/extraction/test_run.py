import csv
import fcntl
import json
import math
import signal
import threading
import time
from dataclasses import replace

import pytest
import SimpleITK as sitk
from extraction import doubles
from extraction.tiny_cohorts import make_settings, write_mask, write_scan

from radiomics_talent.cohort.manifest import CohortTable, Lesion
from radiomics_talent.errors import ConfigError, ExtractionError
from radiomics_talent.extraction import cohort_work, run
from radiomics_talent.extraction import interrupts as interrupts_module
from radiomics_talent.extraction.interrupts import interrupts
from radiomics_talent.extraction.journal import journal_of
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.extraction.store import OUTPUTS, RunFolder, RunFolderError
from radiomics_talent.extraction.worker import ScanTask
from radiomics_talent.features.engine import extract
from radiomics_talent.features.table import load_features


def names(result):
    return [f"{p}/{i}" for p, i in result.table.frame[["patient_id", "lesion_id"]].itertuples(index=False)]


def failures_csv(out):
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def provenance(out):
    return json.loads((out / "provenance.json").read_text(encoding="utf-8"))


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(run, "extract_scan", doubles.work_that_counts)


def test_the_table_has_the_cohort_s_order_and_the_engine_s_numbers(cohort, settings, tmp_path):
    seen = []
    result = run_extraction(cohort, settings, tmp_path / "run", progress=seen.append)
    assert names(result) == [x.key for x in cohort.lesions]
    assert (result.n_done, result.n_resumed, result.failures) == (6, 0, ())
    third = cohort.lesions[3]
    expected = extract(sitk.ReadImage(str(third.image)), sitk.ReadImage(str(third.mask)), settings)
    assert result.table.frame.loc[3, list(expected)].to_dict() == dict(expected)
    assert seen[-1].done == seen[-1].total == 6
    for name in ("features.csv", "features.parquet"):
        assert load_features(tmp_path / "run" / name).frame.equals(result.table.frame)
    assert failures_csv(tmp_path / "run") == []


@pytest.mark.parametrize("timeout_s", [None, 60])
def test_any_number_of_jobs_gives_the_same_bytes(cohort, settings, tmp_path, timeout_s):
    run_extraction(cohort, settings, tmp_path / "one")
    run_extraction(cohort, settings, tmp_path / "two", jobs=2, timeout_s=timeout_s)
    for name in ("features.csv", "features.parquet", "failures.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_lesion_that_kills_hangs_or_raises_costs_itself_alone(cohort, settings, tmp_path, monkeypatch, jobs):
    monkeypatch.setattr(run, "extract_scan", doubles.work_with_victims)
    out = tmp_path / "run"
    result = run_extraction(cohort, settings, out, jobs=jobs, timeout_s=1.5)
    assert names(result) == ["p1/L0", "p2/L0", "p3/L1"]
    stages = {f.key: (f.stage, f.sentence.split(":")[0]) for f in result.failures}
    assert stages["p2/L1"] == ("worker", "killed")
    assert stages["p3/L0"] == ("worker", "timed out")
    assert stages["p3/L2"][0] == "features"
    assert [row["lesion_id"] for row in failures_csv(out)] == ["L1", "L0", "L2"]
    # The text of an error that nobody foresaw is for the log alone.
    assert "ZeroDivisionError: PatientName" in (out / "log.txt").read_text(encoding="utf-8")
    assert "is never shown" not in (out / "failures.csv").read_text(encoding="utf-8")
    assert list((out / "journal").iterdir()) == []

    # The same command tries what failed, and nothing else, again: PyRadiomics' batch keeps failures for good.
    monkeypatch.setattr(run, "extract_scan", doubles.work_that_counts)
    before = len(doubles.computed(out))
    again = run_extraction(cohort, settings, out, jobs=jobs)
    assert (again.n_done, again.n_resumed, again.failures) == (6, 3, ())
    assert len(doubles.computed(out)) - before == 3


@pytest.mark.parametrize("patient", ["p2", "p3"])
def test_lesions_side_by_side_in_threads_cost_themselves_alone(cohort, settings, tmp_path, monkeypatch, patient):
    """One scan and more jobs than scans: its lesions are threads of one worker, which one of them kills or hangs."""
    monkeypatch.setattr(run, "extract_scan", doubles.work_with_victims)
    lesions = CohortTable(tuple(x for x in cohort.lesions if x.patient_id == patient), cohort.path)
    blank = ScanTask((), settings, RunFolder(tmp_path))
    assert [task.threads for task in cohort_work.scan_tasks(lesions, blank, 4)] == [len(lesions.lesions)]
    result = run_extraction(lesions, settings, tmp_path / "run", jobs=4, timeout_s=2.5)
    assert names(result) == [x.key for x in lesions.lesions if x.key not in doubles.VICTIMS]
    found = {f.key: f.sentence.split(":")[0] for f in result.failures}
    assert found.keys() == {x.key for x in lesions.lesions} & doubles.VICTIMS.keys()
    assert found.get("p2/L1", "killed") == "killed"
    assert found.get("p3/L0", "timed out") == "timed out"
    assert list((tmp_path / "run" / "journal").iterdir()) == []


def test_threads_give_the_same_bytes(cohort, settings, tmp_path):
    lesions = CohortTable(cohort.lesions[3:], cohort.path)
    for jobs in (1, 3):
        run_extraction(lesions, settings, tmp_path / str(jobs), jobs=jobs)
    for name in ("features.csv", "failures.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


@pytest.mark.parametrize("alone", [True, False])
def test_a_lesion_that_was_alone_when_it_timed_out_is_not_tried_again(cohort, settings, tmp_path, monkeypatch, alone):
    monkeypatch.setattr(run, "extract_scan", doubles.work_with_victims)
    hangs = cohort.lesions[3]
    assert hangs.key in doubles.VICTIMS
    lesions = (hangs,) if alone else (cohort.lesions[0], hangs)
    result = run_extraction(CohortTable(lesions, cohort.path), settings, tmp_path / "run", jobs=2, timeout_s=1.5)
    assert [f.sentence.split(":")[0] for f in result.failures] == ["timed out"]
    if alone:  # beside another, that depends on which of them the machine begins first
        assert doubles.computed(tmp_path / "run") == [hangs.key]


def test_a_scan_that_kills_its_reader_costs_its_lesions_alone(cohort, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "extract_scan", doubles.work_that_dies_reading)
    result = run_extraction(cohort, settings, tmp_path / "run", jobs=2)
    assert names(result) == ["p1/L0", "p2/L0", "p2/L1"]
    assert {f.stage for f in result.failures} == {"worker"}
    assert all(f.sentence.startswith("killed: the worker process died while reading the scan") for f in result.failures)
    assert "Fatal Python error: Segmentation fault" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


def test_what_was_in_work_when_a_plain_run_died_gets_its_own_process(cohort, settings, tmp_path, monkeypatch):
    out = tmp_path / "run"
    run_extraction(cohort, settings, out)
    for shard in (out / "shards").iterdir():
        shard.unlink()
    journal_of(out / "journal", 4).begin(4, 0, "p2/L1", "features", done=0)
    monkeypatch.setattr(run, "extract_scan", doubles.work_with_victims)
    monkeypatch.setattr(doubles, "VICTIMS", {})  # for this process; the worker has its own
    result = run_extraction(cohort, settings, out)
    assert [f.key for f in result.failures] == ["p2/L1"]


def test_names_and_order_do_not_matter_to_resume(cohort, settings, tmp_path, counted, reordered):
    out = tmp_path / "run"
    first = run_extraction(cohort, settings, out).table
    fewer = reordered(cohort, [5, 0, 3], prefix="new")
    result = run_extraction(fewer, settings, out)
    assert len(doubles.computed(out)) == 6
    assert result.n_resumed == 3
    assert names(result) == ["p3/newL2", "p1/newL0", "p3/newL0"]
    features = list(first.features)
    expected = first.frame.loc[[5, 0, 3], features].reset_index(drop=True)
    assert result.table.frame[features].equals(expected)


def test_changed_voxels_under_the_same_names_are_computed_again(cohort, settings, tmp_path, counted):
    out = tmp_path / "run"
    first = run_extraction(cohort, settings, out).table
    write_mask(tmp_path / "data", "p2_1", (3, 3, 5), 6)
    second = run_extraction(cohort, settings, out)
    assert len(doubles.computed(out)) == 7
    assert second.n_resumed == 5
    fresh = run_extraction(cohort, settings, tmp_path / "fresh")
    assert second.table.frame.equals(fresh.table.frame)
    assert not second.table.frame.equals(first.frame)


def test_swapped_masks_give_swapped_features_not_old_ones(cohort, settings, tmp_path, counted):
    out = tmp_path / "run"
    first = run_extraction(cohort, settings, out).table
    a, b = cohort.lesions[1], cohort.lesions[2]
    swapped = list(cohort.lesions)
    swapped[1], swapped[2] = replace(a, mask=b.mask), replace(b, mask=a.mask)
    second = run_extraction(CohortTable(tuple(swapped), cohort.path), settings, out)
    features = list(first.features)
    assert len(doubles.computed(out)) == 6
    assert second.table.frame.loc[1, features].equals(first.frame.loc[2, features].rename(1))


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"1", b"2"), lambda b: b""])
def test_a_damaged_shard_is_computed_again(cohort, settings, tmp_path, counted, damage):
    out = tmp_path / "run"
    first = run_extraction(cohort, settings, out).table
    shard = min((out / "shards").iterdir())
    shard.write_bytes(damage(shard.read_bytes()))
    second = run_extraction(cohort, settings, out)
    assert len(doubles.computed(out)) == 7
    assert second.n_resumed == 5
    assert second.table.frame.equals(first.frame)


def test_other_settings_on_the_same_folder_are_refused_by_name(cohort, settings, tmp_path):
    out = tmp_path / "run"
    run_extraction(cohort, settings, out)
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    with pytest.raises(ConfigError, match=r"other settings: setting\.binWidth, setting\.padDistance differ"):
        run_extraction(cohort, make_settings(binWidth=11, padDistance=7), out)
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before


def test_other_versions_on_the_same_folder_are_refused_by_name(cohort, settings, tmp_path):
    out = tmp_path / "run"
    run_extraction(cohort, settings, out)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    record["versions"]["numpy"] = "1.0"
    (out / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"other versions \(numpy 1\.0, now 2"):
        run_extraction(cohort, settings, out)


def test_a_second_run_on_the_folder_is_refused_and_a_dead_one_is_no_obstacle(cohort, settings, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another extract is working on this folder"):
            run_extraction(cohort, settings, out)
    assert run_extraction(cohort, settings, out).n_done == 6


def test_a_folder_of_others_is_refused(cohort, settings, tmp_path):
    (tmp_path / "features.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="was not made by extract"):
        run_extraction(cohort, settings, tmp_path)
    assert (tmp_path / "features.csv").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_made_is_refused_in_one_sentence(cohort, settings, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="run: cannot be written: Not a directory; give another folder"):
        run_extraction(cohort, settings, tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("jobs", "timeout_s", "sentence"),
    [
        (0, None, "--jobs is 0"),
        (1, 0, "--timeout is 0 s; give 0.001 to 31536000 seconds"),
        (1, -1, "--timeout is -1 s"),
        (2, 1e12, r"--timeout is 1e\+12 s"),
        (1, math.inf, "--timeout is inf s.* or --timeout 0 for no limit"),
        (1, math.nan, "--timeout is nan s"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(cohort, settings, tmp_path, jobs, timeout_s, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run_extraction(cohort, settings, tmp_path / "run", jobs=jobs, timeout_s=timeout_s)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_ends_the_run_in_one_sentence_and_keeps_what_is_complete(
    cohort, settings, tmp_path, monkeypatch, jobs
):
    out = tmp_path / "run"
    monkeypatch.setattr(run, "extract_scan", doubles.work_on_a_full_disk)
    with pytest.raises(RunFolderError, match="cannot be written any more: No space left on device; make room"):
        run_extraction(cohort, settings, out, jobs=jobs)
    assert not any((out / name).exists() for name in OUTPUTS)
    if jobs == 1:
        assert len(list((out / "shards").iterdir())) == 5
    monkeypatch.setattr(run, "extract_scan", doubles.work_that_counts)
    assert run_extraction(cohort, settings, out).n_done == 6


def test_an_interrupt_leaves_a_whole_table_and_says_what_is_missing(cohort, settings, tmp_path, monkeypatch):
    out = tmp_path / "run"
    monkeypatch.setattr(run, "extract_scan", doubles.work_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_extraction(cohort, settings, out)
    assert len(load_features(out / "features.csv")) == 5
    assert [(f["patient_id"], f["stage"]) for f in failures_csv(out)] == [("p1", "not-run")]
    assert provenance(out)["complete"] is False
    monkeypatch.setattr(run, "extract_scan", doubles.work_that_counts)
    assert run_extraction(cohort, settings, out).n_resumed == 5


def test_an_interrupt_while_many_scans_wait_is_silent(settings, tmp_path, monkeypatch):
    lesions = []
    for n in range(9):
        scan = write_scan(tmp_path, f"p{n}", seed=n)
        mask = write_mask(tmp_path, f"p{n}_mask", (3, 3, 4), 5)
        lesions.append(Lesion(n + 2, f"p{n}", "L", scan, mask, label="1"))

    def interrupt(progress: cohort_work.Progress) -> None:
        if progress.done:
            time.sleep(0.3)  # the worker has begun the next one, and there is room in the queue before it
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "extract_scan", doubles.work_that_naps)
    # pytest makes a failure of loky's own thread an error.
    with pytest.raises(KeyboardInterrupt):
        run_extraction(CohortTable(tuple(lesions)), settings, tmp_path / "run", timeout_s=60, progress=interrupt)
    assert len(failures_csv(tmp_path / "run")) >= 4
    assert not any("ExecutorManager" in t.name for t in threading.enumerate())


def test_impatience_does_not_halve_the_output(cohort, settings, tmp_path, monkeypatch):
    out = tmp_path / "run"
    write = run.write_run

    def interrupted_write(*arguments: object, **options: object) -> object:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        result = write(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        return result

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(run, "write_run", interrupted_write)
    with pytest.raises(KeyboardInterrupt):
        run_extraction(cohort, settings, out)
    assert all((out / name).exists() for name in OUTPUTS)
    assert len(load_features(out / "features.csv")) == 6
    assert provenance(out)["complete"] is True
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_disturb_the_end_that_the_first_one_began():
    with interrupts() as noted:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert noted.heard
        noted.hold()
        signal.raise_signal(signal.SIGINT)


def test_a_lost_ctrl_c_can_be_repeated(monkeypatch):
    monkeypatch.setattr(interrupts_module, "PATIENCE_S", 0.0)
    with interrupts():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_bad_rows_fail_alone(cohort, settings, tmp_path):
    lesions = list(cohort.lesions)
    lesions[0] = replace(lesions[0], image=tmp_path / "absent.nii.gz")
    lesions[4] = replace(lesions[4], label="7")
    result = run_extraction(CohortTable(tuple(lesions), cohort.path), settings, tmp_path / "run")
    assert result.n_done == 4
    assert [(f.row, f.stage) for f in result.failures] == [(2, "scan"), (6, "mask")]
    assert "absent.nii.gz" in result.failures[0].sentence


def test_an_absurd_number_of_grey_levels_is_refused_before_the_matrices(cohort, tmp_path):
    result = run_extraction(cohort, make_settings(binWidth=0.001), tmp_path / "run")
    assert result.n_done == 0
    assert all("grey levels" in f.sentence for f in result.failures)


def test_the_same_lesion_twice_is_told(cohort, settings, tmp_path):
    twin = replace(cohort.lesions[0], row=8, lesion_id="twin")
    result = run_extraction(CohortTable((*cohort.lesions, twin), cohort.path), settings, tmp_path / "run")
    assert result.n_done == 7
    found = provenance(tmp_path / "run")["lesions"][-1]["findings"]
    assert [f["code"] for f in found if f["code"] == "lesion-duplicate"]


def test_lesions_that_share_voxels_are_told(cohort, settings, tmp_path):
    write_mask(tmp_path / "data", "p2_1", (2, 5, 4), 5)
    result = run_extraction(cohort, settings, tmp_path / "run", jobs=2)
    assert result.n_done == 6
    codes = [[f["code"] for f in x["findings"]] for x in provenance(tmp_path / "run")["lesions"]]
    assert [n for n, c in enumerate(codes) if "lesions-overlap" in c] == [2]
    assert result.n_warnings >= 1
    assert "lesions-overlap" not in (tmp_path / "run" / "failures.csv").read_text(encoding="utf-8")


def test_parts_become_lesions(cohort, tmp_path):
    lesion = cohort.lesions[0]
    mask = sitk.ReadImage(str(lesion.mask))
    mask[15:18, 15:18, 8:11] = 1
    sitk.WriteImage(mask, str(lesion.mask))
    keep = make_settings()
    split = keep.model_copy(update={"mask": keep.mask.model_copy(update={"components": "split"})})
    result = run_extraction(cohort, split, tmp_path / "run")
    assert names(result)[:2] == ["p1/L0.1", "p1/L0.2"]
    # Bigger first: the parts of one row are told apart by their voxels, as lesions are.
    sizes = [extract(sitk.ReadImage(str(lesion.image)), mask, keep)["original_firstorder_Energy"]]
    assert sum(result.table.frame["original_firstorder_Energy"][:2]) == pytest.approx(sizes[0])
    kept = [r["lesion_id"] for r in provenance(tmp_path / "run")["lesions"]][:2]
    assert kept == ["L0.1", "L0.2"]


def test_provenance_says_what_was_done_and_where_it_comes_from(cohort, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "data"))
    out = tmp_path / "run"
    run_extraction(cohort, settings, out, command=["extract", str(tmp_path / "data" / "cohort.csv"), "--jobs", "1"])
    record = provenance(out)
    assert record["command"] == ["extract", "~/cohort.csv", "--jobs", "1"]
    assert record["settings_sha256"] == settings.hash
    assert record["cohort"] == "../data/cohort.csv"
    assert str(tmp_path) not in (out / "provenance.json").read_text(encoding="utf-8")
    one = record["lesions"][0]
    assert len(one["image_sha256"]) == len(one["mask_sha256"]) == 64
    assert one["image"] == "../data/p1.nii.gz"
    assert one["status"] == "computed"
    assert one["seconds"]
    log = (out / "log.txt").read_text(encoding="utf-8")
    run_extraction(cohort, settings, out)
    assert (out / "log.txt").read_text(encoding="utf-8").startswith(log)


def test_preprocessed_crops_are_kept_and_follow_their_lesion(cohort, tmp_path, reordered):
    settings = make_settings(resampledPixelSpacing=[1, 1, 1])
    out = tmp_path / "run"
    run_extraction(cohort, settings, out)
    run_extraction(cohort, settings, out, save_preprocessed=True)
    paths = [out / "preprocessed" / "p2" / f"L{k}_{kind}.nrrd" for k in (0, 1) for kind in ("image", "mask")]
    first = [sitk.ReadImage(str(p)) for p in paths]
    assert first[0].GetSpacing() == (1.0, 1.0, 1.0)
    assert first[1].GetPixelID() == sitk.sitkUInt8
    times = [p.stat().st_mtime_ns for p in paths]
    run_extraction(cohort, settings, out, save_preprocessed=True)
    assert [p.stat().st_mtime_ns for p in paths] == times
    a, b = cohort.lesions[1], cohort.lesions[2]
    swapped = (replace(a, lesion_id="L1"), replace(b, lesion_id="L0"))
    run_extraction(CohortTable(swapped, cohort.path), settings, out, save_preprocessed=True)
    assert sitk.ReadImage(str(paths[2])).GetOrigin() == first[0].GetOrigin()


def test_the_interrupt_signal_is_what_it_was_afterwards(cohort, settings, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    run_extraction(cohort, settings, tmp_path / "run", jobs=2, timeout_s=60)
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


def test_rows_that_are_there_twice_are_refused(cohort, settings, tmp_path):
    twice = (*cohort.lesions, replace(cohort.lesions[0], lesion_id="twin"))
    with pytest.raises(ConfigError, match="row 2 of the cohort is there twice; number the lesions anew"):
        run_extraction(CohortTable(twice), settings, tmp_path / "run")


def test_failures_of_a_later_run_are_not_taken_for_those_of_this(cohort, settings, tmp_path):
    first = run_extraction(cohort, settings, tmp_path / "run")
    run_extraction(CohortTable(cohort.lesions[:1]), settings, tmp_path / "run")
    with pytest.raises(ExtractionError, match="another run has begun here"):
        assert first.failures
