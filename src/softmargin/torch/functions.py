"""The losses of a linear layer as functions of its input, weights and bias."""

from __future__ import annotations

from typing import NamedTuple

from softmargin.arguments import check_choice, check_count, check_number
from softmargin.errors import CapabilityError, DataError, ParameterError, missing_package

try:
    import torch
except ModuleNotFoundError as error:
    raise missing_package("softmargin.torch", "torch", "torch") from error
from torch import Tensor
from torch.autograd import forward_ad

from softmargin.losses.base import check_delta
from softmargin.torch.operators import linear_loss, linear_losses

__all__ = ["BUDGET", "check_smoothing", "linear_cross_entropy", "linear_hinge", "linear_squared_hinge"]

BUDGET = 256_000_000
"""Memory for a tile of scores in bytes, unless another is given."""

_REDUCTIONS = ("mean", "sum", "none")
_TARGETS = (torch.int64, torch.int32)


def linear_hinge(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None = None,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    class_weight: Tensor | None = None,
    budget: int = BUDGET,
) -> Tensor:
    """Return the multiclass SVM loss of a linear layer, without ever storing its scores.

    With ``s = x @ weight.T + bias`` the loss of a row of target y is ``Σ_{j≠y} max(0, s_j - s_y + Δ)``. Without
    class weights this is C times `torch.nn.functional.multi_margin_loss`, which divides by the number of classes.

    Parameters
    ----------
    x : Tensor of shape (..., D)
        float32, float64, float16 or bfloat16.
    weight : Tensor of shape (C, D)
        As in `torch.nn.Linear`.
    target : Tensor of shape (...)
        Class numbers 0 to C - 1, or ``ignore_index``; int64 or int32, not one-hot.
    bias : Tensor of shape (C,), optional
    delta : float, default 1.0
        The margin Δ > 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of rows that are not ignored; with ``class_weight`` by the sum of the weights
        of their targets. If all rows are ignored, it is 0.
    ignore_index : int, default -100
        Rows with this target have loss 0 and no gradient.
    class_weight : Tensor of shape (C,), optional
        Factors of the rows, by their target: the ``weight`` of losses in torch.
    budget : int, default 256_000_000
        Memory in bytes for the scores that are computed at a time.

    Returns
    -------
    Tensor of shape (), or (...) for "none"
        In float32, or float64 for float64. Under autocast the operands of products are rounded to its type.

    Raises
    ------
    DataError
        If shapes or types do not match, or a target is not a class.
    ParameterError
        If another argument is invalid.

    Examples
    --------
    >>> import torch
    >>> import softmargin as sm
    >>> x, weight = torch.zeros(4, 3, requires_grad=True), torch.zeros(10, 3)
    >>> sm.torch.linear_hinge(x, weight, torch.tensor([0, 1, 2, 3])).item()
    9.0
    """
    options = _Options("hinge", reduction, ignore_index, class_weight, budget, delta=delta)
    return _loss(x, weight, target, bias, options)


def linear_squared_hinge(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None = None,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    class_weight: Tensor | None = None,
    budget: int = BUDGET,
) -> Tensor:
    """Return the squared hinge loss of a linear layer: ``Σ_{j≠y} max(0, s_j - s_y + Δ)²`` for a row of target y.

    Without class weights this is C times `torch.nn.functional.multi_margin_loss` with ``p=2``. Parameters, the
    type of the result and errors are as in `linear_hinge`.
    """
    options = _Options("squared_hinge", reduction, ignore_index, class_weight, budget, delta=delta)
    return _loss(x, weight, target, bias, options)


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
    class_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    budget: int = BUDGET,
) -> Tensor:
    """Return the cross-entropy of a linear layer, ``log Σ_j exp s_j - s_y`` for a row of target y.

    The type of the result and errors are as in `linear_hinge`.

    Parameters
    ----------
    x, weight, target, bias, reduction, ignore_index, class_weight, budget
        As in `linear_hinge`.
    label_smoothing : float in [0, 1], default 0.0
        Share of the loss that is averaged over all classes, as in `torch.nn.functional.cross_entropy`.
    """
    smoothing = check_smoothing(label_smoothing)
    options = _Options("cross_entropy", reduction, ignore_index, class_weight, budget, smoothing=smoothing)
    return _loss(x, weight, target, bias, options)


def check_smoothing(value: float) -> float:
    """Return a label smoothing as a float, or raise a `ParameterError`."""
    number = check_number("label_smoothing", value)
    if not 0.0 <= number <= 1.0:
        raise ParameterError(f"label_smoothing must be a number from 0 to 1, got {number}.")
    return number


class _Options(NamedTuple):
    """The arguments of a function, besides the layer and its input."""

    loss: str
    reduction: str
    ignore_index: int
    class_weight: Tensor | None
    budget: int
    delta: float = 1.0
    smoothing: float = 0.0


def _loss(x: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None, options: _Options) -> Tensor:
    loss, reduction, ignore_index, class_weight, budget, delta, smoothing = options
    check_choice("reduction", reduction, _REDUCTIONS)
    check_count("budget", budget)
    check_count("ignore_index", ignore_index, least=-(1 << 63))
    check_delta(delta)
    _check_shapes(x, weight, target, bias, class_weight)
    operand, device = x.dtype, x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device) and operand != torch.float64:
        operand = torch.get_autocast_dtype(device)
    elif weight.dtype != operand:
        raise DataError(
            f"x must have the type of weight, {weight.dtype}, got {operand}; use x.to({weight.dtype})."
        )
    layer = x.reshape(target.numel(), x.shape[-1]), weight, target.reshape(-1), bias, class_weight
    if reduction == "none":
        losses = linear_losses(*layer, loss, delta, smoothing, ignore_index, budget, operand)
        return losses.reshape(target.shape)
    needs = [torch.is_grad_enabled() and part is not None and part.requires_grad for part in (x, weight, bias)]
    mean = reduction == "mean"
    return linear_loss(*layer, None, loss, delta, smoothing, ignore_index, mean, budget, operand, needs)[0]


def _check_tensors(given: dict[str, Tensor | None]) -> None:
    for name, part in given.items():
        if part is None and name in ("bias", "class_weight"):
            continue
        if not isinstance(part, Tensor):
            raise DataError(f"{name} must be a tensor, got {type(part).__name__}; use torch.as_tensor.")
        if part.is_complex():
            raise DataError(f"{name} must hold real numbers, got {part.dtype}.")
        device = given["x"].device  # type: ignore[union-attr]
        if part.device != device:
            raise DataError(f"{name} must be on the device of x, {device}, got {part.device}.")
        if torch.compiler.is_compiling():
            continue
        if forward_ad.unpack_dual(part).tangent is not None:  # type: ignore[no-untyped-call]
            raise CapabilityError(
                f"{name} must not have a tangent: losses of a linear layer have no derivatives in forward mode; "
                "use torch.nn.functional.linear and the loss of its scores."
            )


def _check_shapes(
    x: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None, class_weight: Tensor | None
) -> None:
    _check_tensors({"x": x, "weight": weight, "target": target, "bias": bias, "class_weight": class_weight})
    if weight.ndim != 2 or x.ndim < 1 or weight.shape[1] != x.shape[-1]:
        shapes = f"{_shape(x)} and {_shape(weight)}"
        raise DataError(f"x and weight must have shapes (..., D) and (C, D), got {shapes}.")
    if not x.dtype.is_floating_point:
        raise DataError(f"x must hold real numbers of a floating type, got {x.dtype}.")
    if target.shape != x.shape[:-1]:
        one_hot = target.shape == (*x.shape[:-1], len(weight))
        hint = "; for one-hot rows use target.argmax(-1)" if one_hot else ""
        raise DataError(f"target must have shape {tuple(x.shape[:-1])}, got {_shape(target)}{hint}.")
    if target.dtype not in _TARGETS:
        raise DataError(f"target must hold integers (int64 or int32), got {target.dtype}; use target.long().")
    for name, part in (("bias", bias), ("class_weight", class_weight)):
        if part is not None and part.shape != weight.shape[:1]:
            raise DataError(f"{name} must have shape ({weight.shape[0]},), got {_shape(part)}.")
    if class_weight is not None and class_weight.requires_grad:
        raise DataError("class_weight must not require a gradient; pass class_weight.detach().")


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
