"""A new engine is one file, and a name is all that `Objective` needs to take it."""

import ast
import inspect

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines import ENGINES
from softmargin.losses import SmoothedHinge
from softmargin.selection.grid import largest_reg
from tests.support import toy_engine
from tests.support.toy_engine import ChunkedToy


def problem():
    rng = np.random.default_rng(0)
    y = np.arange(110) % 4
    return rng.normal(size=(4, 6))[y] + 1.5 * rng.normal(size=(110, 6)) + 3.0, y, rng.random(110) + 0.1


@pytest.mark.parametrize("loss", [sm.CrossEntropy(), sm.SquaredHinge(), sm.Hinge(1.5), SmoothedHinge()], ids=repr)
def test_it_reaches_the_optimum_of_the_reference(loss, monkeypatch):
    monkeypatch.setitem(ENGINES, "chunked toy", ChunkedToy)
    X, y, weights = problem()
    scale = np.linspace(0.5, 2.0, 6)
    toy, reference = (
        sm.Objective(loss, X, y, 0.02, weights, scale=scale, engine=name) for name in ("chunked toy", "reference")
    )
    W, b = np.random.default_rng(1).normal(size=(6, 4)), np.arange(4.0)
    for got, true in zip(toy.value_and_grad(W, b), reference.value_and_grad(W, b), strict=True):
        np.testing.assert_allclose(got, true, rtol=1e-12, atol=1e-13)
    for ask in ("certificate", "value"):
        np.testing.assert_allclose(getattr(toy, ask)(W, b), getattr(reference, ask)(W, b), rtol=1e-10)
    np.testing.assert_allclose(toy.moments, reference.moments, rtol=1e-12)
    assert largest_reg(toy) == pytest.approx(largest_reg(reference), rel=1e-12)
    assert toy.quality(W, b, "training") == pytest.approx(reference.quality(W, b, "training"), rel=1e-12)
    fits = [sm.minimize(each, tol=1e-4, max_passes=10_000) for each in (toy, reference)]
    assert all(fit.converged for fit in fits)
    assert fits[0].lower_bound <= fits[1].value * (1 + 1e-12)
    assert fits[1].lower_bound <= fits[0].value * (1 + 1e-12)
    most = sum(np.sqrt(fit.gap * fit.value / 0.02) for fit in fits)  # F is 2λ strongly convex in W
    assert np.linalg.norm(fits[0].W - fits[1].W) <= most * (1 + 1e-9)


def test_it_is_short():
    statements = [
        node for node in ast.walk(ast.parse(inspect.getsource(toy_engine))) if isinstance(node, ast.stmt)
    ]
    assert len(statements) < 80
