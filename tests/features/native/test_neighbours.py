import logging

import numpy as np
import pytest
from features.native.pyradiomics_values import assert_same, features_of, images, maps_of

from radiomics_talent.errors import ExtractionError
from radiomics_talent.features.native.glcm import GLCM_FEATURES
from radiomics_talent.features.native.gldm import GLDM_FEATURES
from radiomics_talent.features.native.grey_levels import GreyLevels, discretise
from radiomics_talent.features.native.neighbour_offsets import angle_weights, neighbour_offsets
from radiomics_talent.features.native.neighbours import neighbour_features, neighbour_maps, neighbour_warnings
from radiomics_talent.features.native.ngtdm import NGTDM_FEATURES
from radiomics_talent.features.native.texture_settings import TextureSettings

SPACING = (0.7, 1.1, 2.5)
ALL = {"glcm": (*GLCM_FEATURES, "MCC"), "gldm": GLDM_FEATURES, "ngtdm": NGTDM_FEATURES}
NAMES = {"distances": "distances", "force_2d": "force2D", "force_2d_dimension": "force2Ddimension"}
NAMES |= {"symmetrical_glcm": "symmetricalGLCM", "weighting_norm": "weightingNorm", "gldm_a": "gldm_a"}


def theirs_of(compute, values, mask, setting, **more):
    """PyRadiomics' values under its own names of the settings, a dict by class."""
    named = {NAMES[name]: list(value) if name == "distances" else value for name, value in setting.items()}
    return {family: compute(family, values, mask, SPACING, names, **named, **more) for family, names in ALL.items()}


def rough_lesion(shape=(6, 9, 8), seed=2, inside=0.7):
    rng = np.random.default_rng(seed)
    values = rng.normal(40, 60, shape).astype(np.int16)
    return values, rng.random(shape) < inside


SETTINGS = [
    {},
    {"distances": (1, 2)},
    {"distances": (3,), "gldm_a": 2},
    {"distances": (1, 1), "gldm_a": 1},
    {"force_2d": True, "force_2d_dimension": 0, "symmetrical_glcm": False},
    {"force_2d": True, "force_2d_dimension": 1, "weighting_norm": "no_weighting"},
    {"force_2d": True, "force_2d_dimension": 2},
    {"symmetrical_glcm": False, "distances": (2,)},
    {"weighting_norm": "euclidean"},
    {"weighting_norm": "manhattan", "symmetrical_glcm": False},
    {"weighting_norm": "infinity", "distances": (1, 2)},
]


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 5, 6), (2, 2, 2), (3, 1, 1)])
@pytest.mark.parametrize("distances", [(1,), (1, 2), (2,), (3, 1), (1, 1), (1, 1, 2)])
@pytest.mark.parametrize("flat", [None, 0, 2])
def test_offsets_are_pyradiomics_angles(shape, distances, flat):
    matrices = pytest.importorskip("radiomics").cMatrices
    settings = TextureSettings(distances=distances, force_2d=flat is not None, force_2d_dimension=flat or 0)
    try:
        theirs = [
            matrices.generate_angles(np.array(shape), np.array(distances), both, flat is not None, flat or 0)
            for both in (0, 1)
        ]
    except RuntimeError:
        with pytest.raises(ExtractionError, match="nothing has a neighbour"):
            neighbour_offsets(shape, settings)
        return
    for ours, angles in zip(neighbour_offsets(shape, settings), theirs, strict=True):
        np.testing.assert_array_equal(ours, angles)


def test_weights_fall_with_the_length_of_an_angle_in_mm():
    offsets = np.array([[0, 0, 1], [1, 1, 0]])
    of = {norm: angle_weights(offsets, (0.5, 1, 2), norm) for norm in ("infinity", "euclidean", "manhattan", "none")}
    np.testing.assert_allclose(of["infinity"], np.exp([-(0.5**2), -(2**2)]))
    np.testing.assert_allclose(of["euclidean"], np.exp([-(0.5**2), -(1 + 4)]))
    np.testing.assert_allclose(of["manhattan"], np.exp([-(0.5**2), -(3**2)]))
    np.testing.assert_array_equal(of["none"], [1, 1])


def test_a_lesion_without_neighbours_is_refused():
    grey = GreyLevels(np.ones((1, 1, 1), np.int32), np.array([1]), 1)
    with pytest.raises(ExtractionError, match="1 × 1 × 1 voxels"):
        neighbour_features(grey, SPACING, TextureSettings(), ALL)


def test_only_what_is_wanted_is_given_in_the_order_wanted():
    grey = discretise(*rough_lesion(), TextureSettings())
    wanted = {"ngtdm": ["Strength", "Busyness"], "glcm": ["MCC", "Id"]}
    found = neighbour_features(grey, SPACING, TextureSettings(), wanted)
    assert {family: list(values) for family, values in found.items()} == wanted
    whole = neighbour_features(grey, SPACING, TextureSettings(), ALL)
    assert found["glcm"]["MCC"] == whole["glcm"]["MCC"]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_numbers_are_those_of_pyradiomics(setting):
    pytest.importorskip("radiomics")
    values, mask = rough_lesion()
    settings = TextureSettings(**setting)
    ours = neighbour_features(discretise(values, mask, settings), SPACING, settings, ALL)
    for family, theirs in theirs_of(features_of, values, mask, setting).items():
        assert_same(ours[family], {name: theirs[name] for name in ALL[family]})


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_maps_are_those_of_pyradiomics(setting, radius, masked):
    pytest.importorskip("radiomics")
    values, mask = rough_lesion((4, 6, 7), inside=0.5)
    settings = TextureSettings(**setting)
    grey = discretise(values, mask if masked else np.ones_like(mask), settings)
    ours = neighbour_maps(grey, np.argwhere(mask), radius, SPACING, settings, ALL)
    theirs = theirs_of(maps_of, values, mask, setting, kernelRadius=radius, maskedKernel=masked)
    for family, maps in theirs.items():
        assert_same(ours[family], {name: maps[name] for name in ALL[family]})


def test_a_neighbourhood_is_a_small_lesion():
    """Around a centre well inside, features are those of the box cut out, whatever the other centres are."""
    settings = TextureSettings()
    grey = discretise(*rough_lesion((7, 7, 7), inside=1), settings)
    maps = neighbour_maps(grey, np.array([[3, 3, 3], [2, 4, 3]]), 2, SPACING, settings, ALL)
    part = GreyLevels(np.ascontiguousarray(grey.levels_zyx[1:6, 1:6, 1:6]), grey.present, grey.highest)
    alone = neighbour_features(part, SPACING, settings, ALL)
    for family, values in alone.items():
        if family == "ngtdm":
            continue  # a level that the part lacks is a row of its table
        for name, value in values.items():
            assert maps[family][name][0] == pytest.approx(value, rel=1e-10), name


def mcc_of(rows, centres):
    """The map of MCC, and what is said."""
    levels = np.array([rows], np.int32)
    grey, said = GreyLevels(levels, np.array([1, 2]), 2), []
    maps = neighbour_maps(grey, np.array(centres), 1, SPACING, TextureSettings(), {"glcm": ["MCC"]}, warn=said.append)
    return maps["glcm"]["MCC"].round(12).tolist(), said


def test_an_angle_that_some_neighbourhoods_lack_fails_the_whole_map():
    rows = [[1, 2, 0, 0, 1], [0, 0, 0, 0, 2]]
    assert mcc_of(rows, [[0, 0, 0], [0, 0, 1]]) == ([1, 1], [])
    assert mcc_of(rows, [[0, 0, 4], [0, 1, 4]]) == ([1, 1], [])
    values, said = mcc_of(rows, [[0, 0, 0], [0, 0, 4]])
    assert values == [0, 0]
    assert "MCC fails for all neighbourhoods at once" in said[0]


@pytest.mark.parametrize("symmetrical", [True, False])
@pytest.mark.parametrize("norm", [None, "euclidean", "wide"])
def test_warnings_are_what_pyradiomics_logs(symmetrical, norm, caplog):
    pytest.importorskip("radiomics")
    from radiomics.glcm import RadiomicsGLCM

    values, mask = rough_lesion((2, 3, 3), inside=1)
    logger = logging.getLogger("radiomics")
    logger.setLevel(logging.WARNING)
    logger.addHandler(caplog.handler)
    try:
        their = RadiomicsGLCM(*images(values, mask), symmetricalGLCM=symmetrical, weightingNorm=norm)
        for name in ALL["glcm"]:
            their.enableFeatureByName(name)
        their.execute()
    finally:
        logger.removeHandler(caplog.handler)
    settings = TextureSettings(symmetrical_glcm=symmetrical, weighting_norm=norm)
    assert neighbour_warnings(settings, ALL) == tuple(dict.fromkeys(record.message for record in caplog.records))
    assert neighbour_warnings(settings, {"gldm": GLDM_FEATURES}) == ()
