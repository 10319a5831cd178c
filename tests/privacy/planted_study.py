"""Eight small patients whose files hold a planted value wherever one fits: headers, folders, file names, comments."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import factories
import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk
from privacy.planting import plant_all, plant_items, write_planted
from privacy.tokens import Tokens
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

PATIENTS = 8
SLICES, SIDE = 7, 28
_CENTRES = ((8.0, 8.0), (19.0, 18.0))
"""Of the two lesions of a patient: columns and rows."""
_OF_THE_SERIES = ("StudyDate", "Manufacturer", "InstitutionName", "ConvolutionKernel", "AcquisitionNumber",
                  "ContentTime", "ContrastBolusAgent", "ConcatenationUID", "AcquisitionTime")  # fmt: skip
"""What every slice of a series has alike, or it would be taken apart."""
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_NIFTI_TEXTS = {"data_type": (4, 10), "db_name": (14, 18), "descrip": (148, 80), "aux_file": (228, 24),
                "intent_name": (328, 16)}  # fmt: skip
_NIFTI_HEADER, _EXTENSION_OF_TEXT = 348, 6


@dataclass(frozen=True)
class PlantedStudy:
    """Where the planted files are."""

    root: Path
    dicom: Path
    tokens: Tokens
    patient_ids: tuple[str, ...]
    research: Path
    """cohort.csv of one patient's scan and mask as NIfTI and NRRD."""
    damaged: Path
    """DICOM folder of scans and masks that cannot be read, or are another patient's."""

    @property
    def key(self) -> Path:
        """Key file for --pseudonymise."""
        return self.root / "key"


def make_planted_study(root: Path) -> PlantedStudy:
    """Write it all."""
    tokens = Tokens()
    planted = {kind: plant_all(kind, tokens) for kind in ("CT", "RTSTRUCT", "SEG")}
    ids = tuple(tokens.text("PatientID", i) for i in range(PATIENTS))
    study = PlantedStudy(root, root / "dicom", tokens, ids, root / "research", root / "damaged")
    study.root.mkdir(parents=True, exist_ok=True)
    study.key.write_bytes(bytes(range(7, 39)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom finds some of it odd
        for number in range(PATIENTS):
            _write_patient(study, number, planted)
        _write_research_files(study)
        _write_damaged(study, planted)
    return study


def folder_of(study: PlantedStudy, number: int) -> Path:
    """Return the folder of a patient, which is named after him."""
    return study.dicom / f"{study.tokens.text('folder name', number)} Secret"


def _volume(number: int) -> np.ndarray:
    """Return noise in HU, and lesions whose texture depends on whether the patient responds (every second does)."""
    rng = np.random.default_rng(number)
    hu = rng.normal(60, 10, (SLICES, SIDE, SIDE))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for x, y in _CENTRES:
        inside = np.hypot(columns - x, rows - y) < 6
        hu[:, inside] += 30 + rng.normal(0, 40 if number % 2 else 12, (SLICES, int(inside.sum())))
    hu[:, :2] = -1000  # air, or a check would say that these are not HU
    return hu.round().astype(np.int16)


def _write_patient(study: PlantedStudy, number: int, planted: dict[str, dict[int, bytes]]) -> None:
    tokens, folder = study.tokens, folder_of(study, number)
    files = _write_ct(study, folder / "CT", number, planted["CT"])
    names = [f"GTV {k} {tokens.text('ROI name', f'{number} {k}')}" for k in (1, 2)]
    file = folder / f"{tokens.text('mask file name', number)}.dcm"
    if number % 2:
        _write_rtstruct(study, file, files, names, planted["RTSTRUCT"])
    else:
        _write_seg(study, file, files, names, planted["SEG"])


def _write_ct(study: PlantedStudy, folder: Path, number: int, planted: dict[int, bytes]) -> list[Path]:
    files = []
    same = {int(pydicom.tag.Tag(k)): planted[int(pydicom.tag.Tag(k))] for k in _OF_THE_SERIES}
    for k, (pixels, position) in enumerate(zip(_volume(number), factories.positions_of(SLICES, step=2.0), strict=True)):
        ds = factories.ct_dataset(
            pixels, position, pixel_spacing=(1.0, 1.0), thickness=2.0, intercept=0, signed=True, number=k + 1
        )
        own = _own(study, number, "CT")
        own.SOPInstanceUID = study.tokens.uid("CT SOPInstanceUID", f"{number} {k}")
        files.append(folder / f"{k:04d}")
        # In whatever order they are read, the first and the middle one are planted whole.
        whole = planted if k in {0, SLICES // 2, SLICES - 1} else same
        write_planted(files[-1], ds, whole, own, "CT", study.tokens)
    return files


def _own(study: PlantedStudy, number: int, kind: str) -> Dataset:
    """Return what differs from patient to patient."""
    ds, tokens = Dataset(), study.tokens
    ds.PatientID = study.patient_ids[number]
    ds.PatientName = f"{tokens.text('PatientName', number)}^Secret"
    ds.StudyInstanceUID = tokens.uid("StudyInstanceUID", number)
    ds.SeriesInstanceUID = tokens.uid(f"{kind} SeriesInstanceUID", number)
    ds.SOPInstanceUID = tokens.uid(f"{kind} SOPInstanceUID", number)
    ds.FrameOfReferenceUID = tokens.uid("FrameOfReferenceUID", number)
    return ds


def _write_rtstruct(
    study: PlantedStudy,
    file: Path,
    images: Sequence[Path],
    names: Sequence[str],
    planted: dict[int, bytes],
    *,
    own: Dataset | None = None,
) -> None:
    tokens, number = study.tokens, study.patient_ids.index(pydicom.dcmread(images[0]).PatientID)

    def plant(ds: Dataset) -> None:
        for k, roi in enumerate(ds.StructureSetROISequence):
            roi.ROIDescription = tokens.text("RTSTRUCT ROIDescription", k)
            roi.ROIGenerationDescription = tokens.text("RTSTRUCT ROIGenerationDescription", k)
            item = Dataset()
            item.ObservationNumber = item.ReferencedROINumber = k + 1
            item.ROIObservationLabel = tokens.text("RTSTRUCT ROIObservationLabel", k)
            item.ROIInterpreter = f"{tokens.text('RTSTRUCT ROIInterpreter', k)}^Secret"
            ds.RTROIObservationsSequence.append(item)
        plant_items(ds, "RTSTRUCT", tokens)

    rois = {name: _contours(x, y) for name, (x, y) in zip(names, _CENTRES, strict=True)}
    factories.write_rtstruct(file, images, rois, edit=plant)
    write_planted(
        file,
        pydicom.dcmread(file),
        planted,
        _own(study, number, "RTSTRUCT") if own is None else own,
        "RTSTRUCT",
        tokens,
    )


def _contours(x: float, y: float) -> list[np.ndarray]:
    origin = factories.positions_of(SLICES, step=2.0)
    circle = np.stack([x + 5.2 * np.cos(_ANGLES), y + 5.2 * np.sin(_ANGLES), np.zeros_like(_ANGLES)], axis=1)
    return [circle + origin[k] for k in range(1, 6)]


def _write_seg(
    study: PlantedStudy, file: Path, images: Sequence[Path], names: Sequence[str], planted: dict[int, bytes]
) -> None:
    tokens = study.tokens
    sources = [factories.ct_dataset(np.zeros((SIDE, SIDE)), p) for p in factories.positions_of(SLICES, step=2.0)]
    read = [pydicom.dcmread(p) for p in images]
    number = study.patient_ids.index(read[0].PatientID)
    for source, image in zip(sources, read, strict=True):
        source.update(_own(study, number, "CT"))
        source.SOPInstanceUID = image.SOPInstanceUID
        source.PixelSpacing, source.SliceThickness = [1.0, 1.0], 2.0
        source.PositionReferenceIndicator = ""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks = np.zeros((SLICES, SIDE, SIDE, 2), np.uint8)
    for k, (x, y) in enumerate(_CENTRES):
        masks[1:6, :, :, k] = np.hypot(columns - x, rows - y) < 5.2
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=k, segment_label=name, algorithm_type="MANUAL", segmented_property_type=codes.SCT.Lesion,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            tracking_uid=tokens.uid("SEG TrackingUID", f"{number} {k}"),
            tracking_id=tokens.text("SEG TrackingID", f"{number} {k}"),
        )
        for k, name in enumerate(names, start=1)
    ]  # fmt: skip
    for k, segment in enumerate(segments):
        segment.SegmentDescription = tokens.text("SEG SegmentDescription", k)
        segment.SegmentAlgorithmName = tokens.text("SEG SegmentAlgorithmName", k)
    own = _own(study, number, "SEG")
    seg = highdicom.seg.Segmentation(
        source_images=sources, pixel_array=masks, segmentation_type="BINARY", segment_descriptions=segments,
        series_instance_uid=own.SeriesInstanceUID, series_number=3, sop_instance_uid=own.SOPInstanceUID,
        instance_number=1, manufacturer="m", manufacturer_model_name="m", software_versions="1",
        device_serial_number="1",
    )  # fmt: skip
    plant_items(seg, "SEG", tokens)
    write_planted(file, seg, planted, own, "SEG", tokens)


# --- research formats


def _write_research_files(study: PlantedStudy) -> None:
    """Write one patient as NIfTI and as NRRD, with names in their free texts, and the table by hand."""
    tokens = study.tokens
    folder = study.research / f"{tokens.text('folder name', 'research')} Secret"
    folder.mkdir(parents=True)
    hu = _volume(1)
    mask = np.zeros(hu.shape, np.uint8)
    mask[1:6, 3:14, 3:14] = 1
    for name, array in (("ct", hu), ("mask", mask)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.0, 1.0, 2.0))
        for suffix in ("nii", "nrrd"):
            sitk.WriteImage(image, str(folder / f"{name}.{suffix}"))
        _plant_nifti(folder / f"{name}.nii", tokens)
        _plant_nrrd(folder / f"{name}.nrrd", tokens)
    where = folder.relative_to(study.research)
    rows = [f"{study.patient_ids[1]},{x},{where}/ct.{x},{where}/mask.{x},1" for x in ("nii", "nrrd")]
    (study.research / "cohort.csv").write_text("\n".join(["patient_id,lesion_id,image,mask,label", *rows, ""]), "utf-8")


def _plant_nifti(file: Path, tokens: Tokens) -> None:
    data = bytearray(file.read_bytes())
    for name, (start, size) in _NIFTI_TEXTS.items():
        place = f"NIfTI {name}"
        text = tokens.text(place) if size >= 12 else tokens.age(place)
        data[start : start + size] = text.encode().ljust(size, b"\0")
    voxels = data[int(struct.unpack_from("<f", data, 108)[0]) :]
    text = tokens.text("NIfTI extension").encode().ljust(24, b"\0")
    extension = struct.pack("<4Bii", 1, 0, 0, 0, 8 + len(text), _EXTENSION_OF_TEXT) + text
    struct.pack_into("<f", data, 108, _NIFTI_HEADER + len(extension))
    file.write_bytes(bytes(data[:_NIFTI_HEADER]) + extension + bytes(voxels))


def _plant_nrrd(file: Path, tokens: Tokens) -> None:
    magic, rest = file.read_bytes().split(b"\n", 1)
    lines = [f"# {tokens.text('NRRD comment')}", f"content: {tokens.text('NRRD content')}"]
    head, body = rest.split(b"\n\n", 1)
    pairs = [f"PatientName:={tokens.text('NRRD value')}", f"{tokens.text('NRRD key')}:=1"]
    file.write_bytes(b"\n".join([magic, *(x.encode() for x in lines), head, *(x.encode() for x in pairs), b"", body]))


# --- what goes wrong


def _write_damaged(study: PlantedStudy, planted: dict[str, dict[int, bytes]]) -> None:
    """Write a scan cut short, one with a header that lies, and masks that fit nothing."""
    tokens = study.tokens
    names = [f"GTV {k} {tokens.text('ROI name', f'damaged {k}')}" for k in (1, 2)]
    good = _write_ct(study, study.damaged / tokens.text("folder name", "good") / "CT", 1, planted["CT"])
    cut = study.damaged / tokens.text("folder name", "cut") / tokens.text("file name", "cut")
    cut.parent.mkdir()
    cut.write_bytes(good[0].read_bytes()[:70_000])
    ds = factories.ct_dataset(_volume(1)[0], (0, 0, 0))
    for name, changes in (
        ("lies", {"Rows": 0, "StudyDate": tokens.text("StudyDate that is none"), "Modality": tokens.text("Modality")}),
        ("no series", {"SeriesInstanceUID": ""}),
    ):
        own = _own(study, 1, "CT")
        for keyword, value in changes.items():
            own.add_new(keyword, pydicom.datadict.dictionary_VR(keyword), value)
        file = study.damaged / f"{tokens.text('file name', name)}.dcm"
        write_planted(file, ds, planted["CT"], own, "CT", tokens)
    file = study.damaged / f"{tokens.text('mask file name', 'damaged')}.dcm"
    own = _own(study, 1, "RTSTRUCT")
    own.PatientID, own.PatientName = tokens.text("PatientID", "another"), tokens.text("PatientName", "another")
    _write_rtstruct(study, file, good, names, planted["RTSTRUCT"], own=own)
