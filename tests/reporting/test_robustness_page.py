"""Pages of robustness in general: which folder is which, what is refused, and that every page holds together."""

import json
import re

import pytest
from browser import DESKTOP, PHONE, browser, opened  # noqa: F401  # a fixture
from reporting.robustness_folders import NASTY, compare_folder, controls_folder, perturb_folder, plain
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.errors import ConfigError
from radiomics_talent.reporting.robustness_page import write_robustness_page

FOLDERS = {"perturb": perturb_folder, "compare": compare_folder, "controls": controls_folder}
RECORDS = {"perturb": "provenance.json", "compare": "comparison.json", "controls": "provenance.json"}
KINDS = pytest.mark.parametrize("kind", list(FOLDERS))


def page_of(run, path, **options):
    write_robustness_page(run, path, **options)
    return path.read_text(encoding="utf-8")


@KINDS
@pytest.mark.parametrize(("width", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_page_in_a_browser(browser, tmp_path, kind, width, scheme):  # noqa: F811
    page = tmp_path / "page.html"
    page_of(FOLDERS[kind](tmp_path / "run"), page)
    with opened(browser, page.as_uri(), width=width, scheme=scheme) as visit:
        visit.page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
        visit.check()


@KINDS
def test_links_lead_somewhere_and_pictures_have_words(tmp_path, kind):
    text = page_of(FOLDERS[kind](tmp_path / "run"), tmp_path / "page.html")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)
    alts = re.findall(r'<img[^>]* alt="([^"]*)"', text)
    assert alts
    assert all(len(alt) > 20 and "nan" not in alt for alt in alts)
    assert not re.search(r'(src|href)="(?!data:image/|#)', text)


@KINDS
def test_no_number_is_nan_and_same_folder_same_page(tmp_path, kind):
    run = FOLDERS[kind](tmp_path / "run")
    text = page_of(run, tmp_path / "a.html")
    assert not re.search(r">\s*(nan|None|inf)\b", plain(text))
    assert text == page_of(run, tmp_path / "b.html")


@KINDS
def test_names_from_files_are_escaped(tmp_path, kind):
    run = FOLDERS[kind](tmp_path / "run")
    path = run / RECORDS[kind]
    record = json.loads(path.read_text())
    record["versions"]["numpy"] = NASTY
    path.write_text(json.dumps(record))
    text = page_of(run, tmp_path / "page.html", title=NASTY)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") > 2
    assert "{{ 7*7 }}" in text


@KINDS
def test_heading_is_the_folder_unless_named(tmp_path, kind):
    run = FOLDERS[kind](tmp_path / "of-spring")
    assert re.search(r"<h1>.+ of-spring</h1>", page_of(run, tmp_path / "page.html"))
    assert "<h1>Mine</h1>" in page_of(run, tmp_path / "page.html", title="Mine")


@KINDS
def test_an_unfinished_folder_is_refused(tmp_path, kind):
    run = FOLDERS[kind](tmp_path / "run")
    path = run / RECORDS[kind]
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"complete": False}))
    with pytest.raises(ConfigError, match=rf"the run is not complete; repeat the command robustness {kind}"):
        page_of(run, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("perturb", "stability.csv"), ("perturb", "provenance.json"), ("compare", "bland_altman.csv"),
     ("controls", "effects.csv")],
)  # fmt: skip
def test_a_folder_without_a_table_is_refused(tmp_path, kind, name):
    run = FOLDERS[kind](tmp_path / "run")
    (run / name).unlink()
    with pytest.raises(ConfigError, match=rf"{name} is not there; wait until robustness {kind} has finished"):
        page_of(run, tmp_path / "page.html")


@KINDS
@pytest.mark.parametrize("text", ["{", "[]", "{}"], ids=["cut", "list", "empty"])
def test_a_damaged_record_is_refused(tmp_path, kind, text):
    run = FOLDERS[kind](tmp_path / "run")
    record = text if kind != "compare" or text != "{}" else '{"command": "robustness compare"}'
    (run / RECORDS[kind]).write_text(record)
    with pytest.raises(ConfigError, match=rf"{RECORDS[kind]}: is damaged, or of another version; repeat"):
        page_of(run, tmp_path / "page.html")


@pytest.mark.parametrize(
    ("kind", "name", "text", "sentence"),
    [
        ("controls", "effects.csv", "feature,control\n", "lacks the column 'depends_on'"),
        ("controls", "controls.json", '{"metric": "auc", "rows": [{}]}', "is damaged"),
        ("controls", "failures.csv", "", "is damaged"),
        ("compare", "batches.csv", "factor\nx\n", "lacks the column 'levels'"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, kind, name, text, sentence):
    run = FOLDERS[kind](tmp_path / "run")
    (run / name).write_text(text)
    with pytest.raises(ConfigError, match=rf"{name}: {sentence}"):
        page_of(run, tmp_path / "page.html")


def test_text_among_numbers_is_refused(tmp_path):
    run = controls_folder(tmp_path / "run")
    text = (run / "effects.csv").read_text()
    (run / "effects.csv").write_text(text.replace("0.125", "much"))
    with pytest.raises(ConfigError, match=r"effects.csv: is damaged"):
        page_of(run, tmp_path / "page.html")


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (None, "is no folder of robustness: neither run.json nor comparison.json is there"),
        ('{"settings": {}}', "is a folder of extract, expected one of robustness perturb, compare or controls"),
        ('{"command": "robustness dance"}', "is a folder of robustness dance, expected"),
    ],
)
def test_other_folders_are_refused(tmp_path, record, sentence):
    if record is not None:
        (tmp_path / "run.json").write_text(record)
    with pytest.raises(ConfigError, match=sentence):
        page_of(tmp_path, tmp_path / "page.html")


def invoke(*arguments):
    return CliRunner().invoke(app, ["report", "robustness", *map(str, arguments)])


def test_command_prints_the_path(tmp_path):
    run = controls_folder(tmp_path / "run")
    result = invoke(run)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(run / "report.html")
    assert (run / "report.html").is_file()
    assert invoke(run, "--out", tmp_path / "other.html").exit_code == 0
    assert (tmp_path / "other.html").read_text() == (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["{0}/nowhere"], "is no folder of robustness"), (["{0}/run", "--out", "{0}"], "is a folder; name the page")],
)
def test_wrong_usage(tmp_path, arguments, sentence):
    controls_folder(tmp_path / "run")
    result = invoke(*(a.format(tmp_path) for a in arguments))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
