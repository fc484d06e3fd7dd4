"""The rule for error messages: one sentence on one line that names the problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from softmargin.errors import DataError, SoftmarginError


def one_sentence(message: object, *words: str) -> str:
    """Check that a message is one sentence on one line and contains these words."""
    text = str(message)
    for word in words:
        assert word in text, (word, text)
    assert text.isprintable(), text
    assert text.endswith("."), text
    return text


def refused(call: Callable[[], Any], *words: str, error: type[SoftmarginError] = DataError) -> str:
    """Check that a call raises an error whose message is one sentence with these words."""
    with pytest.raises(error) as caught:
        call()
    return one_sentence(caught.value, *words)
