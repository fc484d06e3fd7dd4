"""Compares a loss function with the textbook, part by part, and names the mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softmargin.errors import ParameterError
from softmargin.textbook.asking import LAYOUTS, Answer, Asker, CallFailed, size_rule
from softmargin.textbook.judging import Judge
from softmargin.textbook.mistakes import OTHER_LOSSES
from softmargin.textbook.problems import DELTAS, REGS, Problem, problems
from softmargin.textbook.report import TITLES, CheckReport, Mistake

__all__ = ["check"]

_USUAL = 10
"""Number of classes of the usual data sets of courses."""
_CALL = "It is called with W (D, C), X (N, D), y (N,) and reg, in this order."


def check(function: Callable[..., Any], loss: str | None = None, *, delta: float = 1.0) -> CheckReport:
    """Check a loss or gradient function against the textbook, and name its mistakes.

    The function is called as ``function(W, X, y, reg)`` with W (D, C), X (N, D), y (N,) and a float. It returns
    the loss, the gradient (D, C), or both as ``(loss, gradient)``. The objective is

        F(W) = (1/N) Σ_i L(x_i W, y_i)  +  reg · Σ_dc W_dc²

    The data loss and the penalty are checked separately, and so are their gradients. Each is compared with a
    catalogue of wrong variants on six small random problems in which N, D and C differ. A gradient is compared
    with central differences of the textbook's value and of the function's own value.

    Parameters
    ----------
    function : callable
        It is called with float64 arrays, which are copies: about 50 times if it is correct, at most 1,000 times.
    loss : {"hinge", "squared_hinge", "cross_entropy"}, optional
        The loss that the function should compute; by default the one that explains it with the fewest mistakes.
    delta : float, default 1.0
        Margin Δ of the hinge losses, from 1e-3 to 1e4: beyond, rounding errors would look like mistakes.

    Returns
    -------
    CheckReport
        With ``passed``, ``mistakes``, ``parts`` and ``notes``; ``str(report)`` is a text to read.

    Raises
    ------
    ParameterError
        If an argument is invalid. An exception in the function is a mistake in the report.

    Notes
    -----
    Values must agree to a relative 1e-9 and gradients to 1e-6. A part that agrees to 1e-4 only is accepted as
    computed in single precision, with a note.

    Examples
    --------
    >>> import numpy as np
    >>> from softmargin.textbook import check
    >>> def svm_loss(W, X, y, reg):
    ...     S = X @ W
    ...     rows = np.arange(len(X))
    ...     return np.maximum(0, S - S[rows, y][:, None] + 1).sum() / len(X) + reg * (W * W).sum()
    >>> report = check(svm_loss, "hinge")
    >>> report.passed
    False
    >>> report.mistakes[0].sentence
    'The function counts the target class.'
    """
    if not callable(function):
        raise ParameterError(f"function must be callable, got {type(function).__name__}.")
    if loss is not None and loss not in TITLES:
        raise ParameterError(f"loss must be one of {', '.join(TITLES)}, got {loss!r}.")
    if not (isinstance(delta, (int, float)) and DELTAS[0] <= delta <= DELTAS[1]):
        raise ParameterError(f"delta must be a number from {DELTAS[0]:g} to {DELTAS[1]:g}, got {delta!r}.")
    name = getattr(function, "__name__", type(function).__name__)
    asker, given, mistakes = _readable(function, problems(float(delta)))
    if not given:
        ten = _readable(function, problems(float(delta), _USUAL))
        if not ten[2] or ten[2][-1].name.startswith("expects"):
            asker, given, mistakes = ten
            advice = "The number of classes is the number of columns of W."
            mistakes.insert(0, Mistake("call", f"works for {_USUAL} classes only", advice))
    if not given:
        return CheckReport(name, loss or "hinge", (), tuple(mistakes), ())
    answers = [[asker(problem, reg) for problem in given] for reg in REGS]
    mistakes += _calls(asker, given[0], answers[1][0])
    judges = [Judge(asker, given, each, float(delta)) for each in ([loss] if loss else TITLES)]
    for judge in judges:
        judge.judge(answers)
    best = min(judges, key=_distance)
    if any(mistake.name.startswith("raises") for mistake in mistakes):  # unknown reasons follow from the failures
        best.mistakes = [mistake for mistake in best.mistakes if mistake.name]
    if loss is None:
        best.notes.insert(0, f"No loss was given; it was compared as the {TITLES[best.loss]}, which fits best.")
    return CheckReport(name, best.loss, tuple(best.parts), (*mistakes, *best.mistakes), tuple(best.notes))


def _distance(judge: Judge) -> tuple[int, int, int]:
    """Return how far a function is from a loss: first parts without explanation, then parts of another loss."""
    names = [mistake.name for mistake in judge.mistakes]
    return names.count(""), sum(name in OTHER_LOSSES for name in names), len(names)


def _readable(
    function: Callable[..., Any], given: Sequence[Problem]
) -> tuple[Asker, Sequence[Problem], list[Mistake]]:
    """Return a caller in the layout that the function accepts, the problems that it can solve, and mistakes."""
    askers = [Asker(function, layout) for layout in LAYOUTS]
    failures = [_failures(asker, given) for asker in askers]
    best = min(range(len(LAYOUTS)), key=lambda k: len(failures[k]))
    asker, failed = askers[best], failures[best]
    solved = [p for k, p in enumerate(given) if k not in failed]
    mistakes = []
    if not solved:
        asker, failed = askers[0], failures[0]
    shapes = [
        f"{name} as {shape}" for name, shape in (("W", "(C, D)"), ("X", "(D, N)")) if getattr(asker.layout, name)
    ]
    if shapes:
        advice = "Here W is (D, C) and X is (N, D). If your course stores them that way, that is not an error."
        mistakes.append(Mistake("call", f"expects {' and '.join(shapes)}, transposed", advice))
    if asker.transposed:
        mistakes.append(Mistake("call", "returns the gradient transposed", "It must have the shape of W."))
    if failed:
        k, error = next(iter(failed.items()))
        rule = size_rule([given[k] for k in failed], solved)
        advice = error.advice if solved else error.advice or _CALL
        mistakes.append(Mistake("call", error.name, f"{advice} {rule or f'({given[k]})'}".strip()))
    return asker, solved, mistakes


def _failures(asker: Asker, given: Sequence[Problem]) -> dict[int, CallFailed]:
    found = {}
    for k, problem in enumerate(given):
        try:
            for reg in REGS:
                asker(problem, reg)
        except CallFailed as error:
            found[k] = error
    return found


def _calls(asker: Asker, problem: Problem, before: Answer) -> list[Mistake]:
    """Return mistakes in how the function treats its arguments."""
    found = []
    if asker.modified:
        advice = "Work on a copy: the caller uses its arrays again."
        found.append(Mistake("call", f"modifies {' and '.join(sorted(asker.modified))}", advice))
    again = asker(problem, REGS[1])
    pairs = ((before.value, again.value), (before.gradient, again.gradient))
    if not all(a is None or b is None or np.array_equal(a, b, equal_nan=True) for a, b in pairs):
        advice = "Two calls with equal arguments differ: set all sums to zero at the start of each call."
        found.append(Mistake("call", "keeps something from one call to the next", advice))
    return found
