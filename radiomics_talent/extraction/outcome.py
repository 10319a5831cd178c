"""What comes out of the work on one lesion: what crosses the process border, and nothing larger."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.findings import Finding

Stage = Literal["scan", "mask", "features", "version", "verify", "worker", "review", "not-run"]
"""Where a lesion failed: reading scan or mask, computing, making one version of it, comparing the engines, its worker
process, for want of a review, never begun."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A lesion without features.

    Attributes
    ----------
    row : int
        Row of the cohort table.
    stage : str
        Where it failed.
    sentence : str
        What happened and what to do, in one sentence.
    """

    row: int
    patient_id: str
    lesion_id: str
    stage: Stage
    sentence: str

    @property
    def key(self) -> str:
        """The lesion's name, unique in a cohort."""
        return f"{self.patient_id}/{self.lesion_id}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is told of a result that the run folder keeps; the values stay there until a table is written.

    It knows no row, name or path: any row with the same content has the same result.

    Attributes
    ----------
    key : str
        Hash of everything that the result depends on; its name in the run folder.
    image_sha256, mask_sha256 : str
        Hashes of the voxels.
    run_id : str
        The run that computed it.
    warnings : tuple of str
        What the engine remarked.
    """

    key: str
    image_sha256: str
    mask_sha256: str
    run_id: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptFeatures(Kept):
    """What is told of the features of a lesion.

    Attributes
    ----------
    columns : str
        Hash of the features' names: results with the same one have the same columns.
    timings : dict of str to float
        Seconds by stage.
    verification : dict or None
        Largest relative difference to the other engine and its feature, where that was asked for.
    """

    columns: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    verification: dict[str, float | str] | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """The features of one lesion as they are kept in the run folder."""

    key: str
    image_sha256: str
    mask_sha256: str
    run_id: str
    values: dict[str, float]
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    verification: dict[str, float | str] | None = None

    @property
    def kept(self) -> KeptFeatures:
        """What crosses the process border."""
        return KeptFeatures(
            self.key,
            self.image_sha256,
            self.mask_sha256,
            self.run_id,
            self.warnings,
            hashlib.sha256("\n".join(self.values).encode()).hexdigest()[:32],
            self.timings,
            self.verification,
        )


@dataclass(frozen=True, slots=True)
class KeptVersions(Kept):
    """What is told of several versions of one lesion.

    Attributes
    ----------
    chain : str
        What the versions have in common.
    left_out : dict of str to str
        Number of a version that could not be made to the sentence that says why.
    seconds : float
        What the versions took.
    """

    chain: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class VersionShard:
    """Features of several versions of one lesion, as they are kept in the run folder.

    Attributes
    ----------
    key, image_sha256, mask_sha256, run_id, warnings
        As `Kept` has them; of the lesion as it is.
    chain, left_out, seconds
        As `KeptVersions` has them.
    features : tuple of str
        Names.
    values : ndarray of float64
        (version, feature): NaN in a version that could not be made.
    """

    key: str
    image_sha256: str
    mask_sha256: str
    run_id: str
    chain: str
    features: tuple[str, ...]
    values: NDArray[np.float64]
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # As JSON gives them back; the same text is one object, or each chain would bring its names to the parent.
        object.__setattr__(self, "features", tuple(map(sys.intern, self.features)))
        values = np.asarray(self.values, dtype=np.float64).reshape(-1, len(self.features))
        object.__setattr__(self, "values", values)

    @property
    def kept(self) -> KeptVersions:
        """What crosses the process border."""
        return KeptVersions(
            self.key,
            self.image_sha256,
            self.mask_sha256,
            self.run_id,
            self.warnings,
            self.chain,
            self.left_out,
            self.seconds,
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a dry run foretells for one lesion.

    Attributes
    ----------
    voxels : int
        Voxels of the lesion on the grid that features are computed on.
    grey_levels : dict of str to int
        Image type to number of grey levels.
    seconds, peak_mib : float
        Estimated time, and memory of its worker.
    """

    voxels: int
    grey_levels: dict[str, int]
    seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker gives back for one lesion: a result or a failure, never both.

    Attributes
    ----------
    row : int
        Row of the cohort table.
    part : int
        0, or the number of the part when the settings split lesions.
    lesion_id : str
        The row's, with ``.<part>`` when split.
    kept : KeptFeatures or None
        The result.
    failure : Failure or None
        The failure.
    resumed : bool
        Whether the result was there before this run.
    findings : tuple of Finding
        What was found about scan, mask and lesion.
    forecast : Forecast or None
        What a dry run gives instead of a result.
    versions : tuple of KeptVersions
        What a run that makes versions of lesions gives instead of a result, chain by chain.
    peak_mib : float
        Largest memory that the worker process has held so far.
    log : tuple of str
        Lines for log.txt: what libraries logged or warned of, tracebacks.
    """

    row: int
    part: int
    lesion_id: str
    kept: KeptFeatures | None = None
    failure: Failure | None = None
    resumed: bool = False
    findings: tuple[Finding, ...] = ()
    forecast: Forecast | None = None
    versions: tuple[KeptVersions, ...] = ()
    peak_mib: float = 0.0
    log: tuple[str, ...] = ()
