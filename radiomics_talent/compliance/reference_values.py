"""The consensus values of IBSI 1: reading a table of them, and deciding whether a number agrees with one.

The table that comes along has the values that the IBSI published (Zwanenburg et al., Radiology 2020;295:328, and its
reference manual v11) for the digital phantom and configurations A, C and D.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COLUMNS = ("config", "feature_family", "feature", "ibsi_code", "aggregation", "reference_value", "tolerance")
"""What a table of reference values has; further columns are passed over."""
_DIGITS = 3
"""IBSI gives its values to three significant digits."""


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A consensus value.

    Attributes
    ----------
    config : str
        'digital', 'A' to 'E'.
    feature_family, feature, ibsi_code, aggregation : str
        As IBSI names them; the aggregation is empty where there is none ('2D_avg', '2_5D', '3D', ...).
    value, tolerance : float or None
        None where IBSI reached no consensus.
    digits : int
        Significant digits that the value is given to.
    """

    config: str
    feature_family: str
    feature: str
    ibsi_code: str
    aggregation: str
    value: float | None
    tolerance: float | None
    digits: int = _DIGITS

    def agrees(self, ours: float) -> bool:
        """Tell whether a value of ours, rounded to the digits of the reference, is within its tolerance."""
        if self.value is None or self.tolerance is None or not math.isfinite(ours):
            return False
        rounded = float(f"{ours:.{self.digits - 1}e}")
        # Differences of decimal numbers carry rounding of their own.
        return abs(rounded - self.value) <= self.tolerance + 1e-9 * abs(self.value)


def load_reference_values(path: Path | None) -> tuple[ReferenceValue, ...]:
    """Read a table of reference values.

    Parameters
    ----------
    path : Path or None
        CSV with the columns `COLUMNS`; None reads the table that comes with this package: the digital phantom and
        configurations A, C and D.

    Raises
    ------
    ConfigError
        The file cannot be read, a column is missing or a value is no number.
    """
    if path is None:
        text = resources.files("radiomics_talent").joinpath("compliance/ibsi1.csv").read_text(encoding="utf-8")
        return _parsed(text.splitlines(), "the table of this package")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read as a CSV in UTF-8: {error}", where=str(path)) from error
    return _parsed(text.splitlines(), str(path))


def _parsed(lines: Iterable[str], where: str) -> tuple[ReferenceValue, ...]:
    reader = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(
            f"no column {', '.join(missing)}; a table of IBSI values has {', '.join(COLUMNS)}", where=where
        )
    return tuple(_value(row, f"{where}, line {reader.line_num}") for row in reader)


def _value(row: dict[str, str], where: str) -> ReferenceValue:
    value, tolerance = (_number(row, name, where) for name in ("reference_value", "tolerance"))
    return ReferenceValue(
        config=row["config"].strip(),
        feature_family=row["feature_family"].strip(),
        feature=row["feature"].strip(),
        ibsi_code=row["ibsi_code"].strip(),
        aggregation=row["aggregation"].strip(),
        value=value,
        tolerance=None if value is None else tolerance or 0.0,
        digits=_significant_digits(row["reference_value"]),
    )


def _number(row: dict[str, str], name: str, where: str) -> float | None:
    text = (row[name] or "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise ConfigError(f"{name} is {text!r}, which is not a number", where=where) from error
    if not math.isfinite(number):
        raise ConfigError(f"{name} is {text}; leave it empty where there is no consensus", where=where)
    return number


def _significant_digits(text: str) -> int:
    """Count the digits of a number as it is written, without zeros that only place it; at least three."""
    mantissa = text.strip().lower().split("e")[0].lstrip("+-")
    digits = mantissa.replace(".", "").lstrip("0")
    return max(_DIGITS, len(digits) if "." in mantissa else len(digits.rstrip("0")))
