from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from radiomics_talent.errors import ConfigError
from radiomics_talent.feature_dictionary import pyradiomics_names
from radiomics_talent.presets import find_preset, list_presets, validated
from radiomics_talent.settings import ExtractionSettings, PyRadiomicsSettings, with_engine


def settings_from(tmp_path: Path, text: str) -> ExtractionSettings:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return ExtractionSettings.from_yaml(path)


@pytest.mark.parametrize("name", list_presets("extraction"))
def test_every_preset_loads_by_name_and_by_path(name):
    by_name = ExtractionSettings.from_yaml(name)
    assert by_name == ExtractionSettings.from_yaml(f"{name}.yaml")
    assert by_name == ExtractionSettings.from_yaml(f"configs/extraction/{name}.yaml")
    assert by_name == ExtractionSettings.from_yaml(find_preset("extraction", name))


def test_talent_ct_is_the_recipe():
    settings = ExtractionSettings.from_yaml("talent-ct")
    assert settings.setting.resampledPixelSpacing == (1, 1, 1)
    assert settings.setting.binWidth == 25
    assert list(settings.imageType) == ["Original"]


def test_a_pyradiomics_parameter_file_works_unchanged(shared_data):
    files = sorted((shared_data / "pyradiomics" / "exampleSettings").glob("*.yaml"))
    assert len(files) >= 7
    for file in files:
        settings = ExtractionSettings.from_yaml(file)
        given_settings = yaml.safe_load(file.read_text())["setting"]
        ours = settings.to_pyradiomics()["setting"]
        for key, value in given_settings.items():
            assert ours[key] == (tuple(value) if isinstance(value, list) else value), (file.name, key)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("setting: {binwidth: 25}", "unknown key setting.binwidth; did you mean binWidth"),
        ("imagetype: {}", "unknown key imagetype; did you mean imageType"),
        ("zzz: 1", "unknown key zzz; known keys are engine, imageType"),
        ("setting: {binWidth: -3}", r"setting\.binWidth.*greater than 0 \(got -3\)"),
        ("imageType: {Log: {sigma: [1]}}", "unknown image type 'Log'; did you mean LoG"),
        ("imageType: {LoG: {sigm: [1]}}", r"unknown key imageType\.LoG\.sigm; did you mean sigma"),
        ("imageType: {LoG: {}}", "image type LoG needs sigma"),
        ("featureClass: {glcm: [Contrst]}", "unknown glcm feature 'Contrst'; did you mean Contrast"),
        ("featureClass: {glcm: 3}", "featureClass.glcm"),
        ("a: 1\na: 2", "line 2: key 'a' is given twice"),
        ("setting: [", "not valid YAML: line 1"),
        ("- a", "expected a mapping of settings"),
        ("geometry: {gantry_tilt: resampel}", "geometry.gantry_tilt: Input should be 'refuse' or 'resample'"),
        (
            "setting: {interpolator: sitkbspline}",
            "^[^;]*: setting.interpolator: unknown 'sitkbspline'; did you mean sitkBSpline\\?$",
        ),
        ("setting: {interpolator: 11}", r"setting\.interpolator: Input should be less than or equal to 10 \(got 11\)$"),
        ("geometry: {gantry_tilt: resampel}", r"'refuse' or 'resample' \(got 'resampel'\); did you mean resample\?$"),
        ("mask: {roi_names: {a: ['(']}}", "not a regular expression"),
        ("pad_mm: 3\nsetting: {resampledPixelSpacing: [1, 1, 1]}", "pad_mm has no effect"),
        ("setting: {binWidth: .nan}", "finite number"),
        ("setting: {binWidth: true}", r"setting\.binWidth: expected a number, .* not true or false \(got True\)"),
        ("setting: {distances: [1, true]}", r"setting\.distances: expected a number"),
        ("setting: {distances: []}", r"setting\.distances: .*at least 1 item"),
        ("imageType: {Wavelet: {wavelet: foo}}", "unknown wavelet 'foo'; PyWavelets knows"),
        ("imageType: {Wavelet: {}}\nsetting: {wavelet: coiff1}", "unknown wavelet 'coiff1'; did you mean coif1"),
        ("imageType: {LoG: {sigma: [1, 0.001]}}", "LoG sigma 0.001 mm is too narrow .* at least 0.1 mm"),
        (
            "imageType: {LoG: {sigma: [0.15]}}\nsetting: {resampledPixelSpacing: [2, 2, 2]}",
            "LoG sigma 0.15 mm is too narrow .* at least 0.2 mm",
        ),
        ("setting: {resampledPixelSpacing: [1, 1]}", "at least 3 items"),
        ("x: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_mistake_gets_one_sentence(tmp_path, text, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        settings_from(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean talent-ct"):
        ExtractionSettings.from_yaml("talent-cct")


def test_hash_ignores_order_and_comments_and_nothing_else(tmp_path):
    one = settings_from(tmp_path, "setting: {binWidth: 10, force2D: true}\nfeatureClass: {glcm: , shape: }")
    other = settings_from(
        tmp_path, "# mine\nfeatureClass: {shape: [], glcm: []}\nsetting: {force2D: true, binWidth: 10}"
    )
    assert one.hash == other.hash
    assert one.hash != settings_from(tmp_path, "setting: {binWidth: 11, force2D: true}").hash
    # Saying a default out loud changes nothing.
    assert settings_from(tmp_path, "setting: {binWidth: 25}").hash == ExtractionSettings().hash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("setting: {binWidth: 25}", "setting: {binWidth: 25.0}"),
        ("setting: {resegmentRange: [-100, 300]}", "setting: {resegmentRange: [-1.0e+2, 300.0]}"),
        ("featureClass: {glcm: [Contrast, Id]}", "featureClass: {glcm: [Id, Contrast, Id]}"),
        ("mask: {seg_fraction_threshold: 1}", "mask: {seg_fraction_threshold: 1.0}"),
        ("setting: {distances: null}", "setting: {distances: [1]}"),
    ],
)
def test_hash_ignores_spelling(tmp_path, one, other):
    assert settings_from(tmp_path, one).hash == settings_from(tmp_path, other).hash


def test_a_width_keeps_the_spelling_that_feature_names_carry(tmp_path):
    # PyRadiomics names log-sigma-1-mm-3D or log-sigma-1-0-mm-3D: a resumed table would have both.
    settings = settings_from(tmp_path, "imageType: {LoG: {sigma: [1, 2.5]}}")
    assert [str(s) for s in settings.to_pyradiomics()["imageType"]["LoG"]["sigma"]] == ["1", "2.5"]
    assert settings.hash != settings_from(tmp_path, "imageType: {LoG: {sigma: [1.0, 2.5]}}").hash


def test_a_wavelet_that_is_off_is_not_judged(tmp_path):
    assert settings_from(tmp_path, "setting: {wavelet: foo}").setting.wavelet == "foo"


@given(
    width=st.floats(0.1, 500),
    pad=st.integers(0, 60),
    classes=st.lists(st.sampled_from(sorted(pyradiomics_names())), min_size=1, unique=True),
    sigma=st.lists(st.floats(0.5, 8), min_size=1, max_size=4),
)
def test_a_round_trip_keeps_the_hash(width, pad, classes, sigma):
    settings = ExtractionSettings.model_validate(
        {
            "setting": {"binWidth": width, "padDistance": pad},
            "featureClass": dict.fromkeys(classes),
            "imageType": {"LoG": {"sigma": sigma}},
        }
    )
    again = ExtractionSettings.model_validate(yaml.safe_load(yaml.safe_dump(settings.canonical())))
    assert again.hash == settings.hash


def test_shape2d_is_only_on_by_default_where_pyradiomics_computes_it(tmp_path):
    assert "shape2D" not in ExtractionSettings().featureClass
    assert "shape2D" in settings_from(tmp_path, "setting: {force2D: true}").featureClass


def test_every_option_says_what_it_is():
    for model in (PyRadiomicsSettings, ExtractionSettings):
        for name, field in model.model_fields.items():
            assert field.description, name


def ibsi(**section):
    return ExtractionSettings.model_validate({"ibsi": section})


def test_settings_without_the_ibsi_chain_keep_their_hash():
    assert "ibsi" not in ExtractionSettings().canonical()
    assert ExtractionSettings().hash == "045868af9cafdb8d0813a219cdc9d8f1921cb481119b57024530a6f40f160916"


@pytest.mark.parametrize("name", [name for name in list_presets("extraction") if name.startswith("ibsi")])
def test_ibsi_presets_survive_their_own_record(name):
    preset = ExtractionSettings.from_yaml(name)
    assert preset.ibsi is not None
    again = ExtractionSettings.model_validate(preset.canonical())
    assert again.hash == preset.hash
    assert again.canonical() == preset.canonical()


def test_the_order_of_features_and_aggregations_does_not_change_the_hash():
    one = ibsi(aggregation=["3D_avg", "2D_avg"], features={"glcm": ["Contrast", "Id"], "ivh": None})
    other = ibsi(aggregation=["2D_avg", "3D_avg", "2D_avg"], features={"ivh": None, "glcm": ["Id", "Contrast", "Id"]})
    assert one.hash == other.hash
    assert ibsi(aggregation=["2D_avg"], features={"glcm": ["Contrast", "Id"], "ivh": None}).hash != one.hash


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"discretisation": {"bin_width": 25}}, r"discretisation\.bin_width needs a lower bound that is the same"),
        ({"discretisation": {"bin_width": 25, "bin_count": 32}}, "bin_width .fixed bin size. or bin_count"),
        ({"discretisation": {}}, "bin_width .fixed bin size. or bin_count"),
        ({"discretisation": {"bin_count": 32, "lowest_hu": 0}}, "lowest_hu belongs to bin_width"),
        ({"discretisation": {"bin_count": 65537}}, "less than or equal to 65536"),
        ({"resegmentation": {"range_hu": [400, -500]}}, "range_hu goes from low to high .got 400 to -500"),
        ({"resegmentation": {"range_hu": [400]}}, "at least 2 items"),
        ({"interpolation": {"spacing_mm": [2, 2]}}, "at least 3 items"),
        ({"interpolation": {"spacing_mm": [2, 2, 2], "grid": "center"}}, "did you mean centre"),
        ({"interpolation": {}}, "Field required"),
        ({"aggregation": ["3D"]}, "2D_avg"),
        ({"aggregation": []}, "at least 1 item"),
        ({"aggregation": "3D_avg"}, "should be a list"),
        ({"features": {"gldmz": None}}, "unknown feature class 'gldmz'; did you mean gldm"),
        ({"features": {"glcm": ["JointEntropi"]}}, "unknown glcm feature 'JointEntropi'; did you mean JointEntropy"),
        ({"bins": 3}, "unknown key ibsi.bins"),
    ],
)
def test_wrong_ibsi_settings_get_one_sentence(section, sentence):
    with pytest.raises(ConfigError, match=sentence):
        validated(ExtractionSettings, {"ibsi": section}, where="x.yaml")


@pytest.mark.parametrize(
    "other", [{"setting": {"binWidth": 5}}, {"imageType": {"LoG": {"sigma": [1]}}}, {"featureClass": {"glcm": None}}]
)
def test_the_two_chains_do_not_mix(other):
    with pytest.raises(ConfigError, match="belongs to PyRadiomics' chain and ibsi to another: give one of the two"):
        validated(ExtractionSettings, {"ibsi": {}, **other}, where="x.yaml")


def test_pyradiomics_cannot_compute_ibsis_features():
    with pytest.raises(ConfigError, match="PyRadiomics does not compute IBSI's features"):
        validated(ExtractionSettings, {"ibsi": {}, "engine": "reference"}, where="x.yaml")
    with pytest.raises(ConfigError, match="--engine reference: PyRadiomics does not compute IBSI's features"):
        with_engine(ibsi(), "reference")
    assert with_engine(ibsi(), "auto").ibsi == ibsi().ibsi


def test_matrices_without_directions_are_merged_as_the_others():
    both = ibsi(aggregation=["2D_avg", "2D_comb", "3D_comb", "2_5D_avg"]).ibsi
    assert both.plane_aggregation == ("2D", "3D", "2_5D")
