"""The page of report extract, from real run folders of small cohorts to a page in a real browser."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from browser import DESKTOP, PHONE, browser, opened  # noqa: F401  # a fixture
from extraction.tiny_cohorts import make_cohort, make_settings
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.cohort.manifest import load_cohort, write_cohort
from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.reporting import extraction_gallery
from radiomics_talent.reporting.extraction_report import read_run, write_extraction_html
from radiomics_talent.settings import ExtractionSettings

KERNELS = {"p1": "B30f", "p2": "B30f", "p3": "B70f"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three scans with six lesions and two kernels; do not change it."""
    root = tmp_path_factory.mktemp("run")
    cohort = make_cohort(root / "data")
    write_cohort([replace(x, kernel=KERNELS[x.patient_id]) for x in cohort.lesions], root / "data" / "cohort.csv")
    run_extraction(load_cohort(root / "data" / "cohort.csv"), make_settings(), root / "run", jobs=1)
    return root


@pytest.fixture
def root(finished, tmp_path):
    """A copy to change."""
    shutil.copytree(finished, tmp_path / "study")
    return tmp_path / "study"


def page_of(run, path, **options):
    write_extraction_html(read_run(run), path, title="Extraction run", **options)
    return path.read_text(encoding="utf-8")


def plain(text):
    """The page without pictures, styles and scripts."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"data:image/[^\"]*", "", text))


def section(text, name):
    text = plain(text)
    start = text.index(f'id="{name}"')
    return text[start : text.index("</section>", start)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_page_in_a_browser(browser, finished, tmp_path, width, scheme):  # noqa: F811
    page = tmp_path / "page.html"
    page_of(finished / "run", page)
    with opened(browser, page.as_uri(), width=width, scheme=scheme) as visit:
        viewers = visit.page.locator(".viewer")
        assert viewers.count() == 6
        third = viewers.nth(2)
        third.scroll_into_view_if_needed()
        visit.wait_until("document.querySelectorAll('.viewer')[2].classList.contains('is-live')")
        third.locator(".viewer-stage").focus()
        before = int(third.get_attribute("data-slice"))
        visit.page.keyboard.press("ArrowDown")
        assert int(third.get_attribute("data-slice")) == before - 1
        third.locator(".viewer-stage").hover()
        visit.page.mouse.wheel(0, -120)
        visit.wait_until(f"document.querySelectorAll('.viewer')[2].dataset.slice === '{before}'")
        visit.page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
        visit.check()
        table = visit.page.get_by_label("Features that differ most by reconstruction kernel")
        assert table.evaluate("table => table.scrollWidth - table.clientWidth") <= 0


def test_links_lead_somewhere_and_pictures_have_words(finished, tmp_path):
    text = page_of(finished / "run", tmp_path / "page.html")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)
    assert all(len(alt) > 20 for alt in re.findall(r'<img[^>]* alt="([^"]*)"', text))
    assert not re.search(r'(src|href)="(?!data:image/|#)', text)


def test_summary_says_what_the_run_was(finished, tmp_path):
    text = section(page_of(finished / "run", tmp_path / "page.html"), "summary")
    tiles = {name: value for value, name in re.findall(r"<strong>(.*?)</strong><span>(.*?)</span>", text)}
    features = len(pd.read_parquet(finished / "run" / "features.parquet").columns) - 11
    assert (tiles["patients"], tiles["scans"], tiles["lesions with features"], tiles["failed"]) == ("3", "3", "6", "0")
    assert tiles["features"] == str(features)
    assert make_settings().hash in text


def test_a_run_of_the_ibsi_chain_says_how_images_were_processed(finished, tmp_path):
    own = {"discretisation": {"bin_count": 8}, "features": {"firstorder": ["Mean"], "glcm": ["Contrast"]}}
    settings = ExtractionSettings.model_validate({"ibsi": own})
    run_extraction(load_cohort(finished / "data" / "cohort.csv"), settings, tmp_path / "run", jobs=1)
    text = page_of(tmp_path / "run", tmp_path / "page.html")
    summary = section(text, "summary")
    assert "<dd>images and masks were not interpolated</dd>" in summary
    assert "fixed bin number of 8" in summary
    assert "GLCM in 3D, averaged over directions (ITBB)" in summary
    assert "IBSI 1 features of radiomics-talent" in summary
    assert "featureClass" not in section(text, "provenance")


def test_a_run_of_pyradiomics_chain_shows_every_setting(finished, tmp_path):
    text = page_of(finished / "run", tmp_path / "page.html")
    assert "featureClass" in section(text, "provenance")
    assert "IBSI" not in section(text, "summary")


def test_batches_clusters_and_components(finished, tmp_path):
    text = page_of(finished / "run", tmp_path / "page.html")
    assert "By reconstruction kernel" in section(text, "batches")
    assert "eta squared" in section(text, "batches")
    assert "After ComBat: " in section(text, "components")
    assert re.search(r"features that vary form \d+ clusters", section(text, "correlation"))
    assert "B30f: 3; B70f: 3" in section(text, "cohort")


def test_a_batch_that_does_not_divide_is_said(finished, tmp_path):
    text = page_of(finished / "run", tmp_path / "page.html", batch="site")
    assert "All lesions are of one site: there is nothing to compare." in section(text, "batches")
    assert "All lesions are of one batch: nothing to adjust." in section(text, "components")


def test_viewers_are_limited_and_the_limit_is_said(finished, tmp_path):
    text = page_of(finished / "run", tmp_path / "page.html", viewers=2)
    assert text.count("data-viewer role") == 2
    assert "2 of 6 lesions have a viewer, the others still pictures (limit 2; change it with --viewers)." in plain(text)
    none = page_of(finished / "run", tmp_path / "page.html", viewers=0)
    assert "script-src" not in none
    assert "<script" not in none


def test_a_full_page_takes_no_more_volumes(finished):
    small = extraction_gallery._Budget(frozenset({"p1/L0"}), bytes_left=10)
    cohort = load_cohort(finished / "data" / "cohort.csv")
    lesion, cases, _ = next(extraction_gallery._cases(cohort, make_settings()))
    assert small.volume(lesion.key, cases[0]) is None
    assert small.refused == ["p1/L0"]


def test_scans_that_are_gone_leave_a_page_without_pictures(root, tmp_path):
    shutil.rmtree(root / "data")
    text = page_of(root / "run", tmp_path / "page.html")
    assert "The cohort table (../data/cohort.csv, seen from the run folder) is gone" in plain(text)
    assert "data-viewer" not in plain(text)
    assert "After ComBat" in text


def test_one_scan_that_is_gone_costs_its_own_pictures_only(root, tmp_path):
    (root / "data" / "p3.nii.gz").unlink()
    text = page_of(root / "run", tmp_path / "page.html")
    assert text.count("data-viewer role") == 3
    assert plain(text).count("No picture: the scan cannot be shown") == 3


def test_a_mask_that_was_changed_since_is_said(root, tmp_path):
    path = root / "data" / "p1_0.nii.gz"
    mask = sitk.ReadImage(str(path))
    mask[4, 4, 3] = 0 if mask[4, 4, 3] else 1
    sitk.WriteImage(mask, str(path))
    text = plain(page_of(root / "run", tmp_path / "page.html"))
    assert text.count("The mask has changed since the extraction") == 1


def test_cohort_may_be_elsewhere(root, tmp_path):
    (root / "data").rename(root / "moved")
    found = read_run(root / "run", root / "moved" / "cohort.csv")
    assert len(found.cohort.lesions) == 6


def cohort_of(root, keep, **changes):
    cohort = make_cohort(root / "data")
    write_cohort([replace(x, **changes) for x in cohort.lesions if keep(x)], root / "data" / "cohort.csv")
    return load_cohort(root / "data" / "cohort.csv")


def test_one_lesion(tmp_path):
    run_extraction(cohort_of(tmp_path, lambda x: x.patient_id == "p1"), make_settings(), tmp_path / "run", jobs=1)
    text = page_of(tmp_path / "run", tmp_path / "page.html")
    for name, sentence in (
        ("batches", "There are no features to compare between batches"),
        ("components", "Principal components need at least three lesions"),
        ("correlation", "Correlations need at least three lesions"),
    ):
        assert sentence in section(text, name)
    assert text.count("data-viewer role") == 1


def test_all_lesions_failed(tmp_path):
    cohort = cohort_of(tmp_path, lambda _: True)
    settings = make_settings(minimumROISize=10_000)
    run_extraction(cohort, settings, tmp_path / "run", jobs=1)
    text = page_of(tmp_path / "run", tmp_path / "page.html")
    assert "No lesion has features" in section(text, "summary")
    assert section(text, "failures").count("<tr>") == 7
    assert "6 failed" in plain(text)


def test_constant_features(root, tmp_path):
    frame = pd.read_parquet(root / "run" / "features.parquet")
    frame[frame.columns[11:]] = 1.0
    frame.to_parquet(root / "run" / "features.parquet", index=False)
    text = page_of(root / "run", tmp_path / "page.html")
    assert "two features that vary" in section(text, "correlation")
    assert "There are no features to compare" in section(text, "batches")


def test_missing_values_and_empty_batches(root, tmp_path):
    frame = pd.read_parquet(root / "run" / "features.parquet")
    frame.iloc[0, 11:14] = np.nan
    frame.loc[1, "kernel"] = ""
    frame.to_parquet(root / "run" / "features.parquet", index=False)
    text = page_of(root / "run", tmp_path / "page.html")
    assert "Batches of one lesion stay unadjusted: not known." in section(text, "components")


def test_split_lesions_are_pictured_by_part(tmp_path):
    cohort = cohort_of(tmp_path, lambda x: x.patient_id == "p1")
    mask = sitk.ReadImage(str(cohort.lesions[0].mask))
    mask[14:19, 14:19, 4:9] = 1
    sitk.WriteImage(mask, str(cohort.lesions[0].mask))
    settings = make_settings().model_copy(
        update={"mask": make_settings().mask.model_copy(update={"components": "split"})}
    )
    run_extraction(cohort, settings, tmp_path / "run", jobs=1)
    text = page_of(tmp_path / "run", tmp_path / "page.html")
    assert text.count("data-viewer role") == 2
    assert {"p1/L0.1", "p1/L0.2"} <= set(re.findall(r"p1/L0\.\d", text))


def test_names_from_files_are_escaped(root, tmp_path):
    nasty = "<script>alert(1)</script>$x_\\\"'{{ 7*7 }}"
    path = root / "run" / "provenance.json"
    record = json.loads(path.read_text())
    record["lesions"][0]["findings"] = [{"code": "lesion-parts", "level": "warning", "sentence": nasty}]
    path.write_text(json.dumps(record))
    frame = pd.read_parquet(root / "run" / "features.parquet")
    frame.loc[:2, "kernel"] = nasty
    frame.to_parquet(root / "run" / "features.parquet", index=False)
    text = page_of(root / "run", tmp_path / "page.html")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7*7 }}" in text


def test_same_run_same_page(finished, tmp_path):
    assert page_of(finished / "run", tmp_path / "a.html") == page_of(finished / "run", tmp_path / "b.html")


@pytest.mark.parametrize("name", ["features.parquet", "failures.csv", "provenance.json"])
def test_unfinished_run_is_refused(root, name):
    (root / "run" / name).unlink()
    with pytest.raises(ConfigError, match=rf"{name} is not there; wait until extract has finished"):
        read_run(root / "run")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"settings": {"setting": {"binwidth": 3}}}'], ids=["cut", "list", "other"]
)
def test_damaged_record_is_refused(root, text):
    (root / "run" / "provenance.json").write_text(text)
    with pytest.raises(ConfigError, match=r"provenance.json: is damaged, or of another version; run extract again"):
        read_run(root / "run")


def test_damaged_table_is_refused(root):
    (root / "run" / "features.parquet").write_text("no table")
    with pytest.raises(TableError, match=r"not a feature table"):
        read_run(root / "run")


def invoke(*arguments):
    return CliRunner().invoke(app, ["report", "extract", *map(str, arguments)])


def test_command_prints_the_path(root):
    result = invoke(root / "run", "--batch", "kernel", "--viewers", "1")
    assert result.exit_code == 0
    assert result.stdout.strip() == str(root / "run" / "report.html")
    assert (root / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{root}/nowhere"], "name the folder that extract wrote"),
        (["{root}/data"], "name the folder that extract wrote"),
        (["{root}/run", "--cohort", "{root}/none.csv"], "none.csv"),
        (["{root}/run", "--batch", "colour"], "colour"),
        (["{root}/run", "--out", "{root}/data"], "is a folder; name the page to write"),
    ],
    ids=["absent", "no run", "no cohort", "no such column", "page is a folder"],
)
def test_wrong_usage(root, arguments, sentence):
    result = invoke(*(a.format(root=root) for a in arguments))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
