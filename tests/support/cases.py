"""Small problems on which functions, estimators and the command line must give the same results."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import softmargin as sm
from softmargin import textbook
from tests.support.command_line import SOFT, rows_of, run
from tests.support.models import model

EPS = np.finfo(np.float64).eps

ENGINES = ("cpu", "reference")

LOSSES = [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()]

FORMULAS: dict[str, Callable[..., float]] = {
    "hinge": textbook.svm_loss_vectorized,
    "squared_hinge": textbook.squared_hinge_loss_vectorized,
    "cross_entropy": textbook.softmax_loss_vectorized,
}

ESTIMATORS = [
    sm.LinearClassifier(reg=0.1),
    sm.LinearClassifierCV(["cross_entropy"], regs=[0.1], cv=2),
]


def saved(folder: Path, X: Any, y: Any = None, name: str = "d") -> Path:
    """Save features, and labels if there are any, as the command line reads them."""
    np.savez(folder / f"{name}.npz", X=X, **({} if y is None else {"y": y}))
    return folder / f"{name}.npz"


def fitted(folder: Path, X: Any, y: Any, *options: str, status: int = 0) -> sm.Model:
    """Fit on the command line and return the model that it saved."""
    target = folder / "m.safetensors"
    answer = run("fit", saved(folder, X, y), "-o", target, *(options or SOFT))
    assert answer.status == status, answer
    return sm.load_model(target)


def predicted(folder: Path, made: sm.Model, X: Any, *flags: str) -> np.ndarray:
    """Return the numbers that the command line prints for the rows of X."""
    made.save(folder / "made.safetensors")
    rows = rows_of(run("predict", folder / "made.safetensors", saved(folder, X, name="x"), *flags))
    return np.array([[float(number) for number in row[2:]] for row in rows])


def blobs(n: int = 90, d: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of three classes that overlap, as many of each."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return rng.normal(size=(3, d))[y] + rng.normal(size=(n, d)), y


def point(d: int = 4, c: int = 3, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(d, c)), rng.normal(size=c)


def classifier_at(W: Any, b: Any, loss: str = "cross_entropy") -> sm.LinearClassifier:
    """Return a classifier with these weights."""
    W, b = np.asarray(W, float), np.asarray(b, float)
    D, C = W.shape
    made = sm.LinearClassifier(loss, reg=1.0, tol=0.5).fit(np.eye(C, D), np.arange(C))
    made.coef_, made.intercept_ = np.ascontiguousarray(W.T), b
    return made


def model_at(W: Any, b: Any, **changes: Any) -> sm.Model:
    """Return a model with these weights."""
    W = np.asarray(W, float)
    return model(D=len(W), classes=range(W.shape[1]), W=W, b=np.asarray(b, float), **changes)


def infinite(loss: Any, X: np.ndarray, W: Any, b: Any, scale: float = 1.0) -> None:
    """Check that F is infinite and the certificate claims nothing, for X with one row per class and NaN losses."""
    y, W, b, scales = np.arange(len(X)), np.asarray(W, float), np.asarray(b, float), np.full(X.shape[1], scale)
    objectives = [sm.Objective(loss, X, y, 0.1, engine=engine, scale=scales) for engine in ENGINES]
    for objective in (*objectives, sm.Objective(loss, sp.csr_array(X), y, 0.1, scale=scales)):
        assert objective.value(W, b) == np.inf
        assert objective.value_and_grad(W, b)[0] == np.inf
        assert objective.value_and_grad(W, b, single=True)[0] == np.inf
        value, lower_bound, gap, above = objective.certificate(W, b)
        assert (value, gap, above) == (np.inf, np.inf, np.inf)
        assert lower_bound <= (np.log(len(X)) if loss.name == "cross_entropy" else len(X) - 1.0)  # W = 0, b = 0


def agree(*fits: Any) -> None:
    """Check that fits have solved the same problem: no lower bound exceeds any of the values."""
    found = [(fit.value_, fit.lower_bound_, fit.converged_) if hasattr(fit, "value_") else
             (fit.value, fit.lower_bound, fit.converged) for fit in fits]  # fmt: skip
    assert all(converged for _, _, converged in found)
    assert max(bound for _, bound, _ in found) <= min(value for value, _, _ in found) * (1 + 1e-12)


def near(expected: Any, rel: float) -> Any:
    """Return an object that compares equal within a relative error, also for tiny numbers."""
    return pytest.approx(expected, rel=rel, abs=0.0)


def peak_of(work: Callable[[], Any]) -> int:
    """Return the peak size in bytes of the arrays that are allocated during some work."""
    work()  # compile and import everything first
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def every_door_reads(X: np.ndarray, folder: Path) -> None:
    """Check that X gives the same values, fits and scores as its copy in float64, through every interface."""
    wide, y = X.astype(np.float64), np.arange(len(X)) % 3
    W, b = point(X.shape[1])
    W /= np.abs(wide).max()
    for engine in ENGINES:
        objective = sm.Objective(sm.CrossEntropy(), X, y, 0.1, engine=engine)
        true = textbook.softmax_loss_naive(W, wide, y, 0.1, b=b)
        assert objective.value(W, b) == near(true, rel=1e-13)
        assert objective.moments[0] == pytest.approx(wide.mean(axis=0), rel=1e-14, abs=1e-14)
    size = float(wide.var())
    classifier, other = (
        sm.LinearClassifier(reg=0.1 * size, scaling="none", tol=1e-6).fit(Z, y) for Z in (X, wide)
    )
    agree(classifier, other)
    expected = wide @ classifier.coef_.T + classifier.intercept_
    assert classifier.decision_function(X) == pytest.approx(expected, rel=1e-11, abs=1e-11)
    made = fitted(folder, X, y, "--loss", "cross_entropy", "--reg", repr(0.1 * size), "--scaling", "none")
    agree(made, other)
    expected = wide @ made.W + made.b
    assert predicted(folder, made, X, "--scores") == pytest.approx(expected, rel=1e-11, abs=1e-11)


def wrong_matrices(kind: str) -> dict[str, Any]:
    """Return sparse matrices for which an unchecked kernel would access memory out of bounds."""
    made = {}
    pointers = [] if kind == "coo" else [("indptr", 2, 1), ("indptr", 1, 10**6), ("indptr", 2, -1)]
    for part, place, value in [("indices", 1, 30), ("indices", 0, -1), ("indices", 7, 2**31 - 1), *pointers]:
        Z = getattr(sp, f"{kind}_array")(blobs(30)[0])
        (Z.coords[0] if kind == "coo" else getattr(Z, part))[place] = value
        made[f"{part}[{place}] = {value}"] = Z
    return made
