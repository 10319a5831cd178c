"""Voxel-wise maps against PyRadiomics' own voxel-based extraction."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent import ExtractionSettings
from radiomics_talent.errors import ConfigError
from radiomics_talent.features.maps import feature_maps

TEXTURE = dict.fromkeys(("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm"))
CASES = {
    "radius 1": {},
    "radius 2": {"voxelSetting": {"kernelRadius": 2}},
    "radius 3, out of the lesion": {"voxelSetting": {"kernelRadius": 3, "maskedKernel": False}},
    "radius 1, out of the lesion": {"voxelSetting": {"maskedKernel": False}},
    "resampled": {"setting": {"resampledPixelSpacing": [1.5, 1.5, 1.5], "binWidth": 15}},
    "slices": {"setting": {"force2D": True, "binCount": 8}},
    "LoG and wavelet": {
        "imageType": {"LoG": {"sigma": [1.5]}, "Wavelet": {}},
        "featureClass": {"glcm": ["Contrast", "Imc2"], "firstorder": ["Entropy", "Median"]},
    },
    "resegmented": {"setting": {"resegmentRange": [20, 110]}, "featureClass": {"ngtdm": None, "firstorder": None}},
}


@pytest.fixture(scope="module")
def lesion():
    """Noise at the corner of a small scan, with a hole and an island."""
    image = sitk.GetImageFromArray(np.random.default_rng(5).normal(60, 30, (11, 14, 13)).round().astype(np.int16))
    image.SetSpacing((0.9, 0.9, 2.0))
    image.SetOrigin((-3.0, 7.5, 40.0))
    mask = np.zeros((11, 14, 13), np.uint8)
    mask[0:5, 3:9, 4:9] = 1
    mask[2, 5, 6] = 0
    mask[6, 4, 11] = 1
    mask = sitk.GetImageFromArray(mask)
    mask.CopyInformation(image)
    return image, mask


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_every_map_is_pyradiomics(lesion, name):
    pytest.importorskip("radiomics").setVerbosity(60)
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    image, mask = lesion
    asked = {"featureClass": TEXTURE} | CASES[name]
    settings = ExtractionSettings.model_validate(asked)
    extractor = RadiomicsFeatureExtractor({"setting": {"additionalInfo": False}} | asked)
    wanted = extractor.execute(image, mask, voxelBased=True)
    maps = feature_maps(image, mask, settings, features=["*"])
    assert list(maps.values) == [key for key in wanted if not key.startswith("diagnostics")]
    for key, values in maps.values.items():
        theirs = sitk.Resample(wanted[key], maps.volume(key), sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
        inside = np.zeros(maps.lesion.geometry.size[::-1], bool)
        inside[maps.lesion.box.slices_zyx] = maps.lesion.voxels_zyx
        np.testing.assert_allclose(
            values, sitk.GetArrayFromImage(theirs)[inside], rtol=1e-9, atol=1e-12, equal_nan=True, err_msg=key
        )


def test_a_map_lies_where_the_lesion_is(lesion):
    image, mask = lesion
    maps = feature_maps(image, mask, ExtractionSettings(), features=["firstorder_Mean"])
    whole = maps.volume("original_firstorder_Mean", outside=float("nan"))
    assert (whole.GetSize(), whole.GetOrigin(), whole.GetSpacing()) == (
        image.GetSize(),
        image.GetOrigin(),
        image.GetSpacing(),
    )
    assert np.array_equal(np.isfinite(sitk.GetArrayFromImage(whole)), sitk.GetArrayFromImage(mask) == 1)
    crop = maps.volume("original_firstorder_Mean", crop=True)
    assert crop.GetSize() == (8, 6, 7)
    assert crop.GetOrigin() == pytest.approx(image.TransformIndexToPhysicalPoint((4, 3, 0)))
    point = image.TransformIndexToPhysicalPoint((5, 4, 1))
    at = whole.TransformPhysicalPointToIndex(point), crop.TransformPhysicalPointToIndex(point)
    near = (slice(0, 3), slice(3, 6), slice(4, 7))
    around = sitk.GetArrayFromImage(image)[near][sitk.GetArrayFromImage(mask)[near] == 1]
    assert len(around) == 26  # of 27: the lesion has a hole
    assert whole[at[0]] == crop[at[1]] == pytest.approx(around.mean())


def test_threads_change_nothing(lesion):
    from radiomics_talent.extraction.threads import in_order

    def in_threads(function, pieces):
        return in_order((lambda piece=piece: function(piece) for piece in pieces), 3)

    settings = ExtractionSettings.model_validate({"imageType": {"Original": {}, "Square": {}}})
    one = feature_maps(*lesion, settings, features=["*"])
    more = feature_maps(*lesion, settings, features=["*"], run=in_threads)
    assert list(one.values) == list(more.values)
    assert len(one.values) == 2 * 93
    for name in one.values:
        np.testing.assert_array_equal(one.values[name], more.values[name])


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["ngtdm"], 5),
        (["glcm_Contrast", "ngtdm_Contrast"], 2),
        (["original_firstorder_*"], 18),
        (["original_glcm_MCC"], 1),
    ],
)
def test_features_are_chosen_by_name_class_or_pattern(lesion, chosen, expected):
    assert len(feature_maps(*lesion, ExtractionSettings(), features=chosen).values) == expected


@pytest.mark.parametrize(
    ("chosen", "radius", "sentence"),
    [
        ([], 1, "no feature was chosen"),
        (["original_shape_MeshVolume"], 1, "shape is one number a lesion and has no map"),
        (["glcm_Contrst"], 1, r"glcm_Contrst: these settings compute no such feature; did you mean glcm_Contrast\?"),
        (["wavelet-LLH_glcm_Contrast"], 1, r"no such feature; did you mean glcm_Contrast\?"),
        (["square_*"], 1, "these settings compute no such feature"),
        (["glcm"], 0, "a radius of 0 voxels was asked for; give 1 to 10"),
        (["glcm"], 11, "a radius of 11 voxels"),
    ],
)
def test_what_cannot_be_mapped_is_refused_in_a_sentence(lesion, chosen, radius, sentence):
    with pytest.raises(ConfigError, match=sentence):
        feature_maps(*lesion, ExtractionSettings(), features=chosen, radius=radius)
