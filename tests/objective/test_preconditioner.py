"""The preconditioners: they solve what they say, with the same bits for any number of threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from softmargin.engines.preconditioners import CovariancePreconditioner, GramPairs, GramPreconditioner
from softmargin.engines.triangular import row_panels
from softmargin.threads import Workers


def _covariance(d, decades=3.0):
    Z = np.random.default_rng(d).normal(size=(2 * d, d)) * np.logspace(0, -decades, d)
    return Z.T @ Z / len(Z)


@pytest.mark.parametrize(("d", "c"), [(1, 2), (5, 3), (300, 77), (700, 10), (1300, 4)])
@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
def test_it_solves_for_a_ratio_close_by(d, c, unit):
    S = _covariance(d)
    G = np.random.default_rng(0).normal(size=(d, c))
    lower = np.tril(S) * unit + np.triu(np.full((d, d), np.nan), 1)  # the upper triangle is not read
    solver, largest = CovariancePreconditioner(row_panels(lower), Workers(1)), np.diag(S).max()
    for curvature, power in ((2.0, -4), (0.5, -2), (0.6, -2)):
        got = solver.solve(curvature, 0.5 * 6.0**power * largest * curvature * unit, G) * unit
        true = np.linalg.solve(curvature * (S + 6.0**power * largest * np.eye(d)), G)
        # A condition of 1e4 at most, in float32.
        assert got == pytest.approx(true, rel=1e-3, abs=1e-4 * np.abs(true).max())


def test_threads_change_no_bits():
    S, G = _covariance(1300), np.random.default_rng(0).normal(size=(1300, 6))
    one, *others = [CovariancePreconditioner(row_panels(S), Workers(n)).solve(1.0, 1e-3, G) for n in (1, 2, 3)]
    for other in others:
        assert other.tobytes() == one.tobytes()


def test_a_triangle_serves_ratios_close_by_and_depends_on_nothing_else():
    S, G = _covariance(40), np.random.default_rng(0).normal(size=(40, 6))
    solver = CovariancePreconditioner(row_panels(S), Workers(1))
    first = solver.solve(1.0, 1e-3, G)
    assert solver.solve(1.0, 1.1e-3, G).tobytes() == first.tobytes()
    assert len(solver._made) == 1
    for reg in np.logspace(-2, 4, 8):
        solver.solve(1.0, reg, G)
        assert len(solver._made) <= 3
    assert solver.solve(1.0, 1e-3, G).tobytes() == first.tobytes()


def test_threads_may_share_it():
    S, G = _covariance(700), np.random.default_rng(0).normal(size=(700, 6))
    regs = np.logspace(-5, 2, 30)
    alone = CovariancePreconditioner(row_panels(S), Workers(1))
    expected = [alone.solve(1.0, reg, G).tobytes() for reg in regs]
    shared = CovariancePreconditioner(row_panels(S), Workers(2))
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            assert list(pool.map(lambda reg: shared.solve(1.0, reg, G).tobytes(), regs)) == expected


def test_a_covariance_that_rounding_made_indefinite_serves():
    S = _covariance(50)
    S -= 1e-3 * np.eye(50)
    G = np.random.default_rng(0).normal(size=(50, 3))
    found = CovariancePreconditioner(row_panels(S), Workers(1)).solve(1.0, 1e-12, G)
    assert np.isfinite(found).all()
    assert np.vdot(found, G) > 0.0


@pytest.mark.parametrize(("n", "d", "c"), [(1, 3, 2), (60, 300, 7), (600, 700, 3)])
def test_few_rows_are_solved_through_their_gram_matrix(n, d, c):
    rng = np.random.default_rng(n)
    Z = rng.normal(size=(n, d)) * np.logspace(0, -3, d) / np.sqrt(n)
    S, G = Z.T @ Z, rng.normal(size=(d, c))
    largest = float(np.diag(S).max())
    solvers = [GramPreconditioner(Z, np.ones(n), Workers(threads)) for threads in (1, 2)]
    for curvature, power in ((2.0, -9), (0.5, -2)):
        got, other = (s.solve(curvature, 0.5 * 6.0**power * largest * curvature, G) for s in solvers)
        true = np.linalg.solve(curvature * (S + 6.0**power * largest * np.eye(d)), G)
        assert got == pytest.approx(true, rel=1e-9, abs=1e-9 * np.abs(true).max())
        assert other.tobytes() == got.tobytes()


@pytest.mark.parametrize("pull", [0.0, 5.0])
@pytest.mark.parametrize("n", [5, 300])
def test_a_hessian_of_pairs_is_solved_through_their_products(n, pull):
    rng = np.random.default_rng(n)
    d, c, reg = 9, 4, 3e-3
    weights = rng.uniform(0.1, 1.0, n) / n
    Z, y = rng.normal(size=(n, d)), rng.integers(c, size=n)
    active = rng.random((n, c)) < 0.8
    active[np.arange(n), y] = False
    rows, rival = np.nonzero(active)
    features = np.hstack([Z, np.ones((n, 1))])  # the Hessian of W and b, b as the weights of a constant
    hessian = np.zeros((d + 1, c, d + 1, c))
    for i, j in zip(rows, rival, strict=True):
        pair = np.outer(features[i], np.eye(c)[j] - np.eye(c)[y[i]])
        hessian += 2.0 * weights[i] * pair[:, :, None, None] * pair
    hessian = hessian.reshape((d + 1) * c, -1)
    hessian[np.diag_indices(d * c)] += 2.0 * reg
    if pull:
        hessian[range(d * c, (d + 1) * c), range(d * c, (d + 1) * c)] += 1.0 / pull
    roots = np.sqrt(weights)
    G = rng.normal(size=(d + 1, c))
    pairs = GramPairs(rows, rival, y[rows], 2.0)
    solvers = [GramPreconditioner(roots[:, None] * Z, roots, Workers(threads)) for threads in (1, 2)]
    got, other = (s.solve_pairs(pairs, reg, pull, G) for s in solvers)
    free = (d + 1) * c if pull else d * c
    true = np.zeros(hessian.shape[0])
    true[:free] = np.linalg.solve(hessian[:free, :free], G.ravel()[:free])
    assert got.ravel() == pytest.approx(true, rel=1e-8, abs=1e-9 * np.abs(true).max())
    assert other.tobytes() == got.tobytes()
