"""recist as a user types it."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.cohort.clinical import load_clinical
from radiomics_talent.study_settings import StudySettings

HEAD = "patient_id,visit_day,lesion_id,role,diameter_mm,status\n"
OUTPUTS = [
    "orr.csv",
    "response.csv",
    "response_lesion_visits.csv",
    "response_lesions.csv",
    "response_spider.png",
    "response_visits.csv",
    "response_waterfall.png",
]


def run(*args: str | Path):
    return CliRunner().invoke(app, ["recist", *(str(a) for a in args)])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def trial(tmp_path) -> tuple[Path, Path]:
    """TALENT's published numbers: 23 of 52 respond in cohort A, 9 of 55 in B; ten were never scanned again."""
    lines, people = [HEAD], ["patient_id,cohort,last_contact_day,death_day\n"]
    for cohort, n, responders in (("A", 52, 23), ("B", 55, 9)):
        for i in range(n):
            patient = f"{cohort}{i:02d}"
            people.append(f"{patient},{cohort},400,\n")
            if i >= n - 5:
                continue  # not even a baseline was recorded
            after = 25 if i < responders else (38, 55)[i % 2]
            lines += [f"{patient},{day},T1,target,{mm},\n" for day, mm in ((-7, 40), (56, after), (112, after))]
    (tmp_path / "m.csv").write_text("".join(lines))
    (tmp_path / "p.csv").write_text("".join(people))
    return tmp_path / "m.csv", tmp_path / "p.csv"


def test_the_published_rates_of_talent(trial, tmp_path):
    measurements, patients = trial
    out = tmp_path / "new" / "response.csv"
    result = run(measurements, "--patients", patients, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.parent.iterdir()) == OUTPUTS
    assert "23 of 52 = 44.2 % (30.5 to 58.7 %)" in result.stdout
    assert "9 of 55 = 16.4 % (7.8 to 28.8 %)" in result.stdout
    assert "32 of 107 = 29.9 %" in result.stdout
    assert "10 without a visit after baseline: NE, and in every denominator" in result.stdout
    rates = {r["cohort"]: r for r in rows(out.parent / "orr.csv")}
    assert list(rates) == ["A", "B", "all"]
    assert [float(rates[c]["orr_percent"]) for c in "AB"] == pytest.approx([44.2308, 16.3636])
    assert (rates["A"]["patients"], rates["A"]["responders"], rates["A"]["NE"]) == ("52", "23", "5")
    assert rates["B"]["responders_confirmed"] == "9"


def test_the_table_is_a_clinical_table(trial, tmp_path):
    measurements, patients = trial
    out = tmp_path / "response.csv"
    assert run(measurements, "--patients", patients, "--out", out).exit_code == 0
    assert next(iter(rows(out)[0])) == "patient_id"
    for study in (None, StudySettings.from_yaml("talent")):
        table = load_clinical(out, study)
        assert table.frame.loc["A00", "objective_response"] == 1
        assert table.frame.loc["A00", "best_change_percent"] == -37.5
        assert table.frame.loc["A00", "pfs_days"] == 112
        assert table.frame["objective_response"].sum() == 32
        assert table.frame.loc["B54", "best_overall_response"] == "NE"


def test_tables_of_one_patient(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(
        "patient_id,visit_day,lesion_id,role,node,diameter_mm,status,organ\n"
        "1,0,T1,target,no,40,,liver\n1,56,T1,target,no,20,,\n1,112,T1,target,no,28,,\n"
        "1,0,L1,target,yes,20,,node\n1,56,L1,target,yes,8,,\n1,112,L1,target,yes,8,,\n"
        "1,0,N1,non-target,no,,present,lung\n1,56,N1,non-target,no,,present,\n1,112,N1,non-target,no,,present,\n"
    )
    out = tmp_path / "r.csv"
    result = run(path, "--out", out)
    assert result.exit_code == 0, result.output
    (patient,) = rows(out)
    assert {k: patient[k] for k in ("best_overall_response", "best_overall_response_confirmed", "pfs_days")} == {
        "best_overall_response": "PR",
        "best_overall_response_confirmed": "SD",
        "pfs_days": "112",
    }
    assert (patient["n_targets"], patient["baseline_sum_mm"], patient["measurable_disease"]) == ("2", "60", "yes")
    assert "168 days" in patient["clinical_benefit_rule"]
    assert [r["response"] for r in rows(tmp_path / "r_visits.csv")] == ["PR", "PD"]
    assert [r["change_percent"] for r in rows(tmp_path / "r_visits.csv")] == ["-53.3333", "-40"]
    lesions = rows(tmp_path / "r_lesions.csv")
    assert [(r["lesion_id"], r["best_response"]) for r in lesions] == [("T1", "PR"), ("L1", "CR")]
    assert [r["response"] for r in rows(tmp_path / "r_lesion_visits.csv")] == ["PR", "PD", "CR", "CR"]
    assert [r["cohort"] for r in rows(tmp_path / "r_orr.csv")] == ["all"]


def test_a_bad_row_fails_its_patient(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(HEAD + "1,0,T1,target,40,\n1,56,T1,target,20,\n2,0,T1,target,-4,\n3,0,T1,target,x,\n")
    out = tmp_path / "response.csv"
    result = run(path, "--out", out)
    assert result.exit_code == 1
    assert f"error: {path}: row 4: diameter_mm is -4" in result.stdout
    assert f"error: {path}: row 5: diameter_mm is 'x'" in result.stdout
    assert "1 patients; 2 failed and are in no table or rate" in result.stdout
    assert [r["patient_id"] for r in rows(out)] == ["1"]
    data = json.loads(run(path, "--out", out, "--json").stdout)
    assert [f["patient_id"] for f in data["failures"]] == ["2", "3"]
    assert data["rates"][0]["objective_response"]["responders"] == 1
    assert data["rules"]["confirm_days"] == 28


def test_nobody_left(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(HEAD + "1,0,T1,target,-40,\n")
    result = run(path, "--out", tmp_path / "response.csv")
    assert result.exit_code == 1
    assert result.stdout.endswith("0 patients; 1 failed and are in no table or rate\nnothing was written\n")
    assert not (tmp_path / "response.csv").exists()


def test_options(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(HEAD + "1,0,T1,target,40,\n1,56,T1,target,20,\n1,80,T1,target,20,\n1,300,T1,target,60,\n")
    out = tmp_path / "r.csv"

    def patient(*options: str) -> dict[str, str]:
        result = run(path, "--out", out, *options)
        assert result.exit_code == 0, result.output
        return rows(out)[0]

    assert patient()["best_overall_response_confirmed"] == "SD"
    assert patient("--confirm-days", "24")["best_overall_response_confirmed"] == "PR"
    assert patient("--confirmed")["objective_response"] == "0"
    assert patient("--confirmed")["clinical_benefit"] == "1"
    assert patient("--confirmed", "--benefit-days", "301")["clinical_benefit"] == "0"
    assert patient("--confirmed", "--min-sd-days", "90")["best_overall_response_confirmed"] == "PD"
    assert patient("--max-gap-days", "126")["pfs_event"] == "0"
    assert patient("--max-gap-days", "126")["pfs_days"] == "80"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no.csv", "--out", "s.csv"], "error: no.csv: no such file; expected a CSV"),
        (["m.csv", "--out", "m.csv"], "error: m.csv: would overwrite an input"),
        (["orr.csv", "--out", "response.csv"], "error: orr.csv: would overwrite an input"),
        (["m.csv", "--out", "folder"], "error: folder: --out must end with .csv"),
        (["m.csv", "--out", "r.csv"], "error: r_orr.csv: is a folder"),
        (["m.csv", "--patients", "no.csv", "--out", "s.csv"], "error: no.csv: no such file"),
    ],
)
def test_wrong_usage(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    Path("m.csv").write_text(HEAD + "1,0,T1,target,40,\n")
    shutil.copy("m.csv", "orr.csv")
    Path("r_orr.csv").mkdir()
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.csv", "orr.csv", "r_orr.csv"]


def test_out_is_needed():
    assert run("m.csv").exit_code == 2


def test_names_of_any_language(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(
        HEAD + "Ñandú $1,0,T1,target,40,\nÑandú $1,56,T1,target,20,\nNA,0,T1,target,40,\n", encoding="utf-8"
    )
    assert run(path, "--out", tmp_path / "r.csv").exit_code == 0
    assert [r["patient_id"] for r in rows(tmp_path / "r.csv")] == ["Ñandú $1", "NA"]


def test_nothing_as_other_programs_write_it(tmp_path):
    """R's NA, German dates, and a diameter of two numbers."""
    (tmp_path / "m.csv").write_text(
        HEAD
        + "1,-5,T1,target,50,NA\n1,60,T1,target,30,NaN\n1,60,N1,non-target,NA,present\n1,-5,N1,non-target,NA,present\n"
        "2,-5,T1,target,50,\n2,60,T1,target,3 5,\n"
    )
    (tmp_path / "p.csv").write_text("patient_id,last_contact_day,death_day,cohort\n1,100,NA,A\n2,NA,NA,A\n")
    result = run(tmp_path / "m.csv", "--patients", tmp_path / "p.csv", "--out", tmp_path / "r.csv")
    assert result.exit_code == 1
    assert "diameter_mm is '3 5', expected a number" in result.output
    (one,) = rows(tmp_path / "r.csv")
    assert (one["patient_id"], one["best_overall_response"]) == ("1", "PR")
    (tmp_path / "d.csv").write_text(
        "patient_id,visit_date,lesion_id,role,diameter_mm\n1,30.04.2016,T1,target,50\n1,30.06.2016,T1,target,30\n"
    )
    assert run(tmp_path / "d.csv", "--out", tmp_path / "d" / "r.csv").exit_code == 0


def test_what_is_no_target_and_no_single_visit(tmp_path):
    (tmp_path / "m.csv").write_text(
        "patient_id,visit_day,lesion_id,role,diameter_mm,node\n"
        "1,-5,L1,target,9,yes\n1,60,L1,target,9,yes\n"
        "2,-5,T1,target,50,no\n2,-4,T2,target,50,no\n2,56,T1,target,30,no\n2,57,T2,target,30,no\n"
        "3,10,T1,target,50,no\n3,60,T1,target,30,no\n"
    )
    result = run(tmp_path / "m.csv", "--out", tmp_path / "r.csv")
    assert result.exit_code == 1
    assert "target lesion L1 is a node of 9 mm at baseline" in result.output
    assert "2: days -4" in result.output or "2: days 56 and 57 hold different lesions (T1; T2)" in result.output
    assert "3: the first visit is on day 10, after treatment began" in result.output
