"""Resampling around a lesion against ITK on the whole scan: every bit, whatever the geometry."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiomics_talent.imaging import preprocess
from radiomics_talent.imaging.geometry import Box, Geometry

SPACINGS = [0.5, 0.625, 0.703125, 0.75, 0.8, 0.9765625, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.27, 5.0]
DTYPES = [np.int16, np.int16, np.int16, np.uint16, np.int8, np.uint8, np.int32, np.float32, np.float64]
AIRS = [-1024, -1000, -2048, 0, 100]


def turned(rng: np.random.Generator, how: str) -> np.ndarray:
    if how == "straight":
        return np.eye(3)
    if how == "flipped":
        return np.diag(rng.choice([-1.0, 1.0], 3))
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return np.round(axes, 7) if how == "rounded" else axes


@st.composite
def scans(draw) -> sitk.Image:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = [draw(st.one_of(st.integers(1, 160), st.sampled_from([1, 3, 18, 19, 130]))) for _ in range(3)]
    size[2] = min(size[2], 90)
    values = rng.normal(40, 60, size[::-1])
    # A body in constant air: where every last bit shows in whole numbers.
    z, y, x = np.ogrid[: size[2], : size[1], : size[0]]
    centre = rng.uniform(0, size)
    radius = draw(st.sampled_from([10, 40, 1000]))
    air = draw(st.sampled_from(AIRS))
    values[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 > radius**2] = air
    dtype = draw(st.sampled_from(DTYPES))
    if np.issubdtype(dtype, np.integer):
        values = np.clip(values.round(), np.iinfo(dtype).min, np.iinfo(dtype).max)
    image = sitk.GetImageFromArray(values.astype(dtype))
    image.SetSpacing([draw(st.sampled_from(SPACINGS)) for _ in range(3)])
    image.SetOrigin(np.round(rng.uniform(-900, 900, 3), draw(st.integers(0, 6))).tolist())
    how = draw(st.sampled_from(["straight", "straight", "flipped", "rounded", "oblique"]))
    image.SetDirection(turned(rng, how).ravel().tolist())
    return image


@st.composite
def scans_and_grids(draw) -> tuple[sitk.Image, Geometry]:
    image = draw(scans())
    share = [draw(st.floats(-0.1, 1.0)) for _ in range(3)]
    first = [s * n for s, n in zip(share, image.GetSize(), strict=True)]
    if draw(st.booleans()):  # on the voxels themselves
        first = [float(round(v)) for v in first]
    spacing = [draw(st.one_of(st.just(s), st.just(1.0), st.sampled_from(SPACINGS))) for s in image.GetSpacing()]
    direction = image.GetDirection()
    if draw(st.integers(0, 9)) == 0:
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        direction = tuple(turned(rng, "oblique").ravel())
    size = tuple(draw(st.integers(1, 45)) for _ in range(3))
    return image, Geometry(size, tuple(spacing), image.TransformContinuousIndexToPhysicalPoint(first), direction)


def assert_the_bits_of_itk(image: sitk.Image, grid: Geometry) -> None:
    ours = sitk.GetArrayFromImage(preprocess.resample(image, grid, sitk.sitkBSpline))
    wanted = sitk.GetArrayFromImage(preprocess._itk_resample(image, grid, sitk.sitkBSpline))
    assert ours.dtype == wanted.dtype
    np.testing.assert_array_equal(ours, wanted)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scans_and_grids())
def test_any_grid_in_any_scan(case):
    image, grid = case
    if 2 in image.GetSize():
        return  # ITK reads outside of its memory
    assert_the_bits_of_itk(image, grid)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scans_and_grids())
def test_any_grid_in_any_scan_at_length(case):
    image, grid = case
    if 2 in image.GetSize():
        return
    assert_the_bits_of_itk(image, grid)


def grids_around(image: sitk.Image, lesion: Box) -> list[Geometry]:
    frame = Geometry.of(image)
    wanted = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (0.8, 0.8, 3.0), (0.0, 0.0, 1.0)]
    grids = [preprocess.resampling_grid(frame, frame, lesion, spacing, 5) for spacing in wanted]
    return [grid.geometry for grid in grids if grid.interpolates]


@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1"])
def test_pyradiomics_cases(case, shared_data):
    image = sitk.ReadImage(str(shared_data / "pyradiomics" / f"{case}_image.nrrd"))
    label = sitk.ReadImage(str(shared_data / "pyradiomics" / f"{case}_label.nrrd"))
    for grid in grids_around(image, Box.around(sitk.GetArrayViewFromImage(label) > 0)):
        assert_the_bits_of_itk(image, grid)


def corners(size: tuple[int, int, int]) -> list[Box]:
    """A box in the middle and two that touch opposite corners of a scan: body, air and the ends of lines."""
    part = tuple(max(1, n // 5) for n in size)
    middle = tuple(n // 2 - p // 2 for n, p in zip(size, part, strict=True))
    far = tuple(n - p for n, p in zip(size, part, strict=True))
    return [Box(low, tuple(a + p for a, p in zip(low, part, strict=True))) for low in ((0, 0, 0), middle, far)]


def dicom_series(folder) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_ibsi_phantom(shared_data):
    image = sitk.ReadImage(str(shared_data / "ibsi" / "ct_phantom" / "nifti" / "image" / "phantom.nii.gz"))
    for lesion in corners(image.GetSize()):
        for grid in grids_around(image, lesion):
            assert_the_bits_of_itk(image, grid)


def test_sarcoma_patients(sts_root):
    for patient in sorted(sts_root.iterdir())[:2]:
        image = dicom_series(patient / "CT" / "image")
        for lesion in corners(image.GetSize()):
            for grid in grids_around(image, lesion):
                assert_the_bits_of_itk(image, grid)
