"""What users with small data get: "auto" leaves them to NumPy. Nothing here chooses another engine."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines import make_engine
from softmargin.engines.cpu import DenseEngine
from softmargin.engines.cpu.small import SmallEngine
from softmargin.engines.reference import ReferenceEngine
from softmargin.samples import Samples
from softmargin.solvers.dual_ascent import DualAscent
from tests.support.cases import FORMULAS, LOSSES, agree, blobs, fitted, near, saved
from tests.support.command_line import rows_of, run

REGS = [1.0, 0.1, 0.01]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "engine"),
    [(5461, ReferenceEngine), (5462, SmallEngine), (349_525, SmallEngine), (349_526, DenseEngine)],
)
def test_auto_selects_by_size_alone(n, engine, dtype):
    samples = Samples(np.ones((n, 4), dtype), np.arange(n) % 3, np.full(n, 1 / n), 3)
    assert type(make_engine("auto", samples)) is engine
    assert type(make_engine("cpu", samples)) is DenseEngine


def compiled(loss, X, y, reg=0.1):
    return sm.minimize(sm.Objective(loss, X, y, reg, engine="cpu"), tol=1e-6, max_passes=5000)


@each_loss
def test_minimize(loss):
    X, y = blobs()
    fit = sm.minimize(sm.Objective(loss, X, y, 0.1), tol=1e-6, max_passes=5000)
    agree(fit, compiled(loss, X, y))
    assert fit.value == near(FORMULAS[loss.name](fit.W, X, y, 0.1, b=fit.b), rel=1e-12)


@each_loss
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_dual_ascent_on_small_data(loss, fit_intercept):
    X, y = blobs()
    weights = np.where(np.arange(len(y)) % 7 == 3, 0.0, 1.0 + y)
    options = {"fit_intercept": fit_intercept, "scale": np.array([0.5, 1.0, 2.0, 1.0])}
    fits = [
        sm.minimize(
            sm.Objective(loss, X, y, 0.1, weights, engine=engine, **options), solver=DualAscent(), tol=1e-6
        )
        for engine in (SmallEngine, partial(_on, 3), "cpu")
    ]
    assert fits[0].W.tobytes() == fits[1].W.tobytes()  # for any number of threads
    agree(fits[0], fits[2])


def _on(n_threads, samples, _):
    return SmallEngine(samples, n_threads)


@each_loss
def test_w_belongs_to_the_dual_rows_of_small_data(loss):
    X, y = blobs()
    problem, shift = sm.Objective(loss, X, y, 0.02, engine=SmallEngine).problem()
    dual = problem.dual_state(8.0 * problem.loss.balance_stiffness(3), 0.01)
    order = np.random.default_rng(1)
    for _ in range(3):
        dual.sweep(order)
    expected = -(X - shift).T @ dual.rows.array / len(y) / (2 * 0.02)
    assert dual.P[:-1] == pytest.approx(expected, abs=1e-11)


@each_loss
def test_a_sweep_on_small_data_visits_at_least_half_of_the_rows(loss):
    X, y = blobs()
    problem, _ = sm.Objective(loss, X, y, 0.02, engine=SmallEngine).problem()
    dual = problem.dual_state(8.0 * problem.loss.balance_stiffness(3), 0.01)
    order, passes = np.random.default_rng(1), [0.0]
    for _ in range(10):
        value = dual.sweep(order).value
        passes.append(dual.n_passes)
    steps = np.diff(passes)
    assert steps[0] == 1.0
    assert 0.5 <= steps.min() < 1.0  # rows with little to gain are skipped
    assert steps.max() < 1.5
    assert value == pytest.approx(problem.value(dual.P[:-1], dual.P[-1]), rel=0.1)


@each_loss
def test_path(loss):
    X, y = blobs()
    found = sm.path(sm.Objective(loss, X, y, 0.0), REGS)
    assert [reg for reg, _ in found] == REGS
    for reg, fit in found:
        agree(fit, compiled(loss, X, y, reg))
    own = sm.path(sm.Objective(loss, X, y, 0.0), 5)
    assert len(own) == 5
    assert all(fit.converged for _, fit in own)


@each_loss
def test_the_estimators(loss):
    X, y = blobs()
    names = np.array(["a", "b", "c"])[y]
    expected = compiled(loss, X, y)
    classifier = sm.LinearClassifier(loss, reg=0.1).fit(X, names)
    search = sm.LinearClassifierCV([loss], regs=[0.1], cv=3).fit(X, names)
    agree(classifier, search, expected)
    for each in (classifier, search):
        assert each.decision_function(X) == pytest.approx(X @ each.coef_.T + each.intercept_, abs=1e-12)
        assert each.score(X, names) == np.mean(each.predict(X) == names)


def test_compare_and_choose():
    X, y = blobs()
    for search, options in ((sm.compare, {"cv": 3}), (sm.choose, {})):
        found, other = (search(X, y, LOSSES, REGS, **options, **engine) for engine in ({}, {"engine": "cpu"}))
        assert [path.loss for path in found.paths] == LOSSES
        assert found.reg in REGS
        few = 2 / found.n_validation  # a sample or two on the border
        for path, true in zip(found.paths, other.paths, strict=True):
            for mine, its in zip(path.points, true.points, strict=True):
                assert mine.value == near(its.value, rel=1e-3)  # both are proved to that
                assert mine.score == pytest.approx(its.score, abs=few)
    everything = sm.compare(X, y, ["cross_entropy"])  # λ, folds and the rule as they are by default
    assert 0.5 < everything.chosen_path.chosen.score <= 1.0


def test_the_command_line(tmp_path):
    X, y = blobs()
    made = fitted(tmp_path, X, y)
    agree(made, compiled(sm.CrossEntropy(), X, y))
    data = saved(tmp_path, X, y)
    rows = rows_of(run("predict", tmp_path / "m.safetensors", data))
    assert [int(row[1]) for row in rows] == made.predict(X).tolist()
    accuracy = run("evaluate", tmp_path / "m.safetensors", data, "--json").json["accuracy"]
    assert accuracy == np.mean(made.predict(X) == y)
    chosen = fitted(tmp_path, X, y, "--folds", "3")  # chooses the loss and λ
    agree(chosen, compiled(chosen.loss, X, y, chosen.reg))
    answer = run("compare", data, "--folds", "3", "--json")
    assert answer.status == 0
    assert {each["loss"] for each in answer.json["comparison"]["paths"]} == {loss.name for loss in LOSSES}
