"""Which solver serves an objective."""

from __future__ import annotations

from softmargin.losses.base import Loss
from softmargin.objective import Capability, Problem, Traits
from softmargin.solvers.augmented_lagrangian import AugmentedLagrangian
from softmargin.solvers.base import Solver
from softmargin.solvers.descent import Descent
from softmargin.solvers.dual_ascent import DualAscent
from softmargin.solvers.lbfgs import LBFGS
from softmargin.solvers.newton import TruncatedNewton

__all__ = ["choose_solver"]

_FEW_CLASSES = 32
"""Up to this many classes a sweep of dual ascent costs several passes: the products among the rows outweigh those
with W."""

_STIFFEST, _STIFFEST_KINKED = 1.0, 0.5
"""How far the scores of a sample may follow its own dual row, on average, before dual ascent is not even tried
where sweeps cost that much; for smooth losses and others."""

_PATIENCE, _LITTLE_PATIENCE = 1000.0, 30.0
"""How many passes of dual ascent may be left before another solver takes over: less where that one is quick."""

_TINY_HESSIAN = 100
"""Up to this many weights, Newton's method with the whole Hessian costs a smooth loss little more than passes."""


def choose_solver(problem: Problem) -> Solver:
    """Return the solver for an objective, by its loss, its sizes and what its engine supports.

    Dual ascent comes first, unless there are few weights, or few classes and a sample's dual row moves its own
    scores far (long features, a small λ) and there are more samples than features; it hands over where that is
    quicker. L-BFGS serves the smooth losses, with Newton steps for those that curve in pairs and where the whole
    Hessian is a small matrix, and the augmented Lagrangian over these the hinge.
    """
    loss, traits = problem.loss, problem.traits
    primal, shape = _primal(loss, traits), traits.shape
    small, few = shape.has_small_hessian, shape.n_classes <= _FEW_CLASSES
    tiny = loss.smooth and small and shape.n_features * shape.n_classes <= _TINY_HESSIAN
    if tiny or not loss.ascends or Capability.DUAL_ASCENT not in traits.supports:
        return primal
    stiffest = _STIFFEST if loss.smooth else _STIFFEST_KINKED * loss.score_scale
    if few and not small and not shape.has_few_rows and traits.dual_stiffness > stiffest:
        return primal
    return DualAscent(primal, _LITTLE_PATIENCE if few or small else _PATIENCE)


def _primal(loss: Loss, traits: Traits) -> Solver:
    descent: Descent = LBFGS()
    has_newton = loss.curves_in_pairs or not loss.smooth or traits.shape.has_small_hessian
    if has_newton and Capability.HESSIAN in traits.supports:
        descent = TruncatedNewton(fallback=descent)
    return descent if loss.smooth else AugmentedLagrangian(descent)
