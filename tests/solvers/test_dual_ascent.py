"""Dual ascent: the step of one row, the sweeps, and the certificate from given dual rows."""

import os
import subprocess
import sys
import warnings

import numba
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.special import xlogy

import softmargin as sm
import softmargin.engines.cpu.row_code  # gives the row functions to Numba
from softmargin.errors import CapabilityError, ConvergenceWarning
from softmargin.losses import SmoothedHinge
from softmargin.losses.rows import row_ascent
from softmargin.solvers import LBFGS, AugmentedLagrangian, DualAscent, TruncatedNewton, choose_solver
from softmargin.solvers.base import Start
from softmargin.solvers.continuation import Continuation
from softmargin.solvers.dual_ascent import _path_factor
from tests.support.problems import random_problem

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = [sm.Hinge(0.7), sm.SquaredHinge(1.3), sm.CrossEntropy()]


def dual_state(problem, dtype):
    """Return the first dual rows of a problem, as `DualAscent` begins with them, in float32 or float64."""
    problem.features.fits_single = dtype == np.float32
    state = problem.dual_state(8.0 * problem.loss.balance_stiffness(problem.traits.shape.n_classes), 0.01)
    assert state.rows.array.dtype == dtype
    return state


@numba.njit
def _ascent(loss, s, a, y, q, change, work):
    return row_ascent(loss, s, a, y, q, change, work)


def _feasible_row(loss, rng, n_classes, y):
    a = rng.dirichlet(np.ones(n_classes) * 0.3) if loss.name == "cross_entropy" else rng.random(n_classes)
    a[rng.random(n_classes) < 0.3] = 0.0
    return loss._feasible(a[None], np.array([y]))[0]


def _dual_of_row(loss, a, old, s, y, q):
    conjugate = loss._conjugate(a[None], np.array([y]))[0]
    return -conjugate + a @ s - 0.5 * q * ((a - old) ** 2).sum()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("n_classes", [2, 3, 7, 40])
def test_a_step_maximises_the_dual_of_its_row(loss, n_classes):
    rng = np.random.default_rng(n_classes)
    for q in 10.0 ** np.arange(-6.0, 7.0):
        for scale in (1e-3, 1.0, 30.0):
            y = int(rng.integers(n_classes))
            s = rng.normal(size=n_classes) * scale
            old = _feasible_row(loss, rng, n_classes, y)
            a, change = old.copy(), np.empty(n_classes)
            _, gap = _ascent(loss, s.copy(), a, y, q, change, np.empty(n_classes))
            assert np.allclose(a - old, change, atol=1e-14)
            assert a == pytest.approx(loss._feasible(a[None].copy(), np.array([y]))[0], rel=1e-13, abs=1e-14)
            assert gap >= 0.0
            reached = _dual_of_row(loss, a, old, s, y, q)
            gain = reached - _dual_of_row(loss, old, old, s, y, q)
            assert gain >= -1e-9 * (1.0 + abs(reached))
            # No exchange with the target could gain a fifth as much again.
            for j in range(n_classes):
                direction = np.zeros(n_classes)
                direction[j] += 1.0
                direction[y] -= 1.0
                if j == y:
                    continue
                low, high = -a[j], {"hinge": 1.0 - a[j], "cross_entropy": 1.0 + a[y]}.get(loss.name, 100.0)
                if high - low < 1e-12:
                    continue
                best = minimize_scalar(
                    lambda t: -_dual_of_row(loss, a + t * direction, old, s, y, q),  # noqa: B023
                    bounds=(low, high),
                    method="bounded",
                    options={"xatol": 1e-12},
                )
                assert -best.fun <= reached + 0.2 * max(gain, 0.0) + 1e-7 * (1.0 + abs(reached) + q * 1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_w_belongs_to_the_dual_rows(loss, dtype, fit_intercept):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 9)) + 3.0, rng.integers(0, 5, 300)
    weights = rng.choice([0.0, 0.5, 2.0], 300)
    weights[:5], y[:5] = 1.0, np.arange(5)
    scale = rng.uniform(0.5, 2.0, 9)
    objective = sm.Objective(loss, X, y, 0.02, weights, scale=scale, fit_intercept=fit_intercept)
    problem, _ = objective.problem()
    dual = dual_state(problem, dtype)
    order = np.random.default_rng(1)
    for _ in range(3):
        dual.sweep(order)
    A, W, b = dual.rows.array, dual.P[:-1], dual.P[-1]
    share = weights / weights.sum()
    mean = share @ X if fit_intercept else np.zeros(9)
    Z = (X - mean) * scale
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert pytest.approx(-Z.T @ (share[:, None] * A) / (2 * 0.02), abs=tolerance * 50) == W
    assert not A[weights == 0.0].any()
    if not fit_intercept:
        assert not b.any()
    # The bound from the rows is the one that the formulas give, but for what restores the balance.
    certificate = problem.prove(dual.P, dual).certificate
    assert certificate.lower_bound <= certificate.value


@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge()], ids=repr)
@pytest.mark.parametrize("n_classes", [200, 1200])  # W above a mebibyte is multiplied by BLAS
def test_rows_that_change_in_few_entries_are_brought_in(loss, n_classes):
    rng = np.random.default_rng(0)
    y = np.arange(3 * n_classes) % n_classes
    X = rng.normal(size=(n_classes, 150))[y] + 0.3 * rng.normal(size=(len(y), 150))
    problem, _ = sm.Objective(loss, X, y, 0.1 / len(y)).problem()
    dual, order = dual_state(problem, np.float64), np.random.default_rng(1)
    for _ in range(6):
        before = dual.rows.array.copy()
        dual.sweep(order)
    A = dual.rows.array
    changed = (before != A).sum(axis=1)
    assert 0 < np.median(changed[changed > 0]) < n_classes / 8
    Z = X - X.mean(axis=0)
    assert pytest.approx(-Z.T @ A / len(y) / (2 * problem.reg), abs=1e-12) == dual.P[:-1]
    # The sums and the bias move along: without its penalty's pull, the bias is that of a constant feature.
    assert A.sum(axis=0) / len(y) == pytest.approx(dual.save()["sums"], abs=1e-14)


def _dual_value(loss, A, Z, y, share, reg):
    G = Z.T @ (share[:, None] * A)
    if loss.name == "cross_entropy":
        p = A.copy()
        p[np.arange(len(y)), y] += 1.0
        conjugate = xlogy(p, p).sum(axis=1)
    else:
        conjugate = loss._conjugate(A, y)
    return -share @ conjugate - (G**2).sum() / (4 * reg)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("n_classes", [4, 30])
@pytest.mark.parametrize("repeats", [1, 5])  # a row must see what its like in the same block have changed
def test_without_a_bias_every_sweep_raises_the_dual(loss, n_classes, repeats):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(200, 12)), np.arange(200) % n_classes
    X, y = np.repeat(X[: 200 // repeats], repeats, axis=0), np.repeat(y[: 200 // repeats], repeats)
    objective = sm.Objective(loss, X, y, 1e-3, n_classes=n_classes, fit_intercept=False)
    problem, _ = objective.problem()
    dual, order, before = dual_state(problem, np.float64), np.random.default_rng(0), 0.0
    for _ in range(20):
        dual.sweep(order)
        A = loss._feasible(dual.rows.array.copy(), y)
        value = _dual_value(loss, A, X, y, np.full(200, 1 / 200), 1e-3)
        assert value >= before - 1e-12
        certificate = problem.prove(dual.P, dual).certificate
        assert certificate.lower_bound == pytest.approx(value, rel=1e-9)
        before = value


@pytest.mark.parametrize("seed", range(0, 60))
def test_it_reaches_the_optimum_that_the_others_reach(seed):
    problem = random_problem(seed)
    for loss in problem.losses():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = sm.minimize(problem.objective(loss), tol=1e-6, max_passes=3000, solver=DualAscent())
            other = sm.minimize(problem.objective(loss), tol=1e-6, max_passes=3000)
        assert fit.lower_bound <= other.value * (1 + 1e-12)
        assert other.lower_bound <= fit.value * (1 + 1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("n_classes", [3, 40])
def test_same_bits_for_any_number_of_threads(loss, n_classes):
    rng = np.random.default_rng(0)
    X = (rng.random((2000, 60)) * 255).astype(np.uint8)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 2000 - n_classes)])
    fits = []
    for n_threads in (1, 2, 4):
        objective = sm.Objective(loss, X, y, 1.0, n_threads=n_threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(sm.minimize(objective, tol=1e-6, max_passes=30, solver=DualAscent()))
    for fit in fits[1:]:
        assert fit.W.tobytes() == fits[0].W.tobytes()
        assert fit.b.tobytes() == fits[0].b.tobytes()
        assert fit.lower_bound == fits[0].lower_bound


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_fallback_continues_when_the_ascent_is_slow(loss):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    X = (rng.normal(size=(4, 8))[y] + rng.normal(size=(400, 8))) * np.logspace(0, 2, 8)
    fallback, options = LBFGS() if loss.smooth else AugmentedLagrangian(LBFGS()), {"tol": 1e-6, "max_passes": 5000}
    fit = sm.minimize(sm.Objective(loss, X, y, 1e-4), solver=DualAscent(fallback, patience=5.0), **options)
    alone = sm.minimize(sm.Objective(loss, X, y, 1e-4), solver=fallback, **options)
    assert fit.converged
    assert alone.converged
    assert fit.value == pytest.approx(alone.value, rel=2e-6)


def test_the_default_solver():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 30)), np.arange(500) % 50
    assert isinstance(choose_solver(sm.Objective(sm.CrossEntropy(), X, y, 0.1).problem()[0]), DualAscent)
    wide = rng.normal(size=(500, 400))
    assert isinstance(choose_solver(sm.Objective(sm.CrossEntropy(), wide, y % 3, 4.0).problem()[0]), DualAscent)
    assert isinstance(choose_solver(sm.Objective(sm.CrossEntropy(), wide, y % 3, 1e-4).problem()[0]), LBFGS)
    for reg, kinds in ((0.25, (TruncatedNewton, AugmentedLagrangian)), (1e-4, (DualAscent, DualAscent))):
        for loss, kind in zip((sm.SquaredHinge(), sm.Hinge()), kinds, strict=True):
            solver = choose_solver(sm.Objective(loss, wide, y % 3, reg).problem()[0])
            assert isinstance(solver, kind)
            assert not isinstance(solver, DualAscent) or isinstance(solver.fallback, Continuation)
    assert isinstance(choose_solver(sm.Objective(sm.CrossEntropy(), X, y % 3, 0.1).problem()[0]), TruncatedNewton)
    for N, reg, kind in ((5000, 1e-3, DualAscent), (5000, 1e-6, LBFGS), (300, 1e-6, DualAscent)):
        sparse = csr_array((np.ones(3 * N), (np.repeat(np.arange(N), 3), np.arange(3 * N) % 401)), (N, 401))
        objective = sm.Objective(sm.CrossEntropy(), sparse, np.arange(N) % 3, reg)
        assert isinstance(choose_solver(objective.problem()[0]), kind)
    smoothed = sm.Objective(SmoothedHinge(), X, y, 0.1)
    with pytest.raises(CapabilityError, match="requires a loss with a row function"):
        sm.minimize(smoothed, solver=DualAscent())


def test_a_process_that_compiles_gives_the_bits_of_one_that_finds_the_kernels(tmp_path):
    program = """
import hashlib, numpy as np, softmargin as sm
rng = np.random.default_rng(0)
y = np.arange(300) % 10
X = rng.normal(size=(10, 40))[y] + 2.0 * rng.normal(size=(300, 40))
W, b = rng.normal(size=(40, 10)), rng.normal(size=10)
for loss in (sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()):
    for dtype in (np.float32, np.float64):
        objective = sm.Objective(loss, X.astype(dtype), y, 1e-3)
        problem, _ = objective.problem()
        problem.features.fits_single = dtype is np.float32
        dual, order = problem.dual_state(8.0, 0.01), np.random.default_rng(0)
        sweeps = [dual.sweep(order) for _ in range(3)]
        seen = [sweeps, dual.rows.array, dual.P, problem.prove(dual.P, dual).certificate]
        seen += objective.value_and_grad(W, b)
        print(hashlib.sha256(b"".join(np.asarray(array, dtype=float).tobytes() for array in seen)).hexdigest())
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    found = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert len(found[0].stdout.split()) == 6
    assert found[1].stdout == found[0].stdout


@pytest.mark.parametrize("spread", [0.5, 3.0], ids=["separable", "overlapping"])
def test_the_dual_rows_of_one_reg_give_the_best_bound_at_the_next(spread):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 200)
    X = rng.normal(size=(5, 40))[y] + spread * rng.normal(size=(200, 40))
    problem, _ = sm.Objective(sm.Hinge(), X, y, 1e-2).problem()
    steps = DualAscent().steps(problem, Start(P=np.zeros((41, 5)), reg=1e-2), 1e-6)
    state = next(state for state in steps if state.estimate <= 1e-6)
    A = state.dual.rows.array.astype(np.float64)
    linear, square = -sm.Hinge()._conjugate(A, y).mean(), np.square((X - X.mean(axis=0)).T @ A / 200).sum()
    for reg in (5e-3, 1e-3, 1e-5):
        bound = lambda c, reg=reg: c * linear - c * c * square / (4.0 * reg)  # noqa: E731
        best = max(bound(c) for c in np.linspace(0.0, 1.0, 2001))
        assert bound(_path_factor(state, reg)) >= best - 1e-4 * abs(best)


def test_a_path_takes_fewer_passes_than_its_fits_alone():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 30))
    y = (X @ rng.normal(size=(30, 6)) + 3.0 * rng.normal(size=(1000, 6))).argmax(axis=1)
    objective, regs = sm.Objective(sm.SquaredHinge(), X, y, 0.0), np.logspace(-2, -5, 17)
    found = sm.path(objective, regs, tol=1e-3)
    assert all(fit.gap <= 1e-3 for _, fit in found)
    alone = sum(sm.minimize(objective.replace(reg=reg), tol=1e-3).n_passes for reg in regs)
    assert sum(fit.n_passes for _, fit in found) <= 0.5 * alone
