"""Maps of first order, runs and zones of the native engine equal PyRadiomics' on whatever image, mask and settings."""

import pytest
from features.native.pyradiomics_values import assert_same, maps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.test_native_texture import all_settings, lesions

from radiomics_talent.errors import TalentError
from radiomics_talent.features.native.texture_maps import image_maps
from radiomics_talent.features.native.texture_settings import TextureSettings

pytest.importorskip("radiomics")


@given(lesion=lesions(), setting=all_settings(), radius=st.integers(1, 3), masked=st.booleans())
@settings(max_examples=60, deadline=None)
def test_maps_are_those_of_pyradiomics(lesion, setting, radius, masked):
    values, mask = lesion
    families = ("firstorder", "glrlm", "glszm")

    def ours():
        classes = dict.fromkeys(families)
        return image_maps(values, mask, (1, 1, 2), TextureSettings.of(setting), classes, radius=radius, masked=masked)

    try:
        theirs = {
            f"{family}_{name}": volume
            for family in families
            for name, volume in maps_of(
                family, values, mask, (1, 1, 2), kernelRadius=radius, maskedKernel=masked, **setting
            ).items()
        }
    except (RuntimeError, ValueError):
        with pytest.raises(TalentError):
            ours()
        return
    assert_same(ours()[0], theirs)
