"""What Excel, R and hands make of a CSV."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiomics_talent.cohort.spreadsheet import escape_cell, number, read_sheet, unescape_cell, write_sheet
from radiomics_talent.errors import TableError

KNOWN = ("patient_id", "lesion_id", "image", "mask", "site")
TEXT = "patient_id,lesion_id,image,mask,site\n007,L1,ct,m.nii,Köln\n"


def rows(path: Path):
    return [cells for _, cells in read_sheet(path, KNOWN).rows]


@pytest.mark.parametrize(
    ("encoding", "change"),
    [
        ("utf-8", lambda t: t),
        ("utf-8-sig", lambda t: t),
        ("utf-16", lambda t: t.replace(",", "\t")),
        ("utf-16-le", lambda t: "\ufeff" + t),
        ("utf-16-be", lambda t: "\ufeff" + t),
        ("utf-32", lambda t: t),
        ("cp1252", lambda t: t.replace(",", ";")),
        ("utf-8", lambda t: t.replace("\n", "\r\n")),
        ("utf-8", lambda t: "sep=;\n" + t.replace(",", ";")),
        ("utf-8", lambda t: t.replace("\n", ",,,\n") + ",,,,,,,\n,,,\n\n"),
        ("utf-8", lambda t: "\n\n" + t),
        ("utf-8", lambda t: t.replace("007", '"007"').replace("Köln", ' "Köln"')),
        ("utf-8", lambda t: t.rstrip("\n")),
        ("utf-8", lambda t: t.replace("patient_id", "Patient ID")),
    ],
)  # fmt: skip
def test_habits(tmp_path, encoding, change):
    path = tmp_path / "c.csv"
    path.write_bytes(change(TEXT).encode(encoding))
    (row,) = rows(path)
    assert row[:4] == ("007", "L1", "ct", "m.nii")
    assert row[4].strip(' "') == "Köln"


def test_windows_encoding_is_reported(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(TEXT.encode("cp1252"))
    assert [f.code for f in read_sheet(path, KNOWN).findings] == ["encoding-guessed"]


def test_row_numbers_are_those_of_a_spreadsheet(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text('sep=,\na,b\n1,2\n\n"two\nlines",3\n4,5\n')
    assert [row for row, _ in read_sheet(path, ("a", "b")).rows] == [3, 5, 6]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\n\n,,,\n", "the file is empty"),
        (b"PK\x03\x04rest", "is an Excel or LibreOffice workbook, not a CSV file"),
        (b"\xd0\xcf\x11\xe0rest", "is an old Excel workbook"),
        (b"patient_id,x\0y\n", "it holds NUL bytes"),
        (b"patient_id,\x81\n", "neither UTF-8 nor Windows-1252"),
        (b"patient_id,\xe4\x01\n", "it holds control characters"),
        (b"\xff\xfep\xd8", "begins like UTF-16"),
        (b"a,b\n1,2,3\n", r"row 2 has more cells than the header has columns \(2\)"),
    ],
)
def test_refused(tmp_path, content, sentence):
    path = tmp_path / "c.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=sentence) as caught:
        read_sheet(path, KNOWN)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_sheet(tmp_path / "c.csv", KNOWN)
    with pytest.raises(TableError, match="is a folder"):
        read_sheet(tmp_path, KNOWN)


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum", "'=x", "''@"])
def test_formulas_are_disarmed(text):
    assert escape_cell(text) == f"'{text}"
    assert unescape_cell(escape_cell(text)) == text


@pytest.mark.parametrize("text", ["-1", "+2.5", "-3,5", "GTV", "'quoted'", "", "a=b"])
def test_plain_cells_stay(text):
    assert escape_cell(text) == text


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")).map(str.strip)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1))
def test_round_trip(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("t") / "c.csv"
    cells = [[f"x{a}", b] for a, b in cells]
    write_sheet(path, ("a", "b"), cells)
    assert [list(c) for _, c in read_sheet(path, ("a", "b")).rows] == cells


def test_written_cells_hold_no_formula(tmp_path):
    path = tmp_path / "c.csv"
    write_sheet(path, ("a",), [["=HYPERLINK(1)"]])
    assert list(csv.reader(path.read_text().splitlines()))[1] == ["'=HYPERLINK(1)"]
    assert [p.name for p in tmp_path.iterdir()] == ["c.csv"]


@pytest.mark.parametrize(
    ("text", "value"), [("2.5", 2.5), ("2,5", 2.5), ("", None), ("3", 3.0), ("1\u00a0000,5", 1000.5)]
)
def test_number(text, value):
    assert number(text, "x", where="w") == value


@pytest.mark.parametrize("text", ["thin", "nan", "inf", "1,2,3"])
def test_not_a_number(text):
    with pytest.raises(TableError, match=r"row 3: x is .*, expected a number or nothing"):
        number(text, "x", where="row 3")


def test_what_cannot_be_written_is_a_table_error(tmp_path):
    with pytest.raises(TableError, match=r"t\.csv: a cell cannot be written as UTF-8 .*Mu.*dcf1oz"):
        write_sheet(tmp_path / "t.csv", ("a",), [["Mu\udcf1oz"]])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TableError, match="is a folder, expected the name of a CSV file"):
        write_sheet(tmp_path, ("a",), [])


def test_a_table_in_no_folder_is_refused_by_its_own_name(tmp_path):
    with pytest.raises(TableError, match=r"gone/table\.csv: its folder does not exist"):
        write_sheet(tmp_path / "gone" / "table.csv", ["a"], [["1"]])
