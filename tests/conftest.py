"""Fixtures that more than one part needs: where the real data are, and the sarcoma patients unpacked once."""

import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from scoring_study import Study, make_study

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real test data, or skip."""
    if not SHARED.is_dir():
        pytest.skip(f"the real test data are not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def sts_root(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sarcoma patients (CT + RTSTRUCT), unpacked."""
    root = tmp_path_factory.mktemp("sts")
    for archive in sorted((shared_data / "sts").glob("STS_*.tar.xz"))[:3]:
        with tarfile.open(archive) as tar:
            tar.extractall(root, filter="data")
    return root


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A small synthetic trial, a model trained on it, and two patients that it has never seen."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(autouse=True)
def _pyradiomics_speaks_as_before() -> Iterator[None]:
    """Put back the level of PyRadiomics' logger, which some tests lower: others read what it says."""
    logger = logging.getLogger("radiomics")
    level, handlers = logger.level, [(handler, handler.level) for handler in logger.handlers]
    yield
    logger.setLevel(level)
    for handler, handler_level in handlers:
        handler.setLevel(handler_level)
