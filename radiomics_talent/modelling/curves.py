"""Curves of a validation: ROC, precision-recall, calibration, decision and survival, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest
from sksurv.nonparametric import kaplan_meier_estimator

from radiomics_talent.modelling.metrics import LEVEL, bootstrap_counts, net_benefit
from radiomics_talent.modelling.outcome import events_of
from radiomics_talent.modelling.survival_metrics import log_rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from radiomics_talent.modelling.validation_report import Scored

    Floats = NDArray[np.float64]

_GRID = np.linspace(0.0, 1.0, 101)
_BAND_SAMPLES = 200
_BAND_REPEATS = 10
_BINS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A curve with its 95 % band.

    Attributes
    ----------
    x, y, low, high : ndarray of float64
        Of one length.
    """

    x: Floats
    y: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalCurve:
    """Kaplan-Meier estimate of one risk group.

    Attributes
    ----------
    name : str
        'low risk' or 'high risk'.
    n, events : int
        Patients and events of the group.
    band : Band
        Days, probability of no event, 95 % band (log-log).
    at_risk : tuple of (float, int)
        Number still under observation at each time.
    """

    name: str
    n: int
    events: int
    band: Band
    at_risk: tuple[tuple[float, int], ...]


def roc_band(scored: Scored, seed: int = 0) -> Band:
    """Return sensitivity over 1 - specificity: mean of the repeats, band by bootstrap over patients."""

    def sensitivity(tp: Floats, fp: Floats) -> Floats:
        return np.interp(_GRID, _share(fp), _share(tp))

    return _banded(scored, sensitivity, seed)


def precision_recall_band(scored: Scored, seed: int = 0) -> Band:
    """Return precision over recall (sensitivity): mean of the repeats, band by bootstrap over patients."""

    def precision(tp: Floats, fp: Floats) -> Floats:
        recall, value = _share(tp)[1:], tp[1:] / np.maximum(tp + fp, 1e-300)[1:]
        # The steps whose area is the average precision: each recall has the precision of the first cut-off that
        # reaches it, and no better one that comes later.
        return np.asarray(value[np.minimum(np.searchsorted(recall, _GRID), len(recall) - 1)])

    return _banded(scored, precision, seed)


def calibration_bins(scored: Scored) -> Band:
    """Return the observed share of responders over the mean foretold, in fifths, with Wilson intervals."""
    y = events_of(scored.y)
    p = scored.score.mean(axis=0)
    groups = [g for g in np.array_split(np.argsort(p, kind="stable"), min(_BINS, len(p))) if len(g)]
    rows = []
    for group in groups:
        hits = int(y[group].sum())
        interval = binomtest(hits, len(group)).proportion_ci(LEVEL, method="wilson")
        rows.append((p[group].mean(), hits / len(group), interval.low, interval.high))
    return Band(*np.array(rows, dtype=np.float64).T)


def decision_curve(scored: Scored) -> tuple[Floats, Floats, Floats]:
    """Return threshold probabilities, net benefit of the model, and net benefit of treating everybody."""
    y = events_of(scored.y)
    thresholds = np.linspace(0.01, 0.99, 99)
    everybody = y.mean() - (1 - y.mean()) * thresholds / (1 - thresholds)
    return thresholds, net_benefit(y, scored.score, thresholds), everybody


def confusion(scored: Scored) -> Floats:
    """Return counts at the folds' own cut-offs, averaged over repeats: rows outcome (no, yes), columns predicted."""
    y = events_of(scored.y)
    table = [
        [(scored.predicted[:, y == k] == hit).sum() / len(scored.predicted) for hit in (False, True)] for k in (0, 1)
    ]
    return np.array(table)


def risk_groups(scored: Scored) -> tuple[tuple[SurvivalCurve, ...], float]:
    """Return the survival of low and high risk, by majority of the repeats, and the log-rank p value.

    Every patient's group comes from models that did not see the patient.
    """
    high = scored.predicted.mean(axis=0) >= 0.5
    curves = []
    ticks = _ticks(float(scored.y["time"].max()))
    for name, rows in (("low risk", ~high), ("high risk", high)):
        if not rows.any():
            continue
        y = scored.y[rows]
        time, value, (low, upper) = kaplan_meier_estimator(y["event"], y["time"], conf_type="log-log")
        band = Band(
            *(np.concatenate([[first], v]) for first, v in ((0.0, time), (1.0, value), (1.0, low), (1.0, upper)))
        )
        at_risk = tuple((float(t), int((y["time"] >= t).sum())) for t in ticks)
        curves.append(SurvivalCurve(name, int(rows.sum()), int(y["event"].sum()), band, at_risk))
    return tuple(curves), log_rank(scored.y, high)


def _banded(scored: Scored, curve: Callable[[Floats, Floats], Floats], seed: int) -> Band:
    y = events_of(scored.y)
    repeats = scored.score[:_BAND_REPEATS]
    plain = np.mean([curve(*_counts(y, s, np.ones(len(y)))) for s in scored.score], axis=0)
    rng = np.random.default_rng(seed)
    samples = [
        np.mean([curve(*_counts(y, s, weights)) for s in repeats], axis=0)
        for weights in bootstrap_counts(scored.patients, _BAND_SAMPLES, rng)
        if weights[y == 1].sum() and weights[y == 0].sum()
    ]
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Band(_GRID, plain, low, high)


def _counts(y: NDArray[np.int64], score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives at every cut-off, from none to all."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    w = weights[order]
    tp, fp = (np.concatenate([[0.0], np.cumsum(w * mask)[last]]) for mask in (y[order] == 1, y[order] == 0))
    return tp, fp


def _share(counts: Floats) -> Floats:
    return np.asarray(counts / counts[-1], dtype=np.float64)


def _ticks(longest: float) -> list[float]:
    step = next((s for s in (30, 90, 180, 365, 730, 1825) if longest / s <= 8), longest / 6)
    return [float(t) for t in np.arange(0, longest + 1e-9, step)]
