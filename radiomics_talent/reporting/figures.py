"""Results to matplotlib figures; nothing is computed here that ends in a table, and no global state is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from radiomics_talent.imaging.geometry import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WINDOW_HU = (-160.0, 240.0)
"""Soft tissue: width 400, level 40 HU."""
CONTOUR_COLOUR = "#ffd60a"
"""Yellow stands out from every grey of the window, also for the colour-blind."""
SIDE_PX = 320
"""Side of a picture in pixels."""
_CONTEXT_MM = 22.0
"""Least tissue shown around the lesion on every side."""
_DPI = 100
_SCALES_MM = (5, 10, 20, 50, 100)
_HALO = withStroke(linewidth=2.5, foreground="black")


@dataclass(frozen=True, slots=True)
class LesionView:
    """One slice through a lesion.

    Attributes
    ----------
    plane : str
        'axial', 'coronal' or 'sagittal'.
    figure : matplotlib.figure.Figure
        Square picture.
    scale_mm : int
        Length of the scale bar.
    """

    plane: str
    figure: Figure
    scale_mm: int


@dataclass(frozen=True, slots=True)
class _Plane:
    """How a plane is cut from a (z, y, x) array in LPS order, and how it is shown."""

    name: str
    across: int  # array axis from left to right of the picture
    down: int  # array axis from top to bottom
    upwards: bool  # the array axis `down` grows towards the top
    letters: tuple[str, str, str, str]  # left, right, top, bottom


# Radiological convention: the patient is seen from the feet and from the front; sagittal looks to the left.
_PLANES = (
    _Plane("axial", across=2, down=1, upwards=False, letters=("R", "L", "A", "P")),
    _Plane("coronal", across=2, down=0, upwards=True, letters=("R", "L", "S", "I")),
    _Plane("sagittal", across=1, down=0, upwards=True, letters=("A", "P", "S", "I")),
)


def draw_lesion(image: sitk.Image, mask: sitk.Image) -> tuple[LesionView, ...]:
    """Draw three orthogonal slices through a lesion with its contour, all to one scale.

    The slices follow the scan's own grid, turned so that each is the plane nearest to its name. The contour runs
    along the borders of voxels: it shows exactly the voxels that count.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan in HU.
    mask : SimpleITK.Image
        The lesion (not 0) on the same grid.

    Returns
    -------
    tuple of LesionView
        Axial, coronal and sagittal; empty when the mask is.
    """
    box = Box.around(sitk.GetArrayViewFromImage(mask) != 0)
    if box is None:
        return ()
    extent = max(n * s for n, s in zip(box.size, image.GetSpacing(), strict=True))
    half_mm = extent / 2 + max(_CONTEXT_MM, 0.3 * extent)
    x, y, z = (int(np.ceil((half_mm - n * s / 2) / s)) + 1 for n, s in zip(box.size, image.GetSpacing(), strict=True))
    region = box.padded((x, y, z), image.GetSize())
    # Only the crop is turned: a view of the whole scan would copy it.
    hu_image, lesion_image = (sitk.DICOMOrient(region.cut(v), "LPS") for v in (image, mask))
    hu, lesion = sitk.GetArrayFromImage(hu_image), sitk.GetArrayFromImage(lesion_image) != 0
    spacing_zyx = hu_image.GetSpacing()[::-1]
    voxels = np.argwhere(lesion)
    # The voxel nearest to the centroid: the centroid of a bent lesion may lie outside of it.
    offsets = (voxels - voxels.mean(axis=0)) * spacing_zyx
    through = voxels[np.argmin((offsets**2).sum(axis=1))]
    middle = (voxels.min(axis=0) + voxels.max(axis=0)) / 2
    views = []
    for plane in _PLANES:
        figure, axes = _empty_picture()
        scale_mm = max((s for s in _SCALES_MM if s <= half_mm * 0.7), default=_SCALES_MM[0])
        _show_plane(axes, plane, hu, lesion, through=through, middle=middle, spacing_zyx=spacing_zyx)
        _mark(axes, plane, half_mm, scale_mm)
        views.append(LesionView(plane.name, figure, scale_mm))
    return tuple(views)


def empty_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a white figure of a size in inches, with axes that have no top and no right spine."""
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain_text(name: str) -> str:
    """Return a name that matplotlib does not take for a formula: it may come from somebody's header."""
    return name.replace("$", r"\$")


def _empty_picture() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SIDE_PX / _DPI, SIDE_PX / _DPI), dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    return figure, axes


def _show_plane(
    axes: Axes,
    plane: _Plane,
    hu: NDArray[np.generic],
    lesion: NDArray[np.bool_],
    *,
    through: NDArray[np.int64],
    middle: NDArray[np.float64],
    spacing_zyx: tuple[float, ...],
) -> None:
    normal = 3 - plane.across - plane.down
    pixels, inside = (np.take(v, through[normal], axis=normal) for v in (hu, lesion))
    rows, columns = pixels.shape
    step_x, step_y = spacing_zyx[plane.across], spacing_zyx[plane.down]
    if plane.upwards:
        pixels, inside = pixels[::-1], inside[::-1]
        middle_row = rows - 1 - middle[plane.down]
    else:
        middle_row = middle[plane.down]
    left, top = -(middle[plane.across] + 0.5) * step_x, -(middle_row + 0.5) * step_y
    axes.imshow(
        pixels,
        cmap="gray",
        vmin=WINDOW_HU[0],
        vmax=WINDOW_HU[1],
        interpolation="bilinear",
        extent=(left, left + columns * step_x, top + rows * step_y, top),
        aspect="equal",
    )
    lines = voxel_borders(inside) * (step_x, step_y) + (left, top)
    axes.add_collection(LineCollection(list(lines), colors=CONTOUR_COLOUR, linewidths=1.3, capstyle="projecting"))


def voxel_borders(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the edges between pixels in and out, shape (n, 2, 2), in (column, row) from the corner."""
    padded = np.pad(inside, 1)
    row, column = np.nonzero(padded[:, 1:] != padded[:, :-1])
    upright = np.stack([np.stack([column, row - 1], axis=1), np.stack([column, row], axis=1)], axis=1)
    row, column = np.nonzero(padded[1:] != padded[:-1])
    level = np.stack([np.stack([column - 1, row], axis=1), np.stack([column, row], axis=1)], axis=1)
    return np.concatenate([upright, level]).astype(np.float64)


def _mark(axes: Axes, plane: _Plane, half_mm: float, scale_mm: int) -> None:
    """Add scale bar and the letters of the patient's sides."""
    # imshow has set the limits to the crop; all three planes keep one scale.
    axes.set_xlim(-half_mm, half_mm)
    axes.set_ylim(half_mm, -half_mm)
    inset = 0.055
    places = ((inset, 0.5), (1 - inset, 0.5), (0.5, 1 - inset), (0.5, inset))
    for letter, (x, y) in zip(plane.letters, places, strict=True):
        axes.text(
            x, y, letter, transform=axes.transAxes, color="white", fontsize=9, weight="bold", ha="center", va="center",
            path_effects=[_HALO],
        )  # fmt: skip
    start, level = -half_mm * (1 - 2 * inset), half_mm * (1 - 2 * inset)
    axes.plot(
        [start, start + scale_mm], [level, level], color="white", linewidth=2, solid_capstyle="butt",
        path_effects=[withStroke(linewidth=4, foreground="black")],
    )  # fmt: skip
    axes.text(
        start, level - half_mm * 0.035, f"{scale_mm} mm", color="white", fontsize=8, ha="left", va="bottom",
        path_effects=[_HALO],
    )  # fmt: skip
