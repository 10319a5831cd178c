"""Maps of one lesion become files: one image a feature, and the record of where the numbers come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent import __version__
from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.preprocessed import file_name
from radiomics_talent.extraction.provenance import image_sha256, mask_sha256, versions
from radiomics_talent.extraction.threads import in_order
from radiomics_talent.features.maps import feature_maps
from radiomics_talent.features.whole_files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.features.maps import FeatureMaps
    from radiomics_talent.settings import ExtractionSettings

RECORD, PICTURE = "maps.json", "maps.png"


def compute_maps(
    case: Case,
    settings: ExtractionSettings,
    *,
    features: Sequence[str],
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureMaps:
    """Compute maps of a lesion in threads, one feature class of one image at a time.

    Parameters and errors are those of `feature_maps`; `jobs` is the number of threads, and `progress` is told how many
    pieces of how many are done.
    """

    def run(function: Callable[[Any], Any], pieces: Iterable[Any]) -> Iterator[Any]:
        listed = list(pieces)
        calls = ((lambda piece=piece: function(piece)) for piece in listed)
        for done, found in enumerate(in_order(calls, jobs), start=1):
            if progress is not None:
                progress(done, len(listed))
            yield found

    return feature_maps(case.image, case.voxels, settings, features=features, run=run)


def write_maps(
    maps: FeatureMaps,
    case: Case,
    settings: ExtractionSettings,
    out: Path,
    *,
    crop: bool = False,
    single: bool = False,
) -> tuple[Path, ...]:
    """Write every map as ``<feature>.nii.gz``, and ``maps.json``.

    Parameters
    ----------
    maps : FeatureMaps
        The maps.
    case : Case
        Whose they are.
    settings : ExtractionSettings
        What they were computed with; ``voxelSetting.initValue`` is the value of voxels that are not the lesion's.
    out : Path
        Folder: new, empty, or of earlier maps, which are replaced.
    crop : bool
        Only the lesion's box; otherwise the whole grid (without resampling the scan's own).
    single : bool
        Store 32-bit floats in place of the 64-bit ones that were computed.

    Returns
    -------
    tuple of Path
        The maps, in their order.

    Raises
    ------
    ConfigError
        The folder holds something else, or cannot be written.
    """
    out = Path(out)
    files = tuple(out / f"{file_name(name)}.nii.gz" for name in maps.values)
    outside = settings.voxelSetting.initValue
    try:
        _make_room(out, files)
        for name, path in zip(maps.values, files, strict=True):
            volume = maps.volume(name, outside=outside, crop=crop)
            _write(sitk.Cast(volume, sitk.sitkFloat32) if single else volume, path)
        _write_record(out, _record(maps, case, settings, files, {"crop": crop, "single": single}))
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror or error}; give another folder", where=str(out)
        ) from error
    return files


def check_folder(out: Path) -> None:
    """Refuse a folder that maps cannot be written to, before they are computed.

    Parameters
    ----------
    out : Path
        Folder: new, empty, or of earlier maps.

    Raises
    ------
    ConfigError
        The folder holds something else.
    """
    _files_of(Path(out))


def _files_of(out: Path) -> set[str]:
    """Return the names of the files that earlier maps left in a folder."""
    try:
        names = {path.name for path in out.iterdir() if not path.name.startswith(".tmp-")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}; give another folder", where=str(out)) from error
    if not names:
        return names
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        ours = {Path(one["file"]).name for one in record["maps"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"the folder is not empty and was not made by map (it holds {min(names)}); give a new folder",
            where=str(out),
        ) from error
    return names & {*ours, PICTURE}


def _make_room(out: Path, files: Sequence[Path]) -> None:
    """Make the folder, without what earlier maps left; an interrupted command's files will be known for its own."""
    earlier = _files_of(out)
    out.mkdir(parents=True, exist_ok=True)
    listed = sorted({*earlier, *(path.name for path in files)} - {PICTURE})
    _write_record(out, {"finished": False, "maps": [{"file": name} for name in listed]})
    for name in earlier:
        (out / name).unlink(missing_ok=True)


def _write_record(out: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(out / RECORD) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _write(image: sitk.Image, path: Path) -> None:
    with replacing(path) as temporary:
        try:
            # Little but zeros: the first level packs them as well as any, in a fraction of the time.
            sitk.WriteImage(image, str(temporary), useCompression=True, compressionLevel=1)
        except RuntimeError as error:
            raise OSError(None, f"{path.name} could not be written") from error


def _record(
    maps: FeatureMaps,
    case: Case,
    settings: ExtractionSettings,
    files: Sequence[Path],
    written: dict[str, Any],
) -> dict[str, Any]:
    # NaN is no JSON: initValue is told in words, beside the settings.
    canonical = settings.canonical()
    canonical["voxelSetting"]["initValue"] = _finite(settings.voxelSetting.initValue)
    return {
        "finished": True,
        "program": {"radiomics-talent": __version__, "engine": "native"},
        "patient_id": case.lesion.patient_id,
        "lesion_id": case.lesion.lesion_id,
        "image_sha256": image_sha256(case.image),
        "mask_sha256": mask_sha256(case.voxels),
        "settings_sha256": settings.hash,
        "settings": canonical,
        "outside": str(settings.voxelSetting.initValue),
        "versions": versions(settings),
        "radius_voxels": maps.radius,
        "masked": maps.masked,
        "voxels": maps.lesion.count,
        **written,
        "warnings": list(maps.warnings),
        "maps": [
            {"feature": name, "file": path.name} | _summary(values)
            for (name, values), path in zip(maps.values.items(), files, strict=True)
        ],
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _summary(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    defined = values[np.isfinite(values)]
    if not defined.size:
        return {"undefined": int(values.size)}
    return {
        "undefined": int(values.size - defined.size),
        "minimum": float(defined.min()),
        "median": float(np.median(defined)),
        "maximum": float(defined.max()),
    }
