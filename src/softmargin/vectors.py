"""Vectors of a solver (W, b and gradients) as arrays of the array API, on the device of their engine."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, is_torch_array, to_device
from numpy.typing import NDArray

__all__ = ["Vector", "inner", "is_finite", "like", "namespace", "stack", "to_numpy"]

Vector: TypeAlias = Any
"""A float64 array of an engine's namespace, on its device."""


def namespace(array: Vector) -> Any:
    """Return the array API namespace of an array."""
    # NumPy is the usual case, and a namespace itself: the general look-up and its imports take a noticeable time.
    return np if isinstance(array, np.ndarray | np.generic) else array_namespace(array)


def inner(a: Vector, b: Vector) -> float:
    """Return the sum of the products of the entries of two arrays of the same shape."""
    if type(a) is np.ndarray:
        return float(np.vdot(a, b))
    xp = namespace(a)
    return float(xp.vecdot(xp.reshape(a, (-1,)), xp.reshape(b, (-1,))))


def is_finite(array: Vector) -> bool:
    """Return whether all entries are finite."""
    if type(array) is np.ndarray:
        return bool(np.isfinite(array).all())
    xp = namespace(array)
    return bool(xp.all(xp.isfinite(array)))


def stack(W: Vector, b: Vector) -> Vector:
    """Return the (D + 1, C) array of W (D, C) with b (C,) as its last row."""
    return namespace(W).concat([W, b[None, :]])


def to_numpy(array: Vector) -> NDArray[Any]:
    """Return the array as a NumPy array, without a copy if it is one."""
    if type(array) is np.ndarray:
        return array
    return np.asarray(to_device(array, "cpu") if is_torch_array(array) else array)


def like(array: Vector, values: NDArray[Any]) -> Vector:
    """Return the values as an array of the namespace and on the device of ``array``."""
    return values if is_numpy_array(array) else namespace(array).asarray(values, device=device(array))
