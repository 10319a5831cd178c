"""Maps beside the CT: which slice, which way round, and what the colours mean."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.features.maps import FeatureMaps
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.reporting.map_figures import MOST_MAPS, draw_maps

NAME = "original_firstorder_Mean"


def maps_of(names=(NAME,), axes="LPS"):
    """A lesion whose largest slice is k = 3; its map is the voxel's x in mm."""
    image = sitk.GetImageFromArray(np.arange(6 * 20 * 24, dtype=np.int16).reshape(6, 20, 24))
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((0.0, 0.0, 100.0))
    mask = np.zeros((6, 20, 24), np.uint8)
    mask[2, 8:10, 10:13] = 1
    mask[3, 7:12, 9:15] = 1
    labels = sitk.GetImageFromArray(mask)
    labels.CopyInformation(image)
    image, labels = (sitk.DICOMOrient(one, axes) for one in (image, labels))
    lesion = LesionVoxels.of(sitk.GetArrayFromImage(labels) == 1, Geometry.of(image))
    places = np.argwhere(sitk.GetArrayFromImage(labels) == 1)[:, ::-1]
    x_mm = np.array([image.TransformIndexToPhysicalPoint([int(i) for i in place])[0] for place in places])
    return FeatureMaps(dict.fromkeys(names, x_mm), lesion, image, radius=1, masked=True, warnings=())


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def drawn(panel):
    """The map's pixels, NaN outside of the lesion."""
    return np.ma.filled(panel.images[-1].get_array(), np.nan)


def test_the_largest_slice_is_drawn_and_named_by_its_place():
    figure = draw_maps(maps_of(), "P1/L1")
    assert figure.get_suptitle() == "P1/L1: radius 1 voxel, axial slice at z = 109.0 mm"
    ct, mean = panels(figure)
    assert ct.get_title() == "CT (HU), -160 to 240"
    assert mean.get_title() == "original_firstorder_Mean (HU)"
    assert np.isfinite(drawn(mean)).sum() == 30
    assert len(ct.collections[0].get_segments()) == 2 * (5 + 6)  # the contour runs along the voxels


@pytest.mark.parametrize("axes", ["LPS", "RAI", "PIR", "SAL"])
def test_a_scan_stored_along_any_axes_is_seen_the_same_way(axes):
    expected, found = (drawn(panels(draw_maps(maps_of(axes=which), ""))[1]) for which in ("LPS", axes))
    np.testing.assert_array_equal(found, expected)
    assert np.nanmin(found) == np.nanmin(found[:, :12]) == 9.0  # x grows to the right, which is the patient's left


def test_colours_leave_out_extremes_and_say_so():
    maps = maps_of()
    values = maps.values[NAME].copy()
    values[-1] = 1e6
    panel = panels(draw_maps(replace(maps, values={NAME: values}), ""))[1]
    image = panel.images[-1]
    assert image.get_clim()[1] < 1e6
    assert image.colorbar.extend in {"max", "both"}


def test_a_map_without_values_says_so():
    maps = maps_of()
    panel = panels(draw_maps(replace(maps, values={NAME: np.full(maps.lesion.count, np.nan)}), ""))[1]
    assert [text.get_text() for text in panel.texts] == ["not defined"]
    assert len(panel.images) == 1  # the CT alone


def test_more_maps_than_a_page_holds_are_counted():
    names = [f"original_glcm_F{i}" for i in range(MOST_MAPS + 3)]
    figure = draw_maps(maps_of(names), "P1/L1")
    assert len(panels(figure)) == MOST_MAPS + 1
    assert figure.get_suptitle().endswith("; 3 more maps are not drawn")


@pytest.mark.parametrize(
    ("name", "in_hu", "title"),
    [
        ("original_firstorder_Variance", True, "original_firstorder_Variance (HU2)"),
        ("original_firstorder_Variance", False, "original_firstorder_Variance"),
        ("square_firstorder_Variance", True, "square_firstorder_Variance"),
        ("wavelet-LLH_firstorder_Entropy", True, "wavelet-LLH_firstorder_Entropy (bit)"),
        ("original_glcm_Contrast", True, "original_glcm_Contrast"),
    ],
)
def test_units_are_told_where_they_hold(name, in_hu, title):
    ct, panel = panels(draw_maps(maps_of([name]), "", in_hu=in_hu))
    assert panel.get_title() == title
    assert ct.get_title().startswith("CT (HU)") is in_hu
