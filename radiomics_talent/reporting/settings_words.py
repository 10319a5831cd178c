"""Settings in the words of a methods section: each function gives a phrase, or nothing where nothing was set."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from radiomics_talent.reporting import ibsi_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from radiomics_talent.model_settings import ModelSettings, SelectionSettings

CLASSES = {
    "shape": "shape", "shape2D": "2D shape", "firstorder": "first order", "glcm": "GLCM", "glrlm": "GLRLM",
    "glszm": "GLSZM", "gldm": "GLDM", "ngtdm": "NGTDM", "localintensity": "local intensity",
    "histogram": "intensity histogram", "ivh": "intensity-volume histogram", "gldzm": "GLDZM",
}  # fmt: skip
"""Feature classes as columns name them, and as people write them."""
MODELS = {
    "elastic-net": "logistic regression with elastic-net penalty",
    "l1-logistic": "logistic regression with L1 penalty (LASSO)",
    "ridge": "logistic regression with L2 penalty (ridge)",
    "logistic": "logistic regression without penalty",
    "linear-svm": "linear support vector machine",
    "rbf-svm": "support vector machine with radial kernel",
    "random-forest": "random forest",
    "extra-trees": "extremely randomised trees",
    "gradient-boosting": "gradient boosting",
    "naive-bayes": "naive Bayes",
    "coxnet": "Cox regression with elastic-net penalty",
    "random-survival-forest": "random survival forest",
    "gradient-boosting-survival": "gradient boosting of survival",
}
"""The catalogue's models in words."""
METRICS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "c_index": "C-index",
    "integrated_brier": "integrated Brier score",
}
"""Metrics in words."""
_INTERPOLATORS = {
    "sitkBSpline": "cubic B-spline",
    "sitkLinear": "linear",
    "sitkNearestNeighbor": "nearest neighbour",
}
_SCALES = {
    "z-score": "z-score",
    "robust": "median and quartiles",
    "quantile": "ranks mapped to a normal distribution",
}
_NO_EFFECT_ON_IBSI = ("engine", "imageType", "featureClass", "setting", "voxelSetting", "pad_mm")
# The IBSI chain adds the aggregation: glcm-2.5D-avg.
_CLASS = re.compile(rf"(?:^|_)({'|'.join(CLASSES)})(?:-(?:2|2\.5|3)D(?:-avg|-comb)?)?_")


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.0f} %"


def aggregation(settings: ModelSettings) -> str:
    """Return how lesions became a patient."""
    return " and ".join(name.replace("-", " ") for name in settings.aggregation)


def resampling(extraction: Mapping[str, Any]) -> str:
    """Return how images were resampled."""
    if ibsi := ibsi_words.section_of(extraction):
        return ibsi_words.interpolation(ibsi)
    setting = extraction["setting"]
    spacing = setting["resampledPixelSpacing"]
    if not spacing or setting["interpolator"] is None:
        return "images were not resampled"
    name = setting["interpolator"]
    words = _INTERPOLATORS.get(str(name))
    how = f"{words} interpolation ({name})" if words else f"interpolator {name}"
    size = " × ".join(f"{s:g}" for s in spacing)
    kept = "; 0 keeps an axis as it is" if 0 in spacing else ""
    return f"images were resampled to {size} mm by {how} and masks by nearest neighbour{kept}"


def normalisation(extraction: Mapping[str, Any]) -> str:
    """Return how intensities were normalised."""
    if extraction.get("ibsi"):
        return ""
    setting = extraction["setting"]
    if not setting["normalize"]:
        return ""
    clipped = setting["removeOutliers"]
    outliers = f", clipped at {clipped:g} standard deviations" if clipped else ""
    return f"each image was scaled to mean 0 and standard deviation {setting['normalizeScale']:g}{outliers}"


def resegmentation(extraction: Mapping[str, Any]) -> str:
    """Return how lesions were re-segmented by intensity."""
    if ibsi := ibsi_words.section_of(extraction):
        return ibsi_words.resegmentation(ibsi)
    setting = extraction["setting"]
    limits = setting["resegmentRange"]
    if not limits:
        return "lesions were not re-segmented by intensity"
    mode = setting["resegmentMode"]
    unit = {"absolute": "HU", "relative": "of the maximum", "sigma": "standard deviations about the mean"}[mode]
    where = "" if setting["resegmentShape"] else " (not for shape)"
    span = f"{limits[0]:g} to {limits[1]:g} {unit}" if len(limits) > 1 else f"from {limits[0]:g} {unit} up"
    if mode == "sigma" and len(limits) == 1:
        span = f"within {limits[0]:g} {unit}"
    return f"voxels were kept in the lesion in the range {span}{where}"


def smallest_lesion(extraction: Mapping[str, Any]) -> str:
    """Return which lesions were too small; empty where none is."""
    if ibsi := ibsi_words.section_of(extraction):
        return ibsi_words.smallest_lesion(ibsi)
    smallest = extraction["setting"]["minimumROISize"]
    return f"lesions of no more than {smallest} voxels were refused" if smallest else ""


def discretisation(extraction: Mapping[str, Any]) -> str:
    """Return how grey levels were made."""
    if ibsi := ibsi_words.section_of(extraction):
        return ibsi_words.discretisation(ibsi)
    setting = extraction["setting"]
    if setting["binCount"]:
        return f"grey levels: fixed bin number of {setting['binCount']}"
    unit = "" if setting["normalize"] else " HU"
    return f"grey levels: fixed bin width of {setting['binWidth']:g}{unit}"


def image_types(extraction: Mapping[str, Any]) -> str:
    """Return the image types with the settings that each has of its own."""
    if extraction.get("ibsi"):
        return ibsi_words.IMAGE_TYPES
    parts = []
    for name, own in extraction["imageType"].items():
        told = ", ".join(f"{k} {_value(v)}" for k, v in own.items()) if own else ""
        parts.append(f"{name} ({told})" if told else str(name))
    return ", ".join(parts)


def texture(extraction: Mapping[str, Any]) -> str:
    """Return how texture matrices were made."""
    if ibsi := ibsi_words.section_of(extraction):
        return ibsi_words.texture(ibsi)
    setting = extraction["setting"]
    plane = ("axial", "coronal", "sagittal")[setting["force2Ddimension"]]
    space = f"in 2D, slice by slice ({plane})" if setting["force2D"] else "in 3D"
    distances = ", ".join(f"{d:g}" for d in setting["distances"])
    symmetry = "symmetric" if setting["symmetricalGLCM"] else "asymmetric"
    norm = setting["weightingNorm"]
    merged = f"directions weighted ({norm}) and merged" if norm else "values averaged over directions"
    return f"texture {space}, {symmetry} GLCM, neighbours at distance {distances} voxel, {merged}"


def engine(extraction: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Tell which software computed the features, with its version where that is recorded."""
    if ibsi := ibsi_words.section_of(extraction):
        return ibsi_words.engine(ibsi)
    if extraction["engine"] == "reference":
        return f"PyRadiomics {versions.get('pyradiomics', '')}".strip()
    return "the native engine of radiomics-talent, whose values are within 1e-9 of those of PyRadiomics 3.0.1"


def chain(extraction: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Tell which chain of image processing and features it was, and its engine."""
    of = "IBSI 1" if extraction.get("ibsi") else "PyRadiomics"
    return f"chain of {of}: {engine(extraction, versions)}"


def with_effect(extraction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without what has no effect on the chain that they choose."""
    left_out = _NO_EFFECT_ON_IBSI if extraction.get("ibsi") else ()
    return {name: part for name, part in extraction.items() if name not in left_out}


def feature_classes(names: Iterable[str]) -> dict[str, int]:
    """Return the columns by feature class, PyRadiomics' first; other tables' own names are not counted."""
    found: Counter[str] = Counter()
    for name in names:
        match = _CLASS.search(name)
        if match:
            found[CLASSES[match[1]]] += 1
    return {words: found[words] for words in CLASSES.values() if found[words]}


def counted(levels: Mapping[str, int], *, most: int = 8) -> str:
    """Return levels with their counts as a list in words."""
    shown = [f"{name} ({n})" for name, n in list(levels.items())[:most]]
    rest = len(levels) - most
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def harmonisation(settings: ModelSettings) -> str:
    """Return how batches were harmonised; empty where they were not."""
    combat = settings.preprocess.combat
    if combat is None:
        return ""
    kept = f", keeping the effect of {', '.join(combat.covariates)}" if combat.covariates else ""
    prior = "parametric" if combat.parametric else "non-parametric"
    mean = ", means alone" if combat.mean_only else ""
    return f"features were harmonised by ComBat with {combat.batch} as batch{kept} ({prior} prior{mean})"


def scaling(settings: ModelSettings) -> str:
    """Return how features were scaled."""
    scale = settings.preprocess.scale
    return "features were not scaled" if scale == "none" else f"features were scaled by {_SCALES[scale]}"


def filters(settings: ModelSettings) -> list[str]:
    """Return the filters before any selection by outcome, one phrase each."""
    p = settings.preprocess
    told = []
    if p.near_constant > 0:
        told.append(
            f"features in which fewer than {percent(p.near_constant)} of rows differ from the commonest value went"
        )
    if p.min_icc is not None:
        told.append(f"features with an ICC below {p.min_icc:g} went")
    if p.max_correlation is not None and p.max_correlation < 1:
        told.append(f"of two features with an absolute Spearman correlation above {p.max_correlation:g} one went")
    return told


def selection(settings: ModelSettings) -> list[str]:
    """Return the steps of selection by outcome, one phrase each."""
    return [_step(step, survival=settings.task == "survival") for step in settings.preprocess.select]


def _step(step: SelectionSettings, *, survival: bool) -> str:
    if step.method == "univariate":
        return f"the {step.k} best features by {'the score test of a Cox model' if survival else 'F test'}"
    if step.method == "mrmr":
        return f"{step.k} features by minimum redundancy and maximum relevance (mRMR)"
    if step.method == "l1":
        return f"features with a weight in an L1-penalised logistic regression (C = {step.strength:g})"
    return f"LASSO at one standard error from the best AUC ({step.folds}-fold)"


def models(settings: ModelSettings) -> str:
    """Return the models that competed, with their search spaces."""
    parts = []
    for name, space in settings.models.items():
        searched = "; ".join(f"{k}: {', '.join(map(_value, values))}" for k, values in space.items())
        parts.append(f"{MODELS.get(name, name)} ({searched})" if searched else MODELS.get(name, name))
    return ", or ".join(parts)


def search_metric(settings: ModelSettings) -> str:
    """Return the metric that the inner folds go by."""
    metric = settings.search.metric or ("c-index" if settings.task == "survival" else "auc")
    return {"auc": "AUC", "c-index": "C-index"}.get(metric, metric)


def threshold(settings: ModelSettings) -> str:
    """Return how the cut-off was made."""
    if settings.task == "survival":
        return "the median risk of the training rows' own out-of-fold scores"
    if settings.threshold == "youden":
        return "Youden's index on the training rows' own out-of-fold scores"
    return f"a probability of {settings.threshold:g}, set beforehand"


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(_value(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
