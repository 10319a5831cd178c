"""Which real cases PyRadiomics' values are frozen for, under which settings, and the files that hold them.

Regenerate the files with ``python tests/reference/write_oracle.py``.
"""

import hashlib
import json
import logging
import tarfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import SimpleITK as sitk

from radiomics_talent import ExtractionSettings, index_dicom, load_case, load_cohort
from radiomics_talent.cohort.manifest import Lesion, cohort_from_index, write_cohort

FOLDER = Path(__file__).parent / "oracle"
"""One Parquet file a source."""

_PLAIN_FILTERS = (
    "Original",
    "Wavelet",
    "Square",
    "SquareRoot",
    "Logarithm",
    "Exponential",
    "Gradient",
    "LBP2D",
    "LBP3D",
)
EVERY_IMAGE = {**{name: {} for name in _PLAIN_FILTERS}, "LoG": {"sigma": [1.0, 3.0]}}
NOT_LBP3D = {name: own for name, own in EVERY_IMAGE.items() if name != "LBP3D"}
"""PyRadiomics refuses a lesion in whose first voxel the kurtosis of the spherical harmonics is not defined."""
_TEXTURE = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
SOLID = dict.fromkeys(("shape", *_TEXTURE))
FLAT = dict.fromkeys(("shape2D", *_TEXTURE))
FEW = dict.fromkeys(("firstorder", "glszm"))
"""Enough to see whether a filter gives other voxels."""


def resampled(spacing_mm: float, **more: Any) -> dict[str, Any]:
    """PyRadiomics' default interpolator is the B-spline."""
    return {"resampledPixelSpacing": [spacing_mm] * 3, **more}


SETTINGS: dict[str, dict[str, Any]] = {
    "every image, 1 mm": {"imageType": EVERY_IMAGE, "setting": resampled(1)},
    "every image, 2 mm": {"imageType": EVERY_IMAGE, "setting": resampled(2)},
    "every image, 3 mm": {"imageType": EVERY_IMAGE, "setting": resampled(3)},
    "every image, as scanned": {"imageType": EVERY_IMAGE},
    "every image but LBP3D, 1 mm": {"imageType": NOT_LBP3D, "setting": resampled(1)},
    "every image but LBP3D, as scanned": {"imageType": NOT_LBP3D},
    "original, 1 mm": {"setting": resampled(1)},
    "linear, anisotropic": {
        "imageType": {"Original": {}, "LoG": {"sigma": [2]}, "Gradient": {}},
        "setting": {"resampledPixelSpacing": [2, 2, 3], "interpolator": "sitkLinear", "padDistance": 8},
    },
    "pre-cropped": {
        "featureClass": FEW,
        "imageType": {name: {} for name in ("Square", "SquareRoot", "Logarithm", "Exponential", "LBP2D", "LBP3D")}
        | {"LoG": {"sigma": [1.5]}},
        "setting": {"preCrop": True, "padDistance": 6},
    },
    "broad LoG": {"imageType": {"LoG": {"sigma": [5.0]}}, "setting": resampled(1, padDistance=30)},
    "deep wavelet": {
        "featureClass": FEW,
        "imageType": {"Wavelet": {"wavelet": "db3", "level": 2, "start_level": 1, "binWidth": 100}},
    },
    "other LBP": {
        "featureClass": FEW,
        "imageType": {
            "LBP2D": {"lbp2DRadius": 2, "lbp2DSamples": 12, "lbp2DMethod": "default"},
            "LBP3D": {"lbp3DLevels": 3, "lbp3DIcosphereRadius": 2, "lbp3DIcosphereSubdivision": 2},
        }
    },
    "gradient per voxel": {"imageType": {"Gradient": {"gradientUseSpacing": False}}},
    "32 bins": {"setting": {"binCount": 32}},
    "2 mm, 32 bins of every image": {"imageType": EVERY_IMAGE, "setting": resampled(2, binCount=32)},
    "distances": {"setting": {"distances": [1, 2]}},
    "euclidean": {"setting": {"weightingNorm": "euclidean", "distances": [1, 2]}},
    "manhattan": {"setting": {"weightingNorm": "manhattan"}},
    "infinity": {"setting": {"weightingNorm": "infinity", "distances": [2]}},
    "no weighting": {"setting": {"weightingNorm": "no_weighting"}},
    "asymmetric": {"setting": {"symmetricalGLCM": False}},
    "gldm_a 1": {"setting": {"gldm_a": 1, "distances": [1, 3]}},
    "axial": {
        "featureClass": SOLID,
        "imageType": {"Original": {}, "Wavelet": {}, "Gradient": {}, "LBP2D": {}},
        "setting": {"force2D": True, "resampledPixelSpacing": [1, 1, 0]},
    },
    "coronal": {
        "featureClass": SOLID,
        "imageType": {"Original": {}, "Wavelet": {}},
        "setting": {"force2D": True, "force2Ddimension": 1, "distances": [1, 2]},
    },
    "sagittal": {
        "featureClass": SOLID,
        "imageType": {"Original": {}, "LBP2D": {}},
        "setting": {"force2D": True, "force2Ddimension": 2},
    },
    "one slice": {
        "featureClass": FLAT,
        "imageType": {"Original": {}, "Wavelet": {}, "LBP2D": {}},
        "setting": {"force2D": True, "weightingNorm": "euclidean"},
    },
    "resegmented by sigma": {"setting": {"resegmentRange": [-1, 1.5], "resegmentMode": "sigma"}},
    "resegmented by value": {
        "imageType": {"Original": {}, "Wavelet": {}},
        "setting": {"resegmentRange": [-50, 1200], "resegmentMode": "absolute"},
    },
    "resegmented shape": {
        "setting": {"resegmentRange": [0.5], "resegmentMode": "relative", "resegmentShape": True},
    },
    "normalised": {
        "imageType": {"Original": {}, "Wavelet": {}, "Square": {}, "LoG": {"sigma": [2.0]}},
        "setting": {"normalize": True, "normalizeScale": 100, "removeOutliers": 3},
    },
    "normalised, 1 mm": {"setting": resampled(1, normalize=True, normalizeScale=100)},
    "shifted": {"setting": {"voxelArrayShift": 300}},
}  # fmt: skip
"""What PyRadiomics was asked for, by a name that a failing test shows."""

_RARE = [
    "linear, anisotropic", "pre-cropped", "broad LoG", "deep wavelet", "other LBP", "gradient per voxel", "32 bins",
    "distances", "euclidean", "manhattan", "infinity", "no weighting", "asymmetric", "gldm_a 1", "axial", "coronal",
    "sagittal", "resegmented by sigma", "resegmented by value", "resegmented shape", "normalised", "normalised, 1 mm",
    "shifted",
]  # fmt: skip
_EVERY = ["every image, 1 mm", "every image, as scanned"]

Loaded = tuple[sitk.Image, sitk.Image, int]
"""Image, label map, label."""


@dataclass(frozen=True)
class OracleCase:
    """A real lesion.

    Attributes
    ----------
    source : str
        Folder of the real data; its file in `FOLDER`.
    name : str
        Unique within the source.
    settings : tuple of str
        Names in `SETTINGS`.
    load : callable
        From the folder of the real data, and one to unpack into, to image, label map and label.
    """

    source: str
    name: str
    settings: tuple[str, ...]
    load: Callable[[Path, Path], Loaded]


def _pyradiomics(stem: str, label: int, data: Path, scratch: Path) -> Loaded:
    image, mask = ("", "-label") if stem.startswith("prostate") else ("_image", "_label")
    folder = data / "pyradiomics"
    return sitk.ReadImage(folder / f"{stem}{image}.nrrd"), sitk.ReadImage(folder / f"{stem}{mask}.nrrd"), label


def _nifti(folder: str, data: Path, scratch: Path) -> Loaded:
    root = data / folder
    return sitk.ReadImage(root / "image" / "phantom.nii.gz"), sitk.ReadImage(root / "mask" / "mask.nii.gz"), 1


def _indexed(root: Path, scratch: Path) -> Loaded:
    """The one lesion below a folder of DICOM files, as a user finds and loads it."""
    path = scratch / f"{root.name}.csv"
    write_cohort(cohort_from_index(index_dicom(root), path), path)
    (lesion,) = load_cohort(path).lesions
    case = load_case(lesion)
    return case.image, case.mask, 1


def _ct_phantom(data: Path, scratch: Path) -> Loaded:
    return _indexed(data / "ibsi" / "ct_phantom" / "dicom", scratch)


def _sts(patient: str, data: Path, scratch: Path) -> Loaded:
    if not (scratch / patient).is_dir():
        with tarfile.open(data / "sts" / f"{patient}.tar.xz") as archive:
            archive.extractall(scratch, filter="data")
    return _indexed(scratch / patient, scratch)


def _dcmqi(image: str, mask: str, label: str, data: Path, scratch: Path) -> Loaded:
    root = data / "dicom_masks" / "dcmqi"
    case = load_case(Lesion(2, "dcmqi", f"{mask} {label}", root / image, root / mask, label))
    return case.image, case.mask, 1


_STS_ML = {
    "STS_001": 365, "STS_003": 80, "STS_005": 585, "STS_007": 544, "STS_009": 1981, "STS_011": 730, "STS_013": 1529,
    "STS_015": 88, "STS_017": 744, "STS_019": 17, "STS_021": 888, "STS_023": 198, "STS_025": 30, "STS_027": 901,
    "STS_029": 287, "STS_031": 466, "STS_033": 397, "STS_035": 36, "STS_037": 741, "STS_039": 712, "STS_041": 61,
    "STS_043": 173, "STS_045": 500, "STS_047": 181, "STS_049": 1065, "STS_051": 175,
}  # fmt: skip
"""Volume of each sarcoma: PyRadiomics' time decides what is affordable."""


def _sts_settings(volume_ml: float) -> tuple[str, ...]:
    if volume_ml <= 600:
        return tuple(_EVERY if volume_ml <= 300 else _EVERY[:1])
    return ("every image, 2 mm" if volume_ml <= 1000 else "every image, 3 mm", "original, 1 mm")


def _cases() -> tuple[OracleCase, ...]:
    small = (*_EVERY, *_RARE)
    pyradiomics = [
        OracleCase("pyradiomics", name, small, partial(_pyradiomics, stem, label))
        for name, stem, label in [
            ("brain1", "brain1", 1),
            ("brain2", "brain2", 1),
            ("breast1", "breast1", 1),
            *((f"prostate {label}", "prostate_phantom_subvolume", label) for label in (1, 7, 8, 9)),
        ]
    ]
    ibsi = [
        OracleCase("ibsi", "digital phantom", small, partial(_nifti, "ibsi/digital_phantom/nifti")),
        OracleCase("ibsi", "CT phantom", (*_EVERY, "2 mm, 32 bins of every image"), _ct_phantom),
    ]
    no_lbp3d = ("every image but LBP3D, 1 mm", "every image but LBP3D, as scanned")
    # Three slices: PyRadiomics leaves LoG out, and says so.
    masks = [
        ("liver", "ct-3slice", "liver.dcm", "1", ("every image, as scanned", "original, 1 mm", "axial")),
        ("heart", "ct-3slice", "heart_seg.nrrd", "3", ("every image, as scanned",)),
        ("spine", "ct-3slice", "spine_seg.nrrd", "2", (*_EVERY, "euclidean")),
        ("purple", "ct-3slice", "partial_overlaps.dcm", "3", ("every image, as scanned", "coronal", "sagittal")),
        ("green, one slice", "ct-3slice", "partial_overlaps.dcm", "1", ("one slice", "original, 1 mm")),
        ("light blue, one slice", "ct-3slice", "partial_overlaps.dcm", "4", ("one slice", "32 bins")),
        (
            "two values",
            "23x38x3/image",
            "23x38x3/seg/label.seg",
            "1",
            (*no_lbp3d, "every image, as scanned", "32 bins"),
        ),
        ("one value", "24x38x3/image", "24x38x3/seg/label.seg", "1", (*_EVERY, "one slice")),
    ]
    dicom = [OracleCase("dicom_masks", name, s, partial(_dcmqi, *of)) for name, *of, s in masks]
    sts = [OracleCase("sts", p, _sts_settings(ml), partial(_sts, p)) for p, ml in _STS_ML.items()]
    return (*pyradiomics, *ibsi, *dicom, *sts)


CASES = _cases()
"""Every real case, quick sources first."""


def ask_pyradiomics(loaded: Loaded, parameters: dict[str, Any]) -> dict[str, float]:
    """Call PyRadiomics as its users do, on the whole scan.

    Parameters
    ----------
    loaded : tuple
        Image, label map, label.
    parameters : dict
        One of `SETTINGS`. Where it names no feature class, PyRadiomics' order is the file system's; ours is fixed.
    """
    radiomics = import_module("radiomics")
    featureextractor = import_module("radiomics.featureextractor")
    radiomics.setVerbosity(logging.CRITICAL)
    image, mask, label = loaded
    classes = parameters.get("featureClass", ExtractionSettings().featureClass)
    asked = {"imageType": {"Original": {}}, "featureClass": {name: [] for name in classes}}
    asked |= {k: v for k, v in parameters.items() if k != "featureClass"}
    extractor = featureextractor.RadiomicsFeatureExtractor(deepcopy(asked))
    extractor.settings["additionalInfo"] = False
    extractor.addProvenance(provenance_on=False)
    return {name: float(value) for name, value in extractor.execute(image, mask, label=label).items()}


def digest(loaded: Loaded) -> str:
    """Return a name for the voxels and the geometry of a case: other voxels have other features."""
    image, mask, label = loaded
    sha = hashlib.sha256()
    for volume in (sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(mask) == label):
        sha.update(f"{volume.shape} {volume.dtype}".encode())
        sha.update(np.ascontiguousarray(volume).tobytes())
    sha.update(repr([np.round(image.GetSpacing(), 9), np.round(mask.GetSpacing(), 9)]).encode())
    return sha.hexdigest()[:16]


@dataclass
class Oracle:
    """What is frozen of one source.

    Attributes
    ----------
    values : dict of (str, str) to dict of str to float
        Case and setting to PyRadiomics' features, in its order.
    warnings : dict of str to dict of str to list of str
        Case, then setting: what PyRadiomics said, as the reference engine hands it on; absent where that refused.
    refused : dict of str to dict of str to str
        Case, then setting, which has no values: what PyRadiomics refused it with.
    voxels : dict of str to str
        Case to `digest`.
    settings : dict of str to dict
        `SETTINGS` that were used.
    made_by : dict of str to str
        The command, and the versions of what computed.
    """

    values: dict[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    warnings: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    refused: dict[str, dict[str, str]] = field(default_factory=dict)
    voxels: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)


_ABOUT = ("warnings", "refused", "voxels", "settings", "made_by")


def read_oracle(source: str, folder: Path = FOLDER) -> Oracle:
    """Read one source's file; empty if there is none yet."""
    path = folder / f"{source}.parquet"
    if not path.is_file():
        return Oracle()
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"oracle"])
    values: dict[tuple[str, str], dict[str, float]] = {}
    columns = (table[name].to_pylist() for name in ("case", "setting", "feature", "value"))
    for case, setting, feature, value in zip(*columns, strict=True):
        values.setdefault((case, setting), {})[feature] = value
    return Oracle(values, **{name: about[name] for name in _ABOUT})


def write_oracle(oracle: Oracle, source: str, folder: Path = FOLDER) -> None:
    """Write one source's file as a whole: text by dictionary, numbers bit for bit."""
    rows = [(*key, name, value) for key, features in oracle.values.items() for name, value in features.items()]
    case, setting, feature, value = zip(*rows, strict=True)
    schema = pa.schema(
        [("case", pa.string()), ("setting", pa.string()), ("feature", pa.string()), ("value", pa.float64())]
    )
    about = json.dumps({name: getattr(oracle, name) for name in _ABOUT})
    table = pa.table([case, setting, feature, value], schema=schema.with_metadata({"oracle": about}))
    folder.mkdir(exist_ok=True)
    partly = folder / f"{source}.parquet.part"
    pq.write_table(
        table, partly, compression="zstd", compression_level=19, use_dictionary=["case", "setting", "feature"],
        column_encoding={"value": "BYTE_STREAM_SPLIT"}, write_statistics=False, row_group_size=len(rows),
    )  # fmt: skip
    partly.replace(folder / f"{source}.parquet")
