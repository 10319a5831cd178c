"""Image and mask to named numbers: the one entrance to every feature engine, and the comparison of the two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import ConfigError, ExtractionError, GeometryError, MaskError
from radiomics_talent.features import prepared as preparing
from radiomics_talent.features.ibsi.processing import prepare_ibsi
from radiomics_talent.features.prepared import MOST_GREY_LEVELS, Prepared
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels, nearest_voxels

if TYPE_CHECKING:
    from radiomics_talent.settings import ExtractionSettings

    Engine = Literal["native", "reference", "ibsi"]

__all__ = [
    "MOST_GREY_LEVELS", "RELATIVE_TOLERANCE", "LesionFeatures", "Prepared", "Verification", "compute", "engine_of",
    "extract", "filtered_voxels", "grey_levels", "is_installed", "load", "make_ready", "prepare", "verify",
]  # fmt: skip

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-9, 1e-12
"""How far the engines may differ in a feature, and near zero."""


@dataclass(frozen=True, slots=True)
class LesionFeatures(Mapping[str, float]):
    """Features of one lesion, in PyRadiomics' order and under its names (``<image type>_<class>_<feature>``).

    Attributes
    ----------
    by_name : dict of str to float
        NaN only where a warning says why.
    warnings : tuple of str
        What the engine had to say.
    timings : dict of str to float
        Seconds by stage ('prepare', 'shape', and each image type).
    """

    by_name: dict[str, float]
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)


def extract(
    image: sitk.Image, mask: sitk.Image | LesionVoxels, settings: ExtractionSettings, *, label: int | None = None
) -> LesionFeatures:
    """Compute the features of one lesion.

    The numbers are those of PyRadiomics' ``RadiomicsFeatureExtractor.execute`` on the same two images, at a fraction
    of its time: with the reference engine to the last bit, with the native engine within 1e-9 of each value. With a
    section `ibsi` in the settings they are those that IBSI 1 defines.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan, 3D, in HU.
    mask : SimpleITK.Image or LesionVoxels
        Label map of the same space, or the lesion alone on a grid there.
    settings : ExtractionSettings
        What to compute, and how.
    label : int, optional
        Value of the lesion in a label map; without it, `settings.setting.label`.

    Returns
    -------
    LesionFeatures
        A mapping of feature name to float, with warnings and timings.

    Raises
    ------
    GeometryError
        An image is not 3D, is not finite, or image and mask do not share a space.
    MaskError
        The label is absent, or the lesion is smaller than the settings need.
    ExtractionError
        The engine is not installed, or failed.
    """
    return compute(prepare(image, mask, settings, label=label), settings)


def compute(prepared: Prepared, settings: ExtractionSettings) -> LesionFeatures:
    """Compute the features of a lesion that is prepared already: the second half of `extract`.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`, or its like: an image on the grid that features are computed on, with the lesion in it.
    settings : ExtractionSettings
        The same settings.

    Raises
    ------
    MaskError
        Resegmentation leaves too little of the lesion.
    ExtractionError
        The engine is not installed, or failed.
    """
    return _computed(prepared, settings, engine_of(settings))


def engine_of(settings: ExtractionSettings) -> Engine:
    """Return the engine that computes; ``auto`` is native, which lacks no image type and no setting.

    Settings with a section `ibsi` have an engine of their own.
    """
    if settings.ibsi is not None:
        return "ibsi"
    return "native" if settings.engine == "auto" else settings.engine


def make_ready(settings: ExtractionSettings, *, verify: bool = False) -> None:
    """Refuse settings whose engine is not installed, and compile the native engine where that has not been done.

    To be called before processes begin, or each would compile for itself.

    Parameters
    ----------
    settings : ExtractionSettings
        The settings.
    verify : bool
        Whether the other engine is needed, too.

    Raises
    ------
    ConfigError
        An engine's package is absent.
    """
    chosen = engine_of(settings)
    if verify and chosen == "ibsi":
        raise ConfigError(
            "--verify compares with PyRadiomics, which does not compute IBSI's features; `radiomics-talent ibsi` "
            "compares them with IBSI's own values"
        )
    needed: dict[Engine, str] = {chosen: f"engine: {chosen}"}
    if verify:
        needed["reference" if chosen == "native" else "native"] = "--verify"
    for engine, asked in needed.items():
        if not is_installed(engine):
            package = "PyRadiomics" if engine == "reference" else "Numba"
            other = "" if verify else f", or take --engine {'reference' if engine == 'native' else 'native'}"
            raise ConfigError(
                f"{asked} needs {package}, which is not installed; `radiomics-talent doctor` says how{other}"
            )
    if chosen != "reference" or verify:
        import_module("radiomics_talent.features.warm_up").warm_up()


_REHEARSED: set[str] = set()


def load(settings: ExtractionSettings) -> None:
    """Import the engine that computes and load its machine code, which takes up to a second.

    Raises
    ------
    ExtractionError
        It cannot be imported.
    """
    engine = engine_of(settings)
    _engine(engine)
    if engine != "reference" and (settings_hash := settings.hash) not in _REHEARSED:
        import_module("radiomics_talent.features.rehearsal").rehearse(settings)
        _REHEARSED.add(settings_hash)


def is_installed(engine: Engine) -> bool:
    """Tell whether the package that an engine computes with is there."""
    return find_spec("radiomics" if engine == "reference" else "numba") is not None


def _computed(prepared: Prepared, settings: ExtractionSettings, engine: Engine) -> LesionFeatures:
    values, warnings, timings = _engine(engine).compute(prepared, settings)
    silent = [n for n, v in values.items() if math.isnan(v)]
    if silent:
        warnings = (*warnings, f"{len(silent)} features are not defined (NaN): {', '.join(silent)}")
    return LesionFeatures(values, warnings, timings)


def _engine(engine: Engine) -> Any:
    # Imported late: neither engine needs what the other is made of.
    name = "reference" if engine == "reference" else f"{engine}.compute"
    try:
        return import_module(f"radiomics_talent.features.{name}")
    except ImportError as error:
        raise ExtractionError(
            f"the {engine} engine cannot be loaded ({error}); run `radiomics-talent doctor` to see how to mend it"
        ) from error


@dataclass(frozen=True, slots=True)
class Verification:
    """How a lesion's features compare with those of the other engine.

    Attributes
    ----------
    largest : float
        Largest relative difference of a feature, of those that differ by more than `ABSOLUTE_TOLERANCE`.
    worst : str
        That feature; empty where there is none.
    beyond : tuple of str
        Features that differ beyond tolerance (or are missing, or undefined in one alone), each with both values.
    """

    largest: float
    worst: str
    beyond: tuple[str, ...]


def verify(
    image: sitk.Image,
    mask: sitk.Image | LesionVoxels,
    settings: ExtractionSettings,
    features: Mapping[str, float],
    *,
    label: int | None = None,
) -> Verification:
    """Compute a lesion again with the other engine and compare every feature.

    Against native features stands PyRadiomics from beginning to end: it normalises and resamples the whole scan
    itself. Parameters and errors are those of `extract`; `features` are the features to be verified.

    Returns
    -------
    Verification
        The largest difference, and whatever differs by more than 1e-9 of its value (and 1e-12).
    """
    if engine_of(settings) == "native":
        lesion = _lesion_of(image, mask, settings, label)
        again = _computed(_engine("reference").prepare_whole(image, lesion, settings), settings, "reference")
    else:
        again = _computed(prepare(image, mask, settings, label=label), settings, "native")
    largest, worst, beyond = 0.0, "", []
    for name in dict.fromkeys((*again, *features)):
        ours, other = features.get(name), again.get(name)
        if ours is None or other is None or np.isnan(ours) != np.isnan(other):
            beyond.append(f"{name}: {_shown(ours)}, by the other engine {_shown(other)}")
            continue
        difference = abs(ours - other)
        if not difference > ABSOLUTE_TOLERANCE:  # both undefined counts as equal
            continue
        relative = difference / max(abs(ours), abs(other))
        if relative > largest:
            largest, worst = relative, name
        if relative > RELATIVE_TOLERANCE:
            beyond.append(f"{name}: {ours!r}, by the other engine {other!r} ({relative:.1e})")
    return Verification(largest, worst, tuple(beyond))


def _shown(value: float | None) -> str:
    return "absent" if value is None else repr(value)


def prepare(
    image: sitk.Image, mask: sitk.Image | LesionVoxels, settings: ExtractionSettings, *, label: int | None = None
) -> Prepared:
    """Normalise, resample and crop as the settings say: what the features are computed on.

    Parameters and errors are those of `extract`.
    """
    lesion = _lesion_of(image, mask, settings, label)
    if settings.ibsi is not None:
        return prepare_ibsi(image, lesion, settings.ibsi)
    return preparing.prepare(image, lesion, settings)


def _lesion_of(
    image: sitk.Image, mask: sitk.Image | LesionVoxels, settings: ExtractionSettings, label: int | None
) -> LesionVoxels:
    """Return the lesion, on the image's grid where the settings need that."""
    if image.GetDimension() != 3:
        raise GeometryError(f"the image has {image.GetDimension()} dimensions; give one 3D volume")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise GeometryError("the image has several values a voxel; give a CT volume in HU")
    lesion = mask if isinstance(mask, LesionVoxels) else _labelled(mask, settings, label)
    if settings.setting.correctMask or not settings.resamples:
        return _on_grid_of(image, lesion, settings)
    return lesion


def grey_levels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Return the number of grey levels that each (filtered) image of a lesion will have.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`.
    settings : ExtractionSettings
        The same settings.

    Returns
    -------
    dict of str to int
        Image type name, as it begins the feature names, to number of levels.
    """
    levels: dict[str, int] = _engine(engine_of(settings)).grey_levels(prepared, settings)
    return levels


def filtered_voxels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Return the number of voxels that each image type filters: the lesion's box, its surroundings or the whole image.

    Parameters are those of `grey_levels`.
    """
    voxels: dict[str, int] = _engine(engine_of(settings)).filtered_voxels(prepared, settings)
    return voxels


def _labelled(mask: sitk.Image, settings: ExtractionSettings, label: int | None) -> LesionVoxels:
    """Find a label in a label map: in the channel asked for, floating-point labels cut to whole numbers."""
    if mask.GetDimension() != 3:
        raise GeometryError(f"the mask has {mask.GetDimension()} dimensions; give one 3D volume")
    label = settings.setting.label if label is None else label
    channels = mask.GetNumberOfComponentsPerPixel()
    if channels > 1:
        channel = settings.setting.label_channel
        if channel >= channels:
            raise MaskError(f"label_channel {channel} was asked for, but the mask has {channels} channels, from 0 on")
        mask = sitk.VectorIndexSelectionCast(mask, channel)
    if mask.GetPixelID() in {sitk.sitkFloat32, sitk.sitkFloat64}:
        mask = sitk.Cast(mask, sitk.sitkInt32)
    voxels = sitk.GetArrayViewFromImage(mask)
    lesion = LesionVoxels.of(voxels == label, Geometry.of(mask))
    if lesion is None:
        present = [int(v) for v in np.unique(voxels) if v != 0]
        known = f"labels in the mask are {', '.join(map(str, present))}" if present else "the mask is empty"
        raise MaskError(f"label {label} is not in the mask; {known}")
    return lesion


def _on_grid_of(image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings) -> LesionVoxels:
    """Return the lesion on the image's own grid, or refuse.

    Without resampling the features need voxel for voxel the same grid. A difference below a tenth of a voxel is
    what file formats round to; more is mended only where `correctMask` asks for it, as in PyRadiomics.
    """
    grid = Geometry.of(image)
    difference = grid.difference(lesion.geometry)
    if difference.same_size and difference.shift_mm == 0 and difference.angle_deg == 0:
        return lesion
    if difference.is_mendable:
        return replace(lesion, geometry=grid)
    if settings.setting.correctMask:
        moved = nearest_voxels(lesion, grid)
        if moved is None:
            raise MaskError("no voxel of the lesion is left on the image's grid; give the scan that it was drawn on")
        return moved
    raise GeometryError(
        f"image and mask are on different grids: {grid.size} and {lesion.geometry.size} voxels, {difference} apart; "
        f"give a mask on the image's grid{'' if settings.ibsi else ', or set setting.correctMask: true to resample it'}"
    )
