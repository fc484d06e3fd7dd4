"""Calls the function to check and reads its result: a value, a gradient, or both."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softmargin.text import printable, truncate
from softmargin.textbook.problems import Problem

__all__ = ["LAYOUTS", "Answer", "Asker", "CallFailed", "Layout", "size_rule"]

Array = npt.NDArray[Any]


class CallFailed(Exception):
    """The function failed, or returned something else than a loss and a gradient; the text is a clause."""

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(name)
        self.name, self.advice = name, advice


class Layout(NamedTuple):
    """Which arguments the function expects transposed, and whether its gradient is."""

    W: bool = False
    X: bool = False
    gradient: bool = False


LAYOUTS = (Layout(), Layout(W=True, X=True), Layout(W=True), Layout(X=True))
"""Layouts to try, the textbook's first."""


class Answer(NamedTuple):
    """What the function returned, None for what it did not return; the gradient is (D, C)."""

    value: float | None
    gradient: Array | None


class Asker:
    """Calls a function with copies of the arguments, and records the arguments that it modified."""

    def __init__(self, function: Callable[..., Any], layout: Layout = LAYOUTS[0]) -> None:
        self.function, self.layout = function, layout
        self.modified: set[str] = set()
        self.transposed = False
        """Whether a gradient had the shape of the transposed W."""

    def __call__(self, problem: Problem, reg: float) -> Answer:
        """Return the answer for a problem.

        Raises
        ------
        CallFailed
            If the function raises an exception or returns anything else than a loss, a gradient or both.
        """
        given = {
            "W": np.array(problem.W.T if self.layout.W else problem.W, order="C"),
            "X": np.array(problem.X.T if self.layout.X else problem.X, order="C"),
            "y": problem.y.copy(),
        }
        kept = {name: array.copy() for name, array in given.items()}
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                answer = self._read(self.function(*given.values(), reg), given["W"].shape)
        except CallFailed:
            raise
        except (Exception, SystemExit) as error:
            raise CallFailed(f"raises {type(error).__name__} ({_words(error)})", "") from error
        self.modified |= {name for name in given if not np.array_equal(given[name], kept[name])}
        return answer

    def _read(self, result: Any, shape: tuple[int, ...]) -> Answer:
        if isinstance(result, (tuple, list)) and len(result) == 2:
            return Answer(_value(result[0]), self._gradient(result[1], shape))
        if np.ndim(result) == 2 and np.size(result) > 1:
            return Answer(None, self._gradient(result, shape))
        return Answer(_value(result), None)

    def _gradient(self, result: Any, shape: tuple[int, ...]) -> Array | None:
        if result is None:
            return None
        found = np.array(result, dtype=np.float64)
        if found.shape not in (shape, shape[::-1]):
            advice = f"It must have the shape of W, {shape}."
            raise CallFailed(f"returns a gradient of shape {found.shape}", advice)
        if found.shape != shape:
            self.transposed = True
            found = found.T
        return found.T if self.layout.W else found


def _value(result: Any) -> float | None:
    if result is None:
        raise CallFailed("returns None as the loss", "Return the loss, or the loss and its gradient.")
    found = np.array(result, dtype=np.float64)
    if found.size != 1:
        advice = "The loss is one number: the mean over the samples plus the penalty."
        raise CallFailed(f"returns an array of shape {found.shape} as the loss", advice)
    return float(found.item())


def _words(error: BaseException) -> str:
    """Return the message of an exception, which may be of the function's own kind and have none."""
    try:
        return truncate(printable(error), 120).rstrip(".")
    except Exception:
        return "without a readable message"


def size_rule(failed: Iterable[Problem], succeeded: Iterable[Problem]) -> str:
    """Return what holds for N, D and C exactly where the function failed, such as D > C, as a sentence, or ""."""
    names = "NDC"
    bad, good = [p.sizes for p in failed], [p.sizes for p in succeeded]
    for i, j in ((1, 2), (2, 1), (0, 1), (1, 0), (0, 2), (2, 0)):
        if all(sizes[i] > sizes[j] for sizes in bad) and not any(sizes[i] > sizes[j] for sizes in good):
            return f"This happens if {names[i]} > {names[j]}: {names[i]} and {names[j]} are confused."
    for i, name in enumerate(names):
        if len({sizes[i] for sizes in good}) == 1 and good[0][i] not in {sizes[i] for sizes in bad}:
            return f"This happens unless {name} = {good[0][i]}: that number must not be fixed."
    return ""
