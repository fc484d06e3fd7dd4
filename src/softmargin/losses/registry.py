"""The losses for users, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from softmargin.arguments import brief, check_choice
from softmargin.errors import ParameterError
from softmargin.losses.base import Loss
from softmargin.losses.cross_entropy import CrossEntropy
from softmargin.losses.hinge import Hinge
from softmargin.losses.squared_hinge import SquaredHinge

__all__ = ["LOSSES", "check_loss", "check_losses", "make_loss"]

LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (CrossEntropy, SquaredHinge, Hinge)}
"""The losses by name; model selection breaks ties in this order."""


def make_loss(name: str | Loss, delta: float = 1.0) -> Loss:
    """Return the loss of this name; a `Loss` is returned unchanged.

    Raises
    ------
    ParameterError
        If no loss has this name, or ``delta`` is not positive.
    """
    if isinstance(name, Loss):
        return name
    chosen = LOSSES[check_choice("loss", name, LOSSES)]
    return chosen(delta) if "delta" in chosen._fields else chosen()  # type: ignore[attr-defined, call-arg]


def check_loss(loss: Loss) -> Loss:
    """Return the loss, or raise a `ParameterError` that names an object to pass."""
    if isinstance(loss, Loss):
        return loss
    kind: object = LOSSES.get(loss) if isinstance(loss, str) else loss
    example = f"{kind.__name__}()" if isinstance(kind, type) and issubclass(kind, Loss) else "softmargin.Hinge()"
    raise ParameterError(f"loss must be an instance of a loss, such as {example}, got {brief(loss)}.")


def check_losses(losses: Iterable[str | Loss]) -> list[Any]:
    """Return the losses as a list, or raise a `ParameterError`; its items are not checked."""
    # A loss is a tuple of its parameters.
    found = [] if isinstance(losses, (str, Loss)) or not isinstance(losses, Iterable) else list(losses)
    if not found:
        raise ParameterError(f"losses must be a list of at least one loss, got {brief(losses)}.")
    return found
