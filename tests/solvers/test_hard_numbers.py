"""Features and penalties of extreme sizes: certified, or with a warning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import softmargin as sm
from softmargin import textbook
from softmargin.errors import ConvergenceWarning, ParameterError
from softmargin.solvers import Solver, State
from tests.support.cases import EPS, ESTIMATORS, FORMULAS, LOSSES, agree, blobs, fitted, near, saved
from tests.support.command_line import SOFT, run, run_refused
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("either_engine")


@pytest.mark.parametrize("factor", [1e15, 1e-15])
def test_features_times_1e15_are_certified(factor: float, tmp_path: Path) -> None:
    X, y = blobs()
    plain = sm.LinearClassifier(reg=0.1, tol=1e-8).fit(X, y)
    scaled = sm.LinearClassifier(reg=0.1 * factor**2, tol=1e-8).fit(X * factor, y)
    agree(plain, scaled, sm.minimize(sm.Objective(sm.CrossEntropy(), X * factor, y, 0.1 * factor**2), tol=1e-8))
    # λ‖W - W*‖² ≤ 1e-8 F: the scores of rows of length 6 are within 2e-3 of the true ones, for each of the two.
    assert np.linalg.norm(X, axis=1).max() < 6.0
    assert scaled.predict_proba(X * factor) == pytest.approx(plain.predict_proba(X), abs=4e-3)
    standard = [sm.LinearClassifier(reg=0.1, tol=1e-8, scaling="standard").fit(Z, y) for Z in (X, X * factor)]
    agree(*standard)
    with warnings.catch_warnings(record=True) as caught:  # at an unscaled λ: converged, or with a warning
        warnings.simplefilter("always")
        raw = sm.LinearClassifier(reg=1e-4, max_passes=200).fit(X * factor, y)
    assert raw.converged_ == (not [w for w in caught if issubclass(w.category, ConvergenceWarning)])
    true = textbook.softmax_loss_naive(raw.coef_.T, X * factor, y, 1e-4, b=raw.intercept_)
    assert raw.value_ == near(true, rel=1e-12)
    target = tmp_path / "m.safetensors"
    options = ("--loss", "cross_entropy", "--reg", "1e-4", "--max-passes", "200")
    answer = run("fit", saved(tmp_path, X * factor, y), "-o", target, *options)
    made = sm.load_model(target)
    assert answer.status == (0 if made.converged else 1)
    assert ("(did not converge: tolerance" in answer.text) == (not made.converged)
    assert made.value == near(textbook.softmax_loss_naive(made.W, X * factor, y, 1e-4, b=made.b), rel=1e-12)


def test_features_times_1e200_are_an_error(tmp_path: Path) -> None:
    X, y = blobs()
    X = X * 1e200
    words = ("olumn", "too large")
    for loss in LOSSES:
        refused(lambda loss=loss: sm.minimize(sm.Objective(loss, X, y, 0.1)), *words)
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(X, y), *words)
    for options in (SOFT, ("--quick",), ("--folds", "2"), (*SOFT, "--scaling", "standard")):
        run_refused(
            tmp_path, "fit", saved(tmp_path, X, y), "-o", tmp_path / "m.safetensors", *options, words=words
        )
    unit = sm.LinearClassifier(reg=0.1, normalize_rows=True).fit(X, y)  # whose lengths do not count
    agree(unit, sm.LinearClassifier(reg=0.1, normalize_rows=True).fit(X / 1e200, y))


def test_no_penalty_has_no_finite_optimum(tmp_path: Path) -> None:
    X, y = np.eye(3)[np.arange(30) % 3], np.arange(30) % 3
    words = ("reg must be positive, got 0", "separable", "no optimum")
    for loss in LOSSES:
        refused(lambda loss=loss: sm.minimize(sm.Objective(loss, X, y, 0.0)), *words, error=ParameterError)
        refused(lambda loss=loss: sm.LinearClassifier(loss, reg=0.0).fit(X, y), *words, error=ParameterError)
        objective = sm.Objective(loss, X, y, 0.0)
        refused(
            lambda o=objective: o.certificate(np.eye(3), np.zeros(3)),
            "reg must be positive, got 0",
            error=ParameterError,
        )
    search = sm.LinearClassifierCV(["cross_entropy"], regs=[0.0], cv=2)
    refused(lambda: search.fit(X, y), "regs must be positive, got 0", error=ParameterError)
    run_refused(
        tmp_path,
        "fit",
        saved(tmp_path, X, y),
        "--loss",
        "hinge",
        "--reg",
        "0",
        words=("--reg", "must be a finite number > 0, got 0"),
    )


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_penalties_of_1e300_and_1e_300_are_solved_or_reported(loss: Any, tmp_path: Path) -> None:
    X, y = blobs()
    limit = float(mpmath.log(3)) if loss.name == "cross_entropy" else 2.0  # W = 0, and b = 0 by symmetry
    fits = [sm.minimize(sm.Objective(loss, X, y, 1e300)), sm.LinearClassifier(loss, reg=1e300).fit(X, y).fit_]
    fits.append(fitted(tmp_path, X, y, "--loss", loss.name, "--reg", "1e300"))
    for fit in fits:
        assert fit.converged
        assert fit.lower_bound <= limit
        assert limit * (1 - 100 * EPS) <= fit.value <= limit * (1 + 1e-4)  # a mean of 90 losses
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tiny = sm.minimize(sm.Objective(loss, X, y, 1e-300), max_passes=100)
        within = sm.LinearClassifier(loss, reg=1e-300, max_passes=100).fit(X, y)
    told_so = sum(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert told_so == (not tiny.converged) + (not within.converged_)
    for fit in (tiny, within.fit_):
        assert fit.value == near(FORMULAS[loss.name](fit.W, X, y, 1e-300, b=fit.b), rel=1e-12)
        assert fit.lower_bound <= min(tiny.value, within.value_)
    options = ("--loss", loss.name, "--reg", "1e-300", "--max-passes", "100")
    answer = run("fit", tmp_path / "d.npz", "-o", tmp_path / "m.safetensors", *options)
    assert answer.status == (0 if sm.load_model(tmp_path / "m.safetensors").converged else 1)
    for wrong in (np.nan, -1.0, -1e-300, np.inf):
        words = ("reg must be a finite number ≥ 0", f"got {wrong}")
        refused(lambda wrong=wrong: sm.Objective(loss, X, y, wrong), *words, error=ParameterError)
        refused(lambda wrong=wrong: sm.LinearClassifier(loss, reg=wrong).fit(X, y), *words, error=ParameterError)
        run_refused(
            tmp_path, "fit", tmp_path / "d.npz", "--loss", loss.name, "--reg", str(wrong), words=("--reg",)
        )


@dataclass(frozen=True)
class Idle(Solver):
    """A solver that stays where it began."""

    def steps(self, problem: Any, start: State, tol: float) -> Any:
        yield start
        return "It did nothing."


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_stalled_solver_is_never_called_converged(loss: Any, tmp_path: Path) -> None:
    X, y = blobs()
    objective = sm.Objective(loss, X, y, 0.01)
    optimum = sm.minimize(objective, tol=1e-5, max_passes=5000)
    assert optimum.converged
    for options in (
        {"solver": sm.SGD(1e-300, epochs=2)},
        {"solver": sm.SGD(1e300, epochs=2)},
        {"solver": Idle()},
        {"max_passes": 1},
        {"callback": lambda step: True},
        {"tol": 1e-17},
    ):
        with pytest.warns(ConvergenceWarning, match="Did not converge: relative duality gap "):
            fit = sm.minimize(objective, **options)
        assert not fit.converged
        assert fit.gap > fit.tol
        assert fit.lower_bound <= optimum.value
        if np.isfinite(fit.value):
            assert fit.value >= optimum.lower_bound
            assert fit.gap >= (fit.value - optimum.value) / fit.value  # at least this far from the optimum
    with pytest.warns(ConvergenceWarning):
        assert not sm.LinearClassifier(loss, reg=0.01, max_passes=1).fit(X, y).converged_
    made = fitted(tmp_path, X, y, "--loss", loss.name, "--reg", "0.01", "--max-passes", "1", status=1)
    assert not made.converged
    assert "(did not converge: tolerance" in run("info", tmp_path / "m.safetensors").text


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_columns_of_very_different_scales_are_solved(loss: Any, tmp_path: Path) -> None:
    X, y = blobs(90, 5)
    scale = 10.0 ** np.array([-8.0, -4.0, 0.0, 4.0, 8.0])
    Z = X * scale
    options = {"tol": 1e-4, "max_passes": 5000}
    standard = [sm.LinearClassifier(loss, reg=0.01, scaling="standard", **options).fit(A, y) for A in (X, Z)]
    folded = sm.minimize(sm.Objective(loss, Z, y, 0.01, scale=1.0 / Z.std(axis=0)), **options)
    made = fitted(tmp_path, Z, y, "--loss", loss.name, "--reg", "0.01", "--scaling", "standard")
    agree(*standard, folded, made)
    value = FORMULAS[loss.name](folded.W, Z / Z.std(axis=0), y, 0.01, b=folded.b)
    assert folded.value == near(value, rel=1e-12)
    with warnings.catch_warnings(record=True) as caught:  # with W in these units it may take longer than that
        warnings.simplefilter("always")
        # On very small data the hinge takes the augmented Lagrangian: more passes, and cheaper ones.
        budget = 400 if loss.name == "hinge" else 200
        raw = [sm.minimize(sm.Objective(loss, Z, y, 0.01), max_passes=budget)]
        raw.append(sm.minimize(sm.Objective(loss, X, y, 0.01, scale=scale), max_passes=budget))
    assert sum(issubclass(w.category, ConvergenceWarning) for w in caught) == sum(not fit.converged for fit in raw)
    target = tmp_path / "m.safetensors"
    few = ("--loss", loss.name, "--reg", "0.01", "--max-passes", str(budget), "--scaling", "none")
    answer = run("fit", tmp_path / "d.npz", "-o", target, *few)
    raw.append(sm.load_model(target))
    assert answer.status == (0 if raw[-1].converged else 1)
    assert max(fit.lower_bound for fit in raw) <= min(fit.value for fit in raw) * (1 + 1e-12)
    assert max(fit.gap for fit in raw) < (1e-2 if loss.name == "hinge" else 1e-4)  # it takes longer
    for fit, A in zip(raw, (Z, X * scale, Z), strict=True):
        assert fit.value == near(FORMULAS[loss.name](fit.W, A, y, 0.01, b=fit.b), rel=1e-12)
