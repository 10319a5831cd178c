"""What changes a lesion's grey levels and texture matrices, in one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TextureSettings:
    """PyRadiomics' settings of one image type, those that texture and first-order features look at.

    Attributes
    ----------
    bin_width : float
        Width of a grey level; `bin_count`, where given, overrides it.
    bin_count : int or None
        Number of grey levels.
    distances : tuple of int
        Infinity-norm distances of neighbours in voxels (GLCM, GLDM, NGTDM).
    force_2d : bool
        Matrices within slices alone.
    force_2d_dimension : int
        Axis of a (z, y, x) array that slices are counted along.
    symmetrical_glcm : bool
        GLCM counts both directions.
    weighting_norm : str or None
        'euclidean', 'manhattan', 'infinity' or 'no_weighting': directions are merged with weights; None averages.
    gldm_a : int
        Largest difference of grey levels that is a dependence.
    voxel_array_shift : int
        Added to values before they are squared.
    """

    bin_width: float = 25
    bin_count: int | None = None
    distances: tuple[int, ...] = (1,)
    force_2d: bool = False
    force_2d_dimension: int = 0
    symmetrical_glcm: bool = True
    weighting_norm: str | None = None
    gldm_a: int = 0
    voxel_array_shift: int = 0

    @classmethod
    def of(cls, setting: Mapping[str, Any]) -> TextureSettings:
        """Return the settings of an image type from a mapping with PyRadiomics' names."""
        return cls(
            bin_width=setting["binWidth"],
            bin_count=setting["binCount"],
            distances=tuple(setting["distances"]),
            force_2d=setting["force2D"],
            force_2d_dimension=setting["force2Ddimension"],
            symmetrical_glcm=setting["symmetricalGLCM"],
            weighting_norm=setting["weightingNorm"],
            gldm_a=setting["gldm_a"],
            voxel_array_shift=setting["voxelArrayShift"],
        )
