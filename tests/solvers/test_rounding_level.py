"""A tolerance that rounding errors do not allow: the fit ends when nothing can improve, and not earlier."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

import softmargin as sm
from softmargin.errors import ConvergenceWarning
from softmargin.solvers import LBFGS, AugmentedLagrangian, DualAscent, Solver, TruncatedNewton
from tests.support.cases import LOSSES, blobs

UNREACHABLE = 1e-15
NEWTON = TruncatedNewton(fallback=LBFGS())


def problems() -> dict[str, tuple[object, np.ndarray, float]]:
    """Return X, y and λ of small problems of every layout and type."""
    rng = np.random.default_rng(0)
    X, y = blobs(300, 5)
    few = rng.normal(size=(20, 60)) / np.arange(1, 61)
    counts = np.where(rng.random((240, 30)) < 0.2, rng.integers(1, 9, (240, 30)), 0)
    return {
        "float64": (X, y, 1e-2),
        "two classes": (X, y % 2, 1e-3),
        "float32": (X.astype(np.float32), y, 1e-2),
        "uint8": (np.clip(40 * X + 128, 0, 255).astype(np.uint8), y, 1.0),
        "far from zero": (X + 1e4, y, 1e-2),
        "few rows": (few, np.arange(20) % 4, 1e-2),
        "sparse": (csr_array(counts.astype(float)), np.arange(240) % 3, 1e-2),
    }


def fitted(objective: sm.Objective, solver: Solver | None, most: int) -> sm.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sm.minimize(objective, tol=UNREACHABLE, max_passes=most, solver=solver)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("name", problems())
def test_the_fit_ends_with_the_smallest_tol(name: str, loss: sm.Hinge, fit_intercept: bool) -> None:
    X, y, reg = problems()[name]
    objective = sm.Objective(loss, X, y, reg, fit_intercept=fit_intercept)
    fit = fitted(objective, None, 1500)
    assert fit.n_passes < 1400  # of 1,500
    assert 1e-15 < fit.gap < (1e-7 if name == "far from zero" else 1e-9)
    assert "max_passes" not in fit.status
    found = re.fullmatch(r"The gap is at the rounding level of F in float64; use tol ≥ (\S+)\.", fit.status)
    assert found is not None, fit.status
    # That tolerance is reached, and a quarter of the gap is not. Half of it can be: with the hinge on few rows,
    # changes of X by 1e-13 make the smallest gap 1.1e-12 or 2.3e-12.
    least = float(found[1])
    assert sm.minimize(objective, tol=least).gap <= least
    less = 0.25 * fit.gap
    with pytest.warns(
        ConvergenceWarning, match=f"tol={np.format_float_scientific(less, precision=3, trim='-', exp_digits=1)}"
    ):
        assert sm.minimize(objective, tol=less, max_passes=300).gap > less


@pytest.mark.parametrize("name", ["float64", "float32", "sparse"])
@pytest.mark.parametrize(
    ("solver", "loss"),
    [
        (LBFGS(), sm.CrossEntropy()),
        (LBFGS(), sm.SquaredHinge()),
        (NEWTON, sm.CrossEntropy()),
        (NEWTON, sm.SquaredHinge()),
        (DualAscent(), sm.CrossEntropy()),
        (DualAscent(NEWTON), sm.SquaredHinge()),
        (DualAscent(AugmentedLagrangian(NEWTON)), sm.Hinge()),
        (AugmentedLagrangian(NEWTON), sm.Hinge()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_solver_ends_while_it_progresses(
    name: str, solver: Solver, loss: sm.Hinge, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, reg = problems()[name]
    objective = sm.Objective(loss, X, y, reg, fit_intercept=False, engine="cpu")
    fit = fitted(objective, solver, 2000)
    assert "rounding level" in fit.status
    assert fit.n_passes < 800
    monkeypatch.setattr("softmargin.solvers.run.Run._rounding_reason", lambda self: "")
    whole = fitted(objective, solver, 3 * fit.n_passes)
    assert whole.n_passes > 2 * fit.n_passes
    assert fit.gap <= 1.5 * whole.gap
    assert fit.value <= whole.value * (1.0 + 1e-11)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_fit_within_reach_is_the_same_to_the_last_bit(loss: sm.Hinge, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs(300, 5)
    tols = (1e-3, 1e-6, 1e-9, 3e-11)
    fits = [sm.minimize(sm.Objective(loss, X, y, 1e-2), tol=tol) for tol in tols]
    monkeypatch.setattr("softmargin.solvers.run.Run._rounding_reason", lambda self: "")
    monkeypatch.setattr("softmargin.solvers.run.Run._is_stuck", lambda self: False)
    for tol, fit in zip(tols, fits, strict=True):
        other = sm.minimize(sm.Objective(loss, X, y, 1e-2), tol=tol)
        assert fit.converged
        assert other.W.tobytes() == fit.W.tobytes()
        assert other.n_passes == fit.n_passes


def test_the_callback_that_stops_a_fit_is_still_named() -> None:
    X, y = blobs(300, 5)
    with pytest.warns(ConvergenceWarning, match="Stopped by the callback"):
        sm.minimize(
            sm.Objective(sm.CrossEntropy(), X, y, 1e-2), tol=1e-15, callback=lambda step: step.n_passes > 10
        )
