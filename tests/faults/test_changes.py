"""Scans that vanish, come back, or are written to while they are read."""

import os
import threading
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort, write_mask
from factories import write_ct_series

from radiomics_talent.cohort import lesion_mask, scan
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.cohort.scan import inspect_scan
from radiomics_talent.cohort.unchanged import file_states, find_changes
from radiomics_talent.errors import InputError
from radiomics_talent.extraction.cohort_work import Progress
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.extraction.store import RunFolderError
from radiomics_talent.settings import ExtractionSettings

SETTINGS = ExtractionSettings.model_validate(
    {"featureClass": {"firstorder": ["Mean"], "shape": ["MeshVolume"]}, "setting": {"binWidth": 10}}
)


def touched(path: Path) -> None:
    """Write a file again, some time later."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def rewritten(path: Path) -> None:
    """Put another file of the same size and time in its place."""
    stat = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def copied(path: Path) -> None:
    path.with_name("0099").write_bytes(path.read_bytes())


@pytest.fixture
def ct(tmp_path: Path) -> Lesion:
    write_ct_series(tmp_path / "ct", 4)
    return Lesion(2, "P1", "L1", tmp_path / "ct", tmp_path / "absent.nii.gz")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (touched, "1 file of it changed while it was read (0003)"),
        (rewritten, "1 file of it changed while it was read (0003)"),
        (longer, "1 file of it changed while it was read (0003)"),
        (copied, "1 file of it appeared while it was read (0099)"),
        (Path.unlink, "1 file of it vanished while it was read (0003)"),
    ],
)
def test_a_slice_that_changes_between_its_header_and_its_pixels_is_an_error(ct, monkeypatch, change, told):
    assert inspect_scan(ct, SETTINGS)[1] is not None
    real = scan.inspect_volume

    def late(instances: object, *more: object, **named: object) -> object:
        change(ct.image / "0003")
        return real(instances, *more, **named)

    monkeypatch.setattr(scan, "inspect_volume", late)
    findings, found = inspect_scan(ct, SETTINGS)
    assert found is None
    assert (findings[0].code, findings[0].level) == ("changed-while-read", "error")
    assert told in findings[0].sentence
    with pytest.raises(InputError, match="repeat when nothing writes there"):
        raise findings[0].error()
    monkeypatch.undo()
    if change is not Path.unlink:
        assert inspect_scan(ct, SETTINGS)[1] is not None or change is copied


def test_another_series_and_companions_may_come_into_the_folder(ct, monkeypatch):
    real = scan.inspect_volume

    def late(instances: object, *more: object, **named: object) -> object:
        write_ct_series(ct.image / "deeper", 2, series="another")
        (ct.image / "notes.txt").write_text("seen", encoding="utf-8")
        (ct.image / ".tmp-1-page.html").write_text("half", encoding="utf-8")
        return real(instances, *more, **named)

    monkeypatch.setattr(scan, "inspect_volume", late)
    assert inspect_scan(ct, SETTINGS)[1] is not None


def test_a_folder_that_goes_while_it_is_read_is_told_as_such(ct, monkeypatch):
    real = scan.find_series

    def late(folder: Path, series: str | None) -> object:
        folder.rename(folder.with_name("gone"))
        return real(folder, series)

    monkeypatch.setattr(scan, "find_series", late)
    findings, found = inspect_scan(ct, SETTINGS)
    assert found is None
    assert "4 files of it vanished while it was read (0001, ...)" in findings[0].sentence


def test_the_data_beside_a_header_belong_to_it(tmp_path):
    header, data = tmp_path / "scan.mhd", tmp_path / "scan.zraw"
    for path in (header, data):
        path.write_text("x", encoding="utf-8")
    before = file_states(header)
    assert set(before) == {header, data}
    assert find_changes(header, before) == ()
    touched(data)
    assert "1 file of it changed" in find_changes(header, before)[0].sentence


def test_a_mask_that_is_drawn_anew_while_it_is_read_fails_alone_and_is_there_when_repeated(tmp_path, monkeypatch):
    cohort = make_cohort(tmp_path / "data")
    real = lesion_mask.read_volume

    def late(path: Path, *, code: str) -> object:
        read = real(path, code=code)
        if path.name == "p2_1.nii.gz":
            write_mask(path.parent, "p2_1", (2, 4, 5), 4)
        return read

    monkeypatch.setattr(lesion_mask, "read_volume", late)
    result = run_extraction(cohort, SETTINGS, tmp_path / "run")
    assert [(f.key, f.stage) for f in result.failures] == [("p2/L1", "mask")]
    assert "1 file of it changed while it was read" in result.failures[0].sentence
    monkeypatch.undo()
    assert run_extraction(cohort, SETTINGS, tmp_path / "run").failures == ()
    run_extraction(cohort, SETTINGS, tmp_path / "whole")
    assert (tmp_path / "run" / "features.csv").read_bytes() == (tmp_path / "whole" / "features.csv").read_bytes()


def test_a_folder_that_is_gone_for_a_while_costs_its_lesions_until_the_command_is_repeated(tmp_path):
    cohort = make_cohort(tmp_path / "data")
    away = threading.Event()

    def go(progress: object) -> None:
        if not away.is_set():  # the first scan is read; the drive goes before the others are
            away.set()
            (tmp_path / "data").rename(tmp_path / "unplugged")

    first = run_extraction(cohort, SETTINGS, tmp_path / "run", progress=go)
    assert 0 < len(first.failures) <= 6
    assert {f.stage for f in first.failures} <= {"scan", "mask"}
    assert all("does not exist" in f.sentence or "vanished" in f.sentence for f in first.failures)
    assert first.n_done == 6 - len(first.failures)
    (tmp_path / "unplugged").rename(tmp_path / "data")
    second = run_extraction(cohort, SETTINGS, tmp_path / "run")
    assert (second.failures, second.n_resumed) == ((), first.n_done)


def test_a_run_folder_that_is_gone_is_one_sentence_and_goes_on_when_it_is_back(tmp_path):
    cohort = make_cohort(tmp_path / "data")
    run, away = tmp_path / "run", tmp_path / "unplugged"

    def go(progress: Progress) -> None:
        if progress.done and run.exists():
            run.rename(away)

    with pytest.raises(RunFolderError, match="cannot be written any more: No such file or directory"):
        run_extraction(cohort, SETTINGS, run, progress=go)
    away.rename(run)
    result = run_extraction(cohort, SETTINGS, run)
    assert result.failures == ()
    assert result.n_resumed >= 1
