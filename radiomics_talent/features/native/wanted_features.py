"""Which features of a shape class are computed, and what PyRadiomics says about it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def choose_features(
    wanted: Collection[str] | None, usual: tuple[str, ...], deprecated: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose features as PyRadiomics' ``enableFeatureByName`` does.

    Parameters
    ----------
    wanted : collection of str or None
        Names, in the order wanted; None or none takes the usual ones.
    usual, deprecated : tuple of str
        Names of the class: those computed when none is named, and those computed only when named.

    Returns
    -------
    names : tuple of str
        What to compute, each once.
    warnings : tuple of str
        PyRadiomics' warning for every deprecated one.

    Raises
    ------
    LookupError
        If the class has no such feature.
    """
    if not wanted:
        return usual, ()
    known = (*usual, *deprecated)
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise LookupError(f"Feature not found: {name}; {f'the nearest is {near[0]}' if near else 'see the list'}")
    warnings = tuple(f"Feature {name} is deprecated, use with caution!" for name in wanted if name in deprecated)
    return tuple(dict.fromkeys(wanted)), warnings
