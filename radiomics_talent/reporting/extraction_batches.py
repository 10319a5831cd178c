"""What the scanner did to the features: the sections of an extraction's page on batches, ComBat and correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.modelling import batch_effects
from radiomics_talent.reporting import extraction_figures as figures
from radiomics_talent.reporting.extraction_figures import plate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.table import FeatureTable

_MOST_FEATURES = 8
_MOST_RANKED = 10
_FEW_LESIONS = 20
BATCH_WORDS = {
    "kernel": "reconstruction kernel",
    "manufacturer": "manufacturer",
    "site": "site",
    "contrast_phase": "contrast phase",
    "slice_thickness_mm": "slice thickness",
}
"""Batch columns in the order in which one is chosen, and what they are called."""


def dividing_column(table: FeatureTable) -> str:
    """Return the first batch column that divides the lesions; the kernel where none does."""
    for column in BATCH_WORDS:
        if len(set(batch_effects.batch_labels(table, column).tolist()) - {batch_effects.UNKNOWN}) > 1:
            return column
    return "kernel"


def batch_section(table: FeatureTable, column: str, *, chosen: bool) -> dict[str, Any]:
    """Return the section of features by batch: the column chosen, then site, manufacturer and kernel."""
    groups: list[dict[str, Any]] = []
    remarks: list[str] = []
    shown: list[tuple[str, NDArray[np.str_]]] = []
    columns = [column, *(c for c in ("site", "manufacturer", "kernel") if c != column)]
    for name in columns:
        batches = batch_effects.batch_labels(table, name)
        twin = next((c for c, b in shown if batch_effects.same_grouping(b, batches)), None)
        if len(set(batches.tolist())) < 2:
            if name == column and chosen:
                remarks.append(f"All lesions are of one {BATCH_WORDS[name]}: there is nothing to compare.")
        elif twin:
            other = BATCH_WORDS[name].capitalize()
            remarks.append(
                f"{other} divides the lesions as {BATCH_WORDS[twin]} does: their effects cannot be told apart."
            )
        else:
            shown.append((name, batches))
            group = _group(table, name, batches)
            if group:
                groups.append(group)
    if not groups and not remarks:
        remarks.append(
            "There are no features to compare between batches: too few lesions, too few that vary, or one batch only."
        )
    return {"groups": groups, "batch_remarks": remarks}


def _group(table: FeatureTable, column: str, batches: NDArray[np.str_]) -> dict[str, Any] | None:
    ranked = batch_effects.rank_batch_differences(table, batches)
    features = batch_effects.chosen_features(table, ranked, _MOST_FEATURES)
    if not features:
        return None
    strength = {d.feature: d.eta_squared for d in ranked}
    plates = []
    for feature in features:
        medians = batch_effects.batch_medians(table, feature, batches)
        said = figures.listed([f"{name}: {value:.3g}" for name, value in list(medians.items())[: figures.MOST_LEVELS]])
        figure = figures.draw_by_batch(table.frame[feature].to_numpy(np.float64), batches)
        caption = feature + (f", eta squared {strength[feature]:.2f}" if feature in strength else "")
        alt = f"Box plot with a point a lesion of {feature} by {BATCH_WORDS[column]}. Medians: {said}"
        plates.append(plate(figure, alt=alt, caption=caption))
    return {"name": BATCH_WORDS[column], "plates": plates, "ranked": ranked[:_MOST_RANKED]}


def component_section(table: FeatureTable, column: str) -> dict[str, Any]:
    """Return the section of principal components before and after ComBat."""
    batches = batch_effects.batch_labels(table, column)
    compared = batch_effects.compare_batches(table, batches)
    if compared is None:
        remark = (
            "Principal components need at least three lesions and two features that vary and are known for all of them."
        )
        return {"components": [], "component_remarks": [remark]}
    plates = []
    for name, projection in (("Before ComBat", compared.before), ("After ComBat", compared.after)):
        if projection is None:
            continue
        share = f"{100 * projection.batch_share:.1f} % of the features' variance lies between batches"
        alt = (
            f"Scatter plot of {len(batches)} lesions on two principal components of {compared.n_features} features, "
            f"coloured by {BATCH_WORDS[column]}. {share}"
        )
        plates.append(plate(figures.draw_components(projection, batches), alt=alt, caption=f"{name}: {share}"))
    remarks = [f"Standardised features, coloured by {BATCH_WORDS[column]}."]
    if compared.after is not None:
        remarks.append(
            "ComBat is fitted here on the whole table, without covariates, to be looked at: batches that differ in "
            "their patients lose that difference too. A model fits it on training folds alone."
        )
    return {"components": plates, "component_remarks": remarks + ([compared.remark] if compared.remark else [])}


def correlation_section(table: FeatureTable) -> dict[str, Any]:
    """Return the section of correlated features."""
    found = batch_effects.cluster_features(table)
    if found is None:
        sentence = "Correlations need at least three lesions and two features that vary and are known for all of them."
        return {"correlation": None, "correlation_sentence": sentence, "clusters": []}
    at = batch_effects.CLUSTER_AT
    sentence = (
        f"{len(found.features)} features that vary form {found.n_clusters} clusters at an absolute Spearman "
        f"correlation of {at:g} (average linkage): about so many different things does the table say."
    )
    if len(table) < _FEW_LESIONS:
        sentence += f" Of {len(table)} lesions this is a rough picture: many features correlate by chance."
    members: dict[int, list[str]] = {}
    for feature, label in zip(found.features, found.labels.tolist(), strict=True):
        members.setdefault(label, []).append(feature)
    clusters = sorted((names for names in members.values() if len(names) > 1), key=len, reverse=True)
    largest = len(clusters[0]) if clusters else 1
    alt = (
        f"Heat map of the Spearman correlations of {len(found.features)} features; {found.n_clusters} clusters are "
        f"framed, the largest holds {largest} features"
    )
    picture = plate(
        figures.draw_correlation(found),
        alt=alt,
        caption="Spearman correlations; frames are clusters",
        vector=False,
    )
    return {"correlation": picture, "correlation_sentence": sentence, "clusters": clusters}
