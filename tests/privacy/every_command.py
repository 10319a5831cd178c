"""Every command of the program, run on the planted study; what each says and writes, by its name."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.text
import typer
from privacy.planted_study import PlantedStudy
from studies import write_settings
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.cohort.manifest import load_cohort, write_cohort
from radiomics_talent.cohort.review import create_review, review_path
from radiomics_talent.reporting.review_app import TOKEN_HEADER, ReviewSession, review_app
from radiomics_talent.settings import ExtractionSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have httpx2; httpx serves as well
    from starlette.testclient import TestClient

NOT_RUN = {
    "demo": "takes no data: it writes its own",
    "ibsi": "measures IBSI's phantoms, and knows no cohort",
}
"""Commands left out, and why none of them can tell of a patient."""
EXTRACTION = (
    "featureClass: {firstorder: [Mean, Variance], glcm: [Contrast], shape: [MeshVolume]}\nsetting: {binWidth: 10}\n"
)
PERTURBATIONS = "chains: {combined: {steps: [noise, volume], versions: 2}}\n"
PORT = 8765
_MAIN = "from radiomics_talent.cli import main; main()"
_COURSE = ((-7, 40), (56, 25), (112, 25)), ((-7, 40), (56, 55), (112, 60))


@dataclass
class Ran:
    """What the commands said and wrote.

    Attributes
    ----------
    said : dict of str to str
        Name of a run -> its stdout, stderr, log records and the words in its figures.
    codes : dict of str to int
        Name of a run -> exit code.
    commands : set of str
        Commands that were run.
    out : Path
        Folder of everything written: a folder a run.
    """

    out: Path
    said: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    commands: set[str] = field(default_factory=set)

    def __call__(self, name: str, *words: object) -> str:
        """Run a command in this process; return its stdout."""
        arguments = [str(word) for word in words]
        with _words_of_figures() as drawn, _records() as records:
            result = CliRunner().invoke(app, arguments)
        self._note(name, arguments, result.output, *drawn, *records)
        self.codes[name] = result.exit_code
        return result.stdout

    def as_program(self, name: str, *words: object) -> None:
        """Run a command as a process of its own, with workers."""
        arguments = [str(word) for word in words]
        done = subprocess.run(
            [sys.executable, "-c", _MAIN, *arguments], capture_output=True, text=True, timeout=600, check=False,
            env=os.environ | {"PYTHONWARNINGS": "always"},
        )  # fmt: skip
        self._note(name, arguments, done.stdout, done.stderr)
        self.codes[name] = done.returncode

    def _note(self, name: str, arguments: list[str], *texts: str) -> None:
        self.said[name] = "\n".join(texts)
        words = [word for word in arguments if not word.startswith("-")]
        self.commands.add(words[0])
        if len(words) > 1:
            self.commands.add(" ".join(words[:2]))


@contextmanager
def _words_of_figures() -> Iterator[list[str]]:
    """Collect what matplotlib draws as text: in a picture it is nothing but pixels."""
    drawn: list[str] = []
    before = matplotlib.text.Text.set_text

    def set_text(self: matplotlib.text.Text, s: object) -> None:
        drawn.append(str(s))
        before(self, s)

    matplotlib.text.Text.set_text = set_text  # type: ignore[method-assign]
    try:
        yield drawn
    finally:
        matplotlib.text.Text.set_text = before  # type: ignore[method-assign]


@contextmanager
def _records() -> Iterator[list[str]]:
    """Collect what is logged: of this program all, as log.txt does, of its libraries what they warn of."""
    records: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(self.format(record))

    handler, root, ours = Collecting(), logging.getLogger(), logging.getLogger("radiomics_talent")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)


def run_every_command(study: PlantedStudy, out: Path) -> Ran:
    """Run the commands, those that need a cohort on the pseudonymised one, and once more without pseudonyms."""
    out.mkdir()
    extraction, model = (
        out.parent / "extraction.yaml",
        write_settings(
            out.parent / "model.yaml",
            validation={"folds": 2, "repeats": 2, "permutations": 0, "learning_curve": [], "bootstrap": 100},
        ),
    )
    extraction.write_text(EXTRACTION, encoding="utf-8")
    ran = Ran(out)
    _without_pseudonyms(ran, study, extraction)
    cohort = _images(ran, study, extraction)
    clinical = _clinical(ran, study, cohort)
    _models(ran, cohort, clinical, model)
    _robustness(ran, cohort, extraction)
    _review(ran, cohort, extraction)
    _what_needs_no_data(ran)
    _what_goes_wrong(ran, study, extraction)
    return ran


def _without_pseudonyms(ran: Ran, study: PlantedStudy, extraction: Path) -> None:
    plain = ran.out / "plain"
    ran.as_program("plain index", "index", study.dicom, "--out", plain / "cohort.csv", "--jobs", 2)
    ran.as_program("plain extract", "extract", plain / "cohort.csv", "--config", extraction, "--out",
                   plain / "run", "--jobs", 2)  # fmt: skip


def _images(ran: Ran, study: PlantedStudy, extraction: Path) -> Path:
    cohort = ran.out / "index" / "cohort.csv"
    ran("index", "index", study.dicom, "--out", cohort, "--pseudonymise", study.key, "--jobs", 1)
    ran("index no roi", "index", study.dicom, "--out", ran.out / "index no roi" / "c.csv", "--pseudonymise", study.key,
        "--roi", "none", "--jobs", 1)  # fmt: skip
    ran("check", "check", cohort, "--config", extraction, "--html", ran.out / "check" / "qc.html")
    few = few_lesions(cohort, ran.out.parent / "few.csv")
    ran("check json", "check", few, "--json")
    ran("dry-run", "extract", few, "--config", extraction, "--out", ran.out / "dry", "--dry-run")
    ran("extract", "extract", cohort, "--config", extraction, "--out", ran.out / "extract", "--save-preprocessed",
        "--jobs", 1, "--json")  # fmt: skip
    chunks = [ran.out / f"chunk {k}" for k in (1, 2)]
    for k, chunk in enumerate(chunks, start=1):
        ran(chunk.name, "extract", few, "--config", extraction, "--out", chunk, "--chunk", f"{k}/2", "--jobs", 1)
    ran("merge", "merge", *chunks, "--out", ran.out / "merge")
    (ran.out / "table").mkdir()
    ran("table", "table", ran.out / "merge", "--out", ran.out / "table" / "features.parquet")
    lesion = load_cohort(cohort).lesions[0]
    ran("map", "map", cohort, "--lesion", f"{lesion.patient_id}/{lesion.lesion_id}", "--config", extraction,
        "--features", "firstorder_Mean", "--out", ran.out / "map", "--json")  # fmt: skip
    ran("report extract", "report", "extract", ran.out / "extract", "--out", ran.out / "report extract" / "page.html")
    ran("research extract", "extract", study.research / "cohort.csv", "--config", extraction, "--out",
        ran.out / "research extract", "--save-preprocessed", "--jobs", 1)  # fmt: skip
    return cohort


def few_lesions(cohort: Path, file: Path) -> Path:
    """Write the rows of two patients into a table of their own."""
    write_cohort(load_cohort(cohort).lesions[:4], file)
    return file


def _clinical(ran: Ran, study: PlantedStudy, cohort: Path) -> Path:
    """Write a clinical table with columns that nobody declared, and let the commands that read one read it."""
    tokens = study.tokens
    patients = dict.fromkeys(x.patient_id for x in load_cohort(cohort).lesions)
    people = ["patient_id,cohort,age,sex,response,last_contact_day,surname,born"]
    visits = ["patient_id,visit_day,lesion_id,role,diameter_mm,status"]
    for k, patient in enumerate(patients):
        name, born = tokens.text("clinical surname", k), f"1850-01-{k + 1:02d}"
        people.append(f"{patient},A,{60 + k},F,{'no' if k % 2 else 'yes'},400,{name},{born}")
        visits += [f"{patient},{day},T1,target,{mm}," for day, mm in _COURSE[k % 2]]
        tokens.places.setdefault(born.replace("-", ""), "clinical born")
    clinical, measurements = ran.out.parent / "clinical.csv", ran.out.parent / "measurements.csv"
    clinical.write_text("\n".join([*people, ""]), encoding="utf-8")
    measurements.write_text("\n".join([*visits, ""]), encoding="utf-8")
    ran("recist", "recist", measurements, "--patients", clinical, "--out", ran.out / "recist" / "response.csv")
    ran("eligibility", "eligibility", clinical, "--out", ran.out / "eligibility" / "eligibility.csv")
    return clinical


def _models(ran: Ran, cohort: Path, clinical: Path, settings: Path) -> None:
    run, model, score = ran.out / "extract", ran.out / "train", ran.out / "score"
    ran("train", "train", run, "--clinical", clinical, "--outcome", "response", "--config", settings, "--out", model,
        "--jobs", 1)  # fmt: skip
    ran("evaluate", "evaluate", model, run, "--clinical", clinical, "--out", ran.out / "evaluate")
    ran("report model", "report", "model", model, "--run", run, "--out", ran.out / "report model" / "page.html")
    ran(
        "score",
        "score",
        model,
        "--cohort",
        few_lesions(cohort, ran.out.parent / "few.csv"),
        "--out",
        score,
        "--dicom-sr",
        "--json",
        "--jobs",
        1,
    )
    ran("report score", "report", "score", score, "--out", ran.out / "report score" / "page.html")


def _robustness(ran: Ran, cohort: Path, extraction: Path) -> None:
    steps = ran.out.parent / "steps.yaml"
    steps.write_text(PERTURBATIONS, encoding="utf-8")
    few = few_lesions(cohort, ran.out.parent / "few.csv")
    perturb, run, again = ran.out / "robustness perturb", ran.out / "extract", ran.out / "again"
    shutil.copytree(run, again)
    ran("robustness perturb", "robustness", "perturb", few, "--config", extraction, "--perturbations", steps, "--out",
        perturb, "--jobs", 1)  # fmt: skip
    ran("robustness compare", "robustness", "compare", run, again, "--out", ran.out / "robustness compare")
    shutil.rmtree(again)
    ran("robustness controls", "robustness", "controls", few, "--config", extraction, "--out",
        ran.out / "robustness controls", "--jobs", 1)  # fmt: skip
    ran("report robustness", "report", "robustness", perturb, "--out", ran.out / "report robustness" / "page.html")


def _review(ran: Ran, cohort: Path, extraction: Path) -> None:
    """Ask the review's server all that its page asks, and give verdicts."""
    folder = ran.out / "review"
    folder.mkdir()
    table = folder / "cohort.csv"
    write_cohort(load_cohort(cohort).lesions[:4], table)
    verdicts = create_review(review_path(table)).path
    session = ReviewSession(load_cohort(table), verdicts, ExtractionSettings.from_yaml(str(extraction)), reviewer="AB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = TestClient(review_app(session, PORT, finish=lambda: None), base_url=f"http://127.0.0.1:{PORT}")
    client.headers[TOKEN_HEADER] = session.token
    addresses = ("/", "/viewer.js", "/review.js", "/api/state", "/api/lesions/0", "/api/lesions/1")
    answers = [client.get(address) for address in addresses]
    body = {"decision": "accept", "comment": "", "seen": answers[-1].json()["seen"], "known": 0}
    answers.append(client.post("/api/lesions/1", json=body))
    for number, answer in enumerate(answers):
        (folder / f"answer {number}").write_bytes(answer.content + repr(dict(answer.headers)).encode())
    ran.codes["review"] = max(answer.status_code for answer in answers) - 200
    ran("review export", "review", table, "--export", folder / "verdicts.csv")


def _what_needs_no_data(ran: Ran) -> None:
    ran("features", "features")
    for words in (("list",), ("show", "talent-ct"), ("schema",)):
        ran(f"config {words[0]}", "config", *words)
    ran("doctor", "doctor", "--json")


def _what_goes_wrong(ran: Ran, study: PlantedStudy, extraction: Path) -> None:
    """Damaged headers, another patient's mask, labels that are not there."""
    cohort = ran.out / "wrong index" / "cohort.csv"
    ran.as_program(
        "wrong index", "--debug", "index", study.damaged, "--out", cohort, "--pseudonymise", study.key, "--jobs", 1
    )
    ran.as_program("wrong check", "--debug", "check", cohort, "--html", ran.out / "wrong check" / "qc.html")
    ran("wrong extract", "extract", cohort, "--config", extraction, "--out", ran.out / "wrong extract",
        "--jobs", 1)  # fmt: skip
    masks = sorted(study.damaged.glob("*.dcm"))
    scan = next(study.damaged.rglob("CT"))
    for number, mask in enumerate(masks):
        ran(f"wrong map {number}", "map", "--image", scan, "--mask", mask, "--label", "nothing", "--config",
            extraction, "--features", "firstorder_Mean", "--out", ran.out / f"wrong map {number}")  # fmt: skip
    ran("wrong score", "score", ran.out / "train", "--image", scan, "--mask", masks[0], "--label", "nothing",
        "--out", ran.out / "wrong score")  # fmt: skip


def command_names() -> set[str]:
    """Return every command, with sub-commands after their group's name."""
    names = set()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        names |= {name} if inner is None else {f"{name} {sub}" for sub in inner}
    return names
