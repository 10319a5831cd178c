"""The page of ``robustness controls``: where the signal lies, as far as negative controls can tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from radiomics_talent.modelling.metrics import Estimate
from radiomics_talent.reporting import robustness_words as words
from radiomics_talent.reporting.extraction_figures import Plate, listed, plate
from radiomics_talent.reporting.html import render_page
from radiomics_talent.reporting.robustness_control_figures import draw_controls, draw_effects
from radiomics_talent.reporting.robustness_folder import (
    damaged,
    finished_record,
    read_failures,
    read_record,
    read_table,
)
from radiomics_talent.reporting.robustness_run import lesion_counts, run_pairs, run_subtitle
from radiomics_talent.reporting.settings_words import with_effect
from radiomics_talent.robustness.control_effects import effects_by_kind
from radiomics_talent.robustness.control_verdict import FEATURE_SETS, ControlRow
from radiomics_talent.robustness.controls import surroundings_matter
from radiomics_talent.robustness_settings import ControlSettings
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from markupsafe import Markup

_NEEDED = ("effects.csv", "failures.csv")
_METRICS = {"auc": "AUC", "c_index": "C-index"}
_KINDS = ("shape", "firstorder", "texture")
_SECTIONS = (
    ("summary", "Verdict"),
    ("models", "Models on the controls"),
    ("effects", "What controls do to features"),
    ("controls", "The controls"),
    ("failures", "Failures"),
    ("methods", "For the methods section"),
    ("provenance", "Provenance"),
)


def write_controls_page(run: Path, path: Path, *, title: str) -> None:
    """Write the page of a finished run of ``robustness controls``.

    Parameters
    ----------
    run : Path
        Run folder; without controls.json, no model was asked for.
    path : Path
        Page to write.
    title : str
        Its heading.

    Raises
    ------
    ConfigError
        The run is not finished, or a file of it is damaged.
    """
    record = finished_record(run, "controls", _NEEDED)
    settings, extraction = _settings(run, record)
    effects = read_table(
        run / "effects.csv", ("feature", "depends_on", "control"), ("changed", "difference", "spearman")
    )
    failures = read_failures(run)
    report = read_record(run / "controls.json") if (run / "controls.json").is_file() else None
    rows = [] if report is None else _rows(run / "controls.json", report)
    idle = _idle_surroundings(effects)
    metric = "" if report is None else _METRICS.get(str(report["metric"]), str(report["metric"]))
    render_page(
        "robustness_controls.html.j2",
        path,
        title=title,
        sections=_SECTIONS,
        subtitle=run_subtitle("Negative controls", record),
        report=report,
        findings=[] if report is None else [words.prose(str(s)) for s in report["findings"]],
        metric=metric,
        tiles=_tiles(record, report, effects, settings, len(failures)),
        models=_model_plate(rows, metric),
        rows=rows,
        effects=_effects_plate(effects.loc[~effects["control"].isin(idle)]),
        idle=_idle_sentences(idle, extraction),
        most_kept=_most_kept(effects),
        feature_sets=words.FEATURE_SETS,
        definitions=[(name.replace("_", " "), words.prose(words.CONTROLS[name])) for name in settings.controls],
        reach=[words.prose(s) for s in _reach(settings, extraction)],
        failures=failures,
        methods=_methods(record, report, settings, extraction, metric),
        references=(words.READII, words.WELCH),
        provenance=run_pairs(record),
        settings_text=json.dumps(
            {"controls": settings.canonical(), "extraction": with_effect(record["settings"])}
            | ({} if report is None else {"model": report.get("model", {})}),
            indent=1, ensure_ascii=False,
        ),
    )  # fmt: skip


def _settings(run: Path, record: dict[str, Any]) -> tuple[ControlSettings, ExtractionSettings]:
    try:
        return (
            ControlSettings.model_validate(record["controls"]),
            ExtractionSettings.model_validate(record["settings"]),
        )
    except (KeyError, ValidationError) as error:
        raise damaged(run / "provenance.json") from error


def _rows(path: Path, report: dict[str, Any]) -> list[ControlRow]:
    sets = {name: name for name in FEATURE_SETS}
    try:
        rows = [
            ControlRow(
                str(row["control"]), sets[row["features"]], int(row["n_features"]), bool(row["unchanged"]),
                _estimate(row["metric"]) or Estimate(np.nan, np.nan, np.nan), _estimate(row["lost"]),
                _estimate(row["below_all"]),
            )
            for row in report["rows"]
        ]  # fmt: skip
        whole = {"metric", "patients", "lesions", "events", "verdict", "sentence", "findings", "outcome"} <= set(report)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error
    if not whole:
        raise damaged(path)
    return rows


def _estimate(record: dict[str, Any] | None) -> Estimate | None:
    """Return a figure; JSON has null where it is not defined."""
    if record is None:
        return None
    return Estimate(*(np.nan if record[name] is None else float(record[name]) for name in ("value", "low", "high")))


def _tiles(
    record: dict[str, Any], report: dict[str, Any] | None, effects: pd.DataFrame, settings: ControlSettings, failed: int
) -> list[tuple[str, str]]:
    patients, lesions = lesion_counts(record)
    tiles = [
        (f"{lesions:,}", "lesion" if lesions == 1 else "lesions"),
        (f"{patients:,}", "patient" if patients == 1 else "patients"),
        (f"{len(settings.controls)}", "control" if len(settings.controls) == 1 else "controls"),
        (f"{effects['feature'].nunique():,}", "features"),
        (f"{failed:,}", "failed"),
    ]
    if report is not None:
        tiles.insert(2, (f"{report['events']:,}", f"events of {report['patients']:,} patients judged"))
    return tiles


def _model_plate(rows: list[ControlRow], metric: str) -> Plate | None:
    if not rows:
        return None
    drawn = [(r.control, r.features, r.metric.value, r.metric.low, r.metric.high, r.unchanged) for r in rows]
    said = listed(
        [f"{r.control.replace('_', ' ')}, {words.FEATURE_SETS.get(r.features, r.features)}: {r.metric}" for r in rows]
    )
    caption = (
        f"{metric} of out-of-fold scores with its 95 % bootstrap interval, on the lesions as they are and on each "
        "control, with each set of features. The dashed line at 0.5 is chance; hollow: the control changes none of "
        "these features, so its figure is the original's."
    )
    figure = draw_controls(drawn, words.FEATURE_SETS, metric)
    return plate(figure, alt=f"Dots with whiskers, {metric}. {said}", caption=words.prose(caption))


def _idle_surroundings(effects: pd.DataFrame) -> list[str]:
    """Return the controls of the surroundings that change no feature."""
    changes = (effects["changed"] > 0).groupby(effects["control"], sort=False).any()
    return [str(name) for name, changed in changes.items() if str(name).startswith("surroundings") and not changed]


def _idle_sentences(idle: list[str], extraction: ExtractionSettings) -> list[Markup]:
    if not idle:
        return []
    names = words.joined([f"`{name}`" for name in idle])
    why = (
        "no value of a feature changed"
        if surroundings_matter(extraction)
        else "with these settings nothing outside of the lesion enters a feature, so they change none"
    )
    return [words.prose(f"Not drawn: {names}; {why}.")]


def _reach(settings: ControlSettings, extraction: ExtractionSettings) -> list[str]:
    """Say how far the surroundings reach, where any control is of them."""
    if not any(name.startswith("surroundings") for name in settings.controls):
        return []
    if not surroundings_matter(extraction):
        return ["With these settings nothing outside of the lesion enters a feature: its surroundings change none."]
    return [words.surroundings_words(settings.surroundings_mm, extraction)]


def _effects_plate(effects: pd.DataFrame) -> Plate | None:
    kinds = [k for k in _KINDS if (effects["depends_on"] == k).any()]
    controls = list(dict.fromkeys(effects["control"]))
    if not kinds or not controls:
        return None
    by_kind = effects_by_kind(effects).set_index(["control", "depends_on"])
    changed, spearman = (
        by_kind[name].unstack("depends_on").reindex(index=controls, columns=kinds).to_numpy(np.float64)
        for name in ("changed", "spearman")
    )
    names = [words.FEATURE_SETS[k] for k in kinds]
    said = listed(
        [
            f"{c.replace('_', ' ')}, {k}: {changed[i, j]:.0%} changed, Spearman {spearman[i, j]:.2f}"
            for i, c in enumerate(controls)
            for j, k in enumerate(names)
        ]
    ).replace("nan", "not defined")
    caption = (
        "What each control does to features that depend on the contour alone (shape), on the histogram (first order) "
        "and on the arrangement of voxels (texture; with it every feature of an image whose filter mixes neighbours). "
        "Left: share of values that change. Right: correlation over lesions of a feature with its control; near 1 the "
        "feature orders lesions as before, by volume or histogram. Hatched: not defined."
    )
    figure = draw_effects(controls, names, changed, spearman)
    return plate(figure, alt=f"Two heat maps. {said}", caption=words.prose(caption))


def _most_kept(effects: pd.DataFrame) -> list[tuple[str, str]]:
    """Return texture features that shuffling leaves in order most, and their correlation."""
    texture = effects.loc[(effects["control"] == "roi_shuffled") & (effects["depends_on"] == "texture")]
    most = texture.dropna(subset=["spearman"]).sort_values("spearman", ascending=False, kind="stable").head(20)
    return [(str(f), f"{s:.3f}") for f, s in zip(most["feature"], most["spearman"], strict=True)]


def _methods(
    record: dict[str, Any],
    report: dict[str, Any] | None,
    settings: ControlSettings,
    extraction: ExtractionSettings,
    metric: str,
) -> str:
    patients, lesions = lesion_counts(record)
    made = words.joined([words.CONTROLS[name] for name in settings.controls], "; ")
    sentences = [
        (
            f"Negative controls in the manner of READII (1, 2) were made of {words.counted(lesions, 'lesion')} of "
            f"{words.counted(patients, 'patient')} (seed {settings.seed}): {made}."
        )
    ]
    sentences += [words.plain(s) for s in _reach(settings, extraction)]
    sentences.append("Controls acted on the scan, before it was resampled, filtered and discretised.")
    if report is not None:
        sentences.append(
            f"For {report['outcome']}, the same model was cross-validated in the same folds on the original features "
            "and on those of every control, with all features, with each kind of them and with lesion volume alone, "
            f"and judged by the {metric} of its out-of-fold scores with bootstrap intervals by patient."
        )
    sentences.append(
        f"Features were computed with radiomics-talent {record.get('program', {}).get('radiomics-talent', '')}."
    )
    return " ".join(sentences)
