"""`robustness perturb`: versions of every lesion of a cohort, their agreement, and the table that ``train`` reads."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from radiomics_talent.extraction.store import write_rows
from radiomics_talent.robustness.draws import Version, draw_versions
from radiomics_talent.robustness.perturb import Perturbations, check_settings
from radiomics_talent.robustness.version_run import versions_of_cohort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.cohort_work import Progress
    from radiomics_talent.extraction.workers import Workers
    from radiomics_talent.robustness.version_run import VersionRun
    from radiomics_talent.robustness_settings import PerturbationSettings
    from radiomics_talent.settings import ExtractionSettings

_SPELT = {"number": ["version"], "translation_voxels": [f"translation_{axis}_voxels" for axis in "xyz"]}
_STRENGTHS = [column for field in fields(Version) for column in _SPELT.get(field.name, [field.name])]
"""Columns of perturbations.csv."""


@dataclass(frozen=True, slots=True, eq=False)
class PerturbationResult:
    """What `run_perturbations` made.

    Attributes
    ----------
    run : VersionRun
        The features of every version, and what failed.
    settings : PerturbationSettings
        Which versions, and what counts as stable.
    stability : DataFrame
        Every statistic by chain and feature: `radiomics_talent.robustness.stability.stability`.
    icc : DataFrame
        One row a feature, by the chain and the statistic that decide.
    shares : DataFrame
        How many features are stable by that, by image type and feature class.
    """

    run: VersionRun
    settings: PerturbationSettings
    stability: pd.DataFrame
    icc: pd.DataFrame
    shares: pd.DataFrame

    @property
    def n_versions(self) -> int:
        """Perturbed versions of each lesion."""
        return sum(chain.versions for chain in self.settings.chains.values())


def run_perturbations(  # noqa: PLR0913  # arguments beside the settings are keywords
    cohort: CohortTable,
    settings: ExtractionSettings,
    perturbations: PerturbationSettings,
    out: Path,
    *,
    jobs: int = 1,
    workers: Workers | None = None,
    timeout_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    command: Sequence[str] = (),
    excluded: Sequence[Excluded] | None = None,
) -> PerturbationResult:
    """Perturb every lesion of a cohort and measure which features stay what they are.

    Parameters
    ----------
    cohort, settings, out, jobs, workers, timeout_s, progress, command, excluded
        As `radiomics_talent.extraction.run.run_extraction` has them; the time limit is for all versions of a lesion.
    perturbations : PerturbationSettings
        Which versions, and what counts as stable. What counts may be changed without making the versions again.

    Returns
    -------
    PerturbationResult
        All of it is also in the folder.

    Raises
    ------
    ConfigError
        The settings normalise scans, or the folder or an argument cannot be used; nothing was changed.
    RunFolderError
        The folder could not be written any more; repeat the call to go on.
    KeyboardInterrupt
        After a clean end: what was complete is in the table of versions.
    """
    check_settings(settings)
    decides = perturbations.stability
    with versions_of_cohort(
        *(cohort, settings, Perturbations(perturbations), out),
        jobs=jobs, workers=workers, timeout_s=timeout_s, progress=progress, command=command, excluded=excluded,
    ) as (folder, run):  # fmt: skip
        from radiomics_talent.modelling.record import write_frame  # noqa: PLC0415  # pandas: wanted at the end
        from radiomics_talent.robustness.stability import icc_table, stability, stable_shares  # noqa: PLC0415

        by_chain = stability(run.table)
        icc = icc_table(by_chain, decides.chain, decides.statistic)
        shares = stable_shares(by_chain, decides.chain, decides.statistic, decides.good, decides.excellent)
        versions = [v for chain in perturbations.chains for v in draw_versions(perturbations, chain)]
        write_rows(folder.path / "perturbations.csv", _STRENGTHS, [_cells(version) for version in versions])
        write_frame(folder.path / "stability.csv", by_chain)
        write_frame(folder.path / "icc.csv", icc)
        return PerturbationResult(run, perturbations, by_chain, icc, shares)


def _cells(version: Version) -> list[object]:
    """Return a version as a row of perturbations.csv: a shift along each axis by itself."""
    cells: list[object] = []
    for name in (field.name for field in fields(Version)):
        value = getattr(version, name)
        cells += value if isinstance(value, tuple) else [value]
    return cells
