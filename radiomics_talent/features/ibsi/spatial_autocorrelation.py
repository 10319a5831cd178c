"""Whether near voxels are alike: Moran's I and Geary's C over all pairs of voxels (IBSI N365 and NPT7)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

from radiomics_talent.imaging.compiled import kernel
from radiomics_talent.imaging.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = 12
"""Columns of a spectrum that are held at once: few enough for the cache, and no power of two, which would crowd it."""
_SLICES = 16
"""Slices that are padded at once."""


def moran_and_geary(
    image_zyx: NDArray[np.float64], mask_zyx: NDArray[np.bool_], spacing_xyz: tuple[float, float, float]
) -> tuple[float, float]:
    """Compute Moran's I and Geary's C with the inverse distance as weight (IBSI 1, N365 and NPT7).

    Parameters
    ----------
    image_zyx : ndarray of float64
        (z, y, x): intensities.
    mask_zyx : ndarray of bool
        (z, y, x): the intensity mask.
    spacing_xyz : tuple of float
        Voxel size in mm.

    Returns
    -------
    moran, geary : float
        Without unit. Both NaN for fewer than two voxels or equal intensities, where both are 0 / 0.

    Notes
    -----
    Sums over all pairs are correlations of the masked image with the weights, and the Fourier transform gives them
    without a loop over pairs. With u the intensities less their mean over their standard deviation, ``N`` voxels and
    ``S(f, g) = sum_ij f_i w_ij g_j``: ``I = S(u, u) / S(1, 1)`` and
    ``C = (N - 1) / N (S(u^2, 1) - S(u, u)) / S(1, 1)``, because ``(u_i - u_j)^2 = u_i^2 + u_j^2 - 2 u_i u_j``.
    """
    box = Box.around(mask_zyx)
    values = image_zyx[mask_zyx]
    if box is None or values.size < 2 or values.min() == values.max():
        return math.nan, math.nan
    part = tuple(slice(low, up) for low, up in zip(box.lower[::-1], box.upper[::-1], strict=True))
    inside = mask_zyx[part]
    standard = np.zeros(inside.shape)
    standard[inside] = values - values.mean()
    standard /= math.sqrt(np.square(standard[inside]).mean())
    n = values.size
    size = [2 * fft.next_fast_len(width, real=True) for width in inside.shape]  # no lag of a lesion wraps around
    weights = _weight_octant(size, spacing_xyz[::-1])
    (products,) = _sums_over_pairs(weights, size, _along_x(standard, size))
    signals = [_along_x(np.square(standard, out=standard), size), _along_x(inside, size)]
    del standard, values  # of a large lesion each is hundreds of megabytes
    squared, pairs = _sums_over_pairs(weights, size, *signals)
    return products / pairs, (n - 1) / n * (squared - products) / pairs


def _weight_octant(size: list[int], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Return an octant of the transform of 1 / distance, 0 at none; the weights are even, so it is a cosine's.

    Along x it counts for both halves of a real signal's spectrum, whose first and last column occur once.
    """
    z, y, x = (np.square(np.arange(n // 2 + 1) * float(d)) for n, d in zip(size, spacing, strict=True))
    octant = z[:, np.newaxis, np.newaxis] + y[:, np.newaxis] + x
    octant[0, 0, 0] = np.inf
    np.divide(1, np.sqrt(octant, out=octant), out=octant)
    octant = np.asarray(fft.dctn(octant, type=1, overwrite_x=True), np.float64)
    octant[..., 1:-1] *= 2
    return octant


def _sums_over_pairs(weights: NDArray[np.float64], size: list[int], *along_x: NDArray[np.complex128]) -> list[float]:
    """Return the weighted sum over pairs of each signal with the last one, which is one over their spectra (Parseval).

    A whole spectrum is eight times as large as its signal: beyond the transform along x, some columns are held at once.
    """
    sums = [0.0] * len(along_x)
    room = np.empty((len(along_x), size[0], size[1], _COLUMNS), np.complex128)  # once, as memory is slow to get
    for first in range(0, weights.shape[2], _COLUMNS):
        columns = [one[..., first : first + _COLUMNS] for one in along_x]
        if columns[0].shape[2] < _COLUMNS:
            room = np.empty((*room.shape[:3], columns[0].shape[2]), np.complex128)
        spectra = [_spectrum(one, place).view(np.float64) for one, place in zip(columns, room, strict=True)]
        for k, one in enumerate(spectra):
            sums[k] += float(_sum_of_products(weights, first, one, spectra[-1]))
    return [one / math.prod(size) for one in sums]


def _along_x(signal: NDArray[Any], size: list[int]) -> NDArray[np.complex128]:
    """Return the transform along x alone, some slices at a time: never is all of the signal padded."""
    found = np.empty((*signal.shape[:2], size[2] // 2 + 1), np.complex128)
    for z in range(0, len(signal), _SLICES):
        found[z : z + _SLICES] = fft.rfft(signal[z : z + _SLICES], size[2], axis=2)
    return found


def _spectrum(columns: NDArray[np.complex128], room: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return some columns of a spectrum, whose transform along x is given; `room` has its size, and is overwritten."""
    n_z, n_y, _ = columns.shape
    room[:n_z, :n_y] = columns
    room[:n_z, n_y:] = 0
    room[n_z:] = 0
    room[:n_z] = fft.fft(room[:n_z], axis=1, overwrite_x=True)
    return np.ascontiguousarray(fft.fft(room, axis=0, overwrite_x=True))


@kernel
def _sum_of_products(
    weights: NDArray[np.float64], first: int, one: NDArray[np.float64], other: NDArray[np.float64]
) -> float:
    """Sum weight times (real times real + imaginary times imaginary) over columns from `first` on."""
    n_z, n_y, n = one.shape
    total = 0.0
    for z in range(n_z):
        for y in range(n_y):
            weight, a, b = weights[min(z, n_z - z), min(y, n_y - y), first:], one[z, y], other[z, y]
            row = 0.0
            for x in range(0, n, 2):
                row += weight[x // 2] * (a[x] * b[x] + a[x + 1] * b[x + 1])
            total += row
    return total
