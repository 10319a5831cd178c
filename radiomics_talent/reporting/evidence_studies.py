"""Evidence for items of checklists about patients, outcome and sharing: a phrase each, empty where no record says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiomics_talent.reporting import settings_words as words

if TYPE_CHECKING:
    from collections.abc import Callable

    from radiomics_talent.reporting.study_facts import StudyFacts

    Evidence = Callable[[StudyFacts], str]


def guidelines(_: StudyFacts) -> str:
    """Tell of the checklists themselves."""
    return "CLEAR, METRICS, TRIPOD+AI and IBSI reporting are filled in checklists.csv as far as records answer them"


def overlap(_: StudyFacts) -> str:
    """Tell what the program does against overlap."""
    return (
        "model.yaml holds one-way fingerprints of the training rows, by which evaluate finds scans that were trained on"
    )


def clinical_predictors(facts: StudyFacts) -> str:
    """Tell of clinical columns."""
    columns = facts.model.columns.get("clinical", ())
    return f"clinical columns: {', '.join(columns)}" if columns else "no clinical column was offered to the models"


def outcome(facts: StudyFacts) -> str:
    """Tell of the outcome and who has it."""
    o, f = facts.model.outcome, facts.model.facts
    levels = f" ({' or '.join(o['positive'])} counted as response)" if o.get("positive") else ""
    kind = "time to an event" if facts.is_survival else "response"
    return f"{kind}: {o['name']}{levels}; {f['events']} of {f['patients']} patients"


def baseline(facts: StudyFacts) -> str:
    """Tell of table 1."""
    return "table 1 by outcome (table1.csv)" if facts.table1 else ""


def flow(facts: StudyFacts) -> str:
    """Tell of from tables to the model."""
    f = facts.model.facts
    reasons = f" ({'; '.join(f'{n}: {r}' for r, n in facts.left_out.items())})" if facts.left_out else ""
    return (
        f"{f['patients'] + f['left_out']} patients in the tables, {f['left_out']} left out{reasons}, {f['patients']} "
        f"modelled, {f['events']} with the event (diagram in the report of the model)"
    )


def share_features(_: StudyFacts) -> str:
    """Tell of the feature table."""
    return "extract writes the features as features.parquet and features.csv; whether they are shared is the author's"


def share_settings(facts: StudyFacts) -> str:
    """Tell of settings travel with the model."""
    told = f"model.yaml holds every setting of the model (SHA-256 {facts.settings_sha256[:12]})"
    return f"{told} and of the extraction" if facts.model.extraction is not None else told


def share_code(facts: StudyFacts) -> str:
    """Tell of the software."""
    return (
        f"radiomics-talent {facts.program} (Apache-2.0) does all steps by command; where it is shared is the author's"
    )


def share_model(_: StudyFacts) -> str:
    """Tell of the model's folder."""
    return (
        "the model folder (model.skops, model.yaml, golden.csv) scores new patients; whether it is shared is the "
        "author's"
    )


def share_system(_: StudyFacts) -> str:
    """Tell of the command that scores."""
    return "radiomics-talent scores new patients with the model folder from the command line, for research"


def objective(facts: StudyFacts) -> str:
    """Tell of development or evaluation."""
    return f"development with internal validation of a model of {facts.model.outcome['name']}"


def data_source(facts: StudyFacts) -> str:
    """Tell of tables and scans."""
    scans = f" from {facts.run.scans} CT scans" if facts.run else ""
    return f"feature table{scans} and clinical table of {facts.model.facts['patients']} patients"


def participants(facts: StudyFacts) -> str:
    """Tell of sites, where known."""
    if facts.run is None or not facts.run.levels.get("site"):
        return ""
    return f"scans by site: {words.counted(facts.run.levels['site'])}"


def counts(facts: StudyFacts) -> str:
    """Tell of patients and events in the analyses."""
    f = facts.model.facts
    blocks = ", ".join(facts.performance)
    return f"{f['patients']} patients with {f['events']} events in each of the analyses ({blocks})"


def flow_and_baseline(facts: StudyFacts) -> str:
    """Tell of flow and table 1."""
    return "; ".join(t for t in (flow(facts), baseline(facts)) if t)


def limitations(facts: StudyFacts) -> str:
    """Tell of findings of the training."""
    return "; ".join(facts.findings)


def see_tripod(_: StudyFacts) -> str:
    """Tell of reference to the other list."""
    return "see the checklist TRIPOD+AI"


def test_masks(facts: StudyFacts) -> str:
    """Tell of masks of test folds."""
    return "test folds take their masks from the same cohort table as training folds" if facts.run else ""


def sample_size(facts: StudyFacts) -> str:
    """Tell of patients, events and candidates."""
    f = facts.model.facts
    candidates = len(facts.model.columns[facts.model.settings.block])
    return (
        f"{f['patients']} patients, {f['events']} with the event, {candidates} candidate columns; no calculation was "
        "made by this program"
    )


EVIDENCE: dict[str, Evidence] = {
    f.__name__: f
    for f in (
        guidelines, overlap, clinical_predictors, outcome, baseline, flow, share_features, share_settings,
        share_code, share_model, share_system, objective, data_source, participants, counts,
        flow_and_baseline, limitations, see_tripod, test_masks, sample_size,
    )
}  # fmt: skip
"""Evidence by the name that the item lists call it by."""
