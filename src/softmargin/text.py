"""Text that messages share, and the JSON form of records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from typing import Any, Self

from softmargin.errors import ParameterError

__all__ = ["Phrase", "from_json", "pluralize", "printable", "quoted", "some_of", "to_json", "truncate"]


class Phrase(str):
    """An English text that keeps its template and values, so that it can be written in another language.

    Parameters
    ----------
    template : str
        With {0}, {1}, … for the values.
    *values : str
        Phrases among them are translated, too; other strings, such as names and numbers, are not.
    """

    template: str
    values: tuple[str, ...]

    def __new__(cls, template: str, *values: str) -> Self:
        """Return the English text."""
        made = super().__new__(cls, template.format(*values) if values else template)
        made.template, made.values = template, values
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the class and its arguments, for copies."""
        return type(self), (self.template, *self.values)

    @classmethod
    def joined(cls, separator: str, parts: Iterable[str]) -> str:
        """Return the parts with a separator between them, "" if there are none."""
        found = list(parts)
        return reduce(lambda text, part: cls(f"{{0}}{separator}{{1}}", text, part), found) if found else ""

    def translated(self, words: Mapping[str, str]) -> str:
        """Return the text with the templates that ``words`` translates; others stay in English."""
        values = [value.translated(words) if isinstance(value, Phrase) else value for value in self.values]
        template = words.get(self.template, self.template)
        return template.format(*values) if values else template


def printable(value: object) -> str:
    """Return a name or label as text on one line, with unprintable characters escaped; of a phrase, its values."""
    if isinstance(value, Phrase):
        return Phrase(value.template, *map(printable, value.values))
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(value: object) -> str:
    """Return a name or label as `printable` text in quotation marks; unlike `repr`, it keeps backslashes."""
    text = printable(value)
    mark = '"' if "'" in text and '"' not in text else "'"
    return f"{mark}{text}{mark}"


def truncate(text: str, length: int = 60) -> str:
    """Return at most ``length`` characters; a longer text ends with "…"."""
    return text if len(text) <= length else text[: length - 1] + "…"


def some_of(names: Sequence[Any], most: int, show: Callable[[Any], str] = printable) -> str:
    """Return the first ``most`` names and the number of the others; a single other one is shown, too."""
    n_shown = most if len(names) > most + 1 else len(names)
    shown = Phrase.joined(", ", map(show, names[:n_shown]))
    return Phrase("{0}, … ({1} more)", shown, f"{len(names) - n_shown:,}") if len(names) > n_shown else shown


def pluralize(n: int, one: str, many: str = "") -> str:
    """Return ``1 file`` or ``3 files``."""
    return Phrase(f"{{0}} {one if n == 1 else many or one + 's'}", f"{n:,}")


def to_json(value: Any, not_finite: Callable[[float], str | None]) -> Any:
    """Return a record as JSON values: dicts, lists, strings, numbers, booleans and None.

    Parameters
    ----------
    value : object
        Dataclasses become dicts; tuples and arrays become lists.
    not_finite : callable
        Returns the replacement of NaN and infinity, which JSON does not have.

    Raises
    ------
    ParameterError
        If the record contains any other type.
    """
    if hasattr(value, "tolist"):  # NumPy values, without importing NumPy
        value = value.tolist()
    if is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item, not_finite) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item, not_finite) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return not_finite(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ParameterError(f"A record must contain only JSON values, got {type(value).__name__}.")


def from_json(kind: type[Any], record: dict[str, Any]) -> Any:
    """Return a dataclass of this kind from its JSON values; None stands for a number that is not finite."""
    values = {f.name: record[f.name] for f in fields(kind)}
    return kind(**{name: math.nan if value is None else value for name, value in values.items()})
