"""The list of what may stand in an output, where, and why; docs/privacy.md says it in words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RUNS = r"(plain/run|extract|chunk \d|merge|score/extraction)"
_TABLES = (
    rf"({_RUNS}|table)/features\.(csv|parquet)",
    r"robustness (perturb|controls|compare)/versions\.(csv|parquet)",
)
_INDEX = (r"(plain|index|wrong index)/cohort\.csv", r"(plain|index|index no roi|wrong index)/series\.csv")
_SERIES = (_INDEX[1],)
_OBJECTS = (r"score/dicom/[^/]*\.SR\.dcm", r"score/dicom/[^/]*\.SEG\..*\.dcm")
_MODEL = (r"train/model\.yaml", r"report model/page\.html")
_RECORDS = (
    r"(plain/run|extract|chunk \d|merge|research extract|score/extraction|wrong (extract|score).*|robustness \w+)"
)
_SAYS = "said: "


@dataclass(frozen=True)
class Allowed:
    """Planted places that may be found again, in what (patterns of output names, each of which must occur), and why."""

    places: tuple[str, ...]
    outputs: tuple[str, ...]
    reason: str
    also: tuple[str, ...] = ()
    """Outputs that may hold it and need not."""

    def fits(self, place: str, output: str) -> bool:
        """Whether it allows a place in an output."""
        return place in self.places and any(re.fullmatch(p, output) for p in (*self.outputs, *self.also))


ALLOWED = (
    Allowed(
        ("PatientID",),
        (r"plain/(cohort|series)\.csv", r"plain/run/features\.(csv|parquet)", r"plain/run/provenance\.json",
         r"research extract/(features\.(csv|parquet)|provenance\.json|log\.txt)"),
        "without --pseudonymise, and in a table by hand, patient_id is the PatientID",
        also=(r"research extract/preprocessed/.*", r"said: (plain|research).*", r"plain/run/log\.txt"),
    ),
    Allowed(
        ("CT Manufacturer", "CT InstitutionName", "CT ConvolutionKernel"),
        (*_INDEX, *_TABLES, *_MODEL, r"review/cohort\.csv", r"report extract/page\.html",
         r"report model/(checklists\.csv|methods\.md)"),
        "scanner and site are what batch effects are known by: columns of the tables, and counts of what a model saw",
        also=(r"train/table1\.csv", r"report model/page\.html", r"said: report extract"),
    ),
    Allowed(
        ("CT StudyDate",),
        (*_INDEX, *_TABLES, r"review/cohort\.csv", *_OBJECTS),
        "the column study_date orders a patient's scans",
    ),
    Allowed(
        tuple(f"{kind} {k}" for kind in ("RTSTRUCT", "SEG") for k in
              ("Manufacturer", "InstitutionName", "ConvolutionKernel", "StudyDate", "SeriesInstanceUID")),
        (r"(plain|index)/series\.csv",),
        "series.csv has a row for each series, masks too",
        also=(*_SERIES, _OBJECTS[0]),
    ),
    Allowed(
        ("CT SeriesInstanceUID",),
        (*_INDEX, *_TABLES, *_OBJECTS, r"review/(cohort\.csv|cohort\.review\.sqlite|verdicts\.csv)",
         r"score/score\.json"),
        "names the CT volume in a folder that holds several, and ties a verdict to it",
        also=(r"said: score", r"map/maps\.json", r"said: map"),
    ),
    Allowed(
        ("FrameOfReferenceUID",), (*_SERIES, _OBJECTS[1]),
        "which series share a space; a SEG lies in that of its CT",
    ),
    Allowed(
        ("CT SOPInstanceUID", "StudyInstanceUID"), _OBJECTS, "an SR and a SEG refer to the images they are about",
    ),
    Allowed(("RTSTRUCT SOPInstanceUID",), (_OBJECTS[0],), "an SR refers to the mask that it measured"),
    Allowed(
        ("PatientID", "PatientName", "CT PatientBirthDate", "CT StudyTime", "CT StudyID", "CT AccessionNumber",
         "CT ReferringPhysicianName", "CT IssuerOfPatientID", "CT StudyDescription", "CT PatientAge", "CT PatientSize",
         "CT PatientWeight", "CT DeidentificationMethod", "CT LongitudinalTemporalInformationModified",
         "CT TimezoneOffsetFromUTC", "CT ClinicalTrialSponsorName", "CT ClinicalTrialProtocolID",
         "CT ClinicalTrialProtocolName", "CT ClinicalTrialSiteID", "CT ClinicalTrialSiteName",
         "CT ClinicalTrialSubjectID", "CT ClinicalTrialSubjectReadingID"),
        _OBJECTS,
        "score --dicom-sr is filed in the archive with the study: it carries the patient and study as the CT does",
    ),
    Allowed(
        ("ROI name",),
        (_INDEX[0], *_TABLES, *_OBJECTS, rf"{_RECORDS}/provenance\.json", rf"{_RUNS}/log\.txt", r"check/qc\.html",
         r"(report extract|report score)/page\.html", r"review/.*", r"score/(score\.json|report\.html)",
         r"map/maps\.json", r"said: (check|extract|map|score).*"),
        "a lesion is called what the reader called it; rename ROIs that hold a name (index warns of PatientIDs)",
        also=(r"(wrong|research|robust|score|extract|plain|chunk|merge|table).*",
              r"said: (plain|dry|report|wrong|robustness|chunk|merge).*"),
    ),
    Allowed(
        ("folder name", "mask file name"),
        (_INDEX[0], rf"{_RECORDS}/provenance\.json", r"review/cohort\.csv", r"score/score\.json"),
        "tables and records say which files were read; rename folders that hold a name (index warns of PatientIDs)",
        also=(*_SERIES, r".*/(failures\.csv|log\.txt)", r"said: .*", r"wrong score/score\.json"),
    ),
    Allowed(("file name",), (r"said: wrong map \d",), "an error names the file that was given"),
)  # fmt: skip
