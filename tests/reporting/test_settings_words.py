from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.reporting.settings_words import CLASSES, feature_classes


def test_columns_of_both_chains_are_counted_by_class():
    names = [
        "art_original_shape_MeshVolume",
        "original_glcm_Id",
        "original_glcm-2.5D-avg_Id",
        "original_gldzm-2D_ZoneEntropy",
    ]
    assert feature_classes([*names, "my_column"]) == {"shape": 1, "GLCM": 2, "GLDZM": 1}


def test_every_class_has_a_word():
    assert set(ibsi_names()) <= set(CLASSES)
