"""The IBSI chain in the words of a methods section and of the IBSI's reporting guidelines: a phrase each.

Every function takes the section ``ibsi`` of an extraction's settings; `section_of` reads it out of a record. Codes are
those of the IBSI reference manual v11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from radiomics_talent.feature_dictionary import DIRECTED, UNDIRECTED
from radiomics_talent.ibsi_settings import IbsiSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from radiomics_talent.ibsi_settings import InterpolationSettings

IMAGE_TYPES = "Original (no filter)"
"""IBSI 1 defines no filter, and the chain has none."""
_WRITTEN = {
    "glcm": "GLCM",
    "glrlm": "GLRLM",
    "glszm": "GLSZM",
    "gldzm": "GLDZM",
    "ngtdm": "NGTDM",
    "gldm": "NGLDM (gldm)",
}
_OVER_DIRECTIONS = {
    "2D_avg": "in 2D, averaged over slices and directions (BTW3)",
    "2D_comb": "in 2D, directions merged in each slice and slices averaged (SUJT)",
    "2_5D_avg": "in 2.5D, slices merged by direction and directions averaged (JJUI)",
    "2_5D_comb": "in 2.5D, all slices and directions merged (ZW7Z)",
    "3D_avg": "in 3D, averaged over directions (ITBB)",
    "3D_comb": "in 3D, all directions merged (IAZD)",
}
_OVER_SLICES = {
    "2D": "in 2D, averaged over slices (8QNN)",
    "2_5D": "in 2.5D, slices merged (62GR)",
    "3D": "in 3D (KOBO)",
}
_INTERPOLATORS = {"linear": "linear", "cubic-spline": "cubic B-spline", "nearest": "nearest neighbour"}
_GRIDS = {"centre": "the grids' centres aligned", "corner": "the grids' first corners aligned"}
_IN_2D, _IN_3D = "8 neighbours in 2D", "26 in 3D"


def section_of(extraction: Mapping[str, Any]) -> IbsiSettings | None:
    """Return the section ``ibsi`` of an extraction's settings as plain data; None for PyRadiomics' chain.

    Raises
    ------
    pydantic.ValidationError
        This version does not know the settings.
    """
    ibsi = extraction.get("ibsi")
    return None if ibsi is None else IbsiSettings.model_validate(ibsi)


def engine(ibsi: IbsiSettings) -> str:
    """Return which software it was, how a reader can check it, and where image processing is not the IBSI's."""
    departs = departures(ibsi)
    if not departs:
        told = "compliant with the consensus values: `radiomics-talent ibsi`"
    else:
        told = (
            "features as IBSI 1 defines them, which `radiomics-talent ibsi` checks; image processing departs: "
            f"{', '.join(departs)}"
        )
    return f"IBSI 1 features of radiomics-talent ({told})"


def departures(ibsi: IbsiSettings) -> tuple[str, ...]:
    """Return where interpolation is not that of the IBSI's configurations (VTM2); nothing where it is."""
    asked = ibsi.interpolation
    if asked is None:
        return ()
    departs = {
        _GRIDS[asked.grid]: asked.grid != "centre",
        "intensities not rounded to whole HU": not asked.round_hu,
        f"masks by {_INTERPOLATORS[asked.mask_interpolator]} interpolation": asked.mask_interpolator != "linear",
        f"mask voxels from a fraction of {asked.mask_threshold:g} on": asked.mask_threshold != 0.5,
    }
    return tuple(told for told, holds in departs.items() if holds)


def interpolation(ibsi: IbsiSettings) -> str:
    """Return how image and mask came onto another grid (VTM2)."""
    asked = ibsi.interpolation
    if asked is None:
        return "images and masks were not interpolated"
    rounded = "rounded to whole HU" if asked.round_hu else "not rounded"
    kept = "; 0 keeps an axis as it is" if 0 in asked.spacing_mm else ""
    return (
        f"images were interpolated to {_spacing(asked)} mm by {_INTERPOLATORS[asked.interpolator]} interpolation, "
        f"{_GRIDS[asked.grid]}, and {rounded}; masks by {_INTERPOLATORS[asked.mask_interpolator]} interpolation, "
        f"voxels counted from a fraction of {asked.mask_threshold:g} on{kept}"
    )


def resegmentation(ibsi: IbsiSettings) -> str:
    """Return which intensities of a lesion counted (IF9H)."""
    asked = ibsi.resegmentation
    low, high = asked.range_hu or (None, None)
    kept = [_span(low, high)] if low is not None or high is not None else []
    if asked.outliers_sd is not None:
        kept.append(f"within {asked.outliers_sd:g} standard deviations of the lesion's mean")
    if not kept:
        return "lesions were not re-segmented by intensity"
    span = " and ".join(kept)
    return f"intensities {span} were kept in the intensity mask; the morphological mask kept the lesion whole"


def discretisation(ibsi: IbsiSettings) -> str:
    """Return how grey levels were made (4R0B), and those of the intensity-volume histogram where there is one."""
    asked = ibsi.discretisation
    if asked is None:
        levels = "none made, intensities were levels"
    elif asked.bin_count is not None:
        levels = f"fixed bin number of {asked.bin_count} between the lesion's own lowest and highest intensity (K15C)"
    else:
        levels = f"fixed bin size of {asked.bin_width:g} HU from {ibsi.lowest_of(asked):g} HU on (Q3RU)"
    told = [f"grey levels: {levels}"]
    if _has(ibsi, "ivh"):
        told.append(f"intensity-volume histogram: {_volume_levels(ibsi)}")
    return "; ".join(told)


def texture(ibsi: IbsiSettings) -> str:
    """Return how texture matrices were merged, with the IBSI's codes."""
    told = [
        f"{_listed(names)} {' and '.join(ways)}"
        for names, ways in ((_matrices(ibsi, DIRECTED), _directed(ibsi)), (_matrices(ibsi, UNDIRECTED), _flat(ibsi)))
        if names
    ]
    return f"texture: {'; '.join(told)}" if told else "no texture matrices were computed"


def smallest_lesion(ibsi: IbsiSettings) -> str:
    """Return which lesions were too small; empty where none is."""
    least = ibsi.minimum_voxels
    return f"lesions of fewer than {least} voxels after that were refused" if least > 1 else ""


def voxel_size(ibsi: IbsiSettings) -> str:
    """Return the new voxels."""
    asked = ibsi.interpolation
    return "not interpolated: the scan's own voxels" if asked is None else f"{_spacing(asked)} mm"


def _when_interpolated(words_of: Callable[[InterpolationSettings], str]) -> Callable[[IbsiSettings], str]:
    def told(ibsi: IbsiSettings) -> str:
        asked = ibsi.interpolation
        return "not applicable: not interpolated" if asked is None else words_of(asked)

    return told


def _grid_size(asked: InterpolationSettings) -> str:
    whole = "rounded up" if asked.grid == "centre" else "rounded"
    return f"the scan's extent along each axis divided by the new spacing, {whole}; computed around the lesion alone"


def _extrapolation(asked: InterpolationSettings) -> str:
    border = "mirrored" if asked.interpolator == "cubic-spline" else "its outermost voxels continued"
    return f"no point lies outside of the scan; between its outermost voxel centres and its edge: {border}"


def _first_bin(ibsi: IbsiSettings) -> str:
    asked = ibsi.discretisation
    if asked is None:
        return "not applicable: intensities were levels"
    if asked.bin_count is not None:
        return "the lesion's own lowest intensity (fixed bin number)"
    return f"from {ibsi.lowest_of(asked):g} HU on, in every lesion"


def _symmetry(ibsi: IbsiSettings) -> str:
    return "symmetric" if _has(ibsi, "glcm") else "not applicable: no GLCM"


def _distances(ibsi: IbsiSettings) -> str:
    names = _matrices(ibsi, ("glcm", "ngtdm", "gldm"))
    return "neighbours at distance 1 (Chebyshev, in voxels)" if names else "not applicable: no such matrix"


def _zone_linkage(ibsi: IbsiSettings) -> str:
    linked = f"Chebyshev distance 1 ({_IN_2D}, {_IN_3D})"
    return f"GLSZM: {linked}" if _has(ibsi, "glszm") else "not applicable: no size zone matrix"


def _distance_zones(ibsi: IbsiSettings) -> str:
    if not _has(ibsi, "gldzm"):
        return "not applicable: no distance zone matrix"
    return (
        f"GLDZM: zones linked at Chebyshev distance 1 ({_IN_2D}, {_IN_3D}); distance to the border of the "
        "morphological mask by the Manhattan norm"
    )


def _coarseness(ibsi: IbsiSettings) -> str:
    return "NGLDM: 0" if _has(ibsi, "gldm") else "not applicable: no NGLDM"


EVIDENCE: dict[str, Callable[[IbsiSettings], str]] = {
    "anti_aliasing": _when_interpolated(lambda _: "no filter against aliasing before interpolation"),
    "grid_position": _when_interpolated(lambda asked: _GRIDS[asked.grid]),
    "grid_size": _when_interpolated(_grid_size),
    "extrapolation": _when_interpolated(_extrapolation),
    "rounding": _when_interpolated(lambda asked: "to the nearest whole HU" if asked.round_hu else "none"),
    "mask_interpolation": _when_interpolated(lambda asked: _INTERPOLATORS[asked.mask_interpolator]),
    "partial_voxels": _when_interpolated(lambda asked: f"counted from a fraction of {asked.mask_threshold:g} on"),
    "voxel_size": voxel_size,
    "first_bin": _first_bin,
    "matrix_aggregation": texture,
    "distance_weighting": lambda _: "no weighting",
    "symmetry": _symmetry,
    "distances": _distances,
    "zone_linkage": _zone_linkage,
    "distance_zones": _distance_zones,
    "coarseness": _coarseness,
}
"""Evidence for items of checklists, by the name that the item lists call it by."""


def _volume_levels(ibsi: IbsiSettings) -> str:
    asked = ibsi.ivh_discretisation
    low, high = ibsi.resegmentation.range_hu or (None, None)
    if asked is None:
        ends = ("the lesion's lowest" if low is None else f"{low:g}", "its highest" if high is None else f"{high:g} HU")
        return f"every whole HU a level, from {' to '.join(ends)}"
    if asked.bin_count is not None:
        return f"{asked.bin_count} levels between the lesion's own lowest and highest intensity"
    end = "on" if high is None else f"to {high:g} HU"
    return f"levels of {asked.bin_width:g} HU from {ibsi.lowest_of(asked):g} HU {end}"


def _spacing(asked: InterpolationSettings) -> str:
    return " × ".join(f"{s:g}" for s in asked.spacing_mm)


def _span(low: float | None, high: float | None) -> str:
    if high is None:
        return f"from {low:g} HU up"
    return f"up to {high:g} HU" if low is None else f"from {low:g} to {high:g} HU"


def _has(ibsi: IbsiSettings, feature_class: str) -> bool:
    return ibsi.features is None or feature_class in ibsi.features


def _matrices(ibsi: IbsiSettings, classes: tuple[str, ...]) -> list[str]:
    return [_WRITTEN[name] for name in classes if _has(ibsi, name)]


def _directed(ibsi: IbsiSettings) -> list[str]:
    return [_OVER_DIRECTIONS[name] for name in ibsi.aggregation]


def _flat(ibsi: IbsiSettings) -> list[str]:
    return [_OVER_SLICES[name] for name in ibsi.plane_aggregation]


def _listed(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
