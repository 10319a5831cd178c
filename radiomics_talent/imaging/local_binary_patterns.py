"""Local binary patterns of slices: which of the points on a circle around a pixel are at least as bright as it.

Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 2002;24:971-987. The numbers are those of scikit-image's
``local_binary_pattern`` on whole slices: it interpolates at positions counted from a slice's corner, and how those
round decides whether an interpolated value equals the pixel's. So they are counted from the same corner here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box

_METHODS = {"default": 0, "ror": 1, "uniform": 2, "var": 3}


def local_binary_patterns(
    image_zyx: NDArray[Any],
    box: Box,
    *,
    axis: int = 0,
    radius: float = 1,
    samples: int = 8,
    method: str = "uniform",
) -> NDArray[Any]:
    """Return the pattern of each voxel of a box, slice by slice.

    Parameters
    ----------
    image_zyx : ndarray, shape (z, y, x)
        Voxel values. Beyond the ends of a slice they count as 0.
    box : Box
        The part that is wanted.
    axis : int
        Axis of the array that slices are counted along (PyRadiomics' ``force2Ddimension``).
    radius : float
        Radius of the circle in voxels.
    samples : int
        Points on the circle.
    method : {'default', 'ror', 'uniform', 'var'}
        As scikit-image has them.

    Returns
    -------
    ndarray, shape of `box` (z, y, x), dtype of the image
        Patterns; ``var`` in an image of integers is cut to integers, as PyRadiomics does it.
    """
    down, across = _circle(radius, samples)
    spans = [(s.start, s.stop) for s in box.slices_zyx]
    spans[0], spans[axis] = spans[axis], spans[0]
    turned = image_zyx.swapaxes(0, axis)[slice(*spans[0])]
    margin = int(np.ceil(np.abs([down, across]).max())) + 1
    part = _framed(turned, spans[1:], margin)
    codes = np.empty([stop - start for start, stop in spans])
    rows, columns = (
        _neighbours(span, offsets, margin) for span, offsets in zip(spans[1:], (down, across), strict=True)
    )
    _patterns(part, margin, *rows, *columns, _METHODS[method], codes)
    with np.errstate(invalid="ignore"):
        return np.ascontiguousarray(codes.astype(image_zyx.dtype).swapaxes(0, axis))


def _framed(slices: NDArray[Any], spans: list[tuple[int, int]], margin: int) -> NDArray[np.float64]:
    """Cut slices to rows and columns within `spans` and a margin, with zeros where that lies outside of them."""
    shape = (slices.shape[0], *(stop - start + 2 * margin for start, stop in spans))
    framed = np.zeros(shape)
    there, here = [], []
    for (start, stop), n in zip(spans, slices.shape[1:], strict=True):
        first, last = max(0, start - margin), min(n, stop + margin)
        there.append(slice(first, last))
        here.append(slice(first - start + margin, last - start + margin))
    framed[:, here[0], here[1]] = slices[:, there[0], there[1]]
    return framed


def _neighbours(
    span: tuple[int, int], offsets: NDArray[np.float64], margin: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each pixel and point: places of the pixels before and after, (2, pixels, points), and share of the second."""
    positions = np.arange(*span)[:, None] + offsets[None, :]
    before = np.floor(positions)
    around = np.stack([before, np.ceil(positions)]).astype(np.int64)
    return around - (span[0] - margin), positions - before


def _circle(radius: float, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets of the points in rows and columns; scikit-image holds the radius as a float32."""
    r = float(np.float32(radius))
    angles = 2 * np.pi * np.arange(samples, dtype=np.float64) / samples
    return np.round(-r * np.sin(angles), 5), np.round(r * np.cos(angles), 5)


@kernel
def _patterns(
    image: NDArray[np.float64],
    margin: int,
    rows: NDArray[np.int64],
    down: NDArray[np.float64],
    columns: NDArray[np.int64],
    across: NDArray[np.float64],
    method: int,
    codes: NDArray[np.float64],
) -> None:
    """Fill `codes`; rows and columns of `image` around each point, and shares of the second of them, are given."""
    points = down.shape[1]
    values = np.empty(points)
    bits = np.empty(points, dtype=np.int64)
    for k in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            for j in range(codes.shape[2]):
                centre = image[k, i + margin, j + margin]
                for p in range(points):
                    x, y = across[j, p], down[i, p]
                    left, right = columns[0, j, p], columns[1, j, p]
                    upper = (1 - x) * image[k, rows[0, i, p], left] + x * image[k, rows[0, i, p], right]
                    lower = (1 - x) * image[k, rows[1, i, p], left] + x * image[k, rows[1, i, p], right]
                    values[p] = (1 - y) * upper + y * lower
                    bits[p] = values[p] - centre >= 0
                codes[k, i, j] = _code(values, bits, method)


@kernel
def _code(values: NDArray[np.float64], bits: NDArray[np.int64], method: int) -> float:
    """Sum up the points around one pixel."""
    if method == 3:
        return _variance(values)
    if method == 2:
        return _uniform(bits)
    return _binary(bits, method == 1)


@kernel
def _uniform(bits: NDArray[np.int64]) -> float:
    """Count ones where they change at most twice along the circle (its two ends are not compared)."""
    ones, changes = bits[0], 0
    for p in range(1, bits.size):
        ones += bits[p]
        changes += bits[p] != bits[p - 1]
    return float(ones if changes <= 2 else bits.size + 1)


@kernel
def _binary(bits: NDArray[np.int64], smallest: bool) -> float:
    """Read the bits as a number, or as the smallest number of all rotations."""
    value = 0
    for p in range(bits.size):
        value += bits[p] << p
    best = value
    if smallest:
        for _ in range(1, bits.size):
            value = (value >> 1) | ((value & 1) << (bits.size - 1))
            best = min(best, value)
    return float(best)


@kernel
def _variance(values: NDArray[np.float64]) -> float:
    """Return the population variance from the sums of values and of their squares, NaN in place of 0."""
    total, squares = 0.0, 0.0
    for value in values:
        total += value
        squares += value * value
    variance = (squares - total * total / values.size) / values.size
    return float(variance) if variance != 0 else np.nan
