"""A small synthetic trial, a model trained on it, and two patients that it has never seen."""

from dataclasses import dataclass
from pathlib import Path

from studies import quick_settings

from radiomics_talent.cohort.clinical import load_clinical
from radiomics_talent.cohort.manifest import CohortTable, cohort_from_index, load_cohort, write_cohort
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.modelling.outcome import Outcome
from radiomics_talent.modelling.tables import extraction_record, read_features
from radiomics_talent.modelling.training import train
from radiomics_talent.settings import ExtractionSettings
from radiomics_talent.simulate.trial import write_trial

EXTRACTION = ExtractionSettings.model_validate(
    {
        "featureClass": {"firstorder": None, "glcm": ["Contrast", "JointEntropy"], "shape": ["MeshVolume"]},
        "setting": {"resampledPixelSpacing": [2, 2, 2], "binWidth": 25},
    }
)
VALIDATION = {"folds": 2, "repeats": 2, "permutations": 0, "learning_curve": [], "bootstrap": 100}
OUTCOME = Outcome("best_overall_response", positive=("CR", "PR"))


@dataclass(frozen=True)
class Study:
    """A trained model and what is around it."""

    root: Path
    run: Path
    clinical: Path
    model: Path
    new: CohortTable

    def train(self, name: str, **changes: object) -> Path:
        """Train another model on the same patients."""
        out = self.root / name
        settings = quick_settings(validation=VALIDATION, **changes)
        features, clinical = read_features(self.run), load_clinical(self.clinical, None)
        train(
            features, clinical, OUTCOME, settings, out, extraction=extraction_record(self.run), synthetic=True
        )  # fmt: skip
        return out


def cohort_of(root: Path, table: Path) -> CohortTable:
    write_cohort(cohort_from_index(index_dicom(root), table), table)
    return load_cohort(table)


def make_study(root: Path) -> Study:
    """Write the trial, extract it, train on it."""
    trial = write_trial(root / "trial", seed=3, patients=8)
    run_extraction(cohort_of(trial.dicom, root / "trial" / "cohort.csv"), EXTRACTION, root / "run")
    new = write_trial(root / "new", seed=4, patients=2)
    made = Study(
        root, root / "run", trial.clinical_csv, root / "model", cohort_of(new.dicom, root / "new" / "cohort.csv")
    )
    made.train("model")
    return made
