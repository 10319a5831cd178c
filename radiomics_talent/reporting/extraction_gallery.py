"""The gallery of an extraction's page: every lesion as it was computed from, with what was found about it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from radiomics_talent.cohort.case import inspect_case, inspect_scan, split_parts
from radiomics_talent.extraction.provenance import mask_sha256
from radiomics_talent.reporting.lesion_pictures import lesion_pictures
from radiomics_talent.reporting.viewer import viewer_volume, volume_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markupsafe import Markup

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.findings import Finding
    from radiomics_talent.reporting.lesion_pictures import Picture
    from radiomics_talent.settings import ExtractionSettings

_LOG = logging.getLogger(__name__)
LEVELS = ("failed", "error", "warning", "ok")
"""Order of the gallery: what needs somebody to act comes first."""
MOST_VOLUME_BYTES = 100_000_000
"""Together the viewers' volumes hold no more; a browser still opens such a page at once."""
_RANK = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class GalleryCard:
    """What the page keeps of a lesion: no voxels but the viewer's.

    Attributes
    ----------
    key, level : str
        ``patient_id/lesion_id``, and one of 'failed', 'error', 'warning', 'ok'.
    findings : tuple of dict
        Code, level and sentence of each, as the run recorded them, gravest first.
    remark : str
        Why there is no picture, or what is to be known about it.
    pictures : tuple of Picture
        Axial, coronal and sagittal; empty where the lesion cannot be shown.
    volume : Markup or None
        JSON for the viewer; None where the picture stands still.
    """

    key: str
    level: str
    findings: tuple[dict[str, str], ...]
    remark: str = ""
    pictures: tuple[Picture, ...] = ()
    volume: Markup | None = None


@dataclass(slots=True)
class _Budget:
    """Which lesions get a viewer: the first of the gallery, as long as the page stays openable."""

    keys: frozenset[str]
    bytes_left: int = MOST_VOLUME_BYTES
    refused: list[str] = field(default_factory=list)

    def volume(self, key: str, case: Case) -> Markup | None:
        if key not in self.keys:
            return None
        text = volume_json(viewer_volume(case.image, case.mask))
        if len(text) > self.bytes_left:
            self.refused.append(key)
            return None
        self.bytes_left -= len(text)
        return text


def make_gallery(
    records: Sequence[dict[str, Any]],
    cohort: CohortTable | None,
    settings: ExtractionSettings,
    *,
    viewers: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[GalleryCard]:
    """Make a card of every lesion of a run; scans are read one by one.

    Parameters
    ----------
    records : sequence of dict
        ``lesions`` of provenance.json.
    cohort : CohortTable or None
        Where the scans are; None leaves the cards without pictures.
    settings : ExtractionSettings
        The run's, by which masks are read.
    viewers : int
        Most lesions with a viewer; the gravest come first.
    progress : callable, optional
        Called with the number of lesions done and their total.

    Returns
    -------
    list of GalleryCard
        Failed lesions first, then by their worst finding, else in the order of the cohort.
    """
    ordered = sorted(records, key=lambda r: LEVELS.index(_level(r)))
    budget = _Budget(frozenset(_key(r) for r in ordered[:viewers]))
    wanted = {_key(r): r for r in ordered}
    cards: dict[str, GalleryCard] = {}
    for lesion, cases, reason in _cases(cohort, settings):
        for case in cases:
            key = case.lesion.key
            if key in wanted:
                cards[key] = _pictured(wanted[key], case, budget)
        for key in _keys_of(lesion, wanted):
            cards.setdefault(key, _bare(wanted[key], reason))
        if progress:
            progress(min(len(cards), len(ordered)), len(ordered))
    missing = "No picture: the cohort table has no such row any more." if cohort else ""
    return [cards.get(_key(r)) or _bare(r, missing) for r in ordered]


def _cases(cohort: CohortTable | None, settings: ExtractionSettings) -> Iterator[tuple[Lesion, tuple[Case, ...], str]]:
    """Yield each row with its lesions (several when the settings split them), or why there is none."""
    for lesions in cohort.scans() if cohort else ():
        try:
            findings, scan = inspect_scan(lesions[0], settings)
        except Exception as error:  # noqa: BLE001  # a picture less, not the whole page
            findings, scan = (), None
            _LOG.debug("unexpected error", exc_info=error)
        for lesion in lesions:
            if scan is None:
                yield lesion, (), _reason("scan", findings)
                continue
            try:
                found, case = inspect_case(lesion, settings, scan=scan)
                split = settings.mask.components == "split"
                cases = () if case is None else split_parts(case) if split else (case,)
            except Exception as error:  # noqa: BLE001  # likewise
                found, cases = (), ()
                _LOG.debug("unexpected error", exc_info=error)
            yield lesion, cases, _reason("lesion", found)


def _reason(what: str, findings: Sequence[Finding]) -> str:
    first = next((f for f in findings if f.is_error), None)
    # Without the path: it is the researcher's own, and the page may be passed on.
    return f"No picture: the {what} cannot be shown{': ' + first.sentence if first else ''}."


def _pictured(record: dict[str, Any], case: Case, budget: _Budget) -> GalleryCard:
    key = _key(record)
    pictures = lesion_pictures(key, case.image, case.mask)
    remark = ""
    if "mask_sha256" in record and record["mask_sha256"] != mask_sha256(case.voxels):
        remark = "The mask has changed since the extraction: this is not the lesion that the features are of."
    volume = budget.volume(key, case)
    if key in budget.refused:
        remark = f"{remark} Still pictures only: the page is full.".strip()
    return GalleryCard(key, _level(record), _findings(record), remark, pictures, volume)


def _bare(record: dict[str, Any], remark: str) -> GalleryCard:
    return GalleryCard(_key(record), _level(record), _findings(record), remark)


def _keys_of(lesion: Lesion, wanted: dict[str, dict[str, Any]]) -> list[str]:
    """Return the records that come from a row: itself, or its parts."""
    if lesion.key in wanted:
        return [lesion.key]
    start = f"{lesion.key}."
    return [key for key in wanted if key.startswith(start) and key.removeprefix(start).isdigit()]


def _key(record: dict[str, Any]) -> str:
    return f"{record['patient_id']}/{record['lesion_id']}"


def _level(record: dict[str, Any]) -> str:
    if record.get("status") == "failed":
        return "failed"
    levels = {f["level"] for f in record.get("findings", ())}
    return "error" if "error" in levels else "warning" if "warning" in levels else "ok"


def _findings(record: dict[str, Any]) -> tuple[dict[str, str], ...]:
    found = sorted(record.get("findings", ()), key=lambda f: _RANK.get(f["level"], 3))
    if record.get("failure"):
        found.insert(0, {"code": record.get("stage", "failed"), "level": "error", "sentence": record["failure"]})
    return tuple(found)
