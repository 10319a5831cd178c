"""What pages, methods and checklists say of the IBSI chain: its own settings, and nothing of PyRadiomics'."""

from dataclasses import replace

import pytest
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import train
from radiomics_talent.presets import list_presets
from radiomics_talent.reporting import settings_words as words
from radiomics_talent.reporting.checklists import fill_checklists
from radiomics_talent.reporting.methods import bibtex, due_references, methods_text
from radiomics_talent.reporting.model_report import page_values, pipeline_steps
from radiomics_talent.reporting.study_facts import StudyFacts, read_study
from radiomics_talent.settings import ExtractionSettings

CT = ExtractionSettings.from_yaml("ibsi-ct").canonical()
COMPLIANT = "IBSI 1 features of radiomics-talent (compliant with the consensus values: `radiomics-talent ibsi`)"
OF_PYRADIOMICS = ("pyradiomics", "sitk", "bin width of 25 hu;", "force2d", "weightingnorm")


def settings(**ibsi: object) -> dict:
    return ExtractionSettings.model_validate({"ibsi": ibsi}).canonical()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFacts:
    """A small model, as if `ibsi-ct` had made its features."""
    folder = tmp_path_factory.mktemp("study")
    train(feature_table(), clinical_table(folder), Outcome("response"), quick_settings(), folder / "model")
    facts = read_study(folder / "model")
    return replace(facts, model=replace(facts.model, extraction=CT))


def answers(facts: StudyFacts, name: str) -> dict[str, str]:
    checklist = next(c for c in fill_checklists(facts) if c.name == name)
    return {item.number: item.answer for item in checklist.items}


def with_ibsi(facts: StudyFacts, **ibsi: object) -> StudyFacts:
    return replace(facts, model=replace(facts.model, extraction=settings(**ibsi)))


def test_interpolation_tells_grid_rounding_and_mask():
    told = words.resampling(CT)
    assert told == (
        "images were interpolated to 1 × 1 × 1 mm by linear interpolation, the grids' centres aligned, and rounded to "
        "whole HU; masks by linear interpolation, voxels counted from a fraction of 0.5 on"
    )


def test_interpolation_tells_every_other_choice():
    other = {"spacing_mm": [2, 2, 0], "grid": "corner", "interpolator": "cubic-spline", "mask_interpolator": "nearest"}
    told = words.resampling(settings(interpolation=other | {"mask_threshold": 0.9, "round_hu": False}))
    assert told == (
        "images were interpolated to 2 × 2 × 0 mm by cubic B-spline interpolation, the grids' first corners aligned, "
        "and not rounded; masks by nearest neighbour interpolation, voxels counted from a fraction of 0.9 on; 0 keeps "
        "an axis as it is"
    )


def test_without_interpolation_nothing_was_interpolated(study: StudyFacts):
    assert words.resampling(settings()) == "images and masks were not interpolated"
    ibsi = answers(with_ibsi(study), "IBSI reporting")
    assert ibsi["51"] == "not interpolated: the scan's own voxels"
    for number in ("41", "50b", "50c", "50d", "52", "53", "54"):
        assert ibsi[number] == "not applicable: not interpolated", number


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"range_hu": [-100, 300]}, "from -100 to 300 HU"),
        ({"range_hu": [-100, None]}, "from -100 HU up"),
        ({"range_hu": [None, 300]}, "up to 300 HU"),
        ({"outliers_sd": 3}, "within 3 standard deviations of the lesion's mean"),
        (
            {"range_hu": [-1000, 400], "outliers_sd": 3},
            "from -1000 to 400 HU and within 3 standard deviations of the lesion's mean",
        ),
    ],
)
def test_resegmentation_tells_what_is_kept_and_where(asked: dict, kept: str):
    told = words.resegmentation(settings(resegmentation=asked))
    assert told == f"intensities {kept} were kept in the intensity mask; the morphological mask kept the lesion whole"


@pytest.mark.parametrize("asked", [None, {"range_hu": [None, None]}])
def test_without_a_range_nothing_was_resegmented(asked: dict | None):
    assert words.resegmentation(settings(resegmentation=asked)) == "lesions were not re-segmented by intensity"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"bin_width": 25}, "grey levels: fixed bin size of 25 HU from -500 HU on (Q3RU)"),
        ({"bin_width": 2.5, "lowest_hu": -600}, "grey levels: fixed bin size of 2.5 HU from -600 HU on (Q3RU)"),
        (
            {"bin_count": 32},
            "grey levels: fixed bin number of 32 between the lesion's own lowest and highest intensity (K15C)",
        ),
        (None, "grey levels: none made, intensities were levels"),
    ],
)
def test_grey_levels_tell_their_bins(asked: dict | None, told: str):
    own = settings(resegmentation={"range_hu": [-500, 400]}, discretisation=asked, features={"glcm": None})
    assert words.discretisation(own) == told


@pytest.mark.parametrize(
    ("limits", "asked", "told"),
    [
        ([-100, 300], None, "every whole HU a level, from -100 to 300 HU"),
        (None, None, "every whole HU a level, from the lesion's lowest to its highest"),
        ([-1000, 400], {"bin_width": 2.5}, "levels of 2.5 HU from -1000 HU to 400 HU"),
        ([-1000, None], {"bin_width": 2.5}, "levels of 2.5 HU from -1000 HU on"),
        (None, {"bin_count": 1000}, "1000 levels between the lesion's own lowest and highest intensity"),
    ],
)
def test_levels_of_the_volume_histogram_are_told(limits: list | None, asked: dict | None, told: str):
    own = settings(resegmentation={"range_hu": limits}, ivh_discretisation=asked)
    assert words.discretisation(own).partition("; ")[2] == f"intensity-volume histogram: {told}"


def test_texture_tells_every_aggregation_by_its_code():
    told = words.texture(ExtractionSettings.from_yaml("ibsi-digital").canonical())
    directed, flat = told.split("; ")
    assert [code for code in ("BTW3", "SUJT", "JJUI", "ZW7Z", "ITBB", "IAZD") if code in directed] == [
        "BTW3", "SUJT", "JJUI", "ZW7Z", "ITBB", "IAZD",
    ]  # fmt: skip
    assert directed.startswith("texture: GLCM and GLRLM in 2D, averaged over slices and directions (BTW3)")
    assert flat == (
        "GLSZM, GLDZM, NGTDM and NGLDM (gldm) in 2D, averaged over slices (8QNN) and in 2.5D, slices merged (62GR) and "
        "in 3D (KOBO)"
    )


def test_texture_tells_of_the_matrices_that_were_computed_alone():
    assert words.texture(settings(features={"glcm": None})) == "texture: GLCM in 3D, averaged over directions (ITBB)"
    assert words.texture(settings(features={"gldm": None})) == "texture: NGLDM (gldm) in 3D (KOBO)"
    assert words.texture(settings(features={"shape": None})) == "no texture matrices were computed"


def test_every_aggregation_of_the_settings_has_words():
    every = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb")
    assert words.texture(settings(aggregation=every)).count("(") == 10  # one is of NGLDM (gldm)


@pytest.mark.parametrize("name", [n for n in list_presets("extraction") if n.startswith("ibsi")])
def test_every_preset_of_the_chain_has_its_words(study: StudyFacts, name: str):
    extraction = ExtractionSettings.from_yaml(name).canonical()
    facts = replace(study, model=replace(study.model, extraction=extraction))
    told = methods_text(facts).lower() + str(answers(facts, "IBSI reporting")).lower()
    assert not [word for word in OF_PYRADIOMICS if word in told]


def test_the_words_follow_the_chain_and_not_pyradiomics_settings():
    assert words.normalisation(CT | {"setting": CT["setting"] | {"normalize": True}}) == ""
    assert words.image_types(CT | {"imageType": {"Wavelet": {}}}) == "Original (no filter)"
    assert words.engine(CT, {"pyradiomics": "3.0.1"}) == COMPLIANT


@pytest.mark.parametrize("name", [n for n in list_presets("extraction") if n.startswith("ibsi")])
def test_every_preset_of_the_chain_is_compliant(name: str):
    assert words.engine(ExtractionSettings.from_yaml(name).canonical(), {}) == COMPLIANT


@pytest.mark.parametrize(
    ("asked", "departs"),
    [
        ({"grid": "corner"}, "the grids' first corners aligned"),
        ({"round_hu": False}, "intensities not rounded to whole HU"),
        ({"mask_interpolator": "nearest"}, "masks by nearest neighbour interpolation"),
        ({"mask_threshold": 0.9}, "mask voxels from a fraction of 0.9 on"),
        (
            {"grid": "corner", "mask_interpolator": "nearest"},
            "the grids' first corners aligned, masks by nearest neighbour interpolation",
        ),
    ],
)
def test_image_processing_that_departs_is_named(study: StudyFacts, asked: dict, departs: str):
    interpolation = {"spacing_mm": [1, 1, 1]} | asked
    told = words.engine(settings(interpolation=interpolation), {})
    assert told.endswith(f"image processing departs: {departs})")
    facts = with_ibsi(study, interpolation=interpolation)
    assert f"image processing departs: {departs})" in methods_text(facts)
    everything = methods_text(facts) + str([c.items for c in fill_checklists(facts)])
    assert "compliant with the consensus" not in everything


@pytest.mark.parametrize("interpolation", [None, {"spacing_mm": [2, 2, 0], "interpolator": "cubic-spline"}])
def test_image_processing_of_the_ibsi_does_not_depart(interpolation: dict | None):
    assert words.engine(settings(interpolation=interpolation), {}) == COMPLIANT


def test_small_lesions_are_told_by_each_chain():
    assert words.smallest_lesion(CT) == "lesions of fewer than 101 voxels after that were refused"
    assert words.smallest_lesion(settings()) == ""
    pyradiomics = ExtractionSettings.from_yaml("talent-ct").canonical()
    assert words.smallest_lesion(pyradiomics) == "lesions of no more than 100 voxels were refused"


def test_methods_cite_the_ibsi_and_its_manual(study: StudyFacts):
    text = methods_text(study)
    assert "computed on the unfiltered image as the Image Biomarker" in text
    assert f"engine: {COMPLIANT}." in text
    assert "lesions of fewer than 101 voxels" in text.lower()
    assert {"zwanenburg2020", "ibsimanual2019"} <= set(due_references(study))
    assert "vangriethuysen2017" not in due_references(study)
    assert "10.1148/radiol.2020191145" in bibtex(study)
    assert "1612.07003v11" in bibtex(study)


def test_methods_of_pyradiomics_do_not_cite_the_manual(study: StudyFacts):
    extraction = ExtractionSettings.from_yaml("talent-ct").canonical()
    facts = replace(study, model=replace(study.model, extraction=extraction))
    assert "ibsimanual2019" not in due_references(facts)
    assert "vangriethuysen2017" in due_references(facts)


def test_reporting_guidelines_are_answered_by_the_chain(study: StudyFacts):
    ibsi = answers(study, "IBSI reporting")
    assert ibsi["50b"] == "the grids' centres aligned"
    assert ibsi["51"] == "1 × 1 × 1 mm"
    assert ibsi["52"] == "to the nearest whole HU"
    assert ibsi["53"] == "linear"
    assert ibsi["54"] == "counted from a fraction of 0.5 on"
    assert ibsi["56c"] == "from -100 HU on, in every lesion"
    assert "`radiomics-talent ibsi`" in ibsi["59"]
    assert "ITBB" in ibsi["62"]
    assert "Manhattan" in ibsi["67"]
    assert ibsi["71"] == "NGLDM: 0"


def test_items_of_matrices_that_were_not_computed_do_not_apply(study: StudyFacts):
    ibsi = answers(with_ibsi(study, features={"firstorder": None}), "IBSI reporting")
    for number in ("64", "65", "66", "67", "68", "71"):
        assert ibsi[number].startswith("not applicable: no "), number


def test_first_bins_of_other_discretisations(study: StudyFacts):
    assert answers(with_ibsi(study), "IBSI reporting")["56c"] == "not applicable: intensities were levels"
    counted = with_ibsi(study, discretisation={"bin_count": 32})
    assert answers(counted, "IBSI reporting")["56c"] == "the lesion's own lowest intensity (fixed bin number)"


def test_the_page_shows_no_setting_without_effect(study: StudyFacts):
    names = [name for name, _ in page_values(study)["extraction_rows"]]
    assert "ibsi.discretisation.bin_width" in names
    assert not [name for name in names if name.split(".")[0] in {"engine", "setting", "imageType", "voxelSetting"}]
    assert dict(pipeline_steps(study))["Resampling"] == words.resampling(CT)


def test_settings_without_those_of_no_effect_are_the_same_settings():
    shown = ExtractionSettings.model_validate(words.with_effect(CT))
    assert shown.hash == ExtractionSettings.from_yaml("ibsi-ct").hash
    pyradiomics = ExtractionSettings.from_yaml("talent-ct").canonical()
    assert words.with_effect(pyradiomics) == pyradiomics


def test_columns_with_aggregation_are_counted():
    columns = ("original_glcm-2.5D-avg_Contrast", "original_glcm_Contrast", "original_gldzm-2D_ZonePercentage",
               "mean_original_ivh_IntensityAtVolume10", "original_histogram_Mean", "original_localintensity_GlobalPeak",
               "age_glcm-x_y")  # fmt: skip
    assert words.feature_classes(columns) == {
        "GLCM": 2, "local intensity": 1, "intensity histogram": 1, "intensity-volume histogram": 1, "GLDZM": 1,
    }  # fmt: skip
