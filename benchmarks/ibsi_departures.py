"""Where PyRadiomics departs from IBSI 1, measured on the IBSI's CT phantom.

    python benchmarks/ibsi_departures.py --data FOLDER     # the folder that `radiomics-talent ibsi --data` takes

Prints Markdown for docs/ibsi.md. PyRadiomics computes with its own code (engine `reference`), on what IBSI's processing
hands on, so that definitions alone are compared, and by its own processing. Then this program's chain is run with one
step at a time done as PyRadiomics does it.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.compliance.comparison import settings_of
from radiomics_talent.compliance.phantoms import Phantom, find_ct_phantom, load_ct_phantom
from radiomics_talent.compliance.reference_values import ReferenceValue, load_reference_values
from radiomics_talent.feature_dictionary import ColumnName, definition_of, definitions, ibsi_names
from radiomics_talent.features import reference
from radiomics_talent.features.engine import prepare
from radiomics_talent.features.ibsi.compute import compute as compute_ibsi
from radiomics_talent.features.ibsi.processing import lesion_of, prepare_ibsi
from radiomics_talent.features.prepared import resegmented
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from radiomics_talent.features.prepared import Prepared

Key = tuple[str, str, str]
"""IBSI family, IBSI name, aggregation."""
Values = dict[Key, float]

SMALL = 1e-6
"""Relative difference up to which two numbers are the same feature; PyRadiomics adds epsilon here and there."""
_DIRECTED, _PLANES = ("glcm", "glrlm"), ("glszm", "ngtdm", "gldm")
_NUMBERING = "numbering"
_CAUSES = {"Kurtosis": "excess", "AxisLength": "covariance", "ngtdm": "lone voxels", "shape": "box"}
"""By a part of the column's name, where numbering is not the cause; docs/ibsi.md explains the words."""
_SHORT = {
    "Co-occurrence matrix": "GLCM", "Run length matrix": "GLRLM", "Size zone matrix": "GLSZM",
    "Neighbourhood grey tone difference matrix": "NGTDM", "Neighbouring grey level dependence matrix": "NGLDM",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What one way of computing gives: values, and the voxels of the two masks."""

    values: Values
    morphological: int
    intensity: int


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration, PyRadiomics' settings of the same names, and the aggregations that these lead to."""

    config: str
    setting: Mapping[str, Any]
    directed: str = "3D_avg"
    plane: str = "3D"


_A = {"binWidth": 25, "resegmentRange": [-500, 400], "force2D": True}
_C = {"binWidth": 25, "resegmentRange": [-1000, 400]}
_D = {"binCount": 32, "resegmentRange": [-3, 3], "resegmentMode": "sigma"}
_TO_2_MM = {"resampledPixelSpacing": [2, 2, 2]}
_AGGREGATED = (
    ("`force2D: true`", Case("A", _A, "2_5D_avg", "2_5D")),
    (
        "`force2D: true`, `weightingNorm: no_weighting`",
        Case("A", _A | {"weightingNorm": "no_weighting"}, "2_5D_comb", "2_5D"),
    ),
    ("none", Case("C", _C)),
    ("`weightingNorm: no_weighting`", Case("C", _C | {"weightingNorm": "no_weighting"}, "3D_comb")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the CT phantom")
    folder = find_ct_phantom(parser.parse_args().data)
    if folder is None:
        parser.error("the CT phantom is not in that folder")
    phantom = load_ct_phantom(folder)
    for part in (definitions_differ, aggregations_match, processing_differs, lacking):
        print("\n".join(part(phantom)), end="\n\n")


def definitions_differ(phantom: Phantom) -> Iterator[str]:
    """List every feature of PyRadiomics that differs from ours on the very image and mask of IBSI's processing."""
    yield f"**Definitions** (PyRadiomics {version('pyradiomics')} on the image and mask that IBSI's processing gives)"
    yield ""
    yield "| configuration | class | feature | PyRadiomics | IBSI | difference | consensus | within | cause |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for case in (Case("C", _C), Case("D", _D), Case("A", _A, "2_5D_avg", "2_5D")):
        settings = settings_of(case.config)
        handed_on = prepare_ibsi(phantom.image, phantom.lesion, _ibsi(settings))
        theirs, consensus = by_pyradiomics(handed_on, case), consensus_of(case.config)
        ours, numbered = by_ibsi(handed_on, settings), by_ibsi(handed_on, numbered_as_pyradiomics(handed_on, settings))
        for key, column in columns_of(case).items():
            value = theirs.values[key]
            if not _relative(value, ours.values[key]) > SMALL:
                continue
            same = _relative(value, numbered.values[key]) <= SMALL
            cause = _NUMBERING if same else _cause(column)
            name, agreed = ColumnName.parse(column), consensus[key]
            yield (
                f"| {case.config} | {name.feature_class} | {name.feature} | {value:.5g} | {ours.values[key]:.5g} "
                f"| {_percent(_relative(value, ours.values[key]))} | {_agreed(agreed)} "
                f"| {'yes' if agreed.agrees(value) else 'no'} | {cause} |"
            )
        yield (
            f"| {case.config} | | {len(columns_of(case))} features compared "
            f"| {theirs.intensity:,} voxels | {ours.intensity:,} voxels | | | | |"
        )


def aggregations_match(phantom: Phantom) -> Iterator[str]:
    """Say which setting of PyRadiomics is which aggregation of the IBSI, and how near the numbers are."""
    yield "**Aggregations** (the same levels on both sides; NGTDM apart, whose difference has the cause named above)"
    yield ""
    yield "| settings of PyRadiomics | GLCM, GLRLM | other matrices | features | largest relative difference |"
    yield "|---|---|---|---|---|"
    for text, case in _AGGREGATED:
        settings = settings_of(case.config)
        handed_on = prepare_ibsi(phantom.image, phantom.lesion, _ibsi(settings))
        theirs = by_pyradiomics(handed_on, case).values
        ours = by_ibsi(handed_on, numbered_as_pyradiomics(handed_on, settings)).values
        matrices = [key for key in columns_of(case) if key[2] and not key[0].startswith("Neighbourhood")]
        largest = max(_relative(theirs[key], ours[key]) for key in matrices)
        yield f"| {text} | {case.directed} | {case.plane} | {len(matrices)} | {largest:.0e} |"


def processing_differs(phantom: Phantom) -> Iterator[str]:
    """Count what is met of the consensus, by PyRadiomics' own processing and by single steps of it."""
    for case in (Case("C", _C), Case("D", _D)):
        consensus = {key: value for key, value in consensus_of(case.config).items() if key in columns_of(case)}
        families = list(dict.fromkeys(family for family, _, _ in consensus))
        yield f"**Processing, configuration {case.config}** (consensus values met, of those that PyRadiomics has)"
        yield ""
        yield f"| | voxels | after resegmentation | {' | '.join(_SHORT.get(f, f) for f in families)} | all |"
        yield "|---|---|---|" + "---|" * (len(families) + 1)
        ways = dict(_ways(phantom, case))
        for text, found in ways.items():
            cells = [_met(found.values, {k: v for k, v in consensus.items() if k[0] == family}) for family in families]
            yield (
                f"| {text} | {found.morphological:,} | {found.intensity:,} | {' | '.join(cells)} "
                f"| {_met(found.values, consensus)} |"
            )
        yield ""
        yield f"Largest differences from the consensus value, configuration {case.config}:"
        yield ""
        yield f"| | {' | '.join(_SHORT.get(f, f) for f in families)} |"
        yield "|---|" + "---|" * len(families)
        for text in list(ways)[1:3]:
            yield f"| {text} | {' | '.join(_farthest(ways[text].values, consensus, f) for f in families)} |"
        yield ""


def lacking(_: Phantom) -> Iterator[str]:
    """List the features of the IBSI that PyRadiomics has under no name, or under a name without a number."""
    for text, named in (("has not", False), ("names, and computes no more", True)):
        by_class: dict[str, list[str]] = {}
        for one in definitions():
            if one.computed_by == "ibsi" and one.in_pyradiomics == named:
                by_class.setdefault(one.feature_class, []).append(one.feature)
        number = sum(map(len, by_class.values()))
        yield f"**What PyRadiomics {text}** ({number} features)"
        yield ""
        yield from (f"- {name}: {', '.join(features)}" for name, features in by_class.items())
        yield ""


def _ways(phantom: Phantom, case: Case) -> Iterator[tuple[str, Found]]:
    """Compute a configuration as IBSI does, as PyRadiomics does, and with single steps of PyRadiomics."""
    settings = settings_of(case.config)
    handed_on = prepare_ibsi(phantom.image, phantom.lesion, _ibsi(settings))
    yield "this program", by_ibsi(handed_on, settings)
    for interpolator in ("sitkBSpline", "sitkLinear"):
        chain = replace(case, setting={**case.setting, **_TO_2_MM, "interpolator": interpolator})
        prepared = prepare(phantom.image, phantom.lesion, _pyradiomics(chain))
        yield f"PyRadiomics, `{interpolator}`", by_pyradiomics(prepared, chain)
    yield (
        "this program on PyRadiomics' image and mask (`sitkLinear`)",
        by_ibsi(replace(prepared, image=sitk.Cast(prepared.image, sitk.sitkFloat64)), settings),
    )
    yield "PyRadiomics on IBSI's image and mask", by_pyradiomics(handed_on, case)
    for text, changed in (
        ("this program, grid aligned at the corner", {"grid": "corner"}),
        ("this program, mask by nearest neighbour", {"mask_interpolator": "nearest"}),
        ("this program, intensities not rounded", {"round_hu": False}),
    ):
        other = _with(settings, "interpolation", **changed)
        yield text, by_ibsi(prepare_ibsi(phantom.image, phantom.lesion, _ibsi(other)), other)
    yield "this program, intensities cut to whole numbers", by_ibsi(_cut(phantom, settings), settings)
    if "binWidth" in case.setting:
        numbered = numbered_as_pyradiomics(handed_on, settings)
        yield "this program, levels from the lesion's lowest", by_ibsi(handed_on, numbered)


def _cut(phantom: Phantom, settings: ExtractionSettings) -> Prepared:
    """Interpolate, and cut intensities towards zero, as ITK does for images of whole numbers."""
    exact = _ibsi(_with(settings, "interpolation", round_hu=False))
    prepared = prepare_ibsi(phantom.image, phantom.lesion, exact)
    image = sitk.GetImageFromArray(np.trunc(sitk.GetArrayFromImage(prepared.image)))
    image.CopyInformation(prepared.image)
    return replace(prepared, image=image)


def by_ibsi(prepared: Prepared, settings: ExtractionSettings) -> Found:
    """Compute by this program's definitions."""
    lesion = lesion_of(prepared, _ibsi(settings))
    values: Values = {}
    # The volume histogram takes no intensities that are not whole, and PyRadiomics has none to compare with.
    others = {name: None for name in ibsi_names() if name != "ivh"}
    asked = settings.model_copy(update={"ibsi": _ibsi(settings).model_copy(update={"features": others})})
    for column, value in compute_ibsi(prepared, asked)[0].items():
        definition = definition_of(column)
        assert definition is not None
        values[definition.ibsi_family, definition.ibsi_name, ColumnName.parse(column).aggregation] = value
    return Found(values, int(lesion.morphological_zyx.sum()), int(lesion.intensity_zyx.sum()))


def by_pyradiomics(prepared: Prepared, case: Case) -> Found:
    """Compute by PyRadiomics' definitions, with its own resegmentation and discretisation."""
    settings = _pyradiomics(case)
    found = reference.compute(prepared, settings)[0]
    values = {key: found[column] for key, column in columns_of(case).items()}
    left = resegmented(prepared, settings)
    drawn = sitk.GetArrayViewFromImage(prepared.mask) == 1
    return Found(values, int(drawn.sum()), int(left.texture_zyx.sum()))


def numbered_as_pyradiomics(prepared: Prepared, settings: ExtractionSettings) -> ExtractionSettings:
    """Return the settings with level 1 at the multiple of the bin width at or below the lesion's lowest intensity.

    A fixed number of bins is numbered alike by both.
    """
    asked = _ibsi(settings)
    assert asked.discretisation is not None
    width = asked.discretisation.bin_width
    if width is None:
        return settings
    lesion = lesion_of(prepared, asked)
    lowest = float(lesion.image_zyx[lesion.box.slices_zyx][lesion.intensity_zyx].min())
    return _with(settings, "discretisation", lowest_hu=math.floor(lowest / width) * width)


def columns_of(case: Case) -> dict[Key, str]:
    """Return the columns of the features that both PyRadiomics and the IBSI have, by what the IBSI calls them."""
    found = {}
    for one in definitions():
        if one.ibsi_code and one.computed_by in {"both", "pyradiomics"}:
            aggregation = case.directed if one.feature_class in _DIRECTED else ""
            aggregation = case.plane if one.feature_class in _PLANES else aggregation
            column = f"original_{one.feature_class}_{one.feature}"
            found[one.ibsi_family, one.ibsi_name, aggregation] = column
    return found


def consensus_of(config: str) -> dict[Key, ReferenceValue]:
    """Return the reference values of a configuration."""
    return {
        (one.feature_family.split(" (")[0], one.feature, one.aggregation): one
        for one in load_reference_values(None)
        if one.config == config
    }


def _pyradiomics(case: Case) -> ExtractionSettings:
    classes: dict[str, list[str]] = {}
    for column in columns_of(case).values():
        name = ColumnName.parse(column)
        classes.setdefault(name.feature_class, []).append(name.feature)
    return ExtractionSettings.model_validate(
        {
            "imageType": {"Original": {}},
            "featureClass": classes,
            "setting": dict(case.setting),
            "engine": "reference",
        }
    )


def _with(settings: ExtractionSettings, section: str, **changed: Any) -> ExtractionSettings:
    plain = settings.canonical()
    plain["ibsi"][section] |= changed
    return ExtractionSettings.model_validate(plain)


def _ibsi(settings: ExtractionSettings) -> Any:
    assert settings.ibsi is not None
    return settings.ibsi


def _cause(column: str) -> str:
    return next(text for part, text in _CAUSES.items() if part in column)


def _relative(value: float, other: float) -> float:
    return abs(value - other) / abs(other) if other else abs(value)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"


def _agreed(value: ReferenceValue) -> str:
    return f"{value.value:g} ± {value.tolerance:g}"


def _met(values: Values, consensus: Mapping[Key, ReferenceValue]) -> str:
    return f"{sum(one.agrees(values[key]) for key, one in consensus.items())}/{len(consensus)}"


def _farthest(values: Values, consensus: Mapping[Key, ReferenceValue], family: str) -> str:
    differences = {
        key: _relative(values[key], one.value) for key, one in consensus.items() if key[0] == family and one.value
    }
    key = max(differences, key=lambda one: differences[one])
    return f"{key[1]} {_percent(differences[key])}"


if __name__ == "__main__":
    main()
