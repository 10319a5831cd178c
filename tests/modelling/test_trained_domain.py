"""What training saw, and how far a new row lies from it."""

import numpy as np
import pandas as pd
import pytest

from radiomics_talent.modelling.trained_domain import (
    SCORE_LEVELS,
    describe_scans,
    fit_distance,
    percentile_of,
    row_distances,
    score_quantiles,
)

PATIENTS = np.array([f"P{k:02}" for k in range(60)])


def rows(columns, n=60, seed=0):
    return np.random.default_rng(seed).standard_normal((n, columns))


@pytest.mark.parametrize("columns", [1, 3, 40, 200])
def test_new_rows_of_the_same_kind_lie_where_the_training_lay(columns):
    distance, known = fit_distance(rows(columns), PATIENTS, seed=1)
    assert len(known) == 60
    assert list(known) == sorted(known)
    shares = [float(np.mean(np.array(known) < d)) for d in row_distances(distance, rows(columns, 300, seed=2))]
    # Of 300 patients of the same kind about 5 % are farther than 95 % of the training, and few farther than all.
    assert np.mean(np.array(shares) >= 0.95) < 0.12
    assert 0.3 < np.median(shares) < 0.7


@pytest.mark.parametrize("columns", [1, 3, 40])
def test_a_row_far_away_is_farther_than_all(columns):
    distance, known = fit_distance(rows(columns), PATIENTS, seed=1)
    assert row_distances(distance, np.full((1, columns), 9.0))[0] > max(known)


def test_an_outlier_of_the_training_does_not_hide_another():
    z = rows(3)
    z[0] = 30.0
    distance, known = fit_distance(z, PATIENTS, seed=1)
    assert row_distances(distance, np.array([[-6.0, 6.0, -6.0]]))[0] > np.quantile(known, 0.95)


def test_rows_of_a_patient_are_measured_without_each_other():
    z = np.repeat(rows(2, 30), 2, axis=0)
    z[:2] += 8
    _, known = fit_distance(z, np.repeat(PATIENTS[:30], 2), seed=1)
    assert known[-1] == pytest.approx(known[-2])
    assert known[-1] > 5


def test_nothing_to_measure():
    assert fit_distance(np.empty((60, 0)), PATIENTS, seed=1) == (None, ())
    assert fit_distance(rows(2, 3), PATIENTS[:3], seed=1) == (None, ())


def test_percentile():
    quantiles, levels = (0.0, 1.0, 1.0, 3.0), (0.0, 0.25, 0.75, 1.0)
    assert percentile_of(-1, quantiles, levels) == 0
    assert percentile_of(4, quantiles, levels) == 100
    assert percentile_of(1.0, quantiles, levels) == 50  # the middle of equal quantiles
    assert percentile_of(2.0, quantiles, levels) == pytest.approx(87.5)


def test_scores_of_each_class():
    score = np.array([[0.1, 0.2, 0.8, 0.9], [0.3, 0.2, 0.8, 0.7]])
    everyone, without, with_event = score_quantiles(score, np.array([0, 0, 1, 1]))
    assert (everyone[0], everyone[-1]) == pytest.approx((0.2, 0.8))
    assert without == pytest.approx([0.2] * len(SCORE_LEVELS))
    assert with_event == pytest.approx([0.8] * len(SCORE_LEVELS))


def test_scans():
    table = pd.DataFrame(
        {
            "contrast_phase": ["arterial", "", "arterial"], "kernel": ["B", "B", "C"], "manufacturer": ["x"] * 3,
            "site": [""] * 3, "slice_thickness_mm": [2.0, np.nan, 3.0],
        }
    )  # fmt: skip
    seen = describe_scans(table, np.array([1.0, 5.0, np.nan]))
    assert seen.levels["contrast_phase"] == {"": 1, "arterial": 2}
    assert (seen.slice_thickness_mm, seen.volume_ml) == ((2.0, 3.0), (1.0, 5.0))
    assert describe_scans(table, np.full(3, np.nan)).volume_ml is None
