"""Where a cluster's workers come from. None of it changes a number: it has no hash and is in no record of results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from radiomics_talent.presets import FrozenSettings, find_preset, read_yaml, validated

if TYPE_CHECKING:
    from pathlib import Path

BatchSystem = Literal["slurm", "pbs", "sge", "lsf", "htcondor", "oar", "local"]


# fmt: off
class ClusterSettings(FrozenSettings):
    """Workers that a batch system is asked for (or this machine), for the time of one command."""

    system: BatchSystem = Field("slurm", description="Batch system; local begins the workers on this machine")
    workers: int = Field(4, ge=1, le=10_000, description="Worker processes in all; each does one scan, or one fold, at a time")
    workers_a_job: int = Field(1, ge=1, le=1024, description="Workers that share one job of the batch system; each is one core of it")
    memory_gib_a_worker: float = Field(4, gt=0, description="Memory to ask for by worker, in GiB: dry runs of extract foretell it")
    walltime: str = Field("04:00:00", pattern=r"^(\d+-)?\d{1,3}:\d{2}(:\d{2})?$", description="Time limit of a job, as hours:minutes:seconds; what is in work at its end is begun again elsewhere")
    queue: str | None = Field(None, description="Queue or partition")
    account: str | None = Field(None, description="Account or project that pays")
    directives: tuple[str, ...] = Field((), description="Further lines of the job's head, without the leading #SBATCH")
    prologue: tuple[str, ...] = Field((), description="Shell lines before the worker begins, such as module load")
    interface: str | None = Field(None, description="Network interface that scheduler and workers speak over, such as ib0")
    local_folder: str | None = Field(None, description="Fast folder of each node for Dask's own files; by default that of the batch system")
    log_folder: str | None = Field(None, description="Folder for what the jobs print; by default the batch system decides")
    wait_minutes: float = Field(30, gt=0, description="How long to wait for the first worker, and for another one when all are gone")

    @model_validator(mode="after")
    def _whole_jobs(self) -> Self:
        if self.workers % self.workers_a_job:
            raise ValueError(f"workers ({self.workers}) is no multiple of workers_a_job ({self.workers_a_job})")
        return self

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a file, or a shipped preset by name.

        Raises
        ------
        ConfigError
            Neither exists, or a key or value is wrong.
        """
        file = find_preset("clusters", path)
        return validated(cls, read_yaml(file), where=str(file))
# fmt: on
