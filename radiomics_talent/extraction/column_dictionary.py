"""What each feature column of a run's table means: the rows of ``features_dictionary.csv``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiomics_talent.feature_dictionary import DIRECTED, ColumnName, definition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.settings import ExtractionSettings

COLUMNS = (
    "column", "feature_class", "feature", "aggregation", "image_type", "ibsi_family", "ibsi_name", "ibsi_code", "unit",
    "definition", "departs",
)  # fmt: skip
"""Columns of the file."""
_TURNED = ("force2D", "force2Ddimension", "weightingNorm")


def column_rows(columns: Sequence[str], settings: ExtractionSettings) -> list[tuple[str, ...]]:
    """Return a row for each feature column.

    Parameters
    ----------
    columns : sequence of str
        Names of the feature columns.
    settings : ExtractionSettings
        What they were computed with: tells the chain, the aggregation and whether values are HU.

    Returns
    -------
    list of tuple of str
        Cells under `COLUMNS`. Empty are: everything but the name of a column that is no known feature; the aggregation
        where PyRadiomics' has no counterpart in the IBSI; the unit of what is no longer HU; ``departs`` in the IBSI
        chain.
    """
    return [_row(column, settings) for column in columns]


def unit_of(column: str | ColumnName, settings: ExtractionSettings | None) -> str:
    """Return the unit of a column's numbers.

    Parameters
    ----------
    column : str or ColumnName
        The column.
    settings : ExtractionSettings or None
        What it was computed with; None where that is not known: then the image is taken to be in HU.

    Returns
    -------
    str
        1, bit, mm, mm2, mm3, mm-1, HU, HU2, HU mm3 or HU2 mm3; '' for a column that is no known feature, and for
        intensities that are no longer HU (filtered, or of a normalised image).
    """
    definition = definition_of(column)
    if definition is None:
        return ""
    name = column if isinstance(column, ColumnName) else ColumnName.parse(column)
    if name.feature_class == "ivh" and _levels_are_counted(settings):
        return "1"
    return definition.unit_on(name.image_type, in_hu=settings is None or not settings.setting.normalize)


def _row(column: str, settings: ExtractionSettings) -> tuple[str, ...]:
    definition = definition_of(column)
    if definition is None:
        return (column, *([""] * (len(COLUMNS) - 1)))
    name = ColumnName.parse(column)
    return (
        column,
        name.feature_class,
        name.feature,
        name.aggregation if settings.ibsi is not None else _aggregation_of_pyradiomics(name, settings),
        name.image_type,
        definition.ibsi_family,
        definition.ibsi_name,
        definition.ibsi_code,
        unit_of(name, settings),
        definition.definition,
        "" if settings.ibsi is not None else definition.departs,
    )


def _levels_are_counted(settings: ExtractionSettings | None) -> bool:
    # With a fixed number of levels, the intensities of the volume histogram are levels.
    levels = settings.ibsi.ivh_discretisation if settings is not None and settings.ibsi is not None else None
    return levels is not None and levels.bin_count is not None


def _aggregation_of_pyradiomics(name: ColumnName, settings: ExtractionSettings) -> str:
    """Return what PyRadiomics does instead of 3D averaging where it is told to; '' where the IBSI lacks it."""
    if not name.aggregation or any(o.model_fields_set & set(_TURNED) for o in settings.imageType.values()):
        return ""
    weights, in_plane = settings.setting.weightingNorm, settings.setting.force2D
    directed = name.feature_class in DIRECTED
    if (in_plane and settings.setting.force2Ddimension != 0) or (directed and weights not in {None, "no_weighting"}):
        return ""
    # In the plane it counts all slices into one matrix a direction.
    planes = "2_5D" if in_plane else "3D"
    return f"{planes}_{'comb' if weights else 'avg'}" if directed else planes
