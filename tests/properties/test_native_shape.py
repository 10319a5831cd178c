"""Shape of the native engine against PyRadiomics: any mask, and every real lesion."""

import csv
import logging

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from radiomics_talent import ExtractionSettings, load_case, load_cohort
from radiomics_talent.features.native.shape import DEPRECATED_SHAPE_FEATURES, SHAPE_FEATURES, shape_features
from radiomics_talent.features.native.shape2d import DEPRECATED_SHAPE2D_FEATURES, SHAPE2D_FEATURES, shape2d_features

radiomics = pytest.importorskip("radiomics")

EVERY = (*SHAPE_FEATURES, *DEPRECATED_SHAPE_FEATURES)
EVERY_2D = (*SHAPE2D_FEATURES, *DEPRECATED_SHAPE2D_FEATURES)
SPACINGS = st.sampled_from([0.3, 0.5, 0.7, 0.9765625, 1.0, 1.3, 2.5, 3.27]) | st.floats(0.2, 6)
pytestmark = pytest.mark.filterwarnings("ignore")  # NumPy's, of PyRadiomics' divisions and complex roots


class Log(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        # Of a feature that failed, the last line of the traceback.
        self.texts.append(record.getMessage().strip().splitlines()[-1])


def pyradiomics(mask_zyx, spacing_xyz, dimension=None):
    """Every feature of the class that PyRadiomics has, and what it logs."""
    from radiomics.shape import RadiomicsShape
    from radiomics.shape2D import RadiomicsShape2D

    mask = sitk.GetImageFromArray(mask_zyx.astype(np.uint8))
    mask.SetSpacing(spacing_xyz)
    logger, log = logging.getLogger("radiomics"), Log()
    handlers, logger.handlers = logger.handlers, [log]
    try:
        if dimension is None:
            features = RadiomicsShape(mask, mask, label=1)
        else:
            features = RadiomicsShape2D(mask, mask, label=1, force2D=True, force2Ddimension=dimension)
        for name in EVERY if dimension is None else EVERY_2D:
            features.enableFeatureByName(name)
        return {name: float(value) for name, value in features.execute().items()}, tuple(log.texts)
    finally:
        logger.handlers = handlers


def check_equal(ours, wanted):
    (values, said), (reference, logged) = ours, wanted
    assert list(values) == list(reference)
    for name, value in reference.items():
        assert values[name] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name
    assert said == logged


@st.composite
def masks(draw, most=8):
    """Noise of any density; boxes, shells and islands; oblique sheets and lines. Never empty, often at the border."""
    shape = tuple(draw(st.lists(st.integers(1, most), min_size=3, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    z, y, x = np.indices(shape)
    kind = draw(st.sampled_from(["noise", "shell", "ball", "sheet", "line", "islands"]))
    if kind == "noise":
        mask = rng.random(shape) < draw(st.sampled_from([0.05, 0.3, 0.5, 0.7, 0.95, 1.0]))
    elif kind == "shell":
        mask = np.ones(shape, bool)
        mask[1:-1, 1:-1, 1:-1] = rng.random(mask[1:-1, 1:-1, 1:-1].shape) < 0.2
    elif kind == "ball":
        centre, size = rng.random(3) * shape, rng.random(3) * shape + 0.5
        mask = sum(((k - c) / s) ** 2 for k, c, s in zip((z, y, x), centre, size, strict=True)) < 1
    elif kind == "sheet":
        a, b, c = rng.integers(-2, 3, 3)
        mask = a * z + b * y + c * x == rng.integers(0, 4)
    elif kind == "line":
        a, b = rng.integers(0, 3, 2)
        mask = (y == a * z) & (x == b * z)
    else:
        mask = (z % 3 == 0) & (y % 2 == 0) & (rng.random(shape) < 0.8)
    if not mask.any():
        mask = mask.copy()
        mask[tuple(rng.integers(0, shape))] = True
    return mask


@settings(max_examples=600, deadline=None)
@given(masks(), st.tuples(SPACINGS, SPACINGS, SPACINGS))
def test_any_mask_has_pyradiomics_shape(mask, spacing):
    ours = shape_features(mask, spacing, EVERY)
    assume(ours[0]["MeshVolume"] != 0)  # rounding noise in PyRadiomics, unless the spacing is a power of two
    check_equal(ours, pyradiomics(mask, spacing))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 2.0, 4.0)])
def test_an_open_mesh_that_encloses_nothing(spacing):
    mask = np.array([[[1, 0, 0], [0, 0, 1], [0, 1, 0]], [[1, 0, 1], [0, 1, 0], [1, 0, 0]]], bool)
    values, said = ours = shape_features(mask, spacing, EVERY)
    assert values["MeshVolume"] == values["Sphericity"] == 0
    assert said[-2:] == ("ZeroDivisionError: float division by zero",) * 2
    check_equal(ours, pyradiomics(mask, spacing))


@settings(max_examples=400, deadline=None)
@given(masks(12), st.tuples(SPACINGS, SPACINGS, SPACINGS), st.integers(0, 2))
def test_any_slice_has_pyradiomics_shape_2d(mask, spacing, dimension):
    occupied = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {dimension})))[0]
    mask = mask.take([occupied], axis=dimension)
    check_equal(shape2d_features(mask, spacing, dimension, EVERY_2D), pyradiomics(mask, spacing, dimension))


def lesion(image, label=1):
    """A label cut to its box."""
    array = sitk.GetArrayFromImage(image) == label
    box = tuple(slice(at.min(), at.max() + 1) for at in np.nonzero(array))
    return array[box], image.GetSpacing()


BRAINS_AND_BREAST = [("brain1_label", 1), ("brain2_label", 1), ("breast1_label", 1)]
PROSTATE = [("prostate_phantom_subvolume-label", label) for label in (1, 7, 8, 9)]


@pytest.mark.parametrize(("name", "label"), [*BRAINS_AND_BREAST, *PROSTATE])
def test_pyradiomics_own_cases(shared_data, name, label):
    image = sitk.ReadImage(shared_data / "pyradiomics" / f"{name}.nrrd")
    mask, spacing = lesion(image, label)
    check_equal(shape_features(mask, spacing, EVERY), pyradiomics(mask, spacing))
    for axis in range(3):
        fullest = mask.take([mask.sum(axis=tuple({0, 1, 2} - {axis})).argmax()], axis=axis)
        check_equal(shape2d_features(fullest, spacing, axis, EVERY_2D), pyradiomics(fullest, spacing, axis))


@pytest.mark.parametrize("phantom", ["ct_phantom", "digital_phantom"])
def test_phantoms_of_ibsi(shared_data, phantom):
    path = next((shared_data / "ibsi" / phantom / "nifti" / "mask").glob("*.nii*"))
    mask, spacing = lesion(sitk.ReadImage(path))
    check_equal(shape_features(mask, spacing, EVERY), pyradiomics(mask, spacing))


@pytest.mark.slow
@pytest.mark.parametrize("patient", [0, 1, 2])
def test_sarcomas_at_one_millimetre(sts_root, tmp_path, patient):
    folder = sorted(sts_root.iterdir())[patient] / "CT"
    row = ("a", "b", folder / "image", next((folder / "mask").glob("*.dcm")), "GTV_Mass_CT")
    with (tmp_path / "cohort.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient_id", "lesion_id", "image", "mask", "label"), row])
    scanned = load_case(load_cohort(tmp_path / "cohort.csv").lesions[0], ExtractionSettings()).mask
    size = [round(n * mm) for n, mm in zip(scanned.GetSize(), scanned.GetSpacing(), strict=True)]
    grid = (scanned.GetOrigin(), (1.0, 1.0, 1.0), scanned.GetDirection())
    resampled = sitk.Resample(scanned, size, sitk.Transform(), sitk.sitkNearestNeighbor, *grid)
    for image in (scanned, resampled):
        mask, spacing = lesion(image)
        check_equal(shape_features(mask, spacing, EVERY), pyradiomics(mask, spacing))
