"""Slices that the mask was drawn on and that the series has lost."""

import os

import highdicom
import numpy as np
import pydicom
import pytest
from factories import positions_of, uid, write_ct_series, write_rtstruct
from pydicom.sr.codedict import codes

from radiomics_talent.cohort.case import inspect_case, load_case
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.errors import MaskError
from radiomics_talent.settings import ExtractionSettings

N = 30
DEFAULT = ExtractionSettings()
GAPS = ExtractionSettings.model_validate({"geometry": {"allow_gaps": True}})


def rtstruct(path, files, slices):
    contours = []
    for file in files[slices]:
        x, y, z = (float(v) for v in pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient)
        contours.append(np.asarray([[x + 2, y + 2, z], [x + 7, y + 2, z], [x + 7, y + 7, z], [x + 2, y + 7, z]]))
    return write_rtstruct(path, files, {"GTV": contours})


def seg(path, files, slices):
    images = [pydicom.dcmread(f) for f in files]
    mask = np.zeros((len(images), images[0].Rows, images[0].Columns, 1), dtype=np.uint8)
    mask[slices, 3:9, 3:10] = 1
    described = highdicom.seg.SegmentDescription(
        1, "GTV", codes.cid7150.Tissue, codes.cid7166.ConnectiveTissue,
        highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )  # fmt: skip
    made = highdicom.seg.Segmentation(
        images, mask, "BINARY", [described], uid("s", path), 1, uid("i", path), 1, "M", "M", "1", "1"
    )
    made.save_as(path)
    return path


def found(lesion, settings=DEFAULT):
    return [(f.code, f.level) for f in inspect_case(lesion, settings)[0]]


@pytest.mark.parametrize("write", [rtstruct, seg])
@pytest.mark.parametrize(
    ("slices", "level"), [(slice(12, 18), "warning"), (slice(6, 12), "error"), (slice(18, 27), "error")]
)
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_slices_lost_at_an_end(tmp_path, write, slices, level, how):
    files = write_ct_series(tmp_path / "ct", N)
    mask = write(tmp_path / "mask", files, slices)
    lesion = Lesion(2, "P1", "L1", tmp_path / "ct", mask, "1" if write is seg else "GTV")
    assert found(lesion) == []
    for file in files[:3]:
        file.unlink() if how == "removed" else file.write_bytes(b"")
    expected = [] if how == "removed" else [("files-left-out", "warning")]
    assert found(lesion) == [*expected, ("referenced-slices-missing", level)]
    assert found(lesion, GAPS) == [*expected, ("referenced-slices-missing", "warning")]
    if level == "error":
        with pytest.raises(MaskError, match="3 of the 30 slices that it was drawn on are missing from the series"):
            load_case(lesion)


@pytest.mark.parametrize(("spacing", "level"), [([1, 1, 0], "warning"), ([1, 1, 2.5], "warning"), ([1, 1, 1], "error")])
def test_a_grid_that_would_begin_elsewhere_is_an_error(tmp_path, spacing, level):
    """PyRadiomics' new grid begins at the scan's first slice, so far lesions change as well."""
    files = write_ct_series(tmp_path / "ct", N)
    lesion = Lesion(2, "P1", "L1", tmp_path / "ct", rtstruct(tmp_path / "mask", files, slice(12, 18)), "GTV")
    settings = ExtractionSettings.model_validate({"setting": {"resampledPixelSpacing": spacing}})
    assert found(lesion, settings) == []
    files[0].unlink()
    assert found(lesion, settings) == [("referenced-slices-missing", level)]


def test_slices_that_were_interpolated_are_not_missed(tmp_path):
    files = write_ct_series(tmp_path / "ct", N)
    mask = rtstruct(tmp_path / "mask", files, slice(3, 8))
    files[20].unlink()
    lesion = Lesion(2, "P1", "L1", tmp_path / "ct", mask, "GTV")
    assert found(lesion) == [("slice-gap", "error")]
    assert found(lesion, GAPS) == [("geometry-mended", "warning")]


def test_nothing_is_told_from_uids_that_were_all_replaced(tmp_path):
    """As after a pseudonymisation of the images alone (Soft-tissue-Sarcoma has such a collection)."""
    files = write_ct_series(tmp_path / "drawn", N)
    mask = rtstruct(tmp_path / "mask", files, slice(3, 8))

    def edit(ds, i):
        ds.SOPInstanceUID = uid("replaced", i)

    write_ct_series(tmp_path / "ct", N, edit=edit)
    assert found(Lesion(2, "P1", "L1", tmp_path / "ct", mask, "GTV")) == []


def test_slices_of_another_series_do_not_count(tmp_path):
    """A mask that names CT and PET: the PET need not be there."""
    ct = write_ct_series(tmp_path / "ct", N)
    pet = write_ct_series(tmp_path / "pet", N, series="pet", positions=positions_of(N, step=4.0))
    both = write_rtstruct(tmp_path / "pet-mask", pet, {"GTV": []})
    mask = rtstruct(tmp_path / "mask", ct, slice(3, 8))
    ds, other = pydicom.dcmread(mask), pydicom.dcmread(both)
    studies = [d.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0] for d in (ds, other)]
    studies[0].RTReferencedSeriesSequence.append(studies[1].RTReferencedSeriesSequence[0])
    ds.save_as(mask)
    lesion = Lesion(2, "P1", "L1", tmp_path / "ct", mask, "GTV")
    assert found(lesion) == []
    ct[-1].unlink()
    assert found(lesion) == [("referenced-slices-missing", "error")]


@pytest.mark.parametrize("which", ["image", "mask"])
def test_closed_files_are_not_a_bug_of_ours(tmp_path, monkeypatch, which):
    from pathlib import Path

    files = write_ct_series(tmp_path / "ct", N)
    lesion = Lesion(2, "P1", "L1", tmp_path / "ct", rtstruct(tmp_path / "mask", files, slice(3, 8)), "GTV")
    closed = getattr(lesion, which)

    def stat(path, *args, real=os.stat, **kwargs):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)
    findings, case = inspect_case(lesion, DEFAULT)
    assert case is None
    assert [str(f) for f in findings] == [f"{closed}: the {which} cannot be read: Permission denied"]
