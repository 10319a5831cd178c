"""Which neighbours a voxel has: PyRadiomics' angles, in its order, and their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.errors import ExtractionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from radiomics_talent.features.native.texture_settings import TextureSettings


def neighbour_offsets(
    size_zyx: tuple[int, ...], settings: TextureSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the offsets from a voxel to its neighbours, as PyRadiomics' ``generate_angles`` orders them.

    Parameters
    ----------
    size_zyx : tuple of int
        Size of the image in voxels; no offset reaches farther.
    settings : TextureSettings
        Distances (infinity norm) and whether neighbours are sought within slices alone.

    Returns
    -------
    one_way, both_ways : ndarray of int64
        (n, 3) in (z, y, x): one direction of each pair of voxels (GLCM), and both (GLDM, NGTDM).

    Raises
    ------
    ExtractionError
        No voxel can have a neighbour; PyRadiomics stops there too.
    """
    reach = max(settings.distances)
    steps = np.arange(reach, -reach - 1, -1)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = (np.abs(offsets) < np.asarray(size_zyx)).all(axis=1)
    if settings.force_2d:
        inside &= offsets[:, settings.force_2d_dimension] == 0
    offsets = offsets[inside]
    norm = np.abs(offsets).max(axis=1)
    offsets = offsets[np.isin(norm, settings.distances) & (norm > 0)]
    count = sum(int((norm == distance).sum()) for distance in settings.distances if distance > 0)
    if count == 0:
        raise ExtractionError(
            f"in a box of {' × '.join(map(str, reversed(size_zyx)))} voxels nothing has a neighbour at a distance of "
            f"{', '.join(map(str, settings.distances))}{' within a slice' if settings.force_2d else ''}: "
            "leave the lesion out, or set smaller distances"
        )
    # A distance that is named twice is counted twice: the list of angles begins anew.
    order = np.arange(count) % len(offsets)
    return offsets[order[: count // 2]], offsets[order]


def angle_weights(
    offsets: NDArray[np.int64], spacing_xyz: tuple[float, float, float], norm: str
) -> NDArray[np.float64]:
    """Return the weight of each angle: exp(-d²), d the length of the offset in mm by the norm (``weightingNorm``).

    Parameters
    ----------
    offsets : ndarray of int64
        (n, 3) in (z, y, x).
    spacing_xyz : tuple of float
        Voxel size in mm.
    norm : str
        'infinity', 'euclidean', 'manhattan'; any other name weighs all alike.

    Returns
    -------
    ndarray of float64
        (n,).
    """
    steps = np.abs(offsets) * np.asarray(spacing_xyz[::-1], dtype=np.float64)
    squared: dict[str, Callable[[], NDArray[np.float64]]] = {
        "infinity": lambda: steps.max(axis=1) ** 2,
        "euclidean": lambda: (steps**2).sum(axis=1),
        "manhattan": lambda: steps.sum(axis=1) ** 2,
    }
    return np.exp(-squared[norm]()) if norm in squared else np.ones(len(offsets))
