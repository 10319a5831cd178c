"""Mean intensity in a sphere of 1 cm³ about a voxel: IBSI's local intensity family (9ST6)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.imaging.compiled import kernel

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from radiomics_talent.features.ibsi.lesion import IbsiLesion

LOCAL_INTENSITY_FEATURES = ("LocalIntensityPeak", "GlobalIntensityPeak")
"""Names of the family: IBSI VJGA and 0F91."""
SPHERE_RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)
"""Radius of a sphere of 1 cm³, about 6.2 mm."""


def local_intensity_features(lesion: IbsiLesion, wanted: Collection[str]) -> dict[str, float]:
    """Compute the local intensity features of a lesion (IBSI 1, 9ST6).

    Parameters
    ----------
    lesion : IbsiLesion
        Its image reaches 7 mm beyond the lesion wherever the scan does, and is finite there.
    wanted : collection of str
        Of `LOCAL_INTENSITY_FEATURES`: the mean intensity in a sphere of 1 cm³ about the voxel of highest intensity
        (VJGA; the highest mean where voxels share that intensity), and the highest such mean about any voxel (0F91).

    Returns
    -------
    dict of str to float
        In the image's unit, in the order of `wanted`. A mean is over all voxels of the image whose centre is at most
        `SPHERE_RADIUS_MM` away, of the lesion or not; beyond the image's border there are none. Never NaN.

    Raises
    ------
    LookupError
        If a name is not one of the family.
    """
    for name in wanted:
        if name not in LOCAL_INTENSITY_FEATURES:
            raise LookupError(f"Feature not found: {name}; the family has {', '.join(LOCAL_INTENSITY_FEATURES)}")
    image, centres = _surroundings(lesion)
    values: dict[str, float] = {}
    if "GlobalIntensityPeak" in wanted:
        means = _means(image, centres, lesion.spacing_xyz)
        values["GlobalIntensityPeak"] = float(means.max())
    if "LocalIntensityPeak" in wanted:
        intensities = image[tuple(centres.T)]
        highest = intensities == intensities.max()
        at_peak = means[highest] if values else _means(image, centres[highest], lesion.spacing_xyz)
        values["LocalIntensityPeak"] = float(at_peak.max())
    return {name: values[name] for name in wanted}


def _surroundings(lesion: IbsiLesion) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the image as far as a sphere reaches, and the places of the intensity mask's voxels in it."""
    size_zyx = lesion.image_zyx.shape
    reach = (math.floor(SPHERE_RADIUS_MM / d) for d in lesion.spacing_xyz)
    x_margin, y_margin, z_margin = reach
    around = lesion.box.padded((x_margin, y_margin, z_margin), (size_zyx[2], size_zyx[1], size_zyx[0]))
    part = tuple(slice(low, up) for low, up in zip(around.lower[::-1], around.upper[::-1], strict=True))
    offset = np.array(lesion.box.seen_from(around).lower[::-1], np.int64)
    centres = np.ascontiguousarray(np.argwhere(lesion.intensity_zyx) + offset, np.int64)
    return np.ascontiguousarray(lesion.image_zyx[part], np.float64), centres


def _means(
    image_zyx: NDArray[np.float64], centres: NDArray[np.int64], spacing_xyz: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return the mean in the sphere about each of the (n, 3) places."""
    # Sums of whole HU are exact, so a difference of two of them is too.
    sums = np.zeros((*image_zyx.shape[:2], image_zyx.shape[2] + 1))
    np.cumsum(image_zyx, axis=2, out=sums[..., 1:])
    return _sphere_means(sums, centres, _sphere_rows(spacing_xyz))


def _sphere_rows(spacing_xyz: tuple[float, float, float]) -> NDArray[np.int64]:
    """Return of each row of voxels through the sphere its z, its y, and how far it reaches in x on either side."""
    x, y, z = spacing_xyz
    rows = []
    for dz in range(-math.floor(SPHERE_RADIUS_MM / z), math.floor(SPHERE_RADIUS_MM / z) + 1):
        for dy in range(-math.floor(SPHERE_RADIUS_MM / y), math.floor(SPHERE_RADIUS_MM / y) + 1):
            left = SPHERE_RADIUS_MM**2 - (dz * z) ** 2 - (dy * y) ** 2
            if left >= 0:
                rows.append((dz, dy, math.floor(math.sqrt(left) / x)))
    return np.array(rows, np.int64)


@kernel
def _sphere_means(
    sums: NDArray[np.float64], centres: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Average over rows of voxels by the sums of the row up to each of its voxels."""
    nz, ny, n_sums = sums.shape
    means = np.empty(centres.shape[0])
    for i in range(centres.shape[0]):
        total = 0.0
        count = 0
        for k in range(rows.shape[0]):
            z = centres[i, 0] + rows[k, 0]
            y = centres[i, 1] + rows[k, 1]
            if z < 0 or z >= nz or y < 0 or y >= ny:
                continue
            first = max(centres[i, 2] - rows[k, 2], 0)
            end = min(centres[i, 2] + rows[k, 2] + 1, n_sums - 1)
            total += sums[z, y, end] - sums[z, y, first]
            count += end - first
        means[i] = total / count
    return means
