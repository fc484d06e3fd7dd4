"""Finds the entry of the catalogue that explains a part of the answers, up to a factor that has a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from softmargin.textbook.factors import FACTORS, MULTIPLES, PENALTIES, SELECTIONS, Selection
from softmargin.textbook.mistakes import Variant, variants
from softmargin.textbook.problems import Problem
from softmargin.textbook.targets import targets

__all__ = [
    "Reason",
    "differences",
    "explain_gradient",
    "explain_penalty",
    "explain_penalty_gradient",
    "explain_value",
]

Array = npt.NDArray[Any]
Reason = tuple[tuple[str, str], ...]
"""Names of mistakes, each with advice; empty if the part is correct."""

_STEP = 1e-5
"""Step of a central difference: its error is about ε/step + step² ~ 1e-10 for numbers of size 1."""


def differences(function: Any, at: Array) -> Array:
    """Return the gradient of a function of a matrix by central differences, of the matrix's shape."""
    found = np.empty(at.shape)
    for index in np.ndindex(*at.shape):
        step = np.zeros(at.shape)
        step[index] = _STEP
        found[index] = (function(at + step) - function(at - step)) / (2.0 * _STEP)
    return found


def explain_value(values: Array, given: Sequence[Problem], loss: str, delta: float, tol: float) -> Reason | None:
    """Return why values differ from the data loss, () if they do not, None if no entry of the catalogue fits."""
    if max(map(abs, values)) < tol:
        return (("lacks the data loss", "Return the loss at λ = 0, too."),)
    found: list[Reason] = []
    for variant, selection in _losses(loss):
        means = [_mean(variant, selection, p, delta) for p in given]
        names = _names(variant, selection)
        found += [names + more for more in _factors(values, means, given, tol, "data loss")]
        if not names:
            for multiple, words in ((1.0, ""), (0.5, "½")):
                rest = [v - multiple * (p.W**2).sum() for v, p in zip(values, given, strict=True)]
                extra = ((f"adds {words}ΣW² without λ", "Multiply the penalty by reg."),)
                found += [extra + more for more in _factors(rest, means, given, tol, "data loss")]
    return min(found, key=len, default=None)


def explain_penalty(values: Array, given: Sequence[Problem], tol: float) -> Reason | None:
    """Return why values, divided by λ, differ from ΣW²; as `explain_value`."""
    if max(map(abs, values)) < tol:
        return (("lacks the penalty", "Add reg · ΣW² to the mean of the losses."),)
    found: list[Reason] = []
    for penalty in PENALTIES:
        names = ((penalty.name, penalty.advice),) if penalty.name else ()
        bases = [penalty.value(p.W) for p in given]
        found += [names + more for more in _factors(values, bases, given, tol, "penalty")]
    return min(found, key=len, default=None)


def explain_gradient(
    gradients: Sequence[Array], given: Sequence[Problem], loss: str, delta: float, tol: float
) -> Reason | None:
    """Return why gradients differ from that of the data loss; as `explain_value`."""
    if max(np.abs(G).max() for G in gradients) < tol:
        return (("lacks the data loss", "Add the gradient of each sample to dW."),)
    right = variants(loss)[0]
    correct = [_score_gradient(right, p, delta) for p in given]
    found: list[Reason] = []

    def consider(names: Reason, slopes: Sequence[Array], rest: Sequence[Array]) -> None:
        bases = [p.X.T @ G / len(G) for p, G in zip(given, slopes, strict=True)]
        ratios = _ratios(rest, bases, tol)
        found.extend(names + more for more in _named(ratios, given, tol, "data loss"))

    for variant, selection in _losses(loss):
        slopes = [_score_gradient(variant, p, delta) * selection.weights(len(p.X))[:, None] for p in given]
        consider(_names(variant, selection), slopes, gradients)
        if not selection.name:
            for target in targets(loss):
                changed = [target.change(G, _is_target(p)) for p, G in zip(given, slopes, strict=True)]
                consider((*_names(variant, selection), (target.name, target.advice)), changed, gradients)
    for multiple, words in ((2.0, "2W"), (1.0, "W")):
        rest = [G - multiple * p.W for G, p in zip(gradients, given, strict=True)]
        consider(((f"adds {words} without λ", "Multiply the gradient of the penalty by reg."),), correct, rest)
    return min(found, key=len, default=None)


def explain_penalty_gradient(gradients: Sequence[Array], given: Sequence[Problem], tol: float) -> Reason | None:
    """Return why gradients, divided by λ, differ from 2W; as `explain_value`."""
    if max(np.abs(G).max() for G in gradients) < tol:
        return (("lacks the penalty", "Add 2 · reg · W to the gradient."),)
    found: list[Reason] = []
    for penalty in PENALTIES:
        names = ((penalty.name, penalty.advice),) if penalty.name else ()
        ratios = _ratios(gradients, [penalty.gradient(p.W) for p in given], tol)
        found += [names + more for more in _named(ratios, given, tol, "penalty")]
    return min(found, key=len, default=None)


def _losses(loss: str) -> Iterator[tuple[Variant, Selection]]:
    """Yield each data loss with each selection of samples that is defined for it."""
    for variant, selection in product(variants(loss), SELECTIONS):
        if variant.row_wise or not selection.name:
            yield variant, selection


def _names(variant: Variant, selection: Selection) -> Reason:
    return tuple((found.name, found.advice) for found in (variant, selection) if found.name)


def _is_target(problem: Problem) -> Array:
    return np.arange(problem.W.shape[1]) == problem.y[:, np.newaxis]


def _mean(variant: Variant, selection: Selection, problem: Problem, delta: float) -> float:
    rows = variant.rows(problem.scores, problem.y, delta)
    return float((selection.weights(len(rows)) * rows).sum() / len(rows))


def _score_gradient(variant: Variant, problem: Problem, delta: float) -> Array:
    """Return ∂(sum of the losses)/∂S by central differences, (N, C)."""
    S, y = problem.scores, problem.y
    if not variant.row_wise:
        return differences(lambda at: variant.rows(at, y, delta).sum(), S)
    found = np.empty(S.shape)
    for j in range(S.shape[1]):  # rows do not influence each other: one step serves all of them
        step = _STEP * np.eye(S.shape[1])[j]
        found[:, j] = (variant.rows(S + step, y, delta) - variant.rows(S - step, y, delta)) / (2.0 * _STEP)
    return found


def _ratios(gradients: Sequence[Array], bases: Sequence[Array], tol: float) -> list[float] | None:
    """Return the factors of gradients that are multiples of other ones, None if one is not."""
    found = []
    for G, base in zip(gradients, bases, strict=True):
        square = (base**2).sum()
        if square < tol:
            return None
        ratio = float((G * base).sum() / square)
        if np.abs(G - ratio * base).max() > tol * np.abs(G).max():
            return None
        found.append(ratio)
    return found


def _factors(
    values: Array | Sequence[float], bases: Sequence[float], given: Sequence[Problem], tol: float, part: str
) -> list[Reason]:
    """Return the names of the factor between two lists of values."""
    if min(map(abs, bases)) < tol:
        return []
    return _named([value / base for value, base in zip(values, bases, strict=True)], given, tol, part)


def _named(ratios: Sequence[float] | None, given: Sequence[Problem], tol: float, part: str) -> list[Reason]:
    """Return the names of the factor that the ratios of all problems share: [()] for 1, [] for an unknown one."""
    if ratios is None:
        return []
    found: list[Reason] = []
    for factor, (multiple, words) in product(FACTORS, MULTIPLES.items()):
        expected = np.array([multiple * factor.of(*p.sizes) for p in given])
        if np.all(np.abs(ratios - expected) <= tol * np.abs(expected)):
            k = 0 if part == "data loss" else 2
            pairs = ((words[k], words[k + 1]), factor[1 + k : 3 + k])
            found.append(tuple((str(name), str(advice)) for name, advice in pairs if name))
    found.sort(key=len)
    ratio = ratios[0]
    if not found and np.all(np.abs(np.array(ratios) - ratio) <= tol * abs(ratio)):
        what = "data loss" if part == "data loss" else "penalty"
        found.append(((f"multiplies the {what} by {ratio:.6g}", "Remove this factor."),))
    return found[:1]
