"""Compressed images whose damage ITK does not see."""

import gzip
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.cohort.case import inspect_case
from radiomics_talent.cohort.compressed import is_damaged
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.settings import ExtractionSettings

DATA = {"i.nhdr": "i.raw.gz", "i.mhd": "i.zraw"}
MAKERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}


@pytest.fixture
def whole():
    values = np.random.default_rng(0).integers(-1000, 400, (8, 12, 14)).astype(np.int16)
    return sitk.GetImageFromArray(values)


@pytest.mark.parametrize("suffix", list(MAKERS))
@pytest.mark.parametrize("place", [-3, -8, 0.5])
def test_damage_is_refused(tmp_path, whole, suffix, place):
    path = tmp_path / f"i{suffix}"
    sitk.WriteImage(whole, path, useCompression=True)
    assert not is_damaged(path, MAKERS[suffix])
    data = tmp_path / DATA.get(path.name, path.name)
    content = bytearray(data.read_bytes())
    content[place if isinstance(place, int) else int(place * len(content))] ^= 0x10
    data.write_bytes(content)
    assert is_damaged(path, MAKERS[suffix])
    data.write_bytes(content[:-20])
    assert is_damaged(path, MAKERS[suffix])


@pytest.mark.parametrize("which", ["image", "mask"])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_row_with_wrong_voxels_is_refused(tmp_path, whole, suffix, which):
    """Other voxels under the old checksum: the stream unpacks, and ITK is content."""
    paths = {name: tmp_path / f"{name}{suffix}" for name in ("image", "mask")}
    mask = sitk.Cast(whole > 0, sitk.sitkUInt8)
    for name, image in (("image", whole), ("mask", mask)):
        sitk.WriteImage(image, paths[name], useCompression=True)
    lesion = Lesion(2, "P1", "L1", paths["image"], paths["mask"], "1")
    assert inspect_case(lesion, ExtractionSettings())[1] is not None
    content = bytearray(paths[which].read_bytes())
    content[-5 if suffix == ".nrrd" else -2] ^= 1
    paths[which].write_bytes(content)
    findings, case = inspect_case(lesion, ExtractionSettings())
    assert case is None
    assert findings[0].code == {"image": "unreadable-file", "mask": "mask-unreadable"}[which]
    assert findings[0].sentence == "is cut short or damaged; copy or export it again"


def nrrd(path, fields, content=b""):
    path.write_bytes(
        "\n".join(["NRRD0004", "# a: comment", "type: uchar", "dimension: 1", "sizes: 100", *fields, "", ""]).encode()
        + content
    )
    return path


def test_parts_of_a_detached_nrrd(tmp_path):
    for n in (1, 2):
        (tmp_path / f"s{n}.gz").write_bytes(gzip.compress(bytes(100)))
    cases = (["encoding: gz", "data file: LIST", "s1.gz", "s2.gz"], ["encoding: gzip", "data file: s%d.gz 1 2 1"])
    headers = [nrrd(tmp_path / f"{i}.nhdr", fields) for i, fields in enumerate(cases)]
    assert [is_damaged(h, "NrrdImageIO") for h in headers] == [False, False]
    (tmp_path / "s2.gz").write_bytes(gzip.compress(bytes(100))[:-1])
    assert [is_damaged(h, "NrrdImageIO") for h in headers] == [True, True]
    (tmp_path / "s2.gz").unlink()
    with pytest.raises(FileNotFoundError, match="s2"):
        is_damaged(headers[0], "NrrdImageIO")


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        (["encoding: raw"], b"\0" * 10),
        (["encoding: gzip", "line skip: 2"], b"a\nb\n" + gzip.compress(b"x" * 100, mtime=0)),
        (["encoding: gzip"], gzip.compress(b"x" * 100, mtime=0) + b"\n"),
    ],
)
def test_what_is_whole_is_not_damaged(tmp_path, fields, content):
    assert not is_damaged(nrrd(tmp_path / "a.nrrd", fields, content), "NrrdImageIO")


def test_metaimage(tmp_path):
    path = tmp_path / "a.mha"
    axes = "NDims = 1\nDimSize = 3\n"
    for head, data, damaged in (
        ("CompressedData = False\nElementDataFile = LOCAL\n", b"\0", False),
        ("CompressedData = True\nElementDataFile = LOCAL\n", zlib.compress(b"abc"), False),
        ("CompressedData = True\nElementDataFile = LOCAL\n", zlib.compress(b"abc")[:-1], True),
        ("CompressedData = True\nElementDataFile = LIST\n", b"", True),
        ("no header at all", b"", True),
    ):
        path.write_bytes(axes.encode() + head.encode() + data)
        assert is_damaged(path, "MetaImageIO") == damaged
    assert not is_damaged(path, "NiftiImageIO")
