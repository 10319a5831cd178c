"""The page about a model: what it predicts and how well, from whom, on what, and what a reviewer would ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from radiomics_talent.errors import ConfigError
from radiomics_talent.features.whole_files import replacing
from radiomics_talent.reporting import settings_words as words
from radiomics_talent.reporting.checklists import STATUSES, fill_checklists, write_checklists
from radiomics_talent.reporting.cohort_flow import draw_flow, flow_ends, flow_in_words, flow_steps
from radiomics_talent.reporting.evidence_models import estimate_text, headline, p_value_text
from radiomics_talent.reporting.figure_captions import FIGURES
from radiomics_talent.reporting.html import image_uri, markdown_text, render_page, svg_uri
from radiomics_talent.reporting.methods import FOR_THE_AUTHOR, bibtex, methods_paragraphs, methods_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from radiomics_talent.reporting.study_facts import StudyFacts

_ORDER = ("radiomics", "clinical", "combined", "volume")
_SHOWN = 30
_PNG = b"\x89PNG\r\n\x1a\n"
_RESPONSE = ("roc", "precision_recall", "calibration", "decision_curve", "score_by_outcome", "confusion")
_SURVIVAL = ("kaplan_meier", "time_dependent_auc")


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """What was written.

    Attributes
    ----------
    page : Path
        The HTML page.
    methods, references, checklists : Path
        The methods section as Markdown, its references as BibTeX, the checklists as CSV.
    """

    page: Path
    methods: Path
    references: Path
    checklists: Path


def write_model_report(facts: StudyFacts, page: Path) -> ReportFiles:
    """Write the page about a model and, beside it, methods.md, references.bib and checklists.csv.

    Parameters
    ----------
    facts : StudyFacts
        From `read_study`.
    page : Path
        The HTML page to write.

    Raises
    ------
    ConfigError
        `page` is a folder.
    """
    if page.is_dir():
        raise ConfigError("is a folder; name the page to write, such as report.html in it", where=str(page))
    files = ReportFiles(page, *(page.with_name(n) for n in ("methods.md", "references.bib", "checklists.csv")))
    page.parent.mkdir(parents=True, exist_ok=True)
    checklists = fill_checklists(facts)
    render_page("model.html.j2", page, **page_values(facts), checklists=checklists, statuses=STATUSES)
    _write_text(files.methods, _methods_markdown(facts))
    _write_text(files.references, bibtex(facts))
    write_checklists(files.checklists, checklists)
    return files


def page_values(facts: StudyFacts) -> dict[str, Any]:
    """Return what the page shows, but for the checklists."""
    settings, counts = facts.model.settings, facts.model.facts
    figures, unreadable = _figures(facts)
    shown = {f["stem"] for f in figures}
    return {
        "title": f"Model of {facts.model.outcome['name']}",
        "facts": facts,
        "counts": counts,
        "settings": settings,
        "summary": summary_sentences(facts),
        "headline": headline(facts),
        "flow_picture": svg_uri(draw_flow(facts)),
        "flow_words": flow_in_words(facts),
        "flow_steps": flow_steps(facts),
        "flow_ends": [end.replace("\n", " ") for end in flow_ends(facts)],
        "pipeline": pipeline_steps(facts),
        "table1": _labelled(facts),
        "events": ("censored", "with event") if facts.is_survival else ("no response", "response"),
        "performance": _performance_table(facts),
        "blocks": _blocks(facts),
        "comparisons": _comparisons(facts),
        "permuted": _permuted(facts),
        "single_split": estimate_text((facts.metrics or {}).get("single_split")),
        "figures": figures,
        "lacking": [*unreadable, *(FIGURES[s][0] for s in _expected(facts) if s not in shown)],
        "selected": _selected(facts),
        "shown": _SHOWN,
        "findings": facts.findings,
        "setting_rows": _leaves(settings.model_dump(mode="json")),
        "extraction_rows": _leaves(words.with_effect(facts.model.extraction or {})),
        "methods": methods_paragraphs(facts),
        "methods_text": methods_text(facts),
        "bibtex": bibtex(facts),
        "for_the_author": FOR_THE_AUTHOR,
    }


def summary_sentences(facts: StudyFacts) -> tuple[str, ...]:
    """Return in words what the model predicts, from whom, and how well."""
    settings, outcome, counts = facts.model.settings, facts.model.outcome, facts.model.facts
    levels = f" ({' or '.join(outcome['positive'])} counted as response)" if outcome.get("positive") else ""
    kind = "the risk of an event over time" if facts.is_survival else "the probability of response"
    final = "; ".join(counts["final_model"])
    told = [
        (
            f"It predicts {kind}: {outcome['name']}{levels}, a {settings.level} at a time, from the block "
            f"{settings.block}. "
            f"The final model is {final}, with {len(counts['weights'])} columns."
        ),
        f"It was made from {counts['patients']} patients, {counts['events']} of them with the event.",
    ]
    estimate = facts.performance[settings.block].get(facts.headline) or {}
    told.append(
        f"{facts.headline_name} {estimate_text(estimate)}, out of fold.{_meaning(estimate, survival=facts.is_survival)}"
    )
    return tuple(told)


def _meaning(estimate: Mapping[str, Any], *, survival: bool) -> str:
    value, low = estimate.get("value"), estimate.get("low")
    if estimate_text(estimate) == "not defined" or value is None:
        return ""
    pair = (
        "of two patients of whom one had the event first"
        if survival
        else "of one patient with response and one without"
    )
    higher = "that one has the higher risk" if survival else "the one with response has the higher score"
    chance = " 50 of 100 would be chance" + (
        "; the interval does not rule it out." if low is not None and low <= 0.5 else "."
    )
    return f" That is: {pair}, {higher} in about {100 * value:.0f} of 100 pairs;{chance}"


def pipeline_steps(facts: StudyFacts) -> tuple[tuple[str, str], ...]:
    """Return the technical pipeline, name and setting of each step in its order."""
    settings, extraction = facts.model.settings, facts.model.extraction
    steps: list[tuple[str, str]] = []
    if extraction is not None:
        steps += [
            ("Scans and masks", "read, checked, brought onto one grid"),
            ("Resampling", words.resampling(extraction)),
            ("Re-segmentation", words.resegmentation(extraction)),
            ("Grey levels", words.discretisation(extraction)),
            ("Image types", words.image_types(extraction)),
        ]
    steps.append(("Features", f"{len(facts.model.columns['radiomics'])} radiomic columns"))
    if settings.level == "patient":
        steps.append(("Lesions to patient", words.aggregation(settings)))
    harmonised = words.harmonisation(settings)
    steps += [("Harmonisation", harmonised)] if harmonised else []
    steps.append(("Missing values", f"the training fold's {settings.preprocess.impute}"))
    steps += [("Filters", "; ".join(words.filters(settings)))] if words.filters(settings) else []
    steps.append(("Scaling", words.scaling(settings)))
    steps += [("Selection", "; then ".join(words.selection(settings)))] if words.selection(settings) else []
    steps.append(("Model", words.models(settings)))
    steps.append(("Cut-off", words.threshold(settings)))
    return tuple(steps)


def _figures(facts: StudyFacts) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the figures of the folder in reading order, and those that are no pictures."""
    order = {stem: k for k, stem in enumerate(FIGURES)}
    shown, unreadable = [], []
    for path in sorted(facts.figures, key=lambda p: (order.get(p.stem, len(order)), p.name)):
        title, reading = FIGURES.get(path.stem, (path.stem.replace("_", " "), ""))
        data = path.read_bytes()
        if not data.startswith(_PNG):
            unreadable.append(f"{title} ({path.name} is no PNG)")
            continue
        shown.append(
            {
                "stem": path.stem,
                "title": title,
                "reading": reading,
                "uri": image_uri("png", data),
                "alt": _alternative(facts, path.stem, title),
            }
        )
    return shown, unreadable


def _alternative(facts: StudyFacts, stem: str, title: str) -> str:
    """Return a figure in words."""
    blocks = "; ".join(f"{b}: {headline(facts, b)}" for b in _blocks(facts))
    permuted, own = _permuted(facts), facts.performance[facts.model.settings.block]
    often = [f"{row['feature']} in {row['frequency']} of folds" for row in _selected(facts)[:3]]
    told = {
        "roc": blocks,
        "kaplan_meier": headline(facts),
        "calibration": "; ".join(
            f"{words.METRICS[m]} {estimate_text(own.get(m))}" for m in ("calibration_slope", "calibration_intercept")
        ),
        "permutation": f"model {headline(facts)}, {permuted['text']}" if permuted else "",
        "features": ", ".join(often),
    }.get(stem, "")
    return f"{title}: {told}" if told else f"{title}. It is drawn from cv_predictions.csv in the model folder."


def _expected(facts: StudyFacts) -> tuple[str, ...]:
    validation = facts.model.settings.validation
    return (
        *(_SURVIVAL if facts.is_survival else _RESPONSE),
        *(("features",) if facts.selected else ()),
        *(("learning_curve",) if validation.learning_curve else ()),
        *(("permutation",) if validation.permutations else ()),
    )


def _blocks(facts: StudyFacts) -> list[str]:
    return sorted(facts.performance, key=lambda b: _ORDER.index(b) if b in _ORDER else len(_ORDER))


def _performance_table(facts: StudyFacts) -> list[tuple[str, list[str]]]:
    names, own = _blocks(facts), facts.model.settings.block
    rows = [
        (words.METRICS.get(m, m), [estimate_text(facts.performance[b].get(m)) for b in names])
        for m in facts.performance[own]
    ]
    recorded = (facts.metrics or {}).get("blocks", {})
    if "auc_delong" in recorded.get(own, {}):
        rows.insert(1, ("AUC, DeLong interval", [estimate_text(recorded[b].get("auc_delong")) for b in names]))
    horizons = recorded.get(own, {}).get("time_auc", {})
    return rows + [
        (f"AUC at {h} days", [estimate_text(recorded[b].get("time_auc", {}).get(h)) for b in names]) for h in horizons
    ]


def _comparisons(facts: StudyFacts) -> list[tuple[str, str, str]]:
    rows = []
    for name, c in ((facts.metrics or {}).get("comparisons") or {}).items():
        estimate = {"value": c.get("difference"), "low": c.get("low"), "high": c.get("high")}
        rows.append((name, estimate_text(estimate), p_value_text(c.get("p_value"))))
    return rows


def _permuted(facts: StudyFacts) -> dict[str, str]:
    record = (facts.metrics or {}).get("permuted") or {}
    if not record.get("runs"):
        return {}
    estimate = {"value": record.get("mean"), "low": record.get("low"), "high": record.get("high")}
    runs, p = record["runs"], record.get("p_value")
    return {
        "text": f"{runs} runs with permuted outcomes: mean {facts.headline_name} {estimate_text(estimate)}",
        "p": p_value_text(p),
        "smallest": f"{1 / (1 + runs):.3f}",
    }


def _labelled(facts: StudyFacts) -> list[dict[str, str]]:
    names = {"lesion_volume_ml": "lesion volume (mL)", "lesions_in_model": "lesions in the model", "n": "patients"}
    blank = ("missing", "without_event", "with_event", "p_value", "test")
    return [
        {**dict.fromkeys(blank, ""), **row, "variable": names.get(row["variable"], row["variable"])}
        for row in facts.table1
    ]


def _selected(facts: StudyFacts) -> list[dict[str, str]]:
    rows = []
    for row in facts.selected:
        text = {k: _number(row.get(k, "")) for k in ("mean_weight", "final_weight")}
        share = {k: _share(row.get(k, "")) for k in ("frequency", "same_sign")}
        rows.append({"feature": row["feature"], "folds": row.get("folds", ""), **text, **share})
    return rows


def _number(cell: str) -> str:
    try:
        return f"{float(cell):+.3g}" if cell else ""
    except ValueError:
        return cell


def _share(cell: str) -> str:
    try:
        return words.percent(float(cell)) if cell else ""
    except ValueError:
        return cell


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as dotted names and values."""
    if isinstance(value, dict) and value:
        return [
            leaf for key, part in value.items() for leaf in _leaves(part, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return [leaf for k, part in enumerate(value, start=1) for leaf in _leaves(part, f"{prefix}[{k}]")]
    if isinstance(value, (list, tuple)):
        return [(prefix, ", ".join(map(str, value)) or "none")]
    return [(prefix, "none" if value is None or value == {} else str(value))] if prefix else []


def _methods_markdown(facts: StudyFacts) -> str:
    return markdown_text("methods.md.j2", facts=facts, text=methods_text(facts), for_the_author=FOR_THE_AUTHOR)


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
