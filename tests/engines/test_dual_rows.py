"""Dual rows that sweeps improve: where they start, what belongs to them, and what a checkpoint has to hold."""

import numba
import numpy as np
import pytest
from scipy.sparse import csr_array

import softmargin as sm
from softmargin.engines import Capability, Gradients
from softmargin.engines.cpu.sparse_dual import SparseDualRows
from softmargin.errors import CapabilityError
from softmargin.losses.rows import row_ascent

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = [sm.Hinge(0.7), sm.SquaredHinge(1.3), sm.CrossEntropy()]
REG = 0.05
FORMS = pytest.mark.parametrize("form", [np.asarray, csr_array], ids=["dense", "sparse"])


@numba.njit
def _ascent(loss, s, a, y, q, change, work):
    return row_ascent(loss, s, a, y, q, change, work)


def made(loss, fit_intercept=True, reg=REG, engine="cpu", form=np.asarray):
    rng = np.random.default_rng(0)
    y = np.arange(150) % 4
    X = rng.normal(size=(4, 9))[y] + rng.normal(size=(150, 9)) + 3.0
    X[rng.random(X.shape) < 0.3] = 0.0
    weights = rng.choice([0.0, 0.5, 2.0], 150)
    weights[:4] = 1.0
    scale = rng.uniform(0.5, 2.0, 9)
    settings = {"scale": scale, "fit_intercept": fit_intercept, "engine": engine}
    objective = sm.Objective(loss, form(X), y, reg, weights, **settings)
    share = weights / weights.sum()
    return objective.problem()[0], (X - (share @ X if fit_intercept else 0.0)) * scale, y, share


def belongs(state, Z, share, reg, rel=1e-12):
    """Return the rows, of which W must be the weighted sum."""
    A = state.rows.save()
    W = -Z.T @ (share[:, None] * A) / (2.0 * reg)
    assert state.P[:-1] == pytest.approx(W, rel=rel, abs=rel * np.abs(W).max())
    return A


@FORMS
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_first_rows_are_the_same_for_all_of_a_class_and_sum_to_zero(loss, fit_intercept, form):
    problem, Z, y, share = made(loss, fit_intercept, form=form)
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


@FORMS
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_starts_from_a_point_and_from_another_reg(loss, form):
    problem, Z, y, share = made(loss, form=form)
    W, b = 0.1 * np.random.default_rng(1).normal(size=(9, 4)), 0.1 * np.arange(4.0)
    state = problem.dual_state(1.0, 0.01)
    state.to_double()
    state.start_from_point(W, b)
    A = belongs(state, Z, share, REG)
    assert A[share > 0] == pytest.approx(loss._gradient(Z @ W + b, y)[share > 0], rel=1e-9, abs=1e-12)
    assert np.array_equal(state.P[-1], b)
    other = made(loss, reg=0.5 * REG, form=form)[0].dual_state(1.0, 0.01)
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


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_sweep_over_sparse_rows_is_that_of_the_definition(loss, fit_intercept):
    problem, Z, y, share = made(loss, fit_intercept, form=csr_array)
    state = problem.dual_state(1.0, 0.01)
    state.to_double()
    assert isinstance(state, SparseDualRows)
    state.start_from_point(0.1 * np.random.default_rng(1).normal(size=(9, 4)), 0.1 * np.arange(4.0))
    A, P = state.rows.save().copy(), state.P
    W, b, sums, penalty = P[:-1], P[-1], share @ A, state._penalty
    pull, total = 2.0 * REG * penalty, 0.0
    b = b - penalty * sums
    for i in np.random.default_rng(5).permutation(np.flatnonzero(share > 0.0)):
        change, factor = np.empty(4), share[i] / (2.0 * REG)
        s = Z[i] @ W + b
        total += share[i] * loss._values(s[None], y[i : i + 1])[0]
        _ascent(loss, s, A[i], y[i], factor * (Z[i] @ Z[i] + pull), change, np.empty(4))
        W -= factor * np.outer(Z[i], change)
        b -= factor * pull * change
    sweep = state.sweep(np.random.default_rng(5))
    assert sweep.value == pytest.approx(total + REG * (W**2).sum(), rel=1e-12)
    assert state.rows.save() == pytest.approx(A, rel=1e-9, abs=1e-12)
    assert state.P[:-1] == pytest.approx(W, rel=1e-9, abs=1e-11)
    assert state.P[-1] == pytest.approx(b, rel=1e-9, abs=1e-11)
    for _ in range(5):
        state.sweep(np.random.default_rng(6))
    belongs(state, Z, share, REG, rel=1e-11)


@FORMS
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_what_is_saved_is_all_that_moves(loss, form):
    problem, *_ = made(loss, form=form)
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
