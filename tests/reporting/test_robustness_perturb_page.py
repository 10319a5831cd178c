"""What the page of robustness perturb says: counts, figures, verdicts, failures, methods."""

import re

import numpy as np
import pytest
from reporting.robustness_folders import FEATURES, perturb_folder, plain, section, without_difference, write_failures

from radiomics_talent.errors import TableError
from radiomics_talent.modelling.record import write_frame
from radiomics_talent.reporting.robustness_agreement import agreed, ordered_stability
from radiomics_talent.reporting.robustness_figures import Levels
from radiomics_talent.reporting.robustness_heat_maps import heat_maps
from radiomics_talent.reporting.robustness_page import write_robustness_page
from radiomics_talent.robustness.stability import read_stability, stable_shares

TYPES = ("original", *(f"wavelet-{a}{b}" for a in "LH" for b in "LH"), *(f"log-sigma-{i}-0-mm-3D" for i in range(12)))


def page_of(run):
    write_robustness_page(run, run / "report.html")
    return (run / "report.html").read_text(encoding="utf-8")


def tiles_of(text):
    return {
        name: value for value, name in re.findall(r"<strong>(.*?)</strong><span>(.*?)</span>", section(text, "summary"))
    }


def test_tiles_are_what_stable_shares_counts(tmp_path):
    run = perturb_folder(tmp_path / "run")
    tiles = tiles_of(page_of(run))
    total = stable_shares(read_stability(run / "stability.csv"), "combined", "icc_1_1", 0.75, 0.9).iloc[-1]
    assert 0 < total["excellent"] < total["good"] < 1
    assert tiles["features ≥ 0.75"] == f"{total['good']:.0%}"
    assert tiles["features ≥ 0.9"] == f"{total['excellent']:.0%}"
    assert tiles["features not defined"] == str(len(FEATURES) - total["n_defined"]) == "1"
    assert (tiles["lesions"], tiles["patients"], tiles["versions of each"]) == ("7", "7", "12")


def test_bars_by_class_are_what_stable_shares_counts(tmp_path):
    run = perturb_folder(tmp_path / "run")
    bars = section(page_of(run), "shares")
    shares = stable_shares(read_stability(run / "stability.csv"), "combined", "icc_1_1", 0.75, 0.9).iloc[:-1]
    for row in shares.to_dict("records"):
        n = row["n_features"]
        good, excellent = (round(n * row[name]) for name in ("good", "excellent"))
        assert f"{row['feature_class']}: {good} and {excellent} of {n}" in bars


def test_each_feature_has_its_verdict_and_a_constant_one_is_not_defined(tmp_path):
    rows = re.findall(
        r"<tr><td class=\"feature\"><code>(.*?)</code></td>(.*?)</tr>",
        section(page_of(perturb_folder(tmp_path / "run")), "features"),
    )
    assert [name for name, _ in rows] == list(FEATURES)
    assert ">excellent<" in rows[0][1]
    assert ">not stable<" in rows[-2][1]
    assert ">not defined<" in rows[-1][1]
    assert "constant" in rows[-1][1]


def test_thresholds_chain_and_statistic_of_the_run_decide(tmp_path):
    text = page_of(perturb_folder(tmp_path / "run", chain="noise", statistic="icc_3_1_lower", good=0.5, excellent=0.6))
    assert "lower 95 % limit of ICC(3,1)" in section(text, "summary")
    assert "chain <code>noise</code>" in section(text, "summary")
    assert {"features ≥ 0.5", "features ≥ 0.6"} <= set(tiles_of(text))


def test_concordance_has_no_interval(tmp_path):
    text = page_of(perturb_folder(tmp_path / "run", statistic="ccc"))
    assert "95 % interval" not in section(text, "features")
    assert "CCC" in section(text, "intervals")


def test_chains_are_ranked_and_told_in_words(tmp_path):
    text = section(page_of(perturb_folder(tmp_path / "run")), "chains")
    medians = [float(m) for m in re.findall(r"(?:combined|noise|volume) (-?0\.\d{3})", text)]
    assert len(medians) == 3
    assert medians == sorted(medians)
    assert "4 versions: the lesion grown or shrunk by up to 20% of its volume and white noise of 1 times" in text
    assert "<dt><code>combined</code></dt>" in text


def test_strengths_of_versions_are_listed_but_for_those_that_are_0_throughout(tmp_path):
    text = section(page_of(perturb_folder(tmp_path / "run")), "chains")
    assert "translation x voxels</th>" in text
    assert "translation z voxels" not in text
    assert '<td class="number">0.347</td><td class="number">-0.2</td><td class="number">1</td>' in text


def test_supervoxels_of_small_lesions_are_smaller(tmp_path):
    run = perturb_folder(tmp_path / "run")
    path = run / "provenance.json"
    path.write_text(path.read_text().replace('["noise"]', '["contour"]', 1))
    text = section(page_of(run), "chains").replace("&#39;", "'")
    assert "supervoxels of 250 mm³, in small lesions of a tenth of the lesion's volume." in text


def test_one_chain_has_nothing_to_be_compared_with(tmp_path):
    text = section(page_of(perturb_folder(tmp_path / "run", chains=("combined",))), "chains")
    assert "nothing to compare it with" in text
    assert "<img" not in text


def test_failures_are_told_apart(tmp_path):
    run = perturb_folder(tmp_path / "run")
    write_failures(
        run, [("2", "p1", "L", "version", "combined 3: nothing is left"), ("9", "p8", "L", "mask", "is empty")]
    )
    text = page_of(run)
    assert (tiles_of(text)["versions failed"], tiles_of(text)["lesions failed"]) == ("1", "1")
    assert "combined 3: nothing is left" in section(text, "failures")
    assert "1 perturbed version could not be made" in section(text, "methods")


def test_no_failure_is_said_too(tmp_path):
    assert "Every version of every lesion has its features." in section(
        page_of(perturb_folder(tmp_path / "run")), "failures"
    )


def test_methods_say_what_was_done_and_cite(tmp_path):
    text = section(page_of(perturb_folder(tmp_path / "run")), "methods")
    for part in (
        "7 lesions of 7 patients", "Each lesion was perturbed 4 times", "5 measurements", "seed 2678780",
        "one-way random effects", "Sci Rep 2019;9:614", "Psychol Bull 1979;86:420", "J Chiropr Med 2016;15:155",
    ):  # fmt: skip
        assert part in text


def test_a_run_without_features_has_a_page(tmp_path):
    run = perturb_folder(tmp_path / "run", features=("original_shape_MeshVolume",))
    write_frame(run / "stability.csv", read_stability(run / "stability.csv").iloc[:0])
    text = page_of(run)
    assert "No lesion has features" in section(text, "summary")
    assert tiles_of(text)["features ≥ 0.75"] == "–"


def test_a_damaged_table_is_refused(tmp_path):
    run = perturb_folder(tmp_path / "run")
    (run / "stability.csv").write_text("feature\n")
    with pytest.raises(TableError, match=r"stability.csv"):
        page_of(run)


def found_of(tmp_path, types, per_type=2):
    names = [f"{t}_{c}" for t in types for c in ("glcm_Contrast", "firstorder_Mean")[:per_type]]
    run = perturb_folder(tmp_path / "run", features=tuple(names))
    table = ordered_stability(run / "stability.csv")
    return table, agreed(table, "combined", "icc_1_1", Levels(0.75, 0.9))


def test_few_image_types_have_a_figure_each(tmp_path):
    table, found = found_of(tmp_path, TYPES[:3])
    plates, remark = heat_maps(table, ["combined", "noise", "volume"], found)
    assert [name for name, _ in plates] == list(TYPES[:3])
    assert remark == ""


def test_many_image_types_fold_into_classes_and_the_rest_is_said(tmp_path):
    table, found = found_of(tmp_path, TYPES)
    plates, remark = heat_maps(table, ["combined", "noise", "volume"], found)
    assert [name for name, _ in plates] == [
        "original", "Every image type, medians of classes by chain", "firstorder by image type", "glcm by image type",
    ]  # fmt: skip
    assert "17 image types are too many for a figure by feature and chain each" in remark
    assert "Features of other image types than `original` in other chains than `combined` are not drawn" in remark
    assert "34 classes of features, their medians, by 3 chains" in plates[1][1].alt


def test_an_image_type_whose_name_begins_as_another_is_not_taken_for_it(tmp_path):
    types = ("square", "squareroot", *TYPES[1:])
    table, found = found_of(tmp_path, types)
    plates, _ = heat_maps(table, ["combined", "noise", "volume"], found)
    assert [name for name, _ in plates if name.startswith("square")] == ["square"]
    assert "Heat map, 2 features of square by 3 chains" in plates[0][1].alt


def test_every_feature_is_drawn_in_the_chain_that_decides(tmp_path):
    names = [f"{t}_glcm_F{i}" for t in TYPES for i in range(130)]
    run = perturb_folder(tmp_path / "run", features=tuple(names))
    table = ordered_stability(run / "stability.csv")
    plates, _ = heat_maps(table, ["combined"], agreed(table, "combined", "icc_1_1", Levels(0.75, 0.9)))
    shown = [int(n) for _, p in plates for n in re.findall(r"(\d+) features of glcm by 17 image types", p.alt)]
    assert shown == [65, 65]
    assert [p.alt.split(":")[0] for _, p in plates[:2]] == ["Heat map, 65 features of original by 1 chain"] * 2


def test_features_that_no_version_changes_are_not_tested(tmp_path):
    run = perturb_folder(tmp_path / "run")
    without_difference(run, "combined", FEATURES[:2])
    text = page_of(run)
    rows = re.findall(r"<code>(original_\w+)</code></td>.*?<span class=\"badge \w+\">(.*?)</span>", plain(text))
    assert [name for name, verdict in rows if verdict == "not tested"] == list(FEATURES[:2])
    assert "For 2 features no version differs from the lesion as it is" in section(text, "summary")
    assert "2 not tested" in section(text, "heat")
    assert "nothing was tested there" not in section(text, "heat")


def test_a_chain_that_changes_nothing_is_named_beside_the_heat_map(tmp_path):
    run = perturb_folder(tmp_path / "run")
    without_difference(run, "noise")
    text = section(page_of(run), "heat")
    assert "In <code>noise</code> no version differs from the lesion as it is in any feature" in text


def test_features_stand_by_class_in_the_heat_map(tmp_path):
    _, found = found_of(tmp_path, TYPES[:1])
    assert list(found.frame["label"]) == ["firstorder Mean", "glcm Contrast"]


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.9, "excellent"), (0.75, "good"), (0.8999, "good"), (0.7499, "not stable"), (-0.3, "not stable"),
     (np.nan, "not defined")],
)  # fmt: skip
def test_verdicts_begin_at_their_thresholds(value, verdict):
    assert Levels(0.75, 0.9).verdict(value) == verdict
