"""Reaching a Dask cluster: one that runs already, or one that a batch system is asked for."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.dask_workers import DaskWorkers
from radiomics_talent.extraction.workers import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.cluster_settings import ClusterSettings

_CLUSTERS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
}
_ADDRESS = re.compile(r"(tcp|tls|ucx|ucxx)://.+:\d+")
_CONNECT_S = 10
_WORKER_WAIT_S = 120.0
_SILENT = {
    # Its own words about lost workers would break the progress bar; what matters is said by whoever waits for them.
    "logging": {"distributed": "critical", "distributed.client": "critical"},
    # The work of a task is done in a process of its own, which the processes of a worker may not begin by default.
    "distributed.worker.daemon": False,
}


@contextmanager
def connected_to(address: str) -> Iterator[DaskWorkers]:
    """Use the workers of a Dask scheduler that runs already.

    Parameters
    ----------
    address : str
        Such as ``tcp://node7:8786``.

    Raises
    ------
    ConfigError
        Dask is not installed, or no scheduler answers there.
    """
    where = f"--scheduler {address}"
    if not _ADDRESS.fullmatch(address):
        raise ConfigError("is no address of a Dask scheduler; give it as tcp://host:8786", where=where)
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(
            "no Dask scheduler answers there; begin one with `dask scheduler`, or correct the address "
            "(tcp://host:8786)",
            where=where,
        ) from error
    with client:
        yield DaskWorkers(client, _WORKER_WAIT_S)


@contextmanager
def started_from(settings: ClusterSettings) -> Iterator[DaskWorkers]:
    """Ask for workers, and give them back when the block has ended.

    Raises
    ------
    ConfigError
        Dask or dask-jobqueue is not installed.
    ClusterError
        The batch system cannot be asked.
    """
    distributed = _distributed()
    try:
        cluster = _cluster(settings, distributed)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(f"{settings.system} cannot be asked for workers: {error}") from error
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield DaskWorkers(client, settings.wait_minutes * 60)


def _cluster(settings: ClusterSettings, distributed: Any) -> Any:
    if settings.system == "local":
        return distributed.LocalCluster(
            n_workers=settings.workers,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            protocol="tcp://",
            local_directory=settings.local_folder,
        )
    dask_jobqueue = _jobqueue()
    per_job = settings.workers_a_job
    cluster = getattr(dask_jobqueue, _CLUSTERS[settings.system])(
        cores=per_job,
        processes=per_job,
        memory=f"{settings.memory_gib_a_worker * per_job:g} GiB",
        walltime=settings.walltime,
        queue=settings.queue,
        account=settings.account,
        job_extra_directives=list(settings.directives),
        # Dask would end a worker by the memory of its own process; the batch system sees all of them.
        worker_extra_args=["--memory-limit", "0"],
        job_script_prologue=["export DASK_DISTRIBUTED__WORKER__DAEMON=False", *settings.prologue],
        interface=settings.interface,
        local_directory=settings.local_folder,
        log_directory=settings.log_folder,
        scheduler_options={"dashboard_address": None},
    )
    jobs = settings.workers // per_job
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs, interval="5s")  # a job that ends is asked for again
    return cluster


def _jobqueue() -> Any:
    # As it is imported it makes Ctrl-C (and SIGTERM) leave without a word, and with exit code 0.
    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        import dask_jobqueue  # noqa: PLC0415  # an extra, asked for by name
    except ImportError as error:
        raise _not_installed() from error
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    return dask_jobqueue


def _distributed() -> Any:
    try:
        import dask  # noqa: PLC0415  # an extra; and half a second for whoever does not want it

        dask.config.set(_SILENT)
        import distributed  # noqa: PLC0415  # it reads the configuration as it is imported
    except ImportError as error:
        raise _not_installed() from error
    return distributed


def _not_installed() -> ConfigError:
    return ConfigError("Dask is not installed; pip install 'radiomics-talent[cluster]'")
