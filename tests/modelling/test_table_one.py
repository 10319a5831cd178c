"""Table 1: who the patients are, by outcome, and nobody by name."""

from pathlib import Path

import numpy as np
import pytest
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.modelling.dataset import StudyTable, build_study_table
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.table_one import COLUMNS, table_one

SURVIVAL = {"task": "survival", "models": {"coxnet": {"alphas": [[0.1]]}}}


def described(folder: Path, outcome: str = "response", *, lesions: int = 1, changes: dict | None = None, **columns):
    clinical = clinical_table(folder, **columns)
    settings = quick_settings(**(changes or {}))
    table = build_study_table(feature_table(lesions=lesions), clinical, Outcome(outcome), settings)
    frame = table_one(table, clinical)
    assert list(frame.columns) == list(COLUMNS)
    return table, clinical, frame


def row_of(frame, variable: str, level: str = ""):
    start = int(np.flatnonzero(frame["variable"] == variable)[0])
    rows = frame.iloc[start:]
    return rows[rows["level"] == level].iloc[0]


def test_counts_of_the_groups_are_those_of_the_table(tmp_path: Path):
    table, _, frame = described(tmp_path)
    first = frame.iloc[0]
    assert (first["variable"], first["overall"]) == ("n", "40")
    assert (first["without_event"], first["with_event"]) == ("20", str(int(table.events.sum())))


def test_numbers_are_median_and_quartiles_of_each_group(tmp_path: Path):
    table, clinical, frame = described(tmp_path)
    ages = clinical.frame.loc[list(table.patients), "age"].to_numpy()[table.events == 1]
    q1, median, q3 = np.quantile(ages, (0.25, 0.5, 0.75))
    assert row_of(frame, "age")["with_event"] == f"{median:.1f} [{q1:.1f},{q3:.1f}]"
    assert row_of(frame, "age")["test"] == "Kruskal-Wallis"


def test_categories_are_counted_by_level(tmp_path: Path):
    table, clinical, frame = described(tmp_path)
    women = int((clinical.frame.loc[list(table.patients), "sex"] == "F").sum())
    assert row_of(frame, "sex", "F")["overall"] == f"{women} ({100 * women / 40:.1f})"
    assert set(frame["level"]) >= {"F", "M", "x", "y", "z"}


def test_end_points_are_not_described(tmp_path: Path):
    _, _, frame = described(tmp_path)
    assert not {"response", "pfs_days", "pfs_event"} & set(frame["variable"])


def test_survival_is_split_by_event(tmp_path: Path):
    table, _, frame = described(tmp_path, "pfs_days", changes=SURVIVAL)
    assert frame.iloc[0]["with_event"] == str(int(table.y["event"].sum()))


def test_a_patient_of_several_lesions_counts_once(tmp_path: Path):
    _, _, frame = described(tmp_path, lesions=3, changes={"level": "lesion"})
    assert frame.iloc[0]["overall"] == "40"
    assert row_of(frame, "lesions_in_model")["overall"].startswith("3.0 ")


def test_missing_values_are_counted_and_not_a_level(tmp_path: Path):
    values = ["a", "b"] * 18 + [None] * 4
    _, _, frame = described(tmp_path, marker=values)
    assert row_of(frame, "marker", "a")["missing"] == "4"
    assert row_of(frame, "marker", "a")["overall"] == "18 (50.0)"
    assert "None" not in set(frame["level"])


def test_free_text_that_could_name_somebody_is_left_out(tmp_path: Path):
    _, _, frame = described(tmp_path, remark=[f"seen by Dr {k}" for k in range(40)])
    assert "remark" not in set(frame["variable"])


@pytest.mark.parametrize(
    ("name", "values"),
    [("constant", [1.0] * 40), ("one_group_only", [None, 2.5] * 20), ("one_level", ["a"] * 40)],
    ids=["constant", "one-group-only", "one-level"],
)
def test_what_cannot_be_compared_is_described_without_a_p_value(tmp_path: Path, name: str, values: list):
    _, _, frame = described(tmp_path, **{name: values})
    row = frame[frame["variable"] == name].iloc[0]
    assert row["overall"] != ""
    assert row["p_value"] == ""
    assert row_of(frame, "age")["p_value"] != ""


def test_one_group_alone_has_no_p_values(tmp_path: Path):
    table, clinical, _ = described(tmp_path)
    ones = np.ones_like(table.y)
    parts = {n: getattr(table, n) for n in StudyTable.__dataclass_fields__}
    frame = table_one(StudyTable(**{**parts, "y": ones}), clinical)
    assert set(frame["p_value"]) == {""}
    assert frame.iloc[0]["without_event"] == "0"


def test_no_patient_is_named(tmp_path: Path):
    table, _, frame = described(tmp_path)
    text = frame.to_csv()
    assert not [p for p in table.patients if p in text]
