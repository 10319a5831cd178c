"""What a control does to each feature, and which features depend on what."""

import numpy as np
import pandas as pd
import pytest
from robustness.control_cohorts import THICK, control_cohort
from scipy import stats

from radiomics_talent.features.table import FeatureTable
from radiomics_talent.robustness.control_effects import control_effects, depends_on, effects_by_kind


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("original_shape_MeshVolume", "shape"),
        ("original_shape2D_Perimeter", "shape"),
        ("original_shape_MoransI", "texture"),
        ("original_shape_GearysC", "texture"),
        ("original_shape_CentreOfMassShift", "texture"),
        ("original_shape_IntegratedIntensity", "firstorder"),
        ("original_firstorder_Mean", "firstorder"),
        ("original_histogram_Mode", "firstorder"),
        ("original_ivh_VolumeFraction10", "firstorder"),
        ("squareroot_firstorder_Mean", "firstorder"),
        ("original_localintensity_LocalIntensityPeak", "texture"),
        ("original_glcm-2.5D-avg_Contrast", "texture"),
        ("original_glcm_Contrast", "texture"),
        ("exponential_glcm_Contrast", "texture"),
        ("wavelet-LLH_firstorder_Mean", "texture"),
        ("log-sigma-2-0-mm-3D_firstorder_Mean", "texture"),
        ("age", None),
    ],
)
def test_a_feature_depends_on_contour_histogram_or_arrangement(column: str, kind: str | None) -> None:
    assert depends_on(column) == kind


def table(*columns: list[float]) -> FeatureTable:
    rows = [
        ({"patient_id": f"P{i}", "lesion_id": "1"}, {f"original_glcm_F{k}": v for k, v in enumerate(values)})
        for i, values in enumerate(zip(*columns, strict=True))
    ]
    return FeatureTable.from_rows(rows)


def test_share_of_changed_lesions_and_median_difference_are_relative() -> None:
    effects = control_effects(table([1.0, 2.0, 4.0, 5.0]), {"roi_noise": table([1.0, 2.0 + 1e-12, 2.0, 10.0])})
    row = effects.iloc[0]
    assert row["changed"] == 0.5
    assert row["difference"] == pytest.approx(0.25)


def test_what_rounding_does_to_a_value_near_zero_is_no_change() -> None:
    """A symmetric lesion's skewness: its relative difference is large, against other lesions' it is nothing."""
    effects = control_effects(table([1e-15, 0.4, -0.6]), {"roi_shuffled": table([-2e-15, 0.4, -0.6])})
    assert effects["changed"][0] == 0
    assert effects["difference"][0] == 0


def test_a_change_of_a_value_near_zero_that_other_lesions_tell_is_one() -> None:
    effects = control_effects(table([1e-15, 0.4, -0.6]), {"roi_shuffled": table([1e-8, 0.4, -0.6])})
    assert effects["changed"][0] == pytest.approx(1 / 3)


def test_correlation_is_spearmans_ties_included() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (2, 30)).astype(float)
    effects = control_effects(table(list(a)), {"roi_noise": table(list(b))})
    assert effects["spearman"][0] == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-14)


def test_correlation_leaves_out_lesions_where_a_feature_is_not_defined() -> None:
    a, b = [1.0, 2.0, 3.0, np.nan, 5.0], [2.0, 1.0, 4.0, 9.0, np.nan]
    effects = control_effects(table(a), {"roi_noise": table(b)})
    assert effects["spearman"][0] == pytest.approx(0.5)
    assert effects["changed"][0] == 1.0


def test_a_constant_feature_has_no_correlation_and_is_unchanged() -> None:
    constant = table([3.0] * 4)
    effects = control_effects(constant, {"roi_noise": constant})
    assert np.isnan(effects["spearman"][0])
    assert effects["changed"][0] == 0
    assert effects["difference"][0] == 0


def test_zero_that_stays_zero_is_unchanged_and_zero_that_moves_is_changed() -> None:
    effects = control_effects(table([0.0, 0.0]), {"roi_noise": table([0.0, 1e-300])})
    assert effects["changed"][0] == 0.5


def test_shuffling_leaves_first_order_and_form_of_scans_that_are_not_resampled_and_changes_texture() -> None:
    cohort = control_cohort("volume")
    effects = control_effects(cohort.original, cohort.controls).set_index(["control", "feature"])
    shuffled = effects.loc["roi_shuffled"]
    assert (shuffled.loc[shuffled["depends_on"] != "texture", "changed"] == 0).all()
    texture = shuffled.loc[shuffled["depends_on"] == "texture"]
    # Some textures know the histogram alone (SumAverage of a symmetric GLCM all but does): most of them change.
    assert (texture["changed"] > 0.9).mean() > 0.9
    assert shuffled.loc["original_glcm_Correlation", "spearman"] < 0.5
    assert shuffled.loc["original_glrlm_GrayLevelNonUniformity", "spearman"] > 0.9  # it counts voxels
    assert (effects.loc["surroundings_shuffled", "changed"] == 0).all()


def test_resampled_first_order_of_a_shuffled_lesion_changes_and_keeps_the_order_of_means() -> None:
    cohort = control_cohort("volume", THICK)
    effects = control_effects(cohort.original, cohort.controls).set_index(["control", "feature"])
    shuffled = effects.loc["roi_shuffled"]
    assert (shuffled.loc[shuffled["depends_on"] == "shape", "changed"] == 0).all()
    assert shuffled.loc["original_firstorder_Variance", "changed"] == 1
    assert shuffled.loc["original_firstorder_Mean", "spearman"] > 0.95
    assert shuffled.loc["original_glcm_Correlation", "spearman"] < 0.5
    around = effects.loc["surroundings_shuffled"]
    assert around.loc["original_firstorder_Mean", "changed"] > 0.9
    assert around.loc["original_firstorder_Mean", "difference"] < 0.02


def test_effects_by_kind_are_the_mean_change_and_the_median_correlation() -> None:
    effects = pd.DataFrame(
        [
            ("a", "texture", "roi_noise", 1.0, 0.2),
            ("b", "texture", "roi_noise", 0.5, 0.4),
            ("c", "texture", "roi_noise", 0.0, np.nan),
            ("d", "", "roi_noise", 1.0, 1.0),
            ("e", "shape", "roi_noise", 0.0, np.nan),
        ],
        columns=["feature", "depends_on", "control", "changed", "spearman"],
    )
    found = effects_by_kind(effects)
    assert found[["control", "depends_on", "changed"]].to_numpy().tolist() == [
        ["roi_noise", "texture", 0.5],
        ["roi_noise", "shape", 0.0],
    ]
    assert found["spearman"][0] == pytest.approx(0.3)
    assert np.isnan(found["spearman"][1])
