"""clinical.csv: what is read, what is computed, what is refused, what is said."""

import csv
import datetime as dt
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiomics_talent.cohort.clinical import cockcroft_gault, load_clinical, months_between
from radiomics_talent.cohort.response_tables import RESPONSE_COLUMNS
from radiomics_talent.errors import TableError
from radiomics_talent.simulate.clinical import ClinicalRow, make_clinical_row
from radiomics_talent.study_settings import StudySettings

TALENT = StudySettings.from_yaml("talent")


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "clinical.csv"
    path.write_bytes(text.encode(encoding))
    return path


def load(tmp_path: Path, text: str, study: StudySettings | None = TALENT):
    return load_clinical(table(tmp_path, text), study)


def test_the_demos_table_loads_unchanged_and_without_findings(tmp_path):
    rng = np.random.default_rng(1)
    rows = [make_clinical_row(f"{i:03d}", responds=bool(i % 2), rng=rng) for i in range(40)]
    path = tmp_path / "clinical.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([ClinicalRow.columns(), *(r.cells() for r in rows)])
    loaded = load_clinical(path, TALENT)
    assert loaded.findings == ()
    assert list(loaded.frame.columns) == list(ClinicalRow.columns())[1:]
    assert list(loaded.frame.index) == [r.patient_id for r in rows]
    assert loaded.frame["pfs_days"].tolist() == [r.pfs_days for r in rows]
    assert loaded.frame["cohort"].tolist() == [r.cohort for r in rows]


def test_types_of_the_frame(tmp_path):
    text = "patient_id,age,sex,liver_metastases,consent_date,site\n007,63.5,female,yes,2016-04-30,Wien\nNA,,,,,\n"
    frame = load(tmp_path, text).frame
    assert list(frame.index) == ["007", "NA"]
    assert frame.index.name == "patient_id"
    assert [str(t) for t in frame.dtypes] == ["float64", "object", "float64", "object", "object"]
    assert frame.loc["007"].tolist() == [63.5, "F", 1.0, "2016-04-30", "Wien"]
    assert frame["sex"]["NA"] is None
    assert frame["consent_date"]["NA"] is None
    assert frame[["age", "liver_metastases"]].loc["NA"].isna().all()


def test_excel_of_another_country(tmp_path):
    text = "Patient ID;Ki67 percent;ECOG;Größe\nÄnne;2,5;1;1,70\nJosé;19,5;0;1,82\n"
    loaded = load_clinical(table(tmp_path, text, "utf-16"), TALENT)
    assert list(loaded.frame.columns) == ["ki67_percent", "ecog", "Größe"]
    assert loaded.frame["ki67_percent"]["Änne"] == 2.5
    assert loaded.frame["Größe"]["José"] == 1.82


def test_windows_1252_is_said(tmp_path):
    loaded = load_clinical(table(tmp_path, "patient_id,age\nJosé,50\nA,51\n", "cp1252"), TALENT)
    assert list(loaded.frame.index) == ["José", "A"]
    assert "read as Windows-1252" in loaded.findings[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", 1), ("TRUE", 1), ("1.0", 1), ("y", 1), ("no", 0), ("0", 0), ("False", 0), ("N", 0), ("NA", math.nan)],
)
def test_flags(tmp_path, text, value):
    found = load(tmp_path, f"patient_id,liver_metastases\n1,{text}\n").frame["liver_metastases"]["1"]
    assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize("text", ["20160430", "30.04.2016", "2016-04-30 00:00:00", "2016-04-30"])
def test_dates(tmp_path, text):
    assert load(tmp_path, f"patient_id,consent_date\n1,{text}\n").frame["consent_date"]["1"] == "2016-04-30"


def test_without_a_dictionary(tmp_path):
    loaded = load(tmp_path, "patient_id,age,arm,Stage,empty\n1,60,x,1,\n2,,y,2,\n3,70,x,IV,\n", None)
    kinds = {name: (c.type, c.role) for name, c in loaded.columns.items()}
    assert kinds == {
        "age": ("number", "covariate"), "arm": ("category", "covariate"), "Stage": ("category", "covariate"),
        "empty": ("category", "covariate"),
    }  # fmt: skip
    assert loaded.findings == (
        "Stage holds numbers, but 'IV' in row 4: it was taken as a category; correct the text",
        "there is no data dictionary for age: taken as number",
        "there is no data dictionary for arm, Stage, empty: taken as category",
        "no row has a value for empty",
    )


def test_a_column_that_the_dictionary_lacks_is_said_with_its_nearest(tmp_path):
    loaded = load(tmp_path, "patient_id,ki67_percnt,mood\n1,3,good\n2,4,bad\n")
    assert loaded.findings == (
        "the data dictionary of TALENT lacks ki67_percnt (did you mean ki67_percent?): taken as number",
        "the data dictionary of TALENT lacks mood: taken as category",
    )


def test_what_programs_write_for_nothing(tmp_path):
    loaded = load(tmp_path, "patient_id,age,sex,site,x\n1,NA,NA,NA,NaN\n2,50,F,Roma,5\n3,51,M,Roma,6\n")
    assert loaded.frame.loc["1", "age"] != loaded.frame.loc["1", "age"]
    assert loaded.frame["sex"]["1"] is None
    assert loaded.frame["site"]["1"] == "NA"
    assert loaded.columns["x"].type == "number"
    assert "age says NA in row 2, which was taken as empty" in loaded.findings
    assert "site says NA in row 2, which was taken as a category; empty it if unknown" in loaded.findings


def test_constant_and_empty_columns_are_said(tmp_path):
    loaded = load(tmp_path, "patient_id,age,cohort,inr,synthetic,site\n1,60,A,1,yes,X\n2,60,A,1,yes,X\n")
    assert loaded.findings == ("every value is the same, so it tells nothing: age (60), cohort (A), site (X)",)


def test_free_text_is_doubted(tmp_path):
    rows = "".join(f"{i},remark {i}\n" for i in range(12))
    loaded = load(tmp_path, "patient_id,remark\n" + rows)
    assert loaded.findings[0].startswith("remark has 12 different texts in 12 rows; as a category it says nothing")


def test_times_and_events_that_do_not_pair(tmp_path):
    loaded = load(tmp_path, "patient_id,pfs_days,pfs_event,os_days\n1,5,1,9\n2,7,,10\n3,,0,11\n")
    assert "2 patients have one of pfs_days and pfs_event without the other" in loaded.findings
    assert any(f.startswith("os_days is there without os_event") for f in loaded.findings)


def test_creatinine_clearance_is_computed_where_it_is_empty(tmp_path):
    head = "patient_id,age,sex,weight_kg,creatinine_mg_dl,creatinine_clearance_ml_min\n"
    loaded = load(tmp_path, head + "1,60,F,72,1,\n2,60,M,72,1,55\n3,60,,72,1,\n")
    found = loaded.frame["creatinine_clearance_ml_min"].tolist()
    assert found[:2] == [pytest.approx(68), 55]
    assert math.isnan(found[2])
    assert loaded.findings[0] == (
        "creatinine_clearance_ml_min of 1 patients was computed (cockcroft-gault) from age, sex, weight_kg, "
        "creatinine_mg_dl"
    )


def test_derived_columns_are_added_only_when_they_have_a_value(tmp_path):
    text = "patient_id,progression_date,consent_date\n1,2016-01-15,{}\n"
    assert "progression_before_consent_months" not in load(tmp_path, text.format("")).columns
    loaded = load(tmp_path, text.format("2016-04-15"))
    assert loaded.frame["progression_before_consent_months"]["1"] == 3
    assert loaded.columns["progression_before_consent_months"].role == "check"


def test_cockcroft_gault():
    # A man of 40 years, 72 kg, 1 mg/dL has 100 mL/min by the formula's construction; a woman 85 % of that.
    assert cockcroft_gault(40, "M", 72, 1) == pytest.approx(100)
    assert cockcroft_gault(40, "F", 72, 1) == pytest.approx(85)
    assert cockcroft_gault(40, "M", 72, 0) is None


@pytest.mark.parametrize(
    ("first", "second", "months"),
    [
        ("2016-07-01", "2017-08-01", 13),
        ("2016-01-31", "2016-02-29", 1),
        ("2016-01-31", "2017-02-28", 13),
        ("2016-04-10", "2016-04-25", 0.5),
        ("2016-12-15", "2017-01-15", 1),
        ("2016-05-01", "2016-05-01", 0),
        ("2017-08-01", "2016-07-01", -13),
    ],
)
def test_months_between(first, second, months):
    assert months_between(first, second) == pytest.approx(months)


DAYS = st.dates(dt.date(1990, 1, 1), dt.date(2030, 12, 31))


@given(DAYS, DAYS, st.integers(1, 400))
def test_months_grow_with_days(first, second, more):
    later = second + dt.timedelta(days=more)
    low, high = (months_between(first.isoformat(), d.isoformat()) for d in (second, later))
    assert low <= high
    assert low == pytest.approx((second - first).days / 30.436875, abs=1.2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("patient_id,age\n", "the table has a header but no row; one row is one patient"),
        ("pid,age\n1,2\n", "column patient_id missing; found pid, age"),
        ("patient_id,,age\n1,2,3\n", "column 2 has no name"),
        ("patient_id,age,Age\n1,2,3\n", "the column age is there twice"),
        ("patient_id,age\n1,2\n,3\n", "clinical.csv: row 3: patient_id is empty"),
        ("patient_id,age\n1,2\n2,3\n\n1,4\n", "rows 2 and 5 are both patient_id '1'; the table has one row a patient"),
        ("patient_id,age\n1,60\n2,old\n", "clinical.csv: row 3: age is 'old', expected a number or nothing"),
        ("patient_id,age\n1,inf\n", "row 2: age is 'inf', expected a number"),
        ("patient_id,age\n1,1e400\n", "row 2: age is '1e400', expected a number"),
        ("patient_id,x\n1,2\n2,-inf\n", "row 3: x is '-inf', expected a number"),
        ("patient_id,age\n1,-1\n", "row 2: age is -1, below the smallest plausible value 0 years"),
        ("patient_id,creatinine_mg_dl\n1,88\n", "is 88, above the largest plausible value 20 mg/dL; correct the"),
        ("patient_id,ecog\n1,1.5\n", "row 2: ecog is 1.5, expected a whole number"),
        ("patient_id,pfs_days\n1,-1\n", "row 2: pfs_days is -1, but a time cannot be negative"),
        ("patient_id,sex\n1,Femal\n", "sex is 'Femal', expected one of F, M, or nothing; did you mean F?"),
        (
            "patient_id,best_overall_response\n1,PRR\n",
            "one of CR, PR, SD, Non-CR/Non-PD, PD, NE, or nothing; did you mean PR?",
        ),
        ("patient_id,pfs_event\n1,2\n", "row 2: pfs_event is '2', expected 0 or 1, or nothing"),
        ("patient_id,consent_date\n1,03/04/2016\n", "consent_date is '03/04/2016', expected a date such as 2016-04-30"),
        ("patient_id,consent_date\n1,2016-02-30\n", "consent_date is '2016-02-30', expected a date"),
        ("patient_id,consent_date\n1,9999-12-31\n", "consent_date is '9999-12-31', expected a date"),
        ("patient_id,age\n1,2,3\n", "row 2 has more cells than the header"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, sentence):
    with pytest.raises(TableError, match=re.escape(sentence)):
        load(tmp_path, text)


def test_negative_times_are_refused_whatever_the_minimum(tmp_path):
    study = StudySettings(
        name="x",
        columns={"t": {"type": "number", "role": "endpoint", "unit": "months", "event": "e"}, "e": {"type": "flag"}},
    )
    with pytest.raises(TableError, match="t is -2, but a time cannot be negative"):
        load(tmp_path, "patient_id,t,e\n1,-2,1\n", study)


def test_absent_files(tmp_path):
    with pytest.raises(TableError, match=r"nowhere\.csv: no such file; a clinical table is a CSV"):
        load_clinical(tmp_path / "nowhere.csv", TALENT)


def test_only_ids(tmp_path):
    loaded = load(tmp_path, "patient_id\n1\n2\n")
    assert (loaded.frame.shape, loaded.columns, loaded.findings) == ((2, 0), {}, ())


def test_the_dictionary_knows_every_column_that_recist_writes():
    assert set(RESPONSE_COLUMNS) <= set(TALENT.columns) | {"patient_id"}
    allowed = {"cohort"}
    assert {c for c in RESPONSE_COLUMNS if c in TALENT.columns and TALENT.columns[c].role == "covariate"} <= allowed


def test_the_response_table_of_recist_holds_no_covariate_of_its_own(tmp_path):
    text = (
        "patient_id,cohort,treatment,best_overall_response,best_overall_response_confirmed,objective_response,"
        "objective_response_confirmed,clinical_benefit,best_change_percent,pfs_days,pfs_event,os_days,os_event,"
        "n_targets,baseline_sum_mm,measurable_disease,measurable_disease_reason,n_visits,clinical_benefit_rule,surprise\n"
        "1,A,lenvatinib,PR,SD,1,0,1,-34.5,400,1,700,0,2,80.5,1,two lesions,3,CR or PR,x\n"
        "2,B,lenvatinib,Non-CR/Non-PD,Non-CR/Non-PD,0,0,1,,300,0,,,0,,0,no target,2,CR or PR,y\n"
    )
    loaded = load(tmp_path, text)
    assert loaded.findings == (
        "the data dictionary of TALENT lacks surprise: taken as category",
        "every value is the same, so it tells nothing: objective_response_confirmed (0), clinical_benefit (1)",
    )
    assert [n for n, c in loaded.columns.items() if c.role == "covariate"] == ["cohort", "surprise"]
    assert loaded.frame["best_overall_response"].tolist() == ["PR", "Non-CR/Non-PD"]
    assert loaded.frame["objective_response"].tolist() == [1, 0]
