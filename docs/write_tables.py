"""Write the tables of docs/ that are made from code: run `make docs` after changing a finding or a setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from radiomics_talent.cluster_settings import ClusterSettings
from radiomics_talent.findings import CATALOGUE
from radiomics_talent.ibsi_settings import (
    DiscretisationSettings,
    IbsiSettings,
    InterpolationSettings,
    ResegmentationSettings,
)
from radiomics_talent.model_settings import (
    RESPONSE_MODELS,
    SURVIVAL_MODELS,
    ComBatSettings,
    ModelSettings,
    PreprocessSettings,
    SearchSettings,
    SelectionSettings,
    ValidationSettings,
)
from radiomics_talent.robustness_settings import (
    ChainSettings,
    ControlSettings,
    PerturbationSettings,
    StabilitySettings,
    StrengthSettings,
)
from radiomics_talent.settings import (
    ExtractionSettings,
    GeometrySettings,
    MaskSettings,
    PyRadiomicsSettings,
    VoxelSettings,
)

_FACTORY = {
    "Image types": "`Original`",
    "Feature classes": "all; `shape2D` only with `force2D: true`",
    "Chains of steps by name": "those of `talent-perturb`",
}
DOCS = Path(__file__).resolve().parent


def findings_page() -> str:
    """Return docs/findings.md."""
    rows = "\n".join(
        f"| `{code}` | {kind.level} | {kind.meaning} | {kind.remedy} |" for code, kind in sorted(CATALOGUE.items())
    )
    return f"""# Findings

Everything that `index`, `check` and `extract` can say about a scan, a mask or a lesion. The code is stable: scripts
may rely on it. An *error* means that no feature is computed for the row, a *warning* that it is computed and the
finding stands in `provenance.json`; the level given is the usual one, and a finding may be milder or graver when
its numbers say so. `check` exits with 1 when any row has an error.

| code | level | meaning | remedy |
|---|---|---|---|
{rows}
"""


def settings_page() -> str:
    """Return docs/settings.md."""
    sections = [
        ("Top level", ExtractionSettings),
        ("`setting`, and each image type under `imageType`", PyRadiomicsSettings),
        ("`geometry`", GeometrySettings),
        ("`mask`", MaskSettings),
        ("`voxelSetting`", VoxelSettings),
        ("`ibsi`", IbsiSettings),
        ("`ibsi.interpolation`", InterpolationSettings),
        ("`ibsi.resegmentation`", ResegmentationSettings),
        ("`ibsi.discretisation` and `ibsi.ivh_discretisation`", DiscretisationSettings),
    ]
    tables = "\n".join(f"## {title}\n\n{_table(model)}\n" for title, model in sections)
    return f"""# Settings of an extraction

A settings file is YAML. PyRadiomics' parameter files are valid as they are: `imageType`, `featureClass`, `setting`
and `voxelSetting` have PyRadiomics' names, layout and defaults; the other keys are ours. Everything here changes
numbers and is part of the settings' hash in `provenance.json`; what does not change numbers (`--jobs`, `--out`) is an
option of the command. `radiomics-talent config schema` prints the JSON Schema, `radiomics-talent config list` the
presets, `radiomics-talent config show NAME` one of them.

Two facts of PyRadiomics 3.0.1 that its numbers carry, and so ours: after `resegmentRange`, shape is measured on the
whole lesion but only inside the box of the voxels that are left (set `resegmentShape` to measure what is left); and
`minimumROISize` must be exceeded, not reached.

{tables}"""


def model_settings_page() -> str:
    """Return docs/model-settings.md."""
    sections = [
        ("Top level", ModelSettings),
        ("`preprocess`", PreprocessSettings),
        ("`preprocess.combat`", ComBatSettings),
        ("`preprocess.select`, a list of steps", SelectionSettings),
        ("`search`", SearchSettings),
        ("`validation`", ValidationSettings),
    ]
    tables = "\n".join(f"## {title}\n\n{_table(model)}\n" for title, model in sections)
    return f"""# Settings of a model

A settings file is YAML; everything in it changes a number and is part of the settings' hash in `model.yaml`. What does
not (`--jobs`, `--out`) is an option of the command. `radiomics-talent config schema --kind models` prints the JSON
Schema. [models.md](models.md) explains how the parts work together.

Models for a response: {", ".join(f"`{m}`" for m in RESPONSE_MODELS)}. For survival:
{", ".join(f"`{m}`" for m in SURVIVAL_MODELS)}. Any other scikit-learn estimator goes by its import path
(`package.module.Class`). The search space of a model maps its parameters, under scikit-learn's (scikit-survival's)
names, to lists of values; an empty one (`{{}}`) takes the catalogue's own values.

{tables}"""


def robustness_settings_page() -> str:
    """Return docs/robustness-settings.md."""
    sections = [
        ("Perturbations: top level", PerturbationSettings),
        ("`strengths`", StrengthSettings),
        ("Each of `chains`", ChainSettings),
        ("`stability`", StabilitySettings),
        ("Controls", ControlSettings),
    ]
    tables = "\n".join(f"## {title}\n\n{_table(model)}\n" for title, model in sections)
    return f"""# Settings of perturbations and controls

For `robustness perturb --perturbations` and `robustness controls --controls`: a preset or a YAML file. Everything here
changes numbers and is in `provenance.json`; `stability` alone may change without making the versions again.
`radiomics-talent config schema --kind robustness` (or `controls`) prints the JSON Schema.
[robustness.md](robustness.md) explains how the parts work together.

{tables}"""


def cluster_settings_page() -> str:
    """Return docs/cluster-settings.md."""
    return f"""# Settings of a cluster

For `--cluster` of `extract`, `robustness perturb`, `robustness controls` and `train`: a preset or a YAML file. Nothing
here changes a number. `radiomics-talent config schema --kind clusters` prints the JSON Schema; [cluster.md](cluster.md)
explains how clusters are used.

{_table(ClusterSettings)}
"""


def _table(model: type[BaseModel]) -> str:
    rows = [f"| `{name}` | {_default(field)} | {field.description} |" for name, field in model.model_fields.items()]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def _default(field: Any) -> str:
    if field.is_required():
        return "needed"
    if field.default_factory is not None:
        return (
            "see below"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            else _FACTORY[field.description.split(",")[0].split(";")[0]]
        )
    if field.default is None:
        return "`null`"
    return f"`{list(field.default) if isinstance(field.default, tuple) else field.default}`"


if __name__ == "__main__":
    (DOCS / "findings.md").write_text(findings_page(), encoding="utf-8")
    (DOCS / "model-settings.md").write_text(model_settings_page(), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
    (DOCS / "robustness-settings.md").write_text(robustness_settings_page(), encoding="utf-8")
    (DOCS / "cluster-settings.md").write_text(cluster_settings_page(), encoding="utf-8")
