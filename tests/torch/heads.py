"""The losses of a linear layer in their unfused form, in float64, and problems to compare them on."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from softmargin.torch import linear_cross_entropy, linear_hinge, linear_squared_hinge

LOSSES = {
    "hinge": linear_hinge,
    "squared_hinge": linear_squared_hinge,
    "cross_entropy": linear_cross_entropy,
}
DELTA, IGNORE = 0.7, -3


class Problem(NamedTuple):
    """A layer with its input; 23 rows, 37 classes and 45 features by default, so that no block is full."""

    x: Tensor
    weight: Tensor
    target: Tensor
    bias: Tensor | None
    class_weight: Tensor | None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What has a gradient."""
        return tuple(part for part in (self.x, self.weight, self.bias) if part is not None)


def problem(
    shape: tuple[int, int, int] = (23, 37, 45),
    dtype: torch.dtype = torch.float64,
    *,
    bias: bool = True,
    weights: bool = False,
    ignored: bool = False,
    seed: int = 0,
) -> Problem:
    """Return a layer whose biases are as large as its scores; one target is in the last, partial block."""
    n, n_classes, n_features = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    target = torch.randint(n_classes, (n,), generator=generator)
    target[1] = n_classes - 1
    if ignored:
        target[2::4] = IGNORE
    return Problem(
        normal(n, n_features).to(dtype).requires_grad_(),
        (3 * normal(n_classes, n_features) / n_features**0.5).to(dtype).requires_grad_(),
        target,
        (4 * normal(n_classes)).to(dtype).requires_grad_() if bias else None,
        (0.1 + normal(n_classes).abs()).to(torch.float64 if dtype == torch.float64 else torch.float32)
        if weights
        else None,
    )


def rows(loss: str, at: Problem, smoothing: float = 0.0) -> Tensor:
    """Return the losses of the rows from all scores, 0 for ignored rows."""
    scores = F.linear(at.x, at.weight, at.bias)
    valid = at.target != IGNORE
    y = torch.where(valid, at.target, 0)
    if loss == "cross_entropy":
        target = torch.where(valid, at.target, -100)
        return F.cross_entropy(scores, target, at.class_weight, reduction="none", label_smoothing=smoothing)
    violations = (scores - scores.gather(1, y[:, None]) + DELTA).clamp_min(0.0).scatter(1, y[:, None], 0.0)
    losses = (violations if loss == "hinge" else violations**2).sum(1)
    factors = valid if at.class_weight is None else valid * at.class_weight[y]
    return losses * factors


def unfused(loss: str, at: Problem, reduction: str = "mean", smoothing: float = 0.0) -> Tensor:
    losses = rows(loss, at, smoothing)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    valid = at.target != IGNORE
    weights = torch.ones(len(at.weight)) if at.class_weight is None else at.class_weight
    return losses.sum() / (weights[torch.where(valid, at.target, 0)] * valid).sum()


def fused(loss: str, at: Problem, reduction: str = "mean", smoothing: float = 0.0, budget: int = 10**9) -> Tensor:
    more: dict[str, Any] = {"label_smoothing": smoothing} if loss == "cross_entropy" else {"delta": DELTA}
    return LOSSES[loss](
        at.x, at.weight, at.target, at.bias, reduction=reduction, ignore_index=IGNORE,
        class_weight=at.class_weight, budget=budget, **more,
    )  # fmt: skip


def doubled(at: Problem) -> Problem:
    """Return the same numbers in float64."""
    parts = (None if part is None else part.detach().double() for part in at)
    x, weight, _, bias, class_weight = parts
    return Problem(
        x.requires_grad_(), weight.requires_grad_(), at.target,
        None if bias is None else bias.requires_grad_(), class_weight,
    )  # fmt: skip
