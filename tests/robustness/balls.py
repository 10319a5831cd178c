"""CT-like scans with one ball or ellipsoid, in memory."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from radiomics_talent.cohort.case import Case
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels


def ball(diameter_mm=30.0, *, spacing=(0.8, 0.8, 2.0), around_mm=24.0, seed=0, noise_hu=15.0, contrast_hu=40.0):
    """Return a scan (int16) and the lesion in its middle."""
    n_xyz = np.ceil((diameter_mm + 2 * around_mm) / np.array(spacing)).astype(int)
    z, y, x = np.indices(n_xyz[::-1])
    squared = sum(((axis - (n - 1) / 2) * s) ** 2 for axis, n, s in zip((x, y, z), n_xyz, spacing, strict=True))
    mask = squared <= (diameter_mm / 2) ** 2
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(0, 1, mask.shape), (0.6, 1.5, 1.5))
    hu = 60 + contrast_hu * mask + 20 * texture / texture.std() + rng.normal(0, noise_hu, mask.shape)
    image = sitk.GetImageFromArray(hu.round().astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin((-101.5, 33.25, -420.0))
    lesion = LesionVoxels.of(mask, Geometry.of(image))
    assert lesion is not None
    return image, lesion


def ball_case(diameter_mm=30.0, **given):
    image, lesion = ball(diameter_mm, **given)
    return Case(Lesion(2, "p", "L", Path("scan.nii"), Path("mask.nii")), image, lesion, ())


def dice(one: LesionVoxels, other: LesionVoxels) -> float:
    """Return the Dice coefficient of two lesions on one grid."""
    lower = tuple(map(max, one.box.lower, other.box.lower))
    upper = tuple(map(min, one.box.upper, other.box.upper))
    shared = 0
    if all(low < up for low, up in zip(lower, upper, strict=True)):
        common = Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
        mine, its = (x.voxels_zyx[common.seen_from(x.box).slices_zyx] for x in (one, other))
        shared = int(np.count_nonzero(mine & its))
    return 2.0 * shared / (one.count + other.count)
