"""Kept results that a crash has cut, flipped, emptied or swapped: computed again, the same table."""

from collections.abc import Callable
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import train
from radiomics_talent.robustness.perturbation_run import run_perturbations
from radiomics_talent.robustness_settings import PerturbationSettings
from radiomics_talent.settings import ExtractionSettings

SETTINGS = ExtractionSettings.model_validate(
    {"featureClass": {"firstorder": ["Mean", "Variance"], "shape": ["MeshVolume"]}, "setting": {"binWidth": 10}}
)
VERSIONS = PerturbationSettings.model_validate({"chains": {"combined": {"steps": ["volume", "noise"], "versions": 2}}})
ROUND = {"folds": 3, "repeats": 1, "permutations": 0, "learning_curve": [], "bootstrap": 100}


def flipped(content: bytes) -> bytes:
    """Change one bit of a digit: another number, and still JSON."""
    at = next(i for i in range(len(content) - 20, 0, -1) if content[i : i + 1].isdigit())
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def damage(files: list[Path]) -> int:
    """Cut one file, flip a bit in the next, empty the third, swap two; return how many are no longer what they were."""
    assert len(files) >= 5
    cut, bit, empty, one, other = files[:5]
    cut.write_bytes(cut.read_bytes()[:-30])
    bit.write_bytes(flipped(bit.read_bytes()))
    empty.write_bytes(b"")
    swapped = other.read_bytes()
    other.write_bytes(one.read_bytes())
    one.write_bytes(swapped)
    return 5


def contents(folder: Path, names: tuple[str, ...]) -> list[bytes]:
    return [(folder / name).read_bytes() for name in names]


def test_shards_of_extract(tmp_path):
    cohort = make_cohort(tmp_path / "data")
    run = tmp_path / "run"
    run_extraction(cohort, SETTINGS, run)
    tables = contents(run, ("features.csv", "features.parquet", "failures.csv"))
    damaged = damage(sorted((run / "shards").glob("*.json")))
    again = run_extraction(cohort, SETTINGS, run)
    assert again.n_resumed == 6 - damaged
    assert contents(run, ("features.csv", "features.parquet", "failures.csv")) == tables


def test_shards_of_versions(tmp_path):
    cohort = make_cohort(tmp_path / "data")
    run = tmp_path / "run"
    run_perturbations(cohort, SETTINGS, VERSIONS, run)
    names = ("versions.csv", "versions.parquet", "stability.csv", "icc.csv", "failures.csv")
    tables = contents(run, names)
    files = sorted((run / "shards").glob("*.json"))
    before = [p.read_bytes() for p in files]
    damage(files)
    run_perturbations(cohort, SETTINGS, VERSIONS, run)
    assert contents(run, names) == tables
    values = [text.partition(b'"values"')[2] for text in before]
    assert [p.read_bytes().partition(b'"values"')[2].split(b"]]")[0] for p in files] == [
        v.split(b"]]")[0] for v in values
    ]


@pytest.mark.parametrize("spoil", [damage, lambda files: files[0].write_text(files[0].read_text().split("\n")[1])])
def test_folds_of_train(tmp_path, spoil: Callable[[list[Path]], int]):
    names = ("cv_predictions.csv", "metrics.json", "selected_features.csv")

    def trained() -> int:
        tables = (feature_table(), clinical_table(tmp_path), Outcome("response"))
        return train(*tables, quick_settings(validation=ROUND), tmp_path / "model").n_resumed

    assert trained() == 0
    tables = contents(tmp_path / "model", names)
    files = sorted((tmp_path / "model" / "folds").glob("cv-*.json"))
    spoil(files)
    # The last case is a fold as it was kept before checksums.
    assert trained() == len(files) - (5 if spoil is damage else 1)
    assert contents(tmp_path / "model", names) == tables
