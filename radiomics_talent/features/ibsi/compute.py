"""Every IBSI feature of a prepared lesion: what the engines' ``compute`` gives for PyRadiomics' features."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from radiomics_talent.errors import ExtractionError
from radiomics_talent.feature_dictionary import ColumnName, ibsi_names
from radiomics_talent.features.ibsi.glcm import glcm_features
from radiomics_talent.features.ibsi.gldzm import gldzm_features
from radiomics_talent.features.ibsi.glrlm import glrlm_features
from radiomics_talent.features.ibsi.glszm import glszm_features
from radiomics_talent.features.ibsi.histogram import histogram_features
from radiomics_talent.features.ibsi.intensity_statistics import statistics_features
from radiomics_talent.features.ibsi.local_intensity import local_intensity_features
from radiomics_talent.features.ibsi.morphology import morphology_features
from radiomics_talent.features.ibsi.ngldm import ngldm_features
from radiomics_talent.features.ibsi.ngtdm import ngtdm_features
from radiomics_talent.features.ibsi.processing import lesion_of, volume_histogram_of
from radiomics_talent.features.ibsi.volume_histogram import ivh_features
from radiomics_talent.features.prepared import MOST_GREY_LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from radiomics_talent.features.ibsi.lesion import IbsiLesion
    from radiomics_talent.features.prepared import Prepared
    from radiomics_talent.ibsi_settings import IbsiSettings
    from radiomics_talent.settings import ExtractionSettings

_IMAGE = "original"
_SAME_MM = 1e-3

_WHOLE: dict[str, Callable[[IbsiLesion, Collection[str]], dict[str, float]]] = {
    "shape": morphology_features,
    "localintensity": local_intensity_features,
    "firstorder": statistics_features,
    "histogram": histogram_features,
}
_DIRECTED: dict[str, Callable[[IbsiLesion, str, Collection[str]], dict[str, float]]] = {
    "glcm": glcm_features,
    "glrlm": glrlm_features,
}
_UNDIRECTED: dict[str, Callable[[IbsiLesion, str, Collection[str]], dict[str, float]]] = {
    "glszm": glszm_features,
    "gldzm": gldzm_features,
    "ngtdm": ngtdm_features,
    "gldm": ngldm_features,
}
_MATRICES = _DIRECTED | _UNDIRECTED


def compute(
    prepared: Prepared, settings: ExtractionSettings
) -> tuple[dict[str, float], tuple[str, ...], dict[str, float]]:
    """Compute every feature that the IBSI settings ask for.

    Parameters
    ----------
    prepared : Prepared
        From `processing.prepare_ibsi`, with the same settings.
    settings : ExtractionSettings
        With a section `ibsi`.

    Returns
    -------
    values : dict of str to float
        By column name, class by class in IBSI's order; NaN where a feature is not defined.
    warnings : tuple of str
        About texture in 3D of voxels that are no cubes; what is not defined, the caller says.
    timings : dict of str to float
        Seconds for 'prepare' (with resegmentation and discretisation) and each class.

    Raises
    ------
    MaskError
        Resegmentation leaves too little of the lesion.
    ExtractionError
        There are too many grey levels.
    """
    asked = _asked(settings)
    started = time.perf_counter()
    lesion = lesion_of(prepared, asked)
    timings = {"prepare": prepared.seconds + time.perf_counter() - started}
    values: dict[str, float] = {}
    warnings = _warnings(lesion, asked)
    for feature_class, names in wanted_names(asked).items():
        started = time.perf_counter()
        for aggregation, found in _features(lesion, feature_class, names, asked).items():
            values |= {
                str(ColumnName(_IMAGE, feature_class, aggregation, name)): value for name, value in found.items()
            }
        timings[feature_class] = time.perf_counter() - started
    return values, warnings, timings


def grey_levels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Discretise as `compute` does, and return the number of grey levels instead of features."""
    return {_IMAGE: lesion_of(prepared, _asked(settings)).n_levels}


def filtered_voxels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:  # noqa: ARG001  # as engines
    """Return how many voxels are held: those of the lesion's box and its surroundings."""
    return {_IMAGE: prepared.image.GetNumberOfPixels()}


def wanted_names(settings: IbsiSettings) -> dict[str, tuple[str, ...]]:
    """Return the features that settings ask for, by class; classes and features in IBSI's order."""
    known = ibsi_names()
    if settings.features is None:
        return known
    chosen = {name: settings.features[name] for name in known if name in settings.features}
    return {
        name: known[name] if features is None else tuple(f for f in known[name] if f in features)
        for name, features in chosen.items()
    }


def _features(
    lesion: IbsiLesion, feature_class: str, names: Collection[str], settings: IbsiSettings
) -> dict[str, dict[str, float]]:
    """Compute one class, by aggregation."""
    if feature_class in _MATRICES:
        _check_levels(lesion)
    if feature_class in _DIRECTED:
        return {how: _DIRECTED[feature_class](lesion, how, names) for how in dict.fromkeys(settings.aggregation)}
    if feature_class in _UNDIRECTED:
        return {how: _UNDIRECTED[feature_class](lesion, how, names) for how in settings.plane_aggregation}
    if feature_class == "ivh":
        return {"": ivh_features(volume_histogram_of(lesion, settings), names)}
    return {"": _WHOLE[feature_class](lesion, names)}


def _warnings(lesion: IbsiLesion, settings: IbsiSettings) -> tuple[str, ...]:
    spacing = lesion.spacing_xyz
    in_3d = any(how.startswith("3D") for how in settings.aggregation) and _MATRICES.keys() & wanted_names(settings)
    if not in_3d or max(spacing) - min(spacing) < _SAME_MM:
        return ()
    size = " × ".join(f"{side:g}" for side in spacing)
    unequal = f"texture in 3D of voxels of {size} mm, where neighbours are not equally far along each axis"
    return (f"{unequal}; set ibsi.interpolation to cubes, or aggregate in 2D",)


def _check_levels(lesion: IbsiLesion) -> None:
    if lesion.n_levels > MOST_GREY_LEVELS:
        raise ExtractionError(
            f"texture matrices of {lesion.n_levels} grey levels (at most {MOST_GREY_LEVELS}); raise "
            "ibsi.discretisation.bin_width, set bin_count, or leave the matrices out of ibsi.features"
        )


def _asked(settings: ExtractionSettings) -> IbsiSettings:
    assert settings.ibsi is not None, "the engine is chosen by this section"
    return settings.ibsi
