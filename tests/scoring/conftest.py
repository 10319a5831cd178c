"""A small synthetic trial, a model trained on it, and two patients that it has never seen."""

import pytest
from scoring_study import EXTRACTION, Study, cohort_of

from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.simulate.trial import write_trial


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    root = tmp_path_factory.mktemp("study")
    trial = write_trial(root / "trial", seed=3, patients=8)
    run_extraction(cohort_of(trial.dicom, root / "trial" / "cohort.csv"), EXTRACTION, root / "run")
    new = write_trial(root / "new", seed=4, patients=2)
    made = Study(
        root, root / "run", trial.clinical_csv, root / "model", cohort_of(new.dicom, root / "new" / "cohort.csv")
    )
    made.train("model")
    return made
