"""The dry run: everything but computing, and what the real run would need."""

from __future__ import annotations

import heapq
import tempfile
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from radiomics_talent.extraction.cohort_work import check_arguments, scan_tasks, work_on_cohort
from radiomics_talent.extraction.interrupts import interrupts
from radiomics_talent.extraction.outcome import Failure, Forecast, Outcome
from radiomics_talent.extraction.pool import LocalWorkers
from radiomics_talent.extraction.store import RunFolder
from radiomics_talent.extraction.worker import ScanHash, ScanTask, walk_scan
from radiomics_talent.features import engine
from radiomics_talent.features.engine import MOST_GREY_LEVELS
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.cohort_work import Progress, Worked
    from radiomics_talent.features.engine import Prepared
    from radiomics_talent.settings import ExtractionSettings

FEWEST_GREY_LEVELS, MANY_GREY_LEVELS = 16, 128
"""Outside of these, texture features are coarse or sparse (the range that the PyRadiomics authors advise)."""


@dataclass(frozen=True, slots=True)
class _Costs:
    """What an engine needs.

    Attributes
    ----------
    seconds_an_image, seconds_a_voxel : float
        For the texture and first-order features of each image.
    seconds_a_pair : float
        Of shape, to the 4/3 power of the volume: diameters by comparison of every pair of points of the surface.
    bytes_a_box_voxel, bytes_a_lesion_voxel : float
        Arrays of the lesion's box, and lists of its voxels, that feature classes hold.
    bytes_a_filtered_voxel : dict of str to float
        Of the part that a filter works on, see `filtered_voxels`; the wavelet holds eight images at once.
    bytes_of_other_filters : float
        The same for the image types that are not named.
    """

    seconds_an_image: float
    seconds_a_voxel: float
    seconds_a_pair: float
    bytes_a_box_voxel: float
    bytes_a_lesion_voxel: float
    bytes_a_filtered_voxel: dict[str, float]
    bytes_of_other_filters: float


_COSTS = {
    # Measured with PyRadiomics 3.0.1, one lesion a process, on the sarcoma cohort of the tests (16 thousand to 2
    # million voxels at 1 mm) and the demo: with talent-ct 315 to 631 MiB, with talent-ct-full 345 to 2687 MiB. These
    # constants foretell 0 to 13 % more.
    "reference": _Costs(0.02, 2.2e-6, 1.0e-7, 33.0, 105.0, {"Original": 0.0, "Wavelet": 165.0, "LBP3D": 125.0}, 43.0),
    # Measured on balls of 5 thousand to 2.5 million voxels in a CT of 512 x 512 x 300, at 1 mm and as scanned.
    "native": _Costs(0.004, 2.5e-7, 0.0, 33.0, 8.0, {"Original": 0.0, "Wavelet": 110.0, "LBP3D": 250.0}, 16.0),
    # Measured with ibsi-ct on the same sarcomas, one process: 753 MiB and 22 s; foretold: 824 MiB and 26 s. Most is for
    # Moran's I and Geary's C, by the lesion's box. Box and ellipsoid of smallest volume (OMBB, MVEE), which ibsi-ct
    # leaves out, take up to a second more a lesion.
    "ibsi": _Costs(0.01, 9.0e-7, 0.0, 33.0, 8.0, {}, 90.0),
}
_LEVEL_KEYS = {
    False: ("binWidth", "binCount"),
    True: ("ibsi.discretisation.bin_width", "ibsi.discretisation.bin_count"),
}
_WORKER_MIB = 300.0
_BYTES_A_SCAN_VOXEL = 9.0
_BYTES_A_GLCM_CELL = 13 * 8 * 6.0
_MIB = 2.0**20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    worked : Worked
        Every lesion with an outcome that holds a forecast or a failure, and findings.
    jobs : int
        Worker processes.
    seconds : float
        Estimated wall time.
    peak_mib : float
        Estimated memory of the largest worker.
    """

    worked: Worked
    jobs: int
    seconds: float
    peak_mib: float


@contextmanager
def plan_extraction(
    cohort: CohortTable,
    settings: ExtractionSettings,
    *,
    jobs: int = 1,
    timeout_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    excluded: Sequence[Excluded] | None = None,
) -> Iterator[Plan]:
    """Read every scan and mask, prepare and filter every lesion, and foretell grey levels, memory and time.

    Parameters are those of `run_extraction`; nothing is written.

    Yields
    ------
    Plan
        With a forecast or a failure for every lesion. It can be read in the block alone.
    """
    check_arguments(jobs, timeout_s)
    engine.make_ready(settings)
    with _no_folder() as folder, interrupts() as noted:
        blank = ScanTask((), settings, folder, timeout_s=timeout_s, is_rehearsal=True)
        workers = LocalWorkers(jobs)
        with work_on_cohort(
            cohort, blank, forecast_scan, workers=workers, noted=noted, progress=progress, excluded=excluded
        ) as worked:
            if worked.stopped is not None:
                raise worked.stopped
            noted.release()
            seconds, peak_mib = array("d"), 0.0
            for lesion, outcome in worked.outcomes():
                if outcome.forecast is not None:
                    peak_mib = max(peak_mib, outcome.forecast.peak_mib)
                    seconds.extend([0.0] * (lesion.row + 1 - len(seconds)))
                    seconds[lesion.row] += outcome.forecast.seconds
            seconds.extend([0.0] * (max((lesion.row for lesion in cohort.lesions), default=0) + 1 - len(seconds)))
            tasks = scan_tasks(cohort, blank, jobs)
            busiest = _busiest((sum(seconds[lesion.row] for lesion in task.lesions) for task in tasks), jobs)
            # Reading, preparing and filtering were done just now, on as many processes: that part is measured.
            yield Plan(worked, jobs, worked.seconds + busiest, peak_mib)


def forecast_scan(task: ScanTask) -> tuple[Outcome, ...]:
    """Foretell what the lesions of a scan need."""
    return walk_scan(task, _forecast)


def _forecast(task: ScanTask, case: Case, hashed: ScanHash) -> Outcome:  # noqa: ARG001  # one signature for both walks
    lesion, settings = case.lesion, task.settings
    prepared = engine.prepare(case.image, case.voxels, settings)
    levels = engine.grey_levels(prepared, settings)
    voxels = int((sitk.GetArrayViewFromImage(prepared.mask) != 0).sum())
    outcome = Outcome(lesion.row, 0, lesion.lesion_id)
    width, count = _LEVEL_KEYS[settings.ibsi is not None]
    absurd = {name: n for name, n in levels.items() if n > MOST_GREY_LEVELS}
    if absurd:
        remedy = f"raise {width}, set {count}, or see whether the image is in HU"
        sentence = f"{_listed(absurd)} (at most {MOST_GREY_LEVELS}); {remedy}"
        finding = Finding("too-many-grey-levels", sentence, where=lesion.key)
        failure = Failure(lesion.row, lesion.patient_id, lesion.lesion_id, "features", str(finding))
        return replace(outcome, failure=failure, findings=(finding,))
    odd = {n: v for n, v in levels.items() if not FEWEST_GREY_LEVELS <= v <= MANY_GREY_LEVELS}
    findings: tuple[Finding, ...] = ()
    if odd:
        sentence = f"{_listed(odd)}, outside {FEWEST_GREY_LEVELS} to {MANY_GREY_LEVELS}; change {width} or {count}"
        findings = (Finding("grey-levels", sentence, where=lesion.key),)
    costs = _COSTS[engine.engine_of(settings)]
    memory = _mib(case.image, prepared, voxels, levels, engine.filtered_voxels(prepared, settings), costs)
    forecast = Forecast(voxels, levels, _seconds(voxels, levels, settings, costs), memory)
    return replace(outcome, forecast=forecast, findings=findings)


def _seconds(voxels: int, levels: dict[str, int], settings: ExtractionSettings, costs: _Costs) -> float:
    shape = costs.seconds_a_pair * voxels ** (4 / 3) if "shape" in settings.featureClass else 0.0
    return float(shape + (costs.seconds_an_image + costs.seconds_a_voxel * voxels) * len(levels))


def _mib(
    scan: sitk.Image,
    prepared: Prepared,
    voxels: int,
    levels: dict[str, int],
    filtered: dict[str, int],
    costs: _Costs,
) -> float:
    features = (
        prepared.mask.GetNumberOfPixels() * costs.bytes_a_box_voxel
        + voxels * costs.bytes_a_lesion_voxel
        + max(levels.values(), default=0) ** 2 * _BYTES_A_GLCM_CELL
    )
    known = costs.bytes_a_filtered_voxel
    filters = (n * known.get(name, costs.bytes_of_other_filters) for name, n in filtered.items())
    working = scan.GetNumberOfPixels() * _BYTES_A_SCAN_VOXEL + max(features, *filters)
    return float(_WORKER_MIB + working / _MIB)


def _busiest(scans: Iterable[float], jobs: int) -> float:
    """Return when the last of `jobs` workers ends that take these seconds of work in turn, each when it is free."""
    ends = [0.0] * jobs
    for seconds in scans:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def _listed(levels: dict[str, int]) -> str:
    shown = [f"{name} {n}" for name, n in list(levels.items())[:8]]
    more = f" and {len(levels) - 8} more image types" if len(levels) > 8 else ""
    return f"grey levels: {', '.join(shown)}{more}"


@contextmanager
def _no_folder() -> Iterator[RunFolder]:
    """Give the journal of a dry run a place that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="radiomics-talent-") as name:
        folder = RunFolder(Path(name))
        folder.journal.mkdir()
        yield folder
