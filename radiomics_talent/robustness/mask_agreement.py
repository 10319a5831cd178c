"""How far two masks of one lesion agree: overlap, volumes, and distances between their surfaces.

Distances are between the centres of surface voxels: those of the lesion with a face towards the outside. Each surface
voxel of one mask has its distance in mm to the nearest of the other, and conversely. Of these two sets of distances,
the mean surface distance is the mean of both sets together, the 95 % Hausdorff distance the larger of their two 95th
percentiles, the Hausdorff distance the larger of their two maxima (Reinke et al., Nat Methods 2024;21:182; Taha and
Hanbury, BMC Med Imaging 2015;15:29).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import ndimage

from radiomics_talent.cohort.case import inspect_scan, load_case, split_parts
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.errors import InputError
from radiomics_talent.extraction.provenance import mask_sha256
from radiomics_talent.findings import raise_first_error
from radiomics_talent.imaging.geometry import Box
from radiomics_talent.imaging.lesion_voxels import nearest_voxels
from radiomics_talent.presets import validated
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from radiomics_talent.cohort.case import Case, Scan
    from radiomics_talent.imaging.geometry import Geometry
    from radiomics_talent.imaging.lesion_voxels import LesionVoxels
    from radiomics_talent.robustness.pairing import Measured, PairedTables

Status = Literal["compared", "elsewhere", "unreadable"]
"""Whether a pair's masks were compared, do not lie in one space, or could not be read."""
PAIR_COLUMNS = ("patient_id", "lesion_id", "patient_id_b", "lesion_id_b", "status", "space")
REASON = "reason"


@dataclass(frozen=True, slots=True)
class MaskAgreement:
    """Two masks on one grid.

    Attributes
    ----------
    dice, jaccard : float
        Overlap, 0 to 1: twice the shared voxels by the sum of both; the shared by those of either.
    volume_a_ml, volume_b_ml : float
        Voxels times the volume of a voxel, each on its own grid.
    mean_surface_distance_mm, hausdorff_95_mm, hausdorff_mm : float
        As the module defines them.
    """

    dice: float
    jaccard: float
    volume_a_ml: float
    volume_b_ml: float
    mean_surface_distance_mm: float
    hausdorff_95_mm: float
    hausdorff_mm: float


MEASURES = tuple(f.name for f in fields(MaskAgreement))
MASK_COLUMNS = (*PAIR_COLUMNS, *MEASURES, REASON)
"""Of `compare_masks`."""


def mask_agreement(a: LesionVoxels, b: LesionVoxels) -> MaskAgreement | None:
    """Compare two masks of one space; B is put on the grid of A by nearest neighbour where it has another.

    Parameters
    ----------
    a, b : LesionVoxels
        The masks.

    Returns
    -------
    MaskAgreement or None
        None when no voxel of B is left on A's grid.
    """
    moved = b if a.geometry.difference(b.geometry).is_none else nearest_voxels(b, a.geometry)
    if moved is None:
        return None
    mine, its = _side_by_side(a, moved)
    shared, either = int(np.count_nonzero(mine & its)), int(np.count_nonzero(mine | its))
    there, back = _surface_distances(mine, its, a.geometry.spacing_mm)
    return MaskAgreement(
        dice=2 * shared / (shared + either),
        jaccard=shared / either,
        volume_a_ml=a.count * a.geometry.voxel_volume_mm3 / 1000,
        volume_b_ml=b.count * b.geometry.voxel_volume_mm3 / 1000,
        mean_surface_distance_mm=float(np.concatenate([there, back]).mean()),
        hausdorff_95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        hausdorff_mm=float(max(there.max(), back.max())),
    )


def compare_masks(pairs: PairedTables, *, progress: Callable[[int, int], None] | None = None) -> pd.DataFrame | None:
    """Compare the masks of every pair, which are read again from where provenance.json says that they were.

    At most two scans are held at a time. What cannot be compared has its reason in its row.

    Parameters
    ----------
    pairs : PairedTables
        Rows of A and B.
    progress : callable, optional
        Called with the number of pairs done and their total.

    Returns
    -------
    DataFrame or None
        `MASK_COLUMNS`, one row a pair in the order of `pairs`. None where A or B has no provenance.json.

    Raises
    ------
    ConfigError
        The settings in A's provenance.json are not those of this version of the program.
    """
    if pairs.a.record is None or pairs.b.record is None:
        return None
    records = [{_key(r): r for r in side.record["lesions"]} for side in (pairs.a, pairs.b) if side.record is not None]
    where = str(pairs.a.file.with_name("provenance.json"))
    reader = _Reader(validated(ExtractionSettings, pairs.a.record["settings"], where=where))
    rows: dict[int, dict[str, Any]] = {}
    for done, at in enumerate(_by_scan(pairs, records[0]), start=1):
        keys = [dict(frame.iloc[at]) for frame in (pairs.keys_a, pairs.keys_b)]
        a, b = (
            _Drawn.of(side, key, of.get(_key(key)))
            for side, key, of in zip((pairs.a, pairs.b), keys, records, strict=True)
        )
        names = [key[column] for key in keys for column in ("patient_id", "lesion_id")]
        rows[at] = dict(zip(PAIR_COLUMNS[:4], names, strict=True)) | _row(a, b, reader)
        if progress:
            progress(done, len(pairs))
    return pd.DataFrame([rows[at] for at in range(len(pairs))], columns=list(MASK_COLUMNS))


def mask_medians(masks: pd.DataFrame) -> dict[str, float]:
    """Return the median over the compared pairs of each measure of `MaskAgreement`.

    Parameters
    ----------
    masks : DataFrame
        As `compare_masks` returns it.

    Returns
    -------
    dict of str to float
        By name of the measure; empty where no pair was compared.
    """
    compared = masks.loc[masks["status"] == "compared", list(MEASURES)]
    return {} if compared.empty else {str(name): float(value) for name, value in compared.median().items()}


class _UnreadableError(InputError):
    """A mask or scan cannot be read any more, or is not what it was."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Where one side's lesion was read from."""

    lesion: Lesion
    record: Mapping[str, Any]
    side: str

    @classmethod
    def of(cls, side: Measured, key: Mapping[str, Any], record: Mapping[str, Any] | None) -> _Drawn | None:
        """Return the lesion of a row; None where the run has no record of it."""
        if record is None or not {"image", "mask", "mask_sha256"} <= record.keys():
            return None
        folder = side.file.absolute().parent
        lesion = Lesion(
            row=int(record.get("row", 0)),
            patient_id=key["patient_id"],
            lesion_id=key["lesion_id"],
            image=Path(os.path.normpath(folder / record["image"])),
            mask=Path(os.path.normpath(folder / record["mask"])),
            label=key["label"],
            series_uid=key["series_uid"],
        )
        return cls(lesion, record, side.name)


class _Reader:
    """Reads lesions as the run did, keeping the last two scans: a pair's own."""

    def __init__(self, settings: ExtractionSettings) -> None:
        self.settings = settings
        self._scans: dict[tuple[str, str], Scan] = {}

    def read(self, drawn: _Drawn) -> tuple[LesionVoxels, str]:
        """Return a lesion and its scan's FrameOfReferenceUID."""
        lesion = drawn.lesion
        try:
            scan = self._scan(lesion)
            whole = load_case(lesion, self.settings, scan=scan)
        except (InputError, OSError) as error:
            # Without its path, which is the researcher's own: the table may be passed on.
            reason = error.message if isinstance(error, InputError) else error.strerror
            raise _UnreadableError(f"{drawn.side}: {reason}") from error
        is_split = self.settings.mask.components == "split"
        cases: tuple[Case, ...] = split_parts(whole) if is_split else (whole,)
        for case in cases:
            if mask_sha256(case.voxels) == drawn.record["mask_sha256"]:
                return case.voxels, scan.frame_of_reference_uid
        raise _UnreadableError(f"{drawn.side}: the mask has changed since its features were extracted; extract again")

    def _scan(self, lesion: Lesion) -> Scan:
        scan = self._scans.pop(lesion.scan_key, None)
        if scan is None:
            while len(self._scans) > 1:
                del self._scans[next(iter(self._scans))]
            findings, scan = inspect_scan(lesion, self.settings)
            raise_first_error(findings)
            assert scan is not None, "without an error there is a scan"
        self._scans[lesion.scan_key] = scan  # the last one used stands last
        return scan


def _row(a: _Drawn | None, b: _Drawn | None, reader: _Reader) -> dict[str, Any]:
    if a is None or b is None:
        names = " and ".join(name for name, one in (("A", a), ("B", b)) if one is None)
        return _without("unreadable", f"{names}: provenance.json does not say where the mask is")
    try:
        mine, its = reader.read(a), reader.read(b)
    except _UnreadableError as error:
        return _without("unreadable", error.message)
    is_one_scan = a.record.get("image_sha256") == b.record.get("image_sha256")
    space = "same scan" if is_one_scan else _space(mine, its)
    if space is None:
        return _without("elsewhere", _apart(mine[1], its[1]))
    found = mask_agreement(mine[0], its[0])
    if found is None:
        return _without("elsewhere", "B's lesion lies outside A's scan")
    measures = {name: getattr(found, name) for name in MEASURES}
    reason = "" if _reaches(its[0], mine[0].geometry) else "B's lesion reaches beyond A's scan: compared within it"
    return {"status": "compared", "space": space, **measures, REASON: reason}


def _without(status: Status, reason: str) -> dict[str, Any]:
    return {"status": status, "space": "", **dict.fromkeys(MEASURES, np.nan), REASON: reason}


def _space(a: tuple[LesionVoxels, str], b: tuple[LesionVoxels, str]) -> str | None:
    """Return why two masks lie in one space; None where they do not.

    Two frames of reference may have grids that look the same: a patient who lay down twice.
    """
    if a[1] and b[1]:
        return "same frame of reference" if a[1] == b[1] else None
    return "same grid" if a[0].geometry.difference(b[0].geometry).is_none else None


def _apart(frame_a: str, frame_b: str) -> str:
    if frame_a and frame_b:
        return "other frame of reference"
    return "other grid, and no FrameOfReferenceUID that says whether it lies in the same space"


def _reaches(lesion: LesionVoxels, grid: Geometry) -> bool:
    """Whether the whole of a lesion's box lies on the grid."""
    lower, upper = (np.asarray(corner, dtype=np.float64) for corner in (lesion.box.lower, lesion.box.upper))
    corners = [[(lower, upper - 1)[bit][axis] for axis, bit in enumerate(bits)] for bits in np.ndindex(2, 2, 2)]
    seen = grid.to_index(lesion.geometry.to_points(corners))
    return bool(((seen >= -0.5) & (seen < np.asarray(grid.size) - 0.5)).all())


def _side_by_side(a: LesionVoxels, b: LesionVoxels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both masks (z, y, x) in the box around both."""
    lower = tuple(min(pair) for pair in zip(a.box.lower, b.box.lower, strict=True))
    upper = tuple(max(pair) for pair in zip(a.box.upper, b.box.upper, strict=True))
    box = Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
    masks = []
    for one in (a, b):
        mask = np.zeros(box.size[::-1], dtype=np.bool_)
        mask[one.box.seen_from(box).slices_zyx] = one.voxels_zyx
        masks.append(mask)
    return masks[0], masks[1]


def _surface_distances(
    a_zyx: NDArray[np.bool_], b_zyx: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance in mm of each surface voxel of A to the surface of B, and conversely."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (a_zyx, b_zyx)]
    to_b, to_a = (ndimage.distance_transform_edt(~s, sampling=spacing_mm[::-1]) for s in surfaces[::-1])
    return to_b[surfaces[0]], to_a[surfaces[1]]


def _by_scan(pairs: PairedTables, records: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[int]:
    """Return the pairs with those of one scan of A together, so that it is read once."""
    scans: dict[tuple[Any, ...], list[int]] = {}
    for at, key in enumerate(pairs.keys_a.to_dict("records")):
        image = records.get(_key(key), {}).get("image")
        scans.setdefault((image, key["series_uid"]), []).append(at)
    return [at for group in scans.values() for at in group]


def _key(record: Mapping[Any, Any]) -> tuple[str, str]:
    return str(record["patient_id"]), str(record["lesion_id"])
