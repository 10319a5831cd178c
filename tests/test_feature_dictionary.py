"""The feature dictionary against PyRadiomics itself and against the IBSI reference values' table."""

import csv
import math
import re
from pathlib import Path

import pytest
import SimpleITK as sitk

from radiomics_talent import ExtractionSettings, extract
from radiomics_talent.errors import ConfigError
from radiomics_talent.feature_dictionary import (
    ColumnName,
    definition_of,
    definitions,
    features_of_family,
    ibsi_names,
    pyradiomics_names,
)

UNITS = {"1", "bit", "mm", "mm2", "mm3", "mm-1", "HU", "HU2", "HU mm3", "HU2 mm3"}
WITHOUT_NUMBER = {
    ("glcm", "Homogeneity1"),
    ("glcm", "Homogeneity2"),
}
"""PyRadiomics knows these by name alone, and the IBSI has each under another."""
FAMILIES = {
    "shape": {"Morphology"},
    "localintensity": {"Local intensity"},
    "firstorder": {"Statistics", "Intensity histogram"},
    "histogram": {"Intensity histogram"},
    "ivh": {"Intensity volume histogram"},
    "glcm": {"Co-occurrence matrix"},
    "glrlm": {"Run length matrix"},
    "glszm": {"Size zone matrix"},
    "gldzm": {"Distance zone matrix"},
    "ngtdm": {"Neighbourhood grey tone difference matrix"},
    "gldm": {"Neighbouring grey level dependence matrix"},
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
TEXTURE = {"glcm", "glrlm", "glszm", "gldzm", "ngtdm", "gldm"}
KEYS = [(one.feature_class, one.feature) for one in definitions()]


def of_pyradiomics() -> dict[tuple[str, str], bool]:
    radiomics = pytest.importorskip("radiomics")
    return {
        (name, feature): bool(deprecated)
        for name, cls in radiomics.getFeatureClasses().items()
        for feature, deprecated in cls.getFeatureNames().items()
    }


def reference_rows(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "ibsi" / "reference_values.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["ibsi_code"]]


# --- the table


@pytest.mark.parametrize("one", definitions(), ids=lambda d: f"{d.feature_class}-{d.feature}")
def test_row(one):
    assert one.unit in UNITS
    assert len(one.definition) > 15
    assert not one.definition.endswith(".")
    assert not one.departs.endswith(".")
    assert "\n" not in one.definition + one.departs
    assert one.in_pyradiomics or one.by_ibsi
    assert (one.computed_by == "") == ((one.feature_class, one.feature) in WITHOUT_NUMBER)
    if (one.feature_class, one.feature) in NO_COUNTERPART or one.feature_class == "shape2D":
        assert one.ibsi_code == one.ibsi_name == one.ibsi_family == ""
    else:
        assert re.fullmatch(r"[0-9A-Z]{4}", one.ibsi_code)
        assert one.ibsi_family in FAMILIES[one.feature_class]


def test_every_feature_of_pyradiomics_and_no_other():
    assert len(KEYS) == len(set(KEYS))
    ours = {(one.feature_class, one.feature): one.deprecated for one in definitions() if one.in_pyradiomics}
    assert ours == of_pyradiomics()


def test_pyradiomics_names_stand_in_pyradiomics_order():
    for name, features in pyradiomics_names().items():
        assert list(features) == [f for c, f in of_pyradiomics() if c == name]


def test_93_features_without_shape():
    current = [d for d in definitions() if d.in_pyradiomics and not d.deprecated and "shape" not in d.feature_class]
    assert len(current) == 93


def test_only_what_pyradiomics_computes_can_depart():
    assert {d.computed_by for d in definitions() if d.departs} <= {"pyradiomics", "both"}
    assert definition_of("original_firstorder_Kurtosis").departs == "Does not subtract 3"


def test_a_code_has_one_feature_of_the_ibsi_chain_and_mode_of_counting_apart():
    users: dict[str, list[str]] = {}
    for one in definitions():
        if one.by_ibsi:
            users.setdefault(one.ibsi_code, []).append(one.feature)
    assert {code: names for code, names in users.items() if len(names) > 1} == {
        "BC2M": ["VolumeFraction10", "VolumeFraction90"],
        "GBPN": ["IntensityAtVolume10", "IntensityAtVolume90"],
    }


def test_every_reference_value_has_its_feature(shared_data: Path):
    ours = {(one.ibsi_family, one.ibsi_name, one.ibsi_code) for one in definitions() if one.by_ibsi}
    theirs = {(r["feature_family"].split(" (")[0], r["feature"], r["ibsi_code"]) for r in reference_rows(shared_data)}
    assert theirs == ours


def test_names_spelt_as_the_reference_values_where_pyradiomics_alone_computes(shared_data: Path):
    theirs = {(r["feature_family"].split(" (")[0], r["feature"], r["ibsi_code"]) for r in reference_rows(shared_data)}
    for one in definitions():
        if one.ibsi_code:
            assert (one.ibsi_family, one.ibsi_name, one.ibsi_code) in theirs, one


def test_ibsi_names_stand_in_the_order_of_the_reference_values(shared_data: Path):
    digital = [r for r in reference_rows(shared_data) if r["config"] == "digital"]
    theirs = list(dict.fromkeys((r["feature_family"].split(" (")[0], r["feature"]) for r in digital))
    ours = [definition_of(f"original_{c}_{f}") for c, names in ibsi_names().items() for f in names]
    assert [(d.ibsi_family, d.ibsi_name) for d in ours] == theirs


# --- the two chains


@pytest.fixture(scope="module")
def of_both_chains(shared_data):
    """The digital phantom, whose intensities are its grey levels in either chain."""
    folder = shared_data / "ibsi" / "digital_phantom" / "nifti"
    image = sitk.ReadImage(str(folder / "image" / "phantom.nii.gz"))
    mask = sitk.ReadImage(str(folder / "mask" / "mask.nii.gz"))
    classes = {
        name: [f for f in features if definition_of(f"original_{name}_{f}").computed_by]
        for name, features in pyradiomics_names().items()
        if name != "shape2D"
    }
    settings = [{"featureClass": classes, "setting": {"binWidth": 1}}, {"ibsi": {}}]
    return [dict(extract(image, mask, ExtractionSettings.model_validate(one))) for one in settings]


def test_each_chain_computes_what_is_said_of_it(of_both_chains):
    pyradiomics, ibsi = of_both_chains
    for one in definitions():
        column = f"original_{one.feature_class}_{one.feature}"
        if one.feature_class != "shape2D":
            assert (column in pyradiomics) == (one.computed_by in {"pyradiomics", "both"}), column
        assert (column in ibsi) == one.by_ibsi, column


def test_what_does_not_depart_is_the_same_number_in_both_chains(of_both_chains):
    pyradiomics, ibsi = of_both_chains
    shared = [d for d in definitions() if d.computed_by == "both" and not d.departs]
    assert len(shared) == 90
    for one in shared:
        column = f"original_{one.feature_class}_{one.feature}"
        assert pyradiomics[column] == pytest.approx(ibsi[column], rel=1e-8, abs=1e-12), column


@pytest.mark.parametrize("name", ["MajorAxisLength", "MinorAxisLength", "LeastAxisLength"])
def test_axes_depart_by_one_voxel_of_74(of_both_chains, name):
    pyradiomics, ibsi = (values[f"original_shape_{name}"] for values in of_both_chains)
    assert ibsi == pytest.approx(pyradiomics * math.sqrt(74 / 73), rel=1e-9)


# --- units


@pytest.mark.parametrize(
    ("column", "image_type", "unit"),
    [
        ("original_firstorder_Mean", "original", "HU"),
        ("original_firstorder_Mean", "wavelet-LLH", ""),
        ("original_shape_IntegratedIntensity", "square", ""),
        ("original_firstorder_Entropy", "wavelet-LLH", "bit"),
        ("original_firstorder_Skewness", "wavelet-LLH", "1"),
        ("original_shape_CentreOfMassShift", "square", "mm"),
    ],
)
def test_unit_of_a_filtered_image_is_no_hu(column, image_type, unit):
    assert definition_of(column).unit_on(image_type) == unit


def test_unit_of_a_normalised_image_is_no_hu():
    assert definition_of("original_firstorder_Mean").unit_on("original", in_hu=False) == ""


# --- names of columns


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        ("original_glcm_JointAverage", ("original", "glcm", "3D_avg", "JointAverage")),
        ("original_glcm-3D-comb_JointAverage", ("original", "glcm", "3D_comb", "JointAverage")),
        ("original_glrlm-2D-avg_RunEntropy", ("original", "glrlm", "2D_avg", "RunEntropy")),
        ("wavelet-LLH_glcm-2.5D-comb_Id", ("wavelet-LLH", "glcm", "2_5D_comb", "Id")),
        ("original_glszm_ZoneEntropy", ("original", "glszm", "3D", "ZoneEntropy")),
        ("original_gldzm-2D_ZoneEntropy", ("original", "gldzm", "2D", "ZoneEntropy")),
        ("original_ngtdm-2.5D_Busyness", ("original", "ngtdm", "2_5D", "Busyness")),
        ("original_shape_MeshVolume", ("original", "shape", "", "MeshVolume")),
        ("log-sigma-1-0-mm-3D_firstorder_Mean", ("log-sigma-1-0-mm-3D", "firstorder", "", "Mean")),
    ],
)
def test_column_name_there_and_back(column, parts):
    name = ColumnName.parse(column)
    assert (name.image_type, name.feature_class, name.aggregation, name.feature) == parts
    assert str(name) == column
    assert str(ColumnName(*parts)) == column


@pytest.mark.parametrize(
    "column", ["original_glcm-3D-avg_Id", "original_glszm-2D-avg_ZoneEntropy", "o_firstorder-2D_Mean"]
)
def test_what_is_no_aggregation_of_the_class_belongs_to_no_known_class(column):
    assert str(ColumnName.parse(column)) == column
    assert definition_of(column) is None


@pytest.mark.parametrize("column", ["odd", "odd_", "square_", "_glcm_Id", "original__Id", "original_glcm_"])
def test_what_is_no_column_of_a_feature_is_refused(column):
    with pytest.raises(ValueError, match="is not <image type>_<class>_<feature>"):
        ColumnName.parse(column)
    assert definition_of(column) is None


def test_aggregation_that_the_class_lacks_is_refused():
    with pytest.raises(ValueError, match="glszm is not aggregated as '3D_avg'"):
        ColumnName("original", "glszm", "3D_avg", "ZoneEntropy")


def test_definition_by_column_whatever_the_aggregation():
    assert definition_of("original_glcm-2.5D-comb_JointEntropy").ibsi_code == "TU9B"
    assert definition_of("original_histogram_Entropy").ibsi_code == "TLU2"
    assert definition_of("original_glcm_Nothing") is None


# --- families


@pytest.mark.parametrize(
    ("family", "classes", "count"),
    [
        ("glcm", {"glcm"}, 28),
        ("GLCM", {"glcm"}, 28),
        ("shape", {"shape"}, 32),
        ("morph", {"shape"}, 29),
        ("co-occ", {"glcm"}, 27),
        ("Co-occurrence matrix (3D, averaged)", {"glcm"}, 27),
        ("Intensity histogram", {"firstorder", "histogram"}, 25),
        ("hist", {"histogram"}, 23),
    ],
)
def test_family_by_its_beginning(family, classes, count):
    found = features_of_family(family)
    assert {one.feature_class for one in found} == classes
    assert len(found) == count


def test_ambiguous_beginning_names_what_begins_so():
    with pytest.raises(ConfigError, match="begin so: Intensity histogram, Intensity volume histogram"):
        features_of_family("inten")


def test_unknown_family_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean glcm"):
        features_of_family("gclm")
    with pytest.raises(ConfigError, match="known are shape, "):
        features_of_family("zzzzzz")
    with pytest.raises(ConfigError, match="known are shape, "):
        features_of_family("")


def test_texture_classes_alone_have_aggregations():
    for name in ibsi_names():
        assert bool(ColumnName.parse(f"original_{name}_X").aggregation) == (name in TEXTURE)
