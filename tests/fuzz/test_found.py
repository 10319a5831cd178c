"""What spoilt files have brought to light, each as a small test that says what must hold."""

import gzip
import json
import os
import re
import resource
import struct
import zipfile
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from factories import stored_values, write_ct_series, write_rtstruct
from fuzz.dicom_mutators import deflated_bomb
from fuzz.models import sealed
from fuzz.mutators import gzip_bomb
from fuzz.seeds import model_seeds
from pydantic import ValidationError
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from radiomics_talent.cohort.compressed import is_damaged, is_malformed
from radiomics_talent.cohort.scan import inspect_path, read_volume
from radiomics_talent.cohort.spreadsheet import read_sheet, write_sheet
from radiomics_talent.dicom.ct import inspect_ct
from radiomics_talent.dicom.headers import read_dataset, read_instance
from radiomics_talent.dicom.pixels import read_stored_values
from radiomics_talent.errors import ConfigError, DicomError, MaskError, ModelError, TableError, TalentError
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.masks import rasterise
from radiomics_talent.modelling.model import load_model
from radiomics_talent.modelling.skops_trees import _trees, refuse_malformed
from radiomics_talent.presets import read_yaml
from radiomics_talent.settings import ExtractionSettings, GeometrySettings, MaskSettings

GRID = Geometry((64, 64, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
LENIENT = GeometrySettings(allow_gaps=True, gantry_tilt="resample", unequal_spacing="resample")


@pytest.fixture
def bounded():
    """Return what lets the process have so many MiB more, and no further."""

    @contextmanager
    def bound(mib):
        status = Path("/proc/self/status").read_text()
        used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData"))
        before = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (used + mib * 2**20, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)

    return bound


def refused(path: Path) -> str:
    findings, image = read_volume(path, code="unreadable-file")
    assert image is None
    return findings[0].sentence


# --- DICOM


def with_length(path: Path, vr: bytes, length: int) -> Path:
    data = bytearray(path.read_bytes())
    at = data.rindex(vr)
    data[at + 4 : at + 8] = struct.pack("<L", length)
    path.write_bytes(bytes(data))
    return path


def test_a_length_beyond_the_file_asks_for_no_memory(tmp_path, bounded):
    path = with_length(write_ct_series(tmp_path, 1)[0], b"OW\0\0", 0x7FFFFFFE)
    with bounded(256):
        assert read_stored_values(path).shape == (1, 12, 16)  # they are all there, whatever the length says


def test_a_deflated_data_set_is_unpacked_no_further_than_an_image_reaches(tmp_path, bounded):
    path = write_ct_series(tmp_path, 1, syntax=DeflatedExplicitVRLittleEndian)[0]
    path.write_bytes(deflated_bomb(path.read_bytes(), 300))
    with bounded(256), pytest.raises(DicomError, match="unpack to more than 64 MiB, which no image does"):
        read_instance(path)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_an_encoded_image_that_claims_to_be_huge_is_not_decoded(tmp_path, syntax, bounded):
    path = write_ct_series(tmp_path, 1, shape=(32, 32), syntax=syntax)[0]
    ds = pydicom.dcmread(path)
    ds.Rows = ds.Columns = 60000
    ds.save_as(path)
    with bounded(256), pytest.raises(DicomError, match="too short or cannot be decoded"):
        read_stored_values(path)


def test_a_codestream_larger_than_its_header_is_not_decoded(tmp_path, bounded):
    path = write_ct_series(tmp_path, 1, shape=(32, 32), syntax=JPEG2000Lossless)[0]
    data = path.read_bytes()
    at = data.index(b"\xff\x4f\xff\x51") + 8
    path.write_bytes(data[:at] + struct.pack(">2L", 60000, 60000) + data[at + 8 :])
    with (
        bounded(256),
        pytest.raises(DicomError, match="an encoded frame has 60000 x 60000 pixels, the header says 32 x 32"),
    ):
        read_stored_values(path)


@pytest.mark.parametrize(
    "positions",
    [
        [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 100000)],
        [(0, 0, 0), (0, 0, 1), (90000, 0, 2)],
        [(0, 0, 0), (0, 0, 0.02), (0, 0, 900)],
    ],
    ids=["gap", "shear", "unequal"],
)
def test_slices_far_apart_are_not_filled_up(tmp_path, positions):
    files = write_ct_series(tmp_path, len(positions), positions=np.array(positions, dtype=float))
    findings, series = inspect_ct(files, LENIENT, where="s")
    assert series is None
    assert "times as large as the slices that are there" in findings[0].sentence


@pytest.mark.parametrize(
    ("keyword", "value"), [("PixelSpacing", ["1e-300", "1"]), ("ImagePositionPatient", ["0", "0", "1e308"])]
)
def test_numbers_of_no_scanner_count_as_absent(tmp_path, keyword, value):
    files = write_ct_series(tmp_path, 3, edit=lambda ds, _: setattr(ds, keyword, value))
    findings, series = inspect_ct(files, LENIENT, where="s")
    assert series is None
    assert f"without a usable {keyword}" in findings[0].sentence


def test_an_unreadable_deflated_data_set_is_damaged(tmp_path):
    path = write_ct_series(tmp_path, 1, syntax=DeflatedExplicitVRLittleEndian)[0]
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DicomError, match="not readable as DICOM"):
        read_dataset(path)


# --- contours


def test_a_contour_back_and_forth_is_refused_before_it_is_filled():
    line = np.tile([[10.0, 5.0, 2.0], [40.0, 60.0, 2.0], [30.0, 5.0, 2.0]], (60_000, 1))
    with pytest.raises(MaskError, match="longer, or lie in more planes, than the outlines of a lesion"):
        rasterise([line], GRID)


def test_a_contour_of_a_million_points_is_filled():
    turn = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    circle = np.column_stack([32 + 20 * np.cos(turn), 32 + 20 * np.sin(turn), np.full(turn.size, 2.0)])
    assert rasterise([circle], GRID).mask_zyx.sum() == pytest.approx(np.pi * 400, rel=0.01)


def test_oblique_contours_far_apart_do_not_fill_the_memory(bounded):
    square = np.array([[0.0, 0, 0], [9e4, 0, 9e4], [9e4, 9e4, 9e4], [0.0, 9e4, 0]])
    with bounded(1024):
        assert rasterise([square, square + np.array([0, 0, 5e3])], GRID).n_oblique == 2


def test_contours_in_every_direction_are_refused():
    rng = np.random.default_rng(0)
    squares = [np.cumsum(rng.standard_normal((2, 3)) * 20, axis=0) for _ in range(60)]
    flat = [np.array([32 + 0 * u, 32 + u, 32 + u + v, 32 + v]) for u, v in squares]
    with pytest.raises(MaskError, match="more planes"):
        rasterise(flat, GRID)


def test_a_structure_set_nested_without_end_is_refused(tmp_path):
    from radiomics_talent.dicom.rtstruct import read_rtstruct_headers

    files = write_ct_series(tmp_path / "ct", 1)
    path = write_rtstruct(tmp_path / "rt", files, {"a": []})
    head = path.read_bytes()
    item = b"\x06\x30\x02\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(head[: head.index(b"\x06\x30\x10\x00SQ")] + item * 3000)
    with pytest.raises(DicomError, match="cannot be read as an RTSTRUCT"):
        read_rtstruct_headers(path)


# --- NIfTI, NRRD, MetaImage


def volume(path: Path, *, packed: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(stored_values(3, 8, 10).astype(np.int16)), path, useCompression=packed)
    return path


@pytest.mark.parametrize(
    ("suffix", "before", "after"),
    [
        (".nrrd", b"sizes: 10 8 3", b"sizes: 60000 60000 60000"),
        (".nrrd", b"sizes: 10 8 3", b"sizes: 1000 1000 1000"),
        (".mha", b"DimSize = 10 8 3", b"DimSize = 60000 60000 60000"),
        (".mha", b"DimSize = 10 8 3", b"DimSize = 1000 1000 1000"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_that_are_not_there_are_not_asked_for(tmp_path, suffix, before, after, packed, bounded):
    path = volume(tmp_path / f"a{suffix}", packed=packed)
    path.write_bytes(path.read_bytes().replace(before, after))
    with bounded(256):
        assert "which no scan has" in refused(path) or "cut short or damaged" in refused(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n", [1000, 32767])
def test_a_nifti_header_is_not_taken_at_its_word(tmp_path, packed, n, bounded):
    path = volume(tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<3h", data, 42, n, n, n)
    path = tmp_path / ("b.nii.gz" if packed else "b.nii")
    path.write_bytes(gzip.compress(data) if packed else data)
    with bounded(256):
        assert "which no scan has" in refused(path) or "cut short or damaged" in refused(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_stream_that_goes_on_is_left_early(tmp_path, suffix, bounded):
    path = volume(tmp_path / f"a{suffix}", packed=True)
    data = path.read_bytes()
    head, body = (
        (b"", data) if suffix == ".nii.gz" else (data[: data.index(b"\n\n") + 2], data[data.index(b"\n\n") + 2 :])
    )
    path.write_bytes(head + gzip_bomb(gzip.decompress(body), 400))
    with bounded(256):
        assert "cut short or damaged" in refused(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"encoding", b"9" * 5000),
        (b"kinds:", b"\xef" * 3000),
        (b"sizes: 10 8 3", b"sizes: " + b"a" * 5000),
        (b"dimension: 3", b"dimension: 0"),
    ],
)
def test_a_nrrd_header_that_itk_crashes_on_never_reaches_it(tmp_path, before, after):
    path = volume(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(before, after, 1))
    assert is_malformed(path, "NrrdImageIO")
    assert "cut short or damaged" in refused(path)


@pytest.mark.parametrize("value", [b"-9999999999999999999", b"9" * 18, b"x"])
def test_a_compressed_size_that_is_none(tmp_path, value):
    path = volume(tmp_path / "a.mha", packed=True)
    path.write_bytes(re.sub(rb"CompressedDataSize = \d+", b"CompressedDataSize = " + value, path.read_bytes()))
    assert "cut short or damaged" in refused(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("packed", [False, True])
def test_a_nifti_matrix_that_is_no_number_never_reaches_itk(tmp_path, value, packed):
    data = bytearray(volume(tmp_path / "a.nii").read_bytes())
    struct.pack_into("<f", data, 280 + 4, value)
    path = tmp_path / ("b.nii.gz" if packed else "b.nii")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert "cut short or damaged" in refused(path)


@pytest.mark.parametrize("name", ["fifo", "gone.raw", "\xa0" * 1000])
def test_data_beside_a_nrrd_header_are_files(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    path = volume(tmp_path / "a.nhdr")
    path.write_bytes(path.read_bytes().replace(b"a.raw", name.encode("latin-1")))
    assert "cut short or damaged" in refused(path)


@pytest.mark.parametrize("name", ["fifo", "s%03d.raw 1 999999999 1", "s%999999999d 1 9 1", "gone.raw"])
def test_data_beside_a_header_are_files(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    path = volume(tmp_path / "a.mhd")
    path.write_bytes(path.read_bytes().replace(b"a.raw", name.encode()))
    assert "cut short or damaged" in refused(path)


@pytest.mark.parametrize(("field", "value"), [(76 + 4, 1e-30), (76 + 8, 1e30), (268, 1e30), (280, float("nan"))])
def test_a_nifti_grid_of_no_scanner_is_refused(tmp_path, field, value):
    path = volume(tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, field, value)
    path.write_bytes(data)
    findings, image = read_volume(path, code="unreadable-file")
    assert image is None or np.isfinite(Geometry.of(image).axes).all()
    assert (image is None) == bool(findings)


@pytest.mark.parametrize("name", ["fifo", "/dev/zero", "/proc/kmsg"])
def test_a_pipe_or_device_is_not_opened(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    finding = inspect_path(tmp_path / name, "mask", code="mask-unreadable")
    assert finding.sentence == "the mask is no file but a device, pipe or socket; name a file"


def test_a_damaged_header_of_another_format_is_left_alone(tmp_path):
    path = volume(tmp_path / "a.nii")
    assert not is_malformed(path, "NiftiImageIO")
    assert not is_damaged(path, "NiftiImageIO", 10**12)


# --- YAML

LAUGHS = "\n".join(["a0: &a0 [x, x]", *(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 9))])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "of more than 200000 values"),
        ("a: &a [*a]", r"the alias \*a stands for what it is a part of"),
        ("m0: &m0 {a: 1}\n" + "\n".join(f"m{k}: &m{k} {{<<: [*m{k - 1}, *m{k - 1}]}}" for k in range(1, 30)), "values"),
        ("x: " + "[" * 3000, "nested more than 40 deep"),
        ("a: 2024-99-99", "not valid YAML: month must be in"),
        ("a: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("a: 0b" + "1" * 20000, "a number of too many digits"),
        ("? [a, b]\n: 1", "not valid YAML"),
        ("a: !!int ''", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['x']", "could not determine a constructor"),
        ("a: \x7f", "not valid YAML: unacceptable character"),
    ],
)
def test_yaml_that_unfolds_or_breaks_its_parser_is_refused(tmp_path, text, sentence):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["a{99999999999}", "(" * 2000 + ")" * 2000])
def test_a_pattern_that_no_engine_takes_is_refused(pattern):
    with pytest.raises(ValidationError, match="is not a regular expression"):
        MaskSettings(roi_names={"a": (pattern,)})


def test_half_a_character_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text('mask: {"\\ud800": 1}\n')
    with pytest.raises(ConfigError, match=r"unable to parse raw data as a unicode string|half a character"):
        ExtractionSettings.from_yaml(path)


def test_anchors_are_welcome(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {b: [1, 2]}\nc: *a\nd: {<<: *a, e: 3}\n")
    assert read_yaml(path) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": {"b": [1, 2], "e": 3}}


# --- tables and sentences


def test_a_sentence_is_one_line_however_long_what_it_quotes():
    error = TalentError("a\nb\0" + "x" * 100_000, where="c\rd")
    finding = Finding("unreadable-file", "a\nb\x1b" + "x" * 100_000, "c\rd")
    for sentence in (str(error), str(finding)):
        assert sentence.isprintable()
        assert len(sentence) <= 4000


def test_a_column_whose_name_is_a_formula(tmp_path):
    write_sheet(tmp_path / "a.csv", ["=1+1", "b"], [["x", "y"]])
    assert (tmp_path / "a.csv").read_text() == "'=1+1,b\nx,y\n"
    assert read_sheet(tmp_path / "a.csv", []).header == ("=1+1", "b")
    rows = [({"patient_id": "p", "lesion_id": "1"}, {"@SUM(A1)": 1.0})]
    with pytest.raises(TableError, match="would run as a formula"):
        FeatureTable.from_rows(rows)


# --- models


@pytest.fixture
def model(tmp_path):
    return model_seeds(tmp_path)[0]


def test_a_model_without_checksums(tmp_path, model):
    import yaml

    record = yaml.safe_load(model.data)
    for listed in (3, "x", None, {"model.skops": 5}):
        place = tmp_path / f"{listed!r:.5}"
        place.mkdir()
        for name, data in sealed(dict(model.files), {**record, "sha256": listed}).items():
            (place / name).write_bytes(data)
        with pytest.raises(ModelError, match=r"lists no checksums|SHA-256 differs"):
            load_model(place)


def test_golden_rows_that_cannot_be_scored(tmp_path, model):
    import yaml

    golden = model.files["golden.csv"].decode().splitlines()
    empty = [golden[0], *("," + line.partition(",")[2] for line in golden[1:])]
    files = sealed({**model.files, "golden.csv": "\n".join(empty).encode()}, yaml.safe_load(model.data))
    place = tmp_path / "empty"
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    with pytest.raises(ModelError, match="cannot score its golden rows") as caught:
        load_model(place)
    assert "\n" not in str(caught.value)


def with_tree(data: bytes, change) -> bytes:
    """Return a skops file whose first decision tree was changed."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    tree = next(_trees(schema))
    change(tree, members)
    members["schema.json"] = json.dumps(schema).encode()
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def astray(tree, members):
    name = tree["content"]["content"]["nodes"]["file"]
    nodes = np.load(BytesIO(members[name]))
    nodes["left_child"][0] = 10**6
    buffer = BytesIO()
    np.save(buffer, nodes)
    members[name] = buffer.getvalue()


def many_outputs(tree, members):
    tree["__reduce__"]["args"]["content"][2]["content"] = "2147483648"


def no_number(tree, members):
    tree["__reduce__"]["args"]["content"][0] = tree["content"]


@pytest.mark.parametrize("change", [astray, many_outputs, no_number])
def test_a_tree_that_leads_astray_is_never_made(tmp_path, change):
    forest = model_seeds(tmp_path)[1].files["model.skops"]
    refuse_malformed(forest)
    with pytest.raises(ValueError, match="a decision tree is not as scikit-learn writes it"):
        refuse_malformed(with_tree(forest, change))


def test_an_array_that_claims_more_than_there_is(tmp_path, bounded):
    def claim(tree, members):
        name = tree["content"]["content"]["values"]["file"]
        members[name] = re.sub(
            rb"'shape': \(\d+, \d+, \d+\), \} {9}", b"'shape': (99999999999, 1, 2), }", members[name]
        )

    spoilt = with_tree(model_seeds(tmp_path)[1].files["model.skops"], claim)
    with bounded(256), pytest.raises(ValueError, match="does not hold what its header says"):
        refuse_malformed(spoilt)


def test_a_model_that_unpacks_to_gigabytes(tmp_path, bounded):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(17):
            archive.writestr(f"{k}.npy", bytes(2**26))
    with bounded(256), pytest.raises(ValueError, match="it unpacks to more than 1024 MiB"):
        refuse_malformed(buffer.getvalue())


def test_a_record_with_keys_that_are_no_text(tmp_path, model):
    (tmp_path / "model.yaml").write_bytes(b"format: 2\nsha256: {}\ntrue: 1\n2024-01-01: 2\n")
    with pytest.raises(ModelError, match="a key is no text"):
        load_model(tmp_path)


def test_a_member_that_leads_elsewhere_is_not_written(tmp_path, model):
    import yaml

    buffer = BytesIO(model.files["model.skops"])
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("../../exploded", b"x")
    files = sealed({**model.files, "model.skops": buffer.getvalue()}, yaml.safe_load(model.data))
    place = tmp_path / "a" / "b" / "slip"
    place.mkdir(parents=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    assert load_model(place).settings.block == "radiomics"
    assert not list(tmp_path.rglob("exploded"))
