"""Solvers, which use nothing but the members of `softmargin.objective.Problem`."""

from softmargin.solvers.augmented_lagrangian import AugmentedLagrangian
from softmargin.solvers.base import Callback, Fit, Solver, State, Step
from softmargin.solvers.choose import choose_solver
from softmargin.solvers.dual_ascent import DualAscent
from softmargin.solvers.lbfgs import LBFGS
from softmargin.solvers.minimize import minimize, solve
from softmargin.solvers.newton import TruncatedNewton
from softmargin.solvers.sgd import SGD

__all__ = [
    "LBFGS", "SGD", "AugmentedLagrangian", "Callback", "DualAscent", "Fit", "Solver", "State", "Step",
    "TruncatedNewton", "choose_solver", "minimize", "solve",
]  # fmt: skip
