"""Ellipsoids whose measures are known."""

from math import atanh, isnan, pi, sqrt

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre

from radiomics_talent.features.ibsi import enclosing_ellipsoid
from radiomics_talent.features.ibsi.enclosing_ellipsoid import ellipsoid_area, ellipsoid_volume, smallest_ellipsoid

TURN = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()


def sphere_points(n):
    points = np.random.default_rng(n).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_a_ball_has_the_area_and_volume_of_a_ball():
    assert ellipsoid_area((2, 2, 2)) == pytest.approx(16 * pi)
    assert ellipsoid_volume((2, 2, 2)) == pytest.approx(32 / 3 * pi)


def test_a_spheroid_has_the_closed_form_of_the_series():
    # b = c: alpha = beta and P_n(1) = 1, so the sum is that of beta^2n / (1 - 4 n^2)
    a, c = 3.0, 2.0
    beta = sqrt(1 - c * c / (a * a))
    whole = (1 + (1 - beta**2) / beta * atanh(beta)) / 2
    assert ellipsoid_area((a, c, c)) == pytest.approx(4 * pi * a * c * whole, rel=1e-7)


def test_unequal_axes_take_polynomials_of_legendre():
    a, b, c = 5.0, 4.0, 3.0
    alpha, beta = sqrt(1 - b * b / (a * a)), sqrt(1 - c * c / (a * a))
    at = (alpha**2 + beta**2) / (2 * alpha * beta)
    terms = [(alpha * beta) ** n / (1 - 4 * n * n) * eval_legendre(n, at) for n in range(21)]
    assert ellipsoid_area((a, b, c)) == pytest.approx(4 * pi * a * b * sum(terms), rel=1e-12)


def test_the_series_ends_where_ibsi_ends_it():
    # a disc: alpha = 0, beta = 1, and (alpha beta)^n P_n is the leading coefficient of P_n over 2^n
    leading, total = 1.0, 0.0
    for n in range(21):
        total += leading / (1 - 4 * n * n)
        leading *= (2 * n + 1) / (2 * n + 2)
    assert ellipsoid_area((1, 1, 0)) == pytest.approx(4 * pi * total, rel=1e-12)
    assert ellipsoid_area((1, 1, 0)) != pytest.approx(2 * pi, rel=1e-4)


def test_no_axes_have_no_area():
    assert isnan(ellipsoid_area((0, 0, 0)))
    assert ellipsoid_area((3, 0, 0)) == 0


def test_the_corners_of_a_cube_lie_on_a_ball():
    corners = np.array([(z, y, x) for z in (0, 2) for y in (0, 2) for x in (0, 2)], float)
    assert smallest_ellipsoid(corners @ TURN) == pytest.approx((sqrt(3),) * 3, rel=1e-7)


def test_the_corners_of_a_box_lie_on_a_stretched_ball():
    corners = np.array([(z, y, x) for z in (0, 2) for y in (0, 8) for x in (0, 4)], float)
    assert smallest_ellipsoid(corners) == pytest.approx((4 * sqrt(3), 2 * sqrt(3), sqrt(3)), rel=1e-7)


def test_an_ellipsoid_is_found_from_points_on_and_in_it():
    on = sphere_points(300)
    points = np.concatenate((on, on[::3] * 0.9)) * (7, 4, 2) @ TURN + (30, -20, 10)
    assert smallest_ellipsoid(points) == pytest.approx((7, 4, 2), rel=1e-5)


def test_points_within_do_not_matter():
    tetrahedron = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], float)
    middles = np.array([(a + b) / 2 for a in tetrahedron for b in tetrahedron])
    found = smallest_ellipsoid(np.concatenate((tetrahedron, middles)))
    assert found == pytest.approx((sqrt(3),) * 3, rel=1e-7)


def test_a_search_that_does_not_end_gives_nan(monkeypatch):
    monkeypatch.setattr(enclosing_ellipsoid, "MOST_STEPS", 2)
    assert all(isnan(axis) for axis in smallest_ellipsoid(sphere_points(50) * (3, 2, 1)))
