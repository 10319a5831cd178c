"""radiomics-talent: response to antiangiogenic therapy, predicted from CT.

The names below are the whole public face; each is imported when it is first used, so that ``--help`` and
``import radiomics_talent`` cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radiomics_talent.cohort.case import load_case
    from radiomics_talent.cohort.manifest import load_cohort
    from radiomics_talent.dicom.index import index_dicom
    from radiomics_talent.extraction.run import run_extraction
    from radiomics_talent.features.engine import extract
    from radiomics_talent.modelling.evaluation import evaluate
    from radiomics_talent.modelling.training import train
    from radiomics_talent.scoring.score import score
    from radiomics_talent.settings import ExtractionSettings

__version__ = "0.1.0"

_HOME = {
    "ExtractionSettings": "radiomics_talent.settings",
    "evaluate": "radiomics_talent.modelling.evaluation",
    "extract": "radiomics_talent.features.engine",
    "index_dicom": "radiomics_talent.dicom.index",
    "load_case": "radiomics_talent.cohort.case",
    "load_cohort": "radiomics_talent.cohort.manifest",
    "run_extraction": "radiomics_talent.extraction.run",
    "score": "radiomics_talent.scoring.score",
    "train": "radiomics_talent.modelling.training",
}

__all__ = [
    "ExtractionSettings", "evaluate", "extract", "index_dicom", "load_case", "load_cohort", "run_extraction", "score",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
