"""Finds the entry of the catalogue that explains a part of the answers, up to a factor that has a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from softmargin.textbook.factors import FACTORS, MULTIPLES, PENALTIES, SELECTIONS, Penalty, Selection
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


_WITHOUT_REG: tuple[tuple[str, Callable[[Array], float], Callable[[Array], Array]], ...] = (
    ("ΣW²", lambda W: (W**2).sum(), lambda W: 2.0 * W),
    ("½ΣW²", lambda W: (W**2).sum() / 2.0, lambda W: W),
    ("Σ|W|", lambda W: np.abs(W).sum(), np.sign),
)
"""Penalties that may be added without λ: name, value and gradient."""


def differences(function: Any, at: Array) -> Array:
    """Return the gradient of a function of a matrix by central differences, of the matrix's shape."""
    found = np.empty(at.shape)
    for index in np.ndindex(*at.shape):
        step = np.zeros(at.shape)
        step[index] = _STEP
        found[index] = (function(at + step) - function(at - step)) / (2.0 * _STEP)
    return found


@np.errstate(all="ignore")  # a wrong loss may overflow
def explain_value(values: Array, given: Sequence[Problem], loss: str, delta: float, tol: float) -> Reason | None:
    """Return why values differ from the data loss, () if they do not, None if no entry of the catalogue fits."""
    if np.abs(values).max() < tol:
        return (("lacks the data loss", "Return the loss at λ = 0, too."),)
    found: list[Reason] = []
    means = {}
    for variant in variants(loss):
        rows = [_rows(variant, p, delta) for p in given]
        for selection in _selections(variant):
            bases = np.array([(selection.weights(len(one)) * one).mean() for one in rows])
            means[variant.name, selection.name] = bases
            found += _with_factor(
                _names(variant, selection), _quotients(values, bases, tol), given, tol, "data loss"
            )
    for words, penalty, _ in _WITHOUT_REG:
        extra = ((f"adds {words} without λ", "Multiply the penalty by reg."),)
        rest = values - np.array([penalty(p.W) for p in given])
        found += _with_factor(extra, _quotients(rest, means["", ""], tol), given, tol, "data loss")
    return _shortest(found, _quotients(values, means["", ""], tol), tol, "data loss")


def explain_penalty(values: Array, given: Sequence[Problem], tol: float) -> Reason | None:
    """Return why values, divided by λ, differ from ΣW²; as `explain_value`."""
    if np.abs(values).max() < tol:
        return (("lacks the penalty", "Add reg · ΣW² to the mean of the losses."),)
    found: list[Reason] = []
    quotients = []
    for penalty in PENALTIES:
        if penalty.value is not None:
            quotients.append(_quotients(values, np.array([penalty.value(p.W) for p in given]), tol))
            found += _with_factor(_names(penalty), quotients[-1], given, tol, "penalty")
    return _shortest(found, quotients[0], tol, "penalty")


@np.errstate(all="ignore")  # a wrong loss may overflow
def explain_gradient(
    gradients: Sequence[Array], given: Sequence[Problem], loss: str, delta: float, tol: float
) -> Reason | None:
    """Return why gradients differ from that of the data loss; as `explain_value`."""
    if max(np.abs(G).max() for G in gradients) < tol:
        return (("lacks the data loss", "Add the gradient of each sample to dW."),)
    found: list[Reason] = []

    def consider(names: Reason, slopes: Sequence[Array], rest: Sequence[Array] = gradients) -> Array | None:
        ratios = _ratios(rest, [p.X.T @ G / len(G) for p, G in zip(given, slopes, strict=True)], tol)
        found.extend(_with_factor(names, ratios, given, tol, "data loss"))
        return ratios

    slopes = {variant: [_score_gradient(variant, p, delta) for p in given] for variant in variants(loss)}
    for variant, own in slopes.items():
        for selection in _selections(variant):
            consider(_names(variant, selection), [selection.weights(len(G))[:, np.newaxis] * G for G in own])
        for target in targets(loss):
            changed = [target.change(G, _is_target(p), p.scores) for p, G in zip(given, own, strict=True)]
            consider((*_names(variant), (target.name, target.advice)), changed)
    correct = next(iter(slopes.values()))
    for words, _, slope in _WITHOUT_REG:
        extra = ((f"adds that of {words} without λ", "Multiply the gradient of the penalty by reg."),)
        consider(extra, correct, [G - slope(p.W) for G, p in zip(gradients, given, strict=True)])
    return _shortest(found, consider((), correct), tol, "data loss")


def explain_penalty_gradient(gradients: Sequence[Array], given: Sequence[Problem], tol: float) -> Reason | None:
    """Return why gradients, divided by λ, differ from 2W; as `explain_value`."""
    if max(np.abs(G).max() for G in gradients) < tol:
        return (("lacks the penalty", "Add 2 · reg · W to the gradient."),)
    found: list[Reason] = []
    ratios = [_ratios(gradients, [each.gradient(p.W) for p in given], tol) for each in PENALTIES]
    for penalty, ratio in zip(PENALTIES, ratios, strict=True):
        found += _with_factor(_names(penalty), ratio, given, tol, "penalty")
    return _shortest(found, ratios[0], tol, "penalty")


def _selections(variant: Variant) -> tuple[Selection, ...]:
    """Return the selections of samples that are defined for a data loss."""
    return SELECTIONS if variant.row_wise else SELECTIONS[:1]


def _names(*found: Variant | Selection | Penalty) -> Reason:
    return tuple((each.name, each.advice) for each in found if each.name)


def _is_target(problem: Problem) -> Array:
    return np.arange(problem.W.shape[1]) == problem.y[:, np.newaxis]


def _rows(variant: Variant, problem: Problem, delta: float) -> Array:
    return variant.rows(problem.scores, problem.y, delta)


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


def _quotients(values: Array, bases: Array, tol: float) -> Array | None:
    """Return the factors between two lists of values, None if one is not defined."""
    return None if np.abs(bases).min() < tol or not np.all(np.isfinite(bases)) else values / bases


def _ratios(gradients: Sequence[Array], bases: Sequence[Array], tol: float) -> Array | None:
    """Return the factors of gradients that are multiples of other ones, None if one is not."""
    found = []
    for G, base in zip(gradients, bases, strict=True):
        square = (base**2).sum()
        if not tol < square < np.inf:
            return None
        ratio = (G * base).sum() / square
        if np.abs(G - ratio * base).max() > tol * np.abs(G).max():
            return None
        found.append(ratio)
    return np.array(found)


def _with_factor(
    names: Reason, ratios: Array | None, given: Sequence[Problem], tol: float, part: str
) -> list[Reason]:
    """Return names with those of the factor that the ratios of all problems share, [] for an unknown one."""
    if ratios is None:
        return []
    expected, words = _factors(tuple(p.sizes for p in given), part)
    fits = np.all(np.abs(ratios - expected) <= tol * np.abs(expected), axis=1)
    return [names + words[k] for k in np.flatnonzero(fits)]


@cache
def _factors(sizes: tuple[tuple[int, int, int], ...], part: str) -> tuple[Array, list[Reason]]:
    """Return all factors, one row each with one number per problem, and their names for a part."""
    k = 0 if part == "data loss" else 2
    pairs = list(product(FACTORS, MULTIPLES.items()))
    numbers = np.array([[multiple * factor.of(*each) for each in sizes] for factor, (multiple, _) in pairs])
    both = [((words[k], words[k + 1]), (factor[1 + k], factor[2 + k])) for factor, (_, words) in pairs]
    return numbers, [tuple((str(name), str(advice)) for name, advice in one if name) for one in both]


def _shortest(found: Sequence[Reason], ratios: Array | None, tol: float, part: str) -> Reason | None:
    """Return the reason with the fewest mistakes, else a constant factor of the correct part, else None."""
    if found:
        return min(found, key=len)
    if ratios is not None and np.abs(ratios - ratios[0]).max() <= tol * abs(ratios[0]):
        return ((f"multiplies the {part} by {ratios[0]:.6g}", "Remove this factor."),)
    return None
