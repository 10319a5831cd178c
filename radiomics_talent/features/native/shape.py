"""Shape of a lesion in three dimensions: PyRadiomics' class ``shape`` to the same numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radiomics_talent.features.native.mesh_diameter import Diameters, mesh_diameters
from radiomics_talent.features.native.principal_axes import axis_length, axis_ratio, solid_eigenvalues
from radiomics_talent.features.native.surface_mesh import mesh_area, mesh_volume
from radiomics_talent.features.native.surface_scan import scan_surface
from radiomics_talent.features.native.wanted_features import choose_features

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np
    from numpy.typing import NDArray

SHAPE_FEATURES = (
    "Elongation",
    "Flatness",
    "LeastAxisLength",
    "MajorAxisLength",
    "Maximum2DDiameterColumn",
    "Maximum2DDiameterRow",
    "Maximum2DDiameterSlice",
    "Maximum3DDiameter",
    "MeshVolume",
    "MinorAxisLength",
    "Sphericity",
    "SurfaceArea",
    "SurfaceVolumeRatio",
    "VoxelVolume",
)
"""What PyRadiomics computes when none is named, in its order."""
DEPRECATED_SHAPE_FEATURES = ("Compactness1", "Compactness2", "SphericalDisproportion")
"""What PyRadiomics computes only when it is named, with a warning."""


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What the formulas look at."""

    voxel_volume: float
    area: float
    volume: float
    eigenvalues: NDArray[np.inexact]
    diameters: Diameters
    warn: Callable[[str], None]


def shape_features(
    mask_zyx: NDArray[np.bool_], spacing_xyz: tuple[float, float, float], wanted: Collection[str] | None = None
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Compute the shape features of a lesion.

    Parameters
    ----------
    mask_zyx : ndarray of bool
        (z, y, x), cut to the lesion's box as PyRadiomics cuts it: where its mesh is open, its volume depends on the
        lesion's place in the array.
    spacing_xyz : tuple of float
        Voxel size in mm.
    wanted : collection of str or None
        PyRadiomics' names without prefix, of `SHAPE_FEATURES` and `DEPRECATED_SHAPE_FEATURES`; None takes the former.

    Returns
    -------
    values : dict of str to float
        Name to value, in the order of `wanted`, in mm, mm² or mm³; NaN where PyRadiomics gives NaN. Of voxels scattered
        so that their mesh encloses exactly nothing, PyRadiomics' volume may be rounding noise where ours is 0.
    warnings : tuple of str
        What PyRadiomics would log as a warning, in its order; of a feature that fails, the last line.

    Raises
    ------
    LookupError
        If a name is not one of PyRadiomics' class ``shape``.
    ValueError
        If no voxel is inside.
    """
    names, deprecations = choose_features(wanted, SHAPE_FEATURES, DEPRECATED_SHAPE_FEATURES)
    scan = scan_surface(mask_zyx)
    voxels = int(scan.moments[0])
    if not voxels:
        raise ValueError("the mask is empty: found no voxel inside; give the mask of a lesion")
    z, y, x = spacing = float(spacing_xyz[2]), float(spacing_xyz[1]), float(spacing_xyz[0])
    warnings: list[str] = []
    measured = _Measured(
        voxel_volume=voxels * (z * x * y),
        area=mesh_area(scan.cells, spacing),
        volume=mesh_volume(scan.cells, spacing),
        eigenvalues=solid_eigenvalues(mask_zyx, scan.moments, spacing, warnings.append),
        diameters=mesh_diameters(scan, spacing) if any("Diameter" in name for name in names) else Diameters.unknown(),
        warn=warnings.append,
    )
    warnings += deprecations
    return {name: _FORMULAS[name](measured) for name in names}, tuple(warnings)


def _sphericity(m: _Measured) -> float:
    return _ball_area(m) / m.area


def _surface_volume_ratio(m: _Measured) -> float:
    return _per_volume(m, m.volume)


def _spherical_disproportion(m: _Measured) -> float:
    return _per_volume(m, _ball_area(m))


def _per_volume(m: _Measured, size: float) -> float:
    """Divide the area; an open mesh may enclose nothing, where PyRadiomics fails (or, by rounding, gives noise)."""
    if size:
        return m.area / size
    m.warn("ZeroDivisionError: float division by zero")
    return math.nan


def _compactness_1(m: _Measured) -> float:
    return m.volume / (math.pow(m.area, 1.5) * math.sqrt(math.pi))


def _compactness_2(m: _Measured) -> float:
    return 36 * math.pi * m.volume**2 / m.area**3


def _ball_area(m: _Measured) -> float:
    """Return the surface of a ball of the mesh's volume."""
    return math.pow(36 * math.pi * m.volume**2, 1 / 3)


_FORMULAS: dict[str, Callable[[_Measured], float]] = {
    "VoxelVolume": lambda m: m.voxel_volume,
    "MeshVolume": lambda m: m.volume,
    "SurfaceArea": lambda m: m.area,
    "SurfaceVolumeRatio": _surface_volume_ratio,
    "Sphericity": _sphericity,
    "SphericalDisproportion": _spherical_disproportion,
    "Compactness1": _compactness_1,
    "Compactness2": _compactness_2,
    "Maximum3DDiameter": lambda m: m.diameters.whole,
    "Maximum2DDiameterSlice": lambda m: m.diameters.slice_,
    "Maximum2DDiameterColumn": lambda m: m.diameters.column,
    "Maximum2DDiameterRow": lambda m: m.diameters.row,
    "MajorAxisLength": lambda m: axis_length("Major", m.eigenvalues[2], m.warn),
    "MinorAxisLength": lambda m: axis_length("Minor", m.eigenvalues[1], m.warn),
    "LeastAxisLength": lambda m: axis_length("Least", m.eigenvalues[0], m.warn),
    "Elongation": lambda m: axis_ratio(m.eigenvalues[1], m.eigenvalues[2], m.warn),
    "Flatness": lambda m: axis_ratio(m.eigenvalues[0], m.eigenvalues[2], m.warn),
}
"""Each PyRadiomics feature of the class, and its formula."""
