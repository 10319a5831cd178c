"""What the page of robustness controls says: verdict, models, effects, definitions."""

import re

import pytest
from reporting.robustness_folders import controls_folder, section, write_failures

from radiomics_talent.reporting.robustness_page import write_robustness_page


def page_of(run):
    write_robustness_page(run, run / "report.html")
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_verdict_comes_first(tmp_path):
    text = section(page_of(controls_folder(tmp_path / "run")), "summary")
    assert text.index("Texture carries signal among 7 patients.") < text.index("<strong>")
    assert "<li>One finding.</li>" in text


def test_every_model_has_its_figures(tmp_path):
    text = section(page_of(controls_folder(tmp_path / "run")), "models")
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>(.*?)</tr>", text)
    assert [r[:2] for r in rows] == [
        ("original", "all features"), ("original", "texture"), ("roi shuffled", "all features"),
        ("roi shuffled", "shape"),
    ]  # fmt: skip
    assert "Predicted: <code>response</code>." in text
    assert "0.800 (0.700 to 0.900)" in rows[0][2]
    assert "0.300 (interval not defined)" in rows[2][2]
    assert "unchanged" in rows[3][2]
    assert "Dots with whiskers, AUC. original, all features: 0.800" in text


def test_without_a_question_there_is_no_verdict(tmp_path):
    text = page_of(controls_folder(tmp_path / "run", models=False))
    assert "No model was asked for (<code>--clinical</code>), so there is no verdict" in section(text, "summary")
    assert "<img" not in section(text, "models")
    assert "<img" in section(text, "effects")


def test_effects_are_told_by_control_and_kind(tmp_path):
    text = section(page_of(controls_folder(tmp_path / "run", surroundings_change=0.25)), "effects")
    assert "roi shuffled, texture: 100% changed, Spearman 0.38" in text
    assert "surroundings noise, texture: 12% changed, Spearman not defined" in text
    assert "Not drawn" not in text
    assert re.findall(r'<td class="feature"><code>(.*?)</code></td>', text) == [
        "original_glcm_Idm",
        "original_glcm_Contrast",
    ]


def test_controls_are_defined_in_words(tmp_path):
    text = section(page_of(controls_folder(tmp_path / "run")), "controls")
    assert "The lesion's own voxels are exchanged on the scan: their values stay, its texture goes." in text.replace(
        "&#39;", "'"
    )
    assert "roi noise" not in text


@pytest.mark.parametrize(
    ("extraction", "sentence"),
    [
        ({}, "with these settings nothing outside of the lesion enters a feature, so they change none."),
        ({"imageType": {"Original": {}, "LoG": {"sigma": [2.0]}}}, "no value of a feature changed."),
    ],
)
@pytest.mark.parametrize("models", [True, False])
def test_surroundings_that_change_nothing_are_not_drawn_and_the_page_says_why(tmp_path, extraction, sentence, models):
    text = section(page_of(controls_folder(tmp_path / "run", extraction=extraction, models=models)), "effects")
    assert f"<p>Not drawn: <code>surroundings_noise</code>; {sentence}</p>" in text
    assert "surroundings noise, texture" not in text
    assert "roi shuffled, texture" in text


LOG = {"Original": {}, "LoG": {"sigma": [2.0]}}


@pytest.mark.parametrize(
    ("extraction", "reach"),
    [
        ({"imageType": LOG}, "20 mm from the lesion counts as its surroundings, as far as the scan goes."),
        (
            {"imageType": LOG, "setting": {"resampledPixelSpacing": [1, 1, 2.5], "padDistance": 8}},
            "8 voxels (<code>padDistance</code>) of 1 × 1 × 2.5 mm about the lesion's box.",
        ),
        (
            {"imageType": LOG, "setting": {"preCrop": True}},
            "5 voxels (<code>padDistance</code>) of the scan about the lesion's box.",
        ),
        ({"imageType": LOG, "pad_mm": 12}, "features see 12 mm (<code>pad_mm</code>) about the lesion's box."),
        ({"ibsi": {}}, "features see 7 mm about the lesion's box."),
        ({"setting": {"resampledPixelSpacing": [1, 1, 1]}}, "by what interpolation carries across the contour alone."),
        ({"setting": {"normalize": True}}, "by the scale (<code>normalize</code>) alone."),
        ({}, "With these settings nothing outside of the lesion enters a feature: its surroundings change none."),
    ],
    ids=["scan", "resampled", "cropped", "padded", "ibsi", "interpolated", "normalised", "original"],
)
def test_surroundings_end_where_features_stop_to_see(tmp_path, extraction, reach):
    text = page_of(controls_folder(tmp_path / "run", extraction=extraction))
    assert reach in section(text, "controls").replace("&#39;", "'")
    assert re.sub(r"</?code>", "", reach) in section(text, "methods").replace("&#39;", "'")


def test_failures_are_listed(tmp_path):
    run = controls_folder(tmp_path / "run")
    write_failures(run, [("3", "p2", "L", "mask", "too small")])
    assert "too small" in section(page_of(run), "failures")


def test_methods_cite_readii_and_welch(tmp_path):
    text = section(page_of(controls_folder(tmp_path / "run")), "methods")
    assert "For response, the same model was cross-validated" in text
    assert "Radiother Oncol 2019;130:2" in text
    assert "READII" in text
