"""radiomics-talent demo from end to end, smaller than the real one."""

import csv
import re
import shlex

import pytest
from typer.testing import CliRunner

from radiomics_talent.cli import app

pytestmark = pytest.mark.slow


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The demo with eight patients instead of twelve."""
    out = tmp_path_factory.mktemp("demo") / "my demo"
    ran = run("demo", "--out", out, "--jobs", "1", "--patients", 8)
    again = run("demo", "--out", out, "--jobs", "1", "--patients", 8)
    return out, ran, again


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everything_named_is_there(result):
    out, ran, _ = result
    assert ran.exit_code == 0, ran.output
    listed = re.findall(r"^  (\S+)  ", ran.stdout[ran.stdout.index("Done in") :], flags=re.MULTILINE)
    assert len(listed) == 17
    assert all((out / name).exists() for name in listed)


def test_every_lesion_has_features(result):
    out, _, _ = result
    lesions = len(rows(out / "truth.csv"))
    table = rows(out / "run" / "features.csv")
    assert len(rows(out / "cohort.csv")) == len(table) == lesions
    assert not rows(out / "run" / "failures.csv")
    assert sum(name.startswith("original_") for name in table[0]) == 93 + 14
    assert len(rows(out / "clinical.csv")) == 8


def test_the_measured_volume_is_the_true_one(result):
    out, _, _ = result
    truth = {(r["patient_id"], r["lesion"].replace(" ", "_")): float(r["volume_ml"]) for r in rows(out / "truth.csv")}
    for row in rows(out / "run" / "features.csv"):
        measured = float(row["original_shape_VoxelVolume"]) / 1000
        assert measured == pytest.approx(truth[row["patient_id"], row["lesion_id"]], rel=0.05)


def test_the_commands_shown_are_commands(result):
    out, ran, _ = result
    shown = [line[2:] for line in ran.stdout.splitlines() if line.startswith("$ radiomics-talent ")]
    names = ["index", "check", "extract", "recist", "train", "report", "report", "index", "score"]
    assert [shlex.split(line)[1] for line in shown] == names
    page = (out / "qc.html").read_bytes()
    for line in shown[:3]:
        assert run(*shlex.split(line)[1:]).exit_code == 0
    # check by hand writes the very same page
    assert (out / "qc.html").read_bytes() == page


def test_recist_finds_the_response_that_was_invented(result):
    out, _, _ = result
    invented = {r["patient_id"]: r for r in rows(out / "clinical.csv")}
    found = rows(out / "response.csv")
    assert len(found) == 8
    for row in found:
        mine = invented[row["patient_id"]]
        names = ("best_overall_response", "pfs_days", "pfs_event")
        assert [row[n] for n in names] == [mine[n] for n in names]


def test_new_patients_are_scored_and_nobody_takes_it_for_real(result):
    out, ran, _ = result
    scores = rows(out / "score" / "scores.csv")
    assert [r["patient_id"] for r in scores] == ["SYN-001", "SYN-002"]
    assert all(r["notice"] == "research use only" for r in scores)
    assert "Research use only" in ran.stdout
    for name in ("model/card.md", "model.html", "score/report.html"):
        assert "invented patients" in (out / name).read_text(encoding="utf-8")
    assert len(list((out / "score" / "dicom").glob("*.SR.dcm"))) == 2


def test_again_recomputes_nothing(result):
    _, ran, again = result
    assert again.exit_code == 0
    assert "from an earlier run" in again.stdout
    assert "from an earlier run" not in ran.stdout


def test_no_name_and_no_birth_date_in_any_output(result):
    out, ran, _ = result
    texts = [p for p in out.rglob("*") if p.is_file() and p.suffix in {".csv", ".json", ".txt", ".html"}]
    assert len(texts) > 6
    for text in [ran.output, *(p.read_text(encoding="utf-8") for p in texts)]:
        assert "SYNTHETIC^" not in text
        assert "19010101" not in text


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    ran = run("demo", "--out", tmp_path)
    assert ran.exit_code == 2
    assert "holds other files" in ran.output
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]
