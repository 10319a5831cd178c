"""Settings: everything that changes a result, validated, hashed, and read from YAML.

What does not change a result (`jobs`, `out`, `progress`) is an argument elsewhere and never found here.
PyRadiomics' settings keep PyRadiomics' own names and layout (``imageType``, ``featureClass``, ``setting``), so a
PyRadiomics parameter file is valid as it is; our own sections stand beside them.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from radiomics_talent.errors import ConfigError
from radiomics_talent.feature_dictionary import pyradiomics_names
from radiomics_talent.ibsi_settings import IbsiSettings
from radiomics_talent.presets import (
    FrozenSettings,
    Positive,
    find_preset,
    known_features,
    read_yaml,
    refuse_unknown,
    settings_sha256,
    validated,
)

if TYPE_CHECKING:
    from pathlib import Path

ImageTypeName = Literal[
    "Original", "LoG", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D", "LBP3D"
]
Interpolator = Literal[
    "sitkNearestNeighbor",
    "sitkLinear",
    "sitkBSpline",
    "sitkGaussian",
    "sitkLabelGaussian",
    "sitkHammingWindowedSinc",
    "sitkCosineWindowedSinc",
    "sitkWelchWindowedSinc",
    "sitkLanczosWindowedSinc",
    "sitkBlackmanWindowedSinc",
]


# fmt: off
class PyRadiomicsSettings(FrozenSettings):
    """PyRadiomics' settings under their own names, with PyRadiomics' defaults.

    The meaning of each is in PyRadiomics' documentation, "Customizing the Extraction"; the same keys may be
    given for one image type alone.
    """

    minimumROIDimensions: int = Field(2, ge=1, le=3, description="Fewest dimensions in which the lesion is larger than one voxel")
    minimumROISize: int | None = Field(None, gt=0, description="The lesion needs more voxels than this, after resampling")
    geometryTolerance: float | None = Field(None, gt=0, description="Accepted in parameter files; here a tenth of a voxel is the tolerance between grids")
    correctMask: bool = Field(default=False, description="Resample a mask of another grid to the image in extract(image, mask, ...); the commands do so anyway, with a warning")
    additionalInfo: bool = Field(default=True, description="Accepted in parameter files; provenance.json is always written")
    label: int = Field(1, gt=0, description="Voxel value of the lesion where neither the row nor the call names one")
    label_channel: int = Field(0, ge=0, description="Channel of a mask with several channels")
    binWidth: Positive = Field(25, description="Width of a grey level in HU (fixed bin width)")
    binCount: int | None = Field(None, gt=0, description="Number of grey levels (fixed bin number); overrides binWidth")
    normalize: bool = Field(default=False, description="Scale the whole image to mean 0 and standard deviation 1 first")
    normalizeScale: Positive = Field(1, description="Factor after normalisation")
    removeOutliers: Positive | None = Field(None, description="Clip normalised values at this many standard deviations")
    resampledPixelSpacing: tuple[Annotated[int | float, Field(ge=0)], ...] | None = Field(None, min_length=3, max_length=3, description="Spacing in mm (x, y, z) to resample to; 0 keeps an axis; null does not resample")
    interpolator: Interpolator | Annotated[int, Field(ge=1, le=10)] | None = Field("sitkBSpline", description="Interpolator of the image; the mask always takes nearest neighbour")
    padDistance: int = Field(5, ge=0, description="Voxels kept around the lesion when resampling, for the filters")
    distances: tuple[Annotated[int, Field(gt=0)], ...] = Field((1,), min_length=1, description="Distances in voxels between neighbours (GLCM, GLDM, NGTDM)")
    force2D: bool = Field(default=False, description="Texture slice by slice")
    force2Ddimension: int = Field(0, ge=0, le=2, description="Axis of the slices: 0 axial, 1 coronal, 2 sagittal")
    resegmentRange: tuple[int | float, ...] | None = Field(None, min_length=1, max_length=2, description="Range of values that stay in the lesion (not for shape)")
    resegmentMode: Literal["absolute", "relative", "sigma"] = Field("absolute", description="How resegmentRange is meant")
    resegmentShape: bool = Field(default=False, description="Use the resegmented lesion for shape too")
    preCrop: bool = Field(default=False, description="Crop to the lesion and padDistance before filtering, without resampling")
    sigma: tuple[Positive, ...] = Field((), description="LoG: filter widths in mm, at least a tenth of a voxel; feature names carry it as it is spelt (log-sigma-1-mm-3D for 1, log-sigma-1-0-mm-3D for 1.0)")
    start_level: int = Field(0, ge=0, description="Wavelet: first level")
    level: int = Field(1, gt=0, description="Wavelet: number of levels")
    wavelet: str = Field("coif1", description="Wavelet: name as PyWavelets has it")
    gradientUseSpacing: bool = Field(default=True, description="Gradient: per mm rather than per voxel")
    lbp2DRadius: Positive = Field(1, description="LBP2D: radius in voxels")
    lbp2DSamples: int = Field(8, ge=1, description="LBP2D: points on the circle")
    lbp2DMethod: Literal["default", "ror", "uniform", "var"] = Field("uniform", description="LBP2D: method as scikit-image has it")
    lbp3DLevels: int = Field(2, ge=1, description="LBP3D: levels of spherical harmonics")
    lbp3DIcosphereRadius: Positive = Field(1, description="LBP3D: radius in voxels")
    lbp3DIcosphereSubdivision: int = Field(1, ge=0, description="LBP3D: subdivisions of the icosphere")
    voxelArrayShift: int = Field(0, description="Added to values before squaring (Energy, TotalEnergy, RootMeanSquared)")
    symmetricalGLCM: bool = Field(default=True, description="GLCM counts both directions")
    weightingNorm: Literal["euclidean", "manhattan", "infinity", "no_weighting"] | None = Field(None, description="Weight of a direction in GLCM and GLRLM; null averages over directions")
    gldm_a: int = Field(0, ge=0, description="GLDM: largest grey-level difference of a dependence")

    # fmt: on

    @field_validator("sigma", "distances", mode="before")
    @classmethod
    def _null_is_default(cls, value: object, info: ValidationInfo) -> object:
        return cls.model_fields[info.field_name or ""].default if value is None else value


# fmt: off
class VoxelSettings(FrozenSettings):
    """PyRadiomics' ``voxelSetting``: for maps (``radiomics-talent map``); without effect on features of a whole lesion."""

    kernelRadius: int = Field(1, gt=0, description="Radius of the moving neighbourhood in voxels")
    maskedKernel: bool = Field(default=True, description="Only voxels of the lesion count in the neighbourhood")
    initValue: float = Field(0, allow_inf_nan=True, description="Value outside the lesion")
    voxelBatch: int | None = Field(None, gt=0, description="Voxels that PyRadiomics works on at once; without effect here")


class GeometrySettings(FrozenSettings):
    """What to do with a CT series whose slices are not a regular, upright stack. The default refuses it."""

    allow_gaps: bool = Field(default=False, description="Interpolate missing slices linearly instead of refusing the series")
    gantry_tilt: Literal["refuse", "resample"] = Field("refuse", description="A tilted gantry: refuse, or resample to upright slices (linear)")
    unequal_spacing: Literal["refuse", "resample"] = Field("refuse", description="Varying slice distance: refuse, or resample to the smallest distance (linear)")


class MaskSettings(FrozenSettings):
    """How a lesion is found in a mask, and when the mask is not believed."""

    roi_names: dict[str, tuple[str, ...]] = Field({}, description="Label of the cohort table: regular expressions for the ROI names it stands for (whole name, any case)")
    components: Literal["keep", "largest", "split"] = Field("keep", description="A lesion of several parts: keep as one, keep the largest, or split into lesions <lesion_id>.1, .2 ... by volume")
    seg_fraction_threshold: float = Field(0.5, gt=0, le=1, description="Fractional DICOM SEG: a voxel belongs to the lesion from this fraction on")
    require_same_patient: bool = Field(default=True, description="Refuse a DICOM mask whose FrameOfReferenceUID or PatientID is not the scan's; false only warns, and places the mask by its coordinates")
    volume_tolerance: float = Field(0.25, gt=0, description="Largest relative difference between an RTSTRUCT's mask and the volume inside its contours")

    # fmt: on

    @field_validator("roi_names")
    @classmethod
    def _patterns_compile(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for label, patterns in value.items():
            for pattern in patterns:
                try:
                    re.compile(pattern)
                except (re.error, OverflowError, RecursionError) as error:
                    raise ValueError(f"{pattern!r} (for {label!r}) is not a regular expression: {error}") from error
        return value


def _original_alone() -> dict[ImageTypeName, PyRadiomicsSettings]:
    return {"Original": PyRadiomicsSettings()}


def _classes_by_default(*, force_2d: bool) -> dict[str, tuple[str, ...] | None]:
    # PyRadiomics enables shape2D too, but only computes it with force2D.
    return {name: None for name in pyradiomics_names() if force_2d or name != "shape2D"}


class ExtractionSettings(FrozenSettings):
    """Everything that changes a feature's value.

    `from_yaml` reads our presets and PyRadiomics parameter files alike; `hash` names the settings in
    provenance and decides whether a run may be resumed.
    """

    # fmt: off
    engine: Literal["native", "reference", "auto"] = Field("native", description="Feature engine: native (compiled loops of our own), reference (PyRadiomics; the same numbers within 1e-9), or auto (whichever is faster and has every image type and setting asked for: native, at present)")
    imageType: dict[ImageTypeName, PyRadiomicsSettings] = Field(default_factory=_original_alone, description="Image types, each with settings that hold for it alone")
    featureClass: dict[str, tuple[str, ...] | None] = Field(default_factory=lambda: _classes_by_default(force_2d=False), description="Feature classes; null or an empty list takes every feature of the class that is not deprecated; shape2D needs force2D: true and lesions drawn on one slice")
    setting: PyRadiomicsSettings = Field(default_factory=PyRadiomicsSettings, description="PyRadiomics' settings")
    voxelSetting: VoxelSettings = Field(default_factory=VoxelSettings, description="For maps alone: see `map`")
    geometry: GeometrySettings = Field(default_factory=GeometrySettings, description="Treatment of irregular CT series")
    mask: MaskSettings = Field(default_factory=MaskSettings, description="Treatment of masks")
    ibsi: IbsiSettings | None = Field(None, description="Image processing and features as IBSI 1 defines them, in place of PyRadiomics' (`imageType`, `featureClass` and `setting` must then be absent); null: PyRadiomics' chain")
    pad_mm: float | None = Field(None, gt=0, description="Without resampling, filter the lesion's box and this margin instead of the whole image; null keeps PyRadiomics' bits")

    # fmt: on

    PRESETS: ClassVar[str] = "extraction"

    @field_validator("imageType", "setting", "voxelSetting", "geometry", "mask", mode="before")
    @classmethod
    def _null_section_is_default(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("imageType", mode="before")
    @classmethod
    def _known_image_types(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        refuse_unknown("image type", value, ImageTypeName.__args__)  # type: ignore[attr-defined]
        return {k: {} if v is None else v for k, v in value.items()} or {"Original": {}}

    @model_validator(mode="before")
    @classmethod
    def _one_chain(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("ibsi") is None:
            return data
        # A run's own record names every setting; what the defaults are cannot be meant.
        unsaid = cls().canonical()
        for name in ("imageType", "featureClass", "setting", "voxelSetting", "pad_mm"):
            if data.get(name) and data[name] != unsaid[name]:
                raise ValueError(f"{name} belongs to PyRadiomics' chain and ibsi to another: give one of the two")
        if data.get("engine") == "reference":
            raise ValueError("PyRadiomics does not compute IBSI's features: leave engine out, or leave ibsi out")
        return data

    @model_validator(mode="before")
    @classmethod
    def _every_class_by_default(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("featureClass"):
            return data
        setting = data.get("setting")
        force_2d = isinstance(setting, dict) and bool(setting.get("force2D"))
        return {**data, "featureClass": _classes_by_default(force_2d=force_2d)}

    @field_validator("featureClass", mode="before")
    @classmethod
    def _known_features(cls, value: object) -> object:
        return known_features(value, pyradiomics_names())

    @model_validator(mode="after")
    def _has_work(self) -> Self:
        if self.pad_mm is not None and self.resamples:
            raise ValueError("pad_mm has no effect when resampledPixelSpacing is set: padDistance (voxels) is the pad then")
        if "LoG" in self.imageType:
            self._refuse_useless_sigma(self.imageType["LoG"].sigma or self.setting.sigma)
        if "Wavelet" in self.imageType:
            own = self.imageType["Wavelet"]
            _refuse_unknown_wavelet(own.wavelet if "wavelet" in own.model_fields_set else self.setting.wavelet)
        return self

    def _refuse_useless_sigma(self, sigma: tuple[float, ...]) -> None:
        if not sigma:
            raise ValueError("image type LoG needs sigma (filter widths in mm), for example LoG: {sigma: [1.0, 3.0]}")
        # Far below a voxel the recursive filter is no Gaussian any more; below a hundredth it is not even finite.
        voxel = max(self.setting.resampledPixelSpacing or (), default=0.0) if self.resamples else 0.0
        least = 0.1 * (voxel or 1.0)
        if min(sigma) < least:
            raise ValueError(f"LoG sigma {min(sigma):g} mm is too narrow for a voxel grid; give at least {least:g} mm")

    @property
    def resamples(self) -> bool:
        """Whether image and mask are resampled before filtering."""
        return self.setting.resampledPixelSpacing is not None and self.setting.interpolator is not None

    @property
    def new_spacing_mm(self) -> tuple[int | float, ...] | None:
        """Voxel spacing (x, y, z) after resampling by whichever chain; 0 keeps an axis; None where voxels stay."""
        if self.ibsi is not None:
            return self.ibsi.interpolation.spacing_mm if self.ibsi.interpolation else None
        return self.setting.resampledPixelSpacing if self.resamples else None

    @property
    def hash(self) -> str:
        """SHA-256 of the settings in canonical JSON: the same for any order of keys, spacing or comments."""
        return settings_sha256(self.canonical())

    def canonical(self) -> dict[str, Any]:
        """Return the settings as plain JSON data, image types with what they override alone."""
        data = self.model_dump(mode="json")
        if self.ibsi is None:  # the hashes of settings that were there before it stay
            del data["ibsi"]
        else:
            data["ibsi"] |= self.ibsi.in_any_order()
        # Order of image types, classes and features is the order of columns, not of meaning: sort_keys drops it.
        data["imageType"] = {k: v.model_dump(mode="json", exclude_unset=True) for k, v in self.imageType.items()}
        data["featureClass"] = {k: v and sorted(set(v)) for k, v in data["featureClass"].items()}
        plain: dict[str, Any] = _numbers_spelt_once(data)
        return plain

    def to_pyradiomics(self) -> dict[str, Any]:
        """Return ``setting``, ``imageType`` and ``featureClass`` as PyRadiomics' extractor takes them."""
        return {
            "setting": self.setting.model_dump(),
            "imageType": {k: v.model_dump(exclude_unset=True) for k, v in self.imageType.items()},
            "featureClass": {k: None if v is None else list(v) for k, v in self.featureClass.items()},
        }

    @classmethod
    def from_yaml(cls, path: str | Path) -> ExtractionSettings:
        """Read a preset by name, or a YAML or JSON file of ours or of PyRadiomics by path.

        Raises
        ------
        ConfigError
            The file is absent, is not YAML, or holds an unknown key or a value out of range.
        """
        file = find_preset(cls.PRESETS, path)
        return validated(cls, read_yaml(file), where=str(path))


def with_engine(settings: ExtractionSettings, engine: str | None) -> ExtractionSettings:
    """Return the settings with another feature engine; with None as they are.

    Raises
    ------
    ConfigError
        There is no such engine.
    """
    if engine is None:
        return settings
    known = ("native", "reference", "auto")
    if engine not in known:
        raise ConfigError(f"--engine {engine}: unknown; give {', '.join(known[:-1])} or {known[-1]}")
    if settings.ibsi is not None and engine == "reference":
        raise ConfigError("--engine reference: PyRadiomics does not compute IBSI's features; leave --engine out")
    return settings.model_copy(update={"engine": engine})


def _refuse_unknown_wavelet(name: str) -> None:
    try:
        import pywt  # noqa: PLC0415  # comes with PyRadiomics, and takes a while
    except ImportError:
        return
    try:
        pywt.Wavelet(name)
    except ValueError as error:
        near = difflib.get_close_matches(name, pywt.wavelist(kind="discrete"), n=1)
        hint = f"did you mean {near[0]}?" if near else "PyWavelets knows haar, db1-db38, sym2-sym20, coif1-coif17, ..."
        raise ValueError(f"unknown wavelet {name!r}; {hint}") from error


def _numbers_spelt_once(data: Any) -> Any:
    """Write whole numbers without a decimal point, at any depth: 25 and 25.0 are the same setting."""
    if isinstance(data, dict):
        # PyRadiomics writes sigma into feature names as it is spelt, so 1 and 1.0 give other columns.
        return {k: v if k == "sigma" else _numbers_spelt_once(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_numbers_spelt_once(v) for v in data]
    return int(data) if isinstance(data, float) and data.is_integer() else data
