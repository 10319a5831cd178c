"""Agreement of the versions of many lesions: seconds of all features at once, and beside pingouin, feature by feature.

    python benchmarks/agreement_speed.py                                 # seconds
    python benchmarks/agreement_speed.py --lesions 26 --versions 37

Prints a Markdown table: the best of some calls for every feature, the mean of pingouin's ICCs for a few of them, and
how far apart both are.
"""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING

import numpy as np
from feature_engines import on_one_thread
from measuring import measured
from report import print_rows

from radiomics_talent.robustness.agreement import agreement

if TYPE_CHECKING:
    import pandas as pd
    from measuring import Cost
    from numpy.typing import NDArray


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesions", type=int, default=100)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--features", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=20, help="features that pingouin gets")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    on_one_thread()
    rng = np.random.default_rng(2678780)
    values = rng.normal(size=(options.lesions, 1, options.features))
    values = values + 0.5 * rng.normal(size=(options.lesions, options.versions, options.features))
    agreement(values)
    best: Cost | None = None
    for _ in range(options.repeats):
        found, cost = measured(agreement, values)
        best = cost.best(best)
    assert best is not None, "there is a repeat"
    few = values[:, :, : options.sample]
    by_pingouin(few[:, :, :1])
    theirs, their_cost = measured(by_pingouin, few)
    ours = np.array([found.icc_1_1.value, found.icc_2_1.value, found.icc_3_1.value])[:, : options.sample].T
    each = best.wall_s / options.features
    row: dict[str, str | float] = {
        "lesions x versions": f"{options.lesions} x {options.versions}",
        "features": f"{options.features:,}",
        "s": best.wall_s,
        "peak MiB": best.peak_mib,
        "us a feature": 1e6 * each,
        "pingouin ms a feature": 1e3 * their_cost.wall_s / options.sample,
        "ratio": their_cost.wall_s / options.sample / each,
        "largest difference of an ICC": f"{np.abs(ours - theirs).max():.1e}",
    }
    print_rows("Agreement: ICC(1,1), (2,1), (3,1) with limits, CCC, CV", [row])


def by_pingouin(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ICC(1,1), ICC(A,1), ICC(C,1): (feature, kind)."""
    return np.array([_one_by_pingouin(values[:, :, i]) for i in range(values.shape[2])])


def _one_by_pingouin(values: NDArray[np.float64]) -> list[float]:
    import pingouin

    with warnings.catch_warnings():
        # pingouin 0.7 calls DataFrame.dropna in a way that pandas 3.1 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        found: pd.DataFrame = pingouin.intraclass_corr(_long(values), "lesion", "version", "value")
    return list(found["ICC"].iloc[:3])


def _long(values: NDArray[np.float64]) -> pd.DataFrame:
    import pandas as pd

    lesion, version = np.indices(values.shape)
    return pd.DataFrame({"lesion": lesion.ravel(), "version": version.ravel(), "value": values.ravel()})


if __name__ == "__main__":
    main()
