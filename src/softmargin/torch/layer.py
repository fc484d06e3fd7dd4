"""The products of a linear layer, tile by tile: scores of some rows and some classes at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Layer", "Setting", "add_at"]

_LEAST_BLOCK = 512
"""Number of classes in a tile below which rows are cut, too: narrower products are slower."""

_GATHERED = 1024
"""Number of rows of W that are gathered at a time for the targets."""


class Setting(NamedTuple):
    """The parameters of a loss.

    Attributes
    ----------
    loss : {"hinge", "squared_hinge", "cross_entropy"}
    delta : float
        Margin Δ of the hinge losses.
    smoothing : float
        Label smoothing of cross-entropy, in [0, 1].
    ignore_index : int
        Rows with this target are left out.
    mean : bool
        Divide by the sum of the class weights of the targets.
    budget : int
        Memory for a tile in bytes.
    operand : torch.dtype
        Type to which x and W are rounded in products.
    """

    loss: str
    delta: float
    smoothing: float
    ignore_index: int
    mean: bool
    budget: int
    operand: torch.dtype

    @property
    def sums(self) -> torch.dtype:
        """Type of scores and of sums of products."""
        return torch.float64 if self.operand == torch.float64 else torch.float32


class Layer:
    """The operands of the products, all rows with a target.

    Parameters
    ----------
    x : Tensor of shape (n, D)
    weight : Tensor of shape (C, D)
    target : int64 Tensor of shape (n,)
    bias : Tensor of shape (C,), or None
    setting : Setting
    stored : torch.dtype
        Type of the operands that products take: for tensor cores the operand type, else that of the sums.
    """

    def __init__(
        self, x: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None, setting: Setting, stored: torch.dtype
    ) -> None:
        self.weight, self.target, self.operand, self.sums, self.stored = (
            weight, target, setting.operand, setting.sums, stored
        )  # fmt: skip
        self.x = x.to(self.operand).to(stored)
        self.bias = None if bias is None else bias.to(self.sums)
        cells = setting.budget // (2 * self.sums.itemsize)  # scores, and slopes or a block of dW beside them
        self.tile_rows, self.tile_classes = _tile(len(x), len(weight), x.shape[1], cells)
        cells = self.tile_rows * self.tile_classes if stored == self.sums else 0
        self._tile = x.new_empty(cells, dtype=self.sums)

    @property
    def is_one_tile(self) -> bool:
        """Whether one tile holds all scores."""
        return self.tile_rows >= len(self.x) and self.tile_classes >= len(self.weight)

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
        """Yield slices of the classes, their weights as stored, and their bias."""
        for start in range(0, len(self.weight), self.tile_classes):
            block = slice(start, min(start + self.tile_classes, len(self.weight)))
            yield block, self.as_stored(self.weight[block]), None if self.bias is None else self.bias[block]

    def edges(self) -> Tensor:
        """Return the first class of each block, and C."""
        starts = torch.arange(0, len(self.weight), self.tile_classes, device=self.target.device)
        return torch.cat([starts, starts.new_tensor([len(self.weight)])])

    def rows(self) -> Iterator[slice]:
        """Yield the rows of each tile of a block."""
        return (slice(start, start + self.tile_rows) for start in range(0, len(self.x), self.tile_rows))

    def target_weights(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield some rows at a time: their slice, x, and the weights of their targets, in the type of the sums."""
        for start in range(0, len(self.x), _GATHERED):
            rows = slice(start, start + _GATHERED)
            yield rows, self.x[rows].to(self.sums), self.as_stored(self.weight[self.target[rows]]).to(self.sums)

    def target_scores(self) -> Tensor:
        """Return s_y, (n,)."""
        scores = torch.cat([(x * weights).sum(1) for _, x, weights in self.target_weights()])
        return scores if self.bias is None else scores + self.bias[self.target]

    def as_stored(self, weights: Tensor) -> Tensor:
        """Return rows of W, rounded to the type of the operands."""
        return weights.to(self.operand).to(self.stored)

    def scores(self, rows: slice, weights: Tensor) -> Tensor:
        """Return ``x_i·w_j`` of a tile, in memory that is used again for the next."""
        x = self.x[rows]
        if self.stored == self.sums:
            return torch.mm(x, weights.T, out=self._tile[: len(x) * len(weights)].view(len(x), len(weights)))
        return self.product(x, weights.T)

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the product of operands as stored."""
        if a.is_cuda and self.stored != self.sums:
            return torch.mm(a, b, out_dtype=self.sums)
        return torch.mm(a.to(self.sums), b.to(self.sums))

    def add_product(self, total: Tensor, a: Tensor, b: Tensor) -> None:
        """Add the product of operands as stored to ``total``."""
        if self.stored == self.sums:
            total.addmm_(a, b)
        else:
            total += self.product(a, b)


def add_at(total: Tensor, index: Tensor, rows: Tensor) -> None:
    """Add rows to those of ``total`` with these numbers, which may repeat; the same bits on each call."""
    if total.is_cuda:  # sorts the numbers; `index_add_` would use atomic additions in any order
        total.index_put_((index,), rows, accumulate=True)
    else:  # one after the other; `index_put_` would use atomic additions
        total.index_add_(0, index, rows)


def _tile(n_rows: int, n_classes: int, n_features: int, cells: int) -> tuple[int, int]:
    """Return the rows and classes of a tile, such that it and a block of W have at most this number of cells.

    A tile holds all rows if that leaves wide blocks; else it is square.
    """
    rows, classes = n_rows, min(n_classes, cells // (n_rows + n_features))
    if classes < min(n_classes, _LEAST_BLOCK):
        side = max(1, int(math.sqrt(cells + 0.25 * n_features**2) - 0.5 * n_features))
        rows, classes = min(n_rows, side), min(n_classes, side)
    if classes < n_classes and classes > 64:
        classes -= classes % 64
    return rows, classes
