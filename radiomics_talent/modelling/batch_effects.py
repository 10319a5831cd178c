"""How much of a feature table the scanner wrote: batch differences, ComBat before and after, correlated features.

Descriptive and about the whole table at once: nothing here may reach a model, whose ComBat learns on training folds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import kruskal
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from radiomics_talent.errors import TalentError
from radiomics_talent.features.table import KEY_COLUMNS
from radiomics_talent.modelling.harmonisation import BatchHarmoniser

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from radiomics_talent.features.table import FeatureTable

UNKNOWN = "not known"
"""Batch of a lesion whose cell is empty."""
CLUSTER_AT = 0.9
"""Features whose absolute Spearman correlation reaches this say the same."""
_FEWEST_ROWS = 3
_FEWEST_IN_BATCH = 2
_SPREAD = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class BatchDifference:
    """How far a feature differs between batches.

    Attributes
    ----------
    feature : str
        Name.
    eta_squared : float
        Kruskal-Wallis eta squared, (H - k + 1) / (n - k), not below 0: share of the ranks' variance between batches.
    p_value : float
        Of the Kruskal-Wallis test, not corrected for the number of features; lesions count as independent.
    """

    feature: str
    eta_squared: float
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Principal components of standardised features.

    Attributes
    ----------
    scores : ndarray of float64
        (lesion, 2).
    explained : tuple of float
        Share of variance of each of the two components.
    batch_share : float
        Share of the variance of all standardised features that lies between batches (mean eta squared of a one-way
        analysis of variance).
    """

    scores: NDArray[np.float64]
    explained: tuple[float, float]
    batch_share: float


@dataclass(frozen=True, slots=True, eq=False)
class BatchComparison:
    """The table before and after ComBat.

    Attributes
    ----------
    batches : ndarray of str
        Batch of each lesion that is compared.
    n_features : int
        Features that vary and are known for every lesion compared.
    before : Projection
        As extracted.
    after : Projection or None
        After ComBat on the whole table; None where it cannot be estimated.
    remark : str
        Why something is left out; empty when nothing is.
    """

    batches: NDArray[np.str_]
    n_features: int
    before: Projection
    after: Projection | None
    remark: str


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationClusters:
    """Spearman correlations of features, ordered so that like stands beside like.

    Attributes
    ----------
    features : tuple of str
        In the order of the clustering.
    correlation : ndarray of float64
        (feature, feature), in that order.
    labels : ndarray of int64
        Cluster of each feature at `CLUSTER_AT`, average linkage of 1 - |rho|.
    """

    features: tuple[str, ...]
    correlation: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(np.unique(self.labels))


def batch_labels(table: FeatureTable, column: str) -> NDArray[np.str_]:
    """Return the batch of each lesion as text; `UNKNOWN` where the cell is empty."""
    values = table.frame[column]
    if values.dtype.kind == "f":
        return np.array([UNKNOWN if np.isnan(v) else f"{v:g} mm" for v in values], dtype=np.str_)
    return np.array([str(v).strip() or UNKNOWN for v in values], dtype=np.str_)


def varying_features(table: FeatureTable) -> tuple[str, ...]:
    """Return the features that differ between lesions and are finite for each of them."""
    values = table.frame[list(table.features)].to_numpy(np.float64)
    if len(values) < _FEWEST_ROWS or not values.shape[1]:
        return ()
    is_finite = np.isfinite(values).all(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        spread, size = np.ptp(values, axis=0), np.abs(values).max(axis=0)
    # What differs by rounding alone is constant: divided by its spread it would be noise.
    keep = is_finite & (spread > _SPREAD * np.maximum(size, 1e-300))
    return tuple(name for name, kept in zip(table.features, keep, strict=True) if kept)


def rank_batch_differences(table: FeatureTable, batches: NDArray[np.str_]) -> tuple[BatchDifference, ...]:
    """Compare every feature between batches of two lesions or more, the most different first.

    Empty where there are fewer than two such batches.
    """
    names, counts = np.unique(batches[batches != UNKNOWN], return_counts=True)
    groups = names[counts >= _FEWEST_IN_BATCH]
    if len(groups) < 2:
        return ()
    found = []
    for feature in varying_features(table):
        values = table.frame[feature].to_numpy(np.float64)
        samples = [values[batches == g] for g in groups]
        n, k = sum(map(len, samples)), len(samples)
        if n <= k or np.ptp(np.concatenate(samples)) == 0:
            continue
        h, p = kruskal(*samples)
        found.append(BatchDifference(feature, max(0.0, float((h - k + 1) / (n - k))), float(p)))
    return tuple(sorted(found, key=lambda d: (-d.eta_squared, d.feature)))


def compare_batches(table: FeatureTable, batches: NDArray[np.str_]) -> BatchComparison | None:
    """Project the lesions onto two principal components, before and after ComBat.

    Parameters
    ----------
    table : FeatureTable
        One row a lesion.
    batches : ndarray of str
        From `batch_labels`.

    Returns
    -------
    BatchComparison or None
        None where fewer than three lesions or two varying features are left.
    """
    features = varying_features(table)
    if len(features) < 2:
        return None
    values = table.frame[list(features)].reset_index(drop=True)
    before = _projected(values, batches)
    names, counts = np.unique(batches, return_counts=True)
    if len(names) < 2:
        return BatchComparison(batches, len(features), before, None, "All lesions are of one batch: nothing to adjust.")
    lonely = [str(n) for n in names[counts < _FEWEST_IN_BATCH]]
    if len(names) - len(lonely) < 2:
        remark = "ComBat needs two batches of at least two lesions each."
        return BatchComparison(batches, len(features), before, None, remark)
    after = adjust_whole_table(values, batches)
    if after is None:
        remark = "ComBat could not be estimated from this table."
        return BatchComparison(batches, len(features), before, None, remark)
    remark = f"Batches of one lesion stay unadjusted: {', '.join(lonely)}." if lonely else ""
    return BatchComparison(batches, len(features), before, _projected(after, batches), remark)


def cluster_features(table: FeatureTable) -> CorrelationClusters | None:
    """Order the varying features by their Spearman correlation and group those that say the same.

    None where fewer than two features vary.
    """
    features = varying_features(table)
    if len(features) < 2:
        return None
    ranks = table.frame[list(features)].rank().to_numpy(np.float64)
    correlation = np.clip(np.corrcoef(ranks, rowvar=False), -1.0, 1.0)
    distance = 1.0 - np.abs((correlation + correlation.T) / 2)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=len(features) <= 400)
    order = leaves_list(tree)
    labels = fcluster(tree, 1.0 - CLUSTER_AT + 1e-9, criterion="distance").astype(np.int64)
    return CorrelationClusters(tuple(features[i] for i in order), correlation[np.ix_(order, order)], labels[order])


def variance_share(values: NDArray[np.float64], batches: NDArray[np.str_]) -> float:
    """Return the mean share of the columns' variance that lies between batches."""
    shares = variance_shares(values, batches)
    known = ~np.isnan(shares)
    return float(np.mean(shares[known])) if known.any() else 0.0


def variance_shares(values: NDArray[np.float64], batches: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return the share of each column's variance that lies between batches: eta squared, one-way analysis of variance.

    Parameters
    ----------
    values : ndarray of float64
        (lesion, feature).
    batches : ndarray of str
        Batch of each lesion.

    Returns
    -------
    ndarray of float64
        (feature,): 0 to 1; NaN for a column that does not vary.
    """
    centred = values - values.mean(axis=0)
    between = np.zeros(values.shape[1])
    for name in np.unique(batches):
        rows = batches == name
        between += rows.sum() * centred[rows].mean(axis=0) ** 2
    total = (centred**2).sum(axis=0)
    return np.where(total > 0, between / np.where(total > 0, total, 1.0), np.nan)


def _projected(values: pd.DataFrame, batches: NDArray[np.str_]) -> Projection:
    scaled = StandardScaler().fit_transform(values.to_numpy(np.float64))
    pca = PCA(n_components=2, svd_solver="full")
    scores = pca.fit_transform(scaled)
    first, second = (float(v) for v in pca.explained_variance_ratio_)
    return Projection(scores, (first, second), variance_share(scaled, batches))


def adjust_whole_table(values: pd.DataFrame, batches: NDArray[np.str_]) -> pd.DataFrame | None:
    """Return features after ComBat without covariates, fitted on all rows: to be looked at, never to be modelled.

    Parameters
    ----------
    values : DataFrame
        Features that vary and are known for every row.
    batches : ndarray of str
        Batch of each row; batches of a single row stay as they are.

    Returns
    -------
    DataFrame or None
        None where ComBat cannot be estimated.
    """
    column = KEY_COLUMNS[-1]  # a key column's name is never a feature's
    frame = values.assign(**{column: batches})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows without an estimate: said in the remark
        try:
            adjusted = BatchHarmoniser(column, unseen="unadjusted").fit_transform(frame)
        except (TalentError, ValueError, np.linalg.LinAlgError):
            return None
    return adjusted if np.isfinite(adjusted.to_numpy()).all() else None


def batch_medians(table: FeatureTable, feature: str, batches: NDArray[np.str_]) -> dict[str, float]:
    """Return a feature's median in each batch, largest batch first."""
    medians = table.frame[feature].groupby(np.asarray(batches, dtype=object)).median()
    names, counts = np.unique(batches, return_counts=True)
    order = sorted(zip(names, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {str(name): float(medians[str(name)]) for name, _ in order}


def same_grouping(first: NDArray[np.str_], second: NDArray[np.str_]) -> bool:
    """Whether two batch columns divide the lesions alike, whatever the groups are called."""
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


def chosen_features(table: FeatureTable, ranked: Sequence[BatchDifference], most: int) -> tuple[str, ...]:
    """Return features worth a picture: volume, a few of first order, and those that batches change most."""
    first = ("original_shape_MeshVolume", "original_firstorder_Mean", "original_firstorder_Entropy")
    varying = varying_features(table)
    fixed = [name for name in first if name in varying]
    rest = [d.feature for d in ranked] or list(varying)
    return tuple(dict.fromkeys([*fixed, *rest]))[:most]
