"""What the preset ibsi-ct costs a lesion beside talent-ct, both by this program, in one run.

    python benchmarks/ibsi_cost.py                    # a minute

Prints a Markdown table: medians of CPU milliseconds of calls in turns, ITK and BLAS on one thread, of a round lesion in
a CT of 512 x 512 x 120 voxels in memory; and where the time of ibsi-ct goes (shares of its fastest call).
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from feature_engines import on_one_thread
from report import print_rows
from synthetic_scans import synthetic_scan

from radiomics_talent import ExtractionSettings, extract
from radiomics_talent.features.warm_up import warm_up
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Row = dict[str, str | float]

_SLICES = 120
_PARTS = {
    "image %": ("prepare",),
    "shape %": ("shape",),
    "intensities %": ("localintensity", "firstorder", "histogram", "ivh"),
    "matrices %": ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "gldm"),
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diameters", type=float, nargs="+", default=[10, 15, 20, 30, 50, 80, 100], help="mm")
    parser.add_argument("--repeats", type=int, default=7, help="calls of each preset, after one that does not count")
    options = parser.parse_args()
    on_one_thread()
    warm_up()
    print_rows("ibsi-ct beside talent-ct", cost(options.diameters, options.repeats))


def cost(diameters: Sequence[float], repeats: int) -> Iterator[Row]:
    """Yield a row for each diameter in mm."""
    presets = {name: ExtractionSettings.from_yaml(name) for name in ("talent-ct", "ibsi-ct")}
    for diameter in diameters:
        scan = synthetic_scan(_SLICES, (diameter,))
        drawn = sitk.GetArrayFromImage(scan.mask(0)) == 1
        lesion = LesionVoxels.of(drawn, Geometry.of(scan.image))
        assert lesion is not None, "it has just been drawn"
        spent: dict[str, list[float]] = {name: [] for name in presets}
        calls: list[list[float]] = []
        for turn in range(repeats + 1):
            for name, settings in presets.items():
                started = time.process_time()
                features = extract(scan.image, lesion, settings)
                if turn:
                    spent[name].append(1e3 * (time.process_time() - started))
            # Of ibsi-ct, which comes last.
            calls.append([sum(features.timings[stage] for stage in stages) for stages in _PARTS.values()])
        fastest = min(calls, key=sum)
        talent, ibsi = (median(spent[name]) for name in presets)
        yield {
            "lesion": f"{diameter:g} mm",
            "voxels of 1 mm": f"{np.pi / 6 * diameter**3:,.0f}",
            "talent-ct ms": talent,
            "ibsi-ct ms": ibsi,
            "ratio": ibsi / talent,
            **{part: f"{100 * s / sum(fastest):.0f}" for part, s in zip(_PARTS, fastest, strict=True)},
        }


if __name__ == "__main__":
    main()
