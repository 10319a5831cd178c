"""Freeze PyRadiomics' values of every real case: ``python tests/reference/write_oracle.py [SOURCE ...]``.

The reference engine computes them: PyRadiomics to the last bit (test_pyradiomics_parity.py), without the time that it
spends on the rest of the scan. May be stopped and started again; what is frozen under the same settings stays.
"""

import argparse
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from oracle_cases import (
    CASES,
    FOLDER,
    SETTINGS,
    Loaded,
    Oracle,
    OracleCase,
    ask_pyradiomics,
    digest,
    read_oracle,
    write_oracle,
)
from threadpoolctl import threadpool_limits

from radiomics_talent import ExtractionSettings, extract
from radiomics_talent.errors import TalentError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
DISTRIBUTIONS = ("pyradiomics", "SimpleITK", "numpy", "scipy", "PyWavelets", "scikit-image", "trimesh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", help="for example sts; every source without")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--again", action="store_true", help="compute what is frozen already, too")
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        for source in arguments.sources or dict.fromkeys(case.source for case in CASES):
            freeze(source, arguments.data, Path(scratch), arguments.out, again=arguments.again)


def freeze(source: str, data: Path, scratch: Path, out: Path, *, again: bool) -> None:
    """Compute what a source lacks, writing its file after each case."""
    old = Oracle() if again else read_oracle(source, out)
    oracle = Oracle(made_by={"command": "python tests/reference/write_oracle.py"})
    oracle.made_by |= {name: version(name) for name in DISTRIBUTIONS}
    for case in (case for case in CASES if case.source == source):
        lacking = [s for s in case.settings if not is_frozen(old, case.name, s)]
        if lacking:
            compute(case, lacking, old, data, scratch)
        for setting in case.settings:
            oracle.settings[setting] = SETTINGS[setting]
            if (case.name, setting) in old.values:
                oracle.values[case.name, setting] = old.values[case.name, setting]
        for of, kept in ((old.warnings, oracle.warnings), (old.refused, oracle.refused)):
            kept[case.name] = {s: said for s, said in of.get(case.name, {}).items() if s in case.settings}
        oracle.voxels[case.name] = old.voxels[case.name]
        if lacking:
            write_oracle(oracle, source, out)
    write_oracle(oracle, source, out)


def is_frozen(oracle: Oracle, case: str, setting: str) -> bool:
    known = (case, setting) in oracle.values or setting in oracle.refused.get(case, {})
    return known and oracle.settings.get(setting) == SETTINGS[setting]


def compute(case: OracleCase, settings: list[str], into: Oracle, data: Path, scratch: Path) -> None:
    """Load one case and add its features under the settings named."""
    loaded = case.load(data, scratch)
    into.voxels[case.name] = digest(loaded)
    refused, warnings = (of.setdefault(case.name, {}) for of in (into.refused, into.warnings))
    for name in settings:
        started = time.process_time()
        for of in (refused, warnings):
            of.pop(name, None)
        into.values.pop((case.name, name), None)
        try:
            into.values[case.name, name], said = values_of(loaded, SETTINGS[name])
        except ValueError as error:
            refused[name] = str(error)
        else:
            if said is not None:
                warnings[name] = said
        into.settings[name] = SETTINGS[name]
        outcome = refused.get(name) or f"{len(into.values[case.name, name])} features"
        seconds = time.process_time() - started
        print(f"{case.source}: {case.name}: {name}: {outcome}, {seconds:.1f} s CPU", flush=True)  # noqa: T201


def values_of(loaded: Loaded, parameters: dict[str, Any]) -> tuple[dict[str, float], list[str] | None]:
    """Return features and warnings; where our entrance refuses a lesion, PyRadiomics has the last word (values alone).

    Raises
    ------
    ValueError
        PyRadiomics refuses the lesion, too.
    """
    image, mask, label = loaded
    settings = ExtractionSettings.model_validate({"engine": "reference"} | parameters)
    try:
        features = extract(image, mask, settings, label=label)
    except TalentError:
        return ask_pyradiomics(loaded, parameters), None
    return dict(features), list(features.warnings)


if __name__ == "__main__":
    main()
