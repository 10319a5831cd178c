"""Which part of a mask file a row means: its label against the names that are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from radiomics_talent.settings import MaskSettings

_MOST_LISTED = 40


@dataclass(frozen=True, slots=True)
class Label:
    """One thing that a mask file holds.

    Attributes
    ----------
    key : str
        What the reader needs: ROI name, segment number or voxel value.
    name : str
        Another name for it (SegmentLabel, the name in a .seg.nrrd file), or empty.
    """

    key: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.key} ({self.name})" if self.name and self.name != self.key else self.key


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a label there is."""

    voxels: int
    volume_ml: float

    def __str__(self) -> str:
        return f"{self.voxels} voxels, {self.volume_ml:.3g} ml"


def find_label(
    wanted: str,
    labels: Sequence[Label],
    settings: MaskSettings,
    *,
    where: str,
    measure: Callable[[Label], Amount | None],
) -> Label | Finding:
    """Return the label that a row means, or the finding that says why it cannot be told.

    Parameters
    ----------
    wanted : str
        The row's label; empty means the only one there.
    labels : sequence of Label
        What the mask holds.
    settings : MaskSettings
        `roi_names` maps a label to patterns of names.
    where : str
        Mask file, for the finding.
    measure : callable
        Gives the amount of a label, for the list in the finding.
    """
    if not labels:
        return Finding("mask-empty", "the mask holds no label at all; draw the lesion again, or remove the row", where)
    found = _candidates(wanted, labels, settings)
    if len(found) == 1:
        return found[0]
    asked = f"label {wanted!r}" if wanted else "an empty label"
    if found:
        fits = "fits several" if wanted else "is not enough where there are several"
        sentence = f"{asked} {fits}: {_listed(found, measure)}; fill the column label (score: --label)"
        return Finding("label-ambiguous", sentence, where)
    sentence = f"{asked} is not in the mask, which holds {_listed(labels, measure)}; give one of these"
    return Finding("label-absent", sentence, where)


def _candidates(wanted: str, labels: Sequence[Label], settings: MaskSettings) -> list[Label]:
    if not wanted:
        patterns = [p for group in settings.roi_names.values() for p in group]
        mapped = _matching(patterns, labels) if len(labels) > 1 else []
        return mapped or list(labels)
    plain = _number_text(wanted)
    for accepts in (
        lambda label: wanted == label.key,
        lambda label: wanted == label.name,
        lambda label: plain == label.key,
        lambda label: wanted.casefold().strip() in {label.key.casefold().strip(), label.name.casefold().strip()},
    ):
        found = [label for label in labels if accepts(label)]
        if found:
            return found
    return _matching(settings.roi_names.get(wanted, ()), labels)


def _matching(patterns: Sequence[str], labels: Sequence[Label]) -> list[Label]:
    def fits(text: str) -> bool:
        return bool(text) and any(re.fullmatch(p, text.strip(), re.IGNORECASE) for p in patterns)

    return [label for label in labels if fits(label.key) or fits(label.name)]


def _number_text(text: str) -> str:
    """Return ``1`` for ``1.0`` and ``1,0``, which spreadsheet programs make of it."""
    match = re.fullmatch(r"\+?0*(\d+)(?:[.,]0+)?", text)
    return match[1] if match else text


def _listed(labels: Sequence[Label], measure: Callable[[Label], Amount | None]) -> str:
    parts = []
    for label in labels[:_MOST_LISTED]:
        amount = measure(label)
        parts.append(f"{label}: {amount}" if amount else f"{label}: no voxel")
    rest = len(labels) - _MOST_LISTED
    return "; ".join(parts) + (f"; and {rest} more" if rest > 0 else "")
