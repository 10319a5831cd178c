"""Morphology of a lesion as IBSI defines it (family HCUG)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.closed_mesh import closed_cell_triangles
from radiomics_talent.features.ibsi.convex_hull import Hull, hull_of_mesh
from radiomics_talent.features.ibsi.enclosing_ellipsoid import ellipsoid_area, ellipsoid_volume, smallest_ellipsoid
from radiomics_talent.features.ibsi.measured_once import MeasuredOnce
from radiomics_talent.features.ibsi.oriented_box import smallest_box
from radiomics_talent.features.ibsi.spatial_autocorrelation import moran_and_geary
from radiomics_talent.features.native.mesh_diameter import mesh_diameters
from radiomics_talent.features.native.surface_mesh import mesh_area, mesh_volume
from radiomics_talent.features.native.surface_scan import SurfaceScan, scan_surface

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

Triple = tuple[float, float, float]

NO_AXIS = 1e-12
"""Share of the largest eigenvalue below which one is rounding, and its axis 0."""


def morphology_features(lesion: IbsiLesion, wanted: Collection[str]) -> dict[str, float]:
    """Compute the morphological features of a lesion (IBSI 1, HCUG).

    Parameters
    ----------
    lesion : IbsiLesion
        Of one voxel or more in either mask.
    wanted : collection of str
        Names, of `MORPHOLOGY_FEATURES`. What several features need is computed once, what none needs not at all.

    Returns
    -------
    dict of str to float
        In the order of `wanted`; lengths in mm, areas in mm², volumes in mm³. Volume, area, hull and bounding boxes
        are those of the closed mesh, which has a volume for a single voxel too. NaN where a feature is not defined:
        Elongation and Flatness of one voxel, which has no axes (0 / 0); VolumeDensityAEE of a lesion one voxel thick
        and AreaDensityAEE of one voxel or a straight line, whose ellipsoid has no volume or area to divide by;
        CentreOfMassShift where the intensities add up to 0; MoransI and GearysC of fewer than two voxels or of equal
        intensities.

    Raises
    ------
    LookupError
        If a name is not one of the family.
    """
    for name in wanted:
        if name not in _FORMULAS:
            raise LookupError(f"Feature not found: {name}; the family has {', '.join(_FORMULAS)}")
    measured = _Measured(lesion)
    return {name: float(_FORMULAS[name](measured)) for name in wanted}


class _Measured:
    """What the formulas look at, each measured when the first asks for it."""

    def __init__(self, lesion: IbsiLesion) -> None:
        self.lesion = lesion
        x, y, z = lesion.spacing_xyz
        self.spacing_zyx: Triple = (float(z), float(y), float(x))

    @MeasuredOnce
    def scan(self) -> SurfaceScan:
        return scan_surface(self.lesion.morphological_zyx)

    @MeasuredOnce
    def volume(self) -> float:
        return mesh_volume(self.scan.cells, self.spacing_zyx, closed_cell_triangles())

    @MeasuredOnce
    def area(self) -> float:
        return mesh_area(self.scan.cells, self.spacing_zyx, closed_cell_triangles())

    @MeasuredOnce
    def hull(self) -> Hull:
        return hull_of_mesh(self.scan, self.spacing_zyx)

    @MeasuredOnce
    def semi_axes(self) -> Triple:
        """Of the ellipsoid with the voxel centres' scatter, the longest first."""
        n, *sums = self.scan.moments.tolist()
        if n == 1:
            return 0.0, 0.0, 0.0
        first, (zz, yy, xx, zy, zx, yx) = np.array(sums[:3], object), sums[3:]
        second = np.array([[zz, zy, zx], [zy, yy, yx], [zx, yx, xx]], object)
        # Whole numbers: a lesion in a plane has a variance of exactly 0 across it. The reference values are those of
        # the sample's variance, over n - 1, where PyRadiomics divides by n.
        covariance = ((n * second - np.outer(first, first)) / (n * (n - 1))).astype(np.float64)
        least, minor, major = np.linalg.eigvalsh(covariance * np.outer(self.spacing_zyx, self.spacing_zyx)).tolist()
        a, b, c = (2 * math.sqrt(v) if v > NO_AXIS * major else 0.0 for v in (major, minor, least))
        return a, b, c

    @MeasuredOnce
    def aligned_box(self) -> Triple:
        z, y, x = np.ptp(self.hull.corners, axis=0).tolist()
        return z, y, x

    @MeasuredOnce
    def oriented_box(self) -> Triple:
        return smallest_box(self.hull)

    @MeasuredOnce
    def enclosing_axes(self) -> Triple:
        return smallest_ellipsoid(self.hull.corners)

    @MeasuredOnce
    def intensities(self) -> NDArray[np.float64]:
        return self.lesion.inside_zyx[self.lesion.intensity_zyx]

    @MeasuredOnce
    def autocorrelation(self) -> tuple[float, float]:
        return moran_and_geary(self.lesion.inside_zyx, self.lesion.intensity_zyx, self.lesion.spacing_xyz)


def _ratio(size: float, of: float) -> float:
    return size / of if of > 0 else math.nan


def _box_volume(sides: Triple) -> float:
    return sides[0] * sides[1] * sides[2]


def _box_area(sides: Triple) -> float:
    a, b, c = sides
    return 2 * (a * b + b * c + c * a)


def _disproportion(m: _Measured) -> float:
    """Return the area over that of a ball of the same volume (KRCK)."""
    return m.area / math.pow(36 * math.pi * m.volume**2, 1 / 3)


def _centre_of_mass_shift(m: _Measured) -> float:
    """Return how far the centre by intensity lies from that of the lesion as drawn (KLMA)."""
    total = float(m.intensities.sum())
    if total == 0:
        return math.nan
    weighted = [float((at * m.intensities).sum()) / total for at in np.nonzero(m.lesion.intensity_zyx)]
    n, *sums = m.scan.moments[:4].tolist()
    centre = [value / n - 1 for value in sums]  # moments count from a margin of one voxel
    return math.hypot(*((w - c) * d for w, c, d in zip(weighted, centre, m.spacing_zyx, strict=True)))


_FORMULAS: dict[str, Callable[[_Measured], float]] = {
    "MeshVolume": lambda m: m.volume,
    "VoxelVolume": lambda m: int(m.scan.moments[0]) * math.prod(m.spacing_zyx),
    "SurfaceArea": lambda m: m.area,
    "SurfaceVolumeRatio": lambda m: m.area / m.volume,
    "Compactness1": lambda m: m.volume / (math.sqrt(math.pi) * math.pow(m.area, 1.5)),
    "Compactness2": lambda m: 36 * math.pi * m.volume**2 / m.area**3,
    "SphericalDisproportion": _disproportion,
    "Sphericity": lambda m: 1 / _disproportion(m),
    "Asphericity": lambda m: _disproportion(m) - 1,
    "CentreOfMassShift": _centre_of_mass_shift,
    "Maximum3DDiameter": lambda m: mesh_diameters(m.scan, m.spacing_zyx).whole,
    "MajorAxisLength": lambda m: 2 * m.semi_axes[0],
    "MinorAxisLength": lambda m: 2 * m.semi_axes[1],
    "LeastAxisLength": lambda m: 2 * m.semi_axes[2],
    "Elongation": lambda m: _ratio(m.semi_axes[1], m.semi_axes[0]),
    "Flatness": lambda m: _ratio(m.semi_axes[2], m.semi_axes[0]),
    "VolumeDensityAABB": lambda m: m.volume / _box_volume(m.aligned_box),
    "AreaDensityAABB": lambda m: m.area / _box_area(m.aligned_box),
    "VolumeDensityOMBB": lambda m: m.volume / _box_volume(m.oriented_box),
    "AreaDensityOMBB": lambda m: m.area / _box_area(m.oriented_box),
    "VolumeDensityAEE": lambda m: _ratio(m.volume, ellipsoid_volume(m.semi_axes)),
    "AreaDensityAEE": lambda m: _ratio(m.area, ellipsoid_area(m.semi_axes)),
    "VolumeDensityMVEE": lambda m: m.volume / ellipsoid_volume(m.enclosing_axes),
    "AreaDensityMVEE": lambda m: m.area / ellipsoid_area(m.enclosing_axes),
    "VolumeDensityConvexHull": lambda m: m.volume / m.hull.volume,
    "AreaDensityConvexHull": lambda m: m.area / m.hull.area,
    "IntegratedIntensity": lambda m: m.volume * float(m.intensities.mean()),
    "MoransI": lambda m: m.autocorrelation[0],
    "GearysC": lambda m: m.autocorrelation[1],
}
"""Each feature of the family, and its formula."""
MORPHOLOGY_FEATURES = tuple(_FORMULAS)
"""Names of the family, in the manual's order."""
