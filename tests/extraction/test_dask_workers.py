"""A Dask cluster over TCP: a scheduler and two workers, begun as a user would begin them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from extraction import doubles
from extraction.tiny_cohorts import write_mask, write_scan
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.cohort.manifest import CohortTable, Lesion
from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction import dask_workers, run
from radiomics_talent.extraction.cluster import connected_to
from radiomics_talent.extraction.provenance import installed_version, versions
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.extraction.workers import ClusterError
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import train

TESTS = Path(__file__).parents[1]
TABLES = ("features.csv", "features.parquet", "failures.csv", "features_dictionary.csv")
pytestmark = pytest.mark.slow


def begin(*arguments: str) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
    return subprocess.Popen(
        command, env=env, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def end(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def begin_worker(address: str) -> subprocess.Popen:
    return begin(
        "dask_worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"
    )


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        file = folder / "scheduler.json"
        self.scheduler = begin(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
        )
        while not file.exists():
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        self.address = self._address(file)
        self.workers = [begin_worker(self.address) for _ in range(workers)]

    @staticmethod
    def _address(file: Path) -> str:
        text = ""
        while '"address"' not in text:
            text = file.read_text(encoding="utf-8")
        return text.partition('"address": "')[2].partition('"')[0]

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            end(process)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), 2)
    yield cluster
    cluster.end()


@pytest.fixture
def workers(cluster):
    with connected_to(cluster.address) as found:
        found.client.wait_for_workers(2, timeout=60)
        yield found


def many_lesions(folder: Path, scans: int = 8) -> CohortTable:
    lesions = []
    folder.mkdir()
    for n in range(scans):
        scan = write_scan(folder, f"s{n}", seed=n)
        for k in range(2):
            mask = write_mask(folder, f"s{n}_{k}", (2 + k, 3 + 6 * k, 4), 5)
            lesions.append(Lesion(len(lesions) + 2, f"q{n}", f"L{k}", scan, mask, label="1"))
    return CohortTable(tuple(lesions))


def same_tables(one: Path, two: Path) -> bool:
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in TABLES)


def test_a_cluster_gives_the_bytes_that_this_machine_gives(cohort, settings, tmp_path, workers):
    run_extraction(cohort, settings, tmp_path / "here", jobs=2)
    seen = []
    result = run_extraction(cohort, settings, tmp_path / "there", workers=workers, timeout_s=60, progress=seen.append)
    assert (result.n_done, result.n_failed) == (6, 0)
    assert same_tables(tmp_path / "here", tmp_path / "there")
    assert seen[-1].done == seen[-1].total == 6
    assert list((tmp_path / "there" / "journal").iterdir()) == []
    assert run_extraction(cohort, settings, tmp_path / "there", workers=workers).n_resumed == 6


def test_the_run_folder_may_be_named_from_here(cohort, settings, tmp_path, workers, monkeypatch):
    """Workers begin in another folder, where the same relative path is none."""
    monkeypatch.chdir(tmp_path)
    assert run_extraction(cohort, settings, Path("run"), workers=workers).n_done == 6
    assert len(list((tmp_path / "run" / "shards").iterdir())) == 6


def test_whatever_version_a_run_depends_on_is_compared(cohort, settings, tmp_path, workers, monkeypatch):
    more = versions(settings) | {"pydicom": installed_version("pydicom")}  # as robustness asks for more than extract
    monkeypatch.setattr(run, "versions", lambda _: more)
    assert run_extraction(cohort, settings, tmp_path / "run", workers=workers).n_done == 6


def test_a_fit_whose_process_is_killed_is_begun_again(tmp_path, workers):
    assert list(workers.map_unordered(doubles.killed_at_first, [(tmp_path / "trace",)])) == ["done"]
    with pytest.raises(ClusterError, match="died 3 times with the same task"):
        list(workers.map_unordered(doubles.killed_at_first, [(tmp_path / "absent" / "trace",)]))


def test_a_lesion_that_kills_hangs_or_raises_costs_itself_alone(cohort, settings, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(run, "extract_scan", doubles.work_with_victims)
    result = run_extraction(cohort, settings, tmp_path / "run", workers=workers, timeout_s=2)
    found = {f.key: (f.stage, f.sentence.split(":")[0]) for f in result.failures}
    assert found.pop("p3/L2")[0] == "features"
    assert found == {"p2/L1": ("worker", "killed"), "p3/L0": ("worker", "timed out")}
    assert result.n_done == 3


def test_a_worker_that_is_killed_costs_what_it_has_in_work(settings, tmp_path, cluster, workers, monkeypatch):
    lesions = many_lesions(tmp_path / "data")
    run_extraction(lesions, settings, tmp_path / "here")
    monkeypatch.setattr(run, "extract_scan", doubles.work_slowly)
    lost = begin_worker(cluster.address)
    workers.client.wait_for_workers(3, timeout=60)
    out = tmp_path / "there"

    def kill_it() -> None:
        while len(doubles.computed(out)) < 5:
            time.sleep(0.01)
        end(lost)

    killer = threading.Thread(target=kill_it)
    killer.start()
    result = run_extraction(lesions, settings, out, workers=workers)
    killer.join()
    assert (result.n_done, result.n_failed, result.n_resumed) == (16, 0, 0)
    assert same_tables(tmp_path / "here", out)
    assert 16 <= len(doubles.computed(out)) <= 17  # at most the one lesion that it was at


def test_a_scheduler_that_dies_ends_the_run_and_nothing_is_lost(settings, tmp_path, monkeypatch):
    lesions = many_lesions(tmp_path / "data")
    monkeypatch.setattr(run, "extract_scan", doubles.work_slowly)
    cluster = Cluster(tmp_path, 1)
    out = tmp_path / "run"

    def kill_it() -> None:
        while len(doubles.computed(out)) < 3:
            time.sleep(0.01)
        end(cluster.scheduler)

    killer = threading.Thread(target=kill_it)
    killer.start()
    with (
        connected_to(cluster.address) as workers,
        pytest.raises(ClusterError, match=r"the Dask scheduler is gone; .* what is complete is kept"),
    ):
        run_extraction(lesions, settings, out, workers=workers)
    killer.join()
    end(cluster.workers[0])
    done = len(list((out / "shards").glob("*.json")))
    assert done >= 2
    assert (out / "failures.csv").read_text(encoding="utf-8").count("not-run") >= 1
    assert run_extraction(lesions, settings, out).n_resumed == done


def test_a_worker_with_other_versions_is_refused(cohort, settings, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(run, "versions", lambda _: {"numpy": "0.1"})
    with pytest.raises(ClusterError, match=r"has other versions \(.*numpy [\d.]+, not 0\.1"):
        run_extraction(cohort, settings, tmp_path / "run", workers=workers)


def test_a_worker_that_does_not_see_the_folder_says_so(cohort, settings, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(dask_workers, "do_scan", doubles.scan_out_of_sight)
    with pytest.raises(ClusterError, match=r"does not see the run folder .* on a disk that all machines share"):
        run_extraction(cohort, settings, tmp_path / "run", workers=workers)


def test_a_model_trained_on_a_cluster_is_the_model_trained_here(tmp_path, workers):
    study = feature_table(), clinical_table(tmp_path), Outcome("response")
    kept = []
    for name, spread in (("here", None), ("there", workers.map_unordered)):
        train(*study, quick_settings(), tmp_path / name, spread=spread)
        names = ("metrics.json", "cv_predictions.csv", "selected_features.csv", "golden.csv")
        kept.append([(tmp_path / name / file).read_bytes() for file in names])
    assert kept[0] == kept[1]


def test_a_scheduler_that_is_not_there_is_wrong_usage(monkeypatch):
    monkeypatch.setattr("radiomics_talent.extraction.cluster._CONNECT_S", 0.5)
    with (
        pytest.raises(ConfigError, match=r"--scheduler tcp://127\.0\.0\.1:1: no Dask scheduler answers there"),
        connected_to("tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize("address", ["", "foo", "tcp://node7", "http://node7:8786"])
def test_what_is_no_address_is_wrong_usage(address):
    with pytest.raises(ConfigError, match="is no address of a Dask scheduler"), connected_to(address):
        pass


def test_asking_a_batch_system_leaves_ctrl_c_to_the_run():
    """dask-jobqueue takes SIGINT for itself as it is imported: the run then ended at once, and with 0."""
    code = (
        "import signal; from radiomics_talent.extraction import cluster; before = signal.getsignal(signal.SIGINT); "
        "cluster._distributed(); cluster._jobqueue(); print(signal.getsignal(signal.SIGINT) is before)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"
