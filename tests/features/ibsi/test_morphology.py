"""Morphology: small lesions by hand, and what is not defined."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from features.ibsi.drawn_lesions import drawn

from radiomics_talent.features.ibsi import morphology
from radiomics_talent.features.ibsi.morphology import MORPHOLOGY_FEATURES, morphology_features


def every(*args, **kwargs):
    return morphology_features(drawn(*args, **kwargs), MORPHOLOGY_FEATURES)


def undefined(values):
    return {name for name, value in values.items() if math.isnan(value)}


def noise(*shape):
    return np.random.default_rng(0).normal(50, 20, shape).round()


def test_one_voxel_is_an_octahedron_without_axes():
    found = every([[[30.0]]], spacing=(2, 2, 2))
    volume, area = 8 / 6, 4 * math.sqrt(3)
    expected = {
        "MeshVolume": volume, "VoxelVolume": 8, "SurfaceArea": area, "SurfaceVolumeRatio": area / volume,
        "Compactness1": volume / math.sqrt(math.pi) / area**1.5, "Compactness2": 36 * math.pi * volume**2 / area**3,
        "Sphericity": (36 * math.pi * volume**2) ** (1 / 3) / area, "Maximum3DDiameter": 2, "MajorAxisLength": 0,
        "MinorAxisLength": 0, "LeastAxisLength": 0, "VolumeDensityAABB": 1 / 6, "AreaDensityAABB": area / 24,
        "VolumeDensityConvexHull": 1, "AreaDensityConvexHull": 1, "VolumeDensityMVEE": 1 / math.pi,
        "AreaDensityMVEE": area / 4 / math.pi, "IntegratedIntensity": 30 * volume, "CentreOfMassShift": 0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    not_defined = {"Elongation", "Flatness", "VolumeDensityAEE", "AreaDensityAEE", "MoransI", "GearysC"}
    assert undefined(found) == not_defined


def test_sphericity_and_its_kin_tell_the_same():
    found = every(noise(3, 4, 5))
    assert found["SphericalDisproportion"] == pytest.approx(1 / found["Sphericity"])
    assert found["Asphericity"] == pytest.approx(found["SphericalDisproportion"] - 1)
    assert found["Compactness2"] == pytest.approx(found["Sphericity"] ** 3)
    assert found["Compactness1"] == pytest.approx(math.sqrt(found["Compactness2"]) / 6 / math.pi)


def test_axes_are_those_of_the_scatter_of_a_sample():
    found = every(noise(1, 1, 3), spacing=(2, 1, 1))
    assert found["MajorAxisLength"] == pytest.approx(8)  # centres at -2, 0 and 2 mm: variance 8 / (3 - 1)
    assert (found["MinorAxisLength"], found["LeastAxisLength"], found["Flatness"]) == (0, 0, 0)


def test_a_straight_line_has_no_ellipsoid():
    assert undefined(every(noise(1, 1, 4))) == {"VolumeDensityAEE", "AreaDensityAEE"}
    assert undefined(every(noise(4, 4, 4), np.eye(4) * np.eye(4)[:, :, np.newaxis])) == {
        "VolumeDensityAEE",
        "AreaDensityAEE",
    }


def test_one_slice_has_an_ellipsoid_without_volume():
    found = every(noise(1, 4, 5))
    assert undefined(found) == {"VolumeDensityAEE"}
    assert found["LeastAxisLength"] == found["Flatness"] == 0


def test_a_plane_at_a_slant_is_flat_too():
    mask = np.eye(4)[:, :, np.newaxis] * np.ones(5)
    assert every(noise(4, 4, 5), mask, (0.9, 1.1, 3.3))["LeastAxisLength"] == 0


def test_equal_intensities_leave_only_autocorrelation_undefined():
    assert undefined(every(np.full((3, 3, 3), 0.1))) == {"MoransI", "GearysC"}


def test_intensities_that_add_up_to_0_have_no_centre():
    assert undefined(every([[[-4.0, 1, 3]]])) >= {"CentreOfMassShift"}


def test_the_centre_of_mass_moves_to_the_bright_side():
    found = every([[[1.0, 1, 4]]], spacing=(2, 1, 1))
    assert found["CentreOfMassShift"] == pytest.approx(1)  # from voxel 1 to voxel (1 + 8) / 6


def test_shape_is_of_the_lesion_as_drawn_and_the_rest_of_its_intensity_mask():
    image, mask = noise(3, 4, 5), np.ones((3, 4, 5), bool)
    image[0], intensity = 900, mask.copy()
    intensity[0] = False
    whole, part, small = every(image, mask), every(image, mask, intensity=intensity), every(image, intensity)
    of_intensity = {"CentreOfMassShift", "IntegratedIntensity", "MoransI", "GearysC"}
    assert {name for name in whole if whole[name] != part[name]} == of_intensity
    assert (part["MoransI"], part["GearysC"]) == (small["MoransI"], small["GearysC"])
    assert part["IntegratedIntensity"] == pytest.approx(image[1:].mean() * part["MeshVolume"])
    middle = np.average(np.indices(image.shape)[:, intensity], axis=1, weights=image[intensity])
    assert part["CentreOfMassShift"] == pytest.approx(math.dist(middle, (1, 1.5, 2)))


def test_what_is_around_the_lesion_and_where_it_lies_do_not_matter():
    image = noise(5, 6, 7)
    mask = np.zeros(image.shape, bool)
    mask[1:4, 2:5, 1:6] = True
    mask[1, 2, 1] = False
    part = np.s_[1:4, 2:5, 1:6]
    assert every(image, mask, (1, 2, 3)) == every(image[part], mask[part], (1, 2, 3))


def test_a_lesion_on_its_side_is_the_same_lesion():
    image = noise(4, 5, 6)
    mask = np.random.default_rng(1).random(image.shape) < 0.6
    turned = every(image.transpose(2, 0, 1), mask.transpose(2, 0, 1), (1.0, 2.0, 0.7))
    assert turned == pytest.approx(every(image, mask, (0.7, 1.0, 2.0)), rel=1e-6)


def test_a_solid_ball_is_nearly_a_ball():
    z, y, x = np.ogrid[-12:13, -12:13, -12:13]
    found = every(np.ones((25, 25, 25)), z * z + y * y + x * x <= 144)
    assert found["VolumeDensityAEE"] == pytest.approx(1.25**1.5, abs=0.02)  # the scatter of a ball is r^2 / 5
    assert found["VolumeDensityConvexHull"] == pytest.approx(1, abs=0.05)
    assert 0.8 < found["VolumeDensityMVEE"] < 1  # it rests on the few voxels that stand out by half a millimetre
    assert found["VolumeDensityOMBB"] == pytest.approx(math.pi / 6, abs=0.05)
    assert found["VolumeDensityOMBB"] >= found["VolumeDensityAABB"] * (1 - 1e-9)


@pytest.mark.parametrize("name", MORPHOLOGY_FEATURES)
def test_one_alone_is_the_same_as_one_of_all(name):
    lesion = drawn(noise(3, 4, 5), noise(3, 4, 5) > 40)
    assert morphology_features(lesion, (name,)) == {name: morphology_features(lesion, MORPHOLOGY_FEATURES)[name]}


def test_what_nobody_wants_is_not_computed(monkeypatch):
    for name in ("hull_of_mesh", "smallest_box", "smallest_ellipsoid", "moran_and_geary", "mesh_diameters"):
        monkeypatch.setattr(morphology, name, None)
    found = morphology_features(drawn(noise(2, 2, 2)), ("SurfaceArea", "MeshVolume"))
    assert list(found) == ["SurfaceArea", "MeshVolume"]


def test_what_several_need_is_computed_once(monkeypatch):
    calls = []
    for name in ("hull_of_mesh", "smallest_box", "smallest_ellipsoid", "moran_and_geary", "scan_surface"):
        original = getattr(morphology, name)
        monkeypatch.setattr(morphology, name, lambda *a, f=original, n=name: (calls.append(n), f(*a))[1])
    every(noise(3, 3, 3))
    assert sorted(calls) == ["hull_of_mesh", "moran_and_geary", "scan_surface", "smallest_box", "smallest_ellipsoid"]


def test_threads_give_the_same_bits():
    lesion = drawn(noise(9, 10, 11), noise(9, 10, 11) > 35)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: morphology_features(lesion, MORPHOLOGY_FEATURES), range(8)))
    assert all(one == morphology_features(lesion, MORPHOLOGY_FEATURES) for one in found)


def test_an_unknown_name_is_refused():
    with pytest.raises(LookupError, match="Feature not found: Volume; the family has MeshVolume, VoxelVolume"):
        morphology_features(drawn(np.ones((2, 2, 2))), ("Volume",))
