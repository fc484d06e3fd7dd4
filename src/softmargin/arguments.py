"""Checks of arguments: numbers, flags and arrays of real numbers."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.errors import DataError, ParameterError
from softmargin.text import truncate

__all__ = [
    "Floats", "Ints", "as_floats", "brief", "check_choice", "check_count", "check_flag", "check_nonnegative",
    "check_number", "check_reg", "check_vector", "floats_of_objects", "refuse_masked",
]  # fmt: skip

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


class _NotANumberError(DataError, TypeError):
    """An object among numbers, for which `float` and scikit-learn raise a `TypeError`."""


def check_number(name: str, value: float) -> float:
    """Return a real number as a float, or raise a `ParameterError` that names it."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"{name} must be a number, got {brief(value)}.") from None


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return an integer of at least ``least`` and at most 64 bits as an int, or raise a `ParameterError`."""
    with suppress(TypeError):
        if not isinstance(value, (bool, np.bool_)) and (number := operator.index(value)) >= least:
            if number >= 1 << 63:
                raise ParameterError(f"{name} must be an integer < 2**63, got {brief(number)}.")
            return number
    raise ParameterError(f"{name} must be an integer ≥ {least}, got {brief(value)}.")


def check_flag(name: str, value: bool) -> bool:
    """Return True or False as a bool, or raise a `ParameterError` that names it."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name} must be True or False, got {brief(value)}.")
    return bool(value)


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return one of these strings, or raise a `ParameterError` that names them."""
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(f"{name} must be one of {', '.join(map(repr, choices))}, got {brief(value)}.")
    return value


def check_nonnegative(name: str, value: float) -> float:
    """Return a finite number ≥ 0 as a float, or raise a `ParameterError` that names it."""
    number = check_number(name, value)
    if not 0.0 <= number < np.inf:
        raise ParameterError(f"{name} must be a finite number ≥ 0, got {brief(value)}.")
    return number


def check_reg(reg: float) -> float:
    """Return λ as a float, or raise a `ParameterError`."""
    return check_nonnegative("reg", reg)


def check_vector(name: str, vector: ArrayLike | None, n_features: int, default: float) -> Floats:
    """Return a finite number for each feature, or raise a `DataError`."""
    if vector is None:
        return np.full(n_features, default)
    array = as_floats(name, vector)
    if array.shape != (n_features,) or not np.isfinite(array).all():
        raise DataError(f"{name} must hold {n_features} finite numbers, one per feature.")
    return array


def refuse_masked(name: str, values: object) -> None:
    """Raise a `DataError` for a masked array, because NumPy would use the masked values."""
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{name} is a masked array, which is not supported; fill or drop the masked values.")


def as_floats(name: str, values: ArrayLike) -> Floats:
    """Return real numbers as a float64 array, or raise a `DataError` that names them."""
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    refuse_masked(name, values)
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} must be an array of real numbers, got rows of different lengths.") from None
    if array.dtype.kind == "O":
        return floats_of_objects(name, array)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} must be an array of real numbers, got dtype {array.dtype}.")
    if array.dtype == np.float64:
        return array
    with np.errstate(over="ignore"):  # a wider type may overflow; infinity is refused later
        return np.asarray(array, dtype=np.float64)


def floats_of_objects(name: str, array: NDArray[Any]) -> Floats:
    """Return an array of objects as float64, or raise a `DataError` for the first that is not a real number.

    NumPy itself would parse strings and convert None to NaN.
    """
    others = {kind for kind in set(map(type, array.flat)) if not _is_real(kind)}
    if not others:
        try:
            return array.astype(np.float64)
        except (OverflowError, ValueError):
            raise DataError(f"{name} contains a number outside the range of float64.") from None
    n_others = sum(type(value) in others for value in array.flat)
    place, value = next((place, value) for place, value in np.ndenumerate(array) if type(value) in others)
    where = ", ".join(f"{axis} {index}" for axis, index in zip(("row", "column"), place, strict=False))
    more = f", and {n_others - 1:,} more" if n_others > 1 else ""
    # scikit-learn's estimator checks look for the words "argument must be … string … number".
    raise _NotANumberError(
        f"{name} contains {brief(value)} in {where}{more}; the argument must be free of strings and other "
        f"objects and hold only real numbers."
    )


def _is_real(kind: type) -> bool:
    # NumPy's timedelta64 is a subclass of its integers.
    return issubclass(kind, (Real, Decimal, np.bool_)) and not issubclass(kind, np.timedelta64)


def brief(value: object) -> str:
    """Return a shortened repr of any value, on one line of at most 80 characters."""
    return truncate(" ".join(_SHORT.repr(value).split()), 80)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
