"""Two masks of one lesion: overlap and distances by hand and by brute force, and pairs that cannot be compared."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from extraction.tiny_cohorts import make_settings, write_mask
from factories import stored_values, uid, write_ct_series
from hypothesis import given, settings
from hypothesis import strategies as st
from robustness.paired_runs import SETTINGS, table_of, two_readers, two_runs, write_table
from scipy.spatial.distance import cdist

from radiomics_talent.cohort.case import inspect_scan, load_case
from radiomics_talent.cohort.manifest import CohortTable, Lesion, cohort_from_index
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.robustness.mask_agreement import (
    MASK_COLUMNS,
    MEASURES,
    compare_masks,
    mask_agreement,
    mask_medians,
)
from radiomics_talent.robustness.pairing import pair_tables, read_measured

GRID = Geometry((20, 18, 12), (0.8, 0.8, 2.5), (-10.0, 5.0, 30.0))


def box_of(x, y, z, geometry=GRID):
    mask = np.zeros(geometry.size[::-1], bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return LesionVoxels.of(mask, geometry)


def of_runs(a, b):
    return compare_masks(pair_tables(read_measured(a, "A"), read_measured(b, "B")))


def brute_force(a_zyx, b_zyx, spacing_xyz):
    """Return the three distances from every surface voxel to every other, by six shifts."""
    points = []
    for mask in (np.pad(a_zyx, 1), np.pad(b_zyx, 1)):
        hidden = np.logical_and.reduce([np.roll(mask, s, axis) for axis in range(3) for s in (-1, 1)])
        points.append(np.argwhere(mask & ~hidden) * np.array(spacing_xyz[::-1]))
    distance = cdist(*points)
    there, back = distance.min(axis=1), distance.min(axis=0)
    return np.r_[there, back].mean(), max(np.percentile(there, 95), np.percentile(back, 95)), distance.min(1).max()


def test_the_same_mask_agrees_wholly():
    found = mask_agreement(box_of((3, 8), (4, 9), (2, 6)), box_of((3, 8), (4, 9), (2, 6)))
    assert (found.dice, found.jaccard) == (1, 1)
    assert (found.mean_surface_distance_mm, found.hausdorff_95_mm, found.hausdorff_mm) == (0, 0, 0)
    assert found.volume_a_ml == found.volume_b_ml == pytest.approx(5 * 5 * 4 * 0.8 * 0.8 * 2.5 / 1000)


def test_single_voxels_are_as_far_apart_as_their_centres():
    found = mask_agreement(box_of((3, 4), (4, 5), (2, 3)), box_of((6, 7), (4, 5), (4, 5)))
    assert (found.dice, found.jaccard) == (0, 0)
    apart = np.hypot(3 * 0.8, 2 * 2.5)
    assert found.hausdorff_mm == found.hausdorff_95_mm == found.mean_surface_distance_mm == pytest.approx(apart)


def test_a_box_that_grows_by_a_slice():
    found = mask_agreement(box_of((3, 8), (4, 9), (2, 6)), box_of((3, 8), (4, 9), (2, 7)))
    assert found.dice == pytest.approx(2 * 4 / 9)
    assert found.jaccard == pytest.approx(4 / 5)
    assert found.hausdorff_mm == 2.5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_distances_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    masks = [rng.random(GRID.size[::-1]) < p for p in rng.uniform(0.01, 0.9, 2)]
    lesions = [LesionVoxels.of(mask, GRID) for mask in masks]
    found = mask_agreement(*lesions)
    mean, high, one_way = brute_force(*masks, GRID.spacing_mm)
    other_way = brute_force(*masks[::-1], GRID.spacing_mm)[2]
    assert found.mean_surface_distance_mm == pytest.approx(mean, rel=1e-12)
    assert found.hausdorff_95_mm == pytest.approx(high, rel=1e-12)
    assert found.hausdorff_mm == pytest.approx(max(one_way, other_way), rel=1e-12)
    images = [lesion.as_mask() for lesion in lesions]
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    assert found.dice == pytest.approx(overlap.GetDiceCoefficient())
    assert found.jaccard == pytest.approx(overlap.GetJaccardCoefficient())


def test_another_grid_is_put_on_that_of_a():
    fine = Geometry((40, 36, 24), (0.4, 0.4, 1.25), (-10.2, 4.8, 29.375))  # the same voxels, each in eight
    found = mask_agreement(box_of((3, 8), (4, 9), (2, 6)), box_of((6, 16), (8, 18), (4, 12), fine))
    assert found.dice == 1
    assert found.volume_b_ml == pytest.approx(found.volume_a_ml)


def test_a_mask_beside_the_grid_of_a_leaves_nothing():
    beside = replace(GRID, origin_mm=(500.0, 0.0, 0.0))
    assert mask_agreement(box_of((3, 8), (4, 9), (2, 6)), box_of((3, 8), (4, 9), (2, 6), beside)) is None


def test_two_readers_of_one_scan(tmp_path):
    done = []
    a, b = two_runs(tmp_path / "t")
    pairs = pair_tables(read_measured(a, "A"), read_measured(b, "B"))
    masks = compare_masks(pairs, progress=lambda n, total: done.append((n, total)))
    assert tuple(masks) == MASK_COLUMNS
    assert masks["lesion_id"].tolist() == masks["lesion_id_b"].tolist() == ["a", "b", "c", "d"]
    assert masks["status"].tolist() == ["compared"] * 4
    assert masks["space"].tolist() == ["same scan"] * 4
    assert masks["dice"].tolist() == pytest.approx([5 / 6] * 4)
    assert masks["hausdorff_mm"].tolist() == [1.0] * 4
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_has_gone_or_changed_has_its_reason_in_its_row(tmp_path):
    a, b = two_runs(tmp_path / "t")
    data = tmp_path / "t" / "data"
    (data / "a1.nii.gz").unlink()
    write_mask(data, "b1", (2, 4, 12), 6)
    (data / "p3.nii.gz").unlink()
    masks = of_runs(a, b)
    assert masks["status"].tolist() == ["unreadable", "unreadable", "compared", "unreadable"]
    assert masks["reason"][0] == "B: the mask does not exist; correct the path in the table"
    assert masks["reason"][1] == "B: the mask has changed since its features were extracted; extract again"
    assert masks["reason"][3] == "A: the image does not exist; correct the path in the table"
    assert masks.loc[masks["status"] == "unreadable", list(MEASURES)].isna().all(axis=None)


def test_a_damaged_mask_has_its_reason_in_its_row(tmp_path):
    a, b = two_runs(tmp_path / "t")
    (tmp_path / "t" / "data" / "c0.nii.gz").write_bytes(b"no mask")
    masks = of_runs(a, b)
    assert masks["status"].tolist() == ["compared", "compared", "unreadable", "compared"]
    assert masks["reason"][2].startswith("A: ")
    assert str(tmp_path) not in masks["reason"][2]


def test_runs_that_moved_with_their_data_are_read_from_there(tmp_path):
    two_runs(tmp_path / "t")
    shutil.move(tmp_path / "t", tmp_path / "moved")
    masks = of_runs(tmp_path / "moved" / "one", tmp_path / "moved" / "two")
    assert masks["status"].tolist() == ["compared"] * 4


def test_scans_that_no_frame_of_reference_ties_are_not_compared(tmp_path):
    first, second = two_readers(tmp_path / "data")
    moved = []
    for lesion in second.lesions:
        files = []
        for path in (lesion.image, lesion.mask):
            image = sitk.ReadImage(str(path))
            image.SetOrigin((300.0, 0.0, 0.0))
            files.append(path.with_name(f"moved_{path.name}"))
            sitk.WriteImage(image, str(files[-1]))
        moved.append(replace(lesion, image=files[0], mask=files[1]))
    run_extraction(first, SETTINGS, tmp_path / "one")
    run_extraction(CohortTable(tuple(moved)), SETTINGS, tmp_path / "two")
    masks = of_runs(tmp_path / "one", tmp_path / "two")
    assert masks["status"].tolist() == ["elsewhere"] * 4
    assert set(masks["reason"]) == {
        "other grid, and no FrameOfReferenceUID that says whether it lies in the same space"
    }


def test_parts_of_a_lesion_are_lesions_of_their_own(tmp_path):
    split = make_settings().model_copy(update={"mask": make_settings().mask.model_copy(update={"components": "split"})})
    first, second = two_readers(tmp_path / "data")
    for lesions, name in ((first.lesions, "one"), (second.lesions, "two")):
        by_id = {x.lesion_id: x.mask for x in lesions}
        both = sitk.ReadImage(str(by_id["a"])) + sitk.ReadImage(str(by_id["b"]))
        sitk.WriteImage(both, str(by_id["a"]))
        kept = tuple(x for x in lesions if x.lesion_id != "b")
        run_extraction(CohortTable(kept), split, tmp_path / name)
    masks = of_runs(tmp_path / "one", tmp_path / "two")
    assert masks["lesion_id"].tolist() == ["a.1", "a.2", "c", "d"]
    assert masks["dice"].tolist() == pytest.approx([5 / 6] * 4)


def test_tables_without_a_run_have_no_masks(tmp_path):
    a, b = (write_table(tmp_path / name, table_of(seed=k)) for k, name in enumerate("ab"))
    assert of_runs(a, b) is None


def test_a_row_that_the_run_has_no_record_of_is_not_read(tmp_path):
    a, b = two_runs(tmp_path / "t")
    text = (b / "provenance.json").read_text(encoding="utf-8")
    (b / "provenance.json").write_text(text.replace('"lesion_id": "c"', '"lesion_id": "other"'), encoding="utf-8")
    masks = of_runs(a, b)
    assert masks["reason"].tolist() == ["", "", "B: provenance.json does not say where the mask is", ""]


def test_sarcomas_drawn_again_on_their_ct(sts_root, tmp_path):
    first = cohort_from_index(index_dicom(sts_root), tmp_path / "cohort.csv").lesions
    again, grown, pixels = [], [], []
    for lesion in first:
        case = load_case(lesion, SETTINGS)
        wider = sitk.BinaryDilate(case.mask, (1, 1, 0), sitk.sitkBox)
        file = tmp_path / f"{lesion.patient_id}.nrrd"
        sitk.WriteImage(wider, str(file), True)
        again.append(replace(lesion, mask=file, label="1"))
        grown.append(sitk.GetArrayFromImage(wider).sum() / case.voxels.count)
        pixels.append(case.image.GetSpacing()[0])
    for name, lesions in (("one", first), ("two", again)):
        run_extraction(CohortTable(tuple(lesions)), SETTINGS, tmp_path / name)
    masks = of_runs(tmp_path / "one", tmp_path / "two")
    assert masks["space"].tolist() == ["same scan"] * len(first)
    assert masks["dice"].tolist() == pytest.approx([2 / (1 + g) for g in grown])
    assert masks["hausdorff_95_mm"].tolist() == pytest.approx(pixels, rel=0.42)  # a pixel, or its diagonal


def dicom_run(folder, *, frame, series, shift=0):
    """Return a run on three DICOM scans whose grids are the same whatever their frame of reference."""

    def edit(ds, _):
        ds.FrameOfReferenceUID = uid(frame, ds.PatientID)

    lesions = []
    for k in range(3):
        scan = folder / f"ct{k}"
        pixels = stored_values(8, 24, 20, seed=10 * k + len(series))
        write_ct_series(scan, 8, pixels=pixels, edit=edit, patient=f"P{k}", series=series)
        lesion = Lesion(k + 2, f"P{k}", "L", scan, folder / f"m{k}.nrrd")
        geometry = inspect_scan(lesion, SETTINGS)[1].geometry
        drawn = box_of((4 + shift, 10 + shift), (4, 12), (2, 6), geometry)
        sitk.WriteImage(drawn.as_mask(), str(lesion.mask))
        lesions.append(lesion)
    run_extraction(CohortTable(tuple(lesions)), SETTINGS, folder / "run")
    return folder / "run"


def test_two_series_of_one_frame_of_reference_are_compared(tmp_path):
    first = dicom_run(tmp_path / "a", frame="one", series="first")
    second = dicom_run(tmp_path / "b", frame="one", series="second", shift=1)
    masks = of_runs(first, second)
    assert masks["space"].tolist() == ["same frame of reference"] * 3
    assert masks["dice"].tolist() == pytest.approx([5 / 6] * 3)


def test_a_patient_who_lay_down_twice_is_not_compared_though_the_grids_look_the_same(tmp_path):
    first = dicom_run(tmp_path / "a", frame="one", series="first")
    second = dicom_run(tmp_path / "b", frame="two", series="second")
    masks = of_runs(first, second)
    assert masks["status"].tolist() == ["elsewhere"] * 3
    assert masks["reason"].tolist() == ["other frame of reference"] * 3


def test_medians_are_of_compared_pairs():
    measured = {name: [0.5, 9.0, 1.0] for name in MEASURES}
    masks = pd.DataFrame({"status": ["compared", "unreadable", "compared"]} | measured)
    assert mask_medians(masks) == dict.fromkeys(MEASURES, 0.75)
    assert mask_medians(masks.iloc[1:2]) == {}
