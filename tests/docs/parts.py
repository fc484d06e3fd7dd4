"""Reads and moves the interactive parts of a page in the browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.browser import Browser

LEARN = Path(__file__).parents[2] / "docs" / "learn"
EXAMPLE_W = np.array([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0, -0.45, -0.2, 0.03]])
EXAMPLE_X, EXAMPLE_B = np.array([-15.0, 22.0, -44.0, 56.0]), np.array([0.0, 0.2, -0.3])
LOSSES = {"Hinge": "hinge", "Squared hinge": "squared_hinge", "Cross-entropy": "cross_entropy"}


def stored(name: str) -> Any:
    """Return a file of ``docs/learn/data``."""
    return json.loads((LEARN / "data" / f"{name}.json").read_text("utf-8"))


def value(loss: Any, scores: list[float], y: int = 0) -> float:
    """Return the loss of one row of scores."""
    return float(loss.values(np.array([scores], float), np.array([y]))[0])


def gradient(loss: Any, scores: list[float], y: int = 0) -> np.ndarray:
    """Return its gradient."""
    return loss.gradient(np.array([scores], float), np.array([y]))[0]


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

    def shown(self) -> dict[str, float]:
        """Return all numbers that the part shows, by name."""
        found = self.run("[...part.querySelectorAll('data.shown')].map(e => [e.dataset.id, e.value])")
        return {name: float(value.replace("Infinity", "inf")) for name, value in found}

    def type(self, place: int, value: float) -> None:
        """Write a number into a field."""
        self.run(f"(e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); return 1; }})"
                 f"(part.querySelectorAll('input[type=number]')[{place}])")  # fmt: skip

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
