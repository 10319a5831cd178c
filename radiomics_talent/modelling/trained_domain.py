"""What training saw: of every column, of scans and lesions, and how far a patient lay from the others.

A new case is compared with it (`scoring.domain`); the golden rows are made of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping  # noqa: TC003  # pydantic reads the annotations when a model is loaded
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf, MinCovDet
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import RobustScaler

from radiomics_talent.modelling.folds import seed_of, stratified_by_patient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GOLDEN_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SCORE_LEVELS = tuple(k / 20 for k in range(21))
"""Quantiles that are kept of the training patients' out-of-fold scores."""
SCAN_LEVELS = ("contrast_phase", "kernel", "manufacturer", "site")
"""Key columns of the feature table that are compared level by level."""
_DISTANCE_FOLDS = 10
_FEWEST = 4
_ROWS_A_COLUMN = 5  # below this the minimum covariance determinant is not stable (Rousseeuw & Van Driessen 1999)


@dataclass(frozen=True, slots=True)
class TrainedColumn:
    """What training saw of one column: its domain.

    Attributes
    ----------
    name : str
        Column of the study table.
    levels : tuple of str, optional
        Levels of a category; None for a number.
    quantiles : tuple of float
        Minimum, 5 %, 25 %, 50 %, 75 %, 95 %, maximum of a number.
    missing : float
        Share of missing values.
    """

    name: str
    levels: tuple[str, ...] | None
    quantiles: tuple[float, ...]
    missing: float


@dataclass(frozen=True, slots=True)
class TrainedScans:
    """How the lesions of the training were scanned, and how large they were.

    Attributes
    ----------
    lesions : int
        Lesions of all patients.
    levels : dict of str to dict of str to int
        For each of `SCAN_LEVELS` the lesions of each level; not known is ''.
    slice_thickness_mm, volume_ml : tuple of float, optional
        Smallest and largest; None where never known.
    """

    lesions: int
    levels: Mapping[str, Mapping[str, int]]
    slice_thickness_mm: tuple[float, float] | None
    volume_ml: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Reference:
    """What a new row of the model's block is compared with, after preprocessing.

    Attributes
    ----------
    centre : dict of str to float
        Mean of each preprocessed column over the training rows: contributions are counted from there.
    selected : tuple of str
        Columns that the model uses; its distance is measured in them.
    distances : tuple of float
        Distance of each training row from the others (cross-validated by patient), sorted.
    scores : tuple of float
        Quantiles `SCORE_LEVELS` of the training patients' out-of-fold scores.
    scores_by_class : tuple of tuple of float
        The same without and with the event.
    """

    centre: Mapping[str, float]
    selected: tuple[str, ...]
    distances: tuple[float, ...]
    scores: tuple[float, ...]
    scores_by_class: tuple[tuple[float, ...], tuple[float, ...]]


def describe_columns(frame: pd.DataFrame) -> tuple[TrainedColumn, ...]:
    """Return what training saw of each column."""
    columns = []
    for name in frame.columns:
        values = frame[name]
        missing = float(values.isna().mean())
        if values.dtype.kind in "fiub":
            known = values.dropna().to_numpy(dtype=np.float64)
            quantiles = np.quantile(known, (0, *GOLDEN_LEVELS, 1)) if len(known) else np.full(7, np.nan)
            columns.append(TrainedColumn(str(name), None, tuple(map(float, quantiles)), missing))
        else:
            columns.append(TrainedColumn(str(name), tuple(sorted({str(v) for v in values.dropna()})), (), missing))
    return tuple(columns)


def golden_rows(domain: Sequence[TrainedColumn]) -> pd.DataFrame:
    """Return rows that are nobody's: quantiles of every number, levels in turn."""
    n = len(GOLDEN_LEVELS)
    columns: dict[str, Any] = {}
    for shift, column in enumerate(domain):
        if column.levels is None:
            # Each column starts at another quantile, so that the rows are no monotone ladder.
            columns[column.name] = np.roll(np.array(column.quantiles[1:-1]), shift % n)
        else:
            levels: list[Any] = list(column.levels) or [None]
            columns[column.name] = pd.Series([levels[(k + shift) % len(levels)] for k in range(n)], dtype=object)
    return pd.DataFrame(columns)


def describe_scans(lesions: pd.DataFrame, volumes_ml: Floats) -> TrainedScans:
    """Return what training saw of scans and lesions.

    Parameters
    ----------
    lesions : DataFrame
        Key columns of the feature table, one row a lesion.
    volumes_ml : ndarray of float64, shape (n_lesions,)
        NaN where not known.
    """
    levels = {}
    for name in SCAN_LEVELS:
        counts = lesions[name].fillna("").astype(str).value_counts()
        levels[name] = {str(k): int(counts[k]) for k in sorted(counts.index)}
    return TrainedScans(
        lesions=len(lesions),
        levels=levels,
        slice_thickness_mm=_range(lesions["slice_thickness_mm"].to_numpy(dtype=np.float64)),
        volume_ml=_range(volumes_ml),
    )


def fit_distance(z: Floats, patients: NDArray[np.str_], seed: int) -> tuple[Pipeline | None, tuple[float, ...]]:
    """Fit the distance from the training rows, and measure each of them against the others.

    Columns are scaled by median and quartiles; then the Mahalanobis distance by the minimum covariance determinant
    (Rousseeuw & Van Driessen 1999) where there are at least five rows a column, else by a covariance shrunk as
    Ledoit & Wolf (2004) have it.

    Parameters
    ----------
    z : ndarray of float64, shape (n_rows, n_selected)
        Preprocessed selected columns.
    patients : ndarray of str, shape (n_rows,)
        Rows of one patient are measured together.
    seed : int
        Of the folds.

    Returns
    -------
    pipeline : Pipeline or None
        For `row_distances`; None where there is no column or are too few rows.
    distances : tuple of float
        Of every training row from a fit without its fold, sorted.
    """
    n_patients = len(np.unique(patients))
    if not z.shape[1] or n_patients < _FEWEST:
        return None, ()
    folds = stratified_by_patient(
        patients, np.zeros(len(z), dtype=np.int64), min(_DISTANCE_FOLDS, n_patients), seed_of(seed, 13)
    )
    held_out = [row_distances(_fitted(z[train]), z[test]) for train, test in folds]
    return _fitted(z), tuple(sorted(float(d) for part in held_out for d in part))


def row_distances(distance: Pipeline, z: Floats) -> Floats:
    """Return the distance of preprocessed rows from the training's centre, in its own spread."""
    squared = distance.named_steps["covariance"].mahalanobis(distance.named_steps["scale"].transform(z))
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), dtype=np.float64)


def score_quantiles(score: Floats, events: NDArray[np.int64]) -> tuple[tuple[float, ...], ...]:
    """Return quantiles of out-of-fold scores (mean over repeats): of all, without the event, with it.

    Parameters
    ----------
    score : ndarray of float64, shape (n_repeats, n_units)
        Out-of-fold scores.
    events : ndarray of int64, shape (n_units,)
        0 or 1.
    """
    mean = np.nanmean(score, axis=0)
    parts = (mean, mean[events == 0], mean[events == 1])
    return tuple(tuple(map(float, np.quantile(p, SCORE_LEVELS))) if len(p) else () for p in parts)


def percentile_of(value: float, quantiles: Sequence[float], levels: Sequence[float]) -> float:
    """Return where a value lies between known quantiles, 0 to 100, linear in between.

    Between equal quantiles it is their middle.
    """
    q, at = np.asarray(quantiles), np.asarray(levels)
    if value < q[0]:
        return 0.0
    if value > q[-1]:
        return 100.0
    same = at[q == value]
    return 100 * float(same.mean() if len(same) else np.interp(value, q, at))


def _fitted(z: Floats) -> Pipeline:
    robust = len(z) >= _ROWS_A_COLUMN * z.shape[1]
    covariance = MinCovDet(random_state=0) if robust else LedoitWolf()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a singular covariance (one-hot columns) has a pseudo-inverse
        scaled = RobustScaler().fit(z)
        return Pipeline([("scale", scaled), ("covariance", covariance.fit(scaled.transform(z)))])


def _range(values: Floats) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else None
