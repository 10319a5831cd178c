"""``radiomics-talent index``: from a tree of DICOM files to cohort.csv and series.csv."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.jobs import usable_cpus
from radiomics_talent.cli.progress import progress

if TYPE_CHECKING:
    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.dicom.index import DicomIndex
    from radiomics_talent.findings import Finding

_MOST_SHOWN = 10


def index(
    dicom_root: Path = typer.Argument(help="Folder with the DICOM files; any depth, any names, junk among them."),
    out: Path = typer.Option(..., "--out", "-o", help="Table to write: one row a lesion."),
    series_out: Path | None = typer.Option(
        None,
        help="Table to write: one row a series, with every finding.",
        show_default="series.csv beside --out",
    ),
    jobs: int = typer.Option(0, "--jobs", "-j", min=0, help="Processes that read headers; 0 takes every CPU."),
    pseudonymise: Path | None = typer.Option(
        None,
        metavar="KEYFILE",
        help="Replace patient_id by a keyed hash, stable between runs. Paths, ROI names, series UIDs and study dates "
        "stay as they are.",
    ),
    roi: list[str] = typer.Option(
        [], metavar="PATTERN", help="Keep only ROIs and segments whose whole name fits (any case); may be repeated."
    ),
) -> None:
    """Find CT series and lesion masks below a folder, and write the table that the other commands start from.

    Headers only are read; links to folders elsewhere are followed. Until its series is described, a header waits in the
    folder for temporary files (TMPDIR): some 150 bytes a file, removed at the end.

    An older table that differs is kept as FILE.bak, FILE.bak2 and so on.

    Ends with exit code 1 when a file or folder could not be read, or no lesion was found.

    Example: radiomics-talent index /data/dicom --out cohort.csv --jobs 2 --roi 'GTV.*'
    """
    from radiomics_talent.cohort.manifest import cohort_from_index, write_cohort, write_series_table
    from radiomics_talent.cohort.pseudonym import read_key
    from radiomics_talent.dicom.index import index_dicom
    from radiomics_talent.errors import ConfigError

    key = None if pseudonymise is None else read_key(pseudonymise)
    series_path = series_out or out.parent / "series.csv"
    for option, path in (("--out", out), ("--series-out", series_path)):
        if path.is_dir():
            raise ConfigError(f"{option} is a folder; name the CSV file to write", where=str(path))
    if series_path.absolute() == out.absolute():
        raise ConfigError("--out and --series-out are the same file; name two", where=str(out))
    if not dicom_root.is_dir():
        raise ConfigError("there is no such folder; give the folder that holds the DICOM files", where=str(dicom_root))
    with progress("indexing", "files") as update:
        found = index_dicom(dicom_root, jobs=jobs or usable_cpus(), progress=update)
    cohort = cohort_from_index(found, out, pseudonymise=key, rois=roi)
    backups = {}
    for path in (out, series_path):
        path.parent.mkdir(parents=True, exist_ok=True)
        backups[path] = _keep_old(path)
    try:
        write_cohort(cohort, out)
        write_series_table(found, series_path, pseudonymise=key)
    finally:
        for path, old in backups.items():
            _drop_same(path, old)
    _report(found, cohort, out, series_path, hide_places=key is not None)
    if not cohort.lesions:
        typer.echo(f"no lesion found: {_why_none(found, roi, hide_names=key is not None)}", err=True)
    if not cohort.lesions or any(f.is_error for f in (*found.findings, *cohort.findings)):
        raise typer.Exit(1)


def _keep_old(path: Path) -> Path | None:
    """Keep what a researcher may have edited by hand, under a free name, and under its own till then."""
    if not path.is_file():
        return None
    number = 1
    while os.path.lexists(old := path.with_name(f"{path.name}.bak{number if number > 1 else ''}")):
        number += 1
    try:
        old.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copy2(path, old)
    return old


def _drop_same(path: Path, old: Path | None) -> None:
    if old is None:
        return
    if old.read_bytes() == path.read_bytes():
        old.unlink()
    else:
        typer.echo(f"the older {path} is kept as {old}", err=True)


def _why_none(found: DicomIndex, roi: list[str], *, hide_names: bool) -> str:
    names = sorted({link.roi_name for link in found.links if link.series is not None})
    if not names:
        return "no RTSTRUCT or SEG belongs to a CT series there"
    patterns = ", ".join(map(repr, roi))
    sentence = f"--roi {patterns} fits the whole name of none of the {len(names)} names of ROIs and segments"
    if hide_names:
        return sentence
    more = ", ..." if len(names) > _MOST_SHOWN else ""
    return f"{sentence}: {', '.join(map(repr, names[:_MOST_SHOWN]))}{more}"


def _report(found: DicomIndex, cohort: CohortTable, out: Path, series: Path, *, hide_places: bool) -> None:
    volumes = sum(s.is_volume for s in found.series)
    patients = len({lesion.patient_id for lesion in cohort.lesions})
    typer.echo(f"{found.files_read} DICOM files read, {found.files_ignored} other files left out")
    typer.echo(f"{len(found.series)} series, of which {volumes} are CT volumes: {series}")
    typer.echo(f"{len(cohort.lesions)} lesions of {patients} patients: {out}")
    unlinked = sum(link.series is None for link in found.links)
    if unlinked:
        typer.echo(f"{unlinked} ROIs or segments belong to no CT volume there and are left out")
    of_series = [f for s in found.series for f in s.findings if f.level != "info"]
    _list_findings([*found.findings, *of_series, *cohort.findings], hide_places=hide_places)
    if cohort.lesions:
        typer.echo(f"next: radiomics-talent check {out}")


def _list_findings(findings: list[Finding], *, hide_places: bool) -> None:
    """Print a few findings of each code; with pseudonyms no places, which could hold a PatientID."""
    by_code: dict[str, list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        by_code.setdefault(finding.code, []).append(finding)
    for code, group in by_code.items():
        if hide_places and code != "identifier-left":
            typer.echo(f"{group[0].level}: {code}: {len(group)} times")
            continue
        for finding in group[:_MOST_SHOWN]:
            typer.echo(f"{finding.level}: {code}: {finding}")
        if len(group) > _MOST_SHOWN:
            typer.echo(f"{group[0].level}: {code}: and {len(group) - _MOST_SHOWN} more")
