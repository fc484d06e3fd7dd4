"""The losses as modules: the last linear layer of a network together with its loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from softmargin.arguments import brief
from softmargin.data import Dataset
from softmargin.errors import DataError, ParameterError
from softmargin.losses import CrossEntropy, Hinge, Loss, SquaredHinge
from softmargin.losses.base import check_delta
from softmargin.model import Model
from softmargin.objective import Objective
from softmargin.samples import Labelled
from softmargin.torch.functions import (
    BUDGET,
    check_smoothing,
    linear_cross_entropy,
    linear_hinge,
    linear_squared_hinge,
)
from softmargin.training import train

__all__ = ["LinearCrossEntropy", "LinearHinge", "LinearSquaredHinge"]


class _LinearLoss(nn.Linear):
    """A linear layer whose ``forward`` returns a loss; `scores` returns what `torch.nn.Linear` returns."""

    class_weight: Tensor | None
    _loss: ClassVar[type[Loss]]
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_weight: Tensor | None = None,
        budget: int = BUDGET,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.reduction, self.ignore_index, self.budget = reduction, ignore_index, budget
        # Moves with the layer, but is not part of its state, which is that of a linear layer.
        self.register_buffer("class_weight", class_weight, persistent=False)

    @property
    def loss(self) -> Loss:
        """The loss as an object of softmargin."""
        return self._loss()

    def _arguments(self) -> dict[str, Any]:  # no property: compilers know none of a parent class
        """Return the arguments of the function, besides the tensors of a call."""
        names = ("reduction", "ignore_index", "class_weight", "budget")
        return {name: getattr(self, name) for name in names}

    def forward(self, x: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        """Return the loss of x (..., D) with targets (...), class numbers; for predictions call `scores`."""
        return self._function(x, self.weight, target, self.bias, **self._arguments())

    def scores(self, x: Tensor) -> Tensor:
        """Return ``x @ weight.T + bias``, (..., C); ``argmax(-1)`` of them is the predicted class."""
        return super().forward(x)

    @classmethod
    def from_model(cls, model: Model, **options: Any) -> Self:
        """Return a new layer with the weights of a model; its classes are numbered as the columns of ``model.W``.

        It has the default ``class_weight``, ``reduction``, type and device, unless they are given. To keep a layer
        and its optimizer, copy only the weights: ``layer.load_state_dict(best.state_dict())``.

        Parameters
        ----------
        model : Model
            With the loss of this class.
        **options
            Arguments of the class, except the sizes and Δ, such as ``dtype`` and ``device``.

        Returns
        -------
        LinearHinge, LinearSquaredHinge or LinearCrossEntropy
            A layer of this class.

        Raises
        ------
        ParameterError
            If the model has another loss, normalizes rows, which a linear layer does not, or has a bias and the
            layer none.
        """
        if not isinstance(model, Model):
            raise ParameterError(f"model must be a Model, got {brief(model)}; softmargin.load_model reads a file.")
        if model.loss.name != cls._loss.name:
            raise ParameterError(f"model must have the loss {cls._loss.name!r}, got {model.loss.name!r}.")
        if model.preprocessing.rows != "none":
            raise ParameterError("model must be for rows as they are, got one that divides rows by their length.")
        parameters: dict[str, Any] = model.loss.parameters()
        layer = cls(model.n_features, model.n_classes, **parameters, **options)
        if layer.bias is None and model.b.any():
            raise ParameterError("bias must be True, got False for a model with b other than 0.")
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(model.W.T.copy()))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(model.b.copy()))
        return layer

    def to_model(
        self, features: Tensor | ArrayLike, target: Tensor | ArrayLike, reg: float, *, tol: float = 1e-4
    ) -> Model:
        """Return the certified optimum of a layer of this kind on frozen features.

        It minimizes F, the mean loss plus λΣW² without label smoothing; the weights of this layer are not used.
        `gap` tells how far this layer is from it, and `from_model` makes a layer of it. Compute the features in
        evaluation mode (``body.eval()``). The first fit compiles kernels, which takes up to half a minute.

        Parameters
        ----------
        features : Tensor or array-like of shape (N, D)
            The inputs of this layer.
        target : Tensor or array-like of shape (N,)
            Class numbers 0 to C - 1, each of which must occur; rows with ``ignore_index`` are left out.
        reg : float
            λ > 0. A ``weight_decay`` of 2λ of `torch.optim.SGD` is the same penalty.
        tol : float, default 1e-4
            Tolerance of the relative duality gap.

        Returns
        -------
        Model
            With ``value`` (F), ``lower_bound`` and ``gap``, and methods such as ``predict`` and ``save``.

        Raises
        ------
        DataError
            If features, targets or class weights are invalid.
        ParameterError
            If ``reg`` or ``tol`` is invalid.
        """
        X, y = self._samples(features, target)
        data = Dataset(X, y, "features")
        labelled = Labelled.check(X, y, self._row_weights(y))
        found = train(labelled, self.loss, reg, scaling="none", tol=tol, fit_intercept=self.bias is not None)
        return found.to_model(data)

    def gap(self, features: Tensor | ArrayLike, target: Tensor | ArrayLike, model: Model) -> float:
        """Return the relative duality gap (F - lower bound) / F of this layer, with the lower bound of a model.

        No weights on these features can lower F, as in `to_model`, by more than this share.

        Parameters
        ----------
        features, target
            As in `to_model`.
        model : Model
            From `to_model` of this layer for the same features and targets; its λ is used.

        Returns
        -------
        float
            From 0 for an optimal layer to 1.

        Raises
        ------
        DataError
            If features, targets or class weights are invalid.
        ParameterError
            If the model has another loss, Δ or size.
        """
        if (model.loss, *model.W.shape) != (self.loss, self.in_features, self.out_features):
            raise ParameterError(
                f"model must be of {self.loss} with {self.in_features} features and {self.out_features} classes, "
                f"got {model.loss} with {model.n_features} and {model.n_classes}."
            )
        X, y = self._samples(features, target)
        objective = Objective(self.loss, X, y, model.reg, sample_weight=self._row_weights(y))
        W = self.weight.detach().double().cpu().numpy().T
        b = np.zeros(len(W.T)) if self.bias is None else self.bias.detach().double().cpu().numpy()
        value = objective.value(W, b)
        return (value - model.lower_bound) / value

    def _samples(
        self, features: Tensor | ArrayLike, target: Tensor | ArrayLike
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return features and targets as arrays, without ignored rows."""
        X, y = _array(features), _array(target)
        if X.ndim != 2 or X.shape[1] != self.in_features or y.shape != X.shape[:1]:
            raise DataError(
                f"features and target must have shapes (N, {self.in_features}) and (N,), "
                f"got {X.shape} and {y.shape}."
            )
        kept = y != self.ignore_index
        X, y = (X, y) if kept.all() else (X[kept], y[kept])
        if not np.array_equal(np.unique(y), np.arange(self.out_features)):
            raise DataError(
                f"target must contain each class from 0 to {self.out_features - 1}, and no other; "
                f"got {brief(np.unique(y).tolist())}."
            )
        return X, y.astype(np.int64)

    def _row_weights(self, y: NDArray[np.int64]) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        weights = self.class_weight.double().cpu().numpy()
        if not weights.min() > 0.0:
            raise DataError(f"class_weight must be positive for a fit, got {brief(weights.min())}.")
        return weights[y]


class _MarginLoss(_LinearLoss):
    """A layer with a margin Δ."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, delta: float = 1.0, **options: Any
    ) -> None:
        super().__init__(in_features, out_features, bias, **options)
        self.delta = check_delta(delta)

    @property
    def loss(self) -> Loss:
        """The loss as an object of softmargin."""
        return self._loss(self.delta)  # type: ignore[call-arg]

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "delta": self.delta}


class LinearHinge(_MarginLoss):
    """A linear layer with the multiclass SVM loss: the last `torch.nn.Linear` of a network and its loss in one.

    ``layer(x, target)`` is the loss `linear_hinge` of its weights, and ``layer.scores(x)`` are the scores. Its
    ``state_dict`` is that of a `torch.nn.Linear`.

    Parameters
    ----------
    in_features, out_features : int
        The numbers of features D and of classes C.
    bias : bool, default True
    delta : float, default 1.0
        The margin Δ > 0.
    reduction : {"mean", "sum", "none"}, default "mean"
    ignore_index : int, default -100
    class_weight : Tensor of shape (C,), optional
    budget : int, default 256_000_000
        These four as in `linear_hinge`.
    device, dtype
        As in `torch.nn.Linear`.

    Examples
    --------
    >>> import torch
    >>> import softmargin as sm
    >>> layer = sm.torch.LinearHinge(64, 10)
    >>> loss = layer(torch.ones(8, 64), torch.arange(8))
    >>> loss.backward()
    >>> layer.scores(torch.ones(8, 64)).shape
    torch.Size([8, 10])
    """

    _loss, _function = Hinge, staticmethod(linear_hinge)


class LinearSquaredHinge(_MarginLoss):
    """A linear layer with the squared hinge loss, `linear_squared_hinge`.

    ``layer(x, target)`` is the loss, ``Σ_{j≠y} max(0, s_j - s_y + Δ)²``, and ``layer.scores(x)`` are the scores.

    Parameters
    ----------
    in_features, out_features, bias, delta, reduction, ignore_index, class_weight, budget, device, dtype
        As in `LinearHinge`.
    """

    _loss, _function = SquaredHinge, staticmethod(linear_squared_hinge)


class LinearCrossEntropy(_LinearLoss):
    """A linear layer with the cross-entropy of its scores, `linear_cross_entropy`.

    ``layer(x, target)`` is the loss, ``log Σ_j exp s_j - s_y``, and ``layer.scores(x)`` are the scores.

    Parameters
    ----------
    in_features, out_features, bias, reduction, ignore_index, class_weight, budget, device, dtype
        As in `LinearHinge`.
    label_smoothing : float in [0, 1], default 0.0
        As in `linear_cross_entropy`; `to_model` and `gap` are for the loss without smoothing.
    """

    _loss, _function = CrossEntropy, staticmethod(linear_cross_entropy)

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, label_smoothing: float = 0, **options: Any
    ) -> None:
        super().__init__(in_features, out_features, bias, **options)
        self.label_smoothing = check_smoothing(label_smoothing)

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "label_smoothing": self.label_smoothing}


def _array(values: Tensor | ArrayLike) -> NDArray[Any]:
    """Return values on the host; NumPy has no bfloat16."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)
