"""What every engine is: the thing that walks X once and knows neither penalty nor preprocessing.

Conventions
-----------
Inside an engine X is the stored array, untouched. ``W`` is (D, C) float64, ``b`` is (C,) float64, weights
are normalised to sum to one, and only samples with positive weight are visited. ``dual`` rows are
``dL/ds``. Every result is float64, and its bits do not depend on the number of threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.errors import DataError
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.mapped import MappedFile
from softmargin.threads import Workers

__all__ = ["DualSums", "Engine", "Kernel", "Product", "Samples", "sum_in_order"]


class DualSums(NamedTuple):
    """Weighted sums over the dual rows of all samples, made in one pass.

    Attributes
    ----------
    value : float
        Σ ω_i L(s_i, y_i), without offsets.
    conjugate : float
        Σ ω_i L*(a_i).
    square : float
        Σ ω_i ‖a_i‖².
    features : ndarray of shape (D, C)
        Σ ω_i x_i a_iᵀ.
    classes : ndarray of shape (C, C)
        Row c is the sum of ω_i a_i over the samples of class c.
    """

    value: float
    conjugate: float
    square: float
    features: Floats
    classes: Floats


Product: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""A symmetric matrix, as what it makes of a direction (V, c), shapes (D, C) and (C,)."""


class Kernel:
    """A function whose first arguments are losses, compiled: into the cache on disk for our own losses only.

    The index of Numba's cache names the type of the loss. One that another program cannot import (from a
    notebook, say) would make the whole index unreadable there.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._cached: Any = numba.njit(nogil=True, cache=True)(function)
        self._foreign: Any = numba.njit(nogil=True)(function)

    def of(self, *losses: Loss) -> Any:
        """Return the compiled function that serves these losses."""
        ours = all(type(loss).__module__.startswith("softmargin.") for loss in losses)
        return self._cached if ours else self._foreign


@dataclass(frozen=True)
class Samples:
    """The samples an engine walks over.

    Attributes
    ----------
    X : ndarray or CSR array of shape (N, D)
        Features in the type they are stored in.
    y : ndarray of shape (N,), int64
        Class numbers 0 … C-1.
    weights : ndarray of shape (N,), float64
        Non-negative, summing to one; samples of weight 0 are never visited.
    n_classes : int
        C.
    """

    X: Any
    y: Ints
    weights: Floats
    n_classes: int


class Engine(ABC):
    """Walks over `Samples`; every method that returns sums over the samples is one pass.

    Attributes
    ----------
    samples : Samples
    rows : ndarray of int64
        Numbers of the samples of positive weight, ascending.
    workers : Workers
        The threads it works with.
    has_single : bool
        Whether float32 holds X.
    """

    has_single = False

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.rows: Ints = np.flatnonzero(samples.weights > 0.0)
        self.workers = Workers(1)
        self._rows_read = 0
        self._file = MappedFile(samples.X)
        self._file.check(DataError)

    @property
    def n_passes(self) -> float:
        """How often X was read so far; a walk over a part of the rows counts as that part."""
        return self._rows_read / max(1, len(self.rows))

    def count(self, n_rows: int) -> None:
        """Note that so many rows are read now, or raise a `DataError` if X is mapped from a file that changed."""
        self._file.check(DataError)
        self._rows_read += n_rows  # a whole number: fits that were interrupted must not round differently

    @abstractmethod
    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> NDArray[Any]:
        """Return a dense copy of any rows of X: of the ``dtype``, but float64 where float32 cannot hold X."""

    def preprocessed_rows(self, rows: Ints, mean: Floats, scale: Floats, dtype: Any = np.float64) -> NDArray[Any]:
        """Return ``(X[rows] - mean) * scale`` as a dense array of the ``dtype``."""
        Z = self.dense_rows(rows, dtype)
        nearest = mean.astype(Z.dtype)
        if nearest.any():
            Z -= nearest  # close to the mean this is exact, and what float32 cannot hold of the mean follows
        rest = (mean - nearest).astype(Z.dtype)
        if rest.any():
            Z -= rest
        if (scale != 1.0).any():
            Z *= scale.astype(Z.dtype)
        return Z.astype(dtype, copy=False)

    @abstractmethod
    def scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        """Return ``X[rows] @ W + b``, shape (len(rows), C)."""

    @abstractmethod
    def value(self, loss: Loss, W: Floats, b: Floats, offsets: Floats | None = None) -> float:
        """Return Σ ω_i L(s_i, y_i), where s_i = x_i W + b, plus row i of ``offsets`` (N, C) if given."""

    @abstractmethod
    def value_and_grad(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        offsets: Floats | None = None,
        keep: NDArray[Any] | None = None,
        single: bool = False,
    ) -> tuple[float, Floats, Floats]:
        """Return the value and its gradient in W (D, C) and b (C,); write the scores plus offsets into ``keep``.

        With ``single`` the products may be made in float32.
        """

    def values_and_grads(
        self, loss: Loss, W: Floats, b: Floats, weights: Floats | None = None, single: bool = False
    ) -> tuple[Floats, Floats, Floats]:
        """Return the values (K,) at K points and their gradients, (K, D, C) and (K, C): one reading, if it can.

        ``weights`` (K, N) are those of each point, by default always those of the samples: they sum to one and are
        0 where these are.
        """
        found = []
        for k in range(len(W)):
            engine = self if weights is None else self.weighted(weights[k])
            found.append(engine.value_and_grad(loss, W[k], b[k], single=single))
            if engine is not self:
                self.count(len(engine.rows))
        values, G, g = (np.array(part) for part in zip(*found, strict=True))
        return values, G, g

    def weighted(self, weights: Floats) -> Engine:
        """Return an engine for the same samples with other weights, and the same threads."""
        other = type(self)(replace(self.samples, weights=weights))
        other.workers = self.workers
        return other

    @abstractmethod
    def hessian_product(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        V: Floats,
        c: Floats,
        offsets: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian at (W, b) with the direction (V, c)."""

    @abstractmethod
    def pair_products(self, rows: Ints, wrong: Ints, right: Ints, factors: Floats) -> Product:
        """Return the product with ``Σ_k factor_k (x_k (e_j - e_y)ᵀ)(x_k (e_j - e_y)ᵀ)ᵀ``, about: in float32.

        Pair k is of row ``rows[k]`` and the classes j = ``wrong[k]`` and y = ``right[k]``, by which they are
        sorted.
        """

    @abstractmethod
    def dual_sums(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        source: Loss,
        offsets: Floats | None = None,
        dual: tuple[NDArray[Any], Floats] | None = None,
        keep: NDArray[Any] | None = None,
    ) -> DualSums:
        """Return the value of ``loss`` at (W, b), and the sums of dual rows with its conjugate.

        The rows are dL/ds of ``source`` at the scores plus offsets, or those given as ``dual``: rows (N, C),
        made feasible for ``loss`` and tilted by a shift (C,). They are written into ``keep`` (N, C), if given.
        """

    @abstractmethod
    def moments(self) -> tuple[Floats, Floats]:
        """Return the weighted mean and variance of each feature, both (D,)."""

    @abstractmethod
    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class, shape (D, C)."""

    @abstractmethod
    def covariance(self, mean: Floats, scale: Floats, rows: Ints, single: bool = False) -> Floats:
        """Return the weighted second moment (D, D) of ``(x - mean) * scale`` over ``rows``.

        With ``single`` the products may be made in float32.
        """

    @abstractmethod
    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""


def sum_in_order(parts: list[Floats]) -> Floats:
    """Return the sum of the parts, added from the first to the last."""
    total = parts[0].copy(order="K")
    for part in parts[1:]:
        total += part
    return total
