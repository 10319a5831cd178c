"""What the record of a run of versions says about it as a whole."""

from __future__ import annotations

from typing import Any


def lesion_counts(record: dict[str, Any]) -> tuple[int, int]:
    """Return the number of patients and of lesions that have features."""
    made = [r for r in record.get("lesions", ()) if r.get("status") != "failed"]
    return len({r.get("patient_id") for r in made}), len(made)


def run_subtitle(what: str, record: dict[str, Any]) -> str:
    """Return the line below the heading: what it is, of when, by which version."""
    day, program = str(record.get("finished", ""))[:10], record.get("program", {}).get("radiomics-talent", "")
    return f"{what} of {day}, radiomics-talent {program}. Research use only."


def run_pairs(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the provenance of a run, name and value."""
    return [
        ("Command", " ".join(map(str, record.get("command", ())))),
        ("Started", str(record.get("started", ""))),
        ("Finished", str(record.get("finished", ""))),
        ("Seconds", f"{record.get('seconds', 0):.1f}"),
        ("Processes", str(record.get("jobs", ""))),
        ("Time limit a lesion", f"{record['timeout_s']:g} s" if record.get("timeout_s") else "none"),
        ("Engine", str(record.get("program", {}).get("engine", ""))),
        ("Platform", ", ".join(str(v) for v in record.get("platform", {}).values())),
        ("Cohort table", str(record.get("cohort") or "not recorded")),
        ("Settings SHA-256", str(record.get("settings_sha256", ""))),
        *((name, str(version)) for name, version in record.get("versions", {}).items()),
    ]
