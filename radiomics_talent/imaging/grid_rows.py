"""Where the points of one grid lie on another, with the bits of ITK's ``ResampleImageFilter``.

For a transform without deformation that filter maps the two ends of each row of the output and interpolates between
them, always in voxels of the whole input. Points on the border of two voxels fall to one of them by the last bit.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Geometry

KEEPS_BITS = platform.machine().lower() in {"x86_64", "amd64"}
"""Whether ITK, as it is distributed for this machine, rounds after every operation (ARM builds fuse them)."""


def grid_rows(frame: Geometry, grid: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where each row of a grid starts and how far it goes.

    Parameters
    ----------
    frame : Geometry
        The whole input's grid, in whose voxels positions are counted.
    grid : Geometry
        The output's.

    Returns
    -------
    starts, vectors : ndarray, shape (z, y, 3)
        Position (x, y, z) of the first point, and of the point one beyond the last counted from it: point i of n is
        at ``starts + (i / n) * vectors``.
    """
    # ITK's own inverse, column by column: its rounding is part of every position.
    unplaced = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    unplaced.SetSpacing(frame.spacing_mm)
    unplaced.SetDirection(frame.direction)
    inverse = np.array([unplaced.TransformPhysicalPointToContinuousIndex(unit) for unit in np.eye(3).tolist()]).T
    steps = grid.axes * np.asarray(grid.spacing_mm)
    n_x, n_y, n_z = grid.size
    y, z = np.arange(n_y, dtype=np.float64)[:, None], np.arange(n_z, dtype=np.float64)[:, None, None]

    def indices(x: float) -> NDArray[np.float64]:
        points = np.asarray(grid.origin_mm) + steps[:, 0] * x + steps[:, 1] * y + steps[:, 2] * z
        offset = points - np.asarray(frame.origin_mm)
        return np.asarray(
            inverse[:, 0] * offset[..., :1] + inverse[:, 1] * offset[..., 1:2] + inverse[:, 2] * offset[..., 2:]
        )

    starts = indices(0.0)
    return starts, indices(float(n_x)) - starts
