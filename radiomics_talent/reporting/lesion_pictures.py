"""A lesion in three still pictures, as the pages of `check` and of an extraction show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from radiomics_talent.reporting.figures import draw_lesion
from radiomics_talent.reporting.html import jpeg_uri

if TYPE_CHECKING:
    import SimpleITK as sitk
    from markupsafe import Markup

_PLANE_HINTS = {
    "axial": "seen from the feet",
    "coronal": "seen from the front",
    "sagittal": "seen from the patient's left side, anterior to the left",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One slice through a lesion.

    Attributes
    ----------
    plane, hint : str
        'axial', 'coronal' or 'sagittal', and from where it is seen.
    uri : Markup
        ``data:`` address.
    alt : str
        What is seen.
    """

    plane: str
    hint: str
    uri: Markup
    alt: str


def lesion_pictures(lesion_key: str, image: sitk.Image, mask: sitk.Image) -> tuple[Picture, ...]:
    """Return axial, coronal and sagittal slices through a lesion; none where the mask is empty.

    Parameters
    ----------
    lesion_key : str
        ``patient_id/lesion_id``.
    image, mask : SimpleITK.Image
        Scan in HU, and lesion (not 0) on its grid.
    """
    return tuple(
        Picture(
            view.plane,
            _PLANE_HINTS[view.plane],
            jpeg_uri(view.figure),
            f"{view.plane} CT slice through the centre of lesion {lesion_key}, its contour in yellow, "
            f"scale bar {view.scale_mm} mm",
        )
        for view in draw_lesion(image, mask)
    )
