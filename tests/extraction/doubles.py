"""Work that goes wrong on purpose, importable by workers: the real task around an engine that dies, hangs or raises."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import SimpleITK as sitk

from radiomics_talent.extraction import dask_tasks, worker
from radiomics_talent.extraction.outcome import Outcome
from radiomics_talent.extraction.worker import ScanTask
from radiomics_talent.features import engine

VICTIMS = {"p2/L1": "kill", "p3/L0": "hang", "p3/L2": "raise"}


def _computing(task: ScanTask, case, hashed) -> Outcome:
    """Compute a lesion and leave a trace of it, or go wrong as its name says."""
    with (task.folder.path.parent / "computed.txt").open("a", encoding="utf-8") as trace:
        trace.write(f"{case.lesion.key}\n")
    fate = VICTIMS.get(case.lesion.key)
    if fate == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "hang":
        time.sleep(60)
    if fate == "raise":
        raise ZeroDivisionError("PatientName is never shown")
    return worker._extracted(task, case, hashed)


def work_with_victims(task: ScanTask) -> tuple[Outcome, ...]:
    return worker.walk_scan(task, _computing)


def work_that_dies_reading(task: ScanTask) -> tuple[Outcome, ...]:
    if task.lesions[0].patient_id != "p3":
        return worker.extract_scan(task)

    def crash(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    with mock.patch.object(worker, "inspect_scan", crash):
        return worker.extract_scan(task)


def work_that_counts(task: ScanTask) -> tuple[Outcome, ...]:
    """The real work; every call of the engine leaves a line in computed.txt beside the run folder."""
    real = engine.extract

    def counted(image: sitk.Image, mask: sitk.Image, *args: object, **kwargs: object) -> object:
        with (task.folder.path.parent / "computed.txt").open("a", encoding="utf-8") as trace:
            trace.write("x\n")
        return real(image, mask, *args, **kwargs)

    with mock.patch.object(engine, "extract", counted):
        return worker.extract_scan(task)


def work_slowly(task: ScanTask) -> tuple[Outcome, ...]:
    """The real work, counted, and slow enough to be disturbed."""
    real = worker._extracted

    def slowly(task: ScanTask, case, hashed) -> Outcome:
        with (task.folder.path.parent / "computed.txt").open("a", encoding="utf-8") as trace:
            trace.write(f"{case.lesion.key}\n")
        time.sleep(0.2)
        return real(task, case, hashed)

    return worker.walk_scan(task, slowly)


def killed_at_first(trace: Path) -> str:
    """Kill the own process unless an earlier try has left a trace."""
    if not trace.exists():
        if trace.parent.exists():
            trace.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def scan_out_of_sight(work: object, task: ScanTask) -> tuple[Outcome, ...]:
    """What a worker does on a machine that has no such folder."""
    away = replace(task, folder=replace(task.folder, path=Path("/mnt/elsewhere")))
    with mock.patch.object(dask_tasks, "_SEEN_WITHIN_S", 0.1):
        return dask_tasks.do_scan(work, away)


def work_on_a_full_disk(task: ScanTask) -> tuple[Outcome, ...]:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    if task.lesions[0].patient_id != "p1":
        return worker.extract_scan(task)
    with mock.patch("radiomics_talent.extraction.store.replacing", full):
        return worker.extract_scan(task)


def work_in_c_for_ever(task: ScanTask) -> tuple[Outcome, ...]:
    """Hold the interpreter's lock in C code, as a filter does: no thread of this process runs any more."""
    with (task.folder.path.parent / "computed.txt").open("a", encoding="utf-8") as trace:
        trace.write(f"{os.getpid()}\n")
    sum(range(10**15))
    return ()


def work_that_naps(task: ScanTask) -> tuple[Outcome, ...]:
    time.sleep(1)
    return worker.extract_scan(task)


def work_interrupted(task: ScanTask) -> tuple[Outcome, ...]:
    if task.lesions[0].patient_id == "p1":
        raise KeyboardInterrupt
    return worker.extract_scan(task)


def computed(out: Path) -> list[str]:
    trace = out.parent / "computed.txt"
    return trace.read_text(encoding="utf-8").split() if trace.exists() else []
