"""Preconditioners for wide dense features: float32 factors, low ranks, and the message for a diagonal."""

import numpy as np
import pytest
from scipy import sparse as sp

import softmargin as sm
from softmargin.engines import in_memory, nystrom
from softmargin.engines.cpu import blocks
from softmargin.engines.nystrom import NystromPreconditioner, affordable_rank
from softmargin.engines.preconditioners import CovariancePreconditioner, DiagonalPreconditioner
from softmargin.engines.triangular import row_panels
from softmargin.objective import Objective
from softmargin.samples import Fold, Samples
from softmargin.solvers import LBFGS, AugmentedLagrangian
from softmargin.solvers.minimize import solve
from softmargin.threads import Workers


def _rows(d, n, decay=1.5):
    """Return rows whose ZᵀZ has eigenvalues of about k^-decay, in random directions."""
    rng = np.random.default_rng(d)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return rng.normal(size=(n, d)) * np.arange(1, d + 1.0) ** (-0.5 * decay) @ rotation / np.sqrt(n)


def _nystrom(Z, rank, n_threads=1, dtype=np.float32):
    draws = np.random.default_rng(0).standard_normal((rank, Z.shape[1]), dtype=dtype)
    return NystromPreconditioner(np.array_split(Z.astype(dtype), 5), draws, Workers(n_threads))


def _eigenvalues(solver, S, curvature, reg):
    """Return the eigenvalues of the preconditioned matrix c S + 2λ I, all 1 for an exact solver."""
    inverse = solver.solve(curvature, reg, np.eye(len(S)))
    assert inverse == pytest.approx(inverse.T, rel=1e-2, abs=1e-4 * np.abs(inverse).max())
    root = np.linalg.cholesky(curvature * S + 2.0 * reg * np.eye(len(S)))
    return np.linalg.eigvalsh(root.T @ (0.5 * (inverse + inverse.T)) @ root)


def test_a_float32_factor_solves_as_well():
    Z = _rows(700, 1000)
    S, G = Z.T @ Z, np.random.default_rng(0).normal(size=(700, 6))
    single, double = (
        CovariancePreconditioner(row_panels(S.astype(t)), Workers(1)) for t in (np.float32, np.float64)
    )
    expected = double.solve(2.0, 1e-3, G)
    assert single.solve(2.0, 1e-3, G) == pytest.approx(expected, rel=1e-3, abs=1e-3 * np.abs(expected).max())
    # For a tiny λ the shift is at the level of rounding errors, and the factor still exists.
    smallest = _eigenvalues(single, S + 1e-9 * np.eye(700), 1.0, 1e-12)[0]
    assert smallest > 0.0
    other = CovariancePreconditioner(row_panels(S.astype(np.float32)), Workers(2))
    assert other.solve(2.0, 1e-3, G).tobytes() == single.solve(2.0, 1e-3, G).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_a_rank_of_all_features_is_exact(dtype, unit):
    Z, curvature = _rows(300, 500), 2.0
    S, G = Z.T @ Z, np.random.default_rng(0).normal(size=(300, 4))
    ratio = 6.0**-3 * np.diag(S).max()
    solver = _nystrom(Z * unit, 300, dtype=dtype)
    got = solver.solve(curvature, 0.5 * ratio * curvature * unit**2, G) * unit**2
    true = np.linalg.solve(curvature * (S + ratio * np.eye(300)), G)
    # A condition of 1e5 at most, in float32.
    assert got == pytest.approx(true, rel=1e-2, abs=1e-2 * np.abs(true).max())


@pytest.mark.parametrize("rank", [60, 200])
def test_a_low_rank_removes_the_large_eigenvalues(rank):
    Z = _rows(600, 1000, decay=2.0)
    S, reg = Z.T @ Z, 1e-6
    eigenvalues = _eigenvalues(_nystrom(Z, rank), S, 1.0, reg)
    assert eigenvalues[0] > 0.0
    left = np.linalg.eigvalsh(S)[-rank]
    assert eigenvalues[-1] / eigenvalues[0] < 4.0 * (left + 2.0 * reg) / (2.0 * reg)
    assert np.linalg.cond(S + 2.0 * reg * np.eye(600)) > 3e5


def test_the_remainder_is_solved_by_its_diagonal():
    scales = np.logspace(0, -4, 400)
    Z = np.random.default_rng(0).normal(size=(2000, 400)) * scales / np.sqrt(2000)
    S, reg = Z.T @ Z, 1e-9
    eigenvalues = _eigenvalues(_nystrom(Z, 20), S, 1.0, reg)
    assert eigenvalues[-1] / eigenvalues[0] < 500.0
    assert np.linalg.cond(S + 2.0 * reg * np.eye(400)) > 1e6


def test_a_low_rank_is_positive_definite_at_any_ratio():
    Z = _rows(400, 700, decay=6.0)
    Z[:, 7] = 0.0
    solver = _nystrom(Z, 200)
    for reg in np.logspace(-20, 5, 12):
        inverse = solver.solve(1.0, reg, np.eye(400))
        assert np.isfinite(inverse).all()
        assert np.linalg.eigvalsh(0.5 * (inverse + inverse.T))[0] > 0.0
        assert len(solver._made) <= 3
    assert _nystrom(np.zeros((9, 5)), 3).solve(2.0, 1.0, np.eye(5)) == pytest.approx(0.5 * np.eye(5), abs=1e-6)


def test_threads_change_no_bits_of_a_low_rank():
    Z = np.random.default_rng(0).normal(size=(700, 2500)) * np.logspace(0, -2, 2500)  # several tasks of each kind
    G = np.random.default_rng(0).normal(size=(2500, 6))
    one, *others = [_nystrom(Z, 600, n).solve(1.0, 1e-3, G) for n in (1, 2, 3)]
    for other in others:
        assert other.tobytes() == one.tobytes()


def test_the_rank_follows_from_the_memory():
    assert affordable_rank(10**6, 16384, 4) == affordable_rank(10**6, 32768, 4) == 2048
    assert affordable_rank(50, 32768, 4) == 50
    for D in (10**5, 10**6, 2 * 10**6):
        assert 0 < 4 * 4 * D * affordable_rank(10**6, D, 4) <= nystrom.MEMORY
    assert affordable_rank(10**6, 10**7, 4) == 0


KINDS = {"matrix": CovariancePreconditioner, "low rank": NystromPreconditioner, "diagonal": DiagonalPreconditioner}


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch):
    """Lower the limits so that 600 features have this kind of preconditioner, the matrix in float32."""
    for module in (in_memory, blocks):
        monkeypatch.setattr(module, "DOUBLE_FEATURES", 100)
    if request.param != "matrix":
        monkeypatch.setattr(in_memory, "_SINGLE_FEATURES", 500)
        monkeypatch.setattr(nystrom, "_LARGEST", 150)
    if request.param == "diagonal":
        monkeypatch.setattr(nystrom, "MEMORY", 1000)
    return KINDS[request.param]


def _samples():
    X = (_rows(600, 800) * np.sqrt(800) * 3.0).astype(np.float32)
    rng = np.random.default_rng(1)
    return X, (X @ rng.normal(size=(600, 3)) + 3.0 * rng.normal(size=(800, 3))).argmax(axis=1)


def _preconditioner(objective):
    return objective.problem()[0].features.preconditioner()


@pytest.mark.parametrize("loss", [sm.CrossEntropy(), sm.SquaredHinge(), sm.Hinge()], ids=repr)
def test_every_kind_leads_to_the_same_optimum(kind, loss):
    X, y = _samples()
    solver = LBFGS() if loss.smooth else AugmentedLagrangian(LBFGS())
    one, two = objectives = [sm.Objective(loss, X, y, 0.1, n_threads=n, engine="cpu") for n in (1, 2)]
    fit, other = (sm.minimize(o, tol=1e-3, solver=solver, max_passes=10_000) for o in objectives)
    assert fit.converged
    assert type(_preconditioner(one)) is type(_preconditioner(two)) is kind
    assert fit.W.tobytes() == other.W.tobytes()
    assert fit.n_passes == other.n_passes
    known = sm.minimize(sm.Objective(loss, X, y, 0.1, engine="reference"), tol=1e-4)
    assert known.converged
    assert known.lower_bound <= fit.value <= known.value / (1.0 - 1e-3)


def test_folds_share_a_preconditioner_of_any_kind(kind):
    X, y = _samples()
    folds = [Fold(np.flatnonzero(np.arange(800) % 5 != k), np.arange(k, 800, 5)) for k in range(2)]
    objective = Objective.of(sm.CrossEntropy(), Samples.check(X, y, folds=folds), 0.1, engine="cpu")
    whole = _preconditioner(objective)
    assert type(whole) is kind
    for reg in (0.1, 1e-7):
        assert _preconditioner(objective.replace(reg=reg)) is whole
    for k in range(2):
        fold = objective.replace(reg=1e-7).fold(k)
        assert _preconditioner(fold) is whole
        fit, _ = solve(fold, tol=1e-9, max_passes=3, solver=LBFGS())
        assert ("diagonal preconditioner" in fit.status) == (kind is DiagonalPreconditioner)


def test_a_fit_without_a_good_preconditioner_names_the_cause(kind):
    X, y = _samples()
    objective = sm.Objective(sm.CrossEntropy(), X, y, 1e-7, engine="cpu")
    cause = "X has 600 dense features, for which only a diagonal preconditioner is available: "
    with pytest.warns(sm.errors.ConvergenceWarning, match=r"max_passes=9; increase max_passes\.") as said:
        fit = sm.minimize(objective, tol=1e-8, max_passes=9, solver=LBFGS())
    for text in (fit.status, str(said[0].message)):
        assert (cause + "use fewer features or a larger reg." in text) == (kind is DiagonalPreconditioner)


def test_a_fit_of_many_sparse_columns_names_the_cause():
    X, y = sp.random_array((300, 2100), density=0.02, rng=0, format="csr"), np.arange(300) % 3
    X = sp.vstack([X] * 8).tocsr()
    objective = sm.Objective(sm.SquaredHinge(), X, np.tile(y, 8)[np.random.default_rng(0).permutation(2400)], 1e-6)
    fit, _ = solve(objective, tol=1e-9, max_passes=5, solver=LBFGS())
    assert fit.status.endswith(
        "X has 2,100 sparse features, for which only a diagonal preconditioner is available: "
        "use fewer features or a larger reg."
    )
