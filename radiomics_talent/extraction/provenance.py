"""Where numbers come from: hashes of voxels, versions, and the record that is written beside the table."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent import __version__
from radiomics_talent.features.engine import engine_of
from radiomics_talent.imaging.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.cohort_work import Worked
    from radiomics_talent.extraction.outcome import Outcome
    from radiomics_talent.imaging.lesion_voxels import LesionVoxels
    from radiomics_talent.settings import ExtractionSettings

_SHARED = ("SimpleITK", "numpy", "PyWavelets", "scipy", "scikit-image", "trimesh")
NUMBERS_DEPEND_ON = {
    "native": ("numba", *_SHARED),
    "reference": ("pyradiomics", *_SHARED),
    "ibsi": ("numba", "SimpleITK", "numpy", "scipy"),
}
"""Distributions whose version may change a feature, by engine."""
_FORKS = {"pyradiomics": ("pyradiomics-bhklab",)}
"""Distributions that supply the same module where the first cannot be built."""
ALSO_RECORDED = ("pydicom", "highdicom", "pandas", "pyarrow", "joblib")


def versions(settings: ExtractionSettings) -> dict[str, str]:
    """Return the versions that a result depends on; part of the key under which it is kept."""
    engine = engine_of(settings)
    return {"radiomics-talent": __version__, "engine": engine} | {
        n: installed_version(n) for n in NUMBERS_DEPEND_ON[engine]
    }


def image_sha256(image: sitk.Image) -> str:
    """Hash an image's voxels, pixel type and place in space."""
    digest = hashlib.sha256(_grid(Geometry.of(image)))
    digest.update(image.GetPixelIDTypeAsString().encode())
    digest.update(np.ascontiguousarray(sitk.GetArrayViewFromImage(image)).data)
    return digest.hexdigest()


def mask_sha256(lesion: LesionVoxels) -> str:
    """Hash the voxels of a lesion and its grid's place in space."""
    digest = hashlib.sha256(_grid(lesion.geometry))
    digest.update(repr((lesion.box.lower, lesion.box.upper)).encode())
    digest.update(np.packbits(lesion.voxels_zyx).data)
    return digest.hexdigest()


def content_key(image: str, mask: str, label: str, settings_hash: str, versions_used: Mapping[str, str]) -> str:
    """Return the key of a result: everything that it depends on, and neither row, name nor path.

    Parameters
    ----------
    image, mask : str
        From `image_sha256` and `mask_sha256`.
    label : str
        Label of the row: which of the mask file's lesions it is.
    settings_hash : str
        `ExtractionSettings.hash`.
    versions_used : mapping
        From `versions`.
    """
    parts = [image, mask, label, settings_hash, dict(sorted(versions_used.items()))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What concerns the whole run rather than one lesion."""

    started: str
    finished: str
    seconds: float
    jobs: int
    workers: str
    timeout_s: float | None
    command: tuple[str, ...]
    is_complete: bool

    @classmethod
    def of(cls, worked: Worked, timeout_s: float | None, command: Sequence[str]) -> RunFacts:
        """Return the facts of a run whose work has just ended."""
        return cls(
            worked.started,
            now_utc(),
            worked.seconds,
            worked.jobs,
            worked.workers,
            timeout_s,
            tuple(command),
            worked.stopped is None,
        )


def now_utc() -> str:
    """Return the time, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_record(cohort: CohortTable, settings: ExtractionSettings, facts: RunFacts, *, out: Path) -> dict[str, Any]:
    """Return what is recorded of a run as a whole: plain data, without names, and without home directories.

    Parameters
    ----------
    cohort : CohortTable
        The cohort.
    settings : ExtractionSettings
        The settings.
    facts : RunFacts
        Times and arguments.
    out : Path
        The run folder, from which paths are counted.
    """
    return {
        "program": {"radiomics-talent": __version__, "engine": engine_of(settings)},
        "command": [without_home(a) for a in facts.command],
        "started": facts.started,
        "finished": facts.finished,
        "seconds": round(facts.seconds, 3),
        "complete": facts.is_complete,
        "jobs": facts.jobs,
        "workers": facts.workers,
        "timeout_s": facts.timeout_s,
        "versions": versions(settings) | {name: installed_version(name) for name in ALSO_RECORDED},
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
        },
        "cohort": None if cohort.path is None else seen_from(cohort.path, out),
        "cohort_findings": [_finding(f) for f in cohort.findings],
        "settings_sha256": settings.hash,
        "settings": settings.canonical(),
    }


def rejection_records(excluded: Sequence[Excluded]) -> list[dict[str, Any]]:
    """Return who rejected which lesion, when and why: the rows of excluded.csv."""
    return [
        {
            "row": one.lesion.row,
            "patient_id": one.lesion.patient_id,
            "lesion_id": one.lesion.lesion_id,
            "comment": one.verdict.comment,
            "reviewer": one.verdict.reviewer,
            "time_utc": one.verdict.time_utc,
        }
        for one in excluded
        if one.reason == "rejected" and one.verdict is not None
    ]


def seen_from(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`, with forward slashes."""
    return Path(os.path.relpath(path, folder)).as_posix()


def without_home(argument: str) -> str:
    """Return a command argument with absolute paths made relative to the working or the home directory."""
    if not Path(argument).is_absolute():
        return argument
    for folder, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if folder != Path(folder.anchor) and Path(argument).is_relative_to(folder):
            return prefix + Path(argument).relative_to(folder).as_posix()
    return argument


def without_home_folder(sentence: str) -> str:
    """Return a sentence with the home directory, which names the user, written as ``~``."""
    home = Path.home()
    return sentence if home == Path(home.anchor) else sentence.replace(f"{home}{os.sep}", f"~{os.sep}")


def lesion_record(lesion: Lesion, outcome: Outcome, out: Path) -> dict[str, Any]:
    """Return what is recorded of a lesion; `out` is the folder from which paths are counted."""
    record: dict[str, Any] = {
        "row": lesion.row,
        "patient_id": lesion.patient_id,
        "lesion_id": outcome.lesion_id,
        "image": seen_from(lesion.image, out),
        "mask": seen_from(lesion.mask, out),
        "label": lesion.label,
        "findings": [_finding(f) for f in outcome.findings],
    }
    if outcome.kept is not None:
        kept = outcome.kept
        record |= {
            "status": "resumed" if outcome.resumed else "computed",
            "image_sha256": kept.image_sha256,
            "mask_sha256": kept.mask_sha256,
            "key": kept.key,
            "warnings": list(kept.warnings),
            "verification": kept.verification,
            "seconds": {name: round(seconds, 6) for name, seconds in kept.timings.items()},
        }
    if outcome.versions:
        first = outcome.versions[0]
        record |= {
            "status": "resumed" if outcome.resumed else "computed",
            "image_sha256": first.image_sha256,
            "mask_sha256": first.mask_sha256,
            "chains": {
                shard.chain: {"key": shard.key, "seconds": round(shard.seconds, 6), "left_out": shard.left_out}
                for shard in outcome.versions
            },
            "warnings": list(dict.fromkeys(text for shard in outcome.versions for text in shard.warnings)),
        }
    if outcome.failure is not None:
        failure = outcome.failure
        record |= {"status": "failed", "stage": failure.stage, "failure": without_home_folder(failure.sentence)}
    return record


def _finding(finding: Any) -> dict[str, str]:
    return {"code": finding.code, "level": finding.level, "sentence": without_home_folder(str(finding))}


def _grid(geometry: Geometry) -> bytes:
    return repr((geometry.size, geometry.spacing_mm, geometry.origin_mm, geometry.direction)).encode()


def installed_version(name: str) -> str:
    """Return the version of a distribution, or of the fork that stands for it; 'absent' where there is neither."""
    for distribution in (name, *_FORKS.get(name, ())):
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        return version if distribution == name else f"{version} ({distribution})"
    return "absent"


def different_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    """Yield the dotted keys in which two nested mappings differ."""
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from different_keys(a, b, f"{prefix}{name}.")
        elif a != b:
            yield f"{prefix}{name}"
