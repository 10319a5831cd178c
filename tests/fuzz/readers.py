# ruff: noqa: E501
"""Every way by which a file comes in: its seeds, how they are spoilt, and the public call that reads them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from random import Random

import fuzz.seeds as make
from fuzz.dicom_mutators import spoil_dicom
from fuzz.models import spoil_model
from fuzz.mutators import spoil
from fuzz.rtstructs import spoil_rtstruct
from fuzz.seeds import Seed
from fuzz.settings_files import spoil_yaml
from fuzz.tables import spoil_cohort, spoil_table
from fuzz.volumes import spoil_volume

from radiomics_talent.cohort.case import inspect_case, load_case
from radiomics_talent.cohort.clinical import load_clinical
from radiomics_talent.cohort.manifest import Lesion, load_cohort, write_cohort
from radiomics_talent.cohort.measurements import load_measurements
from radiomics_talent.cohort.review import create_review, load_review
from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.errors import InputError
from radiomics_talent.features.table import load_features
from radiomics_talent.model_settings import ModelSettings
from radiomics_talent.modelling.model import load_model, load_refits
from radiomics_talent.modelling.tables import extraction_record, read_features, read_icc, read_lesion_outcomes
from radiomics_talent.robustness_settings import PerturbationSettings
from radiomics_talent.settings import ExtractionSettings
from radiomics_talent.study_settings import StudySettings

STRICT = ExtractionSettings()
LENIENT = ExtractionSettings.model_validate(
    {
        "geometry": {"allow_gaps": True, "gantry_tilt": "resample", "unequal_spacing": "resample"},
        "mask": {"require_same_patient": False, "components": "largest"},
    }
)
Files = Mapping[str, bytes]
Spoil = Callable[[Random, Seed], Files]


class BreachError(AssertionError):
    """What was read or written is not what the reader promises."""


@dataclass(frozen=True)
class Reader:
    """One way in.

    Attributes
    ----------
    seeds : callable
        Writes good files into a folder and returns them.
    spoil : callable
        Returns the files that change, from a seed.
    read : callable
        Reads a folder; returns the sentences of the errors found, none where the input was taken.
    share : float
        Of all inputs, against that of other readers.
    """

    name: str
    seeds: Callable[[Path], list[Seed]]
    spoil: Spoil
    read: Callable[[Path], list[str]]
    share: float = 1.0


# --- reading


def read_case(folder: Path) -> list[str]:
    """Load every row of the cohort, with settings that refuse and with settings that mend."""
    cohort = load_cohort(folder / "cohort.csv")
    sentences = [str(f) for f in cohort.findings]
    refused = False
    for lesion in list(cohort.lesions)[:3]:
        findings, case = inspect_case(lesion, STRICT)
        sentences += [str(f) for f in findings]
        if (case is None) != any(f.is_error for f in findings):
            raise BreachError("a case without voxels has an error, and only such a case")
        refused |= case is None
        try:
            load_case(lesion, LENIENT)
        except InputError as error:
            sentences.append(str(error))
            refused = True
    return sentences if refused else []


def read_index(folder: Path) -> list[str]:
    index = index_dicom(folder)
    found = [
        *index.findings,
        *(f for s in index.series for f in s.findings),
        *(f for m in index.links for f in m.findings),
    ]
    sentences = [str(f) for f in found]
    return sentences if any(f.is_error for f in found) else []


def read_cohort(folder: Path) -> list[str]:
    """Load the table and its rows, write it anew, and see that no cell would be run and that it reads the same."""
    cohort = load_cohort(folder / "cohort.csv")
    again = folder / "again.csv"
    write_cohort(cohort, again)
    refuse_formulas(again)
    same = load_cohort(again)
    if [_without_returns(a) for a in same.lesions] != [_without_returns(b) for b in cohort.lesions]:
        raise BreachError("a table that was written does not read as the same")
    again.unlink()
    return read_case(folder)


def _without_returns(lesion: Lesion) -> Lesion:
    """Return the row with what a CSV cannot keep as it is: a lone carriage return is written as a new line."""
    texts = {k: v for k, v in asdict(lesion).items() if isinstance(v, str | Path)}
    plain = {k: type(v)(str(v).replace("\r\n", "\n").replace("\r", "\n")) for k, v in texts.items()}
    return replace(lesion, row=0, **plain)


def refuse_formulas(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                text = cell.lstrip(" ")
                if text[:1] in {"=", "+", "-", "@", "\t", "\r"} and not _is_number(text):
                    raise BreachError("a cell that was written would be run as a formula")


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


@cache
def _study() -> StudySettings:
    return StudySettings.from_yaml("talent")


def read_clinical(folder: Path) -> list[str]:
    table = load_clinical(folder / "clinical.csv", _study() if (folder / "typed").exists() else None)
    header = [str(c) for c in table.frame.columns]
    write_sheet(
        folder / "again.csv", header, [["" if v is None else str(v) for v in row] for row in table.frame.to_numpy()]
    )
    return []


def read_measurements(folder: Path) -> list[str]:
    table = load_measurements(folder / "measurements.csv", folder / "patients.csv")
    return [f.sentence for f in table.failures]


def read_tables(folder: Path) -> list[str]:
    for name, read in (("features.csv", read_features), ("features.parquet", read_features), ("foreign.csv", read_features),
                       ("icc.csv", read_icc), ("outcomes.csv", partial(read_lesion_outcomes, outcome="response"))):  # fmt: skip
        if (folder / "now" / name).exists():
            table = read(folder / "now" / name)
            if read is read_features:
                table.write(folder)
                refuse_formulas(folder / "features.csv")
                load_features(folder / "features.csv")
                load_features(folder / "features.parquet")
    if (folder / "now" / "provenance.json").exists():
        extraction_record(folder / "now" / "features.csv")
    return []


def read_settings(folder: Path) -> list[str]:
    for name, kind in (("extraction", ExtractionSettings), ("model", ModelSettings), ("study", StudySettings), ("robustness", PerturbationSettings)):  # fmt: skip
        if (folder / f"{name}.yaml").exists():
            settings = kind.from_yaml(folder / f"{name}.yaml")
            if len(settings.hash) != 64:
                raise BreachError("settings without a hash")
    return []


def read_model(folder: Path) -> list[str]:
    model = load_model(folder)
    load_refits(model, folder)
    return []


def read_review(folder: Path) -> list[str]:
    load_review(folder / "cohort.review.sqlite")
    create_review(folder / "cohort.review.sqlite")
    return []


# --- spoiling


def only_target(change: Callable[[Random, bytes], bytes]) -> Spoil:
    return lambda rng, seed: {seed.target: change(rng, seed.data)}


def any_dicom(bomb_mib: int) -> Spoil:
    def spoil_one(rng: Random, seed: Seed) -> Files:
        name = rng.choice([n for n in seed.files if not n.endswith((".csv", ".nii"))])
        return {name: spoil_dicom(rng, seed.files[name], bomb_mib=bomb_mib)}

    return spoil_one


def _index_seeds(folder: Path) -> list[Seed]:
    return [*make.rtstruct_seeds(folder / "a"), *make.seg_seeds(folder / "b"), *make.ct_seeds(folder / "c")]


def _table_seeds(folder: Path) -> list[Seed]:
    seeds = [make.text_seed(f"now/{n}", t) for n, t in (("foreign.csv", make.FOREIGN), ("icc.csv", make.ICC), ("outcomes.csv", make.OUTCOMES))]  # fmt: skip
    seeds += [Seed({f"now/{name}": data}, f"now/{name}") for name, data in make.feature_files(folder).items()]
    record = '{"settings": {"a": 1}, "versions": {"numpy": "2.0"}}'
    both = {"now/provenance.json": record.encode(), "now/features.csv": seeds[-2].data}
    return [*seeds, Seed(both, "now/provenance.json")]


def _settings_seeds(_: Path) -> list[Seed]:
    seeds = [make.text_seed("extraction.yaml", make.EXTRACTION)]
    for name, kind in (("extraction", "extraction/talent-ct"), ("model", "models/screen"), ("study", "studies/talent"), ("robustness", "robustness/quick-perturb")):  # fmt: skip
        text = (Path(__file__).parents[2] / "configs" / f"{kind}.yaml").read_text(encoding="utf-8")
        seeds.append(make.text_seed(f"{name}.yaml", "\n".join(text.split("\n")[:60])))
    return seeds


def _clinical_seeds(_: Path) -> list[Seed]:
    return [make.text_seed("clinical.csv", make.CLINICAL), make.text_seed("clinical.csv", make.CLINICAL, typed="")]


def _measurement_seeds(_: Path) -> list[Seed]:
    both = {"measurements.csv": make.MEASUREMENTS.encode(), "patients.csv": make.PATIENTS.encode()}
    return [Seed(both, "measurements.csv"), Seed(both, "measurements.csv"), Seed(both, "patients.csv")]


def _review_seeds(folder: Path) -> list[Seed]:
    create_review(folder / "cohort.review.sqlite")
    return [Seed(make.files_below(folder), "cohort.review.sqlite")]


def readers(*, bomb_mib: int = 1500) -> dict[str, Reader]:
    """Return every reader by name; `bomb_mib` is what a file of a few MiB may unpack to."""
    dicom = partial(spoil_dicom, bomb_mib=bomb_mib)
    listed = (
        Reader("dicom-ct", make.ct_seeds, only_target(dicom), read_case, 2.0),
        Reader("rtstruct", make.rtstruct_seeds, only_target(partial(spoil_rtstruct, bomb_mib=bomb_mib)), read_case, 1.5),
        Reader("seg", make.seg_seeds, only_target(dicom), read_case, 1.0),
        Reader("index", _index_seeds, any_dicom(bomb_mib), read_index, 1.5),
        Reader("nifti", lambda f: make.volume_seeds(f, (".nii", ".nii.gz")), partial(spoil_volume, bomb_mib=bomb_mib), read_case, 1.5),
        Reader("nrrd", lambda f: [*make.volume_seeds(f, (".nrrd", ".nhdr")), make.slicer_seed(f / "slicer")], partial(spoil_volume, bomb_mib=bomb_mib), read_case, 1.5),
        Reader("metaimage", lambda f: make.volume_seeds(f, (".mha", ".mhd")), partial(spoil_volume, bomb_mib=bomb_mib), read_case, 1.0),
        Reader("cohort-csv", make.cohort_seeds, spoil_cohort, read_cohort, 1.0),
        Reader("clinical-csv", _clinical_seeds, spoil_table, read_clinical, 1.0),
        Reader("measurements-csv", _measurement_seeds, spoil_table, read_measurements, 1.0),
        Reader("feature-tables", _table_seeds, spoil_table, read_tables, 1.0),
        Reader("settings-yaml", _settings_seeds, spoil_yaml, read_settings, 1.0),
        Reader("model", make.model_seeds, spoil_model, read_model, 0.5),
        Reader("review", _review_seeds, only_target(spoil), read_review, 0.5),
    )  # fmt: skip
    return {reader.name: reader for reader in listed}
