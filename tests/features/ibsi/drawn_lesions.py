"""Lesions for the IBSI families, drawn as arrays."""

import numpy as np

from radiomics_talent.features.ibsi.lesion import IbsiLesion
from radiomics_talent.imaging.geometry import Box


def drawn(image, mask=None, spacing=(1.0, 1.0, 1.0), intensity=None):
    """Return a lesion of (z, y, x) arrays, of one grey level; the intensity mask is the mask, unless given."""
    image = np.asarray(image, np.float64)
    mask = np.ones(image.shape, bool) if mask is None else np.asarray(mask, bool)
    intensity = mask if intensity is None else np.asarray(intensity, bool)
    box = Box.around(mask)
    part = box.slices_zyx
    return IbsiLesion(image, box, spacing, mask[part], intensity[part], intensity[part].astype(np.int32), 1)


def of_levels(levels, morphological=None, n_levels=None):
    """Return a lesion of grey levels, of one slice or more; 0 is outside."""
    levels = np.array(levels, np.int32)
    levels = levels.reshape((1,) * (3 - levels.ndim) + levels.shape)
    mask = levels > 0 if morphological is None else np.array(morphological, bool).reshape(levels.shape)
    box = Box((0, 0, 0), levels.shape[::-1])
    n_levels = int(levels.max()) if n_levels is None else n_levels
    return IbsiLesion(levels.astype(float), box, (1.0, 1.0, 1.0), mask, levels > 0, levels, n_levels)
