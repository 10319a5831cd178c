"""Run IBSI's configurations on its phantoms and compare every feature with its consensus value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from radiomics_talent.compliance.diagnostics import diagnostics
from radiomics_talent.compliance.reference_values import ReferenceValue
from radiomics_talent.feature_dictionary import ColumnName, definition_of
from radiomics_talent.features.engine import extract
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from radiomics_talent.compliance.phantoms import Phantom

Status = Literal["pass", "fail", "not computed", "no consensus"]
Key = tuple[str, str, str, str]
"""Family with its aggregation, feature, IBSI code, and the aggregation's short name."""

CONFIGURATIONS = ("digital", "A", "B", "C", "D", "E")
"""IBSI 1's: the digital phantom, and five ways to process the CT phantom."""

_AGGREGATIONS = {
    "2D_avg": "2D, averaged", "2D_comb": "2D, slice-merged", "2_5D_avg": "2.5D, direction-merged",
    "2_5D_comb": "2.5D, merged", "3D_avg": "3D, averaged", "3D_comb": "3D, merged",
    "2D": "2D", "2_5D": "2.5D", "3D": "3D",
}  # fmt: skip
"""As IBSI's table of reference values spells them in the names of families."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A feature of a configuration beside its consensus value.

    Attributes
    ----------
    config, feature_family, feature, ibsi_code, aggregation : str
        As in `ReferenceValue`.
    ours : float or None
        None where the feature is not computed or not defined.
    reference, tolerance : float or None
        None where there is no consensus value.
    status : {'pass', 'fail', 'not computed', 'no consensus'}
        'no consensus': IBSI reached none, or the table of reference values does not have the feature.
    """

    config: str
    feature_family: str
    feature: str
    ibsi_code: str
    aggregation: str
    ours: float | None
    reference: float | None
    tolerance: float | None
    status: Status


def settings_of(config: str) -> ExtractionSettings:
    """Return the preset of a configuration."""
    return ExtractionSettings.from_yaml(f"ibsi-{config.lower()}")


def computed_values(config: str, phantom: Phantom) -> dict[Key, float]:
    """Compute every feature of a configuration.

    Parameters
    ----------
    config : str
        Of `CONFIGURATIONS`.
    phantom : Phantom
        The digital phantom for 'digital', else the CT phantom.

    Returns
    -------
    dict
        Values; the diagnostics first, but for the digital phantom, of which IBSI has none.
    """
    settings = settings_of(config)
    asked = settings.ibsi
    assert asked is not None, "the presets are of this chain"
    found: dict[Key, float] = {}
    if config != "digital":
        described = diagnostics(phantom.image, phantom.lesion, asked)
        found = {(family, name, "", ""): value for (family, name), value in described.items()}
    for column, value in extract(phantom.image, phantom.lesion, settings).items():
        name, definition = ColumnName.parse(column), definition_of(column)
        assert definition is not None, "the dictionary has every feature of the chain"
        family = definition.ibsi_family
        if name.aggregation:
            family = f"{family} ({_AGGREGATIONS[name.aggregation]})"
        found[family, definition.ibsi_name, definition.ibsi_code, name.aggregation] = value
    return found


def compare(config: str, ours: Mapping[Key, float], reference: Iterable[ReferenceValue]) -> list[Comparison]:
    """Hold a configuration's values against the consensus.

    Parameters
    ----------
    config : str
        Of `CONFIGURATIONS`.
    ours : mapping
        From `computed_values`.
    reference : iterable of ReferenceValue
        Of any configurations.

    Returns
    -------
    list of Comparison
        In the order of the reference values; features without one follow.
    """
    found, compared = [], set()
    for value in reference:
        if value.config == config:
            key = (value.feature_family, value.feature, value.ibsi_code, value.aggregation)
            found.append(_compared(value, ours.get(key, math.nan)))
            compared.add(key)
    for (family, feature, code, aggregation), computed in ours.items():
        if (family, feature, code, aggregation) in compared:
            continue
        found.append(_compared(ReferenceValue(config, family, feature, code, aggregation, None, None), computed))
    return found


def _compared(value: ReferenceValue, ours: float) -> Comparison:
    status: Status
    if not math.isfinite(ours):
        status = "not computed"
    elif value.value is None:
        status = "no consensus"
    else:
        status = "pass" if value.agrees(ours) else "fail"
    return Comparison(
        config=value.config,
        feature_family=value.feature_family,
        feature=value.feature,
        ibsi_code=value.ibsi_code,
        aggregation=value.aggregation,
        ours=ours if math.isfinite(ours) else None,
        reference=value.value,
        tolerance=value.tolerance,
        status=status,
    )
