"""Cases from files: a cohort, a scan of twenty lesions, a large CT; and what needs a process of its own for memory."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
import yaml
from feature_engines import FILTERED, UNRESAMPLED, pyradiomics, settings_of
from lesions_in_memory import warm_up
from measuring import Cost, largest_difference, measured, program_cost
from synthetic_scans import SyntheticScan, synthetic_scan, write_dicom

from radiomics_talent import ExtractionSettings, extract, load_case, load_cohort
from radiomics_talent.cohort.manifest import Lesion, write_cohort

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    Row = dict[str, Any]

PROGRAM = Path(sys.executable).with_name("radiomics-talent")


def sts(options: argparse.Namespace) -> Iterator[Row | str]:
    """Soft-tissue sarcomas (26 real CTs, a lesion of 16 to 1,981 ml each): PyRadiomics on the first patients."""
    archives = sorted((options.data / "sts").glob("*.tar.xz"))
    if not archives:
        yield f"skipped: {options.data / 'sts'} is not there"
        return
    folder = options.work / "sts"
    for archive in archives:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    _, index_cost = program_cost([PROGRAM, "index", folder, "--out", folder / "cohort.csv"])
    warm_up()
    settings = ExtractionSettings.from_yaml(options.config) if options.config else settings_of(FILTERED)
    theirs = pyradiomics(settings)
    for lesion in load_cohort(folder / "cohort.csv").lesions[: options.sts_patients]:
        case = load_case(lesion, settings)
        mask = case.mask
        native = [measured(extract, case.image, case.voxels, settings) for _ in range(2)]
        features, ours = native[0][0], native[0][1].best(native[1][1])
        expected, cost = measured(theirs, case.image, mask)
        yield {
            "lesion": lesion.patient_id,
            "ml": int(np.count_nonzero(case.voxels.voxels_zyx)) * float(np.prod(case.image.GetSpacing())) / 1000,
            "PyRadiomics CPU s": cost.cpu_s,
            "native CPU s": ours.cpu_s,
            "ratio CPU": cost.cpu_s / ours.cpu_s,
            "PyRadiomics MiB": cost.peak_mib,
            "native MiB": ours.peak_mib,
            "features": len(features),
            "largest difference": largest_difference(features, expected),
        }
    _, cost = _extract(folder / "cohort.csv", settings, options.work / "sts-run", jobs=2)
    busy = 100 * cost.cpu_s / (2 * cost.wall_s)
    yield (
        f"All {len(archives)} patients from DICOM: index {index_cost.wall_s:.1f} s, extract --jobs 2 "
        f"{cost.wall_s:.1f} s ({cost.cpu_s:.1f} CPU s: {busy:.0f} % of two cores), largest process "
        f"{cost.peak_mib:.0f} MiB; start-up of the program is in it."
    )


def scan20(options: argparse.Namespace) -> Iterator[Row | str]:
    """20 lesions of 10-100 mm in a CT of 512 x 512 x 300 voxels, from files to the table, 2 jobs."""
    diameters = tuple(float(d) for d in np.geomspace(10, 100, options.scan_lesions).round(1))
    scan = synthetic_scan(options.scan_slices, diameters)
    folder = options.work / "scan20"
    drawn = written_as_dicom(scan, folder)
    files = _written_as_nifti(drawn, folder)
    settings = settings_of(FILTERED)
    tables = {}
    warm_up()
    theirs = None if options.skip_pyradiomics else _alone("pyradiomics", FILTERED, files, options.work)
    for variant, cohort in (("DICOM, RTSTRUCT", folder / "cohort.csv"), ("DICOM, NIfTI masks", folder / "masks.csv")):
        runs = [_extract(cohort, settings, options.work / f"{cohort.stem}-{n}", jobs=2) for n in range(3)]
        table = tables[variant] = pd.read_parquet(options.work / f"{cohort.stem}-0" / "features.parquet")
        cost = runs[0][1].best(runs[1][1]).best(runs[2][1])
        row: Row = {
            "from": variant,
            "native wall s": cost.wall_s,
            "native CPU s": cost.cpu_s,
            "% of 2 cores": 100 * cost.cpu_s / (2 * cost.wall_s),
            "native MiB": cost.peak_mib,
        }
        if theirs is not None:
            row |= _against(table, theirs[0], cost.wall_s)
        yield row
    _, cost = program_cost([PROGRAM, "index", folder / "dicom", "--out", folder / "again.csv"])
    yield f"Before it, index of the DICOM: {cost.wall_s:.1f} s."
    if theirs is not None:
        total = sum(lesion["cpu_s"] for lesion in theirs[0])
        yield f"PyRadiomics, serial, `execute` on each lesion's files: {total:.0f} CPU s, {theirs[1].peak_mib:.0f} MiB."


def _against(table: pd.DataFrame, lesions: Sequence[Row], wall_s: float) -> Row:
    half = sum(lesion["cpu_s"] for lesion in lesions) / 2
    by_lesion = table.set_index("lesion_id")
    differences = [
        largest_difference({n: float(by_lesion.loc[f"L{i:02d}", n]) for n in lesion["features"]}, lesion["features"])
        for i, lesion in enumerate(lesions, start=1)
    ]
    return {"half of PyRadiomics CPU s": half, "ratio": half / wall_s, "largest difference": max(differences)}


def unresampled(options: argparse.Namespace) -> Iterator[Row | str]:
    """Filters without resampling: a 20 mm lesion in a CT of 512 x 512 x 300 voxels, each engine in its own process."""
    scan = synthetic_scan(300, (20.0,))
    folder = options.work / "unresampled"
    folder.mkdir(exist_ok=True)
    image, mask = folder / "ct.nii", folder / "lesion.nii"
    sitk.WriteImage(scan.image, str(image))
    sitk.WriteImage(scan.mask(0), str(mask))
    warm_up()
    lesions, whole = _alone("native", UNRESAMPLED, (image, [mask, mask, mask]), options.work)
    ours = min(lesions, key=lambda lesion: lesion["cpu_s"])
    row: Row = {"native CPU s": ours["cpu_s"], "native MiB of the process": whole.peak_mib}
    if options.skip_pyradiomics:
        yield row
        return
    (theirs,), their_whole = _alone("pyradiomics", UNRESAMPLED, (image, [mask]), options.work)
    yield {
        "PyRadiomics CPU s": theirs["cpu_s"],
        "native CPU s": ours["cpu_s"],
        "ratio CPU": theirs["cpu_s"] / ours["cpu_s"],
        "PyRadiomics MiB of the process": their_whole.peak_mib,
        "native MiB of the process": whole.peak_mib,
        "features": len(ours["features"]),
        "largest difference": largest_difference(ours["features"], theirs["features"]),
    }


def memory(options: argparse.Namespace) -> Iterator[Row]:
    """Peak memory of extract on a CT of 512 x 512 x 400 voxels with four lesions of 20-100 mm (DICOM, RTSTRUCT)."""
    scan = synthetic_scan(400, (20.0, 40.0, 60.0, 100.0))
    folder = options.work / "memory"
    written_as_dicom(scan, folder)
    warm_up()
    for preset in ("talent-ct", "talent-ct-full"):
        for jobs in (1, 2):
            out = options.work / f"memory-{preset}-{jobs}"
            record, cost = _extract(folder / "cohort.csv", ExtractionSettings.from_yaml(preset), out, jobs=jobs)
            yield {
                "settings": preset,
                "jobs": jobs,
                "wall s": cost.wall_s,
                "CPU s": cost.cpu_s,
                "worker MiB": record["peak_mib"],
                "largest process MiB": cost.peak_mib,
            }


def written_as_dicom(scan: SyntheticScan, folder: Path) -> tuple[Lesion, ...]:
    """Write and index a scan; return its lesions in the order of their diameters."""
    write_dicom(scan, folder / "dicom")
    program_cost([PROGRAM, "index", folder / "dicom", "--out", folder / "cohort.csv"])
    lesions = load_cohort(folder / "cohort.csv").lesions
    return tuple(sorted(lesions, key=lambda lesion: lesion.lesion_id))


def _written_as_nifti(drawn: Sequence[Lesion], folder: Path) -> tuple[Path, list[Path]]:
    """Write image and masks as files, and a cohort table of the DICOM scan with these masks.

    The masks are what our reader makes of the contours, so that PyRadiomics gets the very same voxels.
    """
    image = folder / "ct.nii"
    masks = [folder / f"{lesion.lesion_id}.nii.gz" for lesion in drawn]
    sitk.WriteImage(load_case(drawn[0]).image, str(image))
    for lesion, path in zip(drawn, masks, strict=True):
        sitk.WriteImage(load_case(lesion).mask, str(path))
    rows = [
        Lesion(row, "BENCH", lesion.lesion_id, lesion.image, path)
        for row, (lesion, path) in enumerate(zip(drawn, masks, strict=True), start=2)
    ]
    write_cohort(rows, folder / "masks.csv")
    return image, masks


def _extract(cohort: Path, settings: ExtractionSettings, out: Path, *, jobs: int) -> tuple[Row, Cost]:
    """Run `radiomics-talent extract` and return its JSON record and its cost."""
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    text, cost = program_cost(
        [PROGRAM, "extract", cohort, "--config", config, "--out", out, "--jobs", str(jobs), "--json"]
    )
    return json.loads(text), cost


def _alone(engine: str, record: Row, files: tuple[Path, Sequence[Path]], work: Path) -> tuple[list[Row], Cost]:
    """Run one engine in a process of its own; return each lesion's features and cost, and the process' cost."""
    config, out = work / "settings.json", work / "lesions.json"
    config.write_text(json.dumps(record))
    script = Path(__file__).with_name("feature_engines.py")
    _, cost = program_cost([sys.executable, script, engine, config, out, files[0], *files[1]])
    return json.loads(out.read_text()), cost
