"""A small synthetic trial as a hospital would send it: DICOM in untidy folders, a clinical table, and the truth.

Nobody's data: every name, date and value is invented, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.errors import ConfigError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.simulate.clinical import ClinicalRow, make_clinical_row
from radiomics_talent.simulate.dicom_writing import (
    ScanHeader,
    make_uid,
    write_ct,
    write_localizer,
    write_rtstruct,
    write_seg,
)
from radiomics_talent.simulate.measurements import MEASUREMENT_COLUMNS, measurement_cells
from radiomics_talent.simulate.phantom import Kernel, LesionPlan, Phantom, TrueLesion, make_phantom

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRUTH_COLUMNS = (
    "patient_id", "synthetic", "lesion", "mask_format", "voxels", "volume_ml", "texture_sd_hu", "texture_length_mm",
    "responder", "phase", "site",
)  # fmt: skip
"""Columns of truth.csv, one row a lesion."""
_COLUMNS = 192
_README = """This folder holds a synthetic trial, written by `radiomics-talent demo`.

No patient is behind it: every image, name, date and value is invented. Do not use it for anything but trying out
the software. Seed {seed}, {patients} patients.

dicom/        CT series with lesions as RTSTRUCT or SEG, in folders as untidy as real ones
clinical.csv  one row a patient
measurements.csv  diameters of the target lesions at every visit, for `recist`
truth.csv     one row a lesion: its true volume, and the amplitude and grain of its texture. Lesions of responders
              are more homogeneous, which is what a model should find.
"""


@dataclass(frozen=True, slots=True)
class _Site:
    name: str
    manufacturer: str
    model: str
    kernel: Kernel
    slice_mm: float
    pixels_mm: tuple[float, ...]
    signed: bool


_SITES = (
    _Site(
        "Site North (synthetic)", "NORTH CT WORKS (SYNTHETIC)", "N-64", Kernel("B30f", 0.65, 11.0, 0.22), 3.0,
        (0.78125, 0.8203), signed=False,
    ),
    _Site(
        "Site South (synthetic)", "SOUTH IMAGING (SYNTHETIC)", "S-128", Kernel("STANDARD", 0.5, 14.0, 0.3), 2.5,
        (0.7617, 0.84766), signed=True,
    ),
)  # fmt: skip
"""Pixel sizes are such that no voxel centre is a round hundredth of a mm: no contour point lies on one."""


@dataclass(frozen=True, slots=True)
class PatientPlan:
    """All that is decided about a patient before a voxel is made.

    Attributes
    ----------
    number : int
        1 for the first.
    header : ScanHeader
        What the DICOM headers say.
    clinical : ClinicalRow
        The patient's row of clinical.csv.
    geometry : Geometry
        The scan's grid.
    kernel : Kernel
        The scan's reconstruction.
    lesions : tuple of LesionPlan
        The lesions to place.
    responds : bool
        Whether the patient responds, hence how heterogeneous the lesions are.
    mask_format : str
        'RTSTRUCT' or 'SEG'.
    """

    number: int
    header: ScanHeader
    clinical: ClinicalRow
    geometry: Geometry
    kernel: Kernel
    lesions: tuple[LesionPlan, ...]
    responds: bool
    mask_format: str


@dataclass(frozen=True, slots=True)
class Trial:
    """Where a trial was written.

    Attributes
    ----------
    root, dicom, clinical_csv, measurements_csv, truth_csv : Path
        Its folder, and what is in it.
    patients, lesions : int
        How many.
    """

    root: Path
    dicom: Path
    clinical_csv: Path
    measurements_csv: Path
    truth_csv: Path
    patients: int
    lesions: int


def write_trial(
    out: Path, *, seed: int = 0, patients: int = 12, progress: Callable[[int, int], None] | None = None
) -> Trial:
    """Write a synthetic trial; the same seed gives the same bytes.

    Parameters
    ----------
    out : Path
        Folder to write into.
    seed : int, optional
        Where every value comes from.
    patients : int, optional
        How many.
    progress : callable, optional
        Called with the number of patients written and their total.

    Returns
    -------
    Trial
        What was written where.

    Raises
    ------
    ConfigError
        `out` already holds something that is not this trial.
    """
    dicom, readme = out / "dicom", out / "README.txt"
    text = _README.format(seed=seed, patients=patients)
    if out.exists() and not _is_free(out, readme, text):
        raise ConfigError("holds other files than this trial; name a new folder with --out", where=str(out))
    dicom.mkdir(parents=True, exist_ok=True)
    readme.write_text(text, encoding="utf-8")
    # Real exports come with such files.
    (dicom / "export.log").write_text("synthetic export\n", encoding="utf-8")
    truth: list[list[str]] = []
    plans = plan_trial(seed=seed, patients=patients)
    for plan in plans:
        phantom = make_patient(plan, seed=seed)
        _write_patient(plan, phantom, dicom, seed)
        if progress:
            progress(plan.number, patients)
        truth += [_truth_cells(plan, phantom, lesion) for lesion in phantom.lesions]
    write_sheet(out / "clinical.csv", ClinicalRow.columns(), [plan.clinical.cells() for plan in plans])
    measured = [cells for plan in plans for cells in measurement_cells(plan.clinical, _targets(plan))]
    write_sheet(out / "measurements.csv", MEASUREMENT_COLUMNS, measured)
    write_sheet(out / "truth.csv", TRUTH_COLUMNS, truth)
    return Trial(out, dicom, out / "clinical.csv", out / "measurements.csv", out / "truth.csv", patients, len(truth))


def _targets(plan: PatientPlan) -> list[tuple[str, float]]:
    """Return at most two lesions, as RECIST has it for one organ, under the names that `index` gives them."""
    return [(lesion.name.replace(" ", "_"), 2 * lesion.radius_mm) for lesion in plan.lesions[:2]]


def _is_free(out: Path, readme: Path, text: str) -> bool:
    if not out.is_dir():
        return False
    if readme.is_file():
        # The same trial again writes the same bytes over itself; another one would leave a mixture.
        return readme.read_bytes() == text.encode()
    return not any(out.iterdir())


def plan_trial(*, seed: int = 0, patients: int = 12) -> tuple[PatientPlan, ...]:
    """Decide who is in the trial: of each two patients one responds, whatever the trial's size."""
    plans = []
    for i in range(patients):
        first_responds = _chance(seed, "pair", str(i // 2)).random() < 0.5
        plans.append(_plan_patient(i + 1, first_responds == (i % 2 == 0), seed))
    return tuple(plans)


def make_patient(plan: PatientPlan, *, seed: int = 0) -> Phantom:
    """Make the scan of one patient, the same whoever asks and in whatever order."""
    rng = _chance(seed, plan.header.patient_id, "voxels")
    return make_phantom(plan.geometry, plan.header.phase, plan.kernel, plan.lesions, rng)


def _chance(seed: int, *words: str) -> np.random.Generator:
    # A stream a patient: adding patients does not change those before.
    return np.random.default_rng([seed, *"/".join(words).encode()])


def _plan_patient(number: int, responds: bool, seed: int) -> PatientPlan:
    patient_id = f"SYN-{number:03d}"
    rng = _chance(seed, patient_id, "plan")
    clinical = make_clinical_row(patient_id, responds=responds, rng=rng)
    site = _SITES[number % 2]
    pixel = float(rng.choice(site.pixels_mm))
    slices = int(rng.integers(42, 50))
    half = (_COLUMNS - 1) / 2 * pixel
    origin = (-55.0 - half, -150.0 - half, -float(rng.integers(300, 500)))
    header = ScanHeader(
        key=f"{seed}/{patient_id}",
        patient_id=patient_id,
        sex=clinical.sex,
        age_years=clinical.age,
        study_date=f"2019{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 29)):02d}",
        site=site.name,
        manufacturer=site.manufacturer,
        model=site.model,
        kernel=site.kernel.name,
        phase="arterial" if number % 3 == 0 else "portal-venous",
        signed=site.signed,
        rle=number % 6 == 4,
    )
    lesions = tuple(
        LesionPlan(
            name=f"Liver lesion {n}",
            radius_mm=round(float(rng.uniform(7.5, 15.0)), 1),
            texture_hu=round(float(rng.normal(12, 1.5) if responds else rng.normal(30, 3)), 1),
            texture_mm=round(float(rng.uniform(2.6, 3.2) if responds else rng.uniform(1.6, 2.2)), 1),
        )
        for n in range(1, int(rng.integers(2, 5)) + 1)
    )
    return PatientPlan(
        number=number,
        header=header,
        clinical=clinical,
        geometry=Geometry((_COLUMNS, _COLUMNS, slices), (pixel, pixel, site.slice_mm), origin),
        kernel=site.kernel,
        lesions=lesions,
        responds=responds,
        mask_format="SEG" if number % 4 in {0, 3} else "RTSTRUCT",
    )


def _write_patient(plan: PatientPlan, phantom: Phantom, dicom: Path, seed: int) -> None:
    images, masks = _layout(plan, dicom)
    if plan.number % 5 == 2:
        write_localizer(plan.header, phantom, masks.parent / f"LOC{masks.suffix}")
    written = write_ct(plan.header, phantom, images)
    if plan.mask_format == "SEG":
        write_seg(plan.header, phantom, written, masks)
    else:
        write_rtstruct(plan.header, phantom, written, masks)
    if plan.number % 12 == 5:
        _write_native(plan, seed, masks.parent / "native")


def _write_native(plan: PatientPlan, seed: int, folder: Path) -> None:
    """Write a second CT of the same frame of reference, that no mask refers to."""
    rng = _chance(seed, plan.header.patient_id, "voxels")
    phantom = make_phantom(plan.geometry, "native", plan.kernel, plan.lesions, rng)
    fields = {name: getattr(plan.header, name) for name in ScanHeader.__dataclass_fields__}
    header = ScanHeader(**{**fields, "phase": "native"})
    files = [folder / f"{k:04d}.dcm" for k in range(len(phantom.hu_zyx))]
    write_ct(header, phantom, files, number=3)


def _layout(plan: PatientPlan, dicom: Path) -> tuple[list[Path], Path]:
    """Return the files of the slices, from the feet up, and of the mask: four habits of archives and scanners."""
    count = plan.geometry.size[2]
    key, patient = plan.header.key, plan.header.patient_id
    match plan.number % 4:
        case 0:  # tidy
            folder = dicom / patient
            return [folder / "CT" / f"{k + 1:04d}.dcm" for k in range(count)], folder / "mask.dcm"
        case 1:  # numbered from the head down
            folder = dicom / patient / "1"
            return [folder / "2" / f"IM-0002-{count - k:04d}.dcm" for k in range(count)], folder / "RS.dcm"
        case 2:  # all in one folder, named by UID, no extension
            folder = dicom / f"study_{make_uid(key, 'study')[-8:]}"
            return [folder / f"CT.{make_uid(key, k)}" for k in range(count)], folder / f"RS.{make_uid(key, 'file')}"
        case _:  # as on a CD: nested, no extension, no order
            folder = dicom / "DICOM" / f"PA{plan.number:03d}" / "ST0"
            order = _chance(0, key, "names").permutation(count)
            return [folder / "SE1" / f"IM{n:05d}" for n in order], folder / "SE2" / "IM00000"


def _truth_cells(plan: PatientPlan, phantom: Phantom, lesion: TrueLesion) -> list[str]:
    voxels = int(lesion.mask_zyx.sum())
    return [
        plan.header.patient_id,
        "yes",
        lesion.plan.name,
        plan.mask_format,
        str(voxels),
        f"{voxels * phantom.geometry.voxel_volume_mm3 / 1000:.3f}",
        f"{lesion.plan.texture_hu:.1f}",
        f"{lesion.plan.texture_mm:.1f}",
        "yes" if plan.responds else "no",
        plan.header.phase,
        plan.header.site,
    ]
