"""The wheel in empty environments, with what pip finds for it and without PyRadiomics: the same features everywhere.

An environment takes two minutes and 1.5 GB of disk, so `make test` tries one of the Pythons: the newest, for which
wheels come last. `make test-installs` (RADIOMICS_TALENT_INSTALLS=all) tries every one.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from packaging.requirements import Requirement

from radiomics_talent.cohort.manifest import Lesion, write_cohort
from radiomics_talent.features.table import KEY_COLUMNS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
IN_EVERY_RUN = {PYTHONS[-1]}
NOT_AS_WHEELS = {"3.13": "ecos"}
SETTINGS = {
    "engine": "native",
    "imageType": {
        **{name: {} for name in ("Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential")},
        **{name: {} for name in ("Gradient", "LBP2D", "LBP3D")},
        "LoG": {"sigma": [1.0, 2.0]},
    },
    "featureClass": dict.fromkeys(("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")),
    "setting": {"binWidth": 25, "resampledPixelSpacing": [1, 1, 1]},
}
IMAGES = 6 + 8 + 1 + 3 + 2
"""Original and what is computed voxel by voxel, wavelet, LBP2D, LBP3D and LoG."""


def run(*command, cwd, **environment):
    """Run a command in a folder that is not the checkout, with no other environment's modules; return its output."""
    inherited = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    ran = subprocess.run(
        command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    return ran.stdout


def find_python(version):
    """Return an interpreter of this version that runs: this one, one on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable if version == HERE else None, shutil.which(f"python{version}")]
    for candidate in [*candidates, *sorted(pyenv.glob(f"{version}.*/bin/python"))]:
        if candidate is None:
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        ran = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if ran.stdout.strip() == version:
            return candidate
    return None


def write_image(path, array_zyx):
    image = sitk.GetImageFromArray(array_zyx)
    image.SetSpacing((0.8, 0.8, 1.5))
    sitk.WriteImage(image, path)
    return path


def make_cohort(folder):
    """Write two noisy scans, each with a tilted ellipsoid that has a hole."""
    z, y, x = np.mgrid[-10:10, -16:16, -16:16]
    inside = (z / 5) ** 2 + ((y + z) / 7) ** 2 + (x / 9) ** 2
    mask = ((inside < 1) & (inside > 0.05)).astype(np.uint8)
    lesions = []
    for seed in (1, 2):
        noise = np.random.default_rng(seed).normal(60 * (2 - inside.clip(max=2)), 30 * seed).round().astype(np.int16)
        scan = write_image(folder / f"scan{seed}.nii.gz", noise)
        lesions.append(Lesion(0, f"p{seed}", "L1", scan, write_image(folder / f"mask{seed}.nii.gz", mask), label="1"))
    write_cohort(lesions, folder / "cohort.csv")
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")


def extract(program, folder, out):
    words = ["extract", folder / "cohort.csv", "--config", folder / "settings.yaml", "--out", out, "--jobs", "1"]
    run(program, *words, cwd=folder)
    return pd.read_csv(out / "features.csv")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder)
    return folder


@pytest.fixture(scope="module")
def features_here(cohort, tmp_path_factory):
    """The features as the environment of the tests computes them: from pinned versions of everything."""
    return extract(Path(sys.executable).with_name("radiomics-talent"), cohort, tmp_path_factory.mktemp("here") / "run")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def environment(tmp_path, wheel, request):
    """An environment of one Python with the wheel and what it needs; deleted afterwards, for its size."""
    version = request.param
    if version not in IN_EVERY_RUN and os.environ.get("RADIOMICS_TALENT_INSTALLS") != "all":
        pytest.skip(f"Python {version} is for make test-installs")
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} is installed here")
    compiler = {} if version in NOT_AS_WHEELS else {"CC": "no-compiler", "CXX": "no-compiler"}
    if not compiler and shutil.which("cc") is None:
        pytest.skip(f"{NOT_AS_WHEELS[version]} has no wheel for Python {version}, and there is no C compiler here")
    folder = tmp_path / f"python{version}"
    run(python, "-m", "venv", folder, cwd=tmp_path)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    run(binaries / "python", "-m", "pip", "install", "--quiet", "--no-compile", wheel, cwd=tmp_path, **compiler)
    yield binaries
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("environment", PYTHONS, indirect=True)
def test_wheel_alone_computes_the_same_features(environment, cohort, features_here, tmp_path):
    program = environment / "radiomics-talent"
    assert "extract" in run(program, "--help", cwd=tmp_path)
    report = json.loads(run(program, "doctor", "--json", cwd=tmp_path))
    items = {i["name"]: i["value"] for i in report["items"]}
    assert report["ok"]
    assert "not installed: optional" in items["reference"]
    table = extract(program, cohort, tmp_path / "run")
    assert len(table) == len(features_here) == 2
    assert table.shape == (2, len(KEY_COLUMNS) + 14 + 93 * IMAGES)
    pd.testing.assert_frame_equal(table, features_here, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("version", PYTHONS)
def test_the_reference_extra_takes_one_pyradiomics(version):
    wanted = [Requirement(text) for text in PROJECT["optional-dependencies"]["reference"]]
    taken = [r.name for r in wanted if r.marker is None or r.marker.evaluate({"python_version": version})]
    assert taken == ["pyradiomics" if version == "3.11" else "pyradiomics-bhklab", "scipy"]
    assert not [text for text in PROJECT["dependencies"] if "pyradiomics" in text]


def test_every_python_that_is_promised_is_tried():
    prefix = "Programming Language :: Python :: "
    assert [c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)] == list(PYTHONS)
