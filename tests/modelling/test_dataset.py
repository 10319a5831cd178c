import numpy as np
import pandas as pd
import pytest
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.modelling.dataset import build_study_table
from radiomics_talent.modelling.lesions import VOLUME_COLUMN, aggregate_lesions
from radiomics_talent.modelling.outcome import Outcome, outcome_values

RESPONSE = Outcome("response")


def table_of(tmp_path, *, features=None, outcome=RESPONSE, clinical=None, **changes):
    clinical = clinical if clinical is not None else clinical_table(tmp_path)
    return build_study_table(features or feature_table(), clinical, outcome, quick_settings(**changes))


def test_rows_blocks_and_outcome(tmp_path):
    table = table_of(tmp_path)
    assert len(table) == 40
    assert table.events.tolist() == [k % 2 for k in range(40)]
    assert table.patients[:2].tolist() == ["P000", "P001"]
    assert table.blocks["clinical"] == ("age", "sex", "arm")
    assert table.blocks["combined"] == table.blocks["radiomics"] + table.blocks["clinical"]
    assert table.blocks["volume"] == (VOLUME_COLUMN,)
    assert len(table.blocks["radiomics"]) == 9


def test_end_points_are_no_covariates_without_a_dictionary(tmp_path):
    table = table_of(tmp_path)
    assert not {"response", "pfs_days", "pfs_event"} & set(table.frame.columns)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("mean", [2.0, 5.0]),
        ("median", [2.0, 5.0]),
        ("maximum", [3.0, 5.0]),
        ("standard-deviation", [1.0, 0.0]),
        ("volume-weighted-mean", [2.5, 5.0]),
        ("largest-lesion", [3.0, 5.0]),
    ],
)
def test_aggregation(way, expected):
    lesions = pd.DataFrame({"patient_id": ["a", "a", "b"], "f": [1.0, 3.0, 5.0]})
    frame, total = aggregate_lesions(lesions, ["f"], [way], np.array([1.0, 3.0, 2.0]))
    assert frame["f"].tolist() == expected
    assert total.tolist() == [4.0, 2.0]


def test_several_aggregations_are_columns_of_their_own(tmp_path):
    table = table_of(tmp_path, features=feature_table(lesions=3), aggregation=["mean", "maximum"])
    assert len(table) == 40
    assert table.blocks["radiomics"][0] == "original_shape_MeshVolume__mean"
    assert len(table.blocks["radiomics"]) == 18


@pytest.mark.parametrize("way", ["mean", "median", "maximum", "standard-deviation", "volume-weighted-mean"])
def test_a_missing_value_of_one_lesion_is_left_out(way):
    lesions = pd.DataFrame({"patient_id": ["a", "a", "b"], "f": [1.0, np.nan, np.nan]})
    frame, _ = aggregate_lesions(lesions, ["f"], [way], np.array([1.0, 3.0, 2.0]))
    assert frame["f"].iloc[0] == (0.0 if way == "standard-deviation" else 1.0)
    assert np.isnan(frame["f"].iloc[1])


def test_weights_without_volumes_are_refused_for_several_lesions_only():
    lesions = pd.DataFrame({"patient_id": ["a", "a"], "f": [1.0, 3.0]})
    nothing = np.full(2, np.nan)
    with pytest.raises(ConfigError, match="aggregation volume-weighted-mean needs the volume of every lesion"):
        aggregate_lesions(lesions, ["f"], ["volume-weighted-mean"], nothing)
    one = lesions.assign(patient_id=["a", "b"])
    assert aggregate_lesions(one, ["f"], ["volume-weighted-mean"], nothing)[0]["f"].tolist() == [1.0, 3.0]


def test_level_lesion_keeps_lesions(tmp_path):
    table = table_of(tmp_path, features=feature_table(lesions=2), level="lesion")
    assert len(table) == 80
    assert table.lesions[:2].tolist() == ["1", "2"]
    assert table.events[:4].tolist() == [0, 0, 1, 1]


def test_patients_of_one_table_only_are_listed(tmp_path):
    table = table_of(tmp_path, features=feature_table(42), clinical=clinical_table(tmp_path, 40))
    assert dict(table.left_out) == {
        "P040": "features, but no row in the clinical table",
        "P041": "features, but no row in the clinical table",
    }
    fewer = table_of(tmp_path, features=feature_table(38))
    assert dict(fewer.left_out)["P039"] == "clinical data, but no features"


def test_a_missing_outcome_leaves_a_patient_out(tmp_path):
    response = np.where(np.arange(40) % 2, "yes", "no").astype(object)
    response[3] = ""
    table = table_of(tmp_path, clinical=clinical_table(tmp_path, response=response))
    assert table.left_out == (("P003", "no outcome"),)
    assert len(table) == 39


def test_ids_that_never_meet_are_shown(tmp_path):
    frame = feature_table().frame
    renamed = FeatureTable(frame.assign(patient_id=frame["patient_id"].str.replace("P", "Q")))
    with pytest.raises(TableError, match="first ids are Q000, Q001, Q002 in the feature table and P000, P001, P002"):
        table_of(tmp_path, features=renamed)


def test_levels_need_positive(tmp_path):
    best = np.resize(["PR", "SD", "PD", "CR"], 40)
    clinical = clinical_table(tmp_path, best_overall=best)
    with pytest.raises(ConfigError, match=r"best_overall is not yes/no \(it has CR, PD, PR, SD\); say with --positive"):
        table_of(tmp_path, clinical=clinical, outcome=Outcome("best_overall"))
    table = table_of(tmp_path, clinical=clinical, outcome=Outcome("best_overall", positive=("CR", "PR", "XX")))
    assert table.events.sum() == 20
    assert table.findings == ("no patient has best_overall XX",)
    with pytest.raises(ConfigError, match="has no level XX; its levels are CR, PD, PR, SD"):
        table_of(tmp_path, clinical=clinical, outcome=Outcome("best_overall", positive=("XX",)))


def test_an_unknown_outcome_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="no column respnse; did you mean response"):
        table_of(tmp_path, outcome=Outcome("respnse"))


def test_survival_outcome(tmp_path):
    table = table_of(tmp_path, outcome=Outcome("pfs_days"), task="survival", models={"coxnet": {}})
    assert table.y.dtype.names == ("event", "time")
    assert (table.y["time"] > 0).all()
    with pytest.raises(ConfigError, match="name the column of its event with --event"):
        table_of(tmp_path, outcome=Outcome("age"), task="survival", models={"coxnet": {}})


def test_a_negative_time_is_refused(tmp_path):
    days = np.full(40, 100.0)
    days[7] = -3
    with pytest.raises(TableError, match="pfs_days of patient P007 is -3; a time cannot be negative"):
        outcome_values(clinical_table(tmp_path, pfs_days=days), Outcome("pfs_days"), task="survival")


def test_an_infinite_feature_is_named(tmp_path):
    frame = feature_table().frame.copy()
    frame.loc[5, "original_firstorder_f2"] = np.inf
    with pytest.raises(TableError, match="original_firstorder_f2 of P005/1 is infinite"):
        table_of(tmp_path, features=FeatureTable(frame))


def test_what_names_a_patient_is_no_level_of_a_model(tmp_path):
    surnames = [f"Secret-{k}" for k in range(40)]
    table = clinical_table(tmp_path, surname=surnames)
    taken = build_study_table(feature_table(), table, RESPONSE, quick_settings()).blocks["clinical"]
    assert "surname" not in taken
    assert "arm" in taken
    named = quick_settings(clinical=["age", "surname"])
    assert build_study_table(feature_table(), table, RESPONSE, named).blocks["clinical"] == ("age", "surname")


def test_named_clinical_columns(tmp_path):
    table = build_study_table(feature_table(), clinical_table(tmp_path), RESPONSE, quick_settings(clinical=["age"]))
    assert table.blocks["clinical"] == ("age",)
    with pytest.raises(ConfigError, match="clinical column response is an end point"):
        build_study_table(feature_table(), clinical_table(tmp_path), RESPONSE, quick_settings(clinical=["response"]))
    with pytest.raises(ConfigError, match="no column aeg; did you mean age"):
        build_study_table(feature_table(), clinical_table(tmp_path), RESPONSE, quick_settings(clinical=["aeg"]))


def test_patterns_of_features(tmp_path):
    table = build_study_table(
        feature_table(), clinical_table(tmp_path), RESPONSE, quick_settings(features=["*_f1", "*_f2"])
    )
    assert table.blocks["radiomics"] == ("original_firstorder_f1", "original_firstorder_f2")
    with pytest.raises(ConfigError, match=r"no feature of the table fits features: wavelet\*"):
        build_study_table(feature_table(), clinical_table(tmp_path), RESPONSE, quick_settings(features=["wavelet*"]))


def test_lesions_can_have_outcomes_of_their_own(tmp_path):
    lesions = pd.DataFrame(
        [(f"P{k:03}", str(j), "PR" if (k + j) % 2 else "SD") for k in range(40) for j in (1, 2)],
        columns=["patient_id", "lesion_id", "best_response"],
    )
    outcome = Outcome("best_response", positive=("PR",), lesions=lesions.iloc[1:])
    table = table_of(tmp_path, features=feature_table(lesions=2), outcome=outcome, level="lesion")
    assert len(table) == 79
    assert table.findings == ("1 lesions left out, as they have no best_response",)
    assert table.events[:3].tolist() == [0, 0, 1]
    with pytest.raises(ConfigError, match="need settings with level: lesion"):
        table_of(tmp_path, features=feature_table(lesions=2), outcome=outcome)
