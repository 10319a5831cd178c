"""Look up every pinned package among the known vulnerabilities, and never take silence for an all-clear.

pip-audit ends well when a registry answers but knows none of the packages (a mirror without the advisories does): what
it could not look up is counted here.

Exit codes: 0 nothing known, or not audited (said in one line; 1 with --required); 1 a known vulnerability.
"""  # noqa: INP001 - a script beside the pins

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCKS = ("lock.txt", "uv.txt", "build.txt")
SERVICES = ("pypi", "osv")
"""Asked in this order: both hold the advisories of the Python Packaging Authority."""


def look_up(file: Path, service: str) -> list[dict[str, Any]] | None:
    """Return what a service says of each package of a lock file; None when it cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "15", "--vulnerability-service", service, "-r", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - nothing from outside
    try:
        found: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return found


def audit(file: Path) -> tuple[list[str], list[str], int]:
    """Return the known vulnerabilities of a lock file, the packages that no service knew, and how many there are."""
    best: list[dict[str, Any]] | None = None
    for service in SERVICES:
        found = look_up(file, service)
        if found is not None and (best is None or len(_unknown(found)) < len(_unknown(best))):
            best = found
        if best is not None and not _unknown(best):
            break
    if best is None:
        return [], [file.name], 0
    bad = [
        f"{d['name']} {d['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'no version'}"
        for d in best
        for v in d.get("vulns", ())
    ]
    return bad, _unknown(best), len(best)


def _unknown(found: list[dict[str, Any]]) -> list[str]:
    return [d["name"] for d in found if "skip_reason" in d]


def main() -> int:
    """Audit the lock files, and say what was found in a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--required", action="store_true", help="end with exit code 1 when not all could be audited")
    required = parser.parse_args().required
    code = 0
    for name in LOCKS:
        bad, unknown, packages = audit(Path(__file__).with_name(name))
        for line in bad:
            sys.stdout.write(f"VULNERABLE: {line}\n")
        if unknown:
            why = f"{len(unknown)} of {packages} packages are" if packages else "no service could be reached: all are"
            sys.stdout.write(
                f"NOT AUDITED: {name}: {why} unknown to every service; run it where the internet is open\n"
            )
        elif not bad:
            sys.stdout.write(f"{name}: {packages} packages, no known vulnerability\n")
        code |= bool(bad) or (required and bool(unknown))
    return code


if __name__ == "__main__":
    sys.exit(main())
