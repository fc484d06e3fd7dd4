"""Scores at the limits of float64: a right answer or one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.sparse as sp

import softmargin as sm
from tests.support.cases import (
    ENGINES,
    EPS,
    FORMULAS,
    LOSSES,
    agree,
    blobs,
    classifier_at,
    fitted,
    infinite,
    model_at,
    near,
    point,
    predicted,
    saved,
)
from tests.support.command_line import rows_of, run, run_refused
from tests.support.models import model
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("either_engine")


def test_equal_scores_of_1e30_cost_the_logarithm_of_the_number_of_classes(tmp_path: Path) -> None:
    exact = float(mpmath.log(4))
    assert sm.CrossEntropy().values(np.full((1, 4), 1e30), [2]) == near(exact, rel=2 * EPS)
    for engine in ENGINES:
        objective = sm.Objective(sm.CrossEntropy(), np.ones((4, 1)), np.arange(4), 0.0, engine=engine)
        value, dW, db = objective.value_and_grad(np.full((1, 4), 1e30), np.zeros(4))
        assert value == near(exact, rel=4 * EPS)
        assert (dW, db) == (pytest.approx(np.zeros((1, 4)), abs=EPS), pytest.approx(np.zeros(4), abs=EPS))
    W, b, X = np.zeros((1, 4)), np.full(4, 1e30), np.ones((3, 1))
    classifier = classifier_at(W, b)
    assert classifier.sample_losses(X, [0, 1, 3]) == near(np.full(3, exact), rel=2 * EPS)
    assert np.array_equal(classifier.predict_proba(X), np.full((3, 4), 0.25))
    assert np.array_equal(predicted(tmp_path, model_at(W, b), X, "--proba"), np.full((3, 4), 0.25))


def test_a_tiny_loss_is_not_rounded_to_zero(tmp_path: Path) -> None:
    S, y = -40.0 * (1.0 - np.eye(3)), np.arange(3)
    with mpmath.workdps(50):
        others = 2 * mpmath.exp(-40)
        loss, p, target = (float(v) for v in (mpmath.log1p(others), others / (1 + others) / 2, 1 / (1 + others)))
        slopes = np.where(np.eye(3) == 1.0, -float(others / (1 + others)), p)
    assert sm.CrossEntropy().values(S, y) == near(np.full(3, loss), rel=1e-14)
    assert sm.CrossEntropy().gradient(S, y) == near(slopes, rel=8 * EPS)
    for engine in ENGINES:
        objective = sm.Objective(sm.CrossEntropy(), np.eye(3), y, 0.0, engine=engine)
        value, dW, _ = objective.value_and_grad(S, np.zeros(3))
        assert value == near(loss, rel=1e-14)
        assert dW == near(slopes / 3, rel=1e-14)
    classifier = classifier_at(S, np.zeros(3))
    assert classifier.sample_losses(np.eye(3), y) == near(np.full(3, loss), rel=1e-14)
    assert -classifier.predict_log_proba(np.eye(3)).diagonal() == near(np.full(3, loss), rel=1e-14)
    probabilities = np.where(np.eye(3) == 1.0, target, p)
    assert classifier.predict_proba(np.eye(3)) == near(probabilities, rel=8 * EPS)
    printed = predicted(tmp_path, model_at(S, np.zeros(3)), np.eye(3), "--proba")
    assert printed == near(probabilities, rel=8 * EPS)


@pytest.mark.parametrize("n_classes", [2, 40, 600])
def test_a_score_of_inf_names_its_row(n_classes: int, tmp_path: Path) -> None:
    S = np.zeros((3, n_classes))
    S[1, 1] = np.inf
    for loss in LOSSES:
        refused(lambda loss=loss: loss.values(S, [0, 0, 0]), "in row 1", "inf")
        refused(lambda loss=loss: loss.gradient(S, [0, 0, 0]), "in row 1", "inf")
    refused(lambda: sm.softmax(S), "in row 1", "inf")
    W, b, X = np.full((1, n_classes), 1e200), np.zeros(n_classes), np.array([[0.0], [1e200], [1e200]])
    W[0, 0] = 0.0
    classifier = classifier_at(W, b)
    for name in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        assert re.search(r"(row |scores\[)1\b", refused(lambda name=name: getattr(classifier, name)(X)))
        assert re.search(
            r"(row |scores\[)1\b", refused(lambda name=name: getattr(classifier, name)(sp.csr_array(X)))
        )
    refused(lambda: classifier.sample_losses(X, [0, 0, 0]), "row 1", "overflow")
    for loss in LOSSES:
        infinite(loss, np.eye(n_classes), np.zeros((n_classes, n_classes)), S[1])
        # A row whose score of the target leaves the range, then all of its scores, then terms of both signs.
        large, weights = 1e150 * np.eye(n_classes), np.zeros((n_classes, n_classes))
        weights[0, 0] = 1.0
        infinite(loss, large, weights, b, scale=1e160)
        weights[0] = 1.0
        infinite(loss, large, weights, b, scale=1e160)
        large[0, 1], weights[1] = 1e150, -1.0
        infinite(loss, large, weights, b, scale=1e160)
    made = model_at(W, b)
    refused(lambda: made.predict(X), "row 1", "overflow")
    made.save(tmp_path / "m.safetensors")
    run_refused(tmp_path, "predict", tmp_path / "m.safetensors", saved(tmp_path, X), words=("row 1", "overflow"))


def test_a_target_of_minus_inf_costs_inf(tmp_path: Path) -> None:
    b = np.array([-np.inf, 0.0, 1.0])
    for loss in LOSSES:
        assert loss.values([b], [0]) == np.inf
        assert np.isfinite(loss.values([b], [1])).all()
        for engine in ENGINES:
            objective = sm.Objective(loss, np.eye(3), [0, 1, 2], 0.1, engine=engine)
            assert objective.value(np.zeros((3, 3)), b) == np.inf
            assert objective.certificate(np.zeros((3, 3)), b).gap == np.inf
    classifier = classifier_at(np.zeros((3, 3)), b)
    losses = classifier.sample_losses(np.eye(3), [0, 1, 2])
    assert losses[0] == np.inf
    assert losses[1:] == near(np.log1p(np.exp([1.0, -1.0])), rel=1e-14)
    assert np.array_equal(classifier.predict_proba(np.eye(3))[:, 0], np.zeros(3))
    refused(lambda: model_at(np.zeros((3, 3)), b), "b must be finite", "infinite")
    model_at([[-1e200, 0.0]], [0.0, 0.0]).save(tmp_path / "m.safetensors")
    run_refused(tmp_path, "predict", tmp_path / "m.safetensors", saved(tmp_path, [[1e200]]), words=("row 0",))


def test_nothing_but_minus_inf_is_an_error(tmp_path: Path) -> None:
    S = np.array([[0.0, 0.0, 0.0], [-np.inf] * 3])
    refused(lambda: sm.softmax(S), "in row 1", "-inf")
    for loss in LOSSES:
        refused(lambda loss=loss: loss.values(S, [0, 1]), "in row 1", "-inf")
        infinite(loss, np.eye(3), np.zeros((3, 3)), S[1])
        infinite(loss, 1e150 * np.eye(3), [[-1.0] * 3, [0.0] * 3, [0.0] * 3], np.zeros(3), scale=1e160)
    W, b, X = np.full((1, 3), -1e200), np.zeros(3), np.array([[0.0], [1e200]])
    classifier = classifier_at(W, b)
    for name in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        assert re.search(r"(row |scores\[)1\b", refused(lambda name=name: getattr(classifier, name)(X)))
    refused(lambda: classifier.sample_losses(X, [0, 1]), "1")
    model_at(W, b).save(tmp_path / "m.safetensors")
    run_refused(tmp_path, "predict", tmp_path / "m.safetensors", saved(tmp_path, X), words=("row 1", "overflow"))


def test_ties_and_margins_exactly_at_delta_have_the_documented_gradient(tmp_path: Path) -> None:
    y, zeros = np.arange(3), np.zeros((3, 3))
    for loss in (sm.Hinge(0.5), sm.SquaredHinge(0.5)):
        assert not loss.gradient(0.5 * np.eye(3), y).any()
        for engine in ENGINES:
            objective = sm.Objective(loss, np.eye(3), y, 0.0, engine=engine)
            value, dW, db = objective.value_and_grad(0.5 * np.eye(3), np.zeros(3))
            assert (value, dW.any(), db.any()) == (0.0, False, False)
    assert np.array_equal(sm.Hinge().gradient(zeros, y), 1.0 - 3.0 * np.eye(3))
    assert sm.CrossEntropy().gradient(zeros, y) == near(1.0 / 3.0 - np.eye(3), rel=4 * EPS)
    classifier = sm.LinearClassifier("hinge", reg=0.1, fit_intercept=False).fit(np.eye(3), ["c", "a", "b"])
    assert classifier.predict(zeros).tolist() == ["a"] * 3  # the first of equal scores
    model(D=3, classes=("a", "b", "c"), W=np.eye(3), b=np.zeros(3)).save(tmp_path / "m.safetensors")
    answer = run("predict", tmp_path / "m.safetensors", saved(tmp_path, [[0, 0, 0], [0, 2, 2]]))
    assert rows_of(answer) == [["0", "a"], ["1", "b"]]


@pytest.mark.parametrize(("dtype", "large"), [(np.float16, 2048.0), (np.float32, 2.0**24)])
def test_narrow_data_are_summed_in_wider_precision(dtype: Any, large: float, tmp_path: Path) -> None:
    X = np.tile(np.array([large, 1.0, -large], dtype), (300, 1))  # in its own type large + 1 is large
    assert dtype(large) + dtype(1) == dtype(large)
    y, W, b = np.arange(300) % 2, np.array([[1.0, 0.0]] * 3), np.zeros(2)
    exact = (float(mpmath.log1p(mpmath.exp(-1))) + float(mpmath.log1p(mpmath.exp(1)))) / 2
    for engine in ENGINES:
        objective = sm.Objective(sm.CrossEntropy(), X, y, 0.0, engine=engine)
        assert np.array_equal(objective.scores(W, b), np.tile([1.0, 0.0], (300, 1)))
        assert objective.value(W, b) == near(exact, rel=1e-13)
        mean = [large, 1.0, -large]  # of 300 rows, whose sums overflow in float16
        assert objective.moments[0] == near(mean, rel=300 * EPS)
    assert np.array_equal(classifier_at(W, b).decision_function(X), np.full(300, -1.0))
    assert np.array_equal(predicted(tmp_path, model_at(W, b), X, "--scores"), np.tile([1.0, 0.0], (300, 1)))


def test_subnormal_numbers_give_finite_results(tmp_path: Path) -> None:
    for loss, exact in zip(LOSSES, (1.0, 1.0, float(mpmath.log(2))), strict=True):
        assert loss.values([[5e-324, 0.0]], [0]) == near(exact, rel=2 * EPS)
    X, y = blobs()
    tiny = X * 1e-310
    assert 0.0 < np.abs(tiny).max() < np.finfo(np.float64).tiny
    W, b = point()
    for loss in LOSSES:
        for engine in ENGINES:
            objective = sm.Objective(loss, tiny, y, 0.1, engine=engine)
            value, dW, db = objective.value_and_grad(W, b)
            assert value == near(FORMULAS[loss.name](W, tiny, y, 0.1, b=b), rel=1e-13)
            assert np.isfinite(dW).all()
            assert np.isfinite(db).all()
    fit = sm.minimize(sm.Objective(sm.CrossEntropy(), tiny, y, 0.1))
    nothing = sm.minimize(sm.Objective(sm.CrossEntropy(), np.zeros_like(X), y, 0.1))
    agree(fit, nothing)
    assert fit.n_passes <= nothing.n_passes + 2  # no slower to solve
    for made in (sm.LinearClassifier(reg=0.1).fit(tiny, y).fit_, fitted(tmp_path, tiny, y)):
        agree(made, nothing)
        assert made.value == near(float(mpmath.log(3)), rel=1e-4)
