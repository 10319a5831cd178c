"""A unique value in every attribute of DICOM's dictionary that can hold text, a number, a date or a name."""

from __future__ import annotations

import warnings
from pathlib import Path

import pydicom
from privacy.tokens import Tokens
from pydicom.datadict import DicomDictionary, RepeatersDictionary
from pydicom.dataset import Dataset, FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_data_element, write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

STRUCTURE = frozenset({
    "SpecificCharacterSet", "SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel",
    "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "NumberOfFrames", "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "GantryDetectorTilt", "InstanceNumber", "PixelPaddingValue",
    "LossyImageCompression", "TriggerTime", "TemporalPositionIdentifier", "TemporalPositionIndex",
    "InConcatenationNumber", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "PixelValueTransformationSequence", "ReferencedFrameOfReferenceSequence", "StructureSetROISequence",
    "ROIContourSequence", "RTROIObservationsSequence", "SegmentSequence", "SegmentationType",
    "SegmentationFractionalType", "MaximumFractionalValue", "SegmentsOverlap", "DimensionOrganizationSequence",
    "DimensionIndexSequence", "ReferencedSeriesSequence", "TotalPixelMatrixOriginSequence",
    "ImageOrientationSlide", "ImageCenterPointCoordinatesSequence", "TotalPixelMatrixRows", "TotalPixelMatrixColumns",
})  # fmt: skip
"""Not planted: without their true values no voxel, contour or place in space can be read. They name nobody.

The items of their sequences are planted, where those that read them leave room."""
IDENTITY = (
    "PatientID",
    "PatientName",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)
"""Planted by the study itself: they differ from patient to patient, or from file to file."""
_LOW_GROUPS = frozenset({0x0000, 0x0002, 0x0004, 0xFFFE})
"""Commands, file meta information (planted apart), DICOMDIR and delimiters: in no data set of a file."""
_IN_ITEMS = ("PatientName", "PatientID", "PatientBirthDate", "CodeMeaning", "TextValue")
_LONG = {"ST", "LT", "UT", "UC", "LO"}
_TEXTS = _LONG | {"AE", "CS", "SH"}
_BYTES = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
_SMALL = {"US": 61_001, "SS": -30_500}


def value_for(vr: str, place: str, tokens: Tokens) -> object:
    """Return a legal value of a VR that is planted at one place alone."""
    if vr in _TEXTS:
        return tokens.text(place)
    if vr in _BYTES:
        return tokens.text(place).encode() + b"    "
    if vr in _SMALL:
        return tokens.integer(place, _SMALL[vr])
    large = {"DS": str, "FL": float, "FD": float, "UV": int, "SV": int}
    if vr in large:
        value = tokens.large(place)
        return f"{value:.5e}" if vr == "DS" else large[vr](value)
    makers = {
        "PN": lambda: f"{tokens.text(place)}^Secret", "UR": lambda: f"urn:{tokens.text(place)}",
        "DA": lambda: tokens.day(place), "DT": lambda: f"{tokens.day(place)}031722.5",
        "TM": lambda: tokens.clock(place), "AS": lambda: tokens.age(place), "UI": lambda: tokens.uid(place),
        "AT": lambda: tokens.tag(place),
        "IS": lambda: str(tokens.integer(place)), "UL": lambda: tokens.integer(place),
        "SL": lambda: tokens.integer(place),
    }  # fmt: skip
    return makers[vr]()


def plant_all(kind: str, tokens: Tokens, spared: frozenset[str] = frozenset()) -> dict[int, bytes]:
    """Return, encoded, every attribute but `STRUCTURE`, `IDENTITY` and `spared`.

    Parameters
    ----------
    kind : str
        Object that it is for, so that CT, RTSTRUCT and SEG have values of their own: part of the places' names.
    """
    ds = Dataset()
    for tag, (vrs, *_, keyword) in DicomDictionary.items():
        if tag >> 16 in _LOW_GROUPS or not keyword or keyword in STRUCTURE | spared | {*IDENTITY}:
            continue
        vr = vrs.split(" or ")[0]
        place = f"{kind} {keyword}"
        if vr == "SQ":
            ds.add_new(tag, vr, Sequence([_item(place, tokens)]))
        elif vr != "NONE":
            ds.add_new(tag, vr, value_for(vr, place, tokens))
    _plant_repeaters(ds, kind, tokens)
    _plant_private(ds, kind, tokens)
    return encode(ds)


def _item(place: str, tokens: Tokens) -> Dataset:
    """Return an item that names the patient, and an item in it that does so too."""
    item = Dataset()
    for keyword in _IN_ITEMS:
        setattr(item, keyword, value_for(pydicom.datadict.dictionary_VR(keyword), f"{place}.{keyword}", tokens))
    inner = Dataset()
    inner.PatientID = tokens.text(f"{place}.OtherPatientIDsSequence.PatientID")
    item.OtherPatientIDsSequence = Sequence([inner])
    item.private_block(0x0011, tokens.text(f"{place}.private creator"), create=True).add_new(
        1, "LO", tokens.text(f"{place}.private")
    )
    return item


def _plant_repeaters(ds: Dataset, kind: str, tokens: Tokens) -> None:
    """Plant the texts of curves and overlays (groups 50xx and 60xx)."""
    for mask, (vrs, *_, keyword) in RepeatersDictionary.items():
        if vrs in _LONG and mask[:4] in {"50xx", "60xx"}:
            ds.add_new(BaseTag(int(mask.replace("xx", "02"), 16)), vrs, tokens.text(f"{kind} {keyword}"))


def _plant_private(ds: Dataset, kind: str, tokens: Tokens) -> None:
    block = ds.private_block(0x0009, tokens.text(f"{kind} private creator"), create=True)
    vrs = ("LO", "LT", "PN", "DA", "TM", "DT", "IS", "DS", "FD", "UL", "UN", "OB", "SH", "CS", "UI")
    for number, vr in enumerate(vrs):
        block.add_new(number, vr, value_for(vr, f"{kind} private {vr}", tokens))
    block.add_new(0x80, "SQ", Sequence([_item(f"{kind} private SQ", tokens)]))


def encode(ds: Dataset) -> dict[int, bytes]:
    """Return each element as Explicit VR Little Endian writes it: merging bytes is what makes many files quick."""
    encoded = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in ds:
            buffer = DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, False
            if " or " in element.VR:
                element = correct_ambiguous_vr_element(element, ds, is_little_endian=True)  # noqa: PLW2901
            write_data_element(buffer, element, ds.get("SpecificCharacterSet", "ISO_IR 100"))
            encoded[int(element.tag)] = buffer.getvalue()
    return encoded


def write_planted(
    file: Path, ds: FileDataset, planted: dict[int, bytes], own: Dataset, kind: str, tokens: Tokens
) -> None:
    """Write an object: what it says, planted values over it, and over these what is `own` to the file.

    Preamble and file meta information are planted too.
    """
    meta = ds.file_meta
    meta.MediaStorageSOPInstanceUID = own.get("SOPInstanceUID", ds.SOPInstanceUID)
    for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "ReceivingApplicationEntityTitle",
                    "ImplementationVersionName"):  # fmt: skip
        setattr(meta, keyword, tokens.text(f"{kind} {keyword}"))
    meta.PrivateInformationCreatorUID = tokens.uid(f"{kind} PrivateInformationCreatorUID")
    meta.PrivateInformation = tokens.text(f"{kind} PrivateInformation").encode()
    head = DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    write_file_meta_info(head, meta)
    elements = encode(ds) | planted | encode(own)
    preamble = tokens.text(f"{kind} preamble").encode().ljust(128, b"\0")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join([preamble, b"DICM", head.getvalue(), *(elements[tag] for tag in sorted(elements))]))


def plant_items(ds: Dataset, kind: str, tokens: Tokens) -> None:
    """Plant what names people into each item of the sequences that `STRUCTURE` spares."""
    for element in ds:
        if element.VR == "SQ" and element.keyword in STRUCTURE:
            for item in element.value:
                place = f"{kind} {element.keyword}"
                for keyword, value in _item(place, tokens).items():
                    if keyword not in item:
                        item[keyword] = value
                plant_items(item, place, tokens)
