"""What can be wrong with a scan or a mask: stable codes, their meaning and remedy, and the finding itself.

`check` prints findings, `load_case` raises the first of level error: one truth. `docs/findings.md` is written
from `CATALOGUE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from radiomics_talent.errors import DicomError, GeometryError, InputError, MaskError, TableError, one_line

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class FindingKind:
    """One code of the catalogue.

    Attributes
    ----------
    level : {'info', 'warning', 'error'}
        Level unless the finding itself says otherwise.
    meaning, remedy : str
        What it means and what to do, one sentence each, for the docs.
    error : type
        Exception that an error-level finding raises.
    """

    level: Level
    meaning: str
    remedy: str
    error: type[InputError] = InputError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found about one file, series or lesion.

    Parameters
    ----------
    code : str
        Key of `CATALOGUE`.
    sentence : str
        What was found, with its numbers, and what to do; never a patient's name.
    where : str
        File, series or lesion.
    severity : {'info', 'warning', 'error'}, optional
        Overrides the catalogue's level.
    """

    code: str
    sentence: str
    where: str = ""
    severity: Level | None = None

    def __post_init__(self) -> None:
        if self.code not in CATALOGUE:
            msg = f"finding code {self.code!r} is not in the catalogue"
            raise KeyError(msg)
        object.__setattr__(self, "sentence", one_line(self.sentence))

    @property
    def level(self) -> Level:
        """Level of this finding."""
        return self.severity or CATALOGUE[self.code].level

    @property
    def is_error(self) -> bool:
        """Whether the case cannot be used."""
        return self.level == "error"

    def error(self) -> InputError:
        """Return the exception that says the same."""
        return CATALOGUE[self.code].error(self.sentence, where=self.where or None, code=self.code)

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.sentence}") if self.where else self.sentence


def raise_first_error(findings: tuple[Finding, ...] | list[Finding]) -> None:
    """Raise the first error-level finding as its exception, if there is one.

    Raises
    ------
    InputError
        The subclass that the catalogue names for the finding's code.
    """
    for finding in findings:
        if finding.is_error:
            raise finding.error()


CATALOGUE: dict[str, FindingKind] = {
    # --- files and headers
    "missing-file": FindingKind("error", "A path of the cohort table does not exist.", "Correct the path in the CSV; paths are relative to the CSV.", TableError),
    "unreadable-file": FindingKind("error", "A file is not readable as the image or DICOM object it should be.", "Export or copy the file again.", DicomError),
    "files-left-out": FindingKind("warning", "Files beside those of the series are empty, damaged or not DICOM: slices may have been lost.", "Copy or export the series again, or remove what does not belong there.", DicomError),
    "changed-while-read": FindingKind("error", "A file of the scan or mask changed, vanished or appeared while it was read.", "Repeat when nothing writes there (a copy that is still running, a network drive that was gone)."),
    "truncated-pixel-data": FindingKind("error", "The pixel data are shorter than the header says, or cannot be decoded.", "Copy or export the series again.", DicomError),
    "series-absent": FindingKind("error", "No file in the folder belongs to the series named in the row.", "Run index again, or correct image and series_uid.", DicomError),
    "series-ambiguous": FindingKind("error", "The folder holds several CT volumes and the row does not say which.", "Fill series_uid (index does), or move the series into folders of their own.", DicomError),
    "not-ct": FindingKind("error", "The image is not a CT image.", "Give the CT series that the lesion was drawn on.", DicomError),
    "localizer": FindingKind("info", "The series is a localizer (scout) and not a volume.", "None: it is left out.", DicomError),
    "no-volume": FindingKind("info", "The series has no image that can be part of a volume (secondary capture, summary, one projection).", "None: it is left out.", DicomError),
    "several-volumes": FindingKind("warning", "One SeriesInstanceUID holds several volumes (acquisitions, phases, a localizer); each was taken apart.", "See that the lesion is linked to the right volume in the cohort table.", DicomError),
    "single-slice": FindingKind("warning", "The volume has one slice, so the slice spacing rests on SliceThickness.", "Use 2D settings, or give the whole series.", DicomError),
    # --- CT geometry
    "geometry-missing": FindingKind("error", "ImagePositionPatient, ImageOrientationPatient or PixelSpacing is missing.", "Export the original images, not screen captures.", DicomError),
    "slice-gap": FindingKind("error", "A slice is missing: one gap is a multiple of the others.", "Export the series again, or set geometry.allow_gaps: true to interpolate it.", DicomError),
    "unequal-spacing": FindingKind("error", "The distance between slices varies.", "Use the original reconstruction, or set geometry.unequal_spacing: resample.", DicomError),
    "gantry-tilt": FindingKind("error", "The slices are sheared: the gantry was tilted.", "Use an untilted reconstruction, or set geometry.gantry_tilt: resample.", DicomError),
    "duplicate-slices": FindingKind("error", "Several slices lie at one position.", "Remove the copies, or index again so that phases are taken apart.", DicomError),
    "mixed-orientation": FindingKind("error", "The slices do not share one orientation.", "Index again, or remove the slices that do not belong.", DicomError),
    "mixed-size": FindingKind("error", "The slices do not share Rows, Columns and PixelSpacing.", "Index again, or remove the slices that do not belong.", DicomError),
    "mixed-frame-of-reference": FindingKind("error", "The slices do not share one FrameOfReferenceUID.", "Export the series again.", DicomError),
    "geometry-mended": FindingKind("warning", "The volume was put on a regular grid as the settings allow (gap filled, tilt or spacing resampled).", "Report it in the methods.", DicomError),
    "slice-thickness-differs": FindingKind("warning", "SliceThickness is not the distance between slices (overlapping or spaced slices).", "Know it: texture in z is smoothed or sampled more coarsely than the spacing says.", DicomError),
    # --- CT values
    "rescale-missing": FindingKind("error", "RescaleSlope or RescaleIntercept is missing, so the values are not known to be HU.", "Export the original images.", DicomError),
    "not-hu": FindingKind("error", "RescaleType or the image type says that the values are not HU.", "Give the original CT series.", DicomError),
    "implausible-hu": FindingKind("warning", "The values are not those of a CT of a patient (range or median).", "See whether the image is CT, in HU, and not normalised.", DicomError),
    "lossy-compression": FindingKind("warning", "The images were compressed with loss.", "Use the original images: texture features change.", DicomError),
    "not-finite": FindingKind("error", "The image holds NaN or infinite values.", "Export or convert the image again.", GeometryError),
    "not-3d": FindingKind("error", "The image or mask is not a single 3D volume.", "Give one 3D volume a file.", GeometryError),
    # --- masks
    "mask-unreadable": FindingKind("error", "The mask file is not an RTSTRUCT, DICOM SEG, NIfTI or NRRD that can be read.", "Export the mask again in one of these formats.", MaskError),
    "mask-unlinked": FindingKind("warning", "No CT series was found that the RTSTRUCT or SEG refers to.", "Put the CT below the indexed folder.", MaskError),
    "mask-other-frame": FindingKind("error", "The mask's FrameOfReferenceUID is not the scan's.", "Give the scan that the lesion was drawn on, or set mask.require_same_patient: false.", MaskError),
    "mask-other-patient": FindingKind("error", "The mask's PatientID is not the scan's.", "Give the mask of this patient, or set mask.require_same_patient: false if only one of them was pseudonymised.", MaskError),
    "mask-other-series": FindingKind("warning", "The mask was drawn on another series in the same frame of reference.", "See that patient and phase are the same.", MaskError),
    "referenced-slices-missing": FindingKind("error", "The mask was drawn on slices that are not in the series (a warning where the lesion is far from both ends and not resampled along z, and with geometry.allow_gaps).", "Copy or export the whole series again, or set geometry.allow_gaps: true to do without.", MaskError),
    "label-absent": FindingKind("error", "The label of the row is not in the mask.", "Take one of the labels listed, or map spellings with mask.roi_names.", MaskError),
    "label-ambiguous": FindingKind("error", "The row has no label, or its label fits several.", "Fill the column label, or narrow the pattern in mask.roi_names.", MaskError),
    "mask-empty": FindingKind("error", "The mask has no voxel of the lesion.", "Draw the lesion again, or remove the row.", MaskError),
    "mask-outside-image": FindingKind("error", "The lesion lies outside the scan, wholly or in part.", "Give the scan that the lesion was drawn on.", GeometryError),
    "mask-resampled": FindingKind("warning", "The mask is on another grid in the same space and was resampled with nearest neighbour.", "Look at the contour in the picture of check --html.", GeometryError),
    "mask-grid-mended": FindingKind("warning", "The mask's grid lies within a tenth of a voxel of the image's and was taken as the same.", "None, if the difference is what the export rounds to.", GeometryError),
    "contours-skipped": FindingKind("warning", "Contours with fewer than three points, or without area, were skipped.", "None, if they are stray clicks; else draw them again.", MaskError),
    "contours-off-slice": FindingKind("warning", "Contours lie between slices and were put on the nearest.", "See that the contours were drawn on this series.", MaskError),
    "contours-oblique": FindingKind("warning", "Contours do not lie in the plane of the slices.", "See the mask in the picture of check --html.", MaskError),
    "contour-gap": FindingKind("warning", "The contours leave out slices between the first and the last.", "Draw the missing slices, if they were skipped to save time.", MaskError),
    "volume-differs": FindingKind("error", "The mask's volume is far from the volume inside its contours.", "See that contours and series belong together.", MaskError),
    # --- lesions
    "too-few-voxels": FindingKind("error", "The lesion has fewer voxels or dimensions than the settings need.", "Leave the lesion out, or lower minimumROISize or minimumROIDimensions.", MaskError),
    "padding-in-lesion": FindingKind("warning", "The lesion holds padding voxels (outside the reconstructed field of view).", "Correct the contour.", MaskError),
    "lesion-cut": FindingKind("warning", "The lesion touches the border of the scan and may be cut.", "Take a scan that holds the whole lesion, or leave it out of shape features.", MaskError),
    "lesion-parts": FindingKind("warning", "The lesion has several parts.", "Remove stray voxels, or set mask.components: largest or split.", MaskError),
    "lesions-overlap": FindingKind("warning", "Two lesions of one scan share voxels.", "Correct the contours, so that no voxel counts twice.", MaskError),
    "lesion-duplicate": FindingKind("warning", "Two rows hold the same voxels of the same scan.", "Remove one of the rows.", MaskError),
    "grey-levels": FindingKind("warning", "The number of grey levels is outside 16 to 128.", "Change binWidth or binCount for this image type.", MaskError),
    "too-many-grey-levels": FindingKind("error", "The number of grey levels is absurd: the matrices would not fit into memory.", "Raise binWidth, set binCount, or see whether the image is in HU.", MaskError),
    # --- the cohort table
    "encoding-guessed": FindingKind("warning", "The CSV is not UTF-8 and was read as Windows-1252.", 'Save it as "CSV UTF-8" if letters with accents look wrong.', TableError),
    "study-date-unclear": FindingKind("warning", "A study_date of the table can be read in several ways, or is no date.", "Write dates as YYYY-MM-DD.", TableError),
    "identifier-left": FindingKind("warning", "A pseudonymised table still holds the original PatientID in a path or ROI name.", "Rename the folders or ROIs before sharing the table.", TableError),
}  # fmt: skip
"""Every code that `index`, `check` and `extract --dry-run` can report."""
