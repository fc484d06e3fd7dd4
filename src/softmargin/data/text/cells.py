"""Cells of text tables: numbers, booleans, and words that look like numbers to a person."""

import re
from collections.abc import Sequence

from softmargin.data.labels import UNKNOWN

__all__ = [
    "BLANKS", "TRUTH", "ambiguous", "clue", "is_boolean", "is_number", "is_number_with_comma", "looks_numeric",
]  # fmt: skip

BLANKS = " \t"
TRUTH = {"true": "1", "false": "0"}
"""Booleans (in lower case) as numbers."""

_SIGN = r"[-+\u2212]?"
_SPACES = r" \u00a0\u202f"
_GROUPED = rf"\d{{1,3}}(?:[,.'’{_SPACES}]\d{{3}})+(?:[.,]\d+)?"
_PLAIN = r"(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][-+]?\d+)?"
_CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY)"
_LOOKS = re.compile(
    rf"\(?{_SIGN}{_CURRENCY}?[{_SPACES}]*{_SIGN}(?:{_GROUPED}|{_PLAIN})[{_SPACES}]*(?:%|‰|{_CURRENCY})?\)?"
)
_COMMA = re.compile(rf"{_SIGN}(?:\d+,\d*|,\d+|\d+)(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(rf"{_SIGN}[1-9]\d{{0,2}}(?:(?:,\d{{3}})+|(?:\.\d{{3}})+)")
_UNDER_A_THOUSAND = re.compile(rf"{_SIGN}(?:0|[1-9]\d{{0,2}})")
_MINUS = "\u2212"


def is_number(cell: str) -> bool:
    """Return whether a cell is a number with a decimal point, as Python reads it (without underscores)."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def is_number_with_comma(cell: str) -> bool:
    """Return whether a cell is a number with a decimal comma, or a whole number."""
    return _COMMA.fullmatch(cell.strip()) is not None


def is_thousands(cell: str) -> bool:
    """Return whether the commas or points of a cell may separate thousands, as in ``1,234``."""
    return _THOUSANDS.fullmatch(cell.strip()) is not None


def ambiguous(cells: Sequence[str], mark: str) -> tuple[str, str] | None:
    """Return a decimal number and a whole one if the marks of a column may separate thousands, else None.

    This is so if each number with the mark has three digits after it and no zero before it, and all others are
    whole numbers below 1,000, at least one of three digits. In a column of decimals, they would be of three digits
    randomly.
    """
    marked = [cell for cell in cells if mark in cell]
    others = [cell for cell in cells if mark not in cell]
    whole = next((cell for cell in others if len(cell.lstrip("-+")) == 3), None)
    if not marked or whole is None or not all(map(is_thousands, marked)):
        return None
    return (marked[0], whole) if all(map(_UNDER_A_THOUSAND.fullmatch, others)) else None


def is_boolean(cell: str) -> bool:
    """Return whether a cell is ``true`` or ``false``, in any case."""
    return cell.strip().lower() in TRUTH


def is_unknown(cell: str) -> bool:
    """Return whether a cell is a mark of a missing value, such as ``NA``."""
    return cell.strip().lower() in UNKNOWN


def looks_numeric(cell: str) -> bool:
    """Return whether a person reads a cell as a number: also ``1,5``, ``1 234``, ``12 %`` and ``$3``."""
    return is_number(cell) or _LOOKS.fullmatch(cell.strip()) is not None


def clue(cell: str, mark: str = ".") -> str:
    """Return what may be wrong with a cell that is not a number with this decimal mark, or ""."""
    if is_unknown(cell):
        return "; missing values are not imputed, so fill them in or leave them out" if cell.strip() else ""
    if not looks_numeric(cell):
        return ""
    if _MINUS in cell:
        return "; write the minus sign as '-' (U+002D), not as U+2212"
    other, name = (".", "point") if mark == "," else (",", "comma")
    if other in cell and is_thousands(cell):
        return (
            f'; if the {name} is the decimal mark, give decimal="{other}" (--decimal {other}); if it separates '
            f"thousands, write the numbers without it"
        )
    if mark == "," and is_number(cell):
        return '; if the point is the decimal mark, give decimal="." (--decimal .)'
    if is_number_with_comma(cell):
        return '; if the comma is the decimal mark, give decimal="," (--decimal ,)'
    return "; write numbers without thousands separators, currency and percent signs"
