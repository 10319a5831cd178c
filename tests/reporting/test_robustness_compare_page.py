"""What the page of robustness compare says: agreement, Bland-Altman plots, masks, batches, unpaired rows."""

import re

from reporting.robustness_folders import FEATURES, compare_folder, section, without_difference

from radiomics_talent.reporting.robustness_page import write_robustness_page


def page_of(run):
    write_robustness_page(run, run / "report.html")
    return (run / "report.html").read_text(encoding="utf-8")


def test_tiles_count_pairs_and_features(tmp_path):
    text = section(page_of(compare_folder(tmp_path / "run")), "summary")
    tiles = {name: value for value, name in re.findall(r"<strong>(.*?)</strong><span>(.*?)</span>", text)}
    assert (tiles["pairs of lesions"], tiles["rows unpaired"], tiles["features"]) == ("7", "1", str(len(FEATURES)))
    assert tiles["median Dice of the masks"] == "0.860"
    assert "<li>A without <code>provenance.json</code>.</li>" in text


def test_volume_first_order_and_extremes_of_texture_are_plotted(tmp_path):
    text = section(page_of(compare_folder(tmp_path / "run")), "bland-altman")
    drawn = re.findall(r"Bland-Altman plot of (\S+), 7 pairs: bias", text)
    assert drawn[:3] == ["original_shape_MeshVolume", "original_firstorder_Mean", "original_firstorder_Entropy"]
    assert len(drawn) == 5
    assert "(among the best of texture)" in text
    assert "(among the worst of texture)" in text


def test_every_feature_is_in_the_table_of_differences(tmp_path):
    text = section(page_of(compare_folder(tmp_path / "run")), "bland-altman")
    assert re.findall(r'<td class="feature"><code>(.*?)</code></td>', text) == list(FEATURES)


def test_without_values_of_pairs_the_table_stays(tmp_path):
    text = section(page_of(compare_folder(tmp_path / "run", values=False)), "bland-altman")
    assert "The values of the pairs are not in the folder" in text
    assert "<img" not in text
    assert FEATURES[0] in text


def test_masks_are_listed_the_worst_first(tmp_path):
    text = section(page_of(compare_folder(tmp_path / "run")), "masks")
    assert re.findall(r"<tr><td>(p\d)/L</td>", text) == ["p2", "p1", "p0"]
    assert "the mask is gone" in text
    assert "Strips of 2 pairs. Medians: Dice 0.86" in text


def test_no_masks_is_said(tmp_path):
    text = page_of(compare_folder(tmp_path / "run", masks=False))
    assert "Masks were not compared" in section(text, "masks")
    assert "median Dice" not in section(text, "summary")


def test_batches_are_shown_before_and_after_combat(tmp_path):
    text = section(page_of(compare_folder(tmp_path / "run")), "batches")
    assert "kernel: 22.0% before ComBat, 2.0% after" in text
    assert "divides the rows as A or B does" in text


def test_no_factor_is_said(tmp_path):
    run = compare_folder(tmp_path / "run")
    path = run / "batches.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert "No factor divides the rows." in section(page_of(run), "batches")


def test_features_that_are_the_same_in_a_and_b_are_not_tested(tmp_path):
    run = compare_folder(tmp_path / "run")
    without_difference(run, "A-B", FEATURES[:1])
    text = page_of(run)
    assert "For 1 feature A and B have the same value in every pair" in section(text, "summary")
    assert section(text, "features").count(">not tested<") == 1


def test_unpaired_rows_have_their_reason(tmp_path):
    assert "<td>p9/L</td><td>no such row in A</td>" in section(page_of(compare_folder(tmp_path / "run")), "unpaired")


def test_methods_cite_bland_and_altman(tmp_path):
    text = section(page_of(compare_folder(tmp_path / "run")), "methods")
    assert "two measurements (A, B) of 7 lesions" in text
    assert "Stat Methods Med Res 1999;8:135" in text
