"""The header of one DICOM file: the few facts that indexing and reading a CT rest on.

Free text and identifying attributes (SeriesDescription, PatientName, ...) are looked at here at most, and never
leave.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom import config
from pydicom.errors import BytesLengthException, InvalidDicomError

from radiomics_talent.dicom.opening import read_dicom
from radiomics_talent.dicom.phases import find_contrast_phase
from radiomics_talent.errors import DicomError
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.geometry import is_plausible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

STRANGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError, OSError, RuntimeError,
    AssertionError, MemoryError, struct.error, zlib.error, InvalidDicomError, BytesLengthException,
)  # fmt: skip
"""What pydicom and its decoders have been seen to raise for malformed files."""

CT_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
"""CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage."""
ENHANCED_CT_CLASSES = CT_CLASSES - {"1.2.840.10008.5.1.4.1.1.2"}
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
SEG_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
"""Segmentation and Label Map Segmentation Storage."""
_USED_CLASSES = CT_CLASSES | SEG_CLASSES | {RTSTRUCT_CLASS}
MEDIA_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_UNCOMPRESSED = frozenset({"", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 112))
_PERHAPS_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (91, 93, 203))
_LARGEST = 1e10  # a larger number of a header was damaged, and counts as absent
_LOCALIZER_WORDS = frozenset({"LOCALIZER", "SCOUT", "SURVIEW", "TOPOGRAM", "SCANOGRAM"})

_TAGS = [
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "ContentTime", "AcquisitionTime",
    "Modality", "Manufacturer", "InstitutionName", "SeriesDescription", "PatientID", "ContrastBolusAgent",
    "SliceThickness", "ProtocolName", "TriggerTime", "GantryDetectorTilt", "ConvolutionKernel", "StudyInstanceUID",
    "SeriesInstanceUID", "AcquisitionNumber", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
    "FrameOfReferenceUID", "TemporalPositionIdentifier", "TemporalPositionIndex", "ConcatenationUID",
    "InConcatenationNumber", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
    "PixelSpacing", "BitsAllocated", "PixelRepresentation", "PixelPaddingValue", "RescaleIntercept", "RescaleSlope",
    "RescaleType", "LossyImageCompression", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip

Triple = tuple[float, float, float]

MODALITIES = frozenset({
    "ANN", "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CR", "CT", "CTPROTOCOL", "DMS", "DG", "DOC", "DX", "ECG", "EEG",
    "EMG", "EOG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "MG",
    "MR", "M3D", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA", "PLAN", "POS",
    "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD",
    "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG", "US", "VA", "XA",
    "XAPROTOCOL", "XC",
})  # fmt: skip
"""Defined terms of Modality (PS3.3 C.7.3.1.1.1)."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one slice (a single-frame image, or one frame) lies, and what turns its values into HU.

    Attributes
    ----------
    position_mm : tuple of float or None
        ImagePositionPatient, (x, y, z).
    orientation : tuple of float or None
        ImageOrientationPatient: direction of a row, then of a column.
    pixel_spacing_mm : tuple of float or None
        PixelSpacing: between rows, between columns.
    """

    position_mm: Triple | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str


@dataclass(frozen=True, slots=True)
class Instance:
    """Header facts of one DICOM file; names are the DICOM keywords."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    study_date: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    is_grey: bool
    n_frames: int
    planes: tuple[Plane, ...]
    acquisition_number: int | None
    instance_number: int | None
    temporal_position: float | None
    trigger_time: float | None
    content_time: float | None
    concatenation: tuple[str, int]
    gantry_tilt_deg: float
    is_signed: bool
    padding_value: int | None
    is_lossy: bool
    missing_bytes: int
    contrast_phase: str
    kernel: str
    manufacturer: str
    site: str

    @property
    def is_ct(self) -> bool:
        """Whether the object is a CT image (not a screen capture or dose report with Modality CT)."""
        return self.modality == "CT" and self.sop_class_uid in CT_CLASSES

    @property
    def is_localizer(self) -> bool:
        """Whether ImageType calls it a localizer."""
        return bool(_LOCALIZER_WORDS & set(self.image_type))

    @property
    def is_multiframe(self) -> bool:
        """Whether the file is a volume of its own."""
        return self.n_frames > 1 or self.sop_class_uid in ENHANCED_CT_CLASSES


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Let pydicom accept odd values without a word, as far as it can read them at all."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def read_dataset(path: Path, **options: Any) -> Dataset:
    """Read a DICOM file, also one that lacks preamble and file meta information.

    Raises
    ------
    DicomError
        The file cannot be read as DICOM.
    """
    try:
        with quiet_pydicom():
            return read_dicom(path, force=True, **options)
    except DicomError:
        raise
    except STRANGE as error:
        raise DicomError(
            f"not readable as DICOM ({_brief(error)}); copy or export it again", where=str(path)
        ) from error


def read_instance(path: Path) -> Instance | None:
    """Read the header of one file; None when it is not a DICOM object that belongs to a series.

    Raises
    ------
    DicomError
        The file is DICOM, but damaged.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
        size = path.stat().st_size
    except OSError as error:
        raise DicomError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if not looks_like_dicom(start):
        return None
    dataset = read_dataset(path, stop_before_pixels=True, specific_tags=_TAGS)
    with quiet_pydicom():
        try:
            return _instance(path, dataset, size)
        except DicomError:
            raise
        except STRANGE as error:
            raise DicomError(
                f"its header cannot be read ({_brief(error)}); export it again", where=str(path)
            ) from error


def read_instances(paths: Sequence[Path]) -> list[Instance | Finding | None]:
    """Read many headers, as a worker process does: damaged files become findings."""
    return [_read_or_report(path) for path in paths]


def _read_or_report(path: Path) -> Instance | Finding | None:
    try:
        return read_instance(path)
    except DicomError as error:
        return Finding("unreadable-file", error.message, str(path))


def looks_like_dicom(start: bytes) -> bool:
    """Tell DICOM from anything else by the first bytes of a file, with or without preamble."""
    if start[128:132] == b"DICM":
        return True
    if len(start) < 16:
        return False
    for order, group, element in (("<", *struct.unpack("<HH", start[:4])), (">", *struct.unpack(">HH", start[:4]))):
        if group not in {0x0002, 0x0008} or element > 0x0100:
            continue
        explicit = start[4:6].isalpha() and start[4:6].isupper()
        if explicit or (order == "<" and struct.unpack("<L", start[4:8])[0] <= 0x400):
            return True
    return False


def _instance(path: Path, ds: Dataset, file_size: int) -> Instance | None:
    meta = getattr(ds, "file_meta", None)
    named = _text(meta, "MediaStorageSOPClassUID") if meta is not None else ""
    sop_class = _text(ds, "SOPClassUID") or named
    series = _text(ds, "SeriesInstanceUID")
    if MEDIA_DIRECTORY_CLASS in {sop_class, named}:
        return None
    if not series and not _USED_CLASSES & {sop_class, named}:
        return None
    for keyword, needed in (("SeriesInstanceUID", True), ("Rows", named in CT_CLASSES or sop_class in CT_CLASSES)):
        if needed and not _text(ds, keyword):
            raise DicomError(f"{keyword} is missing (is the file cut short?); export it again", where=str(path))
    syntax = _text(meta, "TransferSyntaxUID") if meta is not None else ""
    n_frames = _integer(ds, "NumberOfFrames") or 1
    missing = 0
    if syntax in _UNCOMPRESSED and sop_class in CT_CLASSES:
        missing = max(0, _pixel_bytes(ds, n_frames) - file_size)
    return Instance(
        path=path,
        sop_class_uid=sop_class,
        sop_instance_uid=_text(ds, "SOPInstanceUID") or (_text(meta, "MediaStorageSOPInstanceUID") if meta else ""),
        modality=_modality(ds),
        patient_id=_text(ds, "PatientID"),
        study_instance_uid=_text(ds, "StudyInstanceUID"),
        series_instance_uid=series,
        frame_of_reference_uid=_text(ds, "FrameOfReferenceUID"),
        study_date=_date(ds),
        image_type=tuple(word.upper() for word in _texts(ds, "ImageType")),
        rows=_integer(ds, "Rows") or 0,
        columns=_integer(ds, "Columns") or 0,
        is_grey=(_integer(ds, "SamplesPerPixel") or 1) == 1
        and _text(ds, "PhotometricInterpretation") in {"", "MONOCHROME1", "MONOCHROME2"},
        n_frames=n_frames,
        planes=_planes(ds, n_frames),
        acquisition_number=_integer(ds, "AcquisitionNumber"),
        instance_number=_integer(ds, "InstanceNumber"),
        temporal_position=_first(_number(ds, "TemporalPositionIdentifier"), _number(ds, "TemporalPositionIndex")),
        trigger_time=_number(ds, "TriggerTime"),
        content_time=_first(_number(ds, "ContentTime"), _number(ds, "AcquisitionTime")),
        concatenation=(_text(ds, "ConcatenationUID"), _integer(ds, "InConcatenationNumber") or 0),
        gantry_tilt_deg=_number(ds, "GantryDetectorTilt") or 0.0,
        is_signed=_integer(ds, "PixelRepresentation") == 1,
        padding_value=_integer(ds, "PixelPaddingValue"),
        is_lossy=_is_lossy(syntax, _text(ds, "LossyImageCompression")),
        missing_bytes=missing,
        contrast_phase=find_contrast_phase(
            _text(ds, "SeriesDescription"), _text(ds, "ProtocolName"), agent=_text(ds, "ContrastBolusAgent")
        ),
        kernel="/".join(_texts(ds, "ConvolutionKernel")),
        manufacturer=_text(ds, "Manufacturer"),
        site=_text(ds, "InstitutionName"),
    )


def _planes(ds: Dataset, n_frames: int) -> tuple[Plane, ...]:
    per_frame = _items(ds, "PerFrameFunctionalGroupsSequence")[:n_frames]
    shared = _items(ds, "SharedFunctionalGroupsSequence")[:1]
    if per_frame:
        return tuple(_plane([*_groups([frame, *shared]), ds]) for frame in per_frame)
    # Frames without functional groups have no place of their own.
    return (_plane([*_groups(shared), ds]) if n_frames == 1 else _plane(_groups(shared)),)


def _groups(functional_groups: list[Dataset]) -> list[Dataset]:
    macros = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    return [macro for group in functional_groups for name in macros for macro in _items(group, name)[:1]]


def _plane(sources: list[Dataset]) -> Plane:
    def numbers(keyword: str, count: int) -> tuple[float, ...] | None:
        return next((v for v in (_numbers(s, keyword, count) for s in sources) if v is not None), None)

    def number(keyword: str) -> float | None:
        found = numbers(keyword, 1)
        return found[0] if found else None

    position = numbers("ImagePositionPatient", 3)
    spacing = numbers("PixelSpacing", 2)
    return Plane(
        position_mm=(position[0], position[1], position[2]) if position and is_plausible((), position) else None,
        orientation=numbers("ImageOrientationPatient", 6),
        pixel_spacing_mm=(spacing[0], spacing[1]) if spacing and is_plausible(spacing, ()) else None,
        slice_thickness_mm=number("SliceThickness"),
        slope=number("RescaleSlope"),
        intercept=number("RescaleIntercept"),
        rescale_type=next((t for t in (_text(s, "RescaleType") for s in sources) if t), "").upper(),
    )


def _value(ds: Dataset, keyword: str) -> Any:
    try:
        return ds.get(keyword)
    except STRANGE:
        return None


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    value = _value(ds, keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []


def _texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    value = _value(ds, keyword)
    if value is None or isinstance(value, bytes):
        return ()
    values = (value,) if isinstance(value, str) or not hasattr(value, "__iter__") else value
    return tuple(t for t in (str(v).strip().strip("\0") for v in values) if t)


def _text(ds: Dataset, keyword: str) -> str:
    return next(iter(_texts(ds, keyword)), "")


def _numbers(ds: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    texts = _texts(ds, keyword)
    try:
        numbers = tuple(float(t) for t in texts[:count])
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(abs(n) < _LARGEST for n in numbers) else None


def _number(ds: Dataset, keyword: str) -> float | None:
    numbers = _numbers(ds, keyword, 1)
    return numbers[0] if numbers else None


def _integer(ds: Dataset, keyword: str) -> int | None:
    number = _number(ds, keyword)
    return None if number is None else int(number)


def _first(*values: float | None) -> float | None:
    return next((v for v in values if v is not None), None)


def _date(ds: Dataset) -> str:
    digits = "".join(c for c in _text(ds, "StudyDate") if c.isdigit())
    try:
        return date.fromisoformat(digits).isoformat() if len(digits) == 8 else ""
    except ValueError:  # 00000000, as some pseudonymisation leaves it
        return ""


def _pixel_bytes(ds: Dataset, n_frames: int) -> int:
    bits = _integer(ds, "BitsAllocated") or 0
    return (_integer(ds, "Rows") or 0) * (_integer(ds, "Columns") or 0) * n_frames * bits // 8


def _is_lossy(syntax: str, flag: str) -> bool:
    return flag == "01" or syntax in _LOSSY or (syntax in _PERHAPS_LOSSY and flag != "00")


def _modality(ds: Dataset) -> str:
    # It is printed, and what a broken export puts there could be anything.
    text = _text(ds, "Modality").upper()
    return text if text in MODALITIES or not text else "unknown"


def _brief(error: BaseException) -> str:
    # Only the kind of error: pydicom's own text may quote a value, and so a name.
    return type(error).__name__
