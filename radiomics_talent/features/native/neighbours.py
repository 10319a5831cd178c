"""GLCM, GLDM and NGTDM of a lesion and of moving neighbourhoods in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.glcm_maps import glcm_maps
from radiomics_talent.features.native.glcm_values import glcm_values, glcm_warnings
from radiomics_talent.features.native.gldm import GLDM_FEATURES, gldm_features
from radiomics_talent.features.native.neighbour_tables import neighbour_tables, pair_tables
from radiomics_talent.features.native.neighbourhoods import neighbourhoods, neighbours_around
from radiomics_talent.features.native.ngtdm import NGTDM_FEATURES, ngtdm_features

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from radiomics_talent.features.native.grey_levels import GreyLevels
    from radiomics_talent.features.native.texture_settings import TextureSettings


def neighbour_features(
    grey: GreyLevels,
    spacing_xyz: tuple[float, float, float],
    settings: TextureSettings,
    wanted: Mapping[str, Collection[str]],
) -> dict[str, dict[str, float]]:
    """Compute features of a lesion's neighbouring voxels.

    Parameters
    ----------
    grey : GreyLevels
        The lesion, in the box that PyRadiomics would crop it to.
    spacing_xyz : tuple of float
        Voxel size in mm.
    settings : TextureSettings
        Distances, plane, symmetry, weights and ``gldm_a``.
    wanted : mapping of str to collection of str
        Names of features by class: 'glcm', 'gldm', 'ngtdm', or some of these.

    Returns
    -------
    dict of str to dict of str to float
        Class, then feature; in the order of `wanted`. NaN where PyRadiomics gives NaN.

    Raises
    ------
    ExtractionError
        No voxel can have a neighbour.
    """
    found: dict[str, dict[str, float]] = {}
    if "glcm" in wanted:
        tables = pair_tables(grey, spacing_xyz, settings)
        found["glcm"] = glcm_values(tables, grey, wanted["glcm"])
    if "gldm" in wanted or "ngtdm" in wanted:
        dependences, tones = neighbour_tables(grey, settings)
        if "gldm" in wanted:
            found["gldm"] = dict(zip(GLDM_FEATURES, gldm_features(dependences, grey.present)[0].tolist(), strict=True))
        if "ngtdm" in wanted:
            found["ngtdm"] = dict(zip(NGTDM_FEATURES, ngtdm_features(tones, grey.present)[0].tolist(), strict=True))
    return {family: {name: found[family][name] for name in names} for family, names in wanted.items()}


def neighbour_maps(
    grey: GreyLevels,
    centres_zyx: NDArray[np.intp],
    radius: int,
    spacing_xyz: tuple[float, float, float],
    settings: TextureSettings,
    wanted: Mapping[str, Collection[str]],
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Compute features of a moving neighbourhood, as PyRadiomics does with ``voxelBased`` and all centres in a batch.

    Parameters
    ----------
    grey : GreyLevels
        The lesion's box with a margin of `radius` where the image has one. Voxels of level 0 belong to no
        neighbourhood: without ``maskedKernel`` every voxel has a level.
    centres_zyx : ndarray of intp
        (n, 3): voxels of the lesion, n at least 1.
    radius : int
        Infinity norm in voxels (``kernelRadius``); in 2D within the slice of the centre.
    spacing_xyz : tuple of float
        Voxel size in mm.
    settings : TextureSettings
        Distances, plane, symmetry, weights and ``gldm_a``.
    wanted : mapping of str to collection of str
        Names of features by class: 'glcm', 'gldm', 'ngtdm', or some of these.
    warn : callable, optional
        Is told when a feature fails as PyRadiomics' does (MCC, which leaves 0).

    Returns
    -------
    dict of str to dict of str to ndarray of float64
        Class, then feature, in the order of `wanted`; (n,) each.

    Raises
    ------
    ExtractionError
        No voxel can have a neighbour.
    """
    around = neighbourhoods(grey, centres_zyx, radius, settings)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    if "glcm" in wanted:
        found["glcm"] = glcm_maps(around, grey, spacing_xyz, settings, wanted["glcm"], warn)
    if "gldm" in wanted or "ngtdm" in wanted:
        dependence, tone = [], []
        for dependences, tones in neighbours_around(around, grey, settings):
            dependence.append(gldm_features(dependences, grey.present))
            tone.append(ngtdm_features(tones, grey.present))
        found["gldm"] = dict(zip(GLDM_FEATURES, np.concatenate(dependence).T, strict=True))
        found["ngtdm"] = dict(zip(NGTDM_FEATURES, np.concatenate(tone).T, strict=True))
    return {family: {name: found[family][name] for name in names} for family, names in wanted.items()}


def neighbour_warnings(settings: TextureSettings, wanted: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return what PyRadiomics logs about the settings, each sentence once.

    Parameters
    ----------
    settings : TextureSettings
        Symmetry and weights.
    wanted : mapping of str to collection of str
        Names of features by class.
    """
    return glcm_warnings(settings, wanted["glcm"]) if "glcm" in wanted else ()
