"""First-order and texture features of one image of a lesion: discretised once, for every class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from radiomics_talent.features.native.firstorder import firstorder_features
from radiomics_talent.features.native.glrlm import run_features
from radiomics_talent.features.native.glszm import zone_features
from radiomics_talent.features.native.grey_levels import discretise
from radiomics_talent.features.native.neighbours import neighbour_features
from radiomics_talent.features.native.texture_names import of_neighbours, wanted_features

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from radiomics_talent.features.native.texture_settings import TextureSettings


def image_features(
    values_zyx: NDArray[Any],
    mask_zyx: NDArray[np.bool_],
    spacing_xyz: tuple[float, float, float],
    settings: TextureSettings,
    classes: Mapping[str, tuple[str, ...] | None],
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Compute the features of one (filtered) image of a lesion, as PyRadiomics' ``computeFeatures`` does.

    Parameters
    ----------
    values_zyx : ndarray
        (z, y, x): the image cut to the lesion's box, finite, in its own type.
    mask_zyx : ndarray of bool
        The lesion, of the same shape.
    spacing_xyz : tuple of float
        Voxel spacing in mm.
    settings : TextureSettings
        Grey levels and matrices.
    classes : mapping of str to tuple of str or None
        Feature classes, in order, each with its features by name; None is all that are not deprecated. Shape
        classes are passed over.

    Returns
    -------
    features : dict of str to float
        ``<class>_<Feature>`` in PyRadiomics' order; NaN where PyRadiomics has NaN.
    warnings : tuple of str
        What PyRadiomics would have logged.

    Raises
    ------
    MaskError
        The mask is empty, or the lesion's range is too narrow for the bin count.
    ExtractionError
        The bin width does not fit the image's type, or the matrices have no direction to look in.
    LookupError
        A class has no feature of a name given.
    """
    wanted, warnings = wanted_features(classes, settings)
    grey = discretise(values_zyx, mask_zyx, settings)
    found: dict[str, dict[str, float]] = {}
    if pairs := of_neighbours(wanted):
        found |= neighbour_features(grey, spacing_xyz, settings, pairs)
    if names := wanted.get("firstorder"):
        inside = values_zyx[mask_zyx]
        found["firstorder"] = firstorder_features(inside, grey, math.prod(spacing_xyz), settings, names)
    if names := wanted.get("glrlm"):
        found["glrlm"] = run_features(grey, spacing_xyz, settings, names)
    if names := wanted.get("glszm"):
        found["glszm"] = zone_features(grey, settings, names)
    return {f"{family}_{name}": found[family][name] for family, names in wanted.items() for name in names}, warnings
