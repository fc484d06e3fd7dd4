"""A minimal engine in one file: sums over shards in memory, and only what the protocol requires."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from softmargin.affine import Affine
from softmargin.engines import DualSums, Engine, Evaluation, GivenRows, Moments, Quality, Shape
from softmargin.engines.in_memory import ArrayRows
from softmargin.engines.preconditioners import DiagonalPreconditioner
from softmargin.samples import Samples


class ChunkedToy(Engine):
    """Reads dense X shard by shard; each sum is that of the shards' sums."""

    n_passes = 0.0

    def __init__(self, samples: Samples, n_threads: int | None = None, size: int = 25) -> None:
        n, c, w = len(samples.y), samples.n_classes, samples.weights
        shares = np.bincount(samples.y, w, c)
        self.samples, self.shards = samples, [slice(i, i + size) for i in range(0, n, size)]
        self.shape = Shape(n, samples.X.shape[1], c, int((w > 0).sum()), float(w @ w), shares, np.arange(c))

    def _sum(self, part: Any) -> Any:
        """Sum over the shards what a function of their rows, features, classes and weights returns."""
        self.n_passes += 1.0
        s = self.samples
        parts = [part(r, s.X[r].astype(float), s.y[r], s.weights[r]) for r in self.shards]
        return [sum(each) for each in zip(*parts, strict=True)]

    def evaluate(self, loss, W, b, offsets=None, *, single=False, keep_scores=False):
        def part(r, X, y, w):
            S = X @ W + b + (0.0 if offsets is None else offsets.array[r])
            A = w[:, None] * loss._gradient(S, y)
            return w @ loss._values(S, y), X.T @ A, A.sum(axis=0)

        return Evaluation(W, b, *self._sum(part))

    def value(self, loss, W, b):
        return float(self.evaluate(loss, W, b).value)

    def hessian_product(self, loss, W, b, V, c, offsets=None):
        def part(r, X, y, w):
            S = X @ W + b + (0.0 if offsets is None else offsets.array[r])
            A = w[:, None] * loss._hessian_product(S, y, X @ V + c)
            return X.T @ A, A.sum(axis=0)

        return self._sum(part)

    def dual_sums(self, loss, W, b, source):
        assert not isinstance(source, GivenRows), "it has no dual ascent"
        kept = np.zeros((len(self.samples.y), len(b)), np.float32)

        def part(r, X, y, w):
            S = X @ W + b
            A = source.loss._gradient(S if source.offsets is None else S + source.offsets.array[r], y)
            kept[r], WA, one_hot = A, w[:, None] * A, np.eye(len(b))[y]
            return w @ loss._values(S, y), w @ loss._conjugate(A, y), (WA * A).sum(), X.T @ WA, one_hot.T @ WA

        return DualSums(*self._sum(part), ArrayRows(kept) if source.keep else None)

    def moments(self):
        (mean,) = self._sum(lambda r, X, y, w: (w @ X,))
        return Moments(mean, *self._sum(lambda r, X, y, w: (w @ (X - mean) ** 2,)))

    def class_features(self):
        return self._sum(lambda r, X, y, w: ((X.T * w) @ np.eye(self.shape.n_classes)[y],))[0]

    def score_square(self, G, b):
        return float(self._sum(lambda r, X, y, w: (w @ ((X @ G + b) ** 2).mean(axis=1),))[0])

    def quality(self, loss, W, b, part):
        hits = self._sum(lambda r, X, y, w: (w @ ((X @ W + b).argmax(axis=1) == y),))[0]
        return Quality(self.value(loss, W, b), float(hits))

    def mean_curvature(self, loss, W, b, offsets=None):
        c = len(b)  # Σ_j e_jᵀ H e_j / (C - 1), the directions one after the other

        def part(r, X, y, w):
            S = X @ W + b + (0.0 if offsets is None else offsets.array[r])
            unit = [np.broadcast_to(e, S.shape) for e in np.eye(c)]
            return (sum(w @ loss._hessian_product(S, y, e)[:, j] for j, e in enumerate(unit)) / (c - 1),)

        return float(self._sum(part)[0])

    def preconditioner(self, affine: Affine, moments: Moments, single: bool) -> DiagonalPreconditioner:
        return DiagonalPreconditioner((moments.variance + (moments.mean - affine.mean) ** 2) * affine.scale**2)

    def rows_from(self, saved):
        return ArrayRows(np.zeros((len(self.samples.y), self.shape.n_classes)) if saved is None else saved)

    def rounding(self):
        return float(np.finfo(float).eps * (len(self.samples.y) + 8))

    def fingerprint(self):
        return repr(self.samples)

    def with_fold(self, k: int) -> ChunkedToy:
        weights = self.samples.weights * np.bincount(self.samples.folds[k].training, minlength=len(self.samples.y))
        return ChunkedToy(replace(self.samples, weights=weights / weights.sum()))
