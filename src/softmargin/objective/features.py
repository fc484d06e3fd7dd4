"""The features of an objective: an engine, an affine map, and quantities computed from these two alone.

All losses and λ share them. All folds share the preconditioner.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from softmargin.affine import Affine
from softmargin.engines import Capability, Engine, Moments, Preconditioner
from softmargin.errors import DataError
from softmargin.preprocessing import constant_columns
from softmargin.threads import ForkLock
from softmargin.vectors import Vector, namespace, stack, to_numpy

__all__ = ["Features"]

_SINGLE_RANGE = 1e24
"""Mean squares of features between the inverse of this and this are safe for float32 products."""

_LARGE = 1 << 22
"""From this number of multiplications in X @ W on, float32 is faster."""

_TINY = float(np.finfo(np.float64).tiny)

_MAKING = ForkLock()
"""Held while a preconditioner is computed; folds that are fitted concurrently wait for it."""


class Features:
    """Features ``z = (x - mean) * scale`` of the X that an engine reads.

    Parameters
    ----------
    engine : Engine
    affine : Affine
    moments : Moments, optional
        Moments of the stored features, if already known.
    origin : array of shape (D,), optional
        The mean of the affine map of the result; by default that of ``affine``.
    whole : Features, optional
        Features of all folds: the same X with other weights. Their preconditioner is used here, too.
    dropped : array of shape (D,), bool, optional
        Which features the map sets to 0, because they are constant; by default none is.
    """

    def __init__(
        self,
        engine: Engine,
        affine: Affine,
        moments: Moments | None = None,
        origin: Vector | None = None,
        whole: Features | None = None,
        dropped: Vector | None = None,
    ) -> None:
        self.engine, self.affine = engine, affine
        self.origin = affine.mean if origin is None else origin
        self._whole, self.dropped = whole, dropped
        self._preconditioner: Preconditioner | None = None
        if moments is not None:
            self.moments = moments

    @cached_property
    def moments(self) -> Moments:
        """Weighted mean and variance of each stored feature; two passes, once."""
        with np.errstate(over="ignore", invalid="ignore"):
            moments = self.engine.moments()
        finite = namespace(moments.variance).isfinite(moments.variance)
        if not namespace(finite).all(finite):
            column = int(np.argmin(to_numpy(finite)))
            raise DataError(f"Column {column} of X contains values too large to be squared; scale the features.")
        return moments

    @cached_property
    def constant(self) -> Vector:
        """Which stored features are constant, up to the rounding errors of their variance, (D,) bool."""
        mean, variance = map(to_numpy, self.moments)
        return namespace(self.affine.scale).asarray(constant_columns(mean, variance, self.engine.rounding()))

    @cached_property
    def class_sums(self) -> Vector:
        """Weighted sum of the mapped features of each class, (D, C); one pass, once."""
        shares = self.engine.asarray(self.engine.shape.class_weights)
        return self.affine.unfold_gradient(self.engine.class_features(), shares)

    @cached_property
    def has_equal_means(self) -> bool:
        """Whether the mean features of all classes are 0 up to rounding errors.

        At W = 0 the gradient of any loss is a combination of the sums over the classes. The error of a sum is at
        most the engine's ``rounding`` times the root mean square of the feature; four times that covers centring,
        for which another sum is subtracted.
        """
        xp, bound = namespace(self.affine.scale), 4.0 * self.engine.rounding() * self.uncentred_sizes
        return bool(xp.all(xp.abs(self.class_sums) <= bound[:, None]))

    @cached_property
    def centred(self) -> Features:
        """The same features with mean zero, which decouples the bias from the weights.

        Constant features become 0, and so do their weights: the free bias, which is not penalized, replaces them.
        """
        with _MAKING.lock:  # folds that are fitted concurrently share the result
            whole = self._whole and self._whole.centred
        scale, dropped, xp = self.affine.scale, None, namespace(self.affine.scale)
        if bool(xp.any(self.constant)):
            scale, dropped = xp.where(self.constant, 0.0, scale), self.constant
        return Features(
            self.engine, Affine(self.moments.mean, scale), self.moments, self.affine.mean, whole, dropped
        )

    def without_constant(self, V: Vector) -> Vector:
        """Return V (D + 1, C), rows of W and b, with zeros in the rows of features that were dropped."""
        if self.dropped is None:
            return V
        xp = namespace(V)
        return stack(xp.where(self.dropped[:, None], 0.0, V[:-1, :]), V[-1, :])

    def scaled(self, scale: Vector) -> Features:
        """Return the features with another scale."""
        return Features(self.engine, Affine(self.affine.mean, scale), self.moments, whole=self._whole)

    def fold(self, k: int) -> Features:
        """Return the features of the training part of fold ``k``."""
        return Features(self.engine.with_fold(k), self.affine, whole=self)

    @cached_property
    def _mapped_squares(self) -> Vector:
        """Mean square of each mapped feature, (D,)."""
        mean, variance = self.moments
        return (variance + (mean - self.affine.mean) ** 2) * self.affine.scale**2

    @cached_property
    def mean_square_length(self) -> float:
        """Mean squared length of a mapped sample."""
        return float(namespace(self._mapped_squares).sum(self._mapped_squares))

    @cached_property
    def fits_single(self) -> bool:
        """Whether products of the mapped features, and their scales, stay well inside the range of float32."""
        xp = namespace(self.affine.scale)
        largest = float(xp.max(self._mapped_squares)), float(xp.max(self.affine.scale))
        return all(1.0 / _SINGLE_RANGE < size < _SINGLE_RANGE for size in largest)

    @cached_property
    def prefers_single(self) -> bool:
        """Whether float32 products are possible, and faster because there is enough work."""
        has_single = Capability.SINGLE in self.engine.supports
        return has_single and self.engine.shape.n_products >= _LARGE and self.fits_single

    @cached_property
    def stored_squares(self) -> Vector:
        """Mean square of each stored feature, (D,), plus an allowance for underflow."""
        mean, variance = self.moments
        return variance + mean**2 + _TINY

    @cached_property
    def uncentred_sizes(self) -> Vector:
        """Root mean square of each feature before centring, plus its mean, in the scale of the map, (D,)."""
        xp = namespace(self.affine.scale)
        return xp.sqrt(self.stored_squares + self.affine.mean**2) * xp.abs(self.affine.scale)

    @property
    def limitation(self) -> str:
        """Why fits may converge slowly, as a sentence: a limitation of the preconditioner, if one was needed."""
        if self._preconditioner is not None:
            return self._preconditioner.limitation
        return "" if self._whole is None else self._whole.limitation

    def preconditioner(self) -> Preconditioner:
        """Return the preconditioner of these features, computed once."""
        whole = self._whole
        if whole is not None and not (self.engine.shape.has_few_rows or whole.engine.shape.has_few_rows):
            return whole.preconditioner()
        with _MAKING.lock:
            if self._preconditioner is None:
                self._preconditioner = self.engine.preconditioner(self.affine, self.moments, self.fits_single)
        return self._preconditioner
