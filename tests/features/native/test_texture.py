import importlib

import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, features_of

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native.texture import image_features
from radiomics_talent.features.native.texture_names import DEPRECATED, USUAL
from radiomics_talent.features.native.texture_settings import TextureSettings

SPACING = (0.7, 1.1, 2.5)


@pytest.fixture
def lesion():
    rng = np.random.default_rng(6)
    return rng.normal(40, 60, (6, 9, 8)).astype(np.int16), rng.random((6, 9, 8)) < 0.8


def features(lesion, classes, **setting):
    return image_features(*lesion, SPACING, TextureSettings(**setting), classes)


def test_classes_and_features_come_in_the_order_asked_for(lesion):
    classes = {"glszm": ("ZoneEntropy",), "shape": None, "firstorder": ("Range", "Mean"), "glcm": ("Contrast",)}
    found, warnings = features(lesion, classes)
    assert list(found) == ["glszm_ZoneEntropy", "firstorder_Range", "firstorder_Mean", "glcm_Contrast"]
    assert warnings == ()


def test_no_features_by_name_are_all_that_are_not_deprecated(lesion):
    assert features(lesion, {"ngtdm": ()}) == features(lesion, {"ngtdm": None})
    assert [n.removeprefix("ngtdm_") for n in features(lesion, {"ngtdm": None})[0]] == list(USUAL["ngtdm"])


def test_a_deprecated_feature_warns_and_only_first_order_has_a_value(lesion):
    classes = {"firstorder": ("StandardDeviation", "Variance"), "glcm": ("Homogeneity1", "Id")}
    found, warnings = features(lesion, classes)
    assert list(found) == ["firstorder_StandardDeviation", "firstorder_Variance", "glcm_Id"]
    assert warnings == (
        "Feature StandardDeviation is deprecated, use with caution!",
        "Feature Homogeneity1 is deprecated, use with caution!",
    )


def test_warnings_of_a_class_follow_those_of_the_one_before(lesion):
    _, warnings = features(lesion, {"gldm": ("DependencePercentage",), "glcm": ("SumAverage",)})
    assert warnings[0].startswith("Feature DependencePercentage")
    assert warnings[1].startswith("GLCM is symmetrical")


def test_an_unknown_feature_is_refused(lesion):
    with pytest.raises(LookupError, match="Feature not found: Meen; the nearest is Mean"):
        features(lesion, {"firstorder": ("Meen",)})


def test_first_order_needs_no_direction():
    voxel = np.array([[[30]]], np.int16), np.ones((1, 1, 1), bool)
    assert features(voxel, {"firstorder": ("Mean",)})[0] == {"firstorder_Mean": 30}
    with pytest.raises(ExtractionError, match="one voxel wide"):
        features(voxel, {"glrlm": None})


@pytest.mark.parametrize("family", USUAL)
def test_names_and_their_order_are_those_of_pyradiomics(family):
    pytest.importorskip("radiomics")
    module = importlib.import_module(f"radiomics.{family}")
    cls = next(v for n, v in vars(module).items() if n.lower() == f"radiomics{family}")
    known = cls.getFeatureNames()
    assert list(USUAL[family]) == [n for n, deprecated in known.items() if not deprecated]
    assert sorted(DEPRECATED.get(family, ())) == [n for n, deprecated in known.items() if deprecated]


def test_numbers_are_those_of_pyradiomics(lesion):
    pytest.importorskip("radiomics")
    found, _ = features(lesion, dict.fromkeys(USUAL), distances=(1, 2), gldm_a=1, weighting_norm="euclidean")
    setting = {"distances": [1, 2], "gldm_a": 1, "weightingNorm": "euclidean"}
    theirs = {
        f"{family}_{name}": value
        for family in USUAL
        for name, value in features_of(family, *lesion, SPACING, **setting).items()
    }
    assert_same(found, theirs)
