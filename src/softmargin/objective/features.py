"""The features as an objective sees them: an engine, an affine map, and what was computed from both alone.

It is shared by all losses and λ, and, as far as the preconditioner goes, by all folds.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from softmargin.affine import Affine
from softmargin.engines import Capability, Engine, Moments, Preconditioner
from softmargin.errors import DataError
from softmargin.threads import ForkLock
from softmargin.vectors import Vector, namespace, to_numpy

__all__ = ["Features"]

_SINGLE_RANGE = 1e24
"""Squares of features up to this size, and down to its inverse, are multiplied in float32."""

_LARGE = 1 << 22
"""From this many multiplications in X @ W on, single precision is faster."""

_TINY = float(np.finfo(np.float64).tiny)

_MAKING = ForkLock()
"""Held while a preconditioner is made, for which folds that are fitted concurrently wait."""


class Features:
    """Features ``z = (x - mean) * scale`` of the X that an engine reads.

    Parameters
    ----------
    engine : Engine
    affine : Affine
    moments : Moments, optional
        Of the stored features, if they are known already.
    origin : array of shape (D,), optional
        The mean of the map in which the result will be given; by default that of ``affine``.
    steering : Features, optional
        Those whose preconditioner serves for these, too: the same X with other weights.
    """

    def __init__(
        self,
        engine: Engine,
        affine: Affine,
        moments: Moments | None = None,
        origin: Vector | None = None,
        steering: Features | None = None,
    ) -> None:
        self.engine, self.affine = engine, affine
        self.origin = affine.mean if origin is None else origin
        self._steering = steering
        self._preconditioner: Preconditioner | None = None
        if moments is not None:
            self.moments = moments

    @cached_property
    def moments(self) -> Moments:
        """Weighted mean and variance of each feature as it is stored; two passes, once."""
        with np.errstate(over="ignore", invalid="ignore"):
            moments = self.engine.moments()
        finite = namespace(moments.variance).isfinite(moments.variance)
        if not namespace(finite).all(finite):
            column = int(np.argmin(to_numpy(finite)))
            raise DataError(f"Column {column} of X holds numbers too large to be squared.")
        return moments

    @cached_property
    def class_sums(self) -> Vector:
        """Weighted sum of the mapped features of each class, (D, C); one pass, once."""
        shares = self.engine.asarray(self.engine.shape.class_weights)
        return self.affine.unfold_gradient(self.engine.class_features(), shares)

    @cached_property
    def centred(self) -> Features:
        """The same features with their mean taken off, which frees the bias from the weights."""
        with _MAKING.lock:  # folds that are fitted concurrently ask for the same
            steering = self._steering and self._steering.centred
        affine = Affine(self.moments.mean, self.affine.scale)
        return Features(self.engine, affine, self.moments, self.affine.mean, steering)

    def scaled(self, scale: Vector) -> Features:
        """Return the features with another scale."""
        return Features(self.engine, Affine(self.affine.mean, scale), self.moments, steering=self._steering)

    def fold(self, k: int) -> Features:
        """Return the features of the training part of a fold."""
        return Features(self.engine.with_fold(k), self.affine, steering=self)

    @cached_property
    def _mapped_squares(self) -> Vector:
        """Mean square of each mapped feature, (D,)."""
        mean, variance = self.moments
        return (variance + (mean - self.affine.mean) ** 2) * self.affine.scale**2

    @cached_property
    def mean_square_length(self) -> float:
        """Mean square of the length of a mapped sample."""
        return float(namespace(self._mapped_squares).sum(self._mapped_squares))

    @cached_property
    def fits_single(self) -> bool:
        """Whether float32 products of the mapped features, and their scales, stay far inside its range."""
        xp = namespace(self.affine.scale)
        largest = float(xp.max(self._mapped_squares)), float(xp.max(self.affine.scale))
        return all(1.0 / _SINGLE_RANGE < size < _SINGLE_RANGE for size in largest)

    @cached_property
    def prefers_single(self) -> bool:
        """Whether products in float32 are possible, and there is so much work that they pay off."""
        has_single = Capability.SINGLE in self.engine.supports
        return has_single and self.engine.shape.n_products >= _LARGE and self.fits_single

    @cached_property
    def stored_squares(self) -> Vector:
        """Mean square of each feature as it is stored, (D,), and what may be lost of tiny squares."""
        mean, variance = self.moments
        return variance + mean**2 + _TINY

    @cached_property
    def uncentred_sizes(self) -> Vector:
        """Root mean square of each feature and its mean, (D,), before centring, in the scale of the features."""
        xp = namespace(self.affine.scale)
        return xp.sqrt(self.stored_squares + self.affine.mean**2) * xp.abs(self.affine.scale)

    def preconditioner(self) -> Preconditioner:
        """Return the preconditioner of these features, made once."""
        steering = self._steering
        if steering is not None and not (self._has_few_rows or steering._has_few_rows):
            return steering.preconditioner()
        with _MAKING.lock:
            if self._preconditioner is None:
                self._preconditioner = self.engine.preconditioner(self.affine, self.moments, self.fits_single)
        return self._preconditioner

    @property
    def _has_few_rows(self) -> bool:
        return self.engine.shape.has_few_rows
