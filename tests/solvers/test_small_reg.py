"""Margin losses at a small λ: the continuation, and the Hessian of active pairs of its Newton steps."""

import numpy as np
import pytest

import softmargin as sm
from softmargin.affine import Affine
from softmargin.engines import make_engine
from softmargin.engines.class_blocks import ClassBlocks, Pairs
from softmargin.engines.hessians import PairHessian
from softmargin.samples import Samples
from softmargin.solvers.choose import choose_solver
from softmargin.solvers.continuation import Continuation
from softmargin.threads import Workers

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = [sm.Hinge(), sm.SquaredHinge()]


def _classes(n, d, c, spread=0.7, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % c)
    return (rng.normal(size=(c, d))[y] + spread * rng.normal(size=(n, d))) / np.sqrt(d), y


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(240, 60, 5), (60, 200, 4), (400, 30, 40)], ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_separable_classes_are_proved_at_any_small_reg(loss, shape, fit_intercept):
    """As λ falls, W tends to the W of the largest margin: F/λ rises to its ‖W‖²."""
    X, y = _classes(*shape)
    lengths = []
    for reg in (1e-4, 1e-6, 1e-8):
        fit = sm.minimize(sm.Objective(loss, X, y, reg, fit_intercept=fit_intercept), tol=1e-4, max_passes=300)
        assert fit.converged
        lengths.append((fit.lower_bound / reg, fit.value / reg))
    # The value of one λ is above the bound of every other: an error in a certificate would show.
    assert all(low <= 1.0001 * high for low, _ in lengths[:2] for _, high in lengths[1:])
    assert lengths[-1][1] == pytest.approx(lengths[-2][1], rel=2e-2)
    scores = X @ fit.W + fit.b
    margins = scores[np.arange(len(y)), y][:, None] - scores
    margins[np.arange(len(y)), y] = 1.0
    assert margins.min() >= 1.0 - 1e-3


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_classes_that_overlap_are_proved_with_weights_and_a_scale(loss):
    X, y = _classes(300, 12, 6, spread=2.0)
    weights = np.random.default_rng(1).uniform(0.1, 5.0, 300)
    for reg in (1e-4, 1e-6):
        objective = sm.Objective(loss, 10.0 * X, y, reg, weights, scale=np.full(12, 0.3), mean=np.full(12, 0.5))
        assert sm.minimize(objective, tol=1e-4).converged


@pytest.mark.parametrize("delta", [1e-3, 1e3])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_continuation_does_not_depend_on_the_units_of_the_scores(loss, delta):
    X, y = _classes(240, 60, 5)
    wide, factor = type(loss)(delta), delta if isinstance(loss, sm.Hinge) else 1.0
    unit = sm.minimize(sm.Objective(loss, X, y, 1e-5), tol=1e-4)
    other = sm.minimize(sm.Objective(wide, X, y, 1e-5 / factor), tol=1e-4)
    assert unit.converged
    assert other.converged
    assert other.n_passes <= 2 * unit.n_passes
    assert other.value == pytest.approx(unit.value * (delta if factor != 1.0 else delta**2), rel=2e-4)


def test_the_continuation_is_chosen_for_stiff_margin_losses_only():
    X, y = _classes(240, 60, 5)
    for loss in (*LOSSES, sm.CrossEntropy()):
        for reg in (1e-1, 1e-6):
            solver = choose_solver(sm.Objective(loss, X, y, reg).problem()[0])
            continues = isinstance(getattr(solver, "fallback", None), Continuation)
            assert continues == (loss in LOSSES and reg == 1e-6)


def _pairs(n_rows, n_classes, n_pairs, rng):
    y = rng.integers(0, n_classes, n_rows)
    place = np.sort(rng.integers(0, n_rows, n_pairs))
    rival = (y[place] + rng.integers(1, n_classes, n_pairs)) % n_classes
    return Pairs(place, rival, y[place], rng.uniform(0.1, 2.0, n_pairs))


@pytest.mark.parametrize("floor", [None, 1e-3])
@pytest.mark.parametrize("n_pairs", [12, 400])
def test_class_blocks_are_the_diagonal_of_the_hessian(n_pairs, floor):
    """Their inverse, with the mean over the classes replaced by the exact one, against dense matrices."""
    rng, C, D, reg = np.random.default_rng(2), 4, 9, 1e-3
    Z, pairs, G = rng.normal(size=(50, D)), _pairs(50, C, n_pairs, rng), rng.normal(size=(D + 1, C))
    found = ClassBlocks(Z, pairs, C, reg, floor, Workers(1)).solve(G)

    lifted = np.hstack([Z, np.full((50, 1), 0.0 if floor is None else 1.0)])
    centred = np.eye(C) - 1.0 / C
    expected = np.zeros_like(G)
    for c in range(C):
        part = (pairs.rival == c) | (pairs.target == c)
        rows = lifted[pairs.rows[part]]
        block = (rows.T * pairs.factors[part]) @ rows + 2.0 * reg * np.eye(D + 1)
        block[D, D] += (floor or 1.0) - 2.0 * reg if floor is None or floor > 2.0 * reg else 0.0
        expected[:, c] = np.linalg.solve(block, (G @ centred)[:, c])
    if floor is None:
        expected[D] = 0.0
    expected = expected @ centred
    expected[:D] += G[:D].mean(axis=1, keepdims=True) / (2.0 * reg)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("floor", [None, 1e-4])
@pytest.mark.parametrize("shape", [(150, 30, 5), (20, 150, 3)], ids=str)
def test_few_active_pairs_are_solved_exactly(shape, floor):
    """Against the dense matrix of the same Hessian, for more and for fewer samples than features."""
    n, D, C = shape
    rng, reg, curvature = np.random.default_rng(3), 1e-3, 2.0
    y, affine = rng.permutation(np.arange(n) % C), Affine(rng.normal(size=D), rng.uniform(0.5, 2.0, D))
    engine = make_engine("cpu", Samples.check(rng.normal(size=(n, D)), y, rng.uniform(0.5, 2.0, n)))
    active = (rng.random((n, C)) < 0.04) & (np.arange(C) != y[:, None])
    G = rng.normal(size=(D + 1, C))

    H = np.diag(np.tile(np.append(np.full(D, 2.0 * reg), 1.0 if floor is None else floor), C))
    Z = np.hstack([affine.transform(engine.samples.X), np.full((n, 1), 0.0 if floor is None else 1.0)])
    for i, j in np.argwhere(active):
        direction = np.kron(np.eye(C)[j] - np.eye(C)[y[i]], Z[i])
        H += curvature * engine.samples.weights[i] * np.outer(direction, direction)
    expected = np.linalg.solve(H, G.T.ravel()).reshape(C, D + 1).T
    if floor is None:
        expected[D] = 0.0
    preconditioner = engine.preconditioner(affine, engine.moments(), False)
    solved = PairHessian(engine, active, curvature, affine).solve(G, reg, floor, preconditioner)
    assert solved == pytest.approx(expected, rel=1e-8, abs=1e-8 * np.abs(expected).max())
