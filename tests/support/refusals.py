"""The rule for every refusal: one sentence on one line that names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from softmargin.errors import DataError, SoftmarginError


def one_sentence(message: object, *words: str) -> str:
    """Hold a message against the rule: one sentence, on one line, with these words in it."""
    text = str(message)
    for word in words:
        assert word in text, (word, text)
    assert text.isprintable(), text
    assert text.endswith("."), text
    return text


def refused(call: Callable[[], Any], *words: str, error: type[SoftmarginError] = DataError) -> str:
    """Hold a call against the rule: it raises one sentence with these words in it."""
    with pytest.raises(error) as caught:
        call()
    return one_sentence(caught.value, *words)
