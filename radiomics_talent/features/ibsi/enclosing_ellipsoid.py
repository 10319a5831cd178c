"""Ellipsoids about a lesion: the smallest that holds its mesh, and the area of any."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-7
"""How far, in squared distance and relative, a point may lie outside of the ellipsoid that is called the smallest."""
LEGENDRE_DEGREE = 20
"""Where IBSI cuts the series of an ellipsoid's area."""
MOST_STEPS = 100_000
"""When the search for the smallest ellipsoid is given up; hulls of thousands of corners take a few thousand steps."""


def ellipsoid_volume(semi_axes: tuple[float, float, float]) -> float:
    """Return the volume of an ellipsoid from its three semi-axes: in mm³ from mm."""
    a, b, c = semi_axes
    return 4 * math.pi / 3 * a * b * c


def ellipsoid_area(semi_axes: tuple[float, float, float]) -> float:
    """Return the area of an ellipsoid by the series of IBSI (1, RDD2).

    Parameters
    ----------
    semi_axes : tuple of float
        In mm, the longest first.

    Returns
    -------
    float
        In mm²; NaN where the longest axis is 0. ``4 pi a b sum_n (alpha beta)^n / (1 - 4 n^2) P_n((alpha^2 + beta^2) /
        (2 alpha beta))`` with ``alpha^2 = 1 - b^2 / a^2``, ``beta^2 = 1 - c^2 / a^2`` and n from 0 to 20. Of a ball it
        is the area. Elsewhere it is larger or smaller, because the series gives the area with ``1 - c^2 / a^2`` and
        ``1 - c^2 / b^2``; but IBSI's reference values are those of its own formula.
    """
    a, b, c = semi_axes
    if a <= 0:
        return math.nan
    alpha_2, beta_2 = 1 - (b / a) ** 2, 1 - (c / a) ** 2
    # Legendre's recurrence for (alpha beta)^n P_n: nothing is divided by alpha, which is 0 where a = b.
    middle, product_2 = (alpha_2 + beta_2) / 2, alpha_2 * beta_2
    before, now, total = 0.0, 1.0, 0.0
    for n in range(LEGENDRE_DEGREE + 1):
        total += now / (1 - 4 * n * n)
        before, now = now, ((2 * n + 1) * middle * now - n * product_2 * before) / (n + 1)
    return 4 * math.pi * a * b * total


def smallest_ellipsoid(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the semi-axes of the ellipsoid of least volume that holds all points (MVEE: IBSI SWZ1, BRI8).

    Parameters
    ----------
    points : ndarray of float64
        (n, 3): in mm, not all in one plane.

    Returns
    -------
    tuple of float
        The longest first, in mm. No point lies outside by more than `TOLERANCE`, and the volume is below that of the
        true ellipsoid by less than 1.5 `TOLERANCE`, relative. NaN where `MOST_STEPS` steps do not get there.

    Notes
    -----
    Khachiyan's algorithm with the first weights of Kumar and Yildirim (J Optim Theory Appl 126, 2005) and the steps
    away from points that are not needed of Todd and Yildirim (Discrete Appl Math 155, 2007).
    """
    centred = points - points.mean(axis=0)
    lifted = np.column_stack((centred, np.ones(len(points))))
    weights = _optimal_weights(lifted, _first_weights(centred))
    if weights is None:
        return math.nan, math.nan, math.nan
    second = _second_moments(lifted, weights)
    scatter = second[:3, :3] - np.outer(second[3, :3], second[3, :3])
    c, b, a = np.sqrt(3 * np.linalg.eigvalsh(scatter)).tolist()
    return a, b, c


def _first_weights(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh the two outermost points in three directions, each at right angles to the pairs before."""
    weights = np.zeros(len(points))
    pairs = np.zeros((3, 3))
    for k in range(3):
        # The last right-singular vectors of the pairs found so far are at right angles to them all.
        along = points @ np.linalg.svd(pairs)[2][2]
        first, last = along.argmin(), along.argmax()
        weights[[first, last]] = 1.0
        pairs[k] = points[last] - points[first]
    return np.asarray(weights / weights.sum(), np.float64)


def _optimal_weights(lifted: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Move weight to the farthest point, or off the nearest that has any, till all distances are alike."""
    d = lifted.shape[1]
    for _ in range(MOST_STEPS):
        inverse = np.linalg.inv(_second_moments(lifted, weights))
        distances = np.einsum("ij,jk,ik->i", lifted, inverse, lifted)
        far = int(distances.argmax())
        near = int(np.where(weights > 0, distances, np.inf).argmin())
        if distances[far] - d <= TOLERANCE * (d - 1):
            return weights
        take_off = d - distances[near] > distances[far] - d
        point = near if take_off else far
        step = (distances[point] - d) / (d * (distances[point] - 1))
        if take_off:
            step = max(step, -weights[point] / (1 - weights[point]))
        dropped = take_off and step == -weights[point] / (1 - weights[point])
        weights = weights * (1 - step)
        weights[point] = 0.0 if dropped else weights[point] + step
    return None


def _second_moments(lifted: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums of weighted products; not by BLAS, whose threads may add in another order."""
    return np.asarray(np.einsum("i,ij,ik->jk", weights, lifted, lifted), np.float64)
