"""Dual rows that sweeps improve: where they start, what belongs to them, and what a checkpoint has to hold."""

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines import Capability, Gradients
from softmargin.errors import CapabilityError

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = [sm.Hinge(0.7), sm.SquaredHinge(1.3), sm.CrossEntropy()]
REG = 0.05


def made(loss, fit_intercept=True, reg=REG, engine="cpu"):
    rng = np.random.default_rng(0)
    y = np.arange(150) % 4
    X = rng.normal(size=(4, 9))[y] + rng.normal(size=(150, 9)) + 3.0
    weights = rng.choice([0.0, 0.5, 2.0], 150)
    weights[:4] = 1.0
    scale = rng.uniform(0.5, 2.0, 9)
    objective = sm.Objective(loss, X, y, reg, weights, scale=scale, fit_intercept=fit_intercept, engine=engine)
    share = weights / weights.sum()
    return objective.problem()[0], (X - (share @ X if fit_intercept else 0.0)) * scale, y, share


def belongs(state, Z, share, reg, rel=1e-12):
    """Return the rows, of which W must be the weighted sum."""
    A = state.rows.save()
    W = -Z.T @ (share[:, None] * A) / (2.0 * reg)
    assert state.P[:-1] == pytest.approx(W, rel=rel, abs=rel * np.abs(W).max())
    return A


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_first_rows_are_the_same_for_all_of_a_class_and_sum_to_zero(loss, fit_intercept):
    problem, Z, y, share = made(loss, fit_intercept)
    state = problem.dual_state(1.0, 0.01)
    A = belongs(state, Z, share, REG, rel=1e-5)
    classes = np.array([A[(y == k) & (share > 0)][0] for k in range(4)])
    assert np.array_equal(A[share > 0], classes[y[share > 0]])
    assert not A[share == 0.0].any()
    assert share @ A == pytest.approx(np.zeros(4), abs=1e-6)
    assert A.sum(axis=1) == pytest.approx(np.zeros(150), abs=1e-6)
    assert fit_intercept or not state.P[-1].any()
    # θ is the best one: no multiple of the rows has a better dual
    feasible = loss._feasible(A.astype(float), y)

    def dual(factor):
        G = Z.T @ (share[:, None] * feasible) * factor
        return -share @ loss._conjugate(factor * feasible, y) - (G**2).sum() / (4.0 * REG)

    assert dual(1.0) >= max(dual(0.9), dual(0.99)) > 0.0
    assert problem.prove(state.P, state).certificate.lower_bound == pytest.approx(dual(1.0), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_starts_from_a_point_and_from_another_reg(loss):
    problem, Z, y, share = made(loss)
    W, b = 0.1 * np.random.default_rng(1).normal(size=(9, 4)), 0.1 * np.arange(4.0)
    state = problem.dual_state(1.0, 0.01)
    state.to_double()
    state.start_from_point(W, b)
    A = belongs(state, Z, share, REG)
    assert A[share > 0] == pytest.approx(loss._gradient(Z @ W + b, y)[share > 0], rel=1e-9, abs=1e-12)
    assert np.array_equal(state.P[-1], b)
    other = made(loss, reg=0.5 * REG)[0].dual_state(1.0, 0.01)
    other.to_double()
    other.start_from(state, 0.7)
    assert belongs(other, Z, share, 0.5 * REG) == pytest.approx(0.7 * A, rel=1e-15)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_shift_brings_the_sum_of_the_rows_to_zero(loss):
    problem, _, y, share = made(loss)
    state, order = problem.dual_state(0.5, 0.01), np.random.default_rng(2)
    for _ in range(4):
        state.sweep(order)
    shift = state.balancing_shift()
    rows = loss._feasible(state.rows.save().astype(float), y)
    before, after = (np.abs(share @ loss._rebalanced(rows, y, s)).sum() for s in (np.zeros(4), shift))
    assert after < 0.1 * before
    bound = problem.prove(state.P, state).certificate
    assert 0.0 < bound.lower_bound <= bound.value
    assert not made(loss, fit_intercept=False)[0].dual_state(0.5, 0.01).balancing_shift().any()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_what_is_saved_is_all_that_moves(loss):
    problem, *_ = made(loss)
    state, rng = problem.dual_state(1.0, 0.01), np.random.default_rng(3)
    for _ in range(3):
        state.sweep(rng)
    saved, kind = state.save(), rng.bit_generator.state
    expected = [state.sweep(rng) for _ in range(3)]
    again, order = problem.dual_state(1.0, 0.01), np.random.default_rng()
    again.restore(saved)
    order.bit_generator.state = kind
    assert [again.sweep(order) for _ in range(3)] == expected
    assert again.P.tobytes() == state.P.tobytes()
    assert again.n_passes == state.n_passes
    P = again.P
    again.sweep(order)
    assert not np.array_equal(P, again.P)  # P is a copy


def test_what_has_no_dual_ascent_says_so():
    problem, *_ = made(sm.Hinge(), engine="reference")
    assert Capability.DUAL_ASCENT not in problem.traits.supports
    with pytest.raises(CapabilityError, match="ReferenceEngine does not support DUAL_ASCENT"):
        problem.dual_state(1.0, 0.01)
    sums = problem.features.engine.dual_sums(sm.Hinge(), np.zeros((9, 4)), np.zeros(4), Gradients(sm.Hinge()))
    assert sums.value == pytest.approx(3.0)
