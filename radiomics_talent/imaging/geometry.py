"""The grid of an image in patient space (DICOM PS3.3 C.7.6.2.1.1: LPS, millimetres)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk
    from numpy.typing import ArrayLike, NDArray

SPACING_DECIMALS = 6
"""Spacings that agree to 1e-6 mm are the same spacing: DICOM writes decimals, NIfTI 32-bit floats."""
ORIGIN_DECIMALS = 4
"""Origins that agree to 1e-4 mm are the same origin (32-bit floats resolve 6e-5 mm at 1 m)."""
DIRECTION_DECIMALS = 6
FINEST_MM, COARSEST_MM, FARTHEST_MM = 1e-4, 1e3, 1e6
"""Voxels and positions of no scanner lie beyond: such a header is damaged, and its numbers would overflow."""


def is_plausible(spacing_mm: ArrayLike, origin_mm: ArrayLike) -> bool:
    """Whether voxel spacings and a position (mm) are finite and such as a scanner makes them."""
    spacing, origin = np.asarray(spacing_mm, dtype=np.float64), np.asarray(origin_mm, dtype=np.float64)
    within = (spacing >= FINEST_MM) & (spacing <= COARSEST_MM)
    return bool(within.all() and (np.abs(origin) <= FARTHEST_MM).all())


@dataclass(frozen=True, slots=True)
class Geometry:
    """Size, spacing, origin and direction of a 3D image, in ITK's order (x, y, z).

    Parameters
    ----------
    size : tuple of int
        Number of voxels (columns, rows, slices).
    spacing_mm : tuple of float
        Distance between voxel centres.
    origin_mm : tuple of float
        Centre of the first voxel.
    direction : tuple of float
        Nine direction cosines, row by row, as SimpleITK gives them: column j is the unit vector of axis j.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @classmethod
    def of(cls, image: sitk.Image) -> Geometry:
        """Return the geometry of a 3D SimpleITK image."""
        if image.GetDimension() != 3:
            msg = f"the image has {image.GetDimension()} dimensions, expected 3"
            raise ValueError(msg)
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    def put_on(self, image: sitk.Image) -> None:
        """Write spacing, origin and direction (not the size) into `image`."""
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction)

    def canonical(self) -> Geometry:
        """Return the geometry without the noise of its file format.

        The same scan as DICOM (decimal strings) and as NIfTI (32-bit floats) differs by up to 6e-5 mm in the
        origin and 3e-7 mm in the spacing. That is nothing in space, but enough to round a resampled HU the
        other way; so both are rounded to the same decimals.
        """
        snapped = tuple(float(round(c)) if abs(c - round(c)) < 10.0**-DIRECTION_DECIMALS else c for c in self.direction)
        return Geometry(
            self.size,
            _triple(round(s, SPACING_DECIMALS) for s in self.spacing_mm),
            _triple(round(o, ORIGIN_DECIMALS) + 0.0 for o in self.origin_mm),
            tuple(c + 0.0 for c in snapped),
        )

    @property
    def axes(self) -> NDArray[np.float64]:
        """Direction cosines as a (3, 3) matrix whose columns are the unit vectors of x, y and z."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm³."""
        return float(np.prod(self.spacing_mm))

    def to_index(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Turn patient points, shape (..., 3), into continuous voxel indices (x, y, z)."""
        offset = np.asarray(points_mm, dtype=np.float64) - np.asarray(self.origin_mm)
        inverse = np.linalg.inv(self.axes * np.asarray(self.spacing_mm))
        return np.asarray(offset @ inverse.T)

    def to_points(self, index_xyz: ArrayLike) -> NDArray[np.float64]:
        """Turn continuous voxel indices (x, y, z), shape (..., 3), into patient points in mm."""
        scaled = np.asarray(index_xyz, dtype=np.float64) * np.asarray(self.spacing_mm)
        return np.asarray(scaled @ self.axes.T + np.asarray(self.origin_mm))

    def corners_mm(self) -> NDArray[np.float64]:
        """Return the eight corner voxels' centres, shape (8, 3), in mm."""
        return self.to_points(list(product(*((0, n - 1) for n in self.size))))

    def crop(self, box: Box) -> Geometry:
        """Return the geometry of the part of the grid inside `box`."""
        origin = self.to_points(box.lower)
        return Geometry(box.size, self.spacing_mm, _triple(origin), self.direction)

    def around(self, box: Box, reach_mm: float) -> Box:
        """Return a box of the grid grown by at least `reach_mm` on each side, kept inside the grid."""
        x, y, z = (math.ceil(reach_mm / spacing) for spacing in self.spacing_mm)
        return box.padded((x, y, z), self.size)

    def difference(self, other: Geometry) -> GridDifference:
        """Measure how far `other` lies from this grid."""
        cosines = np.clip(np.sum(self.axes * other.axes, axis=0), -1.0, 1.0)
        # Sizes may differ: then only the corner that both have can be compared, and spacing decides.
        shift_mm = np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1)
        origin_mm = float(np.linalg.norm(np.subtract(self.origin_mm, other.origin_mm)))
        same_size = self.size == other.size
        return GridDifference(
            same_size=same_size,
            shift_mm=float(shift_mm.max()) if same_size else origin_mm,
            angle_deg=float(np.degrees(np.arccos(cosines)).max()),
            shift_voxels=float(np.abs(self.to_index(other.corners_mm()) - self.to_index(self.corners_mm())).max())
            if same_size
            else float(np.abs(self.to_index(other.origin_mm)).max()),
        )

    def lattice_deviation(self, other: Geometry) -> float:
        """Measure how far the voxel centres of `other` lie from those of this grid, continued beyond its ends.

        Returns
        -------
        float
            Largest distance along an axis in voxels: 0 where `other` is a part of this grid, or the grid with its
            axes flipped or exchanged; infinite where spacings or directions differ.
        """
        step = np.linalg.solve(self.axes * np.asarray(self.spacing_mm), other.axes * np.asarray(other.spacing_mm))
        whole = np.rint(step)
        if not (np.abs(whole).sum(axis=0) == 1).all() or not (np.abs(whole).sum(axis=1) == 1).all():
            return float("inf")
        seen = self.to_index(other.corners_mm())
        corners = np.asarray(list(product(*((0, n - 1) for n in other.size))), dtype=np.float64)
        return float(np.abs(seen - (np.rint(seen[0]) + corners @ whole.T)).max())


@dataclass(frozen=True, slots=True)
class GridDifference:
    """How two grids differ.

    Attributes
    ----------
    same_size : bool
        Both have the same number of voxels along each axis.
    shift_mm, shift_voxels : float
        Largest distance between corresponding corner voxels (between origins when sizes differ).
    angle_deg : float
        Largest angle between corresponding axes.
    """

    same_size: bool
    shift_mm: float
    angle_deg: float
    shift_voxels: float

    @property
    def is_none(self) -> bool:
        """Whether the grids are the same but for the noise of file formats."""
        return self.same_size and self.shift_mm <= 10.0**-3

    @property
    def is_mendable(self) -> bool:
        """Whether every voxel lies within a tenth of a voxel of its partner."""
        return self.same_size and self.shift_voxels < 0.1

    def __str__(self) -> str:
        return f"{self.shift_mm:.3g} mm and {round(self.angle_deg, 2):g} degrees"


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box of voxels, in (x, y, z): `lower` is inside, `upper` is not."""

    lower: tuple[int, int, int]
    upper: tuple[int, int, int]

    @classmethod
    def around(cls, mask_zyx: NDArray[np.bool_]) -> Box | None:
        """Return the smallest box around the true voxels of a (z, y, x) array, None when there are none."""
        # Slices first: they are contiguous in memory, and what follows then looks at the lesion's slices alone.
        bounds = []
        part = mask_zyx
        for axis in (0, 1, 2):
            hits = np.flatnonzero(part.any(axis=tuple(a for a in range(3) if a != axis)))
            if hits.size == 0:
                return None
            bounds.append((int(hits[0]), int(hits[-1]) + 1))
            part = part[tuple(slice(*bounds[-1]) if a == axis else slice(None) for a in range(3))]
        return cls(_itriple(low for low, _ in bounds[::-1]), _itriple(up for _, up in bounds[::-1]))

    @property
    def size(self) -> tuple[int, int, int]:
        """Number of voxels along x, y and z."""
        return _itriple(u - w for w, u in zip(self.lower, self.upper, strict=True))

    def padded(self, margin: int | tuple[int, int, int], size: tuple[int, int, int]) -> Box:
        """Return the box grown by `margin` voxels on each side, kept inside an image of `size`."""
        margins = (margin,) * 3 if isinstance(margin, int) else margin
        return Box(
            _itriple(max(0, w - m) for w, m in zip(self.lower, margins, strict=True)),
            _itriple(min(n, u + m) for u, m, n in zip(self.upper, margins, size, strict=True)),
        )

    def seen_from(self, region: Box) -> Box:
        """Return this box in the indices of the crop `region`."""
        return self.moved(_itriple(-w for w in region.lower))

    def moved(self, by: tuple[int, int, int]) -> Box:
        """Return the box moved by whole voxels."""
        lower, upper = (_itriple(v + d for v, d in zip(corner, by, strict=True)) for corner in (self.lower, self.upper))
        return Box(lower, upper)

    def cut(self, image: sitk.Image) -> sitk.Image:
        """Return the part of `image` inside the box, with its place in space."""
        return image[tuple(slice(w, u) for w, u in zip(self.lower, self.upper, strict=True))]

    @property
    def slices_zyx(self) -> tuple[slice, slice, slice]:
        """Index of the box into a (z, y, x) array."""
        x, y, z = (slice(w, u) for w, u in zip(self.lower, self.upper, strict=True))
        return z, y, x


def _triple(values: object) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)  # type: ignore[attr-defined]
    return x, y, z


def _itriple(values: object) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)  # type: ignore[attr-defined]
    return x, y, z
