"""The driver at moments that are hard to hit: between two lines, and where formulas contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines import GivenRows, Gradients
from softmargin.engines.reference import ReferenceEngine
from softmargin.errors import ConvergenceWarning
from softmargin.objective import Certificate, PenalizedLoss, Proof, relative_gap
from softmargin.solvers import Solver
from tests.support.problems import random_problem


class Interrupting(Certificate):
    """A certificate whose field ``name`` interrupts when it is first read."""

    name = "value"
    armed = True

    def __getattribute__(self, name):
        kind = type(self)
        if kind.armed and name == kind.name:
            kind.armed = False
            raise KeyboardInterrupt
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("name", "nth"), [("value", 1), ("value", 2), ("lower_bound", 1), ("lower_bound", 2), ("value_upper", 1)]
)
def test_an_interrupt_while_a_proof_is_kept_ends_with_the_best_point(monkeypatch, name, nth):
    problem = random_problem(3)
    objective = problem.objective(sm.Hinge(), engine="reference")  # several proofs
    prove, count = PenalizedLoss.prove, [0]

    def interrupting(self, *arguments):
        proof = prove(self, *arguments)
        count[0] += 1
        if count[0] != nth:
            return proof
        kind = type("Armed", (Interrupting,), {"name": name})
        return Proof(kind(*proof.certificate), proof.rows)

    monkeypatch.setattr(PenalizedLoss, "prove", interrupting)
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        fit = sm.minimize(objective, tol=1e-15, max_passes=60)
    assert fit.interrupted
    assert np.isfinite(fit.value)
    assert fit.value == pytest.approx(objective.value(fit.W, fit.b), rel=1e-12)
    assert fit.lower_bound <= fit.value


def test_bounds_that_cross_prove_nothing():
    assert relative_gap(1.0, 1.5) == np.inf
    assert relative_gap(1.0, 1.0) == 0.0
    assert relative_gap(1.0, 1.0 + 1e-12) == 0.0  # by rounding


class Doubling(ReferenceEngine):
    """An engine with a wrong sum."""

    def dual_sums(self, loss, W, b, source):
        assert isinstance(source, (Gradients, GivenRows))
        sums = super().dual_sums(loss, W, b, source)
        return sums._replace(conjugate=2.0 * sums.conjugate)


@pytest.mark.parametrize("loss", [sm.Hinge(), sm.CrossEntropy()], ids=repr)
def test_an_engine_with_a_wrong_sum_is_never_called_converged(loss):
    problem = random_problem(5)
    engine = lambda samples, n_threads: Doubling(samples)  # noqa: E731
    objective = sm.Objective(loss, problem.X, problem.y, 0.01, engine=engine)
    with pytest.warns(ConvergenceWarning, match=r"gap inf > tol=1e-4"):
        fit = sm.minimize(objective, max_passes=100)
    assert fit.lower_bound > fit.value
    assert not fit.converged


@dataclass(frozen=True)
class Endless(Solver):
    """Yields its start, then a constant for ever, with or without a pass."""

    constant: float
    ready: bool = False
    evaluates: bool = False

    def steps(self, problem, start, tol):
        yield start
        for P in repeat(np.full_like(start.P, self.constant)):
            value = problem.evaluate(P).value if self.evaluates else None
            yield replace(start, P=P, value=value, ready=self.ready)


DIVERGED = r"The solver diverged: W or b is not finite; use smaller steps\.$"
IDLE = r"The solver made 1,000 steps without a pass over X\.$"
BUDGET = r"Reached max_passes=50; increase max_passes\.$"


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("evaluates", [False, True])
@pytest.mark.parametrize("constant", [np.nan, np.inf, -np.inf, 1e200, 0.0])
def test_no_solver_runs_for_ever(constant, evaluates, ready):
    problem = random_problem(5)
    objective = sm.Objective(sm.CrossEntropy(), problem.X, problem.y, 0.01)
    reason = DIVERGED if not np.isfinite(constant) else BUDGET if ready or evaluates else IDLE
    with pytest.warns(ConvergenceWarning, match=reason):
        fit = sm.minimize(objective, solver=Endless(constant, ready, evaluates), max_passes=50)
    assert not fit.converged
    assert np.isfinite(fit.W).all()
    if not np.isfinite(constant):  # the last point before it diverged
        assert fit.gap == pytest.approx(objective.certificate(fit.W, fit.b).gap, rel=1e-9)


def test_a_solver_that_gives_no_reason():
    class Mute(Solver):
        def steps(self, problem, start, tol):
            yield start

    problem = random_problem(5)
    with pytest.warns(ConvergenceWarning, match=r"> tol=1e-4\. The solver ended\.$"):
        sm.minimize(sm.Objective(sm.CrossEntropy(), problem.X, problem.y, 0.01), solver=Mute())
