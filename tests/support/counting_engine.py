"""An engine that checks how the protocol is used; its vectors are those of `array_api_strict`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import array_api_strict
import numpy as np

from softmargin.affine import Affine
from softmargin.engines import Capability, DualSums, Engine, Evaluation, RowState
from softmargin.engines.reference import ReferenceEngine
from softmargin.losses.base import Loss
from softmargin.samples import Samples

StrictArray = type(array_api_strict.zeros(1))


class Border:
    """Checks and counts the calls between an engine and its users, and the bytes in each direction.

    Parameters
    ----------
    n_samples : int
        N: no array with an axis of this length may cross.
    """

    def __init__(self, n_samples: int) -> None:
        self.n_samples = n_samples
        self.calls: Counter[str] = Counter()
        self.bytes_in = self.bytes_out = 0

    def to_engine(self, value: Any) -> Any:
        """Return what the wrapped engine takes; vectors must be strict arrays, and class sums NumPy's."""
        if isinstance(value, StrictArray | np.ndarray):
            array = np.asarray(value)
            self._check(array)
            self.bytes_in += array.nbytes
            return array
        return self._converted(value, self.to_engine)

    def to_user(self, value: Any) -> Any:
        """Return what solvers see: vectors as strict arrays, rows of samples as handles."""
        if isinstance(value, np.ndarray):
            self._check(value)
            self.bytes_out += value.nbytes
            return array_api_strict.asarray(value)
        found = self._converted(value, self.to_user)
        return found._replace(classes=value.classes) if isinstance(value, DualSums) else found

    def _converted(self, value: Any, convert: Callable[[Any], Any]) -> Any:
        if isinstance(value, Loss) or value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, tuple) and hasattr(value, "_make"):
            return value._make(convert(part) for part in value)
        if isinstance(value, list | tuple):
            return [convert(part) for part in value]
        if isinstance(value, Affine):
            return Affine(convert(value.mean), convert(value.scale))
        if isinstance(value, Handle):
            return value.inside
        if hasattr(value, "save"):
            return Rows(value, self)
        if is_dataclass(value):
            return replace(value, **{field.name: convert(getattr(value, field.name)) for field in fields(value)})
        raise AssertionError(f"{value!r} is not part of the protocol")

    def _check(self, array: np.ndarray) -> None:
        assert self.n_samples not in array.shape, f"an array of shape {array.shape} crosses the protocol"


@dataclass(frozen=True)
class Handle:
    """A handle for an object that stays with the engine."""

    inside: Any
    border: Border


class Rows(Handle):
    """A `RowState` that gives access to its numbers only through `save`."""

    def scaled(self, factor: float) -> Rows:
        return Rows(self.inside.scaled(factor), self.border)

    def moved(self, target: RowState, step: float, low: float, high: float) -> Rows:
        assert isinstance(target, Rows)
        return Rows(self.inside.moved(target.inside, step, low, high), self.border)

    def non_negative(self) -> Rows:
        return Rows(self.inside.non_negative(), self.border)

    def save(self) -> Any:
        self.border.calls["save"] += 1
        return self.inside.save()


class Solves(Handle):
    """A `Preconditioner` or `Hessian`, with strict arrays."""

    @property
    def limitation(self) -> str:
        return self.inside.limitation

    def solve(self, *arguments: Any) -> Any:
        self.border.calls["solve"] += 1
        return self.border.to_user(self.inside.solve(*map(self.border.to_engine, arguments)))

    def blocks(self, reg: float, floor: float | None) -> Any:
        found = self.inside.blocks(reg, floor)
        return found and Solves(found, self.border)

    def product(self, single: bool) -> Any:
        product, border = self.inside.product(single), self.border
        return product and (lambda *V: border.to_user(product(*map(border.to_engine, V))))


class CountingEngine(Engine):
    """Wraps the reference engine; supports only sums over all samples, and gives no access to rows.

    It is what `Objective` takes as its ``engine``.

    Attributes
    ----------
    border : Border
        Counts of the calls and bytes.
    """

    xp = array_api_strict

    def __init__(self, samples: Samples | ReferenceEngine, n_threads: int | None = None) -> None:
        self._engine = samples if isinstance(samples, ReferenceEngine) else ReferenceEngine(samples)
        self.shape = self._engine.shape
        sizes = {self.shape.n_features, self.shape.n_features + 1, self.shape.n_classes}
        assert self.shape.n_samples not in sizes, "N must differ from every other size"
        self.border = Border(self.shape.n_samples)

    @property
    def n_passes(self) -> float:
        return self._engine.n_passes

    def asarray(self, array: Any) -> Any:
        return self.border.to_user(np.asarray(array, dtype=np.float64))

    def _call(self, name: str, *arguments: Any, **more: Any) -> Any:
        self.border.calls[name] += 1
        for array in arguments[1:3] if name in _AT_A_POINT else ():
            assert isinstance(array, StrictArray), f"{name} needs vectors of the engine's, not {type(array)}"
        given = [self.border.to_engine(argument) for argument in arguments]
        return self.border.to_user(getattr(self._engine, name)(*given, **more))

    def evaluate(
        self, loss: Loss, W: Any, b: Any, offsets: RowState | None = None, *, single: bool = False,
        keep_scores: bool = False,
    ) -> Evaluation:  # fmt: skip
        assert not single, "this engine has no float32"
        return self._call("evaluate", loss, W, b, offsets, keep_scores=keep_scores)

    def value(self, *arguments: Any) -> Any:
        return self._call("value", *arguments)

    def hessian_product(self, *arguments: Any) -> Any:
        return self._call("hessian_product", *arguments)

    def dual_sums(self, *arguments: Any) -> Any:
        return self._call("dual_sums", *arguments)

    def mean_curvature(self, *arguments: Any) -> Any:
        return self._call("mean_curvature", *arguments)

    def score_square(self, *arguments: Any) -> Any:
        return self._call("score_square", *arguments)

    def quality(self, *arguments: Any) -> Any:
        return self._call("quality", *arguments)

    def moments(self) -> Any:
        return self._call("moments")

    def class_features(self) -> Any:
        return self._call("class_features")

    def rounding(self) -> Any:
        return self._call("rounding")

    def fingerprint(self) -> Any:
        return self._call("fingerprint")

    def rows_from(self, saved: Any) -> Rows:
        self.border.calls["rows_from"] += 1
        return Rows(self._engine.rows_from(saved), self.border)

    def preconditioner(self, affine: Affine, moments: Any, single: bool) -> Solves:
        self.border.calls["preconditioner"] += 1
        given = map(self.border.to_engine, (affine, moments))
        return Solves(self._engine.preconditioner(*given, single), self.border)

    def with_fold(self, k: int) -> CountingEngine:
        self.border.calls["with_fold"] += 1
        fold = type(self)(self._engine.with_fold(k))
        fold.border = self.border
        return fold


_AT_A_POINT = {"evaluate", "value", "hessian_product", "dual_sums", "mean_curvature", "quality"}


class HessianCountingEngine(CountingEngine):
    """A `CountingEngine` that supports Hessians, too."""

    supports = frozenset({Capability.HESSIAN})

    def hessian(self, loss: Loss, at: Evaluation, affine: Affine) -> Solves | None:
        self.border.calls["hessian"] += 1
        given = map(self.border.to_engine, (at, affine))
        found = self._engine.hessian(loss, *given)
        return None if found is None else Solves(found, self.border)
