"""The page about a model: on what a training wrote, complete or not, in a browser, and what it must never show."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, browser, opened  # noqa: F401 - `browser` is a fixture
from studies import clinical_table, feature_table, quick_settings
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.errors import ConfigError, ModelError
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.tables import ExtractionRecord
from radiomics_talent.modelling.training import train
from radiomics_talent.reporting.cohort_flow import flow_in_words, flow_steps
from radiomics_talent.reporting.methods import bibtex, due_references, matching_recipe, methods_text
from radiomics_talent.reporting.model_figures import save_figures, training_figures
from radiomics_talent.reporting.model_report import summary_sentences, write_model_report
from radiomics_talent.reporting.study_facts import RunFacts, StudyFacts, read_study
from radiomics_talent.settings import ExtractionSettings

COMBAT = {"preprocess": {"combat": {"batch": "site"}, "select": [{"method": "mrmr", "k": 4}]}}
RUN = RunFacts(
    patients=40, lesions=41, failed=1, scans=40,
    levels={"contrast_phase": {"portal-venous": 40}, "kernel": {}, "manufacturer": {}, "site": {}},
    thickness_mm=(2.0, 2.5), findings={}, versions={"pyradiomics": "3.0.1"}, platform={"python": "3.11"},
)  # fmt: skip
SURVIVAL = {"task": "survival", "models": {"coxnet": {"alphas": [[0.1]]}}}


def make_model(
    folder: Path, outcome: str = "response", *, extraction: ExtractionRecord | None = None, **changes: object
) -> Path:
    """Train a small model of 40 patients, of whom one has no outcome, with figures and table 1."""
    clinical = clinical_table(folder, **{outcome: clinical_values(outcome)})
    settings = quick_settings(**changes)
    result = train(feature_table(), clinical, Outcome(outcome), settings, folder / "model", extraction=extraction)
    save_figures(training_figures(result.report), folder / "model" / "figures")
    return folder / "model"


def clinical_values(outcome: str) -> list[object]:
    values = list(CLINICAL[outcome])
    values[7] = None
    return values


CLINICAL = {
    "response": ["no", "yes"] * 20,
    "pfs_days": [200.0 + 7 * k + 300 * (k % 2) for k in range(40)],
}


@pytest.fixture(scope="module")
def response(tmp_path_factory: pytest.TempPathFactory) -> StudyFacts:
    return read_study(make_model(tmp_path_factory.mktemp("response")))


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows how its features were extracted: with no settings at all."""
    return make_model(tmp_path_factory.mktemp("extracted"), extraction=ExtractionRecord({}, {"pyradiomics": "3.0.1"}))


@pytest.fixture(scope="module")
def survival(tmp_path_factory: pytest.TempPathFactory) -> StudyFacts:
    return read_study(make_model(tmp_path_factory.mktemp("survival"), "pfs_days", **SURVIVAL))


@pytest.fixture(scope="module")
def copied(response: StudyFacts, tmp_path_factory: pytest.TempPathFactory):
    """Give copies of the model's folder, to be spoilt."""

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for path in response.folder.rglob("*"):
            if path.is_file() and "folds" not in path.parts:
                target = folder / path.relative_to(response.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        return folder

    return copy


def page_of(facts: StudyFacts, folder: Path) -> str:
    return write_model_report(facts, folder / "report.html").page.read_text(encoding="utf-8")


def test_page_and_its_files_are_written(response: StudyFacts, tmp_path: Path):
    files = write_model_report(response, tmp_path / "new" / "report.html")
    assert all(p.is_file() for p in (files.page, files.methods, files.references, files.checklists))
    assert files.methods.parent == tmp_path / "new"


def test_page_shows_the_figures_of_metrics_json(response: StudyFacts, tmp_path: Path):
    page = page_of(response, tmp_path)
    record = json.loads((response.folder / "metrics.json").read_text(encoding="utf-8"))
    for block in record["blocks"].values():
        auc = block["metrics"]["auc"]
        assert f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" in page
    assert f"p = {record['permuted']['p_value']:.3f}" in page


def test_page_holds_every_figure_and_table_1(response: StudyFacts, tmp_path: Path):
    page = page_of(response, tmp_path)
    assert page.count("data:image/png;base64,") == len(response.figures) > 8
    assert "Not in the folder" not in page
    assert "lesion volume (mL)" in page
    assert "Kruskal-Wallis" in page


def test_no_patient_is_named_anywhere(response: StudyFacts, tmp_path: Path):
    files = write_model_report(response, tmp_path / "report.html")
    for path in (files.page, files.methods, files.references, files.checklists):
        text = re.sub(r"data:image/[^\"]*", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"\bP\d{3}\b", text), path.name


def test_findings_name_no_patient(response: StudyFacts):
    assert response.findings
    for finding in (*response.findings, *response.model.facts["findings"]):
        assert not re.search(r"\bP\d{3}\b", finding)


def test_page_is_self_contained(response: StudyFacts, tmp_path: Path):
    page = page_of(response, tmp_path)
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|iframe)|(?:src|href)=\"(?!data:|#)", page)


def test_cohort_flow_counts_who_left(response: StudyFacts):
    steps = flow_steps(response)
    assert steps[0].kept.startswith("40 patients")
    assert steps[0].left_out == ("1: no outcome",)
    assert "39 patients in the model" in flow_in_words(response)


def test_cohort_flow_starts_at_the_scans_where_the_run_is_known(response: StudyFacts):
    steps = flow_steps(replace(response, run=RUN))
    assert steps[0].kept == "41 lesions of 40 patients in the cohort table"
    assert steps[0].left_out == ("1 lesions without features (failures.csv)",)


def test_summary_says_what_an_auc_means(response: StudyFacts):
    told = " ".join(summary_sentences(response))
    assert "of 100 pairs" in told
    assert "39 patients" in told


def test_survival_has_its_own_words(survival: StudyFacts, tmp_path: Path):
    page = page_of(survival, tmp_path)
    assert "C-index" in page
    assert "censored" in page
    assert "Survival of the risk groups" in page
    assert "ROC curves" not in page


def test_old_folders_give_a_page_that_says_what_is_missing(copied, tmp_path: Path):
    folder = copied("old")
    for name in ("table1.csv", "metrics.json", "selected_features.csv", "figures/roc.png"):
        (folder / name).unlink()
    page = page_of(read_study(folder), tmp_path)
    assert "There is no table1.csv in the model folder" in page
    assert re.search(r"Not in the folder:.*ROC curves", page)
    assert "no metrics.json" in page


def test_a_figure_that_is_no_picture_is_named(copied, tmp_path: Path):
    folder = copied("figure")
    (folder / "figures" / "roc.png").write_text("<svg onload=alert(1)>", encoding="utf-8")
    assert "roc.png is no PNG" in page_of(read_study(folder), tmp_path)


def test_names_from_files_are_escaped(copied, tmp_path: Path):
    folder = copied("names")
    (folder / "SHA256SUMS").unlink()  # as in a folder of an older version
    text = (folder / "table1.csv").read_text(encoding="utf-8")
    (folder / "table1.csv").write_text(text.replace("age", "<script>alert(1)</script>"), encoding="utf-8")
    page = page_of(read_study(folder), tmp_path)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_metrics_of_another_training_are_refused(copied):
    folder = copied("metrics")
    (folder / "SHA256SUMS").unlink()  # as in a folder of an older version
    record = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    record["blocks"]["radiomics"]["metrics"]["auc"]["value"] += 0.01
    (folder / "metrics.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match=r"metrics\.json: auc of radiomics is not the figure .* sealed with"):
        read_study(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"blocks": 3}'], ids=["cut", "list", "number"])
def test_damaged_metrics_are_refused_in_a_sentence(copied, text: str):
    folder = copied("damaged")
    (folder / "SHA256SUMS").unlink()  # as in a folder of an older version
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"metrics\.json: (is damaged|does not hold the blocks)"):
        read_study(folder)


@pytest.mark.parametrize("name", ["table1.csv", "metrics.json", "selected_features.csv", "left_out.csv"])
def test_a_changed_table_is_refused(copied, name: str):
    folder = copied(f"table-{name}")
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(text + " ", encoding="utf-8")
    with pytest.raises(ModelError, match=rf"{name}: the file was changed after the training"):
        read_study(folder)


def test_a_model_that_knows_no_extraction_takes_no_run(response: StudyFacts, tmp_path: Path):
    (tmp_path / "provenance.json").write_text('{"lesions": []}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the model does not know how its features were extracted"):
        read_study(response.folder, tmp_path)


def test_methods_claim_nothing_that_was_not_done(response: StudyFacts):
    text = methods_text(response)
    assert "harmonisation" not in text
    assert response.model.settings.preprocess.combat is None


def test_a_changed_model_is_refused(copied):
    folder = copied("changed")
    data = bytearray((folder / "model.skops").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.skops").write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"SHA-256 differs"):
        read_study(folder)


def test_a_folder_as_page_is_refused(response: StudyFacts, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"is a folder; name the page"):
        write_model_report(response, tmp_path)


def test_a_folder_without_a_run_is_refused(response: StudyFacts, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no run here .*provenance\.json is missing"):
        read_study(response.folder, tmp_path)


def test_the_run_of_other_patients_is_refused(extracted: Path, tmp_path: Path):
    feature_table(4).write(tmp_path)
    record = {"lesions": [{"patient_id": "P000", "status": "computed", "findings": []}], "settings": {}}
    (tmp_path / "provenance.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the run lacks 38 of the model's patients"):
        read_study(extracted, tmp_path)


def test_scans_of_the_run_are_counted(extracted: Path, tmp_path: Path):
    feature_table().write(tmp_path)
    lesions = [{"patient_id": f"P{k:03}", "status": "computed", "findings": []} for k in range(40)]
    record = {"lesions": lesions, "settings": {}, "versions": {"pyradiomics": "3.0.1"}}
    (tmp_path / "provenance.json").write_text(json.dumps(record), encoding="utf-8")
    run = read_study(extracted, tmp_path).run
    assert run is not None
    assert (run.scans, run.lesions, run.failed) == (40, 40, 0)
    assert run.levels["kernel"] == {"A": 14, "B": 14, "C": 12}
    assert run.thickness_mm == (2.0, 2.0)


def test_methods_say_nothing_of_what_is_not_known(response: StudyFacts):
    text = methods_text(response)
    assert "PyRadiomics" not in text
    assert "ComBat" not in text
    assert "mRMR" not in text
    assert "the settings of their extraction are not recorded" in text


def test_methods_follow_the_settings(tmp_path: Path, response: StudyFacts):
    facts = read_study(make_model(tmp_path, **COMBAT))
    text = methods_text(facts)
    assert "ComBat with site as batch" in text
    assert "4 features by minimum redundancy" in text
    assert {"johnson2007", "rocchi2026", "peng2005"} <= set(due_references(facts))
    assert "fortin2018" not in due_references(facts)
    assert not {"johnson2007", "peng2005"} & set(due_references(response))


def test_methods_of_an_extraction_of_ours(response: StudyFacts):
    settings = ExtractionSettings.from_yaml("talent-ct").canonical()
    text = methods_text(replace(response, model=replace(response.model, extraction=settings), run=RUN))
    assert "resampled to 1 × 1 × 1 mm by cubic B-spline" in text
    assert "PyRadiomics 3.0.1 [@vangriethuysen2017]" in text
    assert "portal-venous (40)" in text


def test_survival_is_cited_as_such(survival: StudyFacts, response: StudyFacts):
    assert "poelsterl2020" in due_references(survival)
    assert "delong1988" not in due_references(survival)
    assert "delong1988" in due_references(response)
    assert "poelsterl2020" not in due_references(response)


def test_bibtex_holds_each_citation_once_and_no_other(response: StudyFacts):
    text = bibtex(response)
    keys = re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE)
    assert tuple(keys) == due_references(response)
    assert set(re.findall(r"@(\w+)", methods_text(response))) == set(keys)
    assert text.count("{") == text.count("}")
    assert response.program in text


def test_a_preset_is_known_again_whatever_its_repeats():
    from radiomics_talent.model_settings import ModelSettings

    settings = ModelSettings.from_yaml("talent-signature")
    fewer = settings.model_copy(update={"validation": settings.validation.model_copy(update={"repeats": 2})})
    assert matching_recipe(fewer) == "talent-signature"
    assert matching_recipe(quick_settings()) == ""


def test_command_prints_what_it_wrote(response: StudyFacts, tmp_path: Path):
    done = CliRunner().invoke(app, ["report", "model", str(response.folder), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    for name in ("page.html", "methods.md", "references.bib", "checklists.csv"):
        assert name in done.output
        assert (tmp_path / name).is_file()
    with (tmp_path / "checklists.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) > 200


def test_command_refuses_a_folder_without_a_model(tmp_path: Path):
    done = CliRunner().invoke(app, ["report", "model", str(tmp_path)])
    assert done.exit_code == 2
    assert "no model here" in done.output


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("kind", ["response", "survival"])
def test_page_in_a_browser(browser, request, tmp_path: Path, kind: str, width: int, scheme: str):  # noqa: F811
    path = write_model_report(request.getfixturevalue(kind), tmp_path / "report.html").page
    with opened(browser, path.as_uri(), width=width, scheme=scheme) as visit:
        visit.check()
        visit.page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
        visit.check()


def test_contents_lead_to_their_sections(browser, response: StudyFacts, tmp_path: Path):  # noqa: F811
    path = write_model_report(response, tmp_path / "report.html").page
    with opened(browser, path.as_uri()) as visit:
        targets = visit.page.eval_on_selector_all("nav a", "links => links.map(a => a.getAttribute('href').slice(1))")
        assert len(targets) == 11
        assert all(visit.page.locator(f"section#{t} h2").count() == 1 for t in targets)
        assert visit.page.eval_on_selector_all("img", "images => images.every(i => i.alt.length > 10)")
