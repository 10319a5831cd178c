"""``radiomics-talent demo``: everything from end to end on a synthetic trial."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from radiomics_talent.reporting.qc import QcEntry
    from radiomics_talent.simulate.trial import Trial

_CONFIG, _MODEL_CONFIG = "talent-ct", "demo"
_OUTCOME = ("--study", "talent", "--outcome", "best_overall_response", "--positive", "CR,PR")


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Folder to write into: new, or of the same demo."),
    jobs: int = typer.Option(2, "--jobs", "-j", min=1, help="Worker processes."),
    seed: int = typer.Option(0, "--seed", min=0, help="Where every value of the trial comes from."),
    patients: int = typer.Option(12, "--patients", min=8, help="Patients of the trial; half of them respond."),
    features_only: bool = typer.Option(False, "--features-only", help="End with the feature table."),
) -> None:
    """Write a small synthetic trial as real DICOM, and go the whole way on it: from index to the score of a new scan.

    Twelve invented patients with two to four liver lesions each, from two sites. Prints the commands that do the same
    to your own scans, and says which pages to open.

    Example: radiomics-talent demo --out demo
    """
    from radiomics_talent.simulate.trial import write_trial

    start = time.monotonic()
    cohort, page, run = out / "cohort.csv", out / "qc.html", out / "run"
    with progress("writing the trial", "patients") as update:
        trial = write_trial(out, seed=seed, patients=patients, progress=update)
    typer.echo(f"a synthetic trial of {trial.patients} patients with {trial.lesions} lesions: {trial.dicom}")
    _run("index", trial.dicom, "--out", cohort, "--jobs", jobs)
    _print("check", cohort, "--config", _CONFIG, "--html", page)
    _check(cohort, page)
    _run("extract", cohort, "--config", _CONFIG, "--out", run, "--jobs", jobs)
    files = dict(_FEATURE_FILES)
    if not features_only:
        _model_and_score(out, trial, jobs=jobs, seed=seed)
        files |= _MODEL_FILES
    _say_what_is_where(out, files, time.monotonic() - start)


def _model_and_score(out: Path, trial: Trial, *, jobs: int, seed: int) -> None:
    """Read the responses, train on the trial, and score two patients whom the model has never seen."""
    from radiomics_talent.simulate.trial import write_trial

    run, model, new = out / "run", out / "model", out / "new"
    _run("recist", trial.measurements_csv, "--patients", trial.clinical_csv, "--out", out / "response.csv")
    _run(
        "train", run, "--clinical", trial.clinical_csv, *_OUTCOME, "--config", _MODEL_CONFIG, "--synthetic", "--out",
        model, "--jobs", jobs,
    )  # fmt: skip
    _run("report", "extract", run, "--out", out / "extraction.html")
    _run("report", "model", model, "--run", run, "--out", out / "model.html")
    write_trial(new, seed=seed + 1, patients=2)
    _run("index", new / "dicom", "--out", new / "cohort.csv")
    _run("score", model, "--cohort", new / "cohort.csv", "--out", out / "score", "--dicom-sr", "--jobs", jobs)


def _run(*words: object) -> None:
    """Do what the command line does with these words."""
    from radiomics_talent.cli import app

    _print(*words)
    code = app([str(word) for word in words], standalone_mode=False)
    if code:
        raise typer.Exit(code)


def _print(*words: object) -> None:
    typer.echo("\n$ radiomics-talent " + shlex.join(str(word) for word in words))


def _check(cohort: Path, page: Path) -> None:
    """Do what check does, and say how it went without a line a lesion."""
    from radiomics_talent.cohort.inspection import inspect_cohort
    from radiomics_talent.cohort.manifest import load_cohort
    from radiomics_talent.reporting.qc import QcEntry, write_qc_html
    from radiomics_talent.settings import ExtractionSettings

    table, settings = load_cohort(cohort), ExtractionSettings.from_yaml(_CONFIG)
    verdicts = {"ok": 0, "warning": 0, "error": 0}
    with progress("checking", "lesions") as update:

        def entries() -> Iterator[QcEntry]:
            for report in inspect_cohort(table, settings, progress=update):
                verdicts[report.verdict] += 1
                yield QcEntry(report.lesion.key, report.verdict, report.findings, report.image, report.mask)

        write_qc_html(entries(), page, title=f"Lesions of {cohort.name}")
    typer.echo(f"{sum(verdicts.values())} lesions: " + ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items()))
    typer.echo(f"pictures: {page}")


def _say_what_is_where(out: Path, files: Mapping[str, str], seconds: float) -> None:
    width = max(map(len, files))
    typer.echo(f"\nDone in {seconds:.0f} s. In {out}:")
    for name, text in files.items():
        typer.echo(f"  {name:<{width}}  {text}")
    pages = [name for name in files if name.endswith(".html")]
    typer.echo(f"Open in a browser: {', '.join(str(out / page) for page in pages)}")


_FEATURE_FILES = {
    "dicom/": "CT series, RTSTRUCT and SEG, as untidy as real exports",
    "clinical.csv": "invented patients: cohort, grade, response, survival",
    "measurements.csv": "diameters of the target lesions at every visit",
    "truth.csv": "true volume and texture of every lesion",
    "cohort.csv": "one row a lesion: the table you would edit",
    "series.csv": "one row a series, with what was found about it",
    "qc.html": "every lesion in three slices with its contour",
    "run/features.csv": "the features; features.parquet beside it",
    "run/features_dictionary.csv": "what each feature is: IBSI name and code, unit, definition",
    "run/failures.csv": "lesions without features, and why",
    "run/provenance.json": "settings, versions, hashes of voxels, timings",
}
_MODEL_FILES = {
    "response.csv": "responses by RECIST 1.1; rates, waterfall and spider beside it",
    "model/card.md": "what the model is; its figures in model/figures/",
    "extraction.html": "the extraction: every lesion in a viewer, features by site, batches",
    "model.html": "the model: every figure, Table 1, methods paragraph, checklists",
    "score/report.html": "two new patients: probability, domain, contributions, lesions",
    "score/score.json": "the same for a program; scores.csv for a spreadsheet; dicom/ for a PACS",
}
