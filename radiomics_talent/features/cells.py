"""Cells of a CSV file that a spreadsheet program would run as a formula."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")


def escape_cell(text: str) -> str:
    """Return the text so that no spreadsheet program runs it as a formula; numbers stay as they are."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # the csv module leaves a lone \r without quotes
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unescape_cell(text: str) -> str:
    """Undo `escape_cell`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text
