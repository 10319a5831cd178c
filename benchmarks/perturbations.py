"""What `robustness perturb` costs, and whether two seeds find the same features stable.

    python benchmarks/perturbations.py cost                      # 20 lesions of 10-100 mm, 100 versions, 2 jobs
    python benchmarks/perturbations.py seeds COHORT.CSV          # the combined chain of talent-perturb, two seeds

`cost` makes a CT of 512 x 512 x 300 voxels as DICOM with RTSTRUCT and runs the program as a user would, with talent-ct
(original image, all classes, at 1 mm) and no smallest lesion size, so that every version counts. `seeds` prints how the
two sets of features with an ICC above 0.75 and 0.9 agree.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from measuring import program_cost
from report import print_rows
from scans_on_disk import PROGRAM, written_as_dicom
from synthetic_scans import synthetic_scan

from radiomics_talent.features.warm_up import warm_up
from radiomics_talent.robustness.stability import set_agreement
from radiomics_talent.robustness_settings import PerturbationSettings
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Cost

    Row = dict[str, str | float]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cost", "seeds"))
    parser.add_argument("cohort", type=Path, nargs="?", help="of `seeds`")
    parser.add_argument("--lesions", type=int, default=20)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--config", default="talent-ct")
    parser.add_argument("--work", type=Path, help="folder for what is written; a temporary one otherwise")
    options = parser.parse_args()
    if options.what == "seeds" and options.cohort is None:
        parser.error("seeds needs a cohort table")
    warm_up()
    with tempfile.TemporaryDirectory() as temporary:
        options.work = options.work or Path(temporary)
        options.work.mkdir(parents=True, exist_ok=True)
        rows = cost(options) if options.what == "cost" else seeds(options)
        print_rows(f"robustness perturb: {options.what}", rows)


def cost(options: argparse.Namespace) -> Iterator[Row]:
    """Yield what the run costs, and extract on the same scan."""
    diameters = tuple(float(d) for d in np.geomspace(10, 100, options.lesions).round(1))
    written_as_dicom(synthetic_scan(options.slices, diameters), options.work)
    config = _without_smallest_size(options.config, options.work / "settings.yaml")
    cohort = options.work / "cohort.csv"
    plain = [PROGRAM, "extract", cohort, "--config", config, "--out", options.work / "plain", "-j", "2"]
    extracted = program_cost(plain)[1]
    record, perturbed = _perturb(cohort, config, options.work / "perturbed")
    yield {
        "lesions": record["lesions"],
        "versions": record["versions"],
        "features": record["features"],
        "wall s": perturbed.wall_s,
        "CPU s": perturbed.cpu_s,
        "MiB": perturbed.peak_mib,
        "extract wall s": extracted.wall_s,
        "CPU a version / extract": perturbed.cpu_s / (record["versions"] + 1) / extracted.cpu_s,
    }


def seeds(options: argparse.Namespace) -> Iterator[Row]:
    """Yield how the stable sets of two seeds agree, by threshold."""
    combined = PerturbationSettings().chains["combined"].model_dump(mode="json")
    perturbations = options.work / "combined.yaml"
    perturbations.write_text(yaml.safe_dump({"chains": {"combined": combined}}))
    tables, spent = [], 0.0
    for seed in (1, 2):
        out = options.work / f"seed-{seed}"
        more = ("--perturbations", perturbations, "--seed", str(seed))
        spent += _perturb(options.cohort, options.config, out, *more)[1].wall_s
        tables.append(pd.read_csv(out / "icc.csv"))
    for threshold in (0.75, 0.9):
        found = set_agreement(*tables, threshold)
        stable = [int((table["icc"] >= threshold).sum()) for table in tables]
        yield {
            "ICC at least": threshold,
            "features": len(tables[0]),
            "stable, seed 1": stable[0],
            "stable, seed 2": stable[1],
            "same side %": 100 * found.same_side,
            "overlap (Jaccard) %": 100 * found.jaccard,
            "wall s of both": spent,
        }


def _perturb(cohort: Path, config: str | Path, out: Path, *more: str | Path) -> tuple[dict[str, Any], Cost]:
    command = [PROGRAM, "robustness", "perturb", cohort, "--config", config, "--out", out, "-j", "2", "--json", *more]
    text, spent = program_cost(command)
    return json.loads(text), spent


def _without_smallest_size(config: str, path: Path) -> Path:
    settings = ExtractionSettings.from_yaml(config)
    setting = settings.setting.model_copy(update={"minimumROISize": None})
    record = settings.model_copy(update={"setting": setting}).model_dump(mode="json", exclude_unset=True)
    path.write_text(yaml.safe_dump(record))
    return path


if __name__ == "__main__":
    main()
