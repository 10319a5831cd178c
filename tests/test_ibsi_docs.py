"""docs/ibsi.md shows what the program prints now, and its commands run."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "ibsi.md").read_text(encoding="utf-8")
PROGRAM = Path(sys.executable).with_name("radiomics-talent")
WRITER = runpy.run_path(str(ROOT / "docs" / "write_ibsi.py"))
OURS = re.compile(r"^(?P<name>.+? )(?P<code>[0-9A-Z]{4} )? *(?P<ours>\S+)(?P<rest>( +\S+){2} +(pass|fail|no(t| )\w+))$")


def typed():
    """The command lines of the page."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("radiomics-talent ")]


def run(line: str, folder: Path) -> str:
    command = [PROGRAM, *shlex.split(line)[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def without_ours(table: str) -> list[str]:
    """A table's lines without our values, whose last digit may be another machine's."""
    return [re.sub(" +", " ", OURS.sub(r"\g<name>\g<code>\g<rest>", line)) for line in table.splitlines()]


@pytest.fixture(scope="module")
def printed(shared_data, tmp_path_factory):
    return run(
        f"radiomics-talent ibsi --data {shlex.quote(str(shared_data / 'ibsi'))}", tmp_path_factory.mktemp("ibsi")
    )


def test_the_summary_is_what_the_command_prints(printed):
    _, summary = WRITER["parts_of"](printed)
    assert WRITER["part"](PAGE, "summary") == f"```text\n{summary}\n```", "run `make docs-ibsi`"


def test_the_table_is_what_the_command_prints(printed):
    table, _ = WRITER["parts_of"](printed)
    shown = WRITER["part"](PAGE, "table").removeprefix("```text\n").removesuffix("\n```")
    assert without_ours(shown) == without_ours(table), "run `make docs-ibsi`"


def test_lines_of_the_table_are_compared_without_our_value():
    line = "Volume (mesh-based)               RNU0       555.667        556          4          pass"
    assert without_ours(line) == ["Volume (mesh-based) RNU0 556 4 pass"]


def test_no_value_fails_and_none_is_missing_on_the_page():
    total = next(line for line in WRITER["part"](PAGE, "summary").splitlines() if line.startswith("all "))
    counts = [cell.split("/") for cell in total.split() if "/" in cell]
    assert len(counts) >= 4
    assert all(passed == of for passed, of in counts)


@pytest.mark.parametrize("name", ["summary", "table", "departures", "cost"])
def test_every_part_has_been_measured(name):
    assert len(WRITER["part"](PAGE, name).splitlines()) > 5


def test_a_part_is_written_between_its_markers_alone():
    page = WRITER["with_part"](PAGE, "cost", "| a table |")
    assert WRITER["part"](page, "cost") == "| a table |"
    assert WRITER["with_part"](page, "cost", WRITER["part"](PAGE, "cost")) == PAGE


def test_an_absent_part_is_named():
    with pytest.raises(ValueError, match="has no part cost"):
        WRITER["with_part"]("# A page", "cost", "")


@pytest.mark.slow
def test_the_commands_run(shared_data, tmp_path):
    """In an empty folder but for the phantom, and a cohort of its lesion."""
    (tmp_path / "data_sets").symlink_to(shared_data / "ibsi")
    nifti = shared_data / "ibsi" / "ct_phantom" / "nifti"
    image, mask = (next((nifti / kind).glob("*.nii*")) for kind in ("image", "mask"))
    rows = f"patient_id,lesion_id,image,mask\nP1,L1,{image},{mask}\n"
    (tmp_path / "cohort.csv").write_text(rows, encoding="utf-8")
    lines = typed()
    assert len(lines) >= 6
    for line in lines:
        run(line, tmp_path)
    assert (tmp_path / "run" / "features_dictionary.csv").is_file()
