"""The default solver of an objective."""

from __future__ import annotations

from softmargin.losses.base import Loss
from softmargin.objective import Capability, Problem, Traits
from softmargin.solvers.augmented_lagrangian import AugmentedLagrangian
from softmargin.solvers.base import Solver
from softmargin.solvers.continuation import Continuation
from softmargin.solvers.descent import Descent
from softmargin.solvers.dual_ascent import DualAscent
from softmargin.solvers.lbfgs import LBFGS
from softmargin.solvers.newton import TruncatedNewton

__all__ = ["choose_solver"]

_FEW_CLASSES = 32
"""Up to this many classes a sweep of dual ascent costs several passes, most of it for products between rows."""

_STIFFEST, _STIFFEST_KINKED, _STIFFEST_CHEAP = 1.0, 0.5, 32.0
"""With few classes, dual ascent is used up to this `Traits.dual_stiffness`; the second for losses with kinks, in
units of Δ. The third applies where a sweep costs a pass, if there are more samples than features."""

_PATIENCE, _SOME_PATIENCE, _LITTLE_PATIENCE = 1000.0, 300.0, 30.0
"""Dual ascent switches to its fallback if it expects more passes than this; the second for few classes where a
sweep costs a pass, the last if the fallback is fast."""

_STIFF_PATIENCE = 200.0
"""The same for margin losses where `Traits.is_stiff`: continuation in λ follows."""


def choose_solver(problem: Problem) -> Solver:
    """Return the default solver for an objective: by its loss, its sizes and what its engine supports.

    The primal solver is L-BFGS for smooth losses. Newton steps replace it for losses that curve in pairs, or where
    the full Hessian is a small matrix. For the hinge it is the augmented Lagrangian over these. Dual ascent comes
    before the primal solver, with two exceptions. One is a small number of weights. The other is few classes and
    more samples than features, with a large `Traits.dual_stiffness` (long features, a small λ). For margin losses
    at a small λ, continuation in λ follows dual ascent.
    """
    loss, traits = problem.loss, problem.traits
    primal, shape = _primal(loss, traits), traits.shape
    small, few = shape.has_small_hessian, shape.n_classes <= _FEW_CLASSES
    tiny = loss.smooth and shape.has_tiny_hessian
    if tiny or not loss.ascends or Capability.DUAL_ASCENT not in traits.supports:
        return primal
    cheap = Capability.CHEAP_SWEEPS in traits.supports
    wide = shape.has_few_rows or (cheap and shape.n_active <= shape.n_features)
    in_pairs = Capability.HESSIAN in traits.supports and (loss.curves_in_pairs or not loss.smooth)
    if in_pairs and not (cheap and wide) and traits.is_stiff(loss.reg_scale):
        return DualAscent(Continuation(DualAscent(primal, _LITTLE_PATIENCE), primal), _STIFF_PATIENCE)
    stiffest = _STIFFEST if loss.smooth else _STIFFEST_KINKED * loss.score_scale
    if few and not small and not wide and traits.dual_stiffness > (_STIFFEST_CHEAP if cheap else stiffest):
        return primal
    patience = _PATIENCE if not few else _SOME_PATIENCE if cheap else _LITTLE_PATIENCE
    return DualAscent(primal, _LITTLE_PATIENCE if small else patience)


def _primal(loss: Loss, traits: Traits) -> Solver:
    descent: Descent = LBFGS()
    has_newton = loss.curves_in_pairs or not loss.smooth or traits.shape.has_small_hessian
    if has_newton and Capability.HESSIAN in traits.supports:
        descent = TruncatedNewton(fallback=descent)
    return descent if loss.smooth else AugmentedLagrangian(descent)
