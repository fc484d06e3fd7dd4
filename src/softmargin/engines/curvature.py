"""The mean curvature of a loss in score space, from a sample of the rows and fixed directions."""

from __future__ import annotations

import numpy as np

from softmargin.losses.base import Floats, Ints, Loss

__all__ = ["mean_of", "step_between", "traces"]

_ROWS = 2048
_EXACT_CLASSES = 16
"""Up to this many classes, traces are exact; beyond, they are estimated from this many random directions."""


def step_between(n_rows: int) -> int:
    """Return k, if every k-th row is in the sample, of at most 4,095 rows."""
    return max(1, n_rows // _ROWS)


def traces(loss: Loss, scores: Floats, y: Ints) -> Floats:
    """Return the trace of the (C, C) Hessian of each row, up to the factor in `mean_of`.

    It is the sum over the C unit directions or, for many classes, Hutchinson's estimator. The directions are the
    same for all rows, so a mean depends neither on the order of the rows nor on whether one is repeated or has a
    larger weight.
    """
    n_classes = scores.shape[1]
    if n_classes <= _EXACT_CLASSES:
        probes = np.eye(n_classes) * np.sqrt(n_classes)
    else:
        probes = np.random.default_rng(0).choice([-1.0, 1.0], size=(_EXACT_CLASSES, n_classes))
    found = np.zeros(len(y))
    for probe in probes:
        found += loss._hessian_product(scores, y, np.broadcast_to(probe, scores.shape)) @ probe
    return found


def mean_of(trace: float, n_classes: int) -> float:
    """Return the mean curvature from the weighted mean of `traces`."""
    return trace / min(n_classes, _EXACT_CLASSES) / (n_classes - 1)
