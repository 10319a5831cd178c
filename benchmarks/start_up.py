"""From the start of a process to its first features, with compiled code on disk and without.

As a program it is such a process: `python benchmarks/start_up.py native` (or `ready`, which compiles all
that any setting needs first, or `pyradiomics`) and the time at which it was started.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    Row = dict[str, Any]


def startup(options: argparse.Namespace) -> Iterator[Row | str]:
    """Start of the process to the 1316 features of a 12 mm lesion in a small image."""
    caches = [str(options.work / f"numba-{n}") for n in range(2)]
    yield {"engine": "native, nothing compiled", **_first_features("native", NUMBA_CACHE_DIR=caches[0])}
    warm = [_first_features("native", NUMBA_CACHE_DIR=caches[0]) for _ in range(5)]
    yield {"engine": "native, compiled code on disk", **min(warm, key=lambda row: row["first features s"])}
    theirs = [_first_features("pyradiomics") for _ in range(3)]
    yield {"engine": "PyRadiomics", **min(theirs, key=lambda row: row["first features s"])}
    started = time.perf_counter()
    both = [_process("ready", NUMBA_CACHE_DIR=caches[1], XDG_CACHE_HOME=caches[1]) for _ in range(2)]
    records = [_record(process) for process in both]
    seconds = time.perf_counter() - started
    same = "the same" if records[0]["features"] == records[1]["features"] else "DIFFERENT"
    yield f"Two processes at once, nothing compiled, all kernels as `extract` does: {seconds:.1f} s, {same} features."


def _process(engine: str, **environment: str) -> subprocess.Popen[str]:
    import os

    arguments = [sys.executable, __file__, engine, repr(time.time())]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ | environment)


def _record(process: subprocess.Popen[str]) -> Row:
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    return json.loads(text)


def _first_features(engine: str, **environment: str) -> Row:
    record = _record(_process(engine, **environment))
    del record["features"]
    return record


def main() -> None:
    engine, started = sys.argv[1], float(sys.argv[2])
    begun = time.time()
    import numpy as np
    import SimpleITK as sitk

    z, y, x = np.ogrid[:24, :40, :40]
    image = sitk.GetImageFromArray((np.sin(x) * np.cos(2 * y) * 50 + z).astype(np.int16))
    mask = sitk.GetImageFromArray((((z - 12) ** 2 + (y - 20) ** 2 + (x - 20) ** 2) < 36).astype(np.uint8))
    from feature_engines import FILTERED, pyradiomics, settings_of

    if engine in {"native", "ready"}:
        from radiomics_talent import extract
        from radiomics_talent.features.engine import make_ready

        imported = time.time()
        if engine == "ready":
            make_ready(settings_of(FILTERED))
        features = dict(extract(image, mask, settings_of(FILTERED)))
    else:
        call = pyradiomics(settings_of(FILTERED))
        imported = time.time()
        features = call(image, mask)
    done = time.time()
    record = {
        "interpreter s": begun - started,
        "imports s": imported - begun,
        "features s": done - imported,
        "first features s": done - started,
        "features": features,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
