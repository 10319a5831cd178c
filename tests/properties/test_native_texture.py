"""First-order and texture features of the native engine equal PyRadiomics' on whatever image, mask and settings."""

import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, features_of
from hypothesis import given, settings
from hypothesis import strategies as st

from radiomics_talent.errors import TalentError
from radiomics_talent.features.native.grey_levels import discretise
from radiomics_talent.features.native.texture import image_features
from radiomics_talent.features.native.texture_names import USUAL
from radiomics_talent.features.native.texture_settings import TextureSettings

radiomics = pytest.importorskip("radiomics")

SPACINGS = st.tuples(*[st.floats(0.4, 5)] * 3)
DTYPES = st.sampled_from([np.int16, np.int32, np.float32, np.float64])


@st.composite
def lesions(draw):
    """An image from flat to rough and a mask with holes, islands and contact with the border, one slice or more."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)).flatmap(st.permutations))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(draw(st.sampled_from([0, -500, 1000])), draw(st.sampled_from([0.1, 5, 30, 1000])), shape)
    if draw(st.booleans()):
        values[rng.random(shape) < 0.5] = -1000  # air beside tissue
    mask = rng.random(shape) < draw(st.sampled_from([0.1, 0.5, 0.9, 1]))
    mask.flat[draw(st.integers(0, mask.size - 1))] = True
    return values.astype(draw(DTYPES)), mask


@st.composite
def all_settings(draw):
    return {
        "binWidth": draw(st.sampled_from([25, 10, 25.0, 5.5])),
        "binCount": draw(st.sampled_from([None, None, 1, 8, 300])),
        "distances": draw(st.sampled_from([[1], [1, 2], [3]])),
        "force2D": draw(st.booleans()),
        "force2Ddimension": draw(st.integers(0, 2)),
        "symmetricalGLCM": draw(st.booleans()),
        "weightingNorm": draw(st.sampled_from([None, None, "euclidean", "manhattan", "infinity", "no_weighting"])),
        "gldm_a": draw(st.integers(0, 2)),
        "voxelArrayShift": draw(st.sampled_from([0, 1000])),
    }


@given(lesion=lesions(), setting=all_settings())
@settings(max_examples=300, deadline=None)
def test_bins_are_those_of_pyradiomics(lesion, setting):
    values, mask = lesion
    try:
        theirs, _ = radiomics.imageoperations.binImage(values, mask, **setting)
    except ValueError:  # more bins than numbers in the lesion's range
        with pytest.raises(TalentError):
            discretise(values, mask, TextureSettings.of(setting))
        return
    np.testing.assert_array_equal(discretise(values, mask, TextureSettings.of(setting)).levels_zyx, theirs)


def check_against_pyradiomics(lesion, spacing, setting, families):
    # MCC has a property of its own beside the other features of neighbours.
    classes = {family: tuple(n for n in USUAL[family] if n != "MCC") for family in families}
    values, mask = lesion
    try:
        theirs = {
            f"{family}_{name}": value
            for family, names in classes.items()
            for name, value in features_of(family, values, mask, spacing, names, **setting).items()
        }
    except (RuntimeError, ValueError):  # nothing has a neighbour; more bins than numbers
        with pytest.raises(TalentError):
            image_features(values, mask, spacing, TextureSettings.of(setting), classes)
        return
    found, _ = image_features(values, mask, spacing, TextureSettings.of(setting), classes)
    assert_same(found, theirs)


@given(lesion=lesions(), spacing=SPACINGS, setting=all_settings())
@settings(max_examples=150, deadline=None)
def test_features_are_those_of_pyradiomics(lesion, spacing, setting):
    check_against_pyradiomics(lesion, spacing, setting, ("firstorder", "glrlm", "glszm"))


# The same draw each time: what is looked at is the assembly; the features of neighbours have properties of their own.
@given(lesion=lesions(), spacing=SPACINGS, setting=all_settings())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_an_image_has_every_class_of_pyradiomics(lesion, spacing, setting):
    check_against_pyradiomics(lesion, spacing, setting, tuple(USUAL))
