"""How far a score depends on who was in the training: its spread over refits on bootstrap samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.scoring.score_report import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_FEWEST = 10
_LIMIT = 1e-9


def score_interval(score: float, refits: Sequence[float], *, survival: bool) -> Interval | None:
    """Return the 95 % interval of a score: its logit (risk as it is) ± 1.96 standard deviations over the refits.

    It says how stable the prediction is against another draw of training patients (Riley & Collins 2023), not whether
    this patient will respond, and not how the model would do at another centre.

    Parameters
    ----------
    score : float
        The model's own.
    refits : sequence of float
        Those of the refits.
    survival : bool
        The score is a risk.

    Returns
    -------
    Interval or None
        None with fewer than 10 refits.
    """
    if survival:
        return _interval(score, np.asarray(refits), lambda x: x, lambda x: x, "score")
    return _interval(score, np.asarray(refits), _logit, _expit, "logit")


def survival_interval(probability: float, refits: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of a probability of no event, on the scale log(-log S)."""
    return _interval(probability, np.asarray(refits), _cloglog, _from_cloglog, "log(-log S)")


def _interval(
    value: float, refits: Floats, to: Callable[[Floats], Floats], back: Callable[[Floats], Floats], scale: str
) -> Interval | None:
    if len(refits) < _FEWEST or not np.isfinite(value):
        return None
    half = 1.96 * float(np.std(to(refits), ddof=1))
    low, high = back(to(np.array(value)) + np.array([-half, half]))
    return Interval(
        low=float(low),
        high=float(high),
        method=f"95 %, {scale} ± 1.96 standard deviations over {len(refits)} refits on bootstrap samples of the "
        "training patients",
    )


def _logit(p: Floats) -> Floats:
    q = np.clip(p, _LIMIT, 1 - _LIMIT)
    return np.asarray(np.log(q) - np.log1p(-q))


def _expit(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def _cloglog(p: Floats) -> Floats:
    return np.asarray(np.log(-np.log(np.clip(p, _LIMIT, 1 - _LIMIT))))


def _from_cloglog(x: Floats) -> Floats:
    return np.asarray(np.sort(np.exp(-np.exp(x))))
