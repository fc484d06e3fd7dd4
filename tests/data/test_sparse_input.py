"""Sparse matrices and text: exact, or refused with the place."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import softmargin as sm
from softmargin import textbook
from tests.support.cases import ENGINES, agree, blobs, near, point, wrong_matrices
from tests.support.command_line import SOFT, run, run_refused
from tests.support.files import write
from tests.support.refusals import refused
from tests.support.sources import svmlight_text, table

NO_MATRIX = """
import sys
import numpy as np
import scipy.sparse as sp
import softmargin as sm

sys.path.insert(0, sys.argv[1])
from tests.support.cases import ESTIMATORS, blobs, model_at, point, wrong_matrices

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


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_sparse_matrices_with_an_index_out_of_range_are_an_error(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_MATRIX, str(Path(__file__).parents[2]), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # it may be the process's end
    told_there = done.stdout.splitlines()
    assert done.returncode == 0, (done.returncode, told_there[-1:], done.stderr[-500:])
    assert len(told_there) == 7 * len(wrong_matrices(kind))
    for line in told_there:
        assert re.fullmatch(r"[^:]*: DataError X is not a valid .*\.", line), line
    if kind == "coo":
        return
    write(tmp_path / "y.txt", "".join(f"{k % 3}\n" for k in range(30)))
    for Z in wrong_matrices(kind).values():
        parts = {"data": Z.data, "indices": Z.indices, "indptr": Z.indptr}
        np.savez(tmp_path / "s.npz", format=kind.encode(), shape=Z.shape, **parts)
        words = ("s.npz", f"is not a valid {kind.upper()} matrix")
        refused(lambda: sm.load_dataset(tmp_path / "s.npz"), *words)
        run_refused(tmp_path, "fit", tmp_path / "s.npz", "--labels-file", tmp_path / "y.txt", words=words)


def test_wide_indices_explicit_zeros_and_duplicates_change_nothing(tmp_path: Path) -> None:
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
        answer = run("fit", tmp_path / "s.npz", "--labels-file", labels, "-o", target, *SOFT, "--tol", "1e-6")
        assert answer.status == 0, answer
        agree(sm.load_model(target), plain)


def test_sparse_text_is_read_exactly_or_refused_with_its_line(tmp_path: Path) -> None:
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
        ("1 2:1e400", "outside the range"),
        ("1 3:1 2:1 3:4", "index 3 twice"),
        ("1 0:1 3:2", "index 0"),
        ("1 -1:1", "-1:1"),
        ("1 99999999999:1", "99999999999"),
        ("word 2:1", "word"),
    ):
        path = write(tmp_path / "wrong.svm", f"1 1:1\r\n\r\n{line}\r\n")
        refused(lambda path=path: sm.load_dataset(path), "wrong.svm line 3", word)
        run_refused(tmp_path, "fit", path, words=("wrong.svm line 3", word))
        run_refused(tmp_path, "predict", tmp_path / "m.safetensors", path, words=("wrong.svm line 3", word))
