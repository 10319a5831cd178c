"""A small trial for every command, the program ready to be killed, and disks that are full or closed."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort
from faults.program import WarmProgram
from studies import feature_table, write_clinical, write_settings

EXTRACTION = """
featureClass: {firstorder: [Mean, Energy], glcm: [Contrast, JointEntropy], shape: [MeshVolume]}
imageType: {Original: {}, Wavelet: {}, Square: {}}
setting: {binWidth: 10}
"""
VERSIONS = """
chains:
  combined: {steps: [volume, noise, rotation, translation], versions: 4}
  bin_width: {steps: [bin_width], versions: 2}
"""
FEW = """
featureClass: {firstorder: [Mean, Variance], shape: [MeshVolume]}
setting: {binWidth: 10}
"""
ONE_ROUND = {"folds": 3, "repeats": 1, "permutations": 0, "learning_curve": [], "bootstrap": 100}
MEASUREMENTS = "patient_id,lesion_id,role,visit_day,diameter_mm\n" + "".join(
    f"p{n},L1,target,{day},{40 - n * day / 60:.1f}\n" for n in range(12) for day in (0, 60, 120)
)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables and settings for extract, train, perturb and recist."""
    root = tmp_path_factory.mktemp("trial")
    make_cohort(root / "data")
    (root / "extraction.yaml").write_text(EXTRACTION, encoding="utf-8")
    (root / "few.yaml").write_text(FEW, encoding="utf-8")
    (root / "versions.yaml").write_text(VERSIONS, encoding="utf-8")
    (root / "measurements.csv").write_text(MEASUREMENTS, encoding="utf-8")
    (root / "features").mkdir()
    feature_table().write(root / "features")
    write_clinical(root)
    write_settings(root / "model.yaml", validation=ONE_ROUND)
    return root


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProgram]:
    """The program with its imports done."""
    program = WarmProgram(tmp_path_factory.mktemp("warm") / "said.txt")
    yield program
    program.close()


Mount = Callable[[str], Path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mount]:
    """Make a disk of a given size below the test's folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    places: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=False)
        if done.returncode:
            pytest.skip("this machine mounts nothing (a container without the right to)")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=False)


def remount(place: Path, options: str) -> None:
    """Change a disk while it is in use."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
