import json

import pytest
import rich.console
from typer.testing import CliRunner

from radiomics_talent.cli import app, features
from radiomics_talent.feature_dictionary import definitions, features_of_family


def run(*arguments):
    return CliRunner().invoke(app, ["features", *arguments])


def test_piped_every_feature_on_a_line_of_six_cells():
    lines = run().stdout.splitlines()
    assert lines[0].split("\t") == ["feature_class", "feature", "ibsi_name", "ibsi_code", "unit", "definition"]
    assert len(lines) == 1 + len(definitions())
    assert {line.count("\t") for line in lines} == {5}


def test_family_by_its_beginning():
    lines = run("--family", "LOCAL").stdout.splitlines()
    assert [line.split("\t")[1:4] for line in lines[1:]] == [
        ["LocalIntensityPeak", "Local intensity peak", "VJGA"],
        ["GlobalIntensityPeak", "Global intensity peak", "0F91"],
    ]


def test_json_says_who_computes_and_what_departs():
    data = json.loads(run("--json", "--family", "ngtdm").stdout)
    assert [one["feature"] for one in data] == ["Coarseness", "Contrast", "Busyness", "Complexity", "Strength"]
    assert {one["computed_by"] for one in data} == {"both"}
    assert all("without a neighbour" in one["departs"] for one in data)


@pytest.mark.parametrize(
    ("family", "hint"),
    [("gclm", "did you mean glcm"), ("intens", "several begin so: Intensity histogram, Intensity volume histogram")],
)
def test_a_family_that_is_not_one_is_wrong_usage(family, hint):
    result = run("--family", family)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: --family {family}: ")
    assert hint in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("family", ["gldm", "gldzm", "ivh", "glrlm", "shape"])
def test_table_of_a_terminal_of_100_columns_breaks_no_name(family, monkeypatch, capsys):
    wide = rich.console.Console(width=100, force_terminal=False)
    monkeypatch.setattr(rich.console, "Console", lambda: wide)
    features._print_rich(features_of_family(family))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    cells = {cell.strip() for line in lines for cell in line.split("│")}
    assert {one.feature for one in features_of_family(family)} <= cells
    assert {one.ibsi_code for one in features_of_family(family)} <= cells
