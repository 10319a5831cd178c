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
    # (x, z, y): what is transformed last lies side by side in memory.
    inside = np.ascontiguousarray(mask_zyx[box.slices_zyx].transpose(2, 0, 1))
    standard = np.zeros(inside.shape)
    standard[inside] = image_zyx[box.slices_zyx].transpose(2, 0, 1)[inside] - values.mean()
    standard /= math.sqrt(np.square(standard[inside]).mean())
    size = [2 * fft.next_fast_len(n, real=True) for n in inside.shape]  # no lag of a lesion wraps around
    weights = _weight_octant(size, [float(spacing_xyz[axis]) for axis in (0, 2, 1)])
    products, _ = _sums_over_pairs(weights, size, standard, standard)
    squared, pairs = _sums_over_pairs(weights, size, np.square(standard, out=standard), inside.astype(np.float64))
    n = values.size
    return products / pairs, (n - 1) / n * (squared - products) / pairs


def _weight_octant(size: list[int], spacing: list[float]) -> NDArray[np.float64]:
    """Return an octant of the transform of 1 / distance, 0 at none; the weights are even, so it is a cosine's.

    Along the first axis it counts for both halves of a real signal's spectrum, whose two ends occur once.
    """
    first, second, third = (np.square(np.arange(n // 2 + 1) * d) for n, d in zip(size, spacing, strict=True))
    octant = first[:, np.newaxis, np.newaxis] + second[:, np.newaxis] + third
    octant[0, 0, 0] = np.inf
    np.divide(1, np.sqrt(octant, out=octant), out=octant)
    octant = np.asarray(fft.dctn(octant, type=1, overwrite_x=True), np.float64)
    octant[1:-1] *= 2
    return octant


def _sums_over_pairs(
    weights: NDArray[np.float64], size: list[int], one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the weighted sum over pairs of one signal with the other, and of the other with itself (Parseval).

    A whole spectrum is eight times as large as its signal: beyond the first transform, one plane is held at a time.
    """
    along = [fft.rfft(signal, size[0], axis=0) for signal in ((one,) if one is other else (one, other))]
    sums = np.zeros(2)
    for k in range(weights.shape[0]):
        spectra = [
            fft.fft(fft.fft(planes[k], size[2], axis=1), size[1], axis=0, overwrite_x=True).view(np.float64)
            for planes in along
        ]
        sums += _sums_of_products(weights[k], spectra[0], spectra[-1])
    crossed, own = (sums / math.prod(size)).tolist()
    return crossed, own


@kernel
def _sums_of_products(
    weights: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[float, float]:
    """Sum weight times (real times real + imaginary times imaginary), of both, and of the other with itself."""
    n_rows, n = one.shape[0], one.shape[1] // 2
    crossed = own = 0.0
    for z in range(n_rows):
        weight, a, b = weights[min(z, n_rows - z)], one[z], other[z]
        row = row_own = mirrored = mirrored_own = 0.0
        for y in range(1, n // 2):  # a column and the one that mirrors it have one weight
            i, j = 2 * y, 2 * (n - y)
            row += weight[y] * (a[i] * b[i] + a[i + 1] * b[i + 1])
            row_own += weight[y] * (b[i] * b[i] + b[i + 1] * b[i + 1])
            mirrored += weight[y] * (a[j] * b[j] + a[j + 1] * b[j + 1])
            mirrored_own += weight[y] * (b[j] * b[j] + b[j + 1] * b[j + 1])
        for y in (0, n // 2):
            i = 2 * y
            row += weight[y] * (a[i] * b[i] + a[i + 1] * b[i + 1])
            row_own += weight[y] * (b[i] * b[i] + b[i + 1] * b[i + 1])
        crossed += row + mirrored
        own += row_own + mirrored_own
    return crossed, own
