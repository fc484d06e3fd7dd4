"""Cells of text tables: numbers, booleans, and words that look like numbers to a person."""

import re

__all__ = ["BLANKS", "TRUTH", "clue", "is_boolean", "is_number", "is_number_with_comma", "looks_numeric"]

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
_THOUSANDS = re.compile(rf"{_SIGN}[1-9]\d{{0,2}}(?:,\d{{3}})+")
_UNKNOWN = frozenset(("", "na", "n/a", "#n/a", "<na>", "null", "none", "?", "-", "--", ".", "missing"))
"""What is written (in lower case) where a number is missing; ``nan`` is a number."""


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
    """Return whether the commas of a cell may separate thousands, as in ``1,234``."""
    return _THOUSANDS.fullmatch(cell.strip()) is not None


def is_boolean(cell: str) -> bool:
    """Return whether a cell is ``true`` or ``false``, in any case."""
    return cell.strip().lower() in TRUTH


def is_unknown(cell: str) -> bool:
    """Return whether a cell is a mark of a missing value, such as ``NA``."""
    return cell.strip().lower() in _UNKNOWN


def looks_numeric(cell: str) -> bool:
    """Return whether a person reads a cell as a number: also ``1,5``, ``1 234``, ``12 %`` and ``$3``."""
    return is_number(cell) or _LOOKS.fullmatch(cell.strip()) is not None


def clue(cell: str, mark: str = ".") -> str:
    """Return what may be wrong with a cell that is not a number with this decimal mark, or ""."""
    if is_unknown(cell):
        return "; missing values are not imputed, so fill them in or leave them out" if cell.strip() else ""
    if not looks_numeric(cell):
        return ""
    if mark == "," and is_number(cell):
        return '; if the point is the decimal mark, give decimal="." (--decimal .)'
    if is_number_with_comma(cell):
        return '; if the comma is the decimal mark, give decimal="," (--decimal ,)'
    return "; write numbers without thousands separators, currency and percent signs"
