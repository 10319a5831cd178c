"""Settings of the IBSI chain: image processing and features as IBSI 1 defines them, in place of PyRadiomics'."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from radiomics_talent.feature_dictionary import Aggregation, ibsi_names
from radiomics_talent.presets import FrozenSettings, Positive, known_features


# fmt: off
class InterpolationSettings(FrozenSettings):
    """Another voxel spacing, for image and mask (IBSI VTM2)."""

    spacing_mm: tuple[Annotated[int | float, Field(ge=0)], ...] = Field(min_length=3, max_length=3, description="Voxel spacing in mm (x, y, z) after interpolation; 0 keeps that of the scan, so that [2, 2, 0] interpolates slice by slice")
    grid: Literal["centre", "corner"] = Field("centre", description="Which points of the old and the new grid are one: the grids' centres (IBSI 3WE3) or their first corners (as PyRadiomics)")
    interpolator: Literal["linear", "cubic-spline", "nearest"] = Field("linear", description="Interpolation of the image")
    mask_interpolator: Literal["linear", "nearest"] = Field("linear", description="Interpolation of the mask")
    mask_threshold: float = Field(0.5, gt=0, le=1, description="A voxel belongs to the lesion from this fraction of the interpolated mask on (IBSI E8H9)")
    round_hu: bool = Field(default=True, description="Round interpolated intensities to whole HU (IBSI 68QD)")


class ResegmentationSettings(FrozenSettings):
    """Which voxels of the lesion count for intensities and texture; morphology keeps the lesion as drawn (IBSI IF9H)."""

    range_hu: tuple[int | float | None, ...] | None = Field(None, min_length=2, max_length=2, description="Lowest and highest intensity that count (IBSI USB3), or null at one end")
    outliers_sd: Positive | None = Field(None, description="Leave out intensities more than this many standard deviations from the lesion's mean (IBSI 7ACA); 3 in IBSI's configurations")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.range_hu or (None, None)
        if low is not None and high is not None and low >= high:
            raise ValueError(f"range_hu goes from low to high (got {low:g} to {high:g})")
        return self


class DiscretisationSettings(FrozenSettings):
    """Grey levels (IBSI 4R0B): of a fixed width, or a fixed number of them."""

    bin_width: Positive | None = Field(None, description="Width of a grey level in HU (fixed bin size, IBSI Q3RU)")
    lowest_hu: int | float | None = Field(None, description="Where level 1 begins; null: at the lower end of resegmentation.range_hu. Never the lesion's own minimum, which would give each lesion other levels")
    bin_count: int | None = Field(None, gt=0, le=2**16, description="Number of grey levels (fixed bin number, IBSI K15C)")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.bin_width is None) == (self.bin_count is None):
            raise ValueError("give bin_width (fixed bin size) or bin_count (fixed bin number), one of the two")
        if self.bin_count is not None and self.lowest_hu is not None:
            raise ValueError("lowest_hu belongs to bin_width; a fixed bin number begins at the lesion's own minimum")
        return self


class IbsiSettings(FrozenSettings):
    """The IBSI 1 chain. In place of PyRadiomics' settings: `imageType`, `featureClass` and `setting` have no effect on it."""

    interpolation: InterpolationSettings | None = Field(None, description="Interpolation of image and mask; null: voxels as they are")
    resegmentation: ResegmentationSettings = Field(default_factory=ResegmentationSettings, description="Which intensities count")
    discretisation: DiscretisationSettings | None = Field(None, description="Grey levels of histogram and texture; null: intensities are grey levels, which must be whole numbers from 1 on")
    ivh_discretisation: DiscretisationSettings | None = Field(None, description="Levels of the intensity-volume histogram; null: every whole intensity is one (for HU)")
    aggregation: tuple[Aggregation, ...] = Field(("3D_avg",), min_length=1, description="How matrices are merged (GLCM, GLRLM): 2D_avg averaged over slices and directions (BTW3), 2D_comb merged in each slice (SUJT), 2_5D_avg merged by direction (JJUI), 2_5D_comb all slices and directions merged (ZW7Z), 3D_avg averaged over directions (ITBB), 3D_comb merged (IAZD); the other matrices are 2D, 2.5D or 3D accordingly")
    features: dict[str, tuple[str, ...] | None] | None = Field(None, description="Feature classes, each with its features or null for all of them; null: every class. `radiomics-talent features` lists them")
    minimum_voxels: int = Field(1, ge=1, description="Fewest voxels of a lesion after interpolation and resegmentation")

    # fmt: on

    @field_validator("resegmentation", mode="before")
    @classmethod
    def _null_is_default(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("features", mode="before")
    @classmethod
    def _known_features(cls, value: object) -> object:
        return known_features(value, ibsi_names()) or None

    @model_validator(mode="after")
    def _levels_begin_somewhere(self) -> Self:
        for name in ("discretisation", "ivh_discretisation"):
            levels: DiscretisationSettings | None = getattr(self, name)
            if levels is not None and levels.bin_width is not None and self.lowest_of(levels) is None:
                raise ValueError(
                    f"{name}.bin_width needs a lower bound that is the same for every lesion: give "
                    f"resegmentation.range_hu or {name}.lowest_hu"
                )
        return self

    def lowest_of(self, levels: DiscretisationSettings) -> float | None:
        """Return where the levels of a fixed width begin, in HU; None where nothing says so."""
        if levels.lowest_hu is not None:
            return float(levels.lowest_hu)
        lowest = (self.resegmentation.range_hu or (None,))[0]
        return None if lowest is None else float(lowest)

    def in_any_order(self) -> dict[str, Any]:
        """Return, sorted and each once, what is listed: its order is that of columns, not of meaning."""
        chosen = {name: names and sorted(set(names)) for name, names in (self.features or {}).items()}
        return {"features": chosen or None, "aggregation": sorted(set(self.aggregation))}

    @property
    def plane_aggregation(self) -> tuple[str, ...]:
        """The same for matrices without directions (GLSZM, GLDZM, NGTDM, NGLDM): '2D', '2_5D', '3D'."""
        return tuple(dict.fromkeys(name.rsplit("_", 1)[0] for name in self.aggregation))
