"""The losses a user chooses from, by name."""

from __future__ import annotations

from softmargin.errors import ParameterError
from softmargin.losses.base import Loss
from softmargin.losses.cross_entropy import CrossEntropy
from softmargin.losses.hinge import Hinge
from softmargin.losses.squared_hinge import SquaredHinge

__all__ = ["LOSSES", "check_loss", "make_loss"]

LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (CrossEntropy, SquaredHinge, Hinge)}
"""The losses by name; between equally good ones the first is taken."""


def make_loss(name: str | Loss, delta: float = 1.0) -> Loss:
    """Return the loss of this name; a `Loss` is returned as it is.

    Raises
    ------
    ParameterError
        If there is no loss of this name or ``delta`` is not positive.
    """
    if isinstance(name, Loss):
        return name
    if not isinstance(name, str) or name not in LOSSES:
        raise ParameterError(f"loss must be one of {', '.join(LOSSES)}, but it is {name!r}.")
    chosen = LOSSES[name]
    return chosen(delta) if "delta" in chosen._fields else chosen()  # type: ignore[attr-defined, call-arg]


def check_loss(loss: Loss) -> Loss:
    """Return the loss, or raise a `ParameterError` that says which object to pass."""
    if isinstance(loss, Loss):
        return loss
    meant: object = LOSSES.get(loss) if isinstance(loss, str) else loss
    if isinstance(meant, type) and issubclass(meant, Loss):
        raise ParameterError(f"loss must be a loss itself: pass {meant.__name__}() instead of {loss!r}.")
    raise ParameterError(f"loss must be a loss such as softmargin.Hinge(), but it is {loss!r}.")
