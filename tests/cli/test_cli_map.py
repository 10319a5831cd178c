"""``map`` as a user types it."""

import gzip
import json

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from radiomics_talent.cli import app


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    image = sitk.GetImageFromArray(np.random.default_rng(2).normal(60, 30, (9, 16, 18)).round().astype(np.int16))
    image.SetSpacing((0.8, 0.8, 2.5))
    image.SetOrigin((-11.0, 4.0, 30.0))
    mask = np.zeros((9, 16, 18), np.uint8)
    mask[3:7, 4:11, 5:12] = 1
    mask = sitk.GetImageFromArray(mask)
    mask.CopyInformation(image)
    for name, one in (("ct", image), ("mask", mask)):
        sitk.WriteImage(one, str(folder / f"{name}.nii.gz"))
    (folder / "cohort.csv").write_text(
        "patient_id,lesion_id,image,mask,label\nP1,L1,ct.nii.gz,mask.nii.gz,1\nP1,L2,ct.nii.gz,mask.nii.gz,\n", "utf-8"
    )
    return folder


def run(*words):
    return CliRunner().invoke(app, ["map", *map(str, words)])


def typical(files, *more):
    return (files / "cohort.csv", "--lesion", "P1/L1", "--config", "pyradiomics-default", *more)


def test_maps_have_the_scan_s_geometry_and_a_record(files, tmp_path):
    out = tmp_path / "maps"
    done = run(*typical(files, "--features", "firstorder_Mean,glcm_Contrast", "--out", out, "--outside", "nan"))
    assert done.exit_code == 0, done.output
    assert "2 maps of 196 voxels, radius 1" in done.stdout
    scan = sitk.ReadImage(str(files / "ct.nii.gz"))
    for name in ("original_firstorder_Mean", "original_glcm_Contrast"):
        volume = sitk.ReadImage(str(out / f"{name}.nii.gz"))
        assert volume.GetPixelID() == sitk.sitkFloat64
        assert (volume.GetSize(), volume.GetOrigin()) == (scan.GetSize(), pytest.approx(scan.GetOrigin()))
        # ITK's reader takes NaN for 0: the voxels as they are in the file, after NIfTI's header of 352 bytes.
        voxels = np.frombuffer(gzip.decompress((out / f"{name}.nii.gz").read_bytes()), np.float64, offset=352)
        assert np.isfinite(voxels).sum() == 196
    record = json.loads((out / "maps.json").read_text("utf-8"))
    assert [one["feature"] for one in record["maps"]] == ["original_firstorder_Mean", "original_glcm_Contrast"]
    assert record["maps"][0]["minimum"] < 60 < record["maps"][0]["maximum"]
    assert {len(record[key]) for key in ("image_sha256", "mask_sha256", "settings_sha256")} == {64}
    assert matplotlib.image.imread(out / "maps.png").std() > 0.05


def test_the_same_from_an_image_and_a_mask_cropped_and_in_32_bits(files, tmp_path):
    out = tmp_path / "maps"
    words = ("--image", files / "ct.nii.gz", "--mask", files / "mask.nii.gz", "--config", "pyradiomics-default")
    done = run(*words, "--features", "firstorder_Mean", "--radius", 2, "--out", out, "--crop", "--float32", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["radius_voxels"] == 2
    volume = sitk.ReadImage(str(out / "original_firstorder_Mean.nii.gz"))
    assert (volume.GetSize(), volume.GetPixelID()) == ((7, 7, 4), sitk.sitkFloat32)


def test_older_maps_are_replaced_and_other_files_are_not(files, tmp_path):
    out = tmp_path / "maps"
    assert run(*typical(files, "--features", "firstorder_Mean", "--out", out)).exit_code == 0
    assert run(*typical(files, "--features", "ngtdm_Busyness", "--out", out)).exit_code == 0
    assert {path.name for path in out.iterdir()} == {"original_ngtdm_Busyness.nii.gz", "maps.json", "maps.png"}
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.txt").touch()
    refused = run(*typical(files, "--features", "ngtdm", "--out", foreign))
    assert refused.exit_code == 2
    assert "not made by map (it holds thesis.txt); give a new folder" in refused.stderr
    (foreign / "maps.json").write_text("[1]", "utf-8")
    assert run(*typical(files, "--features", "ngtdm", "--out", foreign)).exit_code == 2
    assert {path.name for path in foreign.iterdir()} == {"thesis.txt", "maps.json"}


def test_what_an_interrupted_command_left_is_replaced(files, tmp_path):
    out = tmp_path / "maps"
    out.mkdir()
    (out / "maps.json").write_text('{"finished": false, "maps": [{"file": "original_glcm_Idm.nii.gz"}]}', "utf-8")
    (out / "original_glcm_Idm.nii.gz").touch()
    assert run(*typical(files, "--features", "firstorder_Mean", "--out", out)).exit_code == 0
    assert {path.name for path in out.iterdir()} == {"original_firstorder_Mean.nii.gz", "maps.json", "maps.png"}


def test_the_record_tells_what_the_command_line_changed(files, tmp_path):
    out = tmp_path / "maps"
    words = ("--features", "glcm_MCC", "--out", out, "--radius", 4, "--outside", "nan", "--json")
    done = run(*typical(files, *words))
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["settings"]["voxelSetting"]["kernelRadius"] == record["radius_voxels"] == 4
    assert (record["outside"], record["settings"]["voxelSetting"]["initValue"]) == ("nan", None)
    assert record["finished"] is True
    assert "neighbourhoods of 9^3 voxels" in done.stderr


def test_threads_change_no_file(files, tmp_path):
    written = []
    for jobs in (1, 3):
        out = tmp_path / str(jobs)
        done = run(*typical(files, "--features", "ngtdm,glszm,firstorder", "--out", out, "--jobs", jobs))
        assert done.exit_code == 0, done.output
        written.append({path.name: path.read_bytes() for path in out.glob("*.nii.gz")})
    assert len(written[0]) == 5 + 16 + 18
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--lesion", "P1/L9"), 2, "--lesion P1/L9 is not in the table; the table holds P1/L1, P1/L2"),
        ((), 2, "--lesion is missing; the table holds P1/L1, P1/L2"),
        (("--lesion", "P1/L1", "--features", "glcm_Entropi"), 2, "these settings compute no such feature"),
        (("--lesion", "P1/L1", "--outside", "none"), 2, "--outside none: not a number"),
        (("--lesion", "P1/L1", "--outside", "1e400"), 2, "--outside 1e400: larger than any number"),
        (("--lesion", "P1/L1", "--mask", "x.nii"), 2, "--mask, --label and --series go with --image"),
        (
            ("--lesion", "P1/L1", "--image", "x.nii"),
            2,
            "give either COHORT.CSV (with --lesion), or --image with --mask",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(files, tmp_path, words, code, sentence):
    defaults = () if "--features" in words else ("--features", "ngtdm")
    done = run(files / "cohort.csv", "--config", "pyradiomics-default", "--out", tmp_path / "maps", *defaults, *words)
    assert done.exit_code == code, done.output
    assert sentence in done.stderr
    assert not (tmp_path / "maps").exists()
