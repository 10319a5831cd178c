"""Eigenvalues of the scatter of a lesion's voxel centres, from which PyRadiomics takes the lengths of its axes."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WELL_CONDITIONED = 1e-3
"""Least share of the largest eigenvalue at which the rounding of PyRadiomics' sums stays below its tolerance."""


def solid_eigenvalues(
    mask_zyx: NDArray[np.bool_],
    moments: NDArray[np.int64],
    spacing_zyx: tuple[float, float, float],
    warn: Callable[[str], None],
) -> NDArray[np.inexact]:
    """Return the variances of a lesion's voxel centres along its principal axes.

    Parameters
    ----------
    mask_zyx : ndarray of bool
        (z, y, x); true inside.
    moments : ndarray of int64
        (10,): as in `SurfaceScan`.
    spacing_zyx : tuple of float
        Voxel size in mm.
    warn : callable
        Takes PyRadiomics' warning, where an eigenvalue is negative by rounding.

    Returns
    -------
    ndarray of float64 or complex128
        (3,), in mm², ascending. Of a lesion that is flat, linear or nearly so, those of `scattered_eigenvalues`.
    """
    eigenvalues = np.linalg.eigvalsh(_covariance(moments, spacing_zyx))
    if eigenvalues[0] > WELL_CONDITIONED * eigenvalues[2]:
        return cast("NDArray[np.inexact]", eigenvalues)
    return scattered_eigenvalues(np.pad(mask_zyx, 1), spacing_zyx, warn)


def scattered_eigenvalues(
    padded: NDArray[np.bool_], spacing: tuple[float, ...], warn: Callable[[str], None]
) -> NDArray[np.inexact]:
    """Return the variances of voxel centres along their principal axes, rounded as PyRadiomics rounds.

    The least eigenvalue of a flat lesion is nothing but rounding, and its root is far above any tolerance. So the
    steps, their order and the layout in memory are PyRadiomics' own, on its padded mask.

    Parameters
    ----------
    padded : ndarray of bool
        Of two or three dimensions, padded by one on every side; true inside.
    spacing : tuple of float
        Voxel size in mm, one a dimension, in the order of the array's axes.
    warn : callable
        Takes PyRadiomics' warning, where an eigenvalue is negative by rounding.

    Returns
    -------
    ndarray of float64 or complex128
        One a dimension, in mm², ascending. Eigenvalues between -1e-10 and 0 become 0. The solver is PyRadiomics' own,
        for matrices of any kind: rounding may make a pair complex, and PyRadiomics goes on with it.
    """
    centres = np.stack(np.nonzero(padded)) * np.array(spacing)[:, np.newaxis]
    centres -= centres.mean(axis=1, keepdims=True)
    centres /= np.sqrt(centres.shape[1])
    # A copy, or NumPy would take the product for a symmetric one and round it in another way.
    eigenvalues = np.linalg.eigvals(np.dot(centres.copy(), centres.T))
    negative = (eigenvalues < 0) & (eigenvalues > -1e-10)
    if negative.any():
        warn(f"Encountered {negative.sum()} eigenvalues < 0 and > -1e-10, rounding to 0")
        eigenvalues[negative] = 0
    return np.sort(eigenvalues)


def axis_length(name: str, eigenvalue: np.inexact, warn: Callable[[str], None]) -> float:
    """Return the length of an axis of the ellipsoid with a lesion's scatter.

    Parameters
    ----------
    name : str
        'Major', 'Minor' or 'Least', for the warning.
    eigenvalue : NumPy number
        In mm²; of a complex one the root's real part counts, as PyRadiomics' users see it.
    warn : callable
        Takes PyRadiomics' warning.

    Returns
    -------
    float
        In mm; NaN, with a warning, where the eigenvalue is negative.
    """
    if eigenvalue < 0:
        warn(f"{name} axis eigenvalue negative! ({eigenvalue:g})")
        return math.nan
    return float(np.sqrt(eigenvalue).real) * 4


def axis_ratio(shorter: np.inexact, longer: np.inexact, warn: Callable[[str], None]) -> float:
    """Return the ratio of two axes' lengths (elongation and flatness, IBSI Q3CK and N17B).

    Parameters
    ----------
    shorter, longer : NumPy number
        Their eigenvalues in mm².
    warn : callable
        Takes PyRadiomics' warning, which says elongation of flatness too.

    Returns
    -------
    float
        NaN, with a warning, where an eigenvalue is negative; NaN where both are 0, as of a single voxel.
    """
    if shorter < 0 or longer < 0:
        warn(f"Elongation eigenvalue negative! ({shorter:g}, {longer:g})")
        return math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(shorter / longer).real)


def _covariance(moments: NDArray[np.int64], spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the covariance of voxel centres from exact sums: one rounding an entry, then the scaling."""
    n, z, y, x, zz, yy, xx, zy, zx, yx = moments.tolist()
    first, second = (z, y, x), ((zz, zy, zx), (zy, yy, yx), (zx, yx, xx))
    matrix = np.empty((3, 3))
    for i, j in product(range(3), repeat=2):
        matrix[i, j] = (n * second[i][j] - first[i] * first[j]) / (n * n) * spacing[i] * spacing[j]
    return matrix
