"""A lesion's values become grey levels, as PyRadiomics' ``binImage`` bins them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class GreyLevels:
    """The discretised image of a lesion.

    Attributes
    ----------
    levels_zyx : ndarray of int32
        (z, y, x): 1 to `highest` inside the lesion, 0 outside of it.
    present : ndarray of int64
        Levels that occur, ascending: the rows that PyRadiomics leaves in its matrices.
    highest : int
        The highest level that occurs; PyRadiomics' ``Ng``.
    """

    levels_zyx: NDArray[np.int32]
    present: NDArray[np.int64]
    highest: int
