"""Every image type on a box has the bits that PyRadiomics has on the whole image."""

import logging

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from radiomics_talent.imaging.filters import filtered_images
from radiomics_talent.imaging.geometry import Box
from radiomics_talent.settings import PyRadiomicsSettings

radiomics = pytest.importorskip("radiomics")

pytestmark = pytest.mark.filterwarnings("ignore")  # PyRadiomics' own: NaN, floats in LBP, identical values

TYPES = ("Original", "Wavelet", "LoG", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D", "LBP3D")
KINDS = ("noise", "beside air", "few values", "ramp", "constant")
SPACINGS = (1.0, 0.7, 0.9765625, 2.5, 3.27)


def voxels(rng, shape, kind, dtype):
    values = rng.normal(60, 50, shape)
    if kind == "beside air":
        values[..., shape[2] // 2 :] = -1024
    elif kind == "few values":
        values = rng.integers(0, 4, shape) * 25.0
    elif kind == "ramp":
        values = np.indices(shape).sum(axis=0) * 10.0
    elif kind == "constant":
        values = np.full(shape, 40.1)
    low = 0 if np.issubdtype(dtype, np.unsignedinteger) else -1e9
    return values.clip(low, 255 if low == 0 else 1e9).astype(dtype)


@st.composite
def cases(draw):
    """An image, a box in it, and a mask that touches each side of the box."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.lists(st.integers(1, 16), min_size=3, max_size=3)))
    dtype = draw(st.sampled_from([np.int16, np.int16, np.float32, np.float64, np.uint8, np.int32]))
    image = sitk.GetImageFromArray(voxels(rng, shape, draw(st.sampled_from(KINDS)), dtype))
    image.SetSpacing([draw(st.sampled_from(SPACINGS)) for _ in range(3)])
    mask = np.zeros(shape, dtype=bool)
    mask.ravel()[rng.integers(0, mask.size, draw(st.integers(1, 30)))] = True
    return image, mask


def pyradiomics(image, mask, image_type, setting):
    """Names, arrays and warnings of PyRadiomics."""
    mask_image = sitk.GetImageFromArray(mask.astype(np.uint8))
    mask_image.CopyInformation(image)
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("radiomics.imageoperations")
    logger.addHandler(handler)
    try:
        filtered = getattr(radiomics.imageoperations, f"get{image_type}Image")(image, mask_image, **setting)
        return [(name, sitk.GetArrayFromImage(result)) for result, name, _ in filtered], said
    finally:
        logger.removeHandler(handler)


def assert_same(image, mask, image_type, **custom):
    setting = PyRadiomicsSettings(**custom).model_dump()
    wanted, logged = pyradiomics(image, mask, image_type, setting)
    box, said = Box.around(mask), []
    inner = mask[box.slices_zyx]
    got = list(filtered_images(image, inner, box, image_type, setting, warn=said.append))
    assert [f.name for f in got] == [name for name, _ in wanted]
    assert said == logged
    looked_at = inner if image_type == "LBP3D" else np.ones_like(inner)  # elsewhere PyRadiomics' memory is not set
    for found, (_, values) in zip(got, wanted, strict=True):
        assert found.values_zyx.dtype == values.dtype
        assert found.values_zyx.shape == inner.shape
        here, there = found.values_zyx[looked_at], values[box.slices_zyx][looked_at]
        assert np.array_equal(here, there, equal_nan=values.dtype.kind == "f")
        assert np.array_equal(np.signbit(here[~np.isnan(here)]), np.signbit(there[~np.isnan(there)]))  # -0.0 is not 0.0


@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("image_type", [t for t in TYPES if t not in {"LoG", "Wavelet"}])
@given(cases(), st.booleans(), st.integers(0, 2))
def test_image_types(image_type, case, force_2d, axis):
    assert_same(*case, image_type, force2D=force_2d, force2Ddimension=axis)


@settings(max_examples=60, deadline=None)
@given(cases(), st.lists(st.sampled_from([0.5, 1, 1.0, 1.7, 3.0, 5.0]), min_size=1, max_size=3))
def test_log(case, sigma):
    assert_same(*case, "LoG", sigma=tuple(sigma))


@settings(max_examples=80, deadline=None)
@given(
    cases(),
    st.sampled_from(["coif1", "haar", "db3", "bior1.3", "rbio2.8", "sym20", "dmey"]),
    st.integers(1, 2),
    st.integers(0, 2),
    st.none() | st.integers(0, 2),
)
def test_wavelet(case, wavelet, level, start_level, slices_along):
    flat = {} if slices_along is None else {"force2D": True, "force2Ddimension": slices_along}
    assert_same(*case, "Wavelet", wavelet=wavelet, level=level, start_level=start_level, **flat)


@settings(max_examples=60, deadline=None)
@given(
    cases(),
    st.sampled_from([1, 1.5, 2.3, 4]),
    st.sampled_from([1, 4, 8, 13]),
    st.sampled_from(["uniform", "default", "ror", "var"]),
    st.integers(0, 2),
)
def test_patterns_of_slices(case, radius, samples, method, axis):
    assert_same(
        *case,
        "LBP2D",
        lbp2DRadius=radius,
        lbp2DSamples=samples,
        lbp2DMethod=method,
        force2Ddimension=axis,
        force2D=True,
    )


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(2, 4), st.sampled_from([1, 1.3, 2, 3.5]), st.integers(0, 2))
def test_patterns_of_spheres(case, levels, radius, subdivision):
    assert_same(*case, "LBP3D", lbp3DLevels=levels, lbp3DIcosphereRadius=radius, lbp3DIcosphereSubdivision=subdivision)


@settings(max_examples=25, deadline=None)
@given(cases())
def test_gradient_by_voxel(case):
    assert_same(*case, "Gradient", gradientUseSpacing=False)


def large(kind, dtype, seed):
    """A scan larger than what LoG of sigma 1 mm and a spline look at, and a small lesion in it."""
    rng = np.random.default_rng(seed)
    shape = (70, 150, 140)
    image = sitk.GetImageFromArray(voxels(rng, shape, kind, dtype))
    image.SetSpacing((0.8, 0.7, 1.5))
    mask = np.zeros(shape, dtype=bool)
    z, y, x = rng.integers(2, 60), rng.integers(2, 140), rng.integers(2, 130)
    mask[z : z + 6, y : y + 8, x : x + 7] = rng.random((6, 8, 7)) < 0.7
    return image, mask


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_large_scans(kind, dtype, seed):
    image, mask = large(kind, dtype, seed)
    assert_same(image, mask, "LoG", sigma=(0.5, 1.0))
    assert_same(image, mask, "LBP3D")
    assert_same(image, mask, "LBP2D")
