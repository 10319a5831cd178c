"""Which intensities of a lesion count, and which grey level each has: resegmentation and discretisation.

Zwanenburg et al., IBSI reference manual v11, sections 2.5 (IF9H) and 2.7 (4R0B).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def kept_intensities(
    values: NDArray[np.float64], range_hu: tuple[float | None, float | None] | None, outliers_sd: float | None
) -> NDArray[np.bool_]:
    """Tell which intensities resegmentation keeps.

    Parameters
    ----------
    values : ndarray of float64
        (n,): the lesion's intensities.
    range_hu : tuple of float or None
        Lowest and highest intensity that stay (USB3); None leaves an end open.
    outliers_sd : float or None
        How many standard deviations (of the population of all `values`) about their mean stay (7ACA).

    Returns
    -------
    ndarray of bool
        (n,). With both, what both keep: each looks at all `values`, as the manual says.
    """
    kept = np.ones(values.shape, dtype=np.bool_)
    lowest, highest = range_hu or (None, None)
    if lowest is not None:
        kept &= values >= lowest
    if highest is not None:
        kept &= values <= highest
    if outliers_sd is not None:
        mean, spread = values.mean(), outliers_sd * values.std()
        kept &= (values >= mean - spread) & (values <= mean + spread)
    return kept


def fixed_bin_size(values: NDArray[np.float64], width: float, lowest: float) -> NDArray[np.float64]:
    """Return grey levels of a fixed width (Q3RU): floor((x - lowest) / width) + 1.

    Parameters
    ----------
    values : ndarray of float64
        Intensities.
    width : float
        Width of a level.
    lowest : float
        Where level 1 begins; intensities below it would have levels below 1.

    Returns
    -------
    ndarray of float64
        Whole numbers, of the shape of `values`; not integers, since there may be more than an integer holds.
    """
    return np.asarray(np.floor((values - lowest) / width) + 1)


def fixed_bin_number(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return a fixed number of grey levels between the smallest and the largest intensity (K15C).

    Parameters
    ----------
    values : ndarray of float64
        Intensities, at least one.
    count : int
        Number of levels: floor(count (x - min) / (max - min)) + 1, and `count` for the largest.

    Returns
    -------
    ndarray of float64
        Whole numbers from 1 on. Where all intensities are equal the definition divides by zero: they have level 1.
    """
    lowest, highest = values.min(), values.max()
    if lowest == highest:
        return np.ones(values.shape)
    levels = np.floor(count * (values - lowest) / (highest - lowest)) + 1
    return np.asarray(np.minimum(levels, count))
