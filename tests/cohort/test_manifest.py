"""cohort.csv: what is read, what is refused, and what an index becomes."""

from dataclasses import replace
from pathlib import Path

import pytest

from radiomics_talent.cohort.manifest import (
    COLUMNS,
    Lesion,
    cohort_from_index,
    load_cohort,
    write_cohort,
    write_series_table,
)
from radiomics_talent.cohort.pseudonym import pseudonym
from radiomics_talent.dicom.index import DicomIndex, index_dicom
from radiomics_talent.dicom.links import MaskLink
from radiomics_talent.dicom.series import SeriesRecord
from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.findings import Finding

HEAD = "patient_id,lesion_id,image,mask\n"


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_ids_are_text_and_paths_absolute(tmp_path):
    cohort = load_cohort(table(tmp_path, HEAD + "007,NA,../ct,m.nii\nNA,01,/abs/ct,m.nii\n"))
    first, second = cohort.lesions
    assert (first.patient_id, first.lesion_id, second.patient_id, second.lesion_id) == ("007", "NA", "NA", "01")
    assert first.image == tmp_path.parent / "ct"
    assert second.image == Path("/abs/ct")
    assert first.key == "007/NA"
    assert first.row == 2


def test_windows_paths_and_decimal_commas(tmp_path):
    text = "patient_id;lesion_id;image;mask;slice_thickness_mm;study_date\n1;1;p1\\ct;p1\\m.nii;2,5;31.01.2020\n"
    (lesion,) = load_cohort(table(tmp_path, text)).lesions
    assert lesion.image == tmp_path / "p1" / "ct"
    assert lesion.slice_thickness_mm == 2.5
    assert lesion.study_date == "2020-01-31"


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("study_date", "99999999", r"row 2: study_date is '99999999', which is no day of the calendar"),
        ("study_date", "2023-02-29", r"row 2: study_date is '2023-02-29', which is no day"),
        ("study_date", "31.02.2020", r"row 2: study_date is '31.02.2020', which is no day"),
        ("slice_thickness_mm", "-3", r"row 2: slice_thickness_mm is -3, expected more than 0"),
        ("slice_thickness_mm", "0", r"row 2: slice_thickness_mm is 0, expected more than 0"),
    ],
)
def test_values_that_cannot_be(tmp_path, column, value, sentence):
    with pytest.raises(TableError, match=sentence):
        load_cohort(table(tmp_path, f"{HEAD.strip()},{column}\n1,1,a,b,{value}\n"))


def test_dates_that_can_be_read_in_two_ways(tmp_path):
    rows = "".join(f"1,{i},a,b,{date}\n" for i, date in enumerate(["2020-04-03", "03/04/2020", "spring", ""]))
    cohort = load_cohort(table(tmp_path, f"{HEAD.strip()},study_date\n{rows}"))
    (finding,) = cohort.findings
    assert (finding.code, finding.level) == ("study-date-unclear", "warning")
    assert finding.sentence.startswith(
        "study_date of row 3 and 1 other rows is not a date that can be read in one way ('03/04/2020')"
    )
    assert cohort.lesions[1].study_date == "03/04/2020"


def test_backslash_in_a_real_name(tmp_path):
    (tmp_path / "a\\b").mkdir()
    (lesion,) = load_cohort(table(tmp_path, HEAD + "1,1,a\\b,m\n")).lesions
    assert lesion.image == tmp_path / "a\\b"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "cohort.csv: the file is empty"),
        (HEAD, "has a header but no row"),
        ("patient_id,lesion_id,image\n1,1,a\n", "column mask missing"),
        ("patient_id,image\n1,a\n", "columns lesion_id, mask missing"),
        (HEAD.strip() + ",labels\n1,1,a,b,c\n", "unknown column 'labels'; did you mean label"),
        (HEAD.strip() + ",outcome\n1,1,a,b,c\n", "unknown column 'outcome'; known columns are patient_id"),
        (HEAD.strip() + ",Mask\n1,1,a,b,c\n", "the column mask is there twice"),
        ("patient_id,,lesion_id,image,mask\n1,x,1,a,b\n", "column 2 has no name"),
        (HEAD + "1,1,a,b\n2,1,a,b\n1,1,c,d\n", "rows 2 and 4 are both patient_id '1', lesion_id '1'"),
        (HEAD + "a/b,c,a,b\na,b/c,c,d\n", "rows 2 and 3 are both"),
        (HEAD + "1,,a,b\n", "row 2: lesion_id is empty"),
        (HEAD + "1,1,a,\n", "row 2: mask is empty"),
        (HEAD.strip() + ",slice_thickness_mm\n1,1,a,b,thin\n", "row 2: slice_thickness_mm is 'thin'"),
    ],
)
def test_refused(tmp_path, text, sentence):
    with pytest.raises(TableError, match=sentence):
        load_cohort(table(tmp_path, text))


def test_missing_files_are_left_to_their_row(tmp_path):
    assert len(load_cohort(table(tmp_path, HEAD + "1,1,no,no\n1,2,no,no\n")).lesions) == 2


def test_rows_are_grouped_by_scan(tmp_path):
    cohort = load_cohort(table(tmp_path, HEAD + "1,1,a,m\n2,1,b,m\n1,2,a,m\n"))
    assert [[lesion.key for lesion in scan] for scan in cohort.scans()] == [["1/1", "1/2"], ["2/1"]]


def test_round_trip(tmp_path):
    lesion = Lesion(
        2, "=1", "-L", tmp_path / "=ct", tmp_path.parent / "m.nii", "@roi", "+roi, \"x\"\nü", "1.2#2", "2020-01-31",
        "arterial", 1.25, "B30f", "=cmd|' /C calc'!A0", "Köln",
    )  # fmt: skip
    plain = Lesion(3, "007", "1", tmp_path / "a b", tmp_path / "m", "-1", slice_thickness_mm=5.0)
    written = write_cohort([lesion, plain], tmp_path / "cohort.csv")
    text = (tmp_path / "cohort.csv").read_text(encoding="utf-8")
    assert text.startswith(",".join(COLUMNS) + "\n'=1,'-L,./=ct,../m.nii,'@roi,")
    assert "007,1,a b,m,-1,,,,,5,,," in text
    assert load_cohort(tmp_path / "cohort.csv").lesions == written.lesions == (lesion, plain)


# --- from an index


def series(tmp_path: Path, patient: str = "P1", n: int = 3, **changes) -> SeriesRecord:
    record = SeriesRecord(
        patient, "1.1", "1.2", 1, "CT", "2020-01-31", "1.3", n, tmp_path / "ct" / "0.dcm", tmp_path / "ct",
        "arterial", 1.25, "B30f", "ACME", "Site", (Finding("lossy-compression", "lossy", "x"),), is_volume=True,
    )  # fmt: skip
    return replace(record, **changes)


def index(tmp_path: Path, *links: MaskLink) -> DicomIndex:
    records = tuple(dict.fromkeys(link.series for link in links if link.series))
    return DicomIndex(tmp_path, records, links, 9, 0, ())


def link(tmp_path: Path, name: str, record: SeriesRecord | None, label: str | None = None) -> MaskLink:
    return MaskLink(tmp_path / "rs.dcm", label or name, name, record, ())


def test_lesion_ids_are_safe_and_unique(tmp_path):
    record = series(tmp_path)
    names = ["GTV 1", "GTV/1", "gtv_1", "=Läsion", "", "..", "日本"]
    cohort = cohort_from_index(index(tmp_path, *(link(tmp_path, n, record) for n in names)), tmp_path / "c.csv")
    ids = [lesion.lesion_id for lesion in cohort.lesions]
    assert ids == ["GTV_1", "GTV_1-2", "gtv_1-3", "Lasion", "lesion", "lesion-2", "lesion-3"]
    assert [lesion.roi_name for lesion in cohort.lesions] == names
    assert cohort.lesions[0].image == tmp_path / "ct"


def test_enhanced_file_is_the_image(tmp_path):
    record = series(tmp_path, n=1)
    (lesion,) = cohort_from_index(index(tmp_path, link(tmp_path, "a", record)), tmp_path / "c.csv").lesions
    assert lesion.image == tmp_path / "ct" / "0.dcm"


def test_split_series_keeps_its_number(tmp_path):
    record = series(tmp_path, n=1, n_volumes=2, volume=2)
    (lesion,) = cohort_from_index(index(tmp_path, link(tmp_path, "a", record)), tmp_path / "c.csv").lesions
    assert lesion.series_uid == "1.2#2"
    assert lesion.image == tmp_path / "ct"


def test_roi_patterns_and_unlinked(tmp_path):
    record = series(tmp_path)
    found = index(tmp_path, *(link(tmp_path, n, record) for n in ("GTV1", "BODY", "xGTV")), link(tmp_path, "GTV", None))
    kept = cohort_from_index(found, tmp_path / "c.csv", rois=["gtv.*"]).lesions
    assert [lesion.roi_name for lesion in kept] == ["GTV1"]
    with pytest.raises(ConfigError, match=r"'\(' is not a regular expression"):
        cohort_from_index(found, tmp_path / "c.csv", rois=["("])


def test_patients_without_id_stay_apart(tmp_path):
    a = series(tmp_path, "", study_instance_uid="1.1")
    b = series(tmp_path, "", study_instance_uid="1.9")
    cohort = cohort_from_index(index(tmp_path, link(tmp_path, "a", a), link(tmp_path, "a", b)), tmp_path / "c.csv")
    first, second = (lesion.patient_id for lesion in cohort.lesions)
    assert first != second
    assert first.startswith("unknown-")


def test_pseudonyms(tmp_path):
    key = bytes(range(32))
    found = index(
        tmp_path,
        link(tmp_path, "GTV", series(tmp_path, "SECRET")),
        link(tmp_path, "SECRET", series(tmp_path, "SECRET")),
    )
    cohort = cohort_from_index(found, tmp_path / "c.csv", pseudonymise=key)
    assert {lesion.patient_id for lesion in cohort.lesions} == {pseudonym("SECRET", key)}
    (finding,) = [f for f in cohort.findings if f.code == "identifier-left"]
    assert finding.sentence.startswith("1 of 2 rows")
    assert "SECRET" not in str(finding)
    write_series_table(found, tmp_path / "series.csv", pseudonymise=key)
    assert "SECRET" not in (tmp_path / "series.csv").read_text()


def test_series_table(tmp_path):
    write_series_table(index(tmp_path, link(tmp_path, "GTV", series(tmp_path))), tmp_path / "series.csv")
    head, row = (tmp_path / "series.csv").read_text().splitlines()
    assert head.startswith("patient_id,study_date,modality,series_uid")
    assert row == "P1,2020-01-31,CT,1.2,yes,3,1,arterial,1.25,B30f,ACME,Site,1.3,warning,lossy-compression: lossy,ct"


def test_real_index(shared_data, tmp_path):
    found = index_dicom(shared_data / "dicom_masks")
    written = write_cohort(cohort_from_index(found, tmp_path / "cohort.csv"), tmp_path / "cohort.csv")
    assert len(written.lesions) == 19
    assert load_cohort(tmp_path / "cohort.csv").lesions == written.lesions
    assert {lesion.patient_id for lesion in written.lesions} == {"123456", "99000", "PHANTOM_EXAMPLE"}
