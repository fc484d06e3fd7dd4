"""Centring and scaling of features as an affine map that is folded into W and b, so that X is never changed.

A model sees ``z = (x - mean) * scale``. Its scores ``z @ W + b`` are ``x @ W_raw + b_raw`` with

    W_raw = diag(scale) W,        b_raw = b - mean @ W_raw.
"""

from __future__ import annotations

from typing import Any

from softmargin.vectors import Vector, namespace

__all__ = ["Affine"]


class Affine:
    """The map ``z = (x - mean) * scale`` of each feature.

    Parameters
    ----------
    mean, scale : array of shape (D,)
        Float64 arrays of the same array API namespace as W and b.
    """

    def __init__(self, mean: Vector, scale: Vector) -> None:
        xp = namespace(mean)
        self.mean, self.scale = mean, scale
        self._centres, self._scales = bool(xp.any(mean != 0.0)), bool(xp.any(scale != 1.0))

    def fold(self, W: Vector, b: Vector) -> tuple[Vector, Vector]:
        """Return the W (D, C) and b (C,) that give the same scores on the stored features."""
        raw = W * self.scale[:, None] if self._scales else W
        return raw, b - self.mean @ raw if self._centres else b

    def unfold_gradient(self, raw: Vector, sums: Vector) -> Vector:
        """Return ``Σ z aᵀ`` (D, C) from ``Σ x aᵀ`` (D, C) and ``Σ a`` (C,)."""
        if self._centres:
            raw = raw - self.mean[:, None] * sums[None, :]
        return raw * self.scale[:, None] if self._scales else raw

    def transform(self, X: Any) -> Any:
        """Return the mapped features of a dense block (n, D) of the same namespace."""
        return (X - self.mean) * self.scale
