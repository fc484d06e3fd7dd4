"""How a part of the objective may be wrong besides its formula: samples left out, factors, other penalties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["FACTORS", "MULTIPLES", "PENALTIES", "SELECTIONS", "Factor", "Penalty", "Selection"]

Array = npt.NDArray[Any]


class Selection(NamedTuple):
    """The samples that count, as weights (N,)."""

    name: str
    advice: str
    weights: Callable[[int], Array]


class Factor(NamedTuple):
    """A factor, as a function of N, D and C, and its name for the data loss and for the penalty."""

    of: Callable[[int, int, int], float]
    data: str
    data_advice: str
    penalty: str
    penalty_advice: str


class Penalty(NamedTuple):
    """A penalty without λ, and its gradient."""

    name: str
    advice: str
    value: Callable[[Array], float] | None
    """None for what is wrong in a gradient only."""
    gradient: Callable[[Array], Array]


SELECTIONS = (
    Selection("", "", np.ones),
    Selection("leaves out the last sample", "Loop over range(N).", lambda n: np.r_[np.ones(n - 1), 0.0]),
    Selection("leaves out the first sample", "Loop over range(N).", lambda n: np.r_[0.0, np.ones(n - 1)]),
    Selection(
        "keeps only the last sample",
        "Add (+=) the loss of each sample, do not assign it.",
        lambda n: np.eye(n)[-1],
    ),
    Selection("keeps only the first sample", "Return after the loop, not inside it.", lambda n: np.eye(n)[0]),
)
"""Samples that count."""


# Factors

_MEAN = "The data loss is a mean over the samples: divide by N = X.shape[0]."
_ONCE = "Add λΣW² once, after the mean over the samples."
_HALF = (
    "The penalty here is λΣW², with the gradient 2λW. If your course defines it as ½λΣW², that is not an error."
)

FACTORS = (
    Factor(lambda n, d, c: 1.0, "", "", "", ""),
    Factor(
        lambda n, d, c: n,
        "takes the sum instead of the mean over the samples",
        _MEAN,
        "adds the penalty once per sample",
        _ONCE,
    ),
    Factor(lambda n, d, c: n / d, "divides by the number of features instead of samples", _MEAN,
           "multiplies the penalty by N/D", _ONCE),
    Factor(lambda n, d, c: n / c, "divides by the number of classes instead of samples", _MEAN,
           "multiplies the penalty by N/C", _ONCE),
    Factor(lambda n, d, c: 1 / c, "divides by the number of classes, too", _MEAN,
           "divides the penalty by the number of classes", _ONCE),
    Factor(lambda n, d, c: 1 / (c - 1), "divides by C − 1, too", _MEAN, "divides the penalty by C − 1", _ONCE),
    Factor(lambda n, d, c: n / (n - 1), "divides by N − 1", _MEAN, "multiplies the penalty by N/(N − 1)", _ONCE),
    Factor(lambda n, d, c: 1 / d, "divides by the number of features, too", _MEAN,
           "divides the penalty by the number of features", _ONCE),
    Factor(lambda n, d, c: 1 / n, "divides by the number of samples twice", _MEAN,
           "divides the penalty by the number of samples", _ONCE),
    Factor(lambda n, d, c: 1 / (d * c), "divides by the size of W, too", _MEAN,
           "takes the mean of W² instead of the sum", _ONCE),
    Factor(lambda n, d, c: 1 / (n * d), "divides by the size of X, too", _MEAN,
           "divides the penalty by N·D", _ONCE),
    Factor(lambda n, d, c: c, "multiplies by the number of classes", _MEAN,
           "adds the penalty once per class", _ONCE),
    Factor(lambda n, d, c: n * c, "multiplies by N·C", _MEAN,
           "adds the penalty once per sample and class", _ONCE),
    Factor(lambda n, d, c: n * (c - 1), "multiplies by N·(C − 1)", _MEAN,
           "adds the penalty once per sample and class", _ONCE),
    Factor(lambda n, d, c: c - 1, "multiplies by C − 1", _MEAN, "adds the penalty once per class", _ONCE),
)  # fmt: skip
"""Factors by which a part may be wrong; each may be combined with a factor of `MULTIPLES`."""

MULTIPLES: dict[float, tuple[str, str, str, str]] = {
    1.0: ("", "", "", ""),
    0.5: ("is half of the correct one", "Remove the factor ½.", "uses ½λ", _HALF),
    2.0: (
        "is twice the correct one",
        "Remove the factor 2.",
        "uses 2λ",
        "The penalty is λΣW², with the gradient 2λW.",
    ),
    -1.0: ("has the wrong sign", "Change the sign.", "subtracts the penalty", "Add it: + λΣW²."),
    -0.5: ("is −½ times the correct one", "Remove the factor −½.", "subtracts the penalty and uses ½λ", _HALF),
}
"""Constant factors: name and advice for the data loss, then for the penalty."""


# Penalties


def _rows_without(row: int) -> Penalty:
    words = "first" if row == 0 else "last"

    def kept(W: Array) -> Array:
        return W[1:] if row == 0 else W[:-1]

    def gradient(W: Array) -> Array:
        found = 2.0 * W
        found[row] = 0.0
        return found

    advice = "Here every row of W is penalized. If that row is the bias of your course, that is not an error."
    return Penalty(
        f"leaves the {words} row of W out of the penalty", advice, lambda W: (kept(W) ** 2).sum(), gradient
    )


_SQUARES = "The penalty is λΣW², the sum of the squares of all weights; its gradient is 2λW."

PENALTIES = (
    Penalty("", "", lambda W: (W**2).sum(), lambda W: 2.0 * W),
    Penalty("penalizes the absolute values of W", _SQUARES, lambda W: np.abs(W).sum(), np.sign),
    Penalty("penalizes the sum of W without squares", _SQUARES, lambda W: W.sum(), np.ones_like),
    Penalty(
        "penalizes the norm of W without its square",
        _SQUARES,
        lambda W: float(np.linalg.norm(W)),
        lambda W: W / np.linalg.norm(W),
    ),
    Penalty(
        "squares the sum of W instead of each weight",
        _SQUARES,
        lambda W: W.sum() ** 2,
        lambda W: 2.0 * W.sum() * np.ones_like(W),
    ),
    _rows_without(-1),
    _rows_without(0),
    Penalty(
        "adds the value of the penalty to each entry", _SQUARES, None, lambda W: (W**2).sum() * np.ones_like(W)
    ),
    Penalty("adds λ times the sum of W to each entry", _SQUARES, None, lambda W: W.sum() * np.ones_like(W)),
    Penalty("squares W in the gradient of the penalty", _SQUARES, None, lambda W: W**2),
    Penalty(
        "multiplies that of the penalty by ΣW²",
        "Its gradient is 2 · reg · W: do not assign the value of the penalty to reg.",
        None,
        lambda W: 2.0 * (W**2).sum() * W,
    ),
)
"""The textbook's penalty and its wrong variants."""
