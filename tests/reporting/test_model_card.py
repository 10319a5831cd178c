"""What card.md says of the model's features."""

from dataclasses import replace
from pathlib import Path

import pytest
from studies import clinical_table, feature_table, quick_settings

from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.training import TrainingResult, train
from radiomics_talent.reporting.model_card import write_card
from radiomics_talent.settings import ExtractionSettings


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    folder = tmp_path_factory.mktemp("card")
    return train(feature_table(), clinical_table(folder), Outcome("response"), quick_settings(), folder / "model")


def line_on_features(trained: TrainingResult, extraction: dict | None, folder: Path) -> str:
    card = write_card(replace(trained, model=replace(trained.model, extraction=extraction)), folder)
    (line,) = [x for x in card.read_text(encoding="utf-8").splitlines() if x.startswith("- Features: ")]
    return line


@pytest.mark.parametrize(
    ("extraction", "chain"),
    [
        (ExtractionSettings(), "chain of PyRadiomics: the native engine of radiomics-talent, whose values are within"),
        (ExtractionSettings(engine="reference"), "chain of PyRadiomics: PyRadiomics; the settings travel"),
        (ExtractionSettings.from_yaml("ibsi-ct"), "chain of IBSI 1: IBSI 1 features of radiomics-talent (compliant"),
    ],
)
def test_the_card_says_which_chain_made_the_features(trained, extraction, chain, tmp_path):
    told = line_on_features(trained, extraction.canonical(), tmp_path)
    assert told.startswith(f"- Features: extracted by this program, {chain}")
    assert told.endswith("; the settings travel in `model.yaml`.")


def test_the_card_names_no_chain_that_is_not_known(trained, tmp_path):
    told = line_on_features(trained, None, tmp_path)
    assert told.startswith("- Features: the settings of their extraction are not known")
