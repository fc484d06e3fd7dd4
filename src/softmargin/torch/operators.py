"""The losses as operators of torch: opaque to compilers, with their gradients.

`linear_loss` computes the gradients of a sum or mean together with it and scales them in the backward pass.
`linear_losses` returns the loss of each row; the factors of the rows are known in the backward pass only, which
computes the scores again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from softmargin.errors import CapabilityError
from softmargin.torch.blocks import evaluate, saved_type
from softmargin.torch.layer import Setting

__all__ = ["linear_loss", "linear_losses"]

# Private to torch, which uses it to reuse memory itself; where it is missing, the graph is taken to be kept.
_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)

_TAGS = (torch.Tag.cudagraph_unsafe,)  # it reads targets on the host


@torch.library.custom_op("softmargin::linear_loss", mutates_args=(), tags=_TAGS)
def linear_loss(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None,
    class_weight: Tensor | None,
    upstream: Tensor | None,
    loss: str,
    delta: float,
    smoothing: float,
    ignore_index: int,
    mean: bool,
    budget: int,
    operand: torch.dtype,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the sum of the losses times ``upstream``, and its gradients; see `softmargin.torch.blocks`."""
    setting = Setting(loss, delta, smoothing, ignore_index, mean, budget, operand)
    losses, dx, dW, db = evaluate(x, weight, target, bias, class_weight, upstream, setting, needs)
    return losses.sum(dtype=torch.float64).to(setting.sums), dx, dW, db


@torch.library.custom_op("softmargin::linear_losses", mutates_args=(), tags=_TAGS)
def linear_losses(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None,
    class_weight: Tensor | None,
    loss: str,
    delta: float,
    smoothing: float,
    ignore_index: int,
    budget: int,
    operand: torch.dtype,
) -> Tensor:
    """Return the loss of each row, (N,)."""
    setting = Setting(loss, delta, smoothing, ignore_index, False, budget, operand)
    return evaluate(x, weight, target, bias, class_weight, None, setting, (False, False, False)).losses


@linear_loss.register_fake
def _linear_loss_fake(
    x: Tensor, weight: Tensor, target: Tensor, bias: Any, class_weight: Any, upstream: Any, loss: str,
    delta: float, smoothing: float, ignore_index: int, mean: bool, budget: int, operand: torch.dtype,
    needs: Sequence[bool],
) -> tuple[Tensor, ...]:  # fmt: skip
    sums = Setting(loss, delta, smoothing, ignore_index, mean, budget, operand).sums
    return (
        x.new_empty((), dtype=sums),
        x.new_empty(x.shape if needs[0] else 0, dtype=sums),
        weight.new_empty(weight.shape if needs[1] else 0, dtype=saved_type(weight.dtype, sums)),
        weight.new_empty(weight.shape[0] if needs[2] else 0, dtype=sums),
    )


@linear_losses.register_fake
def _linear_losses_fake(x: Tensor, weight: Tensor, *settings: Any) -> Tensor:
    return x.new_empty(x.shape[0], dtype=torch.float64 if settings[-1] == torch.float64 else torch.float32)


def _keep_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)  # zeros as large as W for the gradients, which are outputs
    ctx.mark_non_differentiable(*output[1:])
    parts = zip((inputs[0], inputs[1], inputs[3]), inputs[-1], strict=True)
    ctx.types = [part.dtype if needed else None for part, needed in parts]
    ctx.save_for_backward(*output[1:])


def _scale_gradients(ctx: Any, upstream: Tensor | None, *_: None) -> tuple[Any, ...]:
    _refuse_second_derivatives()
    found = [
        None if upstream is None or dtype is None else _scaled(saved, upstream, dtype)
        for saved, dtype in zip(ctx.saved_tensors, ctx.types, strict=True)
    ]
    return found[0], found[1], None, found[2], *[None] * 10


def _scaled(saved: Tensor, upstream: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gradient, in the memory of the saved one if this backward pass is the last: W may be large."""
    if type(saved) is Tensor and not _keeps_graph():
        return saved.mul_(upstream).to(dtype)
    return (saved * upstream).to(dtype)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.loss, ctx.delta, ctx.smoothing, ctx.ignore_index, ctx.budget, ctx.operand = inputs
    ctx.save_for_backward(*tensors)


def _gradients_of_rows(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    _refuse_second_derivatives()
    x, weight, target, bias, class_weight = ctx.saved_tensors
    needs = [ctx.needs_input_grad[k] for k in (0, 1, 3)]
    _, *gradients = linear_loss(
        x, weight, target, bias, class_weight, upstream, ctx.loss, ctx.delta, ctx.smoothing, ctx.ignore_index,
        False, ctx.budget, ctx.operand, needs,
    )  # fmt: skip
    found = [
        gradient.to(part.dtype) if needed else None
        for gradient, part, needed in zip(gradients, (x, weight, bias), needs, strict=True)
    ]
    return found[0], found[1], None, found[2], *[None] * 7


def _refuse_second_derivatives() -> None:
    if torch.is_grad_enabled():
        raise CapabilityError(
            "create_graph must be False: losses of a linear layer have no second derivatives; use "
            "torch.nn.functional.linear and the loss of its scores."
        )


def _refuse_vmap(*_: Any) -> None:
    raise CapabilityError(
        "x must not be mapped by torch.vmap: it hides which gradients of a mean or sum are needed; give x its "
        'leading dimensions, with reduction="none".'
    )


linear_loss.register_vmap(_refuse_vmap)
linear_loss.register_autograd(_scale_gradients, setup_context=_keep_gradients)
linear_losses.register_autograd(_gradients_of_rows, setup_context=_keep_inputs)
