"""Whether near voxels are alike: Moran's I and Geary's C over all pairs of voxels (IBSI N365 and NPT7)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

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
    weights = _weight_spectrum(size, spacing_xyz[::-1])
    products = _summed(weights * _power(_spectrum(standard, size)), size)
    ones = _spectrum(inside, size)
    pairs = _summed(weights * _power(ones), size)
    squares = _spectrum(np.square(standard), size)
    squared = _summed(weights * (ones.real * squares.real + ones.imag * squares.imag), size)
    return products / pairs, (values.size - 1) / values.size * (squared - products) / pairs


def _weight_spectrum(size: list[int], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the transform of 1 / distance, 0 at none: the weights are even, so a cosine transform of an octant."""
    z, y, x = (np.square(np.arange(n // 2 + 1) * float(d)) for n, d in zip(size, spacing, strict=True))
    squared = z[:, np.newaxis, np.newaxis] + y[:, np.newaxis] + x
    squared[0, 0, 0] = np.inf
    octant = fft.dctn(1 / np.sqrt(squared), type=1)
    z_of, y_of = (np.minimum(np.arange(n), n - np.arange(n)) for n in size[:2])
    return np.asarray(octant[z_of][:, y_of], np.float64)


def _spectrum(values: NDArray[np.float64], size: list[int]) -> NDArray[np.complex128]:
    """Return the transform of an array padded with zeros; an axis is padded when its turn comes."""
    along_x = fft.rfft(values, size[2], axis=2)
    along_y = fft.fft(along_x, size[1], axis=1, overwrite_x=True)
    return np.asarray(fft.fft(along_y, size[0], axis=0, overwrite_x=True), np.complex128)


def _power(spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.asarray(np.square(spectrum.real) + np.square(spectrum.imag), np.float64)


def _summed(half: NDArray[np.float64], size: list[int]) -> float:
    """Return the sum in space that a product of spectra stands for (Parseval); columns but two stand for two."""
    ends = float(half[..., 0].sum()) + float(half[..., -1].sum())
    return (2 * float(half.sum()) - ends) / math.prod(size)
