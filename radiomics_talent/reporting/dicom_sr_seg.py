"""The mask of a lesion as a DICOM SEG: the one it came from where that holds these very voxels, else one of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from radiomics_talent.dicom.headers import STRANGE, looks_like_dicom, quiet_pydicom, read_dataset
from radiomics_talent.dicom.seg import SEG_CLASSES, inspect_segment, read_seg_headers
from radiomics_talent.errors import DicomError, InputError
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.reporting.dicom_sr_source import clean_text, identify, new_uid
from radiomics_talent.settings import MaskSettings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.dicom.seg import SegHeader
    from radiomics_talent.reporting.dicom_sr import SrLesion
    from radiomics_talent.reporting.dicom_sr_source import ScanSource, Stamp

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
MANUFACTURER = "The radiomics-talent developers"
SERIAL_NUMBER = "none"
SEG_SERIES_NUMBER = 9902
_SAME_VOXEL = 0.1
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, slots=True, eq=False)
class RoiReference:
    """The segment that is a lesion.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid, segment_number
        The segment.
    tracking_uid : str
        Of the lesion: the segment's own where it has one.
    evidence : tuple of Dataset
        The SEG, and the RTSTRUCT or SEG that its voxels come from.
    written : Dataset or None
        The SEG, where it is yet to be written.
    """

    sop_class_uid: str
    sop_instance_uid: str
    segment_number: int
    tracking_uid: str
    evidence: tuple[Dataset, ...]
    written: Dataset | None


def lesion_slices(mask: sitk.Image) -> set[int]:
    """Return the slices of the mask's grid that hold the lesion."""
    return set(np.flatnonzero(sitk.GetArrayViewFromImage(mask).any(axis=(1, 2))).tolist())


def refer_to_mask(lesion: SrLesion, scan: ScanSource, stamp: Stamp, *, number: int) -> RoiReference:
    """Find the segment that is a lesion, or make it.

    Parameters
    ----------
    lesion : SrLesion
        Its mask is on the grid of `scan`.
    scan : ScanSource
        The CT.
    stamp : Stamp
        When and by what.
    number : int
        InstanceNumber of a SEG that is made.

    Raises
    ------
    InputError
        The mask is empty.
    """
    box = Box.around(np.asarray(sitk.GetArrayViewFromImage(lesion.mask) > 0))
    if box is None:
        raise InputError("the mask has no voxel of the lesion; draw it again", where=str(lesion.mask_path))
    tracking_uid = new_uid("lesion", scan.study_uid, lesion.series_uid or scan.series_uid, lesion.lesion.lesion_id)
    origin = _read_identity(lesion.mask_path)
    if origin is not None and origin.SOPClassUID in SEG_CLASSES:
        found = _find_segment(lesion, scan)
        if found is not None:
            segment, own_uid = found
            uids = (str(origin.SOPClassUID), str(origin.SOPInstanceUID))
            return RoiReference(*uids, segment, own_uid or tracking_uid, (origin,), None)
    with quiet_pydicom():
        seg = _new_seg(lesion, scan, stamp, box, tracking_uid, number)
    evidence = (seg,) if origin is None else (seg, origin)
    return RoiReference(str(seg.SOPClassUID), str(seg.SOPInstanceUID), 1, tracking_uid, evidence, seg)


def _read_identity(path: Path) -> Dataset | None:
    """Return what an evidence sequence says of an RTSTRUCT or SEG; None for other files and where a UID is missing."""
    try:
        with path.open("rb") as file:
            if not looks_like_dicom(file.read(132)):
                return None
        source = read_dataset(path, stop_before_pixels=True, specific_tags=list(_UIDS))
    except (OSError, DicomError):
        return None
    identity = Dataset()
    with quiet_pydicom():
        for keyword in _UIDS:
            value = str(source.get(keyword) or "")
            if not value:
                return None
            setattr(identity, keyword, value)
    return identity if identity.SOPClassUID in SEG_CLASSES | {RTSTRUCT_CLASS} else None


# --- a SEG that is there


def _find_segment(lesion: SrLesion, scan: ScanSource) -> tuple[int, str] | None:
    """Return number and TrackingUID of the segment that has the very voxels of the mask."""
    try:
        header = read_seg_headers(lesion.mask_path)
        if not _is_on(header, scan):
            return None
        for number in _candidates(header, lesion):
            _, image = inspect_segment(lesion.mask_path, number, MaskSettings(), where=str(lesion.mask_path))
            if image is not None and _same_voxels(image, lesion.mask):
                return number, _tracking_uid(lesion.mask_path, number)
    except (*STRANGE, DicomError):
        return None
    return None


def _is_on(header: SegHeader, scan: ScanSource) -> bool:
    if header.segmentation_type not in {"BINARY", "LABELMAP"}:
        return False  # a fraction with a threshold is another region
    drawn_on = header.series_instance_uids
    return (
        header.frame_of_reference_uid == scan.frame_of_reference_uid
        and header.patient_id == scan.header.PatientID
        and (not drawn_on or scan.series_uid in drawn_on)
    )


def _candidates(header: SegHeader, lesion: SrLesion) -> list[int]:
    names = {n for n in (lesion.label.strip(), lesion.roi_name.strip()) if n}
    named = [s.number for s in header.segments if str(s.number) in names or s.label in names]
    return named or [s.number for s in header.segments]


def _same_voxels(image: sitk.Image, mask: sitk.Image) -> bool:
    theirs, ours = _voxels(image), _voxels(mask)
    if len(theirs) != len(ours):
        return False
    grid = Geometry.of(mask)
    seen = grid.to_index(Geometry.of(image).to_points(theirs))
    whole = np.rint(seen).astype(np.int64)
    if np.abs(seen - whole).max() > _SAME_VOXEL or (whole < 0).any() or (whole >= np.asarray(grid.size)).any():
        return False
    return np.array_equal(np.unique(whole, axis=0), np.unique(ours, axis=0))


def _voxels(image: sitk.Image) -> NDArray[np.int64]:
    return np.argwhere(sitk.GetArrayViewFromImage(image) > 0)[:, ::-1].astype(np.int64)


def _tracking_uid(path: Path, number: int) -> str:
    source = read_dataset(path, stop_before_pixels=True, specific_tags=["SegmentSequence"])
    with quiet_pydicom():
        for segment in source.get("SegmentSequence") or ():
            if int(segment.SegmentNumber) == number:
                return str(segment.get("TrackingUID") or "")
    return ""


# --- a SEG of our own


def _new_seg(
    lesion: SrLesion, scan: ScanSource, stamp: Stamp, box: Box, tracking_uid: str, number: int
) -> highdicom.seg.Segmentation:
    grid = Geometry.of(lesion.mask)
    _, _, low = box.lower
    _, _, high = box.upper
    voxels = np.asarray(sitk.GetArrayViewFromImage(lesion.mask)[low:high] > 0).astype(np.uint8)
    volume = highdicom.Volume(voxels, _affine(grid, low), "PATIENT", scan.frame_of_reference_uid)
    sources = [image for image, _ in scan.images_of(lesion_slices(lesion.mask))]
    label = clean_text(lesion.roi_name or lesion.label or lesion.lesion.lesion_id, 64) or "lesion"
    tracking_id = lesion.lesion.lesion_id
    content = hashlib.sha256(np.packbits(voxels).tobytes() + repr((grid, box, scan.header.to_json())).encode())
    facts = (
        scan.series_uid,
        content.hexdigest(),
        label,
        tracking_id,
        number,
        stamp,
        *(s.SOPInstanceUID for s in sources),
    )
    program = f"{stamp.program} {stamp.version}".strip()
    seg = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=volume,
        segmentation_type="BINARY",
        segment_descriptions=[_describe(label, tracking_id, tracking_uid, stamp)],
        series_instance_uid=new_uid("seg series", scan.study_uid, scan.series_uid, stamp),
        series_number=SEG_SERIES_NUMBER,
        sop_instance_uid=new_uid("seg", *facts),
        instance_number=number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=stamp.program,
        software_versions=clean_text(program, 64),
        device_serial_number=SERIAL_NUMBER,
        content_label="LESION",
        content_description="Mask that a research score was computed on",
        series_description="Masks of the radiomics score - research use only",
        specific_character_set="ISO_IR 192",
        content_qualification="RESEARCH",
    )
    identify(seg, scan.header)
    stamp.put_on(seg)
    organization = new_uid("dimensions", seg.SOPInstanceUID)
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    return seg


def _affine(grid: Geometry, first_slice: int) -> NDArray[np.float64]:
    """Return highdicom's affine, of (slice, row, column), for the slices from `first_slice` on."""
    affine = np.eye(4)
    affine[:3, :3] = (grid.axes * np.asarray(grid.spacing_mm))[:, ::-1]
    affine[:3, 3] = grid.to_points((0, 0, first_slice))
    return affine


def _describe(label: str, tracking_id: str, tracking_uid: str, stamp: Stamp) -> highdicom.seg.SegmentDescription:
    # How the region was drawn is not known here; what is known is the program that made voxels of it.
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"{stamp.program}: voxels of a given mask",
        family=codes.DCM.ManualProcessing,
        version=stamp.version or "unknown",
    )
    return highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid,
        tracking_id=tracking_id,
    )
