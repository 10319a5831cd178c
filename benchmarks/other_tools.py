"""MIRP and Nyxus on the same lesions, where they can be imported, and which of PyRadiomics' features they lack.

Each runs in a process of its own, by any interpreter that has it (``--tools-python``). `other_tools.csv` says by which
name each gives a feature; their definitions and their image processing are not all PyRadiomics', so values are not
compared. As a program it is such a process: `python benchmarks/other_tools.py mirp IMAGE MASK [filters]`.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    Row = dict[str, Any]

_NAMES = Path(__file__).with_suffix(".csv")
_MIRP = {
    "image_modality": "ct",
    "new_spacing": 1.0,
    "base_discretisation_method": "fixed_bin_size",
    "base_discretisation_bin_width": 25.0,
    "resegmentation_intensity_range": [-2000.0, 4000.0],
}
_MIRP_FILTERS = {
    "filter_kernels": ["laplacian_of_gaussian", "separable_wavelet"],
    "laplacian_of_gaussian_sigma": [1.0, 2.0, 3.0, 4.0, 5.0],
    "separable_wavelet_families": "coif1",
    "separable_wavelet_set": "all",
    "response_map_feature_families": ["statistics", "cm", "rlm", "szm", "ngtdm", "ngldm"],
    "response_map_discretisation_method": "fixed_bin_size",
    "response_map_discretisation_bin_width": 25.0,
}


def others(options: argparse.Namespace) -> Iterator[Row | str]:
    """MIRP and Nyxus on one lesion in a CT of 512 x 512 x 120 voxels, from files; native beside them, in memory."""
    import SimpleITK as sitk
    from feature_engines import FILTERED, settings_of
    from lesions_in_memory import warm_up
    from measuring import measured
    from synthetic_scans import synthetic_scan

    from radiomics_talent import extract

    interpreter = options.tools_python or Path(sys.executable)
    runs = [("mirp", "original"), ("nyxus", "original")]
    runs += [("mirp", "filters")] if options.other_filters else []
    found = {tool for tool in ("mirp", "nyxus") if _can_import(interpreter, tool)}
    for tool in sorted({tool for tool, _ in runs} - found):
        yield f"{tool} cannot be imported by {interpreter}: skipped."
    if not found:
        return
    warm_up()
    for diameter in options.other_diameters:
        scan = synthetic_scan(120, (diameter,))
        image, mask = options.work / "ct.nii", options.work / "lesion.nii"
        sitk.WriteImage(scan.image, str(image))
        sitk.WriteImage(scan.mask(0), str(mask))
        for images in dict.fromkeys(images for tool, images in runs if tool in found):
            record = FILTERED if images == "filters" else {"setting": FILTERED["setting"]}
            _, cost = measured(extract, scan.image, scan.mask(0), settings_of(record))
            for tool in (tool for tool, other in runs if tool in found and other == images):
                theirs = _run(interpreter, tool, image, mask, images)
                yield {
                    "lesion": f"{diameter:g} mm",
                    "tool": f"{tool} {theirs['version']}",
                    "images": "original" if images == "original" else "original, LoG, wavelet",
                    "CPU s": theirs["cpu_s"],
                    "native CPU s": cost.cpu_s,
                    "ratio CPU": theirs["cpu_s"] / cost.cpu_s,
                    "MiB of the process": theirs["peak_mib"],
                    "its features": len(theirs["columns"]),
                    "of PyRadiomics' 107": 107 - len(lacking(tool, theirs["columns"])),
                }
                if images == "original" and diameter == options.other_diameters[0]:
                    yield f"{tool} has none of: {', '.join(lacking(tool, theirs['columns'])) or 'nothing is missing'}."


def lacking(tool: str, columns: list[str]) -> list[str]:
    """Return PyRadiomics' features that a tool's columns do not hold; its names may end in how it computed them."""
    with _NAMES.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = []
    for row in rows:
        name = row[tool]
        endings = ("", "_d1_", "_3d", "_fbs") if tool == "mirp" else ("",)
        if not name or not any(c == name or (e and c.startswith(name + e)) for c in columns for e in endings):
            missing.append(f"{row['feature_class']}_{row['feature']}")
    return missing


def _can_import(interpreter: Path, tool: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({tool!r}) is None)"
    return subprocess.run([interpreter, "-c", code], check=False).returncode == 0


def _run(interpreter: Path, tool: str, image: Path, mask: Path, images: str) -> Row:
    arguments = [interpreter, __file__, tool, image, mask, images]
    text = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return json.loads(text.strip().splitlines()[-1])


def _mirp(image: str, mask: str, *, filters: bool) -> Callable[[], list[str]]:
    from mirp import extract_features

    settings = {**_MIRP, **(_MIRP_FILTERS if filters else {})}

    def call() -> list[str]:
        (table,) = extract_features(image=image, mask=mask, **settings)
        described = ("image_", "sample_name")
        return [name for name in table.columns if not name.startswith(described)]

    return call


def _nyxus(image: str, mask: str) -> Callable[[], list[str]]:
    from nyxus import Nyxus3D

    # Nyxus neither resamples nor bins by width, and has no LoG or wavelet in 3D.
    tool = Nyxus3D(features=["*3D_ALL*"], n_feature_calc_threads=1)

    def call() -> list[str]:
        table = tool.featurize_files(intensity_files=[image], mask_files=[mask], single_roi=True)
        return [name for name in table.columns if name.startswith("3")]

    return call


def main() -> None:
    """Measure imports apart: a tool is imported once, and called for every lesion."""
    import resource
    from importlib.metadata import version

    tool, image, mask, images = sys.argv[1:]
    call = _mirp(image, mask, filters=images == "filters") if tool == "mirp" else _nyxus(image, mask)
    cpu = time.process_time()
    columns = call()
    cpu = time.process_time() - cpu
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps({"version": version(tool), "cpu_s": cpu, "peak_mib": peak_mib, "columns": columns}))


if __name__ == "__main__":
    main()
