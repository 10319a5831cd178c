"""The resampled crop and mask of a lesion, kept as NRRD for a look at what features are computed on."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import SimpleITK as sitk

from radiomics_talent.extraction.store import told
from radiomics_talent.features import engine
from radiomics_talent.features.whole_files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.extraction.store import RunFolder
    from radiomics_talent.settings import ExtractionSettings

_KEY = "radiomics_talent_key"


def save_prepared(folder: RunFolder, case: Case, settings: ExtractionSettings, key: str) -> tuple[Path, Path]:
    """Write the crop and mask of a lesion, unless the very same are there.

    Parameters
    ----------
    folder : RunFolder
        The run folder.
    case : Case
        The lesion.
    settings : ExtractionSettings
        The settings.
    key : str
        The content's key; it is written into the files, so that a lesion of another name or content is told.

    Returns
    -------
    tuple of Path
        Image and mask.

    Raises
    ------
    RunFolderError
        The run folder cannot be written any more.
    """
    place = folder.preprocessed / file_name(case.lesion.patient_id)
    stem = file_name(case.lesion.lesion_id)
    image_path, mask_path = place / f"{stem}_image.nrrd", place / f"{stem}_mask.nrrd"
    if not all(_holds(path, key) for path in (image_path, mask_path)):
        image, mask = engine.prepare(case.image, case.voxels, settings).crop()
        with told(folder):
            place.mkdir(parents=True, exist_ok=True)
            _write(image, image_path, key)
            _write(sitk.Cast(mask, sitk.sitkUInt8), mask_path, key)
    return image_path, mask_path


def file_name(text: str) -> str:
    """Return an id as a safe file name; two different ids never get the same."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:80]
    if safe == text and safe.strip(".") and not safe.startswith((".", "-")):
        return safe
    return f"{safe.lstrip('.-')}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _write(image: sitk.Image, path: Path, key: str) -> None:
    image.SetMetaData(_KEY, key)
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            raise OSError(None, f"{path.name} could not be written") from error


def _holds(path: Path, key: str) -> bool:
    if not path.is_file():
        return False
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return False
    return bool(reader.HasMetaDataKey(_KEY) and reader.GetMetaData(_KEY) == key)
