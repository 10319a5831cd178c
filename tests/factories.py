"""Small synthetic DICOM: CT series of any kind and flaw, and the RTSTRUCT that belongs to one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
Edit = Callable[[Dataset, int], None]


def uid(*parts: object) -> str:
    """The same UID for the same parts, so that tests are repeatable."""
    return str(generate_uid(entropy_srcs=[str(p) for p in parts]))


def normal_of(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def positions_of(
    n: int,
    *,
    step: float = 2.5,
    origin: Sequence[float] = (-100.0, -120.0, -300.0),
    orientation: Sequence[float] = AXIAL,
    tilt_deg: float = 0.0,
    places: Sequence[float] | None = None,
    decimals: int | None = None,
) -> np.ndarray:
    """ImagePositionPatient of slices along the normal, sheared along the column direction by `tilt_deg`."""
    along = np.asarray(range(n) if places is None else places, dtype=float) * step
    direction = normal_of(orientation) + np.tan(np.radians(tilt_deg)) * np.asarray(orientation[3:])
    positions = np.asarray(origin) + along[:, np.newaxis] * direction
    return positions if decimals is None else np.round(positions, decimals)


def stored_values(n: int, rows: int, columns: int, *, seed: int = 0, low: int = 0, high: int = 2500) -> np.ndarray:
    """Values as of a CT with intercept -1024: no two slices alike."""
    return np.random.default_rng(seed).integers(low, high, (n, rows, columns))


def ct_dataset(
    pixels: np.ndarray,
    position: Sequence[float],
    *,
    orientation: Sequence[float] = AXIAL,
    pixel_spacing: Sequence[float] = (0.8, 0.7),
    thickness: float | None = 2.5,
    slope: float | None = 1,
    intercept: float | None = -1024,
    signed: bool = False,
    bits: int = 16,
    number: int = 1,
    patient: str = "P1",
    series: str = "series",
    syntax: str = ExplicitVRLittleEndian,
) -> FileDataset:
    """One CT slice, its pixel data uncompressed in the byte order of `syntax`."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid(patient, series, number)
    meta.TransferSyntaxUID = syntax
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    ds = FileDataset("", {}, b"\0" * 128, meta, is_implicit_VR=implicit, is_little_endian=little)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.PatientID, ds.PatientName, ds.PatientBirthDate = patient, "Secret^Name", "19500101"
    ds.PatientSex, ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID, ds.StudyTime = "", "", "", "", ""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(patient, "study"), uid(patient, series)
    ds.SeriesNumber = 1
    ds.FrameOfReferenceUID = uid(patient, "frame")
    ds.StudyDate, ds.ContentTime, ds.Modality = "20240131", "101112", "CT"
    ds.Manufacturer, ds.InstitutionName, ds.ConvolutionKernel = "ACME", "Site A", "B30f"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AcquisitionNumber, ds.InstanceNumber = 1, number
    ds.ImagePositionPatient = [f"{p:.6f}" for p in position]
    ds.ImageOrientationPatient = [f"{c:.8f}" for c in orientation]
    ds.PixelSpacing = list(pixel_spacing)
    for keyword, value in (("SliceThickness", thickness), ("RescaleSlope", slope), ("RescaleIntercept", intercept)):
        if value is not None:
            setattr(ds, keyword, value)
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, int(signed)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    ds.PixelData = pixels.astype(f"{order}{'i' if signed else 'u'}2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def write(ds: FileDataset, path: Path) -> Path:
    """Save with the transfer syntax of its meta information, compressing where pydicom must."""
    path.parent.mkdir(parents=True, exist_ok=True)
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax in UNCOMPRESSED:
        ds.save_as(path, enforce_file_format=True)
        return path
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_ct_series(
    folder: Path,
    n: int = 5,
    *,
    shape: tuple[int, int] = (12, 16),
    positions: np.ndarray | None = None,
    pixels: np.ndarray | None = None,
    slopes: Sequence[float] | None = None,
    intercepts: Sequence[float] | None = None,
    first_number: int = 1,
    edit: Edit | None = None,
    **options: Any,
) -> list[Path]:
    """Write one CT series, a slice a file.

    `options` go to `ct_dataset`; `edit(ds, i)` changes what is left.
    """
    where = positions_of(n, orientation=options.get("orientation", AXIAL)) if positions is None else positions
    values = stored_values(len(where), *shape) if pixels is None else pixels
    paths = []
    for i, position in enumerate(where):
        one = dict(options)
        if slopes is not None:
            one["slope"] = slopes[i]
        if intercepts is not None:
            one["intercept"] = intercepts[i]
        ds = ct_dataset(values[i], position, number=first_number + i, **one)
        if edit:
            edit(ds, i)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        paths.append(write(ds, folder / f"{first_number + i:04d}"))
    return paths


def write_enhanced_ct(
    path: Path,
    positions: np.ndarray,
    pixels: np.ndarray,
    *,
    slopes: Sequence[float] | None = None,
    edit: Edit | None = None,
    **options: Any,
) -> Path:
    """Write a multi-frame Enhanced CT: position and rescale by frame, orientation and spacing shared."""
    ds = ct_dataset(pixels[0], positions[0], **options)
    orientation, spacing, thickness = ds.ImageOrientationPatient, ds.PixelSpacing, ds.SliceThickness
    intercept = ds.RescaleIntercept
    moved = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope")
    for keyword in (*moved, "RescaleIntercept"):
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    ds.NumberOfFrames = len(positions)
    ds.PixelData = pixels.astype("<i2" if ds.PixelRepresentation else "<u2").tobytes()
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = orientation
    measures.PixelSpacing, measures.SliceThickness = spacing, thickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Items([plane]), Items([measures])
    ds.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for i, position in enumerate(positions):
        frame, place, rescale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [float(p) for p in position]
        rescale.RescaleSlope, rescale.RescaleIntercept = (1 if slopes is None else slopes[i]), intercept
        rescale.RescaleType = "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = Items([place]), Items([rescale])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Items(frames)
    if edit:
        edit(ds, 0)
    return write(ds, path)


def write_rtstruct(
    path: Path,
    ct_files: Sequence[Path],
    rois: dict[str, Sequence[np.ndarray]],
    *,
    refer_series: bool = True,
    refer_instances: bool = True,
    edit: Callable[[Dataset], None] | None = None,
) -> Path:
    """Write an RTSTRUCT with closed contours in mm, drawn on these CT files."""
    images = [pydicom.dcmread(p, stop_before_pixels=True) for p in ct_files]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = RTStructureSetStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = uid("rtstruct", path)
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    ds.PatientID, ds.PatientName, ds.Modality = images[0].PatientID, "Secret^Name", "RTSTRUCT"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = images[0].StudyInstanceUID, uid("rtseries", path)
    frame = Dataset()
    frame.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    if refer_series or refer_instances:
        series, study = Dataset(), Dataset()
        series.SeriesInstanceUID = images[0].SeriesInstanceUID if refer_series else uid("gone")
        series.ContourImageSequence = Items([_reference(i) for i in images] if refer_instances else [])
        study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = (
            "1.2.840.10008.3.1.2.3.1",
            images[0].StudyInstanceUID,
        )
        study.RTReferencedSeriesSequence = Items([series])
        frame.RTReferencedStudySequence = Items([study])
    ds.ReferencedFrameOfReferenceSequence = Items([frame])
    ds.StructureSetLabel, ds.StructureSetROISequence, ds.ROIContourSequence = "RT", Items(), Items()
    ds.RTROIObservationsSequence = Items()
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, shape = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, images[0].FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "MANUAL"
        shape.ReferencedROINumber = number
        shape.ContourSequence = Items([_contour(points) for points in contours])
        ds.StructureSetROISequence.append(roi)
        ds.ROIContourSequence.append(shape)
    if edit:
        edit(ds)
    return write(ds, path)


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def _contour(points_mm: np.ndarray) -> Dataset:
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points_mm)
    item.ContourData = [f"{v:.6g}" for v in np.asarray(points_mm).ravel()]
    return item


def heed_interrupts() -> None:
    """Let a child process hear Ctrl-C: a shell starts jobs in the background (CI among them) with it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
