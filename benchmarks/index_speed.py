"""How fast is the index? Writes 10,000 CT instances (40 series of 250, 512 x 512 as in a hospital), reads them warm.

python benchmarks/index_speed.py [--jobs 2] [--instances 10000] [--keep DIR]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from radiomics_talent.dicom.index import index_dicom

SLICES = 250


def write_instances(folder: Path, instances: int) -> None:
    """One template a series; only the UIDs, numbers and positions change, so that writing takes no minutes."""
    from factories import ct_dataset, positions_of, uid

    pixels = np.zeros((512, 512), dtype=np.uint16)
    for start in range(0, instances, SLICES):
        count = min(SLICES, instances - start)
        name = f"{start // SLICES:03d}"
        ds = ct_dataset(pixels, (0, 0, 0), patient=f"P{name}", syntax="1.2.840.10008.1.2.1")
        # Half the bulk of a clinical header is private: make pydicom step over it.
        block = ds.private_block(0x0019, "ACME", create=True)
        for element in range(60):
            block.add_new(element, "LO", f"private value {element}")
        # Pixels are holes in the file: the length of 5 GB, on no disk.
        del ds.PixelData
        series = folder / f"P{name}" / "CT"
        series.mkdir(parents=True)
        for i, position in enumerate(positions_of(count)):
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid(name, i)
            ds.InstanceNumber, ds.ImagePositionPatient = i + 1, [float(p) for p in position]
            path = series / f"IM{i:05d}"
            ds.save_as(path, enforce_file_format=True)
            with path.open("ab") as file:
                file.write(b"\xe0\x7f\x10\x00OW\x00\x00" + (512 * 512 * 2).to_bytes(4, "little"))
                file.truncate(file.tell() + 512 * 512 * 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="folder to write to and leave (read again on the next call)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        if not any(folder.glob("P*")):
            print(f"writing {args.instances} instances to {folder} ...", flush=True)
            write_instances(folder, args.instances)
        for jobs in sorted({1, args.jobs}):
            started = time.perf_counter()
            index = index_dicom(folder, jobs=jobs)
            seconds = time.perf_counter() - started
            rate = index.files_read / seconds
            found = f"{index.files_read} instances, {len(index.series)} series"
            print(f"jobs={jobs}: {found}, {seconds:.1f} s, {rate:.0f} instances/s")


if __name__ == "__main__":
    main()
