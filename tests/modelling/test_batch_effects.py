"""Batch differences, ComBat before and after, and clusters, on tables whose answer is known."""

import numpy as np
import pytest

from radiomics_talent.features.table import FeatureTable
from radiomics_talent.modelling.batch_effects import (
    UNKNOWN,
    batch_labels,
    batch_medians,
    chosen_features,
    cluster_features,
    compare_batches,
    rank_batch_differences,
    same_grouping,
    variance_share,
    varying_features,
)


def table(values: dict[str, object], kernels=(), thickness=None) -> FeatureTable:
    n = len(next(iter(values.values())))
    rows = []
    for i in range(n):
        keys = {"patient_id": f"p{i}", "lesion_id": "L", "kernel": kernels[i] if len(kernels) else ""}
        keys["slice_thickness_mm"] = None if thickness is None else thickness[i]
        rows.append((keys, {name: float(v[i]) for name, v in values.items()}))
    return FeatureTable.from_rows(rows)


def shifted(n=60, shift=3.0, seed=0):
    rng = np.random.default_rng(seed)
    kernels = np.array(["soft"] * (n // 2) + ["sharp"] * (n - n // 2))
    moved = rng.normal(size=n) + np.where(kernels == "sharp", shift, 0.0)
    return table({"moved": moved, "free": rng.normal(size=n), "flat": np.ones(n)}, kernels), kernels


def test_labels_are_text_and_empty_cells_are_not_known():
    t = table({"a": [1, 2, 3]}, kernels=["B30f", " ", ""], thickness=[2.5, None, 3.0])
    assert batch_labels(t, "kernel").tolist() == ["B30f", UNKNOWN, UNKNOWN]
    assert batch_labels(t, "slice_thickness_mm").tolist() == ["2.5 mm", UNKNOWN, "3 mm"]


def test_what_does_not_vary_or_is_not_known_is_left_out():
    values = {"good": [1, 2, 3, 4], "flat": [5] * 4, "rounding": [1, 1 + 1e-15, 1, 1], "gap": [1, np.nan, 2, 3]}
    assert varying_features(table({**values, "huge": [1, 2, np.inf, 3]})) == ("good",)
    assert varying_features(table({"good": [1.0, 2.0]})) == ()


def test_the_shifted_feature_comes_first():
    t, kernels = shifted()
    ranked = rank_batch_differences(t, kernels)
    assert [d.feature for d in ranked] == ["moved", "free"]
    assert ranked[0].eta_squared > 0.5
    assert ranked[1].eta_squared < 0.1
    assert ranked[0].p_value < 1e-6


def test_eta_squared_by_hand():
    """Two batches apart in every rank, n = 6, k = 2: H = 27/7, eta squared = (H - 1) / 4."""
    t = table({"a": [1, 2, 3, 11, 12, 13]})
    found = rank_batch_differences(t, np.array(["x"] * 3 + ["y"] * 3))
    assert found[0].eta_squared == pytest.approx((27 / 7 - 1) / 4)


@pytest.mark.parametrize("batches", [["x"] * 4, ["x", "x", "x", "y"], ["x", "x", UNKNOWN, UNKNOWN]], ids=str)
def test_one_batch_is_no_comparison(batches):
    assert rank_batch_differences(table({"a": [1, 2, 3, 4]}), np.array(batches)) == ()


def test_combat_takes_the_batch_away():
    t, kernels = shifted()
    found = compare_batches(t, kernels)
    assert found.n_features == 2
    assert found.before.scores.shape == (60, 2)
    assert sum(found.before.explained) == pytest.approx(1.0)
    assert found.before.batch_share > 0.3
    assert found.after.batch_share < 0.02
    assert found.remark == ""


@pytest.mark.parametrize(
    ("kernels", "remark"),
    [(["x"] * 6, "one batch"), (["x"] * 5 + ["y"], "at least two lesions each"),
     (["x"] * 2 + ["y"] * 3 + ["z"], "unadjusted: z")],
    ids=["one batch", "one and one alone", "one alone beside two"],
)  # fmt: skip
def test_comparison_says_what_it_leaves_out(kernels, remark):
    rng = np.random.default_rng(1)
    t = table({"a": rng.normal(size=6), "b": rng.normal(size=6)})
    found = compare_batches(t, np.array(kernels))
    assert remark in found.remark
    assert (found.after is None) == ("unadjusted" not in remark)


@pytest.mark.parametrize("values", [{"a": [1, 2]}, {"a": [1, 2, 3], "b": [1, 1, 1]}, {"a": [2, 2, 2]}], ids=str)
def test_too_little_gives_nothing(values):
    t = table(values)
    assert compare_batches(t, batch_labels(t, "kernel")) is None
    assert cluster_features(t) is None


def test_variance_share_ends():
    batches = np.array(["x", "x", "y", "y"])
    assert variance_share(np.array([[1.0], [1.0], [2.0], [2.0]]), batches) == pytest.approx(1.0)
    assert variance_share(np.array([[1.0], [2.0], [1.0], [2.0]]), batches) == pytest.approx(0.0)
    assert variance_share(np.ones((4, 1)), batches) == 0.0


def test_clusters_hold_what_says_the_same():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=80), rng.normal(size=80)
    t = table({"a": a, "b": b, "exp_a": np.exp(a), "minus_a": -a, "b_noisy": b + 0.01 * rng.normal(size=80)})
    found = cluster_features(t)
    assert found.n_clusters == 2
    groups = {}
    for name, label in zip(found.features, found.labels, strict=True):
        groups.setdefault(label, set()).add(name)
    assert sorted(map(sorted, groups.values())) == [["a", "exp_a", "minus_a"], ["b", "b_noisy"]]
    # Members stand side by side, and the matrix is in the same order.
    assert np.count_nonzero(np.diff(found.labels)) == 1
    i, j = found.features.index("a"), found.features.index("minus_a")
    assert found.correlation[i, j] == pytest.approx(-1.0)


def test_features_for_pictures():
    t = table({"original_shape_MeshVolume": [1, 2, 3], "x": [1, 3, 2], "y": [2, 2, 1]})
    assert chosen_features(t, (), 2) == ("original_shape_MeshVolume", "x")
    ranked = rank_batch_differences(table({"y": [1, 2, 5, 6], "x": [1, 5, 2, 6]}), np.array(list("aabb")))
    assert chosen_features(t, ranked, 5) == ("original_shape_MeshVolume", "y", "x")


def test_medians_and_groupings():
    t = table({"a": [1, 2, 9, 5]})
    assert batch_medians(t, "a", np.array(["s", "b", "b", "b"])) == {"b": 5.0, "s": 1.0}
    assert same_grouping(np.array(list("aabc")), np.array(list("xxyz")))
    assert not same_grouping(np.array(list("aabc")), np.array(list("xxyy")))
