"""The driver at moments that are hard to hit: between two lines, and where formulas contradict each other."""

from __future__ import annotations

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines import GivenRows, Gradients
from softmargin.engines.reference import ReferenceEngine
from softmargin.errors import ConvergenceWarning
from softmargin.objective import Certificate, PenalizedLoss, Proof, relative_gap
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
    objective = problem.objective(sm.CrossEntropy(), engine="reference")
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
    with pytest.warns(ConvergenceWarning, match="relative gap of inf"):
        fit = sm.minimize(objective, max_passes=100)
    assert fit.lower_bound > fit.value
    assert not fit.converged
