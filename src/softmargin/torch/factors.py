"""Factors of the rows of a batch: from class weights, label smoothing, the mean and the upstream gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from softmargin.torch.layer import Layer, Setting

__all__ = ["Factors"]


class Factors:
    """Map the losses L of the rows to what is summed.

    With class weights ω and label smoothing ε, the loss of a row of target y is, as in torch,

        (1-ε) ω_y L + ε/C Σ_j ω_j (L + s_y - s_j) = α L + σ (s_y Σ_j ω_j - x·Σ_j ω_j w_j - Σ_j ω_j b_j)

    with σ = ε/C and α = (1-ε) ω_y + σ Σ_j ω_j, so smoothing needs no further scores. Both are multiplied with the
    upstream gradient of the row and divided by Σ ω_y for a mean.

    Attributes
    ----------
    alpha, sigma : Tensor of shape (n,), float64
    uniform : bool
        Whether all rows have the same factors.
    omega : Tensor of shape (C,)
        The class weights, in the type of the sums.
    """

    def __init__(
        self, layer: Layer, setting: Setting, class_weight: Tensor | None, upstream: Tensor | None
    ) -> None:
        n, n_classes, target = len(layer.x), len(layer.weight), layer.target
        self._layer, self.smoothing = layer, setting.smoothing
        self.uniform = class_weight is None and upstream is None
        omega = layer.x.new_ones(n_classes) if class_weight is None else class_weight
        self.omega, self._sum = omega.to(layer.sums), omega.double().sum()
        own = omega.double()[target]
        base = layer.x.new_ones(n, dtype=torch.float64) if upstream is None else upstream.double()
        if setting.mean:
            total = own.sum()
            base = base / torch.where(total == 0.0, 1.0, total)
        self.sigma = base * (setting.smoothing / n_classes)
        self.alpha = base * (1.0 - setting.smoothing) * own + self.sigma * self._sum
        if self.smoothing:
            self.mean_weights, self._mean_bias = self._mean_class()

    def losses(self, values: Tensor, target_scores: Tensor) -> Tensor:
        """Return what is summed, (n,) float64, from the losses and the scores of the targets."""
        losses = self.alpha * values
        if self.smoothing:
            others = self._layer.x.to(self._layer.sums) @ self.mean_weights + self._mean_bias
            losses += self.sigma * (self._sum * target_scores.double() - others.double())
        return losses

    def target_slopes(self, slope: float, others: Tensor) -> Tensor:
        """Return the slopes at the targets, (n,) float64, from ``slope`` times the sums of the others."""
        return self.sigma * self._sum - slope * self.alpha * others

    def _mean_class(self) -> tuple[Tensor, Tensor]:
        """Return Σ_j ω_j w_j, (D,), and Σ_j ω_j b_j, in the type of the sums."""
        layer = self._layer
        weights = layer.x.new_zeros(layer.x.shape[1], dtype=torch.float64)
        for block, W, _ in layer.blocks():
            weights += self.omega[block] @ W.to(layer.sums)
        bias = self.omega.new_zeros(()) if layer.bias is None else self.omega @ layer.bias
        return weights.to(layer.sums), bias
