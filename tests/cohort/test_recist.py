"""RECIST 1.1 on constructed visits: every cell of its three tables, and what surrounds them."""

import re
from itertools import product
from pathlib import Path

import pytest
from scipy.stats import beta

from radiomics_talent.cohort.measurements import load_measurements
from radiomics_talent.cohort.recist import (
    assess_patient,
    best_response,
    cohort_rates,
    confirmed_response,
    measurable_disease,
    progression_free_survival,
    response_rate,
)
from radiomics_talent.cohort.visit_response import (
    FollowedLesion,
    PatientCourse,
    Reading,
    ResponseRules,
    assess_visits,
    first_new_day,
    is_partial,
    is_progressive,
    non_target_response,
    overall_response,
    target_response,
)
from radiomics_talent.errors import TableError

RULES = ResponseRules()
PR_MM, SD_MM, PD_MM = 70, 90, 120  # of 100 mm at baseline


def lesion(name="T1", role="target", **readings):
    """Readings by day: d0=100, d56=(12, "present"), d112=None."""
    node = readings.pop("node", False)
    rest = {k: readings.pop(k) for k in ("organ", "treated_before", "progressed_since") if k in readings}
    made = []
    for day, value in readings.items():
        diameter, status = value if isinstance(value, tuple) else (value, None)
        if isinstance(diameter, str):
            diameter, status = None, diameter
        if status is None:
            status = "not evaluable" if diameter is None else "present" if diameter else "absent"
        made.append(Reading(float(day[1:]), diameter, status))
    return FollowedLesion(name, role, tuple(made), node, **rest)


def course(*lesions, **rest):
    return PatientCourse("P1", tuple(lesions), **rest)


def responses(*lesions, rules=RULES):
    return [v.response for v in assess_visits(course(*lesions), rules)]


# --- Table 1: target with or without non-target disease, as printed; one visit is constructed for every cell

TARGET = {"CR": 0, "PR": PR_MM, "SD": SD_MM, "PD": PD_MM, "NE": None}
NON_TARGET = {"CR": "absent", "Non-CR/Non-PD": "present", "NE": "not evaluable", "PD": "unequivocal progression"}


def table_1(target, non_target, new):
    if new or "PD" in (target, non_target):
        return "PD"
    printed = {
        ("CR", "CR"): "CR",
        ("CR", "Non-CR/Non-PD"): "PR",
        ("CR", "NE"): "PR",
        ("PR", "CR"): "PR",
        ("PR", "Non-CR/Non-PD"): "PR",
        ("PR", "NE"): "PR",
        ("SD", "CR"): "SD",
        ("SD", "Non-CR/Non-PD"): "SD",
        ("SD", "NE"): "SD",
        ("NE", "CR"): "NE",
        ("NE", "Non-CR/Non-PD"): "NE",
        ("NE", "NE"): "NE",
    }
    return printed[target, non_target]


@pytest.mark.parametrize(("target", "non_target", "new"), list(product(TARGET, NON_TARGET, [False, True])))
def test_every_cell_of_table_1(target, non_target, new):
    lesions = [
        lesion("T1", d0=100, d56=TARGET[target]),
        lesion("N1", "non-target", d0="present", d56=NON_TARGET[non_target]),
    ]
    if new:
        lesions.append(lesion("X1", "new", d56="present"))
    (visit,) = assess_visits(course(*lesions), RULES)
    assert (visit.target, visit.non_target, visit.new_lesion) == (target, non_target, "yes" if new else "no")
    expected = table_1(target, non_target, new)
    assert visit.response == visit.table_response == expected
    assert overall_response(target, non_target, new_lesion=new) == expected


@pytest.mark.parametrize(("target", "expected"), [("CR", "CR"), ("PR", "PR"), ("SD", "SD"), ("PD", "PD"), ("NE", "NE")])
def test_target_lesions_alone(target, expected):
    assert responses(lesion(d0=100, d56=TARGET[target])) == [expected]


# --- Table 2: non-target disease alone


@pytest.mark.parametrize(
    ("non_target", "new", "expected"),
    [
        ("CR", False, "CR"),
        ("Non-CR/Non-PD", False, "Non-CR/Non-PD"),
        ("NE", False, "NE"),
        ("PD", False, "PD"),
        ("PD", True, "PD"),
        ("CR", True, "PD"),
        ("Non-CR/Non-PD", True, "PD"),
        ("NE", True, "PD"),
    ],
)
def test_every_cell_of_table_2(non_target, new, expected):
    lesions = [lesion("N1", "non-target", d0="present", d56=NON_TARGET[non_target])]
    if new:
        lesions.append(lesion("X1", "new", d56="present"))
    assert responses(*lesions) == [expected]
    patient = assess_patient(course(*lesions), RULES)
    assert (patient.best_overall_response, patient.n_targets, patient.baseline_sum_mm) == (expected, 0, None)


# --- Table 3: best overall response when CR and PR must be confirmed

EARLY, LATE = (28, 70), (56, 112)  # days of the two visits: SD has its least duration at 42


@pytest.mark.parametrize(
    ("first", "then", "early", "late"),
    [
        ("CR", "CR", "CR", "CR"),
        ("CR", "SD", "SD", "SD"),  # of a list of responses; disease after a CR: see below
        ("CR", "PD", "PD", "SD"),
        ("CR", "NE", "NE", "SD"),
        ("PR", "CR", "PR", "PR"),
        ("PR", "PR", "PR", "PR"),
        ("PR", "SD", "SD", "SD"),
        ("PR", "PD", "PD", "SD"),
        ("PR", "NE", "NE", "SD"),
        ("NE", "NE", "NE", "NE"),
    ],
)
def test_every_row_of_table_3(first, then, early, late):
    for days, expected in ((EARLY, early), (LATE, late)):
        assert confirmed_response(list(zip(days, (first, then), strict=True)), RULES) == expected


@pytest.mark.parametrize(("days", "best"), [(EARLY, "PD"), (LATE, "SD")])
@pytest.mark.parametrize("later", [PR_MM - 40, SD_MM])
def test_disease_after_a_cr_is_a_pd(days, best, later):
    """Table 3, CR then PR or SD, footnote a: PD at that point; SD or PD is best, by the least duration."""
    readings = {"d0": 100, f"d{days[0]}": 0, f"d{days[1]}": later}
    visits = assess_visits(course(lesion(**readings)), RULES)
    assert [v.response for v in visits] == ["CR", "PD"]
    patient = assess_patient(course(lesion(**readings)), RULES)
    assert patient.best_overall_response == "CR"
    assert patient.best_overall_response_confirmed == best
    assert (patient.pfs_days, patient.pfs_event) == (days[1], True)


def test_little_disease_after_a_cr():
    """3 mm again is no PD by the sum (below 5 mm more), but disease nevertheless."""
    (first, second) = assess_visits(course(lesion(d0=100, d56=0, d112=3)), RULES)
    assert (first.response, second.table_response, second.response) == ("CR", "PR", "PD")
    assert "after a CR" in second.note
    rules = ResponseRules(after_cr="partial")
    visits = assess_visits(course(lesion(d0=100, d56=0, d112=3)), rules)
    assert [v.response for v in visits] == ["PR", "PR"]
    assert "the CR was a PR" in visits[0].note
    assert assess_patient(course(lesion(d0=100, d56=0, d112=3)), rules).best_overall_response_confirmed == "PR"


def test_non_target_disease_after_a_cr():
    back = lesion("N1", "non-target", d0="present", d56="absent", d112="present")
    assert responses(lesion(d0=100, d56=0, d112=0), back) == ["CR", "PD"]
    assert responses(back) == ["CR", "PD"]
    assert responses(back, rules=ResponseRules(after_cr="partial")) == ["Non-CR/Non-PD", "Non-CR/Non-PD"]
    node = lesion("N1", "non-target", d0="present", d56="absent", d112="present", node=True)
    assert responses(lesion(d0=100, d56=0, d112=0), node) == ["CR", "PR"]  # EORTC: a node only by progression


def test_a_target_that_comes_back_without_a_cr_joins_the_sum():
    other = lesion("T2", d0=50, d56=30, d112=30)
    assert responses(lesion(d0=20, d56=0, d112=4), other) == ["PR", "PR"]


# --- thresholds of section 4.3.1


@pytest.mark.parametrize(
    ("sum_mm", "expected"), [(70.0, True), (70.1, False), (69.9, True), (0.0, True), (100.0, False)]
)
def test_partial(sum_mm, expected):
    assert is_partial(sum_mm, 100.0) is expected


@pytest.mark.parametrize("baseline", [33.3, 0.1 + 0.2, 77.7, 141.7])
def test_thresholds_do_not_hang_on_binary_fractions(baseline):
    assert is_partial(baseline * 7 / 10, baseline)
    assert is_partial(baseline - baseline * 0.3, baseline)
    assert is_progressive(baseline * 1.2 + (0 if baseline > 25 else 5), baseline)
    assert not is_partial(baseline * 0.7001, baseline)


@pytest.mark.parametrize(
    ("nadir", "sum_mm", "expected"),
    [
        (100, 120, True),
        (100, 119.9, False),
        (20, 24, False),  # 20 %, but 4 mm
        (20, 25, True),
        (50, 55, False),  # 5 mm, but 10 %
        (0, 5, True),
        (0, 4.9, False),
        (10, 15, True),
    ],
)
def test_progressive(nadir, sum_mm, expected):
    assert is_progressive(sum_mm, nadir) is expected


def test_progression_is_from_the_nadir_and_response_from_baseline():
    visits = assess_visits(course(lesion(d0=100, d56=40, d112=47, d168=48, d224=90)), RULES)
    assert [v.response for v in visits] == ["PR", "PR", "PD", "PD"]  # 48 is 20 % and 8 mm above 40, and 52 % below 100
    assert [v.nadir_mm for v in visits] == [100, 40, 40, 40]
    assert [v.counted for v in visits] == [True, True, True, False]
    assert "after progression" in visits[3].note


def test_baseline_is_the_first_nadir():
    assert responses(lesion(d0=100, d56=119, d112=121)) == ["SD", "PD"]


def test_nodes_below_10_mm_are_gone():
    node = lesion("L1", d0=20, d56=9.9, d112=10, node=True)
    assert responses(node) == ["CR", "PD"]  # 10 mm is pathological again, after a CR
    assert responses(lesion(d0=30, d56=0), lesion("L1", d0=20, d56=8, node=True)) == ["CR"]
    assert responses(lesion(d0=30, d56=0), lesion("L1", d0=20, d56=10, node=True)) == ["PR"]
    assert responses(lesion(d0=30, d56=8)) == ["PR"]  # no node
    # Normal nodes may grow within what is normal.
    assert target_response([9.0], [True], baseline_mm=20, nadir_mm=3) == "CR"


def test_a_target_not_measured():
    other = lesion("T2", d0=25, d56=None)
    assert responses(lesion(d0=25, d56=10), other) == ["NE"]
    # The example of section 4.4.2: 50 mm at baseline, then 80 mm without one lesion.
    assert responses(lesion(d0=25, d56=80), other) == ["PD"]
    later = lesion("T2", d0=25, d56=None, d112=30)
    assert responses(lesion(d0=25, d56=55, d112=30), later) == ["NE", "PD"]  # 55 is not yet 20 % above 50


def test_a_partial_sum_is_no_nadir():
    visits = assess_visits(course(lesion(d0=50, d56=20, d112=50), lesion("T2", d0=50, d56=None, d112=50)), RULES)
    assert [v.nadir_mm for v in visits] == [100, 100]
    assert [v.response for v in visits] == ["NE", "SD"]
    assert visits[0].sum_mm is None


def test_non_target_lesions():
    assert non_target_response([]) == "none"
    assert non_target_response(["absent", "absent"]) == "CR"
    assert non_target_response(["absent", "present"]) == "Non-CR/Non-PD"
    assert non_target_response(["absent", "present", "not evaluable"]) == "NE"
    assert non_target_response(["absent", "not evaluable", "unequivocal progression"]) == "PD"


# --- new lesions, section 4.3.5


def test_an_equivocal_lesion_is_no_progression():
    assert responses(lesion(d0=100, d56=90), lesion("X", "new", d56="equivocal")) == ["SD"]


def test_an_equivocal_lesion_that_is_confirmed_was_a_progression_then():
    suspect = lesion("X", "new", d56="equivocal", d112="present")
    visits = assess_visits(course(lesion(d0=100, d56=90, d112=90), suspect), RULES)
    assert [v.response for v in visits] == ["PD", "PD"]
    assert "confirmed later" in visits[0].note
    assert first_new_day(course(lesion("X", "new", d56="equivocal", d112="absent", d168="present"))) == 168
    assert first_new_day(course(lesion("X", "new", d56="equivocal", d112=None, d168="present"))) == 56
    assert first_new_day(course(lesion("X", "new", d56="equivocal"))) is None


def test_a_new_lesion_is_new_for_good():
    assert responses(lesion(d0=100, d56=50, d112=50), lesion("X", "new", d56="present")) == ["PD", "PD"]


# --- best response, sections 4.4.3 and 4.6


@pytest.mark.parametrize(
    ("timeline", "best", "confirmed"),
    [
        ([], "NE", "NE"),
        ([(56, "NE")], "NE", "NE"),
        ([(56, "SD"), (112, "PR"), (168, "PD")], "PR", "SD"),  # the paper's example
        ([(28, "SD"), (56, "PD")], "PD", "PD"),
        ([(28, "SD")], "NE", "NE"),
        ([(42, "SD")], "SD", "SD"),
        ([(41, "SD")], "NE", "NE"),
        ([(28, "SD"), (56, "NE")], "NE", "NE"),
        ([(56, "PD"), (112, "PR"), (168, "PR")], "PD", "PD"),  # best until progression
        ([(56, "PR"), (83, "PR")], "PR", "SD"),  # 27 days
        ([(56, "PR"), (84, "PR")], "PR", "PR"),  # 28 days
        ([(56, "PR"), (70, "PR"), (90, "PR")], "PR", "PR"),
        ([(56, "PR"), (112, "NE"), (168, "PR")], "PR", "PR"),  # section 4.4.4
        ([(56, "PR"), (112, "NE"), (168, "NE"), (224, "PR")], "PR", "SD"),
        ([(56, "PR"), (112, "SD"), (168, "PR")], "PR", "SD"),
        ([(56, "PR"), (112, "SD"), (168, "PR"), (224, "PR")], "PR", "PR"),
        ([(56, "PR"), (112, "CR"), (168, "CR")], "CR", "CR"),
        ([(56, "PR"), (112, "CR")], "CR", "PR"),
        ([(56, "CR")], "CR", "SD"),
        ([(28, "PR")], "PR", "NE"),
        ([(56, "Non-CR/Non-PD"), (112, "PD")], "Non-CR/Non-PD", "Non-CR/Non-PD"),
        ([(28, "Non-CR/Non-PD")], "NE", "NE"),
        ([(56, "PD")], "PD", "PD"),
    ],
)
def test_best_response(timeline, best, confirmed):
    assert best_response(timeline, RULES) == best
    assert confirmed_response(timeline, RULES) == confirmed


def test_a_cr_of_non_target_disease_that_was_not_confirmed():
    patient = assess_patient(course(lesion("N", "non-target", d0="present", d56="absent")), RULES)
    assert patient.best_overall_response == "CR"
    assert patient.best_overall_response_confirmed == "Non-CR/Non-PD"


# --- PFS, clinical benefit, survival


def pfs(timeline, rules=RULES, **rest):
    return progression_free_survival(course(**rest), timeline, rules)


def test_progression_free_survival():
    assert pfs([(56, "SD"), (112, "PD")]) == (112, True)
    assert pfs([(56, "SD"), (112, "NE")]) == (56, False)  # last adequate assessment
    assert pfs([]) == (0, False)
    assert pfs([], death_day=30) == (30, True)
    assert pfs([(56, "SD")], death_day=90, last_contact_day=90) == (90, True)
    assert pfs([(56, "SD")], last_contact_day=400) == (56, False)
    assert pfs([(56, "PD")], death_day=90) == (56, True)
    assert pfs([(56, "SD")], death_day=300, next_therapy_day=100) == (56, False)
    assert pfs([(56, "SD")], death_day=90, next_therapy_day=100) == (90, True)


def test_progression_after_missed_visits():
    rules = ResponseRules(max_gap_days=112)
    assert pfs([(56, "SD"), (168, "PD")], rules) == (168, True)
    assert pfs([(56, "SD"), (112, "NE"), (169, "PD")], rules) == (56, False)
    assert pfs([(56, "SD")], rules, death_day=400) == (56, False)
    assert pfs([], rules, death_day=113) == (0, False)


def test_another_therapy_ends_what_counts():
    visits = assess_visits(course(lesion(d0=100, d56=90, d112=50), next_therapy_day=60), RULES)
    assert [v.counted for v in visits] == [True, False]
    patient = assess_patient(course(lesion(d0=100, d56=90, d112=50), next_therapy_day=60), RULES)
    assert (patient.best_overall_response, patient.best_change_percent, patient.pfs_days) == ("SD", -10, 56)


@pytest.mark.parametrize(("day", "expected"), [(168, True), (167, False)])
def test_clinical_benefit_of_stable_disease(day, expected):
    readings = {"d0": 100, "d56": 90, f"d{day}": 130}
    assert assess_patient(course(lesion(**readings)), RULES).clinical_benefit is expected
    assert "168 days" in RULES.benefit_rule


def test_confirmed_rules():
    patient = course(lesion(d0=100, d56=60, d112=130))
    assert assess_patient(patient, RULES).objective_response
    assert assess_patient(patient, RULES).clinical_benefit
    strict = assess_patient(patient, ResponseRules(confirmed=True))
    assert not strict.objective_response
    assert not strict.clinical_benefit


def test_survival_and_a_patient_without_visits():
    patient = assess_patient(course(lesion(d0=100), death_day=50.0), RULES)
    assert (patient.best_overall_response, patient.best_change_percent) == ("NE", None)
    assert (patient.os_days, patient.os_event) == (50, True)
    assert not patient.clinical_benefit
    seen = assess_patient(course(lesion(d0=100, d56=100), last_contact_day=20.0), RULES)
    assert (seen.os_days, seen.os_event) == (56, False)
    nothing = assess_patient(course(), RULES)
    assert (nothing.best_overall_response, nothing.pfs_days, nothing.measurable) == ("NE", 0, None)


def test_best_change_ends_with_progression():
    patient = assess_patient(course(lesion(d0=100, d56=130, d112=10)), RULES)
    assert patient.best_change_percent == pytest.approx(30)


def test_two_scans_before_treatment():
    patient = course(FollowedLesion("T1", "target", (Reading(-28, 40), Reading(-3, 50), Reading(56, 35))))
    (visit,) = assess_visits(patient, RULES)
    assert (visit.day, visit.change_percent) == (56, -30)


# --- one lesion by its own diameter


def test_lesions():
    patient = assess_patient(
        course(
            lesion("A", d0=40, d56=28, d112=20, d168=25),
            lesion("B", d0=60, d56=58, d112=66, d168=62),
            lesion("C", d0=20, d56=None, d112=9, d168=9, node=True),
        ),
        RULES,
    )
    a, b, c = patient.lesions
    assert [v.response for v in a.visits] == ["PR", "PR", "PD"]
    assert [v.response for v in b.visits] == ["SD", "SD", "SD"]
    assert [v.response for v in c.visits] == ["NE", "CR", "CR"]
    assert (a.best_response, b.best_response, c.best_response) == ("PR", "SD", "CR")
    assert a.best_change_percent == -50
    assert a.first_change_percent == pytest.approx(-30)
    assert c.first_change_percent == pytest.approx(-55)


def test_a_lesion_counts_until_the_patients_progression():
    patient = assess_patient(course(lesion("A", d0=40, d56=38, d112=10), lesion("X", "new", d56="present")), RULES)
    assert [v.counted for v in patient.lesions[0].visits] == [True, False]
    assert patient.lesions[0].best_response == "SD"


# --- measurable disease


@pytest.mark.parametrize(
    ("lesions", "expected", "reason"),
    [
        ([lesion(d0=15)], True, "T1 has 15 mm longest diameter"),
        ([lesion(d0=14)], False, "only measurable lesion and has 14 mm"),
        ([lesion(d0=12), lesion("T2", d0=10)], True, "T1 has 12 mm"),
        ([lesion(d0=9)], False, "9 mm of the 10 mm needed"),
        ([lesion(d0=15, node=True)], True, "15 mm short axis"),
        ([lesion(d0=14, node=True)], False, "14 mm of the 15 mm needed"),
        ([lesion(d0=30, treated_before=True)], False, "treated locally without progression"),
        ([lesion(d0=30, treated_before=True, progressed_since=True)], True, "30 mm"),
        ([lesion(d0=12), lesion("T2", d0=30, treated_before=True)], False, "only measurable lesion.*T2 was treated"),
        ([lesion("N", "non-target", d0="present")], False, "no target lesion"),
        ([], None, "no measurement"),
    ],
)
def test_measurable_disease(lesions, expected, reason):
    measurable, why = measurable_disease(course(*lesions), RULES)
    assert measurable is expected
    assert re.search(reason, why)


def test_plain_recist_takes_an_only_lesion_of_10_mm():
    assert measurable_disease(course(lesion(d0=10)), ResponseRules(single_target_mm=10))[0]


# --- rates


def test_published_rates():
    a, b = response_rate(23, 52), response_rate(9, 55)
    assert f"{100 * a.rate:.1f} {100 * b.rate:.1f}" == "44.2 16.4"
    # Clopper-Pearson by the quantiles of the beta distribution.
    assert a.low == pytest.approx(beta.ppf(0.025, 23, 30), abs=1e-9)
    assert a.high == pytest.approx(beta.ppf(0.975, 24, 29), abs=1e-9)
    assert (response_rate(0, 10).low, response_rate(10, 10).high) == (0, 1)
    assert str(b) == "9 of 55 = 16.4 % (7.8 to 28.8 %)"


@pytest.mark.parametrize(("responders", "n"), [(1, 0), (0, 0), (3, 2), (-1, 5)])
def test_no_rate(responders, n):
    with pytest.raises(ValueError, match="is no rate"):
        response_rate(responders, n)


def test_rates_by_cohort():
    made = [
        assess_patient(PatientCourse(str(i), (lesion(d0=100, d56=mm),), cohort=c), RULES)
        for i, (mm, c) in enumerate([(50, "A"), (100, "A"), (0, "B"), (100, "")])
    ]
    rates = cohort_rates(made)
    assert [(r.cohort, r.response.responders, r.response.n) for r in rates] == [
        ("A", 1, 2), ("B", 1, 1), ("unknown", 0, 1), ("all", 2, 4),
    ]  # fmt: skip
    assert rates[-1].counts == {"CR": 1, "PR": 1, "SD": 2, "Non-CR/Non-PD": 0, "PD": 0, "NE": 0}
    assert cohort_rates([]) == ()
    assert [r.cohort for r in cohort_rates(made[3:])] == ["all"]


# --- the tables

HEAD = "patient_id,visit_day,lesion_id,role,node,diameter_mm,status\n"


def load(tmp_path: Path, rows: str, people: str | None = None, head: str = HEAD):
    path = tmp_path / "m.csv"
    path.write_text(head + rows, encoding="utf-8")
    if people is None:
        return load_measurements(path)
    other = tmp_path / "p.csv"
    other.write_text(people, encoding="utf-8")
    return load_measurements(path, other)


def test_words(tmp_path):
    table = load(
        tmp_path,
        "007,0,T1,target,,30,\n007,56,T1,target,,too small to measure,\n007,112,T1,target,,disappeared,\n"
        "007,168,T1,target,,,\n007,224,T1,target,,0,\n007,280,T1,target,,,NE\n007,300,T1,target,,3,\n"
        "007,0,N1,Non-Target,yes,12,\n007,56,N1,non-target,,8,\n007,112,N1,non-target,,,present\n"
        "007,168,N1,non-target,,,PD\n007,224,N1,non-target,,11,\n",
    )
    assert not table.failures
    (patient,) = table.courses
    target, other = patient.lesions
    assert patient.patient_id == "007"
    assert [r.diameter_mm for r in target.readings] == [30, 5, 0, None, 0, None, 3]
    assert other.is_node
    assert [r.status for r in other.readings] == ["present", "absent", "present", "unequivocal progression", "present"]


def test_a_new_lesion_may_be_absent_at_baseline(tmp_path):
    rows = "1,0,T1,target,no,30,\n1,0,X1,new,no,,absent\n1,56,T1,target,no,30,\n1,56,X1,new,no,12,\n"
    (patient,) = load(tmp_path, rows).courses
    assert first_new_day(patient) == 56


def test_dates(tmp_path):
    head = HEAD.replace("visit_day", "visit_date")
    rows = "1,2016-03-01,T1,target,,30,\n1,2016-04-30,T1,target,,30,\n"
    assert load(tmp_path, rows, head=head).courses[0].visit_days == (60,)
    people = "patient_id,cohort,start_date,death_date\n1,A,2016-03-11,2016-06-11\n"
    patient = load(tmp_path, rows, people, head=head).courses[0]
    assert (patient.baseline_day, patient.visit_days, patient.death_day) == (-10, (50,), 92)


def test_semicolons_and_decimal_commas(tmp_path):
    path = tmp_path / "m.csv"
    text = "patient_id;visit_day;lesion_id;role;diameter_mm\n1;0;T1;target;30,5\n1;56;T1;target;20,5\n"
    path.write_bytes(text.encode("utf-8-sig"))
    assert load_measurements(path).courses[0].lesions[0].readings[0].diameter_mm == 30.5


BASE = "1,0,T1,target,no,30,\n"
GOOD = "ok,0,T1,target,no,50,\nok,56,T1,target,no,40,\n"


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("1,0,T1,target,no,-30,\n", "row 4: diameter_mm is -30, but a diameter cannot be negative"),
        ("1,0,T1,target,no,big,\n", "row 4: diameter_mm is 'big', expected a number"),
        ("1,0,T1,target,no,5000,\n", "row 4: diameter_mm is 5000, but that is above 500 mm"),
        ("1,0,T1,target,no,inf,\n", "row 4: diameter_mm is 'inf'"),
        ("1,x,T1,target,no,30,\n", "row 4: visit_day is 'x'"),
        ("1,42430,T1,target,no,30,\n", "row 4: visit_day is 42430, which is no number of days in a life"),
        ("1,,T1,target,no,30,\n", "row 4: the row has neither visit_day nor visit_date"),
        ("1,0,T1,targets,no,30,\n", "row 4: role is 'targets', expected target, non-target, new; did you mean target"),
        ("1,0,,target,no,30,\n", "row 4: lesion_id is empty"),
        (",0,T1,target,no,30,\n", "row 4: patient_id is empty"),
        ("1,0,T1,target,perhaps,30,\n", "row 4: node is 'perhaps', expected yes, no"),
        (BASE + 2 * "1,56,T1,target,no,30,\n", "row 6: lesion T1 is there twice on day 56, also in row 5"),
        (BASE + "1,56,T1,target,no,30,\n1,56,T2,target,no,31,\n", "row 6: target lesion T2 has no row at baseline"),
        ("1,0,T1,target,no,,\n", "row 4: target lesion T1 has no diameter at baseline"),
        ("1,0,T1,target,no,0,\n", "row 4: target lesion T1 has no diameter at baseline"),
        (BASE + "1,56,N1,non-target,no,,present\n", "row 5: non-target lesion N1 has no row at baseline"),
        (BASE + "1,0,N1,non-target,no,,absent\n", "row 5: non-target lesion N1 is absent at baseline"),
        (BASE + "1,0,X1,new,no,,present\n", "row 5: new lesion X1 is there at baseline"),
        ("1,0,X1,new,no,,present\n", "row 4: the patient has no lesion at baseline"),
        (BASE + "1,56,X1,new,no,,\n", "row 5: a new lesion has neither status nor diameter"),
        (BASE + "1,56,X1,new,yes,8,\n", "row 5: a lymph node of 8 mm short axis is normal"),
        (BASE + "1,56,T1,non-target,no,30,\n", "row 5: role of lesion T1 differs"),
        (BASE + "1,56,T1,target,yes,30,\n", "row 5: node of lesion T1 differs"),
        (BASE + "1,56,T1,target,no,30,absent\n", "row 5: status is absent, but diameter_mm is 30"),
        (BASE + "1,56,T1,target,no,0,present\n", "row 5: status is present, but diameter_mm is 0"),
        (BASE + "1,56,T1,target,no,3,ne\n", "row 5: status is not evaluable, but diameter_mm is 3"),
        (BASE + "1,56,T1,target,no,30,progression\n", "row 5: status of a target lesion is 'progression', expected"),
        (BASE + "1,56,T1,target,no,gone,present\n", "row 5: diameter_mm says absent, but status says present"),
        (BASE + "1,56,X1,new,no,tstm,\n", "row 5: diameter_mm is 'tstm', which a new lesion cannot be"),
    ],
)  # fmt: skip
def test_bad_rows_fail_their_patient_alone(tmp_path, rows, sentence):
    table = load(tmp_path, GOOD + rows)
    assert [c.patient_id for c in table.courses] == ["ok"]
    assert len(table.failures) == 1
    assert f"m.csv: {sentence}" in table.failures[0].sentence
    assert "\n" not in table.failures[0].sentence


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ("patient_id,death_day\n1,late\n", "p.csv: row 2: death_day is 'late'"),
        ("patient_id,death_day\n1,-5\n", "p.csv: row 2: death is on day -5, before the start"),
        ("patient_id,death_day\n1,30\n", "p.csv: row 2: death on day 30, but there is a visit on day 56"),
        ("patient_id,death_day\n1,90\n1,91\n", "p.csv: row 3: patient_id '1' is also in row 2"),
        ("patient_id,death_date\n1,2016-01-01\n", "p.csv: row 2: the date of death needs start_date"),
        ("patient_id,death_date\n1,01/02/2016\n", "p.csv: row 2: death_date is '01/02/2016', expected a date"),
        ("patient_id,death_day\n1,90\n,91\n", "p.csv: row 3: patient_id is empty"),
    ],
)
def test_bad_patients(tmp_path, people, sentence):
    table = load(tmp_path, "1,0,T1,target,no,30,\n1,56,T1,target,no,30,\n", people)
    assert len(table.failures) == 1
    assert sentence in table.failures[0].sentence


@pytest.mark.parametrize(
    ("head", "rows", "sentence"),
    [
        ("patient_id,visit_day,lesion_id,diameter_mm\n", "1,0,a,3\n", "column role missing"),
        ("patient_id,lesion_id,role,diameter_mm\n", "1,a,target,3\n", "neither visit_day nor visit_date"),
        (HEAD.replace("node", "nodes"), "1,0,a,target,no,3,\n", "unknown column 'nodes'; did you mean node"),
        (HEAD.replace("status", "role"), "1,0,a,target,no,3,\n", "the column role is there twice"),
        (HEAD, "", "has a header but no row"),
        ("", "", "the file is empty"),
    ],
)
def test_bad_tables(tmp_path, head, rows, sentence):
    with pytest.raises(TableError, match=sentence):
        load(tmp_path, rows, head=head)


def test_no_file(tmp_path):
    with pytest.raises(TableError, match="no such file; expected a CSV"):
        load_measurements(tmp_path / "no.csv")
    with pytest.raises(TableError, match="column patient_id missing"):
        load(tmp_path, GOOD, "cohort\nA\n")


def test_mixed_days_and_dates(tmp_path):
    head = HEAD.strip() + ",visit_date\n"
    table = load(tmp_path, "1,0,T,target,no,30,,\n1,,T,target,no,30,,2016-01-01\n", head=head)
    assert "has visit_day, but other rows of the patient have visit_date alone" in table.failures[0].sentence


def test_doubts(tmp_path):
    head = HEAD.strip() + ",organ,cohort\n"
    rows = "".join(f"1,0,T{i},target,no,{8 if i == 5 else 20},,{'liver' if i < 3 else ''},A\n" for i in range(6))
    table = load(tmp_path, rows + "1,56,T1,target,no,20,,,\n2,100,T1,target,no,20,,,A\n3,-40,T1,target,no,20,,,A\n",
                 "patient_id,cohort,last_contact_day,cohorts\n1,A,20,x\n9,B,,\n", head=head)  # fmt: skip
    text = "\n".join(table.findings)
    for sentence in (
        "1 patients of p.csv have no row in m.csv and are NE: 9",
        "2 patients of m.csv have no row in p.csv: 2, 3",
        "1: 6 target lesions, RECIST 1.1 takes at most 5",
        "1: 3 target lesions in liver, RECIST 1.1 takes at most 2 an organ",
        "1: target T5 has 8 mm at baseline, less than the 10 mm",
        "1: last contact is on day 20, but there is a visit on day 56",
        "2: the first visit is on day 100, after treatment began, and was taken as baseline",
        "3: baseline is on day -40",
    ):
        assert sentence in text
    assert [c.cohort for c in table.courses] == ["A", "A", "A", "B"]


def test_cohorts_that_differ(tmp_path):
    head = HEAD.strip() + ",cohort\n"
    table = load(tmp_path, "1,0,T,target,no,30,,A\n1,56,T,target,no,30,,B\n", head=head)
    assert "row 3: cohort is 'B', but 'A' in another row" in table.failures[0].sentence
