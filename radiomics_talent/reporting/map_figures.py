"""Maps of a lesion beside its CT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from radiomics_talent.feature_dictionary import ColumnName, definition_of
from radiomics_talent.reporting.figures import CONTOUR_COLOUR, WINDOW_HU, plain_text, voxel_borders

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from radiomics_talent.features.maps import FeatureMaps

MOST_MAPS = 11
"""Maps that are drawn, beside the CT."""
_COLUMNS = 4
_CONTEXT_MM = 12.0
_COLOURS = "viridis"  # ascends in lightness too, so that it can be read in grey
_ENDS = (1.0, 99.0)  # percentiles: single voxels at the border would leave one colour for the rest


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """The axial slice with the most of the lesion, as radiologists see it."""

    values: NDArray[np.generic]
    which: NDArray[np.int32]  # number of the lesion's voxel in array order, -1 elsewhere
    aspect: float
    z_mm: float


def draw_maps(maps: FeatureMaps, title: str, *, in_hu: bool = True) -> Figure:
    """Return the CT slice with the most of the lesion, and each map on it.

    Colours span the 1st to the 99th percentile of the slice; what lies beyond has the colour of the end, and the scale
    an arrow.

    Parameters
    ----------
    maps : FeatureMaps
        The maps; the first `MOST_MAPS` are drawn.
    title : str
        The lesion's name.
    in_hu : bool
        Whether the image is in HU; otherwise (normalised) it has a window of its own, and maps have no unit of HU.
    """
    names = list(maps.values)[:MOST_MAPS]
    view = _largest_slice(maps)
    rows, columns = -(-(len(names) + 1) // _COLUMNS), min(_COLUMNS, len(names) + 1)
    figure = Figure(figsize=(3.1 * columns, 2.7 * rows + 0.5), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(plain_text(_headline(maps, title, view, len(maps.values) - len(names))), fontsize=10)
    panels: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).ravel())
    inside = view.values[view.which >= 0]
    window = WINDOW_HU if in_hu else (float(inside.min()), float(inside.max()))
    for panel in panels:
        panel.set_axis_off()
    for panel in panels[: len(names) + 1]:
        _show_slice(panel, view, window)
    what = "CT (HU)" if in_hu else "image (normalised)"
    panels[0].set_title(f"{what}, {window[0]:g} to {window[1]:g}", fontsize=7)
    for panel, name in zip(panels[1:], names, strict=False):
        _show_map(panel, view, maps.values[name])
        unit = _unit(name, in_hu=in_hu)
        panel.set_title(plain_text(f"{name} ({unit})" if unit else name), fontsize=7)
    return figure


def _headline(maps: FeatureMaps, title: str, view: _Slice, left_out: int) -> str:
    voxels = "1 voxel" if maps.radius == 1 else f"{maps.radius} voxels"
    more = f"; {left_out} more maps are not drawn" if left_out else ""
    return f"{title}: radius {voxels}, axial slice at z = {view.z_mm:.1f} mm{more}"


def _largest_slice(maps: FeatureMaps) -> _Slice:
    box, spacing = maps.lesion.box, maps.lesion.geometry.spacing_mm
    x, y, z = (int(np.ceil(_CONTEXT_MM / step)) for step in spacing)
    around = box.padded((x, y, z), maps.lesion.geometry.size)
    which = np.full(around.size[::-1], -1, dtype=np.int32)
    which[box.seen_from(around).slices_zyx][maps.lesion.voxels_zyx] = np.arange(maps.lesion.count, dtype=np.int32)
    numbers, image = sitk.GetImageFromArray(which), around.cut(maps.image)
    numbers.CopyInformation(image)
    # A scan may be stored along any axes; without this its picture would be turned or mirrored.
    numbers, image = (sitk.DICOMOrient(one, "LPS") for one in (numbers, image))
    which = sitk.GetArrayFromImage(numbers)
    k = int(np.argmax((which >= 0).sum(axis=(1, 2))))
    size, spacing = image.GetSize(), image.GetSpacing()
    centre = image.TransformContinuousIndexToPhysicalPoint(((size[0] - 1) / 2, (size[1] - 1) / 2, float(k)))
    return _Slice(sitk.GetArrayFromImage(image)[k], which[k], spacing[1] / spacing[0], centre[2])


def _show_slice(panel: Axes, view: _Slice, window: tuple[float, float]) -> None:
    panel.imshow(view.values, cmap="gray", vmin=window[0], vmax=window[1], aspect=view.aspect)
    borders = list(voxel_borders(view.which >= 0) - 0.5)
    panel.add_collection(LineCollection(borders, colors=CONTOUR_COLOUR, linewidths=0.9))


def _show_map(panel: Axes, view: _Slice, values: NDArray[np.float64]) -> None:
    inside = view.which >= 0
    pixels = np.full(view.which.shape, np.nan)
    pixels[inside] = values[view.which[inside]]
    defined = pixels[np.isfinite(pixels)]
    if not defined.size:
        panel.text(0.5, 0.5, "not defined", transform=panel.transAxes, color="white", ha="center", va="center")
        return
    low, high = np.percentile(defined, _ENDS)
    beyond = (bool(defined.min() < low), bool(defined.max() > high))
    drawn = panel.imshow(
        np.ma.masked_invalid(pixels), cmap=_COLOURS, vmin=low, vmax=high, aspect=view.aspect, interpolation="nearest"
    )
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]
    figure = panel.get_figure()
    assert figure is not None, "panels are made by a figure"
    bar = figure.colorbar(drawn, ax=panel, shrink=0.8, extend=extend)
    bar.ax.tick_params(labelsize=6)


def _unit(name: str, *, in_hu: bool) -> str:
    """Return the unit of a feature; a filtered image has none that is worth telling."""
    definition = definition_of(name)
    unit = definition.unit_on(ColumnName.parse(name).image_type, in_hu=in_hu) if definition else ""
    return unit if unit != "1" else ""
