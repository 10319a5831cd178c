"""What every IBSI family looks at: a lesion after interpolation, resegmentation and discretisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box

Measure = TypeVar("Measure", bound="Callable[..., object]")


@dataclass(frozen=True, slots=True, eq=False)
class IbsiLesion:
    """A processed lesion (IBSI 1, chapter 2: interpolated image, morphological and intensity mask, grey levels).

    Attributes
    ----------
    image_zyx : ndarray of float64
        (z, y, x): intensities of the lesion's box and its surroundings, as far as the scan goes: 7 mm at least.
    box : Box
        The lesion's box in `image_zyx`; the arrays below are cut to it.
    spacing_xyz : tuple of float
        Voxel size in mm.
    morphological_zyx : ndarray of bool
        The lesion as drawn (and interpolated).
    intensity_zyx : ndarray of bool
        What resegmentation left of it; not empty.
    levels_zyx : ndarray of int32
        Grey levels, 1 to `n_levels` in the intensity mask, 0 elsewhere.
    n_levels : int
        IBSI's N_g: the highest grey level that occurs, which with a fixed bin number is that number.
    found : dict
        What `once_a_lesion` keeps.
    """

    image_zyx: NDArray[np.float64]
    box: Box
    spacing_xyz: tuple[float, float, float]
    morphological_zyx: NDArray[np.bool_]
    intensity_zyx: NDArray[np.bool_]
    levels_zyx: NDArray[np.int32]
    n_levels: int
    found: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def inside_zyx(self) -> NDArray[np.float64]:
        """The part of `image_zyx` in the lesion's box, where the masks are."""
        return self.image_zyx[self.box.slices_zyx]


def once_a_lesion(measure: Measure) -> Measure:
    """Let a lesion keep what several families or methods of aggregation look at, as long as it lives.

    Parameters
    ----------
    measure : callable
        Of a lesion, and of what tells ways of measuring it apart: whether slices are looked at one by one. What it
        returns is changed by nobody.

    Returns
    -------
    callable
        The same, computed when it is first asked for. A lesion belongs to one thread.
    """

    @wraps(measure)
    def kept(lesion: IbsiLesion, *way: bool) -> object:
        key = (measure, way)
        if key not in lesion.found:
            lesion.found[key] = measure(lesion, *way)
        return lesion.found[key]

    return cast("Measure", kept)
