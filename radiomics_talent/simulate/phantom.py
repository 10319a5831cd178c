"""Voxels of an invented patient: an upper abdomen with liver lesions whose texture is known.

Nothing here comes from a patient. Anatomy is ellipsoids and tubes; what is right is what radiomics looks at:
voxel sizes, noise that is correlated as a kernel makes it, enhancement by phase, and lesions whose inner
heterogeneity is a Gaussian field of known amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage.measure import find_contours

from radiomics_talent.imaging.geometry import Box, Geometry

Volume = NDArray[np.float64]

CONTOUR_DECIMALS = 2
"""Contour points are written to a hundredth of a millimetre, and the truth is made from what is written."""
ENHANCEMENT_HU = {
    "native": {"liver": 55.0, "vessel": 40.0, "aorta": 40.0, "lesion": 42.0},
    "arterial": {"liver": 72.0, "vessel": 90.0, "aorta": 300.0, "lesion": 118.0},
    "portal-venous": {"liver": 112.0, "vessel": 165.0, "aorta": 150.0, "lesion": 88.0},
}
"""Typical HU by phase: lesions of neuroendocrine tumours light up early and wash out."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """How a scanner's reconstruction blurs and how its noise looks.

    Attributes
    ----------
    name : str
        ConvolutionKernel.
    blur_mm : float
        Standard deviation of the in-plane blur.
    noise_hu : float
        Standard deviation of the noise.
    peak_per_mm : float
        Spatial frequency at which the noise is strongest: higher is grainier.
    """

    name: str
    blur_mm: float
    noise_hu: float
    peak_per_mm: float


@dataclass(frozen=True, slots=True)
class LesionPlan:
    """What a lesion shall be.

    Attributes
    ----------
    name : str
        ROI name or segment label.
    radius_mm : float
        Radius of the ball that its bumps are put on.
    texture_hu : float
        Standard deviation of its inner Gaussian field: the known heterogeneity.
    texture_mm : float
        Correlation length of that field (standard deviation of its smoothing).
    """

    name: str
    radius_mm: float
    texture_hu: float
    texture_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class TrueLesion:
    """What a lesion is.

    Attributes
    ----------
    plan : LesionPlan
        What it was to be.
    contours_mm : tuple of ndarray
        Closed contours, each (n, 3) in patient space at one slice, as they are written to RTSTRUCT.
    mask_zyx : ndarray of bool
        Voxels whose centre lies inside: the truth.
    """

    plan: LesionPlan
    contours_mm: tuple[NDArray[np.float64], ...]
    mask_zyx: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """An invented scan: HU as int16 (z, y, x), its place in space, its lesions."""

    hu_zyx: NDArray[np.int16]
    geometry: Geometry
    lesions: tuple[TrueLesion, ...]


def make_phantom(
    geometry: Geometry, phase: str, kernel: Kernel, plans: tuple[LesionPlan, ...], rng: np.random.Generator
) -> Phantom:
    """Make the voxels of one scan.

    Parameters
    ----------
    geometry : Geometry
        Upright grid (identity direction).
    phase : str
        Key of `ENHANCEMENT_HU`.
    kernel : Kernel
        The reconstruction.
    plans : tuple of LesionPlan
        Lesions to place, none touching another.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    Phantom
        The scan and its truth.
    """
    z, y, x = _coordinates(geometry)
    tissue = ENHANCEMENT_HU[phase]
    hu, liver = _abdomen(z, y, x, tissue, rng)
    centres = _places(liver, geometry, tuple(plan.radius_mm for plan in plans), rng)
    lesions = []
    for plan, centre in zip(plans, centres, strict=True):
        box = _box_around(centre, 1.6 * plan.radius_mm, geometry)
        local, cut = geometry.crop(box), box.slices_zyx
        near = (z[cut[0]], y[:, cut[1]], x[:, :, cut[2]])
        inside = _blob(near, centre, plan.radius_mm, rng)
        values = tissue["lesion"] + rng.normal(0, 5) + plan.texture_hu * _grain(local, plan.texture_mm, rng)
        # About one voxel of partial volume at the rim: the level set is in mm.
        weight = np.clip(inside / 1.2 + 0.5, 0.0, 1.0)
        hu[cut] = hu[cut] * (1 - weight) + values * weight
        contours = _contours(inside, local)
        mask = np.zeros(hu.shape, dtype=bool)
        mask[cut] = _inside(contours, local)
        lesions.append(TrueLesion(plan, contours, mask))
    hu = _scanned(hu, geometry, kernel, rng)
    return Phantom(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), geometry, tuple(lesions))


def _coordinates(geometry: Geometry) -> tuple[Volume, Volume, Volume]:
    """Return mm from the middle of the grid along z (to the head), y (to the back), x (to the patient's left)."""
    x, y, z = (
        np.asarray((np.arange(n) - (n - 1) / 2) * s, dtype=np.float64)
        for n, s in zip(geometry.size, geometry.spacing_mm, strict=True)
    )
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _ellipsoid(distance: tuple[Volume, Volume, Volume], radii_zyx: tuple[float, float, float]) -> Volume:
    return np.sqrt(sum((d / r) ** 2 for d, r in zip(distance, radii_zyx, strict=True)))


def _abdomen(
    z: Volume, y: Volume, x: Volume, tissue: dict[str, float], rng: np.random.Generator
) -> tuple[Volume, NDArray[np.bool_]]:
    """Return HU without lesions and noise, and where the liver is; a field of view over the right upper abdomen."""
    wide, deep = rng.uniform(0.96, 1.04, 2)
    body = np.hypot((x - 55) / (124 * wide), y / (94 * deep))
    hu = np.where(body < 1, -105.0, -1000.0) + 0 * z
    wall = (body < 0.93) & (body >= 0.83)
    hu = np.where(wall, 55.0, hu)
    angle = np.arctan2(y / 94, (x - 55) / 124)
    ribs = (np.abs(body - 0.885) < 0.03) & (np.sin(angle * 16 + z / 7) > 0.75)
    hu = np.where(ribs, 420.0, hu)
    liver = _ellipsoid((z, y + 6 + 0.08 * x, x + 10), (88.0, 60.0, 55.0)) + 0.03 * np.sin(x / 9) * np.cos(y / 11)
    liver_inside = (liver < 1) & (body < 0.82)
    hu = np.where(liver_inside, tissue["liver"], hu)
    hu = np.where(_vessels(z, y, x, rng) & liver_inside, tissue["vessel"], hu)
    kidney = _ellipsoid((z + 48, y - 52, x - 2), (42.0, 19.0, 23.0))
    hu = np.where(kidney < 1, tissue["vessel"] + 20, hu)
    hu = np.where(kidney < 0.45, -60.0, hu)
    stomach = _ellipsoid((z - 12, y + 45, x - 66), (40.0, 26.0, 24.0))
    hu = np.where(stomach < 1, 30.0, hu)
    hu = np.where((stomach < 0.86) & (y < -52), -950.0, hu)
    spine = np.hypot(x - 55, y - 56)
    disc = np.abs((z + 200) % 34 - 17) < 3.5
    hu = np.where(spine < 21, np.where(disc, 90.0, 190.0), hu)
    hu = np.where((spine < 21) & (spine > 18.5) & ~disc, 480.0, hu)
    hu = np.where(np.hypot(x - 62, y - 24) < 10.5, tissue["aorta"], hu)
    hu = np.where(np.hypot((x - 36) / 12, (y - 28) / 8) < 1, tissue["vessel"], hu)
    return hu, np.asarray(liver_inside & (kidney > 1.1))


def _vessels(z: Volume, y: Volume, x: Volume, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return tubes that branch from the porta hepatis and from the hepatic veins into the liver."""
    found = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), dtype=bool)
    for root in ((30.0, 8.0, -6.0), (30.0, 14.0, 40.0)):
        for _ in range(5):
            point, heading = np.array(root), np.array([-1.0, rng.uniform(-0.7, 0.5), rng.uniform(-0.9, 0.9)])
            radius = rng.uniform(3.0, 4.5)
            for _ in range(12):
                heading = heading / np.linalg.norm(heading) + rng.normal(0, 0.16, 3)
                end = point + 6.5 * heading
                _add_tube(found, (x, y, z), point, end, radius)
                point, radius = end, radius * 0.9
    return found


def _add_tube(
    found: NDArray[np.bool_],
    axes_xyz: tuple[Volume, Volume, Volume],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
) -> None:
    """Set the voxels within `radius` of the line from `start` to `end` (x, y, z)."""
    part = []
    for axis, low, high in zip(axes_xyz, np.minimum(start, end), np.maximum(start, end), strict=True):
        part.append(slice(*np.searchsorted(axis.ravel(), (low - radius, high + radius))))
    x, y, z = (
        axis.ravel()[cut].reshape(shape)
        for axis, cut, shape in zip(axes_xyz, part, ((1, 1, -1), (1, -1, 1), (-1, 1, 1)), strict=True)
    )
    step = end - start
    offset = (x - start[0], y - start[1], z - start[2])
    share = np.clip(sum(o * s for o, s in zip(offset, step, strict=True)) / (step @ step), 0.0, 1.0)
    near = sum((o - share * s) ** 2 for o, s in zip(offset, step, strict=True)) < radius**2
    found[part[2], part[1], part[0]] |= near


def _places(
    liver: NDArray[np.bool_], geometry: Geometry, radii_mm: tuple[float, ...], rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Return places (z, y, x) in mm from the middle, deep enough in the liver and away from each other."""
    # Every other pixel is near enough for a place; outside of the grid is not liver either.
    steps = np.array([1, 2, 2])
    spacing_zyx = np.array(geometry.spacing_mm[::-1])
    depth = ndimage.distance_transform_edt(np.pad(liver[:, ::2, ::2], 1), sampling=spacing_zyx * steps)
    depth = depth[1:-1, 1:-1, 1:-1]
    middle = (np.array(geometry.size[::-1]) - 1) / 2
    taken: list[NDArray[np.float64]] = []
    for n, radius in enumerate(radii_mm):
        places = (np.argwhere(depth > 1.3 * radius) * steps - middle) * spacing_zyx
        for centre, other in zip(taken, radii_mm[:n], strict=True):
            places = places[np.linalg.norm(places - centre, axis=1) > 1.3 * (radius + other) + 3]
        if not len(places):
            raise ValueError(f"the liver has no room for a lesion of radius {radius} mm")
        taken.append(np.asarray(places[rng.integers(len(places))]))
    return taken


def _box_around(centre: NDArray[np.float64], reach_mm: float, geometry: Geometry) -> Box:
    """Return the voxels within `reach_mm` along every axis of a place (z, y, x) in mm from the middle."""
    spacing = np.array(geometry.spacing_mm)
    index = centre[::-1] / spacing + (np.array(geometry.size) - 1) / 2
    margin = tuple(int(n) for n in np.ceil(reach_mm / spacing))
    x, y, z = (round(float(i)) for i in index)
    return Box((x, y, z), (x + 1, y + 1, z + 1)).padded((margin[0], margin[1], margin[2]), geometry.size)


def _blob(
    near: tuple[Volume, Volume, Volume], centre: NDArray[np.float64], radius_mm: float, rng: np.random.Generator
) -> Volume:
    """Return mm from the lesion's surface, positive inside: a stretched ball with bumps."""
    stretch = rng.uniform(0.88, 1.14, 3)
    dz, dy, dx = ((a - c) / s for a, c, s in zip(near, centre, stretch, strict=True))
    distance = np.sqrt(dz**2 + dy**2 + dx**2) + 1e-9
    bumps = np.zeros(distance.shape)
    for _ in range(6):
        ahead = rng.normal(size=3)
        ahead /= np.linalg.norm(ahead)
        cosine = (dz * ahead[0] + dy * ahead[1] + dx * ahead[2]) / distance
        bumps += rng.normal(0, 0.09) * np.exp(-(1 - cosine) / 0.25)
    return np.asarray(radius_mm * (1 + np.clip(bumps, -0.2, 0.2)) - distance)


def _grain(geometry: Geometry, length_mm: float, rng: np.random.Generator) -> Volume:
    """Return a Gaussian field of mean 0 and standard deviation 1, smoothed over `length_mm` in every direction."""
    spacing_zyx = geometry.spacing_mm[::-1]
    field = ndimage.gaussian_filter(
        rng.standard_normal(geometry.size[::-1]), [length_mm / s for s in spacing_zyx], mode="wrap"
    )
    return np.asarray((field - field.mean()) / field.std())


def _scanned(hu: Volume, geometry: Geometry, kernel: Kernel, rng: np.random.Generator) -> Volume:
    """Blur by the kernel and add its noise: a ramp that is rolled off, as filtered back-projection leaves it."""
    sx, sy, _ = geometry.spacing_mm
    # Beams average over the slice thickness: a little blur along z.
    blurred = ndimage.gaussian_filter(hu, (0.35, kernel.blur_mm / sy, kernel.blur_mm / sx), mode="nearest")
    frequency = np.hypot(np.fft.fftfreq(hu.shape[1], sy)[:, None], np.fft.rfftfreq(hu.shape[2], sx)[None, :])
    gain = np.sqrt(frequency) * np.exp(-0.25 * (frequency / kernel.peak_per_mm) ** 2)
    noise = fft.irfft2(fft.rfft2(rng.standard_normal(hu.shape)) * gain, s=hu.shape[1:])
    return np.asarray(blurred + kernel.noise_hu * noise / noise.std())


def _contours(inside: Volume, geometry: Geometry) -> tuple[NDArray[np.float64], ...]:
    """Return the lesion's outline slice by slice, in patient space, rounded to what is written."""
    found = []
    for k in np.flatnonzero((inside > 0).any(axis=(1, 2))):
        for outline in find_contours(inside[k], 0.0):  # type: ignore[no-untyped-call]
            rows, columns = outline[:-1].T  # the last point is the first again
            points = geometry.to_points(np.stack([columns, rows, np.full_like(rows, k)], axis=1))
            points[:, :2] = np.round(points[:, :2], CONTOUR_DECIMALS)
            kept = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
            if len(kept) >= 3:
                found.append(kept)
    return tuple(found)


def _inside(contours_mm: tuple[NDArray[np.float64], ...], geometry: Geometry) -> NDArray[np.bool_]:
    """Return the voxels whose centre lies inside an odd number of contours.

    By matplotlib and not by this package's own rasteriser, which the trial is there to test.
    """
    columns, rows, slices = geometry.size
    mask = np.zeros((slices, rows, columns), dtype=bool)
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    for contour in contours_mm:
        index = geometry.to_index(contour)
        hit = Polygon(index[:, :2]).contains_points(centres).reshape(rows, columns)
        mask[round(float(index[0, 2]))] ^= hit
    return mask
