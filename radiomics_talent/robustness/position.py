"""The patient lies otherwise: the grid that features are computed on is turned and shifted, and sampled once.

Each chain's own resampling is done on the moved grid, so that a version differs from the scan as it is by its position
and not by a second interpolation. Without a motion the grid, and so every voxel, is the chain's own. What a moved grid
sees beyond the scan is the scan's border, continued: 0 HU there would be an edge that filters see from within a lesion.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from radiomics_talent.errors import GeometryError, MaskError
from radiomics_talent.features.ibsi.processing import MARGIN_MM, as_scans_are_stored, grid_of
from radiomics_talent.features.prepared import Prepared, check_size
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.grid_rows import grid_rows
from radiomics_talent.imaging.interpolation import SLACK, whole_hu
from radiomics_talent.imaging.lesion_voxels import LesionVoxels, nearest_voxels
from radiomics_talent.imaging.preprocess import resample, resampling_grid
from radiomics_talent.imaging.spline import cubic_spline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.ibsi_settings import IbsiSettings
    from radiomics_talent.settings import ExtractionSettings

_VANISHED = "no voxel of the lesion is left on the moved grid; it is smaller than the new voxels"
_SPLINE_REACH = 16
"""Voxels: a cubic spline's coefficients fade by 0.268 a voxel, to 7e-10 of a grey level here."""
_KINDS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic-spline": sitk.sitkBSpline}
"""ITK's interpolators by IBSI's names."""
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


def moved_grid(lesion: LesionVoxels, settings: ExtractionSettings, motion: Motion, margin: int) -> Geometry:
    """Return the grid of a lesion, and of what features and filters see about it, where the patient lies otherwise.

    Parameters
    ----------
    lesion : LesionVoxels
        The lesion on the whole scan's grid, from which the positions of the new voxels are counted.
    settings : ExtractionSettings
        The settings; they do not normalise.
    motion : Motion
        Where the patient lies.
    margin : int
        Without resampling: voxels about the lesion that filters look at.
    """
    if settings.ibsi is not None:
        whole = _moved(grid_of(lesion.geometry, settings.ibsi).geometry, lesion, motion)
        return whole.crop(whole.around(_box_on(whole, lesion), MARGIN_MM))
    frame = _moved(lesion.geometry, lesion, motion)
    seen = _box_on(frame, lesion)
    if not settings.resamples:
        return frame.crop(seen.padded(margin, frame.size))
    setting = settings.setting
    grid = resampling_grid(lesion.geometry, frame, seen, setting.resampledPixelSpacing or (), setting.padDistance)
    return grid.geometry if grid.interpolates else frame.crop(seen.padded(setting.padDistance, frame.size))


def seen_region(scan: Geometry, grid: Geometry) -> Box:
    """Return the voxels of a scan that interpolation onto a grid looks at."""
    corners = scan.to_index(grid.corners_mm())
    size = np.array(scan.size)
    lower = np.clip(np.floor(corners.min(axis=0)).astype(int) - _SPLINE_REACH, 0, size - 1)
    upper = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1 + _SPLINE_REACH, 1, size)
    return _as_box(lower, upper)


def prepare_on(image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings, grid: Geometry) -> Prepared:
    """Resample image and lesion as `radiomics_talent.features.engine.prepare` does, onto a moved grid.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan, or the part of it that `seen_region` names.
    lesion, settings
        As `moved_grid` has them.
    grid : Geometry
        From `moved_grid`.

    Returns
    -------
    Prepared
        On a grid without a motion what `prepare` gives: to the bit, or but for rounding where `image` is a part of the
        scan.

    Raises
    ------
    MaskError
        Nothing, or less than the settings need, is left of the lesion.
    GeometryError
        The image is not finite in the lesion's box.
    """
    started = time.perf_counter()
    if settings.ibsi is not None:
        image, moved = _ibsi(image, lesion, settings.ibsi, grid)
    else:
        image, moved = _pyradiomics(image, lesion, settings, grid)
        check_size(moved.voxels_zyx, settings.setting)
    if not np.isfinite(sitk.GetArrayViewFromImage(image)[moved.box.slices_zyx]).all():
        raise GeometryError("the image holds NaN or infinite values inside the lesion's box; convert it again")
    return Prepared(image, moved.crop(), moved.box, time.perf_counter() - started)


def _pyradiomics(
    image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings, grid: Geometry
) -> tuple[sitk.Image, LesionVoxels]:
    moved = nearest_voxels(lesion, grid)
    if moved is None:
        raise MaskError(_VANISHED)
    interpolator = settings.setting.interpolator or "sitkBSpline"
    kind: int = getattr(sitk, interpolator) if isinstance(interpolator, str) else int(interpolator)
    if not settings.resamples:
        return _rounded(image, grid, kind), moved
    sampled = resample(image, grid, kind)
    # PyRadiomics' own grid may end half a new voxel beyond the scan, with 0 HU there: unmoved it stays as it is.
    if grid == moved_grid(lesion, settings, Motion(), 0):
        return sampled, moved
    values = _continued(sitk.GetArrayFromImage(sampled), image, grid, kind)
    return _on_grid(values, grid), moved


def _rounded(image: sitk.Image, grid: Geometry, kind: int) -> sitk.Image:
    """Resample where the chain does not: values of whole HU stay whole, by rounding, where ITK would cut them."""
    values = sitk.GetArrayFromImage(resample(sitk.Cast(image, sitk.sitkFloat64), grid, kind))
    values = _continued(values, image, grid, kind)
    dtype = sitk.GetArrayViewFromImage(image).dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return _on_grid(values.astype(dtype), grid)


def _ibsi(
    image: sitk.Image, lesion: LesionVoxels, settings: IbsiSettings, grid: Geometry
) -> tuple[sitk.Image, LesionVoxels]:
    asked = settings.interpolation
    # A voxel of nothing about the lesion: its mask fades there as it does in the scan.
    mask = sitk.ConstantPad(sitk.Cast(lesion.crop(), sitk.sitkFloat64), (1, 1, 1), (1, 1, 1), 0.0)
    by_nearest = asked is not None and asked.mask_interpolator == "nearest"
    share = sitk.GetArrayFromImage(resample(mask, grid, sitk.sitkNearestNeighbor if by_nearest else sitk.sitkLinear))
    moved = LesionVoxels.of(share >= (asked.mask_threshold if asked else 0.5) - SLACK, grid)
    if moved is None:
        raise MaskError(_VANISHED)
    values = _interpolated(image, grid, asked.interpolator if asked else "linear")
    rounds = asked.round_hu if asked else _is_whole(image)
    return _on_grid(as_scans_are_stored(whole_hu(values)) if rounds else values, grid), moved


def _interpolated(image: sitk.Image, grid: Geometry, interpolator: str) -> NDArray[np.float64]:
    kind = _KINDS[interpolator]
    values = None
    if interpolator == "cubic-spline":
        values = cubic_spline(sitk.GetArrayViewFromImage(image), Geometry.of(image), grid)
    if values is None:
        values = np.asarray(sitk.GetArrayFromImage(resample(sitk.Cast(image, sitk.sitkFloat64), grid, kind)))
    return _continued(values, image, grid, kind)


def _is_whole(image: sitk.Image) -> bool:
    """Tell whether every voxel, but those that are not finite, is a whole number."""
    values = sitk.GetArrayViewFromImage(image)
    return values.dtype.kind in "iu" or bool(((values == np.rint(values)) | ~np.isfinite(values)).all())


def _continued(values_zyx: NDArray[Any], image: sitk.Image, grid: Geometry, kind: int) -> NDArray[Any]:
    """Fill in the points of a grid beyond the scan, in place, from the nearest points within."""
    end = np.array(image.GetSize()) - 0.5
    corners = Geometry.of(image).to_index(grid.corners_mm())
    if (corners >= _ROUNDING - 0.5).all() and (corners < end - _ROUNDING).all():
        return values_zyx
    scan = sitk.GetArrayViewFromImage(image)
    order = 0 if kind == sitk.sitkNearestNeighbor else 1
    shares = np.arange(grid.size[0])[:, np.newaxis] / grid.size[0]
    for start, vector, plane in zip(*grid_rows(Geometry.of(image), grid), values_zyx, strict=True):
        index = start[:, np.newaxis] + shares * vector[:, np.newaxis]
        beyond = ((index < -0.5) | (index >= end)).any(axis=2)
        inner = np.clip(index[beyond], 0.0, end - 0.5)
        found = ndimage.map_coordinates(scan, inner.T[::-1], np.float64, order, mode="nearest")
        plane[beyond] = np.rint(found) if plane.dtype.kind in "iu" else found
    return values_zyx


def _on_grid(values_zyx: NDArray[Any], grid: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(values_zyx)
    grid.put_on(image)
    return image


def _centre_mm(lesion: LesionVoxels) -> NDArray[np.float64]:
    """Return the middle of the lesion's box."""
    return lesion.geometry.to_points((np.array(lesion.box.lower) + np.array(lesion.box.upper) - 1) / 2)


def _moved(grid: Geometry, lesion: LesionVoxels, motion: Motion) -> Geometry:
    """Move a grid about a lesion, and let it go on where a lesion at the scan's border would lie beyond its ends."""
    moved = motion.of(grid, _centre_mm(lesion))
    lower, upper = _ends_on(moved, lesion)
    if moved is grid or ((lower >= 0).all() and (upper <= moved.size).all()):
        return moved
    return moved.crop(_as_box(np.minimum(lower, 0), np.maximum(upper, moved.size)))


def _box_on(grid: Geometry, lesion: LesionVoxels) -> Box:
    """Return the voxels of a grid that a lesion's voxels reach, kept inside the grid."""
    lower, upper = _ends_on(grid, lesion)
    size = np.array(grid.size)
    return _as_box(np.clip(lower, 0, size - 1), np.clip(upper, 1, size))


def _ends_on(grid: Geometry, lesion: LesionVoxels) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the first voxels (x, y, z) that a lesion reaches, and those after the last, of a grid without end."""
    corners = np.concatenate([_row_ends(lesion) + offset for offset in product((-0.5, 0.5), repeat=3)])
    index = grid.to_index(lesion.geometry.to_points(corners))
    scale = np.asarray(grid.spacing_mm) / np.asarray(lesion.geometry.spacing_mm)
    slack = _ROUNDING / np.minimum(scale, 1.0)
    lower = np.floor(index.min(axis=0) + 0.5 + slack).astype(int)
    return lower, np.ceil(index.max(axis=0) + 0.5 - slack).astype(int)


def _as_box(lower: NDArray[np.int_], upper: NDArray[np.int_]) -> Box:
    (x, y, z), (x_end, y_end, z_end) = lower.tolist(), upper.tolist()
    return Box((x, y, z), (x_end, y_end, z_end))


def _row_ends(lesion: LesionVoxels) -> NDArray[np.intp]:
    """Return (x, y, z) of the first and the last voxel of each row: the others are never outermost."""
    voxels = lesion.voxels_zyx
    z, y = np.nonzero(voxels.any(axis=2))
    rows = voxels[z, y]
    first, last = rows.argmax(axis=1), rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1)
    ends = np.stack((np.concatenate((first, last)), np.tile(y, 2), np.tile(z, 2)), axis=1)
    return np.asarray(ends + np.array(lesion.box.lower))
