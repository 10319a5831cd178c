"""How fast is the native engine, and how near? Against PyRadiomics as its users call it, and on the crop, in one run.

    python benchmarks/engines.py                      # everything but --case profile: about 20 minutes
    python benchmarks/engines.py --case lesions       # one part; several may be named

Every case prints a Markdown table, and notes. CPU seconds are those of the process, ITK and BLAS on one thread;
short calls are repeated in turns with long ones and the best of each counts. Memory of a call is what it took beyond
what the process held before. Results are added to a JSON file, and `lesions` draws a figure.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import lesions_in_memory
import other_tools
import report
import scans_on_disk
import start_up
import voxel_maps
from feature_engines import on_one_thread
from measuring import busy_s

_ROOT = Path(__file__).resolve().parents[1]
_BUILD = _ROOT / "build" / "benchmarks"
_CASES = {
    "lesions": lesions_in_memory.lesions,
    "compute": lesions_in_memory.compute,
    "profile": lesions_in_memory.profile,
    "phantom": lesions_in_memory.phantom,
    "sts": scans_on_disk.sts,
    "scan20": scans_on_disk.scan20,
    "unresampled": scans_on_disk.unresampled,
    "memory": scans_on_disk.memory,
    "startup": start_up.startup,
    "maps": voxel_maps.maps,
    "others": other_tools.others,
}


def main() -> None:
    options = _options()
    on_one_thread()
    facts = report.machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    results = {}
    for name in options.case or _CASES:
        started, (ours, everyone) = time.perf_counter(), busy_s()
        with tempfile.TemporaryDirectory(dir=options.scratch) as work:
            options.work = Path(work)
            title = (_CASES[name].__doc__ or name).splitlines()[0]
            rows, notes = report.print_rows(f"{name}: {title}", _CASES[name](options))
        seconds, (ours_then, everyone_then) = time.perf_counter() - started, busy_s()
        others = max(0.0, (everyone_then - everyone) - (ours_then - ours)) / seconds
        print(f"\n({seconds:.0f} s; other programs kept {others:.2f} cores busy)")
        results[name] = {"machine": facts, "other_cores": others, "title": title, "rows": rows, "notes": notes}
        report.write_results(options.out, {name: results[name]})
    if "lesions" in results:
        report.plot_lesions(results["lesions"]["rows"], options.figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--case", action="append", choices=_CASES, help="part to measure; may be repeated (default: all)")
    add("--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder with ibsi/ and sts/")
    add("--out", type=Path, default=_BUILD / "results.json", help="JSON to add the results to")
    add("--figure", type=Path, default=_BUILD / "time-by-volume.svg", help="SVG or PNG: time against volume")
    add("--scratch", type=Path, help="folder for temporary scans (about 3 GB)")
    add("--diameters", type=float, nargs="+", default=[15, 30, 60, 100], help="lesions and profile: mm")
    add("--crop-diameters", type=float, nargs="+", default=[20, 30, 50], help="compute: mm")
    add("--repeats", type=int, default=2, help="calls of PyRadiomics a lesion (native: three times as many)")
    add("--sts-patients", type=int, default=3, help="sts: how many patients PyRadiomics computes too")
    add("--config", help="sts: preset or settings file instead of the 1316 features")
    add("--scan-lesions", type=int, default=20, help="scan20: number of lesions")
    add("--scan-slices", type=int, default=300, help="scan20: slices")
    add("--skip-pyradiomics", action="store_true", help="scan20, unresampled: native alone")
    add("--map-diameter", type=float, default=30, help="maps: lesion in mm")
    add("--map-bin-width", type=float, default=25, help="maps: HU a grey level")
    add("--other-diameters", type=float, nargs="+", default=[15], help="others: lesions in mm")
    add("--other-filters", action="store_true", help="others: MIRP with LoG and wavelet too (minutes)")
    add("--tools-python", type=Path, help="others: interpreter that has MIRP or Nyxus (default: this one)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
