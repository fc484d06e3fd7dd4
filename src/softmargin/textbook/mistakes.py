"""Wrong variants of the data losses, each with a name and what to do about it.

A variant is a function of the scores S (N, C), the labels y (N,) and Δ that returns one loss per sample (N,). Its
gradient follows by differences.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["OTHER_LOSSES", "Variant", "variants"]

Array = npt.NDArray[Any]
Rows = Callable[[Array, Array, float], Array]


class Variant(NamedTuple):
    """A data loss; that with the name "" is the textbook's."""

    name: str
    advice: str
    rows: Rows
    row_wise: bool = True
    """Whether the loss of a sample depends on its own scores only."""


def _mask(S: Array, y: Array) -> Array:
    """Return where the targets are, (N, C)."""
    return np.arange(S.shape[1]) == y[:, np.newaxis]


def _gaps(S: Array, y: Array) -> Array:
    """Return s_j − s_y, (N, C)."""
    return S - S[np.arange(len(S)), y][:, np.newaxis]


def _clipped(S: Array, y: Array, delta: float, *, power: int, sign: float = 1.0, margin: float = 1.0) -> Array:
    """Return max(0, sign·(s_j − s_y) + margin·Δ)^power, (N, C)."""
    return np.maximum(sign * _gaps(S, y) + margin * delta, 0.0) ** power


def _others(values: Array, y: Array) -> Array:
    """Return the sum over the classes that are not the target, (N,)."""
    return np.where(_mask(values, y), 0.0, values).sum(axis=1)


def _hinge(S: Array, y: Array, delta: float, power: int, **changed: float) -> Array:
    return _others(_clipped(S, y, delta, power=power, **changed), y)


def _log_sum_exp(S: Array, axis: int = 1) -> Array:
    m = S.max(axis=axis, keepdims=True)
    return m + np.log(np.exp(S - m).sum(axis=axis, keepdims=True))


def _log_probabilities(S: Array) -> Array:
    return S - _log_sum_exp(S)


def _target(values: Array, y: Array) -> Array:
    return values[np.arange(len(values)), y]


def _softmax(S: Array, y: Array, delta: float) -> Array:
    return -_target(_log_probabilities(S), y)


def _softmax_plus(added: float, S: Array, y: Array, delta: float) -> Array:
    return -np.log(np.exp(_target(_log_probabilities(S), y)) + added)


def _until_target(values: Array, y: Array) -> Array:
    return np.where(np.arange(values.shape[1]) < y[:, np.newaxis], values, 0.0).sum(axis=1)


def _without(values: Array, column: int) -> Array:
    values = values.copy()
    values[:, column] = 0.0
    return values


_LABELS = "Labels are 0 to C − 1: use them as they are."
_LAST_CLASS = "Loop over range(C), with C = W.shape[1]."


def _shared(rows: Rows) -> tuple[Variant, ...]:
    """Return mistakes with the labels, for any loss."""
    return (
        Variant("takes the labels as 1 to C", _LABELS, lambda S, y, d: rows(S, (y - 1) % S.shape[1], d)),
        Variant("adds 1 to the labels", _LABELS, lambda S, y, d: rows(S, (y + 1) % S.shape[1], d)),
        Variant("takes class 0 as the target of every sample", "Use y[i].", lambda S, y, d: rows(S, 0 * y, d)),
        Variant(
            "takes the last class as the target of every sample",
            "Use y[i], and not what is left of a loop over the classes.",
            lambda S, y, d: rows(S, 0 * y + S.shape[1] - 1, d),
        ),
    )


def _hinges(p: int) -> tuple[Variant, ...]:
    """Return the hinge (p = 1) or the squared hinge (p = 2) and its wrong variants."""
    clipped = partial(_clipped, power=p)
    gap = "The margin violation is s_j − s_y + delta."
    own = partial(_hinge, power=p)
    square = ("squares the hinge", "Sum max(0, s_j − s_y + delta), not its square.")
    plain = ("does not square the hinge", "Sum max(0, s_j − s_y + delta)².")
    return (
        Variant("", "", own),
        Variant(
            "counts the target class",
            "Sum over the classes j ≠ y only: the target adds delta for every sample.",
            lambda S, y, d: clipped(S, y, d).sum(axis=1),
        ),
        Variant("has no margin", f"{gap} Here delta is missing.", partial(_hinge, power=p, margin=0.0)),
        Variant("has the margin with the wrong sign", gap, partial(_hinge, power=p, margin=-1.0)),
        Variant("reverses the difference of the scores", gap, partial(_hinge, power=p, sign=-1.0)),
        Variant(
            "reverses the difference of the scores and the margin",
            gap,
            partial(_hinge, power=p, sign=-1.0, margin=-1.0),
        ),
        Variant(
            "reverses the difference of the scores and counts the target class",
            f"{gap} Sum over the classes j ≠ y only.",
            lambda S, y, d: clipped(S, y, d, sign=-1.0).sum(axis=1),
        ),
        Variant(
            "does not clip at 0",
            "A negative margin violation adds nothing: take max(0, s_j − s_y + delta).",
            lambda S, y, d: _others((_gaps(S, y) + d) ** p, y),
        ),
        Variant(
            "does not clip at 0 and counts the target class",
            "Take max(0, s_j − s_y + delta), and sum over the classes j ≠ y only.",
            lambda S, y, d: ((_gaps(S, y) + d) ** p).sum(axis=1),
        ),
        Variant(
            "takes the absolute value instead of clipping at 0",
            "Take max(0, s_j − s_y + delta).",
            lambda S, y, d: _others(np.abs(_gaps(S, y) + d), y),
        ),
        Variant(
            "takes only the largest violation of each sample",
            "Sum over all classes j ≠ y. The largest violation alone is the loss of Crammer and Singer.",
            lambda S, y, d: np.where(_mask(S, y), 0.0, clipped(S, y, d)).max(axis=1),
        ),
        Variant(
            "counts the violated margins instead of adding them",
            "Sum max(0, s_j − s_y + delta), not how often it is positive.",
            lambda S, y, d: _others(np.where(_gaps(S, y) + d > 0.0, 1.0, 0.0), y),
        ),
        Variant(
            "adds the scores themselves instead of their differences to the target's",
            gap,
            lambda S, y, d: _others(np.maximum(S, 0.0) ** p, y),
        ),
        Variant(
            "stops at the target class",
            "Skip the target with `continue`, not `break`.",
            lambda S, y, d: _until_target(clipped(S, y, d), y),
        ),
        Variant(
            "leaves out the last class", _LAST_CLASS, lambda S, y, d: _others(_without(clipped(S, y, d), -1), y)
        ),
        Variant(
            "leaves out the first class", _LAST_CLASS, lambda S, y, d: _others(_without(clipped(S, y, d), 0), y)
        ),
        Variant(
            "skips class i instead of the target of sample i",
            "The target of sample i is y[i].",
            lambda S, y, d: np.where(np.arange(S.shape[1]) == np.arange(len(S))[:, None], 0, clipped(S, y, d)).sum(
                1
            ),
        ),
        Variant(*(square if p == 1 else plain), partial(_hinge, power=3 - p)),
        *(
            ()
            if p == 1
            else (
                Variant(
                    "squares the sum instead of each violation",
                    "Square max(0, s_j − s_y + delta) before the sum over j.",
                    lambda S, y, d: _hinge(S, y, d, 1) ** 2,
                ),
                Variant(
                    "does not square the hinge and counts the target class",
                    "Sum max(0, s_j − s_y + delta)² over the classes j ≠ y only.",
                    lambda S, y, d: _clipped(S, y, d, power=1).sum(axis=1),
                ),
            )
        ),
        Variant("takes the labels as 1 to C", _LABELS, lambda S, y, d: own(S, y - 1, d)),  # −1 is not skipped
        Variant("computes the cross-entropy", "The hinge has no exponentials.", _softmax),
        *_shared(own),
    )


def _softmaxes() -> tuple[Variant, ...]:
    """Return the cross-entropy and its wrong variants."""
    L = _log_probabilities
    loss = "The loss of a sample is log Σ_j exp(s_j) − s_y."
    over_classes = "The probabilities of one sample sum to 1: sum over the classes, axis=1 and keepdims=True."
    return (
        Variant("", "", _softmax),
        Variant("has no logarithm", loss, lambda S, y, d: -np.exp(_target(L(S), y))),
        Variant("has no logarithm", loss, lambda S, y, d: 1.0 - np.exp(_target(L(S), y))),
        Variant(
            "leaves out the score of the target",
            f"{loss} Here s_y is missing.",
            lambda S, y, d: _log_sum_exp(S)[:, 0],
        ),
        Variant(
            "does not normalize the scores",
            f"{loss} Here log Σ_j exp(s_j) is missing.",
            lambda S, y, d: -_target(S, y),
        ),
        Variant(
            "leaves the target class out of the sum",
            f"{loss} The sum is over all classes, also the target.",
            lambda S, y, d: np.log(_others(np.exp(S), y)) - _target(S, y),
        ),
        Variant("takes logarithms to base 10", "Use np.log.", lambda S, y, d: _softmax(S, y, d) / np.log(10.0)),
        Variant("takes logarithms to base 2", "Use np.log.", lambda S, y, d: _softmax(S, y, d) / np.log(2.0)),
        Variant(
            "normalizes over the samples instead of the classes",
            over_classes,
            lambda S, y, d: _target(_log_sum_exp(S, axis=0) - S, y),
            row_wise=False,
        ),
        Variant(
            "normalizes over the samples instead of the classes",
            over_classes,
            lambda S, y, d: _target(_log_sum_exp(T := S - S.max(axis=1, keepdims=True), axis=0) - T, y),
            row_wise=False,
        ),
        Variant(
            "normalizes over the whole matrix of scores",
            over_classes,
            lambda S, y, d: np.log(np.exp(S).sum()) - _target(S, y),
            row_wise=False,
        ),
        Variant(
            "adds −log p over all classes",
            "Only the probability of the target counts.",
            lambda S, y, d: -L(S).sum(axis=1),
        ),
        Variant(
            "computes one binary cross-entropy per class",
            "Only the probability of the target counts: −log p_y.",
            lambda S, y, d: _softmax(S, y, d) - _others(np.log1p(-np.exp(L(S))), y),
        ),
        *(
            Variant(
                "adds a number to the probability inside the logarithm",
                f"{loss} It needs no such number if the maximum of each row is subtracted first.",
                partial(_softmax_plus, added),
            )
            for added in (1e-2, 1e-3, 1e-4, 1e-5)
        ),
        Variant(
            "applies a sigmoid to each score instead of the softmax to all",
            f"{loss} The sigmoid is for independent yes-or-no labels.",
            lambda S, y, d: np.logaddexp(0.0, S).sum(axis=1) - _target(S, y),
        ),
        Variant(
            "computes the squared error of the probabilities",
            loss,
            lambda S, y, d: ((np.exp(L(S)) - _mask(S, y)) ** 2).sum(axis=1),
        ),
        Variant(
            "leaves out the last class", _LAST_CLASS, lambda S, y, d: _log_sum_exp(S[:, :-1])[:, 0] - _target(S, y)
        ),
        Variant(
            "leaves out the first class", _LAST_CLASS, lambda S, y, d: _log_sum_exp(S[:, 1:])[:, 0] - _target(S, y)
        ),
        Variant("computes the hinge", "The loss is log Σ_j exp(s_j) − s_y.", partial(_hinge, power=1)),
        Variant("computes the squared hinge", "The loss is log Σ_j exp(s_j) − s_y.", partial(_hinge, power=2)),
        *_shared(_softmax),
    )


def variants(loss: str) -> tuple[Variant, ...]:
    """Return the textbook's loss and its wrong variants."""
    return {"hinge": lambda: _hinges(1), "squared_hinge": lambda: _hinges(2), "cross_entropy": _softmaxes}[loss]()


OTHER_LOSSES = frozenset({
    "squares the hinge", "does not square the hinge", "does not square the hinge and counts the target class",
    "computes the cross-entropy", "computes the hinge", "computes the squared hinge",
})  # fmt: skip
"""Names of the variants that are another loss."""
