"""Which criteria of a study a patient meets, with the value and the limit in a sentence.

Logic has three values (Kleene): a missing value makes a condition unknown, never met, and the criterion is unknown
unless its other conditions decide it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.errors import ConfigError
from radiomics_talent.study_settings import FLAG_LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.study_settings import ConditionSettings, CriterionSettings, StudySettings

Verdict = Literal["met", "not met", "unknown", "not applicable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""Every verdict; the last is for a criterion of another cohort than the patient's."""
Truth = bool | None
OUT_COLUMNS = ("patient_id", "criterion", "sentence", "verdict", "explanation")
"""Columns of eligibility.csv."""

_BOUND_WORDS = {"min": "at least", "max": "at most", "above": "more than", "below": "less than"}
_DIGITS = 9
"""Decimals in which values are compared, so that 3.6 / 1.2 is 3."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one patient and criterion.

    Attributes
    ----------
    patient_id, criterion : str
        Whom and what it is about (the criterion's id).
    verdict : {'met', 'not met', 'unknown', 'not applicable'}
        Not applicable: the criterion holds for another cohort.
    explanation : str
        The value, the limit, and what is not known.
    absent : tuple of str
        Columns that the whole table lacks and that leave the verdict unknown.
    """

    patient_id: str
    criterion: str
    verdict: Verdict
    explanation: str
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EligibilityReport:
    """Verdicts on every patient and criterion: patients in the table's order, criteria in the study's.

    Attributes
    ----------
    study : StudySettings
        The criteria.
    patients : tuple of str
        `patient_id` of every row.
    judgements : tuple of Judgement
        One a patient and criterion.
    """

    study: StudySettings
    patients: tuple[str, ...]
    judgements: tuple[Judgement, ...]

    def of_patient(self, patient_id: str) -> tuple[Judgement, ...]:
        """Return one patient's judgements."""
        n = len(self.study.criteria)
        first = self.patients.index(patient_id) * n
        return self.judgements[first : first + n]

    def counts(self) -> dict[str, dict[Verdict, int]]:
        """Return how many patients each verdict has, by criterion."""
        counts: dict[str, dict[Verdict, int]] = {c.id: dict.fromkeys(VERDICTS, 0) for c in self.study.criteria}
        for judgement in self.judgements:
            counts[judgement.criterion][judgement.verdict] += 1
        return counts

    def overall(self) -> dict[str, Verdict]:
        """Return of each patient: not met when any criterion is not, else unknown when any is, else met."""
        found: dict[str, set[Verdict]] = {patient: set() for patient in self.patients}
        for judgement in self.judgements:
            found[judgement.patient_id].add(judgement.verdict)
        order: tuple[Verdict, ...] = ("not met", "unknown", "met")
        return {patient: next((v for v in order if v in verdicts), "met") for patient, verdicts in found.items()}


def judge_eligibility(table: ClinicalTable, study: StudySettings) -> EligibilityReport:
    """Judge every patient by every criterion.

    Parameters
    ----------
    table : ClinicalTable
        As `load_clinical` read it with this study.
    study : StudySettings
        The criteria.

    Returns
    -------
    EligibilityReport
        Columns that the table lacks leave their criteria unknown.

    Raises
    ------
    ConfigError
        The study has no criterion, or the table was read with another dictionary.
    """
    if not study.criteria:
        raise ConfigError("the study has no criteria to judge by", where=study.name)
    for name, column in table.columns.items():
        if name in study.columns and study.columns[name].type != column.type:
            raise ConfigError(f"the table holds {name} as {column.type}: read it with this study", where=study.name)
    patients = tuple(str(i) for i in table.frame.index)
    records = table.frame.to_dict(orient="records") if len(table.columns) else [{} for _ in patients]
    judgements = []
    for patient, record in zip(patients, records, strict=True):
        row = _Row({str(name): _known(value) for name, value in record.items()}, study)
        judgements += [_judged(patient, criterion, row) for criterion in study.criteria]
    return EligibilityReport(study, patients, tuple(judgements))


def write_eligibility(report: EligibilityReport, path: Path) -> None:
    """Write eligibility.csv: a row a patient and criterion."""
    sentences = {criterion.id: criterion.sentence for criterion in report.study.criteria}
    rows = ((j.patient_id, j.criterion, sentences[j.criterion], j.verdict, j.explanation) for j in report.judgements)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(path, OUT_COLUMNS, rows)


@dataclass(frozen=True, slots=True)
class _Row:
    """One patient's values (None for missing), with the dictionary that types them."""

    values: dict[str, float | str | None]
    study: StudySettings

    def get(self, name: str) -> float | str | None:
        value = self.values.get(name)
        if value is not None and self.study.columns[name].type == "flag":
            return FLAG_LEVELS[int(float(value))]
        return value

    def unknown(self, name: str) -> str:
        return f"{name} is not known" if name in self.values else f"the table has no column {name}"

    def absent(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in self.values)


@dataclass(frozen=True, slots=True)
class _Finding:
    """What a condition comes to for one patient."""

    truth: Truth
    fact: str
    limit: str = ""
    absent: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        if self.truth is None or not self.limit:
            return f"{self.fact}; {self.limit}" if self.limit else self.fact
        return f"{self.fact}, as needed: {self.limit}" if self.truth else f"{self.fact}, needs {self.limit}"


def _known(value: object) -> float | str | None:
    if isinstance(value, str):
        return value
    return float(value) if isinstance(value, float) and value == value else None  # noqa: PLR0124 (NaN)


def _judged(patient: str, criterion: CriterionSettings, row: _Row) -> Judgement:
    if criterion.cohorts is not None:
        column = row.study.cohort_column
        cohort = row.get(column)
        holds = f"it holds for {_either(criterion.cohorts)}"
        if cohort is None:
            absent = row.absent([column])
            return Judgement(patient, criterion.id, "unknown", f"{row.unknown(column)}, and {holds}", absent)
        if cohort not in criterion.cohorts:
            return Judgement(patient, criterion.id, "not applicable", f"{column} is {cohort}, and {holds}")
    findings = [_condition(condition, row) for condition in criterion.conditions]
    truth = all_of(f.truth for f in findings) if criterion.all else any_of(f.truth for f in findings)
    decisive = [f for f in findings if f.truth is truth]
    verdict: Verdict = "unknown" if truth is None else ("met" if truth else "not met")
    absent = tuple(dict.fromkeys(name for f in decisive for name in f.absent)) if truth is None else ()
    return Judgement(patient, criterion.id, verdict, "; ".join(dict.fromkeys(f.text for f in decisive)), absent)


def all_of(truths: Iterable[Truth]) -> Truth:
    """Return Kleene's conjunction: False when any is, else None (unknown) when any is, else True."""
    found = list(truths)
    return False if False in found else (None if None in found else True)


def any_of(truths: Iterable[Truth]) -> Truth:
    """Return Kleene's disjunction: True when any is, else None (unknown) when any is, else False."""
    found = list(truths)
    return True if True in found else (None if None in found else False)


def _condition(condition: ConditionSettings, row: _Row) -> _Finding:
    own = _own(condition, row)
    if not condition.when:
        return own
    premises = [_condition(premise, row) for premise in condition.when]
    premise = all_of(p.truth for p in premises)
    clause = " and ".join(f"{c.column} is {_limit(c, row)}" for c in condition.when)
    why = " and ".join(dict.fromkeys(p.fact for p in premises if p.truth is premise))
    if premise is False:
        return _Finding(True, f"{condition.column} needs {_limit(condition, row)} only if {clause}, and {why}")
    # Kleene's implication: what is true whatever the premise stays true.
    if premise is True or own.truth is True:
        return own
    absent = tuple(name for p in premises if p.truth is None for name in p.absent)
    needed = "" if own.truth is None else f", needs {own.limit}"
    return _Finding(None, f"{own.fact}{needed}", f"that holds only if {clause}, and {why}", own.absent + absent)


def _own(condition: ConditionSettings, row: _Row) -> _Finding:
    """Judge the condition without its premise."""
    limit = _limit(condition, row)
    names = [condition.column] if condition.divisor is None else [condition.column, condition.divisor]
    missing = [name for name in names if row.get(name) is None]
    if missing:
        fact = " and ".join(row.unknown(name) for name in missing)
        return _Finding(None, fact, f"{condition.column} needs {limit}", row.absent(missing))
    value = row.get(condition.column)
    if condition.levels is not None:
        return _Finding(value in condition.levels, f"{condition.column} is {value}", limit)
    number = float(value)  # type: ignore[arg-type]  # bounds stand on numeric columns alone: StudySettings saw to it
    unit = row.study.columns[condition.column].unit
    fact = f"{condition.column} is {_plain(number)}"
    if condition.divisor is None:
        return _Finding(_within(number, condition), f"{fact} {unit}" if unit else fact, limit)
    divisor = float(row.get(condition.divisor))  # type: ignore[arg-type]
    if divisor <= 0:
        return _Finding(None, f"{condition.divisor} is {_plain(divisor)}", "nothing can be divided by that")
    ratio = number / divisor
    fact = f"{fact}, {_plain(ratio)} × {condition.divisor} ({_plain(divisor)})"
    return _Finding(_within(ratio, condition), fact, limit)


def _within(value: float, condition: ConditionSettings) -> bool:
    value = round(value, _DIGITS)
    tests = {
        "min": lambda limit: value >= limit,
        "max": lambda limit: value <= limit,
        "above": lambda limit: value > limit,
        "below": lambda limit: value < limit,
    }
    return all(tests[key](limit) for key, limit in condition.bounds.items())


def _limit(condition: ConditionSettings, row: _Row) -> str:
    if condition.levels is not None:
        return _either(condition.levels)
    unit = row.study.columns[condition.column].unit
    tail = f" × {condition.divisor}" if condition.divisor is not None else (f" {unit}" if unit else "")
    if condition.min is not None and condition.min == condition.max:
        return f"exactly {_plain(condition.min)}{tail}"
    return " and ".join(f"{_BOUND_WORDS[key]} {_plain(limit)}{tail}" for key, limit in condition.bounds.items())


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _plain(value: float) -> str:
    return f"{value:.6g}"
