"""IBSI's diagnostic features: what image and masks are like before and after processing (reference manual v11, 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.features.ibsi.processing import grid_of, lesion_of, prepare_ibsi
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.interpolation import interpolated_image, whole_hu

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.ibsi_settings import IbsiSettings
    from radiomics_talent.imaging.lesion_voxels import LesionVoxels

_AXES = ("x", "y", "z")


def diagnostics(image: sitk.Image, lesion: LesionVoxels, settings: IbsiSettings) -> dict[tuple[str, str], float]:
    """Describe image and masks at each step of the processing.

    Parameters
    ----------
    image : SimpleITK.Image
        The whole scan.
    lesion : LesionVoxels
        The lesion on its grid.
    settings : IbsiSettings
        The processing.

    Returns
    -------
    dict of tuple of str to float
        By family ('Diagnostics-initial image', ...) and name, as IBSI's table of reference values has them.
    """
    scan = Geometry.of(image)
    grid = grid_of(scan, settings)
    prepared = prepare_ibsi(image, lesion, settings)
    processed = lesion_of(prepared, settings)
    asked = settings.interpolation
    initial = sitk.GetArrayViewFromImage(image)
    whole = interpolated_image(
        image, grid, Box((0, 0, 0), grid.geometry.size), asked.interpolator if asked else "nearest"
    )
    if asked and asked.round_hu:
        whole = whole_hu(whole)
    around = processed.inside_zyx
    drawn, morphological, intensity = lesion.voxels_zyx, processed.morphological_zyx, processed.intensity_zyx
    return {
        **_image("Diagnostics-initial image", initial, scan),
        **_image("Diagnostics-interpolated image", whole, grid.geometry),
        **_masks("Diagnostics-initial ROI", scan, initial[lesion.box.slices_zyx], drawn, drawn),
        **_masks("Diagnostics-interpolated ROI", grid.geometry, around, morphological, morphological),
        **_masks("Diagnostics-resegmented ROI", grid.geometry, around, intensity, morphological),
    }


def _image(family: str, values: NDArray[np.generic], geometry: Geometry) -> dict[tuple[str, str], float]:
    found = {f"Image dimension {axis}": float(n) for axis, n in zip(_AXES, geometry.size, strict=True)}
    found |= {f"Voxel dimension {axis}": s for axis, s in zip(_AXES, geometry.spacing_mm, strict=True)}
    found["Mean intensity"] = float(np.mean(values, dtype=np.float64))  # type: ignore[arg-type]
    found["Minimum intensity"], found["Maximum intensity"] = float(values.min()), float(values.max())
    return {(family, name): value for name, value in found.items()}


def _masks(
    family: str,
    geometry: Geometry,
    values: NDArray[np.generic],
    intensity: NDArray[np.bool_],
    morphological: NDArray[np.bool_],
) -> dict[tuple[str, str], float]:
    inside = values[intensity].astype(np.float64)
    found = {f"Int. mask dimension {axis}": float(n) for axis, n in zip(_AXES, geometry.size, strict=True)}
    for kind, mask in (("Int.", intensity), ("Morph.", morphological)):
        box = Box.around(mask)
        assert box is not None, "a mask has voxels"
        found |= {f"{kind} mask bounding box dimension {a}": float(n) for a, n in zip(_AXES, box.size, strict=True)}
        found[f"{kind} mask voxel count"] = float(np.count_nonzero(mask))
    found["Int. mask mean intensity"] = float(inside.mean())
    found["Int. mask minimum intensity"], found["Int. mask maximum intensity"] = (
        float(inside.min()),
        float(inside.max()),
    )
    return {(family, name): value for name, value in found.items()}
