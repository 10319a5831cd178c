"""Models rebuilt on controls: the verdict finds the signal that was put into a cohort."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from robustness.control_cohorts import CONTROLS, ISOTROPIC, THICK, Signal, control_cohort
from studies import quick_settings

from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.model_settings import ModelSettings
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import train
from radiomics_talent.modelling.validation import FoldResult
from radiomics_talent.modelling.validation_report import Scored
from radiomics_talent.robustness import control_models
from radiomics_talent.robustness.control_models import model_controls
from radiomics_talent.robustness.control_verdict import ControlReport, ControlRow

ROI = ("roi_shuffled", "roi_sampled", "roi_noise")
DEMO = ModelSettings.from_yaml("demo")
ONCE = quick_settings(validation={"repeats": 1})
RESPONSE = Outcome("response")
BOTH = pytest.mark.parametrize("spacing_mm", [ISOTROPIC, THICK], ids=["as-scanned", "resampled"])
SURVIVAL = quick_settings(
    task="survival", models={"coxnet": {"alphas": [[0.3], [0.1]], "l1_ratio": [0.5]}},
    preprocess={"max_correlation": 0.9, "select": [{"method": "univariate", "k": 12}]},
)  # fmt: skip


def report_of(
    signal: Signal,
    folder: Path,
    controls: tuple[str, ...] = CONTROLS,
    settings: ModelSettings = DEMO,
    outcome: Outcome = RESPONSE,
    spacing_mm: tuple[float, float, float] = ISOTROPIC,
) -> ControlReport:
    cohort = control_cohort(signal, spacing_mm)
    tables = {c: cohort.controls[c] for c in controls}
    return model_controls(cohort.original, tables, cohort.clinical, outcome, settings, folder)


@pytest.fixture(scope="module")
def texture(tmp_path_factory: pytest.TempPathFactory) -> ControlReport:
    return report_of("texture", tmp_path_factory.mktemp("texture"))


def row(report: ControlReport, control: str, features: str) -> ControlRow:
    return next(r for r in report.rows if (r.control, r.features) == (control, features))


def test_controls_destroy_a_signal_of_texture(texture: ControlReport) -> None:
    assert texture.verdict == "texture"
    assert row(texture, "original", "all").metric.value > 0.85
    for control in ROI:
        assert 0.35 < row(texture, control, "all").metric.value < 0.65
        assert row(texture, control, "texture").lost.low > 0.1
    for features in ("firstorder", "shape", "volume"):
        assert row(texture, "original", features).metric.low < 0.5


def test_controls_destroy_a_signal_of_texture_in_scans_that_are_resampled(tmp_path: Path) -> None:
    report = report_of("texture", tmp_path, ("roi_shuffled", "surroundings_shuffled"), spacing_mm=THICK)
    assert report.verdict == "texture"
    assert row(report, "original", "all").metric.value > 0.85
    # Resampling wrote the texture into the variance: so shuffled afterwards, a lesion would keep the signal.
    assert row(report, "original", "firstorder").metric.value > 0.85
    for features in ("all", "firstorder"):
        assert 0.35 < row(report, "roi_shuffled", features).metric.value < 0.65
    around = row(report, "surroundings_shuffled", "all")
    assert not around.unchanged  # interpolation carries a little of them across the contour
    assert around.metric.value > 0.85
    assert around.lost.low <= 0


@pytest.mark.parametrize(
    ("spacing_mm", "controls"), [(ISOTROPIC, ("roi_shuffled",)), (THICK, ROI)], ids=["as-scanned", "resampled"]
)
def test_controls_keep_a_signal_of_volume(
    spacing_mm: tuple[float, float, float], controls: tuple[str, ...], tmp_path: Path
) -> None:
    report = report_of("volume", tmp_path, controls, spacing_mm=spacing_mm)
    assert report.verdict == "volume"
    everything = row(report, "original", "all").metric.value
    assert everything > 0.8
    for control in controls:
        assert row(report, control, "all").metric.value > everything - 0.05
        assert row(report, control, "all").lost.low <= 0
    assert "not shown" in report.sentence


@BOTH
def test_shuffling_keeps_a_signal_of_intensity(spacing_mm: tuple[float, float, float], tmp_path: Path) -> None:
    report = report_of("intensity", tmp_path, ("roi_shuffled",), spacing_mm=spacing_mm)
    assert report.verdict == "intensity"
    assert row(report, "original", "firstorder").metric.value > 0.8
    assert row(report, "roi_shuffled", "all").metric.value > 0.75
    assert row(report, "original", "volume").metric.low < 0.5
    assert row(report, "roi_shuffled", "firstorder").unchanged is (spacing_mm == ISOTROPIC)


def test_no_signal_is_found_in_noise(tmp_path: Path) -> None:
    assert report_of("noise", tmp_path, ("roi_shuffled",)).verdict == "no signal"


def test_no_signal_is_found_in_noise_that_is_resampled_and_scores_below_chance_are_told(tmp_path: Path) -> None:
    report = report_of("noise", tmp_path, ("roi_shuffled",), spacing_mm=THICK)
    assert report.verdict == "no signal"
    assert "below 0.5 with the whole interval" in " ".join(report.findings)


def test_survival_is_judged_by_the_c_index(tmp_path: Path) -> None:
    report = report_of("texture", tmp_path, ("roi_shuffled",), SURVIVAL, Outcome("pfs_days", event="pfs_event"))
    assert report.metric == "c_index"
    assert report.verdict == "texture"
    assert report.events == 40
    assert row(report, "original", "all").metric.value > 0.6


def test_the_original_has_the_figures_that_train_gives(texture: ControlReport, tmp_path: Path) -> None:
    cohort = control_cohort("texture")
    settings = DEMO.model_copy(update={"refits": 0, "clinical": ()})
    blocks = train(cohort.original, cohort.clinical, RESPONSE, settings, tmp_path / "model").report.blocks
    assert row(texture, "original", "all").metric == blocks["radiomics"].metrics["auc"]
    assert row(texture, "original", "volume").metric == blocks["volume"].metrics["auc"]


def test_rows_stand_for_what_differs_and_counts_are_those_of_the_cohort(texture: ControlReport) -> None:
    assert [(r.control, r.features) for r in texture.rows] == [
        *(("original", f) for f in ("all", "texture", "firstorder", "shape", "volume")),
        *((c, f) for c in ROI for f in ("all", "texture", "firstorder")),
    ]
    assert [r.n_features for r in texture.rows[:5]] == [107, 75, 18, 14, 1]
    assert (texture.patients, texture.lesions, texture.events, texture.left_out) == (48, 48, 24, 0)


def test_a_set_that_a_control_leaves_alone_has_the_originals_figures(texture: ControlReport) -> None:
    kept = row(texture, "roi_shuffled", "firstorder")
    assert kept.unchanged
    assert kept.metric == row(texture, "original", "firstorder").metric
    assert (kept.lost.value, kept.lost.low, kept.lost.high) == (0, 0, 0)
    assert not row(texture, "roi_noise", "firstorder").unchanged


def test_a_control_that_changes_nothing_is_said_to_and_has_no_row(texture: ControlReport) -> None:
    assert not [r for r in texture.rows if r.control == "surroundings_shuffled"]
    assert "surroundings_shuffled changes no feature" in texture.findings[0]


def test_texture_features_that_order_lesions_as_their_shuffled_control_are_counted(texture: ControlReport) -> None:
    shuffled = texture.effects.loc[texture.effects["control"] == "roi_shuffled"]
    kept = shuffled.loc[(shuffled["depends_on"] == "texture") & (shuffled["spearman"] > 0.9), "feature"]
    assert "original_glrlm_GrayLevelNonUniformity" in set(kept)
    assert f"{len(kept)} of 75 texture features" in texture.findings[1]


def test_the_table_has_every_figure_with_its_interval(texture: ControlReport) -> None:
    frame = texture.frame()
    assert len(frame) == len(texture.rows)
    assert frame.loc[0, ["auc", "auc_low", "auc_high"]].tolist() == pytest.approx(
        [texture.rows[0].metric.value, texture.rows[0].metric.low, texture.rows[0].metric.high]
    )
    assert frame["lost"].isna().sum() == 5
    assert frame["below_all"].isna().sum() == 4


def subset(cohort_signal: Signal = "texture") -> tuple[FeatureTable, dict[str, FeatureTable], object]:
    """Original and shuffled control with few features, quick to model."""
    cohort = control_cohort(cohort_signal)
    names = ["original_shape_MeshVolume", "original_firstorder_Mean", "original_glcm_Correlation"]
    keys = list(cohort.original.frame.columns[:11])
    parts = [FeatureTable(t.frame[keys + names]) for t in (cohort.original, cohort.controls["roi_shuffled"])]
    return parts[0], {"roi_shuffled": parts[1]}, cohort.clinical


def test_a_stopped_run_goes_on_to_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, controls, clinical = subset()
    whole = model_controls(original, controls, clinical, RESPONSE, ONCE, tmp_path)
    for path in sorted((tmp_path / "folds").rglob("cv-*.json"))[::3]:
        path.unlink()
    left: list[tuple[int, int]] = []
    again = model_controls(
        original, controls, clinical, RESPONSE, ONCE, tmp_path, progress=lambda *done: left.append(done)
    )
    assert again.rows == whole.rows
    assert left[-1] == (21, 21)
    assert len(left) == 7

    def refuse(*_args: object, **_named: object) -> FoldResult:
        raise AssertionError("a finished fold is run again")

    monkeypatch.setattr("radiomics_talent.modelling.validation.run_fold", refuse)
    assert model_controls(original, controls, clinical, RESPONSE, ONCE, tmp_path).rows == whole.rows


def test_folds_of_another_study_lie_beside(tmp_path: Path) -> None:
    """Another outcome or another cohort into the same folder: neither is refused, nor do its folds mix."""
    original, controls, clinical = subset()
    first = model_controls(original, controls, clinical, RESPONSE, ONCE, tmp_path)
    other = ONCE.model_copy(update={"seed": 1})
    assert model_controls(original, controls, clinical, RESPONSE, other, tmp_path).rows != first.rows
    again = model_controls(original, controls, clinical, RESPONSE, ONCE, tmp_path)
    assert again.rows == first.rows


@pytest.mark.slow
def test_figures_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    original, controls, clinical = subset()
    one, two = (
        model_controls(original, controls, clinical, RESPONSE, ONCE, tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2)
    )
    assert one.rows == two.rows
    assert one.sentence == two.sentence


def test_lesions_without_a_control_are_left_out_of_all_and_counted(tmp_path: Path) -> None:
    original, controls, clinical = subset()
    shorter = {"roi_shuffled": FeatureTable(controls["roi_shuffled"].frame.iloc[::-1].iloc[2:])}
    report = model_controls(original, shorter, clinical, RESPONSE, ONCE, tmp_path / "a")
    assert (report.patients, report.left_out) == (46, 2)
    assert "2 lesions of the original lack a control" in report.findings[-1]
    same = [FeatureTable(t.frame.iloc[:46]) for t in (original, controls["roi_shuffled"])]
    expected = model_controls(same[0], {"roi_shuffled": same[1]}, clinical, RESPONSE, ONCE, tmp_path / "b")
    assert report.rows == expected.rows


def test_the_settings_choose_the_features(tmp_path: Path) -> None:
    original, controls, clinical = subset()
    settings = ONCE.model_copy(update={"features": ("*glcm*", "*shape*")})
    report = model_controls(original, controls, clinical, RESPONSE, settings, tmp_path)
    assert {r.features: r.n_features for r in report.rows} == {"all": 2, "texture": 1, "shape": 1, "volume": 1}


def test_clinical_columns_take_no_part(tmp_path: Path) -> None:
    original, controls, clinical = subset()
    frame = clinical.frame.assign(age=np.arange(48.0) % 2)  # the outcome itself
    column = clinical.columns["response"].model_copy(update={"role": "covariate"})
    leaking = replace(clinical, frame=frame, columns={**clinical.columns, "age": column})
    combined = ONCE.model_copy(update={"block": "combined"})
    report = model_controls(original, controls, leaking, RESPONSE, combined, tmp_path)
    assert row(report, "roi_shuffled", "all").metric.value < 0.7


def test_controls_with_other_features_are_refused(tmp_path: Path) -> None:
    original, controls, clinical = subset()
    other = FeatureTable(controls["roi_shuffled"].frame.drop(columns="original_firstorder_Mean"))
    with pytest.raises(TableError, match="roi_shuffled has other features than the original"):
        model_controls(original, {"roi_shuffled": other}, clinical, RESPONSE, ONCE, tmp_path)


def test_controls_of_other_lesions_are_refused(tmp_path: Path) -> None:
    original, controls, clinical = subset()
    frame = controls["roi_shuffled"].frame
    other = FeatureTable(frame.assign(lesion_id=pd.Series(["2"] * len(frame), dtype="str")))
    with pytest.raises(TableError, match="no lesion is in the original and in every control"):
        model_controls(original, {"roi_shuffled": other}, clinical, RESPONSE, ONCE, tmp_path)


def test_without_volume_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    original, controls, clinical = subset()
    bare = [FeatureTable(t.frame.drop(columns="original_shape_MeshVolume")) for t in (original, *controls.values())]
    with pytest.raises(ConfigError, match="the feature table has none"):
        model_controls(bare[0], {"roi_shuffled": bare[1]}, clinical, RESPONSE, ONCE, tmp_path)


def test_without_controls_there_is_nothing_to_do(tmp_path: Path) -> None:
    original, _, clinical = subset()
    with pytest.raises(ConfigError, match="there is no control to compare"):
        model_controls(original, {}, clinical, RESPONSE, ONCE, tmp_path)


def test_a_paired_difference_has_an_interval_where_one_model_is_perfect() -> None:
    y = np.arange(20) % 2
    rng = np.random.default_rng(0)
    patients = np.array([f"P{k}" for k in range(20)])
    one, other = (
        Scored(y, patients, s[None], s[None] > 0.5, np.empty((1, 20, 0))) for s in (y.astype(float), rng.random(20))
    )
    found = control_models._difference(one, other, ONCE)
    assert found.low < found.value < found.high
