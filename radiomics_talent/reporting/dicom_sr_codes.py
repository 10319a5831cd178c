"""What the numbers of a DICOM SR are called: IBSI codes of the features, UCUM units, and private codes for the rest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from radiomics_talent.extraction.column_dictionary import unit_of
from radiomics_talent.feature_dictionary import ColumnName, definition_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.feature_dictionary import FeatureDefinition
    from radiomics_talent.settings import ExtractionSettings

IBSI = "IBSI"
"""Coding scheme designator of the Image Biomarker Standardisation Initiative (DICOM PS3.16, table 8-1)."""
IBSI_UID = "1.2.840.10008.2.16.13"
PRIVATE = "99RADTALENT"
"""Coding scheme designator of this program: 99 begins what is private."""
SCHEME_VERSION = "1"
_LONGEST_MEANING = 64
# LongCodeValue would hold more, but highdicom's own reader fails on a group that has one.
_LONGEST_CODE = 16

UNITS = {
    "1": ("1", "no units"),
    "bit": ("bit", "bit"),
    "d": ("d", "day"),
    "%": ("%", "percent"),
    "ml": ("ml", "ml"),
    "mm": ("mm", "mm"),
    "mm2": ("mm2", "mm2"),
    "mm3": ("mm3", "mm3"),
    "mm-1": ("/mm", "per mm"),
    "HU": ("[hnsf'U]", "Hounsfield unit"),
    "HU mm3": ("[hnsf'U].mm3", "Hounsfield unit times mm3"),
    "HU2": ("[hnsf'U]2", "square Hounsfield unit"),
    "HU2 mm3": ("[hnsf'U]2.mm3", "square Hounsfield unit times mm3"),
    "arbitrary": ("[arb'U]", "arbitrary unit"),
}
"""Unit of the dictionary to UCUM code and meaning."""

PRIVATE_CODES = {
    "image-type": "Image type that the feature was computed on",
    "ivh-point": "Point of the intensity-volume histogram",
    "ivh-10": "10 %",
    "ivh-90": "90 %",
    "notice": "Intended use",
    "probability": "Predicted probability of response",
    "risk": "Predicted relative risk",
    "score-low": "Lower limit of the score's interval",
    "score-high": "Upper limit of the score's interval",
    "score-interval": "How the score's interval was found",
    "threshold": "Threshold of the score",
    "class": "Predicted class",
    "positive": "Positive: score at or above the threshold",
    "negative": "Negative: score below the threshold",
    "class-label": "Predicted class in words",
    "risk-group": "Risk group among the training patients",
    "event-free": "Predicted probability of no event until the horizon",
    "event-free-low": "Lower limit of the probability of no event",
    "event-free-high": "Upper limit of the probability of no event",
    "event-free-int": "How the interval of no event was found",
    "horizon": "Horizon of the prediction",
    "domain": "Case compared with the model's training",
    "inside": "Inside: like the training cases",
    "borderline": "Borderline: at the edge of the training cases",
    "outside": "Outside: unlike the training cases",
    "domain-reason": "How the case differs from the training",
    "domain-distance": "Robust distance from the training, selected features",
    "domain-farther": "Share of training patients that lay nearer",
    "outcome": "Outcome that the model predicts",
    "model": "Model",
    "difference": "Difference from the training's versions or settings",
    "elsewhere": "Lesion of the score that is not in this document",
    "alone": "Score if this were the patient's only lesion",
    "contribution": "Score less the score without this lesion",
    "absent": "Features without a value, left out",
}
"""Private code value to its meaning, where no standard code exists."""

# An IBSI code names a number; under it, these would be other numbers: PyRadiomics' kurtosis lacks IBSI's minus 3.
_NOT_AS_IBSI = frozenset({("firstorder", "Kurtosis")})
_FAMILIES = {
    "shape": "",
    "shape2D": "2D",
    "firstorder": "",
    "glcm": "GLCM",
    "glrlm": "GLRLM",
    "glszm": "GLSZM",
    "gldzm": "GLDZM",
    "gldm": "NGLDM",
    "ngtdm": "NGTDM",
    "localintensity": "",
    "histogram": "",
    "ivh": "IVH",
}
_AGGREGATIONS = {
    "2D_avg": ("BTW3", "2D, averaged"),
    "2D_comb": ("SUJT", "2D, slice-merged"),
    "2_5D_avg": ("JJUI", "2.5D, direction-merged"),
    "2_5D_comb": ("ZW7Z", "2.5D, merged"),
    "3D_avg": ("ITBB", "3D, averaged"),
    "3D_comb": ("IAZD", "3D, merged"),
    "2D": ("8QNN", "2D"),
    "2_5D": ("62GR", "2.5D"),
    "3D": ("KOBO", "3D"),
}
# The IBSI has one code for both points of its histogram's curve.
_POINTS = {
    ("ivh", "VolumeFraction10"): "ivh-10",
    ("ivh", "VolumeFraction90"): "ivh-90",
    ("ivh", "IntensityAtVolume10"): "ivh-10",
    ("ivh", "IntensityAtVolume90"): "ivh-90",
}


@dataclass(frozen=True, slots=True)
class FeatureConcept:
    """How one feature is coded.

    Attributes
    ----------
    name : CodedConcept
        IBSI code, or the feature's own name under the private scheme.
    unit : CodedConcept
        UCUM.
    modifiers : tuple of (CodedConcept, CodedConcept)
        What else tells features of one name apart, each as concept and value: the filtered image, the aggregation of
        the IBSI chain, the point of the intensity-volume histogram.
    """

    name: CodedConcept
    unit: CodedConcept
    modifiers: tuple[tuple[CodedConcept, CodedConcept], ...] = ()


def private(code: str) -> CodedConcept:
    """Return one of `PRIVATE_CODES`."""
    return CodedConcept(code, PRIVATE, PRIVATE_CODES[code])


def unit(name: str) -> CodedConcept:
    """Return the UCUM code of a unit of the dictionary."""
    value, meaning = UNITS[name]
    return CodedConcept(value, "UCUM", meaning)


def feature_concept(feature: str, settings: ExtractionSettings | None = None) -> FeatureConcept:
    """Return the codes of a feature.

    Parameters
    ----------
    feature : str
        A column's name: ``<image type>_<class>_<feature>``, with the aggregation in the class where it has another
        than PyRadiomics.
    settings : ExtractionSettings or None
        What it was computed with. In the IBSI chain, what PyRadiomics calls deprecated has its code, too, and the
        aggregation is a modifier. None where that is not known: then as PyRadiomics' chain, on an image in HU.

    Returns
    -------
    FeatureConcept
        Under the IBSI's code where the feature is on the original image, has one, and is the very number that the
        code stands for (the meaning says the aggregation); else under the private scheme, by ``<class>_<feature>``:
        whole up to 16 characters, longer ones by their first eight and a digest (the meaning says the name).
    """
    try:
        name = ColumnName.parse(feature)
    except ValueError:  # not a name of a feature: kept whole
        return FeatureConcept(_own(feature, feature), unit("1"))
    entry = definition_of(name)
    by_ibsi = settings is not None and settings.ibsi is not None
    # What a filter or normalisation leaves is no longer HU, and mostly no unit that has a name.
    of = unit((unit_of(name, settings) or "arbitrary") if entry else "1")
    modifiers = tuple(_modifiers(name, by_ibsi=by_ibsi))
    if entry and name.image_type == "original" and _is_as_ibsi(entry, by_ibsi=by_ibsi):
        return FeatureConcept(CodedConcept(entry.ibsi_code, IBSI, _meaning(entry, name)), of, modifiers)
    rest = feature.partition("_")[2]
    return FeatureConcept(_own(rest, rest.replace("_", " ", 1)), of, modifiers)


def _modifiers(name: ColumnName, *, by_ibsi: bool) -> Iterator[tuple[CodedConcept, CodedConcept]]:
    if name.image_type != "original":
        yield private("image-type"), _own(name.image_type, name.image_type)
    if by_ibsi and name.aggregation:
        code, meaning = _AGGREGATIONS[name.aggregation]
        yield CodedConcept("5QB6", IBSI, "Feature aggregation"), CodedConcept(code, IBSI, meaning)
    point = _POINTS.get((name.feature_class, name.feature))
    if point is not None:
        yield private("ivh-point"), private(point)


def coding_schemes() -> list[CodingSchemeIdentificationItem]:
    """Return the identification of both schemes that are not DICOM's own."""
    ibsi = CodingSchemeIdentificationItem(IBSI, name="Image Biomarker Standardisation Initiative")
    ibsi.CodingSchemeUID = IBSI_UID
    own = CodingSchemeIdentificationItem(
        PRIVATE,
        name="radiomics-talent private codes",
        version=SCHEME_VERSION,
        responsible_organization="The radiomics-talent developers",
    )
    return [ibsi, own]


def _own(code: str, meaning: str) -> CodedConcept:
    # Names from settings may hold what a code must not.
    clean = re.sub(r"[\\\x00-\x1f\x7f]", "_", code).strip() or "_"
    if len(clean) > _LONGEST_CODE:
        clean = f"{clean[:8]}-{hashlib.sha256(code.encode()).hexdigest()[:7]}"
    return CodedConcept(clean, PRIVATE, re.sub(r"[\\\x00-\x1f\x7f]", "_", meaning)[:_LONGEST_MEANING].strip() or "_")


def _is_as_ibsi(entry: FeatureDefinition, *, by_ibsi: bool) -> bool:
    if not entry.ibsi_code or (entry.feature_class, entry.feature) in _NOT_AS_IBSI:
        return False
    # One group of measurements has each code once: PyRadiomics' deprecated features are mostly others' twins.
    return not entry.deprecated or entry.computed_by == "ibsi" or (by_ibsi and entry.by_ibsi)


def _meaning(entry: FeatureDefinition, name: ColumnName) -> str:
    # IBSI names repeat among the families; the code tells them apart, and now the reader can too.
    if entry.ibsi_family == "Intensity histogram":
        return f"Intensity histogram {entry.ibsi_name[0].lower()}{entry.ibsi_name[1:]}"
    family = _FAMILIES.get(entry.feature_class, entry.feature_class)
    told = f"{family} {name.spelt_aggregation}".strip()
    return f"{entry.ibsi_name} ({told})" if told else entry.ibsi_name
