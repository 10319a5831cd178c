"""`robustness perturb`: versions of every lesion of a cohort, their agreement, and the table that ``train`` reads."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from radiomics_talent.extraction.store import write_rows
from radiomics_talent.robustness.draws import Version, draw_versions
from radiomics_talent.robustness.perturb import Perturbations, check_settings
from radiomics_talent.robustness.version_run import run_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.extraction.cohort_work import Progress
    from radiomics_talent.extraction.store import RunFolder
    from radiomics_talent.robustness.version_run import VersionRun
    from radiomics_talent.robustness.versions import VersionTable
    from radiomics_talent.robustness_settings import PerturbationSettings
    from radiomics_talent.settings import ExtractionSettings


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


def run_perturbations(
    cohort: CohortTable,
    settings: ExtractionSettings,
    perturbations: PerturbationSettings,
    out: Path,
    *,
    jobs: int = 1,
    timeout_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    command: Sequence[str] = (),
) -> PerturbationResult:
    """Perturb every lesion of a cohort and measure which features stay what they are.

    Parameters
    ----------
    cohort, settings, out, jobs, timeout_s, progress, command
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
    found: list[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]] = []

    def finish(folder: RunFolder, table: VersionTable) -> None:
        from radiomics_talent.modelling.record import write_frame  # noqa: PLC0415  # pandas
        from radiomics_talent.robustness.stability import (  # noqa: PLC0415  # SciPy's statistics: wanted at the end
            icc_table,
            stability,
            stable_shares,
        )

        decides = perturbations.stability
        by_chain = stability(table)
        icc = icc_table(by_chain, decides.chain, decides.statistic)
        shares = stable_shares(by_chain, decides.chain, decides.statistic, decides.good, decides.excellent)
        found.append((by_chain, icc, shares))
        names = [field.name for field in fields(Version)]
        rows = [v for chain in perturbations.chains for v in draw_versions(perturbations, chain)]
        write_rows(folder.path / "perturbations.csv", names, [[getattr(v, name) for name in names] for v in rows])
        write_frame(folder.path / "stability.csv", by_chain)
        write_frame(folder.path / "icc.csv", icc)

    plan = Perturbations(perturbations)
    run = run_versions(
        cohort, settings, plan, out, jobs=jobs, timeout_s=timeout_s, progress=progress, command=command, finish=finish
    )
    return PerturbationResult(run, perturbations, *found[0])
