"""What each configuration hands to the families is what IBSI's manual says, made here again with SciPy."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from radiomics_talent.compliance.comparison import settings_of
from radiomics_talent.compliance.phantoms import find_ct_phantom, load_ct_phantom
from radiomics_talent.features.engine import prepare
from radiomics_talent.features.ibsi.processing import lesion_of

SPACING = {"A": None, "B": (2, 2, 3), "C": (2, 2, 2), "D": (2, 2, 2), "E": (2, 2, 2)}
RANGE = {"A": (-500, 400), "B": (-500, 400), "C": (-1000, 400), "D": None, "E": (-1000, 400)}
OUTLIERS = {"D", "E"}
LOWEST = {"A": -500, "C": -1000}


def interpolated(values, old, new, order):
    """Section 2.4.4 to 2.4.6: as many points as cover the scan, centred on it; beyond its border, its border."""
    along = []
    for n, s_a, s_b in zip(values.shape, old[::-1], new[::-1], strict=True):
        count = int(np.ceil(round(n * s_a / s_b, 6)))
        first = 0.5 * (n - 1 - s_b / s_a * (count - 1))
        along.append(first + s_b / s_a * np.arange(count))
    points = np.meshgrid(*along, indexing="ij")
    return ndimage.map_coordinates(values.astype(np.float64), points, order=order, mode="nearest")


@pytest.mark.parametrize("config", SPACING)
def test_masks_intensities_and_levels(config, shared_data):
    phantom = load_ct_phantom(find_ct_phantom(shared_data / "ibsi"))
    values, mask = (sitk.GetArrayFromImage(one) for one in (phantom.image, phantom.lesion.as_mask()))
    if SPACING[config] is not None:
        old = phantom.image.GetSpacing()
        order = 3 if config == "E" else 1
        values = np.floor(interpolated(values, old, SPACING[config], order) + 0.5 + 1e-9)
        mask = interpolated(mask, old, SPACING[config], 1) >= 0.5 - 1e-9
    mask = mask > 0
    inside = values[mask].astype(np.float64)
    kept = np.ones(inside.size, dtype=bool)
    if RANGE[config] is not None:
        kept &= (inside >= RANGE[config][0]) & (inside <= RANGE[config][1])
    if config in OUTLIERS:
        kept &= np.abs(inside - inside.mean()) <= 3 * inside.std()
    x = inside[kept]
    if config in LOWEST:
        levels = (x - LOWEST[config]) // 25 + 1
    else:
        levels = np.minimum(np.floor(32 * (x - x.min()) / (x.max() - x.min())) + 1, 32)

    settings = settings_of(config)
    lesion = lesion_of(prepare(phantom.image, phantom.lesion, settings), settings.ibsi)
    np.testing.assert_array_equal(
        np.argwhere(lesion.morphological_zyx), np.argwhere(mask) - np.argwhere(mask).min(axis=0)
    )
    np.testing.assert_array_equal(lesion.image_zyx[lesion.box.slices_zyx][lesion.morphological_zyx], inside)
    np.testing.assert_array_equal(lesion.intensity_zyx[lesion.morphological_zyx], kept)
    np.testing.assert_array_equal(lesion.levels_zyx[lesion.intensity_zyx], levels)
    assert lesion.spacing_xyz == pytest.approx(SPACING[config] or phantom.image.GetSpacing())
