import math

import numpy as np
import pytest
from features.native.pyradiomics_values import features_of

from radiomics_talent.features.native.glcm import GLCM_FEATURES, glcm_features
from radiomics_talent.features.native.glcm_groups import FOUND, INEXACT, ROUNDED
from radiomics_talent.features.native.glcm_mcc import general_second_eigenvalue, second_eigenvalues
from radiomics_talent.features.native.glcm_rounding import dense_tables
from radiomics_talent.features.native.grey_levels import GreyLevels
from radiomics_talent.features.native.neighbour_tables import PairTables, pair_tables
from radiomics_talent.features.native.neighbours import neighbour_features
from radiomics_talent.features.native.texture_settings import TextureSettings

SPACING = (1.0, 1.0, 1.0)


def grey_of(*rows):
    levels = np.array([rows], np.int32)
    return GreyLevels(levels, np.unique(levels[levels > 0]).astype(np.int64), int(levels.max()))


def features(*rows, names=(*GLCM_FEATURES, "MCC"), **setting):
    """Features of a one-slice lesion given by its levels."""
    return neighbour_features(grey_of(*rows), SPACING, TextureSettings(**setting), {"glcm": names})["glcm"]


def tables_of(*matrices):
    """Entries of co-occurrence matrices."""
    shares = [np.array(m, float) / np.sum(m) for m in matrices]
    index = [np.nonzero(s) for s in shares]
    return PairTables(
        np.cumsum([0, *(len(i[0]) for i in index)]),
        np.concatenate([i[0] for i in index]).astype(np.int32),
        np.concatenate([i[1] for i in index]).astype(np.int32),
        np.concatenate([s[i] for s, i in zip(shares, index, strict=True)]),
    )


def test_features_of_a_line():
    found = features([1, 2, 2, 4])
    # Pairs along x, both ways: (1, 2), (2, 2) twice, (2, 4), in all 6.
    assert found["Contrast"] == pytest.approx((2 * 1 + 2 * 4) / 6)
    assert found["JointEnergy"] == pytest.approx(5 * (1 / 6) ** 2 + 3 / 36)
    assert found["MaximumProbability"] == pytest.approx(2 / 6)
    assert found["JointAverage"] == pytest.approx((1 + 2 + 2 + 2 + 2 + 4) / 6)
    assert found["SumAverage"] == pytest.approx(2 * found["JointAverage"])
    assert found["DifferenceAverage"] == pytest.approx((2 * 1 + 2 * 2) / 6)
    assert found["Idn"] == pytest.approx(
        (2 / (1 + 1 / 4) + 2 / (1 + 2 / 4) + 2) / 6
    )  # by the highest level, 4, not by 3


def test_one_way_counts_each_pair_once():
    assert features([1, 2, 2, 4], symmetrical_glcm=False)["MaximumProbability"] == pytest.approx(1 / 3)


def test_a_hole_parts_neighbours():
    assert features([1, 1, 0, 2, 2])["Contrast"] == 0


def test_angles_without_pairs_are_left_out():
    assert features([1, 0, 2], [2, 0, 1])["Contrast"] == 1


def test_a_flat_region_has_pyradiomics_values():
    found = features([3, 3, 3], [3, 3, 3])
    assert found["MCC"] == found["Correlation"] == found["MaximumProbability"] == 1
    assert found["Imc1"] == found["Imc2"] == found["Contrast"] == found["InverseVariance"] == 0


def test_without_any_pair_nothing_is_defined():
    assert all(math.isnan(v) for v in features([1, 0, 0], [0, 0, 2]).values())


def test_without_any_pair_a_single_level_keeps_what_pyradiomics_keeps():
    apart = features([1, 0, 0], [0, 0, 1])
    assert apart.pop("MCC") == 1
    assert all(math.isnan(v) for v in apart.values())
    merged = features([1, 0, 0], [0, 0, 1], weighting_norm="euclidean")
    assert merged.pop("InverseVariance") == 0
    assert all(math.isnan(v) for v in merged.values())


def test_tables_are_independent_of_each_other():
    one, other = [[1, 2], [2, 4]], [[1, 0], [0, 1]]
    both, _, rounded = glcm_features(tables_of(one, other), np.array([1, 2]), 2)
    np.testing.assert_array_equal(both[1], glcm_features(tables_of(other), np.array([1, 2]), 2)[0][0])
    assert rounded.tolist() == [1, 0]  # rows and columns of the first are independent


def test_mcc_is_one_where_levels_never_meet():
    values, worth = second_eigenvalues(tables_of([[4, 1, 0], [1, 2, 0], [0, 0, 5]], [[0, 3], [3, 0]]), 3)
    np.testing.assert_allclose(values, 1, rtol=1e-13)
    assert (worth == FOUND).all()


def test_mcc_of_independent_levels_is_left_to_rounding():
    _, worth = second_eigenvalues(tables_of([[1, 2, 3], [2, 4, 6], [3, 6, 9]]), 3)
    assert worth.tolist() == [ROUNDED]


@pytest.mark.parametrize("levels", [2, 3, 10, 40, 150])
@pytest.mark.parametrize("symmetrical", [True, False])
@pytest.mark.parametrize("density", [0.1, 1])
def test_mcc_is_the_second_singular_value(levels, symmetrical, density):
    rng = np.random.default_rng(levels)
    near = np.exp(-((np.arange(levels)[:, None] - np.arange(levels)) ** 2) / levels)
    pairs = rng.poisson(20 * near) * (rng.random((levels, levels)) < density) + np.diag(np.ones(levels))
    pairs[0] += 1  # all levels meet
    pairs = pairs + pairs.T if symmetrical else pairs
    scaled = pairs / np.sqrt(np.outer(pairs.sum(axis=1), pairs.sum(axis=0)))
    values, worth = second_eigenvalues(tables_of(pairs), levels)
    assert worth.tolist() == [FOUND]
    assert values[0] == pytest.approx(np.linalg.svd(scaled)[1][1] ** 2, rel=1e-9)


@pytest.mark.parametrize("rare", [1, 1e-3, 1e-6])
def test_mcc_with_a_rare_level_has_pyradiomics_epsilon(rare):
    rng = np.random.default_rng(0)
    pairs = rng.integers(1, 50, (8, 8)) * 1000.0
    pairs[7] = pairs[:, 7] = 0
    pairs[7, 7], pairs[7, 6], pairs[6, 7] = rare, rare, rare
    share = pairs / pairs.sum()
    weighed = share / (np.outer(share.sum(axis=1), share.sum(axis=0)) + 2.0**-52)
    values, worth = second_eigenvalues(tables_of(pairs), 8)
    exact = np.sort(np.linalg.eigvals(weighed @ share.T).real)[-2]
    grey = GreyLevels(np.zeros((1, 1, 1), np.int32), np.arange(1, 9), 8)
    general = general_second_eigenvalue(dense_tables(tables_of(pairs), np.ones(1, bool), grey))
    assert general == pytest.approx(exact, rel=1e-12)
    assert worth[0] == (INEXACT if rare < 1 else FOUND)
    assert worth[0] == INEXACT or values[0] == pytest.approx(exact, rel=2e-10)


def test_groups_that_hardly_meet_do_not_hide_each_other():
    pairs = np.kron(np.eye(12), [[3.0, 1], [1, 2]])
    for k in range(0, 22, 2):
        pairs[k, k + 2] = pairs[k + 2, k] = 1e-7 * (1 + k)
    share = pairs / pairs.sum()
    scaled = pairs / np.sqrt(np.outer(pairs.sum(axis=1), pairs.sum(axis=0)))
    values, worth = second_eigenvalues(tables_of(share), 24)
    assert worth[0] == INEXACT or values[0] == pytest.approx(np.linalg.svd(scaled)[1][1] ** 2, rel=1e-10)


@pytest.mark.parametrize("apart", [1e-3, 1e-5, 1e-7, 1e-9])
def test_mcc_tells_two_eigenvalues_that_are_close(apart):
    """A value between the two is as far off as they are apart."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(np.column_stack([np.ones(30), rng.normal(size=(30, 3))]))[0]
    scaled = basis @ np.diag([1, 0.08, 0.08 - apart, 0.05]) @ basis.T
    share = scaled / 30  # margins are all alike
    assert (share > 0).all()
    values, worth = second_eigenvalues(tables_of(share), 30)
    assert worth[0] == INEXACT or values[0] == pytest.approx(0.08**2, rel=1e-10)


@pytest.mark.parametrize("apart", [1e-4, 1e-6, 1e-8])
def test_mcc_of_two_alike_blocks_that_meet_through_a_third(apart):
    block = np.array([[5.0, 2, 1], [2, 4, 1], [1, 1, 6]])
    pairs = np.kron(np.eye(3), block) + 0.3
    pairs[3:6, 3:6] *= 1 + apart
    scaled = pairs / np.sqrt(np.outer(pairs.sum(axis=1), pairs.sum(axis=0)))
    values, worth = second_eigenvalues(tables_of(pairs), 9)
    assert worth[0] == INEXACT or values[0] == pytest.approx(np.linalg.svd(scaled)[1][1] ** 2, rel=1e-10)


@pytest.mark.parametrize("norm", [None, "no_weighting"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 60)], ids=["13 angles", "one angle"])
@pytest.mark.parametrize("absent", [[], [2], [1, 3]], ids=["no level absent", "one absent", "two absent"])
def test_layout_in_memory_is_pyradiomics(absent, shape, norm):
    pytest.importorskip("radiomics")
    from features.native.pyradiomics_values import images
    from radiomics.glcm import RadiomicsGLCM

    present = np.array([k for k in range(7) if k not in absent])
    values = present[np.random.default_rng(0).integers(0, present.size, shape)]
    theirs = RadiomicsGLCM(*images(values, np.ones(values.shape, bool)), binWidth=1, weightingNorm=norm)
    theirs._initCalculation()
    grey = GreyLevels((values + 1).astype(np.int32), present + 1, 7)
    tables = pair_tables(grey, SPACING, TextureSettings(weighting_norm=norm))
    ours = dense_tables(tables, np.ones(tables.start.size - 1, bool), grey)
    np.testing.assert_array_equal(ours, theirs.P_glcm)
    assert ours.strides[1:] == theirs.P_glcm.strides[1:]


@pytest.mark.parametrize("rows", [([1, 2], [2, 4]), ([1, 1, 2, 2], [1, 1, 2, 2]), ([1, 2, 3], [1, 2, 3], [1, 2, 3])])
@pytest.mark.parametrize("symmetrical", [True, False])
@pytest.mark.parametrize("norm", [None, "euclidean", "no_weighting"])
def test_what_rounding_decides_is_pyradiomics(rows, symmetrical, norm):
    pytest.importorskip("radiomics")
    levels = np.array([rows])
    setting = {"symmetricalGLCM": symmetrical, "weightingNorm": norm}
    theirs = features_of("glcm", levels, levels > 0, binWidth=1, **setting)
    ours = features(*rows, symmetrical_glcm=symmetrical, weighting_norm=norm)
    for name in ("Imc2", "MCC", "Correlation", "ClusterShade"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-12, err_msg=name)
