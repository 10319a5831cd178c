"""The feature dictionary against PyRadiomics itself and against the IBSI reference values' table."""

import csv
import re
from importlib import resources
from pathlib import Path

import pytest

radiomics = pytest.importorskip("radiomics")
featureextractor = pytest.importorskip("radiomics.featureextractor")

ROWS = list(
    csv.DictReader(
        resources.files("radiomics_talent").joinpath("features/dictionary.csv").read_text("utf-8").splitlines()
    )
)
UNITS = {"1", "bit", "mm", "mm2", "mm3", "mm-1", "HU", "HU2", "HU2 mm3"}
FAMILIES = {
    "shape": {"Morphology"},
    "firstorder": {"Statistics", "Intensity histogram"},
    "glcm": {"Co-occurrence matrix"},
    "glrlm": {"Run length matrix"},
    "glszm": {"Size zone matrix"},
    "gldm": {"Neighbouring grey level dependence matrix"},
    "ngtdm": {"Neighbourhood grey tone difference matrix"},
}
NO_COUNTERPART = {
    ("shape", "Maximum2DDiameterColumn"),
    ("shape", "Maximum2DDiameterRow"),
    ("shape", "Maximum2DDiameterSlice"),
    ("firstorder", "StandardDeviation"),
    ("firstorder", "TotalEnergy"),
    ("glcm", "MCC"),
}
"""IBSI 1 has none for these, nor for a shape in 2D."""


def of_pyradiomics():
    return {
        (name, feature): deprecated
        for name, cls in radiomics.getFeatureClasses().items()
        for feature, deprecated in cls.getFeatureNames().items()
    }


def test_every_feature_of_pyradiomics_and_no_other():
    ours = [(row["feature_class"], row["feature"]) for row in ROWS]
    assert len(ours) == len(set(ours))
    assert set(ours) == set(of_pyradiomics())


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['feature_class']}-{r['feature']}")
def test_row(row):
    key = (row["feature_class"], row["feature"])
    assert row["deprecated"] == ("yes" if of_pyradiomics()[key] else "no")
    assert row["unit"] in UNITS
    assert len(row["definition"]) > 15
    assert not row["definition"].endswith(".")
    assert "\n" not in row["definition"]
    if key in NO_COUNTERPART or row["feature_class"] == "shape2D":
        assert row["ibsi_code"] == row["ibsi_name"] == ""
    else:
        assert re.fullmatch(r"[0-9A-Z]{4}", row["ibsi_code"])
        assert row["ibsi_name"]


def test_a_code_is_used_twice_only_by_a_deprecated_twin():
    users: dict[str, list[dict[str, str]]] = {}
    for row in ROWS:
        if row["ibsi_code"]:
            users.setdefault(row["ibsi_code"], []).append(row)
    for code, rows in users.items():
        assert sum(row["deprecated"] == "no" for row in rows) <= 1, code


def test_93_features_without_shape():
    extractor = featureextractor.RadiomicsFeatureExtractor()
    assert "shape2D" not in extractor.enabledFeatures
    current = [row for row in ROWS if row["deprecated"] == "no" and not row["feature_class"].startswith("shape")]
    assert len(current) == 93


def test_codes_are_those_of_the_reference_values(shared_data: Path):
    with (shared_data / "ibsi" / "reference_values.csv").open(encoding="utf-8") as file:
        known = {
            row["ibsi_code"]: (row["feature_family"].split(" (")[0], row["feature"]) for row in csv.DictReader(file)
        }
    for row in ROWS:
        if not row["ibsi_code"]:
            continue
        family, name = known[row["ibsi_code"]]
        assert family in FAMILIES[row["feature_class"]], row["feature"]
        # An intensity histogram's feature says so, as first order mixes both families.
        ours = row["ibsi_name"].removeprefix("Intensity histogram ")
        assert ours.lower() == name.lower(), row["feature"]
        assert (family == "Intensity histogram") == row["ibsi_name"].startswith("Intensity histogram ")
