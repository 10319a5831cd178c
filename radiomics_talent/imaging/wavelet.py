"""Stationary wavelet transform of a box, with the bits that PyWavelets gives for the whole image.

The transform is periodic, so what a box needs beyond the ends of the image is taken from the other end; it is never
necessary to transform more than the box and the reach of the filters.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pywt

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box

_BLOCK = 512
"""NDArray[Any] summed at once: they stay in the fastest cache from one filter tap to the next."""


def wavelet_bands(
    image_zyx: NDArray[Any],
    box: Box,
    wavelet: str,
    *,
    level: int = 1,
    start_level: int = 0,
    axes: Sequence[int] = (2, 1, 0),
) -> Iterator[tuple[int, str, NDArray[Any]]]:
    """Transform an image and yield each band on a box.

    Parameters
    ----------
    image_zyx : ndarray, shape (z, y, x)
        Voxel values. Axes of odd length are continued by their first voxel, as PyRadiomics does.
    box : Box
        The part that is wanted.
    wavelet : str
        Name of the wavelet as PyWavelets has it.
    level, start_level : int
        Number of decompositions that are wanted, and of those before them; each takes the last one's approximation.
    axes : sequence of int
        Axes that are transformed, in this order; the letters of a band's name follow it.

    Yields
    ------
    level : int
        Number of the decomposition, from 1.
    name : str
        'L' or 'H' for each axis, in PyRadiomics' order; the approximation of the last level comes last.
    values_zyx : ndarray of float32 (of a float32 image) or float64, shape of `box`

    Raises
    ------
    ValueError
        PyWavelets has no wavelet of this name.

    Notes
    -----
    PyWavelets' ``swtn`` with ``level=1`` as PyRadiomics' ``getWaveletImage`` calls it. Additions are done in the
    order in which PyWavelets does them; near the far end of the image that is another one than elsewhere.
    """
    dtype = np.float32 if image_zyx.dtype in {np.dtype(np.float32), np.dtype(np.float16)} else np.float64
    low, high = _taps(wavelet, dtype)
    before, after = low.size // 2 - 1, low.size // 2
    levels = start_level + level
    # Positions on the periodic image, each level's wider than the next one's.
    spans = [
        (s.start - before * levels, s.stop + after * levels) if axis in axes else (s.start, s.stop)
        for axis, s in enumerate(box.slices_zyx)
    ]
    periods = [n + n % 2 for n in image_zyx.shape]
    data = np.array(_periodic(image_zyx, spans, periods), dtype=dtype, order="C")
    for done in range(1, levels + 1):
        bands: list[tuple[str, NDArray[Any]]] = [("", data)]
        for axis in axes:
            spans[axis] = (spans[axis][0] + before, spans[axis][1] - after)
            turned = _turned(spans[axis], periods[axis], after)
            bands = [
                (name + letter, half)
                for name, band in bands
                for letter, half in zip("LH", _halves(band, axis, turned, low, high), strict=True)
            ]
        data = bands[0][1]
        if done > start_level:
            yield from ((done - start_level, name, _inside(band, box, spans)) for name, band in bands[1:])
    yield level, "L" * len(axes), _inside(data, box, spans)


def _taps(wavelet: str, dtype: type[np.floating]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights of the two filters, read off the transform of an impulse: PyWavelets has its own for float32."""
    filters = pywt.Wavelet(wavelet)
    impulse = np.zeros(filters.dec_len, dtype=dtype)
    impulse[filters.dec_len // 2] = 1
    low, high = pywt.swt(impulse, filters, level=1)[0]
    return low, high


def _periodic(image: NDArray[Any], spans: list[tuple[int, int]], periods: list[int]) -> NDArray[Any]:
    """Take the part of the periodic continuation of the image that lies within `spans`."""
    for axis, ((start, stop), period) in enumerate(zip(spans, periods, strict=True)):
        n = image.shape[axis]
        if start >= 0 and stop <= n:
            image = image[(slice(None),) * axis + (slice(start, stop),)]
        else:
            places = np.arange(start, stop) % period
            image = np.take(image, np.where(places == n, 0, places), axis=axis)
    return image


def _turned(span: tuple[int, int], period: int, after: int) -> NDArray[np.int64]:
    """For each run of outputs: its end, and how many of its first products PyWavelets adds in turned order."""
    turned = np.maximum(0, np.arange(*span) % period + after + 1 - period)
    runs = [(int(value), len(list(run))) for value, run in groupby(turned.tolist())]
    ends = np.cumsum([length for _, length in runs])
    return np.column_stack([ends, [value for value, _ in runs]]).astype(np.int64)


def _halves(
    data: NDArray[Any],
    axis: int,
    turned: NDArray[np.int64],
    low: NDArray[Any],
    high: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Filter along one axis with both filters; the axis gets shorter by their reach."""
    shape = tuple(n - (low.size - 1) * (a == axis) for a, n in enumerate(data.shape))
    smooth, detail = np.empty(shape, dtype=data.dtype), np.empty(shape, dtype=data.dtype)
    step = math.prod(data.shape[axis + 1 :])
    _filter(
        data.reshape(-1, data.shape[axis] * step), turned * (step, 1), low, high, smooth.reshape(-1), detail.reshape(-1)
    )
    return smooth, detail


def _inside(band: NDArray[Any], box: Box, spans: list[tuple[int, int]]) -> NDArray[Any]:
    """Cut a band to the box."""
    inside = tuple(slice(s.start - w, s.stop - w) for s, (w, _) in zip(box.slices_zyx, spans, strict=True))
    return np.ascontiguousarray(band[inside])


@kernel
def _filter(
    data: NDArray[Any],
    turned: NDArray[np.int64],
    low: NDArray[Any],
    high: NDArray[Any],
    smooth: NDArray[Any],
    detail: NDArray[Any],
) -> None:
    """Convolve the rows of `data` with both filters; neighbours along the axis lie `step` apart in a row.

    Row by row the outputs fall in runs (`turned`): in each, the products are added from the first to the last, except
    for the first few, which are added from the last of them to the first.
    """
    taps = low.size
    kept = turned[turned.shape[0] - 1, 0]
    step = (data.shape[1] - kept) // (taps - 1)
    for row in range(data.shape[0]):
        begin = 0
        for run in range(turned.shape[0]):
            end, first = turned[run]
            for start in range(begin, end, _BLOCK):
                stop = min(start + _BLOCK, end)
                smooth_block = smooth[row * kept + start : row * kept + stop]
                detail_block = detail[row * kept + start : row * kept + stop]
                smooth_block[:] = 0
                detail_block[:] = 0
                for nth in range(taps):
                    tap = first - 1 - nth if nth < first else nth
                    shift = (taps - 1 - tap) * step
                    values = data[row, start + shift : stop + shift]
                    a, d = low[tap], high[tap]
                    for i in range(stop - start):
                        smooth_block[i] += a * values[i]
                        detail_block[i] += d * values[i]
            begin = end
