import numpy as np
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels, nearest_voxels
from radiomics_talent.imaging.preprocess import nearest_on, resampling_grid

GRID = Geometry((7, 6, 5), (0.75, 0.75, 2.0), (-10.5, 3.25, -100.0))
SPACING_MM = st.sampled_from([0.5, 0.7, 0.75, 0.9765625, 1.0, 1.5, 2.0, 2.5, 3.0, 3.27])
ORIGIN_MM = st.sampled_from([0.0, 0.1, 33.3, -100.5, -249.51171875, -512.25])


def blob() -> np.ndarray:
    mask = np.zeros(GRID.size[::-1], dtype=bool)
    mask[1:3, 2:5, 3:6] = True
    mask[2, 2, 3] = False
    return mask


def test_a_lesion_comes_back_as_the_mask_it_was():
    mask = blob()
    lesion = LesionVoxels.of(mask, GRID)
    assert lesion.count == mask.sum()
    image = lesion.as_mask()
    assert np.array_equal(sitk.GetArrayFromImage(image), mask)
    assert Geometry.of(image) == GRID
    crop = lesion.crop()
    assert np.array_equal(sitk.GetArrayFromImage(crop), mask[1:3, 2:5, 3:6])
    assert crop.GetOrigin() == image.TransformIndexToPhysicalPoint((3, 2, 1))


def test_an_empty_mask_is_no_lesion():
    assert LesionVoxels.of(np.zeros(GRID.size[::-1], dtype=bool), GRID) is None


def test_a_part_has_a_box_of_its_own():
    lesion = LesionVoxels.of(blob(), GRID)
    kept = np.zeros_like(lesion.voxels_zyx)
    kept[1, 2] = True
    part = lesion.part(kept)
    assert (part.box.lower, part.box.upper) == ((3, 4, 2), (6, 5, 3))
    assert part.count == 3


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 10**6),
    st.tuples(SPACING_MM, SPACING_MM, SPACING_MM),
    st.tuples(ORIGIN_MM, ORIGIN_MM, ORIGIN_MM),
    st.tuples(SPACING_MM, SPACING_MM, SPACING_MM),
    st.sampled_from(["straight", "turned", "oblique"]),
    st.integers(0, 5),
)
def test_nearest_neighbour_is_itk_s_on_the_whole_mask(seed, spacing, origin, new_spacing, direction, pad):
    """Also at points halfway between two voxels, which spacings such as 0.75 and 1 mm are full of."""
    rng = np.random.default_rng(seed)
    axes = np.eye(3)
    if direction == "turned":
        axes = axes[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    if direction == "oblique":
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    size = tuple(int(n) for n in rng.integers(3, 32, 3))
    corner = [int(rng.integers(0, n)) for n in size[::-1]]
    mask = np.zeros(size[::-1], dtype=bool)
    box = tuple(slice(max(0, c - int(rng.integers(0, 8))), c + int(rng.integers(1, 9))) for c in corner)
    mask[box] = rng.random(mask[box].shape) < 0.7
    mask[tuple(corner)] = True
    frame = Geometry(size, spacing, origin, tuple(axes.ravel().tolist()))
    lesion = LesionVoxels.of(mask, frame)
    grid = resampling_grid(frame, frame, lesion.box, new_spacing, pad).geometry
    wanted = sitk.GetArrayFromImage(nearest_on(lesion.as_mask(), grid)) > 0
    ours = nearest_voxels(lesion, grid)
    found = np.zeros_like(wanted)
    if ours is not None:
        found[ours.box.slices_zyx] = ours.voxels_zyx
    assert np.array_equal(found, wanted)
