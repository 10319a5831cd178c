"""How does the index's memory grow with an archive? Writes tiny CT files (series of 300), reads them in a process.

python benchmarks/index_memory.py [--files 2000 20000 200000] [--jobs 2] [--before CHECKOUT] [--folder DIR]

`--before` is another checkout of this project, read for comparison. Peak memory is that of the largest process: the
parent's, as soon as it holds more than a worker. Times hold the start of the workers, not of Python.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SLICES = 300
PATIENT, SERIES, INSTANCE, NUMBER, HEIGHT = "P0000000", f"2.25.{10**38}", f"2.25.{2 * 10**38}", "11223344", "-99999.999"
"""Of the template, each as long as what replaces it and found nowhere else in it."""


def template(folder: Path) -> bytes:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from factories import ct_dataset

    ds = ct_dataset(np.zeros((4, 4), dtype=np.uint16), (0, 0, 0), patient=PATIENT)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = INSTANCE
    ds.SeriesInstanceUID = ds.StudyInstanceUID = ds.FrameOfReferenceUID = SERIES
    ds.InstanceNumber, ds.ImagePositionPatient = NUMBER, ["0", "0", HEIGHT]
    ds.save_as(folder / "template", enforce_file_format=True)
    content = (folder / "template").read_bytes()
    (folder / "template").unlink()
    return content


def write_archive(folder: Path, files: int) -> None:
    content = template(folder)
    for series in range(-(-files // SLICES)):
        scan = content.replace(PATIENT.encode(), f"P{series:07d}".encode())
        scan = scan.replace(SERIES.encode(), f"2.25.{10**38 + series + 1}".encode())
        place = folder / f"P{series:07d}" / "CT"
        place.mkdir(parents=True)
        for n in range(min(SLICES, files - series * SLICES)):
            file = scan.replace(INSTANCE.encode(), f"2.25.{2 * 10**38 + series * SLICES + n + 1}".encode())
            file = file.replace(NUMBER.encode(), f"{n + 1:08d}".encode())
            (place / f"IM{n:05d}").write_bytes(file.replace(HEIGHT.encode(), f"{n * 2.5:010.3f}".encode()))


def read_archive(folder: Path, jobs: int) -> None:
    from radiomics_talent.dicom.index import index_dicom

    started = time.perf_counter()
    index = index_dicom(folder, jobs=jobs)
    seconds = time.perf_counter() - started
    print(json.dumps({"files": index.files_read, "series": len(index.series), "seconds": seconds}))


def cost(folder: Path, jobs: int, checkout: Path) -> dict[str, float]:
    from measuring import program_cost

    command = [sys.executable, __file__, "--read", folder, "--jobs", str(jobs)]
    text, spent = program_cost(command, PYTHONPATH=str(checkout))
    return {**json.loads(text.strip().splitlines()[-1]), "cpu": spent.cpu_s, "peak": spent.peak_mib}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--before", type=Path, help="other checkout to compare with")
    parser.add_argument("--folder", type=Path, help="where to write the archives, which are removed afterwards")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read_archive(args.read, args.jobs)
        return
    checkouts = {"now": Path(__file__).resolve().parents[1]}
    if args.before:
        checkouts = {"before": args.before.absolute(), **checkouts}
    smallest: dict[str, dict[str, float]] = {}
    print(
        f"{'':8}{'files':>9}{'series':>8}{'s':>9}{'CPU s':>9}{'peak MiB':>10}{'of smallest':>13}{'bytes/file more':>17}"
    )
    for files in sorted(args.files):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            write_archive(Path(folder), files)
            for name, checkout in checkouts.items():
                spent = cost(Path(folder), args.jobs, checkout)
                first = smallest.setdefault(name, spent)
                more = (spent["peak"] - first["peak"]) * 2**20 / max(spent["files"] - first["files"], 1)
                print(
                    f"{name:8}{spent['files']:9.0f}{spent['series']:8.0f}{spent['seconds']:9.1f}{spent['cpu']:9.1f}"
                    f"{spent['peak']:10.0f}{spent['peak'] / first['peak']:13.2f}{more:17.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
