"""What each version is: the strengths of its steps, drawn once for a whole cohort, and its own random numbers.

Version k of a chain has the same strengths for every lesion, as a second reader or another scanner would: only then do
ICC(2,1) and ICC(3,1) mean something. What is random within a lesion (its noise, its contour) is drawn from a generator
of its own, so that no result depends on the order of lesions or on the number of jobs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from radiomics_talent.robustness_settings import PerturbationSettings, Step, StrengthSettings

_DRAWN: tuple[str, ...] = (
    "rotation", "translation_x", "translation_y", "translation_z", "volume", "hu_shift", "slice_thickness",
    "slice_phase", "bin_width",
)  # fmt: skip
"""Every step has its dimensions in every chain, so that adding a step leaves the draws of the others as they are."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of every lesion; zeros leave it as it is.

    Attributes
    ----------
    chain : str
        Name of the chain.
    number : int
        From 1 on.
    rotation_deg : float
        About the axis across the slices.
    translation_voxels : tuple of float
        Along x, y and z of the scan.
    noise : float
        Standard deviation of the added noise, in those of the scan's own noise.
    volume_change : float
        Share of the volume.
    contour_supervoxel_mm3 : float
        Volume of the supervoxels that redraw the contour; 0 leaves it.
    hu_shift_hu : float
        Added to every voxel.
    slice_thickness_mm, slice_share, slice_phase : float
        Thickest slices, how far this version goes there from the scan's own (0 to 1), and where in the first slice it
        begins (share of a slice).
    bin_width_change : float
        Share of the width.
    """

    chain: str
    number: int
    rotation_deg: float = 0.0
    translation_voxels: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    volume_change: float = 0.0
    contour_supervoxel_mm3: float = 0.0
    hu_shift_hu: float = 0.0
    slice_thickness_mm: float = 0.0
    slice_share: float = 0.0
    slice_phase: float = 0.0
    bin_width_change: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether the patient lies otherwise."""
        return self.rotation_deg != 0 or any(self.translation_voxels)


def draw_versions(settings: PerturbationSettings, chain: str) -> tuple[Version, ...]:
    """Draw the versions of a chain.

    Parameters
    ----------
    settings : PerturbationSettings
        Seed, strengths and chains.
    chain : str
        Its name.

    Returns
    -------
    tuple of Version
        Strengths by Latin hypercube (McKay et al., Technometrics 1979;21:239): of n versions one falls into each n-th
        of the range of each step, so that two seeds differ as little as they can.
    """
    n = settings.chains[chain].versions
    rng = np.random.default_rng([settings.seed, _number(chain)])
    places = np.array([rng.permutation(n) for _ in _DRAWN]) + rng.random((len(_DRAWN), n))
    shares = places / n
    asked = settings.chains[chain].steps
    return tuple(
        _version(chain, number, dict(zip(_DRAWN, column.tolist(), strict=True)), settings.strengths, asked)
        for number, column in enumerate(shares.T, start=1)
    )


def own_generator(seed: int, content: str, chain: str, number: int) -> np.random.Generator:
    """Return the generator of one version of one lesion.

    Parameters
    ----------
    seed : int
        Of the settings.
    content : str
        Hash of the lesion's voxels: a lesion has the same random numbers in any cohort.
    chain, number : str, int
        Which version.
    """
    return np.random.default_rng([seed, _number(content), _number(chain), number])


def _version(
    chain: str, number: int, share: dict[str, float], strengths: StrengthSettings, steps: tuple[Step, ...]
) -> Version:
    def drawn(step: Step, strength: float, name: str = "") -> float:
        """Return a share of the range from -strength to strength, and no -0."""
        return (2.0 * share[name or step] - 1.0) * strength if step in steps and strength else 0.0

    x, y, z = (drawn("translation", strengths.translation_voxels, f"translation_{axis}") for axis in "xyz")
    thickens = "slice_thickness" in steps and strengths.slice_thickness_mm > 0
    return Version(
        chain,
        number,
        rotation_deg=drawn("rotation", strengths.rotation_deg),
        translation_voxels=(x, y, z),
        noise=float(strengths.noise) if "noise" in steps else 0.0,
        volume_change=drawn("volume", strengths.volume_change),
        contour_supervoxel_mm3=float(strengths.contour_supervoxel_mm3) if "contour" in steps else 0.0,
        hu_shift_hu=drawn("hu_shift", strengths.hu_shift_hu),
        slice_thickness_mm=float(strengths.slice_thickness_mm) if thickens else 0.0,
        slice_share=share["slice_thickness"] if thickens else 0.0,
        slice_phase=share["slice_phase"] if thickens else 0.0,
        bin_width_change=drawn("bin_width", strengths.bin_width_change),
    )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
