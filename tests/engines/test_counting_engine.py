"""The protocol of engines: solvers and objectives need nothing but sums, and leave vectors where they are."""

import warnings

import array_api_strict
import numpy as np
import pytest

import softmargin as sm
from softmargin.errors import CapabilityError, ConvergenceWarning
from softmargin.losses import SmoothedHinge
from softmargin.objective import Objective
from softmargin.samples import Fold, Samples
from softmargin.selection.grid import largest_reg
from softmargin.solvers import LBFGS, SGD, AugmentedLagrangian, DualAscent, TruncatedNewton, choose_solver, solve
from tests.support.counting_engine import CountingEngine, HessianCountingEngine

LOSSES = [sm.CrossEntropy(), sm.SquaredHinge(1.5), sm.Hinge(1.5), SmoothedHinge(1.0, 0.3)]
TOL = 1e-4

# 97 samples; the whole Hessian is a small matrix, or it is not
SHAPES = [(97, 5, 3), (97, 200, 6)]


def problem(shape=SHAPES[0], seed=0):
    n, d, c = shape
    rng = np.random.default_rng(seed)
    y = np.arange(n) % c
    X = rng.normal(size=(c, d))[y] + 1.5 * rng.normal(size=(n, d)) + 2.0
    weights = rng.choice([0.0, 0.5, 1.0], n)
    weights[:c] = 1.0
    return X, y, weights


def objective(loss, engine, shape=SHAPES[0], reg=None, **options):
    X, y, weights = problem(shape)
    reg = reg or (0.02 if shape == SHAPES[0] else 1.0)
    scale = np.linspace(0.5, 2.0, shape[1])
    return sm.Objective(loss, X, y, reg, weights, scale=scale, engine=engine, **options)


def border(objective):
    return objective._engine.border


def same_optimum(fit, other, reg):
    """F is 2λ strongly convex in W: each gap bounds how far its W is from the optimum."""
    assert max(fit.gap, other.gap) <= TOL
    assert fit.lower_bound <= other.value * (1 + 1e-12)
    assert other.lower_bound <= fit.value * (1 + 1e-12)
    most = sum(np.sqrt(one.gap * one.value / reg) for one in (fit, other))
    assert np.linalg.norm(fit.W - other.W) <= most * (1 + 1e-9)
    assert type(fit.W) is type(fit.b) is np.ndarray


def primal(loss, engine):
    descent = TruncatedNewton(fallback=LBFGS()) if engine is HessianCountingEngine else LBFGS()
    return descent if loss.smooth else AugmentedLagrangian(descent)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("engine", [CountingEngine, HessianCountingEngine])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_every_primal_solver_reaches_the_optimum(loss, shape, engine, fit_intercept):
    reference = objective(loss, "reference", shape, fit_intercept=fit_intercept)
    expected = sm.minimize(reference, tol=TOL, max_passes=20_000)
    counted = objective(loss, engine, shape, fit_intercept=fit_intercept)
    fit = sm.minimize(counted, tol=TOL, solver=primal(loss, engine), max_passes=20_000)
    same_optimum(fit, expected, counted.reg)
    crossed = border(counted)
    assert crossed.calls["save"] == 0
    assert bool(crossed.calls["hessian"]) == (engine is HessianCountingEngine)
    assert crossed.calls["evaluate"] + crossed.calls["dual_sums"] <= fit.n_passes
    n_calls, vector = crossed.calls.total(), 8 * (shape[1] + 1) * shape[2]
    # Each call passes a few vectors like W and b, whose size does not depend on N.
    assert 0 < crossed.bytes_out <= 2 * vector * n_calls
    assert 0 < crossed.bytes_in <= 3 * vector * n_calls
    if not fit_intercept:
        assert not fit.b.any()


@pytest.mark.parametrize("loss", [sm.CrossEntropy(), sm.Hinge()], ids=repr)
def test_the_bits_are_those_of_numpy(loss):
    """With the same capabilities, strict vectors take the same steps; only the order of sums may differ."""
    fits = [
        sm.minimize(objective(loss, engine), tol=TOL, solver=primal(loss, engine), max_passes=20_000)
        for engine in ("reference", CountingEngine)
    ]
    assert fits[0].n_passes == fits[1].n_passes
    np.testing.assert_allclose(fits[0].W, fits[1].W, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_warm_start_saves_passes(loss):
    cold, warm = (objective(loss, CountingEngine) for _ in range(2))
    fit = sm.minimize(cold, tol=TOL, max_passes=20_000)
    again = sm.minimize(warm, fit.W, fit.b, tol=TOL, max_passes=20_000)
    same_optimum(again, fit, cold.reg)
    if loss.smooth:  # of the hinge, a point says little about the multipliers
        assert again.n_passes < fit.n_passes
    next_fit, state = solve(cold.replace(reg=0.01), (fit.W, fit.b), TOL, 20_000)
    last, _ = solve(cold.replace(reg=0.005), state, TOL, 20_000)
    expected = sm.minimize(objective(loss, "reference", reg=0.005), tol=TOL, max_passes=20_000)
    same_optimum(last, expected, 0.005)
    assert next_fit.gap <= TOL


@pytest.mark.parametrize("loss", [sm.CrossEntropy(), sm.Hinge()], ids=repr)
def test_a_checkpoint_is_the_one_place_where_rows_are_saved(loss, tmp_path):
    whole = sm.minimize(objective(loss, CountingEngine), tol=TOL, max_passes=20_000)
    first, second = (objective(loss, CountingEngine) for _ in range(2))
    kept = {"tol": TOL, "checkpoint": tmp_path / "state", "checkpoint_seconds": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sm.minimize(first, max_passes=10, **kept)
    resumed = sm.minimize(second, max_passes=20_000, **kept)
    assert resumed.W.tobytes() == whole.W.tobytes()
    assert resumed.b.tobytes() == whole.b.tobytes()
    assert bool(border(first).calls["save"]) == (not loss.smooth)


@pytest.mark.parametrize(
    ("solver", "engine", "message"),
    [
        (SGD(), CountingEngine, "CountingEngine does not support ROWS, needed for mini-batches."),
        (DualAscent(), CountingEngine, "CountingEngine does not support DUAL_ASCENT, needed for dual ascent."),
        (
            DualAscent(LBFGS()),
            HessianCountingEngine,
            "HessianCountingEngine does not support DUAL_ASCENT, needed for dual ascent.",
        ),
        (
            TruncatedNewton(fallback=LBFGS()),
            CountingEngine,
            r"TruncatedNewton requires an engine with Hessians; use LBFGS\(\) instead.",
        ),
    ],
)
def test_what_the_engine_cannot_do_is_refused_in_a_sentence_and_before_a_gradient(solver, engine, message):
    counted = objective(sm.CrossEntropy(), engine)
    with pytest.raises(CapabilityError, match=f"^{message}$"):
        sm.minimize(counted, solver=solver)
    assert border(counted).calls["evaluate"] == border(counted).calls["dual_sums"] == 0


@pytest.mark.parametrize(
    ("loss", "engine", "chosen"),
    [
        (sm.CrossEntropy(), CountingEngine, LBFGS()),
        (sm.SquaredHinge(), CountingEngine, LBFGS()),
        (sm.Hinge(), CountingEngine, AugmentedLagrangian(LBFGS())),
        (sm.SquaredHinge(), HessianCountingEngine, TruncatedNewton(fallback=LBFGS())),
        (sm.Hinge(), HessianCountingEngine, AugmentedLagrangian(TruncatedNewton(fallback=LBFGS()))),
    ],
    ids=repr,
)
def test_a_solver_is_chosen_that_the_engine_can_serve(loss, engine, chosen):
    shape = (97, 400, 3)
    assert isinstance(choose_solver(objective(loss, "cpu", shape, reg=1e4).problem()[0]), DualAscent)
    assert choose_solver(objective(loss, engine, shape, reg=1e4).problem()[0]) == chosen


def test_rows_cannot_be_had():
    counted = objective(sm.CrossEntropy(), CountingEngine)
    W, b = np.zeros((5, 3)), np.zeros(3)
    for ask in (lambda: counted.scores(W, b), lambda: counted.held_out_scores(W, b)):
        with pytest.raises(CapabilityError, match="CountingEngine does not support ROWS"):
            ask()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_an_objective_answers_in_numpy(loss):
    X, y, weights = problem()
    order = np.random.default_rng(1).permutation(97)
    folds = [Fold(order[order % 4 != k], order[order % 4 == k]) for k in range(4)]
    samples = Samples.check(X, y, weights, folds=folds)
    mean, scale = np.linspace(0.0, 2.0, 5), np.linspace(0.5, 2.0, 5)
    counted, reference = (
        Objective.of(loss, samples, 0.1, mean=mean, scale=scale, engine=engine)
        for engine in (CountingEngine, "reference")
    )
    rng = np.random.default_rng(2)
    W, b, V, c = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=3)
    Ws, bs = rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 3))

    def answers(each):
        yield each.value(W, b)
        yield from each.value_and_grad(W, b)
        yield from each.certificate(W, b)
        yield from each.moments
        yield largest_reg(each)
        yield from each.quality(W, b, "training")
        yield from each.values_and_grads(Ws, bs, regs=[0.1, 0.2, 0.3])
        yield from each.values_and_grads(Ws, bs, folds=[2, 0, 3])
        fold = each.fold(1)
        yield from fold.quality(W, b, "held_out")
        yield fold.replace(reg=0.5, scale=2.0 * scale).value(W, b)
        yield sm.minimize(fold, tol=1e-3).value // 1e-2
        if loss.smooth:
            yield from each.hessian_product(W, b, V, c)

    for got, true in zip(answers(counted), answers(reference), strict=True):
        assert isinstance(got, float | np.ndarray)
        np.testing.assert_allclose(got, true, rtol=1e-12, atol=1e-13)


def test_the_border_sees_what_it_forbids():
    X, y, weights = problem()
    engine = CountingEngine(Samples.check(X, y, weights))
    W, b = engine.asarray(np.zeros((5, 3))), engine.asarray(np.zeros(3))
    assert isinstance(engine.evaluate(sm.CrossEntropy(), W, b).dW, type(W))
    assert engine.border.calls == {"evaluate": 1}
    with pytest.raises(AssertionError, match=r"shape \(97, 3\) crosses"):
        engine.evaluate(sm.CrossEntropy(), engine.xp.zeros((97, 3)), b)
    with pytest.raises(AssertionError, match="vectors of the engine's"):
        engine.evaluate(sm.CrossEntropy(), np.zeros((5, 3)), b)
    with pytest.raises(AssertionError, match="N must differ"):
        CountingEngine(Samples.check(X[:, :3], np.arange(97) % 97))
    with pytest.raises(AssertionError, match="not part of the protocol"):
        engine.dual_sums(sm.CrossEntropy(), W, b, object())
    assert not hasattr(engine, "samples")
    assert not hasattr(engine, "rows")
    rows = engine.evaluate(sm.CrossEntropy(), W, b, keep_scores=True).scores
    with pytest.raises(TypeError):
        np.asarray(rows, dtype=float)
    assert array_api_strict.zeros(1).dtype == array_api_strict.float64
