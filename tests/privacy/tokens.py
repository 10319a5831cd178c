"""Values that occur nowhere else: one for each place they are planted in, legal for their VR, and found again anywhere.

Text holds `ZQX` and nine letters or digits, a date lies after 1801, a number near 1e17 or above 2e9, a UID under a root
of its own: whatever looks like one of these in an output is looked up here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import date, timedelta

UID_ROOT = "2.25.91739173"
_FIRST_DAY = date(1801, 1, 1)
_WORD = re.compile(r"ZQX[A-Z2-7]{9}", re.IGNORECASE)
_UID = re.compile(re.escape(UID_ROOT) + r"\d{10}")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])", re.IGNORECASE)
_DAY = re.compile(r"(?<!\d)(18\d\d)([-/.]?)([01]\d)\2([0-3]\d)(?!\d{3})")
_DAY_FIRST = re.compile(r"(?<!\d)([0-3]\d)([-/.])([01]\d)\2(18\d\d)(?!\d)")
_CLOCK = re.compile(r"(?<!\d)0?3:?17:?22\.9(\d{5})")
_AGE = re.compile(r"\b9\d\dW\b")
_TAG = re.compile(r"(?<!\w)\(?9abc,? ?([0-9a-f]{4})\)?(?!\w)", re.IGNORECASE)
_DIGEST = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-f])", re.IGNORECASE)
_WITHOUT_KEY = frozenset({"PatientID", "PatientName"})
"""A digest without a key is found by trying out every PatientID, so it is as good as the PatientID."""
_LARGE = 1e16


@dataclass
class Tokens:
    """What was planted where; `find` reads it back.

    Attributes
    ----------
    places : dict of str to str
        Token in its canonical spelling -> where it was planted.
    """

    places: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def _next(self, kind: str) -> int:
        self._counts[kind] = self._counts.get(kind, -1) + 1
        return self._counts[kind]

    def _keep(self, token: str, place: str) -> None:
        assert self.places.setdefault(token, place) == place, f"{token} stands for {self.places[token]} and {place}"

    def text(self, place: str, which: object = "") -> str:
        """Return 12 characters that any text VR takes, CS among them; of PatientID and -Name know digests as well."""
        letters = base64.b32encode(hashlib.sha256(f"{place}/{which}".encode()).digest()).decode()
        token = f"ZQX{letters[:9]}"
        self._keep(token, place)
        for make in (hashlib.md5, hashlib.sha1, hashlib.sha256) if place in _WITHOUT_KEY else ():
            self._keep(make(token.encode()).hexdigest(), place)
        return token

    def day(self, place: str) -> str:
        """Return a day as DA."""
        token = f"{_FIRST_DAY + timedelta(days=self._next('day')):%Y%m%d}"
        self._keep(token, place)
        return token

    def clock(self, place: str) -> str:
        """Return a time of the day as TM."""
        number = self._next("clock")
        self._keep(f"clock {number:05d}", place)
        return f"031722.9{number:05d}"

    def age(self, place: str) -> str:
        """Return an age as AS."""
        token = f"{987 - self._next('age')}W"
        self._keep(token, place)
        return token

    def uid(self, place: str, which: object = "") -> str:
        """Return a UID."""
        digits = int.from_bytes(hashlib.sha256(f"{place}/{which}".encode()).digest()[:8], "big") % 10**10
        token = f"{UID_ROOT}{digits:010d}"
        self._keep(token, place)
        return token

    def tag(self, place: str) -> int:
        """Return an attribute tag as AT."""
        number = self._next("tag")
        self._keep(f"tag {number:04x}", place)
        return 0x9ABC0000 + number

    def large(self, place: str) -> int:
        """Return a number near 1e17 that six digits tell from all others, as 32-bit floats keep seven."""
        value = 10**17 + self._next("large") * 10**12
        self._keep(f"{value:.5e}", place)
        return value

    def integer(self, place: str, first: int = 2_000_000_011) -> int:
        """Return a whole number of nine digits or more (`first` for VRs of fewer bits)."""
        value = first + self._next(f"integer {first}")
        self._keep(str(value), place)
        return value

    def find(self, text: str) -> set[str]:
        """Return the places whose values stand in a text."""
        words = {w.upper() for w in _WORD.findall(text)} | set(_UID.findall(text)) | set(_AGE.findall(text))
        words |= {w.lower() for w in _DIGEST.findall(text)}
        words |= {f"{y}{m}{d}" for y, _, m, d in _DAY.findall(text)}
        words |= {f"{y}{m}{d}" for d, _, m, y in _DAY_FIRST.findall(text)}
        words |= {f"clock {n}" for n in _CLOCK.findall(text)} | {f"tag {n.lower()}" for n in _TAG.findall(text)}
        words |= {_canonical(n) for n in set(_NUMBER.findall(text))}
        return {self.places[w] for w in words & self.places.keys()}


def _canonical(number: str) -> str:
    value = float(number)
    if abs(value) > _LARGE:
        return f"{value:.5e}"
    return str(int(value)) if value.is_integer() else number
