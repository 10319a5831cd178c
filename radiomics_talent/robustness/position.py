"""The patient lies otherwise: the grid that features are computed on is turned and shifted, and sampled once.

Each chain's own resampling is done on the moved grid, so that a version differs from the scan as it is by its position
and not by a second interpolation. Without a motion the grid, and so every voxel, is the chain's own.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import GeometryError, MaskError
from radiomics_talent.features.ibsi.processing import MARGIN_MM, as_scans_are_stored, grid_of
from radiomics_talent.features.prepared import Prepared, check_size
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.interpolation import SLACK, whole_hu
from radiomics_talent.imaging.lesion_voxels import LesionVoxels, nearest_voxels
from radiomics_talent.imaging.preprocess import resample, resampling_grid
from radiomics_talent.imaging.spline import cubic_spline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from radiomics_talent.ibsi_settings import IbsiSettings
    from radiomics_talent.settings import ExtractionSettings

_VANISHED = "no voxel of the lesion is left on the moved grid; it is smaller than the new voxels"
_ROUNDING = 1e-6
"""Voxels: what turning and turning back may leave of a whole number."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A turn about the axis across the slices, and a shift.

    Attributes
    ----------
    rotation_deg : float
        Turn of the grid against the scan.
    shift_mm : tuple of float
        Along the scan's axes x, y and z.
    """

    rotation_deg: float = 0.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def of(self, grid: Geometry, centre_mm: NDArray[np.float64]) -> Geometry:
        """Return a grid turned about a point and shifted; without a motion the very same."""
        if self.rotation_deg == 0 and not any(self.shift_mm):
            return grid
        axes = grid.axes
        a = math.radians(self.rotation_deg)
        turn = np.array([[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0], [0.0, 0.0, 1.0]])
        turn = axes @ turn @ axes.T
        origin = centre_mm + turn @ (np.asarray(grid.origin_mm) - centre_mm) + axes @ np.asarray(self.shift_mm)
        x, y, z = origin.tolist()
        return replace(grid, origin_mm=(x, y, z), direction=tuple((turn @ axes).ravel().tolist()))


def prepare_moved(
    image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings, motion: Motion, margin: int
) -> Prepared:
    """Resample and crop as `radiomics_talent.features.engine.prepare` does, on a moved grid.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan, or as much of it about the lesion as the moved grid and its interpolation look at.
    lesion : LesionVoxels
        The lesion on the whole scan's grid, from which the positions of the new voxels are counted.
    settings : ExtractionSettings
        The settings; they do not normalise.
    motion : Motion
        Where the patient lies.
    margin : int
        Without resampling: voxels about the lesion that filters look at.

    Returns
    -------
    Prepared
        Without a motion what `prepare` gives: to the bit, or but for rounding where `image` is a part of the scan.

    Raises
    ------
    MaskError
        Nothing, or less than the settings need, is left of the lesion.
    GeometryError
        The image is not finite in the lesion's box.
    """
    started = time.perf_counter()
    if settings.ibsi is not None:
        image, moved, box = _ibsi(image, lesion, settings.ibsi, motion)
    else:
        image, moved, box = _pyradiomics(image, lesion, settings, motion, margin)
        check_size(moved.voxels_zyx, settings.setting)
    if not np.isfinite(sitk.GetArrayViewFromImage(image)[box.slices_zyx]).all():
        raise GeometryError("the image holds NaN or infinite values inside the lesion's box; convert it again")
    return Prepared(image, moved.crop(), box, time.perf_counter() - started)


def _pyradiomics(
    image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings, motion: Motion, margin: int
) -> tuple[sitk.Image, LesionVoxels, Box]:
    setting = settings.setting
    frame = motion.of(lesion.geometry, _centre_mm(lesion))
    seen = _box_on(frame, lesion)
    grid = frame.crop(seen.padded(margin, frame.size))
    if settings.resamples:
        asked = resampling_grid(lesion.geometry, frame, seen, setting.resampledPixelSpacing or (), setting.padDistance)
        grid = asked.geometry if asked.interpolates else frame.crop(seen.padded(setting.padDistance, frame.size))
    moved = nearest_voxels(lesion, grid)
    if moved is None:
        raise MaskError(_VANISHED)
    interpolator = setting.interpolator or "sitkBSpline"
    kind: int = getattr(sitk, interpolator) if isinstance(interpolator, str) else int(interpolator)
    sampled = resample(image, grid, kind) if settings.resamples else _rounded(image, grid, kind)
    return sampled, moved, moved.box


def _rounded(image: sitk.Image, grid: Geometry, kind: int) -> sitk.Image:
    """Resample where the chain does not: values of whole HU stay whole, by rounding, where ITK would cut them."""
    values = sitk.GetArrayFromImage(resample(sitk.Cast(image, sitk.sitkFloat64), grid, kind))
    dtype = sitk.GetArrayViewFromImage(image).dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    sampled = sitk.GetImageFromArray(values.astype(dtype))
    grid.put_on(sampled)
    return sampled


def _ibsi(
    image: sitk.Image, lesion: LesionVoxels, settings: IbsiSettings, motion: Motion
) -> tuple[sitk.Image, LesionVoxels, Box]:
    asked = settings.interpolation
    whole = motion.of(grid_of(lesion.geometry, settings).geometry, _centre_mm(lesion))
    part = _box_on(whole, lesion).padded(_voxels(MARGIN_MM, whole.spacing_mm), whole.size)
    grid = whole.crop(part)
    mask = sitk.Cast(lesion.crop(), sitk.sitkFloat64)
    # A voxel of nothing about it: interpolation fades there as it does in the scan.
    mask = sitk.ConstantPad(mask, (1, 1, 1), (1, 1, 1), 0.0)
    nearest_mask = asked is not None and asked.mask_interpolator == "nearest"
    share = sitk.GetArrayFromImage(resample(mask, grid, sitk.sitkNearestNeighbor if nearest_mask else sitk.sitkLinear))
    moved = LesionVoxels.of(share >= (asked.mask_threshold if asked else 0.5) - SLACK, grid)
    if moved is None:
        raise MaskError(_VANISHED)
    values = _interpolated(image, grid, asked.interpolator if asked else "linear")
    rounds = asked is None or asked.round_hu
    result = sitk.GetImageFromArray(as_scans_are_stored(whole_hu(values)) if rounds else values)
    grid.put_on(result)
    return result, moved, moved.box


def _interpolated(image: sitk.Image, grid: Geometry, interpolator: str) -> NDArray[np.float64]:
    if interpolator == "cubic-spline":
        values = cubic_spline(sitk.GetArrayViewFromImage(image), Geometry.of(image), grid)
        if values is not None:
            return values
    kind = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic-spline": sitk.sitkBSpline}
    return np.asarray(sitk.GetArrayFromImage(resample(sitk.Cast(image, sitk.sitkFloat64), grid, kind[interpolator])))


def _centre_mm(lesion: LesionVoxels) -> NDArray[np.float64]:
    """Return the middle of the lesion's box."""
    return lesion.geometry.to_points((np.array(lesion.box.lower) + np.array(lesion.box.upper) - 1) / 2)


def _box_on(grid: Geometry, lesion: LesionVoxels) -> Box:
    """Return the voxels of a grid that a lesion's voxels reach, kept inside the grid."""
    z, y, x = np.nonzero(lesion.voxels_zyx)
    centres = np.stack((x, y, z), axis=1) + np.array(lesion.box.lower)
    corners = np.concatenate([centres[_ends(centres)] + offset for offset in product((-0.5, 0.5), repeat=3)])
    index = grid.to_index(lesion.geometry.to_points(corners))
    scale = np.asarray(grid.spacing_mm) / np.asarray(lesion.geometry.spacing_mm)
    slack = _ROUNDING / np.minimum(scale, 1.0)
    lower = np.floor(index.min(axis=0) + 0.5 + slack).astype(int)
    upper = np.ceil(index.max(axis=0) + 0.5 - slack).astype(int)
    size = np.array(grid.size)
    lower, upper = np.clip(lower, 0, size - 1), np.clip(upper, 1, size)
    (x0, y0, z0), (x1, y1, z1) = lower.tolist(), upper.tolist()
    return Box((x0, y0, z0), (x1, y1, z1))


def _ends(centres: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return which voxels are the first or the last of their row: the others are never outermost."""
    rows = centres[:, 1:]
    begins = np.ones(len(centres), dtype=bool)
    begins[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    ends = np.roll(begins, -1)
    return np.flatnonzero(begins | ends)


def _voxels(margin_mm: float, spacing_mm: Sequence[float]) -> tuple[int, int, int]:
    x, y, z = (math.ceil(margin_mm / spacing) for spacing in spacing_mm)
    return x, y, z
