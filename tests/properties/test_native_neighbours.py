"""GLCM, GLDM and NGTDM of the native engine equal PyRadiomics' on whatever levels, mask and settings; maps too."""

import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, features_of, maps_of
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native.glcm import GLCM_FEATURES
from radiomics_talent.features.native.gldm import GLDM_FEATURES
from radiomics_talent.features.native.grey_levels import discretise
from radiomics_talent.features.native.neighbours import neighbour_features, neighbour_maps
from radiomics_talent.features.native.ngtdm import NGTDM_FEATURES
from radiomics_talent.features.native.texture_settings import TextureSettings

pytest.importorskip("radiomics")

ALL = {"glcm": (*GLCM_FEATURES, "MCC"), "gldm": GLDM_FEATURES, "ngtdm": NGTDM_FEATURES}
SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 1.5, 2.5])] * 3)


@st.composite
def lesions(draw, most=(1, 2, 3, 5, 10, 40, 300), side=9):
    """Levels with gaps and a mask with holes and islands, cut to the mask as PyRadiomics cuts it."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, side), st.integers(1, side)).flatmap(st.permutations))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = rng.integers(0, draw(st.sampled_from(most)), shape) * draw(st.sampled_from([1, 1, 3]))
    if draw(st.booleans()):  # smooth along one axis: few pairs, many equal ones
        levels = np.sort(levels, axis=draw(st.integers(0, 2)))
    mask = rng.random(shape) < draw(st.sampled_from([0.3, 0.7, 1.0]))
    mask.flat[draw(st.integers(0, mask.size - 1))] = True
    box = tuple(slice(where.min(), where.max() + 1) for where in np.nonzero(mask))
    return np.ascontiguousarray(levels[box]), np.ascontiguousarray(mask[box])


@st.composite
def all_settings(draw):
    return {
        "binWidth": 1,
        "binCount": None,
        "voxelArrayShift": 0,
        "distances": draw(st.sampled_from([[1], [1], [1, 2], [3], [1, 1]])),
        "force2D": draw(st.booleans()),
        "force2Ddimension": draw(st.integers(0, 2)),
        "symmetricalGLCM": draw(st.booleans()),
        "weightingNorm": draw(st.sampled_from([None, None, "euclidean", "manhattan", "infinity", "no_weighting"])),
        "gldm_a": draw(st.integers(0, 2)),
    }


def check(compute, theirs):
    """Hold ours against theirs, class by class; where they stop, we stop."""
    try:
        expected = {family: theirs(family, names) for family, names in ALL.items()}
    except RuntimeError:
        with pytest.raises(ExtractionError, match="nothing has a neighbour"):
            compute()
        return
    found = compute()
    for family, names in ALL.items():
        assert_same(found[family], {name: expected[family][name] for name in names})


# Levels 1, 2, 5, 7 mirror each other in the table, so that a first Lanczos vector that is even misses an eigenvector.
MIRRORED = np.array([[[2], [1]], [[4], [4]], [[7], [5]]])
EUCLIDEAN = {
    "binWidth": 1,
    "binCount": None,
    "voxelArrayShift": 0,
    "distances": [1, 2],
    "weightingNorm": "euclidean",
    "force2D": False,
    "force2Ddimension": 0,
    "symmetricalGLCM": True,
    "gldm_a": 0,
}


# One angle of 22 has no pair, and one level of 12 is absent: what NumPy deletes alone it lays out otherwise in memory.
LONELY = np.array([[[2, 1], [12, 6]], [[3, 2], [3, 3]], [[3, 4], [3, 5]]])
INSIDE = np.array([[[True, True], [True, True]], [[True, False], [True, True]], [[True, True], [True, False]]])
ONE_WAY = {**EUCLIDEAN, "weightingNorm": None, "symmetricalGLCM": False}


@given(lesion=lesions(), spacing=SPACINGS, setting=all_settings())
@example(lesion=(LONELY, INSIDE), spacing=(0.5, 1.0, 1.0), setting=ONE_WAY)
@example(lesion=(MIRRORED, MIRRORED > 0), spacing=(0.5, 0.5, 0.5), setting=EUCLIDEAN)
@settings(max_examples=700, deadline=None)
def test_features_are_those_of_pyradiomics(lesion, spacing, setting):
    texture = TextureSettings.of(setting)
    check(
        lambda: neighbour_features(discretise(*lesion, texture), spacing, texture, ALL),
        lambda family, names: features_of(family, *lesion, spacing, names, **setting),
    )


@given(
    lesion=lesions(most=(1, 2, 3, 5, 10, 20), side=5),
    spacing=SPACINGS,
    setting=all_settings(),
    radius=st.integers(1, 3),
    masked=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_maps_are_those_of_pyradiomics(lesion, spacing, setting, radius, masked):
    levels, mask = lesion
    texture = TextureSettings.of(setting)
    grey = discretise(levels, mask if masked else np.ones_like(mask), texture)
    check(
        lambda: neighbour_maps(grey, np.argwhere(mask), radius, spacing, texture, ALL),
        lambda family, names: maps_of(
            family, levels, mask, spacing, names, kernelRadius=radius, maskedKernel=masked, **setting
        ),
    )


@given(lesion=lesions(most=(3, 10, 40)), moved=st.permutations(range(3)))
@settings(max_examples=60, deadline=None)
def test_turning_the_lesion_changes_nothing(lesion, moved):
    texture = TextureSettings(bin_width=1)
    grey = discretise(*lesion, texture)
    turned = discretise(*(np.ascontiguousarray(part.transpose(moved)) for part in lesion), texture)
    assume(grey.levels_zyx.size > 1)
    one = neighbour_features(grey, (1, 1, 1), texture, ALL)
    other = neighbour_features(turned, (1, 1, 1), texture, ALL)
    for family, values in one.items():
        for name, value in values.items():
            # What rounding decides may differ by the root of rounding.
            close = 1e-7 if name in ("MCC", "Imc2") else 1e-10
            np.testing.assert_allclose(other[family][name], value, rtol=close, atol=close, err_msg=name)
