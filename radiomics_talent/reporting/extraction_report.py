"""The page of ``report extract``: what an extraction run holds, and what a reader of its table should know."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from radiomics_talent.cohort.manifest import load_cohort
from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features.cells import unescape_cell
from radiomics_talent.features.dataset import find_features
from radiomics_talent.features.table import load_features
from radiomics_talent.modelling import batch_effects
from radiomics_talent.modelling.dataset import BATCH_COLUMNS
from radiomics_talent.modelling.lesions import lesion_volumes_ml
from radiomics_talent.reporting import extraction_figures as figures
from radiomics_talent.reporting import settings_words as words
from radiomics_talent.reporting.extraction_batches import (
    BATCH_WORDS,
    batch_section,
    component_section,
    correlation_section,
    dividing_column,
)
from radiomics_talent.reporting.extraction_figures import Plate, plate
from radiomics_talent.reporting.extraction_gallery import LEVELS, make_gallery
from radiomics_talent.reporting.html import render_page
from radiomics_talent.reporting.viewer import viewer_assets
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.features.table import FeatureTable

DEFAULT_VIEWERS = 60
_MOST_BARS = 15
_SECTIONS = (
    ("summary", "Summary"),
    ("cohort", "Cohort"),
    ("failures", "Failures"),
    ("batches", "Features by batch"),
    ("components", "ComBat"),
    ("correlation", "Correlation"),
    ("gallery", "Lesions"),
    ("provenance", "Provenance"),
)


@dataclass(frozen=True, slots=True, eq=False)
class ExtractionRun:
    """What extract left in its folder.

    Attributes
    ----------
    table : FeatureTable
        The features; no row when every lesion failed.
    failures : tuple of dict
        Rows of failures.csv.
    provenance : dict
        provenance.json.
    settings : ExtractionSettings
        The run's settings.
    cohort : CohortTable or None
        Where the scans are; None when the table is gone.
    remark : str
        Why there is no cohort; else empty.
    """

    table: FeatureTable
    failures: tuple[dict[str, str], ...]
    provenance: dict[str, Any]
    settings: ExtractionSettings
    cohort: CohortTable | None
    remark: str


def read_run(run: Path, cohort: Path | None = None) -> ExtractionRun:
    """Read a run folder.

    Parameters
    ----------
    run : Path
        The folder that extract wrote.
    cohort : Path, optional
        The cohort table, when it is no longer where the run found it.

    Raises
    ------
    ConfigError
        The folder is no finished run, or its record is damaged.
    TableError
        The feature table, or the cohort table that was named, cannot be used.
    """
    features = find_features(run)
    missing = [n for n in ("failures.csv", "provenance.json") if not (run / n).is_file()]
    if features is None or features.suffix == ".csv" or missing:  # Parquet is written last
        hint = (
            "wait until extract has finished, or run it again"
            if (run / "run.json").is_file()
            else "name the folder that extract wrote"
        )
        raise ConfigError(f"{[*missing, 'features.parquet'][0]} is not there; {hint}", where=str(run))
    provenance, settings = _read_provenance(run / "provenance.json")
    table = load_features(features)
    table_of_lesions, remark = _find_cohort(run, provenance, cohort)
    return ExtractionRun(table, _read_failures(run / "failures.csv"), provenance, settings, table_of_lesions, remark)


def write_extraction_html(
    run: ExtractionRun,
    path: Path,
    *,
    title: str,
    batch: str | None = None,
    viewers: int = DEFAULT_VIEWERS,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the page of a run.

    Parameters
    ----------
    run : ExtractionRun
        From `read_run`.
    path : Path
        Page to write.
    title : str
        Its heading.
    batch : str, optional
        Key column that names the batch; by default the first of kernel, manufacturer, site, contrast phase and
        slice thickness that divides the lesions.
    viewers : int
        Most lesions with an interactive viewer.
    progress : callable, optional
        Called with the number of lesions drawn and their total.
    """
    records = run.provenance["lesions"]
    cards = make_gallery(records, run.cohort, run.settings, viewers=viewers, progress=progress)
    column = batch or dividing_column(run.table)
    with_viewer = sum(card.volume is not None for card in cards)
    render_page(
        "extract.html.j2",
        path,
        title=title,
        assets=viewer_assets() if with_viewer else None,
        sections=_SECTIONS,
        **_summary(run),
        overview=_overview(run.table),
        constant=_constant(run.table),
        failures=run.failures,
        **batch_section(run.table, column, chosen=batch is not None),
        **component_section(run.table, column),
        **correlation_section(run.table),
        cards=cards,
        counts={level: sum(card.level == level for card in cards) for level in LEVELS},
        gallery_remarks=_gallery_remarks(run, cards, with_viewer, viewers),
        provenance=_provenance(run.provenance),
        settings_text=json.dumps(words.with_effect(run.provenance["settings"]), indent=1, ensure_ascii=False),
    )


def _read_provenance(path: Path) -> tuple[dict[str, Any], ExtractionSettings]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        settings = ExtractionSettings.model_validate(record["settings"])
        is_whole = all({"patient_id", "lesion_id", "status"} <= set(x) for x in record["lesions"])
        is_whole &= all(k in record for k in ("program", "versions", "settings_sha256", "seconds", "platform"))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ConfigError("is damaged, or of another version; run extract again", where=str(path)) from error
    if not is_whole:
        raise ConfigError("is damaged, or of another version; run extract again", where=str(path))
    return record, settings


def _read_failures(path: Path) -> tuple[dict[str, str], ...]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    wanted = ("row", "patient_id", "lesion_id", "stage", "sentence")
    if not set(wanted) <= set(reader.fieldnames or ()) or any(row.get(name) is None for row in rows for name in wanted):
        raise ConfigError(
            f"is no table of failures: expected the columns {', '.join(wanted)}; run extract again", where=str(path)
        )
    return tuple({name: unescape_cell(row[name]) for name in wanted} for row in rows)


def _find_cohort(run: Path, provenance: dict[str, Any], named: Path | None) -> tuple[CohortTable | None, str]:
    if named is not None:
        return load_cohort(named), ""
    recorded = provenance.get("cohort")
    if not recorded:
        return None, "The run was not made from a cohort table, so the lesions have no pictures; give it with --cohort."
    try:
        return load_cohort(run / recorded), ""
    except TableError:
        return None, (
            f"The cohort table ({recorded}, seen from the run folder) is gone or cannot be read any more, so the "
            "lesions have no pictures; give it with --cohort."
        )


def _summary(run: ExtractionRun) -> dict[str, Any]:
    p, records = run.provenance, run.provenance["lesions"]
    engine_warnings = Counter(text for r in records for text in set(r.get("warnings", ())))
    scans = {r["image"] for r in records}
    failed = len(run.failures)
    tiles = [
        (len({r["patient_id"] for r in records}), "patients"),
        (len(scans), "scans"),
        (len(run.table), "lesions with features"),
        (failed, "failed"),
        (len(run.table.features), "features"),
        (f"{p['seconds']:.0f} s", "time of the run"),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in p["versions"].items())
    remarks = [] if p.get("complete", True) else ["The run was interrupted: lesions are missing from this page."]
    if p.get("excluded_by_review"):
        remarks.append(
            f"{len(p['excluded_by_review'])} lesions were rejected in review and left out: see excluded.csv."
        )
    if not len(run.table):
        remarks.append("No lesion has features: see the failures below.")
    day, program = str(p.get("finished", ""))[:10], p["program"].get("radiomics-talent", "")
    return {
        "subtitle": f"Extraction of {day}, radiomics-talent {program}. Research use only.",
        "tiles": tiles,
        "remarks": remarks,
        "summary": [*_processing(run.settings), ("Settings SHA-256", p["settings_sha256"]), ("Versions", versions)],
        "warnings": engine_warnings.most_common(),
        "cohort_findings": p.get("cohort_findings", []),
    }


def _processing(settings: ExtractionSettings) -> list[tuple[str, str]]:
    """Tell what the IBSI chain did; PyRadiomics' users know their settings by name."""
    if settings.ibsi is None:
        return []
    extraction = settings.canonical()
    return [
        ("Features", words.engine(extraction, {})),
        ("Interpolation", words.resampling(extraction)),
        ("Re-segmentation", words.resegmentation(extraction)),
        ("Grey levels", words.discretisation(extraction)),
        ("Texture", words.texture(extraction)),
    ]


def _overview(table: FeatureTable) -> list[Plate]:
    if not len(table):
        return []
    frame = table.frame
    each = Counter(frame["patient_id"].value_counts().tolist())
    counts = {f"{n} lesion{'s' if n > 1 else ''}": each[n] for n in sorted(each)}
    plates = [_bars(counts, "patients", "Lesions a patient")]
    for column in BATCH_COLUMNS:
        levels = Counter(batch_effects.batch_labels(table, column).tolist())
        if len(levels) > 1:
            plates.append(_bars(dict(levels.most_common()), "lesions", f"Lesions by {BATCH_WORDS[column]}"))
    volumes = lesion_volumes_ml(frame, table.features)
    volumes = volumes[np.isfinite(volumes) & (volumes > 0)]
    if len(volumes) > 1:
        figure = figures.draw_histogram(
            volumes, "lesion volume (ml)", logarithmic=bool(volumes.max() > 10 * volumes.min())
        )
        alt = f"Histogram of the volumes of {len(volumes)} lesions, from {volumes.min():.3g} to {volumes.max():.3g} ml"
        plates.append(plate(figure, alt=alt, caption="Lesion volumes"))
    return plates


def _bars(counts: dict[str, int], unit: str, caption: str) -> Plate:
    names = list(counts)
    if len(names) > _MOST_BARS:
        rest = sum(counts[n] for n in names[_MOST_BARS - 1 :])
        counts = {n: counts[n] for n in names[: _MOST_BARS - 1]} | {figures.OTHERS: rest}
    said = figures.listed([f"{name}: {n}" for name, n in counts.items()])
    return plate(figures.draw_counts(counts, unit), alt=f"Bars, number of {unit}. {said}", caption=caption)


def _constant(table: FeatureTable) -> list[tuple[str, str]]:
    """Name what is the same for all lesions: a figure of one bar says no more than its name."""
    if not len(table):
        return []
    levels = {c: set(batch_effects.batch_labels(table, c).tolist()) for c in BATCH_COLUMNS}
    return [(BATCH_WORDS[c].capitalize(), f"{next(iter(v))} (all lesions)") for c, v in levels.items() if len(v) == 1]


def _gallery_remarks(run: ExtractionRun, cards: Sequence[Any], with_viewer: int, viewers: int) -> list[str]:
    remarks = [run.remark] if run.remark else []
    pictured = sum(bool(card.pictures) for card in cards)
    if pictured and with_viewer < pictured:
        remarks.append(
            f"{with_viewer} of {pictured} lesions have a viewer, the others still pictures (limit {viewers}; change it "
            "with --viewers)."
        )
    if with_viewer:
        remarks.append(
            "Scroll with the wheel, the slider or the arrow keys; drag to change the window; keys 1 to 4 are window "
            "presets, C the contour. The yellow line runs along the borders of the mask's voxels, before resampling."
        )
    return remarks


def _provenance(p: dict[str, Any]) -> list[tuple[str, str]]:
    platform = ", ".join(str(v) for v in p["platform"].values())
    return [
        ("Command", " ".join(map(str, p.get("command", ())))),
        ("Started", str(p.get("started", ""))),
        ("Finished", str(p.get("finished", ""))),
        ("Seconds", f"{p['seconds']:.1f}"),
        ("Processes", str(p.get("jobs", ""))),
        ("Time limit a lesion", f"{p['timeout_s']:g} s" if p.get("timeout_s") else "none"),
        ("Complete", "yes" if p.get("complete", True) else "no"),
        ("Engine", str(p["program"].get("engine", ""))),
        ("Platform", platform),
        ("Cohort table", str(p.get("cohort") or "not recorded")),
        ("Settings SHA-256", p["settings_sha256"]),
        *((name, str(version)) for name, version in p["versions"].items()),
    ]
