"""A moved grid: without a motion the chain's own voxels; with one, what a lesion that lies otherwise would give."""

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.features import engine
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.robustness import position
from radiomics_talent.robustness.position import Motion, moved_grid, prepare_on, seen_region
from radiomics_talent.settings import ExtractionSettings

AS_SCANNED = ExtractionSettings.model_validate({"imageType": {"Original": {}}})
CHAINS = {
    "talent-ct": ExtractionSettings.from_yaml("talent-ct"),
    "ibsi-ct": ExtractionSettings.from_yaml("ibsi-ct"),
    "ibsi-d": ExtractionSettings.from_yaml("ibsi-d"),
    "as scanned": AS_SCANNED,
}


def scan_with_ellipsoid(shape=(24, 60, 64), spacing=(0.8, 0.8, 2.5), radii_mm=(14.0, 9.0, 11.0)):
    rng = np.random.default_rng(1)
    z, y, x = np.indices(shape)
    centre = np.array(shape) / 2
    offsets = [(axis - c) * s for axis, c, s in zip((x, y, z), centre[::-1], spacing, strict=True)]
    mask = sum((o / r) ** 2 for o, r in zip(offsets, radii_mm, strict=True)) <= 1
    image = sitk.GetImageFromArray((60 + 40 * mask + rng.normal(0, 15, shape)).round().astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin((-20.5, 12.25, 100.0))
    lesion = LesionVoxels.of(mask, Geometry.of(image))
    assert lesion is not None
    return image, lesion


def prepare_moved(image, lesion, settings, motion, margin):
    return prepare_on(image, lesion, settings, moved_grid(lesion, settings, motion, margin))


def inside(prepared):
    values = sitk.GetArrayFromImage(prepared.image)[prepared.lesion.slices_zyx]
    return values[sitk.GetArrayFromImage(prepared.mask) == 1]


@pytest.mark.parametrize("name", CHAINS)
def test_without_a_motion_the_features_are_the_chains_own(name):
    image, lesion = scan_with_ellipsoid()
    settings = CHAINS[name]
    own = engine.extract(image, lesion, settings)
    moved = engine.compute(prepare_moved(image, lesion, settings, Motion(), margin=1000), settings)
    assert dict(moved) == pytest.approx(dict(own), rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", ["talent-ct", "ibsi-ct"])
def test_without_a_motion_a_real_lesion_keeps_its_features(name, shared_data):
    phantom = shared_data / "ibsi" / "ct_phantom"
    row = Lesion(2, "phantom", "1", phantom / "dicom" / "image", next((phantom / "dicom" / "mask").iterdir()), "GTV-1")
    settings = CHAINS[name]
    case = load_case(row, settings)
    own = engine.extract(case.image, case.voxels, settings)
    moved = engine.compute(prepare_moved(case.image, case.voxels, settings, Motion(), margin=1), settings)
    assert dict(moved) == pytest.approx(dict(own), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", CHAINS)
def test_a_turn_and_a_shift_keep_volume_and_mean(name):
    image, lesion = scan_with_ellipsoid()
    settings = CHAINS[name]
    own = engine.prepare(image, lesion, settings)
    moved = prepare_moved(image, lesion, settings, Motion(10.0, (0.3, -0.2, 0.9)), margin=3)
    volumes = [float((sitk.GetArrayViewFromImage(p.mask) == 1).sum()) for p in (own, moved)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    means = [float(inside(p).mean()) for p in (own, moved)]
    # The lesion is 40 HU above its surroundings, of which its outermost voxels now hold a part.
    assert means[1] == pytest.approx(means[0], abs=0.06 * 40)


def test_a_quarter_turn_about_the_lesion_exchanges_its_axes():
    image, lesion = scan_with_ellipsoid(shape=(20, 61, 61), spacing=(1.0, 1.0, 1.0), radii_mm=(14.0, 7.0, 8.0))
    own = engine.prepare(image, lesion, AS_SCANNED)
    turned = prepare_moved(image, lesion, AS_SCANNED, Motion(90.0), margin=2)
    assert turned.lesion.size == (own.lesion.size[1], own.lesion.size[0], own.lesion.size[2])


def test_a_shift_by_whole_voxels_changes_no_feature():
    image, lesion = scan_with_ellipsoid()
    own = engine.extract(image, lesion, AS_SCANNED)
    shift = (0.8, -1.6, 2.5)
    moved = engine.compute(prepare_moved(image, lesion, AS_SCANNED, Motion(0.0, shift), margin=1000), AS_SCANNED)
    assert dict(moved) == pytest.approx(dict(own), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", CHAINS)
def test_a_part_of_the_scan_serves_as_the_whole(name):
    image, lesion = scan_with_ellipsoid(shape=(40, 120, 120))
    settings, motion = CHAINS[name], Motion(7.0, (0.3, 0.1, 0.5))
    grid = moved_grid(lesion, settings, motion, margin=2)
    region = seen_region(lesion.geometry, grid)
    assert region.size[1] < 120
    whole, part = (
        engine.compute(prepare_on(seen, lesion, settings, grid), settings) for seen in (image, region.cut(image))
    )
    assert dict(part) == pytest.approx(dict(whole), rel=1e-9, nan_ok=True)


def test_the_scans_own_axes_are_turned_about():
    """An oblique scan turns about the normal of its slices, whatever the patient's axes are."""
    image, _ = scan_with_ellipsoid()
    tilted = Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), (0, 0, 1, 1, 0, 0, 0, 1, 0))
    turned = Motion(30.0).of(tilted, tilted.to_points((10, 10, 10)))
    assert turned.axes[:, 2] == pytest.approx(tilted.axes[:, 2])
    assert turned.to_index(tilted.to_points((10, 10, 10))) == pytest.approx([10, 10, 10])


def scan_alike_in_every_slice(at_the_end, shape=(14, 60, 64), spacing=(0.8, 0.8, 2.5)):
    """Return a scan whose slices are one picture, and a cylinder from its middle to its first or last slice."""
    _, y, x = np.indices(shape)
    disk = np.hypot(0.8 * (x - 31.0), 0.8 * (y - 30.0)) <= 11
    picture = np.random.default_rng(2).normal(60, 15, (1, *shape[1:])) + 40 * disk
    image = sitk.GetImageFromArray(np.broadcast_to(picture.round(), shape).astype(np.int16))
    image.SetSpacing(spacing)
    half = np.arange(shape[0]) >= 7
    lesion = LesionVoxels.of(disk & (half if at_the_end else ~half)[:, np.newaxis, np.newaxis], Geometry.of(image))
    assert lesion is not None
    return image, lesion


@pytest.mark.parametrize("at_the_end", [True, False])
@pytest.mark.parametrize("spacing", [None, [1, 1, 1]])
def test_filters_see_no_edge_where_the_scan_ends(spacing, at_the_end):
    image, lesion = scan_alike_in_every_slice(at_the_end)
    resamples = {} if spacing is None else {"resampledPixelSpacing": spacing, "padDistance": 40}
    settings = ExtractionSettings.model_validate(
        {"imageType": {"LoG": {"sigma": [3.0]}}, "featureClass": {"firstorder": None}, "setting": resamples}
    )
    half_a_slice = Motion(0.0, (0.0, 0.0, 1.25 if at_the_end else -1.25))
    own = engine.extract(image, lesion, settings)
    moved = engine.compute(prepare_moved(image, lesion, settings, half_a_slice, margin=40), settings)
    names = [f"log-sigma-3-0-mm-3D_firstorder_{k}" for k in ("Mean", "Minimum", "10Percentile", "Maximum")]
    assert [moved[k] for k in names] == pytest.approx([own[k] for k in names], rel=0.02, abs=0.1)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_a_constant_scan_stays_constant_beyond_its_ends(name, dtype):
    image, lesion = scan_alike_in_every_slice(at_the_end=True)
    image = sitk.Cast(image * 0 + 60, sitk.sitkInt16 if dtype is np.int16 else sitk.sitkFloat64)
    moved = prepare_moved(image, lesion, CHAINS[name], Motion(10.0, (0.3, 0.2, 1.25)), margin=40)
    values = sitk.GetArrayViewFromImage(moved.image).astype(float)
    # The cubic spline is cut towards zero for scans of whole HU, as in PyRadiomics.
    assert np.abs(values - 60).max() <= (1 if dtype is np.int16 else 1e-8)


@pytest.mark.parametrize("name", CHAINS)
def test_beyond_its_ends_a_scan_takes_nothing_from_the_lesion(name, monkeypatch):
    image, lesion = scan_alike_in_every_slice(at_the_end=True)
    motion = Motion(10.0, (0.3, 0.2, 1.25))
    continued = prepare_moved(image, lesion, CHAINS[name], motion, margin=40)
    monkeypatch.setattr(position, "_continued", lambda values, *_: values)
    cut_off = prepare_moved(image, lesion, CHAINS[name], motion, margin=40)
    assert continued.lesion == cut_off.lesion
    assert np.array_equal(inside(continued), inside(cut_off))
    assert not np.array_equal(*(sitk.GetArrayViewFromImage(p.image) for p in (continued, cut_off)))


def test_unmoved_the_grid_ends_as_the_chains_own_does():
    """PyRadiomics' grid ends half a new voxel beyond this scan: what it has there is the lesion as it is."""
    image, _ = scan_with_ellipsoid()
    mask = np.zeros(image.GetSize()[::-1], bool)
    mask[10:16, 40:52, 48:62] = True
    lesion = LesionVoxels.of(mask, Geometry.of(image))
    settings = CHAINS["talent-ct"]
    own = engine.prepare(image, lesion, settings)
    unmoved = prepare_moved(image, lesion, settings, Motion(), margin=0)
    values = sitk.GetArrayFromImage(own.image)
    assert np.array_equal(sitk.GetArrayFromImage(unmoved.image), values)
    assert (values[:, :, -1] == 0).all()


@pytest.mark.parametrize(
    ("kind", "step", "whole"), [("Int16", 1, True), ("Float64", 1, True), ("Float64", 0.25, False)]
)
def test_without_interpolation_moved_hu_are_whole_where_the_scans_are(kind, step, whole):
    image, lesion = scan_with_ellipsoid()
    image = sitk.Cast(sitk.Cast(image, sitk.sitkFloat64) * step, getattr(sitk, f"sitk{kind}"))
    ibsi = CHAINS["ibsi-ct"].ibsi.model_copy(update={"interpolation": None})
    settings = CHAINS["ibsi-ct"].model_copy(update={"ibsi": ibsi})
    values = inside(prepare_moved(image, lesion, settings, Motion(10.0, (0.3, 0.2, 0.5)), margin=1))
    assert bool((values == np.rint(values)).all()) == whole


@pytest.mark.parametrize("turn", [10.0, -10.0])
@pytest.mark.parametrize("name", CHAINS)
def test_a_lesion_along_the_border_keeps_its_volume_when_it_turns(name, turn):
    """A turn about a long lesion takes its ends across the border of a grid as large as the scan."""
    image, _ = scan_with_ellipsoid(shape=(24, 120, 90))
    mask = np.zeros((24, 120, 90), bool)
    mask[8:16, 20:100, 30:44] = True
    whole = LesionVoxels.of(mask, Geometry.of(image))
    cut = LesionVoxels.of(mask[:, :, 30:], Geometry.of(image[30:, :, :]))
    volumes = [
        inside(prepare_moved(seen, lesion, CHAINS[name], Motion(turn), margin=3)).size
        for seen, lesion in ((image, whole), (image[30:, :, :], cut))
    ]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.03)
