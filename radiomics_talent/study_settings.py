"""Settings of a study: its data dictionary and its criteria of eligibility, validated, hashed, read from YAML.

The dictionary says of each column of a clinical table what it means, in which unit and range, and what it is for; a
criterion says in conditions on those columns what the study's record says in words.
"""

# ruff: noqa: E501
from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from radiomics_talent.presets import find_preset, read_yaml, settings_sha256, validated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ColumnType = Literal["number", "integer", "category", "flag", "date", "text"]
Role = Literal["id", "covariate", "endpoint", "batch", "check", "ignore"]

ID_COLUMN = "patient_id"
"""The one column that every clinical table has."""
FLAG_LEVELS = ("no", "yes")
"""How a flag is spelt in levels: 0 and 1."""
_DERIVED_FROM = {"cockcroft-gault": ("number", "category", "number", "number"), "months-between": ("date", "date")}


def _plain_text(value: object) -> object:
    # YAML takes an unquoted yes, no or 1 for something else than the text that was meant.
    if isinstance(value, bool):
        return FLAG_LEVELS[value]
    return str(value) if isinstance(value, int | float) else value


def _text_keys(value: object) -> object:
    return {_plain_text(k): v for k, v in value.items()} if isinstance(value, dict) else value


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_plain_text)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        # Named here, so that the nearest key is found at any depth of lists.
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(f"unknown key {key}; {_nearest(str(key), cls.model_fields, 'known keys are')}")
        return data


# fmt: off
class DerivedSettings(_Frozen):
    """How an empty cell is computed from other cells of its row."""

    by: Literal["cockcroft-gault", "months-between"] = Field(description="cockcroft-gault: mL/min from age in years, sex (F or M), weight in kg and serum creatinine in mg/dL; months-between: calendar months from the first date to the second")
    inputs: tuple[Text, ...] = Field(description="Columns that it is computed from, in that order")


class ColumnSettings(_Frozen):
    """One column of a clinical table."""

    type: ColumnType = Field(description="number, integer, category (one of the levels), flag (0/1, yes/no, true/false), date (YYYY-MM-DD) or text")
    role: Role = Field("covariate", description="id; covariate: offered to models; endpoint: never a covariate; batch: how the scan was made; check: eligibility alone; ignore")
    meaning: str = Field("", description="What it is, for the reader")
    unit: str | None = Field(None, description="Unit of the values")
    levels: tuple[Text, ...] | None = Field(None, min_length=1, description="Values that a category may have; the first is the reference. null takes any")
    aliases: Annotated[dict[str, Annotated[tuple[Text, ...], BeforeValidator(_one_or_several)]], BeforeValidator(_text_keys)] = Field({}, description="Level to other spellings that are accepted for it")
    min: float | None = Field(None, description="Smallest plausible value; a smaller one is refused as a typing or unit error")
    max: float | None = Field(None, description="Largest plausible value")
    event: str | None = Field(None, description="Of a time to an event: the flag column that says whether it came (1) or the time is censored (0)")
    derived: DerivedSettings | None = Field(None, description="How an empty cell is computed")

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        if (self.min is not None or self.max is not None) and not self.is_numeric:
            raise ValueError(f"min and max are for numbers, not for a {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}")
        if self.levels is not None and self.type != "category":
            raise ValueError(f"levels are for a category, not for a {self.type}")
        known = FLAG_LEVELS if self.type == "flag" else self.levels or ()
        for level in self.aliases:
            if level not in known:
                raise ValueError(f"aliases are given for {level!r}; {_nearest(level, known, 'levels are')}")
        spellings = [s.casefold() for s in (*known, *(a for several in self.aliases.values() for a in several))]
        twice = next((s for s in spellings if spellings.count(s) > 1), None)
        if twice is not None:
            raise ValueError(f"the spelling {twice!r} stands for two levels, or twice for one")
        if self.event is not None and not (self.type in {"number", "integer"} and self.role == "endpoint"):
            raise ValueError("event is for a time, a number of role endpoint")
        if self.derived is not None and self.type != "number":
            raise ValueError(f"what is derived is a number, not a {self.type}")
        return self

    @property
    def is_numeric(self) -> bool:
        """Whether its values are numbers with a unit (a flag is not)."""
        return self.type in {"number", "integer"}

    @property
    def is_time(self) -> bool:
        """Whether it is a time to an end point, which cannot be negative."""
        return self.role == "endpoint" and self.is_numeric and (self.event is not None or self.unit == "days")


class ConditionSettings(_Frozen):
    """One thing that a column must fulfil. Where several bounds or levels are given, all of them hold."""

    column: str = Field(description="Column of the dictionary")
    min: float | None = Field(None, description="At least this")
    max: float | None = Field(None, description="At most this")
    above: float | None = Field(None, description="More than this")
    below: float | None = Field(None, description="Less than this")
    levels: tuple[Text, ...] | None = Field(None, min_length=1, description="One of these levels (of a flag: yes, no)")
    divisor: str | None = Field(None, description="Column that the value is divided by first, such as the upper limit of normal (ULN)")
    when: tuple[ConditionSettings, ...] = Field((), description="The condition binds only patients who fulfil all of these; unknown as long as that is unknown and matters")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.bounds and self.levels is None:
            raise ValueError("a condition needs min, max, above, below or levels")
        if self.levels is not None and (self.bounds or self.divisor is not None):
            raise ValueError("levels do not go with bounds or a divisor; make two conditions of it")
        return self

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are given, by key."""
        given = {"min": self.min, "max": self.max, "above": self.above, "below": self.below}
        return {key: value for key, value in given.items() if value is not None}

    def walk(self) -> Iterator[ConditionSettings]:
        """Yield the condition and all that it depends on."""
        yield self
        for condition in self.when:
            yield from condition.walk()


class CriterionSettings(_Frozen):
    """One criterion of eligibility."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", description="Short name: lower case, digits, hyphens, points")
    sentence: str = Field(min_length=1, description="The criterion in words")
    cohorts: tuple[Text, ...] | None = Field(None, min_length=1, description="Cohorts that it holds for; null for all")
    all: tuple[ConditionSettings, ...] = Field((), description="Conditions that must all be fulfilled")
    any: tuple[ConditionSettings, ...] = Field((), description="Conditions of which one must be fulfilled")

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if bool(self.all) == bool(self.any):
            raise ValueError(f"criterion {self.id} needs conditions under either all or any")
        return self

    @property
    def conditions(self) -> tuple[ConditionSettings, ...]:
        """The conditions, whichever way they are combined."""
        return self.all or self.any


class StudySettings(_Frozen):
    """A study: where it is registered, what its clinical table holds, and whom it takes."""

    name: str = Field(min_length=1, description="Short name")
    registry: str = Field("", description="Number of the registry record")
    title: str = Field("", description="Title of the study")
    sources: Annotated[tuple[str, ...], BeforeValidator(_one_or_several)] = Field((), description="What the file was made from")
    cohort_column: str = Field("cohort", description="Column that names a patient's cohort, for criteria that hold for some cohorts")
    columns: dict[str, ColumnSettings] = Field(min_length=1, description="Data dictionary: column name to what it is")
    criteria: tuple[CriterionSettings, ...] = Field((), description="Criteria of eligibility")

    # fmt: on

    PRESETS: ClassVar[str] = "studies"

    @model_validator(mode="after")
    def _refers_to_known_columns(self) -> Self:
        identifier = self.columns.get(ID_COLUMN)
        if identifier is not None and (identifier.role, identifier.type) != ("id", "text"):
            raise ValueError(f"columns.{ID_COLUMN} must be of type text and role id")
        for name, column in self.columns.items():
            place = f"columns.{name}"
            if column.role == "id" and name != ID_COLUMN:
                raise ValueError(f"{place}: only {ID_COLUMN} has the role id")
            if column.event is not None and self._column(column.event, f"{place}.event").type != "flag":
                raise ValueError(f"{place}.event: {column.event} is not a flag")
            if column.derived is not None:
                self._check_derived(column.derived, f"{place}.derived")
        ids = [criterion.id for criterion in self.criteria]
        twice = next((i for i in ids if ids.count(i) > 1), None)
        if twice is not None:
            raise ValueError(f"two criteria are called {twice}")
        for criterion in self.criteria:
            self._check_criterion(criterion)
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the settings in canonical JSON."""
        return settings_sha256(self.model_dump(mode="json"))

    @classmethod
    def from_yaml(cls, path: str | Path) -> StudySettings:
        """Read a preset by name, or a YAML or JSON file by path.

        Raises
        ------
        ConfigError
            The file is absent, is not YAML, holds an unknown key or a value out of range, or a criterion names a
            column or level that the dictionary lacks.
        """
        return validated(cls, read_yaml(find_preset(cls.PRESETS, path)), where=str(path))

    def _column(self, name: str, place: str) -> ColumnSettings:
        if name not in self.columns:
            raise ValueError(f"{place}: unknown column {name!r}; {_nearest(name, self.columns, 'columns are')}")
        return self.columns[name]

    def _check_derived(self, derived: DerivedSettings, place: str) -> None:
        types = _DERIVED_FROM[derived.by]
        if len(derived.inputs) != len(types):
            raise ValueError(f"{place}: {derived.by} needs {len(types)} inputs, got {len(derived.inputs)}")
        for name, kind in zip(derived.inputs, types, strict=True):
            column = self._column(name, place)
            if column.type != kind and not (kind == "number" and column.is_numeric):
                raise ValueError(f"{place}: {name} is a {column.type}, {derived.by} needs a {kind} there")
            if kind == "category" and not {"F", "M"} <= set(column.levels or ()):
                raise ValueError(f"{place}: {name} needs the levels F and M")
            if column.derived is not None:
                raise ValueError(f"{place}: {name} is derived itself")

    def _check_criterion(self, criterion: CriterionSettings) -> None:
        place = f"criterion {criterion.id}"
        if criterion.cohorts is not None:
            self._check_levels(criterion.cohorts, self.cohort_column, place)
        for top in criterion.conditions:
            for condition in top.walk():
                self._check_condition(condition, place)

    def _check_condition(self, condition: ConditionSettings, place: str) -> None:
        column = self._column(condition.column, place)
        if condition.levels is not None:
            self._check_levels(condition.levels, condition.column, place)
        elif not column.is_numeric:
            raise ValueError(f"{place}: {condition.column} is a {column.type}, bounds are for numbers; give levels")
        if condition.divisor is not None and not self._column(condition.divisor, place).is_numeric:
            raise ValueError(f"{place}: the divisor {condition.divisor} is not a number")

    def _check_levels(self, levels: Iterable[str], name: str, place: str) -> None:
        column = self._column(name, place)
        if column.type not in {"category", "flag"}:
            raise ValueError(f"{place}: {name} is a {column.type}, levels are for a category or flag")
        known = FLAG_LEVELS if column.type == "flag" else column.levels
        for level in levels:
            if known is not None and level not in known:
                raise ValueError(f"{place}: {name} has no level {level!r}; {_nearest(level, known, 'levels are')}")


def _nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1) or [n for n in names if n.startswith(name) and name]
    return f"did you mean {near[0]}?" if near else f"{otherwise} {', '.join(names)}"
