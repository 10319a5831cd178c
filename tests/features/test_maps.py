"""Voxel-wise maps against PyRadiomics' own voxel-based extraction."""

import hypothesis
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import strategies as st

from radiomics_talent import ExtractionSettings
from radiomics_talent.errors import ConfigError, ExtractionError, MaskError
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
    "radius beyond the pad": {
        "setting": {"resampledPixelSpacing": [2, 2, 2], "padDistance": 1},
        "voxelSetting": {"kernelRadius": 3},
    },
    "undefined outside": {"voxelSetting": {"initValue": float("nan")}},
    "normalised, pre-cropped": {"setting": {"normalize": True, "normalizeScale": 100, "preCrop": True}},
}
ODD = {
    "setting": [
        {"binWidth": 60},
        {"binCount": 1},
        {"binWidth": 5, "distances": [1, 2]},
        {"force2D": True, "force2Ddimension": 1},
        {"weightingNorm": "euclidean", "symmetricalGLCM": False, "gldm_a": 1},
        {"resampledPixelSpacing": [1.5, 2, 1], "padDistance": 1},
        {"resegmentRange": [10, 120], "voxelArrayShift": 1000},
    ],
    "imageType": [{"Original": {}}, {"LoG": {"sigma": [1.5]}}, {"Square": {}}, {"Gradient": {}}],
    "values": ["int16", "float32", "float64", "air"],
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


def pyradiomics_maps(image, mask, asked):
    pytest.importorskip("radiomics").setVerbosity(60)
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    setting = {"additionalInfo": False} | asked.get("setting", {})
    found = RadiomicsFeatureExtractor(asked | {"setting": setting}).execute(image, mask, voxelBased=True)
    return {name: value for name, value in found.items() if not name.startswith("diagnostics")}


def assert_same(maps, wanted, outside):
    """Voxel by voxel, in and out of the lesion, wherever PyRadiomics' crop reaches."""
    assert set(maps.values) == set(wanted)
    for key, theirs in wanted.items():
        ours = maps.volume(key, outside=outside)
        corner = ours.TransformPhysicalPointToIndex(theirs.GetOrigin())
        there = tuple(slice(low, low + n) for low, n in zip(corner, theirs.GetSize(), strict=True))
        np.testing.assert_allclose(
            sitk.GetArrayFromImage(ours[there]),
            sitk.GetArrayFromImage(theirs),
            rtol=1e-9, atol=1e-12, equal_nan=True, err_msg=key,
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_every_map_is_pyradiomics(lesion, name):
    asked = {"featureClass": TEXTURE} | CASES[name]
    settings = ExtractionSettings.model_validate(asked)
    wanted = pyradiomics_maps(*lesion, asked)
    maps = feature_maps(*lesion, settings, features=["*"])
    assert list(maps.values) == list(wanted)
    assert_same(maps, wanted, settings.voxelSetting.initValue)


def random_lesion(seed, values):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(4, 11, 3))
    noise = rng.normal(60, 30, size)
    if values == "air":
        noise[rng.random(size) < 0.4] = -1000
    image = sitk.GetImageFromArray(
        noise.round().astype(np.int16) if values in {"int16", "air"} else noise.astype(values)
    )
    image.SetSpacing([float(mm) for mm in rng.uniform(0.5, 3, 3)])
    lower = [rng.integers(0, n - 2) for n in size]
    mask = np.zeros(size, np.uint8)
    mask[tuple(slice(low, low + rng.integers(3, 6)) for low in lower)] = 1
    mask *= rng.random(size) < rng.choice([1, 0.9, 0.6])
    mask = sitk.GetImageFromArray(mask)
    mask.CopyInformation(image)
    return image, mask


@pytest.mark.filterwarnings("ignore")
@hypothesis.given(
    seed=st.integers(0, 2**32 - 1),
    setting=st.sampled_from(ODD["setting"]),
    image_type=st.sampled_from(ODD["imageType"]),
    values=st.sampled_from(ODD["values"]),
    radius=st.integers(1, 3),
    masked=st.booleans(),
    outside=st.sampled_from([0.0, 7.0]),
)
@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
def test_maps_of_odd_lesions_are_pyradiomics(seed, setting, image_type, values, radius, masked, outside):
    lesion = random_lesion(seed, values)
    asked = {
        "setting": {"minimumROIDimensions": 1} | setting,
        "imageType": image_type,
        "featureClass": TEXTURE,
        "voxelSetting": {"kernelRadius": radius, "maskedKernel": masked, "initValue": outside},
    }
    try:
        maps = feature_maps(*lesion, ExtractionSettings.model_validate(asked), features=["*"])
    except (ExtractionError, MaskError):  # too small for the filter; nothing left of the lesion
        hypothesis.reject()
    assert_same(maps, pyradiomics_maps(*lesion, asked), outside)


@pytest.mark.filterwarnings("ignore")
def test_batches_change_nothing_where_mcc_does_not_fail(lesion):
    box = sitk.GetImageFromArray(np.pad(np.ones((4, 4, 4), np.uint8), ((2, 5), (3, 7), (3, 6))))
    box.CopyInformation(lesion[0])
    for batch in (1, 7):
        asked = {"featureClass": TEXTURE, "voxelSetting": {"voxelBatch": batch}}
        maps = feature_maps(lesion[0], box, ExtractionSettings.model_validate(asked), features=["*"])
        assert_same(maps, pyradiomics_maps(lesion[0], box, asked), 0.0)


def test_mcc_that_fails_leaves_the_value_of_outside(lesion):
    settings = ExtractionSettings.model_validate({"voxelSetting": {"initValue": -1}})
    maps = feature_maps(*lesion, settings, features=["glcm_MCC", "glcm_Contrast"])
    assert set(maps.values["original_glcm_MCC"]) == {-1.0}
    assert any("MCC fails" in text and text.endswith("the map is -1") for text in maps.warnings)


def test_an_image_too_small_for_its_filter_has_no_maps():
    image, _ = random_lesion(0, "int16")
    settings = ExtractionSettings.model_validate({"imageType": {"LoG": {"sigma": [1]}}})
    small = tuple(slice(0, 3) for _ in range(3))
    with pytest.raises(ExtractionError, match="no map can be computed: Image too small to apply LoG filter"):
        feature_maps(image[small], sitk.Cast(image[small] > -5000, sitk.sitkUInt8), settings, features=["*"])


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
