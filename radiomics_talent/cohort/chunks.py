"""A cohort in chunks, each for a run of its own: many machines may then extract it without knowing of each other."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from radiomics_talent.cohort.manifest import CohortTable

__all__ = ["chunk_of", "parse_chunk"]

_CHUNK = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


def parse_chunk(text: str) -> tuple[int, int]:
    """Read which chunk is meant.

    Parameters
    ----------
    text : str
        ``3/8``: the third of eight.

    Returns
    -------
    number, of : int
        Which chunk, the first being 1, and how many there are.

    Raises
    ------
    ConfigError
        It is written in another way, or there is no such chunk.
    """
    match = _CHUNK.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"--chunk is {text!r}; give the chunk and how many there are, as 3/8")
    number, of = int(match[1]), int(match[2])
    _refuse_absent(number, of)
    return number, of


def chunk_of(cohort: CohortTable, number: int, of: int) -> CohortTable:
    """Return the rows of one chunk of a cohort.

    Scans go, in the order of their first rows, each to the chunk that has the fewest lesions so far. Two chunks thus
    differ by no more lesions than the largest scan has, and scans added at the end of a table leave those before
    where they were. Time grows with the rows, times the logarithm of the number of chunks.

    Parameters
    ----------
    cohort : CohortTable
        The whole cohort.
    number : int
        Which chunk; the first is 1.
    of : int
        How many chunks there are. There may be more than scans: some chunks are then empty.

    Returns
    -------
    CohortTable
        Its lesions with their row numbers, in the order of the table; path and findings are the cohort's. All lesions
        of a scan are in one chunk.

    Raises
    ------
    ConfigError
        There is no such chunk.
    """
    _refuse_absent(number, of)
    sizes = Counter(lesion.scan_key for lesion in cohort.lesions)  # in the order of first rows
    dealt = [(0, chunk) for chunk in range(1, of + 1)]
    mine = set()
    for scan, size in sizes.items():
        lesions, chunk = dealt[0]
        heapq.heapreplace(dealt, (lesions + size, chunk))
        if chunk == number:
            mine.add(scan)
    return replace(cohort, lesions=tuple(lesion for lesion in cohort.lesions if lesion.scan_key in mine))


def _refuse_absent(number: int, of: int) -> None:
    if not 1 <= number <= of:
        known = f"chunks are numbered from 1 to {of}" if of > 0 else "there must be at least one chunk"
        raise ConfigError(f"--chunk is {number}/{of}; {known}")
