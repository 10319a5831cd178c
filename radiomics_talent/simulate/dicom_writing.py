"""An invented scan and its lesions as real DICOM: CT series, localizer, RTSTRUCT and SEG, the same bytes every time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import highdicom
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    RTStructureSetStorage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.simulate.phantom import Phantom

SOFTWARE = "radiomics-talent synthetic trial"
_IMPLEMENTATION_UID = "2.25.208441302176915385226016893424786516483"
_CONTENT_TIME = "120000"
_COLOURS = (("255", "214", "10"), ("90", "200", "250"), ("255", "105", "97"), ("119", "221", "119"))


@dataclass(frozen=True, slots=True)
class ScanHeader:
    """What the headers of one scan say.

    Attributes
    ----------
    key : str
        Seeds every UID of the scan: the same key gives the same UIDs.
    patient_id, sex, study_date, site, manufacturer, model, kernel, phase : str
        Header texts; `study_date` as DICOM writes it.
    age_years : int
        PatientAge.
    signed : bool
        Store HU as they are; else unsigned with a RescaleIntercept of -1024.
    rle : bool
        Compress by RLE, without loss.
    """

    key: str
    patient_id: str
    sex: str
    age_years: int
    study_date: str
    site: str
    manufacturer: str
    model: str
    kernel: str
    phase: str
    signed: bool = False
    rle: bool = False


def make_uid(*parts: object) -> str:
    """Return a UID that depends on `parts` alone (below 2.25, the root for UUIDs)."""
    digest = bytearray(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:16])
    # Version and variant bits of a UUID, as 2.25 asks for.
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


def write_ct(header: ScanHeader, phantom: Phantom, files: Sequence[Path], *, number: int = 2) -> list[Dataset]:
    """Write a CT series, one file a slice.

    Parameters
    ----------
    header : ScanHeader
        What the headers say.
    phantom : Phantom
        The voxels.
    files : sequence of Path
        One a slice, in the order of the phantom's slices.
    number : int, optional
        SeriesNumber.

    Returns
    -------
    list of Dataset
        The images in the order of the phantom's slices.
    """
    count = len(phantom.hu_zyx)
    images: list[Dataset] = []
    for k, (pixels, file) in enumerate(zip(phantom.hu_zyx, files, strict=True)):
        # Numbered from the head down, as scanners do.
        ds = _image(header, "AXIAL", count - k, number)
        _place(ds, phantom, k)
        ds.SeriesDescription = _description(header)
        ds.ProtocolName = "Abdomen"
        ds.BodyPartExamined = "LIVER"
        if header.phase != "native":
            ds.ContrastBolusAgent = "SYNTHETIC CONTRAST"
            ds.ContrastBolusRoute = "IV"
        _set_pixels(ds, pixels, header)
        if header.rle:
            ds.compress(RLELossless, generate_instance_uid=False)
        _save(ds, file)
        images.append(ds)
    return images


def write_localizer(header: ScanHeader, phantom: Phantom, file: Path) -> None:
    """Write a one-image localizer, the kind of series that is no volume."""
    ds = _image(header, "LOCALIZER", 1, 1)
    _place(ds, phantom, 0)
    x, y, z = phantom.geometry.origin_mm
    ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    ds.ImagePositionPatient = _decimals((x, y, z + phantom.geometry.size[2] * phantom.geometry.spacing_mm[2]))
    ds.SeriesDescription = "Topogram"
    _set_pixels(ds, phantom.hu_zyx.mean(axis=1).astype(np.int16), header)
    ds.PixelSpacing = _decimals((phantom.geometry.spacing_mm[2], phantom.geometry.spacing_mm[0]))
    _save(ds, file)


def write_rtstruct(header: ScanHeader, phantom: Phantom, images: Sequence[Dataset], file: Path) -> None:
    """Write the lesions' contours as an RTSTRUCT that refers to `images`."""
    ds = _dataset(header, RTStructureSetStorage, make_uid(header.key, "rtstruct"))
    ds.Modality = "RTSTRUCT"
    ds.SeriesInstanceUID = make_uid(header.key, "rtstruct series")
    ds.SeriesNumber = 11
    ds.InstanceNumber = 1
    ds.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    ds.PositionReferenceIndicator = ""
    ds.StructureSetLabel = "SYNTHETIC"
    ds.StructureSetDate = header.study_date
    ds.StructureSetTime = _CONTENT_TIME
    ds.ApprovalStatus = "UNAPPROVED"
    references = [_reference(image) for image in images]
    series = _item(SeriesInstanceUID=images[0].SeriesInstanceUID, ContourImageSequence=references)
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=images[0].StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    ds.ReferencedFrameOfReferenceSequence = DicomSequence(
        [_item(FrameOfReferenceUID=images[0].FrameOfReferenceUID, RTReferencedStudySequence=[study])]
    )
    rois, contours, observations = [], [], []
    for number, lesion in enumerate(phantom.lesions, start=1):
        rois.append(
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=images[0].FrameOfReferenceUID,
                ROIName=lesion.plan.name,
                ROIGenerationAlgorithm="MANUAL",
            )
        )
        outlines = [_contour(points, phantom, images) for points in lesion.contours_mm]
        contours.append(
            _item(
                ROIDisplayColor=list(_COLOURS[(number - 1) % len(_COLOURS)]),
                ReferencedROINumber=number,
                ContourSequence=outlines,
            )
        )
        observations.append(
            _item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="GTV", ROIInterpreter="")
        )
    ds.StructureSetROISequence = DicomSequence(rois)
    ds.ROIContourSequence = DicomSequence(contours)
    ds.RTROIObservationsSequence = DicomSequence(observations)
    _save(ds, file)


def write_seg(header: ScanHeader, phantom: Phantom, images: Sequence[Dataset], file: Path) -> None:
    """Write the lesions' masks as one binary SEG, a segment a lesion."""
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=lesion.plan.name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type="MANUAL",
            tracking_uid=make_uid(header.key, "tracking", number),
            tracking_id=f"{header.patient_id} {lesion.plan.name}",
        )
        for number, lesion in enumerate(phantom.lesions, start=1)
    ]
    seg = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=np.stack([lesion.mask_zyx for lesion in phantom.lesions], axis=-1).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        series_instance_uid=make_uid(header.key, "seg series"),
        series_number=12,
        sop_instance_uid=make_uid(header.key, "seg"),
        instance_number=1,
        manufacturer=header.manufacturer,
        manufacturer_model_name=SOFTWARE,
        software_versions="1",
        device_serial_number="0",
        content_description="Synthetic liver lesions",
        series_description="Synthetic segmentation",
    )
    _fix(seg, header)
    _save(seg, file)


def _fix(seg: Dataset, header: ScanHeader) -> None:
    """Replace what highdicom takes from clock and chance."""
    for keyword in ("ContentDate", "SeriesDate", "InstanceCreationDate"):
        if keyword in seg:
            seg[keyword].value = header.study_date
    for keyword in ("ContentTime", "SeriesTime", "InstanceCreationTime"):
        if keyword in seg:
            seg[keyword].value = _CONTENT_TIME
    for item in seg.ContributingEquipmentSequence:
        item.ContributionDateTime = f"{header.study_date}{_CONTENT_TIME}"
    organisation = make_uid(header.key, "dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation


def _dataset(header: ScanHeader, sop_class: str, sop_instance: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "TALENT_SYNTH"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = sop_instance
    ds.PatientName = f"SYNTHETIC^{header.patient_id}"
    ds.PatientID = header.patient_id
    ds.PatientBirthDate = "19010101"
    ds.PatientSex = header.sex
    ds.PatientAge = f"{header.age_years:03d}Y"
    ds.PatientComments = "Synthetic: no such person"
    ds.StudyInstanceUID = make_uid(header.key, "study")
    ds.StudyID = "1"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.InstanceCreationDate = header.study_date
    ds.StudyTime = "110000"
    ds.SeriesTime = ds.ContentTime = ds.InstanceCreationTime = _CONTENT_TIME
    ds.StudyDescription = "Synthetic trial"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.OperatorsName = ""
    ds.Manufacturer = header.manufacturer
    ds.ManufacturerModelName = header.model
    ds.InstitutionName = header.site
    ds.SoftwareVersions = SOFTWARE
    ds.DeviceSerialNumber = "0"
    return ds


def _image(header: ScanHeader, kind: str, instance: int, number: int) -> FileDataset:
    series = (header.key, header.phase, kind)
    ds = _dataset(header, CTImageStorage, make_uid(*series, instance))
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", kind]
    ds.SeriesInstanceUID = make_uid(*series, "series")
    ds.SeriesNumber = number
    ds.AcquisitionNumber = 1
    ds.AcquisitionDate = header.study_date
    ds.AcquisitionTime = _CONTENT_TIME
    ds.InstanceNumber = instance
    ds.FrameOfReferenceUID = make_uid(header.key, "frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    ds.KVP = "120"
    ds.GantryDetectorTilt = "0"
    ds.ConvolutionKernel = header.kernel
    return ds


def _place(ds: Dataset, phantom: Phantom, k: int) -> None:
    geometry = phantom.geometry
    x, y, z = geometry.origin_mm
    ds.ImagePositionPatient = _decimals((x, y, z + k * geometry.spacing_mm[2]))
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = _decimals((geometry.spacing_mm[1], geometry.spacing_mm[0]))
    ds.SliceThickness = _decimals((geometry.spacing_mm[2],))[0]
    ds.SliceLocation = ds.ImagePositionPatient[2]


def _set_pixels(ds: Dataset, hu: NDArray[np.int16], header: ScanHeader) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated = 16
    ds.BitsStored = 16 if header.signed else 12
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(header.signed)
    ds.RescaleIntercept = "0" if header.signed else "-1024"
    ds.RescaleSlope = "1"
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.PixelData = (hu.astype("<i2") if header.signed else (hu + 1024).astype("<u2")).tobytes()


def _contour(points_mm: NDArray[np.float64], phantom: Phantom, images: Sequence[Dataset]) -> Dataset:
    k = round(float(phantom.geometry.to_index(points_mm[0])[2]))
    return _item(
        ContourImageSequence=[_reference(images[k])],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points_mm),
        ContourData=[f"{v:.2f}" for v in points_mm.ravel()],
    )


def _reference(image: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        is_sequence = keyword.endswith("Sequence")
        setattr(ds, keyword, DicomSequence(value) if is_sequence else value)  # type: ignore[arg-type]
    return ds


def _description(header: ScanHeader) -> str:
    return "Abdomen native" if header.phase == "native" else f"Abdomen {header.phase} phase"


def _decimals(values: Sequence[float]) -> list[str]:
    return [f"{v:.6f}".rstrip("0").rstrip(".") for v in values]


def _save(ds: Dataset, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(file, enforce_file_format=True)
