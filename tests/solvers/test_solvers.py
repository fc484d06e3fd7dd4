"""The solvers: known optima, exchange relations, honest results when stopped early."""

import warnings
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import softmargin as sm
from softmargin.errors import CapabilityError, ConvergenceWarning, DataError, ParameterError
from softmargin.losses import SmoothedHinge
from softmargin.solvers import LBFGS, AugmentedLagrangian, DualAscent, Solver, State, TruncatedNewton, solve
from tests.support.problems import random_problem

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()]


def _blobs(n=300, d=6, c=4, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    return rng.normal(size=(c, d))[y] + spread * rng.normal(size=(n, d)), y


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4])
def test_cross_entropy_reaches_the_optimum_of_scikit_learn(reg):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    objective = sm.Objective(sm.CrossEntropy(), X, y, reg)
    fit = sm.minimize(objective, tol=1e-10)
    with threadpool_limits(1):
        peer = LogisticRegression(C=1 / (2 * len(X) * reg), solver="newton-cholesky", tol=1e-12, max_iter=1000)
        peer.fit(X, y)
    theirs = objective.value(peer.coef_.T, peer.intercept_)
    assert fit.converged
    assert abs(fit.value - theirs) <= 1e-8 * theirs
    assert fit.lower_bound <= theirs  # their optimum is above our proved bound


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_delta_and_reg_exchange(loss):
    """Hinge: F(Δ, λ) = Δ·F(1, Δλ) at the optimum; squared hinge: F(Δ, λ) = Δ²·F(1, λ)."""
    if loss == sm.CrossEntropy():
        pytest.skip("cross-entropy has no delta")
    X, y = _blobs()
    delta, reg = 3.0, 0.05
    wide = sm.minimize(sm.Objective(type(loss)(delta), X, y, reg), tol=1e-7, max_passes=5000)
    power, other = (1, delta * reg) if isinstance(loss, sm.Hinge) else (2, reg)
    unit = sm.minimize(sm.Objective(loss, X, y, other), tol=1e-7, max_passes=5000)
    assert wide.value == pytest.approx(delta**power * unit.value, rel=2e-7)
    assert pytest.approx(delta * unit.W, abs=2 * delta * np.sqrt(2e-7 * unit.value / other)) == wide.W


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_weights_are_repeats_and_order_and_names_do_not_matter(loss):
    X, y = _blobs(150)
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 4, 150)
    order = rng.permutation(150)
    names = np.array([2, 0, 3, 1])
    variants = [
        sm.Objective(loss, X, y, 0.02, counts),
        sm.Objective(loss, np.repeat(X, counts, axis=0), np.repeat(y, counts), 0.02),
        sm.Objective(loss, X[order], y[order], 0.02, counts[order]),
        sm.Objective(loss, X, names[y], 0.02, counts),
        sm.Objective(loss, X, y, 0.02, 7.5 * counts),
    ]
    values = [sm.minimize(objective, tol=1e-8, max_passes=20_000).value for objective in variants]
    assert values == pytest.approx([values[0]] * 5, rel=1e-8)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_duplicate_column_shares_the_weight(loss):
    X, y = _blobs(120)
    once = sm.minimize(sm.Objective(loss, X * np.sqrt(2), y, 0.02), tol=1e-8, max_passes=20_000)
    twice = sm.minimize(sm.Objective(loss, np.hstack([X, X]), y, 0.02), tol=1e-8, max_passes=20_000)
    assert twice.value == pytest.approx(once.value, rel=2e-8)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_more_features_than_samples_and_constant_columns(loss):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 60)), np.arange(20) % 4
    plain = sm.minimize(sm.Objective(loss, X, y, 0.05), tol=1e-6, max_passes=20_000)
    padded = np.hstack([X, np.full((20, 2), 5.0), np.zeros((20, 1))])
    fit = sm.minimize(sm.Objective(loss, padded, y, 0.05), tol=1e-6, max_passes=20_000)
    assert plain.converged
    assert fit.converged
    assert fit.value == pytest.approx(plain.value, rel=2e-6)
    assert np.abs(fit.W[60:]).max() <= 1e-2 * np.abs(fit.W).max()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_two_classes_agree_with_the_binary_problem(loss):
    """With C=2 only w = W_1 - W_0 counts, and the best split of it has ΣW² = ‖w‖²/2."""
    X, y = _blobs(200, c=2)
    fit = sm.minimize(sm.Objective(loss, X, y, 0.1), tol=1e-8, max_passes=20_000)
    w, b = fit.W[:, 1] - fit.W[:, 0], fit.b[1] - fit.b[0]
    margins = np.where(y == 1, 1.0, -1.0) * (X @ w + b)
    binary = {
        "hinge": np.maximum(0.0, 1.0 - margins),
        "squared_hinge": np.maximum(0.0, 1.0 - margins) ** 2,
        "cross_entropy": np.log1p(np.exp(-margins)),
    }[loss.name]
    assert fit.value == pytest.approx(binary.mean() + 0.1 * (w @ w) / 2, rel=1e-6)
    assert fit.W[:, 0] == pytest.approx(-fit.W[:, 1], abs=1e-3 * np.abs(w).max())


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_large_penalty_leaves_the_best_constant(loss):
    X, y = _blobs(100)
    fit = sm.minimize(sm.Objective(loss, X, y, 1e8), tol=1e-6)
    assert np.abs(fit.W).max() < 1e-6
    if loss == sm.CrossEntropy():
        shares = np.bincount(y) / len(y)
        assert fit.value == pytest.approx(-(shares @ np.log(shares)), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_units_of_the_features_do_not_matter(loss, factor):
    X, y = _blobs(150)
    plain = sm.minimize(sm.Objective(loss, X, y, 0.05), tol=1e-6, max_passes=5000)
    fit = sm.minimize(sm.Objective(loss, X * factor, y, 0.05 * factor**2), tol=1e-6, max_passes=5000)
    assert fit.value == pytest.approx(plain.value, rel=2e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_far_off_centre_features(loss):
    X, y = _blobs(150)
    plain = sm.minimize(sm.Objective(loss, X, y, 0.05), tol=1e-6, max_passes=5000)
    fit = sm.minimize(sm.Objective(loss, X + 1000.0, y, 0.05), tol=1e-6, max_passes=5000)
    assert fit.value == pytest.approx(plain.value, rel=2e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_without_intercept(loss):
    X, y = _blobs(150)
    fit = sm.minimize(sm.Objective(loss, X, y, 0.05, fit_intercept=False), tol=1e-6, max_passes=5000)
    assert fit.converged
    assert np.array_equal(fit.b, np.zeros(4))
    column = np.hstack([X, np.ones((150, 1))])
    worse = sm.minimize(sm.Objective(loss, X, y, 0.05), tol=1e-6, max_passes=5000)
    between = sm.minimize(sm.Objective(loss, column, y, 0.05, fit_intercept=False), tol=1e-6, max_passes=5000)
    assert worse.value <= between.value * (1 + 1e-6) <= fit.value * (1 + 2e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_same_bits_for_any_number_of_threads(loss):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (3000, 200), dtype=np.uint8), rng.integers(0, 5, 3000)
    fits = [
        sm.minimize(sm.Objective(loss, X, y, 3.0, n_threads=n, scale=np.full(200, 1 / 255)), tol=1e-3)
        for n in (1, 2, 3, 4)
    ]
    for fit in fits[1:]:
        assert np.array_equal(fit.W, fits[0].W)
        assert np.array_equal(fit.b, fits[0].b)
        assert fit.lower_bound == fits[0].lower_bound


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_history_and_callback(loss):
    X, y = _blobs()
    seen = []
    fit = sm.minimize(sm.Objective(loss, X, y, 1e-3), tol=1e-4, callback=seen.append)
    assert tuple(seen) == fit.history
    passes = [step.n_passes for step in fit.history]
    assert passes == sorted(passes)
    assert fit.n_passes == int(np.ceil(passes[-1]))
    assert fit.history[-1].value == fit.value
    assert fit.history[-1].lower_bound == fit.lower_bound
    bounds = [step.lower_bound for step in fit.history]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("after", [1, 2, 4])
def test_stopped_by_the_callback_with_its_true_gap(loss, after):
    X, y = _blobs(spread=2.0)
    objective = sm.Objective(loss, X, y, 1e-5)
    count = []
    with pytest.warns(ConvergenceWarning, match="Stopped by the callback"):
        fit = sm.minimize(objective, tol=1e-9, callback=lambda step: count.append(step) or len(count) >= after)
    assert not fit.converged
    best = sm.minimize(objective, tol=1e-4, max_passes=50_000)
    assert fit.lower_bound <= best.value
    assert fit.value >= best.lower_bound


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_short_budget_is_never_called_converged(loss):
    X, y = _blobs(spread=2.0)
    with pytest.warns(
        ConvergenceWarning, match=r"gap \S+ > tol=1e-10\. Reached max_passes=5; increase max_passes\.$"
    ):
        fit = sm.minimize(sm.Objective(loss, X, y, 1e-5), tol=1e-10, max_passes=5)
    assert not fit.converged
    assert fit.gap > 1e-10
    assert fit.n_passes <= 20  # what a round in progress and the certificate still need


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_warm_start_at_the_optimum_is_cheap(loss):
    X, y = _blobs()
    objective = sm.Objective(loss, X, y, 1e-2)
    fit = sm.minimize(objective, tol=1e-6, max_passes=5000)
    again = sm.minimize(objective, fit.W, fit.b, tol=1e-3)
    assert again.value <= fit.value * (1 + 1e-3)
    if loss.smooth:
        assert again.n_passes <= 8


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_sgd_is_certified_like_the_others(loss):
    X, y = _blobs()
    objective = sm.Objective(loss, X, y, 1e-2)
    best = sm.minimize(objective, tol=1e-6, max_passes=5000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = sm.minimize(objective, solver=sm.SGD(epochs=30))
        again = sm.minimize(objective, solver=sm.SGD(epochs=30))
    assert np.array_equal(fit.W, again.W)
    assert best.lower_bound <= fit.value <= 1.2 * best.value
    assert fit.lower_bound <= best.value
    start = objective.value(np.zeros((6, 4)), np.zeros(4))
    assert fit.history[0].value < start


def test_batch_gradients_are_unbiased():
    problem = random_problem(34)  # with weights of zero
    W, b = problem.point()
    seen, _ = problem.objective(sm.CrossEntropy(), fit_intercept=True).problem()
    engine = seen.features.engine
    value, dW, db = engine.evaluate(seen.loss, W, b)[2:5]
    parts = [batch.gradient(seen.loss, W, b) for batch in engine.batches(1, np.random.default_rng(0))]
    assert len(parts) == engine.shape.n_active < len(problem.y)
    assert np.mean([part[0] for part in parts]) == pytest.approx(value, rel=1e-12)
    assert np.mean([part[1] for part in parts], axis=0) == pytest.approx(dW, rel=1e-10, abs=1e-10)
    assert np.mean([part[2] for part in parts], axis=0) == pytest.approx(db, rel=1e-10, abs=1e-12)
    P = np.vstack([W, b])  # the penalty is in every part
    whole = seen.evaluate(P).gradient
    parts = [gradient(P) for gradient in seen.batches(1, np.random.default_rng(0))]
    assert np.mean(parts, axis=0) == pytest.approx(whole, rel=1e-10, abs=1e-10)


def test_misfits_fail_before_any_work():
    X, y = _blobs(50)
    hinge, smooth = sm.Objective(sm.Hinge(), X, y, 0.1), sm.Objective(sm.CrossEntropy(), X, y, 0.1)
    with pytest.raises(CapabilityError, match=r"LBFGS requires a smooth loss, got Hinge\("):
        sm.minimize(hinge, solver=LBFGS())
    with pytest.raises(CapabilityError, match=r"can be smoothed, such as Hinge, got CrossEntropy\("):
        sm.minimize(smooth, solver=AugmentedLagrangian(LBFGS()))
    with pytest.raises(ParameterError, match="inner must be a smooth solver"):
        sm.minimize(hinge, solver=AugmentedLagrangian(None))
    assert sm.minimize(sm.Objective(SmoothedHinge(), X, y, 0.1)).converged


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tol": 0.0}, "tol must be a number > 0 and < 1, got 0.0"),
        ({"tol": 2.0}, "tol must be a number > 0 and < 1, got 2.0"),
        ({"tol": np.nan}, "tol must be a number > 0 and < 1, got nan"),
        ({"max_passes": 0}, "max_passes must be a number ≥ 1, got 0"),
    ],
)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_invalid_settings(loss, settings, said):
    X, y = _blobs(50)
    with pytest.raises(ParameterError, match=said):
        sm.minimize(sm.Objective(loss, X, y, 0.1), **settings)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"W0": np.zeros((4, 6))}, r"W0 must have shape \(6, 4\), got \(4, 6\)"),
        ({"W0": "zeros"}, "W0 must be an array of real numbers"),
        ({"b0": np.zeros(6)}, r"b0 must have shape \(4,\), got \(6,\)"),
        ({"b0": 0.0}, r"b0 must have shape \(4,\), got \(\)"),  # it would have been broadcast
        ({"W0": np.full((6, 4), np.nan)}, "W0 must contain only finite numbers"),
        ({"b0": np.full(4, np.inf)}, "b0 must contain only finite numbers"),
    ],
)
def test_invalid_starts(arguments, said):
    X, y = _blobs(50)
    with pytest.raises(DataError, match=said):
        sm.minimize(sm.Objective(sm.CrossEntropy(), X, y, 0.1), **arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tol": "x"}, "tol must be a number, got 'x'"),
        ({"max_passes": "x"}, "max_passes must be a number, got 'x'"),
        ({"callback": 3}, "callback must be a callable that takes a Step, got 3"),
        ({"solver": 3}, "solver must be a solver instance such as softmargin.SGD"),
        ({"solver": sm.SGD}, "solver must be a solver instance such as softmargin.SGD"),
        ({"solver": LBFGS(memory="x")}, "memory must be an integer ≥ 0, got 'x'"),
        ({"solver": LBFGS(memory=-1)}, "memory must be an integer ≥ 0, got -1"),
        ({"solver": sm.SGD(batch_size=1.5)}, "batch_size must be an integer ≥ 1, got 1.5"),
        ({"solver": sm.SGD(batch_size=0)}, "batch_size must be an integer ≥ 1, got 0"),
        ({"solver": sm.SGD(epochs="x")}, "epochs must be an integer ≥ 1, got 'x'"),
        ({"solver": sm.SGD(seed=-1)}, "seed must be an integer ≥ 0, got -1"),
        ({"solver": sm.SGD(learning_rate="x")}, "learning_rate must be a number"),
        ({"solver": sm.SGD(learning_rate=np.inf)}, "learning_rate must be a finite number > 0, got inf"),
        ({"solver": DualAscent(seed=-1)}, "seed must be an integer ≥ 0, got -1"),
        ({"solver": DualAscent(fallback=3)}, "fallback must be a solver such as LBFGS"),
        ({"solver": TruncatedNewton(fallback=None)}, "fallback must be a smooth solver such as LBFGS"),
        ({"callback": lambda step: np.zeros(2)}, r"callback must return True to stop, .* array\(\[0., 0.\]\)"),
    ],
)
def test_invalid_arguments(arguments, said):
    X, y = _blobs(50)
    with pytest.raises(ParameterError, match=said):
        sm.minimize(sm.Objective(sm.CrossEntropy(), X, y, 0.1), **arguments)


SOLVERS = [
    LBFGS(),
    TruncatedNewton(fallback=LBFGS()),
    DualAscent(),
    DualAscent(LBFGS(), patience=2.0),
    AugmentedLagrangian(TruncatedNewton(fallback=LBFGS())),
    sm.SGD(epochs=5),
]


def _losses_of(solver):
    return [loss for loss in LOSSES if loss.smooth != isinstance(solver, AugmentedLagrangian)]


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-7])
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_a_tolerance_beside_a_solver_is_respected(solver, tol):
    """Also where it is the default: it belongs to `minimize`, and no solver has one of its own."""
    X, y = _blobs(spread=2.0)
    for loss in _losses_of(solver):
        objective = sm.Objective(loss, X, y, 0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = sm.minimize(objective, tol=tol, solver=solver)
            assert sm.minimize(objective, solver=solver).tol == 1e-4
        assert fit.tol == tol
        assert fit.converged == (fit.gap <= tol)
        assert fit.converged or isinstance(solver, sm.SGD)
        if not isinstance(solver, sm.SGD):  # it goes on no longer than it must
            assert all(step.value * (1.0 - tol) > step.lower_bound for step in fit.history[:-2])


def test_a_budget_beside_a_solver_is_respected():
    X, y = _blobs()
    objective = sm.Objective(sm.CrossEntropy(), X, y, 1e-6)
    with pytest.warns(ConvergenceWarning, match=r"Reached max_passes=6; increase max_passes\.$"):
        fit = sm.minimize(objective, tol=1e-10, max_passes=6, solver=sm.SGD(epochs=500))
    assert len(fit.history) < 10
    for solver in SOLVERS:
        assert not {"tol", "max_passes"} & {field.name for field in fields(solver)}


@pytest.mark.parametrize("scale", [1e-20, 1e15, 1e20])
@pytest.mark.parametrize("shape", [(200, 20, 3), (60, 600, 4)])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_scale_of_the_features_makes_no_difference(loss, shape, scale):
    n, d, c = shape
    X, y = np.random.default_rng(1).normal(size=(n, d)).astype(np.float32), np.arange(n) % c
    plain = sm.minimize(sm.Objective(loss, X, y, 0.01))
    scaled = sm.minimize(sm.Objective(loss, (X * scale).astype(np.float32), y, 0.01 * scale**2))
    assert scaled.converged
    assert scaled.value == pytest.approx(plain.value, rel=2e-4)
    assert scaled.n_passes <= 2 * plain.n_passes + 10


EXTREMES = {
    "a huge reg": {"reg": 1e308},
    "a tiny reg": {"reg": 5e-324},
    "a far start": {"W0": 1e200},
    "the farthest start": {"W0": -1e308},
    "a far bias": {"b0": 1e300},
    "features out of range": {"scale": 1e160},
    "a step that diverges": {"solver": sm.SGD(1e300, epochs=3)},
    "a step that diverges slowly": {"solver": sm.SGD(1e10, epochs=3)},
}


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("loss", [*LOSSES, sm.SquaredHinge(1e160)], ids=repr)
def test_numbers_out_of_range_are_told_by_the_gap_and_by_nothing_else(loss, extreme, engine):
    X, y = _blobs(60)
    settings = {"reg": 0.1, "scale": 1.0, "W0": 0.0, "b0": 0.0, "solver": None} | EXTREMES[extreme]
    directions = np.random.default_rng(1).uniform(-1, 1, (6, 4))
    objective = sm.Objective(loss, X, y, settings["reg"], scale=np.full(6, settings["scale"]), engine=engine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any other warning is an error
        fit = sm.minimize(
            objective,
            settings["W0"] * directions,
            settings["b0"] * directions[0],
            max_passes=20 if settings["solver"] is None else None,
            solver=settings["solver"],
        )
        plain = sm.minimize(sm.Objective(loss, X, y, min(settings["reg"], 1e100)), max_passes=20)
    assert fit.gap >= 0.0
    if not (np.isfinite(fit.value) and np.isfinite(fit.lower_bound)):
        assert fit.gap == np.inf
    assert fit.converged == (fit.gap <= 1e-4)
    if settings["scale"] == 1.0:
        assert not fit.lower_bound > plain.value


def test_a_fit_is_quiet_about_its_own_arithmetic_only():
    X, y = _blobs(60)

    def square(step):
        return bool(np.float64(1e200) ** 2 < step.value)

    objective = sm.Objective(sm.CrossEntropy(), X, y, 0.1)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        sm.minimize(objective, callback=square)
    with np.errstate(over="ignore"):
        assert sm.minimize(objective, callback=square).converged
    assert np.geterr()["over"] == "warn"


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_descent_that_diverges_is_never_called_converged(loss):
    X, y = _blobs()
    with pytest.warns(ConvergenceWarning, match=r"gap inf > tol=9e-1"):
        fit = sm.minimize(sm.Objective(loss, X, y, 0.1), tol=0.9, solver=sm.SGD(1e300))
    assert not np.isfinite(fit.value)
    assert fit.gap == np.inf
    assert not fit.converged


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_without_an_intercept_there_is_no_bias_to_start_from(loss):
    X, y = _blobs(50)
    objective = sm.Objective(loss, X, y, 0.1, fit_intercept=False)
    with pytest.raises(DataError, match="b0 must be zero"):
        sm.minimize(objective, b0=np.array([0.0, 0.0, 1e-300, 0.0]))
    assert np.array_equal(sm.minimize(objective, b0=np.zeros(4), tol=1e-2).b, np.zeros(4))


def test_no_penalty_is_refused():
    X, y = _blobs(50)
    with pytest.raises(ParameterError, match="separable"):
        sm.minimize(sm.Objective(sm.Hinge(), X, y, 0.0))


@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
def test_a_second_fit_on_the_same_objective_gives_the_same_bits(loss):
    """At a size where float32 serves and the preconditioner is made in panels, and after fits at other λ."""
    rng = np.random.default_rng(0)
    y = np.arange(3000) % 5
    X = (rng.normal(size=(5, 600))[y] + 3.0 * rng.normal(size=(3000, 600))).astype(np.float32)
    objective = sm.Objective(loss, X, y, 0.1)
    assert objective.problem()[0].traits.prefers_single
    first = sm.minimize(objective, tol=1e-4)
    sm.minimize(objective.replace(reg=1.0), tol=1e-3)
    second = sm.minimize(objective, tol=1e-4)
    assert first.converged
    assert second.W.tobytes() == first.W.tobytes()
    assert (second.value, second.lower_bound) == (first.value, first.lower_bound)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
def test_few_long_correlated_samples_are_proved_at_a_tiny_reg(loss, fit_intercept):
    """Classes that can be told apart by far, where neither coordinates nor first-order steps get anywhere."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(80, 700)) / np.arange(1, 701)).astype(np.float32)
    objective = sm.Objective(loss, X, np.arange(80) % 4, 1e-6, fit_intercept=fit_intercept)
    assert objective.problem()[0].traits.shape.has_few_rows
    fits = [sm.minimize(objective, tol=1e-6, max_passes=400) for _ in range(2)]
    assert fits[0].gap <= 1e-6
    assert fits[1].W.tobytes() == fits[0].W.tobytes()


def test_a_fit_ends_where_rounding_leaves_nothing_to_prove():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 700)) / np.arange(1, 701)
    objective = sm.Objective(sm.Hinge(), X, np.arange(80) % 4, 1e-9)
    with pytest.warns(ConvergenceWarning, match="rounding level of F"):
        fit = sm.minimize(objective, tol=1e-6, max_passes=10_000)
    assert fit.n_passes < 5_000
    assert (fit.value - fit.lower_bound) / fit.value < 0.1 * fit.gap


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_features_at_the_end_of_float32_are_scaled_in_float64(loss):
    X, y = _blobs(120)
    plain = sm.minimize(sm.Objective(loss, X, y, 0.1))
    tiny = (X * 1e-39).astype(np.float32)  # below the normal numbers, and the scale beyond float32
    fit = sm.minimize(sm.Objective(loss, tiny, y, 0.1, scale=np.full(X.shape[1], 1e39), engine="cpu"))
    assert fit.converged
    assert fit.value == pytest.approx(plain.value, rel=1e-3)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("chosen", [True, False])
def test_a_state_of_another_reg_is_a_warm_start(loss, chosen):
    """It takes fewer passes than a cold start, with the solver that is chosen and with a primal one."""
    X, y = _blobs(2000, 12, spread=3.0)
    primal = TruncatedNewton(fallback=LBFGS())
    solver = None if chosen else primal if loss.smooth else AugmentedLagrangian(primal)
    objective, smaller = (sm.Objective(loss, X, y, reg, engine="cpu") for reg in (0.02, 0.01))
    best = sm.minimize(smaller, tol=1e-9, max_passes=20_000)
    first, state = solve(objective, tol=1e-5, solver=solver)
    assert isinstance(state, State)
    assert np.array_equal(state.P[:-1], first.W)
    smaller = objective.replace(reg=0.01)
    cold, _ = solve(smaller, tol=1e-5, solver=solver)
    warm, after = solve(smaller, state, tol=1e-5, solver=solver)
    assert first.converged
    assert cold.converged
    assert warm.converged
    if chosen or loss.smooth:  # the augmented Lagrangian takes the point alone, with multipliers of zero
        assert warm.n_passes < cold.n_passes
    for fit in (cold, warm):
        assert fit.lower_bound <= best.value
        assert fit.value >= best.lower_bound
    assert after.reg == 0.01


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_dual_rows_are_a_warm_start_also_after_the_fallback(loss):
    X, y = _blobs(400, 8, spread=2.0)
    primal = LBFGS() if loss.smooth else AugmentedLagrangian(LBFGS())
    solver = DualAscent(primal, patience=2.0)
    objective = sm.Objective(loss, X, y, 1e-2, engine="cpu")
    first, state = solve(objective, tol=1e-7, solver=solver)
    assert first.converged
    assert state.warm.dual.reg == 1e-2  # it has handed over
    smaller = objective.replace(reg=8e-3)
    warm, _ = solve(smaller, state, tol=1e-3, solver=DualAscent())
    point, _ = solve(smaller, (first.W, first.b), tol=1e-3, solver=DualAscent())
    cold, _ = solve(smaller, tol=1e-3, solver=DualAscent())
    assert warm.converged
    assert warm.n_passes < cold.n_passes
    assert warm.W.tobytes() != point.W.tobytes()  # it was not the point
    larger, _ = solve(objective.replace(reg=0.1), state, tol=1e-3, solver=solver)  # rows may be infeasible there
    assert larger.converged


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_pair_of_w_and_b_is_a_start_too(loss):
    X, y = _blobs()
    objective = sm.Objective(loss, X + 5.0, y, 1e-2)
    fit, _ = solve(objective, tol=1e-6)
    again, _ = solve(objective, (fit.W, fit.b), tol=1e-3)
    assert again.history[0].value <= fit.value * (1 + 1e-9)
    minimized = sm.minimize(objective, fit.W, fit.b, tol=1e-3)
    assert again.W.tobytes() == minimized.W.tobytes()
    assert again.b.tobytes() == minimized.b.tobytes()


class _Watched:
    """A problem that records the points at which a Hessian was requested."""

    def __init__(self, problem, spoil):
        self._problem, self._spoil = problem, spoil
        self.at, self.n_evaluated, self.n_failed = [], 0, 0

    def __getattr__(self, name):
        return getattr(self._problem, name)

    def evaluate(self, P, **options):
        self.n_evaluated += 1
        point = self._problem.evaluate(P, **options)
        if self._spoil(self.n_evaluated):  # as scores that overflow do, on the way of a line search
            self.n_failed += 1
            return point._replace(value=np.inf, gradient=point.gradient * np.nan)
        return point

    def hessian(self, at):
        self.at.append(at)
        return self._problem.hessian(at)


@pytest.mark.parametrize("loss", [sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
@pytest.mark.parametrize("shape", [(300, 6, 4), (900, 300, 5)])  # the whole Hessian, and active pairs
def test_a_hessian_belongs_to_the_point_of_its_gradient(loss, shape):
    """Also after trials of a line search that failed: those were the last that the engine evaluated."""
    n, d, c = shape
    X, y = _blobs(n, d, c, spread=3.0)
    problem, _ = sm.Objective(loss, X, y, 0.05, engine="cpu").problem()
    watched = _Watched(problem, lambda k: 20 < k < 50)
    newton, start = TruncatedNewton(fallback=LBFGS()), np.zeros((d + 1, c))
    points = []
    for state in newton.descend(watched, State(P=start, reg=0.05), 1e-12, single=False):
        points.append(state.P)
        if len(points) == 12:
            break
    assert watched.at
    for at in watched.at:
        fresh = problem.evaluate(at.P, keep_scores=True)
        assert fresh.value == at.value
        assert np.array_equal(fresh.gradient, at.gradient)
        assert np.array_equal(fresh.data.scores.array, at.data.scores.array)
        ours, theirs = problem.hessian(at), problem.hessian(fresh)
        assert (ours is None) == (theirs is None)
        if ours is not None and (step := ours.solve(at.gradient, 1e-9)) is not None:
            assert np.array_equal(step, theirs.solve(fresh.gradient, 1e-9))
            V = np.random.default_rng(0).normal(size=start.shape)
            V[-1] = 0.0  # the floor is added there
            back = ours.solve(problem.hessian_product(at.P, V), 1e-6)
            assert back == pytest.approx(V, rel=1e-5, abs=1e-5)  # the inverse undoes the product


@dataclass(frozen=True)
class GradientDescent(Solver):
    """Steps against the gradient, halved where the value does not fall."""

    step: float = 0.5

    def steps(self, problem, start, tol):
        step, point = self.step, problem.evaluate(start.P)
        while step > 1e-12:
            square = float((point.gradient[:-1] ** 2).sum())
            gap = (square / (4.0 * problem.reg) + float(np.abs(point.gradient[-1]).sum())) / point.value
            yield State(P=point.P, reg=problem.reg, value=point.value, estimate=gap, ready=gap <= tol)
            trial = problem.evaluate(point.P - step * point.gradient)
            step, point = (2.0 * step, trial) if trial.value < point.value else (0.5 * step, point)
        return "The steps have become too short."


@pytest.mark.parametrize("loss", [sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
def test_a_custom_solver(loss, tmp_path):
    X, y = _blobs()
    objective = sm.Objective(loss, X, y, 0.1)
    best, seen = sm.minimize(objective, tol=1e-8), []
    fit = sm.minimize(objective, solver=GradientDescent(), callback=seen.append)
    assert fit.converged
    assert fit.lower_bound <= best.value
    assert fit.value >= best.lower_bound
    assert tuple(seen) == fit.history
    with pytest.warns(ConvergenceWarning, match=r"Reached max_passes=7; increase max_passes\.$"):
        fit = sm.minimize(objective, tol=1e-8, max_passes=7, solver=GradientDescent())
    assert fit.n_passes <= 10
    assert fit.lower_bound <= best.value
    with pytest.warns(ConvergenceWarning, match="Stopped by the callback"):
        fit = sm.minimize(objective, tol=1e-8, callback=lambda step: step.n_passes > 8, solver=GradientDescent())
    assert np.isfinite(fit.gap)
    with pytest.raises(ParameterError, match="GradientDescent does not support checkpoints; omit checkpoint"):
        sm.minimize(objective, solver=GradientDescent(), checkpoint=tmp_path / "x")

    interrupts = [KeyboardInterrupt()]

    def interrupt(step):
        if step.n_passes > 8 and interrupts:
            raise interrupts.pop()

    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        fit = sm.minimize(objective, tol=1e-8, callback=interrupt, solver=GradientDescent())
    assert fit.interrupted
    assert fit.value == pytest.approx(objective.value(fit.W, fit.b), rel=1e-12)
    assert fit.lower_bound <= best.value
    first, state = solve(objective, tol=1e-3, solver=GradientDescent())
    warm, _ = solve(objective.replace(reg=0.05), state, solver=GradientDescent())
    assert first.converged
    assert warm.converged
    with pytest.warns(ConvergenceWarning, match="have become too short"):
        sm.minimize(objective, tol=1e-8, solver=GradientDescent(step=1e-13))


@dataclass(frozen=True)
class Silent(Solver):
    """Yields only its start."""

    def steps(self, problem, start, tol):
        yield replace(start, estimate=0.0)
        return "It did nothing."


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_state_that_claims_too_much_is_proved_by_the_driver(loss):
    X, y = _blobs()
    objective = sm.Objective(loss, X, y, 0.1)
    with pytest.warns(ConvergenceWarning, match="It did nothing"):
        fit = sm.minimize(objective, solver=Silent())
    assert not fit.converged
    assert fit.gap > 1e-4
    assert fit.gap == pytest.approx(objective.certificate(fit.W, fit.b).gap, rel=1e-9)
