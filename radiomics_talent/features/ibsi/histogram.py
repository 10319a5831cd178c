"""Intensity histogram (IBSI ZVCW): of the grey levels in the intensity mask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.intensity_statistics import STATISTICS, statistics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion


def histogram_features(lesion: IbsiLesion, wanted: Collection[str]) -> dict[str, float]:
    """Compute features of a lesion's histogram of grey levels.

    Parameters
    ----------
    lesion : IbsiLesion
        The lesion.
    wanted : collection of str
        Names of class ``histogram``: those of `intensity_statistics.STATISTICS` and of this module.

    Returns
    -------
    dict of str to float
        In the order of `wanted`. With a single grey level in all (N_g = 1) there is no gradient: NaN.
    """
    counts = np.bincount(lesion.levels_zyx[lesion.intensity_zyx], minlength=lesion.n_levels + 1)[1:]
    levels = np.repeat(np.arange(1.0, lesion.n_levels + 1), counts)
    values = statistics_of(levels, [name for name in wanted if name in STATISTICS])
    values |= {name: _OF_COUNTS[name](counts.astype(np.float64)) for name in wanted if name in _OF_COUNTS}
    return {name: values[name] for name in wanted}


def _mode(counts: NDArray[np.float64]) -> float:
    # Of several levels the one nearest to the mean, and of two of these the lower.
    levels = np.arange(1, counts.size + 1)
    commonest = levels[counts == counts.max()]
    mean = float((levels * counts).sum() / counts.sum())
    return float(commonest[np.argmin(np.abs(commonest - mean))])


def _entropy(counts: NDArray[np.float64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def _gradient(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    # Half the difference of both neighbours; at the ends the whole difference to the one neighbour.
    return np.gradient(counts) if counts.size > 1 else np.full(1, math.nan)


def _level_of(found: Callable[[NDArray[np.float64]], np.intp], gradient: NDArray[np.float64]) -> float:
    return float(found(gradient) + 1) if gradient.size > 1 else math.nan


_OF_COUNTS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    # AMMC: the commonest level
    "Mode": _mode,
    # TLU2: -sum p log2 p
    "Entropy": _entropy,
    # BJ5W: sum p²
    "Uniformity": lambda n: float(((n / n.sum()) ** 2).sum()),
    # 12CE: largest gradient of the counts
    "MaximumHistogramGradient": lambda n: float(_gradient(n).max()),
    # 8E6O: the lowest level that has it
    "MaximumGradientGrayLevel": lambda n: _level_of(np.argmax, _gradient(n)),
    # VQB3: smallest gradient of the counts
    "MinimumHistogramGradient": lambda n: float(_gradient(n).min()),
    # RHQZ: the lowest level that has it
    "MinimumGradientGrayLevel": lambda n: _level_of(np.argmin, _gradient(n)),
}
