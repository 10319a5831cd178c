"""From lesions to the patient: aggregation of features, and lesion volume as the baseline of every model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.model_settings import Aggregation

VOLUME_COLUMN = "log10_lesion_volume_ml"
"""The volume block: a patient's lesions added up (a lesion's own at level lesion), in ml, logarithm to base 10."""
_VOLUME_NAMES = ("shape_MeshVolume", "shape_VoxelVolume")


def lesion_volumes_ml(lesions: pd.DataFrame, features: Sequence[str]) -> NDArray[np.float64]:
    """Return each lesion's volume in ml from PyRadiomics' shape features (mm³); NaN when there are none.

    The mesh volume (IBSI RNU0) where it is there, else the voxel volume (IBSI YEKZ). Any prefix of the name is
    accepted, as other tools put the contrast phase or the ROI before it.
    """
    for ending in _VOLUME_NAMES:
        found = [n for n in features if n.endswith(f"original_{ending}")]
        if found:
            return lesions[found[0]].to_numpy(dtype=np.float64) / 1000.0
    return np.full(len(lesions), np.nan)


def aggregate_lesions(
    lesions: pd.DataFrame, names: Sequence[str], how: Sequence[Aggregation], volumes_ml: NDArray[np.float64]
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Make one row a patient out of its lesions.

    Parameters
    ----------
    lesions : DataFrame
        One row a lesion with ``patient_id`` and the features.
    names : sequence of str
        Features to aggregate.
    how : sequence of str
        With one way the columns keep the features' names; with several they get ``__WAY`` at the end.
    volumes_ml : ndarray of float64, shape (n_lesions,)
        Weights of ``volume-weighted-mean``, and what ``largest-lesion`` goes by.

    Returns
    -------
    frame : DataFrame
        Indexed by patient, in order of first appearance. A missing value of one lesion is left out of the
        patient's aggregate; the standard deviation is the population's, 0 for a single lesion.
    total_ml : ndarray of float64
        Volume of a patient's lesions added up.

    Raises
    ------
    ConfigError
        A patient has several lesions and a way needs volumes that are not there.
    """
    patients = lesions["patient_id"]
    several = bool(patients.duplicated().any())
    needs = [h for h in how if h in {"volume-weighted-mean", "largest-lesion"}]
    if several and needs and np.isnan(volumes_ml).any():
        raise ConfigError(
            f"aggregation {needs[0]} needs the volume of every lesion (original_shape_MeshVolume or VoxelVolume); "
            "extract the class shape too, or take aggregation: [mean]"
        )
    values = lesions[list(names)].to_numpy(dtype=np.float64)
    order = patients.drop_duplicates().to_numpy()
    members = [np.flatnonzero((patients == p).to_numpy()) for p in order]
    parts = []
    for way in how:
        rows = np.stack([_WAYS[way](values[m], volumes_ml[m]) for m in members])
        columns = list(names) if len(how) == 1 else [f"{n}__{way}" for n in names]
        parts.append(pd.DataFrame(rows, index=order, columns=columns))
    total_ml = np.array([volumes_ml[m].sum() for m in members])
    return pd.concat(parts, axis=1), total_ml


def base_feature(column: str) -> str:
    """Return the feature that an aggregated column was made of."""
    name, separator, way = column.rpartition("__")
    return name if separator and way in _WAYS else column


def patient_scores(
    score: NDArray[np.float64], patients: NDArray[np.str_], volumes_ml: NDArray[np.float64], how: str
) -> NDArray[np.float64]:
    """Return scores of lesions as scores of patients, in the sorted order of their names.

    Parameters
    ----------
    score : ndarray of float64, shape (n_repeats, n_lesions)
        Scores.
    patients : ndarray of str, shape (n_lesions,)
        Patient of each lesion.
    volumes_ml : ndarray of float64, shape (n_lesions,)
        What ``largest-lesion`` goes by.
    how : {'mean', 'maximum', 'largest-lesion'}
        How lesions become the patient.
    """
    names, row_of = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(row_of == k) for k in range(len(names))]
    if how == "largest-lesion":
        members = [m[[int(np.argmax(np.nan_to_num(volumes_ml[m])))]] for m in members]
    take = np.max if how == "maximum" else np.mean
    return np.stack([take(score[:, m], axis=1) for m in members], axis=1)


def _weighted_mean(values: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) == 1:
        return np.asarray(values[0])
    weights = np.where(np.isnan(values), 0.0, volumes[:, None])
    total = weights.sum(axis=0)
    summed = (np.nan_to_num(values) * weights).sum(axis=0)
    result = np.full(len(total), np.nan)
    np.divide(summed, total, out=result, where=total > 0)
    return result


def _ignoring_missing(
    function: Callable[..., NDArray[np.float64]],
) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    def aggregate(values: NDArray[np.float64], _volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.full(values.shape[1], np.nan)
        known = ~np.isnan(values).all(axis=0)
        result[known] = function(values[:, known], axis=0)
        return result

    return aggregate


def _largest(values: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values[0] if len(values) == 1 else values[int(np.argmax(volumes))])


_WAYS: dict[Aggregation, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "mean": _ignoring_missing(np.nanmean),
    "median": _ignoring_missing(np.nanmedian),
    "maximum": _ignoring_missing(np.nanmax),
    "standard-deviation": _ignoring_missing(np.nanstd),
    "volume-weighted-mean": _weighted_mean,
    "largest-lesion": _largest,
}
