"""Cases that need no file but the phantom's: image and mask are in memory, PyRadiomics in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from feature_engines import FILTERED, pyradiomics, settings_of
from measuring import Cost, largest_difference, measured
from synthetic_scans import synthetic_scan

from radiomics_talent import extract
from radiomics_talent.features import reference
from radiomics_talent.features.engine import prepare
from radiomics_talent.features.native import compute as native
from radiomics_talent.features.warm_up import warm_up as compile_native

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from radiomics_talent.features.prepared import Prepared

    Row = dict[str, Any]

_SHORT = 3
"""Calls of the native engine to one of PyRadiomics."""


def warm_up() -> None:
    """Compile, or read compiled code from disk; import what is imported late."""
    compile_native()
    scan = synthetic_scan(24, (12.0,))
    for engine in ("native", "reference"):
        extract(scan.image, scan.mask(0), settings_of(FILTERED, engine))


def lesions(options: argparse.Namespace) -> Iterator[Row]:
    """One lesion in a CT of 512 x 512 x 120 voxels in memory."""
    warm_up()
    for diameter in options.diameters:
        scan = synthetic_scan(120, (diameter,))
        yield {"lesion": f"{diameter:g} mm"} | compared(scan.image, scan.mask(0), options.repeats)


def phantom(options: argparse.Namespace) -> Iterator[Row | str]:
    """The IBSI CT phantom (204 x 201 x 60 voxels, 0.98 x 0.98 x 3 mm, one tumour)."""
    folder = options.data / "ibsi" / "ct_phantom"
    images = {p.name: p for p in folder.rglob("*.nii*")}
    if not images:
        yield f"skipped: {folder} is not there"
        return
    warm_up()
    image = sitk.ReadImage(next(p for n, p in images.items() if "mask" not in n))
    mask = sitk.ReadImage(next(p for n, p in images.items() if "mask" in n))
    yield {"lesion": "GTV-1"} | compared(image, mask, options.repeats)


def compared(image: sitk.Image, mask: sitk.Image, repeats: int) -> Row:
    """Measure the three engines in turns on one lesion; the best of each counts."""
    ours, reference_settings = settings_of(FILTERED), settings_of(FILTERED, "reference")
    theirs = pyradiomics(ours)
    best: dict[str, Cost] = {}
    found: dict[str, dict[str, float]] = {}

    def run(name: str, call: Callable[..., Any], *arguments: Any) -> None:
        features, cost = measured(call, image, mask, *arguments)
        best[name], found[name] = cost.best(best.get(name)), dict(features)

    for _ in range(repeats):
        for _ in range(_SHORT):
            run("native", extract, ours)
        run("reference", extract, reference_settings)
        run("PyRadiomics", theirs)
    prepared = prepare(image, mask, ours)
    n_voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(prepared.mask)))
    costs = [best[name] for name in ("PyRadiomics", "reference", "native")]
    return {
        "voxels": n_voxels,
        **{f"{n} CPU s": c.cpu_s for n, c in zip(("PyRadiomics", "reference", "native"), costs, strict=True)},
        "PyRadiomics wall s": costs[0].wall_s,
        "native wall s": costs[2].wall_s,
        "ratio CPU": costs[0].cpu_s / costs[2].cpu_s,
        "ratio wall": costs[0].wall_s / costs[2].wall_s,
        "ratio to reference": costs[1].cpu_s / costs[2].cpu_s,
        **{f"{n} MiB": c.peak_mib for n, c in zip(("PyRadiomics", "reference", "native"), costs, strict=True)},
        "features": len(found["native"]),
        "largest difference": largest_difference(found["native"], found["PyRadiomics"]),
    }


def compute(options: argparse.Namespace) -> Iterator[Row]:
    """Compute alone: PyRadiomics' code and native on the same resampled crop."""
    warm_up()
    for diameter in options.crop_diameters:
        scan = synthetic_scan(120, (diameter,))
        settings = settings_of(FILTERED)
        prepared = prepare(scan.image, scan.mask(0), settings)
        best: dict[str, Cost] = {}
        found: dict[str, dict[str, float]] = {}
        for _ in range(options.repeats):
            for engine, times in (("native", _SHORT), ("reference", 1)):
                for _ in range(times):
                    found[engine], cost = measured(_computed, engine, prepared)
                    best[engine] = cost.best(best.get(engine))
        yield {
            "lesion": f"{diameter:g} mm",
            "PyRadiomics on the crop CPU s": best["reference"].cpu_s,
            "native CPU s": best["native"].cpu_s,
            "ratio CPU": best["reference"].cpu_s / best["native"].cpu_s,
            "features": len(found["native"]),
            "largest difference": largest_difference(found["native"], found["reference"]),
        }


def _computed(engine: str, prepared: Prepared) -> dict[str, float]:
    module = {"native": native, "reference": reference}[engine]
    return module.compute(prepared, settings_of(FILTERED, engine))[0]


def profile(options: argparse.Namespace) -> Iterator[Row]:
    """Where native's time goes: ms a stage, and ns a voxel of the lesion and image."""
    warm_up()
    for diameter in options.diameters:
        scan = synthetic_scan(120, (diameter,))
        mask, settings = scan.mask(0), settings_of(FILTERED)
        runs = [measured(extract, scan.image, mask, settings) for _ in range(2 * _SHORT)]
        features, cost = min(runs, key=lambda run: run[1].cpu_s)
        seconds = dict(features.timings)
        n_voxels = features["original_shape_VoxelVolume"]
        images = {n: s for n, s in seconds.items() if n not in {"prepare", "shape"}}
        yield {
            "lesion": f"{diameter:g} mm",
            "wall ms": 1e3 * cost.wall_s,
            "prepare ms": 1e3 * seconds["prepare"],
            "shape ms": 1e3 * seconds["shape"],
            **{f"{group} ms": 1e3 * sum(s for n, s in images.items() if n.startswith(group)) for group in _GROUPS},
            "ns a voxel and image": 1e9 * sum(images.values()) / (n_voxels * len(images)),
        }


_GROUPS = ("original", "log-sigma", "wavelet")
