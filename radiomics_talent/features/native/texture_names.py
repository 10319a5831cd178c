"""Names of first-order and texture features in PyRadiomics' order, and which of them are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiomics_talent.features.native.neighbours import neighbour_warnings
from radiomics_talent.features.native.wanted_features import choose_features

if TYPE_CHECKING:
    from collections.abc import Mapping

    from radiomics_talent.features.native.texture_settings import TextureSettings

USUAL: dict[str, tuple[str, ...]] = {
    "firstorder": (
        *("10Percentile", "90Percentile", "Energy", "Entropy", "InterquartileRange", "Kurtosis", "Maximum"),
        *("MeanAbsoluteDeviation", "Mean", "Median", "Minimum", "Range", "RobustMeanAbsoluteDeviation"),
        *("RootMeanSquared", "Skewness", "TotalEnergy", "Uniformity", "Variance"),
    ),
    "glcm": (
        *("Autocorrelation", "ClusterProminence", "ClusterShade", "ClusterTendency", "Contrast", "Correlation"),
        *("DifferenceAverage", "DifferenceEntropy", "DifferenceVariance", "Id", "Idm", "Idmn", "Idn", "Imc1", "Imc2"),
        *("InverseVariance", "JointAverage", "JointEnergy", "JointEntropy", "MCC", "MaximumProbability"),
        *("SumAverage", "SumEntropy", "SumSquares"),
    ),
    "gldm": (
        *("DependenceEntropy", "DependenceNonUniformity", "DependenceNonUniformityNormalized", "DependenceVariance"),
        *("GrayLevelNonUniformity", "GrayLevelVariance", "HighGrayLevelEmphasis", "LargeDependenceEmphasis"),
        *("LargeDependenceHighGrayLevelEmphasis", "LargeDependenceLowGrayLevelEmphasis", "LowGrayLevelEmphasis"),
        *("SmallDependenceEmphasis", "SmallDependenceHighGrayLevelEmphasis", "SmallDependenceLowGrayLevelEmphasis"),
    ),
    "glrlm": (
        *("GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance"),
        *("HighGrayLevelRunEmphasis", "LongRunEmphasis", "LongRunHighGrayLevelEmphasis"),
        *("LongRunLowGrayLevelEmphasis", "LowGrayLevelRunEmphasis", "RunEntropy", "RunLengthNonUniformity"),
        *("RunLengthNonUniformityNormalized", "RunPercentage", "RunVariance", "ShortRunEmphasis"),
        *("ShortRunHighGrayLevelEmphasis", "ShortRunLowGrayLevelEmphasis"),
    ),
    "glszm": (
        *("GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance"),
        *("HighGrayLevelZoneEmphasis", "LargeAreaEmphasis", "LargeAreaHighGrayLevelEmphasis"),
        *("LargeAreaLowGrayLevelEmphasis", "LowGrayLevelZoneEmphasis", "SizeZoneNonUniformity"),
        *("SizeZoneNonUniformityNormalized", "SmallAreaEmphasis", "SmallAreaHighGrayLevelEmphasis"),
        *("SmallAreaLowGrayLevelEmphasis", "ZoneEntropy", "ZonePercentage", "ZoneVariance"),
    ),
    "ngtdm": ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength"),
}
"""What a class computes when no feature of it is named."""

DEPRECATED: dict[str, tuple[str, ...]] = {
    "firstorder": ("StandardDeviation",),
    "glcm": ("Dissimilarity", "Homogeneity1", "Homogeneity2", "SumVariance"),
    "gldm": ("DependencePercentage", "GrayLevelNonUniformityNormalized"),
}
"""What is known only by name. Those of the matrices equal other features: PyRadiomics warns, and computes nothing."""


OF_NEIGHBOURS = ("glcm", "gldm", "ngtdm")
"""Classes of the matrices that one pass over pairs of neighbours fills."""


def wanted_features(
    classes: Mapping[str, tuple[str, ...] | None], settings: TextureSettings
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the features to compute, class by class, and what PyRadiomics says to the choice.

    Parameters
    ----------
    classes : mapping of str to tuple of str or None
        Classes in order, each with its features by name; None, or none, is all that are not deprecated. Shape
        classes are passed over.
    settings : TextureSettings
        Some features of GLCM warn of its symmetry.

    Returns
    -------
    wanted : dict of str to tuple of str
        By class; a class may have no feature to compute.
    warnings : tuple of str
        Each sentence once.

    Raises
    ------
    LookupError
        If a class has no feature of a name given.
    """
    wanted: dict[str, tuple[str, ...]] = {}
    warnings: list[str] = []
    for family, names in classes.items():
        if family in USUAL:
            wanted[family], more = _chosen(family, names)
            warnings += more
            if family in OF_NEIGHBOURS:
                warnings += neighbour_warnings(settings, {family: wanted[family]})
    return wanted, tuple(dict.fromkeys(warnings))


def of_neighbours(wanted: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return what is wanted of the classes whose matrices count pairs of neighbours."""
    return {family: wanted[family] for family in OF_NEIGHBOURS if wanted.get(family)}


def _chosen(family: str, names: tuple[str, ...] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Leave out what warns but computes nothing."""
    empty = DEPRECATED.get(family, ())
    wanted, warnings = choose_features(names, USUAL[family], empty)
    return tuple(n for n in wanted if family == "firstorder" or n not in empty), warnings
