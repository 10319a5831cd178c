"""PyRadiomics' image types, each computed on a lesion's box alone with the numbers of the whole image.

How much of the image a filter needs differs: its neighbours (Gradient, Wavelet), many sigmas around the box (LoG), its
largest value (Square to Exponential), or the spline of all of it (LBP3D).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import ExtractionError
from radiomics_talent.imaging.local_binary_patterns import local_binary_patterns
from radiomics_talent.imaging.recursive_gaussian import FEWEST_VOXELS, REACH_SIGMAS, laplacian_of_gaussian
from radiomics_talent.imaging.spherical_patterns import spherical_patterns
from radiomics_talent.imaging.wavelet import wavelet_bands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box

_NOTHING, _LITTLE = 1e-9, 1e-4
"""LoG below the first share of the image's largest value may be rounding error alone; below the second, rounding may
show in its last bits where the image is constant, or where all of the lesion is like that (a linear ramp)."""

_CUBE = np.indices((3, 3, 3)).reshape(3, -1).T - 1
"""Offsets (z, y, x) to a voxel's neighbours and itself."""


@dataclass(frozen=True, slots=True, eq=False)
class FilteredImage:
    """A filtered image on a lesion's box.

    Attributes
    ----------
    name : str
        As PyRadiomics names it: 'original', 'log-sigma-1-0-mm-3D', 'wavelet-LLH', ...
    values_zyx : ndarray, shape of the box (z, y, x)
        In the type that PyRadiomics' image has.
    """

    name: str
    values_zyx: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """An image's voxels and spacing, and the lesion in it."""

    voxels_zyx: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    box: Box
    mask_zyx: NDArray[np.bool_]

    @property
    def size(self) -> tuple[int, int, int]:
        z, y, x = self.voxels_zyx.shape
        return x, y, z

    def inside(self) -> NDArray[Any]:
        return np.array(self.voxels_zyx[self.box.slices_zyx])

    def around(self, margins: tuple[int, int, int]) -> _Scan:
        region = self.box.padded(margins, self.size)
        return _Scan(self.voxels_zyx[region.slices_zyx], self.spacing_mm, self.box.seen_from(region), self.mask_zyx)


def filtered_images(
    image: sitk.Image,
    mask_zyx: NDArray[np.bool_],
    box: Box,
    image_type: str,
    setting: Mapping[str, Any],
    *,
    pad_mm: float | None = None,
    warn: Callable[[str], None],
) -> Iterator[FilteredImage]:
    """Compute the images of one image type on a lesion's box.

    Parameters
    ----------
    image : SimpleITK.Image
        The prepared image, 3D: a lesion and its pad, or a whole scan.
    mask_zyx : ndarray of bool, shape of `box` (z, y, x)
        The lesion. Only LBP3D is limited to it (and is 0 elsewhere).
    box : Box
        Where the lesion lies in `image`.
    image_type : str
        'Original', 'LoG', 'Wavelet', 'Square', 'SquareRoot', 'Logarithm', 'Exponential', 'Gradient', 'LBP2D' or
        'LBP3D'.
    setting : mapping
        Under PyRadiomics' names: the settings, and over them those of this image type alone.
    pad_mm : float, optional
        Take the box and this margin in mm for the whole image in LoG, Square to Exponential and LBP.
    warn : callable
        Gets the sentences that PyRadiomics would log as warnings.

    Yields
    ------
    FilteredImage
        In PyRadiomics' order: one a sigma (LoG), a band (Wavelet), a degree and the kurtosis (LBP3D), else one.

    Raises
    ------
    ExtractionError
        There is no such image type, or its settings are not possible.

    Notes
    -----
    ``get<image_type>Image`` of PyRadiomics' ``imageoperations`` on the whole image gives the same bits. Where LoG and
    LBP3D look at a part of a scan, a voxel differs in its last bit with a chance of less than one in a million.
    """
    if image_type not in _FILTERS:
        raise ExtractionError(f"there is no image type {image_type!r}; known are {', '.join(_FILTERS)}")
    scan = _Scan(sitk.GetArrayViewFromImage(image), image.GetSpacing(), box, mask_zyx)
    if pad_mm is not None and image_type not in {"Original", "Gradient", "Wavelet"}:
        x, y, z = (math.ceil(pad_mm / spacing) for spacing in scan.spacing_mm)
        scan = scan.around((x, y, z))
    try:
        yield from _FILTERS[image_type](scan, setting, warn)
    except ValueError as error:
        raise ExtractionError(f"image type {image_type}: {error}") from error


def _original(scan: _Scan, setting: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[FilteredImage]:
    del setting, warn
    yield FilteredImage("original", scan.inside())


def _log(scan: _Scan, setting: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[FilteredImage]:
    size, spacing = np.array(scan.size), np.array(scan.spacing_mm)
    if size.min() < FEWEST_VOXELS:
        warn(f"Image too small to apply LoG filter, size: {size}")
        return
    # A recursive filter carries a voxel that is NaN or infinite all over the image.
    whole = np.issubdtype(scan.voxels_zyx.dtype, np.inexact) and not np.isfinite(_largest(scan.voxels_zyx))
    for sigma in setting["sigma"]:
        if not sigma > 0.0:
            warn(f"applyLoG: sigma must be greater than 0.0: {sigma:g}")
        elif np.any(size < np.ceil(sigma / spacing) + 1):
            warn(
                f"applyLoG: sigma({sigma:g})/spacing({spacing}) + 1 must be greater than the size({size}) "
                "of the inputImage"
            )
        else:
            yield FilteredImage(
                f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D", _laplacian(scan, sigma, whole=bool(whole))
            )


def _laplacian(scan: _Scan, sigma_mm: float, *, whole: bool) -> NDArray[np.float32]:
    """Filter as much of the image as gives the bits of the whole, and the whole where no part would do."""
    margins = [math.ceil(REACH_SIGMAS * sigma_mm / spacing) + FEWEST_VOXELS for spacing in scan.spacing_mm]
    near = scan.box.padded((margins[0], margins[1], margins[2]), scan.size)
    if near.size != scan.size and not whole:
        values = laplacian_of_gaussian(scan.voxels_zyx, scan.spacing_mm, sigma_mm, scan.box, within=near)
        if not _rounding_shows(values, scan, _largest(scan.voxels_zyx[near.slices_zyx])):
            return values
    return laplacian_of_gaussian(scan.voxels_zyx, scan.spacing_mm, sigma_mm, scan.box)


def _rounding_shows(values: NDArray[np.float32], scan: _Scan, largest: np.float64) -> bool:
    """Whether a part of the image may give other bits than the whole: its sign decides a grey level where all is 0."""
    little = (np.abs(values) <= _LITTLE * largest) & scan.mask_zyx
    if np.array_equal(little, scan.mask_zyx) or np.any(np.abs(values[little]) <= _NOTHING * largest):
        return True
    places = np.argwhere(little) + scan.box.lower[::-1]
    around = np.clip(places[:, None, :] + _CUBE[None, :, :], 0, np.array(scan.voxels_zyx.shape) - 1)
    blocks = scan.voxels_zyx[tuple(np.moveaxis(around, 2, 0))]
    return bool(np.any(np.all(blocks == blocks[:, :1], axis=1)))


def _wavelet(scan: _Scan, setting: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[FilteredImage]:
    del warn
    axes = [axis for axis in (2, 1, 0) if not (setting["force2D"] and axis == setting["force2Ddimension"])]
    bands = wavelet_bands(
        scan.voxels_zyx,
        scan.box,
        setting["wavelet"],
        level=setting["level"],
        start_level=setting["start_level"],
        axes=axes,
    )
    for level, name, values in bands:
        yield FilteredImage(f"wavelet{level if level > 1 else ''}-{name}", values)


def _square(values: NDArray[np.float64], largest: np.float64) -> NDArray[np.float64]:
    return np.asarray((1 / np.sqrt(largest) * values) ** 2)


def _square_root(values: NDArray[np.float64], largest: np.float64) -> NDArray[np.float64]:
    return np.copysign(np.sqrt(np.abs(values) * largest), values)


def _logarithm(values: NDArray[np.float64], largest: np.float64) -> NDArray[np.float64]:
    return np.asarray(np.copysign(np.log(np.abs(values) + 1), values) * (largest / np.log(largest + 1)))


def _exponential(values: NDArray[np.float64], largest: np.float64) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.log(largest) / largest * values))


_SCALED = {"square": _square, "squareroot": _square_root, "logarithm": _logarithm, "exponential": _exponential}


def _scaled(name: str) -> Callable[[_Scan, Mapping[str, Any], Callable[[str], None]], Iterator[FilteredImage]]:
    """Return the filter that takes values to others on the scale of the whole image's largest value."""

    def scaled(scan: _Scan, setting: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[FilteredImage]:
        del setting, warn
        with np.errstate(all="ignore"):  # an image of zeros alone gives NaN
            values = _SCALED[name](scan.inside().astype(np.float64), _largest(scan.voxels_zyx))
        yield FilteredImage(name, values)

    return scaled


def _largest(voxels: NDArray[Any]) -> np.float64:
    """Return the largest magnitude, without a copy of the image."""
    ends = np.array([voxels.max(), voxels.min()], dtype=np.float64)
    return np.float64(np.abs(ends).max())


def _gradient(scan: _Scan, setting: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[FilteredImage]:
    """Magnitude of the gradient by central differences, as ITK's ``GradientMagnitudeImageFilter``."""
    del warn
    near = scan.around((1, 1, 1))
    ends = zip(near.box.lower[::-1], near.box.upper[::-1], near.size[::-1], strict=True)
    voxels = np.pad(near.voxels_zyx.astype(np.float64), [(1 - low, 1 + up - n) for low, up, n in ends], "edge")
    total = np.zeros(scan.mask_zyx.shape)
    for axis, spacing in zip((2, 1, 0), scan.spacing_mm, strict=True):
        weight = 0.5 * (1.0 / spacing) if setting["gradientUseSpacing"] else 0.5
        ahead, behind = (
            voxels[tuple(moved if a == axis else slice(1, -1) for a in range(3))]
            for moved in (slice(2, None), slice(None, -2))
        )
        slope = ahead * weight - behind * weight
        total += slope * slope
    yield FilteredImage("gradient", np.sqrt(total).astype(np.float32))


def _lbp_2d(scan: _Scan, setting: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[FilteredImage]:
    if not setting["force2D"]:
        warn("Calculating Local Binary Pattern in 2D, but extracting features in 3D. Use with caution!")
    patterns = local_binary_patterns(
        scan.voxels_zyx,
        scan.box,
        axis=setting["force2Ddimension"],
        radius=setting["lbp2DRadius"],
        samples=setting["lbp2DSamples"],
        method=setting["lbp2DMethod"],
    )
    yield FilteredImage("lbp-2D", patterns)


def _lbp_3d(scan: _Scan, setting: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[FilteredImage]:
    if setting["force2D"]:
        warn("Calculating Local Binary Pattern in 3D, but extracting features in 2D. Use with caution!")
    patterns = spherical_patterns(
        scan.voxels_zyx,
        scan.mask_zyx,
        scan.box,
        levels=setting["lbp3DLevels"],
        radius=setting["lbp3DIcosphereRadius"],
        subdivision=setting["lbp3DIcosphereSubdivision"],
    )
    for name, values in patterns:
        yield FilteredImage(f"lbp-3D-{name}", values)


_FILTERS = {
    "Original": _original,
    "LoG": _log,
    "Wavelet": _wavelet,
    "Square": _scaled("square"),
    "SquareRoot": _scaled("squareroot"),
    "Logarithm": _scaled("logarithm"),
    "Exponential": _scaled("exponential"),
    "Gradient": _gradient,
    "LBP2D": _lbp_2d,
    "LBP3D": _lbp_3d,
}
