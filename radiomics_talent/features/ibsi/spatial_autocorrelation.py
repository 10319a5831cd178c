"""Whether near voxels are alike: Moran's I and Geary's C over all pairs of voxels (IBSI N365 and NPT7)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from radiomics_talent.imaging.compiled import kernel
from radiomics_talent.imaging.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    inside = mask_zyx[part].astype(np.float64)
    centred = values - values.mean()
    standard = np.zeros(inside.shape)
    standard[mask_zyx[part]] = centred / math.sqrt(np.square(centred).mean())
    size = [2 * fft.next_fast_len(n, real=True) for n in inside.shape]  # no lag of a lesion wraps around
    octant = _weight_octant(size, spacing_xyz[::-1])
    of_standard = _spectrum(standard, size)
    products = _weighed(octant, of_standard, of_standard)
    del of_standard
    ones = _spectrum(inside, size)
    pairs = _weighed(octant, ones, ones)
    squared = _weighed(octant, ones, _spectrum(np.square(standard), size))
    return products / pairs, (values.size - 1) / values.size * (squared - products) / pairs


def _weight_octant(size: list[int], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Return an octant of the transform of 1 / distance, 0 at none; the weights are even, so it is a cosine's."""
    z, y, x = (np.square(np.arange(n // 2 + 1) * float(d)) for n, d in zip(size, spacing, strict=True))
    squared = z[:, np.newaxis, np.newaxis] + y[:, np.newaxis] + x
    squared[0, 0, 0] = np.inf
    return np.asarray(fft.dctn(1 / np.sqrt(squared), type=1, overwrite_x=True), np.float64)


def _spectrum(values: NDArray[np.float64], size: list[int]) -> NDArray[np.complex128]:
    """Return the transform of an array padded with zeros; an axis is padded when its turn comes."""
    along_x = fft.rfft(values, size[2], axis=2)
    along_y = fft.fft(along_x, size[1], axis=1, overwrite_x=True)
    return np.asarray(fft.fft(along_y, size[0], axis=0, overwrite_x=True), np.complex128)


def _weighed(octant: NDArray[np.float64], first: NDArray[np.complex128], second: NDArray[np.complex128]) -> float:
    """Return the sum over pairs that a product of spectra and weights stands for (Parseval), per voxel of the size."""
    parts = (np.ascontiguousarray(one).view(np.float64) for one in (first, second))
    n_z, n_y, n_x = first.shape
    return float(_sum_of_products(octant, *parts) / (n_z * n_y * 2 * (n_x - 1)))


@kernel
def _sum_of_products(octant: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Sum weight times (real times real + imaginary times imaginary); columns but the two at the ends stand for two."""
    n_z, n_y, n = first.shape
    total = 0.0
    for z in range(n_z):
        for y in range(n_y):
            weight, a, b = octant[min(z, n_z - z), min(y, n_y - y)], first[z, y], second[z, y]
            row = 0.0
            for x in range(0, n, 2):
                row += weight[x // 2] * (a[x] * b[x] + a[x + 1] * b[x + 1])
            ends = weight[0] * (a[0] * b[0] + a[1] * b[1])
            ends += weight[n // 2 - 1] * (a[n - 2] * b[n - 2] + a[n - 1] * b[n - 1])
            total += 2.0 * row - ends
    return total
