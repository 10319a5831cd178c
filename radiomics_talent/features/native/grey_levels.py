"""A lesion's values become grey levels, as PyRadiomics' ``binImage`` bins them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.errors import ExtractionError, MaskError
from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.features.native.texture_settings import TextureSettings


@dataclass(frozen=True, slots=True, eq=False)
class GreyLevels:
    """The discretised image of a lesion.

    Attributes
    ----------
    levels_zyx : ndarray of int32
        (z, y, x): 1 to `highest` inside the lesion, 0 outside of it.
    present : ndarray of int64
        Levels that occur, ascending: the rows that PyRadiomics leaves in its matrices.
    highest : int
        The highest level that occurs; PyRadiomics' ``Ng``.
    """

    levels_zyx: NDArray[np.int32]
    present: NDArray[np.int64]
    highest: int


def discretise(values_zyx: NDArray[Any], mask_zyx: NDArray[np.bool_], settings: TextureSettings) -> GreyLevels:
    """Return the grey levels of a lesion: PyRadiomics' bins, to the bit.

    Parameters
    ----------
    values_zyx : ndarray
        (z, y, x), in the image's own type: PyRadiomics computes the edges in it. Where a filter is not defined (the
        kurtosis of a flat neighbourhood, LBP3D) values may be NaN: they have the level above all others.
    mask_zyx : ndarray of bool
        The lesion, of the same shape.
    settings : TextureSettings
        Bin width, or bin count.

    Returns
    -------
    GreyLevels
        The levels.

    Raises
    ------
    MaskError
        The mask is empty, the lesion's range is too narrow for the bin count, or its first value (or, with a bin
        count, any) is NaN.
    ExtractionError
        The bin width does not fit the image's type.
    """
    inside = _inside(values_zyx, mask_zyx)
    edges = _bin_edges(inside, settings).astype(np.float64)
    mask = np.ascontiguousarray(mask_zyx, dtype=np.bool_)
    levels, counts = _level_of_each(mask.reshape(-1), inside.astype(np.float64), edges, _edges_per_unit(edges))
    if counts[0]:
        raise ExtractionError(
            f"grey levels of width {settings.bin_width} overflow the image's type {inside.dtype}; "
            "convert the image to a wider type"
        )
    present = np.flatnonzero(counts)
    return GreyLevels(levels.reshape(mask.shape), present, int(present[-1]))


def count_levels(values: NDArray[Any], settings: TextureSettings) -> int:
    """Return how many grey levels a lesion will span, before anything is allocated for them.

    Parameters
    ----------
    values : ndarray
        The lesion's values, in any shape.
    settings : TextureSettings
        Bin width, or bin count.
    """
    if settings.bin_count is not None:
        return settings.bin_count
    lowest, highest = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if np.isnan(lowest):  # nothing but NaN, which cannot be binned at all
        return 0
    return int(np.floor(highest / settings.bin_width) - np.floor(lowest / settings.bin_width)) + 1


def _inside(values_zyx: NDArray[Any], mask_zyx: NDArray[np.bool_]) -> NDArray[Any]:
    inside: NDArray[Any] = values_zyx[mask_zyx]
    if not inside.size:
        raise MaskError("the lesion has no voxel")
    return inside


def _bin_edges(inside: NDArray[Any], settings: TextureSettings) -> NDArray[Any]:
    """Return lower edges of the bins, computed step by step in the type that NumPy computes PyRadiomics' edges in."""
    if settings.bin_count is not None:
        try:
            edges: NDArray[Any] = np.histogram_bin_edges(inside, settings.bin_count)
        except ValueError as error:
            raise MaskError(f"{settings.bin_count} grey levels do not fit the lesion's values: {error}") from error
        edges[-1] += 1  # the largest value belongs to the last bin
        return edges
    width = settings.bin_width
    if np.isnan(inside[0]):
        raise MaskError("the first value of the lesion is not a number, and PyRadiomics cannot bin it either")
    try:
        with np.errstate(over="ignore"):  # PyRadiomics goes on with what has wrapped round
            lowest, highest = np.fmin.reduce(inside), np.fmax.reduce(inside)
            edges = np.arange(lowest - (lowest % width), highest + 2 * width, width)
    except OverflowError as error:
        raise ExtractionError(f"binWidth {width} does not fit the image's type {inside.dtype}") from error
    return edges if len(edges) != 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def _edges_per_unit(edges: NDArray[np.float64]) -> float:
    step = edges[1] - edges[0] if len(edges) > 1 else 1.0
    return float(1 / step) if step > 0 else 0.0


@kernel
def _level_of_each(
    mask: NDArray[np.bool_], inside: NDArray[np.float64], edges: NDArray[np.float64], edges_per_unit: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Count the edges at or below each value: a guess by division, put right by the edges themselves."""
    levels = np.zeros(mask.size, np.int32)
    counts = np.zeros(edges.size + 1, np.int64)
    n_edges = edges.size
    first = edges[0] if n_edges else 0.0
    k = 0
    for i in range(mask.size):
        if mask[i]:
            value = inside[k]
            k += 1
            guess = (value - first) * edges_per_unit
            level = min(int(guess) + 1, n_edges) if 0 <= guess < n_edges else 0 if guess < 0 else n_edges
            while level < n_edges and edges[level] <= value:
                level += 1
            while level > 0 and edges[level - 1] > value:
                level -= 1
            levels[i] = level
            counts[level] += 1
    return levels, counts
