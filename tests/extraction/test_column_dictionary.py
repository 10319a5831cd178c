"""features_dictionary.csv: a row a column, in the words of the dictionary."""

import csv

import pytest

from radiomics_talent.extraction import run
from radiomics_talent.extraction.column_dictionary import COLUMNS, column_rows
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.settings import ExtractionSettings


def described(column, settings=None):
    (row,) = column_rows([column], settings or ExtractionSettings())
    return dict(zip(COLUMNS, row, strict=True))


def pyradiomics(**setting):
    return ExtractionSettings.model_validate({"setting": setting})


def ibsi(**settings):
    return ExtractionSettings.model_validate({"ibsi": settings})


def written(out):
    with (out / "features_dictionary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_of_the_pyradiomics_chain():
    assert described("original_firstorder_Kurtosis") == {
        "column": "original_firstorder_Kurtosis",
        "feature_class": "firstorder",
        "feature": "Kurtosis",
        "aggregation": "",
        "image_type": "original",
        "ibsi_family": "Statistics",
        "ibsi_name": "(Excess) kurtosis",
        "ibsi_code": "IPH6",
        "unit": "1",
        "definition": "Fourth standardised moment: how heavy the tails are; 3 for a normal distribution",
        "departs": "Does not subtract 3",
    }


def test_the_ibsi_chain_never_departs():
    column = "original_ngtdm-2.5D_Busyness"
    assert described(column)["departs"].startswith("Counts voxels without a neighbour")
    row = described(column, ibsi())
    assert (row["departs"], row["aggregation"], row["ibsi_code"]) == ("", "2_5D", "NQ30")


def test_a_column_that_is_no_known_feature_has_its_name_alone():
    assert set(described("made_up_column").values()) == {"made_up_column", ""}


@pytest.mark.parametrize(
    ("column", "settings", "unit"),
    [
        ("original_firstorder_Mean", pyradiomics(), "HU"),
        ("wavelet-LLH_firstorder_Mean", pyradiomics(), ""),
        ("wavelet-LLH_firstorder_Entropy", pyradiomics(), "bit"),
        ("wavelet-LLH_glcm_Id", pyradiomics(), "1"),
        ("original_firstorder_Mean", pyradiomics(normalize=True), ""),
        ("original_shape_MeshVolume", pyradiomics(normalize=True), "mm3"),
        ("original_ivh_IntensityAtVolume10", ibsi(), "HU"),
        ("original_ivh_IntensityAtVolume10", ibsi(ivh_discretisation={"bin_count": 1000}), "1"),
        ("original_firstorder_Mean", ibsi(ivh_discretisation={"bin_count": 1000}), "HU"),
    ],
)
def test_unit(column, settings, unit):
    assert described(column, settings)["unit"] == unit


@pytest.mark.parametrize(
    ("column", "setting", "aggregation"),
    [
        ("original_glcm_Id", {}, "3D_avg"),
        ("original_glszm_ZoneEntropy", {}, "3D"),
        ("original_shape_Sphericity", {"force2D": True}, ""),
        ("original_glcm_Id", {"force2D": True}, "2_5D_avg"),
        ("original_ngtdm_Busyness", {"force2D": True}, "2_5D"),
        ("original_glcm_Id", {"force2D": True, "force2Ddimension": 1}, ""),
        ("original_glrlm_RunEntropy", {"weightingNorm": "no_weighting"}, "3D_comb"),
        ("original_glrlm_RunEntropy", {"weightingNorm": "euclidean"}, ""),
        ("original_glszm_ZoneEntropy", {"weightingNorm": "euclidean"}, "3D"),
    ],
)
def test_aggregation_is_what_pyradiomics_did(column, setting, aggregation):
    assert described(column, pyradiomics(**setting))["aggregation"] == aggregation


def test_aggregation_that_may_differ_among_images_is_not_told():
    settings = ExtractionSettings.model_validate({"imageType": {"Original": {"force2D": True}}})
    assert described("original_glcm_Id", settings)["aggregation"] == ""


def test_a_run_writes_a_row_for_each_feature_column(cohort, settings, tmp_path):
    result = run_extraction(cohort, settings, tmp_path / "run")
    assert [row["column"] for row in written(tmp_path / "run")] == list(result.table.features)
    assert all(row["definition"] for row in written(tmp_path / "run"))
    assert tuple(written(tmp_path / "run")[0]) == COLUMNS


def test_a_resumed_run_writes_the_same_file(cohort, settings, tmp_path):
    run_extraction(cohort, settings, tmp_path / "run")
    before = (tmp_path / "run" / "features_dictionary.csv").read_bytes()
    assert run_extraction(cohort, settings, tmp_path / "run").n_resumed == len(cohort.lesions)
    assert (tmp_path / "run" / "features_dictionary.csv").read_bytes() == before


def test_cells_are_escaped_as_in_the_table(cohort, settings, tmp_path, monkeypatch):
    rows = [("=a", *[""] * (len(COLUMNS) - 1))]
    monkeypatch.setattr("radiomics_talent.extraction.run.column_rows", lambda *_: rows)
    run.run_extraction(cohort, settings, tmp_path / "run")
    assert written(tmp_path / "run")[0]["column"] == "'=a"
