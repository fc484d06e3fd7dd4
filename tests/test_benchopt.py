"""The objective of the benchopt benchmark, which scores all programs in plain NumPy, is ours."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import softmargin as sm

FILE = Path(__file__).parents[1] / "benchmarks" / "benchopt_multiclass" / "benchmark_utils" / "losses.py"
SPEC = importlib.util.spec_from_file_location("benchopt_losses", FILE)
losses = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(losses)

LOSSES = {"cross_entropy": sm.CrossEntropy(), "squared_hinge": sm.SquaredHinge(), "hinge": sm.Hinge()}
RNG = np.random.default_rng(0)
X, y = RNG.normal(size=(61, 7)), np.arange(61) % 5
W, b = RNG.normal(size=(7, 5)), RNG.normal(size=5)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("loss", LOSSES)
def test_value_and_gradient(loss, make):
    objective = sm.Objective(LOSSES[loss], X, y, 0.01, engine="reference")
    value, dW, db = objective.value_and_grad(W, b)
    found, gradient = losses.value_and_gradient(make(X), y, loss, 0.01, True, np.vstack([W, b]))
    assert found == pytest.approx(value, rel=1e-13)
    assert losses.objective(make(X), y, loss, 0.01, W, b) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(gradient, np.vstack([dW, db]), rtol=1e-11, atol=1e-13)
    without = losses.value_and_gradient(make(X), y, loss, 0.01, False, np.vstack([W, b]))[1]
    assert not without[-1].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_one_weight_vector_has_half_the_penalty(loss):
    w, c, two = RNG.normal(size=7), 0.3, y % 2
    columns = losses.two_columns(w, c)
    z = (X @ w + c) * (2 * two - 1)
    violation = np.maximum(1.0 - z, 0.0)
    mean = {"cross_entropy": np.log1p(np.exp(-z)), "squared_hinge": violation**2, "hinge": violation}[loss].mean()
    objective = sm.Objective(LOSSES[loss], X, two, 0.01, engine="reference")
    assert objective.value(*columns) == pytest.approx(mean + 0.005 * w @ w, rel=1e-13)
