"""Local binary patterns in 3D: a sphere around each voxel, described by spherical harmonics.

Banerjee et al., ACCV 2012 Workshops, LNCS 7728: the sphere's points at least as bright as the voxel are a function on
the sphere; its power in each degree of spherical harmonics does not change when the lesion is turned. The numbers are
those of PyRadiomics' ``getLBP3DImage``, which interpolates by a cubic spline of the whole image (SciPy's).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.imaging.compiled import kernel
from radiomics_talent.imaging.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MARGIN = 48
"""Voxels around the box that a spline needs: its filter decays by 0.268 a voxel."""

_ROUNDING = 1e-12
"""A spline on a crop differs from the whole image's by less than this share of the largest value."""

_ROWS_AT_ONCE = 16
_VOXELS_AT_ONCE = 2048


def spherical_patterns(
    image_zyx: NDArray[Any],
    mask_zyx: NDArray[np.bool_],
    box: Box,
    *,
    levels: int = 2,
    radius: float = 1,
    subdivision: int = 1,
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Describe the sphere around each voxel of a mask.

    Parameters
    ----------
    image_zyx : ndarray, shape (z, y, x)
        Voxel values.
    mask_zyx : ndarray of bool, shape of `box` (z, y, x)
        Voxels that are wanted; the others get 0.
    box : Box
        Where the mask lies in the image.
    levels : int
        Degrees of spherical harmonics, from 0 on; at least 2.
    radius : float
        Radius of the sphere in voxels.
    subdivision : int
        Subdivisions of the icosahedron whose corners are the sphere's points.

    Yields
    ------
    name : str
        'm1', 'm2', ... for each degree, then 'k' for the kurtosis of the values on the sphere.
    values_zyx : ndarray of float64, shape of `box`

    Raises
    ------
    ValueError
        `levels` is below 2, which PyRadiomics cannot compute.
    """
    if levels < 2:
        raise ValueError(f"LBP3D takes lbp3DLevels of at least 2, got {levels}")
    points, harmonics, degrees = _sphere(levels, radius, subdivision)
    places = np.argwhere(mask_zyx) + np.array(box.lower[::-1])
    powers, kurtosis = [], []
    for sampled, centre in _samples(image_zyx, box, places, points, radius):
        kurtosis.append(_kurtosis(sampled))
        powers.append(_powers(sampled >= centre[:, None], harmonics, degrees))
    columns = [*(f"m{degree + 1}" for degree in range(levels)), "k"]
    described = np.column_stack([np.concatenate(powers), np.concatenate(kurtosis)])
    for name, column in zip(columns, described.T, strict=True):
        values = np.zeros(mask_zyx.shape)
        values[mask_zyx] = column
        yield name, values


def _sphere(
    levels: int, radius: float, subdivision: int
) -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.int64]]:
    """Points on the sphere (n, 3), spherical harmonics there (n, terms), and the degree of each term."""
    from trimesh.creation import icosphere  # noqa: PLC0415  # slow to import, and wanted here alone

    points = np.array(icosphere(subdivision, radius).vertices)
    with np.errstate(invalid="ignore"):  # rounding may put a pole just outside of the sphere: PyRadiomics gives NaN
        polar = np.arccos(np.true_divide(points[:, 2], radius))
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    terms = [(degree, order) for degree in range(levels) for order in range(-degree, degree + 1)]
    # PyRadiomics hands the polar angle over as the azimuth and the other way round; so do we.
    harmonics = np.column_stack([_harmonic(degree, order, azimuth, polar) for degree, order in terms])
    return points, harmonics, np.array([degree for degree, _ in terms])


def _harmonic(
    degree: int, order: int, polar: NDArray[np.float64], azimuth: NDArray[np.float64]
) -> NDArray[np.complex128]:
    from scipy import special  # noqa: PLC0415  # likewise

    if hasattr(special, "sph_harm_y"):
        return np.asarray(special.sph_harm_y(degree, order, polar, azimuth))
    return np.asarray(special.sph_harm(order, degree, azimuth, polar))  # SciPy before 1.15


def _samples(
    image: NDArray[Any], box: Box, places: NDArray[np.int64], points: NDArray[np.float64], radius: float
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield values on the spheres around some voxels (n, points), and those voxels' own, in the image's type."""
    size = image.shape[::-1]
    whole = Box((0, 0, 0), size)
    reach = int(np.ceil(radius)) + 2
    needed = box.padded(reach, size)
    region = needed.padded(_MARGIN, size)
    chunks = [places[i : i + _VOXELS_AT_ONCE] for i in range(0, len(places), _VOXELS_AT_ONCE)]
    centres = [image[tuple(chunk.T)] for chunk in chunks]
    frame = np.array([needed.lower[::-1], image.shape])
    values = _interpolated(_coefficients(image, region, needed), frame, chunks, points)
    if region != whole and _undecided(values, centres, image[region.slices_zyx]):
        values = _interpolated(_coefficients(image, whole, needed), frame, chunks, points)
    for value, centre in zip(values, centres, strict=True):
        yield _stored(value, image.dtype), centre


def _coefficients(image: NDArray[Any], region: Box, needed: Box) -> NDArray[np.float64]:
    """Return the spline's coefficients within `needed`, from the voxels of `region`; axis by axis, as SciPy does."""
    part = image[region.slices_zyx]
    keep = needed.seen_from(region).slices_zyx
    # Along the first axis in groups of rows: the whole scan in double precision would be large.
    rows = range(0, part.shape[1], _ROWS_AT_ONCE)
    slabs = [_filtered(part[:, i : i + _ROWS_AT_ONCE], 0)[keep[0]].copy() for i in rows]
    part = _filtered(np.concatenate(slabs, axis=1), 1)[:, keep[1]]
    return np.ascontiguousarray(_filtered(part, 2)[:, :, keep[2]])


def _filtered(part: NDArray[Any], axis: int) -> NDArray[np.float64]:
    from scipy import ndimage  # noqa: PLC0415  # likewise

    return np.asarray(ndimage.spline_filter1d(part, order=3, axis=axis, output=np.float64, mode="constant"))


def _interpolated(
    coefficients: NDArray[np.float64],
    frame: NDArray[np.int64],
    chunks: list[NDArray[np.int64]],
    points: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    values = [np.empty((len(chunk), len(points))) for chunk in chunks]
    for chunk, value in zip(chunks, values, strict=True):
        _interpolate(coefficients, frame, np.ascontiguousarray(chunk), points, value)
    return values


def _undecided(values: list[NDArray[np.float64]], centres: list[NDArray[Any]], image: NDArray[Any]) -> bool:
    """Whether rounding might decide a comparison of the sphere with its centre: then the whole image is needed."""
    near = _ROUNDING * float(max(abs(float(image.max())), abs(float(image.min())), 1.0))
    if np.issubdtype(image.dtype, np.integer):
        return any(bool((np.abs(np.abs(v - np.trunc(v)) - 0.5) <= near).any()) for v in values)
    return any(bool((np.abs(v - c[:, None]) <= near).any()) for v, c in zip(values, centres, strict=True))


def _stored(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round to the image's type as SciPy's interpolation does: half away from zero, and within its range."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    if limits.min == 0:
        away = np.where(values > 0, values + 0.5, 0.0)
    else:
        away = np.where(values > 0, values + 0.5, values - 0.5)
    return np.clip(away, limits.min, limits.max).astype(dtype)


def _kurtosis(values: NDArray[Any]) -> NDArray[np.floating]:
    """Excess kurtosis of each row, NaN where all are alike: SciPy's, which would also warn of the latter."""
    values = values if np.issubdtype(values.dtype, np.inexact) else values.astype(np.float64)
    mean = np.mean(values, axis=1, keepdims=True)
    square = (values - mean) ** 2
    second, fourth = np.mean(square, axis=1), np.mean(square**2, axis=1)
    with np.errstate(all="ignore"):
        alike = second <= (np.finfo(second.dtype).eps * mean[:, 0]) ** 2
        return np.where(alike, np.nan, fourth / second**2.0) - 3


def _powers(
    bright: NDArray[np.bool_], harmonics: NDArray[np.complex128], degrees: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Norm of the part of each degree, shape (voxels, degrees)."""
    weights = (bright.astype(int)[:, :, None] * harmonics[None, :, :]).sum(axis=1)
    parts = [
        np.sum(weights[:, None, degrees == n] * harmonics[None, :, degrees == n], axis=2, keepdims=True)
        for n in range(int(degrees[-1]) + 1)
    ]
    # Squares of complex numbers, not of their moduli, as PyRadiomics does it.
    return np.real(np.sqrt(np.sum(np.concatenate(parts, axis=2) ** 2, axis=1)))


@kernel
def _interpolate(
    coefficients: NDArray[np.float64],
    frame: NDArray[np.int64],
    places: NDArray[np.int64],
    points: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Evaluate the spline at `points` around each place; 0 outside of the image (`frame`: crop's corner, its size)."""
    weights = np.empty((3, 4))
    indices = np.empty((3, 4), dtype=np.int64)
    for v in range(places.shape[0]):
        for p in range(points.shape[0]):
            inside = True
            for axis in range(3):
                position = places[v, axis] + points[p, axis]
                if position < 0 or position > frame[1, axis] - 1:
                    inside = False
                    break
                _support(position, frame[0, axis], frame[1, axis], weights[axis], indices[axis])
            total = 0.0
            if inside:
                for i in range(4):
                    for j in range(4):
                        for k in range(4):
                            value = coefficients[indices[0, i], indices[1, j], indices[2, k]]
                            total += value * weights[0, i] * weights[1, j] * weights[2, k]
            values[v, p] = total


@kernel
def _support(position: float, corner: int, size: int, weights: NDArray[np.float64], indices: NDArray[np.int64]) -> None:
    """Weights of the four coefficients around a position, and their places; the image is mirrored at its ends."""
    floor = int(np.floor(position))
    x = position - floor
    z = 1.0 - x
    weights[1] = (x * x * (x - 2.0) * 3.0 + 4.0) / 6.0
    weights[2] = (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0
    weights[0] = z * z * z / 6.0
    weights[3] = 1.0 - weights[0] - weights[1] - weights[2]
    for n in range(4):
        index = floor - 1 + n
        period = 2 * size - 2
        index = abs(index) % period if period > 0 else 0
        indices[n] = min(index, period - index) - corner if period > 0 else 0
