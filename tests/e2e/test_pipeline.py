"""The workflow of pipelines/ on a small trial: killed and gone on with, then nothing to do, and what a change runs."""

import importlib.util
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from studies import write_settings

from radiomics_talent.cohort.manifest import cohort_from_index, load_cohort, write_cohort
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.simulate.trial import write_trial

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("snakemake") is None, reason="snakemake is not installed"),
]

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
LIGHT = """
featureClass: {firstorder: null, glcm: [Contrast, JointEntropy], shape: [MeshVolume]}
setting: {resampledPixelSpacing: [2, 2, 2], binWidth: 25}
"""
FEW_VERSIONS = "chains: {combined: {steps: [noise], versions: 2}}\n"
CHEAP = {"folds": 2, "repeats": 1, "permutations": 0, "learning_curve": [], "bootstrap": 100}
CHUNKS = 2


@dataclass(frozen=True)
class Study:
    """A folder with blanks in its name, in which snakemake works."""

    folder: Path
    settings: dict[str, Any]

    def command(self, *arguments: object, profile: str = "laptop") -> list[str]:
        (self.folder / "study.yaml").write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        fixed = ("--snakefile", PIPELINES / "talent" / "Snakefile", "--directory", self.folder)
        # A dry run asks for no more threads than it is given cores, whatever the profile.
        cores = 2 if profile == "laptop" else 8
        profiled = ("--profile", PIPELINES / "talent" / "profiles" / profile, "--cores", cores)
        return [sys.executable, "-m", "snakemake", *map(str, (*fixed, *profiled, *arguments))]

    def snakemake(self, *arguments: object, **options: str) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments, **options)
        pipe, both = subprocess.PIPE, subprocess.STDOUT  # a dry run tells on stdout, others on stderr
        return subprocess.run(command, stdout=pipe, stderr=both, text=True, check=False, timeout=600)

    def would_run(self, **changes: object) -> set[str]:
        """Rules that would run if the settings had these changes."""
        told = replace(self, settings=self.settings | changes).snakemake("--dry-run").stdout
        return set(re.findall(r"^(?:local)?rule (\w+):", told, re.MULTILINE)) - {"all"}

    def shards(self) -> dict[Path, int]:
        """Finished lesions of the chunks and when they were written."""
        found = self.folder.glob("re sults/*/chunks/*/*/shards/[!.]*.json")
        return {path: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Eight patients to train on, from DICOM; four of them again as a cohort.csv, with a mask that is not there."""
    folder = tmp_path_factory.mktemp("a study")
    trial = write_trial(folder / "trial", seed=3, patients=8)
    (folder / "light.yaml").write_text(LIGHT, encoding="utf-8")
    (folder / "few.yaml").write_text(FEW_VERSIONS, encoding="utf-8")
    write_settings(folder / "cheap.yaml", validation=CHEAP)
    own = folder / "own.csv"
    lesions = {x.patient_id: x for x in cohort_from_index(index_dicom(trial.dicom), own).lesions}
    first, *others = list(lesions.values())[:4]
    write_cohort([first, *others, replace(first, lesion_id="gone", mask=folder / "gone.dcm")], own)
    clinical = "trial/clinical.csv"
    settings = {
        "out": "re sults",
        "synthetic": True,
        "study": "talent",
        "cohorts": {
            "training": {
                "dicom": "trial/dicom",
                "clinical": clinical,
                "recist": {"measurements": "trial/measurements.csv", "patients": clinical, "confirm-days": 28},
            },
            "own": {"table": "own.csv", "clinical": clinical},
        },
        "extraction": {"config": "light.yaml", "chunks": CHUNKS},
        "robustness": {"perturbations": "few.yaml"},
        "models": {
            "response": {
                "config": "cheap.yaml", "outcome": "best_overall_response", "positive": ["CR", "PR"], "icc": True,
            }
        },
    }  # fmt: skip
    return Study(folder, settings)


@dataclass(frozen=True)
class Finished:
    """A study that was killed while it extracted, and then went on to its end."""

    study: Study
    kept: dict[Path, int]
    told: str

    @property
    def out(self) -> Path:
        return self.study.folder / "re sults"


@pytest.fixture(scope="module")
def finished(study: Study) -> Finished:
    kept = kill_while_it_extracts(study)
    assert study.snakemake("--unlock").returncode == 0
    again = study.snakemake()
    assert again.returncode == 0, again.stdout
    return Finished(study, kept, again.stdout)


def kill_while_it_extracts(study: Study) -> dict[Path, int]:
    """Kill snakemake and everything that it started, once lesions are done but not all of a chunk."""
    with subprocess.Popen(
        study.command("--until", "extract"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        deadline = time.monotonic() + 300
        while len(study.shards()) < 2:
            assert running.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started = psutil.Process(running.pid).children(recursive=True)
        running.kill()
        for process in started:
            if process.is_running():
                process.kill()
        while any(map(is_at_work, started)):
            time.sleep(0.1)
    assert not list(study.folder.glob("re sults/training/run/*/features.csv"))
    return study.shards()


def is_at_work(process: psutil.Process) -> bool:
    """Whether a killed process is still to end; where nobody buries orphans, they stay as zombies."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def features(run: Path) -> pd.DataFrame:
    (table,) = run.glob("*/features.csv")
    return pd.read_csv(table)


def test_lesions_of_a_killed_run_are_not_computed_again(finished):
    after = finished.study.shards()
    assert finished.kept.items() <= after.items()
    logs = [path.read_text(encoding="utf-8") for path in finished.out.glob("logs/training/extract-*.log")]
    resumed = [int(n) for log in logs for n in re.findall(r"(\d+) of them from an earlier run", log)]
    assert sum(resumed) == len(finished.kept)


def test_every_step_leaves_its_results(finished):
    out = finished.out
    cohort = load_cohort(out / "training" / "cohort.csv")
    extracted = features(out / "training" / "run")
    assert [*extracted["patient_id"]] == [x.patient_id for x in cohort.lesions]
    assert len(list((out / "training" / "chunks").glob("*/*/features.csv"))) == CHUNKS
    assert len(features(out / "own" / "run")) == 4
    (stability,) = (out / "training" / "robustness").glob("*/icc.csv")
    assert len(pd.read_csv(stability)) == len([c for c in extracted.columns if c.startswith("original_")])
    assert (out / "training" / "recist" / "response_lesions.csv").is_file()
    assert "invented" in (out / "models" / "response" / "card.md").read_text(encoding="utf-8")
    assert pd.read_csv(out / "evaluation" / "response" / "own" / "predictions.csv")["patient_id"].nunique() == 4
    for page in (
        "training/extraction",
        "training/qc",
        "training/robustness",
        "own/extraction",
        "models/response/report",
    ):
        assert (out / f"{page}.html").stat().st_size > 10_000, page


def test_a_lesion_that_failed_stops_nothing_and_is_told_at_the_end(finished):
    assert "own: check says of 5 lesions: 4 ok, 0 warning, 1 error" in finished.told
    (failures,) = (finished.out / "own" / "run").glob("*/failures.csv")
    assert f"own: 1 failed, see {failures.relative_to(finished.study.folder)}" in finished.told
    assert pd.read_csv(failures)["lesion_id"].tolist() == ["gone"]
    assert "training: none failed" in finished.told


def test_a_second_call_has_nothing_to_do(finished):
    again = finished.study.snakemake()
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout


def test_a_changed_setting_runs_what_depends_on_it(finished):
    study = finished.study
    assert study.would_run(report={"batch": "site"}) == {"report_extract"}
    models = {"response": study.settings["models"]["response"] | {"config": "demo"}}
    assert study.would_run(models=models) == {"empty_folds", "train", "evaluate", "report_model"}
    extraction = {"config": "talent-ct", "chunks": CHUNKS}
    after = study.would_run(extraction=extraction)
    assert after >= {"check", "extract", "merge", "perturb", "empty_folds", "train", "evaluate", "report_extract"}
    assert after.isdisjoint({"index", "recist"})


def test_an_edited_cohort_is_extracted_anew(finished):
    table = finished.study.folder / "own.csv"
    before = table.read_text(encoding="utf-8")
    table.write_text("".join(before.splitlines(keepends=True)[:-1]), encoding="utf-8")
    try:
        assert finished.study.would_run() == {"check", "extract", "merge", "evaluate", "report_extract"}
    finally:
        table.write_text(before, encoding="utf-8")


def test_strict_stops_at_an_error_and_keeps_its_page(study, tmp_path):
    table = study.folder / "own.csv"
    strict = {"strict": True, "cohorts": {"training": {"table": str(table)}}, "extraction": {"config": "talent-ct"}}
    stopped = Study(tmp_path, strict).snakemake()
    assert stopped.returncode == 1
    assert "rule check" in stopped.stdout
    assert (tmp_path / "study" / "training" / "qc.html").is_file()
    assert not (tmp_path / "study" / "training" / "chunks").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"chunk": 3}, "'chunk' was unexpected"),
        ({"extraction": {"config": "talent-c"}}, "talent-ct"),
        ({"robustness": None}, "models.response.icc is true, but nothing is perturbed"),
    ],
)
def test_a_wrong_study_is_refused_with_a_sentence(study, change, sentence):
    refused = replace(study, settings=study.settings | change).snakemake("--dry-run")
    assert refused.returncode == 1
    assert sentence in refused.stdout


def test_the_slurm_profile_asks_for_what_rules_need(study, tmp_path):
    settings = study.settings | {"cohorts": {"training": {"table": str(study.folder / "own.csv")}}, "models": {}}
    (tmp_path / "light.yaml").write_text(LIGHT, encoding="utf-8")
    (tmp_path / "few.yaml").write_text(FEW_VERSIONS, encoding="utf-8")
    told = Study(tmp_path, settings).snakemake("--dry-run", profile="slurm")
    assert told.returncode == 0, told.stdout
    extract = told.stdout.split("rule extract:")[1].split("rule ")[0]
    assert {"threads: 4", "mem_mb=10000", "runtime=480"} <= set(
        re.findall(r"threads: \d+|mem_mb=\d+|runtime=\d+", extract)
    )


def test_the_example_is_a_study():
    schema = yaml.safe_load((PIPELINES / "talent" / "config.schema.yaml").read_text(encoding="utf-8"))
    example = yaml.safe_load((PIPELINES / "talent" / "study.yaml").read_text(encoding="utf-8"))
    assert set(example) == set(schema["properties"])
    assert json.dumps(example["cohorts"]["training"]["recist"])
