"""The page of ``robustness perturb``: which features stay when scan or contour are a little different."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from radiomics_talent.reporting import robustness_agreement as agreement
from radiomics_talent.reporting import robustness_figures as figures
from radiomics_talent.reporting import robustness_words as words
from radiomics_talent.reporting.extraction_figures import Plate, listed, plate
from radiomics_talent.reporting.html import render_page
from radiomics_talent.reporting.robustness_folder import damaged, finished_record, read_failures, read_table
from radiomics_talent.reporting.robustness_heat_maps import heat_maps, idle_chains_sentence
from radiomics_talent.reporting.robustness_run import lesion_counts, run_pairs, run_subtitle
from radiomics_talent.reporting.settings_words import with_effect
from radiomics_talent.robustness.stability import median_by_chain
from radiomics_talent.robustness_settings import PerturbationSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.reporting.robustness_agreement import Agreed

_NEEDED = ("stability.csv", "perturbations.csv", "failures.csv")
_SECTIONS = (
    ("summary", "Summary"),
    ("shares", "Stable features"),
    ("chains", "Perturbations"),
    ("heat", "Feature by perturbation"),
    ("intervals", "Intervals"),
    ("features", "All features"),
    ("failures", "Failures"),
    ("methods", "For the methods section"),
    ("provenance", "Provenance"),
)
_VERSION_TEXTS = ("chain", "version")


def write_perturb_page(run: Path, path: Path, *, title: str) -> None:
    """Write the page of a finished run of ``robustness perturb``.

    Parameters
    ----------
    run : Path
        Run folder.
    path : Path
        Page to write.
    title : str
        Its heading.

    Raises
    ------
    ConfigError
        The run is not finished, or its record is damaged.
    TableError
        stability.csv is damaged.
    """
    record = finished_record(run, "perturb", _NEEDED)
    settings = _settings(run, record)
    decides = settings.stability
    levels = figures.Levels(decides.good, decides.excellent)
    stability = agreement.ordered_stability(run / "stability.csv")
    found = agreement.agreed(stability, decides.chain, decides.statistic, levels)
    failures = read_failures(run)
    heat, heat_remark = heat_maps(stability, list(settings.chains), found)
    chains = [(name, words.chain_words(chain, settings.strengths)) for name, chain in settings.chains.items()]
    render_page(
        "robustness_perturb.html.j2",
        path,
        title=title,
        sections=_SECTIONS,
        subtitle=run_subtitle("Perturbation", record),
        tiles=_tiles(record, settings, found, failures),
        sentences=[words.prose(s) for s in _sentences(found, settings)],
        shares=agreement.share_plates(found),
        chain_plate=_chain_plate(stability, settings, found),
        chains=chains,
        versions=_versions(run / "perturbations.csv"),
        heat=heat,
        heat_remarks=[
            words.prose(s)
            for s in [*idle_chains_sentence(stability, list(settings.chains), found), heat_remark]
            if s
        ],
        intervals=agreement.interval_plates(found),
        rows=agreement.feature_rows(found),
        statistic=words.STATISTICS[decides.statistic.removesuffix("_lower")][0],
        decides=words.statistic_name(decides.statistic),
        levels=levels,
        failed=[f for f in failures if f["stage"] != "version"],
        left_out=[f for f in failures if f["stage"] == "version"],
        methods=_methods(record, settings, found, failures),
        references=(words.ZWANENBURG, words.SHROUT, words.MCGRAW, words.KOO),
        provenance=run_pairs(record),
        settings_text=json.dumps(
            {"perturb": settings.canonical(), "extraction": with_effect(record["settings"])},
            indent=1, ensure_ascii=False,
        ),
    )  # fmt: skip


def _settings(run: Path, record: dict[str, Any]) -> PerturbationSettings:
    """Return which versions were made, and what was called stable."""
    try:
        parts = dict(record["perturb"])
        if "stability" in record:
            parts["stability"] = record["stability"]
        return PerturbationSettings.model_validate(parts)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise damaged(run / "provenance.json") from error


def _tiles(
    record: dict[str, Any], settings: PerturbationSettings, found: Agreed, failures: Sequence[dict[str, str]]
) -> list[tuple[str, str]]:
    patients, lesions = lesion_counts(record)
    n, good, excellent = found.n_features, found.n_good, found.n_excellent
    versions = sum(chain.versions for chain in settings.chains.values())
    left_out = sum(f["stage"] == "version" for f in failures)
    return [
        (f"{lesions:,}", "lesion" if lesions == 1 else "lesions"),
        (f"{patients:,}", "patient" if patients == 1 else "patients"),
        (f"{versions:,}", "versions of each"),
        (f"{n:,}", "features"),
        (_share(good, n), f"features ≥ {found.levels.good:g}"),
        (_share(excellent, n), f"features ≥ {found.levels.excellent:g}"),
        (f"{found.n_not_defined:,}", "features not defined"),
        (f"{left_out:,}", "versions failed"),
        (f"{len(failures) - left_out:,}", "lesions failed"),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _sentences(found: Agreed, settings: PerturbationSettings) -> list[str]:
    decides = settings.stability
    n = found.n_features
    said = [
        (
            f"Of {words.counted(n, 'feature')}, {found.n_good:,} reach {words.statistic_name(decides.statistic)} of at "
            f"least {decides.good:g}, {found.n_excellent:,} of them at least {decides.excellent:g}, in the "
            f"chain `{decides.chain}` ({settings.chains[decides.chain].versions} versions of each lesion, beside the "
            "lesion as it is)."
        )
    ]
    if undefined := found.n_not_defined:
        said.append(
            f"For {words.counted(undefined, 'feature')} agreement is not defined: the table of features says why. They "
            "count as not stable."
        )
    said += agreement.not_tested_sentence(found, "no version differs from the lesion as it is")
    if not n:
        said = ["No lesion has features, so nothing can be said about any: see the failures below."]
    return said


def _chain_plate(stability: pd.DataFrame, settings: PerturbationSettings, found: Agreed) -> Plate | None:
    """Draw which chain hurts most; one chain alone has nothing to be compared with."""
    medians = median_by_chain(stability, found.statistic)
    order = [chain for chain in medians if chain in settings.chains]
    if len(order) < 2:
        return None
    name = words.statistic_name(found.statistic)
    by_chain = stability.dropna(subset=[found.statistic]).groupby("chain")[found.statistic]
    values = [by_chain.get_group(chain).to_numpy(np.float64) for chain in order]
    figure = figures.draw_chains(order, values, found.levels, name)
    alt = f"Boxes, {name} of the features by chain. Medians: " + listed([f"{c} {medians[c]:.3f}" for c in order])
    caption = (
        f"{name} of all features by chain, the most harmful first; a point is a feature, the line in a box their "
        f"median, the box the middle half. Lowest median: `{order[0]}` ({medians[order[0]]:.3f})."
    )
    return plate(figure, alt=alt, caption=words.prose(caption))


def _versions(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return perturbations.csv as text, its numbers short; columns that are 0 throughout are left out."""
    frame = read_table(path, _VERSION_TEXTS, ())
    kept = [c for c in frame.columns if c in _VERSION_TEXTS or not frame[c].isin(["0", "0.0"]).all()]
    rows = [[_short_cell(str(cell)) for cell in row] for row in frame[kept].itertuples(index=False, name=None)]
    return [c.replace("_", " ") for c in kept], rows


def _short_cell(text: str) -> str:
    try:
        return f"{float(text):.3g}"
    except ValueError:
        return text


def _methods(
    record: dict[str, Any], settings: PerturbationSettings, found: Agreed, failures: Sequence[dict[str, str]]
) -> str:
    decides = settings.stability
    chain = settings.chains[decides.chain]
    patients, lesions = lesion_counts(record)
    steps = words.joined([words.step_words(step, settings.strengths) for step in chain.steps], "; ")
    left_out = sum(f["stage"] == "version" and f["sentence"].startswith(f"{decides.chain} ") for f in failures)
    sentences = [
        (
            f"The robustness of radiomic features was assessed by image perturbation (1) on "
            f"{words.counted(lesions, 'lesion')} of {words.counted(patients, 'patient')}."
        ),
        f"Each lesion was perturbed {chain.versions} times by {steps}.",
        f"Strengths were drawn once for the whole cohort by Latin hypercube sampling (seed {settings.seed}).",
        (
            f"Agreement between the {chain.versions + 1} measurements of each lesion, one of them unperturbed, was "
            f"measured by {words.statistic_words(decides.statistic)} with its 95 % confidence interval (2, 3)."
        ),
        f"Features of at least {decides.good:g} were called good, of at least {decides.excellent:g} excellent (4).",
        (
            f"Of {words.counted(found.n_features, 'feature')}, {found.n_good:,} were good or excellent, "
            f"{found.n_excellent:,} excellent, and {found.n_not_defined:,} not defined."
        ),
    ]
    if left_out:
        sentences.append(
            f"{words.counted(left_out, 'perturbed version')} could not be made; a lesion that lacks a feature in any "
            "version was left out for that feature."
        )
    program = record.get("program", {})
    sentences.append(f"Features were computed with radiomics-talent {program.get('radiomics-talent', '')}.")
    return " ".join(sentences)
