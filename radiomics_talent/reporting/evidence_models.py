"""Evidence for items of checklists about models and performance: a phrase each, empty where no record says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from radiomics_talent.reporting import settings_words as words
from radiomics_talent.reporting.evidence_studies import clinical_predictors
from radiomics_talent.reporting.methods import matching_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from radiomics_talent.reporting.study_facts import StudyFacts

    Evidence = Callable[[StudyFacts], str]


def estimate_text(estimate: Any) -> str:
    """Return a figure with its interval, as records have it; 'not defined' where it is not."""
    if not isinstance(estimate, dict) or _undefined(estimate.get("value")):
        return "not defined"
    value, low, high = (estimate.get(k) for k in ("value", "low", "high"))
    if _undefined(low) or _undefined(high):
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _undefined(value: Any) -> bool:
    return not isinstance(value, (int, float)) or value != value  # noqa: PLR0124 - only NaN differs from itself


def headline(facts: StudyFacts, block: str = "") -> str:
    """Return the metric that models are compared by, of the model's block or another, with its interval."""
    metrics = facts.performance[block or facts.model.settings.block]
    return f"{facts.headline_name} {estimate_text(metrics.get(facts.headline))}"


def pipeline(_: StudyFacts) -> str:
    """Tell of the diagram of the page."""
    return "section 'Pipeline' of the report of the model"


def split(facts: StudyFacts) -> str:
    """Tell how data were split."""
    s = facts.model.settings
    v = s.validation
    how = "one site left out at a time" if v.split == "leave-one-site-out" else f"{v.folds} folds stratified by outcome"
    held = f"; one single split with {words.percent(v.holdout)} held out beside it" if v.holdout is not None else ""
    return (
        f"nested cross-validation by patient: {how}, {v.repeats} repeats, at most {s.search.folds} inner folds; every "
        f"step that learns is fitted on training folds alone{held}; seed {s.seed}"
    )


def missing(facts: StudyFacts) -> str:
    """Tell what is done with missing values, and how many there are."""
    gaps = [c for c in facts.model.domain if c.missing > 0]
    most = max(gaps, key=lambda c: c.missing, default=None)
    found = "no column has a missing value"
    if most is not None:
        found = f"{len(gaps)} columns have missing values, most {most.name} ({words.percent(most.missing)})"
    left = f"; {facts.model.facts['left_out']} patients left out" if facts.model.facts["left_out"] else ""
    return f"{found}; the training fold's {facts.model.settings.preprocess.impute} is taken{left}"


def imbalance(facts: StudyFacts) -> str:
    """Tell of share of patients with the event."""
    f = facts.model.facts
    share = words.percent(f["events"] / f["patients"])
    by_site = facts.model.settings.validation.split == "leave-one-site-out"
    how = "folds leave one site out" if by_site else "folds are stratified by outcome"
    return f"{f['events']} of {f['patients']} patients ({share}) have the event; {how}; no resampling of patients"


def reliability(facts: StudyFacts) -> str:
    """Tell of filter by ICC."""
    icc = facts.model.settings.preprocess.min_icc
    if icc is None:
        return ""  # nothing was tested
    return f"features with an ICC below {icc:g} were removed (table of ICC given by the author)"


def scaling(facts: StudyFacts) -> str:
    """Tell of scaling of features."""
    return words.scaling(facts.model.settings)


def redundancy(facts: StudyFacts) -> str:
    """Tell of filter by correlation."""
    limit = facts.model.settings.preprocess.max_correlation
    if limit is None or limit >= 1:
        return "no feature was removed by correlation"
    return f"of two features with an absolute Spearman correlation above {limit:g} one goes, within each training fold"


def reduction(facts: StudyFacts) -> str:
    """Tell of filters and selection."""
    steps = words.selection(facts.model.settings)
    told = words.filters(facts.model.settings) + ([f"selection: {'; then '.join(steps)}"] if steps else [])
    return "; ".join(told) or "none"


def dimensionality(facts: StudyFacts) -> str:
    """Tell of candidates, events and what is left."""
    f, block = facts.model.facts, facts.model.settings.block
    return (
        f"{len(facts.model.columns[block])} candidate columns for {f['events']} events in {f['patients']} patients; "
        f"{len(f['weights'])} columns in the final model"
    )


def algorithms(facts: StudyFacts) -> str:
    """Tell of the models that competed."""
    return words.models(facts.model.settings)


def tuning(facts: StudyFacts) -> str:
    """Tell how hyperparameters were chosen."""
    s = facts.model.settings
    return (
        f"{words.models(s)}; chosen in at most {s.search.folds} inner folds by {words.search_metric(s)} "
        f"({s.search.rule.replace('-', ' ')}); final: {'; '.join(facts.model.facts['final_model'])}"
    )


def confounders(facts: StudyFacts) -> str:
    """Tell of harmonisation, and baselines that confounders would show in."""
    harmonised = words.harmonisation(facts.model.settings) or "no harmonisation of batches"
    others = [b for b in facts.performance if b in {"volume", "clinical"} and b != facts.model.settings.block]
    return f"{harmonised}; baselines beside the model: {', '.join(others) or 'none'}"


def model_selection(facts: StudyFacts) -> str:
    """Tell how the model was chosen."""
    s = facts.model.settings
    n = len(s.models)
    recipe = matching_recipe(s)
    preset = f"; recipe of the preset {recipe}" if recipe else ""
    return (
        f"{n} kind{'' if n == 1 else 's'} of model; {s.search.rule.replace('-', ' ')} by {words.search_metric(s)} in "
        f"the inner folds{preset}"
    )


def testing(facts: StudyFacts) -> str:
    """Tell of internal validation."""
    return f"internal: {split(facts)}"


def external(_: StudyFacts) -> str:
    """Tell of external validation."""
    return "not part of training; radiomics-talent evaluate judges the model on another cohort as it is"


def metrics_used(facts: StudyFacts) -> str:
    """Tell of metrics that are reported."""
    block = facts.model.settings.block
    return ", ".join(words.METRICS.get(m, m) for m in facts.performance[block])


def uncertainty(facts: StudyFacts) -> str:
    """Tell of intervals and permutations."""
    v = facts.model.settings.validation
    permuted = (facts.metrics or {}).get("permuted", {})
    p = permuted.get("p_value")
    test = f"; permutation test with {permuted['runs']} runs: p = {p:.3f}" if isinstance(p, float) else ""
    delong = "; DeLong intervals of the AUC" if _delong(facts) else ""
    return f"95 % intervals from {v.bootstrap} bootstrap samples of patients{delong}{test}"


def _delong(facts: StudyFacts) -> bool:
    block = (facts.metrics or {}).get("blocks", {}).get(facts.model.settings.block, {})
    return "auc_delong" in block


def comparison_test(facts: StudyFacts) -> str:
    """Tell how models were compared."""
    compared = (facts.metrics or {}).get("comparisons") or {}
    if not compared:
        return ""
    told = [f"{name}: {c['difference']:+.3f}, p: {p_value_text(c.get('p_value'))}" for name, c in compared.items()]
    test = "DeLong" if _delong(facts) else "paired bootstrap"
    return f"{test}; difference of the {facts.headline_name}: {'; '.join(told)}"


def p_value_text(value: Any) -> str:
    """Return a p value as records have it."""
    return "not defined" if _undefined(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def comparison(facts: StudyFacts) -> str:
    """Tell of performance of every block."""
    blocks = list(facts.performance)
    return "; ".join(f"{b}: {headline(facts, b)}" for b in blocks) if len(blocks) > 1 else ""


def simple_models(facts: StudyFacts) -> str:
    """Tell of baselines of one column or few."""
    others = [b for b in facts.performance if b != facts.model.settings.block]
    told = "; ".join(f"{b}: {headline(facts, b)}" for b in others)
    return f"models fitted in the same way beside it: {told}" if told else ""


def interpretability(facts: StudyFacts) -> str:
    """Tell what the model rests on."""
    weights = {k: v for k, v in facts.model.facts["weights"].items() if v is not None}
    if not weights:
        return "no coefficients; loss of performance when a column is shuffled is in selected_features.csv"
    largest = max(weights, key=lambda name: abs(weights[name]))
    return (
        f"coefficients of {len(weights)} scaled columns, the largest {largest} ({weights[largest]:+.3f}), and how "
        "often folds chose each"
    )


def feature_statistics(facts: StudyFacts) -> str:
    """Tell how stably features were chosen."""
    if not facts.selected:
        return ""
    first = facts.selected[0]
    return (
        f"{len(facts.selected)} columns were in the model of some fold; most often {first['feature']} "
        f"({words.percent(float(first['frequency']))} of folds); all in selected_features.csv"
    )


def performance(facts: StudyFacts) -> str:
    """Tell of every metric of the model."""
    metrics = facts.performance[facts.model.settings.block]
    return "; ".join(f"{words.METRICS.get(m, m)} {estimate_text(e)}" for m, e in metrics.items())


def calibration(facts: StudyFacts) -> str:
    """Tell of calibration."""
    metrics = facts.performance[facts.model.settings.block]
    names = ("calibration_slope", "calibration_intercept", "brier", "integrated_brier")
    told = [f"{words.METRICS[m]} {estimate_text(metrics[m])}" for m in names if m in metrics]
    return "; ".join(told)


def preparation(facts: StudyFacts) -> str:
    """Tell of checks of scans and steps before the model."""
    codes = {} if facts.run is None else facts.run.findings
    found = f"; findings of the checks by lesion: {words.counted(codes)}" if codes else ""
    return f"{missing(facts)}; {reduction(facts)}; {scaling(facts)}{found}"


def predictors(facts: StudyFacts) -> str:
    """Tell of columns of the model."""
    radiomic = len(facts.model.columns["radiomics"])
    return f"{radiomic} radiomic columns; {clinical_predictors(facts)}; all named in model.yaml"


def analysis(facts: StudyFacts) -> str:
    """Tell of model, tuning, validation, metrics."""
    return f"{tuning(facts)}; {split(facts)}; {metrics_used(facts)}; {uncertainty(facts)}"


def output(facts: StudyFacts) -> str:
    """Tell what comes out, and the cut-off."""
    kind = "risk" if facts.is_survival else "probability of response"
    cut = facts.model.thresholds[facts.model.settings.block]
    return f"{kind}; cut-off {cut:.4g} from {words.threshold(facts.model.settings)}"


def train_evaluation(facts: StudyFacts) -> str:
    """Tell of internal validation has one population."""
    return f"none by design: training and test folds are of the same patients ({facts.model.facts['patients']})"


def specification(facts: StudyFacts) -> str:
    """Tell of the fitted model."""
    return (
        f"{'; '.join(facts.model.facts['final_model'])}; pipeline with every coefficient in model.skops (loaded after "
        "an audit), largest coefficients in card.md"
    )


def updating(_: StudyFacts) -> str:
    """Tell of no updating."""
    return "the model was not updated by this program"


EVIDENCE: dict[str, Evidence] = {
    f.__name__: f
    for f in (
        pipeline, split, missing, imbalance, reliability, scaling, redundancy, reduction, dimensionality, algorithms,
        tuning, confounders, model_selection, testing, external, metrics_used, uncertainty, comparison_test, comparison,
        simple_models, interpretability, feature_statistics, performance, calibration, preparation, predictors,
        analysis, output, train_evaluation, specification, updating,
    )
}  # fmt: skip
"""Evidence by the name that the item lists call it by."""
