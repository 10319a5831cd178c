"""Shape of a lesion drawn on one slice: PyRadiomics' class ``shape2D`` to the same numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.native.mesh_diameter import plane_diameter
from radiomics_talent.features.native.principal_axes import axis_length, axis_ratio, scattered_eigenvalues
from radiomics_talent.features.native.wanted_features import choose_features

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

SHAPE2D_FEATURES = (
    "Elongation",
    "MajorAxisLength",
    "MaximumDiameter",
    "MeshSurface",
    "MinorAxisLength",
    "Perimeter",
    "PerimeterSurfaceRatio",
    "PixelSurface",
    "Sphericity",
)
"""What PyRadiomics computes when none is named, in its order."""
DEPRECATED_SHAPE2D_FEATURES = ("SphericalDisproportion",)
"""What PyRadiomics computes only when it is named, with a warning."""


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What the formulas look at."""

    pixel_surface: float
    surface: float
    perimeter: float
    eigenvalues: NDArray[np.inexact]
    diameter: float
    warn: Callable[[str], None]


def shape2d_features(
    mask_zyx: NDArray[np.bool_],
    spacing_xyz: tuple[float, float, float],
    dimension: int,
    wanted: Collection[str] | None = None,
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Compute the shape features of a lesion that lies on one slice.

    Parameters
    ----------
    mask_zyx : ndarray of bool
        (z, y, x), of size 1 along `dimension`.
    spacing_xyz : tuple of float
        Voxel size in mm.
    dimension : int
        Axis of `mask_zyx` that slices are counted along (PyRadiomics ``force2Ddimension``).
    wanted : collection of str or None
        PyRadiomics' names without prefix, of `SHAPE2D_FEATURES` and `DEPRECATED_SHAPE2D_FEATURES`; None takes the
        former.

    Returns
    -------
    values : dict of str to float
        Name to value, in the order of `wanted`, in mm or mm²; NaN where PyRadiomics gives NaN.
    warnings : tuple of str
        What PyRadiomics would log as a warning, in its order.

    Raises
    ------
    LookupError
        If a name is not one of PyRadiomics' class ``shape2D``.
    ValueError
        If the mask has several slices, or no pixel is inside.
    """
    names, deprecations = choose_features(wanted, SHAPE2D_FEATURES, DEPRECATED_SHAPE2D_FEATURES)
    if mask_zyx.shape[dimension] != 1:
        raise ValueError(
            f"Size of the mask in dimension {dimension} is more than 1, cannot compute 2D shape: found "
            f"{mask_zyx.shape[dimension]} slices; take shape"
        )
    if not mask_zyx.any():
        raise ValueError("the mask is empty: found no pixel inside; give the mask of a lesion")
    padded = np.pad(np.squeeze(mask_zyx, axis=dimension), 1)
    y, x = (float(size) for axis, size in enumerate(spacing_xyz[::-1]) if axis != dimension)
    surface, perimeter = _outline(padded, y, x)
    warnings: list[str] = []
    measured = _Measured(
        pixel_surface=int(padded.sum()) * (x * y),
        surface=surface,
        perimeter=perimeter,
        eigenvalues=scattered_eigenvalues(padded, (y, x), warnings.append),
        diameter=plane_diameter(_vertex_ends(padded), (y, x)),
        warn=warnings.append,
    )
    warnings += deprecations
    return {name: _FORMULAS[name](measured) for name in names}, tuple(warnings)


def _outline(padded: NDArray[np.bool_], y: float, x: float) -> tuple[float, float]:
    """Return area and length of the outline that joins midpoints between pixels inside and outside.

    Of four pixels, a single one inside is cut off by a corner of an eighth of a pixel, two on a diagonal by two such,
    two side by side by a straight line; three are the complement of one.
    """
    a, b, c, d = (padded[rows, columns] for rows in _NEXT for columns in _NEXT)
    inside = a.astype(np.int8) + b + c + d
    diagonal = int(((inside == 2) & (a == d)).sum())
    along_x = int(((inside == 2) & (a == b)).sum())
    along_y = int(((inside == 2) & (a == c)).sum())
    one, three, four = (int((inside == n).sum()) for n in (1, 3, 4))
    eighths = one + 2 * diagonal + 4 * (along_x + along_y) + 7 * three + 8 * four
    oblique = math.hypot(0.5 * y, 0.5 * x)
    return eighths / 8 * (y * x), (one + three + 2 * diagonal) * oblique + along_x * x + along_y * y


_NEXT = (slice(None, -1), slice(1, None))


def _vertex_ends(padded: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the first and last doubled x of the outline's vertices on each line of doubled y; -1 where it has none."""
    ny, nx = padded.shape
    vertices = np.zeros((2 * ny, 2 * nx), np.bool_)
    vertices[0::2, 1:-1:2] = padded[:, 1:] != padded[:, :-1]
    vertices[1:-1:2, 0::2] = padded[1:] != padded[:-1]
    occupied = np.flatnonzero(vertices.any(axis=1))
    ends = np.full((2 * ny, 2), -1, np.int32)
    ends[occupied, 0] = vertices[occupied].argmax(axis=1)
    ends[occupied, 1] = 2 * nx - 1 - vertices[occupied, ::-1].argmax(axis=1)
    return ends


def _sphericity(m: _Measured) -> float:
    return 2 * math.sqrt(math.pi * m.surface) / m.perimeter


_FORMULAS: dict[str, Callable[[_Measured], float]] = {
    "MeshSurface": lambda m: m.surface,
    "PixelSurface": lambda m: m.pixel_surface,
    "Perimeter": lambda m: m.perimeter,
    "PerimeterSurfaceRatio": lambda m: m.perimeter / m.surface,
    "Sphericity": _sphericity,
    "SphericalDisproportion": lambda m: 1 / _sphericity(m),
    "MaximumDiameter": lambda m: m.diameter,
    "MajorAxisLength": lambda m: axis_length("Major", m.eigenvalues[1], m.warn),
    "MinorAxisLength": lambda m: axis_length("Minor", m.eigenvalues[0], m.warn),
    "Elongation": lambda m: axis_ratio(m.eigenvalues[0], m.eigenvalues[1], m.warn),
}
"""Each PyRadiomics feature of the class, and its formula."""
