"""Reads and moves the interactive parts of a page in the browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.browser import Browser

LEARN = Path(__file__).parents[2] / "docs" / "learn"
LOSSES = {"Hinge": "hinge", "Squared hinge": "squared_hinge", "Cross-entropy": "cross_entropy"}


def stored(name: str) -> Any:
    """Return a file of ``docs/learn/data``."""
    return json.loads((LEARN / "data" / f"{name}.json").read_text("utf-8"))


class Part:
    """One interactive part: the ``place``-th of its name on the page that is open."""

    def __init__(self, browser: Browser, name: str, place: int = 0) -> None:
        self.browser = browser
        self.root = f"document.querySelectorAll('.widget[data-widget=\"{name}\"]')[{place}]"

    def run(self, code: str) -> Any:
        """Return the value of an expression in which ``part`` is the element."""
        return self.browser.run(f"(part => {code})({self.root})")

    def value(self, name: str) -> float:
        """Return a number that the part shows, unrounded."""
        return float(self.run(f"part.querySelector('[data-id=\"{name}\"]').value"))

    def text(self, selector: str) -> str:
        return str(self.run(f"part.querySelector({selector!r}).textContent"))

    def slide(self, place: int, value: float) -> None:
        """Move a slider, as a user does."""
        self.run(f"(e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); return 1; }})"
                 f"(part.querySelectorAll('input[type=range]')[{place}])")  # fmt: skip

    def choose(self, place: int, option: int) -> None:
        self.run(f"(e => {{ e.value = {option}; e.dispatchEvent(new Event('change')); return 1; }})"
                 f"(part.querySelectorAll('select')[{place}])")  # fmt: skip

    def press(self, label: str) -> None:
        """Press the button with this text."""
        found = self.run(f"(e => {{ if (e) e.click(); return !!e; }})"
                         f"([...part.querySelectorAll('button')].find(e => e.textContent === {label!r}))")  # fmt: skip
        assert found, f"there is no button {label!r}"
