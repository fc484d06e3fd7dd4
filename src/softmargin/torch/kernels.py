"""The functions of `tiles` as Triton kernels, which read the scores of a tile and write its slopes once.

A program computes one row: its columns in steps, with one partial sum per lane. No program writes what another one
reads or writes, so that the same call gives the same bits.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["EPILOGUES", "STEP", "cross_entropy", "exponential_sums", "hinge", "squared_hinge"]

STEP = 1024
"""Number of columns that a program reads at a time."""

WARPS = 8
"""Number of warps of a program; with half of them the exponential of float64 spills registers."""


@triton.jit
def difference(scores, offset, bias, target, n_columns, start, STEP: tl.constexpr, HAS_BIAS: tl.constexpr):
    """Return the columns from ``start``, their d_ij, and which of them are rivals."""
    columns = start + tl.arange(0, STEP)
    inside = columns < n_columns
    values = tl.load(scores + columns, mask=inside, other=0.0)
    if HAS_BIAS:
        values += tl.load(bias + columns, mask=inside, other=0.0)
    return columns, values + offset, inside & (columns != target)


@triton.jit
def margin_rows(
    scores, slopes, offsets, bias, targets, values, others, n_columns,
    SQUARED: tl.constexpr, HAS_BIAS: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """Write the slopes of a margin loss, and the sums over a row of the losses and of the slopes."""
    row = tl.program_id(0).to(tl.int64)  # rows times columns may exceed 32 bits
    scores += row * n_columns
    slopes += row * n_columns
    offset, target = tl.load(offsets + row), tl.load(targets + row)
    value = tl.zeros([STEP], offset.dtype)
    other = tl.zeros([STEP], offset.dtype)
    for start in range(0, n_columns, STEP):
        columns, d, rival = difference(scores, offset, bias, target, n_columns, start, STEP, HAS_BIAS)
        positive = tl.where(rival & ~(d <= 0.0), d, 0.0)  # not a number stays one
        if SQUARED:
            value += positive * positive
            slope = positive.to(slopes.dtype.element_ty)
        else:
            value += positive
            slope = tl.where(positive > 0.0, 1.0, 0.0).to(slopes.dtype.element_ty)
        other += slope.to(offset.dtype)
        tl.store(slopes + columns, slope, mask=columns < n_columns)
    tl.store(values + row, tl.sum(value))
    tl.store(others + row, tl.sum(other))


@triton.jit
def exponential_rows(
    scores, offsets, bias, targets, tops, totals, n_columns,
    KEEP: tl.constexpr, HAS_BIAS: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """Write max(0, max_j d_j) and Σ_j exp(d_j - max) of a row, and (KEEP) the terms in place of the scores."""
    row = tl.program_id(0).to(tl.int64)
    scores += row * n_columns
    offset, target = tl.load(offsets + row), tl.load(targets + row)
    largest = tl.zeros([STEP], offset.dtype)
    for start in range(0, n_columns, STEP):
        columns, d, rival = difference(scores, offset, bias, target, n_columns, start, STEP, HAS_BIAS)
        largest = tl.maximum(largest, tl.where(rival, d, 0.0))
    top = tl.max(largest)
    total = tl.zeros([STEP], offset.dtype)
    for start in range(0, n_columns, STEP):
        columns, d, rival = difference(scores, offset, bias, target, n_columns, start, STEP, HAS_BIAS)
        term = tl.where(rival, tl.exp(d - top), 0.0)
        total += term
        if KEEP:
            tl.store(scores + columns, term, mask=columns < n_columns)
    tl.store(tops + row, top)
    tl.store(totals + row, tl.sum(total))


@triton.jit
def probability_rows(
    scores, slopes, offsets, bias, targets, tops, shares, others, n_columns,
    HAS_BIAS: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """Write share exp(d_j - top), and their sum over a row as stored."""
    row = tl.program_id(0).to(tl.int64)
    scores += row * n_columns
    slopes += row * n_columns
    offset, target = tl.load(offsets + row), tl.load(targets + row)
    top, share = tl.load(tops + row), tl.load(shares + row)
    other = tl.zeros([STEP], offset.dtype)
    for start in range(0, n_columns, STEP):
        columns, d, rival = difference(scores, offset, bias, target, n_columns, start, STEP, HAS_BIAS)
        slope = tl.where(rival, tl.exp(d - top) * share, 0.0).to(slopes.dtype.element_ty)
        other += slope.to(offset.dtype)
        tl.store(slopes + columns, slope, mask=columns < n_columns)
    tl.store(others + row, tl.sum(other))


def hinge(
    scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Do what `tiles.hinge` does."""
    return _margins(scores, offset, bias, target, dtype, squared=False)


def squared_hinge(
    scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Do what `tiles.squared_hinge` does."""
    return _margins(scores, offset, bias, target, dtype, squared=True)


def cross_entropy(
    scores: Tensor,
    offset: Tensor,
    bias: Tensor | None,
    target: Tensor,
    dtype: torch.dtype,
    top: Tensor,
    share: Tensor,
) -> tuple[Tensor, None, Tensor]:
    """Do what `tiles.cross_entropy` does."""
    slopes, others = torch.empty_like(scores, dtype=dtype), torch.empty_like(offset)
    _launch(probability_rows, scores, slopes, offset, bias, target, top, share, others, scores.shape[1])
    return slopes, None, others


def exponential_sums(
    scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """Do what `tiles.exponential_sums` does."""
    tops, totals = torch.empty_like(offset), torch.empty_like(offset)
    _launch(exponential_rows, scores, offset, bias, target, tops, totals, scores.shape[1], KEEP=keep)
    return tops, totals


EPILOGUES = {"hinge": hinge, "squared_hinge": squared_hinge, "cross_entropy": cross_entropy}
"""As in `tiles`."""


def _margins(
    scores: Tensor, offset: Tensor, bias: Tensor | None, target: Tensor, dtype: torch.dtype, *, squared: bool
) -> tuple[Tensor, Tensor, Tensor]:
    slopes = torch.empty_like(scores, dtype=dtype)
    values, others = torch.empty_like(offset), torch.empty_like(offset)
    _launch(margin_rows, scores, slopes, offset, bias, target, values, others, scores.shape[1], SQUARED=squared)
    return slopes, values, others


def _launch(kernel: Any, scores: Tensor, *arguments: Any, **constants: bool) -> None:
    """Run a kernel with one program for each row of the scores."""
    has_bias = not any(argument is None for argument in arguments)
    kernel[(len(scores),)](scores, *arguments, HAS_BIAS=has_bias, STEP=STEP, num_warps=WARPS, **constants)
