"""The study file: what its preset holds, and what a wrong one says."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from radiomics_talent.errors import ConfigError
from radiomics_talent.presets import list_presets
from radiomics_talent.simulate.clinical import ClinicalRow
from radiomics_talent.study_settings import StudySettings

PRESET = list_presets("studies")["talent"]
DOCS = Path(__file__).resolve().parents[1] / "docs" / "clinical.md"
SMALL = {
    "name": "small",
    "columns": {
        "patient_id": {"type": "text", "role": "id"},
        "cohort": {"type": "category", "levels": ["A", "B"]},
        "age": {"type": "number", "unit": "years", "min": 0, "max": 120},
        "sex": {"type": "category", "levels": ["F", "M"], "aliases": {"F": "female"}},
        "fit": {"type": "flag"},
        "seen": {"type": "date"},
        "pfs_days": {"type": "number", "role": "endpoint", "unit": "days", "event": "pfs_event"},
        "pfs_event": {"type": "flag", "role": "endpoint"},
    },
    "criteria": [{"id": "age", "sentence": "Adult", "cohorts": ["A"], "all": [{"column": "age", "min": 18}]}],
}


def written(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return path


def changed(*place_and_value):
    """SMALL with one value set at a place."""
    *place, key, value = place_and_value
    data = copy.deepcopy(SMALL)
    node = data
    for part in place:
        node = node[part]
    node[key] = value
    return data


def test_preset_by_name_and_by_path():
    study = StudySettings.from_yaml("talent")
    assert study == StudySettings.from_yaml(PRESET) == StudySettings.from_yaml("configs/studies/talent.yaml")
    assert (study.name, study.registry) == ("TALENT", "NCT02678780")
    assert study.hash == StudySettings.from_yaml("talent.yaml").hash


def test_preset_knows_the_demos_columns_and_what_they_are_for():
    columns = StudySettings.from_yaml("talent").columns
    assert set(ClinicalRow.columns()) <= set(columns)
    covariates = [n for n, c in columns.items() if c.role == "covariate"]
    assert covariates == ["cohort", "age", "sex", "primary_site", "grade", "ki67_percent", "ecog", "prior_lines"]
    assert [n for n, c in columns.items() if c.role == "batch"] == [
        "site", "manufacturer", "kernel", "slice_thickness_mm", "contrast_phase",
    ]  # fmt: skip
    assert columns["pfs_days"].event == "pfs_event"
    assert columns["os_days"].event == "os_event"
    assert all(c.meaning for c in columns.values())
    assert all(c.role == "endpoint" for n, c in columns.items() if c.is_time or n.endswith(("response", "benefit")))


def test_every_criterion_of_the_preset_is_commented():
    """Each value has its source: every block of the file is below a comment."""
    text = PRESET.read_text(encoding="utf-8")
    assert text.count("Record") >= 10
    assert "NCT02678780" in text


def test_small_study_is_read(tmp_path):
    study = StudySettings.from_yaml(written(tmp_path, SMALL))
    assert study.columns["sex"].aliases == {"F": ("female",)}
    assert study.columns["pfs_days"].is_time
    assert study.criteria[0].conditions[0].bounds == {"min": 18}


def test_yaml_words_become_levels(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: x\ncolumns:\n  arm: {type: category, levels: [1, 2, yes], aliases: {1: [one, 1.0]}}\n"
        "  fit: {type: flag}\ncriteria:\n- {id: f, sentence: Fit, any: [{column: fit, levels: [yes]}]}\n"
    )
    study = StudySettings.from_yaml(path)
    assert study.columns["arm"].levels == ("1", "2", "yes")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (changed("names", "x"), "study.yaml: unknown key names; did you mean name"),
        (changed("columns", "age", "typ", "x"), "columns.age: unknown key typ; did you mean type"),
        (changed("columns", "age", "type", "float"), "columns.age.type: Input should be 'number', 'integer'"),
        (changed("columns", "age", "role", "outcome"), "columns.age.role: Input should be 'id', 'covariate'"),
        (changed("columns", {}), "columns: Dictionary should have at least 1 item"),
        (changed("columns", "age", "min", 130), "columns.age: min 130 lies above max 120"),
        (changed("columns", "age", "min", float("inf")), "columns.age.min: Input should be a finite number"),
        (changed("columns", "sex", "max", 1), "columns.sex: min and max are for numbers, not for a category"),
        (changed("columns", "age", "levels", ["a"]), "columns.age: levels are for a category, not for a number"),
        (changed("columns", "sex", "aliases", {"f": ["x"]}), "aliases are given for 'f'; levels are F, M"),
        (changed("columns", "sex", "aliases", {"F": ["m"]}), "the spelling 'm' stands for two levels"),
        (changed("columns", "age", "event", "fit"), "columns.age: event is for a time"),
        (changed("columns", "pfs_days", "event", "pfs_evnt"), "unknown column 'pfs_evnt'; did you mean pfs_event"),
        (changed("columns", "pfs_days", "event", "age"), "columns.pfs_days.event: age is not a flag"),
        (changed("columns", "patient_id", "role", "check"), "columns.patient_id must be of type text and role id"),
        (changed("columns", "age", "role", "id"), "columns.age: only patient_id has the role id"),
        (changed("columns", "age", "derived", {"by": "magic", "inputs": []}), "age.derived.by: Input should be"),
        (
            changed("columns", "age", "derived", {"by": "months-between", "inputs": ["seen"]}),
            "columns.age.derived: months-between needs 2 inputs, got 1",
        ),
        (
            changed("columns", "age", "derived", {"by": "months-between", "inputs": ["seen", "sex"]}),
            "sex is a category, months-between needs a date there",
        ),
        (
            changed(
                "columns", "pfs_days", "derived", {"by": "cockcroft-gault", "inputs": ["age", "cohort", "age", "age"]}
            ),
            "columns.pfs_days.derived: cohort needs the levels F and M",
        ),
        (
            changed("columns", "age", "derived", {"by": "months-between", "inputs": ["seen", "seen2"]}),
            "columns.age.derived: unknown column 'seen2'; did you mean seen?",
        ),
        (
            changed("columns", "sex", "derived", {"by": "months-between", "inputs": ["seen", "seen"]}),
            "columns.sex: what is derived is a number, not a category",
        ),
        (changed("criteria", 0, "columns", 1), "criteria.0: unknown key columns; known keys are id, sentence"),
        (
            changed("criteria", 0, "all", 0, "columns", "x"),
            "criteria.0.all.0: unknown key columns; did you mean column",
        ),
        (changed("criteria", 0, "all", 0, "column", "agee"), "criterion age: unknown column 'agee'; did you mean age"),
        (changed("criteria", 0, "all", 0, "divisor", "ag"), "criterion age: unknown column 'ag'; did you mean age"),
        (changed("criteria", 0, "all", 0, "divisor", "sex"), "criterion age: the divisor sex is not a number"),
        (changed("criteria", 0, "all", 0, {"column": "age"}), "a condition needs min, max, above, below or levels"),
        (changed("criteria", 0, "all", 0, {"column": "age", "levels": ["x"]}), "age is a number, levels are for a"),
        (
            changed("criteria", 0, "all", 0, {"column": "age", "levels": ["x"], "min": 1}),
            "levels do not go with bounds or a divisor",
        ),
        (changed("criteria", 0, "all", 0, {"column": "sex", "min": 1}), "sex is a category, bounds are for numbers"),
        (changed("criteria", 0, "all", 0, {"column": "sex", "levels": ["f"]}), "sex has no level 'f'; levels are F, M"),
        (
            changed("criteria", 0, "all", 0, "when", [{"column": "fitt", "levels": ["yes"]}]),
            "criterion age: unknown column 'fitt'; did you mean fit",
        ),
        (changed("criteria", 0, "all", []), "criteria.0: criterion age needs conditions under either all or any"),
        (changed("criteria", 0, "any", [{"column": "age", "min": 1}]), "needs conditions under either all or any"),
        (changed("criteria", 0, "id", "An Age"), "criteria.0.id: String should match pattern"),
        (changed("criteria", 0, "cohorts", ["C"]), "criterion age: cohort has no level 'C'; levels are A, B"),
        (changed("cohort_column", "arm"), "criterion age: unknown column 'arm'; columns are age, cohort"),
        (changed("criteria", SMALL["criteria"] * 2), "two criteria are called age"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(tmp_path, data, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)) as error:
        StudySettings.from_yaml(written(tmp_path, data))
    assert "\n" not in str(error.value)


def test_a_key_that_begins_alike_is_proposed(tmp_path):
    data = changed("criteria", 0, "all", 0, "column", "pfs")
    with pytest.raises(ConfigError, match="unknown column 'pfs'; did you mean pfs_days"):
        StudySettings.from_yaml(written(tmp_path, data))


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="talnt: no such file or preset; did you mean talent"):
        StudySettings.from_yaml("talnt")


def test_the_docs_name_every_column_and_criterion():
    study = StudySettings.from_yaml("talent")
    page = DOCS.read_text(encoding="utf-8")
    for name, column in study.columns.items():
        assert f"| `{name}` | {column.type} | {column.role} |" in page
    for criterion in study.criteria:
        assert f"| `{criterion.id}` | {', '.join(criterion.cohorts or ['all'])} | {criterion.sentence} |" in page


def test_the_example_of_the_docs_is_a_study(tmp_path):
    (example,) = re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    path = tmp_path / "study.yaml"
    path.write_text(example, encoding="utf-8")
    assert StudySettings.from_yaml(path).criteria[0].id == "alt"
