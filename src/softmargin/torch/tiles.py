"""The three losses on one tile of scores, in plain torch: for the CPU, and the reference of the Triton kernels.

A tile holds the products ``x_i·w_j`` of r rows and c classes. The scores relative to the target are

    d_ij = x_i·w_j + b_j + offset_i,

where the offset is minus the target's score, plus Δ for the margin losses. The target's own entry is left out of
all sums and is 0 in the slopes: it is added later, in float32, from the sum of the others.

Each function takes ``scores`` (r, c), float32 or float64, which it overwrites; ``offset`` (r,) and ``bias`` (c,)
or None in the same type; and ``target`` (r,), the column of the target, which may lie outside the tile.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["EPILOGUES", "cross_entropy", "exponential_sums", "hinge", "squared_hinge"]


def hinge(
    scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the slopes ``[d_ij > 0]`` (r, c) in ``dtype``, and the sums over c of d⁺ and of the slopes, (r,)."""
    positive = _differences(scores, offset, bias, target, 0.0).clamp_min_(0.0)
    values = positive.sum(1)
    slopes = positive.sign_()
    return slopes.to(dtype), values, slopes.sum(1)


def squared_hinge(
    scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return half the slopes, ``d_ij⁺`` (r, c), in ``dtype``, and the sums of (d⁺)² and of d⁺ as stored, (r,)."""
    positive = _differences(scores, offset, bias, target, 0.0).clamp_min_(0.0)
    values = torch.linalg.vector_norm(positive, dim=1).square_()
    slopes = positive.to(dtype)
    return slopes, values, slopes.sum(1, dtype=scores.dtype)


def cross_entropy(
    scores: Tensor,
    offset: Tensor,
    bias: Tensor | None,
    target: Tensor,
    dtype: torch.dtype,
    top: Tensor,
    share: Tensor,
) -> tuple[Tensor, None, Tensor]:
    """Return ``share_i exp(d_ij - top_i)`` (r, c) in ``dtype``, None, and their sums as stored, (r,).

    With the largest ``top`` over all tiles the terms are those of `exponential_sums`, at most 1 for any scores.
    """
    differences = _differences(scores, offset, bias, target, -torch.inf)
    slopes = differences.sub_(top[:, None]).exp_().mul_(share[:, None]).to(dtype)
    return slopes, None, slopes.sum(1, dtype=scores.dtype)


def exponential_sums(
    scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """Return ``top_i = max(0, max_j d_ij)`` and ``Σ_j exp(d_ij - top_i)``, (r,); ``scores`` become the terms.

    Without ``keep`` the terms may be left out.
    """
    differences = _differences(scores, offset, bias, target, -torch.inf)
    top = differences.amax(1).clamp_min_(0.0)
    return top, differences.sub_(top[:, None]).exp_().sum(1)


EPILOGUES = {"hinge": hinge, "squared_hinge": squared_hinge, "cross_entropy": cross_entropy}
"""What makes slopes of a tile, by the name of the loss."""


def _differences(scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, fill: float) -> Tensor:
    """Return d in place of the scores, with ``fill`` at the targets."""
    if bias is not None:
        scores += bias
    scores += offset[:, None]
    rows, column = torch.arange(len(scores), device=scores.device), target.clamp(0, scores.shape[1] - 1)
    scores[rows, column] = scores[rows, column].masked_fill(column == target, fill)
    return scores
