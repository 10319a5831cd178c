"""Do the slices of a CT form a regular, upright stack? Pure functions on positions, without files or voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from radiomics_talent.settings import GeometrySettings

SAME_POSITION_MM = 0.01
"""Slices nearer than this along the normal lie at one position: exports round positions to 0.01 mm."""
POSITION_TOLERANCE_MM = 0.02
"""A slice may lie this far from its place on the regular grid ..."""
POSITION_TOLERANCE_SPACINGS = 0.02
"""... or this fraction of the slice distance, where that is more."""
SHIFT_TOLERANCE_MM = 0.05
"""Slices may be shifted sideways by this much in all ..."""
SHEAR_TOLERANCE = 1e-3
"""... or by this much for each mm along the normal (0.06 degrees): ImageOrientationPatient is rounded too."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Parallel slices, sorted along their normal.

    Attributes
    ----------
    order : ndarray of int
        Place in the input of the first, second, ... slice.
    axes : ndarray, shape (3, 3)
        Unit vectors along a row, along a column, and the normal, as columns.
    along_mm : ndarray
        Position of the slices along the normal, from the first slice's.
    sideways_mm : ndarray, shape (n, 2)
        Shift of the slices against the first, along row and column.
    positions_mm : ndarray, shape (n, 3)
        ImagePositionPatient in that order.
    """

    order: NDArray[np.intp]
    axes: NDArray[np.float64]
    along_mm: NDArray[np.float64]
    sideways_mm: NDArray[np.float64]
    positions_mm: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.order)

    @property
    def spacing_mm(self) -> float:
        """Mean distance between slices; 0 for one slice."""
        return float(self.along_mm[-1] / (len(self) - 1)) if len(self) > 1 else 0.0

    def subset(self, keep: Sequence[int]) -> Stack:
        """Return the stack of these of its slices (in ascending order)."""
        first = keep[0]
        return Stack(
            self.order[list(keep)],
            self.axes,
            self.along_mm[list(keep)] - self.along_mm[first],
            self.sideways_mm[list(keep)] - self.sideways_mm[first],
            self.positions_mm[list(keep)],
        )


def find_axes(orientation: Sequence[float]) -> NDArray[np.float64] | None:
    """Return row, column and normal as columns of a rotation; None when ImageOrientationPatient is not one."""
    row, column = np.asarray(orientation[:3], dtype=np.float64), np.asarray(orientation[3:], dtype=np.float64)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.99 or max(lengths) > 1.01 or abs(row @ column) > 0.01:
        return None
    row = row / lengths[0]
    # Rounded cosines are not quite orthogonal, and ITK wants a rotation.
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)], axis=1)


def stack_slices(positions_mm: ArrayLike, axes: NDArray[np.float64]) -> Stack:
    """Sort slices along their normal.

    Parameters
    ----------
    positions_mm : array_like, shape (n, 3)
        ImagePositionPatient of each slice, (x, y, z).
    axes : ndarray, shape (3, 3)
        As `find_axes` returns.
    """
    positions = np.asarray(positions_mm, dtype=np.float64)
    order = np.lexsort((*positions.T[::-1], positions @ axes[:, 2]))
    positions = positions[order]
    local = (positions - positions[0]) @ axes
    return Stack(order, axes, local[:, 2], local[:, :2], positions)


def group_positions(along_mm: NDArray[np.float64]) -> list[list[int]]:
    """Gather sorted slices that lie at one position."""
    groups: list[list[int]] = []
    for i, z in enumerate(along_mm):
        if groups and z - along_mm[groups[-1][0]] < SAME_POSITION_MM:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def grid_places(along_mm: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """Count the slices along a regular grid, skipping the places where slices are missing.

    Returns
    -------
    ndarray of int or None
        None when no such grid exists, or more gaps than whole steps would be left (two spacings, not a gap).
    """
    n = len(along_mm)
    if n < 3:
        return np.arange(n)
    steps = np.diff(along_mm)
    smallest = float(steps.min())
    tolerance = max(POSITION_TOLERANCE_MM, POSITION_TOLERANCE_SPACINGS * smallest)
    unit = float(steps[steps < smallest + 2 * tolerance].mean())
    counts = np.maximum(np.rint(steps / unit), 1).astype(np.intp)
    if np.count_nonzero(counts > 1) >= np.count_nonzero(counts == 1):
        return None
    places = np.concatenate([[0], np.cumsum(counts)])
    return places if misplacement_mm(along_mm, places) <= tolerance else None


def count_regular(along_mm: NDArray[np.float64]) -> float:
    """Return how many slices there are once sorted slices (none at one position) lie on a regular grid."""
    places = grid_places(along_mm)
    if places is not None:
        return float(places[-1] + 1) if len(places) else 0.0
    return float(along_mm[-1] / np.diff(along_mm).min()) + 1


def misplacement_mm(along_mm: NDArray[np.float64], places: NDArray[np.intp]) -> float:
    """Return how far slices lie, at most, from a regular grid through the first and the last."""
    spacing = along_mm[-1] / places[-1]
    return float(np.abs(along_mm - places * spacing).max())


def is_regular(along_mm: NDArray[np.float64]) -> bool:
    """Whether sorted slices lie on a grid without gaps."""
    places = grid_places(along_mm)
    return places is not None and places[-1] == len(along_mm) - 1


def inspect_stack(stack: Stack, settings: GeometrySettings, *, where: str) -> tuple[Finding, ...]:
    """Report tilt, gaps and uneven distances of a stack without slices at one position."""
    return (*_inspect_shear(stack, settings, where), *_inspect_spacing(stack, settings, where))


def is_sheared(stack: Stack) -> bool:
    """Whether slices are shifted against each other, as under a tilted gantry."""
    shift = np.linalg.norm(stack.sideways_mm, axis=1)
    return bool((shift > SHIFT_TOLERANCE_MM + SHEAR_TOLERANCE * stack.along_mm).any())


def _inspect_shear(stack: Stack, settings: GeometrySettings, where: str) -> list[Finding]:
    if not is_sheared(stack):
        return []
    end = stack.sideways_mm[-1]
    line = np.outer(stack.along_mm / max(stack.along_mm[-1], 1e-9), end)
    angle = float(np.degrees(np.arctan2(np.linalg.norm(end), stack.along_mm[-1])))
    shift = float(np.linalg.norm(stack.sideways_mm, axis=1).max())
    if np.abs(stack.sideways_mm - line).max() <= max(SHIFT_TOLERANCE_MM, 0.05 * shift):
        found = f"the slices are sheared by {angle:.1f} degrees (the gantry was tilted)"
    else:
        found = f"the slices are shifted sideways against each other by up to {shift:.1f} mm"
    if settings.gantry_tilt == "resample":
        return [Finding("geometry-mended", f"{found}; they were resampled to upright slices (linear)", where)]
    advice = "use a reconstruction without tilt, or set geometry.gantry_tilt: resample"
    return [Finding("gantry-tilt", f"{found}, which a volume cannot hold; {advice}", where)]


def _inspect_spacing(stack: Stack, settings: GeometrySettings, where: str) -> list[Finding]:
    if is_regular(stack.along_mm):
        return []
    steps = np.diff(stack.along_mm)
    places = grid_places(stack.along_mm)
    if places is None:
        found = f"the distance between slices varies from {steps.min():.4g} to {steps.max():.4g} mm"
        if settings.unequal_spacing == "resample":
            done = f"they were resampled to {steps.min():.4g} mm (linear)"
            return [Finding("geometry-mended", f"{found}; {done}", where)]
        advice = "use the original reconstruction, or set geometry.unequal_spacing: resample"
        return [Finding("unequal-spacing", f"{found}, expected one distance; {advice}", where)]
    found = _describe_gaps(stack, places)
    missing = int(places[-1]) + 1 - len(stack)
    what = "a slice is missing" if missing == 1 else f"{missing} slices are missing"
    if settings.allow_gaps:
        return [Finding("geometry-mended", f"{found}: {what} and filled by linear interpolation", where)]
    advice = "export the series again, or set geometry.allow_gaps: true"
    return [Finding("slice-gap", f"{found}: {what}; {advice}", where)]


def _describe_gaps(stack: Stack, places: NDArray[np.intp]) -> str:
    steps = np.diff(stack.along_mm)
    gaps = np.flatnonzero(np.diff(places) > 1)
    largest = int(gaps[np.argmax(steps[gaps])])
    spacing = stack.along_mm[-1] / places[-1]
    start = f"{len(stack)} slices are {_mm(spacing)} mm apart but"
    place = f"after {_describe_place(stack, largest)}"
    if gaps.size == 1:
        return f"{start} one gap is {_mm(steps[largest])} mm ({place})"
    return f"{start} {gaps.size} gaps are wider, the widest {_mm(steps[largest])} mm ({place})"


def _describe_place(stack: Stack, slice_number: int) -> str:
    x, y, z = stack.positions_mm[slice_number]
    if abs(stack.axes[2, 2]) > 0.9:
        return f"z = {_mm(z)} mm"
    return f"the slice at ({_mm(x)}, {_mm(y)}, {_mm(z)}) mm"


def _mm(value: float) -> str:
    rounded = round(float(value), 2)
    text = f"{rounded:.2f}"
    return text.removesuffix("0")
