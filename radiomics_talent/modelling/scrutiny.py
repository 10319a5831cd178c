"""What a reviewer would ask about a study before looking at its results: one sentence each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from scipy.stats.contingency import association, crosstab

from radiomics_talent.modelling.dataset import BATCH_COLUMNS, looks_like_endpoint
from radiomics_talent.modelling.lesions import base_feature
from radiomics_talent.modelling.survival_metrics import concordance_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.dataset import StudyTable

EVENTS_PER_VARIABLE = 10
"""Fewest events for each variable of a model without penalty (Peduzzi 1996)."""
LEAK_AUC = 0.98
"""A single column that separates the outcome this well is more likely a leak than a finding."""
LEAK_CONCORDANCE = 0.93
"""The same for the order of survival times."""
_LEAK_GAP = 0.8
_FEWEST_FOR_LEAK = 5
_CONFOUNDED_P = 0.05
_SHOWN = 5


def scrutinise(
    table: StudyTable,
    features: FeatureTable,
    clinical: ClinicalTable,
    settings: ModelSettings,
    icc: Mapping[str, float] | None,
) -> tuple[str, ...]:
    """Return what a reviewer would ask about the data of a study.

    Parameters
    ----------
    table : StudyTable
        The joined tables.
    features : FeatureTable
        For the columns that say how lesions were scanned.
    clinical : ClinicalTable
        For the columns that are not used.
    settings : ModelSettings
        What will be done with them.
    icc : mapping of str to float, optional
        ICC by feature.
    """
    return (
        *table.findings,
        *_left_out(table),
        *_endpoints_not_used(clinical, table),
        *_events_per_variable(table, settings),
        *_unusable_columns(table),
        *_same_scan_twice(table),
        *_leaks(table),
        *_confounded_batches(table, features),
        *_without_icc(table, icc),
    )


def confounding(levels: Sequence[str], events: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return p value and strength (Cramér's V) of the association of a batch with the outcome.

    Fisher's exact test for two levels with small expected counts, else chi-squared; None where there are fewer than
    two levels.
    """
    names = np.asarray(levels, dtype=str)
    if len(np.unique(names)) < 2 or len(np.unique(events)) < 2:
        return None
    counts = crosstab(names, events).count
    expected = stats.contingency.expected_freq(counts)
    if counts.shape == (2, 2) and expected.min() < 5:
        p_value = float(stats.fisher_exact(counts).pvalue)
    else:
        p_value = float(stats.chi2_contingency(counts, correction=False).pvalue)
    return p_value, float(association(counts, method="cramer"))


def _left_out(table: StudyTable) -> list[str]:
    # Counted, not named: findings travel with the model.
    counts: dict[str, int] = {}
    for _, reason in table.left_out:
        counts[reason] = counts.get(reason, 0) + 1
    return [f"{n} patients left out ({reason}); all are in left_out.csv" for reason, n in counts.items()]


def _endpoints_not_used(clinical: ClinicalTable, table: StudyTable) -> list[str]:
    used = {c for names in table.blocks.values() for c in names}
    names = [
        n for n, c in clinical.columns.items() if c.role == "covariate" and n not in used and looks_like_endpoint(n)
    ]
    if not names:
        return []
    sentence = (
        f"{', '.join(names)}: not used as covariates, as their names are those of end points; a data dictionary "
        "(--study) or the setting clinical says otherwise"
    )
    return [sentence]


def _events_per_variable(table: StudyTable, settings: ModelSettings) -> list[str]:
    patients = pd.Series(table.events).groupby(table.patients).max()
    events = (
        int(min(patients.sum(), len(patients) - patients.sum())) if not table.y.dtype.names else int(patients.sum())
    )
    limit = min((s.k for s in settings.preprocess.select if s.k is not None), default=None)
    columns = len(table.blocks[settings.block])
    entering = min(limit, columns) if limit is not None else columns
    if events >= EVENTS_PER_VARIABLE * entering:
        return []
    sentence = (
        f"{events} events for {entering} variables that can enter the model ({columns} candidates): "
        f"{events / entering:.2g} events per variable, fewer than {EVENTS_PER_VARIABLE}; only the penalty and the "
        "nested validation stand between this model and overfitting"
    )
    return [sentence]


def _unusable_columns(table: StudyTable) -> list[str]:
    found = []
    columns = [c for names in table.blocks.values() for c in names]
    frame = table.frame[list(dict.fromkeys(columns))]
    empty = [str(c) for c in frame if frame[c].isna().all()]
    constant = [str(c) for c in frame if c not in empty and frame[c].nunique(dropna=True) == 1]
    gaps = [str(c) for c in frame if c not in empty and frame[c].isna().mean() > 0.2]
    for names, what in (
        (empty, "hold no value"),
        (constant, "are constant"),
        (gaps, "lack more than a fifth of their values, which are imputed inside the folds"),
    ):
        if names:
            found.append(
                f"{len(names)} columns {what}: {', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}"
            )
    return found


def same_features(table: StudyTable) -> tuple[tuple[str, ...], ...]:
    """Return sets of patients whose radiomic features are the very same."""
    radiomics = table.frame[list(table.blocks["radiomics"])]
    # One feature alone may tie by chance.
    if radiomics.shape[1] < 3:
        return ()
    # Rows of one value (the standard deviation of single lesions) say nothing of whose they are.
    telling = radiomics.nunique(axis=1) > 2
    hashes = pd.util.hash_pandas_object(radiomics[telling], index=False)
    twins = hashes[hashes.duplicated(keep=False)]
    patients = {tuple(sorted({str(p) for p in table.patients[twins.index[twins == h]]})) for h in twins.unique()}
    return tuple(sorted(p for p in patients if len(p) > 1))


def _same_scan_twice(table: StudyTable) -> list[str]:
    sets = len(same_features(table))
    if not sets:
        return []
    return [f"{sets} sets of patients have the very same features: the same scan under two ids? See same_features.csv"]


def _leaks(table: StudyTable) -> list[str]:
    """Find single columns that tell the outcome: an outcome among the covariates, or an artefact of the data."""
    if len(np.unique(table.events)) < 2:
        return []
    columns = dict.fromkeys(c for names in table.blocks.values() for c in names)
    found: dict[str, list[str]] = {}
    for column in columns:
        for way in _ways_to_leak(table, table.frame[column]):
            found.setdefault(way, []).append(column)
    return [
        f"{', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}: {way}; known before treatment, or the "
        "outcome under another name?"
        for way, names in found.items()
    ]


def _ways_to_leak(table: StudyTable, values: pd.Series) -> list[str]:
    events, filled = table.events, values.notna().to_numpy()
    ways = []
    enough = min(events.sum(), (1 - events).sum()) >= _FEWEST_FOR_LEAK
    if enough and abs(filled[events == 1].mean() - filled[events == 0].mean()) >= _LEAK_GAP:
        ways.append("whether it is filled in tells the outcome")
    is_number = values.dtype.kind in "fiub"
    if table.y.dtype.names and is_number and filled.sum() >= 2 * _FEWEST_FOR_LEAK:
        agree, comparable = concordance_pairs(table.y[filled], values.to_numpy(dtype=np.float64)[None, filled])
        c = agree.sum() / max(comparable.sum(), 1.0)
        if max(c, 1 - c) >= LEAK_CONCORDANCE:
            ways.append(f"alone it orders the times (C-index above {LEAK_CONCORDANCE})")
    if not is_number:
        # Each level counts with its share of events: separation by any coding of the levels.
        if values.nunique() > len(table) / 3:
            return ways
        values = values.map(pd.Series(events).groupby(values.to_numpy(), dropna=True).mean())
    y, x = events[filled], values[filled].to_numpy(dtype=np.float64)
    up, down = x[y == 1], x[y == 0]
    if min(len(up), len(down)) >= _FEWEST_FOR_LEAK:
        auc = float(stats.mannwhitneyu(up, down).statistic / (len(up) * len(down)))
        if max(auc, 1 - auc) >= LEAK_AUC:
            ways.append(f"alone it separates the outcome (AUC above {LEAK_AUC})")
    return ways


def _confounded_batches(table: StudyTable, features: FeatureTable) -> list[str]:
    found = []
    first = features.frame.drop_duplicates("patient_id").set_index("patient_id")
    patients, at = np.unique(table.patients, return_index=True)
    events = pd.Series(table.events).groupby(table.patients).max().loc[list(patients)].to_numpy()
    for column in BATCH_COLUMNS:
        levels = table.sites[at].tolist() if column == "site" else [str(v) for v in first.loc[list(patients), column]]
        known = np.array([level not in {"", "nan"} for level in levels])
        result = confounding([x for x, k in zip(levels, known, strict=True) if k], events[known])
        if result is not None and result[0] < _CONFOUNDED_P:
            found.append(
                f"{column} is associated with the outcome (p = {result[0]:.2g}, Cramér's V {result[1]:.2f}): a model "
                "may learn the scanner instead of the tumour, and ComBat for it may remove or invent effects"
            )
    return found


def _without_icc(table: StudyTable, icc: Mapping[str, float] | None) -> list[str]:
    if icc is None:
        return []
    columns = table.blocks["radiomics"]
    lacking = [c for c in columns if base_feature(c) not in icc]
    undefined = [c for c in columns if math.isnan(icc.get(base_feature(c), 0.0))]
    told = [
        (lacking, "features are not in the ICC table"),
        (undefined, "features have no ICC (an empty cell): they count as not reproducible"),
    ]
    return [f"{len(names)} {what}: {', '.join(names[:_SHOWN])}" for names, what in told if names]
