"""How rows beside shards came about: the few points from which they follow, to the same bits.

A checkpoint holds no row, and rows are lost with their worker. From their `Origin`, a task computes the rows of a
shard again, chunk by chunk: it reads each chunk once and repeats all steps on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Gradients, RowState
from softmargin.errors import CapabilityError
from softmargin.losses.base import Floats, Loss

__all__ = ["Origin", "loaded", "repeated"]


@dataclass(frozen=True, eq=False)
class Origin:
    """How rows were computed.

    Attributes
    ----------
    step : {"zeros", "dual", "scaled", "moved", "non_negative"}
    numbers : tuple of float
        Arguments of the step.
    parents : tuple of Origin
        Those of the rows that it was applied to.
    loss : Loss, optional
    point : tuple of ndarray, of shape (D, C) and (C,), optional
        W and b of the dual rows dL/ds at a point.
    """

    step: str
    numbers: tuple[float, ...] = ()
    parents: tuple[Origin, ...] = ()
    loss: Loss | None = None
    point: tuple[Floats, Floats] | None = None

    def scaled(self, factor: float) -> Origin:
        """Return the origin of rows times a factor."""
        return Origin("scaled", (factor,), (self,))

    def moved(self, target: RowState, step: float, low: float, high: float) -> Origin:
        """Return the origin of rows moved towards a target, and clipped."""
        assert isinstance(target, Origin)
        return Origin("moved", (step, low, high), (self, target))

    def non_negative(self) -> Origin:
        """Return the origin of max(rows, 0)."""
        return Origin("non_negative", (), (self,))

    def save(self) -> NDArray[Any]:
        """Return this as a vector: the length of a description in JSON, it, and all points."""
        steps = list(self._all())
        numbers = {id(origin): k for k, origin in enumerate(steps)}
        described = [
            [
                origin.step, origin.numbers, [numbers[id(parent)] for parent in origin.parents],
                None if origin.loss is None else [type(origin.loss).__qualname__, list(cast(Any, origin.loss))],
                None if origin.point is None else origin.point[0].shape,
            ]
            for origin in steps
        ]  # fmt: skip
        header = np.frombuffer(json.dumps(described).encode(), np.uint8).astype(np.float64)
        points = [array.ravel() for origin in steps for array in origin.point or ()]
        return np.concatenate([[float(len(header))], header, *points])

    def _all(self) -> Iterator[Origin]:
        """Yield this and all earlier steps, each once and after its parents."""
        seen: set[int] = set()
        stack = [(self, False)]
        while stack:
            origin, ready = stack.pop()
            if ready:
                yield origin
            elif id(origin) not in seen:
                seen.add(id(origin))
                stack += [(origin, True), *((parent, False) for parent in origin.parents)]


def loaded(saved: NDArray[Any]) -> Origin:
    """Return the origin that `Origin.save` described."""

    def dual(W: Floats, b: Floats, source: Gradients) -> Origin:
        assert isinstance(source.offsets, Origin | None)
        return Origin("dual", (), () if source.offsets is None else (source.offsets,), source.loss, (W, b))

    origin = repeated(saved, lambda: Origin("zeros"), dual)
    assert isinstance(origin, Origin)
    return origin


def repeated(
    saved: NDArray[Any], zeros: Callable[[], RowState], dual: Callable[[Floats, Floats, Gradients], RowState]
) -> RowState:
    """Repeat the steps that `Origin.save` described, and return the last rows.

    Parameters
    ----------
    saved : ndarray
    zeros : callable
        Returns rows of zeros.
    dual : callable
        Returns the dual rows at a point.
    """
    end = 1 + int(saved[0])
    found: list[RowState] = []
    for step, numbers, places, loss, shape in json.loads(saved[1:end].astype(np.uint8).tobytes()):
        parents = [found[place] for place in places]
        if step == "zeros":
            found.append(zeros())
        elif step == "dual":
            (D, C), (name, parameters) = shape, loss
            W, b = saved[end : end + D * C].reshape(D, C), saved[end + D * C : end + (D + 1) * C]
            end += (D + 1) * C
            source = Gradients(_loss_class(name)(*parameters), parents[0] if parents else None, keep=True)
            found.append(dual(W, b, source))
        else:
            first, *others = parents
            apply: Any = {"scaled": first.scaled, "moved": first.moved, "non_negative": first.non_negative}[step]
            found.append(apply(*others, *numbers))
    return found[-1]


def _loss_class(name: str) -> Callable[..., Loss]:
    """Return the class of a loss by its name, among those that are loaded."""
    kinds: list[Any] = [Loss]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__qualname__ == name:
            return kind
    raise CapabilityError(f"The checkpoint is of the loss {name}; import its definition first.")
