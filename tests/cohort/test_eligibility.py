"""Every criterion of TALENT met, not met and unknown; three-valued logic; what a wrong study file says."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

from radiomics_talent.cohort.clinical import ClinicalTable, load_clinical
from radiomics_talent.cohort.eligibility import all_of, any_of, judge_eligibility, write_eligibility
from radiomics_talent.cohort.spreadsheet import read_sheet
from radiomics_talent.errors import ConfigError
from radiomics_talent.study_settings import ColumnSettings, StudySettings

TALENT = StudySettings.from_yaml("talent")

# Criterion, then cells with which it is met, not met and unknown; limits themselves among them.
CASES = {
    "age": (["age=18"], ["age=17", "age=17.99"], ["age="]),
    "primary-site-a": (
        ["cohort=A primary_site=pancreas"],
        ["cohort=A primary_site=ileum", "cohort=A primary_site=lung"],
        ["cohort=A primary_site=", "cohort= primary_site=pancreas"],
    ),
    "primary-site-b": (
        [f"cohort=B primary_site={s}" for s in ("stomach", "ileum", "colon", "rectum", "appendix", "gastrointestinal")],
        ["cohort=B primary_site=pancreas", "cohort=B primary_site=lung", "cohort=B primary_site=other"],
        ["cohort=B primary_site="],
    ),
    "grade": (["grade=G1", "grade=G2", "grade=2"], ["grade=G3"], ["grade="]),
    "ki67": (["ki67_percent=19.9", "ki67_percent=0"], ["ki67_percent=20"], ["ki67_percent="]),
    "mitoses": (["mitoses_per_10hpf=20"], ["mitoses_per_10hpf=21"], ["mitoses_per_10hpf="]),
    "ecog": (["ecog=0", "ecog=1"], ["ecog=2"], ["ecog="]),
    "measurable-disease": (
        [
            "target_largest_diameter_mm=10 target_nodal_short_axis_mm=",
            "target_largest_diameter_mm= target_nodal_short_axis_mm=15",
            "target_largest_diameter_mm=0 target_nodal_short_axis_mm=15",
        ],
        ["target_largest_diameter_mm=9.9 target_nodal_short_axis_mm=14.9"],
        [
            "target_largest_diameter_mm=9.9 target_nodal_short_axis_mm=",
            "target_largest_diameter_mm= target_nodal_short_axis_mm=14",
            "target_largest_diameter_mm= target_nodal_short_axis_mm=",
        ],
    ),
    "single-target-size": (
        [
            "n_targets=1 only_target_nodal=no target_largest_diameter_mm=15",
            "n_targets=2 only_target_nodal=no target_largest_diameter_mm=12",
            "n_targets=1 only_target_nodal=yes target_largest_diameter_mm=0",
            "n_targets=1 only_target_nodal=yes target_largest_diameter_mm=",
            "n_targets=3 only_target_nodal= target_largest_diameter_mm=",
            "n_targets= only_target_nodal= target_largest_diameter_mm=40",
        ],
        ["n_targets=1 only_target_nodal=0 target_largest_diameter_mm=14.9"],
        [
            "n_targets=1 only_target_nodal=no target_largest_diameter_mm=",
            "n_targets= only_target_nodal=no target_largest_diameter_mm=12",
            "n_targets=1 only_target_nodal= target_largest_diameter_mm=12",
        ],
    ),
    "treated-target": (
        [
            "target_treated_locally=0 treated_target_progressed=",
            "target_treated_locally=1 treated_target_progressed=1",
            "target_treated_locally= treated_target_progressed=1",
        ],
        ["target_treated_locally=1 treated_target_progressed=0"],
        ["target_treated_locally=1 treated_target_progressed=", "target_treated_locally= treated_target_progressed=0"],
    ),
    "progression-recist": (["progression_recist=yes"], ["progression_recist=no"], ["progression_recist="]),
    "progression-12-months": (
        [
            "progression_before_consent_months=13",
            "progression_before_consent_months=0",
            "progression_before_consent_months= progression_date=2016-07-01 consent_date=2017-08-01",
        ],
        [
            "progression_before_consent_months=13.1",
            "progression_before_consent_months=-1",
            "progression_before_consent_months= progression_date=2016-07-01 consent_date=2017-08-02",
            "progression_before_consent_months= progression_date=2016-07-02 consent_date=2016-07-01",
        ],
        ["progression_before_consent_months= progression_date=2016-07-01 consent_date="],
    ),
    "targeted-agent-a": (
        ["cohort=A prior_targeted_agents=1"],
        ["cohort=A prior_targeted_agents=0", "cohort=A prior_targeted_agents=2"],
        ["cohort=A prior_targeted_agents="],
    ),
    "chemotherapy-a": (
        ["cohort=A prior_chemotherapies=0", "cohort=A prior_chemotherapies=1"],
        ["cohort=A prior_chemotherapies=2"],
        ["cohort=A prior_chemotherapies="],
    ),
    "somatostatin-analogue-b": (
        ["cohort=B prior_somatostatin_analogue=yes"],
        ["cohort=B prior_somatostatin_analogue=no"],
        ["cohort=B prior_somatostatin_analogue="],
    ),
    "targeted-agent-b": (
        ["cohort=B prior_targeted_agents=0"],
        ["cohort=B prior_targeted_agents=1"],
        ["cohort=B prior_targeted_agents=", "cohort= prior_targeted_agents=0"],
    ),
    "chemotherapy-b": (
        ["cohort=B prior_chemotherapies=0"],
        ["cohort=B prior_chemotherapies=1"],
        ["cohort=B prior_chemotherapies="],
    ),
    "liver-directed-therapy": (
        [
            "liver_directed_therapy=no liver_directed_therapy_months=",
            "liver_directed_therapy=yes liver_directed_therapy_months=6",
            "liver_directed_therapy= liver_directed_therapy_months=7",
        ],
        ["liver_directed_therapy=yes liver_directed_therapy_months=5.9"],
        [
            "liver_directed_therapy=yes liver_directed_therapy_months=",
            "liver_directed_therapy= liver_directed_therapy_months=",
            "liver_directed_therapy= liver_directed_therapy_months=5",
        ],
    ),
    "brain-metastases": (
        ["brain_metastases=none", "brain_metastases=no", "brain_metastases=stable"],
        ["brain_metastases=unstable"],
        ["brain_metastases="],
    ),
    "blood-pressure": (
        ["systolic_mmhg=149 diastolic_mmhg=89"],
        [
            "systolic_mmhg=150 diastolic_mmhg=80",
            "systolic_mmhg=120 diastolic_mmhg=90",
            "systolic_mmhg= diastolic_mmhg=95",
        ],
        ["systolic_mmhg=120 diastolic_mmhg=", "systolic_mmhg= diastolic_mmhg=80"],
    ),
    "creatinine-clearance": (
        [
            "creatinine_clearance_ml_min=30",
            # (140 - 60) * 72 / (72 * 2) = 40, and 34 for a woman
            "creatinine_clearance_ml_min= age=60 sex=M weight_kg=72 creatinine_mg_dl=2",
            "creatinine_clearance_ml_min= age=60 sex=F weight_kg=72 creatinine_mg_dl=2",
        ],
        [
            "creatinine_clearance_ml_min=29.9",
            # 32 for a man and 27.2 for a woman: the factor 0.85 decides
            "creatinine_clearance_ml_min= age=60 sex=F weight_kg=72 creatinine_mg_dl=2.5",
            "creatinine_clearance_ml_min=20 age=60 sex=M weight_kg=72 creatinine_mg_dl=1",
        ],
        ["creatinine_clearance_ml_min= age=60 sex= weight_kg=72 creatinine_mg_dl=2", "creatinine_clearance_ml_min="],
    ),
    "neutrophils": (["anc_1000_per_ul=1.5"], ["anc_1000_per_ul=1.49"], ["anc_1000_per_ul="]),
    "platelets": (["platelets_1e9_per_l=100"], ["platelets_1e9_per_l=99"], ["platelets_1e9_per_l="]),
    "haemoglobin": (["haemoglobin_g_dl=9"], ["haemoglobin_g_dl=8.9"], ["haemoglobin_g_dl="]),
    "inr": (["inr=1.5"], ["inr=1.51"], ["inr="]),
    "bilirubin": (
        ["bilirubin=1.8 bilirubin_uln=1.2", "bilirubin=31.5 bilirubin_uln=21"],
        ["bilirubin=1.9 bilirubin_uln=1.2"],
        ["bilirubin=1.9 bilirubin_uln=", "bilirubin= bilirubin_uln=1.2"],
    ),
    "proteinuria": (["proteinuria_g_24h=0.99"], ["proteinuria_g_24h=1"], ["proteinuria_g_24h="]),
    "lvef": (["lvef_percent=50"], ["lvef_percent=49"], ["lvef_percent="]),
    "qtcf": (["qtcf_ms=480"], ["qtcf_ms=481"], ["qtcf_ms="]),
} | {
    enzyme: (
        [
            f"{enzyme}=120 {enzyme}_uln=40 liver_metastases=no",
            f"{enzyme}=3.6 {enzyme}_uln=1.2 liver_metastases=no",
            f"{enzyme}=200 {enzyme}_uln=40 liver_metastases=yes",
            f"{enzyme}=120 {enzyme}_uln=40 liver_metastases=",
        ],
        [
            f"{enzyme}=121 {enzyme}_uln=40 liver_metastases=no",
            f"{enzyme}=201 {enzyme}_uln=40 liver_metastases=yes",
            f"{enzyme}=201 {enzyme}_uln=40 liver_metastases=",
        ],
        [
            f"{enzyme}=160 {enzyme}_uln=40 liver_metastases=",
            f"{enzyme}=160 {enzyme}_uln= liver_metastases=yes",
            f"{enzyme}= {enzyme}_uln=40 liver_metastases=no",
        ],
    )
    for enzyme in ("alp", "ast", "alt")
}


def table(tmp_path: Path, cells: str, study: StudySettings = TALENT) -> ClinicalTable:
    """One patient; cells are name=value, blanks between them."""
    pairs = [pair.partition("=") for pair in cells.split()]
    path = tmp_path / "clinical.csv"
    path.write_text(
        ",".join(["patient_id", *(p[0] for p in pairs)]) + "\n" + ",".join(["P1", *(p[2] for p in pairs)]) + "\n"
    )
    return load_clinical(path, study)


def judged(tmp_path: Path, cells: str, criterion: str, study: StudySettings = TALENT):
    report = judge_eligibility(table(tmp_path, cells, study), study)
    (found,) = [j for j in report.judgements if j.criterion == criterion]
    return found


def test_every_criterion_is_tested():
    assert set(CASES) == {criterion.id for criterion in TALENT.criteria}


@pytest.mark.parametrize(
    ("criterion", "verdict", "cells"),
    [
        (criterion, verdict, cells)
        for criterion, several in CASES.items()
        for verdict, rows in zip(("met", "not met", "unknown"), several, strict=True)
        for cells in rows
    ],
)
def test_criteria_of_talent(tmp_path, criterion, verdict, cells):
    assert judged(tmp_path, cells, criterion).verdict == verdict


@pytest.mark.parametrize("criterion", TALENT.criteria, ids=lambda c: c.id)
def test_without_columns_nothing_is_met(tmp_path, criterion):
    found = judged(tmp_path, "synthetic=yes", criterion.id)
    assert found.verdict == "unknown"
    assert found.absent
    assert "the table has no column" in found.explanation


@pytest.mark.parametrize("criterion", [c for c in TALENT.criteria if c.cohorts], ids=lambda c: c.id)
def test_a_criterion_of_another_cohort_does_not_apply(tmp_path, criterion):
    other = "B" if criterion.cohorts == ("A",) else "A"
    found = judged(tmp_path, f"cohort={other}", criterion.id)
    assert found.verdict == "not applicable"
    assert found.explanation == f"cohort is {other}, and it holds for {criterion.cohorts[0]}"


@pytest.mark.parametrize(
    ("cells", "criterion", "sentence"),
    [
        ("age=17", "age", "age is 17 years, needs at least 18 years"),
        ("age=63", "age", "age is 63 years, as needed: at least 18 years"),
        ("ecog=", "ecog", "ecog is not known; ecog needs at most 1"),
        ("grade=G3", "grade", "grade is G3, needs G1 or G2"),
        ("cohort=A prior_targeted_agents=2", "targeted-agent-a", "prior_targeted_agents is 2, needs exactly 1"),
        (
            "bilirubin=3 bilirubin_uln=1.2",
            "bilirubin",
            "bilirubin is 3, 2.5 × bilirubin_uln (1.2), needs at most 1.5 × bilirubin_uln",
        ),
        (
            "bilirubin=3",
            "bilirubin",
            "the table has no column bilirubin_uln; bilirubin needs at most 1.5 × bilirubin_uln",
        ),
        (
            "alt=160 alt_uln=40 liver_metastases=",
            "alt",
            (
                "alt is 160, 4 × alt_uln (40), needs at most 3 × alt_uln; "
                "that holds only if liver_metastases is no, and liver_metastases is not known"
            ),
        ),
        (
            "alt=160 alt_uln=40 liver_metastases=1",
            "alt",
            (
                "alt is 160, 4 × alt_uln (40), as needed: at most 5 × alt_uln; "
                "alt needs at most 3 × alt_uln only if liver_metastases is no, and liver_metastases is yes"
            ),
        ),
        (
            "systolic_mmhg=160 diastolic_mmhg=80",
            "blood-pressure",
            "systolic_mmhg is 160 mmHg, needs less than 150 mmHg",
        ),
        (
            "liver_directed_therapy=no liver_directed_therapy_months=",
            "liver-directed-therapy",
            (
                "liver_directed_therapy_months needs at least 6 months only if liver_directed_therapy is yes, "
                "and liver_directed_therapy is no"
            ),
        ),
        (
            "target_largest_diameter_mm=9 target_nodal_short_axis_mm=3",
            "measurable-disease",
            (
                "target_largest_diameter_mm is 9 mm, needs at least 10 mm; "
                "target_nodal_short_axis_mm is 3 mm, needs at least 15 mm"
            ),
        ),
    ],
)
def test_sentences_name_value_and_limit(tmp_path, cells, criterion, sentence):
    assert judged(tmp_path, cells, criterion).explanation == sentence


def kleene_and(a, b):
    return min((a, b), key=lambda v: {False: 0, None: 1, True: 2}[v])


def test_kleenes_tables():
    for a, b in itertools.product((True, False, None), repeat=2):
        assert all_of([a, b]) is kleene_and(a, b)
        negated = kleene_and(*(None if v is None else not v for v in (a, b)))
        assert any_of([a, b]) is (None if negated is None else not negated)
    assert all_of([]) is True
    assert any_of([]) is False


def test_counts_and_overall(tmp_path):
    study = StudySettings(
        name="x",
        columns={"age": {"type": "number"}, "cohort": {"type": "category", "levels": ["A", "B"]}},
        criteria=[
            {"id": "age", "sentence": "Adult", "all": [{"column": "age", "min": 18}]},
            {"id": "old-b", "sentence": "B is old", "cohorts": ["B"], "all": [{"column": "age", "above": 50}]},
        ],
    )
    path = tmp_path / "c.csv"
    path.write_text("patient_id,age,cohort\n1,20,A\n2,20,B\n3,,B\n4,60,B\n5,60,\n")
    report = judge_eligibility(load_clinical(path, study), study)
    assert report.counts() == {
        "age": {"met": 4, "not met": 0, "unknown": 1, "not applicable": 0},
        "old-b": {"met": 1, "not met": 1, "unknown": 2, "not applicable": 1},
    }
    assert list(report.overall().values()) == ["met", "not met", "unknown", "met", "unknown"]
    assert [j.criterion for j in report.of_patient("2")] == ["age", "old-b"]


def test_the_table_is_written(tmp_path):
    report = judge_eligibility(table(tmp_path, "age=17"), TALENT)
    out = tmp_path / "new" / "eligibility.csv"
    write_eligibility(report, out)
    sheet = read_sheet(out, [])
    assert sheet.header == ("patient_id", "criterion", "sentence", "verdict", "explanation")
    assert len(sheet.rows) == len(TALENT.criteria)
    assert sheet.rows[0][1][:4] == ("P1", "age", "Age of 18 years or more", "not met")


def test_a_divisor_of_zero_is_unknown(tmp_path):
    study = StudySettings(
        name="x",
        columns={"a": {"type": "number"}, "b": {"type": "number"}},
        criteria=[{"id": "r", "sentence": "Ratio", "all": [{"column": "a", "divisor": "b", "max": 3}]}],
    )
    found = judged(tmp_path, "a=1 b=0", "r", study)
    assert (found.verdict, found.explanation) == ("unknown", "b is 0; nothing can be divided by that")


def test_another_dictionary_is_refused():
    alien = ClinicalTable(pd.DataFrame({"age": ["x"]}, index=["1"]), {"age": ColumnSettings(type="text")})
    with pytest.raises(ConfigError, match="the table holds age as text: read it with this study"):
        judge_eligibility(alien, TALENT)


def test_a_study_without_criteria_is_refused(tmp_path):
    study = StudySettings(name="bare", columns={"age": {"type": "number"}})
    with pytest.raises(ConfigError, match="bare: the study has no criteria"):
        judge_eligibility(table(tmp_path, "age=3", study), study)


def test_a_table_of_ids_alone_is_judged(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("patient_id\n1\n2\n")
    report = judge_eligibility(load_clinical(path, TALENT), TALENT)
    assert set(report.overall().values()) == {"unknown"}
    assert len(report.of_patient("2")) == len(TALENT.criteria)
    assert {j.patient_id for j in report.of_patient("2")} == {"2"}
