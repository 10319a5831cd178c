"""What the numbers of a DICOM SR are called: IBSI codes of the features, UCUM units, and private codes for the rest."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

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
    "HU2": ("[hnsf'U]2", "square Hounsfield unit"),
    "HU2 mm3": ("[hnsf'U]2.mm3", "square Hounsfield unit times mm3"),
    "arbitrary": ("[arb'U]", "arbitrary unit"),
}
"""Unit of the dictionary to UCUM code and meaning."""

PRIVATE_CODES = {
    "image-type": "Image type that the feature was computed on",
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
    "gldm": "NGLDM",
    "ngtdm": "NGTDM",
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
    image_type : CodedConcept or None
        Filtered image that it was computed on; None for the original.
    """

    name: CodedConcept
    unit: CodedConcept
    image_type: CodedConcept | None


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    code: str
    unit: str
    deprecated: bool


def private(code: str) -> CodedConcept:
    """Return one of `PRIVATE_CODES`."""
    return CodedConcept(code, PRIVATE, PRIVATE_CODES[code])


def unit(name: str) -> CodedConcept:
    """Return the UCUM code of a unit of the dictionary."""
    value, meaning = UNITS[name]
    return CodedConcept(value, "UCUM", meaning)


def feature_concept(feature: str) -> FeatureConcept:
    """Return the codes of a feature.

    Parameters
    ----------
    feature : str
        ``<image type>_<class>_<feature>``, as PyRadiomics names it.

    Returns
    -------
    FeatureConcept
        Under the IBSI's code where the feature is on the original image, has one, and is the very number that the
        code stands for; else under the private scheme, by ``<class>_<feature>``: whole up to 16 characters, longer
        ones by their first eight and a digest (the meaning says the name).
    """
    image_type, _, rest = feature.partition("_")
    feature_class, _, name = rest.partition("_")
    entry = _dictionary().get((feature_class, name))
    if not name:  # not a name of PyRadiomics: kept whole
        return FeatureConcept(_own(feature, feature), unit("1"), None)
    if image_type == "original":
        known = unit(entry.unit if entry else "1")
        if entry and entry.code and not entry.deprecated and (feature_class, name) not in _NOT_AS_IBSI:
            return FeatureConcept(CodedConcept(entry.code, IBSI, _meaning(feature_class, entry.name)), known, None)
        return FeatureConcept(_own(rest, f"{feature_class} {name}"), known, None)
    of_intensity = entry is not None and entry.unit.startswith("HU")
    # What a filter leaves is no longer HU, and mostly no unit that has a name.
    known = unit("arbitrary" if of_intensity else entry.unit if entry else "1")
    return FeatureConcept(_own(rest, f"{feature_class} {name}"), known, _own(image_type, image_type))


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


def _meaning(feature_class: str, name: str) -> str:
    # IBSI names repeat among the texture families; the code tells them apart, and now the reader can too.
    family = _FAMILIES.get(feature_class, feature_class)
    return f"{name} ({family})" if family else name


@lru_cache(maxsize=1)
def _dictionary() -> dict[tuple[str, str], _Entry]:
    text = resources.files("radiomics_talent").joinpath("features/dictionary.csv").read_text(encoding="utf-8")
    return {
        (row["feature_class"], row["feature"]): _Entry(
            row["ibsi_name"], row["ibsi_code"], row["unit"], row["deprecated"] == "yes"
        )
        for row in csv.DictReader(text.splitlines())
    }
