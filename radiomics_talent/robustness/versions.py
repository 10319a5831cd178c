"""Features of every version of every lesion: what perturbing gives, and what agreement is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class VersionTable:
    """Features of a cohort, as it is and in versions.

    Attributes
    ----------
    keys : DataFrame
        `KEY_COLUMNS` of `radiomics_talent.features.table`; one row a lesion.
    features : tuple of str
        Names.
    original : ndarray of float64
        (lesion, feature): the scan and the lesion as they are.
    chains : mapping of str to ndarray of float64
        (lesion, version, feature) by chain; NaN where a feature is not defined, or a version could not be made.
    """

    keys: pd.DataFrame
    features: tuple[str, ...]
    original: NDArray[np.float64]
    chains: Mapping[str, NDArray[np.float64]]
