"""The languages of pages: English texts, and a dictionary for each other language."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from softmargin.arguments import check_choice
from softmargin.text import Phrase

__all__ = ["LANGUAGES", "dictionary", "say", "translations"]

LANGUAGES = {"en": "en", "zh": "zh-CN"}
"""The names of the languages, each with that of the HTML attribute ``lang``."""


@cache
def dictionary(language: str) -> Mapping[str, str]:
    """Return the translation of each English template of a page; it is empty for English.

    Raises
    ------
    ParameterError
        For another language.
    """
    check_choice("language", language, tuple(LANGUAGES))
    if language == "en":
        return {}
    found: dict[str, str] = json.loads(
        (files("softmargin.report") / "page" / f"{language}.json").read_text("utf-8")
    )
    return found


def say(text: str, words: Mapping[str, str]) -> str:
    """Return a text in the language of a dictionary; only a phrase can be translated."""
    return text.translated(words) if isinstance(text, Phrase) else text


def translations(record: Any, words: Mapping[str, str], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place in a record and the translation of each phrase that differs from its English text.

    The place is a path such as ``headline.answers.0.1``.
    """
    if isinstance(record, (dict, list)):
        for key, value in record.items() if isinstance(record, dict) else enumerate(record):
            yield from translations(value, words, f"{path}.{key}" if path else str(key))
    elif isinstance(record, Phrase) and (text := record.translated(words)) != record:
        yield path, text.replace(" %", "\N{NO-BREAK SPACE}%")
