"""Perturbed versions of one lesion: the reader's contour, the scanner, the patient's position, the analysis.

In the manner of Zwanenburg et al., Sci Rep 2019;9:614. Steps act in the order in which they happen in the world: the
contour is drawn on the scan as it is (so supervoxels are made once a lesion); then noise, calibration and thicker
slices change the scan; then the patient lies otherwise, sampled once by the chain's own resampling; then the grey
levels are wider or narrower. A step without strength does nothing at all, so that a version without any is the lesion
as it is, to the last bit.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from radiomics_talent.errors import ConfigError, ExtractionError, InputError
from radiomics_talent.extraction.provenance import mask_sha256
from radiomics_talent.features import engine
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.presets import settings_sha256
from radiomics_talent.robustness.contours import contour_neighbourhood, recontoured, resized
from radiomics_talent.robustness.draws import draw_versions, own_generator
from radiomics_talent.robustness.noise import noise_sd_hu, shifted, with_noise
from radiomics_talent.robustness.position import Motion, moved_grid, prepare_on, seen_region
from radiomics_talent.robustness.slices import thicker
from radiomics_talent.robustness.versions import ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.errors import TalentError
    from radiomics_talent.features.engine import LesionFeatures, Prepared
    from radiomics_talent.imaging.geometry import Geometry
    from radiomics_talent.robustness.contours import ContourNeighbourhood
    from radiomics_talent.robustness.draws import Version
    from radiomics_talent.robustness.version_run import Make
    from radiomics_talent.robustness_settings import PerturbationSettings
    from radiomics_talent.settings import ExtractionSettings

_MARGIN_A_LEVEL, _MARGIN_OF_OTHERS, _LOG_REACH_SIGMA = 16, 8, 10.0
"""Voxels, and widths of the LoG, that filters see about a lesion: beyond, what they see changes 1e-6 of its spread."""
_NOISE_REACH_MM = 20.0
"""Tissue about the lesion in which noise is looked for."""


@dataclass(frozen=True, slots=True)
class Perturbations:
    """What makes perturbed versions: a `radiomics_talent.robustness.version_run.VersionPlan`.

    Attributes
    ----------
    settings : PerturbationSettings
        Which versions.
    """

    settings: PerturbationSettings
    command: str = "robustness perturb"
    outputs: tuple[str, ...] = ("perturbations.csv", "stability.csv", "icc.csv", "report.html")

    @property
    def hash(self) -> str:
        """SHA-256 of all that changes a version: what counts as stable does not."""
        return settings_sha256(self.canonical())

    @property
    def chains(self) -> Mapping[str, int]:
        """Chains, and the number of versions of each; first the lesion as it is."""
        return {ORIGINAL: 1} | {name: chain.versions for name, chain in self.settings.chains.items()}

    def canonical(self) -> dict[str, Any]:
        """Return all that changes a version as plain JSON data."""
        return self.settings.canonical_versions()

    def record(self) -> dict[str, Any]:
        """Return what provenance.json says: the versions, and what counts as stable."""
        return {"perturb": self.canonical(), "stability": self.settings.stability.model_dump(mode="json")}

    def begin(self, case: Case, settings: ExtractionSettings) -> Make:
        """Return what makes the versions of a chain of one lesion; `check_settings` has passed the settings."""
        lesion = _Lesion(case, settings, self.settings.strengths.volume_change)

        def make(chain: str) -> Sequence[LesionFeatures | TalentError]:
            if chain == ORIGINAL:
                return [engine.compute(lesion.as_it_is, settings)]
            return [_attempt(lesion, version, self.settings.seed) for version in draw_versions(self.settings, chain)]

        return make


def check_settings(settings: ExtractionSettings) -> None:
    """Refuse extraction settings under which perturbations mean nothing.

    Raises
    ------
    ConfigError
        The scan is normalised: what is added in HU would be taken away again.
    """
    if settings.setting.normalize:
        raise ConfigError(
            "setting.normalize: true takes away what robustness perturb adds to a scan; perturb with normalize: false"
        )


def perturbed(
    case: Case, settings: ExtractionSettings, version: Version, seed: int
) -> tuple[Prepared, ExtractionSettings]:
    """Make one version of one lesion.

    Parameters
    ----------
    case : Case
        The lesion with its scan.
    settings : ExtractionSettings
        How features are extracted.
    version : Version
        What is otherwise.
    seed : int
        Of what is random within the lesion.

    Returns
    -------
    Prepared, ExtractionSettings
        What features are computed on, and the settings with the version's grey levels.

    Raises
    ------
    MaskError
        The lesion vanishes.
    """
    return _prepared(_Lesion(case, settings, abs(version.volume_change)), version, seed)


def with_bin_width(settings: ExtractionSettings, change: float) -> ExtractionSettings:
    """Return the settings with grey levels wider by a share; with a fixed number of levels, with fewer of them."""
    if change == 0:
        return settings
    if settings.ibsi is not None:
        parts = ("discretisation", "ivh_discretisation")
        levels = {name: getattr(settings.ibsi, name) for name in parts}
        wider = {
            name: one.model_copy(update=_wider(one.bin_width, one.bin_count, change, "bin_width", "bin_count"))
            for name, one in levels.items()
            if one is not None
        }
        return settings.model_copy(update={"ibsi": settings.ibsi.model_copy(update=wider)})
    wide = _wider(settings.setting.binWidth, settings.setting.binCount, change, "binWidth", "binCount")
    types = {}
    for name, own in settings.imageType.items():
        given = own.model_fields_set & {"binWidth", "binCount"}
        width = own.binWidth if "binWidth" in given else settings.setting.binWidth
        count = own.binCount if "binCount" in given else settings.setting.binCount
        changed = _wider(width, count, change, "binWidth", "binCount")
        types[name] = own.model_copy(update={k: v for k, v in changed.items() if k in given})
    setting = settings.setting.model_copy(update=wide)
    return settings.model_copy(update={"setting": setting, "imageType": types})


def _wider(width: float | None, count: int | None, change: float, width_name: str, count_name: str) -> dict[str, Any]:
    if count is not None:
        return {count_name: max(1, round(count / (1.0 + change)))}
    return {width_name: (width or 0.0) * (1.0 + change)}


class _Lesion:
    """A lesion with what its versions share, each made when it is first asked for, by one of the threads that ask."""

    def __init__(self, case: Case, settings: ExtractionSettings, growth: float) -> None:
        self.case, self.settings, self.growth = case, settings, growth
        self.content = mask_sha256(case.voxels)
        self.margin = _filter_margin(settings, case.voxels.geometry)
        self._making = threading.RLock()
        self._as_it_is: Prepared | None = None
        self._noise_sd_hu: float | None = None
        self._neighbourhoods: dict[float, ContourNeighbourhood] = {}

    @property
    def as_it_is(self) -> Prepared:
        """The lesion prepared as `extract` does: of a version that changes grey levels alone, all but the levels."""
        with self._making:
            if self._as_it_is is None:
                self._as_it_is = engine.prepare(self.case.image, self.case.voxels, self.settings)
            return self._as_it_is

    @property
    def noise_sd_hu(self) -> float:
        """The scan's own noise about the lesion."""
        with self._making:
            if self._noise_sd_hu is None:
                lesion = self.case.voxels
                about = lesion.geometry.around(lesion.box, _NOISE_REACH_MM)
                self._noise_sd_hu = noise_sd_hu(sitk.GetArrayFromImage(about.cut(self.case.image)))
            return self._noise_sd_hu

    def neighbourhood(self, supervoxel_mm3: float) -> ContourNeighbourhood:
        """Distances and supervoxels about the contour; those of volume 0 serve growth alone."""
        with self._making:
            if supervoxel_mm3 not in self._neighbourhoods:
                self._neighbourhoods[supervoxel_mm3] = contour_neighbourhood(
                    self.case.image, self.case.voxels, supervoxel_mm3, self.growth
                )
            return self._neighbourhoods[supervoxel_mm3]


def _attempt(lesion: _Lesion, version: Version, seed: int) -> LesionFeatures | TalentError:
    try:
        prepared, settings = _prepared(lesion, version, seed)
        return engine.compute(prepared, settings)
    except (InputError, ExtractionError) as error:
        return error


def _prepared(lesion: _Lesion, version: Version, seed: int) -> tuple[Prepared, ExtractionSettings]:
    rng = own_generator(seed, lesion.content, version.chain, version.number)
    settings = with_bin_width(lesion.settings, version.bin_width_change)
    voxels = _redrawn(lesion, version, rng)
    spacing = voxels.geometry.spacing_mm
    x, y, z = (share * mm for share, mm in zip(version.translation_voxels, spacing, strict=True))
    motion = Motion(version.rotation_deg, (x, y, z))
    if not (version.moves or version.noise or version.hu_shift_hu or version.slice_thickness_mm > spacing[2]):
        is_as_drawn = voxels is lesion.case.voxels
        prepared = lesion.as_it_is if is_as_drawn else engine.prepare(lesion.case.image, voxels, settings)
        return prepared, settings
    grid = moved_grid(voxels, settings, motion, lesion.margin)
    region = seen_region(voxels.geometry, grid)
    image = with_noise(region.cut(lesion.case.image), version.noise * lesion.noise_sd_hu, rng)
    image = shifted(image, version.hu_shift_hu)
    if version.slice_thickness_mm > spacing[2]:
        thickness = spacing[2] + version.slice_share * (version.slice_thickness_mm - spacing[2])
        on_region = LesionVoxels(voxels.geometry.crop(region), voxels.box.seen_from(region), voxels.voxels_zyx)
        image, voxels = thicker(image, on_region, thickness, version.slice_phase)
        grid = moved_grid(voxels, settings, motion, lesion.margin)
    return prepare_on(image, voxels, settings, grid), settings


def _redrawn(lesion: _Lesion, version: Version, rng: np.random.Generator) -> LesionVoxels:
    """Return the lesion as another reader would draw it: larger or smaller, then with pieces taken or left."""
    voxels = lesion.case.voxels
    if not (version.volume_change or version.contour_supervoxel_mm3):
        return voxels
    neighbourhood = lesion.neighbourhood(version.contour_supervoxel_mm3)
    voxels = resized(neighbourhood, version.volume_change, rng)
    return recontoured(neighbourhood, voxels, rng) if version.contour_supervoxel_mm3 else voxels


def _filter_margin(settings: ExtractionSettings, grid: Geometry) -> int:
    """Return how many voxels about the lesion the filters look at, where the chain does not resample."""
    if settings.ibsi is not None or settings.resamples or set(settings.imageType) == {"Original"}:
        return 1
    setting = settings.setting
    finest = min(grid.spacing_mm)
    reach = _MARGIN_OF_OTHERS
    for name, own in settings.imageType.items():
        if name == "LoG":
            reach = max(reach, math.ceil(_LOG_REACH_SIGMA * max(own.sigma or setting.sigma) / finest))
        if name == "Wavelet":
            levels = (own.start_level + own.level, setting.start_level + setting.level)
            reach = max(reach, _MARGIN_A_LEVEL * max(levels))
    return reach if settings.pad_mm is None else max(1, math.ceil(settings.pad_mm / finest))
