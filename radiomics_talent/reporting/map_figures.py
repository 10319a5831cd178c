"""Maps of a lesion beside its CT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from radiomics_talent.reporting.figures import CONTOUR_COLOUR, WINDOW_HU, plain_text, voxel_borders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from radiomics_talent.features.maps import FeatureMaps

MOST_MAPS = 11
"""Maps that are drawn, beside the CT."""
_COLUMNS = 4
_CONTEXT_MM = 12.0
_COLOURS = "viridis"  # ascends in lightness too, so that it can be read in grey


def draw_maps(maps: FeatureMaps, title: str) -> Figure:
    """Return the CT slice with the most of the lesion, and each map on it.

    Parameters
    ----------
    maps : FeatureMaps
        The maps; the first `MOST_MAPS` are drawn.
    title : str
        The lesion's name.
    """
    names = list(maps.values)[:MOST_MAPS]
    lesion, box = maps.lesion, maps.lesion.box
    k = int(np.argmax(lesion.voxels_zyx.sum(axis=(1, 2))))
    spacing_x, spacing_y, _ = lesion.geometry.spacing_mm
    margin = (int(np.ceil(_CONTEXT_MM / spacing_x)), int(np.ceil(_CONTEXT_MM / spacing_y)), 0)
    around = box.padded(margin, lesion.geometry.size)
    inner = box.seen_from(around)
    hu = sitk.GetArrayViewFromImage(maps.image)[around.slices_zyx][k]
    inside = np.zeros(hu.shape, dtype=bool)
    inside[inner.slices_zyx[1:]] = lesion.voxels_zyx[k]
    rows = -(-(len(names) + 1) // _COLUMNS)
    columns = min(_COLUMNS, len(names) + 1)
    figure = Figure(figsize=(3.1 * columns, 3.1 * rows + 0.5), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left_out = len(maps.values) - len(names)
    more = f"; {left_out} more maps are not drawn" if left_out else ""
    figure.suptitle(plain_text(f"{title}, radius {maps.radius} voxels, slice {box.lower[2] + k}{more}"), fontsize=10)
    grid: NDArray[np.object_] = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    aspect = spacing_y / spacing_x
    borders = voxel_borders(inside) - 0.5
    _show_ct(grid[0], hu, borders, aspect)
    of_slice = _in_slice(lesion.voxels_zyx, k)
    for axes, name in zip(grid[1:], names, strict=False):
        pixels = np.full(hu.shape, np.nan)
        pixels[inside] = maps.values[name][of_slice]
        _show_ct(axes, hu, borders, aspect)
        drawn = axes.imshow(np.ma.masked_invalid(pixels), cmap=_COLOURS, aspect=aspect, interpolation="nearest")
        axes.set_title(plain_text(name), fontsize=7)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.8)
        bar.ax.tick_params(labelsize=6)
    grid[0].set_title("CT (HU, -160 to 240)", fontsize=7)
    for axes in grid:
        axes.set_axis_off()
    return figure


def _in_slice(voxels_zyx: NDArray[np.bool_], k: int) -> slice:
    """Return which of a lesion's voxels, in array order, are those of a slice."""
    before = int(voxels_zyx[:k].sum())
    return slice(before, before + int(voxels_zyx[k].sum()))


def _show_ct(axes: Axes, hu: NDArray[np.generic], borders: NDArray[np.float64], aspect: float) -> None:
    axes.imshow(hu, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=aspect)
    lines: Sequence[NDArray[np.float64]] = list(borders)
    axes.add_collection(LineCollection(lines, colors=CONTOUR_COLOUR, linewidths=0.9))
