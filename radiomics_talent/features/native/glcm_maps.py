"""GLCM features of moving neighbourhoods: means over angles, with PyRadiomics' rules for neighbourhoods without pairs.

PyRadiomics computes all centres in one array (``voxelBatch`` -1, its default). An angle without pairs around any centre
is dropped; one that lacks them around some centres is NaN there. Features are means of what is not NaN, but for
JointAverage, which is NaN itself; and MCC fails on the array as a whole, which leaves its map at the value that it is
begun with, 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.glcm import GLCM_FEATURES, glcm_features
from radiomics_talent.features.native.glcm_groups import FOUND
from radiomics_talent.features.native.glcm_mcc import second_eigenvalues
from radiomics_talent.features.native.glcm_rounding import (
    RESUMMED,
    dense_tables,
    hang_on_rounding,
    mean_root,
    rounded_features,
    scaled_eigenvalues,
)
from radiomics_talent.features.native.grey_levels import GreyLevels
from radiomics_talent.features.native.neighbour_offsets import neighbour_offsets
from radiomics_talent.features.native.neighbour_tables import pair_tables
from radiomics_talent.features.native.neighbourhoods import pairs_around

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from numpy.typing import NDArray

    from radiomics_talent.features.native.neighbourhoods import Neighbourhoods
    from radiomics_talent.features.native.texture_settings import TextureSettings

_JOINT_AVERAGE, _SHADE = GLCM_FEATURES.index("JointAverage"), GLCM_FEATURES.index("ClusterShade")
_INVERSE_VARIANCE = GLCM_FEATURES.index("InverseVariance")
_FAILED = (
    "GLCM MCC: somewhere no two voxels of a neighbourhood are neighbours along an angle; "
    "there PyRadiomics' MCC fails for all neighbourhoods at once, and the map is 0"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """The image, its neighbourhoods and settings."""

    around: Neighbourhoods
    grey: GreyLevels
    spacing_xyz: tuple[float, float, float]
    settings: TextureSettings
    offsets: NDArray[np.int64]

    @property
    def tables(self) -> int:
        """Number of tables of a centre."""
        return len(self.offsets) if self.settings.weighting_norm is None else 1

    def dense(self, which: NDArray[np.intp], kept: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
        """Yield the tables of some centres in PyRadiomics' layout, each twice, as there are several in a map."""
        for v in which:
            part = GreyLevels(self.around.part(self.grey, v), self.grey.present, self.grey.highest)
            tables = pair_tables(part, self.spacing_xyz, self.settings, self.offsets, copies=2)
            yield dense_tables(tables, kept, self.grey, copies=2)


def glcm_maps(
    around: Neighbourhoods,
    grey: GreyLevels,
    spacing_xyz: tuple[float, float, float],
    settings: TextureSettings,
    wanted: Collection[str],
    warn: Callable[[str], None],
) -> dict[str, NDArray[np.float64]]:
    """Compute GLCM features around each centre.

    Parameters
    ----------
    around : Neighbourhoods
        The neighbourhoods.
    grey : GreyLevels
        The image.
    spacing_xyz : tuple of float
        Voxel size in mm.
    settings : TextureSettings
        Distances, plane, symmetry and weights.
    wanted : collection of str
        Feature names.
    warn : callable
        Is told when MCC fails as PyRadiomics' does.

    Returns
    -------
    dict of str to ndarray of float64
        (n,) each.
    """
    offsets, _ = neighbour_offsets(grey.levels_zyx.shape, settings)
    image = _Image(around, grey, spacing_xyz, settings, offsets)
    angles = image.tables
    means, has_pairs, hangs, squares = [], [], [], []
    some, every = np.zeros(angles, dtype=np.bool_), np.ones(angles, dtype=np.bool_)
    for tables in pairs_around(around, grey, spacing_xyz, settings):
        by_table, scale, rounded = glcm_features(tables, grey.present, grey.highest)
        has_pairs.append((np.diff(tables.start) > 0).reshape(-1, angles))
        some |= has_pairs[-1].any(axis=0)
        every &= has_pairs[-1].all(axis=0)
        means.append(_mean_of_filled(by_table.reshape(-1, angles, len(GLCM_FEATURES)), has_pairs[-1]))
        hangs.append(hang_on_rounding(means[-1][:, _SHADE], scale.reshape(-1, angles), rounded.reshape(-1, angles)))
        if "MCC" in wanted and not (some & ~every).any():  # MCC has not failed so far
            squares.append(second_eigenvalues(tables, grey.present.size))
    kept = some | (angles == 1)
    complete = np.concatenate(has_pairs)[:, kept].all(axis=1)
    values = np.concatenate(means)
    if grey.present.size == 1 and kept.any():
        values[:, _INVERSE_VARIANCE] = 0.0
    values[~complete, _JOINT_AVERAGE] = np.nan
    found = dict(zip(GLCM_FEATURES, values.T.copy(), strict=True))
    _do_again(image, kept, found, np.concatenate(hangs), set(wanted))
    if "MCC" in wanted and complete.all():
        eigenvalues, worth = (np.concatenate(parts).reshape(-1, angles) for parts in zip(*squares, strict=True))
        found["MCC"] = _mcc(image, kept, eigenvalues, worth)
    elif "MCC" in wanted:
        warn(_FAILED)
        found["MCC"] = np.zeros(complete.size)
    return {name: found[name] for name in wanted}


def _mean_of_filled(by_table: NDArray[np.float64], filled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average over angles that have pairs: (n, angles, features) to (n, features), NaN where none has."""
    with np.errstate(invalid="ignore"):
        sums: NDArray[np.float64] = np.where(filled[:, :, None], by_table, 0.0).sum(axis=1)
        means: NDArray[np.float64] = sums / filled.sum(axis=1)[:, None]
    return means


def _do_again(
    image: _Image,
    kept: NDArray[np.bool_],
    found: dict[str, NDArray[np.float64]],
    hangs: NDArray[np.bool_],
    wanted: set[str],
) -> None:
    """Compute what hangs on rounding as PyRadiomics' arrays are summed."""
    if kept.size > 1 and kept.all():  # summed one term after another, as here
        hangs[:, RESUMMED.index("Correlation")] = False
    hangs &= np.array([name in wanted for name in RESUMMED])
    which = np.flatnonzero(hangs.any(axis=1))
    for v, dense in zip(which, image.dense(which, kept), strict=True):
        names = [name for name, again in zip(RESUMMED, hangs[v], strict=True) if again]
        for name, value in rounded_features(dense, image.grey.present, names).items():
            found[name][v] = value


def _mcc(
    image: _Image, kept: NDArray[np.bool_], squares: NDArray[np.float64], worth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average the roots of (n, angles) eigenvalues; every kept angle has pairs around every centre."""
    levels = image.grey.present.size
    if levels == 1 or not kept.any():
        return np.full(len(squares), 1.0 if levels == 1 else np.nan)
    mcc: NDArray[np.float64] = np.sqrt(np.maximum(squares[:, kept], 0.0)).mean(axis=1)
    good = (worth[:, kept] == FOUND).all(axis=1)
    unsure = np.flatnonzero(~good)
    roots = [scaled_eigenvalues(dense)[0, :, -2] for dense in image.dense(unsure, kept)]
    if any((r.real < 0).any() for r in roots) and _any_complex(image, kept, (unsure, np.flatnonzero(good))):
        roots = [r.astype(np.complex128) for r in roots]
    for v, root in zip(unsure, roots, strict=True):
        mcc[v] = mean_root(root)
    return mcc


def _any_complex(image: _Image, kept: NDArray[np.bool_], centres: tuple[NDArray[np.intp], ...]) -> bool:
    """Tell whether any eigenvalue in PyRadiomics' array would come out complex: then no root in it is NaN."""
    return any(np.iscomplexobj(scaled_eigenvalues(d)) for which in centres for d in image.dense(which, kept))
