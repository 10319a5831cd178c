"""What PyRadiomics makes of an array and a mask: the values that the native engine is held against."""

import importlib
import logging
import warnings

import numpy as np
import SimpleITK as sitk


def images(values, mask, spacing=(1.0, 1.0, 1.0)):
    """Return arrays as SimpleITK images with a spacing in (x, y, z)."""
    image, label = sitk.GetImageFromArray(values), sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing)
    label.SetSpacing(spacing)
    return image, label


def features_of(family, values, mask, spacing=(1.0, 1.0, 1.0), names=(), **setting):
    """Return PyRadiomics' features of one class as floats; all that are not deprecated without `names`."""
    module = importlib.import_module(f"radiomics.{family}")
    cls = next(v for n, v in vars(module).items() if n.lower() == f"radiomics{family}")
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        computed = cls(*images(values, mask, spacing), **setting)
        for name in names:
            computed.enableFeatureByName(name)
        return {name: float(value) for name, value in computed.execute().items()}


def assert_same(ours, theirs):
    """Hold numbers or maps to the tolerance of the engine: 1e-9 relative, 1e-12 near zero, NaN where they have NaN."""
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def maps_of(family, values, mask, spacing=(1.0, 1.0, 1.0), names=(), **setting):
    """Return PyRadiomics' maps of one class, as values at the voxels of the lesion in array order."""
    module = importlib.import_module(f"radiomics.{family}")
    cls = next(v for n, v in vars(module).items() if n.lower() == f"radiomics{family}")
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        computed = cls(*images(values, mask, spacing), voxelBased=True, **setting)
        for name in names:
            computed.enableFeatureByName(name)
        return {name: sitk.GetArrayFromImage(volume)[mask] for name, volume in computed.execute().items()}
