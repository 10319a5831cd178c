"""Laplacian of Gaussian by recursive filters, with the bits of ITK's, on as much of an image as a box needs.

Each of the three second derivatives is three passes over the image: the derivative along its own axis, then smoothing
along the other two in the order x, y, z. A pass runs a fourth-order recursion forwards and one backwards over every
line in double precision and stores their sum as float32 (Deriche, INRIA RR-1893, 1993; Farnebäck and Westin, 2006).
After a pass only the box is needed along its axis, so each pass has less to do than the one before. The first pass
reads the scan where it lies: copies of it would cost more than the filter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from radiomics_talent.imaging.compiled import kernel
from radiomics_talent.imaging.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Lines = NDArray[np.float64]
    Spans = list[tuple[int, int]]

FEWEST_VOXELS = 4
"""A line needs four voxels: the recursions start from that many."""

REACH_SIGMAS = 27.0
"""Beyond this many sigmas a voxel's influence is lost in the rounding of doubles: exp(-1.3732 · 27) is 8e-17.

In crops of noise no bit differed from 22 sigmas on. Where an image is constant from the crop's end to the box, rounding
errors of 1e-15 of its values stay for ever, and no reach is enough where the result itself is that small."""

_LANES = 32
"""Lines filtered side by side: the recursion waits for itself, so the processor needs others to work on meanwhile."""

_ORDER_OF_PASSES = ((2, 1, 0), (1, 2, 0), (0, 2, 1))
"""Axes (z 0, y 1, x 2) in the order of the passes, for the derivatives along x, y and z."""

# Deriche's fit of a Gaussian (first row) and of its second derivative (second row) by two damped oscillations:
# amplitudes of cosine and sine of the first, and of the second; then frequency and damping of each.
_AMPLITUDES = ((1.3530, 1.8151, -0.3531, 0.0902), (-1.3563, 5.2318, 0.3446, -2.2355))
_OSCILLATIONS = ((0.6681, -1.3932), (2.0787, -1.3732))


def laplacian_of_gaussian(
    image_zyx: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    sigma_mm: float,
    box: Box,
    *,
    within: Box | None = None,
) -> NDArray[np.float32]:
    """Filter an image, or a part of it, and return the voxels of a box.

    Parameters
    ----------
    image_zyx : ndarray, shape (z, y, x)
        Voxel values.
    spacing_mm : tuple of float
        Voxel spacing (x, y, z).
    sigma_mm : float
        Width of the Gaussian in mm.
    box : Box
        The voxels that are wanted.
    within : Box, optional
        The part of the image to filter, with `box` inside; None takes all of it. What lies beyond its ends counts as
        the voxel at the end.

    Returns
    -------
    ndarray of float32, shape of `box` (z, y, x)
        The Laplacian times sigma² (scale-normalised), as PyRadiomics' LoG images.

    Raises
    ------
    ValueError
        The part has fewer than `FEWEST_VOXELS` voxels along an axis, or sigma is not above 0.

    Notes
    -----
    ITK's ``LaplacianRecursiveGaussianImageFilter`` with ``NormalizeAcrossScale``, bit for bit where ITK was built
    without fused multiply-add (its wheels for x86-64).
    """
    part = within or Box((0, 0, 0), image_zyx.shape[::-1])
    if min(part.size) < FEWEST_VOXELS or not sigma_mm > 0:
        raise ValueError(
            f"LoG needs {FEWEST_VOXELS} voxels along each axis and a sigma above 0, got an image of {part.size} "
            f"voxels and sigma {sigma_mm}"
        )
    image, region = _readable(image_zyx, part)
    keep = [(s.start, s.stop) for s in box.seen_from(part).slices_zyx]
    total = np.zeros(box.size[::-1], dtype=np.float32)
    for axes in _ORDER_OF_PASSES:
        passed, span = image, region
        for axis in axes:
            weights = recursion(sigma_mm, spacing_mm[2 - axis], derivative=axis == axes[0])
            passed = _pass(passed, span, axis, keep[axis], weights)
            span = [(0, n) for n in passed.shape]
        # ITK adds in double precision and keeps the sum as float32.
        spacing = spacing_mm[2 - axes[0]]
        total = (total + passed * np.float64(1.0 / (spacing * spacing))).astype(np.float32)
    return total


def recursion(sigma_mm: float, spacing_mm: float, *, derivative: bool) -> NDArray[np.float64]:
    """Return the coefficients of the two recursions along an axis.

    Parameters
    ----------
    sigma_mm, spacing_mm : float
        Width of the Gaussian, and distance of voxels along the axis.
    derivative : bool
        The second derivative times sigma² in place of the Gaussian itself.

    Returns
    -------
    ndarray, shape (5, 4)
        Weights of the input forwards (this voxel and the three before it), of the input backwards (the four voxels
        after this one), of the four last outputs, and what stands in for the last at the two ends of a line.
    """
    sigma = sigma_mm / spacing_mm
    damped = _damped(sigma)
    feedback, moments = _feedback(damped)
    forward, sums = _forward(_AMPLITUDES[0], damped)
    sd, dd, ed = moments
    if derivative:
        smooth, smooth_sums = forward, sums
        second, second_sums = _forward(_AMPLITUDES[1], damped)
        # As much of the Gaussian is added as makes the answer to a constant image zero.
        beta = -(2 * second_sums[0] - sd * second[0]) / (2 * smooth_sums[0] - sd * smooth[0])
        forward = [n + beta * g for n, g in zip(second, smooth, strict=True)]
        sn, dn, en = (n + beta * g for n, g in zip(second_sums, smooth_sums, strict=True))
        alpha = en * sd * sd - ed * sn * sd - 2 * dn * dd * sd + 2 * dd * dd * sn
        alpha /= sd * sd * sd
        scale = sigma_mm * sigma_mm / alpha
    else:
        scale = 1.0 / (2 * sums[0] / sd - forward[0])
    n0, n1, n2, n3 = (n * scale for n in forward)
    d1, d2, d3, d4 = feedback
    backward = (n1 - d1 * n0, n2 - d2 * n0, n3 - d3 * n0, -d4 * n0)
    gain_n = n0 + n1 + n2 + n3
    gain_m = backward[0] + backward[1] + backward[2] + backward[3]
    gain_d = 1.0 + d1 + d2 + d3 + d4
    edges = ([d * gain / gain_d for d in feedback] for gain in (gain_n, gain_m))
    return np.array([(n0, n1, n2, n3), backward, feedback, *edges])


def _damped(sigma: float) -> tuple[float, ...]:
    """Sine, cosine and decay over one voxel of the two oscillations."""
    (w1, l1), (w2, l2) = _OSCILLATIONS
    return (
        *(math.sin(w1 / sigma), math.cos(w1 / sigma), math.exp(l1 / sigma)),
        *(math.sin(w2 / sigma), math.cos(w2 / sigma), math.exp(l2 / sigma)),
    )


def _feedback(damped: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, float, float]]:
    """Weights of the last four outputs, and their sum and first two moments (with 1 for the output itself)."""
    _, cos1, exp1, _, cos2, exp2 = damped
    d4 = exp1 * exp1 * exp2 * exp2
    d3 = -2 * cos1 * exp1 * exp2 * exp2
    d3 += -2 * cos2 * exp2 * exp1 * exp1
    d2 = 4 * cos2 * cos1 * exp1 * exp2
    d2 += exp1 * exp1 + exp2 * exp2
    d1 = -2 * (exp2 * cos2 + exp1 * cos1)
    moments = 1.0 + d1 + d2 + d3 + d4, d1 + 2 * d2 + 3 * d3 + 4 * d4, d1 + 4 * d2 + 9 * d3 + 16 * d4
    return (d1, d2, d3, d4), moments


def _forward(amplitudes: tuple[float, ...], damped: tuple[float, ...]) -> tuple[list[float], tuple[float, ...]]:
    """Weights of the input of the forward recursion, and their sum and first two moments."""
    a1, b1, a2, b2 = amplitudes
    sin1, cos1, exp1, sin2, cos2, exp2 = damped
    n0 = a1 + a2
    n1 = exp2 * (b2 * sin2 - (a2 + 2 * a1) * cos2)
    n1 += exp1 * (b1 * sin1 - (a1 + 2 * a2) * cos1)
    n2 = (a1 + a2) * cos2 * cos1
    n2 -= b1 * cos2 * sin1 + b2 * cos1 * sin2
    n2 *= 2 * exp1 * exp2
    n2 += a2 * exp1 * exp1 + a1 * exp2 * exp2
    n3 = exp2 * exp1 * exp1 * (b2 * sin2 - a2 * cos2)
    n3 += exp1 * exp2 * exp2 * (b1 * sin1 - a1 * cos1)
    return [n0, n1, n2, n3], (n0 + n1 + n2 + n3, n1 + 2 * n2 + 3 * n3, n1 + 4 * n2 + 9 * n3)


def _readable(image: NDArray[Any], part: Box) -> tuple[NDArray[Any], Spans]:
    """Return an array that the loops can read, and where in it the part lies: CT and float32 as they are, no copy."""
    spans = [(s.start, s.stop) for s in part.slices_zyx]
    if image.flags.c_contiguous and image.dtype in {np.dtype(np.int16), np.dtype(np.float32)}:
        return image, spans
    dtype = np.float32 if np.can_cast(image.dtype, np.float32) else np.float64
    return np.ascontiguousarray(image[part.slices_zyx], dtype=dtype), [(0, high - low) for low, high in spans]


def _pass(
    image: NDArray[Any], spans: Spans, axis: int, keep: tuple[int, int], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Filter the part within `spans` along one axis and return what lies within `keep` (of the part) on it."""
    low, high = keep
    sizes = [stop - start for start, stop in spans]
    out = np.empty([high - low if a == axis else n for a, n in enumerate(sizes)], dtype=np.float32)
    outer, inner = (a for a in range(3) if a != axis)
    rows = []
    for array, begin in ((image, [start for start, _ in spans]), (out, [0, 0, 0])):
        steps = (array.shape[1] * array.shape[2], array.shape[2], 1)
        start = sum(b * step for b, step in zip(begin, steps, strict=True))
        rows.append((start, steps[axis], steps[outer], steps[inner]))
    lines = np.array([*rows, (sizes[axis], sizes[outer], sizes[inner], 0)], dtype=np.int64)
    source = image.reshape(-1)
    source.flags.writeable = False  # of this view: whether the image may be written to makes a type of its own
    _filter_lines(source, out.reshape(-1), lines, low, high, weights)
    return out


@kernel
def _filter_lines(
    source: NDArray[Any],
    target: NDArray[np.float32],
    lines: NDArray[np.int64],
    low: int,
    high: int,
    weights: NDArray[np.float64],
) -> None:
    """Filter lines along an axis and store voxels `low` to `high` of each.

    `lines` has a row for the source and one for the target: where the first line begins, the step along a line, and
    the steps to the next line along the two other axes; then the length of a line and the lines along those axes.
    """
    n, outer, inner = lines[2, 0], lines[2, 1], lines[2, 2]
    values = np.zeros((n, _LANES))
    ahead = np.empty((n, _LANES))
    back = np.empty((n, _LANES))
    begins = np.zeros(_LANES, dtype=np.int64)
    for first in range(0, outer * inner, _LANES):
        count = min(_LANES, outer * inner - first)
        _places(lines[0], first, count, inner, begins)
        _gather(source, begins[:count], lines[0, 1], values)
        _forwards(values, ahead, high, weights)
        _backwards(values, back, low, weights)
        _places(lines[1], first, count, inner, begins)
        _scatter(ahead[low:high], back[low:high], begins[:count], lines[1, 1], target)


@kernel
def _places(steps: NDArray[np.int64], first: int, count: int, inner: int, begins: NDArray[np.int64]) -> None:
    """Fill in where lines from `first` on begin."""
    for k in range(count):
        begins[k] = steps[0] + (first + k) // inner * steps[2] + (first + k) % inner * steps[3]


@kernel
def _gather(source: NDArray[Any], begins: NDArray[np.int64], step: int, values: Lines) -> None:
    """Read lines, one a column of `values`."""
    count = begins.size
    if begins[count - 1] - begins[0] == count - 1:  # they lie side by side
        for i in range(values.shape[0]):
            row = source[begins[0] + i * step : begins[0] + i * step + count]
            for k in range(count):
                values[i, k] = row[k]
    else:
        for i in range(values.shape[0]):
            for k in range(count):
                values[i, k] = source[begins[k] + i * step]


@kernel
def _scatter(ahead: Lines, back: Lines, begins: NDArray[np.int64], step: int, target: NDArray[np.float32]) -> None:
    """Add both directions and write lines, one a column."""
    count = begins.size
    if begins[count - 1] - begins[0] == count - 1:
        for i in range(ahead.shape[0]):
            row = target[begins[0] + i * step : begins[0] + i * step + count]
            for k in range(count):
                row[k] = ahead[i, k] + back[i, k]
    else:
        for i in range(ahead.shape[0]):
            for k in range(count):
                target[begins[k] + i * step] = ahead[i, k] + back[i, k]


@kernel
def _forwards(values: Lines, out: Lines, high: int, weights: Lines) -> None:
    """Run the recursion from the first voxel to the one before `high`; before the first all are as the first."""
    n0, n1, n2, n3 = weights[0]
    d1, d2, d3, d4 = weights[2]
    b1, b2, b3, b4 = weights[3]
    for k in range(_LANES):
        v0, v1, v2, v3 = values[0, k], values[1, k], values[2, k], values[3, k]
        o0 = v0 * n0 + v0 * n1 + v0 * n2 + v0 * n3
        o1 = v1 * n0 + v0 * n1 + v0 * n2 + v0 * n3
        o2 = v2 * n0 + v1 * n1 + v0 * n2 + v0 * n3
        o3 = v3 * n0 + v2 * n1 + v1 * n2 + v0 * n3
        o0 -= v0 * b1 + v0 * b2 + v0 * b3 + v0 * b4
        o1 -= o0 * d1 + v0 * b2 + v0 * b3 + v0 * b4
        o2 -= o1 * d1 + o0 * d2 + v0 * b3 + v0 * b4
        o3 -= o2 * d1 + o1 * d2 + o0 * d3 + v0 * b4
        out[0, k], out[1, k], out[2, k], out[3, k] = o0, o1, o2, o3
    for i in range(4, high):
        here, in1, in2, in3 = values[i], values[i - 1], values[i - 2], values[i - 3]
        now, out1, out2, out3, out4 = out[i], out[i - 1], out[i - 2], out[i - 3], out[i - 4]
        for k in range(_LANES):
            fed = here[k] * n0 + in1[k] * n1 + in2[k] * n2 + in3[k] * n3
            now[k] = fed - (out1[k] * d1 + out2[k] * d2 + out3[k] * d3 + out4[k] * d4)


@kernel
def _backwards(values: Lines, out: Lines, low: int, weights: Lines) -> None:
    """Run the recursion from the last voxel to `low`; after the last all are as the last."""
    m1, m2, m3, m4 = weights[1]
    d1, d2, d3, d4 = weights[2]
    b1, b2, b3, b4 = weights[4]
    n = values.shape[0]
    for k in range(_LANES):
        v0, v1, v2 = values[n - 1, k], values[n - 2, k], values[n - 3, k]
        o0 = v0 * m1 + v0 * m2 + v0 * m3 + v0 * m4
        o1 = v0 * m1 + v0 * m2 + v0 * m3 + v0 * m4
        o2 = v1 * m1 + v0 * m2 + v0 * m3 + v0 * m4
        o3 = v2 * m1 + v1 * m2 + v0 * m3 + v0 * m4
        o0 -= v0 * b1 + v0 * b2 + v0 * b3 + v0 * b4
        o1 -= o0 * d1 + v0 * b2 + v0 * b3 + v0 * b4
        o2 -= o1 * d1 + o0 * d2 + v0 * b3 + v0 * b4
        o3 -= o2 * d1 + o1 * d2 + o0 * d3 + v0 * b4
        out[n - 1, k], out[n - 2, k], out[n - 3, k], out[n - 4, k] = o0, o1, o2, o3
    for i in range(n - 5, low - 1, -1):
        in1, in2, in3, in4 = values[i + 1], values[i + 2], values[i + 3], values[i + 4]
        now, out1, out2, out3, out4 = out[i], out[i + 1], out[i + 2], out[i + 3], out[i + 4]
        for k in range(_LANES):
            fed = in1[k] * m1 + in2[k] * m2 + in3[k] * m3 + in4[k] * m4
            now[k] = fed - (out1[k] * d1 + out2[k] * d2 + out3[k] * d3 + out4[k] * d4)
