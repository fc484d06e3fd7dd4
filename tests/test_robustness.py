"""What may come in, and what must happen: one test for each kind of odd input."""

from __future__ import annotations

import csv
import errno
import io
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from PIL import Image
from scipy.optimize import minimize as scipy_minimize

import softmargin as sm
from softmargin import textbook
from softmargin.errors import ConvergenceWarning, DataError, ModelFileError, ParameterError, SoftmarginError
from softmargin.report import fill_report, page, summary
from softmargin.solvers import Fit
from tests.sources import HAS_ARROW, svmlight_text, table, write_others, write_tables
from tests.test_cli import Answer, contents, interrupt, module, run, stopped_at
from tests.test_data import Bomb, npy_bytes, pixels, write_entry
from tests.test_data import save as save_image
from tests.test_model import model
from tests.test_report import HOSTILE, Tags, wide_model

EPS = np.finfo(np.float64).eps
ENGINES = ("cpu", "reference")
LOSSES = [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()]
SOFT = ("--loss", "cross_entropy", "--reg", "0.1")
FORMULAS: dict[str, Callable[..., float]] = {
    "hinge": textbook.svm_loss_vectorized,
    "squared_hinge": textbook.squared_hinge_loss_vectorized,
    "cross_entropy": textbook.softmax_loss_vectorized,
}
ESTIMATORS = [
    sm.LinearClassifier(reg=0.1),
    sm.LinearClassifierCV(["cross_entropy"], regs=[0.1], cv=2),
]
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files and signals")


# -- helpers -----------------------------------------------------------------------------------------------


def said(call: Callable[[], Any], *words: str, error: type[SoftmarginError] = DataError) -> str:
    """Hold a call against the rule: it raises one sentence on one line with these words in it."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message, (word, message)
    assert message.isprintable(), message
    assert message.endswith("."), message
    return message


def told(folder: Path, *arguments: str | Path, words: tuple[str, ...] = ()) -> str:
    """Hold the command line against the rule: status 2, one sentence, and nothing in the folder has changed."""
    before = contents(folder)
    answer = run(*arguments)
    assert (answer.status, answer.out) == (2, b""), answer
    *notes, sentence = answer.err.splitlines()
    assert sentence.startswith("Error: "), answer.err
    assert all(note.startswith("Note: ") for note in notes), answer.err
    for word in words:
        assert word in sentence, (word, sentence)
    assert contents(folder) == before
    return sentence


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


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


def rows_of(answer: Answer) -> list[list[str]]:
    """Return the rows that ``predict`` printed: id, label and numbers."""
    assert answer.status == 0, answer
    return list(csv.reader(io.StringIO(answer.text, newline="")))[1:]


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
    """No number stands for the mean of losses that are none, and nothing is proved; a row of X for each class."""
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
    """No proved bound on the minimum is above a value: all of these have solved the same problem."""
    found = [(fit.value_, fit.lower_bound_, fit.converged_) if hasattr(fit, "value_") else
             (fit.value, fit.lower_bound, fit.converged) for fit in fits]  # fmt: skip
    assert all(converged for _, _, converged in found)
    assert max(bound for _, bound, _ in found) <= min(value for value, _, _ in found) * (1 + 1e-12)


def near(expected: Any, rel: float) -> Any:
    """Return what compares equal within a relative error, however small the numbers are."""
    return pytest.approx(expected, rel=rel, abs=0.0)


def peak_of(work: Callable[[], Any]) -> int:
    """Return the bytes of arrays that are made during some work, at most at a time."""
    work()  # whatever is compiled or imported is there
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def every_door_reads(X: np.ndarray, folder: Path) -> None:
    """X gives the results of its copy in float64: values and gradients, fits, the scores of a model."""
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


# -- scores and kernels ------------------------------------------------------------------------------------


def test_01_all_scores_1e30(tmp_path: Path) -> None:
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


def test_02_target_at_0_and_the_others_at_minus_40(tmp_path: Path) -> None:
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
def test_03_a_score_of_inf_names_its_row(n_classes: int, tmp_path: Path) -> None:
    S = np.zeros((3, n_classes))
    S[1, 1] = np.inf
    for loss in LOSSES:
        said(lambda loss=loss: loss.values(S, [0, 0, 0]), "scores[1]", "inf")
        said(lambda loss=loss: loss.gradient(S, [0, 0, 0]), "scores[1]", "inf")
    said(lambda: sm.softmax(S), "scores[1]", "inf")
    W, b, X = np.full((1, n_classes), 1e200), np.zeros(n_classes), np.array([[0.0], [1e200], [1e200]])
    W[0, 0] = 0.0
    classifier = classifier_at(W, b)
    for name in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        assert re.search(r"(row |scores\[)1\b", said(lambda name=name: getattr(classifier, name)(X)))
        assert re.search(r"(row |scores\[)1\b", said(lambda name=name: getattr(classifier, name)(sp.csr_array(X))))
    said(lambda: classifier.sample_losses(X, [0, 0, 0]), "row 1", "overflow")
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
    said(lambda: made.predict(X), "row 1", "overflow")
    made.save(tmp_path / "m.safetensors")
    told(tmp_path, "predict", tmp_path / "m.safetensors", saved(tmp_path, X), words=("row 1", "overflow"))


def test_04_a_target_of_minus_inf_costs_inf(tmp_path: Path) -> None:
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
    said(lambda: model_at(np.zeros((3, 3)), b), "b holds", "infinite")
    model_at([[-1e200, 0.0]], [0.0, 0.0]).save(tmp_path / "m.safetensors")
    told(tmp_path, "predict", tmp_path / "m.safetensors", saved(tmp_path, [[1e200]]), words=("row 0",))


def test_05_nothing_but_minus_inf_is_an_error(tmp_path: Path) -> None:
    S = np.array([[0.0, 0.0, 0.0], [-np.inf] * 3])
    said(lambda: sm.softmax(S), "scores[1]", "-inf")
    for loss in LOSSES:
        said(lambda loss=loss: loss.values(S, [0, 1]), "scores[1]", "-inf")
        infinite(loss, np.eye(3), np.zeros((3, 3)), S[1])
        infinite(loss, 1e150 * np.eye(3), [[-1.0] * 3, [0.0] * 3, [0.0] * 3], np.zeros(3), scale=1e160)
    W, b, X = np.full((1, 3), -1e200), np.zeros(3), np.array([[0.0], [1e200]])
    classifier = classifier_at(W, b)
    for name in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        assert re.search(r"(row |scores\[)1\b", said(lambda name=name: getattr(classifier, name)(X)))
    said(lambda: classifier.sample_losses(X, [0, 1]), "1")
    model_at(W, b).save(tmp_path / "m.safetensors")
    told(tmp_path, "predict", tmp_path / "m.safetensors", saved(tmp_path, X), words=("row 1", "overflow"))


def test_06_ties_and_margins_exactly_at_delta(tmp_path: Path) -> None:
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


def test_07_a_label_out_of_range_is_an_error_before_any_kernel_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (-1, 3):
        for loss in LOSSES:
            said(lambda loss=loss, y=wrong: loss.values(np.zeros((2, 3)), [0, y]), f"y[1] is {wrong}", "0 … 2")
    classifier = classifier_at(np.eye(3), np.zeros(3))
    said(lambda: classifier.sample_losses(np.eye(3), [0, 1, 3]), "y[2] is 3")
    monkeypatch.setattr("softmargin.objective.make_engine", lambda *_: pytest.fail("an engine was made"))
    for wrong in (-1, 3):
        said(
            lambda y=wrong: sm.Objective(sm.Hinge(), np.eye(3), [0, y, 1], 0.1, n_classes=3),
            f"y[1] is {wrong}",
            "0 … 2",
        )
        np.savez(tmp_path / "d.npz", X=np.eye(3), y=[0, 1, wrong], classes=["a", "b", "c"])
        words = ("d.npz[y] row 2", f"label {wrong}", "3 class names")
        said(lambda: sm.load_dataset(tmp_path / "d.npz"), *words)
        told(tmp_path, "fit", tmp_path / "d.npz", words=words)


def test_08_labels_are_never_narrowed(tmp_path: Path) -> None:
    for wrong in (2**32, 2**40, np.uint64(2**64 - 1)):  # as int32 or int64 some of them would be 0 or -1
        labels = np.array([0, 1, wrong], np.uint64)
        for loss in LOSSES:
            said(lambda loss=loss, y=labels: loss.values(np.zeros((3, 3)), y), f"y[2] is {wrong}")
        said(lambda y=labels: sm.Objective(sm.Hinge(), np.eye(3), y, 0.1, n_classes=3), f"y[2] is {wrong}")
    labels = np.array([0, 2**32, 2**33])[np.arange(30) % 3]
    X = np.eye(3)[np.arange(30) % 3]
    for estimator in ESTIMATORS:
        classifier = estimator.fit(X + 1e-3 * np.arange(30)[:, None], labels)
        assert classifier.classes_.tolist() == [0, 2**32, 2**33]
        assert classifier.predict(X).tolist() == labels.tolist()
    made = fitted(tmp_path, X, labels)
    assert made.classes.tolist() == [0, 2**32, 2**33]
    rows = rows_of(run("predict", tmp_path / "m.safetensors", tmp_path / "d.npz"))
    assert [int(row[1]) for row in rows] == labels.tolist()


def test_09_one_class_is_an_error_and_two_are_the_binary_formula(tmp_path: Path) -> None:
    X, y = blobs()[0], np.arange(90) % 2
    said(lambda: sm.CrossEntropy().values([[0.0]], [0]), "two classes")
    said(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, n_classes=1), "n_classes", error=ParameterError)
    said(lambda: sm.Objective(sm.Hinge(), X, 0 * y, 0.1), "Class 1 has no sample")
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(X, 0 * y), "only one class")
    told(tmp_path, "fit", saved(tmp_path, X, 0 * y), words=("only one class",))

    W, b = point(4, 2)
    sign = 2.0 * y - 1.0
    margins = sign * (X @ (W[:, 1] - W[:, 0]) + b[1] - b[0])
    binary = {
        "hinge": np.maximum(0.0, 1.0 - margins),
        "squared_hinge": np.maximum(0.0, 1.0 - margins) ** 2,
        "cross_entropy": np.log1p(np.exp(-margins)),
    }
    for loss in LOSSES:
        for engine in ENGINES:
            value = sm.Objective(loss, X, y, 0.0, engine=engine).value(W, b)
            assert value == near(binary[loss.name].mean(), rel=1e-13)

    def logistic(v: np.ndarray) -> float:  # W = (-v/2, v/2) has ΣW² = ‖v‖²/2
        return float(np.logaddexp(0.0, -sign * (X @ v[:-1] + v[-1])).mean() + 0.05 * (v[:-1] @ v[:-1]))

    best = scipy_minimize(logistic, np.zeros(5), tol=1e-10)
    classifier = sm.LinearClassifier(reg=0.1, tol=1e-9).fit(X, y)
    made = fitted(tmp_path, X, y, *SOFT, "--tol", "1e-9")
    for value, bound in ((classifier.value_, classifier.lower_bound_), (made.value, made.lower_bound)):
        assert bound <= best.fun <= value * (1 + 1e-8)
        assert value <= best.fun * (1 + 2e-9)
    assert classifier.decision_function(X).shape == (90,)
    scores = predicted(tmp_path, made, X, "--scores")
    assert scores[:, 1] - scores[:, 0] == pytest.approx(classifier.decision_function(X), abs=1e-3)


@pytest.mark.parametrize(("dtype", "large"), [(np.float16, 2048.0), (np.float32, 2.0**24)])
def test_10_narrow_data_are_summed_in_wider_precision(dtype: Any, large: float, tmp_path: Path) -> None:
    X = np.tile(np.array([large, 1.0, -large], dtype), (300, 1))  # in its own type large + 1 is large
    assert dtype(large) + dtype(1) == dtype(large)
    y, W, b = np.arange(300) % 2, np.array([[1.0, 0.0]] * 3), np.zeros(2)
    exact = (float(mpmath.log1p(mpmath.exp(-1))) + float(mpmath.log1p(mpmath.exp(1)))) / 2
    for engine in ENGINES:
        objective = sm.Objective(sm.CrossEntropy(), X, y, 0.0, engine=engine)
        assert np.array_equal(objective.scores(W, b), np.tile([1.0, 0.0], (300, 1)))
        assert objective.value(W, b) == near(exact, rel=1e-13)
        mean = [large, 1.0, -large]  # of 300 rows, whose sums are no float16
        assert objective.moments[0] == near(mean, rel=300 * EPS)
    assert np.array_equal(classifier_at(W, b).decision_function(X), np.full(300, -1.0))
    assert np.array_equal(predicted(tmp_path, model_at(W, b), X, "--scores"), np.tile([1.0, 0.0], (300, 1)))


def test_11_subnormal_numbers(tmp_path: Path) -> None:
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


# -- shapes and layout -------------------------------------------------------------------------------------


def test_12_no_samples(tmp_path: Path) -> None:
    X, y = blobs()
    said(lambda: sm.Objective(sm.Hinge(), X[:0], y[:0], 0.1), "at least one sample", "(0, 4)")
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(X[:0], y[:0]), "sample", "(0, 4)")
        classifier = estimator.fit(X, np.array(["a", "b", "c"])[y])
        labels = classifier.predict(X[:0])
        assert (labels.shape, labels.dtype) == ((0,), classifier.classes_.dtype)
        assert classifier.predict_proba(X[:0]).shape == (0, 3)
    fitted(tmp_path, X, y)
    empty = saved(tmp_path, X[:0], y[:0], name="empty")
    for verb in (("fit", empty), ("evaluate", tmp_path / "m.safetensors", empty)):
        told(tmp_path, *verb, words=("empty.npz holds no samples",))
    assert run("predict", tmp_path / "m.safetensors", empty) == Answer(0, b"id,label\n", "")


def test_13_one_sample(tmp_path: Path) -> None:
    X, y = blobs()
    said(lambda: sm.Objective(sm.Hinge(), X[:1], y[:1], 0.1), "Class 1 has no sample")
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(X[:1], y[:1]), "only one class")
    told(tmp_path, "fit", saved(tmp_path, X[:1], y[:1]), words=("only one class",))
    two = sm.LinearClassifier(reg=0.1, tol=1e-6).fit(X[:2], ["b", "a"])  # one of each class is enough
    assert two.predict(X[:2]).tolist() == ["b", "a"]
    assert two.converged_
    said(lambda: ESTIMATORS[1].fit(X[:2], ["b", "a"]), "No class has two samples")
    made = fitted(tmp_path, X, y)
    answers = predicted(tmp_path, made, X, "--scores")
    for i in (0, 41):
        assert predicted(tmp_path, made, X[i : i + 1], "--scores") == near(answers[i : i + 1], rel=1e-12)
        assert two.predict(X[i : i + 1]).tolist() == two.predict(X)[i : i + 1].tolist()


def test_14_no_features(tmp_path: Path) -> None:
    y = np.arange(6) % 3
    for X in (np.empty((6, 0)), sp.csr_array((6, 0))):
        said(lambda X=X: sm.Objective(sm.Hinge(), X, y, 0.1), "feature", "(6, 0)")
        for estimator in ESTIMATORS:
            said(lambda X=X, estimator=estimator: estimator.fit(X, y), "feature", "(6, 0)")
    np.save(tmp_path / "X.npy", np.empty((6, 0)))
    write(tmp_path / "d.svm", "0\n1\n2\n")
    write(tmp_path / "d.csv", "label\na\nb\n")
    for name in ("X.npy", "d.svm", "d.csv"):
        said(lambda name=name: sm.load_dataset(tmp_path / name), name)
        told(tmp_path, "fit", tmp_path / name, words=(name,))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_15_more_columns_than_rows_duplicates_and_constants(loss: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24, 600)) / 10.0, np.arange(24) % 3
    X += np.eye(24, 600) @ np.ones((600, 600)) * 1e-3
    same = {
        "wide": X,
        "square": np.linalg.qr(X.T)[1].T,  # the lengths and angles of the rows are all that counts
        "every column twice": np.hstack([X, X]) / np.sqrt(2.0),
        "constant columns": np.hstack([X, np.full((24, 3), 7.0)]),
    }
    options = {"tol": 1e-5, "max_passes": 5000}
    fits = [sm.minimize(sm.Objective(loss, Z, y, 0.1), **options) for Z in same.values()]
    fits += [sm.LinearClassifier(loss, reg=0.1, **options).fit(Z, y).fit_ for Z in same.values()]
    made = fitted(tmp_path, same["constant columns"], y, "--loss", loss.name, "--reg", "0.1", "--tol", "1e-5")
    agree(*fits, made)
    for Z, fit in zip(same.values(), fits, strict=False):
        assert fit.value == near(FORMULAS[loss.name](fit.W, Z, y, 0.1, b=fit.b), rel=1e-12)


def layouts(X: np.ndarray) -> dict[str, np.ndarray]:
    read_only = X.copy()
    read_only.flags.writeable = False
    return {
        "strided": np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
        "reversed": np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
        "fortran": np.asfortranarray(X),
        "read-only": read_only,
    }


def test_16_layouts_of_memory(tmp_path: Path) -> None:
    X, y = blobs(150, 6)
    W, b = point(6)
    plain = sm.Objective(sm.CrossEntropy(), X, y, 0.1, engine="cpu").value_and_grad(W, b)
    classifier = sm.LinearClassifier(reg=0.1).fit(X, y)
    for name, Z in layouts(X).items():
        got = sm.Objective(sm.CrossEntropy(), Z, y, 0.1, engine="cpu").value_and_grad(W, b)
        assert all(np.array_equal(one, other) for one, other in zip(got, plain, strict=True)), name
        assert np.array_equal(sm.LinearClassifier(reg=0.1).fit(Z, y).coef_, classifier.coef_), name
        assert np.array_equal(classifier.decision_function(Z), classifier.decision_function(X)), name
    row = np.broadcast_to(X[0], X.shape)
    for engine in ENGINES:
        got, true = (sm.Objective(sm.CrossEntropy(), Z, y, 0.1, engine=engine) for Z in (row, row.copy()))
        assert got.value(W, b) == true.value(W, b)
    models = [fitted(tmp_path, Z, y) for Z in (X, np.asfortranarray(X), X[::-1][::-1])]
    assert all(np.array_equal(made.W, models[0].W) for made in models)

    n = 60_000
    large, labels = np.random.default_rng(0).normal(size=(n, 40)), np.arange(n) % 3
    W, b = point(40)
    halves = (large[::2], np.asfortranarray(large)[: n // 2], np.broadcast_to(large[0], (n // 2, 40)))
    for Z in halves:
        objective = sm.Objective(sm.CrossEntropy(), Z, labels[: n // 2], 0.1, engine="cpu")
        assert peak_of(lambda objective=objective: objective.value_and_grad(W, b)) < Z.nbytes / 3
        quick = sm.LinearClassifier(reg=1.0, tol=0.5)
        assert peak_of(lambda Z=Z, quick=quick: quick.fit(Z, labels[: n // 2])) < Z.nbytes
        assert peak_of(lambda Z=Z: model_at(W, b).predict(Z)) < Z.nbytes


CUT_SHORT = """
import os, sys
import numpy as np
import softmargin as sm
import softmargin.data
from softmargin import cli

def cut(path):
    os.truncate(path, int(path.split("_")[-2]))

def expect(work):
    try:
        work()
    except sm.DataError as error:
        print(error)

load = softmargin.data.load_dataset
door, *paths = sys.argv[1:]
for path in paths:
    data = load(path)
    W, b = np.zeros((data.n_features, 3)), np.zeros(3)
    if door == "functions":
        objective = sm.Objective(sm.CrossEntropy(), data.X, data.y, 0.1, engine="cpu")
        assert objective.value(W, b) > 1.0
        cut(path)
        expect(lambda: objective.value(W, b))
    elif door == "estimators":
        classifier = sm.LinearClassifier(reg=1.0, tol=0.5).fit(np.array(data.X), data.y)
        cut(path)
        expect(lambda: classifier.fit(data.X, data.y))
        expect(lambda: classifier.predict(data.X))
    else:
        softmargin.data.load_dataset = lambda *_, **options: (load(path), cut(path))[0]
        try:
            cli.main(["fit", path, "-o", path + ".model", "--loss", "hinge", "--reg", "0.1"])
        except SystemExit as end:
            print("status", end.code)
"""


@posix
@pytest.mark.parametrize("door", ["functions", "estimators", "command line"])
def test_17_mapped_files(door: str, tmp_path: Path) -> None:
    X, y = blobs(300, 20)
    W, b = point(20)
    np.save(tmp_path / "X.npy", X)
    mapped = sm.load_dataset(tmp_path / "X.npy").X
    assert isinstance(mapped, np.memmap)
    if door == "functions":
        objectives = [sm.Objective(sm.CrossEntropy(), Z, y, 0.1, engine="cpu") for Z in (mapped, X)]
        expected = objectives[1].value(W, b)
        assert objectives[0].value(W, b) == expected
        os.replace(write(tmp_path / "new.npy", npy_bytes(np.zeros((9, 9)))), tmp_path / "X.npy")
        assert objectives[0].value(W, b) == expected  # what is mapped is there until nobody needs it
    elif door == "estimators":
        fits = [sm.LinearClassifier(reg=0.1).fit(Z, y) for Z in (mapped, X)]
        assert np.array_equal(fits[0].coef_, fits[1].coef_)
        assert np.array_equal(fits[0].predict(mapped), fits[1].predict(X))
    size = X.nbytes + 128
    paths = []
    for left in (0, size // 2, size - 8):  # the end of the last page would be read as zeros
        paths.append(tmp_path / f"cut_{left}_X.npy")
        np.save(paths[-1], X)
        np.save(tmp_path / f"cut_{left}_y.npy", y)
    command = [sys.executable, "-c", CUT_SHORT, door, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    said_there = done.stdout.splitlines() if door != "command line" else done.stderr.splitlines()
    sentences = [line for line in said_there if not line.startswith("Note: ")]
    expected_files = [path.name for path in paths for _ in range(2 if door == "estimators" else 1)]
    assert len(sentences) == len(expected_files), done
    for name, sentence in zip(expected_files, sentences, strict=True):
        assert re.search(rf"{name} was cut short.*found {int(name.split('_')[1]):,}\.$", sentence), done
    if door == "command line":
        assert done.stdout == "status 2\n" * 3
        assert all(sentence.startswith("Error: ") for sentence in sentences)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".npy"]


# -- types -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16])
def test_18_small_integers_never_wrap(dtype: Any, tmp_path: Path) -> None:
    limits = np.iinfo(dtype)
    X = np.random.default_rng(0).integers(limits.min, limits.max, (90, 5), dtype, endpoint=True)
    X[:3] = [[limits.max] * 5, [limits.min] * 5, [limits.max, limits.min] * 2 + [0]]
    every_door_reads(X, tmp_path)
    y = np.arange(90) % 3
    pair = [sm.LinearClassifier(reg=0.1, scaling="standard", tol=1e-6).fit(Z, y) for Z in (X, X.astype(float))]
    agree(*pair)


def test_19_bools_are_0_and_1(tmp_path: Path) -> None:
    every_door_reads(np.random.default_rng(0).random((90, 5)) < 0.4, tmp_path)


def test_20_float16_in_place(tmp_path: Path) -> None:
    X = blobs(60, 5)[0].astype(np.float16)
    every_door_reads(X, tmp_path)
    np.save(tmp_path / "h.npy", X)
    data = sm.load_dataset(tmp_path / "h.npy")
    assert (data.X.dtype, isinstance(data.X, np.memmap)) == (np.float16, True)
    assert "float16" in run("info", tmp_path / "h.npy").text
    n = 100_000
    large, y = np.random.default_rng(0).random((n, 40)).astype(np.float16), np.arange(n) % 3
    W, b = point(40)
    objective = sm.Objective(sm.CrossEntropy(), large, y, 0.1, engine="cpu")
    assert peak_of(lambda: objective.value_and_grad(W, b)) < large.nbytes / 2
    assert peak_of(lambda: sm.LinearClassifier(reg=1.0, tol=0.5).fit(large, y)) < 2 * large.nbytes  # no float32
    assert peak_of(lambda: model_at(W, b).predict(large)) < 3 * large.nbytes


@pytest.mark.parametrize("dtype", [">f4", ">i2"])
def test_21_big_endian(dtype: str, tmp_path: Path) -> None:
    X, y = blobs()
    every_door_reads((X * 50).astype(dtype), tmp_path)
    W, b = point()
    plain = sm.Objective(sm.CrossEntropy(), X, y, 0.1, np.arange(1.0, 91.0)).value(W, b)
    weights = np.arange(1, 91).astype(">f8")
    swapped = sm.Objective(sm.CrossEntropy(), X.astype(">f8"), y.astype(">i8"), 0.1, weights)
    assert swapped.value(W, b) == near(plain, rel=1e-14)
    for labels in (y.astype(">i4"), np.array(["a", "b", "c"], ">U1")[y], y.astype(">f8")):
        for estimator in ESTIMATORS:
            classifier = estimator.fit(X.astype(">f8"), labels)
            assert classifier.classes_.dtype.isnative
            assert classifier.predict(X).dtype.isnative
            assert classifier.classes_.tolist() == np.unique(labels).tolist()
    assert fitted(tmp_path, X, y.astype(">i4")).classes.dtype == np.int64


def test_22_longdouble(tmp_path: Path) -> None:
    X, y = blobs()
    wide = X.astype(np.longdouble)
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("longdouble is float64 here")
    wide[3, 2] = np.longdouble("1e400")
    said(lambda: sm.Objective(sm.Hinge(), wide, y, 0.1), "64 bits", str(wide.dtype))
    said(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, np.abs(wide[:, 2])), "sample_weight[3]")
    classifier = sm.LinearClassifier(reg=0.1).fit(X, y)
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(wide, y), "64 bits", str(wide.dtype))
        said(lambda estimator=estimator: estimator.fit(X, y, np.abs(wide[:, 2])), "sample_weight[3]")
    said(lambda: classifier.predict(wide), "64 bits", str(wide.dtype))
    said(lambda: model_at(*point()).predict(wide), "64 bits", str(wide.dtype))
    told(tmp_path, "fit", saved(tmp_path, wide, y), words=("d.npz", str(wide.dtype)))


def test_23_strings_dates_complex_and_masked_arrays(tmp_path: Path) -> None:
    X, y = blobs(12)
    classifier, made = sm.LinearClassifier(reg=0.1).fit(X, y), model_at(*point())
    wrong = {
        "<U": np.round(X, 3).astype("<U9"),
        "|S": np.round(X, 3).astype("S9"),
        "datetime64": np.full(X.shape, np.datetime64("2024-01-01")),
        "timedelta64": np.full(X.shape, np.timedelta64(3, "s")),
        "complex": X.astype(complex),
        "mask": np.ma.masked_greater(X, 1.0),
    }
    for word, Z in wrong.items():
        said(lambda Z=Z: sm.Objective(sm.Hinge(), Z, y, 0.1), "X ", word)
        said(lambda Z=Z: made.predict(Z), "X ", word)
        for estimator in ESTIMATORS:
            said(lambda Z=Z, estimator=estimator: estimator.fit(Z, y), "X ", word)
        said(lambda Z=Z: classifier.predict(Z), "X ", word)
        said(lambda Z=Z: sm.choose(Z, y, LOSSES), "X ", word)
        if word != "mask":  # of which a file keeps nothing
            told(tmp_path, "fit", saved(tmp_path, Z, y), words=("d.npz", word))
    for word in ("<U", "datetime64", "timedelta64"):  # numbers written as strings are none
        Z = wrong[word].astype(object)
        for call in (
            lambda Z=Z: classifier.fit(Z, y),
            lambda Z=Z: classifier.predict(Z),
            lambda Z=Z: made.predict(Z),
            lambda Z=Z: sm.Objective(sm.Hinge(), Z, y, 0.1),
            lambda Z=Z: sm.Hinge().values(Z, y),
        ):
            said(call, "row 0", "column 0", "47 more")
    for S in (np.ma.masked_greater(X, 1.0), X.astype(complex), *wrong.values()):
        for loss in LOSSES:
            said(lambda loss=loss, S=S: loss.values(S, y), "scores")
            said(lambda loss=loss, S=S: loss.gradient(S, y), "scores")
        said(lambda S=S: sm.softmax(S), "scores")
    for loss in LOSSES:
        said(lambda loss=loss: loss.values(X, np.ma.masked_equal(y, 2)), "y is a masked array")
    frame = pd.DataFrame({"a": X[:, 0], "when": pd.date_range("2024-01-01", periods=12)})
    for call in (classifier.predict, lambda Z: classifier.fit(Z, y), lambda Z: sm.Hinge().values(Z, y)):
        said(lambda call=call: call(frame), "row 0, column 1", "11 more", "Timestamp")
        said(lambda call=call: call(frame[["when"]]), "datetime64")
    for weights in (np.ma.masked_less(np.arange(12.0), 3.0), X[:, 0].astype(complex), ["1"] * 12):
        said(lambda weights=weights: classifier.fit(X, y, weights), "sample_weight")
        said(lambda weights=weights: sm.Objective(sm.Hinge(), X, y, 0.1, weights), "sample_weight")
    said(lambda: classifier.fit(X, np.ma.masked_equal(y, 2)), "y is a masked array")
    for word in ("complex", "datetime64", "timedelta64", "|S"):
        labels = y.astype("M8[D]" if word == "datetime64" else "m8[s]" if word == "timedelta64" else word)
        for estimator in ESTIMATORS:
            said(lambda estimator=estimator, y=labels: estimator.fit(X, y), "y ", word)
        said(lambda y=labels: sm.Objective(sm.Hinge(), X, y, 0.1), "y ", word)
        said(lambda y=labels: sm.choose(X, y, LOSSES), "y ", word)
    write(tmp_path / "t.csv", "a,when,label\n1,2024-01-01,u\n2,2024-01-02,v\n")
    assert "columns left out: 'when'" in run("info", tmp_path / "t.csv").err


def test_24_object_arrays(tmp_path: Path) -> None:
    X, y = blobs(30)
    objects = X.astype(object)
    classifier = sm.LinearClassifier(reg=0.1).fit(X, y)
    again = sm.LinearClassifier(reg=0.1).fit(objects, y)
    assert np.array_equal(again.coef_, classifier.coef_)
    made, (W, b) = model_at(*point()), point()
    value = sm.Objective(sm.Hinge(), X, y, 0.1).value(W, b)
    objects[3, :3] = np.float64(X[3, 0]), Decimal(X[3, 1]), Fraction(X[3, 2])
    for Z in (objects, X.tolist(), pd.DataFrame(objects)):
        assert np.array_equal(classifier.predict(Z), classifier.predict(X))
        assert np.array_equal(made.scores(Z), made.scores(X))
        assert sm.Objective(sm.Hinge(), Z, y, 0.1).value(W, b) == value
        assert np.array_equal(sm.Hinge().values(Z, y), sm.Hinge().values(X, y))
    doors: tuple[Callable[[Any], Any], ...] = (
        lambda Z: sm.Objective(sm.Hinge(), Z, y, 0.1),
        lambda Z: sm.choose(Z, y, LOSSES),
        made.predict,
        lambda Z: sm.LinearClassifier().fit(Z, y),
        lambda Z: sm.LinearClassifierCV().fit(Z, y),
        classifier.predict,
    )
    for wrong in ("a word", "1.5", b"1", None, pd.NA, [1.0], 1j, np.timedelta64(3, "s"), np.ones((3, 3))):
        holed = objects.copy()
        holed[7, 2] = wrong
        for door in doors:
            said(lambda Z=holed, door=door: door(Z), "row 7, column 2", "numbers")
        said(lambda Z=holed: sm.softmax(Z), "scores", "row 7, column 2")
    said(lambda: sm.Hinge().values(X, ["0"] * 29 + [None]), "y[29] is None")
    holed[7, 2], holed[9, 3] = "a word", None
    for Z in (holed, holed.tolist()):  # of a list with a word in it NumPy makes an array of words
        for door in doors:
            said(lambda Z=Z, door=door: door(Z), "'a word' in row 7, column 2", "1 more")
    holed[7, 2], holed[9, 3] = 10**400, 1.0
    for door in doors:
        said(lambda Z=holed, door=door: door(Z), "X ", "64 bits")
    holed[7, 2] = np.nan
    for door in doors:
        said(lambda Z=holed, door=door: door(Z), "NaN in row 7, column 2")
    said(lambda: classifier.fit(X, y, [1.0] * 29 + [None]), "sample_weight", "None in row 29")
    np.save(tmp_path / "X.npy", objects, allow_pickle=True)
    said(lambda: sm.load_dataset(tmp_path / "X.npy"), "X.npy", "Python objects")
    told(tmp_path, "fit", tmp_path / "X.npy", words=("X.npy", "Python objects"))


def test_25_nullable_columns(tmp_path: Path) -> None:
    X, y = blobs(30)
    whole = pd.DataFrame({"a": X[:, 0], "n": pd.array(np.arange(30) % 7, "Int64")})
    labels = pd.Series(y + 2**53, dtype="Int64")  # as float64 two of these were one
    for dtype in ("Int64", "UInt64", "category", *(("int64[pyarrow]",) if HAS_ARROW else ())):
        for estimator in ESTIMATORS:
            classifier = estimator.fit(whole, labels.astype(dtype))
            assert classifier.classes_.dtype.kind in "iu"
            assert classifier.classes_.tolist() == [2**53, 2**53 + 1, 2**53 + 2]
            assert classifier.score(whole, labels.astype(dtype)) == classifier.score(whole, labels.to_numpy())
        losses = classifier.sample_losses(whole, labels.astype(dtype))
        assert np.array_equal(losses, classifier.sample_losses(whole, labels.to_numpy()))
    plain = sm.LinearClassifier(reg=0.1).fit(whole.to_numpy(np.float64), y)
    assert np.array_equal(sm.LinearClassifier(reg=0.1).fit(whole, labels).coef_, plain.coef_)
    objective = sm.Objective(sm.CrossEntropy(), whole.to_numpy(np.float64), pd.Series(y, dtype="Int64"), 0.1)
    assert objective.value(*point(2)) == sm.Objective(sm.CrossEntropy(), whole.to_numpy(np.float64), y, 0.1).value(
        *point(2)
    )
    holed = whole.copy()
    holed.loc[[7, 9], "n"] = pd.NA
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(holed, y), "row 7", "column 1", "1 more")
    words = pd.Series(np.array(["a", "b", "c"])[y])
    for given in (labels, (labels > 2**53).astype("boolean"), words, words.astype("string"), words.astype(object)):
        missing = given.copy()
        missing[11] = pd.NA
        for estimator in ESTIMATORS:
            said(lambda estimator=estimator, y=missing: estimator.fit(whole, y), "y[11] is ", "label")
        said(lambda y=missing: sm.choose(whole, y, LOSSES), "y[11] is ", "label")
        said(lambda y=missing: sm.Objective(sm.Hinge(), X, y, 0.1), "y[11] is ", "label")
        listed = missing.tolist()
        said(lambda y=listed: sm.LinearClassifier().fit(whole, y), "y[11] is ", "label")
    classifier = sm.LinearClassifier(reg=0.1).fit(whole, y)
    made = model_at(*point(2))
    for call in (classifier.predict, made.predict, lambda Z: sm.Objective(sm.Hinge(), Z, y, 0.1)):
        said(lambda call=call: call(holed), "NaN in row 7, column 1", "1 more")
    assert np.array_equal(made.scores(whole), made.scores(whole.to_numpy(np.float64)))
    large = pd.DataFrame(np.arange(4e6).reshape(-1, 20)).astype("Int64")
    assert peak_of(lambda: model_at(*point(20)).predict(large)) < 4 * 8 * large.size  # no object for every number
    write(tmp_path / "t.csv", "a,b,label\n1,2,u\n3,,v\n")
    words = ("t.csv line 3", "'b'", "empty")
    said(lambda: sm.load_dataset(tmp_path / "t.csv"), *words)
    told(tmp_path, "fit", tmp_path / "t.csv", words=words)
    if not HAS_ARROW:
        pytest.skip("needs pyarrow")
    holed.assign(label=y).to_parquet(tmp_path / "t.parquet")
    told(tmp_path, "fit", tmp_path / "t.parquet", words=("t.parquet row 7", "'n'", "null"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_26_nan_and_inf_in_the_features(value: float, tmp_path: Path) -> None:
    X, y = blobs(30)
    holed = X.copy()
    holed[7, 3] = holed[9, 1] = holed[20, 0] = value
    word = "nan" if np.isnan(value) else "inf"

    def place(message: str) -> None:
        assert "row 7, column 3" in message
        assert re.search(r"2 more|3 in all", message)
        assert word in message.lower()

    classifier = sm.LinearClassifier(reg=0.1).fit(X, y)
    for Z in (holed, sp.csr_array(holed)):
        for loss in LOSSES:
            place(said(lambda loss=loss, Z=Z: sm.minimize(sm.Objective(loss, Z, y, 0.1))))
        place(said(lambda Z=Z: model_at(*point()).predict(Z)))
        for estimator in ESTIMATORS:
            place(said(lambda Z=Z, estimator=estimator: estimator.fit(Z, y)))
        place(said(lambda Z=Z: classifier.predict(Z)))
    for engine in ENGINES:
        value_there = sm.Objective(sm.CrossEntropy(), holed, y, 0.1, engine=engine).value(*point())
        assert not np.isfinite(value_there)
    fitted(tmp_path, X, y)
    data = saved(tmp_path, holed, y, name="holed")
    place(told(tmp_path, "fit", data, words=("holed.npz",)))
    for verb in ("predict", "evaluate"):
        place(told(tmp_path, verb, tmp_path / "m.safetensors", data))


# -- labels and weights ------------------------------------------------------------------------------------

LABELS = {
    "strings": np.array(["ü", "", "two words"]),
    "bools": np.array([True, False]),
    "negative": np.array([-3, -2, 5]),
    "gapped": np.array([7, 1_000_000, 3], np.int32),
    "huge": np.array([2**62, -(2**62), 2**62 - 1]),
    "beyond int64": np.array([2**64 - 1, 0, 2**63], np.uint64),
    "like numbers": np.array(["007", "7", "7.0"]),
}


@pytest.mark.parametrize("name", LABELS)
def test_27_labels_are_encoded_exactly(name: str, tmp_path: Path) -> None:
    codes = np.arange(30) % len(LABELS[name])
    X = np.eye(3)[codes] + 1e-3 * np.arange(30)[:, None]
    labels = LABELS[name][codes]
    for estimator in ESTIMATORS:
        classifier = estimator.fit(X, labels)
        assert classifier.predict(X).dtype == labels.dtype
        assert classifier.predict(X).tolist() == labels.tolist()
    read = sm.load_dataset(saved(tmp_path, X, labels)).y
    assert read.tolist() == labels.tolist()
    made = fitted(tmp_path, X, labels)
    assert made.predict(X).tolist() == labels.tolist()
    rows = rows_of(run("predict", tmp_path / "m.safetensors", tmp_path / "d.npz"))
    assert [row[1] for row in rows] == [str(label) for label in read.tolist()]
    assert run("evaluate", tmp_path / "m.safetensors", tmp_path / "d.npz", "--json").json["accuracy"] == 1.0


def test_28_labels_that_are_floats(tmp_path: Path) -> None:
    X, y = blobs(30)
    X += 9.0 * np.eye(3, 4)[y]
    whole = 2.0 * y - 1.0
    for wrong, words in ((0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")):
        labels = whole.copy()
        labels[4] = wrong
        for estimator in ESTIMATORS:
            said(lambda estimator=estimator, y=labels: estimator.fit(X, y), "y")
        words_there = ("y must hold", "float64") if wrong == 0.5 else (f"y[4] is {words}",)
        said(lambda y=labels: sm.Objective(sm.Hinge(), X, y, 0.1), "integer", *words_there)
        words_there = ("d.npz[y] row 4", words, "whole number")
        said(lambda y=labels: sm.load_dataset(saved(tmp_path, X, y)), *words_there)
        told(tmp_path, "fit", saved(tmp_path, X, labels), words=words_there)
    for estimator in ESTIMATORS:
        assert np.array_equal(estimator.fit(X, whole).predict(X), whole)
    assert np.array_equal(fitted(tmp_path, X, whole).predict(X), whole)
    said(lambda: sm.LinearClassifier().fit(X, whole + 0.5), "y", "continuous")
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(X, np.array(["a", "b", np.nan] * 10, object)), "y ")


def test_29_labels_of_strings_and_integers(tmp_path: Path) -> None:
    X = blobs(30)[0]
    mixed = ["a", 1, "b"] * 10
    for labels in (mixed, tuple(mixed), np.array(mixed, object), pd.Series(mixed)):
        for estimator in ESTIMATORS:
            said(lambda estimator=estimator, y=labels: estimator.fit(X, y), "y mixes", "int", "str")
        said(lambda y=labels: sm.Objective(sm.Hinge(), X, y, 0.1), "y mixes", "int", "str")
    write(tmp_path / "y.txt", "\n".join(map(str, mixed)))
    np.save(tmp_path / "X.npy", X)
    data = sm.load_dataset(tmp_path / "X.npy", labels=tmp_path / "y.txt")
    assert data.y.tolist() == [str(label) for label in mixed]  # text is text: one word makes all of them words
    np.savez(tmp_path / "d.npz", X=X, y=np.array(mixed, object))
    told(tmp_path, "fit", tmp_path / "d.npz", words=("d.npz[y]", "Python objects"))


def test_30_a_class_missing_from_a_chunk_or_a_fold(tmp_path: Path) -> None:
    n = 9000  # of the first class only, then of the second, and last one sample of the third
    X, y = blobs(n)[0], np.repeat([0, 1], n // 2)
    y[-1] = 2
    W, b = point()
    for engine in ENGINES:
        objective = sm.Objective(sm.CrossEntropy(), X, y, 0.1, engine=engine)
        true = textbook.softmax_loss_vectorized(W, X, y, 0.1, b=b)
        assert objective.value(W, b) == near(true, rel=1e-12)
    X, y = blobs(60)
    names = np.array(["a", "b", "c"])[y]
    known, held_out = np.flatnonzero(y[:30] < 2), np.arange(30, 60)
    search = sm.LinearClassifierCV(["cross_entropy"], regs=[0.1], cv=[(known, held_out)]).fit(X, names)
    alone = sm.LinearClassifier(reg=0.1, tol=1e-3).fit(X[known], names[known])
    assert search.best_score_ == pytest.approx(alone.score(X[held_out], names[held_out]), abs=1e-12)
    assert search.classes_.tolist() == ["a", "b", "c"]
    rare = np.where(np.arange(60) == 7, "rare", np.where(y == 2, "a", names))
    assert sm.compare(X, rare, [sm.CrossEntropy()], [0.1], cv=3).reg == 0.1
    made = fitted(tmp_path, X, rare, "--loss", "cross_entropy", "--folds", "3")
    assert made.classes.tolist() == ["a", "b", "rare"]
    answer = run("evaluate", tmp_path / "m.safetensors", saved(tmp_path, X[:6], rare[:6], name="few"), "--json")
    assert answer.json["accuracy"] == np.mean(made.predict(X[:6]) == rare[:6])


@pytest.mark.parametrize(("value", "word"), [(-1.0, "-1"), (np.nan, "nan"), (np.inf, "inf"), (None, "zero")])
def test_31_weights_that_are_none(value: float | None, word: str) -> None:
    X, y = blobs(30)
    weights = np.zeros(30) if value is None else np.where(np.arange(30) == 7, value, 1.0)
    words = ("sample_weight is zero",) if value is None else (f"sample_weight[7] is {word}",)
    said(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, weights), *words)
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(X, y, weights), *words)
        said(lambda estimator=estimator: estimator.fit(X, y, weights.tolist()), *words)
    if value is not None:
        heavy = sm.LinearClassifier(class_weight={0: value})
        said(lambda: heavy.fit(X, y), f"class_weight[0] must be finite and not negative, but it is {word}",
             error=ParameterError)  # fmt: skip


def test_32_weights_of_1e308() -> None:
    X, y = blobs(60)
    times = np.random.default_rng(0).integers(1, 3, 60)
    Z, z = np.repeat(X, times, axis=0), np.repeat(y, times)
    W, b = point()
    for weights in (times * 8e307, times * 1e-320 / 2, times * 3.0):
        for loss in LOSSES:
            for engine in ENGINES:
                value = sm.Objective(loss, X, y, 0.1, weights, engine=engine).value(W, b)
                rel = 1e-3 if weights[0] < 1e-300 else 1e-13  # so small that the weights themselves are rounded
                assert value == near(FORMULAS[loss.name](W, Z, z, 0.1, b=b), rel=rel)
    repeated = sm.LinearClassifier(reg=0.1, tol=1e-7).fit(Z, z)
    agree(sm.LinearClassifier(reg=0.1, tol=1e-7).fit(X, y, times * 8e307), repeated)
    search = sm.LinearClassifierCV(["cross_entropy"], regs=[0.1], cv=2, tol=1e-7).fit(X, y, times * 8e307)
    agree(search, repeated)


def test_33_a_class_without_weight_takes_no_part() -> None:
    X, y = blobs(60)
    names, weights = np.array(["a", "b", "c"])[y], (y != 1).astype(float)
    for estimator in ESTIMATORS:
        assert "of positive weight" in type(estimator).__doc__
        classifier = estimator.fit(X, names, weights)
        assert classifier.classes_.tolist() == ["a", "c"]
        agree(classifier, sm.LinearClassifier(reg=0.1).fit(X[y != 1], names[y != 1]))
    assert "positive weight" in sm.Objective.__doc__
    said(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, weights), "Class 1 has no sample of positive weight")


# -- numerics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e15, 1e-15])
def test_34_features_times_1e15(factor: float, tmp_path: Path) -> None:
    X, y = blobs()
    plain = sm.LinearClassifier(reg=0.1, tol=1e-8).fit(X, y)
    scaled = sm.LinearClassifier(reg=0.1 * factor**2, tol=1e-8).fit(X * factor, y)
    agree(plain, scaled, sm.minimize(sm.Objective(sm.CrossEntropy(), X * factor, y, 0.1 * factor**2), tol=1e-8))
    # λ‖W - W*‖² ≤ 1e-8 F: the scores of rows of length 6 are within 2e-3 of the true ones, for each of the two.
    assert np.linalg.norm(X, axis=1).max() < 6.0
    assert scaled.predict_proba(X * factor) == pytest.approx(plain.predict_proba(X), abs=4e-3)
    standard = [sm.LinearClassifier(reg=0.1, tol=1e-8, scaling="standard").fit(Z, y) for Z in (X, X * factor)]
    agree(*standard)
    with warnings.catch_warnings(record=True) as caught:  # at λ as it is: proved, or it is said that it is not
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
    assert ("NOT within" in answer.text) == (not made.converged)
    assert made.value == near(textbook.softmax_loss_naive(made.W, X * factor, y, 1e-4, b=made.b), rel=1e-12)


def test_35_features_times_1e200(tmp_path: Path) -> None:
    X, y = blobs()
    X = X * 1e200
    words = ("olumn", "too large")
    for loss in LOSSES:
        said(lambda loss=loss: sm.minimize(sm.Objective(loss, X, y, 0.1)), *words)
    for estimator in ESTIMATORS:
        said(lambda estimator=estimator: estimator.fit(X, y), *words)
    for options in (SOFT, ("--quick",), ("--folds", "2"), (*SOFT, "--scaling", "standard")):
        told(tmp_path, "fit", saved(tmp_path, X, y), "-o", tmp_path / "m.safetensors", *options, words=words)
    unit = sm.LinearClassifier(reg=0.1, normalize_rows=True).fit(X, y)  # whose lengths do not count
    agree(unit, sm.LinearClassifier(reg=0.1, normalize_rows=True).fit(X / 1e200, y))


def test_36_no_penalty_has_no_finite_optimum(tmp_path: Path) -> None:
    X, y = np.eye(3)[np.arange(30) % 3], np.arange(30) % 3
    words = ("reg is 0", "separable", "no optimum")
    for loss in LOSSES:
        said(lambda loss=loss: sm.minimize(sm.Objective(loss, X, y, 0.0)), *words, error=ParameterError)
        said(lambda loss=loss: sm.LinearClassifier(loss, reg=0.0).fit(X, y), *words, error=ParameterError)
        objective = sm.Objective(loss, X, y, 0.0)
        said(lambda o=objective: o.certificate(np.eye(3), np.zeros(3)), "reg is 0", error=ParameterError)
    search = sm.LinearClassifierCV(["cross_entropy"], regs=[0.0], cv=2)
    said(lambda: search.fit(X, y), "regs holds 0", error=ParameterError)
    told(tmp_path, "fit", saved(tmp_path, X, y), "--loss", "hinge", "--reg", "0", words=("--reg", "above 0"))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_37_penalties_out_of_the_ordinary(loss: Any, tmp_path: Path) -> None:
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
        words = ("reg must be at least 0 and finite", f"it is {wrong}")
        said(lambda wrong=wrong: sm.Objective(loss, X, y, wrong), *words, error=ParameterError)
        said(lambda wrong=wrong: sm.LinearClassifier(loss, reg=wrong).fit(X, y), *words, error=ParameterError)
        told(tmp_path, "fit", tmp_path / "d.npz", "--loss", loss.name, "--reg", str(wrong), words=("--reg",))


class Idle:
    """A solver that returns where it began."""

    tol = 1e-4

    def minimize(self, objective: Any, W0: Any, b0: Any, callback: Any = None) -> Fit:
        made = objective.certificate(W0, b0)
        return Fit(W0, b0, made.value, made.lower_bound, made.gap, self.tol, 1, 0.0, (), "It did nothing.")


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_38_a_stalled_solver_is_never_called_converged(loss: Any, tmp_path: Path) -> None:
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
        with pytest.warns(ConvergenceWarning, match="relative gap of"):
            fit = sm.minimize(objective, **options)
        assert not fit.converged
        assert fit.gap > fit.tol
        assert fit.lower_bound <= optimum.value
        if np.isfinite(fit.value):
            assert fit.value >= optimum.lower_bound
            assert fit.gap >= (fit.value - optimum.value) / fit.value  # it is no nearer than that
    with pytest.warns(ConvergenceWarning):
        assert not sm.LinearClassifier(loss, reg=0.01, max_passes=1).fit(X, y).converged_
    made = fitted(tmp_path, X, y, "--loss", loss.name, "--reg", "0.01", "--max-passes", "1", status=1)
    assert not made.converged
    assert "NOT within" in run("info", tmp_path / "m.safetensors").text


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_39_columns_of_wildly_different_scales(loss: Any, tmp_path: Path) -> None:
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
        raw = [sm.minimize(sm.Objective(loss, Z, y, 0.01), max_passes=200)]
        raw.append(sm.minimize(sm.Objective(loss, X, y, 0.01, scale=scale), max_passes=200))
    assert sum(issubclass(w.category, ConvergenceWarning) for w in caught) == sum(not fit.converged for fit in raw)
    target = tmp_path / "m.safetensors"
    few = ("--loss", loss.name, "--reg", "0.01", "--max-passes", "200")
    answer = run("fit", tmp_path / "d.npz", "-o", target, *few)
    raw.append(sm.load_model(target))
    assert answer.status == (0 if raw[-1].converged else 1)
    assert max(fit.lower_bound for fit in raw) <= min(fit.value for fit in raw) * (1 + 1e-12)
    assert max(fit.gap for fit in raw) < (1e-2 if loss.name == "hinge" else 1e-4)  # it takes longer
    for fit, A in zip(raw, (Z, X * scale, Z), strict=True):
        assert fit.value == near(FORMULAS[loss.name](fit.W, A, y, 0.01, b=fit.b), rel=1e-12)


# -- sparse and text files ---------------------------------------------------------------------------------


NO_MATRIX = """
import sys
import numpy as np
import scipy.sparse as sp
import softmargin as sm

sys.path.insert(0, sys.argv[1])
from tests.test_robustness import ESTIMATORS, blobs, model_at, point, wrong_matrices

X, y = blobs(30)
classifier, model = sm.LinearClassifier(reg=0.1).fit(X, y), model_at(*point())
for wrong, Z in wrong_matrices(sys.argv[2]).items():
    for name, call in {
        "Objective": lambda: sm.Objective(sm.Hinge(), Z, y, 0.1),
        "fit": lambda: ESTIMATORS[0].fit(Z, y),
        "fit, normalized": lambda: sm.LinearClassifier(reg=0.1, normalize_rows=True).fit(Z, y),
        "cross-validation": lambda: ESTIMATORS[1].fit(Z, y),
        "predict": lambda: classifier.predict(Z),
        "Model.predict": lambda: model.predict(Z),
        "compare": lambda: sm.compare(Z, y, [sm.Hinge()], [0.1], cv=2),
    }.items():
        print(f"{wrong}, {name}: ", end="", flush=True)
        try:
            call()
            print("no error", flush=True)
        except Exception as error:
            print(type(error).__name__, error, flush=True)
"""


def wrong_matrices(kind: str) -> dict[str, Any]:
    """Return sparse matrices that would lead a kernel beyond their memory."""
    made = {}
    pointers = [] if kind == "coo" else [("indptr", 2, 1), ("indptr", 1, 10**6), ("indptr", 2, -1)]
    for part, place, value in [("indices", 1, 30), ("indices", 0, -1), ("indices", 7, 2**31 - 1), *pointers]:
        Z = getattr(sp, f"{kind}_array")(blobs(30)[0])
        (Z.coords[0] if kind == "coo" else getattr(Z, part))[place] = value
        made[f"{part}[{place}] = {value}"] = Z
    return made


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_40_sparse_matrices_with_an_index_out_of_range(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_MATRIX, str(Path(__file__).parents[1]), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # it may be the process's end
    told_there = done.stdout.splitlines()
    assert done.returncode == 0, (done.returncode, told_there[-1:], done.stderr[-500:])
    assert len(told_there) == 7 * len(wrong_matrices(kind))
    for line in told_there:
        assert re.fullmatch(r"[^:]*: DataError X is no valid .*\.", line), line
    if kind == "coo":
        return
    write(tmp_path / "y.txt", "".join(f"{k % 3}\n" for k in range(30)))
    for Z in wrong_matrices(kind).values():
        parts = {"data": Z.data, "indices": Z.indices, "indptr": Z.indptr}
        np.savez(tmp_path / "s.npz", format=kind.encode(), shape=Z.shape, **parts)
        words = ("s.npz", "no valid sparse matrix")
        said(lambda: sm.load_dataset(tmp_path / "s.npz"), *words)
        told(tmp_path, "fit", tmp_path / "s.npz", "--labels", tmp_path / "y.txt", words=words)


def test_41_indices_of_64_bits_explicit_zeros_and_duplicates(tmp_path: Path) -> None:
    X, y = blobs(30)
    X[np.abs(X) < 0.7] = 0.0
    wide = sp.csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    zeros = sp.csr_array(np.ones_like(X))
    zeros.data = X.ravel().copy()
    rows, columns = np.nonzero(np.ones_like(X))
    halves = (np.tile(X.ravel() / 2, 2), (np.tile(rows, 2), np.tile(columns, 2)))
    doubled = sp.coo_array(halves, shape=X.shape)
    twice = sp.csr_array(X.shape)
    twice.data = np.repeat(X.ravel() / 2, 2)
    twice.indices = np.repeat(np.tile(np.arange(4), 30), 2).astype(np.int32)
    twice.indptr = np.arange(0, 241, 8, dtype=np.int32)
    W, b = point()
    true = textbook.softmax_loss_naive(W, X, y, 0.1, b=b)
    plain = sm.LinearClassifier(reg=0.1, tol=1e-6).fit(X, y)
    write(tmp_path / "y.txt", "".join(f"{label}\n" for label in y))
    for name, Z in {"64 bits": wide, "zeros": zeros, "twice": twice, "coo": doubled}.items():
        before = Z.copy()
        for engine in ENGINES:
            value = sm.Objective(sm.CrossEntropy(), Z, y, 0.1, engine=engine).value(W, b)
            assert value == near(true, rel=1e-13), name
        agree(sm.LinearClassifier(reg=0.1, tol=1e-6).fit(Z, y), plain)
        assert plain.decision_function(Z) == pytest.approx(plain.decision_function(X), abs=1e-13)
        assert np.array_equal(Z.data, before.data)  # and nothing of the caller's is put in order
        sp.save_npz(tmp_path / "s.npz", Z.tocsr() if Z.format == "coo" else Z)
        target, labels = tmp_path / "m.safetensors", tmp_path / "y.txt"
        answer = run("fit", tmp_path / "s.npz", "--labels", labels, "-o", target, *SOFT, "--tol", "1e-6")
        assert answer.status == 0, answer
        agree(sm.load_model(target), plain)


def test_42_sparse_text(tmp_path: Path) -> None:
    X, y = table(60, 5)
    clean = write(tmp_path / "clean.svm", svmlight_text(X, y))
    lines = []
    for k, line in enumerate(svmlight_text(X, y).splitlines()):
        label, *entries = line.split()
        random.Random(k).shuffle(entries)
        lines += [f"{label}  " + " ".join(entries) + ("  # a remark: 7:7" if k % 3 else ""), "", "# 1 1:1"]
    odd = write(tmp_path / "odd.svm", "\r\n".join(lines))
    for path in (clean, odd):
        data = sm.load_dataset(path)
        assert np.array_equal(data.X.toarray(), X)
        assert np.array_equal(data.y, y)
    fits = [sm.LinearClassifier(reg=1.0, tol=1e-6).fit(Z, y) for Z in (X, sm.load_dataset(odd).X)]
    agree(*fits)
    models = []
    for path in (clean, odd):
        options = ("--loss", "cross_entropy", "--reg", "1.0", "--tol", "1e-6")
        assert run("fit", path, "-o", tmp_path / "m.safetensors", *options).status == 0
        models.append(sm.load_model(tmp_path / "m.safetensors"))
    agree(*models, fits[0])
    assert np.array_equal(models[0].W, models[1].W)
    for line, word in (
        ("1 2:nan", "2:nan"),
        ("1 2:1e400", "beyond the range"),
        ("1 3:1 2:1 3:4", "index 3 twice"),
        ("1 0:1 3:2", "index 0"),
        ("1 -1:1", "-1:1"),
        ("1 99999999999:1", "99999999999"),
        ("word 2:1", "word"),
    ):
        path = write(tmp_path / "wrong.svm", f"1 1:1\r\n\r\n{line}\r\n")
        said(lambda path=path: sm.load_dataset(path), "wrong.svm line 3", word)
        told(tmp_path, "fit", path, words=("wrong.svm line 3", word))
        told(tmp_path, "predict", tmp_path / "m.safetensors", path, words=("wrong.svm line 3", word))


# -- files -------------------------------------------------------------------------------------------------


def test_43_headers_that_lie_bombs_and_objects(tmp_path: Path) -> None:
    X = np.arange(12.0).reshape(4, 3)
    write(tmp_path / "long.npy", npy_bytes(X, shape=(10**15, 3)))
    write(tmp_path / "longer.npy", npy_bytes(X, shape=(2**62, 2**62)))
    write_entry(tmp_path / "long.npz", npy_bytes(X, shape=(10**13, 3)))
    write_entry(tmp_path / "bomb.npz", npy_bytes(X, shape=(170_000_000, 3)))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(1 << 20))
    for name in ("bomb.npz", "bomb.zip"):  # the size that the directory at the end declares
        content = bytearray((tmp_path / name).read_bytes())
        at = content.index(b"PK\x01\x02") + 24
        content[at : at + 4] = struct.pack("<I", 2**32 - 2)
        write(tmp_path / name, bytes(content))
    objects = np.array([[Bomb(tmp_path / "bang")]], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", X=objects)
    tensor = b'{"X":{"dtype":"F64","shape":[1000000000,1000],"data_offsets":[0,8000000000000]}}'
    write(tmp_path / "long.safetensors", struct.pack("<Q", len(tensor)) + tensor + bytes(96))
    write(tmp_path / "huge.safetensors", struct.pack("<Q", 2**62) + b"{}")
    for path in sorted(tmp_path.iterdir()):
        tracemalloc.start()
        try:
            said(lambda path=path: sm.load_dataset(path), path.name)
            assert tracemalloc.get_traced_memory()[1] < 20e6, path.name
        finally:
            tracemalloc.stop()
        told(tmp_path, "fit", path, words=(path.name,))
    said(lambda: sm.load_model(tmp_path / "huge.safetensors"), "huge.safetensors", error=ModelFileError)
    assert not (tmp_path / "bang").exists()


TEXTS = ("csv", "tsv", "svmlight")


def test_44_truncated_flipped_and_of_another_kind(tmp_path: Path) -> None:
    rng = random.Random(0)
    for name, source in (write_tables(tmp_path, *table()) | write_others(tmp_path)).items():
        good = source.file.read_bytes()
        damaged = {"half": good[: len(good) // 2], "empty": b"", "zeros": bytes(8) + good[8:]}
        for _ in range(6):
            flipped = bytearray(good)
            flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
            damaged[f"bit {len(damaged)}"] = bytes(flipped)
        for what, content in damaged.items():
            source.file.write_bytes(content)
            may_be_read = what.startswith("bit") or (what == "half" and name in TEXTS) or name == "cifar"
            message = ""
            try:
                sm.load_dataset(source.path)
            except SoftmarginError as error:
                message = str(error)
            assert message or may_be_read, (name, what)
            assert message.isprintable(), (name, what)
            assert not message or {source.file.name, source.path.name} & set(re.split(r"[/ \[\]:]", message)), (
                message
            )
            if what == "half" and name not in (*TEXTS, "cifar"):
                told(source.file.parent, "info", source.path)
        source.file.write_bytes(good)
    path = tmp_path / "m.model"
    model_at(*point()).save(path)
    good = path.read_bytes()
    for place in range(3, len(good), len(good) // 40):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        said(lambda: sm.load_model(path), "m.model", error=ModelFileError)
    told(tmp_path, "info", path, words=("m.model",))
    told(tmp_path, "predict", path, tmp_path / "X.npy", words=("m.model",))


def claimed(height: int, width: int) -> bytes:
    """Return a PNG of one pixel whose header claims another size, checksum and all."""
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "png")
    content = bytearray(stream.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_45_images_of_every_kind(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    upright = pixels(2, 3)
    kinds: dict[str, tuple[Any, dict[str, Any], Any]] = {
        "cmyk.tif": (Image.new("CMYK", (2, 1), (0, 255, 255, 0)), {}, [[[255, 0, 0]] * 2]),
        "deep.png": (np.array([[0, 257, 65535]], np.uint16), {}, [[[0], [1], [255]]]),
        "palette.png": (palette, {}, [[[10, 20, 30], [40, 50, 60]]]),
        "alpha.png": (np.array([[[0, 100, 255, 51]]], np.uint8), {}, [[[204, 224, 255]]]),  # over white
        "turned.png": (np.rot90(upright).copy(), {"exif": exif}, upright),
        "one.png": (np.full((1, 1), 7, np.uint8), {}, [[[7]]]),
    }
    for name, (image, options, expected) in kinds.items():
        save_image(tmp_path / name / "a" / name, image, **options)
        data = sm.load_dataset(tmp_path / name)
        assert np.array_equal(data.X.reshape(data.image_shape), expected), name
        assert run("info", tmp_path / name).status == 0
    save_image(tmp_path / "cut" / "a" / "1.png", pixels(20, 20))
    content = (tmp_path / "cut" / "a" / "1.png").read_bytes()
    for what, wrong in (("cut", content[: len(content) // 2]), ("enormous", claimed(60_000, 60_000))):
        (tmp_path / what / "a").mkdir(parents=True, exist_ok=True)
        write(tmp_path / what / "a" / "1.png", wrong)
        said(lambda what=what: sm.load_dataset(tmp_path / what), "a/1.png")
        told(tmp_path, "fit", tmp_path / what, words=("a/1.png",))
    for k, (height, width) in enumerate([(4, 6), (5, 7), (4, 6), (5, 7)]):
        save_image(tmp_path / "mixed" / "ab"[k % 2] / f"{k}.png", pixels(height, width, seed=k))
    words = ("4x6", "5x7", "image_size=", "--image-size")
    said(lambda: sm.load_dataset(tmp_path / "mixed"), *words)
    told(tmp_path, "fit", tmp_path / "mixed", words=words)
    target = tmp_path / "m.safetensors"
    assert run("fit", tmp_path / "mixed", "--image-size", "3x2", "-o", target, *SOFT).status == 0
    assert len(rows_of(run("predict", target, tmp_path / "mixed"))) == 4


@posix
def test_46_folders_as_they_are_found(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    names = ["with space", "quote'\"", "new\nline", "<script>"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"\xff\xfe"))
    for n, name in enumerate(names):
        for k in range(3):
            save_image(root / name / f"{k} {name}.png", pixels(2, 2, seed=10 * n + k) // 8 + 40 * n)
    for hidden in (".git/x.png", "with space/.hidden.png", "Thumbs.db"):
        (root / hidden).parent.mkdir(exist_ok=True)
        write(root / hidden, b"junk")
    write(root / "<script>" / "notes.txt", "hello")
    (root / "with space" / "up").symlink_to(root)
    (root / "with space" / "me").symlink_to(root / "with space")
    data = sm.load_dataset(root)
    assert sorted(data.ids) == sorted(f"{name}/{k} {name}.png" for name in names for k in range(3))
    assert set(data.y) == set(names)
    assert data.notes == (f"skipped 1 file that is not an image in {root}",)
    classifier = sm.LinearClassifier(reg=1e-4).fit(data.X, data.y)
    assert classifier.predict(data.X).tolist() == data.y.tolist()
    target = tmp_path / "m.safetensors"
    answers = [run("fit", root, "-o", target, "--loss", "cross_entropy", "--reg", "1e-4"), run("info", root)]
    for answer in answers:
        assert answer.status == 0, answer
        assert (answer.text + answer.err).replace("\n", "").isprintable()
    answer = run("predict", target, root)
    assert answer.status == 0
    rows = list(csv.reader(io.StringIO(os.fsdecode(answer.out), newline="")))[1:]
    assert sorted(rows) == sorted([i, label] for i, label in zip(data.ids, data.y.tolist(), strict=True))
    (root / "empty\none").mkdir()
    said(lambda: sm.load_dataset(root), "empty\\none", "holds no image")
    told(tmp_path, "fit", root, words=("empty\\none", "holds no image"))


KILLED = """
import os, signal, sys
from softmargin import cli
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
cli.main(sys.argv[1:])
"""


@posix
def test_47_killed_and_out_of_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs(60)
    made, data = tmp_path / "made.safetensors", saved(tmp_path, X, y)
    model_at(*point(), loss=sm.CrossEntropy()).save(made)
    folder = tmp_path / "out"
    folder.mkdir()
    options = ("--loss", "cross_entropy", "--reg", "0.1")
    commands: dict[str, tuple[str | Path, ...]] = {
        "m.safetensors": ("fit", data, *options, "-o"),
        "page.html": ("fit", data, *options, "-o", tmp_path / "other.safetensors", "--report"),
        "p.csv": ("predict", made, data, "-o"),
        "p.jsonl": ("predict", made, data, "-o"),
        "e.npz": ("export", made, "-o"),
        "e.safetensors": ("export", made, "-o"),
        "r.html": ("report", made, data, "-o"),
        "c.json": ("compare", data, "--loss", "hinge", "--loss", "squared_hinge", "--folds", "2", "-o"),
    }
    sync, full = os.fsync, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_space(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(folder)):
            raise full
        sync(descriptor)

    old = {name: write(folder / name, f"old {name}").read_bytes() for name in commands}
    monkeypatch.setattr(os, "fsync", no_space)
    for name, command in commands.items():
        answer = run(*command, folder / name)
        assert answer.status == 2, (name, answer)
        sentence = answer.err.splitlines()[-1]
        assert sentence.startswith("Error: "), (name, answer)
        assert name in sentence, (name, sentence)
        assert "No space left on device" in sentence, (name, sentence)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == old, name
    said(
        lambda: model_at(*point()).save(folder / "m.safetensors"),
        str(folder / "m.safetensors"),
        "No space left",
        error=ModelFileError,
    )
    monkeypatch.undo()
    for name in ("m.safetensors", "p.csv"):
        arguments = [*map(str, commands[name]), str(folder / name)]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done
        assert (folder / name).read_bytes() == old[name]
        assert run(*arguments).status == 0  # the next one leaves no litter of the killed one
        assert sorted(path.name for path in folder.iterdir()) == sorted(commands)
        assert (folder / name).read_bytes() != old[name]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
def test_48_ctrl_c_in_a_long_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs(20_000, 60)
    objective = sm.Objective(sm.SquaredHinge(), X, y, 1e-6, engine="cpu")
    objective.moments, objective.value(*point(60))  # nothing is left to prepare or to compile
    passes: list[float] = []

    def stop(*_: Any) -> None:
        passes.append(objective.n_passes)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    endless = sm.SGD(1e-3, epochs=1000, tol=1e-17)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.warns(ConvergenceWarning):
            fit = sm.minimize(objective, solver=endless)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert fit.interrupted
    assert objective.n_passes - passes[0] <= 4  # no more than a certificate needs
    true = textbook.squared_hinge_loss_vectorized(fit.W, X, y, 1e-6, b=fit.b)
    assert fit.value == near(true, rel=1e-11)
    assert fit.gap >= (fit.value - fit.lower_bound) / fit.value
    best = model(D=60, classes=range(3), W=fit.W, b=fit.b, loss=sm.SquaredHinge(), value=fit.value, gap=fit.gap,
                 lower_bound=fit.lower_bound, tol=fit.tol, converged=fit.converged)  # fmt: skip
    best.save(tmp_path / "best.safetensors")
    assert np.array_equal(sm.load_model(tmp_path / "best.safetensors").W, fit.W)

    X, y = blobs()
    armed = False

    def press(step: Any) -> None:
        nonlocal armed
        if armed:
            armed = False
            signal.raise_signal(signal.SIGINT)

    for estimator in (
        sm.LinearClassifier("hinge", reg=0.1, callback=press),
        sm.LinearClassifierCV(["hinge"], regs=[0.1], cv=2, callback=press),
    ):
        armed = False
        state = dict(vars(estimator.fit(X, y)))
        armed = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # which says the same
            with pytest.raises(KeyboardInterrupt):
                estimator.fit(-X, y)
        assert not armed
        assert vars(estimator).keys() == state.keys()
        assert all(vars(estimator)[name] is state[name] for name in state)

    target = write(tmp_path / "m.safetensors", b"the old model")
    monkeypatch.setattr(module("fit"), "reporter", stopped_at("fit", "hinge, reg", interrupt))
    data = saved(tmp_path, X, y)
    before_it = contents(tmp_path)
    answer = run("fit", data, "-o", target, "--loss", "hinge", "--reg", "0.1")
    assert answer == Answer(130, b"", "Stopped. No file was left half-written.\n")
    assert contents(tmp_path) == before_it


def check_page(text: str) -> None:
    found = Tags(text)
    assert (found.tags.count("script"), found.tags.count("style")) == (2, 1)
    assert not {"img", "svg", "iframe", "object", "link", "base"} & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on")}


@posix
def test_49_a_report_with_hostile_names(tmp_path: Path) -> None:
    names = [f"{name}{k}" for k, name in enumerate(HOSTILE)]
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (40, 12), dtype=np.uint8), np.array(names)[np.arange(40) % 20]
    data = sm.Dataset(X, y, HOSTILE[1], ids=tuple(f"{name}/{k}" for k, name in enumerate(HOSTILE * 2)),
                      image_shape=(2, 2, 3))  # fmt: skip
    made = wide_model(12, names, image_shape=(2, 2, 3), data_name=HOSTILE[0])
    report = fill_report(made, data, None, [], model_name=HOSTILE[4], data_name=HOSTILE[3])
    check_page(b"".join(page(report, summary(report))).decode())
    assert summary(report).replace("\n", "").isprintable()

    words = ["<img src=x onerror='window.pwned = 1'>", "\x1b[31mred\n<b>", '=1+1,"q"', "\u202egnp.exe", "a\rb"]
    if sys.platform == "linux":
        words.append(os.fsdecode(b"\xff\xfe"))
    root, target = tmp_path / "<b>\x1b[2J", tmp_path / "<i>\x1b]0;m.safetensors"
    for n, word in enumerate(words):
        for k in range(4):
            save_image(root / word / f"{k}{word}.png", pixels(3, 3, 1, seed=n + 9 * k) // 8 + 30 * n)
    html = tmp_path / "r.html"
    answers = [
        run("fit", root, "-o", target, *SOFT, "--report", tmp_path / "f.html"),
        run("report", target, root, "-o", html),
        run("evaluate", target, root),
        run("info", target),
        run("info", root),
    ]
    for answer in answers:
        assert answer.status == 0, answer
        assert (answer.text + answer.err).replace("\n", "").isprintable(), answer
    for path in (html, tmp_path / "f.html"):
        check_page(path.read_text("utf-8"))
    assert run("predict", target, root, "-o", tmp_path / "p.csv", "--proba").status == 0
    text = os.fsdecode((tmp_path / "p.csv").read_bytes())
    heading, *rows = csv.reader(io.StringIO(text, newline=""))
    assert sorted(heading[2:]) == sorted(f"proba_{word}" for word in words)
    assert sorted(row[0] for row in rows) == sorted(f"{word}/{k}{word}.png" for word in words for k in range(4))
    assert {row[1] for row in rows} <= set(words)
