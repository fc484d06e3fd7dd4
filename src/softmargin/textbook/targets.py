"""Wrong gradients that no loss has: mistakes at the target class or at the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Target", "targets"]

Array = npt.NDArray[Any]


class Target(NamedTuple):
    """A wrong gradient that no loss has: a change of ∂L/∂S, given the mask of the targets and S, all (N, C)."""

    name: str
    advice: str
    change: Callable[[Array, Array, Array], Array]


def _count(G: Array) -> Array:
    """Return the number of nonzero entries of each row outside the target, where those are the violations."""
    return (np.abs(G) > 1e-9).sum(axis=1, keepdims=True)


def _over_samples(S: Array) -> Array:
    exps = np.exp(S - S.max())
    return exps / exps.sum(axis=0)


def targets(loss: str) -> tuple[Target, ...]:
    """Return wrong changes of ∂L/∂S for a loss."""
    hinge = loss != "cross_entropy"
    sum_of_others = "The entry of the target is minus the sum of the entries of the other classes."
    classes = "The probabilities of one sample sum to 1: divide by the sum over axis=1, with keepdims=True."
    less_one = "At the target the gradient of the scores is p − 1: subtract 1 there."
    rule = sum_of_others if hinge else less_one
    plus = "counts the target class" if hinge else "does not subtract 1 at the target class"
    found = [
        Target("of the target has the wrong sign", rule, lambda G, t, S: np.where(t, -G, G)),
        Target("lacks the target class", rule, lambda G, t, S: np.where(t, 0.0, G)),
        Target(
            "lacks the other classes", "Each class j ≠ y has a gradient, too.", lambda G, t, S: np.where(t, G, 0.0)
        ),
        Target(
            "of the other classes has the wrong sign", "Change their sign.", lambda G, t, S: np.where(t, G, -G)
        ),
        Target(plus, rule, lambda G, t, S: np.where(t, G + 1.0, G)),
    ]
    if hinge:
        once = f"{sum_of_others} Subtract the sample once per violated margin."
        found += [
            Target("counts the target class", rule, lambda G, t, S: np.where(t, G - 1.0, G)),
            Target(
                "of the target counts one violation per sample",
                once,
                lambda G, t, S: np.where(t, -1.0 * (_count(G) > 1), G),
            ),
            Target("of the target counts one violation per sample", once, lambda G, t, S: np.where(t, -1.0, G)),
            Target(
                "of the target counts one violation more per sample", once, lambda G, t, S: np.where(t, G - 2.0, G)
            ),
            Target("of the target counts all classes", once, lambda G, t, S: np.where(t, 1.0 - G.shape[1], G)),
            Target(
                "of the target counts violations instead of adding them",
                sum_of_others,
                lambda G, t, S: np.where(t, -2.0 * (_count(G) - 1), G),
            ),
            Target(
                "of the target counts violations instead of adding them",
                sum_of_others,
                lambda G, t, S: np.where(t, -1.0 * (_count(G) - 1), G),
            ),
        ]
    else:
        found += [
            Target(
                "takes the probability of the target for every class",
                "The gradient of the score of class j is its own probability p_j, minus 1 at the target.",
                lambda G, t, S: np.where(t, G, 1.0 + np.where(t, G, 0.0).sum(axis=1, keepdims=True)),
            ),
            Target(
                "normalizes over the samples instead of the classes", classes, lambda G, t, S: _over_samples(S) - t
            ),
            Target(
                "normalizes over the samples instead of the classes",
                classes,
                lambda G, t, S: _over_samples(S - S.max(axis=1, keepdims=True)) - t,
            ),
            Target("does not normalize the probabilities", classes, lambda G, t, S: np.exp(S) - t),
            Target(
                "subtracts 1 in whole columns",
                "P[:, y] is all rows of these columns; take one entry of each row, P[np.arange(N), y].",
                lambda G, t, S: np.where(t, G, G - t.any(axis=0)),
            ),
            Target("subtracts 1 at every class", less_one, lambda G, t, S: np.where(t, G, G - 1.0)),
            Target("adds 1 at the target class", less_one, lambda G, t, S: np.where(t, G + 2.0, G)),
            Target("subtracts 1 at the other classes", less_one, lambda G, t, S: np.where(t, G + 1.0, G - 1.0)),
        ]
    return tuple(found)
