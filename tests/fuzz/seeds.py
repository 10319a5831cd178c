# ruff: noqa: E501
"""Tiny good files of every kind, to be spoilt: a scan of three slices, its masks, and the tables around them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import SimpleITK as sitk
from factories import positions_of, stored_values, write_ct_series, write_enhanced_ct, write_rtstruct
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

SECRET = "Secret"
"""Stands in PatientName and PatientID of every DICOM seed, and so in no sentence."""
PATIENT = "SecretP1"
SHAPE = (8, 10)
_LARGER = (32, 32)
"""JPEG 2000 wants as much."""
N_SLICES = 3
SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
    JPEGLSLossless, JPEG2000Lossless,
)  # fmt: skip
_HEADER = "patient_id,lesion_id,image,mask,label"


@dataclass(frozen=True)
class Seed:
    """Good files by name; `target` is the one to be spoilt."""

    files: Mapping[str, bytes]
    target: str

    @property
    def data(self) -> bytes:
        return self.files[self.target]


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def ct_seeds(folder: Path) -> list[Seed]:
    """One slice of a series in every transfer syntax, and multi-frame files, beside a mask that fits."""
    seeds = []
    for number, syntax in enumerate(SYNTAXES):
        place = folder / f"ct{number}"
        shape = _LARGER if syntax == JPEG2000Lossless else SHAPE
        write_ct_series(place / "ct", N_SLICES, shape=shape, syntax=syntax, patient=PATIENT)
        seeds.append(_with_mask(place, "ct", "ct/0002", shape))
    for number, syntax in enumerate((ExplicitVRLittleEndian, RLELossless)):
        place = folder / f"enhanced{number}"
        positions = positions_of(N_SLICES)
        pixels = stored_values(N_SLICES, *SHAPE)
        write_enhanced_ct(place / "ct" / "1", positions, pixels, syntax=syntax, patient=PATIENT)
        seeds.append(_with_mask(place, "ct", "ct/1", SHAPE))
    return seeds


def _with_mask(place: Path, image: str, target: str, shape: tuple[int, int]) -> Seed:
    """Add a NIfTI mask on the grid of the factories' scan, and the table."""
    mask = sitk.GetImageFromArray(_blob(shape))
    mask.SetSpacing((0.7, 0.8, 2.5))
    mask.SetOrigin((-100.0, -120.0, -300.0))
    sitk.WriteImage(mask, place / "mask.nii")
    (place / "cohort.csv").write_text(f"{_HEADER}\np,1,{image},mask.nii,1\n")
    return Seed(files_below(place), target)


def _blob(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros((N_SLICES, *shape), np.uint8)
    mask[:, 2:6, 3:8] = 1
    return mask


# --- DICOM masks


def rtstruct_seeds(folder: Path) -> list[Seed]:
    """Structure sets with one ROI and with several, explicit, implicit and deflated."""
    seeds = []
    for number, syntax in enumerate((ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)):
        place = folder / f"rt{number}"
        files = write_ct_series(place / "ct", N_SLICES, shape=SHAPE, patient=PATIENT)
        flat = [_square(z) for z in (-300.0, -297.5, -295.0)]
        tilted = [np.array([[-99.0, -119, -300], [-95.0, -119, -296], [-95.0, -115, -296], [-99.0, -115, -300]])]
        rois = {"lesion": flat, "other": flat[:1], "tilted": tilted} if number else {"lesion": flat}

        def edit(ds: pydicom.Dataset, syntax: str = syntax) -> None:
            ds.file_meta.TransferSyntaxUID = syntax

        write_rtstruct(place / "rt.dcm", files, rois, edit=edit)
        label = ("", "tilted", "lesion")[number]
        (place / "cohort.csv").write_text(f"{_HEADER}\np,1,ct,rt.dcm,{label}\n")
        seeds.append(Seed(files_below(place), "rt.dcm"))
    return seeds


def _square(z: float) -> np.ndarray:
    return np.array([[-98.0, -118.5, z], [-94.0, -118.5, z], [-94.0, -114.5, z], [-98.0, -114.5, z]])


def seg_seeds(folder: Path) -> list[Seed]:
    """Binary, fractional and label map segmentations, native and compressed."""
    from highdicom.seg import SegmentationTypeValues as Kind

    seeds = []
    kinds = (
        (Kind.BINARY, ExplicitVRLittleEndian), (Kind.FRACTIONAL, RLELossless), (Kind.LABELMAP, JPEG2000Lossless),
        (Kind.LABELMAP, ExplicitVRLittleEndian), (Kind.FRACTIONAL, JPEGLSLossless),
    )  # fmt: skip
    for number, (kind, syntax) in enumerate(kinds):
        place = folder / f"seg{number}"
        shape = _LARGER if syntax == JPEG2000Lossless else SHAPE
        files = write_ct_series(place / "ct", N_SLICES, shape=shape, patient=PATIENT)
        _write_seg(place / "seg.dcm", [pydicom.dcmread(f) for f in files], kind, syntax)
        (place / "cohort.csv").write_text(f"{_HEADER}\np,1,ct,seg.dcm,{'' if number else 1}\n")
        seeds.append(Seed(files_below(place), "seg.dcm"))
    return seeds


def _write_seg(path: Path, slices: list[pydicom.Dataset], kind: object, syntax: str) -> None:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="MANUAL",
    )
    blob = _blob((slices[0].Rows, slices[0].Columns))
    fractional = kind == hd.seg.SegmentationTypeValues.FRACTIONAL
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hd.seg.Segmentation(
            source_images=slices,
            pixel_array=blob.astype(np.float32) if fractional else blob,
            segmentation_type=kind,
            segment_descriptions=[segment],
            series_instance_uid=hd.UID(),
            series_number=9,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="x",
            manufacturer_model_name="x",
            software_versions="x",
            device_serial_number="x",
            transfer_syntax_uid=syntax,
        ).save_as(path)


# --- volumes of other formats


def volume_seeds(folder: Path, suffixes: tuple[str, ...]) -> list[Seed]:
    """An image and a mask in each format; either is the one to be spoilt."""
    seeds = []
    for suffix in suffixes:
        for target in ("image", "mask"):
            place = folder / f"{target}{suffix}"
            place.mkdir(parents=True)
            packed = suffix in {".nrrd", ".mha"} and target == "mask"
            _write_volume(
                place / f"image{suffix}", stored_values(N_SLICES, *SHAPE).astype(np.int16) - 1024, packed=packed
            )
            _write_volume(place / f"mask{suffix}", _blob(), packed=packed)
            (place / "cohort.csv").write_text(f"{_HEADER}\np,1,image{suffix},mask{suffix},1\n")
            seeds.append(Seed(files_below(place), f"{target}{suffix}"))
    return seeds


def _write_volume(path: Path, array: np.ndarray, *, packed: bool) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.0, -20.0, 30.0))
    sitk.WriteImage(image, path, useCompression=packed or path.suffix == ".gz")


def slicer_seed(folder: Path) -> Seed:
    """A .seg.nrrd as 3D Slicer writes it: segments named in the header."""
    seed = volume_seeds(folder, (".nrrd",))[0]
    head, _, _ = seed.files["mask.nrrd"].partition(b"\n\n")
    fields = b"Segment0_ID:=a\nSegment0_Name:=lesion\nSegment0_LabelValue:=1\nSegment0_Layer:=0"
    head = head.replace(b"encoding: gzip", b"encoding: raw") + b"\n" + fields
    files = {**seed.files, "mask.nrrd": head + b"\n\n" + _blob().tobytes()}
    return Seed({**files, "cohort.csv": files["cohort.csv"].replace(b",1\n", b",lesion\n")}, "mask.nrrd")


# --- tables and settings

COHORT = (
    "patient_id,lesion_id,image,mask,label,roi_name,series_uid,study_date,contrast_phase,slice_thickness_mm\n"
    "p1,1,image.nii,mask.nii,1,lesion,,2024-01-31,arterial,2.5\n"
    'p2,1,image.nii,mask.nii,1,lesion,,31.01.2024,portal-venous,"1,25"\n'
)
CLINICAL = (
    "patient_id,age,sex,best_overall_response,pfs_months,pfs_event,start_date\n"
    "p1,61,F,PR,11.2,1,2016-04-30\np2,58,M,SD,3.5,0,30.04.2016\np3,,F,PD,,,\n"
)
MEASUREMENTS = (
    "patient_id,lesion_id,role,visit_day,diameter_mm,status,node,organ\n"
    "p1,L1,target,0,32,,no,liver\np1,L1,target,56,21,,no,liver\np1,N1,non-target,0,,present,,bone\n"
    "p1,N1,non-target,56,,absent,,bone\np2,L1,target,0,15.5,,yes,node\np2,X,new,60,,present,,lung\n"
)
PATIENTS = "patient_id,cohort,start_date,last_contact_day,death_day\np1,A,2016-01-01,400,\np2,B,2016-01-01,300,310\n"
FOREIGN = 'patient_id,lesion_id,f1,f2\np1,1,1.5,2\np1,2,0.25,"3,5"\np2,1,nan,-1e-3\n'
ICC = "feature,icc\nf1,0.93\nf2,0.5\n"
OUTCOMES = "patient_id,lesion_id,response\np1,1,PR\np1,2,SD\n"
EXTRACTION = (
    "imageType:\n  Original: {}\n  LoG: {sigma: [1.0, 3.0]}\n  Wavelet: {}\nfeatureClass:\n  firstorder: [Mean]\n  glcm:\n"
    "setting:\n  binWidth: 25\n  resampledPixelSpacing: [2, 2, 2]\n  interpolator: sitkBSpline\nmask:\n"
    "  roi_names: {lesion: ['gtv.*', 'tumou?r']}\n  components: keep\ngeometry:\n  allow_gaps: true\n"
)


def text_seed(name: str, text: str, **others: str) -> Seed:
    files = {name: text.encode(), **{n.replace("_", "."): t.encode() for n, t in others.items()}}
    return Seed(files, name)


def cohort_seeds(folder: Path) -> list[Seed]:
    """The table of a cohort whose files are there."""
    seed = volume_seeds(folder, (".nii",))[0]
    return [Seed({**seed.files, "cohort.csv": COHORT.encode()}, "cohort.csv")]


def model_seeds(folder: Path) -> list[Seed]:
    """A linear model and a forest, each with refits; the record is the target, the other files are spoilt with it."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.model import ResponseModel, save_model
    from radiomics_talent.modelling.trained_domain import describe_columns

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((12, 2)), columns=["f1", "f2"])
    y = np.arange(12) % 2
    seeds = []
    for name, estimator in (("linear", LogisticRegression()), ("forest", RandomForestClassifier(2, max_depth=2))):
        prepare = StandardScaler().fit(frame)
        pipeline = Pipeline([("prepare", prepare), ("model", estimator.fit(prepare.transform(frame), y))])
        model = ResponseModel(
            settings=ModelSettings(models={"ridge": {"C": (1.0,)}}),
            outcome={"name": "response", "event": None, "positive": ["yes"]},
            columns={"radiomics": ("f1", "f2")},
            pipelines={"radiomics": pipeline},
            thresholds={"radiomics": 0.5},
            domain=describe_columns(frame),
            extraction=None,
            facts={"n": 12},
            fingerprints=frozenset({"a" * 24}),
        )
        save_model(model, folder / name, [pipeline])
        seeds.append(Seed(files_below(folder / name), "model.yaml"))
    return seeds


def feature_files(folder: Path) -> dict[str, bytes]:
    """A feature table as the extraction writes it: CSV and Parquet."""
    from studies import feature_table

    feature_table(3, features=2).write(folder)
    return files_below(folder)
