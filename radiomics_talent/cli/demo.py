"""``radiomics-talent demo``: the main job from end to end on a synthetic trial."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.reporting.qc import QcEntry

_CONFIG = "talent-ct"


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Folder to write into: new, or of the same demo."),
    jobs: int = typer.Option(2, "--jobs", "-j", min=1, help="Worker processes."),
    seed: int = typer.Option(0, "--seed", min=0, help="Where every value of the trial comes from."),
) -> None:
    """Write a small synthetic trial as real DICOM, then index, check and extract it.

    Twelve invented patients with two to four liver lesions each, from two sites. Prints the commands that do the same
    to your own scans.

    Example: radiomics-talent demo --out demo
    """
    from radiomics_talent.cli.extract import extract
    from radiomics_talent.cli.index import index
    from radiomics_talent.simulate.trial import write_trial

    start = time.monotonic()
    cohort, page, run = out / "cohort.csv", out / "qc.html", out / "run"
    with progress("writing the trial", "patients") as update:
        trial = write_trial(out, seed=seed, progress=update)
    typer.echo(f"a synthetic trial of {trial.patients} patients with {trial.lesions} lesions: {trial.dicom}")

    _command("index", trial.dicom, "--out", cohort, "--jobs", jobs)
    index(dicom_root=trial.dicom, out=cohort, series_out=None, jobs=jobs, pseudonymise=None, roi=[])

    _command("check", cohort, "--config", _CONFIG, "--html", page)
    _check(cohort, page)

    _command("extract", cohort, "--config", _CONFIG, "--out", run, "--jobs", jobs)
    extract(
        cohort=cohort, config=_CONFIG, out=run, jobs=jobs, timeout=3600.0, dry_run=False, save_preprocessed=False,
        as_json=False,
    )  # fmt: skip
    _say_what_is_where(out, time.monotonic() - start)


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


def _command(*words: object) -> None:
    typer.echo("\n$ radiomics-talent " + shlex.join(str(word) for word in words))


def _say_what_is_where(out: Path, seconds: float) -> None:
    files = {
        "dicom/": "CT series, RTSTRUCT and SEG, as untidy as real exports",
        "clinical.csv": "invented patients: cohort, grade, response, survival",
        "truth.csv": "true volume and texture of every lesion",
        "cohort.csv": "one row a lesion: the table you would edit",
        "series.csv": "one row a series, with what was found about it",
        "qc.html": "every lesion in three slices with its contour; open it in a browser",
        "run/features.csv": "the features; features.parquet beside it",
        "run/failures.csv": "lesions without features, and why",
        "run/provenance.json": "settings, versions, hashes of voxels, timings",
    }
    width = max(map(len, files))
    typer.echo(f"\nDone in {seconds:.0f} s. In {out}:")
    for name, text in files.items():
        typer.echo(f"  {name:<{width}}  {text}")
