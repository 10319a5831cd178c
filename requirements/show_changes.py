"""Say which pins differ between two folders of lock files."""  # noqa: INP001 - a script beside the pins

from __future__ import annotations

import re
import sys
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def changes(before: str, after: str) -> list[str]:
    """Return a line for each package whose pin differs between two lock files, given as text."""
    old, new = dict(_PIN.findall(before)), dict(_PIN.findall(after))
    return [
        f"{name}: {old.get(name, 'new')} -> {new.get(name, 'gone')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def main(before: Path, after: Path) -> None:
    """Print the changes of every lock file."""
    for file in sorted(after.glob("*.txt")):
        old = before / file.name
        lines = changes(old.read_text("utf-8") if old.exists() else "", file.read_text("utf-8"))
        sys.stdout.write(f"{file.name}: {len(lines)} pins changed\n" + "".join(f"  {line}\n" for line in lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
