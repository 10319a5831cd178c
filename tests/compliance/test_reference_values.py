"""What agrees with a consensus value, and what a table of them must look like."""

import math

import pytest

from radiomics_talent.compliance.reference_values import COLUMNS, ReferenceValue, load_reference_values
from radiomics_talent.errors import ConfigError


def table(tmp_path, *rows, columns=COLUMNS):
    file = tmp_path / "values.csv"
    file.write_text("\n".join([",".join(columns), *rows]), encoding="utf-8")
    return file


def value_of(tmp_path, value, tolerance):
    return load_reference_values(table(tmp_path, f"A,Statistics,Mean,Q4LE,,{value},{tolerance}"))[0]


@pytest.mark.parametrize(
    ("value", "tolerance", "ours", "agrees"),
    [
        ("2.15", "0", 2.1486, True),  # rounds to 2.15
        ("2.15", "0", 2.1449, False),
        ("0.698", "0.004", 0.7024, True),  # rounds to 0.702
        ("0.698", "0.004", 0.7026, False),
        ("36", "0.4", 36.04, True),
        ("36", "0", 36.06, False),  # three digits, though two are written
        ("14200", "400", 14643, True),
        ("1650000000", "20000000", 1.6749e9, True),
        ("125256", "0", 125256, True),
        ("125256", "0", 125257, False),  # all six digits count
        ("6.98E-05", "1.03E-05", 7.9e-05, True),
        ("-0.355", "0", -0.3546, True),
        ("-0.355", "0", math.nan, False),
        ("0", "0", 0.0, True),
    ],
)
def test_ours_rounded_to_the_digits_of_the_reference_lies_within_the_tolerance(
    tmp_path, value, tolerance, ours, agrees
):
    assert value_of(tmp_path, value, tolerance).agrees(ours) is agrees


def test_where_there_is_no_consensus_nothing_agrees(tmp_path):
    found = value_of(tmp_path, "", "")
    assert found.value is None
    assert not found.agrees(1.0)


def test_the_table_that_comes_along_is_the_published_one(shared_data):
    known = load_reference_values(shared_data / "ibsi" / "reference_values.csv")
    assert load_reference_values(None) == known
    assert {value.config for value in known} == {"digital", "A", "C", "D"}


def test_a_table_without_a_column_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"values\.csv: no column tolerance; a table of IBSI values has config"):
        load_reference_values(table(tmp_path, columns=COLUMNS[:-1]))


@pytest.mark.parametrize(
    ("value", "sentence"), [("12,5", "'12"), ("inf", "inf; leave it empty"), ("x", "'x', which is not")]
)
def test_a_value_that_is_no_number_names_its_line(tmp_path, value, sentence):
    quoted = f'"{value}"'
    file = table(tmp_path, "A,Statistics,Mean,Q4LE,,1,0", f"A,Statistics,Median,Y12H,,{quoted},0")
    with pytest.raises(ConfigError, match=rf"line 3: reference_value is .*{sentence}"):
        load_reference_values(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.csv: cannot be read as a CSV"):
        load_reference_values(tmp_path / "absent.csv")


def test_a_reference_value_is_plain_data():
    assert ReferenceValue("A", "Statistics", "Mean", "Q4LE", "", 13.4, 1.1).agrees(14.4)
