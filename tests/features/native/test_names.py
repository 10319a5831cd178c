"""The native engine computes what the feature dictionary lists, and calls deprecated what it calls so."""

import csv
from importlib import resources

import pytest

from radiomics_talent.features.native.shape import DEPRECATED_SHAPE_FEATURES, SHAPE_FEATURES
from radiomics_talent.features.native.shape2d import DEPRECATED_SHAPE2D_FEATURES, SHAPE2D_FEATURES
from radiomics_talent.features.native.texture_names import DEPRECATED, USUAL

COMPUTED = USUAL | {"shape": SHAPE_FEATURES, "shape2D": SHAPE2D_FEATURES}
BY_NAME_ALONE = DEPRECATED | {"shape": DEPRECATED_SHAPE_FEATURES, "shape2D": DEPRECATED_SHAPE2D_FEATURES}


def listed(family, deprecated):
    text = resources.files("radiomics_talent").joinpath("features/dictionary.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["feature"] for row in rows if row["feature_class"] == family and row["deprecated"] == deprecated}


@pytest.mark.parametrize("family", COMPUTED)
def test_names_are_those_of_the_dictionary(family):
    assert set(COMPUTED[family]) == listed(family, "no")
    assert set(BY_NAME_ALONE.get(family, ())) == listed(family, "yes")
    assert list(COMPUTED[family]) == sorted(COMPUTED[family], key=lambda name: f"get{name}FeatureValue")
