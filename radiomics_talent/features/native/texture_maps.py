"""Maps of first-order and texture features: what a moving neighbourhood has at each voxel of a lesion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.errors import ConfigError
from radiomics_talent.features.native.firstorder_maps import firstorder_maps
from radiomics_talent.features.native.glrlm import run_maps
from radiomics_talent.features.native.glszm import zone_maps
from radiomics_talent.features.native.grey_levels import discretise
from radiomics_talent.features.native.neighbours import neighbour_maps
from radiomics_talent.features.native.texture_names import of_neighbours, wanted_features

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from radiomics_talent.features.native.texture_settings import TextureSettings


def image_maps(
    values_zyx: NDArray[Any],
    mask_zyx: NDArray[np.bool_],
    spacing_xyz: tuple[float, float, float],
    settings: TextureSettings,
    classes: Mapping[str, tuple[str, ...] | None],
    *,
    radius: int = 1,
    masked: bool = True,
) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Compute features of the neighbourhood of each voxel of a lesion, as PyRadiomics' ``voxelBased`` extraction does.

    Grey levels are those of the whole lesion, or of the whole image where neighbourhoods reach out of it.

    Parameters
    ----------
    values_zyx : ndarray
        (z, y, x): the image cut to the lesion's box and `radius` voxels around it, as far as the image goes.
    mask_zyx : ndarray of bool
        The lesion, of the same shape.
    spacing_xyz, settings, classes
        As for `image_features`.
    radius : int
        Voxels on either side of the centre (``kernelRadius``); in 2D within its slice.
    masked : bool
        Neighbourhoods end at the lesion's border (``maskedKernel``); otherwise they take what is there.

    Returns
    -------
    maps : dict of str to ndarray of float64
        ``<class>_<Feature>`` in PyRadiomics' order: (n,) values at the voxels of the lesion in array order, so that
        ``volume[mask_zyx] = values`` makes a volume of them.
    warnings : tuple of str
        What PyRadiomics would have logged.

    Raises
    ------
    ConfigError
        The radius is not positive.
    MaskError, ExtractionError, LookupError
        As `image_features`.
    """
    if radius < 1:
        raise ConfigError(f"a neighbourhood of radius {radius} was asked for; give 1 or more voxels")
    wanted, warnings = wanted_features(classes, settings)
    within = mask_zyx if masked else np.ones(mask_zyx.shape, np.bool_)
    centres = np.argwhere(mask_zyx)
    volume = math.prod(spacing_xyz)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    failures: list[str] = []
    if names := wanted.get("firstorder"):
        exact = values_zyx.astype(np.float64)  # which PyRadiomics bins here: an edge may differ in its last bit
        levels = discretise(exact, within, settings)
        found["firstorder"] = firstorder_maps(exact, levels, centres, radius, volume, settings, names)
    if wanted.keys() - {"firstorder"}:
        grey = discretise(values_zyx, within, settings)
        if pairs := of_neighbours(wanted):
            found |= neighbour_maps(grey, centres, radius, spacing_xyz, settings, pairs, warn=failures.append)
        if names := wanted.get("glrlm"):
            found["glrlm"] = run_maps(grey, centres, radius, spacing_xyz, settings, names)
        if names := wanted.get("glszm"):
            found["glszm"] = zone_maps(grey, centres, radius, settings, names)
    maps = {f"{family}_{name}": found[family][name] for family, names in wanted.items() for name in names}
    return maps, tuple(dict.fromkeys((*warnings, *failures)))
