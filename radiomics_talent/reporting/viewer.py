"""The interactive slice viewer of a page: a lesion's surroundings as plain JSON, and the script that shows them."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from markupsafe import Markup

from radiomics_talent.imaging.geometry import Box, Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PX = 192
"""Most voxels across and down."""
MOST_SLICES = 96
_FORMAT = 1
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class ViewerAssets:
    """What a page needs once, however many viewers it has; `page.html.j2` takes it as ``assets``.

    Attributes
    ----------
    script, style : Markup
        Content of a script and of a style element.
    script_hash : Markup
        Source for ``script-src`` that allows this script and no other.
    """

    script: Markup
    style: Markup
    script_hash: Markup


def viewer_assets() -> ViewerAssets:
    """Return script, its hash and style for `page.html.j2`."""
    # All three are our own files.
    return ViewerAssets(Markup(viewer_script()), Markup(viewer_style()), Markup(script_hash()))  # noqa: S704


def viewer_script() -> str:
    """Return the JavaScript that defines ``RadiomicsViewer``."""
    return own_file("viewer.js")


def viewer_style() -> str:
    """Return the style sheet of the viewer."""
    return own_file("viewer.css")


def script_hash() -> str:
    """Return the source of `viewer_script` for a Content-Security-Policy, with its quotes."""
    digest = hashlib.sha256(viewer_script().encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def viewer_volume(image: sitk.Image, mask: sitk.Image | None, *, context_mm: float = 25.0) -> dict[str, Any]:
    """Cut a lesion with its surroundings out of a scan, for the viewer.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan in HU.
    mask : SimpleITK.Image or None
        The lesion (not 0) on the same grid. Without one, or with an empty one, the whole scan is taken.
    context_mm : float
        Tissue around the lesion on every side.

    Returns
    -------
    dict
        Plain JSON. ``size`` and ``spacing_mm`` (x, y, z) of what is shown, axes in LPS order; ``z_mm`` of each
        slice's middle; ``start``, the slice with most of the lesion, from 0; ``thinning`` (x, y, z), of how many
        voxels one is kept; ``hu``, base64 of zlib-compressed little-endian int16 in (z, y, x) order, and ``mask``,
        the same of uint8, or null.
    """
    hu_image, mask_image = _cut(image, mask, context_mm)
    hu = sitk.GetArrayFromImage(hu_image)
    lesion = None if mask_image is None else sitk.GetArrayFromImage(mask_image) != 0
    areas = np.zeros(len(hu), np.int64) if lesion is None else np.count_nonzero(lesion, axis=(1, 2))
    largest = int(areas.argmax()) if areas.any() else len(hu) // 2
    kept = _kept(hu.shape, largest)
    z_mm = _heights(Geometry.of(hu_image))[kept[0]]
    shown = hu[kept]
    steps = [k.step for k in reversed(kept)]
    return {
        "format": _FORMAT,
        "size": list(shown.shape[::-1]),
        "spacing_mm": [float(s * n) for s, n in zip(hu_image.GetSpacing(), steps, strict=True)],
        "z_mm": [round(float(z), 3) for z in z_mm],
        "start": (largest - kept[0].start) // kept[0].step,
        "thinning": steps,
        "hu": _packed(_as_int16(shown)),
        "mask": None if lesion is None else _packed(lesion[kept].astype(np.uint8)),
    }


def volume_json(volume: dict[str, Any]) -> Markup:
    """Return a volume as the content of a ``<script type="application/json">`` element."""
    text = json.dumps(volume, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    # Nothing in it can end the element any more.
    return Markup(text)  # noqa: S704


def _cut(image: sitk.Image, mask: sitk.Image | None, context_mm: float) -> tuple[sitk.Image, sitk.Image | None]:
    box = None if mask is None else Box.around(sitk.GetArrayViewFromImage(mask) != 0)
    if mask is None or box is None:
        return sitk.DICOMOrient(image, "LPS"), None
    x, y, z = (int(np.ceil(context_mm / s)) for s in image.GetSpacing())
    region = box.padded((x, y, z), image.GetSize())
    # Only the crop is turned: a view of the whole scan would copy it.
    return sitk.DICOMOrient(region.cut(image), "LPS"), sitk.DICOMOrient(region.cut(mask), "LPS")


def _kept(shape_zyx: tuple[int, ...], largest: int) -> tuple[slice, slice, slice]:
    """Return which voxels are shown; the slice with most of the lesion is always among them."""
    n_z, n_y, n_x = shape_zyx
    in_plane = max(1, -(-max(n_y, n_x) // MOST_PX))
    through = max(1, -(-n_z // MOST_SLICES))
    return slice(largest % through, None, through), slice(0, None, in_plane), slice(0, None, in_plane)


def _heights(geometry: Geometry) -> NDArray[np.float64]:
    """Return the z coordinate in the patient of each slice's middle."""
    n_x, n_y, n_z = geometry.size
    middles = [((n_x - 1) / 2, (n_y - 1) / 2, k) for k in range(n_z)]
    return geometry.to_points(middles)[:, 2]


def _as_int16(hu: NDArray[Any]) -> NDArray[np.int16]:
    if hu.dtype.kind == "f":
        hu = np.rint(np.nan_to_num(hu, nan=_INT16.min))
    clipped: NDArray[np.int16] = np.clip(hu, _INT16.min, _INT16.max).astype("<i2")
    return clipped


def _packed(voxels: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(voxels).tobytes(), 6)).decode("ascii")


def own_file(name: str) -> str:
    """Return a script or style sheet that stands among the templates."""
    file = resources.files("radiomics_talent.reporting").joinpath("templates", name)
    # A browser hashes what its parser makes of the page, and that knows one kind of line end.
    return file.read_text(encoding="utf-8").replace("\r\n", "\n")
