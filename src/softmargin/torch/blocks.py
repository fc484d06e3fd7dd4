"""A loss of a linear layer and its gradients, by blocks of classes: scores never outlive their tile.

For a row x of target y, scores ``s_j = x·w_j + b_j`` and differences ``d_j = s_j - s_y``, a margin loss is a sum
over the rivals, Σ_{j≠y} (d_j + Δ)⁺ or its squares, and cross-entropy is ``L = log(1 + Σ_{j≠y} exp d_j)``. The
gradient is

    dL/ds_j = A_j  for j ≠ y,    dL/ds_y = -Σ_{j≠y} A_j,    A_j = [d_j + Δ > 0], 2 (d_j + Δ)⁺ or exp(d_j - L).

For the margin losses A needs only s_y, so one sweep over tiles of rows and classes gives the losses and the
products ``dX = A W`` and ``dW = Aᵀ X``: three products. Cross-entropy needs a sweep for L first: four products, or
three if one tile holds all scores.

The slopes of the targets are kept out of the products, since they would be rounded to the type of the operands.
Sums are in float32 (float64 for float64), and in float64 for each row over the tiles. Their order is fixed, so the
same call gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softmargin.errors import DataError
from softmargin.torch import tiles
from softmargin.torch.factors import Factors
from softmargin.torch.layer import Layer, Setting, add_at

__all__ = ["Found", "evaluate", "saved_type"]

_SLOPES = {"hinge": 1.0, "squared_hinge": 2.0, "cross_entropy": 1.0}
"""Factor of the slopes that a tile gives."""

_HALF_SCALE = 2.0**15
"""Factor of probabilities in float16, which would underflow otherwise."""


class Found(NamedTuple):
    """Losses (N,), and the gradients of their sum in x (N, D), W (C, D) and b (C,); empty if they are not needed.

    ``x`` and ``bias`` are in the type of the sums: they are rounded once, after the factor of the upstream
    gradient. ``weight`` has the type `saved_type`.
    """

    losses: Tensor
    x: Tensor
    weight: Tensor
    bias: Tensor


def saved_type(weight: torch.dtype, sums: torch.dtype) -> torch.dtype:
    """Return the type of a gradient in W before the factor of the upstream gradient: float16 would underflow."""
    return sums if weight == torch.float16 else weight


def evaluate(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None,
    class_weight: Tensor | None,
    upstream: Tensor | None,
    setting: Setting,
    needs: Sequence[bool],
    *,
    stored: torch.dtype | None = None,
    epilogues: Any = None,
) -> Found:
    """Return the weighted losses times ``upstream``, and those gradients of their sum that are needed.

    Parameters
    ----------
    x : Tensor of shape (N, D)
    weight : Tensor of shape (C, D)
    target : integer Tensor of shape (N,)
    bias, class_weight : Tensor of shape (C,), or None
    upstream : Tensor of shape (N,), or None
        Factors of the rows.
    setting : Setting
    needs : sequence of three bool
        Whether the gradients in x, weight and bias are needed.
    stored, epilogues : optional
        The type in which operands are passed to products, and the module with the functions of `tiles`; by default
        those of the device.

    Raises
    ------
    DataError
        If a target is neither a class nor ``ignore_index``.
    """
    n_rows, sums = len(target), setting.sums
    stored = stored or (setting.operand if x.is_cuda else sums)
    kept = _rows_with_target(target, setting.ignore_index, len(weight))
    if len(kept) < n_rows:
        x, target, upstream = x[kept], target[kept], None if upstream is None else upstream[kept]
    found = Found(
        x.new_zeros(len(kept), dtype=sums),
        x.new_zeros(x.shape if needs[0] else 0, dtype=sums),
        weight.new_zeros(weight.shape if needs[1] else 0, dtype=saved_type(weight.dtype, sums)),
        weight.new_zeros(len(weight) if needs[2] else 0, dtype=sums),
    )
    if len(kept):
        with torch.autocast(x.device.type, enabled=False):  # it would round sums, too
            layer = Layer(x, weight, target.long(), bias, setting, stored)
            factors = Factors(layer, setting, class_weight, upstream)
            _Sweep(layer, factors, setting, epilogues or _epilogues(x), found).run()
    if len(kept) < n_rows:
        found = found._replace(losses=_spread(found.losses, kept, n_rows))
        if needs[0]:
            found = found._replace(x=_spread(found.x, kept, n_rows))
    return found


class _Sweep:
    """One evaluation, whose results are added to ``found``, which is zero before."""

    def __init__(self, layer: Layer, factors: Factors, setting: Setting, epilogues: Any, found: Found) -> None:
        self.layer, self.factors, self.setting, self.found = layer, factors, setting, found
        self.epilogues, self.tile = epilogues, epilogues.EPILOGUES[setting.loss]
        half = layer.stored == torch.float16 and setting.loss == "cross_entropy"
        self.scale = _HALF_SCALE if half else 1.0
        self.slope = _SLOPES[setting.loss] / self.scale
        self.terms: Tensor | None = None
        self.normal: tuple[Tensor, ...] = ()

    def run(self) -> None:
        """Add the losses, and the gradients for which there is memory."""
        target_scores = self.layer.target_scores()
        needs_gradients = any(len(gradient) for gradient in self.found[1:])
        if self.setting.loss == "cross_entropy":
            values = self.log_sums(-target_scores)
            if needs_gradients:
                self.add_gradients(-target_scores)
        else:
            values = self.add_gradients(self.setting.delta - target_scores)
        self.found.losses.copy_(self.factors.losses(values, target_scores))

    def log_sums(self, offset: Tensor) -> Tensor:
        """Return log(1 + Σ_{j≠y} exp d_j), (n,) float64; keep what makes probabilities of the terms."""
        layer = self.layer
        top, total = (offset.new_zeros(len(offset), dtype=torch.float64) for _ in range(2))
        for block, weights, bias in layer.blocks():
            for rows in layer.rows():
                scores = layer.scores(rows, weights)
                tile_top, tile_total = self.epilogues.exponential_sums(
                    scores, offset[rows], bias, layer.target[rows] - block.start, layer.is_one_tile
                )
                new = torch.maximum(top[rows], tile_top)
                total[rows] = total[rows] * torch.exp(top[rows] - new) + tile_total * torch.exp(tile_top - new)
                top[rows] = new
        # The target's term is exp(-top); if it is the largest, its 1 is left to log1p.
        values = torch.where(top == 0.0, torch.log1p(total), top + torch.log(total + torch.exp(-top)))
        share = (torch.exp(top - values) * self.scale).to(layer.sums)
        self.normal = top.to(layer.sums), share
        if layer.is_one_tile:
            self.terms = scores.mul_(share[:, None])
        return values

    def add_gradients(self, offset: Tensor) -> Tensor:
        """Add the gradients; return the losses of a margin loss, (n,) float64."""
        layer, factors, (_, dx, dW, db) = self.layer, self.factors, self.found
        height, shares, scaled = self.scaled_rows()
        classes, place = torch.unique(layer.target, return_inverse=True)
        edges = torch.bucketize(layer.edges(), classes).tolist()
        held = layer.x.new_empty((len(classes), layer.x.shape[1]) if len(dW) else 0, dtype=layer.sums)
        smooth = factors.sigma.to(layer.sums) @ layer.x.to(layer.sums) if factors.smoothing else None
        values, others = (offset.new_zeros(len(offset), dtype=torch.float64) for _ in range(2))
        for (block, weights, bias), *inside in zip(layer.blocks(), edges[:-1], edges[1:], strict=True):
            part = dW[block].to(layer.sums)  # dW itself, unless that has another type
            for rows in layer.rows():
                slopes, tile_values, tile_others = self.slopes(block, rows, weights, bias, offset)
                others[rows] += tile_others
                if tile_values is not None:
                    values[rows] += tile_values
                if len(dx):
                    layer.add_product(dx[rows], slopes, weights)
                if len(dW):
                    layer.add_product(part, slopes.T, scaled[rows])
                if len(db):
                    db[block] += layer.product(slopes.T, shares[rows, None])[:, 0]
            if len(dW):
                part *= height
                if smooth is not None:
                    part.addr_(factors.omega[block], smooth, alpha=-1.0)
                held[slice(*inside)] = part[classes[slice(*inside)] - block.start]
                if part.dtype != dW.dtype:
                    dW[block] = part
        self.add_targets(others, place, held)
        if len(dW):
            dW[classes] = held.to(dW.dtype)
        if len(db):
            db.mul_(height).sub_(factors.sigma.sum().to(layer.sums) * factors.omega)
            add_at(db, layer.target, factors.target_slopes(self.slope, others).to(layer.sums))
        return values

    def slopes(
        self, block: slice, rows: slice, weights: Tensor, bias: Tensor | None, offset: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the slopes of a tile as stored, and the sums over its classes of the losses and of the slopes."""
        layer = self.layer
        if self.terms is not None:
            slopes = self.terms.to(layer.stored)
            return slopes, None, slopes.sum(1, dtype=layer.sums)
        scores, target = layer.scores(rows, weights), layer.target[rows] - block.start
        normal = (part[rows] for part in self.normal)
        return self.tile(scores, offset[rows], bias, target, layer.stored, *normal)

    def scaled_rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest factor of a row, the shares of the rows in it, and x times these shares, as stored.

        Factors beside the largest are so small that their product with x may be rounded.
        """
        layer, factor = self.layer, self.slope * self.factors.alpha
        if self.factors.uniform:
            return factor[0].to(layer.sums), torch.ones_like(factor, dtype=layer.stored), layer.x
        height = factor.abs().amax()
        shares = (factor / torch.where(height == 0.0, 1.0, height)).to(layer.sums)
        scaled = (layer.x.to(layer.sums) * shares[:, None]).to(layer.stored)
        return height.to(layer.sums), shares.to(layer.stored), scaled

    def add_targets(self, others: Tensor, place: Tensor, held: Tensor) -> None:
        """Finish dX, and add what the targets contribute to dW to the rows of their classes, ``held``."""
        layer, factors, dx = self.layer, self.factors, self.found.x
        own = factors.target_slopes(self.slope, others).to(layer.sums)[:, None]
        factor = (self.slope * factors.alpha).to(layer.sums)[:, None]
        for rows, x, weights in layer.target_weights():
            if len(dx):
                dx[rows].mul_(factor[rows]).addcmul_(own[rows], weights)
                if factors.smoothing:
                    dx[rows].addr_(factors.sigma[rows].to(layer.sums), factors.mean_weights, alpha=-1.0)
            if len(held):
                add_at(held, place[rows], own[rows] * x)


def _epilogues(x: Tensor) -> Any:
    """Return the module with the functions of `tiles` for the device."""
    if x.is_cuda and find_spec("triton") is not None:
        import softmargin.torch.kernels

        return softmargin.torch.kernels
    return tiles


def _rows_with_target(target: Tensor, ignore_index: int, n_classes: int) -> Tensor:
    """Return the numbers of the rows whose target is not ``ignore_index``."""
    valid = target != ignore_index
    wrong = valid & ((target < 0) | (target >= n_classes))
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise DataError(
            f"target must hold classes from 0 to {n_classes - 1}, or ignore_index={ignore_index}, got "
            f"{int(target[row])} in row {row}."
        )
    return valid.nonzero()[:, 0]


def _spread(rows: Tensor, kept: Tensor, n_rows: int) -> Tensor:
    """Return the rows at their places among zeros."""
    spread = rows.new_zeros(n_rows, *rows.shape[1:])
    spread[kept] = rows
    return spread
