"""Shapes and layouts of X: nothing, one row, views, mapped files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import softmargin as sm
from tests.support.cases import (
    ENGINES,
    ESTIMATORS,
    FORMULAS,
    LOSSES,
    agree,
    blobs,
    fitted,
    model_at,
    near,
    peak_of,
    point,
    predicted,
    saved,
)
from tests.support.command_line import Answer, run, run_refused
from tests.support.files import npy_bytes, posix, write
from tests.support.refusals import refused

either_engine = pytest.mark.usefixtures("either_engine")


@either_engine
def test_no_samples_are_an_error_in_fit_and_no_answers_in_predict(tmp_path: Path) -> None:
    X, y = blobs()
    refused(lambda: sm.Objective(sm.Hinge(), X[:0], y[:0], 0.1), "at least one sample", "(0, 4)")
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(X[:0], y[:0]), "sample", "(0, 4)")
        classifier = estimator.fit(X, np.array(["a", "b", "c"])[y])
        labels = classifier.predict(X[:0])
        assert (labels.shape, labels.dtype) == ((0,), classifier.classes_.dtype)
        assert classifier.predict_proba(X[:0]).shape == (0, 3)
    fitted(tmp_path, X, y)
    empty = saved(tmp_path, X[:0], y[:0], name="empty")
    for verb in (("fit", empty), ("evaluate", tmp_path / "m.safetensors", empty)):
        run_refused(tmp_path, *verb, words=("empty.npz contains no samples",))
    assert run("predict", tmp_path / "m.safetensors", empty) == Answer(0, b"id,label\n", "")


@either_engine
def test_one_sample_is_too_few_to_fit_and_enough_to_predict(tmp_path: Path) -> None:
    X, y = blobs()
    refused(lambda: sm.Objective(sm.Hinge(), X[:1], y[:1], 0.1), "Class 1 has no sample")
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(X[:1], y[:1]), "only one class")
    run_refused(tmp_path, "fit", saved(tmp_path, X[:1], y[:1]), words=("only one class",))
    two = sm.LinearClassifier(reg=0.1, tol=1e-6).fit(X[:2], ["b", "a"])  # one of each class is enough
    assert two.predict(X[:2]).tolist() == ["b", "a"]
    assert two.converged_
    refused(lambda: ESTIMATORS[1].fit(X[:2], ["b", "a"]), "At least one class must have two samples")
    made = fitted(tmp_path, X, y)
    answers = predicted(tmp_path, made, X, "--scores")
    for i in (0, 41):
        assert predicted(tmp_path, made, X[i : i + 1], "--scores") == near(answers[i : i + 1], rel=1e-12)
        assert two.predict(X[i : i + 1]).tolist() == two.predict(X)[i : i + 1].tolist()


@either_engine
def test_no_features_are_an_error(tmp_path: Path) -> None:
    y = np.arange(6) % 3
    for X in (np.empty((6, 0)), sp.csr_array((6, 0))):
        refused(lambda X=X: sm.Objective(sm.Hinge(), X, y, 0.1), "feature", "(6, 0)")
        for estimator in ESTIMATORS:
            refused(lambda X=X, estimator=estimator: estimator.fit(X, y), "feature", "(6, 0)")
    np.save(tmp_path / "X.npy", np.empty((6, 0)))
    write(tmp_path / "d.svm", "0\n1\n2\n")
    write(tmp_path / "d.csv", "label\na\nb\n")
    for name in ("X.npy", "d.svm", "d.csv"):
        refused(lambda name=name: sm.load_dataset(tmp_path / name), name)
        run_refused(tmp_path, "fit", tmp_path / name, words=(name,))


@either_engine
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_more_columns_than_rows_duplicates_and_constants_change_no_optimum(loss: Any, tmp_path: Path) -> None:
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


def test_the_layout_of_memory_changes_nothing_and_costs_no_copy(tmp_path: Path) -> None:
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
interface, *paths = sys.argv[1:]
for path in paths:
    data = load(path)
    W, b = np.zeros((data.n_features, 3)), np.zeros(3)
    if interface == "functions":
        objective = sm.Objective(sm.CrossEntropy(), data.X, data.y, 0.1, engine="cpu")
        assert objective.value(W, b) > 1.0
        cut(path)
        expect(lambda: objective.value(W, b))
    elif interface == "estimators":
        classifier = sm.LinearClassifier(reg=1.0, tol=0.5).fit(np.array(data.X), data.y)
        cut(path)
        expect(lambda: classifier.fit(data.X, data.y))
        expect(lambda: classifier.predict(data.X))
    else:
        softmargin.data.load_dataset = lambda *_, **options: (load(path), cut(path))[0]
        try:
            cli.main(["fit", path, "-o", path + ".safetensors", "--loss", "hinge", "--reg", "0.1"])
        except SystemExit as end:
            print("status", end.code)
"""


@posix
@pytest.mark.parametrize("interface", ["functions", "estimators", "command line"])
def test_mapped_files_are_read_in_place_and_one_cut_short_is_an_error(interface: str, tmp_path: Path) -> None:
    X, y = blobs(300, 20)
    W, b = point(20)
    np.save(tmp_path / "X.npy", X)
    mapped = sm.load_dataset(tmp_path / "X.npy").X
    assert isinstance(mapped, np.memmap)
    if interface == "functions":
        objectives = [sm.Objective(sm.CrossEntropy(), Z, y, 0.1, engine="cpu") for Z in (mapped, X)]
        expected = objectives[1].value(W, b)
        assert objectives[0].value(W, b) == expected
        os.replace(write(tmp_path / "new.npy", npy_bytes(np.zeros((9, 9)))), tmp_path / "X.npy")
        assert objectives[0].value(W, b) == expected  # a mapped file stays available until it is no longer used
    elif interface == "estimators":
        fits = [sm.LinearClassifier(reg=0.1).fit(Z, y) for Z in (mapped, X)]
        assert np.array_equal(fits[0].coef_, fits[1].coef_)
        assert np.array_equal(fits[0].predict(mapped), fits[1].predict(X))
    size = X.nbytes + 128
    paths = []
    for left in (0, size // 2, size - 8):  # the end of the last page would be read as zeros
        paths.append(tmp_path / f"cut_{left}_X.npy")
        np.save(paths[-1], X)
        np.save(tmp_path / f"cut_{left}_y.npy", y)
    command = [sys.executable, "-c", CUT_SHORT, interface, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    output = done.stdout.splitlines() if interface != "command line" else done.stderr.splitlines()
    sentences = [line for line in output if not line.startswith("Note: ")]
    expected_files = [path.name for path in paths for _ in range(2 if interface == "estimators" else 1)]
    assert len(sentences) == len(expected_files), done
    for name, sentence in zip(expected_files, sentences, strict=True):
        assert re.search(rf"{name} was truncated while in use.*got {int(name.split('_')[1]):,}\.$", sentence), done
    if interface == "command line":
        assert done.stdout == "status 2\n" * 3
        assert all(sentence.startswith("Error: ") for sentence in sentences)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".npy"]
