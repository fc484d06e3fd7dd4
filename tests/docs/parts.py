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
        self._set("input[type=range]", place, value, "input")

    def choose(self, place: int, option: int) -> None:
        self._set("select", place, option, "change")

    def _set(self, selector: str, place: int, value: float, event: str) -> None:
        change = f"e.value = {value}; e.dispatchEvent(new Event('{event}')); return 1;"
        self.run(f"(e => {{ {change} }})(part.querySelectorAll('{selector}')[{place}])")

    def press(self, label: str) -> None:
        """Press the button with this text."""
        button = f"[...part.querySelectorAll('button')].find(e => e.textContent === {label!r})"
        found = self.run(f"(e => {{ if (e) e.click(); return !!e; }})({button})")
        assert found, f"there is no button {label!r}"
