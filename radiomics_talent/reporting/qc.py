"""The page of ``check --html``: every lesion in three slices with its contour and what was found about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from radiomics_talent.findings import CATALOGUE
from radiomics_talent.reporting.figures import WINDOW_HU
from radiomics_talent.reporting.html import render_page
from radiomics_talent.reporting.lesion_pictures import Picture, lesion_pictures

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import SimpleITK as sitk

    from radiomics_talent.findings import Finding

LEVELS = ("error", "warning", "ok")
"""Order of the page: what needs somebody to act comes first."""


@dataclass(frozen=True, slots=True, eq=False)
class QcEntry:
    """One lesion of the page.

    Parameters
    ----------
    lesion_key : str
        ``patient_id/lesion_id``.
    level : {'ok', 'info', 'warning', 'error'}
        Verdict on the lesion.
    findings : tuple of Finding
        What was found.
    image, mask : SimpleITK.Image or None
        Scan in HU, and lesion (not 0) on its grid; without both there is no picture.
    """

    lesion_key: str
    level: Literal["ok", "info", "warning", "error"]
    findings: tuple[Finding, ...]
    image: sitk.Image | None = None
    mask: sitk.Image | None = None


@dataclass(frozen=True, slots=True)
class _Card:
    """What the page keeps of an entry: no voxels."""

    key: str
    level: str
    findings: tuple[Finding, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class _CodeRow:
    code: str
    level: str
    lesions: int
    meaning: str
    remedy: str


def write_qc_html(entries: Iterable[QcEntry], path: Path, *, title: str) -> None:
    """Write one self-contained page with every lesion.

    Entries are used one by one and their voxels let go at once, so an iterator that loads scan after scan needs
    the memory of one.

    Parameters
    ----------
    entries : iterable of QcEntry
        The lesions; errors and then warnings come first on the page, else their order stays.
    path : Path
        Page to write.
    title : str
        Heading of the page.
    """
    cards = [_card(entry) for entry in entries]
    cards.sort(key=lambda card: LEVELS.index(card.level))
    width, level = WINDOW_HU[1] - WINDOW_HU[0], sum(WINDOW_HU) / 2
    render_page(
        "qc.html.j2",
        path,
        title=title,
        cards=cards,
        counts={name: sum(card.level == name for card in cards) for name in LEVELS},
        codes=_codes(cards),
        window=f"W {width:.0f} L {level:.0f} HU",
    )


def _card(entry: QcEntry) -> _Card:
    level = "ok" if entry.level == "info" else entry.level
    order = {"error": 0, "warning": 1, "info": 2}
    findings = tuple(sorted(entry.findings, key=lambda f: order[f.level]))
    pictures: tuple[Picture, ...] = ()
    if entry.image is not None and entry.mask is not None:
        pictures = lesion_pictures(entry.lesion_key, entry.image, entry.mask)
    return _Card(entry.lesion_key, level, findings, pictures)


def _codes(cards: list[_Card]) -> list[_CodeRow]:
    """Return each code found with the number of its lesions, gravest first."""
    levels: dict[str, str] = {}
    lesions: Counter[str] = Counter()
    rank = {"error": 0, "warning": 1, "info": 2}
    for card in cards:
        lesions.update({finding.code for finding in card.findings})
        for finding in card.findings:
            worst = levels.setdefault(finding.code, finding.level)
            if rank[finding.level] < rank[worst]:
                levels[finding.code] = finding.level
    rows = [
        _CodeRow(code, levels[code], n, CATALOGUE[code].meaning, CATALOGUE[code].remedy) for code, n in lesions.items()
    ]
    return sorted(rows, key=lambda row: (rank[row.level], -row.lesions, row.code))
