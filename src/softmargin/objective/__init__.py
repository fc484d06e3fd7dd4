"""The objective F, its interface for solvers, and the certificate."""

from softmargin.objective.certificate import Certificate, Proof, relative_gap
from softmargin.objective.objective import Objective
from softmargin.objective.problem import PenalizedLoss
from softmargin.objective.protocol import (
    Capability,
    DualState,
    LocalHessian,
    Metric,
    Point,
    Problem,
    RowState,
    Traits,
)

__all__ = [
    "Capability", "Certificate", "DualState", "LocalHessian", "Metric", "Objective", "PenalizedLoss", "Point",
    "Problem", "Proof", "RowState", "Traits", "relative_gap",
]  # fmt: skip
