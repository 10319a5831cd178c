"""`robustness controls`: negative controls of every lesion of a cohort, and where the signal of a model lies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from radiomics_talent.errors import ConfigError, ExtractionError, InputError, TableError, TalentError
from radiomics_talent.extraction.provenance import mask_sha256
from radiomics_talent.extraction.store import write_record
from radiomics_talent.features import engine
from radiomics_talent.modelling.record import plain_record, write_frame
from radiomics_talent.robustness.controls import controlled, surroundings_matter
from radiomics_talent.robustness.draws import own_generator
from radiomics_talent.robustness.version_run import versions_of_cohort
from radiomics_talent.robustness.versions import ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.cohort_work import Progress
    from radiomics_talent.extraction.workers import Workers
    from radiomics_talent.features.engine import LesionFeatures
    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.robustness.control_verdict import ControlReport
    from radiomics_talent.robustness.version_run import Make, VersionRun
    from radiomics_talent.robustness_settings import ControlSettings
    from radiomics_talent.settings import ExtractionSettings


@dataclass(frozen=True, slots=True)
class Controls:
    """What makes negative controls: a `radiomics_talent.robustness.version_run.VersionPlan`.

    Attributes
    ----------
    settings : ControlSettings
        Which controls.
    """

    settings: ControlSettings
    command: str = "robustness controls"
    outputs: tuple[str, ...] = ("effects.csv", "controls.csv", "controls.json", "report.html")

    @property
    def hash(self) -> str:
        """SHA-256 of all that changes a control."""
        return self.settings.hash

    @property
    def chains(self) -> Mapping[str, int]:
        """The lesion as it is, and each control once."""
        return {ORIGINAL: 1} | dict.fromkeys(self.settings.controls, 1)

    def canonical(self) -> dict[str, Any]:
        """Return all that changes a control as plain JSON data."""
        return self.settings.canonical()

    def record(self) -> dict[str, Any]:
        """Return what provenance.json says."""
        return {"controls": self.canonical()}

    def begin(self, case: Case, settings: ExtractionSettings) -> Make:
        """Return what makes the controls of one lesion."""
        content = mask_sha256(case.voxels)
        original = engine.extract(case.image, case.voxels, settings)

        def make(chain: str) -> Sequence[LesionFeatures | TalentError]:
            name = next((c for c in self.settings.controls if c == chain), None)
            # Where nothing outside of the lesion enters a feature, its surroundings need not be replaced to know them.
            if name is None or (name.startswith("surroundings") and not surroundings_matter(settings)):
                return [original]
            rng = own_generator(self.settings.seed, content, chain, 1)
            try:
                scan = controlled(case.image, case.voxels, settings, name, self.settings.surroundings_mm, rng)
                return [engine.extract(scan, case.voxels, settings)]
            except (InputError, ExtractionError) as error:
                return [error]

        return make


@dataclass(frozen=True, slots=True)
class Question:
    """What the models on the controls are to foretell.

    Attributes
    ----------
    clinical : ClinicalTable
        One row a patient.
    outcome : Outcome
        What is predicted.
    settings : ModelSettings
        How.
    icc : mapping of str to float, optional
        ICC by feature, for the stability filter.
    """

    clinical: ClinicalTable
    outcome: Outcome
    settings: ModelSettings
    icc: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ControlResult:
    """What `run_controls` made.

    Attributes
    ----------
    run : VersionRun
        The features of every control, and what failed.
    settings : ControlSettings
        Which controls.
    effects : DataFrame
        What each control does to each feature: `radiomics_talent.robustness.control_effects.control_effects`.
    report : ControlReport or None
        The models; None where nothing was asked.
    """

    run: VersionRun
    settings: ControlSettings
    effects: pd.DataFrame
    report: ControlReport | None


def run_controls(  # noqa: PLR0913  # arguments beside the settings are keywords
    cohort: CohortTable,
    settings: ExtractionSettings,
    controls: ControlSettings,
    out: Path,
    *,
    question: Question | None = None,
    jobs: int = 1,
    workers: Workers | None = None,
    timeout_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    model_progress: Callable[[int, int], None] | None = None,
    command: Sequence[str] = (),
    excluded: Sequence[Excluded] | None = None,
) -> ControlResult:
    """Make negative controls of every lesion, and cross-validate a model on each.

    Parameters
    ----------
    cohort, settings, out, jobs, workers, timeout_s, progress, command, excluded
        As `radiomics_talent.extraction.run.run_extraction` has them.
    controls : ControlSettings
        Which controls.
    question : Question, optional
        What models are to foretell; without it only features are compared.
    model_progress : callable, optional
        Takes the number of folds done and of all.

    Returns
    -------
    ControlResult
        All of it is also in the folder.

    Raises
    ------
    ConfigError, TableError, ModelError
        Settings, tables or folder do not fit; see `versions_of_cohort` and `model_controls`.
    RunFolderError
        The folder could not be written any more; repeat the call to go on.
    KeyboardInterrupt
        After a clean end: what was complete is kept.
    """
    if question is not None:
        check_question(question, settings, cohort)
    with versions_of_cohort(
        *(cohort, settings, Controls(controls), out),
        jobs=jobs, workers=workers, timeout_s=timeout_s, progress=progress, command=command, excluded=excluded,
    ) as (folder, run):  # fmt: skip
        from radiomics_talent.robustness.control_effects import control_effects  # noqa: PLC0415  # pandas
        from radiomics_talent.robustness.control_models import model_controls  # noqa: PLC0415  # scikit-learn

        whole = run.table.with_every_version()
        tables = {name: whole.as_features(name) for name in controls.controls}
        effects = control_effects(whole.as_features(), tables)
        write_frame(folder.path / "effects.csv", effects)
        if question is None:
            return ControlResult(run, controls, effects, None)
        report = model_controls(
            run.table.as_features(),
            tables,
            question.clinical,
            question.outcome,
            question.settings,
            folder.path / "models",
            icc=question.icc,
            jobs=jobs,
            spread=None if workers is None else workers.map_unordered,
            progress=model_progress,
        )
        write_frame(folder.path / "controls.csv", report.frame())
        write_record(folder.path / "controls.json", _record(report, question))
        return ControlResult(run, controls, effects, report)


def check_question(question: Question, settings: ExtractionSettings, cohort: CohortTable) -> None:
    """Refuse what could not be modelled before anything is extracted.

    Raises
    ------
    ConfigError
        The model needs an ICC table, or the extraction settings leave out shape, and so the volume to compare with.
    TableError
        The clinical table does not have the outcome, or none of the cohort's patients.
    """
    from radiomics_talent.modelling.estimators import check_preprocessing  # noqa: PLC0415  # scikit-learn
    from radiomics_talent.modelling.outcome import outcome_values  # noqa: PLC0415

    check_preprocessing(question.settings.preprocess, question.icc)
    if question.outcome.lesions is None:
        outcome_values(question.clinical, question.outcome, task=question.settings.task)
    if not {lesion.patient_id for lesion in cohort.lesions} & set(question.clinical.frame.index):
        raise TableError("no patient of the cohort is in the clinical table; patient_id must be spelt alike")
    classes = settings.featureClass if settings.ibsi is None else settings.ibsi.features
    if classes is not None and "shape" not in classes:
        raise ConfigError("controls are compared with lesion volume: let the settings extract the class shape, too")


def _record(report: ControlReport, question: Question) -> dict[str, Any]:
    """Return the report as plain data, for the page and for scripts."""
    record: dict[str, Any] = {
        "metric": report.metric,
        "patients": report.patients,
        "lesions": report.lesions,
        "events": report.events,
        "left_out": report.left_out,
        "verdict": report.verdict,
        "sentence": report.sentence,
        "findings": list(report.findings),
        "outcome": question.outcome.name,
        "event": question.outcome.event,
        "positive": list(question.outcome.positive),
        "icc_given": question.icc is not None,
        "model": question.settings.model_dump(mode="json"),
        "rows": [asdict(row) for row in report.rows],
    }
    plain: dict[str, Any] = plain_record(record)
    return plain
