"""Invented CTs with round lesions, in memory and as DICOM: noise as smooth as a soft kernel's, air outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.simulate.dicom_writing import ScanHeader, write_ct, write_rtstruct
from radiomics_talent.simulate.phantom import LesionPlan, Phantom, TrueLesion

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SPACING_MM = (0.75, 0.75, 1.5)
ORIGIN_MM = (-192.3, -188.7, -411.5)
BODY_RADIUS_MM = 165.0
GAP_MM = 4.0
TISSUE_HU, NOISE_HU = 60, 30
"""Some ten grey levels of 25 HU in a lesion, as in thin slices of a real one."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticScan:
    """A CT of 512 x 512 voxels a slice, and balls in it: centres (x, y, z) are in mm from the first voxel."""

    image: sitk.Image
    centres_mm: tuple[tuple[float, float, float], ...]
    diameters_mm: tuple[float, ...]

    def mask(self, lesion: int) -> sitk.Image:
        """Return a lesion as a mask of the scan's size."""
        x, y, z = (np.arange(n) * s for n, s in zip(self.image.GetSize(), SPACING_MM, strict=True))
        cx, cy, cz = self.centres_mm[lesion]
        squared = (z[:, None, None] - cz) ** 2 + (y[None, :, None] - cy) ** 2 + (x[None, None, :] - cx) ** 2
        mask = sitk.GetImageFromArray((squared < (self.diameters_mm[lesion] / 2) ** 2).astype(np.uint8))
        mask.CopyInformation(self.image)
        return mask

    def contours_mm(self, lesion: int) -> tuple[NDArray[np.float64], ...]:
        """Return the circles in which slices cut a lesion, about a point a millimetre, in patient space."""
        cx, cy, cz = self.centres_mm[lesion]
        circles = []
        for k in range(self.image.GetSize()[2]):
            squared = (self.diameters_mm[lesion] / 2) ** 2 - (k * SPACING_MM[2] - cz) ** 2
            if squared > 1:
                radius = np.sqrt(squared)
                angle = np.linspace(0, 2 * np.pi, max(16, int(2 * np.pi * radius)), endpoint=False)
                points = np.stack([cx + radius * np.cos(angle), cy + radius * np.sin(angle)], axis=1)
                points = np.column_stack([points, np.full(len(angle), k * SPACING_MM[2])])
                circles.append(points + np.array(ORIGIN_MM))
        return tuple(circles)


def synthetic_scan(slices: int, diameters_mm: tuple[float, ...], seed: int = 0) -> SyntheticScan:
    """Make a scan; one lesion lies near the middle, several lie apart wherever there is room."""
    rng = np.random.default_rng(seed)
    noise = sitk.GetImageFromArray(rng.standard_normal((slices, 512, 512), dtype=np.float32))
    hu = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, 1.0))
    hu *= NOISE_HU / hu.std()
    hu += TISSUE_HU
    y, x = np.ogrid[:512, :512]
    hu[:, (x - 256) ** 2 + (y - 256) ** 2 > (BODY_RADIUS_MM / SPACING_MM[0]) ** 2] -= 1060
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.SetSpacing(SPACING_MM)
    image.SetOrigin(ORIGIN_MM)
    if len(diameters_mm) == 1:
        centres = [(230 * SPACING_MM[0], 270 * SPACING_MM[1], slices // 2 * SPACING_MM[2])]
    else:
        centres = _places(slices, diameters_mm, rng)
    return SyntheticScan(image, tuple(centres), diameters_mm)


def _places(slices: int, diameters_mm: tuple[float, ...], rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Place the largest first, each within the body and apart from those before."""
    middle, height = 256 * SPACING_MM[0], (slices - 1) * SPACING_MM[2]
    placed: dict[int, tuple[float, float, float]] = {}
    for lesion in sorted(range(len(diameters_mm)), key=lambda i: -diameters_mm[i]):
        radius = diameters_mm[lesion] / 2
        room = BODY_RADIUS_MM - radius - GAP_MM
        for _ in range(100_000):
            x, y = rng.uniform(-room, room, 2)
            z = rng.uniform(radius + GAP_MM, height - radius - GAP_MM)
            place = (middle + x, middle + y, z)
            apart = all(
                np.linalg.norm(np.subtract(place, other)) > radius + diameters_mm[i] / 2 + GAP_MM
                for i, other in placed.items()
            )
            if np.hypot(x, y) < room and apart:
                placed[lesion] = place
                break
        else:
            raise ValueError(f"no room for a lesion of {diameters_mm[lesion]} mm")
    return [placed[i] for i in range(len(diameters_mm))]


def write_dicom(scan: SyntheticScan, folder: Path) -> None:
    """Write the scan as a CT series and its lesions as one RTSTRUCT (ROIs L01, L02, ...)."""
    lesions = tuple(
        TrueLesion(LesionPlan(f"L{i + 1:02d}", d / 2, 0, 0), scan.contours_mm(i), np.zeros((0, 0, 0), bool))
        for i, d in enumerate(scan.diameters_mm)
    )
    phantom = Phantom(sitk.GetArrayFromImage(scan.image), Geometry.of(scan.image), lesions)
    header = ScanHeader(
        key="benchmark", patient_id="BENCH", sex="O", age_years=60, study_date="20240101", site="none",
        manufacturer="none", model="none", kernel="none", phase="portal-venous", signed=True,
    )  # fmt: skip
    files = [folder / "CT" / f"{k:04d}.dcm" for k in range(len(phantom.hu_zyx))]
    write_rtstruct(header, phantom, write_ct(header, phantom, files), folder / "RT" / "lesions.dcm")
