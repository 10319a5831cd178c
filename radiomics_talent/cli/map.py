"""``radiomics-talent map``: features of a moving neighbourhood, voxel by voxel, as images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.compilation import compile_engine
from radiomics_talent.cli.jobs import usable_cpus

if TYPE_CHECKING:
    from radiomics_talent.cohort.manifest import Lesion
    from radiomics_talent.settings import ExtractionSettings

USUAL_RADIUS = 3


def map(  # noqa: A001  # the command's name
    cohort: Path | None = typer.Argument(None, help="The cohort table that index wrote.", metavar="[COHORT.CSV]"),
    lesion: str = typer.Option("", "--lesion", help="With COHORT.CSV: which of its lesions.", metavar="PATIENT/LESION"),
    image: Path | None = typer.Option(
        None, "--image", help="Without a table: CT folder, or a DICOM, NIfTI or NRRD file.", metavar="DIR_OR_FILE"
    ),
    mask: Path | None = typer.Option(
        None, "--mask", help="With --image: RTSTRUCT, SEG, NIfTI or NRRD file.", metavar="FILE"
    ),
    label: str = typer.Option(
        "", "--label", help="With --image: ROI name, segment number or voxel value.", metavar="LABEL"
    ),
    series: str = typer.Option(
        "", "--series", help="With --image: SeriesInstanceUID, where the folder holds several.", metavar="UID"
    ),
    config: str = typer.Option(
        ..., "--config", help="A preset, a settings file, or a PyRadiomics parameter file.", metavar="NAME|PATH"
    ),
    features: str = typer.Option(
        ...,
        "--features",
        help="Names, classes or patterns with commas: original_glcm_Contrast,firstorder_Mean,glcm,wavelet-*_glrlm_*",
        metavar="LIST",
    ),
    radius: int | None = typer.Option(
        None,
        "--radius",
        min=1,
        help="Voxels around a centre, 1 to 3; else voxelSetting.kernelRadius.",
        metavar="N",
    ),
    out: Path = typer.Option(..., "--out", help="Folder of the maps: new, or of earlier maps.", metavar="DIR"),
    outside: str = typer.Option(
        "", "--outside", help="Value of voxels that are not the lesion's: 0, nan ... [default: voxelSetting.initValue]"
    ),
    crop: bool = typer.Option(False, "--crop", help="Write the lesion's box alone."),
    float32: bool = typer.Option(False, "--float32", help="Store 32-bit floats; the default keeps all digits."),
    jobs: int = typer.Option(0, "--jobs", "-j", min=0, help="Threads; 0 takes every processor."),
    as_json: bool = typer.Option(False, "--json", help="Print maps.json."),
) -> None:
    """Map features over a lesion: of each voxel's neighbourhood, on the scan's (or the resampled) grid.

    Writes DIR/<feature>.nii.gz for each feature, maps.json (settings, hashes, ranges) and maps.png (the maps beside the
    CT). Numbers are those of PyRadiomics' voxel-based extraction. Exit code 0: all well; 1: the lesion cannot be used;
    2: wrong usage.

    Example: radiomics-talent map cohort.csv --lesion P1/L1 --config talent-ct --features glcm_Contrast --out maps
    """
    from radiomics_talent.cli.progress import progress
    from radiomics_talent.cohort.case import load_case
    from radiomics_talent.extraction.feature_maps import PICTURE, RECORD, check_folder, compute_maps, write_maps

    settings = _settings(config, radius, outside)
    check_folder(out)
    row = _lesion(cohort, lesion, image, mask, label, series)
    if settings.voxelSetting.kernelRadius > USUAL_RADIUS:
        side = 2 * settings.voxelSetting.kernelRadius + 1
        typer.echo(f"note: neighbourhoods of {side}^3 voxels: time and memory grow with them", err=True)
    compile_engine(settings)
    case = load_case(row, settings)
    with progress("mapping", "pieces") as bar:
        maps = compute_maps(
            case,
            settings,
            features=[name.strip() for name in features.split(",") if name.strip()],
            jobs=jobs or usable_cpus(),
            progress=bar,
        )
    files = write_maps(maps, case, settings, out, crop=crop, single=float32)
    from radiomics_talent.features.whole_files import replacing
    from radiomics_talent.reporting.map_figures import draw_maps

    with replacing(out / PICTURE) as temporary:
        draw_maps(maps, row.key, in_hu=not settings.setting.normalize).savefig(temporary, dpi=110)
    if as_json:
        typer.echo((out / RECORD).read_text(encoding="utf-8").rstrip())
        return
    for warning in maps.warnings:
        typer.echo(f"note: {warning}")
    typer.echo(f"{len(files)} maps of {maps.lesion.count} voxels, radius {maps.radius}: {out}")
    typer.echo(f"picture: {out / PICTURE}")


def _settings(config: str, radius: int | None, outside: str) -> ExtractionSettings:
    """Return the settings with what the command line says otherwise, so that the record tells what was done."""
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.settings import ExtractionSettings, with_engine

    settings = with_engine(ExtractionSettings.from_yaml(config), "native")
    changes: dict[str, float] = {} if radius is None else {"kernelRadius": radius}
    if outside:
        try:
            changes["initValue"] = float(outside)
        except ValueError as error:
            raise ConfigError(f"--outside {outside}: not a number; give 0, nan or another one") from error
        if math.isinf(changes["initValue"]) and "inf" not in outside.lower():
            raise ConfigError(f"--outside {outside}: larger than any number that an image holds; give a smaller one")
    return settings.model_copy(update={"voxelSetting": settings.voxelSetting.model_copy(update=changes)})


def _lesion(cohort: Path | None, key: str, image: Path | None, mask: Path | None, label: str, series: str) -> Lesion:
    """Return the row that is meant: of a table, or made of an image and a mask."""
    from radiomics_talent.cohort.manifest import load_cohort
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.scoring.new_scan import cohort_of_scan

    if (cohort is None) == (image is None):
        raise ConfigError("give either COHORT.CSV (with --lesion), or --image with --mask")
    if image is not None:
        if key:
            raise ConfigError("--lesion goes with COHORT.CSV; with --image, --label says which lesion")
        return cohort_of_scan(
            image, [] if mask is None else [mask], [label] if label else [], series_uid=series
        ).lesions[0]
    assert cohort is not None
    if mask is not None or label or series:
        raise ConfigError("--mask, --label and --series go with --image; a cohort table has columns for them")
    rows = load_cohort(cohort).lesions
    chosen = [row for row in rows if row.key == key] if key else list(rows)
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(row.key for row in rows[:8]) + (", ..." if len(rows) > 8 else "")
    what = f"--lesion {key} is not in the table" if key else "--lesion is missing"
    raise ConfigError(f"{what}; the table holds {listed}", where=str(cohort))
