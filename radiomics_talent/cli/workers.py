"""Options of the commands that a cluster may do the work of, and the workers that they ask for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.extraction.dask_workers import DaskWorkers

SCHEDULER = typer.Option(
    None,
    "--scheduler",
    help="Let the workers of a running Dask scheduler do the work, in place of --jobs.",
    metavar="tcp://HOST:PORT",
)
"""Option ``--scheduler``."""
CLUSTER = typer.Option(
    None,
    "--cluster",
    help="Ask a batch system for workers, in place of --jobs: a preset (slurm, pbs, local) or a file.",
    metavar="NAME|PATH",
)
"""Option ``--cluster``."""


@contextmanager
def cluster_workers(scheduler: str | None, cluster: str | None) -> Iterator[DaskWorkers | None]:
    """Give the workers that the options ask for; None where they ask for none.

    Raises
    ------
    ConfigError
        Both options are given, or a cluster cannot be reached.
    """
    from radiomics_talent.errors import ConfigError

    if scheduler is not None and cluster is not None:
        raise ConfigError("--scheduler and --cluster are both given; take one")
    if scheduler is None and cluster is None:
        yield None
        return
    from radiomics_talent.cluster_settings import ClusterSettings
    from radiomics_talent.extraction.cluster import connected_to, started_from

    asked = connected_to(scheduler) if scheduler is not None else started_from(ClusterSettings.from_yaml(cluster or ""))
    with asked as workers:
        yield workers
