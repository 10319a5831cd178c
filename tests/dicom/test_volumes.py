"""One series, how many volumes? Every series is written as DICOM and read back."""

import pytest
from factories import positions_of, stored_values, uid, write_ct_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiomics_talent.dicom.ct import inspect_ct
from radiomics_talent.dicom.headers import read_instances
from radiomics_talent.dicom.pixels import is_copy
from radiomics_talent.dicom.volumes import drop_copies, split_series
from radiomics_talent.settings import GeometrySettings

N = 8


def volumes_of(paths):
    return split_series(drop_copies(read_instances(paths), is_copy))


def numbers_of(volumes):
    """InstanceNumbers by volume, sorted."""
    return [sorted(i.instance_number for i in v.instances) for v in volumes]


def two_phases(folder, **by_phase):
    """The same positions twice in one series; `by_phase` gives a function of (phase, slice) for a keyword."""
    paths = []
    for phase in (0, 1):

        def edit(ds, i, phase=phase):
            for keyword, value in by_phase.items():
                setattr(ds, keyword, value(phase, i))

        paths += write_ct_series(folder, N, first_number=1 + phase * N, edit=edit)
    return paths


FIRST, SECOND = list(range(1, N + 1)), list(range(N + 1, 2 * N + 1))


def test_a_normal_series_is_one_volume_though_each_slice_has_its_own_time_and_number(tmp_path):
    def edit(ds, i):
        ds.ContentTime, ds.AcquisitionNumber, ds.TriggerTime = f"1011{i:02d}.5", i + 1, i * 100

    (volume,) = volumes_of(write_ct_series(tmp_path, N, edit=edit))
    assert (volume.number, volume.kind, len(volume.instances)) == (1, "volume", N)


def test_slices_are_sorted_along_the_normal(tmp_path):
    (volume,) = volumes_of(write_ct_series(tmp_path, N, positions=positions_of(N)[::-1]))
    z = [i.planes[0].position_mm[2] for i in volume.instances]
    assert z == sorted(z)


@pytest.mark.parametrize(
    "by_phase",
    [
        {"AcquisitionNumber": lambda phase, i: phase + 1},
        {"AcquisitionNumber": lambda phase, i: phase * 20 + i // 2},
        {"ContentTime": lambda phase, i: f"10{phase}000"},
        {"ContentTime": lambda phase, i: f"10{phase}0{i:02d}.25"},
        {"TriggerTime": lambda phase, i: phase * 50},
        {"TemporalPositionIdentifier": lambda phase, i: phase + 1},
        {"ConvolutionKernel": lambda phase, i: ["B30f", "B70f"][phase]},
        {},
    ],
    ids=[
        "acquisition",
        "acquisition-by-table-step",
        "time",
        "time-by-slice",
        "trigger",
        "temporal",
        "kernel",
        "number",
    ],
)
def test_two_phases_in_one_series(tmp_path, by_phase):
    assert numbers_of(volumes_of(two_phases(tmp_path, **by_phase))) == [FIRST, SECOND]


def test_cine_order_takes_the_first_image_of_each_position_first(tmp_path):
    def edit(ds, i):
        # Position by position, two images each: no run of times is a volume.
        phase = (ds.InstanceNumber - 1) // N
        ds.ContentTime = f"10{i:02d}{phase:02d}"
        ds.InstanceNumber = 2 * i + phase + 1

    paths = write_ct_series(tmp_path, N, edit=edit) + write_ct_series(tmp_path, N, first_number=N + 1, edit=edit)
    odd, even = list(range(1, 2 * N, 2)), list(range(2, 2 * N + 1, 2))
    assert numbers_of(volumes_of(paths)) == [odd, even]


def test_acquisitions_that_overlap_at_their_ends(tmp_path):
    paths = []
    for number in range(3):

        def edit(ds, i, number=number):
            ds.AcquisitionNumber = number + 1

        positions = positions_of(0, places=range(number * 6, number * 6 + N))
        paths += write_ct_series(tmp_path, N, positions=positions, first_number=1 + N * number, edit=edit)
    assert [len(v.instances) for v in volumes_of(paths)] == [N, N, N]


def test_interleaved_reconstructions_of_different_thickness(tmp_path):
    thin = write_ct_series(tmp_path, 12, positions=positions_of(12, step=1.25), thickness=1.25)
    where = positions_of(5, step=3.0, origin=(-100, -120, -299.7))
    thick = write_ct_series(tmp_path, 5, positions=where, thickness=3.0, first_number=13)
    assert numbers_of(volumes_of(thin + thick)) == [list(range(1, 13)), list(range(13, 18))]


def test_localizer_and_odd_sizes_are_taken_apart(tmp_path):
    def localizer(ds, i):
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    paths = write_ct_series(tmp_path, 1, orientation=(0, 1, 0, 0, 0, -1), edit=localizer)
    paths += write_ct_series(tmp_path, N, first_number=2)
    paths += write_ct_series(tmp_path, 3, first_number=20, shape=(6, 6))
    paths += write_ct_series(tmp_path, 3, first_number=30, pixel_spacing=(0.5, 0.5))
    paths += write_ct_series(tmp_path, 3, first_number=40, orientation=(1, 0, 0, 0, 0, -1))
    volumes = volumes_of(paths)
    assert [(v.kind, len(v.instances)) for v in volumes] == [("volume", N), *[("volume", 3)] * 3, ("localizer", 1)]
    assert [v.number for v in volumes] == [1, 2, 3, 4, 5]


def test_repeats_that_nothing_tells_apart_stay_together(tmp_path):
    def edit(ds, i):
        del ds.InstanceNumber

    paths = write_ct_series(tmp_path, N, edit=edit) + write_ct_series(tmp_path, N, first_number=50, edit=edit)
    (volume,) = volumes_of(paths)
    assert len(volume.instances) == 2 * N


def test_a_copied_instance_counts_once_from_the_fuller_folder(tmp_path):
    paths = write_ct_series(tmp_path / "b", N)
    copies = write_ct_series(tmp_path / "a", 3)
    (volume,) = volumes_of(paths + copies)
    assert [i.path for i in volume.instances] == paths


def test_one_uid_for_all_slices_is_not_taken_for_copies(tmp_path):
    def edit(ds, i):
        ds.SOPInstanceUID = uid("same")

    (volume,) = volumes_of(write_ct_series(tmp_path, N, edit=edit))
    assert len(volume.instances) == N


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(order=st.permutations(range(2 * N)))
def test_numbers_of_volumes_do_not_depend_on_the_order_of_files(tmp_path, order):
    paths = sorted(tmp_path.glob("*")) or two_phases(tmp_path, ContentTime=lambda phase, i: f"10{phase}0{i:02d}")
    assert numbers_of(volumes_of([paths[i] for i in order])) == [FIRST, SECOND]


# --- what fresh eyes found


def test_two_versions_of_a_slice_are_not_chosen_between(tmp_path):
    """Same UIDs, other pixels: both stay, and the volume is refused for two slices at one position."""
    pixels = stored_values(N, 12, 16)
    write_ct_series(tmp_path / "a", N, pixels=pixels)
    write_ct_series(tmp_path / "b", N, pixels=pixels + 200)
    write_ct_series(tmp_path / "c", N, pixels=pixels, edit=lambda ds, i: setattr(ds, "StationName", "re-exported"))
    paths = [*sorted((tmp_path / "a").iterdir()), *sorted((tmp_path / "b").iterdir())]
    findings, series = inspect_ct(paths, GeometrySettings(), where="x")
    assert series is None
    assert "duplicate-slices" in [f.code for f in findings]
    (volume,) = volumes_of(paths)
    assert len(volume.instances) == 2 * N
    (copies,) = volumes_of([*sorted((tmp_path / "a").iterdir()), *sorted((tmp_path / "c").iterdir())])
    assert len(copies.instances) == N


def beds(folder, **by_bed):
    """Two phases scanned bed by bed: A low, B low, A high, B high."""
    where = positions_of(N)
    paths = []
    for bed, part in enumerate((where[: N // 2], where[: N // 2], where[N // 2 :], where[N // 2 :])):

        def edit(ds, i, bed=bed):
            for keyword, value in by_bed.items():
                setattr(ds, keyword, value(bed))

        paths += write_ct_series(folder, positions=part, first_number=1 + bed * N // 2, edit=edit)
    return paths


def test_beds_of_two_phases_are_never_joined_across_phases(tmp_path):
    half = N // 2
    a, b = {*range(1, half + 1), *range(2 * half + 1, 3 * half + 1)}, {*range(half + 1, 2 * half + 1)}
    by_number = volumes_of(beds(tmp_path / "n", AcquisitionNumber=lambda bed: bed + 1, ContentTime=lambda bed: "10"))
    by_time = volumes_of(beds(tmp_path / "t", ContentTime=lambda bed: f"10{bed}000"))
    for volumes in (by_number, by_time):
        assert len(volumes) > 1
        for numbers in numbers_of(volumes):
            assert set(numbers) <= a or not set(numbers) & a, numbers
            assert b <= set(numbers) or not b & set(numbers), numbers
    assert len(by_time) == 2


def test_two_acquisitions_interleaved_at_half_the_spacing_are_two_volumes(tmp_path):
    where = positions_of(N)
    shifted = where + (where[1] - where[0]) / 2
    paths = write_ct_series(tmp_path, positions=where)
    paths += write_ct_series(
        tmp_path, positions=shifted, first_number=N + 1, edit=lambda ds, i: setattr(ds, "AcquisitionNumber", 2)
    )
    assert numbers_of(volumes_of(paths)) == [FIRST, SECOND]


def test_beds_of_two_phases_are_not_joined_though_a_slice_is_missing(tmp_path):
    paths = beds(tmp_path, AcquisitionNumber=lambda bed: bed + 1, ContentTime=lambda bed: f"10{bed}000")[:-1]
    half = N // 2
    parts = [list(range(1 + bed * half, 1 + (bed + 1) * half)) for bed in range(4)]
    assert numbers_of(volumes_of(paths)) == [*parts[:3], parts[3][:-1]]


@pytest.mark.parametrize("other", [{"pixel_spacing": (0.5, 0.5)}, {"orientation": (1, 0, 0, 0, -1, 0)}])
def test_the_same_pixels_with_another_geometry_are_no_copy(tmp_path, other):
    pixels = stored_values(N, 12, 16)
    where = positions_of(N)
    paths = write_ct_series(tmp_path / "a", pixels=pixels, positions=where)
    paths += write_ct_series(tmp_path / "b", pixels=pixels, positions=where, **other)
    assert [len(v.instances) for v in volumes_of(paths)] == [N, N]


def test_copies_are_compared_only_where_files_collide(tmp_path):
    def never(a, b):
        raise AssertionError("nothing collides")

    assert len(drop_copies(read_instances(write_ct_series(tmp_path, N)), never)) == N
