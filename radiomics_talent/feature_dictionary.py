"""The dictionary of features: what each is called here and by the IBSI, what it means, and which chain computes it.

The table itself is ``features/dictionary.csv``, one row a feature of a class. Two chains of processing compute
features: PyRadiomics' (engines native and reference) and the IBSI's. Where both have a feature, it has one row.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Literal, Self, cast, get_args

from radiomics_talent.errors import ConfigError

ComputedBy = Literal["pyradiomics", "ibsi", "both", ""]
_CLASSES_OF_PYRADIOMICS = ("shape", "shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
Aggregation = Literal["2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"]
"""How the IBSI makes one value of matrices that have directions: BTW3, SUJT, JJUI, ZW7Z, ITBB, IAZD."""
DIRECTED, UNDIRECTED = ("glcm", "glrlm"), ("glszm", "gldzm", "ngtdm", "gldm")
"""Classes whose matrices have directions, and those whose have none."""
_AGGREGATIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(DIRECTED, get_args(Aggregation)),
    **dict.fromkeys(UNDIRECTED, ("2D", "2_5D", "3D")),
}
# PyRadiomics' own, which its column names do not tell.
_UNTOLD = frozenset({"", "3D_avg", "3D"})


@dataclass(frozen=True, slots=True)
class FeatureDefinition:
    """One feature.

    Attributes
    ----------
    feature_class : str
        Class: PyRadiomics' name, or ``localintensity``, ``histogram``, ``ivh``, ``gldzm``.
    feature : str
        Name within the class: PyRadiomics' where it has the feature.
    ibsi_family, ibsi_name, ibsi_code : str
        As the IBSI's table of reference values spells them; empty where IBSI 1 lacks the feature.
    unit : str
        On a CT in HU: 1, bit, mm, mm2, mm3, mm-1, HU, HU2, HU mm3, HU2 mm3.
    definition : str
        What it measures, in one line.
    departs : str
        Where PyRadiomics' number is not the IBSI's; empty where it is.
    in_pyradiomics : bool
        Whether PyRadiomics knows the name.
    deprecated : bool
        Whether PyRadiomics computes it only when it is named, if then.
    computed_by : {'pyradiomics', 'ibsi', 'both', ''}
        Which chain has numbers for it; '' for names that PyRadiomics knows and gives no number for.
    """

    feature_class: str
    feature: str
    ibsi_family: str
    ibsi_name: str
    ibsi_code: str
    unit: str
    definition: str
    departs: str
    in_pyradiomics: bool
    deprecated: bool
    computed_by: ComputedBy

    @property
    def by_ibsi(self) -> bool:
        """Whether the IBSI chain computes it."""
        return self.computed_by in {"ibsi", "both"}

    def unit_on(self, image_type: str, *, in_hu: bool = True) -> str:
        """Return the unit on an image type; '' for what was HU and no longer is.

        Parameters
        ----------
        image_type : str
            As in a column's name; everything but ``original`` is filtered.
        in_hu : bool
            Whether the image itself is in HU, not normalised.
        """
        return "" if self.unit.startswith("HU") and not (in_hu and image_type == "original") else self.unit


@dataclass(frozen=True, slots=True)
class ColumnName:
    """The name of a feature's column: ``original_glcm_Contrast``, ``original_glcm-2.5D-avg_Contrast``.

    Attributes
    ----------
    image_type : str
        ``original``, or what a filter made of it; without underscore.
    feature_class : str
        Class.
    aggregation : str
        How matrices became one number: 2D_avg, 2D_comb, 2_5D_avg, 2_5D_comb, 3D_avg or 3D_comb; 2D, 2_5D or 3D for
        matrices without directions; '' for other classes. 3D_avg and 3D are not spelt in the name.
    feature : str
        Name within the class.

    Raises
    ------
    ValueError
        The class has no such aggregation.
    """

    image_type: str
    feature_class: str
    aggregation: str
    feature: str

    def __post_init__(self) -> None:
        known = _AGGREGATIONS.get(self.feature_class, ("",))
        if self.aggregation not in known:
            raise ValueError(f"{self.feature_class} is not aggregated as {self.aggregation!r}; known: {known}")

    @classmethod
    def parse(cls, column: str) -> Self:
        """Return the parts of a column's name; of a name that is one, `str` gives back the same text.

        Raises
        ------
        ValueError
            It has not the form of a feature's column.
        """
        image_type, _, rest = column.partition("_")
        spelt, _, feature = rest.partition("_")
        if not (image_type and spelt and feature):
            raise ValueError(f"{column!r} is not <image type>_<class>_<feature>")
        feature_class, aggregation = _class_and_aggregation(spelt)
        return cls(image_type, feature_class, aggregation, feature)

    @property
    def spelt_aggregation(self) -> str:
        """The aggregation as the name spells it (2.5D-avg), '' where it does not."""
        return "" if self.aggregation in _UNTOLD else _spelt(self.aggregation)

    def __str__(self) -> str:
        """Return the column's name."""
        spelt = self.spelt_aggregation
        return f"{self.image_type}_{self.feature_class}{f'-{spelt}' if spelt else ''}_{self.feature}"


@lru_cache(maxsize=1)
def definitions() -> tuple[FeatureDefinition, ...]:
    """Return every feature, class by class in the IBSI's order; what PyRadiomics alone knows comes last in a class."""
    text = resources.files("radiomics_talent").joinpath("features/dictionary.csv").read_text(encoding="utf-8")
    return tuple(
        FeatureDefinition(
            **{name: row[name] for name in _TEXTS},
            in_pyradiomics=row["deprecated"] != "",
            deprecated=row["deprecated"] == "yes",
            computed_by=cast("ComputedBy", row["computed_by"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


@lru_cache(maxsize=1)
def pyradiomics_names() -> dict[str, tuple[str, ...]]:
    """Return every name that PyRadiomics knows, by class, deprecated ones included, in PyRadiomics' order."""
    names: dict[str, list[str]] = {name: [] for name in _CLASSES_OF_PYRADIOMICS}
    for one in definitions():
        if one.in_pyradiomics:
            names[one.feature_class].append(one.feature)
    # PyRadiomics finds its features by the names of their methods.
    return {k: tuple(sorted(v, key=lambda name: f"get{name}FeatureValue")) for k, v in names.items()}


@lru_cache(maxsize=1)
def ibsi_names() -> dict[str, tuple[str, ...]]:
    """Return every feature of the IBSI chain, by class; classes and features in the IBSI's order."""
    names: dict[str, list[str]] = {}
    for one in definitions():
        if one.by_ibsi:
            names.setdefault(one.feature_class, []).append(one.feature)
    return {k: tuple(v) for k, v in names.items()}


def definition_of(column: str | ColumnName) -> FeatureDefinition | None:
    """Return the definition of a column's feature; None for a column that is no feature known here."""
    try:
        name = ColumnName.parse(column) if isinstance(column, str) else column
    except ValueError:
        return None
    return _by_name().get((name.feature_class, name.feature))


def features_of_family(family: str) -> tuple[FeatureDefinition, ...]:
    """Return the features of a class or of a family of the IBSI.

    Parameters
    ----------
    family : str
        A class (``glcm``) or a family (``Co-occurrence matrix``), in any case; its beginning is enough where only
        one begins so. What IBSI lacks belongs to a class, but to no family.

    Raises
    ------
    ConfigError
        There is no such one, or several begin so.
    """
    found = {name: rows for name, rows in _groups().items() if name.casefold() == _plain(family)}
    found = found or {name: rows for name, rows in _groups().items() if name.casefold().startswith(_plain(family))}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    if found and _plain(family):
        raise ConfigError(f"--family {family}: several begin so: {', '.join(found)}; give more of the name")
    near = difflib.get_close_matches(_plain(family), [name.casefold() for name in _groups()], n=3, cutoff=0.5)
    names = [name for name in _groups() if not near or name.casefold() in near]
    hint = f"did you mean {' or '.join(names)}?" if near else f"known are {', '.join(names)}"
    raise ConfigError(f"--family {family}: no such class or family of features; {hint}")


_ABBREVIATIONS = {"ngldm": "gldm"}
"""Families by names that the IBSI uses and PyRadiomics does not."""
_TEXTS = (
    "feature_class", "feature", "ibsi_family", "ibsi_name", "ibsi_code", "unit", "definition", "departs",
)  # fmt: skip


@lru_cache(maxsize=1)
def _by_name() -> dict[tuple[str, str], FeatureDefinition]:
    return {(one.feature_class, one.feature): one for one in definitions()}


@lru_cache(maxsize=1)
def _groups() -> dict[str, tuple[FeatureDefinition, ...]]:
    groups: dict[str, list[FeatureDefinition]] = {}
    for one in definitions():
        groups.setdefault(one.feature_class, []).append(one)
    for one in definitions():
        if one.ibsi_family:
            groups.setdefault(one.ibsi_family, []).append(one)
    return {name: tuple(rows) for name, rows in groups.items()}


def _plain(family: str) -> str:
    # The table of reference values adds the aggregation: Co-occurrence matrix (3D, averaged).
    plain = family.partition(" (")[0].strip().casefold()
    return _ABBREVIATIONS.get(plain, plain)


def _spelt(aggregation: str) -> str:
    return aggregation.replace("2_5D", "2.5D").replace("_", "-")


def _class_and_aggregation(spelt: str) -> tuple[str, str]:
    """Take a class's spelling apart; what is no aggregation of the class belongs to an unknown class's name."""
    for feature_class, aggregations in _AGGREGATIONS.items():
        for aggregation in aggregations:
            suffix = "" if aggregation in _UNTOLD else f"-{_spelt(aggregation)}"
            if spelt == f"{feature_class}{suffix}":
                return feature_class, aggregation
    return spelt, ""
