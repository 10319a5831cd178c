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
    means = _sphere_means(lesion)[lesion.intensity_zyx]
    values: dict[str, float] = {"GlobalIntensityPeak": float(means.max())}
    if "LocalIntensityPeak" in wanted:
        intensities = lesion.inside_zyx[lesion.intensity_zyx]
        values["LocalIntensityPeak"] = float(means[intensities == intensities.max()].max())
    return {name: values[name] for name in wanted}


def _sphere_means(lesion: IbsiLesion) -> NDArray[np.float64]:
    """Return the mean in the sphere about each voxel of the lesion's box; only the intensity mask's are right."""
    rows = _sphere_rows(lesion.spacing_xyz)
    image, mask = lesion.image_zyx, lesion.intensity_zyx
    spans = np.stack([mask.argmax(axis=2), mask.shape[2] - mask[..., ::-1].argmax(axis=2)], axis=2).astype(np.int64)
    spans[~mask.any(axis=2)] = 0
    lower = np.array(lesion.box.lower[::-1], np.int64)
    totals = _sphere_sums(image, rows, spans, lower, mask.shape)
    upper = lower + mask.shape
    fits = (lower >= rows.max(axis=0)).all() and (upper + rows.max(axis=0) <= image.shape).all()
    # A sphere that the image's border cuts has fewer voxels.
    counts = (2 * rows[:, 2] + 1).sum() if fits else _sphere_sums(np.ones_like(image), rows, spans, lower, mask.shape)
    return np.asarray(totals / np.maximum(counts, 1))


def _sphere_sums(
    image: NDArray[np.float64],
    rows: NDArray[np.int64],
    spans: NDArray[np.int64],
    lower: NDArray[np.int64],
    mask_shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Return the sum in the sphere about each voxel from `spans` of a row to its end, in a box from `lower` on."""
    reach = int(rows[:, 2].max())
    # Sums along x up to each voxel, continued beyond both ends, so that no sphere needs to look where they are. Sums
    # of whole HU are exact, and so are their differences.
    sums = np.zeros((*image.shape[:2], image.shape[2] + 2 * reach + 1))
    np.cumsum(image, axis=2, out=sums[..., reach + 1 : reach + 1 + image.shape[2]])
    sums[..., reach + 1 + image.shape[2] :] = sums[..., reach + image.shape[2], np.newaxis]
    totals = np.zeros(mask_shape)
    _add_rows(sums, spans, np.array([lower[0], lower[1], lower[2] + reach]), rows, totals)
    return totals


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
def _add_rows(
    sums: NDArray[np.float64],
    spans: NDArray[np.int64],
    lower: NDArray[np.int64],
    rows: NDArray[np.int64],
    totals: NDArray[np.float64],
) -> None:
    """Add up the rows of voxels through each sphere: along x many spheres at once."""
    for z in range(spans.shape[0]):
        for y in range(spans.shape[1]):
            first, end = spans[z, y]
            total = totals[z, y, first:end]
            for k in range(rows.shape[0]):
                row_z, row_y, half = lower[0] + z + rows[k, 0], lower[1] + y + rows[k, 1], rows[k, 2]
                if 0 <= row_z < sums.shape[0] and 0 <= row_y < sums.shape[1]:
                    row = sums[row_z, row_y]
                    left, right = lower[2] + first - half, lower[2] + first + half + 1
                    before, after = row[left : left + total.size], row[right : right + total.size]
                    for x in range(total.size):
                        total[x] += after[x] - before[x]
