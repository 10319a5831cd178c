"""The reference engine against PyRadiomics itself, on real images: equal to the last bit; both on its baselines."""

import csv
from ast import literal_eval
from copy import deepcopy

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent import ExtractionSettings, extract

EVERY_FILTER = {
    **{t: {} for t in ("Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient")},
    **{t: {} for t in ("LBP2D", "LBP3D")},
    "LoG": {"sigma": [1.0, 3]},
}
TEXTURE = dict.fromkeys(("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm"))
SETTINGS = {
    "default": {},
    "resampled": {"setting": {"resampledPixelSpacing": [1, 1, 1]}},
    "linear": {"setting": {"resampledPixelSpacing": [2, 2, 2], "interpolator": "sitkLinear", "padDistance": 8}},
    "every filter": {"imageType": EVERY_FILTER},
    "every filter, resampled": {"imageType": EVERY_FILTER, "setting": {"resampledPixelSpacing": [2, 2, 3]}},
    "every filter, preCrop": {"imageType": EVERY_FILTER, "setting": {"preCrop": True}},
    "2D": {"featureClass": TEXTURE, "setting": {"force2D": True, "resampledPixelSpacing": [1, 1, 0]}},
    "2D wavelet": {"featureClass": {"glcm": []}, "imageType": {"Wavelet": {}}, "setting": {"force2D": True}},
    "normalised": {"setting": {"normalize": True, "normalizeScale": 100, "removeOutliers": 3}},
    "normalised, resampled": {"setting": {"normalize": True, "normalizeScale": 100, "resampledPixelSpacing": [1, 1, 1]}},
    "resegmented": {"setting": {"resegmentRange": [-1, 1.5], "resegmentMode": "sigma"}},
    "resegmented shape": {"setting": {"resegmentRange": [0.5], "resegmentMode": "relative", "resegmentShape": True}},
    "matrices": {
        "setting": {"binCount": 32, "weightingNorm": "euclidean", "distances": [1, 2], "symmetricalGLCM": False, "gldm_a": 1}
    },
    "wavelet near the end of the image": {
        "imageType": {"Wavelet": {}}, "setting": {"resampledPixelSpacing": [1, 1, 1], "padDistance": 10}
    },
    "deep wavelet": {"imageType": {"Wavelet": {"wavelet": "db3", "level": 2, "start_level": 1, "binWidth": 100}}},
}  # fmt: skip


@pytest.fixture(params=["brain1", "brain2", "breast1", "prostate 1", "prostate 8"])
def case(request, shared_data):
    folder = shared_data / "pyradiomics"
    if request.param.startswith("prostate"):
        name = "prostate_phantom_subvolume"
        return (
            sitk.ReadImage(folder / f"{name}.nrrd"),
            sitk.ReadImage(folder / f"{name}-label.nrrd"),
            int(request.param[-1]),
        )
    return (
        sitk.ReadImage(folder / f"{request.param}_image.nrrd"),
        sitk.ReadImage(folder / f"{request.param}_label.nrrd"),
        1,
    )


def whole_scan(image, mask, parameters, label):
    """PyRadiomics as its users call it: with what they wrote, and its own defaults for the rest."""
    pytest.importorskip("radiomics")
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    extractor = RadiomicsFeatureExtractor(deepcopy({"setting": {"additionalInfo": False}} | parameters))
    extractor.addProvenance(provenance_on=False)
    return {k: float(v) for k, v in extractor.execute(image, mask, label=label).items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SETTINGS)
def test_equal_to_the_last_bit(case, name):
    image, mask, label = case
    pytest.importorskip("radiomics").setVerbosity(60)
    settings = ExtractionSettings.model_validate({"engine": "reference", **SETTINGS[name]})
    wanted = whole_scan(image, mask, SETTINGS[name], label)
    ours = extract(image, mask, settings, label=label)
    assert set(ours) == set(wanted)
    differing = {k: (wanted[k], ours[k]) for k in wanted if not np.array_equal(wanted[k], ours[k], equal_nan=True)}
    assert differing == {}


MESH_BEFORE_3_0 = {f"original_shape_{f}" for f in ("MeshVolume", "SurfaceArea", "SurfaceVolumeRatio", "Sphericity")}
"""The baseline of brain1 was written by PyRadiomics 2.0.1b1, whose mesh differs from 3.0.1's by up to 0.09 %."""


def baseline_rows(shared_data, feature_class):
    path = shared_data / "pyradiomics" / "baseline" / f"baseline_{feature_class}.csv"
    with path.open(newline="") as file:
        return {row["featureName"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", ["brain1", "brain2", "breast1"])
@pytest.mark.parametrize("feature_class", ["firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm", "shape"])
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_pyradiomics_own_baselines(shared_data, name, feature_class, engine):
    """PyRadiomics' baseline tables, with the settings that they themselves record (tolerance: their printed digits)."""
    if engine == "reference":
        pytest.importorskip("radiomics")
    rows = baseline_rows(shared_data, feature_class)
    columns = [c for c in rows["diagnostics_Configuration_Settings"] if c == name or c.startswith(f"{name}_")]
    assert columns
    image = sitk.ReadImage(shared_data / "pyradiomics" / f"{name}_image.nrrd")
    mask = sitk.ReadImage(shared_data / "pyradiomics" / f"{name}_label.nrrd")
    compared = 0
    for column in columns:
        recorded = literal_eval(rows["diagnostics_Configuration_Settings"][column])
        known = {
            k: v for k, v in recorded.items() if k in ExtractionSettings.model_fields["setting"].annotation.model_fields
        }
        settings = ExtractionSettings.model_validate(
            {"engine": engine, "setting": known, "featureClass": {feature_class: None}}
        )
        ours = extract(image, mask, settings)
        for feature, row in rows.items():
            if feature.startswith("diagnostics") or feature not in ours:
                continue
            old_mesh = column == "brain1" and feature in MESH_BEFORE_3_0
            wanted = pytest.approx(float(row[column]), rel=1e-3 if old_mesh else 1e-9, abs=1e-12)
            assert ours[feature] == wanted, (column, feature)
            compared += 1
    assert compared >= len(columns) * (5 if feature_class == "ngtdm" else 10)
