"""Voxel-wise maps: a feature of the moving neighbourhood of every voxel of a lesion (PyRadiomics' ``voxelBased``)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import ConfigError, ExtractionError
from radiomics_talent.features.engine import prepare
from radiomics_talent.features.native.grey_levels import count_levels
from radiomics_talent.features.native.texture_maps import image_maps
from radiomics_talent.features.native.texture_names import wanted_features
from radiomics_talent.features.native.texture_settings import TextureSettings
from radiomics_talent.features.prepared import check_grey_levels, resegmented
from radiomics_talent.imaging.filters import filtered_images
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.features.prepared import Prepared
    from radiomics_talent.settings import ExtractionSettings

    Found = tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]

LARGEST_RADIUS = 10
"""A neighbourhood of 21 voxels a side is no neighbourhood any more, and takes hours."""
_SHAPE = ("shape", "shape2D")
_FAILS, _IS_ZERO = "MCC fails", "the map is 0"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMaps:
    """Maps of one lesion.

    Attributes
    ----------
    values : dict of str to ndarray of float64, shape (n,)
        ``<image type>_<class>_<feature>`` to one value a voxel of the lesion, in array order (z, y, x).
    lesion : LesionVoxels
        The lesion's voxels on the grid of `image`.
    image : SimpleITK.Image
        What was computed on: the scan, or its resampled (or ``preCrop``) surroundings of the lesion.
    radius : int
        Voxels on either side of a centre.
    masked : bool
        Whether neighbourhoods end at the lesion's border.
    warnings : tuple of str
        What PyRadiomics would have logged.
    """

    values: dict[str, NDArray[np.float64]]
    lesion: LesionVoxels
    image: sitk.Image
    radius: int
    masked: bool
    warnings: tuple[str, ...]

    def volume(self, name: str, *, outside: float = 0.0, crop: bool = False) -> sitk.Image:
        """Return a map as an image in its place in space.

        Parameters
        ----------
        name : str
            Key of `values`.
        outside : float
            Value of voxels that are not the lesion's.
        crop : bool
            Only the lesion's box; otherwise the whole grid of `image`.
        """
        box, grid = self.lesion.box, self.lesion.geometry
        place = np.full(box.size[::-1], outside, dtype=np.float64)
        place[self.lesion.voxels_zyx] = self.values[name]
        if crop:
            volume, grid = place, grid.crop(box)
        else:
            volume = np.full(grid.size[::-1], outside, dtype=np.float64)
            volume[box.slices_zyx] = place
        image = sitk.GetImageFromArray(volume)
        grid.put_on(image)
        return image


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """One class of features of one (filtered) image: what a thread does at a time."""

    image_name: str
    values_zyx: NDArray[Any]
    setting: TextureSettings
    family: str
    names: tuple[str, ...]


def feature_maps(
    image: sitk.Image,
    mask: sitk.Image | LesionVoxels,
    settings: ExtractionSettings,
    *,
    features: Sequence[str],
    radius: int | None = None,
    run: Callable[[Callable[[_Piece], Found], Iterable[_Piece]], Iterable[Found]] = map,
) -> FeatureMaps:
    """Compute maps of the chosen features with the native engine.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan, 3D, in HU.
    mask : SimpleITK.Image or LesionVoxels
        Label map of the same space, or the lesion.
    settings : ExtractionSettings
        As for `extract`. Grey levels are those of the lesion, or of the lesion's surroundings where
        ``voxelSetting.maskedKernel`` is false; ``voxelSetting.kernelRadius`` is the radius.
    features : sequence of str
        Whole names (``original_glcm_Contrast``), names without image type (``glcm_Contrast``: of every image),
        classes (``glcm``), or patterns (``wavelet-*_firstorder_*``).
    radius : int, optional
        In place of the settings'.
    run : callable
        Calls a function for each of many pieces, as `map` does; one that uses threads makes it faster.

    Returns
    -------
    FeatureMaps
        With the numbers of PyRadiomics' voxel-based extraction, within 1e-9 of each.

    Raises
    ------
    ConfigError
        A name stands for no feature, the radius is out of range, or the settings are of the IBSI chain.
    GeometryError, MaskError, ExtractionError
        As `extract`.
    """
    radius = settings.voxelSetting.kernelRadius if radius is None else radius
    if not 1 <= radius <= LARGEST_RADIUS:
        raise ConfigError(f"a radius of {radius} voxels was asked for; give 1 to {LARGEST_RADIUS}")
    if settings.ibsi is not None:
        raise ConfigError("maps are made of PyRadiomics' features, and these settings are of the IBSI chain (ibsi)")
    _check_names(features, settings)
    prepared = prepare(image, mask, settings)
    segmented = resegmented(prepared, settings)
    around = segmented.box.padded(radius, prepared.image.GetSize())
    inside = np.zeros(around.size[::-1], dtype=np.bool_)
    inside[segmented.box.seen_from(around).slices_zyx] = segmented.texture_zyx
    warnings: list[str] = []
    pieces = _pieces(prepared, around, inside, settings, features, warnings.append)
    compute = partial(
        _compute,
        mask_zyx=inside,
        spacing=prepared.image.GetSpacing(),
        radius=radius,
        masked=settings.voxelSetting.maskedKernel,
        initial=settings.voxelSetting.initValue,
    )
    values: dict[str, NDArray[np.float64]] = {}
    for found, more in run(compute, pieces):
        values |= found
        warnings += more
    if not values and warnings:  # a filter that could not be applied
        raise ExtractionError(f"no map can be computed: {'; '.join(dict.fromkeys(warnings))}")
    _check_found(features, values, settings)
    lesion = LesionVoxels(Geometry.of(prepared.image), segmented.box, segmented.texture_zyx)
    texts = tuple(dict.fromkeys(warnings))
    return FeatureMaps(values, lesion, prepared.image, radius, settings.voxelSetting.maskedKernel, texts)


def _pieces(
    prepared: Prepared,
    around: Box,
    mask_zyx: NDArray[np.bool_],
    settings: ExtractionSettings,
    features: Sequence[str],
    warn: Callable[[str], None],
) -> Iterator[_Piece]:
    for image_type, custom in settings.to_pyradiomics()["imageType"].items():
        setting = {**settings.setting.model_dump(), **custom}
        textures = TextureSettings.of(setting)
        wanted, _ = wanted_features(settings.featureClass, textures)
        for filtered in filtered_images(
            prepared.image, mask_zyx, around, image_type, setting, pad_mm=settings.pad_mm, warn=warn
        ):
            chosen = {
                family: tuple(n for n in names if _is_chosen(f"{filtered.name}_{family}_{n}", features))
                for family, names in wanted.items()
            }
            if any(chosen.values()):
                check_grey_levels(filtered.name, count_levels(filtered.values_zyx[mask_zyx], textures))
            for family, names in chosen.items():
                if names:
                    yield _Piece(filtered.name, filtered.values_zyx, textures, family, names)


def _compute(
    piece: _Piece,
    *,
    mask_zyx: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    radius: int,
    masked: bool,
    initial: float,
) -> Found:
    found, warnings = image_maps(
        piece.values_zyx, mask_zyx, spacing, piece.setting, {piece.family: piece.names}, radius=radius, masked=masked
    )
    if initial != 0 and any(_FAILS in text for text in warnings):
        # PyRadiomics' map stays what it was begun with, inside the lesion too.
        found["glcm_MCC"] = np.full_like(found["glcm_MCC"], initial)
        warnings = tuple(text.replace(_IS_ZERO, f"the map is {initial:g}") for text in warnings)
    return {f"{piece.image_name}_{name}": values for name, values in found.items()}, warnings


def _is_chosen(name: str, features: Sequence[str]) -> bool:
    return any(_stands_for(pattern, name) for pattern in features)


def _stands_for(pattern: str, name: str) -> bool:
    _, family, feature = name.rsplit("_", 2)
    return pattern == family or any(fnmatchcase(n, pattern) for n in (name, f"{family}_{feature}"))


def _check_names(features: Sequence[str], settings: ExtractionSettings) -> None:
    """Refuse what cannot be mapped, before any work."""
    if not features:
        raise ConfigError("no feature was chosen; name some, for example glcm_Contrast,firstorder_Mean")
    known = _known(settings)
    for pattern in features:
        if any(part in _SHAPE for part in pattern.split("_")):
            raise ConfigError(f"{pattern}: shape is one number a lesion and has no map; take first order or texture")
        # Image types name their images only when they run, and a pattern may stand for anything.
        if not set("*?[") & set(pattern) and "_".join(pattern.split("_")[-2:]) not in known:
            raise ConfigError(_unknown(pattern, known))


def _check_found(features: Sequence[str], values: dict[str, NDArray[np.float64]], settings: ExtractionSettings) -> None:
    for pattern in features:
        if not any(_stands_for(pattern, name) for name in values):
            raise ConfigError(_unknown(pattern, list(values) or _known(settings)))


def _known(settings: ExtractionSettings) -> list[str]:
    wanted, _ = wanted_features(settings.featureClass, TextureSettings())
    return [*wanted, *(f"{family}_{name}" for family, names in wanted.items() for name in names)]


def _unknown(pattern: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(pattern, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "see `radiomics-talent config show` for classes and image types"
    return f"--features {pattern}: these settings compute no such feature; {hint}"
