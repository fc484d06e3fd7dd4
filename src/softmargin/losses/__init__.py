"""The losses, in score space only: they know nothing of data, weights or penalties."""

from softmargin.losses.base import Loss
from softmargin.losses.cross_entropy import CrossEntropy, softmax
from softmargin.losses.hinge import Hinge
from softmargin.losses.smoothed_hinge import SmoothedHinge
from softmargin.losses.squared_hinge import SquaredHinge

__all__ = ["LOSSES", "CrossEntropy", "Hinge", "Loss", "SmoothedHinge", "SquaredHinge", "softmax"]

LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (Hinge, SquaredHinge, CrossEntropy)}
"""The losses a user chooses from, by name."""
