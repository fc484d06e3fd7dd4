"""The `RowState` of data in shards: rows that stay beside their shards, and how they came about.

A checkpoint holds no row. It holds the few points from which the rows follow. A resumed fit computes them again,
to the same bits: a pass for each round of the augmented Lagrangian so far.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Gradients, RowState
from softmargin.engines.rows import ArrayRows
from softmargin.engines.runner import Runner
from softmargin.engines.shard_sums import n_without
from softmargin.errors import CapabilityError
from softmargin.losses.base import Floats, Loss

__all__ = ["Flags", "Origin", "ShardRows", "restored"]


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

    def all(self) -> Iterator[Origin]:
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


@dataclass(frozen=True)
class ShardRows:
    """Rows (N, C) beside their shards.

    Attributes
    ----------
    runner : Runner
    parts : list
        A handle of `ArrayRows` per shard.
    origin : Origin
    """

    runner: Runner
    parts: list[Any]
    origin: Origin = field(repr=False)

    def scaled(self, factor: float) -> ShardRows:
        """Return the rows times a factor."""
        return self._after("scaled", ArrayRows.scaled, (factor,))

    def moved(self, target: RowState, step: float, low: float, high: float) -> ShardRows:
        """Return the rows moved towards a target, and clipped."""
        assert isinstance(target, ShardRows)
        return self._after("moved", ArrayRows.moved, (step, low, high), target)

    def non_negative(self) -> ShardRows:
        """Return max(rows, 0) in float32."""
        return self._after("non_negative", ArrayRows.non_negative, ())

    def save(self) -> NDArray[Any]:
        """Return how the rows came about, as a vector: the length of a description in JSON, it, and all points."""
        steps = list(self.origin.all())
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

    def _after(
        self, step: str, task: Callable[..., ArrayRows], numbers: tuple[float, ...], *others: ShardRows
    ) -> ShardRows:
        columns = [other.parts for other in others] + [[number] * len(self.parts) for number in numbers]
        origin = Origin(step, numbers, (self.origin, *(other.origin for other in others)))
        return ShardRows(self.runner, self.runner.run(task, self.parts, *columns), origin)


@dataclass(frozen=True)
class Flags:
    """A set of samples: their flags stay beside the shards.

    Attributes
    ----------
    runner : Runner
    parts : list
        A handle of an array of bool per shard.
    """

    runner: Runner
    parts: list[Any]

    def n_without(self, other: Any) -> int:
        """Return the number of samples that are in this set but not in the other."""
        return sum(self.runner.collect(self.runner.run(n_without, self.parts, other.parts)))


def restored(
    saved: NDArray[Any], zeros: Callable[[], ShardRows], dual: Callable[[Floats, Floats, Gradients], ShardRows]
) -> ShardRows:
    """Return the rows that `ShardRows.save` described.

    Parameters
    ----------
    saved : ndarray
    zeros : callable
        Returns rows of zeros.
    dual : callable
        Returns the dual rows at a point; one pass.
    """
    end = 1 + int(saved[0])
    found: list[ShardRows] = []
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
            apply = {"scaled": first.scaled, "moved": first.moved, "non_negative": first.non_negative}[step]
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
