"""The losses as functions of scores and targets, independent of data, weights and penalties."""

from softmargin.losses.base import Loss
from softmargin.losses.cross_entropy import CrossEntropy
from softmargin.losses.hinge import Hinge
from softmargin.losses.probabilities import softmax
from softmargin.losses.registry import LOSSES, check_loss, make_loss
from softmargin.losses.smoothed_hinge import SmoothedHinge
from softmargin.losses.squared_hinge import SquaredHinge

__all__ = [
    "LOSSES", "CrossEntropy", "Hinge", "Loss", "SmoothedHinge", "SquaredHinge", "check_loss", "make_loss",
    "softmax",
]  # fmt: skip
