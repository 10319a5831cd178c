"""Write the measured parts of docs/ibsi.md, between its markers: `make docs-ibsi DATA=FOLDER` (a minute).

Each part is what a program prints: the compliance command, and the two benchmarks of the IBSI chain.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "ibsi.md"
SUMMARY = "summary: passed"
"""How the last part of what the command prints begins."""


def main() -> None:
    """Run the programs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the CT phantom")
    parser.add_argument("--cost", action="store_true", help="measure the cost again, too: best on a quiet machine")
    options = parser.parse_args()
    data = str(options.data.resolve())
    program = str(Path(sys.executable).with_name("radiomics-talent"))
    printed = _printed(program, "ibsi", "--data", data, accepted={0, 1})  # 1: a value fails, which the page then shows
    table, summary = parts_of(printed)
    departures = _printed(sys.executable, str(ROOT / "benchmarks" / "ibsi_departures.py"), "--data", data)
    measured = {"summary": _as_printed(summary), "table": _as_printed(table)}
    measured |= {"departures": departures}
    if options.cost:
        rows = _printed(sys.executable, str(ROOT / "benchmarks" / "ibsi_cost.py"))
        measured["cost"] = rows[rows.index("| lesion") :]
    page = PAGE.read_text(encoding="utf-8")
    for name, text in measured.items():
        page = with_part(page, name, text)
    PAGE.write_text(page, encoding="utf-8")


def parts_of(printed: str) -> tuple[str, str]:
    """Take what `radiomics-talent ibsi` prints apart: tables of features, and the summary; no blanks at lines' ends."""
    lines = [line.rstrip() for line in printed.splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.startswith(SUMMARY))
    return "\n".join(lines[:begin]).strip(), "\n".join(lines[begin:]).strip()


def part(page: str, name: str) -> str:
    """Return what stands between a part's markers."""
    return _between(page, name)[1].strip()


def with_part(page: str, name: str, text: str) -> str:
    """Return the page with another text between a part's markers."""
    before, _, after = _between(page, name)
    return f"{before}{text.strip()}\n{after}"


def _between(page: str, name: str) -> tuple[str, str, str]:
    marks = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    found = re.fullmatch(f"(.*{re.escape(marks[0])}\n)(.*?)({re.escape(marks[1])}.*)", page, re.DOTALL)
    if found is None:
        raise ValueError(f"docs/ibsi.md has no part {name}: {' ... '.join(marks)}")
    return found[1], found[2], found[3]


def _as_printed(text: str) -> str:
    return f"```text\n{text}\n```"


def _printed(*command: str, accepted: Collection[int] = (0,)) -> str:
    """Run a program and return what it prints.

    Raises
    ------
    RuntimeError
        It ends with an exit code that is not accepted.
    """
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # programs of ours
    if run.returncode not in accepted:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr}")
    return run.stdout


if __name__ == "__main__":
    main()
