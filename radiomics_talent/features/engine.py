"""Image and mask to named numbers: the one entrance to every feature engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import GeometryError, MaskError
from radiomics_talent.features import prepared as preparing
from radiomics_talent.features import reference
from radiomics_talent.features.prepared import MOST_GREY_LEVELS, Prepared
from radiomics_talent.imaging.geometry import Box, Geometry

if TYPE_CHECKING:
    from radiomics_talent.settings import ExtractionSettings


__all__ = ["MOST_GREY_LEVELS", "LesionFeatures", "Prepared", "extract", "filtered_voxels", "grey_levels", "prepare"]


@dataclass(frozen=True, slots=True)
class LesionFeatures(Mapping[str, float]):
    """Features of one lesion, in PyRadiomics' order and under its names (``<image type>_<class>_<feature>``).

    Attributes
    ----------
    by_name : dict of str to float
        NaN only where a warning says why.
    warnings : tuple of str
        What the engine had to say.
    timings : dict of str to float
        Seconds by stage ('prepare', 'shape', and each image type).
    """

    by_name: dict[str, float]
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)


def extract(
    image: sitk.Image, mask: sitk.Image, settings: ExtractionSettings, *, label: int | None = None
) -> LesionFeatures:
    """Compute the features of one lesion.

    The numbers are those of PyRadiomics' ``RadiomicsFeatureExtractor.execute`` on the same two images, to the
    last bit, at a fraction of its time: the lesion is cropped first wherever that keeps the bits.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan, 3D, in HU.
    mask : SimpleITK.Image
        Label map of the same space.
    settings : ExtractionSettings
        What to compute, and how.
    label : int, optional
        Value of the lesion in `mask`; without it, `settings.setting.label`.

    Returns
    -------
    LesionFeatures
        A mapping of feature name to float, with warnings and timings.

    Raises
    ------
    GeometryError
        An image is not 3D, is not finite, or image and mask do not share a space.
    MaskError
        The label is absent, or the lesion is smaller than the settings need.
    ExtractionError
        PyRadiomics is not installed, or failed.
    """
    prepared = prepare(image, mask, settings, label=label)
    values, warnings, timings = reference.compute(prepared, settings)
    silent = [n for n, v in values.items() if np.isnan(v)]
    if silent:
        warnings = (*warnings, f"{len(silent)} features are not defined (NaN): {', '.join(silent)}")
    return LesionFeatures(values, warnings, timings)


def prepare(image: sitk.Image, mask: sitk.Image, settings: ExtractionSettings, *, label: int | None = None) -> Prepared:
    """Normalise, resample and crop as the settings say: what the features are computed on.

    Parameters and errors are those of `extract`.
    """
    for name, volume in (("image", image), ("mask", mask)):
        if volume.GetDimension() != 3:
            raise GeometryError(f"the {name} has {volume.GetDimension()} dimensions; give one 3D volume")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise GeometryError("the image has several values a voxel; give a CT volume in HU")
    label = settings.setting.label if label is None else label
    mask = _label_map(mask, settings)
    box = _lesion_box(mask, label)
    if settings.setting.correctMask or not settings.resamples:
        on_grid = _on_grid_of(image, mask, settings)
        box = box if on_grid is mask else _lesion_box(on_grid, label)
        mask = on_grid
    return preparing.prepare(image, mask, label, box, settings)


def grey_levels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Return the number of grey levels that each (filtered) image of a lesion will have.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`.
    settings : ExtractionSettings
        The same settings.

    Returns
    -------
    dict of str to int
        Image type name, as it begins the feature names, to number of levels.
    """
    return reference.grey_levels(prepared, settings)


def filtered_voxels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Return the number of voxels that each image type filters: the lesion's box, its surroundings or the whole image.

    Parameters are those of `grey_levels`.
    """
    return reference.filtered_voxels(prepared, settings)


def _label_map(mask: sitk.Image, settings: ExtractionSettings) -> sitk.Image:
    """Return the mask as one integer a voxel: the channel asked for, floating-point labels cut to whole numbers."""
    channels = mask.GetNumberOfComponentsPerPixel()
    if channels > 1:
        channel = settings.setting.label_channel
        if channel >= channels:
            raise MaskError(f"label_channel {channel} was asked for, but the mask has {channels} channels, from 0 on")
        mask = sitk.VectorIndexSelectionCast(mask, channel)
    if mask.GetPixelID() in {sitk.sitkFloat32, sitk.sitkFloat64}:
        mask = sitk.Cast(mask, sitk.sitkInt32)
    return mask


def _lesion_box(mask: sitk.Image, label: int) -> Box:
    voxels = sitk.GetArrayViewFromImage(mask)
    box = Box.around(voxels == label)
    if box is None:
        present = [int(v) for v in np.unique(voxels) if v != 0]
        known = f"labels in the mask are {', '.join(map(str, present))}" if present else "the mask is empty"
        raise MaskError(f"label {label} is not in the mask; {known}")
    return box


def _on_grid_of(image: sitk.Image, mask: sitk.Image, settings: ExtractionSettings) -> sitk.Image:
    """Return the mask on the image's own grid, or refuse.

    Without resampling the features need voxel for voxel the same grid. A difference below a tenth of a voxel is
    what file formats round to; more is mended only where `correctMask` asks for it, as in PyRadiomics.
    """
    grid = Geometry.of(image)
    difference = grid.difference(Geometry.of(mask))
    if difference.same_size and difference.shift_mm == 0 and difference.angle_deg == 0:
        return mask
    if difference.is_mendable:
        mended = sitk.Image(mask)
        mended.CopyInformation(image)
        return mended
    if settings.setting.correctMask:
        return sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    raise GeometryError(
        f"image and mask are on different grids: {grid.size} and {mask.GetSize()} voxels, {difference} apart; "
        "give a mask on the image's grid, or set setting.correctMask: true to resample it"
    )
