"""Settings of perturbations and of negative controls: everything that changes their numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from radiomics_talent.errors import ConfigError
from radiomics_talent.presets import FrozenSettings, find_preset, read_yaml, settings_sha256, validated

if TYPE_CHECKING:
    from pathlib import Path

Step = Literal["volume", "contour", "noise", "hu_shift", "slice_thickness", "rotation", "translation", "bin_width"]
"""One thing that may be otherwise, in the order in which a chain applies them: the reader's contour, the scanner, the
patient's position, the analysis."""
STEPS: tuple[Step, ...] = Step.__args__  # type: ignore[attr-defined]
Statistic = Literal["icc_1_1", "icc_2_1", "icc_3_1", "icc_1_1_lower", "icc_2_1_lower", "icc_3_1_lower", "ccc"]
Control = Literal[
    "roi_shuffled", "roi_sampled", "roi_noise", "surroundings_shuffled", "surroundings_sampled", "surroundings_noise"
]
CONTROLS: tuple[Control, ...] = Control.__args__  # type: ignore[attr-defined]
MOST_VERSIONS = 1000
P = TypeVar("P", bound="_HashedSettings")
NonNegative = Annotated[int | float, Field(ge=0)]


# fmt: off
class StrengthSettings(FrozenSettings):
    """How far a version goes from the scan as it is. 0 leaves a step without effect, to the last bit."""

    rotation_deg: float = Field(10, ge=0, le=45, description="Turn about the axis across the slices: uniform between minus and plus this many degrees")
    translation_voxels: float = Field(0.5, ge=0, le=2, description="Shift along each axis of the scan: uniform between minus and plus this many voxels of the scan")
    noise: float = Field(1, ge=0, le=10, description="Added white noise: its standard deviation is this many times the scan's own, estimated from the scan")
    volume_change: float = Field(0.2, ge=0, lt=1, description="Growth or shrinkage: uniform between minus and plus this share of the volume, by whole voxels in the order of their distance from the contour")
    contour_supervoxel_mm3: NonNegative = Field(250, description="Contour randomisation: volume of the supervoxels of which those at the contour are taken or left by chance")
    hu_shift_hu: NonNegative = Field(10, description="Calibration: uniform between minus and plus this many HU, added to every voxel")
    slice_thickness_mm: NonNegative = Field(5, description="Thicker slices, by averaging: uniform between the scan's own slice distance and this; scans whose slices are as thick already stay as they are")
    bin_width_change: float = Field(0.2, ge=0, lt=1, description="Width of a grey level: uniform between minus and plus this share of it (with a fixed number of grey levels: that number, the other way)")


class ChainSettings(FrozenSettings):
    """Steps that are applied one after another to make a version, and how many versions."""

    steps: tuple[Step, ...] = Field(min_length=1, description="Which steps; they are applied in a fixed order, whatever theirs here")
    versions: int = Field(10, ge=2, le=MOST_VERSIONS, description="Perturbed versions of each lesion; the scan as it is comes on top")

    @field_validator("steps")
    @classmethod
    def _in_their_order(cls, value: tuple[Step, ...]) -> tuple[Step, ...]:
        # However they are written, they are applied in one order: the same chain has one hash.
        return tuple(step for step in STEPS if step in value)


class StabilitySettings(FrozenSettings):
    """What icc.csv holds, and which features count as stable."""

    chain: str = Field("combined", description="Chain that decides")
    statistic: Statistic = Field("icc_1_1", description="What the column icc of icc.csv holds, which train compares with its preprocess.min_icc")
    good: float = Field(0.75, gt=0, lt=1, description="From here on agreement is called good (Koo and Li 2016)")
    excellent: float = Field(0.9, gt=0, lt=1, description="From here on agreement is called excellent (Koo and Li 2016)")

    # fmt: on

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.good >= self.excellent:
            raise ValueError(f"good ({self.good:g}) is less than excellent ({self.excellent:g})")
        return self


def _alone() -> dict[str, ChainSettings]:
    together: tuple[Step, ...] = ("volume", "contour", "noise", "rotation", "translation")
    alone: dict[str, ChainSettings] = {step: ChainSettings(steps=(step,), versions=8) for step in STEPS}
    return {"combined": ChainSettings(steps=together, versions=36), **alone}


class _HashedSettings(FrozenSettings):
    PRESETS: ClassVar[str] = "robustness"

    @property
    def hash(self) -> str:
        """SHA-256 of the settings in canonical JSON."""
        return settings_sha256(self.canonical())

    def canonical(self) -> dict[str, Any]:
        """Return the settings as plain JSON data."""
        plain: dict[str, Any] = json.loads(self.model_dump_json())
        return plain

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a preset by name, or a YAML file by path.

        Raises
        ------
        ConfigError
            The file is absent, is not YAML, or holds an unknown key or a value out of range.
        """
        return validated(cls, read_yaml(find_preset(cls.PRESETS, path)), where=str(path))


# fmt: off
class PerturbationSettings(_HashedSettings):
    """Which perturbed versions of each lesion are made, and what their agreement decides."""

    seed: int = Field(2678780, ge=0, description="Of everything that is drawn; another seed gives other versions")
    strengths: StrengthSettings = Field(default_factory=StrengthSettings, description="How far each step goes")
    chains: dict[str, ChainSettings] = Field(default_factory=_alone, min_length=1, description="Chains of steps by name")
    stability: StabilitySettings = Field(default_factory=StabilitySettings, description="What counts as stable")

    # fmt: on

    def canonical_versions(self) -> dict[str, Any]:
        """Return what changes a version as plain JSON data: what counts as stable may change without a new run."""
        return {name: part for name, part in self.canonical().items() if name != "stability"}

    @model_validator(mode="after")
    def _decides_by_a_chain(self) -> Self:
        if "original" in self.chains:
            raise ValueError("original names the lesion as it is in every table: give the chain another name")
        if self.stability.chain not in self.chains:
            raise ValueError(f"stability.chain {self.stability.chain!r} is none of the chains ({', '.join(self.chains)})")
        return self


def with_seed(settings: P, seed: int | None) -> P:
    """Return the settings with another seed; with None as they are."""
    return settings if seed is None else settings.model_copy(update={"seed": seed})


def with_versions(settings: PerturbationSettings, versions: int | None) -> PerturbationSettings:
    """Return the settings with another number of versions of the chain that decides; with None as they are.

    Raises
    ------
    ConfigError
        The number is out of range.
    """
    if versions is None:
        return settings
    if not 2 <= versions <= MOST_VERSIONS:
        raise ConfigError(
            f"--versions {versions}: agreement needs at least 2 perturbed versions of each lesion, and {MOST_VERSIONS} "
            "are the most"
        )
    name = settings.stability.chain
    chain = settings.chains[name].model_copy(update={"versions": versions})
    return settings.model_copy(update={"chains": {**settings.chains, name: chain}})


# fmt: off
class ControlSettings(_HashedSettings):
    """Which negative controls are made of each lesion."""

    PRESETS: ClassVar[str] = "controls"

    seed: int = Field(2678780, ge=0, description="Of everything that is drawn")
    controls: tuple[Control, ...] = Field(CONTROLS, min_length=1, description="Which controls")
    surroundings_mm: float = Field(20, gt=0, le=100, description="Tissue up to this far from the lesion counts as its surroundings")

    # fmt: on
