"""`robustness controls`: negative controls of every lesion of a cohort, and where the signal of a model lies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from radiomics_talent.extraction.provenance import mask_sha256
from radiomics_talent.extraction.store import told, write_record
from radiomics_talent.features import engine
from radiomics_talent.modelling.record import plain_record, write_frame
from radiomics_talent.robustness.controls import controlled
from radiomics_talent.robustness.draws import own_generator
from radiomics_talent.robustness.version_run import run_versions
from radiomics_talent.robustness.versions import ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.errors import TalentError
    from radiomics_talent.extraction.cohort_work import Progress
    from radiomics_talent.extraction.store import RunFolder
    from radiomics_talent.features.engine import LesionFeatures
    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.robustness.control_verdict import ControlReport
    from radiomics_talent.robustness.version_run import Make, VersionRun
    from radiomics_talent.robustness.versions import VersionTable
    from radiomics_talent.robustness_settings import Control, ControlSettings
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
        prepared = engine.prepare(case.image, case.voxels, settings)
        content = mask_sha256(case.voxels)
        asked = self.settings
        by_name: dict[str, Control] = {name: name for name in asked.controls}

        def make(chain: str) -> Sequence[LesionFeatures | TalentError]:
            if chain == ORIGINAL:
                return [engine.compute(prepared, settings)]
            rng = own_generator(asked.seed, content, chain, 1)
            control = controlled(prepared, settings, by_name[chain], asked.surroundings_mm, rng)
            return [engine.compute(control, settings)]

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
    timeout_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    model_progress: Callable[[int, int], None] | None = None,
    command: Sequence[str] = (),
) -> ControlResult:
    """Make negative controls of every lesion, and cross-validate a model on each.

    Parameters
    ----------
    cohort, settings, out, jobs, timeout_s, progress, command
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
        Settings, tables or folder do not fit; see `run_versions` and `model_controls`.
    RunFolderError
        The folder could not be written any more; repeat the call to go on.
    KeyboardInterrupt
        After a clean end: what was complete is kept.
    """
    found: list[tuple[RunFolder, pd.DataFrame]] = []

    def finish(folder: RunFolder, table: VersionTable) -> None:
        from radiomics_talent.robustness.control_effects import control_effects  # noqa: PLC0415  # wanted at the end

        of_controls = {name: table.as_features(name) for name in controls.controls}
        effects = control_effects(table.as_features(), of_controls)
        write_frame(folder.path / "effects.csv", effects)
        found.append((folder, effects))

    run = run_versions(
        *(cohort, settings, Controls(controls), out),
        jobs=jobs, timeout_s=timeout_s, progress=progress, command=command, finish=finish,
    )  # fmt: skip
    folder, effects = found[0]
    if question is None:
        return ControlResult(run, controls, effects, None)
    from radiomics_talent.robustness.control_models import model_controls  # noqa: PLC0415  # scikit-learn

    with told(folder):
        report = model_controls(
            run.table.as_features(),
            {name: run.table.as_features(name) for name in controls.controls},
            question.clinical,
            question.outcome,
            question.settings,
            folder.path / "models",
            icc=question.icc,
            jobs=jobs,
            progress=model_progress,
        )
        write_frame(folder.path / "controls.csv", report.frame())
        write_record(folder.path / "controls.json", _record(report, question))
    return ControlResult(run, controls, effects, report)


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
        "model": question.settings.model_dump(mode="json"),
        "rows": [asdict(row) for row in report.rows],
    }
    plain: dict[str, Any] = plain_record(record)
    return plain
