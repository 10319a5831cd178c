import numpy as np
import pytest
from factories import AXIAL, positions_of
from hypothesis import given
from hypothesis import strategies as st

from radiomics_talent.dicom.stack import find_axes, grid_places, inspect_stack, is_regular, stack_slices
from radiomics_talent.settings import GeometrySettings

REFUSE = GeometrySettings()
OBLIQUE = (0.9541666, -0.2080757, 0.2151061, 0.2785886, 0.880128, -0.3843997)


def findings_of(positions, orientation=AXIAL, settings=REFUSE):
    axes = find_axes(orientation)
    return inspect_stack(stack_slices(positions, axes), settings, where="")


def codes_of(*args, **options):
    return [f.code for f in findings_of(*args, **options)]


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE, (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)])
@pytest.mark.parametrize("step", [0.5, 0.625, 1.25, 3.27, 5.0])
@pytest.mark.parametrize("decimals", [None, 2])
def test_regular_stacks_pass_also_when_rounded(orientation, step, decimals):
    positions = positions_of(60, step=step, orientation=orientation, decimals=decimals)
    assert codes_of(positions, orientation) == []


def test_orientation_rounded_to_three_decimals_passes():
    assert codes_of(positions_of(200, orientation=OBLIQUE), np.round(OBLIQUE, 3)) == []


def test_one_missing_slice_is_told_as_the_architecture_words_it():
    places = [i for i in range(42) if i != 11]
    (finding,) = findings_of(positions_of(0, places=places, origin=(0, 0, -337.5)))
    assert finding.code == "slice-gap"
    assert finding.sentence == (
        "41 slices are 2.5 mm apart but one gap is 5.0 mm (after z = -312.5 mm): a slice is missing; "
        "export the series again, or set geometry.allow_gaps: true"
    )


def test_several_gaps_are_counted():
    (finding,) = findings_of(positions_of(0, places=[0, 1, 2, 5, 6, 8, 9, 10]))
    assert finding.code == "slice-gap"
    assert "2 gaps are wider, the widest 7.5 mm" in finding.sentence
    assert "3 slices are missing" in finding.sentence


@pytest.mark.parametrize(
    "places", [[0, 1, 2, 3.1, 4.1], [0, 1, 2, 4, 6, 8], [0, 1, 2.5, 3.5], np.cumsum(np.linspace(1, 1.1, 40))]
)
def test_varying_distances_are_refused(places):
    (finding,) = findings_of(positions_of(0, places=places))
    assert finding.code == "unequal-spacing"
    assert "geometry.unequal_spacing: resample" in finding.sentence


@pytest.mark.parametrize("degrees", [-18.5, 0.5, 16.5, 30])
@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_shear_is_refused_with_its_angle(degrees, orientation):
    positions = positions_of(20, tilt_deg=degrees, orientation=orientation)
    (finding,) = findings_of(positions, orientation)
    assert finding.code == "gantry-tilt"
    assert f"sheared by {abs(degrees):.1f} degrees" in finding.sentence


def test_slices_that_jump_sideways_are_refused():
    positions = positions_of(10)
    positions[5:, 0] += 4
    (finding,) = findings_of(positions)
    assert finding.code == "gantry-tilt"
    assert "shifted sideways" in finding.sentence


def test_settings_turn_refusal_into_a_note():
    mend = GeometrySettings(allow_gaps=True, gantry_tilt="resample", unequal_spacing="resample")
    assert codes_of(positions_of(0, places=[0, 1, 3, 4, 5], tilt_deg=10), settings=mend) == ["geometry-mended"] * 2
    assert codes_of(positions_of(0, places=[0, 1, 2.4, 3]), settings=mend) == ["geometry-mended"]


def test_a_gap_is_not_forgiven_by_the_other_settings():
    other = GeometrySettings(gantry_tilt="resample", unequal_spacing="resample")
    assert codes_of(positions_of(0, places=[0, 1, 3, 4, 5]), settings=other) == ["slice-gap"]


@pytest.mark.parametrize("orientation", [(0,) * 6, (1, 0, 0, 1, 0, 0), (2, 0, 0, 0, 1, 0), (1, 0, 0, 0.5, 0.8, 0)])
def test_orientations_that_are_none(orientation):
    assert find_axes(orientation) is None


def test_axes_are_a_rotation_though_cosines_are_rounded():
    axes = find_axes(np.round(OBLIQUE, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


@given(st.permutations(range(9)))
def test_sorting_does_not_depend_on_order(order):
    positions = positions_of(9, orientation=OBLIQUE)
    stack = stack_slices(positions[list(order)], find_axes(OBLIQUE))
    np.testing.assert_array_equal(stack.positions_mm, positions)
    np.testing.assert_array_equal(np.asarray(order)[stack.order], np.arange(9))


@given(st.integers(3, 80), st.floats(0.3, 10), st.floats(-1000, 1000), st.sets(st.integers(1, 78), max_size=5))
def test_places_are_found_wherever_slices_are_missing(n, step, start, missing):
    places = [i for i in range(n) if i not in missing or i == n - 1]
    along = np.round(start + np.asarray(places) * step, 2)
    along -= along[0]
    steps = np.diff(places)
    if (steps > 1).sum() >= (steps == 1).sum():
        return
    assert grid_places(along).tolist() == places
    assert is_regular(along) == (len(places) == n)
