"""The methods paragraphs of a study, written from its settings and provenance, and the references that are due.

Nothing is invented: a clause stands only where its setting or record is there. What no file can know is listed
for the author.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from radiomics_talent.model_settings import ModelSettings
from radiomics_talent.presets import list_presets
from radiomics_talent.reporting import settings_words as words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from radiomics_talent.reporting.study_facts import StudyFacts

FOR_THE_AUTHOR = (
    "design, dates, setting and ethics of the study; criteria of inclusion",
    "treatment, and how and when the outcome was assessed, by whom, blinded or not",
    "the scanning protocol and contrast medium, as far as not said above",
    "how and by whom lesions were drawn, with which software, and how well readers agreed",
    "how the size of the sample came about",
)
"""What the paragraphs lack, as no file of the program holds it."""
_ENTRY = re.compile(r"^@\w+\{(\w+),.*?^\}$", re.MULTILINE | re.DOTALL)
_CITED = re.compile(r"@(\w+)")


def methods_text(facts: StudyFacts) -> str:
    """Return the methods section as Markdown: a heading and a paragraph a subject, citations as ``[@key]``.

    Parameters
    ----------
    facts : StudyFacts
        The model, and the run where it is known.
    """
    return "\n\n".join(f"**{heading}.** {text}" for heading, text in methods_paragraphs(facts))


def methods_paragraphs(facts: StudyFacts) -> tuple[tuple[str, str], ...]:
    """Return heading and text of each paragraph; a subject of which nothing is known is not there."""
    told = (
        ("Patients and outcome", _patients(facts)),
        ("Imaging and segmentation", _imaging(facts)),
        ("Image processing and features", _features(facts)),
        ("Features before the model", _preprocessing(facts)),
        ("Model", _model(facts)),
        ("Validation", _validation(facts)),
        ("Performance", _performance(facts)),
        ("Software", _software(facts)),
    )
    return tuple(
        (heading, " ".join(f"{_first_upper(s)}." for s in sentences)) for heading, sentences in told if sentences
    )


def due_references(facts: StudyFacts) -> tuple[str, ...]:
    """Return the keys of the references that the paragraphs cite, in order of appearance."""
    return tuple(dict.fromkeys(key for key in _CITED.findall(methods_text(facts)) if key in _entries()))


def bibtex(facts: StudyFacts) -> str:
    """Return the references that are due as BibTeX."""
    entries = _entries()
    # The software is cited in the version that trained the model.
    told = (entries[key].replace("{VERSION}", f"{{{facts.program}}}") for key in due_references(facts))
    return "\n\n".join(told) + "\n"


def matching_recipe(settings: ModelSettings) -> str:
    """Return the shipped preset whose recipe these settings follow; empty where none.

    How thoroughly it was validated (folds, repeats, permutations) and the seed are no part of a recipe.
    """
    own = _recipe(settings)
    for name in list_presets(ModelSettings.PRESETS):
        if _recipe(ModelSettings.from_yaml(name)) == own:
            return name
    return ""


def _recipe(settings: ModelSettings) -> dict[str, object]:
    return settings.model_dump(mode="json", exclude={"validation", "seed", "horizon_days", "clinical", "block"})


def _entries() -> dict[str, str]:
    text = (files("radiomics_talent.reporting") / "templates" / "references.bib").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in _ENTRY.finditer(text)}


def _patients(facts: StudyFacts) -> list[str]:
    model, counts = facts.model, facts.model.facts
    lesions = "" if counts["rows"] == counts["patients"] else f" with {counts['rows']} lesions"
    told = [f"{counts['patients']} patients{lesions} with features, clinical data and outcome were modelled"]
    if counts.get("synthetic"):
        told.append("these patients are invented (a synthetic trial)")
    if counts["left_out"]:
        reasons = f" ({'; '.join(f'{n}: {reason}' for reason, n in facts.left_out.items())})" if facts.left_out else ""
        told.append(f"{counts['left_out']} patients were left out{reasons}")
    name = model.outcome["name"]
    if facts.is_survival:
        event = f", its event in {model.outcome['event']}" if model.outcome.get("event") else ""
        told.append(f"the outcome was a time to an event ({name}{event}); {counts['events']} patients had the event")
    else:
        levels = model.outcome.get("positive")
        meaning = f" ({' or '.join(levels)} counted as response)" if levels else ""
        told.append(f"the outcome was {name}{meaning}, which {counts['events']} patients had")
    return told


def _imaging(facts: StudyFacts) -> list[str]:
    run, told = facts.run, []
    if run is not None:
        failed = f"; {run.failed} lesions gave no features" if run.failed else ""
        told.append(f"{run.lesions} lesions of {run.patients} patients on {run.scans} CT scans were processed{failed}")
        names = {"contrast_phase": "contrast phase", "kernel": "reconstruction kernel"}
        for column, levels in run.levels.items():
            if levels:
                told.append(f"scans by {names.get(column, column)}: {words.counted(levels)}")
        if run.thickness_mm:
            low, high = run.thickness_mm
            told.append(f"slice thickness: {low:g} mm" if low == high else f"slice thickness: {low:g} to {high:g} mm")
    extraction = facts.model.extraction
    if extraction is None:
        return told
    how = {
        "keep": "a lesion of several parts was kept as one",
        "largest": "of a lesion of several parts the largest was kept",
        "split": "the parts of a lesion were taken as lesions of their own",
    }
    tolerance = words.percent(extraction["mask"]["volume_tolerance"])
    told.append(how[extraction["mask"]["components"]])
    told.append(
        "a voxel belonged to a contoured lesion when its centre lay inside the contours (even-odd rule); masks whose "
        f"volume differed from that of their contours by more than {tolerance} were "
        "refused"
    )
    if not extraction["geometry"]["allow_gaps"]:
        told.append("series with missing slices were refused")
    return told


def _features(facts: StudyFacts) -> list[str]:
    extraction, names = facts.model.extraction, facts.model.columns["radiomics"]
    classes = words.feature_classes(names)
    listed = f" ({', '.join(f'{n} {c}' for c, n in classes.items())})" if classes else ""
    if extraction is None:
        unknown = "the settings of their extraction are not recorded"
        return [f"{len(names)} radiomic columns{listed} were read from a table; {unknown}"]
    told = [words.resampling(extraction)]
    normalised = words.normalisation(extraction)
    told += [normalised] if normalised else []
    told.append(words.resegmentation(extraction))
    smallest = words.smallest_lesion(extraction)
    told += [smallest] if smallest else []
    told.append(f"{words.discretisation(extraction)}; {words.texture(extraction)}")
    engine = words.engine(extraction, facts.run.versions if facts.run else {})
    if extraction.get("ibsi"):
        told.append(
            f"{len(names)} columns of radiomic features{listed} were computed on the unfiltered image as the Image "
            f"Biomarker Standardisation Initiative defines them [@zwanenburg2020; @ibsimanual2019]; engine: {engine}"
        )
        told.append("codes in parentheses are those of its reference manual, whose guidelines reporting follows")
        return told
    told.append(
        f"{len(names)} columns of radiomic features{listed} were computed with {engine} [@vangriethuysen2017] on the "
        f"image types {words.image_types(extraction)}"
    )
    told.append(
        "features are named as PyRadiomics names them; reporting follows the Image Biomarker Standardisation "
        "Initiative [@zwanenburg2020]"
    )
    return told


def _preprocessing(facts: StudyFacts) -> list[str]:
    settings = facts.model.settings
    told = []
    scans, patients = facts.model.scans, facts.model.facts["patients"]
    if settings.level == "patient" and (scans is None or scans.lesions > patients):
        told.append(f"features of a patient's lesions were aggregated by {words.aggregation(settings)}")
    told.append(f"missing features took the training fold's {settings.preprocess.impute}")
    harmonised = words.harmonisation(settings)
    if harmonised:
        combat = settings.preprocess.combat
        method = "[@johnson2007; @fortin2018]" if combat is not None and combat.covariates else "[@johnson2007]"
        told.append(f"{harmonised} {method} with combatlearn [@rocchi2026], fitted on training folds alone")
    told += words.filters(settings)
    told.append(words.scaling(settings))
    steps = words.selection(settings)
    if steps:
        cited = " [@peng2005]" if any(s.method == "mrmr" for s in settings.preprocess.select) else ""
        told.append(f"selection, in this order: {'; then '.join(steps)}{cited}")
    return told


def _model(facts: StudyFacts) -> list[str]:
    settings, final = facts.model.settings, facts.model.facts["final_model"]
    several = len(settings.models) > 1
    told = [f"{'candidates were' if several else 'the model was a'} {words.models(settings)}"]
    told.append(
        f"hyperparameters{' and model' if several else ''} were chosen in at most {settings.search.folds} inner folds "
        f"by {words.search_metric(settings)} ({settings.search.rule.replace('-', ' ')})"
    )
    if settings.search.ensemble > 1:
        told.append(f"predictions of the {settings.search.ensemble} best models were averaged")
    told.append(f"fitted on all patients, the model is {'; '.join(final)}")
    recipe = matching_recipe(settings)
    if recipe.startswith("talent-"):
        told.append(
            f"the settings follow the preset {recipe}, made for a cohort like that of TALENT [@capdevila2021] and its "
            "radiomics work [@ligero2023]"
        )
    told.append(f"the cut-off was {words.threshold(settings)}")
    if settings.level == "lesion":
        told.append(
            f"scores of lesions became the patient's score as their {settings.lesion_to_patient.replace('-', ' ')}"
        )
    blocks = [b for b in facts.model.columns if b != settings.block]
    if blocks:
        told.append(
            f"the {settings.block} model was compared with models fitted in the same way on {', '.join(blocks)}"
        )
    return told


def _validation(facts: StudyFacts) -> list[str]:
    settings = facts.model.settings
    v = settings.validation
    learned = ["imputation", *(["harmonisation"] if settings.preprocess.combat is not None else [])]
    learned += ["feature filters", *(["scaling"] if settings.preprocess.scale != "none" else [])]
    learned += [*(["selection"] if settings.preprocess.select else []), "hyperparameters"]
    learned += ["cut-off"] if settings.threshold == "youden" or settings.task == "survival" else []
    how = "leaving one site out" if v.split == "leave-one-site-out" else f"in {v.folds} folds stratified by outcome"
    told = [
        (
            f"the whole procedure was validated by nested cross-validation {how}, by patient, repeated "
            f"{v.repeats} {'time' if v.repeats == 1 else 'times'}"
        ),
        f"everything that learns ({', '.join(learned)}) was fitted on training folds alone",
    ]
    if v.permutations:
        told.append(f"it was repeated with {v.permutations} permutations of the outcome")
    if v.holdout is not None:
        told.append(f"one single stratified split with {words.percent(v.holdout)} held out is reported beside it")
    if v.learning_curve:
        told.append(
            f"a learning curve was drawn with {', '.join(map(words.percent, v.learning_curve))} of the training "
            "patients"
        )
    told.append(f"the seed of all chance was {settings.seed}")
    return told


def _performance(facts: StudyFacts) -> list[str]:
    settings = facts.model.settings
    metrics = list(facts.performance[settings.block])
    told = [
        (
            f"{', '.join(words.METRICS.get(m, m) for m in metrics)} are means over repeats with 95 % intervals from "
            f"{settings.validation.bootstrap} bootstrap samples of patients"
        )
    ]
    blocks = (facts.metrics or {}).get("blocks", {})
    if "auc_delong" in blocks.get(settings.block, {}):
        told.append("AUCs also have intervals by DeLong's method, and differences were tested by it [@delong1988]")
    elif facts.metrics and facts.metrics.get("comparisons"):
        told.append(f"differences of the {facts.headline_name} were tested by paired bootstrap")
    if "time_auc" in blocks.get(settings.block, {}):
        horizons = ", ".join(blocks[settings.block]["time_auc"])
        told.append(f"cumulative/dynamic AUC was computed at {horizons} days")
    return told


def _software(facts: StudyFacts) -> list[str]:
    libraries = facts.libraries
    told = [f"radiomics-talent {facts.program} [@radiomicstalent]"]
    cited = {"scikit-learn": "pedregosa2011"} | ({"scikit-survival": "poelsterl2020"} if facts.is_survival else {})
    told += [f"{name} {libraries[name]} [@{key}]" for name, key in cited.items() if name in libraries]
    used = ["numpy", "scipy", "pandas"] + (["combatlearn"] if facts.model.settings.preprocess.combat else [])
    told += [f"{name} {libraries[name]}" for name in used if name in libraries]
    if facts.run is not None:
        versions = facts.run.versions
        told += [f"{name} {versions[name]}" for name in ("pyradiomics", "SimpleITK", "pydicom") if name in versions]
        python = facts.run.platform.get("python")
        told += [f"Python {python}"] if python else []
    return [f"the software was {_listed(told)}", f"settings of the model have SHA-256 {facts.settings_sha256}"]


def _listed(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
