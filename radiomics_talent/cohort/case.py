"""The one bridge from a row to voxels: `check` prints what `inspect_case` finds, `load_case` raises it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.cohort.lesion_mask import inspect_mask
from radiomics_talent.cohort.lesion_size import inspect_size
from radiomics_talent.cohort.scan import Scan, inspect_scan
from radiomics_talent.findings import Finding, raise_first_error
from radiomics_talent.imaging.geometry import Box
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.imaging.masks import label_parts, touches_border
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from radiomics_talent.cohort.manifest import Lesion
    from radiomics_talent.imaging.geometry import Geometry

__all__ = [
    "Case", "Footprint", "Scan", "inspect_case", "inspect_overlaps", "inspect_scan", "load_case", "split_parts",
]  # fmt: skip

LOWEST_TISSUE_HU = -1500
"""No voxel of a patient is this low: scanners write such values outside the reconstructed field of view."""
_MOST_PARTS_NAMED = 6


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One lesion with its scan; never pickled, a worker loads its own.

    Attributes
    ----------
    lesion : Lesion
        The row.
    image : SimpleITK.Image
        The whole scan in HU.
    voxels : LesionVoxels
        The lesion on the same grid.
    findings : tuple of Finding
        About scan, mask and lesion; no errors.
    """

    lesion: Lesion
    image: sitk.Image
    voxels: LesionVoxels
    findings: tuple[Finding, ...]

    @property
    def mask(self) -> sitk.Image:
        """The lesion as a mask of the scan's size: 0 and 1 (uint8), made anew each time."""
        return self.voxels.as_mask()


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """Where a lesion is, without its scan: small enough to keep those of a whole scan.

    Attributes
    ----------
    lesion : Lesion
        The row.
    voxels : LesionVoxels
        The lesion on the scan's grid.
    """

    lesion: Lesion
    voxels: LesionVoxels

    @classmethod
    def of(cls, case: Case) -> Footprint:
        """Return the footprint of a case."""
        return cls(case.lesion, case.voxels)

    def content(self, scan: sitk.Image) -> str:
        """Return a name for what the lesion is made of: its voxels, their values, and nothing of file or row."""
        voxels = self.voxels
        digest = hashlib.sha256(np.packbits(voxels.voxels_zyx).tobytes())
        digest.update(sitk.GetArrayViewFromImage(scan)[voxels.box.slices_zyx].tobytes())
        digest.update(repr((voxels.voxels_zyx.shape, scan.GetSpacing())).encode())
        return digest.hexdigest()

    def shared_with(self, other: Footprint) -> int:
        """Count the voxels that both lesions hold."""
        boxes = self.voxels.box, other.voxels.box
        lower = tuple(max(a, b) for a, b in zip(*(box.lower for box in boxes), strict=True))
        upper = tuple(min(a, b) for a, b in zip(*(box.upper for box in boxes), strict=True))
        if any(u <= w for w, u in zip(lower, upper, strict=True)):
            return 0
        common = Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
        mine, its = (one.voxels.voxels_zyx[common.seen_from(one.voxels.box).slices_zyx] for one in (self, other))
        return int(np.count_nonzero(mine & its))


def inspect_case(
    lesion: Lesion, settings: ExtractionSettings, *, scan: Scan | None = None
) -> tuple[tuple[Finding, ...], Case | None]:
    """Read one row and say everything that is wrong with it.

    Parameters
    ----------
    lesion : Lesion
        The row.
    settings : ExtractionSettings
        How irregular scans and masks are treated, and how large a lesion must be.
    scan : Scan, optional
        The row's scan, when it is loaded already.

    Returns
    -------
    findings : tuple of Finding
        About scan, mask and lesion.
    case : Case or None
        None when a finding is an error.
    """
    findings: tuple[Finding, ...] = ()
    if scan is None:
        findings, scan = inspect_scan(lesion, settings)
        if scan is None:
            return findings, None
    findings = scan.findings
    more, mask = inspect_mask(lesion, scan, settings)
    findings += more
    if mask is None or any(f.is_error for f in findings):
        return findings, None
    voxels = LesionVoxels.of(mask, scan.geometry)
    if voxels is None:
        sentence = "the mask has no voxel of the lesion; draw it again, or remove the row"
        return (*findings, Finding("mask-empty", sentence, str(lesion.mask))), None
    more, voxels = _inspect_lesion(voxels, lesion, scan, settings)
    findings += more
    if any(f.is_error for f in findings):
        return findings, None
    return findings, Case(lesion, scan.image, voxels, findings)


def load_case(lesion: Lesion, settings: ExtractionSettings | None = None, *, scan: Scan | None = None) -> Case:
    """Read one row.

    Parameters
    ----------
    lesion : Lesion
        The row.
    settings : ExtractionSettings, optional
        Default settings when left out.
    scan : Scan, optional
        The row's scan, when it is loaded already.

    Raises
    ------
    InputError
        The first error that `inspect_case` finds, as its own subclass.
    """
    findings, case = inspect_case(lesion, settings or ExtractionSettings(), scan=scan)
    raise_first_error(findings)
    assert case is not None, "without an error there is a case"
    return case


def split_parts(case: Case) -> tuple[Case, ...]:
    """Return the connected parts of a lesion as lesions of their own, largest first: ``<lesion_id>.1``, ``.2`` ...

    A lesion of one part is returned as it is.
    """
    labelled, counts = label_parts(case.voxels.voxels_zyx)
    if len(counts) < 2:
        return (case,)
    return tuple(
        replace(
            case,
            lesion=replace(case.lesion, lesion_id=f"{case.lesion.lesion_id}.{number}"),
            voxels=case.voxels.part(labelled == number),
        )
        for number in range(1, len(counts) + 1)
    )


def inspect_overlaps(lesions: Iterable[Case | Footprint]) -> tuple[Finding, ...]:
    """Compare the lesions of one scan: shared voxels, and the same lesion twice.

    Parameters
    ----------
    lesions : iterable of Case or Footprint
        Lesions of one scan; a generator of cases is never held as a whole.

    Returns
    -------
    tuple of Finding
        `where` is the key of the later lesion of a pair.
    """
    seen = [one if isinstance(one, Footprint) else Footprint.of(one) for one in lesions]
    findings = []
    for a, b in combinations(seen, 2):
        shared = a.shared_with(b)
        if not shared:
            continue
        n_a, n_b = a.voxels.count, b.voxels.count
        if shared == n_a == n_b:
            sentence = f"holds the same {shared} voxels as {a.lesion.key} (row {a.lesion.row}); remove one of the rows"
            findings.append(Finding("lesion-duplicate", sentence, b.lesion.key))
        else:
            sentence = (
                f"shares {shared} voxels with {a.lesion.key} (row {a.lesion.row}): {shared / n_b:.0%} of this lesion, "
                f"{shared / n_a:.0%} of that; correct the contours"
            )
            findings.append(Finding("lesions-overlap", sentence, b.lesion.key))
    return tuple(findings)


def _inspect_lesion(
    voxels: LesionVoxels, lesion: Lesion, scan: Scan, settings: ExtractionSettings
) -> tuple[tuple[Finding, ...], LesionVoxels]:
    where = str(lesion.mask)
    findings = []
    labelled, counts = label_parts(voxels.voxels_zyx)
    if len(counts) > 1:
        findings.append(_several_parts(counts, scan.geometry, settings, where))
        if settings.mask.components == "largest":
            voxels = voxels.part(labelled == 1)
    findings += inspect_size(voxels, settings, where)
    findings += _inspect_padding(voxels, scan, where)
    faces = touches_border(voxels)
    if faces:
        sentence = f"touches the border of the scan ({', '.join(faces)}) and may be cut; take a scan that holds it all"
        findings.append(Finding("lesion-cut", sentence, where))
    return tuple(findings), voxels


def _several_parts(counts: NDArray[np.intp], geometry: Geometry, settings: ExtractionSettings, where: str) -> Finding:
    volumes = counts * geometry.voxel_volume_mm3 / 1000
    named = ", ".join(f"{v:.3g}" for v in volumes[:_MOST_PARTS_NAMED])
    more = ", ..." if len(volumes) > _MOST_PARTS_NAMED else ""
    treatment = {
        "keep": "kept as one; set mask.components: largest or split to change that",
        "largest": "only the largest is used",
        "split": "each becomes a lesion of its own",
    }[settings.mask.components]
    return Finding("lesion-parts", f"has {len(volumes)} parts of {named}{more} ml: {treatment}", where)


def _inspect_padding(voxels: LesionVoxels, scan: Scan, where: str) -> list[Finding]:
    values = sitk.GetArrayViewFromImage(scan.image)[voxels.box.slices_zyx][voxels.voxels_zyx]
    limit = LOWEST_TISSUE_HU if scan.padding_hu is None else max(LOWEST_TISSUE_HU, scan.padding_hu)
    # A padding value that tissue can have (0 HU) is no sign of padding.
    limit = limit if limit <= -1000 else LOWEST_TISSUE_HU
    count = int(np.count_nonzero(values <= limit))
    if not count:
        return []
    sentence = f"holds {count} padding voxels ({limit:g} HU or less, {count / values.size:.1%}); correct the contour"
    return [Finding("padding-in-lesion", sentence, where)]
