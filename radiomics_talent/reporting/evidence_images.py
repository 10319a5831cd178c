"""Evidence for items of checklists about scans, lesions and features: a phrase each, empty where no record says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiomics_talent.reporting import ibsi_words
from radiomics_talent.reporting import settings_words as words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from radiomics_talent.reporting.study_facts import StudyFacts

    Evidence = Callable[[StudyFacts], str]


def imaging(facts: StudyFacts) -> str:
    """Tell of scans by phase, kernel and manufacturer, and their slice thickness."""
    told = [phase(facts), kernels(facts), vendors(facts), thickness(facts)]
    if facts.run is None:
        return ""
    return "; ".join([f"{facts.run.scans} CT scans", *(t for t in told if t)])


def phase(facts: StudyFacts) -> str:
    """Tell of contrast phases of the scans."""
    return _levels(facts, "contrast_phase", "scans by contrast phase")


def kernels(facts: StudyFacts) -> str:
    """Tell of kernels of the scans."""
    return _levels(facts, "kernel", "scans by kernel")


def vendors(facts: StudyFacts) -> str:
    """Tell of manufacturers of the scans."""
    return _levels(facts, "manufacturer", "scans by manufacturer")


def centres(facts: StudyFacts) -> str:
    """Tell of sites of the scans."""
    return _levels(facts, "site", "scans by site")


def thickness(facts: StudyFacts) -> str:
    """Tell of slice thickness of the scans."""
    if facts.run is None or not facts.run.thickness_mm:
        return ""
    low, high = facts.run.thickness_mm
    return f"slice thickness {low:g} mm" if low == high else f"slice thickness {low:g} to {high:g} mm"


def modality(facts: StudyFacts) -> str:
    """Tell what was scanned with."""
    return "CT" if facts.run is not None else ""


def uniparametric(facts: StudyFacts) -> str:
    """Tell of one imaging technique."""
    phases = "" if facts.run is None else phase(facts)
    return f"CT alone; {phases}" if phases else ""


def _levels(facts: StudyFacts, column: str, what: str) -> str:
    levels = {} if facts.run is None else facts.run.levels.get(column, {})
    return f"{what}: {words.counted(levels)}" if levels else ""


def _not_applicable(facts: StudyFacts) -> str:
    return "not applicable: CT" if facts.run is not None else ""


def no_registration(facts: StudyFacts) -> str:
    """Tell of registration of modalities."""
    return "not applicable: one modality, and no registration by this program" if facts.run is not None else ""


def segmentation(facts: StudyFacts) -> str:
    """Tell what is known of lesions and masks."""
    extraction, run = facts.model.extraction, facts.run
    if extraction is None:
        return ""
    lesions = [f"{run.lesions} lesions of {run.patients} patients"] if run else []
    parts = f"lesions of several parts: {extraction['mask']['components']}"
    level = facts.model.settings.level
    joined = f"lesions aggregated to the patient by {words.aggregation(facts.model.settings)}"
    return "; ".join([*lesions, parts, joined if level == "patient" else "a row of the model is a lesion"])


def rasterisation(facts: StudyFacts) -> str:
    """Tell how contours became voxels."""
    if facts.model.extraction is None:
        return ""
    fraction = facts.model.extraction["mask"]["seg_fraction_threshold"]
    return (
        "contours (RTSTRUCT): a voxel belongs to the lesion when its centre lies inside by the even-odd rule; "
        f"fractional SEG: from a fraction of {fraction:g} on"
    )


def _extraction(words_of: Callable[[Mapping[str, Any]], str], otherwise: str = "") -> Evidence:
    """Return evidence from the settings of the extraction; none where they are not known."""

    def told(facts: StudyFacts) -> str:
        return "" if facts.model.extraction is None else words_of(facts.model.extraction) or otherwise

    return told


def _by_chain(name: str, of_pyradiomics: Callable[[Mapping[str, Any]], str]) -> Evidence:
    """Return evidence that is another for the IBSI chain, where `ibsi_words` has it by the same name."""
    of_ibsi = ibsi_words.EVIDENCE[name]

    def told(extraction: Mapping[str, Any]) -> str:
        ibsi = ibsi_words.section_of(extraction)
        return of_pyradiomics(extraction) if ibsi is None else of_ibsi(ibsi)

    return _extraction(told)


def _image_processing(extraction: Mapping[str, Any]) -> str:
    normalised = words.normalisation(extraction)
    parts = [
        words.resampling(extraction),
        normalised,
        words.resegmentation(extraction),
        words.discretisation(extraction),
    ]
    return "; ".join(p for p in parts if p)


def _parameters(extraction: Mapping[str, Any]) -> str:
    return (
        f"{_image_processing(extraction)}; {words.texture(extraction)}; image types {words.image_types(extraction)}; "
        f"every parameter is in model.yaml ({_section(extraction)})"
    )


def _section(extraction: Mapping[str, Any]) -> str:
    return "extraction.ibsi" if extraction.get("ibsi") else "extraction"


def _voxel_size(extraction: Mapping[str, Any]) -> str:
    spacing = extraction["setting"]["resampledPixelSpacing"]
    return f"{' × '.join(f'{s:g}' for s in spacing)} mm" if spacing else "not resampled: the scan's own voxels"


def _grid(when_resampled: str) -> Callable[[Mapping[str, Any]], str]:
    def told(extraction: Mapping[str, Any]) -> str:
        setting = extraction["setting"]
        resampled = setting["resampledPixelSpacing"] and setting["interpolator"] is not None
        return when_resampled.format(pad=setting["padDistance"]) if resampled else "not applicable: not resampled"

    return told


def _first_bin(extraction: Mapping[str, Any]) -> str:
    if extraction["setting"]["binCount"]:
        return "not applicable: fixed bin number"
    return "the largest multiple of the bin width that is not above the lesion's lowest value (as PyRadiomics does)"


def _matrix_aggregation(extraction: Mapping[str, Any]) -> str:
    norm = extraction["setting"]["weightingNorm"]
    space = "2D, slice by slice" if extraction["setting"]["force2D"] else "3D"
    how = (
        f"GLCM and GLRLM of all directions merged, weighted ({norm})"
        if norm
        else ("GLCM and GLRLM features computed for each direction and averaged")
    )
    return f"{space}; {how}"


def _distance_weighting(extraction: Mapping[str, Any]) -> str:
    return f"weightingNorm: {extraction['setting']['weightingNorm'] or 'no weighting'}"


def _symmetry(extraction: Mapping[str, Any]) -> str:
    return "symmetric" if extraction["setting"]["symmetricalGLCM"] else "asymmetric"


def _distances(extraction: Mapping[str, Any]) -> str:
    told = ", ".join(f"{d:g}" for d in extraction["setting"]["distances"])
    return f"neighbours at distance {told} (Chebyshev, in voxels)"


def _coarseness(extraction: Mapping[str, Any]) -> str:
    return f"gldm_a {extraction['setting']['gldm_a']}"


def _zone_linkage(extraction: Mapping[str, Any]) -> str:
    neighbours = 8 if extraction["setting"]["force2D"] else 26
    return f"GLSZM: Chebyshev distance 1 ({neighbours} neighbours)"


def extraction_method(facts: StudyFacts) -> str:
    """Tell which software computed the features."""
    if facts.model.extraction is None:
        return ""
    engine = words.engine(facts.model.extraction, facts.run.versions if facts.run else {})
    if facts.model.extraction.get("ibsi"):
        return f"{engine}, version {facts.program}; {words.texture(facts.model.extraction)}"
    return f"{engine} within radiomics-talent {facts.program}; {words.texture(facts.model.extraction).split(',')[0]}"


def feature_classes(facts: StudyFacts) -> str:
    """Tell of columns by class."""
    classes = words.feature_classes(facts.model.columns["radiomics"])
    return "; ".join(f"{name}: {n}" for name, n in classes.items())


def feature_number(facts: StudyFacts) -> str:
    """Tell how many columns of features there are."""
    final = len(facts.model.facts["weights"])
    return f"{len(facts.model.columns['radiomics'])} radiomic columns entered; {final} columns reach the final model"


def defaults(facts: StudyFacts) -> str:
    """Tell where every parameter is."""
    if facts.model.extraction is None:
        return ""
    return f"every parameter, those at their default included, is in model.yaml ({_section(facts.model.extraction)})"


def ibsi_compliance(facts: StudyFacts) -> str:
    """Tell what can be said of IBSI compliance."""
    method = extraction_method(facts)
    ibsi = ibsi_words.section_of(facts.model.extraction or {})
    if ibsi is not None:
        return (
            f"{ibsi_words.engine(ibsi)}, version {facts.program}: the command compares features with their consensus "
            "values on the digital and the CT phantom; whether it was run for this study is the author's to say"
        )
    return (
        f"{method}; its documentation names where it differs from IBSI; no benchmark was run for this study"
        if method
        else ""
    )


_OF_PYRADIOMICS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "anti_aliasing": _grid("no filter against aliasing before resampling"),
    "grid_position": _grid("aligned with the corner of the mask's image, as PyRadiomics does"),
    "grid_size": _grid("the lesion's box rounded outwards to whole voxels, with {pad} voxels around it"),
    "extrapolation": _grid("0 outside of the scan"),
    "rounding": _grid("the scan's pixel type is kept: whole HU stay whole (truncated)"),
    "mask_interpolation": _grid("nearest neighbour"),
    "partial_voxels": _grid("none: nearest neighbour gives whole voxels"),
    "voxel_size": _voxel_size,
    "first_bin": _first_bin,
    "matrix_aggregation": _matrix_aggregation,
    "distance_weighting": _distance_weighting,
    "symmetry": _symmetry,
    "distances": _distances,
    "zone_linkage": _zone_linkage,
    "distance_zones": lambda _: "not applicable: no distance zone matrix",
    "coarseness": _coarseness,
}
EVIDENCE: dict[str, Evidence] = {
    "imaging": imaging,
    "phase": phase,
    "kernels": kernels,
    "vendors": vendors,
    "centres": centres,
    "thickness": thickness,
    "modality": modality,
    "uniparametric": uniparametric,
    "not_pet": _not_applicable,
    "not_mri": _not_applicable,
    "no_registration": no_registration,
    "segmentation": segmentation,
    "rasterisation": rasterisation,
    "image_processing": _extraction(_image_processing),
    "extraction_parameters": _extraction(_parameters),
    "resampling": _extraction(words.resampling),
    "discretisation": _extraction(words.discretisation),
    "image_types": _extraction(words.image_types),
    "resegmentation": _extraction(words.resegmentation),
    "normalisation": _extraction(words.normalisation, "none"),
    "conversions": _extraction(lambda _: "none by this program: values are HU"),
    "no_noise_suppression": _extraction(lambda _: "none by this program"),
    "other_processing": _extraction(lambda e: f"image types {words.image_types(e)}; nothing else by this program"),
    **{name: _by_chain(name, words_of) for name, words_of in _OF_PYRADIOMICS.items()},
    "extraction_method": extraction_method,
    "feature_classes": feature_classes,
    "feature_number": feature_number,
    "defaults": defaults,
    "ibsi_compliance": ibsi_compliance,
}
"""Evidence by the name that the item lists call it by."""
